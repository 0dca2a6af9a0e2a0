#!/usr/bin/python3
"""The test servers themselves: they take what is right and refuse what is wrong, over each transport, and the proxy spoils what it says."""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import certificates
import generated
import otlp
import pprof
import receivers
import samples
from generated import Refused
from harness import run, test
from proxy import Proxy
from sinks import DEBUGINFO, PATHS, Sink, grpc_frame
from web import Fault, Response


def refused(function, body, why, **limits):
    try:
        function(body, receivers.Limits(**limits))
    except Refused as error:
        assert why in str(error), (why, str(error))
        return
    raise AssertionError(f"taken, but {why}")


def curl(*arguments, body=b"", timeout=100):
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", str(timeout), "--data-binary", "@-", *arguments], input=body, capture_output=True,
                          timeout=timeout + 10)
    return done.returncode, done.stdout, done.stderr.decode()


def post(sink, body, *arguments, path=None, port=None, **options):
    path = PATHS.get(sink.kind, "/") if path is None else path
    kind = {"pyroscope": "application/proto", "otlp_http": "application/x-protobuf", "http": "application/octet-stream"}.get(
        sink.kind, "application/grpc+proto")
    version = ["--http2-prior-knowledge", "-H", "te: trailers"] if sink.grpc else []
    return curl(*version, "-D", "-", "-H", f"Content-Type: {kind}", *arguments, f"http://127.0.0.1:{port or sink.port}{path}", body=body, **options)


@test("pprof: what is decoded is what was written")
def _():
    profile = pprof.decode(samples.packed(samples.profile(unnamed=True)))
    assert profile.by_stack("samples/count") == {"main;work": 3, "main;read": 3, "[app+0x1234]": 3}, profile.by_stack("samples/count")
    assert profile.total("cpu/nanoseconds") == 9 * (10**9 // 19)
    assert profile.samples[0].numbers == {"pid": 77}


@test("pprof: damaged ones are refused")
def _():
    def spoiled(spoil, why):
        message = samples.profile()
        spoil(message)
        refused(lambda body, _: pprof.decode(body), message.SerializeToString(), why)
    good = samples.packed(samples.profile())
    refused(lambda body, _: pprof.decode(body), good[:-3], "cut off")
    refused(lambda body, _: pprof.decode(body), b"\xff\xff", "not a valid message")
    refused(lambda body, _: pprof.decode(body), samples.profile().SerializeToString() + b"\xa2\x06\x01x", "unknown fields")
    spoiled(lambda m: m.sample[0].location_id.append(99), "no location 99")
    spoiled(lambda m: setattr(m.location[0], "mapping_id", 9), "no mapping 9")
    spoiled(lambda m: setattr(m.location[1], "id", 1), "its id is 1")
    spoiled(lambda m: setattr(m.location[0].line[0], "function_id", 9), "no function 9")
    spoiled(lambda m: setattr(m.function[0], "name", 99), "no string 99")
    spoiled(lambda m: m.string_table.append(b"main"), "duplicates")
    spoiled(lambda m: m.string_table.append(b"\xff"), "not valid UTF-8")
    spoiled(lambda m: m.sample[0].value.append(1), "3 values for 2 types")
    spoiled(lambda m: m.sample[0].label.add(key=m.sample[0].label[0].key, num=3), "comes twice")


@test("Pyroscope: the documented limits")
def _():
    assert sum(part.stacks["main;work"] for part in receivers.pyroscope(samples.push()) if part.kind == "samples/count") == 3
    name = ("__name__", "process_cpu")

    def bad(why, *labels, profiles=None, **limits):
        refused(receivers.pyroscope, samples.push((name, *labels), profiles), why, **limits)
    refused(receivers.pyroscope, samples.push((("service_name", "a"),)), "no __name__")
    refused(receivers.pyroscope, b"", "no series")
    bad("invalid label name", ("a-b", "x"))
    bad("duplicate label name", ("a", "x"), ("a", "y"))
    bad("not valid UTF-8", ("a", b"\xff"))
    bad("31 label names", *[(f"l{i}", "x") for i in range(30)])
    bad("too long", ("a", "x" * 2049))
    bad("too long", ("a" * 1025, "x"))
    bad("without a profile", profiles=[])
    bad("no samples", profiles=[samples.profile(stacks=())])
    bad("16001 samples", profiles=[samples.profile([("f",)] * 16001)])
    bad("over 4194304", profiles=[samples.profile([("f" * (1 << 20) + str(i),) for i in range(4)])])
    bad("ingestion window", profiles=[samples.profile(time_ns=time.time_ns() - 3700 * 10**9)], check_clock=True)
    bad("ingestion window", profiles=[samples.profile(time_ns=time.time_ns() + 700 * 10**9)], check_clock=True)
    bad("active series", profiles=[samples.profile(labels=[("a", str(i))]) for i in range(3)], series=2)
    # String labels of samples are labels of series, and count.
    bad("31 label names", *[(f"l{i}", "x") for i in range(28)], profiles=[samples.profile(labels=[("m", "x"), ("n", "y")])])
    series = {part.series["thread"] for part in receivers.pyroscope(samples.push(profiles=[samples.profile(labels=[("thread", "t1")])]))}
    assert series == {"t1"}, series


@test("Parca: labels, times, addresses of what it is to name")
def _():
    assert {part.kind for part in receivers.parca(samples.write_raw())} == {"samples/count", "cpu/nanoseconds"}
    # Labels of samples are ignored.
    parts = receivers.parca(samples.write_raw(profiles=[samples.profile(labels=[("thread", "t1")])]))
    assert all(part.series == {"__name__": "parca_agent", "node": "here"} for part in parts)
    name = ("__name__", "parca_agent")
    refused(receivers.parca, samples.write_raw((name, ("a", "x"), ("a", "x"))), "duplicate label name")
    refused(receivers.parca, samples.write_raw((name, ("a.b", "x"))), "invalid label name")
    for field in ("time_nanos", "duration_nanos", "period"):
        message = samples.profile()
        message.ClearField(field)
        refused(receivers.parca, samples.write_raw(profiles=[message]), "is not set")
    message = samples.profile(unnamed=True)
    receivers.parca(samples.write_raw(profiles=[message]))
    message.mapping[0].memory_start = 0x1000
    refused(receivers.parca, samples.write_raw(profiles=[message]), "would move the address")
    message = samples.profile(unnamed=True)
    message.string_table[message.mapping[0].build_id] = b"not-hex"
    refused(receivers.parca, samples.write_raw(profiles=[message]), "not hex")
    refused(receivers.parca, bytes(2000), "larger than max", parca_bytes=1999)


@test("OTLP: zero entries, no duplicates, indices in range")
def _():
    part, = otlp.receive(samples.export())
    assert part.stacks == {"main;work": 3} and part.series == {"service.name": "app", "thread.name": "worker"}, part

    def bad(why, spoil, **limits):
        refused(otlp.receive, samples.export(spoil=spoil), why, **limits)
    profile_of = lambda m: m.resource_profiles[0].scope_profiles[0].profiles[0]
    bad("not empty", lambda m: m.dictionary.string_table.__setitem__(0, b"x"))
    bad("duplicates", lambda m: m.dictionary.string_table.append(b"main"))
    bad("string_table[0]", lambda m: m.ClearField("dictionary"))
    bad("entry 0 is missing", lambda m: m.dictionary.ClearField("link_table"))
    bad("16 and 8 bytes", lambda m: m.dictionary.link_table[0].Clear())
    bad("not the zero value", lambda m: setattr(m.dictionary.mapping_table[0], "memory_start", 1))
    bad("function_table: duplicates", lambda m: m.dictionary.function_table.append(m.dictionary.function_table[1]))
    bad("stack_table: duplicates", lambda m: m.dictionary.stack_table.append(m.dictionary.stack_table[1]))
    bad("no entry 77 in location_table", lambda m: m.dictionary.stack_table[1].location_indices.append(77))
    bad("no entry -1 in string_table", lambda m: setattr(m.dictionary.function_table[1], "name_strindex", -1))
    bad("no entry 9 in attribute_table", lambda m: profile_of(m).samples[0].attribute_indices.append(9))
    bad("no entry 9 in stack_table", lambda m: setattr(profile_of(m).samples[0], "stack_index", 9))
    bad("one identity", lambda m: profile_of(m).samples.append(profile_of(m).samples[0]))
    bad("not 16 bytes", lambda m: setattr(profile_of(m), "profile_id", b"x"))
    bad("sample_type is not set", lambda m: profile_of(m).ClearField("sample_type"))
    bad("is not set", lambda m: profile_of(m).ClearField("duration_nano"))
    bad("larger than max", None, message_bytes=100)


@test("HTTP: kinds of servers answer as their kind does")
def _():
    sink = Sink("pyroscope")
    status, out, err = post(sink, samples.push())
    assert status == 0 and out.startswith(b"HTTP/1.1 200") and sink.received.total() == 6, (out, err, sink.received.listing())
    status, out, err = post(sink, b"junk")
    assert out.startswith(b"HTTP/1.1 400") and b'"code":"invalid_argument"' in out, out
    assert b"404" in post(sink, samples.push(), path="/push")[1]
    assert b"415" in post(sink, samples.push(), "-H", "Content-Type: text/plain")[1]
    # gzip around the message, and a body that asks before it comes.
    import gzip
    big = samples.push(profiles=[samples.profile([("f" * 30000 + str(i),) for i in range(60)]).SerializeToString()])
    status, out, err = post(sink, big, "-H", "Expect: 100-continue")
    assert b"HTTP/1.1 100" in out and b"HTTP/1.1 200" in out, (out, err)
    assert b" 200 " in post(sink, gzip.compress(samples.push()), "-H", "Content-Encoding: gzip")[1]
    status, out, err = curl("-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/proto", "-D", "-", sink.url() + PATHS["pyroscope"],
                            body=samples.push())
    assert b" 200 " in out, out
    sink.bearer, sink.tenant = "secret", "team"
    assert b" 401 " in post(sink, samples.push())[1]
    assert b" 200 " in post(sink, samples.push(), "-H", "Authorization: Bearer secret", "-H", "X-Scope-OrgID: team")[1]
    http = Sink("http")
    assert b" 200 " in post(http, samples.packed(samples.profile()), path="/in?service=app&host=h")[1]
    assert http.received.series()[0][0]["service"] == "app"
    assert b" 400 " in post(http, b"not a profile")[1]


@test("OTLP over HTTP and gRPC: partial success, limits, errors")
def _():
    sink = Sink("otlp_http")
    sink.partial = (1, "one is bad")
    status, out, err = post(sink, samples.export())
    answer = generated.otlp.ExportProfilesServiceResponse.FromString(out.split(b"\r\n\r\n", 1)[1])
    assert answer.partial_success.rejected_profiles == 1 and sink.received.total() == 3
    sink.limits.message_bytes = 100
    assert b" 413 " in post(sink, samples.export())[1]
    grpc = Sink("otlp_grpc")
    status, out, err = post(grpc, grpc_frame(samples.export()))
    assert status == 0 and b"grpc-status: 0" in out, (out, err)
    import gzip
    packed = b"\1" + grpc_frame(gzip.compress(samples.export()))[1:]
    assert b"grpc-status: 3" in post(grpc, packed)[1]
    assert b"grpc-status: 0" in post(grpc, packed, "-H", "grpc-encoding: gzip")[1]
    grpc.limits.message_bytes = 100
    assert b"grpc-status: 8" in post(grpc, grpc_frame(samples.export()))[1]
    assert b"grpc-status: 12" in post(grpc, grpc_frame(b""), path="/x")[1]


@test("gRPC: trailers over h2c and TLS; frames that are wrong")
def _():
    sink = Sink("parca")
    status, out, err = post(sink, grpc_frame(samples.write_raw()))
    assert status == 0 and b"HTTP/2 200" in out and b"grpc-status: 0" in out and sink.received.total() == 6, (out, err)
    assert b"grpc-status: 3" in post(sink, grpc_frame(samples.write_raw()) + b"x")[1]
    assert b"grpc-status: 3" in post(sink, b"\1" + grpc_frame(samples.write_raw())[1:])[1]
    assert b"505" in curl("-D", "-", "-H", "Content-Type: application/grpc", sink.url() + PATHS["parca"], body=b"")[1]
    made = certificates.make("certificates")
    tls = Sink("parca", certificate=made["good"], client_ca=made["ca"][0])
    arguments = ("-D", "-", "-H", "Content-Type: application/grpc", "-H", "te: trailers", "--cacert", made["ca"][0])
    client = ("--cert", made["client"][0], "--key", made["client"][1])
    status, out, err = curl(*arguments, *client, tls.url("localhost") + PATHS["parca"], body=grpc_frame(samples.write_raw()))
    assert b"HTTP/2 200" in out and b"grpc-status: 0" in out, (out, err)
    assert tls.received.requests[0]["client"] == "client"
    assert curl(*arguments, tls.url("localhost") + PATHS["parca"])[0] != 0  # no client certificate
    for name in ("expired", "other_host", "stranger"):
        bad = Sink("parca", certificate=made[name])
        status, out, err = curl(*arguments, bad.url("localhost") + PATHS["parca"])
        assert status == 60, (name, status, err)
    # A message larger than any window of flow control.
    big = samples.write_raw(profiles=[samples.profile([("f" * 100000 + str(i),) for i in range(200)]).SerializeToString()])
    assert len(big) > 1 << 24
    status, out, err = post(sink, grpc_frame(big))
    assert b"grpc-status: 0" in out, (out[:300], err)


@test("Parca's debug info: once, in its order, whole")
def _():
    sink = Sink("parca")
    types = generated.parca
    build_id, elf = b"ab" * 20, b"\x7fELF" + bytes(100000)

    def call(name, *messages):
        status, out, err = post(sink, b"".join(grpc_frame(message.SerializeToString()) for message in messages), path=DEBUGINFO + name)
        return out
    ask = types.ShouldInitiateUploadRequest(build_id=build_id)
    assert b"wanted" in call("ShouldInitiateUpload", ask)
    info = types.UploadRequest(info=types.UploadInfo(build_id=build_id, upload_id=b"upload-" + build_id))
    chunks = [types.UploadRequest(chunk_data=elf[at:at + 30000]) for at in range(0, len(elf), 30000)]
    assert b"grpc-status: 3" in call("Upload", info, *chunks)  # not initiated
    assert b"upload-" + build_id in call("InitiateUpload", types.InitiateUploadRequest(build_id=build_id, size=len(elf)))
    assert b"grpc-status: 3" in call("MarkUploadFinished", types.MarkUploadFinishedRequest(build_id=build_id))
    assert b"grpc-status: 3" in call("Upload", info, *chunks[:-1])
    assert b"grpc-status: 0" in call("Upload", info, *chunks)
    assert b"grpc-status: 0" in call("MarkUploadFinished", types.MarkUploadFinishedRequest(build_id=build_id))
    assert b"exists already" in call("ShouldInitiateUpload", ask)
    assert b"grpc-status: 3" in call("ShouldInitiateUpload", types.ShouldInitiateUploadRequest(build_id=b"../../etc"))
    assert sink.debuginfo.files[build_id.decode()][0] == elf


@test("what arrived is added up, duplicates apart, in its order")
def _():
    sink = Sink("pyroscope")
    first, second = (samples.push(profiles=[samples.profile(time_ns=1700000000000000000 + i * 10**10)]) for i in range(2))
    for body in (first, second, first):
        post(sink, body)
    listing = sink.received.listing()
    assert len(listing["windows"]) == 2 and listing["duplicates"] == 2 and listing["in_order"] and sink.received.total() == 12, listing
    assert sink.received.by_stack() == {"main;work": 6, "main;read": 6}
    post(sink, samples.push(profiles=[samples.profile(time_ns=1600000000000000000)]))
    assert not sink.received.in_order()
    status, out, err = curl("-G", sink.url() + "/debug/received")
    assert b'"in_order": false' in out, out


@test("faults: of HTTP/1.1")
def _():
    sink = Sink("pyroscope")

    def spoiled(fault, seconds=100):
        sink.server.faults.append(fault)
        begin = time.monotonic()
        status, out, err = post(sink, samples.push(), timeout=seconds)
        return status, out, time.monotonic() - begin
    assert b"429" in spoiled(Fault("status", Response(429, [("Retry-After", "7")])))[1]
    assert spoiled(Fault("mute"), 2)[0] == 28
    assert spoiled(Fault("reset"))[0] in (52, 56)
    assert spoiled(Fault("half"))[0] == 18
    assert spoiled(Fault("endless"), 2)[0] == 28
    assert spoiled(Fault("slow"), 2)[0] == 28
    assert spoiled(Fault("garbage"))[0] in (1, 8, 56)
    assert spoiled(Fault("huge_headers"))[0] in (27, 56, 28)
    spoiled(Fault("flood_1xx"), 2)
    assert sink.received.total() == 0
    assert spoiled(Fault("reset", taken=True))[0] in (52, 56) and sink.received.total() == 6
    assert spoiled(Fault("delay", seconds=1))[2] > 1
    sink.server.fault_always = Fault("status", Response(503))
    assert b"503" in post(sink, samples.push())[1]


@test("faults: of HTTP/2")
def _():
    sink = Sink("parca")

    def spoiled(fault, seconds=100):
        sink.server.faults.append(fault)
        return post(sink, grpc_frame(samples.write_raw()), timeout=seconds)
    assert spoiled(Fault("goaway"))[0] in (16, 56, 92)
    assert spoiled(Fault("rst_stream"))[0] == 92
    assert spoiled(Fault("mute"), 2)[0] == 28
    answer = spoiled(Fault("reset"))
    assert answer[0] in (16, 55, 56, 92), answer
    assert spoiled(Fault("endless"), 2)[0] == 28
    assert spoiled(Fault("half"))[0] in (16, 18, 56, 92)
    assert spoiled(Fault("garbage"))[0] != 0
    assert spoiled(Fault("huge_headers"))[0] != 0
    status, out, err = spoiled(Fault("no_trailers"))
    assert status == 0 and b"grpc-status" not in out and sink.received.total() == 6, (out, err)
    assert b"HTTP/2 503" in spoiled(Fault("status", Response(503)))[1]


@test("the proxy does what its mode says")
def _():
    sink = Sink("pyroscope")
    proxy = Proxy(sink.port)

    def through(mode, seconds=100, **settings):
        proxy.set(mode, **settings)
        return post(sink, samples.push(profiles=[samples.profile([("f" * 2000 + str(i),) for i in range(10)]).SerializeToString()]), port=proxy.port,
                    timeout=seconds)
    assert b" 200 " in through("pass")[1]
    assert through("refuse")[0] == 7
    status = through("accept_reset")
    assert status[0] in (7, 35, 52, 55, 56), status
    assert through("reset_request", after=500)[0] in (52, 55, 56)
    taken = len(sink.received.requests)
    assert through("reset_reply", after=10)[0] in (52, 56) and len(sink.received.requests) == taken + 1
    for mode in ("black_hole", "swallow"):
        assert through(mode, 2)[0] == 28, mode
    assert through("slow_reply", 2, rate=20)[0] == 28
    assert through("slow_reader", 2, rate=1000)[0] == 28
    through("half_close", 2, after=20)
    assert through("half_close", after=0)[0] in (1, 8, 52, 56)
    assert through("garbage")[0] in (1, 8, 56, 52)
    assert b" 418 " in through("bytes", data=b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")[1]
    proxy.set("connect")
    status, out, err = subprocess_curl_by_proxy(proxy, sink)
    assert b" 200 " in out and proxy.tunnels[-1].startswith("POST http://"), (out, err, proxy.tunnels)
    proxy.set("pass")
    assert b" 200 " in through("pass")[1]


def subprocess_curl_by_proxy(proxy, sink):
    done = subprocess.run(["curl", "-sS", "--max-time", "100", "-x", f"http://127.0.0.1:{proxy.port}", "-D", "-", "-H", "Content-Type: application/proto",
                           "--data-binary", "@-", sink.url() + PATHS["pyroscope"]], input=samples.push(), capture_output=True,
                          env={**os.environ, "no_proxy": "", "NO_PROXY": ""})
    return done.returncode, done.stdout, done.stderr


run(needs_root=False, at_once=4)
