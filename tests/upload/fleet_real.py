#!/usr/bin/python3
"""As many agents as 62 processes that upload have sinks, 992, over real connections: the server is away from the beginning, and comes back.
fleet_real.py [--processes N] [--away S] [--after S]; prints what the server sees."""
import argparse
import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from driver import Feed

SINKS = 16
WINDOW_S = 10


class Server:
    """Takes everything, and counts requests and connections by the second."""

    def __init__(self):
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.holder.bind(("127.0.0.1", 0))
        self.port = self.holder.getsockname()[1]
        self.requests, self.connections = {}, {}
        self.taken = 0

    async def serve(self, reader, writer):
        self.count(self.connections)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(length)
                self.count(self.requests)
                self.taken += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, StopIteration):
            pass
        finally:
            writer.close()

    def count(self, counts):
        second = int(time.monotonic() - self.back)
        counts[second] = counts.get(second, 0) + 1

    async def open(self):
        self.back = time.monotonic()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", self.port))
        await asyncio.start_server(self.serve, sock=listener, backlog=4096)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=62)
    parser.add_argument("--away", type=int, default=120)
    parser.add_argument("--after", type=int, default=180)
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="hearth-fleet-")
    server = Server()
    windows = (options.away + options.after) // WINDOW_S
    feeds = []
    begin = time.monotonic()
    for i in range(options.processes):
        sinks = [(f"http=http://127.0.0.1:{server.port}/", {"name": f"agent-{i}-{j}"}) for j in range(SINKS)]
        feeds.append(Feed(os.path.join(scratch, f"store-{i}"), sinks, windows=windows, interval=WINDOW_S * 1000, linger=options.after, processes=2, stacks=6, depth=5))
        await asyncio.sleep(WINDOW_S / options.processes)
    n = options.processes * SINKS
    print(f"{n} agents in {options.processes} processes, all there after {time.monotonic() - begin:.0f} s; the server is away for {options.away} s")
    await asyncio.sleep(max(0, options.away - (time.monotonic() - begin)))
    expected = n * max(len(feed.of("append")) for feed in feeds)
    await server.open()
    await asyncio.sleep(options.after)
    print(f"{expected} windows waited; usual are {n / WINDOW_S:.0f} requests a second")
    print("seconds after the return | requests/s | highest of a second | new connections/s")
    rows = [0, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300]
    for first, last in zip(rows, rows[1:]):
        if last <= options.after:
            counts = [server.requests.get(second, 0) for second in range(first, last)]
            made = sum(server.connections.get(second, 0) for second in range(first, last))
            print(f"{first:10} to {last:5}      | {sum(counts) / len(counts):10.1f} | {max(counts):19} | {made / len(counts):12.1f}")
    appended = sum(len(feed.of("append")) for feed in feeds) * SINKS
    print(f"{server.taken} requests were taken, {appended} windows were there to be sent")
    for feed in feeds:
        feed.kill()
    shutil.rmtree(scratch, True)


asyncio.run(main())
