#!/usr/bin/python3
"""Debug information goes behind the windows, to the server that wants it: once, slowly, and never in their way. The feeder plays the agent, and has the files."""
import os
import random
import re
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import certificates
import generated
from driver import Feed, stored
from harness import run, test, wait_for
from sinks import DEBUGINFO, Sink, grpc_error, grpc_frame
from web import Fault, Response

PATIENT = {"timeout": "60s"}  # a machine that stands still for some seconds is no server that does not answer
BRIEF = {"timeout": "5s"}  # for one that does not
UNAVAILABLE, UNIMPLEMENTED = 14, 12


def build_id(process):
    """As tests/upload/synthetic.c has them."""
    return f"{0xabc000 + process:040x}"


def write(name, size):
    os.makedirs("files", exist_ok=True)
    path = os.path.join("files", name)
    with open(path, "wb") as file:
        file.write(b"\x7fELF" + random.Random(size).randbytes(size - 4))
    return path


def content(path):
    with open(path, "rb") as file:
        return file.read()


def start(name, *sinks, sizes=(), windows=3, interval=300, processes=3, **options):
    """sinks: (server, settings). sizes: of the debug information of process 0, 1, ..."""
    files = [write(f"{name}-{i}", size) for i, size in enumerate(sizes)]
    feed = Feed(f"store-{name}", [(sink.argument(), {**PATIENT, **settings}) for sink, settings in sinks], windows=windows, interval=interval, stay=1, pace=50,
                processes=processes, debug_file=[f"{build_id(i)}={path}" for i, path in enumerate(files)], **options)
    return feed, files


def calls(sink, name=""):
    return [(what, of) for _, what, of in sink.debuginfo.calls if what.startswith(name)]


def settled(feed, sink=0):
    status = feed.status(sink)
    return status and status["windows_sent"] and not status["debuginfo_waiting"] and \
        status["debuginfo_sent"] + status["debuginfo_known"] + status["debuginfo_missing"] + status["debuginfo_given_up"]


def sent(*feeds):
    """All windows, some time; then they end, when the last status has come."""
    wait_for(lambda: all(feed.all_marked() for feed in feeds), 100, "windows to be sent")
    for feed in feeds:
        feed.process.stdin.close()
    for feed in feeds:
        feed.wait(90)
    return all(feed.of("all_sent")[-1] for feed in feeds)


def functions(sink):
    return {frame for stack in sink.received.by_stack() for frame in stack.split(";") if "function_" in frame}


@test("each file once, whole, and what is nowhere is not asked for again; the windows have their names")
def _():
    sink = Sink("parca")
    feed, files = start("both", (sink, {"symbolize": "both"}), sizes=(3_000_000, 1000), windows=12)
    wait_for(lambda: settled(feed), 100, "debug information to be settled")
    assert sent(feed)
    status = feed.status()
    assert (status["debuginfo_sent"], status["debuginfo_missing"], status["debuginfo_known"], status["debuginfo_given_up"]) == (2, 1, 0, 0), status
    assert status["debuginfo_bytes"] == 3_001_000 and status["windows_sent"] == 12, status
    assert {key: value[0] for key, value in sink.debuginfo.files.items()} == {build_id(i): content(path) for i, path in enumerate(files)}
    assert sink.debuginfo.finished == {build_id(0), build_id(1)} and sink.debuginfo.open_max == 1
    for name, times in (("Should", 3), ("Initiate", 2), ("Upload", 2), ("Mark", 2)):
        assert len(calls(sink, name)) == times, sink.debuginfo.calls
    assert sorted(feed.of("want")) == [build_id(i) for i in range(3)], feed.of("want")
    assert functions(sink), "no names"
    assert sink.received.by_stack() == stored("store-both").by_stack("samples/count")
    assert len(feed.events("debug information: ")) == 2 and "sent, 3000000 bytes" in "".join(feed.events()), feed.events()
    assert not [line for line in feed.lines if "wrong_message" in line]


@test("with server, functions go as addresses; OTLP gets no debug information, and with local nobody does")
def _():
    sinks = [Sink("parca"), Sink("otlp_grpc"), Sink("parca"), Sink("pyroscope")]
    feed, _ = start("server", *zip(sinks, ({"symbolize": "server"}, {"symbolize": "server"}, {"symbolize": "local"}, {})), sizes=(1000,) * 3)
    wait_for(lambda: settled(feed) == 3, 100, "debug information to be settled")
    assert sent(feed)
    assert [bool(functions(sink)) for sink in sinks] == [False, False, True, True], [list(functions(sink))[:3] for sink in sinks]
    assert [sink.received.total() for sink in sinks] == [stored("store-server").total("samples/count")] * 4
    assert any("kernel_" in stack for stack in sinks[0].received.by_stack()), "kernel frames keep their names"
    assert len(sinks[0].debuginfo.finished) == 3 and not sinks[2].debuginfo.calls, sinks[2].debuginfo.calls


@test("a server that has it, or hears of it from another, costs no file")
def _():
    sink = Sink("parca")
    sink.debuginfo.known = {build_id(0)}
    sink.handlers[DEBUGINFO + "InitiateUpload"] = lambda _: grpc_error(6, "exists already")
    feed, _ = start("known", (sink, {"symbolize": "both"}), sizes=(1000,) * 3)
    wait_for(lambda: settled(feed), 100, "debug information to be settled")
    assert sent(feed)
    assert feed.status()["debuginfo_known"] == 3 and build_id(0) not in feed.of("want") and not calls(sink, "Upload"), (feed.status(), calls(sink))


@test("two servers that want the same file share it")
def _():
    sinks = [Sink("parca"), Sink("parca")]
    feed, files = start("two", *((sink, {"symbolize": "both"}) for sink in sinks), sizes=(500_000,) * 3)
    wait_for(lambda: settled(feed, 0) == settled(feed, 1) == 3, 100, "debug information to be settled")
    assert sent(feed)
    for sink in sinks:
        assert {key: value[0] for key, value in sink.debuginfo.files.items()} == {build_id(i): content(path) for i, path in enumerate(files)}
    assert len(feed.of("want")) <= 6, feed.of("want")


@test("it goes no faster than it may, and windows do not wait for it")
def _():
    sink = Sink("parca")
    feed, _ = start("slow", (sink, {"symbolize": "both", "debuginfo_bytes_per_s": "300K"}), sizes=(1_500_000,), windows=25, interval=200, processes=1)
    wait_for(lambda: settled(feed), 100, "debug information to be settled")
    times = {name: at for at, name, _ in sink.debuginfo.calls}
    took = times["Upload"] - times["InitiateUpload"]
    assert 3.5 < took < 60, took
    assert sent(feed)
    # Windows that were marked while the file went: most of them did, and were they to wait for it, one or none had gone.
    marks = [at for at, line in zip(feed.times, feed.lines) if "mark" in line and times["InitiateUpload"] < at < times["Upload"]]
    gaps = [b - a for a, b in zip(marks, marks[1:])]
    assert len(marks) >= 5, (len(marks), gaps)
    print(f"# measured: {len(marks)} windows in the {took:.1f} s of a file, at most {max(gaps):.1f} s apart")


FAULTS = {
    "UNAVAILABLE": Fault("status", grpc_error(UNAVAILABLE, "the server's own words")),
    "mute": Fault("mute"),
    "reset": Fault("reset"),
    "garbage": Fault("garbage"),
    "an answer that cannot be": Fault("status", Response(200, [("content-type", "application/grpc")], b"\x00\x00\x00\x00\x02\x08", [("grpc-status", "0")])),
    "INVALID_ARGUMENT": Fault("status", grpc_error(3, "the server's own words")),
    "UNAUTHENTICATED": Fault("status", grpc_error(16, "the server's own words")),
}


def speaks_at_once(name):
    """UNAVAILABLE is no news the first time."""
    return "own words" in str(FAULTS[name]) and name != "UNAVAILABLE"


@test("whatever goes wrong with it, no window is late or lost")
def _():
    feeds = []
    for method in ("ShouldInitiateUpload", "InitiateUpload", "Upload", "MarkUploadFinished"):
        for name, fault in FAULTS.items():
            sink, tried = Sink("parca"), []

            def always(request, fault=fault, path=DEBUGINFO + method, tried=tried):
                if request.path == path:
                    tried.append(1)
                return fault if request.path == path else None
            sink.server.fault_always = always
            settings = {"symbolize": "both", **(BRIEF if name == "mute" else {})}
            feeds.append((method, name, sink, tried, start(f"fault-{method}-{name}".replace(" ", "-"), (sink, settings), sizes=(300_000,), windows=8,
                                                           interval=500, processes=1)[0]))
    # What was mute has failed when it is tried again. With a file that went that is not soon.
    wait_for(lambda: all(len(tried) >= (2 if name == "mute" and method in ("ShouldInitiateUpload", "InitiateUpload") else 1) for method, name, _, tried, _ in feeds), 100, "requests that fail")
    wait_for(lambda: all(feed.events("the server's own words") for _, name, _, _, feed in feeds if speaks_at_once(name)), 100, "what the server says")
    assert sent(*(feed for *_, feed in feeds))
    for method, name, sink, _, feed in feeds:
        status = feed.status()
        assert status["windows_sent"] == 8 and not status["retries"] and not status["windows_dropped"], (method, name, status)
        assert sink.received.in_order() and not sink.received.duplicates, (method, name)
        # Parca takes an answer to Upload that says nothing we read; the rest waits for another try.
        taken = name == "an answer that cannot be" and method in ("Upload", "MarkUploadFinished")
        assert status["debuginfo_sent"] == 0 or taken, (method, name, status)
        assert status["debuginfo_waiting"] == 1 or taken, (method, name, status)
        assert len(feed.events("debug information")) <= 3, (method, name, feed.events())


@test("it is tried again when the server is well again")
def _():
    sink = Sink("parca")
    left = [3]

    def sometimes(request):
        if request.path == DEBUGINFO + "ShouldInitiateUpload" and left[0]:
            left[0] -= 1
            return FAULTS["UNAVAILABLE"]
        return None
    sink.server.fault_always = sometimes
    feed, _ = start("again", (sink, {"symbolize": "both"}), sizes=(1000,), processes=1, windows=40, interval=300)
    wait_for(lambda: settled(feed), 100, "debug information to be settled")
    wait_for(lambda: feed.events("it works again"), 60, "the line that says so")
    feed.stop()
    assert feed.status()["debuginfo_sent"] == 1, feed.status()


@test("a server that knows nothing of it is asked once")
def _():
    sink = Sink("parca")
    asked = []
    sink.handlers[DEBUGINFO + "ShouldInitiateUpload"] = lambda _: asked.append(1) or grpc_error(UNIMPLEMENTED, "unknown service")
    feed, _ = start("old", (sink, {"symbolize": "both"}), sizes=(1000,), windows=8)
    wait_for(lambda: feed.events("takes none"), 60, "the line that says so")
    feed.more(2)
    assert sent(feed)
    assert len(asked) == 1 and len(feed.events("takes none")) == 1, (asked, feed.events())
    assert not feed.of("want")


@test("nothing is offered to a server that takes no windows")
def _():
    sink = Sink("parca")
    sink.server.fault_always = lambda request: None if request.path.startswith(DEBUGINFO) else FAULTS["UNAVAILABLE"]
    feed, _ = start("away", (sink, {"symbolize": "both"}), sizes=(1000,), windows=3)
    wait_for(lambda: feed.status() and feed.status()["failing"] >= 2, 60, "debug information to be settled")
    feed.stop()
    assert not sink.debuginfo.calls and not feed.of("want"), sink.debuginfo.calls


def signed(url, sink, path="/bucket/object?X-Signature=secret%2Fsignature"):
    """InitiateUpload's answer: at a signed URL."""
    def handler(request):
        response = sink.debuginfo.handle(request)
        answer = generated.parca.InitiateUploadResponse()
        answer.ParseFromString(response.body[5:])
        answer.upload_instructions.strategy, answer.upload_instructions.signed_url = 2, (url + path).encode()
        return Response(200, response.headers, grpc_frame(answer.SerializeToString()), [("grpc-status", "0")])
    return handler


@test("at a signed URL the bare file is PUT, without the sink's secrets")
def _():
    sink = Sink("parca")
    token = os.path.join(os.getcwd(), "token")
    with open(token, "w", encoding="ascii") as file:
        file.write("the-token\n")
    sink.bearer = "the-token"
    put = []

    def bucket(request):
        put.append(request)
        sink.debuginfo.files[build_id(0)] = request.body, len(request.body)
        return Response(200)
    sink.handlers[DEBUGINFO + "InitiateUpload"] = signed(f"http://127.0.0.1:{sink.port}", sink)
    sink.handlers["/bucket/object"] = bucket
    feed, files = start("signed", (sink, {"symbolize": "both", "bearer_token_file": token}), sizes=(700_000,), processes=1)
    wait_for(lambda: settled(feed), 100, "debug information to be settled")
    assert sent(feed) and feed.status()["debuginfo_sent"] == 1
    assert len(put) == 1 and put[0].method == "PUT" and put[0].body == content(files[0]) and put[0].query == {"X-Signature": "secret/signature"}
    assert "authorization" not in put[0].headers and "content-type" not in put[0].headers, put[0].headers
    assert put[0].headers["content-length"] == "700000" and sink.debuginfo.finished == {build_id(0)}


@test("over TLS too, and behind a process that was killed in the middle")
def _():
    made = certificates.make("certificates-debuginfo")
    sink = Sink("parca", certificate=made["good"])
    settings = {"symbolize": "both", "ca_file": os.path.abspath(made["ca"][0]), "debuginfo_bytes_per_s": "500K"}
    feed, files = start("tls", (sink, settings), sizes=(1_000_000,), processes=1, windows=20, interval=300)
    sink.debuginfo.forgets = True
    wait_for(lambda: calls(sink, "Initiate"), 60, "the file to be on its way")
    first = feed.upload_pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: sink.debuginfo.finished and feed.upload_pid != first, 100, "the file")
    wait_for(feed.all_marked, 100, "windows")
    feed.stop()
    assert feed.of("all_sent")[-1] and feed.upload_pid != first
    assert sink.debuginfo.files[build_id(0)][0] == content(files[0])
    assert sink.received.in_order()


@test("a signed URL on plain http of another host is not followed; one that fails does not show its signature")
def _():
    sinks = [Sink("parca"), Sink("parca")]
    bucket = Sink("http")
    sinks[0].handlers[DEBUGINFO + "InitiateUpload"] = signed(f"http://127.0.0.2:{bucket.port}", sinks[0])
    sinks[1].handlers[DEBUGINFO + "InitiateUpload"] = signed(f"http://127.0.0.1:{bucket.port}", sinks[1])
    bucket.handlers["/bucket/object"] = lambda _: Response(403, [], b"SignatureDoesNotMatch: secret/signature")
    feed, _ = start("bad-url", *((sink, {"symbolize": "both"}) for sink in sinks), sizes=(1000,), processes=1, windows=8)
    wait_for(lambda: feed.events("wants it where it may not go") and feed.events("HTTP status 403"), 60, "what is said of both")
    assert sent(feed)
    text = "\n".join(feed.events("debug information"))
    assert "wants it where it may not go" in text and "HTTP status 403" in text, text
    assert not re.search("secret|signature|X-Sig", text, re.I), text


run(needs_root=False, at_once=12)
