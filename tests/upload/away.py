"""Servers that are away while windows come, and a feeder that is killed meanwhile: afterwards every window arrived, in order."""
import os
import random
import time

from driver import Feed, stored, stored_windows
from proxy import Proxy
from sinks import Sink
from web import Fault

KINDS = ("pyroscope", "parca", "otlp_http", "otlp_grpc", "http")
MODES = ("refuse", "accept_reset", "black_hole", "swallow", "garbage")


def run_away(folder, windows, kills, interval_ms, catch_up_s, seed=1, **settings):
    """Returns what was measured. kills: of the feeder, which opens its store again; what uploads ends with it."""
    chance = random.Random(seed)
    sinks = [Sink(kind) for kind in KINDS]
    proxies = [Proxy(sink.port, mode) for sink, mode in zip(sinks, MODES)]
    uploads = [(sink.argument(proxy.port), {"timeout": "5s"}) for sink, proxy in zip(sinks, proxies)]
    for sink in sinks:  # a kill finds requests that were taken and not yet answered
        sink.server.fault_always = lambda _: Fault("delay", seconds=random.uniform(0.1, 1)) if slow else None
    slow = True
    options = {"interval": interval_ms, "clock": os.path.abspath(folder + ".clock"), "start": time.time_ns() - 3000 * 10**9, "processes": 6, "stacks": 20, **settings}
    appended, killed = {}, 0
    begin = time.monotonic()
    while len(appended) < windows:
        if killed < kills:
            # Its next window is perhaps on its way when it dies; it does not end before, however late we look.
            wanted = max(1, windows // (kills + 1))
            feed = Feed(folder, uploads, windows=min(wanted + 1, windows - len(appended)), stay=1, **options)
            while len(feed.of("append")) < wanted:
                assert feed.process.poll() is None, feed.lines[-5:]
                time.sleep(chance.random() * interval_ms / 1000)
            feed.kill()
            killed += 1
            # Some go while a server is there for a moment.
            for proxy, mode in zip(proxies, MODES):
                proxy.set(chance.choice(("pass", "pass", mode)))
        else:
            for proxy, mode in zip(proxies, MODES):
                proxy.set(mode)
            feed = Feed(folder, uploads, windows=windows - len(appended), linger=0, **options)
            feed.wait(windows * interval_ms / 1000 + 100)
        for line in feed.lines:
            if "append" in line:
                appended[line["append"]] = line["time_ns"]
    for proxy in proxies:
        proxy.set("pass")
    slow = False
    back = time.monotonic()
    feed = Feed(folder, uploads, windows=0, linger=catch_up_s, **options)
    assert feed.finish(catch_up_s + 60), (feed.lines[-3:], [feed.status(i) for i in range(len(sinks))])
    caught_up = time.monotonic() - back
    judge(folder, sinks, appended)
    duplicates = {sink.kind: sum(1 for window in sink.received.windows.values() if window["duplicates"]) for sink in sinks}
    return (f"{len(appended)} windows, {killed} kills, away for {back - begin:.0f} s; all had arrived {caught_up:.0f} s after it; "
            f"windows that came twice: {duplicates}")


def judge(folder, sinks, appended):
    profile = stored(folder)
    windows = {window["time_ns"]: window for window in stored_windows(folder)}
    # A kill may come between the commit and the report: the store has all that was reported, and perhaps more.
    assert set(appended.values()) <= set(windows), "a window that was reported as written is not in the store"
    for sink in sinks:
        received = sink.received
        wrong = [request["error"] for request in received.requests if request.get("status") == "refused"]
        assert not wrong, (sink.kind, wrong[:3])
        assert set(received.windows) == set(windows), (sink.kind, len(received.windows), len(windows))
        assert received.in_order(), (sink.kind, received.order)
        assert received.by_stack() == profile.by_stack("samples/count"), sink.kind
