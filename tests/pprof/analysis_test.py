#!/usr/bin/env python3
"""pprof/'s analyses beside `go tool pprof`'s, and its exports as the readers of their formats want them. Needs build/tests/pprof/analyze (ANALYZE)."""
import collections
import json
import os
import re
import subprocess
import sys
import xml.dom.minidom

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from harness import REPO, go_pprof, run, test
from profile_reader import fields, packed
import gzip

ANALYZE = os.path.abspath(os.environ.get("ANALYZE", os.path.join(REPO, "build", "tests", "pprof", "analyze")))
FILTERS = {"focus": "function_[1-3]", "ignore": "_7_|libc\\.so", "hide": "function_.*[02468]_|jit", "show": "work\\.c|main\\.go"}


def analyze(*arguments):
    done = subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def made(name, seed=1, samples=1500):
    if not os.path.exists(name):
        analyze("random", str(seed), str(samples), name)
    return name


def is_function(name):
    """Code without names is one for each mapping there, and one for each address here."""
    return not name.startswith("[")


def our_functions(*files):
    """{name: (self, total)}; names of the test's profiles are of one module each."""
    sums = collections.Counter(), collections.Counter()
    for line in analyze("functions", *files).splitlines():
        name, _, own, total, *_ = line.split("\t")
        if is_function(name):
            sums[0][name] += int(own)
            sums[1][name] += int(total)
    return {name: (sums[0][name], sums[1][name]) for name in sums[1]}


def go_rows(form, *arguments):
    return go_pprof(form, "-symbolize=none", "-nodecount=0", "-nodefraction=0", "-edgefraction=0", "-unit=nanoseconds", *arguments).splitlines()


def go_functions(*arguments):
    rows = {}
    for line in go_rows("-top", *arguments):
        fit = re.match(r"\s*(-?\d+)(?:ns)?\s+\S+\s+\S+\s+(-?\d+)(?:ns)?\s+\S+\s+(.*)", line)
        name = re.sub(r" \((partial-)?inline\)$", "", fit[3]) if fit else "["
        if is_function(name):
            rows[name] = int(fit[1]), int(fit[2])
    return rows


def same(ours, theirs, what):
    differing = {name: (ours.get(name), theirs.get(name)) for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert len(theirs) > 3 and not differing, (what, len(theirs), len(differing), list(differing.items())[:8])


@test("self and total of each function are go tool pprof's")
def _():
    same(our_functions(made("a.pb.gz")), go_functions("a.pb.gz"), "top")


@test("callers and callees are go tool pprof's")
def _():
    # Without recursion: a tree has one occurrence of the function, a graph of calls has all.
    made("shallow.pb.gz", 5, 300)
    checked = 0
    for name in sorted(our_functions("shallow.pb.gz"))[:40]:
        sides = []
        for arguments in (("leaf",), ()):
            nodes = [line.split("\t") for line in analyze("tree", "shallow.pb.gz", name, *arguments).splitlines()]
            assert nodes[1][3] == name and int(nodes[1][0]) == 1, nodes[:2]
            sides.append(None if any(node[3] == name for node in nodes[2:]) else {node[3]: int(node[1]) for node in nodes if node[0] == "2" and is_function(node[3])})
        if None in sides or checked == 6:
            continue
        peek = "\n".join(go_rows(f"-peek=^{name}$", "shallow.pb.gz"))
        above, below = re.split(r"\n *\d+(?:ns)? +\S+ +\S+ +\d+(?:ns)? +\S+ +\| +" + re.escape(name) + ".*", peek, maxsplit=1)
        for text, ours in ((above, sides[0]), (below, sides[1])):
            rows = re.findall(r"^ *(\d+)(?:ns)? +\S+ +\|   (.*?)(?: \((?:partial-)?inline\))?$", text, re.M)
            assert {row[1]: int(row[0]) for row in rows if is_function(row[1])} == ours, (name, rows, ours)
        checked += 1
    assert checked > 2, checked


@test("focus, ignore, hide and show take what go tool pprof takes")
def _():
    made("a.pb.gz")
    for chosen in (["focus"], ["ignore"], ["hide"], ["show"], ["focus", "ignore"], ["focus", "hide"], ["ignore", "show"], list(FILTERS)):
        analyze("select", "a.pb.gz", "part.pb.gz", *(f"{name}={FILTERS[name]}" for name in chosen))
        same(our_functions("part.pb.gz"), go_functions(*(f"-{name}={FILTERS[name]}" for name in chosen), "a.pb.gz"), chosen)
        same(our_functions("part.pb.gz"), go_functions("part.pb.gz"), ("ours, read there", chosen))


class Raw:
    """A profile as a bag of samples, by code that shares nothing with hearth."""
    def __init__(self, path):
        with gzip.open(path) as file:
            message = list(fields(file.read()))
        self.strings = [value.decode() for number, value in message if number == 6]
        many = {number: [self.merged(value) for n, value in message if n == number] for number in (2, 3, 4, 5)}
        functions = {f[1][0]: self.strings[f[2][0]] for f in many[5]}
        mappings = {m[1][0]: self.strings[m.get(5, [0])[0]] for m in many[3]}
        self.locations = {}
        for location in many[4]:
            lines = [dict(fields(line)) for line in location.get(4, [])]
            self.locations[location[1][0]] = (mappings.get(location.get(2, [0])[0]), location.get(3, [0])[0],
                                              tuple((functions[line[1]], line.get(2, 0)) for line in lines))
        self.bag = collections.Counter()
        for sample in many[2]:
            stack = tuple(self.locations[i] for value in sample.get(1, []) for i in packed(value))
            labels = tuple(sorted((self.strings[one[1]], self.strings[one.get(2, 0)], one.get(3, 0)) for one in (dict(fields(l)) for l in sample.get(3, []))))
            values = [v - 2**64 if v >= 2**63 else v for value in sample.get(2, []) for v in packed(value)]
            self.bag[stack, labels, 0] += values[0]
            self.bag[stack, labels, 1] += values[-1]

    @staticmethod
    def merged(message):
        found = collections.defaultdict(list)
        for number, value in fields(message):
            found[number].append(value)
        return found


@test("what is selected by labels and side is all there is in the profile")
def _():
    made("a.pb.gz")
    analyze("select", "a.pb.gz", "part.pb.gz", "process=process-7", "pid=1007", "side=user")
    whole, part = Raw("a.pb.gz"), Raw("part.pb.gz")
    expected = collections.Counter()
    for (stack, labels, which), value in whole.bag.items():
        stack = tuple(location for location in stack if location[0] != "[kernel.kallsyms]")
        if stack and ("process", "process-7", 0) in labels and ("pid", "", 1007) in labels:
            expected[stack, labels, which] += value
    assert expected and part.bag == expected, (len(expected), len(part.bag))
    assert {location for stack, _, _ in part.bag for location in stack} == set(part.locations.values())
    assert "process-6" in whole.strings and "process-6" not in part.strings and "[kernel.kallsyms]" not in part.strings


@test("a merged profile is go tool pprof's")
def _():
    analyze("merge", "ours.pb.gz", made("a.pb.gz"), made("b.pb.gz", 2), made("a.pb.gz"))
    go_pprof("-proto", "-symbolize=none", "-output=theirs.pb.gz", "a.pb.gz", "b.pb.gz", "a.pb.gz")
    assert Raw("ours.pb.gz").bag == Raw("theirs.pb.gz").bag
    same(our_functions("ours.pb.gz"), go_functions("a.pb.gz", "b.pb.gz", "a.pb.gz"), "merged")
    head = go_pprof("-raw", "-symbolize=none", "ours.pb.gz").split("Samples:")[0], go_pprof("-raw", "-symbolize=none", "theirs.pb.gz").split("Samples:")[0]
    assert head[0] == head[1], head


@test("a difference is go tool pprof's")
def _():
    made("a.pb.gz"), made("b.pb.gz", 2)
    theirs = go_functions("-diff_base=b.pb.gz", "a.pb.gz")
    ours = {}
    for line in analyze("functions", "a.pb.gz", "b.pb.gz").splitlines():
        name, _, own, total, base_own, base_total = line.split("\t")
        if is_function(name) and (int(own) != int(base_own) or int(total) != int(base_total)):
            ours[name] = int(own) - int(base_own), int(total) - int(base_total)
    same(ours, {name: row for name, row in theirs.items() if row != (0, 0)}, "diff")


PROGRAM = """package main
import ("os"; "runtime/pprof"; "syscall")
var sink int
//go:noinline
func hot(n int) { for i := 0; i < n; i++ { sink += i * i } }
//go:noinline
func warm(n int) { hot(n) }
func main() {
	f, _ := os.Create(os.Args[1])
	pprof.StartCPUProfile(f)
	for used := (syscall.Rusage{}); used.Utime.Nano() < 400e6; { // of CPU: a busy machine has samples, too
		warm(100000)
		hot(50000)
		syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	}
	pprof.StopCPUProfile()
	f.Close()
}
"""


@test("profiles of another producer")
def _():
    with open("main.go", "w") as file:
        file.write(PROGRAM)
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}
    go = "/usr/bin/go" if os.path.exists("/usr/bin/go") else "go"
    subprocess.run([go, "build", "-o", "worker", "main.go"], check=True, env=environment, timeout=300)
    for name in ("go1.pb.gz", "go2.pb.gz"):
        subprocess.run(["./worker", name], check=True, timeout=200)
    same(our_functions("go1.pb.gz"), go_functions("go1.pb.gz"), "top")
    analyze("merge", "go.pb.gz", "go1.pb.gz", "go2.pb.gz")
    go_pprof("-proto", "-symbolize=none", "-output=theirs.pb.gz", "go1.pb.gz", "go2.pb.gz")
    assert Raw("go.pb.gz").bag == Raw("theirs.pb.gz").bag
    lines = [line.split("\t") for line in analyze("lines", "go.pb.gz", "main.hot").splitlines()]
    assert lines and all(line[0].endswith("main.go") for line in lines), lines
    assert sum(int(line[2]) for line in lines) == our_functions("go.pb.gz")["main.hot"][0]


def folded_bag(path):
    """{frames from the root down: nanoseconds}, by the tree."""
    bag, stack = {}, []
    for line in analyze("tree", path).splitlines():
        depth, _, own, name = line.split("\t")
        stack[int(depth):] = [name]
        if int(own):
            bag[tuple(stack[1:])] = bag.get(tuple(stack[1:]), 0) + int(own)
    return bag


@test("speedscope files are as its format says, and tell the same")
def _():
    analyze("hostile", "hostile.pb.gz")
    for path in (made("a.pb.gz"), "hostile.pb.gz"):
        file = json.loads(analyze("speedscope", path))
        assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json" and file["name"] == 'a "name"'
        frames, (profile,) = file["shared"]["frames"], file["profiles"]
        assert all(set(frame) <= {"name", "file", "line", "col"} and isinstance(frame["name"], str) for frame in frames)
        assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert (profile["type"], profile["unit"], profile["startValue"]) == ("sampled", "nanoseconds", 0)
        assert len(profile["samples"]) == len(profile["weights"]) and sum(profile["weights"]) == profile["endValue"]
        assert all(0 <= i < len(frames) for stack in profile["samples"] for i in stack) and all(weight > 0 for weight in profile["weights"])
        bag = collections.Counter()
        for stack, weight in zip(profile["samples"], profile["weights"]):
            bag[tuple(frames[i]["name"] for i in stack)] += weight
        assert bag == folded_bag(path)


def check_columns(table, *columns):
    assert set(table) == {*columns, "length"}, table.keys()
    assert all(len(table[column]) == table["length"] for column in columns), {column: len(table[column]) for column in columns}


@test("files for the Firefox Profiler are as its format says, and tell the same")
def _():
    analyze("hostile", "hostile.pb.gz")
    for path in (made("a.pb.gz"), "hostile.pb.gz"):
        file = json.loads(analyze("firefox", path))
        meta, threads, libs = file["meta"], file["threads"], file["libs"]
        assert meta["preprocessedProfileVersion"] == 48 and meta["processType"] == 0 and meta["interval"] > 0, meta
        assert all(i < len(threads) for i in meta["initialVisibleThreads"] + meta["initialSelectedThreads"])
        assert len({thread["pid"] for thread in threads}) == len(threads) and all(isinstance(thread["pid"], str) for thread in threads)
        bag = collections.Counter()
        for thread in threads:
            samples, stacks, frames, functions, resources = (thread[key] for key in ("samples", "stackTable", "frameTable", "funcTable", "resourceTable"))
            check_columns({k: v for k, v in samples.items() if k != "weightType"}, "stack", "time", "weight")
            check_columns(stacks, "frame", "prefix", "category", "subcategory")
            check_columns(frames, "address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol", "innerWindowID", "implementation", "line", "column")
            check_columns(functions, "isJS", "relevantForJS", "name", "resource", "fileName", "lineNumber", "columnNumber")
            check_columns(resources, "lib", "name", "host", "type")
            check_columns(thread["markers"], "data", "name", "startTime", "endTime", "phase", "category")
            check_columns(thread["nativeSymbols"], "libIndex", "address", "name", "functionSize")
            assert samples["weightType"] == "tracing-ms" and samples["time"] == sorted(samples["time"])
            assert all(prefix is None or prefix < i for i, prefix in enumerate(stacks["prefix"]))
            assert all(i < len(meta["categories"]) for i in stacks["category"]) and all(i < len(libs) for i in resources["lib"])
            strings = thread["stringArray"]
            paths = []
            for frame, prefix in zip(stacks["frame"], stacks["prefix"]):
                name = strings[functions["name"][frames["func"][frame]]]
                paths.append((() if prefix is None else paths[prefix]) + (name,))
            first = (thread["name"],) if thread["pid"] else ()
            for stack, weight in zip(samples["stack"], samples["weight"]):
                bag[first + (() if stack is None else paths[stack])] += round(weight * 1e6)
        assert bag == folded_bag(path), (len(bag), len(folded_bag(path)))


@test("pictures are well-formed whatever the names, and hold no other script")
def _():
    analyze("hostile", "hostile.pb.gz")
    for arguments in (("svg", "hostile.pb.gz"), ("icicle", "hostile.pb.gz"), ("diff", "hostile.pb.gz", made("a.pb.gz")), ("diff", made("a.pb.gz"), made("b.pb.gz", 2))):
        if "hostile.pb.gz" in arguments and "a.pb.gz" in arguments:
            continue  # their sample types have other names
        picture = analyze(*arguments)
        document = xml.dom.minidom.parseString(picture)
        assert len(document.getElementsByTagName("script")) == 1 and "\x1b" not in picture
        assert not [e for e in document.getElementsByTagName("*") for i in range(e.attributes.length) if e.attributes.item(i).name.startswith("on")]
        frames = [g for g in document.getElementsByTagName("g")]
        total = int(document.documentElement.getAttribute("data-total"))
        assert frames and all(0 <= int(g.getAttribute("data-s")) and int(g.getAttribute("data-s")) + int(g.getAttribute("data-v")) <= total for g in frames)


@test("an icicle hangs from the root")
def _():
    made("a.pb.gz")
    for form, order in (("svg", -1), ("icicle", 1)):
        document = xml.dom.minidom.parseString(analyze(form, "a.pb.gz"))
        rows = {int(g.getAttribute("data-d")): int(g.getElementsByTagName("rect")[0].getAttribute("y")) for g in document.getElementsByTagName("g")}
        assert [rows[d] for d in sorted(rows)] == sorted(rows.values(), reverse=order < 0), (form, rows)


run(needs_root=False)
