#!/usr/bin/python3
"""Uploading: windows go from a store through the process that uploads to servers of each kind, which misbehave in every way."""
import concurrent.futures
import glob
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import certificates
from driver import Feed, stored, stored_windows
from harness import run, test, wait_for
from proxy import Proxy
from sinks import Sink, error_response, grpc_error
from web import Fault, Response

KINDS = ("pyroscope", "parca", "otlp_http", "otlp_grpc", "http")
PATIENT = {"timeout": "60s"}  # a machine that stands still for some seconds is no server that does not answer
BRIEF = {"timeout": "5s"}  # for servers that do not


def same_as_store(sink, profile, what=""):
    """Totals and each stack."""
    expected = profile.by_stack("samples/count")
    got = sink.received.by_stack()
    assert got == expected, (what or sink.kind, sum(got.values()), sum(expected.values()),
                             [(stack, got.get(stack), expected.get(stack)) for stack in {*got, *expected} if got.get(stack) != expected.get(stack)][:3],
                             [(request.get("status"), request.get("error")) for request in sink.received.requests[:5]])


def refusals(sink):
    return [request["error"] for request in sink.received.requests if request.get("status") == "refused"]


@test("each kind of server gets what is in the store")
def _():
    sinks = [Sink(kind) for kind in KINDS]
    feed = Feed("store-all", [(sink.argument(), PATIENT) for sink in sinks], windows=5, interval=100, linger=100, label=["host=h1", "kernel=6.1"])
    sent = feed.finish(150)
    profile = stored("store-all")
    for sink in sinks:
        assert not refusals(sink), (sink.kind, refusals(sink))
        same_as_store(sink, profile)
        assert sink.received.in_order() and not sink.received.duplicates and len(sink.received.windows) == 5, sink.kind
        assert sink.received.total("cpu/nanoseconds") in (0, profile.total("cpu/nanoseconds")), sink.kind
        # One connection, kept.
        assert sink.server.accepted == 1, (sink.kind, sink.server.accepted)
        assert all("hearth" in request["headers"].get("user-agent", "") for request in sink.received.requests), sink.received.requests[0]
    assert sent, feed.lines[-10:]
    assert not [line for line in feed.lines if "wrong_message" in line]
    services = {labels.get("service_name") for labels, _ in sinks[0].received.series()}
    assert services >= {"container1", "app0"}, services
    assert all(labels["host"] == "h1" for labels, _ in sinks[0].received.series())
    names = {labels["__name__"] for labels, _ in sinks[1].received.series()}
    assert names == {"parca_agent"}, names
    assert {labels.get("service.name") for labels, _ in sinks[2].received.series()} >= {"container1", "app0"}, sinks[2].received.series()[:2]
    for number, sink in enumerate(sinks):
        status = feed.status(number)
        assert status["windows_sent"] == 5 and status["samples_sent"] == profile.total("samples/count"), (sink.kind, status)


class Case:
    """One way to misbehave, once; afterwards the server is well. kinds: which servers can."""

    def __init__(self, name, fault=None, mode=None, kinds=KINDS, lost=False, repeats=False, says="", waits=False, **settings):
        self.name, self.fault, self.mode, self.kinds, self.settings = name, fault, mode, kinds, settings
        self.lost = lost          # the window is dropped for it
        self.repeats = repeats    # the server took it: it comes twice; None: perhaps
        self.says = says          # in the line that is logged
        self.waits = waits        # for the client's patience to end; a server that is well may be found as slow on a busy machine, and get a window twice


H1 = ("pyroscope", "otlp_http", "http")
H2 = ("parca", "otlp_grpc")


def status(code, *headers):
    return lambda kind: Fault("status", error_response(kind, code, "the server's own words", headers))


def fault(kind, **options):
    return lambda _: Fault(kind, **options)


def grpc(code):
    return lambda _: Fault("status", grpc_error(code, "the server's own words"))


CASES = [
    Case("408", status(408), kinds=("pyroscope", "http"), says="408"),
    Case("429", status(429), says="429"),
    Case("429 with Retry-After", status(429, ("Retry-After", "1"))),
    Case("429 with a date", status(429, ("Retry-After", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 8))))),
    Case("500", status(500), kinds=("pyroscope", "http"), says="500"),
    Case("503", status(503, ("Retry-After", "1")), says="503"),
    Case("504", status(504)),
    Case("400", status(400), kinds=H1, lost=True, says="the server's own words"),
    Case("404", status(404), kinds=H1, lost=True, says="404"),
    Case("422", status(422), kinds=H1, lost=True, says="the server's own words"),
    Case("INVALID_ARGUMENT", grpc(3), kinds=H2, lost=True, says="the server's own words"),
    Case("UNAVAILABLE", grpc(14), kinds=H2, says="the server's own words"),
    Case("DEADLINE_EXCEEDED", grpc(4), kinds=H2),
    Case("no grpc-status", fault("no_trailers", taken=True), kinds=H2, repeats=True),
    Case("mute", fault("mute"), waits=True),
    Case("a reset after the request", fault("reset")),
    Case("a reset, and it was taken", fault("reset", taken=True), repeats=True),
    Case("a reply that is cut off", fault("half"), kinds=H2),
    Case("garbage", fault("garbage")),
    Case("a reply without end", fault("endless", response=Response(503))),
    Case("a reply that trickles", fault("slow", response=Response(503)), waits=True),
    Case("huge headers", fault("huge_headers", response=Response(503))),
    Case("a flood of 1xx", fault("flood_1xx"), waits=True),
    Case("GOAWAY", fault("goaway"), kinds=H2),
    Case("RST_STREAM", fault("rst_stream"), kinds=H2),
    Case("nobody listens", mode="refuse"),
    Case("a reset at once", mode="accept_reset"),
    Case("a reset in the request", mode="reset_request", after=600),
    Case("a reset in the reply", mode="reset_reply", after=10, kinds=H1, repeats=True),
    Case("a black hole", mode="black_hole", waits=True),
    Case("all is swallowed", mode="swallow", waits=True),
    Case("a reader of 100 bytes a second", mode="slow_reader", rate=100, repeats=None, waits=True),
    Case("redirect to another host", lambda _: Fault("status", Response(307, [("Location", "http://127.0.0.2:9/elsewhere")])), kinds=H1, says="127.0.0.2"),
    Case("redirects in a circle", lambda _: Fault("status", Response(302, [("Location", "/")])), kinds=H1),
]


class Trial:
    """A case at one kind of server."""

    def __init__(self, case, kind):
        self.case, self.kind = case, kind
        self.sink = Sink(kind)
        self.proxy = None
        port = None
        if case.fault:
            # One failure alone is no news; of what was taken, one is enough.
            self.sink.server.faults += [case.fault(kind)] * (1 if case.lost or case.repeats else 2)
        else:
            self.proxy = Proxy(self.sink.port, case.mode, **case.settings)
            port = self.proxy.port
        self.upload = (self.sink.argument(port), BRIEF if case.waits else PATIENT)

    name = property(lambda self: f"{self.case.name} ({self.kind})")

    def may_end(self, status):
        """A fault in front of the server ends when it has been met twice, as others do by themselves. Returns whether it has ended."""
        if self.proxy and not (status and (status["failing"] >= 2 or status["windows_sent"] == 2)):
            return False
        if self.proxy:
            self.proxy.set("pass")
        return True

    def judge(self, feed, number, per_window):
        """per_window: {time_ns: samples} of the store."""
        received = self.sink.received
        windows = {time_ns: window["sums"].get("samples/count", 0) for time_ns, window in received.windows.items()}
        assert not refusals(self.sink), refusals(self.sink)
        missing = [time_ns for time_ns, value in per_window.items() if windows.get(time_ns) != value]
        assert len(missing) == (1 if self.case.lost else 0), f"{len(missing)} windows are missing of {len(per_window)}: {feed.status(number)}"
        assert received.in_order(), received.order
        assert self.case.waits or self.case.repeats in (None, bool(received.duplicates)), received.duplicates
        status = feed.status(number)
        assert status and status["windows_dropped"] == len(missing) and status["windows_sent"] == len(per_window) - len(missing), status
        assert status["failing"] == 0 and status["last_error"] == "" or self.case.lost, status
        return status


def events_of(feed, name):
    return [text for text in feed.of("event") if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]


def run_trials(folder, trials):
    """All in one process that uploads, as many sinks as it may have."""
    feed = Feed(folder, [(trial.upload[0], {**trial.upload[1], "name": f"sink-{i}x"}) for i, trial in enumerate(trials)], windows=2, interval=300, linger=120,
                slow_first=1500, processes=3, stacks=12, depth=8)
    bad = list(enumerate(trials))

    def all_well():
        bad[:] = [(number, trial) for number, trial in bad if not trial.may_end(feed.status(number))]
        return not bad
    wait_for(all_well, 100, "two tries at each server")
    feed.finish(150)
    per_window = {window["time_ns"]: window["samples"] for window in feed.lines if "append" in window}
    wrong = []
    for number, trial in enumerate(trials):
        try:
            trial.judge(feed, number, per_window)
            said = events_of(feed, f"sink-{number}x")
            failures = [line for line in feed.lines if line.get("event") in said and line["severity"] > 0]
            # The proxy resets what is open when its mode is changed: a second reason.
            least, most = 0 if trial.case.repeats is not False else 1, 2 if trial.proxy else 1
            assert least <= len(failures) <= most, f"{len(failures)} lines logged: {said}"
            assert all(trial.case.says in line["event"] for line in failures[:1]), said
        except AssertionError as error:
            wrong.append(f"{trial.name}: {error}")
        finally:
            trial.sink.stop()
    return wrong


@test("every kind of error: in bounded time, logged once, later windows are not blocked")
def _():
    only = os.environ.get("CASE", "")
    trials = [Trial(case, kind) for case in CASES for kind in case.kinds if only in case.name]
    groups = [trials[at:at + 15] for at in range(0, len(trials), 15)]
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(groups)) as pool:  # what one of them raises is raised here
        wrong = [line for lines in pool.map(run_trials, [f"store-errors-{i}" for i in range(len(groups))], groups) for line in lines]
    print(f"# measured: {len(CASES)} kinds of errors at {len(trials)} servers in {time.monotonic() - begin:.0f} s")
    assert not wrong, "\n".join(wrong)


@test("certificates: expired, another host's, a stranger's: nothing is sent, and it is said once; a client's is shown")
def _():
    made = certificates.make("certificates-1")
    bad = [(name, Sink(kind, certificate=made[name])) for name in ("expired", "other_host", "stranger") for kind in ("pyroscope", "parca")]
    good = [Sink(kind, certificate=made["good"], client_ca=made["ca"][0]) for kind in KINDS]
    settings = {**PATIENT, "ca_file": os.path.abspath(made["ca"][0])}
    client = {**settings, "cert_file": os.path.abspath(made["client"][0]), "key_file": os.path.abspath(made["client"][1])}
    feed = Feed("store-tls", [(sink.argument(), settings) for _, sink in bad] + [(sink.argument(host="localhost"), client) for sink in good],
                windows=2, interval=200, stay=1)
    wait_for(lambda: all(feed.status(len(bad) + i) and feed.status(len(bad) + i)["windows_sent"] == 2 for i in range(len(good))), 100, "windows at the good servers")
    wait_for(lambda: all(feed.status(number) and feed.status(number)["last_error"] for number in range(len(bad))), 100, "errors of the bad ones")
    time.sleep(5)  # see below
    feed.stop()
    assert not feed.of("all_sent")[-1]
    profile = stored("store-tls")
    for number, (name, sink) in enumerate(bad):
        status = feed.status(number)
        assert not sink.received.requests and status["windows_dropped"] == 0, (name, status)
        assert re.search(r"certificate|SSL|issuer", status["last_error"]), (name, status)
        # What only a person can mend is not tried each second.
        assert sink.server.accepted <= 3, (name, sink.server.accepted)
    for sink in good:
        assert not refusals(sink), refusals(sink)
        same_as_store(sink, profile)
        assert {request["client"] for request in sink.received.requests} == {"client"}
        assert {request["version"] for request in sink.received.requests} == {"2"}, sink.kind


@test("https is not left for http, and secrets go to no other host")
def _():
    made = certificates.make("certificates-2")
    thief = Sink("pyroscope")
    sinks = []
    for code in (301, 307, 308):
        sink = Sink("pyroscope", certificate=made["good"])
        sink.server.fault_always = Fault("status", Response(code, [("Location", thief.url() + "/push.v1.PusherService/Push")]))
        sinks.append(sink)
    with open("token-redirect", "w") as file:
        file.write("a-secret-token\n")
    settings = {**PATIENT, "ca_file": os.path.abspath(made["ca"][0]), "bearer_token_file": os.path.abspath("token-redirect")}
    feed = Feed("store-redirect", [(sink.argument(host="localhost"), settings) for sink in sinks], windows=2, interval=200, stay=1)
    wait_for(lambda: all(feed.status(i) and (feed.status(i)["last_error"] or feed.status(i)["windows_sent"]) for i in range(len(sinks))), 100, "answers")
    feed.stop()
    assert all(sink.server.accepted for sink in sinks)
    assert thief.server.accepted == 0, thief.received.requests


@test("tokens, passwords, tenants: sent, read again when they change, and seen nowhere")
def _():
    secrets = {"token": "t0ken-SECRET-one", "password": "pa55-SECRET-word"}
    for name, text in secrets.items():
        with open(name, "w") as file:
            file.write(text + "\n")
        os.chmod(name, 0o600)
    bearer, basic = Sink("parca"), Sink("pyroscope")
    bearer.bearer, basic.basic, basic.tenant = secrets["token"], "user:" + secrets["password"], "team-a"
    feed = Feed("store-secrets", [
        (bearer.argument(), {**PATIENT, "bearer_token_file": os.path.abspath("token")}),
        (basic.argument(), {**PATIENT, "basic_user": "user", "basic_password_file": os.path.abspath("password"), "tenant": "team-a"})],
        windows=2, interval=200, stay=1)
    wait_for(lambda: len(bearer.received.windows) == len(basic.received.windows) == 2, 60, "the first windows")
    assert not refusals(bearer) and not refusals(basic), refusals(bearer) + refusals(basic)
    seen = everything_of(feed.process.pid) + everything_of(feed.upload_pid)
    # The server's token changes; it is told a wrong one first, then the right one.
    bearer.bearer = "t0ken-SECRET-two"
    feed.more(2)
    wait_for(lambda: refusals(bearer), 60, "the old token is refused")
    time.sleep(1)
    tries = len(refusals(bearer))
    with open("token", "w") as file:
        file.write("t0ken-SECRET-two\n")
    at = time.monotonic()
    wait_for(lambda: bearer.received.requests[-1].get("status") == 200, 60, "the new token is used")
    print(f"# measured: a new token is used {time.monotonic() - at:.1f} s after it was written")
    assert tries <= 2, tries
    wait_for(feed.all_marked, 100, "all windows")
    feed.stop()
    profile = stored("store-secrets")
    same_as_store(bearer, profile)
    same_as_store(basic, profile)
    seen += repr(feed.lines)
    for path in glob.glob("store-secrets/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                seen += file.read().decode("latin-1")
    import base64
    for text in (*secrets.values(), "t0ken-SECRET-two", base64.b64encode(basic.basic.encode()).decode()):
        assert text not in seen, text


def everything_of(pid):
    """What ps and others can see."""
    seen = ""
    for name in ("cmdline", "environ", "comm", "status"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                seen += file.read().decode("latin-1")
        except OSError:
            pass
    return seen


@test("a server that repeats a secret does not get it into the log")
def _():
    with open("token-echo", "w") as file:
        file.write("t0ken-SECRET-echo")
    sink = Sink("pyroscope")
    sink.server.fault_always = Fault("status", error_response("pyroscope", 400, "bad header: Bearer t0ken-SECRET-echo\x1b[31m\nforged line"))
    feed = Feed("store-echo", [(sink.argument(), {**PATIENT, "bearer_token_file": os.path.abspath("token-echo")})], windows=1, linger=100)
    feed.finish(150)
    assert sink.server.accepted and feed.events(), feed.lines
    for text in feed.events() + [feed.status()["last_error"]]:
        assert "SECRET" not in text and "\x1b" not in text and "\n" not in text, text


@test("a proxy: CONNECT for TLS and gRPC, absolute URLs for http; none when it says none")
def _():
    made = certificates.make("certificates-3")
    tls, grpc_tls, plain, direct = Sink("pyroscope", certificate=made["good"]), Sink("parca", certificate=made["good"]), Sink("http"), Sink("http")
    by = {sink: Proxy(sink.port, "connect") for sink in (tls, grpc_tls, plain, direct)}
    ca = {"ca_file": os.path.abspath(made["ca"][0])}

    def settings(sink, **more):
        return {**PATIENT, "proxy": f"http://127.0.0.1:{by[sink].port}", **more}
    feed = Feed("store-proxy", [(tls.argument(host="localhost"), settings(tls, **ca)), (grpc_tls.argument(host="localhost"), settings(grpc_tls, **ca)),
                                (plain.argument(), settings(plain)), (direct.argument(), {**PATIENT, "proxy": ""})], windows=2, interval=200, linger=100,
                environment={"http_proxy": f"http://127.0.0.1:{by[direct].port}"})
    feed.finish(150)
    profile = stored("store-proxy")
    for sink in (tls, grpc_tls, plain, direct):
        same_as_store(sink, profile)
    assert all(line.startswith("CONNECT localhost:") for line in by[tls].tunnels + by[grpc_tls].tunnels) and by[tls].tunnels and by[grpc_tls].tunnels
    assert by[plain].tunnels and by[plain].tunnels[0].startswith("POST http://127.0.0.1"), by[plain].tunnels
    assert not by[direct].tunnels


@test("OTLP's partial success is counted, and the window is not sent again")
def _():
    sinks = [Sink("otlp_http"), Sink("otlp_grpc")]
    for sink in sinks:
        sink.partial = (2, "two were bad")
    feed = Feed("store-partial", [(sink.argument(), PATIENT) for sink in sinks], windows=2, interval=200, linger=100)
    assert feed.finish(150)
    for number, sink in enumerate(sinks):
        assert len(sink.received.windows) == 2 and not sink.received.duplicates
        assert feed.status(number)["rejected"] >= 4, feed.status(number)
        assert 1 <= len(feed.events("two were bad")) <= 4, feed.events()


@test("a large window is split for those who have limits")
def _():
    sinks = [Sink(kind) for kind in ("pyroscope", "otlp_grpc")]
    feed = Feed("store-large", [(sink.argument(), PATIENT) for sink in sinks], windows=1, linger=120, processes=1, stacks=52000, depth=8, name_bytes=250)
    feed.finish(150)
    profile = stored("store-large")
    assert len(profile.samples) > 16000 and profile.uncompressed_bytes > 2 << 20, (len(profile.samples), profile.uncompressed_bytes)
    for number, sink in enumerate(sinks):
        assert not refusals(sink), (sink.kind, refusals(sink))
        pruned = feed.status(number)["samples_pruned"]
        assert sink.received.total() + pruned == profile.total("samples/count"), (sink.kind, pruned)
        assert pruned == 0, (sink.kind, feed.status(number))
    print("# measured: requests for a window of", len(profile.samples), "stacks:", {sink.kind: len(sink.received.requests) for sink in sinks})


@test("a server that has a smaller limit than others gets smaller requests")
def _():
    sinks = [Sink("otlp_http"), Sink("otlp_grpc")]
    for sink in sinks:
        sink.limits.message_bytes = 150000
    feed = Feed("store-small", [(sink.argument(), PATIENT) for sink in sinks], windows=2, interval=300, linger=120, processes=20, stacks=900)
    assert feed.finish(150), feed.lines[-5:]
    profile = stored("store-small")
    for number, sink in enumerate(sinks):
        assert refusals(sink) and all("larger than max" in why for why in refusals(sink)), refusals(sink)
        same_as_store(sink, profile)
        assert feed.status(number)["windows_dropped"] == 0, feed.status(number)
    print("# measured: requests for two windows, refused among them:", [(len(sink.received.requests), len(refusals(sink))) for sink in sinks])


@test("beyond the outbox's budget the oldest windows are passed over, and counted")
def _():
    sink = Sink("pyroscope")
    proxy = Proxy(sink.port, "refuse")
    feed = Feed("store-outbox", [(sink.argument(proxy.port), PATIENT)], windows=60, interval=30, linger=120, outbox_bytes=40000, pace=10, processes=20, stacks=300)
    wait_for(lambda: len(feed.of("append")) == 60, 100, "60 windows")
    proxy.set("pass")
    assert feed.finish(150), feed.lines[-5:]
    times = [line["time_ns"] for line in feed.lines if "append" in line]
    dropped = feed.of("stats")[-1]["outbox"][0]["dropped"]
    # One was in the hands of what uploads when it was passed over, and arrives nevertheless.
    order = sink.received.order
    assert 0 < dropped < 60 and order[-(60 - dropped):] == times[dropped:] and len(order) <= 61 - dropped and sink.received.in_order(), (dropped, len(order))
    print(f"# measured: {60 - dropped} of 60 windows fitted the budget")


@test("rules drop, a limit of series folds: what is not sent is counted")
def _():
    dropping, folding = Sink("pyroscope"), Sink("pyroscope")
    feed = Feed("store-rules", [(dropping.argument(), PATIENT)], windows=2, interval=200, linger=100, rule="drop,service_name,container.*")
    assert feed.finish(150)
    profile, status = stored("store-rules"), feed.status()
    kept = sum(sample.values[0] for sample in profile.samples if "container" not in sample.labels)
    assert dropping.received.total() == kept == status["samples_sent"] and kept, (dropping.received.total(), kept, status)
    assert status["samples_relabelled"] == profile.total("samples/count") - kept, status
    feed = Feed("store-series", [(folding.argument(), {**PATIENT, "series_max": "4"})], windows=2, interval=200, linger=100)
    assert feed.finish(150)
    same_as_store(folding, stored("store-series"))
    services = {labels["service_name"] for labels, _ in folding.received.series()}
    assert "other" in services and feed.status()["series_folded"], (services, feed.status())
    for window in folding.received.windows.values():
        assert len(window["series"]) <= 5, list(window["series"])


@test("killed, what uploads is started again and goes on; a clean stop takes no time")
def _():
    sink = Sink("pyroscope")
    feed = Feed("store-killed", [(sink.argument(), PATIENT)], windows=2, interval=100, stay=1)
    wait_for(lambda: len(sink.received.windows) >= 2, 60, "the first windows")
    os.kill(feed.upload_pid, 9)
    feed.more(4)
    wait_for(feed.all_marked, 100, "all windows")
    feed.stop()
    assert len(feed.of("upload_pid")) == 2 and len(feed.of("upload_ended")) == 1, feed.lines
    same_as_store(sink, stored("store-killed"))
    assert sink.received.in_order()
    # It waits for no answer: a server has half a minute for one.
    assert feed.of("stop_ms")[-1] < 15000 and feed.of("end")[-1] == 0, feed.lines[-3:]
    # And with a server that does not answer.
    mute = Sink("pyroscope")
    mute.server.fault_always = Fault("mute")
    feed = Feed("store-mute", [(mute.argument(), {})], windows=1, stay=1)
    wait_for(lambda: mute.server.accepted, 60, "a request")
    feed.stop()
    assert feed.of("stop_ms")[-1] < 15000 and feed.of("end")[-1] == 0, feed.lines[-3:]


run(needs_root=False, at_once=16)
