"""hearth agent as a process of the tests, and what must hold of what it sent; kill -9 while its servers are away."""
import os
import re
import signal
import subprocess
import time

from driver import stored_windows
from harness import HEARTH, spawn, wait_for
from proxy import Proxy
from sinks import Sink


class Agent:
    def __init__(self, store, sinks, *arguments, window=1):
        self.path = f"log-{time.monotonic_ns()}"
        uploads = [word for argument in sinks for word in ("--upload", argument)]
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with open(self.path, "w") as log:
            self.process = spawn(HEARTH, "agent", "--store", store, "--window", str(window), "-F", "49", *uploads, *arguments, stderr=log, env=environment)

    def log(self):
        with open(self.path) as log:
            return log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        self.process.wait(90)
        # It waits for no server, which would have half a minute for its answer.
        assert self.process.returncode == 0 and time.monotonic() - begin < 20, (self.process.returncode, self.log())


def refusals(sink):
    return [request["error"] for request in sink.received.requests if request.get("status") == "refused"]


def same_as_store(sinks, folder):
    """Windows that were stored at the agent's end may still wait; all that arrived is as it is in the store."""
    windows = {window["time_ns"]: window for window in stored_windows(folder)}
    for sink in sinks:
        assert not refusals(sink), (sink.kind, refusals(sink)[:2])
        assert sink.received.in_order(), sink.kind
        for time_ns, window in sink.received.windows.items():
            assert window["sums"].get("cpu/nanoseconds", windows[time_ns]["value"]) == windows[time_ns]["value"], (sink.kind, window["sums"], windows[time_ns])
    return windows


def processes_of(pid):
    """It and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parents[int(entry)] = int(stat.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def windows_in(folder):
    """How many; 0 while the store is being made."""
    try:
        return len(stored_windows(folder))
    except subprocess.CalledProcessError:
        return 0


def run_killed(folder, kinds, kills, windows_each, window, catch_up_s):
    """An agent that is killed again and again while its servers are away: all that was stored arrives when they are back. Returns what was measured."""
    sinks = [Sink(kind) for kind in kinds]
    proxies = [Proxy(sink.port, "refuse") for sink in sinks]
    uploads = [sink.argument(proxy.port) for sink, proxy in zip(sinks, proxies)]
    begin = time.monotonic()
    for i in range(kills):
        before = len(stored_windows(folder)) if i else 0
        agent = Agent(folder, uploads, window=window)
        wait_for(lambda: windows_in(folder) >= before + windows_each, 100 + 2 * window * windows_each, "windows in the store")
        processes = processes_of(agent.process.pid)
        agent.process.kill()
        agent.process.wait(60)
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes), 60, "the end of its processes")  # one of them writes the store
    expected = {window["time_ns"] for window in stored_windows(folder)}
    away, back = time.monotonic() - begin, time.monotonic()
    for proxy in proxies:
        proxy.set("pass")
    agent = Agent(folder, uploads, window=window)
    wait_for(lambda: all(expected <= set(sink.received.windows) for sink in sinks), catch_up_s, "all windows")
    caught_up = time.monotonic() - back
    agent.stop()
    assert expected <= set(same_as_store(sinks, folder))
    lines = [line for line in agent.log().splitlines() if re.search("|".join(kinds), line)]
    assert len(lines) < 3 + 3 * len(kinds), lines
    twice = {sink.kind: sum(1 for window in sink.received.windows.values() if window["duplicates"]) for sink in sinks}
    return f"{len(expected)} windows, {kills} kills, away for {away:.0f} s; all had arrived {caught_up:.0f} s after it; windows that came twice: {twice}"
