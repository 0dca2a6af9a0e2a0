#!/usr/bin/python3
"""Shaped windows, read by code that shares nothing with what wrote them: the decoders of the test servers, and `go tool pprof`."""
import collections
import glob
import gzip
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import generated
import otlp
import pprof
import receivers
from harness import REPO, go_pprof, run, test

SHAPE = os.environ.get("SHAPE", os.path.join(REPO, "build", "tests", "upload", "shape"))
KINDS = {"pyroscope": receivers.pyroscope, "parca": receivers.parca, "otlp": otlp.receive, "otlp-grpc": otlp.receive, "http": receivers.plain}
LABELS = {"host": "node-1", "kernel": "6.1.0", "env": "prod & test=100% ä"}
PLAIN = "random:1:800:40:40:40"


class Shaped:
    def __init__(self, kind, profile, *options, labels=LABELS):
        folder = tempfile.mkdtemp(dir=".")
        pairs = [f"{name}={value}" for name, value in labels.items()]
        done = subprocess.run([SHAPE, kind, profile, folder, *options, *pairs], capture_output=True, text=True, check=True, timeout=60)
        self.counts = {name: int(value) for name, value in (line.split("=") for line in done.stdout.splitlines())}
        self.bodies = [open(path, "rb").read() for path in sorted(glob.glob(f"{folder}/*.body"))]
        self.queries = [open(path).read() for path in sorted(glob.glob(f"{folder}/*.query"))]
        shutil.rmtree(folder)


def original(profile):
    """{folded stack: [count, CPU time]} of the window itself."""
    sums = collections.defaultdict(lambda: [0, 0])
    for sample in decoded_original(profile).samples:
        for i, value in enumerate(sample.values):
            sums[";".join(sample.stack)][i] += value
    return sums


def decoded_original(profile):
    return pprof.decode(Shaped("pprof", profile, labels={}).bodies[0])


def parts_of(kind, shaped, limits=None):
    parts = []
    for body in shaped.bodies:
        parts += KINDS[kind](body, limits or receivers.Limits())
    return parts


def total(parts, kind):
    return sum(sum(part.stacks.values()) for part in parts if part.kind == kind)


def by_stack(parts, kind):
    sums = collections.Counter()
    for part in parts:
        if part.kind == kind:
            sums.update(part.stacks)
    return sums


def profiles(kind, shaped):
    """(labels, profile as bytes) of each embedded pprof."""
    for body in shaped.bodies:
        if kind == "http":
            yield {}, body
            continue
        request = (generated.pyroscope.PushRequest if kind == "pyroscope" else generated.parca.WriteRawRequest).FromString(body)
        for series in request.series:
            pairs = series.labels if kind == "pyroscope" else series.labels.labels
            for raw in series.samples:
                yield {pair.name.decode(): pair.value.decode() for pair in pairs}, raw.raw_profile


@test("every kind: what strict servers take adds up to the window, stack by stack")
def _():
    for profile in (PLAIN, PLAIN + ":odd", "random:2:1:1:1:0"):
        window = {stack: values for stack, values in original(profile).items()}
        for kind in KINDS:
            shaped = Shaped(kind, profile)
            parts = parts_of(kind, shaped)
            assert shaped.counts["samples"] == shaped.counts["total_samples"] == total(parts, "samples/count"), (kind, shaped.counts)
            cpu = total(parts, "cpu/nanoseconds")
            assert cpu == shaped.counts["total_cpu"] or (not cpu and kind != "pyroscope" and "odd" not in profile), (kind, cpu)
            # Where servers name addresses, names are not what they were.
            got = by_stack(parts, "samples/count")
            assert kind != "http" or got == {stack: values[0] for stack, values in window.items()}
            named = {stack: values[0] for stack, values in window.items() if "[" not in stack}
            assert {stack: count for stack, count in got.items() if "[" not in stack} == named, kind


@test("random windows and limits: below each limit, and nothing is lost that is not counted")
def _():
    source = random.Random(7)
    for _ in range(8):
        profile = f"random:{source.randrange(1000)}:{source.randrange(1, 800)}:{source.randrange(1, 60)}:{source.randrange(1, 100)}:" \
                  f"{source.choice((0, 100, 3000))}{source.choice(('', ':odd'))}"
        limits = {"series_max": source.choice((0, 1, 3, 40)), "request_bytes_max": source.choice((0, 3000, 50000)),
                  "samples_max": source.choice((0, 1, 50)), "window_bytes_max": source.choice((0, 0, 100000)), "strip_symbols": source.randrange(2)}
        for kind in KINDS:
            shaped = Shaped(kind, profile, *(f"{name}={value}" for name, value in limits.items()))
            counts = shaped.counts
            strict = receivers.Limits(profile_bytes=limits["request_bytes_max"] or 4 << 20, message_bytes=limits["request_bytes_max"] or 4 << 20,
                                      samples=limits["samples_max"] or 16000)
            parts = parts_of(kind, shaped, strict)
            why = (kind, profile, limits, counts)
            assert total(parts, "samples/count") == counts["samples"], why
            assert counts["samples"] + counts["dropped"] + counts["pruned"] == counts["total_samples"], why
            assert not limits["series_max"] or counts["series"] <= limits["series_max"], why
            if kind in ("pyroscope", "parca") and limits["request_bytes_max"]:
                for body in shaped.bodies:
                    one = Shaped.__new__(Shaped)
                    one.bodies = [body]
                    plain = sum(len(gzip.decompress(raw)) + sum(map(len, labels)) + sum(map(len, labels.values())) for labels, raw in profiles(kind, one))
                    assert plain <= limits["request_bytes_max"], why


@test("Pyroscope: a series for each service, no string labels on samples, pid and tid as numbers")
def _():
    shaped = Shaped("pyroscope", PLAIN)
    expected = collections.Counter()
    for sample in decoded_original(PLAIN).samples:
        labels = sample.labels
        service = labels.get("service") or labels.get("container") or labels.get("unit") or \
            os.path.basename(labels.get("executable", "")) or labels["process"]
        expected[service] += sample.values[0]
    got = collections.Counter()
    for labels, raw in profiles("pyroscope", shaped):
        profile = pprof.decode(raw)
        got[labels["service_name"]] += profile.total("samples/count")
        assert labels["__name__"] == "process_cpu" and LABELS.items() <= labels.items(), labels
        assert not set(labels) & {"process", "thread", "executable", "cgroup", "container_id", "service"}, labels
        assert list(labels) == sorted(labels), labels
        assert profile.types == ["samples/count", "cpu/nanoseconds"] and profile.default_type == "cpu" and profile.duration_ns == 10**10
        for sample in profile.samples:
            assert not sample.labels and set(sample.numbers) == {"pid", "tid"}, sample
    assert got == expected


@test("Pyroscope: a window of 16,001 stacks and 4 MiB is split")
def _():
    shaped = Shaped("pyroscope", "random:3:40000:1:6:0", "request_bytes_max=100000000")
    sizes = [len(pprof.decode(raw).samples) for _, raw in profiles("pyroscope", shaped)]
    assert max(sizes) == 16000 and len(shaped.bodies) == 1 and len(sizes) == 3, sizes
    shaped = Shaped("pyroscope", "random:3:25000:10:100:0")
    assert len(shaped.bodies) > 1
    for body in shaped.bodies:
        one = Shaped.__new__(Shaped)
        one.bodies = [body]
        assert sum(len(gzip.decompress(raw)) for _, raw in profiles("pyroscope", one)) < 2 << 20
    assert total(parts_of("pyroscope", shaped), "samples/count") == shaped.counts["total_samples"]


@test("Parca: a series for each label set, addresses for the server to name, names for the rest")
def _():
    for strip in (0, 1):
        shaped = Shaped("parca", PLAIN, f"strip_symbols={strip}")
        seen = set()
        kinds = collections.Counter()
        for body in shaped.bodies:
            assert generated.parca.WriteRawRequest.FromString(body).normalized
        for labels, raw in profiles("parca", shaped):
            assert labels["__name__"] == "parca_agent" and labels["node"] == "node-1" and labels["process"] and labels["thread"], labels
            key = tuple(labels.items())
            assert key not in seen, "two series of one label set"
            seen.add(key)
            profile = pprof.decode(raw)
            assert profile.types == ["samples/count"] and profile.period_type == "cpu/nanoseconds" and not any(s.labels for s in profile.samples)
            strings = profile.message.string_table
            mappings = {mapping.id: mapping for mapping in profile.message.mapping}
            for location in profile.message.location:
                mapping = mappings[location.mapping_id]
                assert mapping.memory_start == mapping.memory_limit == mapping.file_offset == 0
                is_file = strings[mapping.build_id] != b""
                kinds["named" if location.line else "address"] += 1
                assert location.line or (is_file and location.address >= 0x1000)
                assert not (strip and is_file and location.line)
        assert kinds["named"] > 100 and kinds["address"] > 100, kinds


@test("OTLP: attributes of processes, samples, mappings and frames; ids that are the same each time")
def _():
    first, again = Shaped("otlp", PLAIN), Shaped("otlp", PLAIN)
    assert first.bodies == again.bodies
    request = generated.otlp.ExportProfilesServiceRequest.FromString(first.bodies[0])
    strings = [item.decode() for item in request.dictionary.string_table]
    attributes = [(strings[entry.key_strindex], entry.value) for entry in request.dictionary.attribute_table]
    ids, pids = set(), set()
    for of_resource in request.resource_profiles:
        resource = otlp._attributes(of_resource.resource.attributes)
        assert {"process.pid", "process.executable.name", "service.name", "host.name"} <= set(resource), resource
        assert ("process.executable.path" in resource) == (resource["process.pid"] % 5 != 4), resource
        assert ("container.id" in resource) == ("k8s.pod.name" in resource) == ("k8s.container.name" in resource), resource
        assert resource["host.name"] == "node-1" and resource["env"] == LABELS["env"]
        pids.add(resource["process.pid"])
        (scope,) = of_resource.scope_profiles
        assert scope.scope.name == b"hearth" and scope.scope.version
        (profile,) = scope.profiles
        ids.add(profile.profile_id)
        assert profile.time_unix_nano == 1700000000000000001 and profile.duration_nano == 10**10
        for sample in profile.samples:
            keys = {attributes[index][0] for index in sample.attribute_indices}
            assert keys == {"thread.name", "thread.id"}, keys
    assert len(ids) == len(pids) == len(request.resource_profiles) == 40
    frames = collections.Counter()
    for location in request.dictionary.location_table:
        frames.update(attributes[index][1].string_value for index in location.attribute_indices)
    assert set(frames) >= {b"kernel", b"native", b"go", b"rust"}, frames
    for mapping in request.dictionary.mapping_table[1:]:
        keys = [attributes[index][0] for index in mapping.attribute_indices]
        assert keys == (["process.executable.build_id.gnu"] if keys else []), keys


@test("OTLP: parts below a limit have dictionaries of their own")
def _():
    shaped = Shaped("otlp", PLAIN, "request_bytes_max=30000")
    assert len(shaped.bodies) > 5
    parts = parts_of("otlp", shaped, receivers.Limits(message_bytes=30000))
    assert total(parts, "samples/count") == shaped.counts["total_samples"]
    ids = [profile.profile_id for body in shaped.bodies for of_resource in generated.otlp.ExportProfilesServiceRequest.FromString(body).resource_profiles
           for scope in of_resource.scope_profiles for profile in scope.profiles]
    assert len(set(ids)) == len(ids)


@test("HTTP: the window itself, and the sink's labels in the URL")
def _():
    shaped = Shaped("http", PLAIN)
    assert len(shaped.bodies) == 1 and re.fullmatch(r"\?[A-Za-z0-9._~%&=-]*", shaped.queries[0]), shaped.queries
    assert dict(urllib.parse.parse_qsl(shaped.queries[0][1:])) == LABELS
    ours, window = pprof.decode(shaped.bodies[0]), decoded_original(PLAIN)

    def flat(profile):
        sums = collections.Counter()
        for sample in profile.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "service"}
            sums[(sample.stack, tuple(sorted(labels.items())), tuple(sorted(sample.numbers.items())))] += sample.values[1]
        return sums
    assert flat(ours) == flat(window)
    assert all(sample.labels["service"] for sample in ours.samples)
    assert ours.comments == window.comments and ours.period == window.period and ours.time_ns == window.time_ns


@test("go tool pprof reads what is embedded")
def _():
    for kind in ("pyroscope", "parca", "http"):
        labels, raw = max(profiles(kind, Shaped(kind, PLAIN)), key=lambda item: len(item[1]))
        with open("one.pb.gz", "wb") as file:
            file.write(raw)
        top = go_pprof("-symbolize=none", "-top", "-sample_index=samples", "one.pb.gz")
        assert "flat%" in top, top
        ours = pprof.decode(raw)
        assert f"of {ours.total('samples/count')} total" in top or f"accounting for {ours.total('samples/count')}" in top \
            or re.search(r"% of (\d+) total", top).group(1) == str(ours.total("samples/count")), (labels, top[:300])
        listed = go_pprof("-symbolize=none", "-raw", "one.pb.gz")
        assert "Locations" in listed and "Mappings" in listed, listed


if "SHAPE" not in os.environ:
    subprocess.run(["make", "-s", "-C", REPO, os.path.relpath(SHAPE, REPO)], check=True)
run(needs_root=False)
