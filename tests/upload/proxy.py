#!/usr/bin/env python3
"""A TCP proxy on loopback that does what networks do: proxy.py TARGET_PORT [SETTING=VALUE...]; prints its port; each line of standard input changes its
mode ("mode reset_reply after=100"), "stat" prints what passed. In a test: Proxy(port), set("mode", ...).

| mode | what a connection gets |
|---|---|
| pass | the server |
| refuse | nobody listens |
| accept_reset | a reset as soon as it is there |
| reset_request | a reset when `after` bytes of what it sends have passed |
| reset_reply | a reset when `after` bytes of the reply have passed: the server has taken the request |
| black_hole | it is accepted, and nothing is ever read or written |
| swallow | all it sends is read, and nothing answered |
| slow_reader | what it sends is read at `rate` bytes a second |
| slow_reply | the reply comes at `rate` bytes a second |
| half_close | the reply's direction is closed after `after` bytes; the other one stays open |
| garbage | random bytes instead of a reply |
| bytes | `data` (an attribute) instead of a reply, then silence |
| connect | it is an HTTP proxy: CONNECT, or absolute URLs over http; counts in `tunnels` |
"""
import os
import select
import socket
import sys
import threading
import time
import urllib.parse

from web import reset

MODES = ("pass", "refuse", "accept_reset", "reset_request", "reset_reply", "black_hole", "swallow", "slow_reader", "slow_reply", "half_close",
         "garbage", "bytes", "connect")


class Proxy:
    def __init__(self, target, mode="pass", after=100, rate=1000, port=0):
        self.target, self.after, self.rate = target, after, rate
        self.data = b""
        self.bytes_in = self.bytes_out = self.accepted = 0
        self.tunnels = []  # first lines of requests, in mode connect
        self.open = set()
        self.lock = threading.Lock()
        self.listener = None
        self.port = port
        self.mode = "refuse"
        if not port:  # a port that stays ours while nobody listens
            self.holder = socket.socket()
            self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.holder.bind(("127.0.0.1", 0))
            self.port = self.holder.getsockname()[1]
        self.set(mode)

    def set(self, mode, **settings):
        """Connections that are open are reset: the next request sees the new mode."""
        assert mode in MODES, mode
        for name, value in settings.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        with self.lock:
            self.mode = mode
            if mode == "refuse" and self.listener:
                self.listener.shutdown(socket.SHUT_RDWR)
                self.listener.close()
                self.listener = None
            elif mode != "refuse" and not self.listener:
                self.listener = socket.socket()
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                self.listener.bind(("127.0.0.1", self.port))
                self.listener.listen(1024)
                threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        self.drop()

    def drop(self):
        for pair in list(self.open):
            for connection in pair:
                reset(connection)

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        mode = self.mode
        pair = (client,)
        self.open.add(pair)
        try:
            if mode == "accept_reset":
                reset(client)
            elif mode == "black_hole":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                while self.mode == mode:
                    time.sleep(0.1)
            elif mode in ("swallow", "garbage", "bytes"):
                self._answer(client, mode)
            else:
                first = b""
                if mode == "connect":
                    first = self._tunnel(client)
                with socket.create_connection(("127.0.0.1", self.target)) as server:
                    self.open.discard(pair)
                    pair = (client, server)
                    self.open.add(pair)
                    if first:
                        server.sendall(first)
                    self._pump(client, server, mode)
        except (OSError, ValueError):  # closed by set(), in whatever was being done
            pass
        finally:
            self.open.discard(pair)
            client.close()

    def _answer(self, client, mode):
        answered = mode == "swallow"
        while True:
            data = client.recv(1 << 16)
            if not data:
                return
            self.bytes_in += len(data)
            if not answered:
                client.sendall(os.urandom(4096) if mode == "garbage" else self.data)
                answered = True

    def _tunnel(self, client):
        """Returns what goes to the server first."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(1 << 16)
            if not data:
                raise OSError
            head += data
        line, rest = head.split(b"\r\n", 1)
        self.tunnels.append(line.decode("latin-1"))
        method, url, version = line.split(b" ")
        if method == b"CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return rest.split(b"\r\n\r\n", 1)[1]
        path = urllib.parse.urlsplit(url.decode("latin-1"))
        return method + b" " + (path.path + ("?" + path.query if path.query else "")).encode("latin-1") + b" " + version + b"\r\n" + rest

    def _pump(self, client, server, mode):
        sent = replied = 0
        readers = {client, server}
        while readers:
            for source in select.select(list(readers), [], [])[0]:
                upward = source is client
                slow = (mode == "slow_reader" and upward) or (mode == "slow_reply" and not upward)
                data = source.recv(max(1, self.rate // 10) if slow else 1 << 16)
                if not data:
                    readers.discard(source)
                    (server if upward else client).shutdown(socket.SHUT_WR)
                    continue
                if slow:
                    time.sleep(0.1)
                if upward:
                    sent += len(data)
                    self.bytes_in += len(data)
                    if mode == "reset_request" and sent >= self.after:
                        reset(client)
                        return
                    server.sendall(data)
                    continue
                room = self.after - replied
                replied += len(data)
                self.bytes_out += len(data)
                if mode in ("reset_reply", "half_close") and replied >= self.after:
                    client.sendall(data[:max(room, 0)])
                    if mode == "reset_reply":
                        reset(client)
                        return
                    client.shutdown(socket.SHUT_WR)
                    readers.discard(server)
                    continue
                client.sendall(data)


def main():
    proxy = Proxy(int(sys.argv[1]))
    print(proxy.port, flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["stat"]:
            print(proxy.mode, proxy.accepted, proxy.bytes_in, proxy.bytes_out, flush=True)
            continue
        try:
            proxy.set(words[1], **{name: int(value) for name, value in (word.split("=") for word in words[2:])})
            print("ok", flush=True)
        except (AssertionError, IndexError, ValueError) as error:
            print(f"error: {error}", flush=True)


if __name__ == "__main__":
    main()
