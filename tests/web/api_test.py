#!/usr/bin/python3
"""Answers of the JSON API and of Pyroscope's query API, read by code that shares nothing with what wrote them: python3's json and protobuf, and `go tool pprof`.
Builds what it needs below build/tests/web (BUILD=FOLDER: uses what is there). Grafana itself is not here."""
import collections
import gzip
import json
import os
import re
import subprocess
import sys
import urllib.parse
import xml.dom.minidom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system"), os.path.join(os.path.dirname(HERE), "upload")]
import pprof
import querier_messages as messages
from harness import REPO, go_pprof, run, test

BUILD = os.environ.get("BUILD") or os.path.join(REPO, "build")
API_GET = os.path.abspath(os.path.join(BUILD, "tests", "web", "api_get"))
WRITE_STORE = os.path.abspath(os.path.join(BUILD, "tests", "web", "write_store"))
BEGIN_MS, WINDOWS, EVERY_S = 1790000000000, 200, 900
END_MS = BEGIN_MS + WINDOWS * EVERY_S * 1000
CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
SAMPLES = "process_cpu:samples:count:cpu:nanoseconds"
PERIOD = 52631578
SERVICE = "/querier.v1.QuerierService/"


def get(question, body=None, content_type=""):
    """(status, content type, file's name, body)"""
    if not os.path.exists("store"):
        subprocess.run([WRITE_STORE, "store", str(WINDOWS), str(EVERY_S)], check=True, timeout=200)
    done = subprocess.run([API_GET, "-i", "store", question, *([content_type] if content_type else [])], input=body or b"", capture_output=True, timeout=200,
                          env={**os.environ, "API_NOW_MS": str(END_MS), "API_HOST": "node-1"})
    assert done.returncode in (0, 1), done.stderr
    head, _, answer = done.stdout.partition(b"\n")
    status, *kind, name, _ = head.decode().split(" ")
    return int(status), " ".join(kind), name, answer


def ask(path, **parameters):
    pairs = {"from": BEGIN_MS, "to": END_MS, **{key.rstrip("_"): value for key, value in parameters.items()}}
    status, kind, _, body = get(f"/api/v1/{path}?{urllib.parse.urlencode(pairs, doseq=True)}")
    assert status == 200, body
    return json.loads(body) if kind == "application/json" else body


def call(name, request, answer, kind="application/proto"):
    status, content_type, _, body = get(SERVICE + name, request.SerializeToString(), kind)
    assert status == 200 and content_type == "application/proto", (status, body)
    message = getattr(messages, answer).FromString(body)
    size = message.ByteSize()
    message.DiscardUnknownFields()
    assert message.ByteSize() == size, "unknown fields"
    return message


def pairs(labels):
    return {label.name: label.value for label in labels}


def folded():
    """{stack without its process: samples}, from another answer."""
    stacks = collections.Counter()
    for line in ask("export", format="folded").decode().splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[stack.partition(";")[2].replace("_[k]", "")] += int(count)
    return stacks


def stacks_of(graph):
    """{stack: self} of a flame graph, by the places of its nodes alone."""
    levels, stacks = [], collections.Counter()
    for level in graph.levels:
        at, nodes = 0, []
        for i in range(0, len(level.values), 4):
            distance, total, self, name = level.values[i : i + 4]
            assert distance >= 0 and total >= self >= 0
            at += distance
            nodes.append((at, at + total, self, graph.names[name]))
            at += total
        levels.append(nodes)
    for depth, nodes in enumerate(levels):
        for begin, end, self, name in nodes:
            path = [name]
            for above in reversed(levels[:depth]):
                around = [node for node in above if node[0] <= begin and end <= node[1]]
                assert len(around) >= 1, "a node below nothing"
                path.append(around[0][3])
            if self:
                stacks[";".join(reversed(path[:-1]))] += self
    return stacks


@test("totals of all answers are those of the windows")
def _():
    total = WINDOWS * 60 * PERIOD
    flame = ask("flame", max_nodes=200000)
    assert flame["total"] == total == sum(flame["nodes"]["self"]), flame["total"]
    assert flame["windows"] == WINDOWS and flame["left_out"] == 0
    assert sum(row["self"] for row in ask("functions", limit=100000)["functions"]) == total
    assert sum(value["total"] for value in ask("labels")["labels"][0]["values"]) == total
    line = ask("timeline", buckets=100)
    assert sum(sum(series["values"]) for series in line["series"] + [line["other"]]) == total
    assert sum(folded().values()) == WINDOWS * 60


@test("columns of a flame graph are a tree, and the same stacks as the folded file has")
def _():
    flame = ask("flame", max_nodes=200000, first="none", type="samples")
    nodes, path, stacks = flame["nodes"], [], collections.Counter()
    assert len({len(column) for column in nodes.values()}) == 1
    for depth, name, self in zip(nodes["depth"], nodes["name"], nodes["self"]):
        path = path[:depth] + [flame["names"][name]]
        if self:
            stacks[";".join(path[1:])] += self
    assert stacks == folded(), [item for item in stacks.items() if folded()[item[0]] != item[1]][:3]


@test("functions, callers and lines are go tool pprof's on the exported profile")
def _():
    status, kind, name, body = get(f"/api/v1/export?format=pprof&from={BEGIN_MS}&to={END_MS}")
    assert (status, kind, name) == (200, "application/octet-stream", "hearth-node-1-20260921T141320Z-20260923T161320Z.pb.gz"), (status, kind, name)
    open("all.pb.gz", "wb").write(body)
    theirs = {}
    for row in go_pprof("-top", "-symbolize=none", "-nodecount=0", "-nodefraction=0", "-edgefraction=0", "-unit=nanoseconds", "all.pb.gz").splitlines():
        fit = re.match(r"\s*(\d+)(?:ns)?\s+\S+\s+\S+\s+(\d+)(?:ns)?\s+\S+\s+(.*)", row)
        if fit:
            theirs[re.sub(r" \((partial-)?inline\)$", "", fit[3])] = int(fit[1]), int(fit[2])
    ours = {}
    for row in ask("functions", limit=100000)["functions"]:  # one for each module, there are some
        before = ours.get(row["name"], (0, 0))
        ours[row["name"]] = before[0] + row["self"], before[1] + row["total"]
    assert len(ours) > 100 and ours == theirs, [(name, ours.get(name), theirs.get(name)) for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)][:5]
    hottest = ask("functions", limit=1, sort="total")["functions"][0]
    sandwich = ask("sandwich", function=hottest["name"])
    assert sandwich["function_total"] == hottest["total"] and sandwich["self"] == hottest["self"]
    assert sum(line["self"] for line in ask("lines", function=hottest["name"])["lines"]) == hottest["self"]


@test("filters are go tool pprof's")
def _():
    function = ask("functions", limit=1)["functions"][0]["name"].split("::")[-1][:8]
    for name, expression in (("focus", function), ("ignore", function), ("hide", "run_1"), ("show", "run_[0-4]")):
        open("all.pb.gz", "wb").write(get(f"/api/v1/export?format=pprof&from={BEGIN_MS}&to={END_MS}")[3])
        head = go_pprof("-top", "-symbolize=none", f"-{name}={expression}", "-unit=nanoseconds", "all.pb.gz")
        fit = re.search(r"Showing nodes accounting for \S+, \S+ of (\d+)ns total", go_pprof("-top", "-symbolize=none", f"-{name}={expression}", "-nodecount=0", "-nodefraction=0",
                                                                                             "-edgefraction=0", "-relative_percentages", "-unit=nanoseconds", "all.pb.gz"))
        assert fit, head[:400]
        assert ask("flame", **{name: expression})["total"] == int(fit[1]), name


@test("time lines and labels know the same filters as flame graphs")
def _():
    text = ask("functions", limit=1)["functions"][0]["name"].split("::")[-1][:8]
    for filters in ({"focus": text}, {"ignore": text}, {"hide": "run_1"}, {"show": "run_[0-4]"}, {"side": "user"}, {"side": "kernel"}, {"side": "kernel", "focus": text, "hide": "x"},
                    {"show": "vmlinux|kernel"}, {"focus": text, "ignore": "cache", "match": "process:app1"}, {"show": "nothing has this"}, {"hide": "."}):
        total = ask("flame", **filters)["total"]
        line = ask("timeline", buckets=7, **filters)
        assert line["total"] == total == sum(sum(series["values"]) for series in line["series"] + [line["other"]]), (filters, total, line["total"])
        assert ask("labels", **filters)["total"] == total, filters
    assert 0 < ask("timeline", side="kernel")["total"] < ask("timeline")["total"]


@test("every export is what its name says")
def _():
    for form, check in (("folded", lambda body: re.fullmatch(rb"[^\n]+ \d+", body.splitlines()[0])), ("svg", lambda body: b"<svg" in body[:200]),
                        ("text", lambda body: body.startswith(b"time")), ("speedscope", lambda body: "profiles" in json.loads(body)),
                        ("firefox", lambda body: json.loads(body)["threads"])):
        status, _, name, body = get(f"/api/v1/export?format={form}&from={BEGIN_MS}&to={END_MS}")
        assert status == 200 and check(body), (form, body[:200])
    middle = (BEGIN_MS + END_MS) // 2
    for more in ("icicle=1", "first=none", f"base_from={BEGIN_MS}&base_to={middle}"):
        status, _, _, body = get(f"/api/v1/export?format=svg&from={middle}&to={END_MS}&{more}")
        assert status == 200 and xml.dom.minidom.parseString(body) and b"node-1, 2026-09-2" in body, (more, body[:300])
    assert get(f"/api/v1/export?format=folded&from={middle}&to={END_MS}&base_from={BEGIN_MS}&base_to={middle}")[0] == 400


@test("a comparison of a range with itself, and of two halves")
def _():
    same = ask("diff", base_from=BEGIN_MS, base_to=END_MS)
    assert same["nodes"]["total"] == same["nodes"]["base_total"] and same["total"] == same["base_total"]
    middle = (BEGIN_MS + END_MS) // 2
    halves = ask("diff", from_=middle, base_from=BEGIN_MS, base_to=middle, max_nodes=200000)
    assert halves["total"] + halves["base_total"] == WINDOWS * 60 * PERIOD
    assert sum(halves["nodes"]["self"]) == halves["total"] and sum(halves["nodes"]["base_self"]) == halves["base_total"]


@test("without memory there is a sentence, and no crash")
def _():
    get("/api/v1/status")
    said = collections.Counter()
    for mib in range(10, 26):
        for question in ("flame", "labels?focus=a", "timeline?by=pid", "functions", "export?format=pprof", f"diff?base_from={BEGIN_MS}&base_to={END_MS}"):
            question = f"/api/v1/{question}{'&' if '?' in question else '?'}from={BEGIN_MS}&to={END_MS}"
            done = subprocess.run(["prlimit", f"--as={mib << 20}", API_GET, "-i", "store", question], capture_output=True, timeout=200, env={**os.environ, "API_NOW_MS": str(END_MS)})
            assert done.returncode >= 0, (mib, question, done)
            head, _, body = done.stdout.partition(b"\n")
            if head.startswith(b"503"):
                assert "memory" in json.loads(body)["error"], body
            said[head[:3]] += 1
    assert said[b"200"] and said[b"503"], said


@test("Pyroscope: profile types, labels and series")
def _():
    types = call("ProfileTypes", messages.ProfileTypesRequest(start=BEGIN_MS, end=END_MS), "ProfileTypesResponse").profile_types
    assert [t.ID for t in types] == [SAMPLES, CPU] and types[1].name == "process_cpu" and types[1].sample_unit == "nanoseconds"
    names = call("LabelNames", messages.LabelNamesRequest(matchers=["{}"], start=BEGIN_MS, end=END_MS), "NamesResponse").names
    assert {"service_name", "process", "pid", "host", "__profile_type__"} <= set(names) and "service" not in names and list(names) == sorted(names)
    values = call("LabelValues", messages.LabelValuesRequest(name="process", matchers=['{process=~"app[0-3]", process!="app2"}']), "NamesResponse").names
    assert list(values) == ["app0", "app1", "app3"], values
    values = call("LabelValues", messages.LabelValuesRequest(name="service_name", start=BEGIN_MS, end=END_MS), "NamesResponse").names
    assert len(values) > 3
    assert list(call("LabelValues", messages.LabelValuesRequest(name="host"), "NamesResponse").names) == ["node-1"]
    series = call("Series", messages.SeriesRequest(matchers=['{service_name="app1"}'], label_names=["service_name", "__profile_type__"]), "SeriesResponse").labels_set
    assert sorted(tuple(pairs(s.labels).values()) for s in series) == [(CPU, "app1"), (SAMPLES, "app1")]
    assert not call("LabelNames", messages.LabelNamesRequest(matchers=['{host="other"}']), "NamesResponse").names


@test("Pyroscope: series have all that there is, by step and group")
def _():
    request = messages.SelectSeriesRequest(profile_typeID=CPU, label_selector="{}", start=BEGIN_MS, end=END_MS, step=3600, group_by=["process"])
    answer = call("SelectSeries", request, "SelectSeriesResponse").series
    sums = {pairs(series.labels)["process"]: sum(point.value for point in series.points) for series in answer}
    values = {value["value"]: value["total"] for value in ask("labels")["labels"][0]["values"]}
    assert sums == values
    stamps = sorted({point.timestamp for series in answer for point in series.points})
    assert all((stamp - BEGIN_MS) % 3600000 == 0 for stamp in stamps) and stamps[-1] <= END_MS + 3600000
    request.limit = 2
    assert len(call("SelectSeries", request, "SelectSeriesResponse").series) == 2
    request = messages.SelectSeriesRequest(profile_typeID=SAMPLES, start=BEGIN_MS, end=END_MS, step=WINDOWS * EVERY_S / 2)
    total = call("SelectSeries", request, "SelectSeriesResponse").series
    assert len(total) == 1 and not total[0].labels and sum(point.value for point in total[0].points) == WINDOWS * 60
    request.aggregation = 1  # of a window
    assert all(abs(point.value - 60) < 0.01 for point in call("SelectSeries", request, "SelectSeriesResponse").series[0].points)
    request.label_selector = '{process="app1", pid!~".*"}'
    assert not call("SelectSeries", request, "SelectSeriesResponse").series
    request.profile_typeID = "memory:inuse_space:bytes:space:bytes"
    assert not call("SelectSeries", request, "SelectSeriesResponse").series


@test("Pyroscope: a flame graph has the stacks of the folded file")
def _():
    request = messages.SelectMergeStacktracesRequest(profile_typeID=SAMPLES, label_selector="{}", start=BEGIN_MS, end=END_MS, max_nodes=200000)
    graph = call("SelectMergeStacktraces", request, "SelectMergeStacktracesResponse").flamegraph
    assert graph.total == WINDOWS * 60 and graph.names[graph.levels[0].values[3]] == "total"
    assert stacks_of(graph) == folded()
    assert graph.max_self == max(value for level in graph.levels for value in level.values[2::4])
    request.max_nodes = 40
    less = call("SelectMergeStacktraces", request, "SelectMergeStacktracesResponse").flamegraph
    assert sum(stacks_of(less).values()) == WINDOWS * 60 and any(stack.endswith("other") for stack in stacks_of(less))
    request.label_selector = '{process="nobody"}'
    assert call("SelectMergeStacktraces", request, "SelectMergeStacktracesResponse").flamegraph.levels[0].values == [0, 0, 0, 0]


@test("Pyroscope: a merged profile is a pprof file")
def _():
    request = messages.SelectMergeProfileRequest(profile_typeID=CPU, label_selector='{process="app1"}', start=BEGIN_MS, end=END_MS)
    status, kind, _, body = get(SERVICE + "SelectMergeProfile", request.SerializeToString(), "application/proto")
    assert (status, kind) == (200, "application/proto") and body[:2] != b"\x1f\x8b"
    total = sum(sample.values[1] for sample in pprof.decode(gzip.compress(body)).samples)
    assert total == ask("flame", match="process:app1")["total"]


@test("Pyroscope: JSON says what protobuf says, and bodies may be packed")
def _():
    request = {"profileTypeID": CPU, "labelSelector": '{process=~"app[12]"}', "start": str(BEGIN_MS), "end": END_MS, "maxNodes": "30", "format": "PROFILE_FORMAT_FLAMEGRAPH",
               "unknown": {"a": [1, None]}}
    status, kind, _, body = get(SERVICE + "SelectMergeStacktraces", json.dumps(request).encode(), "application/json; charset=utf-8")
    assert (status, kind) == (200, "application/json"), body
    ours = json.loads(body)["flamegraph"]
    theirs = call("SelectMergeStacktraces", messages.SelectMergeStacktracesRequest(profile_typeID=CPU, label_selector='{process=~"app[12]"}', start=BEGIN_MS, end=END_MS, max_nodes=30),
                  "SelectMergeStacktracesResponse").flamegraph
    assert ours["names"] == list(theirs.names) and int(ours["total"]) == theirs.total
    assert [[int(value) for value in level["values"]] for level in ours["levels"]] == [list(level.values) for level in theirs.levels]
    assert get(SERVICE + "SelectMergeStacktraces", gzip.compress(json.dumps(request).encode()), "application/json")[3] == body
    snake = {"profile_typeID": CPU, "label_selector": '{process=~"app[12]"}', "start": BEGIN_MS, "end": END_MS, "max_nodes": 30}
    assert get(SERVICE + "SelectMergeStacktraces", json.dumps(snake).encode(), "application/json")[3] == body


@test("Pyroscope: errors have a code and a sentence")
def _():
    json_type = "application/json"
    good = {"profileTypeID": CPU, "start": BEGIN_MS, "end": END_MS, "step": 15}
    for name, request, kind, status, code, part in (
        ("SelectSeries", {**good, "labelSelector": "{a="}, json_type, 400, "invalid_argument", "at byte 4"),
        ("SelectSeries", {**good, "labelSelector": '{a=~"("}'}, json_type, 400, "invalid_argument", "expression"),
        ("SelectSeries", {**good, "step": 0}, json_type, 400, "invalid_argument", "step"),
        ("SelectSeries", {**good, "step": 0.5}, json_type, 400, "invalid_argument", "points"),
        ("SelectSeries", {**good, "start": END_MS + 1}, json_type, 400, "invalid_argument", "before"),
        ("SelectSeries", {**good, "groupBy": "process"}, json_type, 400, "invalid_argument", "list"),
        ("SelectSeries", {**good, "start": "soon"}, json_type, 400, "invalid_argument", "whole number"),
        ("SelectSeries", {**good, "profileTypeID": "cpu"}, json_type, 400, "invalid_argument", "no profile type"),
        ("SelectSeries", {**good, "stackTraceSelector": {"callSite": [{"name": "main"}]}}, json_type, 501, "unimplemented", "stackTraceSelector"),
        ("SelectMergeStacktraces", {**good, "format": "PROFILE_FORMAT_TREE"}, json_type, 501, "unimplemented", "flame graph"),
        ("SelectMergeProfile", good, json_type, 501, "unimplemented", "application/proto"),
        ("SelectMergeSpanProfile", good, json_type, 501, "unimplemented", "SelectMergeSpanProfile"),
        ("LabelValues", {}, json_type, 400, "invalid_argument", "name is missing"),
        ("LabelValues", [], json_type, 400, "invalid_argument", "object"),
        ("LabelValues", {}, "text/plain", 415, "invalid_argument", "content type"),
        ("LabelValues", {}, "application/proto", 400, "invalid_argument", "no message"),
    ):
        answer = get(SERVICE + name, json.dumps(request).encode(), kind)
        error = json.loads(answer[3])
        assert (answer[0], error["code"]) == (status, code) and part in error["message"], (name, request, answer)
    bomb = gzip.compress(b'{"name":"' + b"x" * (2 << 20) + b'"}')
    error = get(SERVICE + "LabelValues", bomb, json_type)
    assert error[0] == 429 and json.loads(error[3])["code"] == "resource_exhausted", error
    assert get(SERVICE + "LabelValues", bomb[:-9], json_type)[0] in (400, 429)
    assert get(SERVICE + "LabelValues", gzip.compress(b"{}")[:-3], json_type)[0] == 400


@test("Pyroscope: /pyroscope/render has the same graph and a time line")
def _():
    query = urllib.parse.quote(CPU + '{process="app1"}')
    status, _, _, body = get(f"/pyroscope/render?query={query}&from={BEGIN_MS}&until={END_MS // 1000}&max-nodes=40&format=json")
    answer = json.loads(body)
    assert status == 200 and answer["version"] == 1 and answer["metadata"]["format"] == "single", body[:300]
    total = ask("flame", match="process:app1")["total"]
    assert answer["flamebearer"]["numTicks"] == total == sum(answer["timeline"]["samples"]) == answer["flamebearer"]["levels"][0][1]
    assert json.loads(get(f"/pyroscope/render?query={query}&from=now-1h&until=now")[3])["timeline"]["startTime"] == END_MS // 1000 - 3600
    for bad, part in (("", "'query' is missing"), ("query=cpu", "no profile type"), (f"query={query}&from=soon", "from"), (f"query={query}&format=dot", "json is all")):
        status, _, _, body = get(f"/pyroscope/render?{bad}")
        assert status in (400, 501) and part in json.loads(body)["error"], body


if not os.environ.get("BUILD"):
    subprocess.run(["make", "-s", "build/tests/web/api_get", "build/tests/web/write_store"], cwd=REPO, check=True, stdout=sys.stderr)
run(needs_root=False)
