#!/usr/bin/env python3
"""hearth query, report, flame, diff, merge and export: on profiles of a known workload, on a store that an agent wrote, and on a profile of Go's own; beside go tool pprof."""
import fcntl
import gzip
import pty
import pwd
import struct
import termios

from harness import *

SPIN = r"""
#include <stdlib.h>
#include <time.h>
volatile unsigned long x;
__attribute__((noinline)) void inner(void) { for (int i = 0; i < 300000; i++) x += i; }
__attribute__((noinline)) void hot(void) { inner(); inner(); inner(); }
__attribute__((noinline)) void cold(void) { inner(); }
int main(int argc, char **argv)
{
	while (clock() < atoi(argv[1]) * (CLOCKS_PER_SEC / 1000)) /* of CPU: other work on the machine does not count */
		hot(), argc > 2 ? hot() : cold();
}
"""
GO = r"""
package main
import ("os"; "runtime/pprof"; "syscall")
var x int
//go:noinline
func busy(n int) { for i := 0; i < n; i++ { x += i } }
//go:noinline
func outer() { busy(1000000) }
func main() {
	file, _ := os.Create("go.pb.gz")
	pprof.StartCPUProfile(file)
	for used := (syscall.Rusage{}); used.Utime.Nano() < 600e6; { // of CPU, too
		outer()
		syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	}
	pprof.StopCPUProfile()
}
"""
MADE = {}


def spin():
    if "spin" not in MADE:
        with open("spin.c", "w") as file:
            file.write(SPIN)
        subprocess.run(["gcc", "-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-o", "spin", "spin.c"], check=True)
        MADE["spin"] = os.path.abspath("spin")
    return MADE["spin"]


def profiles():
    """a.pb.gz: hot 3 of 4; b.pb.gz: hot only. Recorded once."""
    if "profiles" not in MADE:
        for name, arguments in (("a", []), ("b", ["more"])):
            record("-F", "499", "-o", f"{name}.pb.gz", "--", spin(), "800", *arguments)
        MADE["profiles"] = True
    return "a.pb.gz", "b.pb.gz"


def go_profile():
    """A profile that Go's runtime wrote."""
    if "go" not in MADE:
        go = "/usr/bin/go" if os.path.exists("/usr/bin/go") else shutil.which("go")  # Debian's has its library compiled
        if not go:
            raise Skip("no go")
        with open("busy.go", "w") as file:
            file.write(GO)
        subprocess.run([go, "build", "-o", "busy", "busy.go"], check=True, env={**os.environ, "HOME": os.getcwd(), "GOCACHE": os.path.abspath("gocache"), "GO111MODULE": "off", "CGO_ENABLED": "0"})
        subprocess.run(["./busy"], check=True)
        MADE["go"] = True
    return "go.pb.gz"


def ok(*arguments, **options):
    done = hearth(*arguments, **options)
    assert done.returncode == 0 and not done.stderr, (arguments, done.returncode, done.stderr)
    return done.stdout


def report(*arguments):
    return json.loads(ok("report", "--json", *arguments))


def refused(status, words, *arguments, **options):
    """One line on standard error, with these words, and nothing on standard output."""
    done = hearth(*arguments, **options)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == status and not done.stdout and len(lines) == 1 and lines[0].startswith("hearth: "), (arguments, done)
    for word in [words] if isinstance(words, str) else words:
        assert word in lines[0], (word, lines)


def pprof_top(path, *options):
    """{function: (self, total)} of go tool pprof, in ns."""
    text = go_pprof("-top", "-unit=ns", "-nodefraction=0", "-edgefraction=0", "-nodecount=100000", *options, path)
    rows = {}
    for line in text.splitlines():
        fields = re.match(r"\s*(-?\d+)(?:ns)?\s+\S+\s+\S+\s+(-?\d+)(?:ns)?\s+\S+\s+(.*)", line)
        if fields:
            name = fields[3].removesuffix(" (inline)").removesuffix(" (partial-inline)")
            rows[name] = (int(fields[1]), int(fields[2]))
    return rows


def by_name(functions):
    rows = {}
    for f in functions:
        self, total = rows.get(f["name"], (0, 0))
        rows[f["name"]] = (self + f["self"], total + f["total"])
    return rows


def same(ours, theirs):
    """Self and total of each function that both name; pprof writes addresses of unnamed code its own way, and shortens names of templates."""
    common = [name for name in ours if name in theirs]
    assert len(common) > len(ours) / 2 and len(common) > 2, (sorted(ours), sorted(theirs))
    wrong = [(name, ours[name], theirs[name]) for name in common if ours[name] != theirs[name]]
    assert not wrong, wrong[:10]


@test("report: the known workload's function is on top, in each form")
def forms():
    a, _ = profiles()
    top = ok("report", a).splitlines()
    head = [line.split()[0] for line in top[:top.index("")]]
    assert head[:2] == ["of", "cpu"] and "comment" in head, top
    first = top[top.index("") + 2].split()
    assert first[-2:] == ["inner", "(spin)"] and float(first[2]) > 80, first
    assert re.search(r"hot  \(spin\)\n.*│ inner|├ hot", ok("report", "--tree", a))
    callers = ok("report", "--callers", "inner", a)
    assert re.search(r"├ hot .*\n(.*\n)*.*└ cold", callers), callers
    assert "inner" in ok("report", "--callees", "hot", a)
    lines = ok("report", "--lines", "inner", a)
    assert re.search(r"spin\.c:5$", lines, re.M), lines
    assert "functions more: -n 0 shows all" in ok("report", "-n", "1", a)
    os.symlink(a, "profile.pb.gz")
    assert ok("report") == top_of("profile.pb.gz", "\n".join(top) + "\n", a)


def top_of(name, text, other):
    return text.replace(other, name)


@test("report: totals are those of go tool pprof, of our profile and of Go's, with every filter")
def like_pprof():
    a, _ = profiles()
    for path in (a, go_profile()):
        for ours, theirs in (([], []), (["--focus", "hot|outer"], ["-focus=hot|outer"]), (["--ignore", "cold|busy"], ["-ignore=cold|busy"]),
                             (["--hide", "inner|busy"], ["-hide=inner|busy"]), (["--show", "main"], ["-show=main"])):
            expected = pprof_top(path, *theirs)
            if not expected:
                refused(1, "no sample is left", "report", *ours, path)
                continue
            found = report(*ours, path)
            same(by_name(found["functions"]), expected) if len(expected) > 3 else None
            assert {n: v for n, v in by_name(found["functions"]).items() if n in expected} == {n: v for n, v in expected.items() if n in by_name(found["functions"])}


@test("report --json: tables, trees, callers, callees and lines add up")
def adds_up():
    a, _ = profiles()
    table = report(a)
    whole = table["profile"]["total"]
    assert sum(f["self"] for f in table["functions"]) == whole == report("-n", "3", a)["profile"]["total"] and len(report("-n", "3", a)["functions"]) == 3
    functions = {f["name"]: f for f in table["functions"] if f["module"].endswith("/spin")}

    def check(node):
        assert node["total"] == node["self"] + sum(check(child) for child in node["children"]), node
        return node["total"]

    assert check(report("--tree", "--min-share", "0", a)["tree"]) == whole
    for option in ("--callers", "--callees"):
        tree = report(option, "hot", "--min-share", "0", a)
        assert tree["function"] == "hot" and check(tree["tree"]) == functions["hot"]["total"] and [c["name"] for c in tree["tree"]["children"]] == ["hot"], tree
    lines = report("--lines", "inner", a)["lines"]
    assert sum(line["self"] for line in lines) == functions["inner"]["self"] and all(line["file"].endswith("spin.c") for line in lines), lines
    for label in ("process", "pid", "thread"):
        rows = report("--by", label, a)["values"]
        assert sum(row["total"] for row in rows) == whole and (rows[0]["value"] == "spin" or rows[0]["process"] == "spin"), rows
    counts = report("--type", "samples", a)
    assert counts["unit"] == "count" and counts["profile"]["total"] == report("--type", "samples/count", a)["profile"]["total"] > 50


@test("filters by label and side: what is left, and what there is when nothing is")
def filters():
    a, _ = profiles()
    pid = max(({int(l) for l in re.findall(r"\b\d+\b", str(labels.get("pid", "")))} for labels, _ in samples_of(a)), key=len).pop()
    whole = report(a)["profile"]["total"]
    assert report("--process", "spin", "--pid", str(pid), "--label", f"pid={pid}", a)["profile"]["total"] == whole
    user, kernel = report("--user-only", a), report("--kernel-only", a) if any(f["kernel"] for f in report(a)["functions"]) else None
    assert not any(f["kernel"] for f in user["functions"]) and (not kernel or all(f["kernel"] for f in kernel["functions"]))
    refused(1, ["no sample has the process 'spon'; there are spin"], "report", "--process", "spon", a)
    refused(1, ["no sample has the pid '1'; there are", str(pid)], "report", "-p", "1", a)
    refused(1, "no sample has a label 'planet'; there are ", "report", "--label", "planet=earth", a)
    refused(1, "--by: no sample has a label 'planet'; there are ", "report", "--by", "planet", a)
    refused(1, "no sample is left of process=spin, focus /nowhere/", "report", "--process", "spin", "--focus", "nowhere", a)
    refused(1, "the profile has no 'cycles', but samples, cpu", "report", "--type", "cycles", a)
    refused(1, "no function's name is, or matches, 'nowhere'", "report", "--callers", "nowhere", a)
    refused(1, ["'hot|cold' is 2 functions", "hot", "cold", "write one in full"], "report", "--callees", "hot|cold", a)
    assert report("--callers", "^hot$", a)["function"] == "hot"


def samples_of(path):
    import profile_reader
    return profile_reader.samples(path)


@test("wrong usage: status 2, and a line that says what to do")
def usage():
    a, b = profiles()
    for words, arguments in (
            ("is no regular expression", ("report", "--focus", "(", a)),
            ("look-around", ("report", "--hide", "(?=x)", a)),
            ("--focus twice", ("report", "--focus", "a", "--focus", "b", a)),
            ("is not KEY=VALUE", ("report", "--label", "pid", a)),
            ("leave nothing", ("report", "--user-only", "--kernel-only", a)),
            ("one of --by, --tree", ("report", "--tree", "--lines", "x", a)),
            ("'blue' is none of auto, always, never", ("report", "--color", "blue", a)),
            ("--min-share", ("report", "--tree", "--min-share", "200", a)),
            ("extensions .txt, .pb.gz", ("report", "-o", "x.doc", a)),
            ("'doc' is none of text, json", ("report", "--format", "doc", a)),
            ("--json and --format svg", ("report", "--json", "--format", "svg", a)),
            ("writes no text, but svg", ("flame", "-o", "x.txt", a)),
            ("writes no svg, but pprof", ("merge", "-o", "x.svg", a, b)),
            ("writes no folded, but text, json, svg", ("diff", "-o", "x.folded", a, b)),
            ("two pprof files are needed", ("diff", a)),
            ("name pprof files", ("merge", "-o", "x.pb.gz")),
            ("--format, or -o with an extension", ("export", a)),
            ("- twice", ("merge", "-", "-")),
            ("- twice", ("diff", "-", "-")),
            ("what is 'a.pb.gz'?", ("query", a)),
            ("lacks a unit", ("query", "--from", "-15")),
            ("is no time", ("query", "--to", "soon")),
            ("is not before --to", ("query", "--from", "-5m", "--to", "-10m")),
            ("is not before --diff-to", ("query", "--diff-from", "-5m", "--diff-to", "-10m")),
            ("a comparison is a table or a flame graph", ("query", "--diff-from", "-2h", "--tree")),
            ("writes no pprof, but text, json, svg", ("query", "--diff-from", "-2h", "-o", "x.pb.gz"))):
        refused(2, [words, f"see 'hearth {arguments[0]} --help'"], *arguments)
    os.mkdir("nothing_here")
    refused(2, "there is no profile.pb.gz here", "report", cwd="nothing_here")
    for option in ("--nonsense", "--focus"):
        done = hearth("report", option)
        assert done.returncode == 2 and "see 'hearth report --help'" in done.stderr
    for command in ("query", "report", "flame", "diff", "merge", "export"):
        assert ok(command, "--help").startswith(f"Usage: hearth {command} ")
        assert f"  {command} " in ok("--help")
    assert not [name for name in os.listdir(".") if name.startswith((".x", "x."))]


@test("bad files: one line each, and no output is left")
def bad_files():
    a, _ = profiles()
    with gzip.open(a) as file:
        plain = file.read()
    made = {"empty": b"", "text": b"no profile at all, only text\n" * 9, "cut.gz": open(a, "rb").read()[:-200], "cut": plain[:len(plain) // 2],
            "flipped": plain[:40] + bytes(b ^ 0x55 for b in plain[40:80]) + plain[80:]}
    for name, content in made.items():
        with open(name, "wb") as file:
            file.write(content)
    os.mkdir("folder")
    os.mkfifo("fifo")
    for words, path in (("it is empty", "empty"), ("not a pprof profile", "text"), ("gzip compression is damaged or cut off", "cut.gz"), ("reading 'cut'", "cut"),
                        ("reading 'flipped'", "flipped"), ("it is a folder", "folder"), ("it is empty", "fifo"), ("No such file", "missing"),
                        ("neither a file nor a pipe", "/dev/zero")):
        for arguments in (("report", path), ("flame", "-o", "none.svg", path), ("merge", "-o", "none.pb.gz", a, path), ("diff", path, a), ("diff", a, path)):
            refused(1, words, *arguments)
    assert not [name for name in os.listdir(".") if "none." in name]
    refused(1, "it is empty", "report", "-", stdin=subprocess.DEVNULL)
    for words, path in (("create its folder", "no/where.svg"), ("free some space", "/dev/full")):
        refused(1, words, "flame", "--format", "svg", "-o", path, a)
    done = subprocess.run(f"{HEARTH} report {a} >/dev/full", shell=True, capture_output=True, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr, done
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{HEARTH} export --format json {a} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert done.stdout in ("141\n", "0\n") and not done.stderr, done


@test("merge: the sum of both, as go tool pprof -proto makes it; of kinds that do not fit it says which")
def merges():
    a, b = profiles()
    ok("merge", "-o", "sum.pb.gz", a, b)
    go_pprof("-proto", "-output", "theirs.pb.gz", a, b)
    same(by_name(report("sum.pb.gz")["functions"]), by_name(report("theirs.pb.gz")["functions"]))
    assert report("sum.pb.gz")["profile"]["total"] == report(a)["profile"]["total"] + report(b)["profile"]["total"] == report(a, b)["profile"]["total"]
    same(by_name(report("sum.pb.gz")["functions"]), pprof_top("sum.pb.gz"))
    assert os.stat("sum.pb.gz").st_mode & 0o777 == 0o600
    # Standard input and output, and one pipe of the shell's for each.
    piped = subprocess.run(f"cat {a} | {HEARTH} merge - {b} | {HEARTH} report --json -", shell=True, capture_output=True, text=True, check=True)
    assert json.loads(piped.stdout)["functions"] == report("sum.pb.gz")["functions"]
    shell = subprocess.run(["bash", "-c", f"{HEARTH} diff --json <(cat {a}) <(cat {b})"], capture_output=True, text=True, check=True)
    assert json.loads(shell.stdout)["functions"] == json.loads(ok("diff", "--json", a, b))["functions"]
    ok("merge", "-o", a, a)  # over itself
    subprocess.run([HEARTH, "record", "-e", "context-switches", "-d", "0.3", "-o", "switches.pb.gz"], capture_output=True, check=True)
    refused(1, ["merging 2 profiles", "profile 2"], "merge", "-o", "x.pb.gz", a, "switches.pb.gz")


@test("diff: what changed is on top, and shares are right")
def diffs():
    a, b = profiles()
    found = json.loads(ok("diff", "--json", a, b))
    before, now = found["base"]["total"], found["profile"]["total"]
    rows = by_name(found["functions"])
    assert (before, now) == (report(a)["profile"]["total"], report(b)["profile"]["total"])
    bases = {f["name"]: f["base_total"] for f in found["functions"]}
    assert rows["cold"][1] == 0 and bases["cold"] > before / 6, (rows["cold"], bases["cold"], before)
    assert rows["hot"][1] / now - bases["hot"] / before > 0.15
    changes = [abs(f["self"] / now - f["base_self"] / before) for f in found["functions"]]
    assert all(x >= y - 1e-9 for x, y in zip(changes, changes[1:])), changes
    text = ok("diff", a, b)
    assert "before" in text and re.search(r"^ .*[+-]\d+\.\d\d %", text, re.M), text
    same_file = json.loads(ok("diff", "--json", a, a))
    assert all(f["self"] == f["base_self"] and f["total"] == f["base_total"] for f in same_file["functions"])
    # New or gone altogether is a difference too; nothing on either side is none.
    ok("diff", "--focus", "cold", a, b)
    refused(1, "no sample is left", "diff", "--focus", "nowhere", a, b)


@test("export and flame: each format, by extension and by name")
def exports():
    a, b = profiles()
    for name in ("e.pb.gz", "e.folded", "e.svg", "e.txt", "e.speedscope.json", "e.firefox.json"):
        ok("export", "-o", name, a)
        ok("report", "-o", "r." + name, a)
    whole = report("--type", "samples", a)["profile"]["total"]
    assert report("e.pb.gz")["functions"] == report(a)["functions"]
    assert sum(count for _, count in folded("e.folded")) == whole and folded("e.folded")[0][0][0] == "spin"
    assert "inner" in open("e.txt").read() and "…" not in open("e.txt").read()
    for name in ("e.speedscope.json", "e.firefox.json"):
        with open(name) as file:
            assert "inner" in json.dumps(json.load(file))
    weights = json.loads(ok("export", "--format", "speedscope", "--type", "samples", a))["profiles"][0]["weights"]
    assert sum(weights) == whole == sum(count for _, count in folded("e.folded"))
    for format in ("pprof", "folded", "svg", "text", "json", "speedscope", "firefox"):
        done = subprocess.run([HEARTH, "export", "--format", format, a], capture_output=True, check=True)
        assert done.stdout and not done.stderr, format
    assert subprocess.run([HEARTH, "flame", a], capture_output=True, text=True).stdout.startswith(("<?xml", "<svg"))
    for name, arguments in (("f.svg", [a]), ("i.svg", ["--icicle", a]), ("t.svg", ["--title", "a <title> & more", "--process", "spin", a])):
        ok("flame", "-o", name, *arguments)
        subprocess.run(["python3", "-c", "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])", name], check=True)
    assert "a &lt;title&gt; &amp; more" in open("t.svg").read() and open("f.svg").read() != open("i.svg").read()
    ok("diff", "-o", "d.svg", a, b)
    subprocess.run(["python3", "-c", "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])", "d.svg"], check=True)


def on_terminal(columns, *arguments, **variables):
    """What a terminal of some columns gets, and the exit status."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([HEARTH, *arguments], stdin=follower, stdout=follower, stderr=follower, env={**os.environ, "TERM": "xterm", **variables})
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(leader)
    return text.decode().replace("\r\n", "\n"), process.wait(60)


@test("on a terminal: colours unless NO_COLOR, lines that fit, no picture")
def terminal():
    a, b = profiles()
    strip = lambda text: re.sub(r"\033\[\d*m", "", text)
    for columns in (40, 60, 80, 132, 200):
        for arguments in (["report", a], ["report", "--tree", a], ["report", "--by", "pid", a], ["report", "--callers", "inner", a], ["diff", a, b], ["diff", "--by", "thread", a, b], ["report", "--lines", "inner", a]):
            text, status = on_terminal(columns, *arguments)
            assert status == 0 and "\033[" in text and max(len(line) for line in strip(text).splitlines()) <= columns, (columns, arguments, text)
            assert strip(text) == on_terminal(columns, *arguments, NO_COLOR="1")[0] == on_terminal(columns, *arguments, TERM="dumb")[0]
    assert "\033[" in ok("report", "--color", "always", a) and "\033[" not in ok("report", a)
    text, status = on_terminal(80, "flame", a)
    assert status == 2 and "standard output is a terminal: name a file with -o" in text, text
    text, status = on_terminal(80, "report", "-")
    assert status == 1 and "standard input': it is a terminal" in text, text


@test("names that hold escapes, HTML and line breaks are harmless everywhere")
def hostile_names():
    evil = "\033[31mred\007 <script>alert(1)</script>\nbreak; \u202ereversed"
    message = bytearray()

    def put(number, content, to):
        if isinstance(content, int):
            to += bytes([number << 3]) + varint(content)
        else:
            to += bytes([number << 3 | 2]) + varint(len(content)) + content

    def varint(n):
        out = bytearray()
        while True:
            out.append(n & 127 | (128 if n > 127 else 0))
            n >>= 7
            if not n:
                return bytes(out)

    def nested(*pairs):
        inner = bytearray()
        for number, content in pairs:
            put(number, content, inner)
        return bytes(inner)

    put(1, nested((1, 1), (2, 2)), message)
    put(2, nested((1, 1), (2, 7), (3, nested((1, 4), (2, 3)))), message)
    put(4, nested((1, 1), (4, nested((1, 1), (2, 5)))), message)
    put(5, nested((1, 1), (2, 3), (4, 3)), message)
    for text in ("", "cpu", "nanoseconds", evil, "process"):
        put(6, text.encode(), message)
    with open("evil.pb", "wb") as file:
        file.write(message)
    for arguments in (["report"], ["report", "--tree"], ["report", "--lines", "script"], ["export", "--format", "folded"], ["export", "--format", "svg"], ["report", "--json"],
                      ["export", "--format", "speedscope"], ["export", "--format", "firefox"], ["report", "--callers", "script"]):
        text = ok(*arguments, "evil.pb")
        assert "\033" not in text and "\007" not in text and "\u202e" not in text and "\nbreak" not in text, (arguments, text)
        assert "<script>alert(1)" not in text or arguments[-1] != "svg", text
        if "json" in str(arguments) or "speedscope" in arguments or "firefox" in arguments:
            json.loads(text)
    done = hearth("report", "--process", "x", "evil.pb")
    assert done.returncode == 1 and "\033" not in done.stderr and done.stderr.count("\n") == 1, done


class Stored:
    """A store that an agent wrote, of some seconds of spin: hot and cold first, then, in other windows, hot alone."""
    folder = None

    @classmethod
    def get(cls):
        if not cls.folder:
            agent = spawn(HEARTH, "agent", "--store", "stored", "--window", "1", "-F", "199", "--max-cpu", "50", stderr=open("agent.log", "w"))
            wait_for(lambda: file_holds("agent.log", "stored in"), 60, "the first window")
            cls.began = time.time()
            subprocess.run([spin(), "2000"], check=True)
            stored = open("agent.log").read().count("stored in")
            wait_for(lambda: file_holds("agent.log", "stored in", stored + 2), 60, "a window that begins behind it")
            cls.changed = time.time()
            subprocess.run([spin(), "2000", "more"], check=True)
            cls.ended = time.time()
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(60) == 0, open("agent.log").read()
            cls.folder = os.path.abspath("stored")
        return cls.folder


def query(*arguments):
    return json.loads(ok("query", "--store", Stored.get(), "--json", *arguments))


@test("query: what ran, from a store: text, filters, pictures, files, and the same as the profile says that it writes")
def queries():
    folder = Stored.get()
    text = ok("query", "--store", folder, "--from", "-1h")
    assert re.match(r"of +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d to ", text) and "inner  (spin)" in text and "ticks=" in text, text
    ok("query", "--store", folder, "--process", "spin", "-o", "q.pb.gz")
    ok("query", "--store", folder, "--process", "spin", "-o", "q.svg")
    ok("query", "--store", folder, "--process", "spin", "--icicle", "-o", "q2.svg")
    assert "inner" in open("q.svg").read()
    spun = query("--process", "spin")
    assert spun["functions"] == report("q.pb.gz")["functions"] and spun["profile"]["comments"] == []
    same(by_name(spun["functions"]), pprof_top("q.pb.gz"))
    whole = query()
    assert whole["profile"]["total"] > spun["profile"]["total"] > 0 and any("identity=holds" in c for c in whole["profile"]["comments"])
    assert query("--process", "spin", "--focus", "^cold$")["profile"]["total"] < spun["profile"]["total"] / 2
    processes = query("--by", "process")["values"]
    assert sum(row["total"] for row in processes) == whole["profile"]["total"]
    assert {row["value"]: row["total"] for row in processes}["spin"] == spun["profile"]["total"], processes
    tree = query("--process", "spin", "--callers", "inner")
    assert [child["name"] for child in tree["tree"]["children"]] == ["inner"]
    # Parts of the time add up to all of it.
    middle = f"@{Stored.changed:.0f}"
    parts = [query("--process", "spin", "--to", middle)["profile"]["total"], query("--process", "spin", "--from", middle)["profile"]["total"]]
    assert sum(parts) >= spun["profile"]["total"], (parts, spun["profile"]["total"])  # the window at the border is in both


@test("query: two ranges compared")
def query_diff():
    folder = Stored.get()
    began, at, ended = Stored.began, Stored.changed, Stored.ended
    arguments = ["--from", f"@{at:.3f}", "--to", f"@{ended:.3f}", "--diff-from", f"@{began:.3f}", "--diff-to", f"@{at - 0.1:.3f}"]
    found = query("--process", "spin", *arguments)
    before, now = found["base"]["total"], found["profile"]["total"]
    rows = {f["name"]: f for f in found["functions"]}
    assert rows["cold"]["base_total"] / before > 0.15 > 0.12 > rows["cold"]["total"] / now, rows["cold"]
    changes = {row["value"]: row for row in query("--by", "process", *arguments)["values"]}
    assert changes["spin"]["total"] == now and changes["spin"]["base_total"] == before, changes
    text = ok("query", "--store", folder, *arguments)
    assert re.match(r"now .*\ncpu .*\nbefore .*\ncpu ", text), text
    ok("query", "--store", folder, *arguments, "-o", "range.svg")
    # The base is as long as the range, when only one of its ends is said.
    now = ["--process", "spin", "--from", f"@{at:.3f}", "--to", f"@{at + 1.5:.3f}"]
    assert query(*now, "--diff-to", f"@{began + 1.8:.3f}")["base"]["total"] == query(*now, "--diff-from", f"@{began + 0.3:.3f}")["base"]["total"] > 0


@test("query: no store, an empty one, a time without windows, a name that is not there")
def query_refused():
    folder = Stored.get()
    refused(1, ["there is no store in '/no/where'", "'hearth agent' makes one"], "query", "--store", "/no/where")
    open("file", "w").close()
    refused(1, "is no folder with a store", "query", "--store", "file")
    os.mkdir("empty_store")
    refused(1, ["has no windows yet", "hearth control status"], "query", "--store", "empty_store")
    state = os.environ["STATE_DIRECTORY"]
    refused(1, [state, "there is no store"], "query")
    day = time.strftime("%Y-%m-%d")
    refused(1, ["has no windows from 2020-01-01 00:00:00 to 2020-01-02 00:00:00; it has", "from 20"], "query", "--store", folder, "--from", "2020-01-01", "--to", "2020-01-02")
    refused(1, ["no sample has the process 'spam'; there are "], "query", "--store", folder, "--process", "spam")
    refused(1, "no sample is left of process=spin, focus /nowhere/", "query", "--store", folder, "--process", "spin", "--focus", "nowhere")
    shutil.copytree(folder, "damaged")
    for name in os.listdir("damaged"):
        with open(f"damaged/{name}", "r+b") as file:
            file.seek(5000)
            file.write(os.urandom(60000))
    done = hearth("query", "--store", "damaged")
    assert done.returncode == 1 and "damaged" in done.stderr, done


@test("query beside a running agent: it reads while windows are written, and leaves nothing")
def beside_agent():
    load = spawn(spin(), "100000")  # an idle machine has windows without samples
    agent = spawn(HEARTH, "agent", "--store", "live", "--window", "0.3", "-F", "99", stderr=open("live.log", "w"))
    wait_for(lambda: file_holds("live.log", "stored in", 2), 60, "windows")
    totals = []
    for _ in range(5):
        totals.append(json.loads(ok("query", "--store", "live", "--json"))["profile"]["samples"])
        time.sleep(0.3)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0 and "lost" not in open("live.log").read()
    load.kill()
    load.wait()
    assert totals == sorted(totals), totals
    before = sorted(os.listdir("live"))
    ok("query", "--store", "live")
    assert sorted(os.listdir("live")) == before


def as_user(name, *arguments):
    user = pwd.getpwnam(name)
    env = {k: v for k, v in os.environ.items() if k not in ("STATE_DIRECTORY", "XDG_STATE_HOME")}
    return subprocess.run(arguments, capture_output=True, text=True, user=user.pw_uid, group=user.pw_gid, extra_groups=[], env={**env, "HOME": os.path.abspath("home")})


@test("as an ordinary user: the same, and a store that may not be read is said to be so")
def ordinary():
    a, _ = profiles()
    os.chmod(".", 0o755)
    os.makedirs("home", exist_ok=True)
    shutil.copy(a, "theirs.of_nobody.pb.gz")
    shutil.copytree(Stored.get(), "stored_of_nobody")
    nobody = pwd.getpwnam("nobody")
    for path in ["theirs.of_nobody.pb.gz", "stored_of_nobody", *[f"stored_of_nobody/{n}" for n in os.listdir("stored_of_nobody")], "home"]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    binary = shutil.copy(HEARTH, "hearth_for_all")
    os.chmod(binary, 0o755)
    assert json.loads(as_user("nobody", "./" + binary, "report", "--json", "theirs.of_nobody.pb.gz").stdout)["functions"] == report(a)["functions"]
    done = as_user("nobody", "./" + binary, "query", "--store", "stored_of_nobody", "--json")
    assert json.loads(done.stdout)["functions"] == query()["functions"], done.stderr
    # Root reads what is somebody's: files, and a store, whose owner it becomes.
    assert json.loads(ok("query", "--store", "stored_of_nobody", "--json"))["functions"] == query()["functions"]
    for words, folder in (("may not be read by you; run this as root", Stored.get()), ("there is no store", "home/none")):
        done = as_user("nobody", "./" + binary, "query", "--store", folder)
        assert done.returncode == 1 and words in done.stderr, done
    done = as_user("nobody", "./" + binary, "query")
    assert done.returncode == 1 and "home/.local/state/hearth" in done.stderr and "/var/lib/hearth" in done.stderr, done
    assert as_user("nobody", "./" + binary, "report", a).returncode == 1  # 0600, root's


@test("strace: from the first foreign byte on nothing is opened but the store, for reading, and nothing is executed or connected")
def confined():
    if not shutil.which("strace"):
        raise Skip("no strace")
    a, b = profiles()
    folder = Stored.get()
    for arguments in (["report", a], ["diff", "-o", "traced.svg", a, b], ["query", "--store", folder], ["query", "--store", folder, "--diff-to", "-1s", "-o", "traced2.svg"]):
        done = subprocess.run(["strace", "-f", "-o", "trace", HEARTH, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done
        with open("trace") as file:
            lines = [line.split(None, 1) for line in file]
        begin = next(i for i, (_, call) in enumerate(lines) if call.startswith(("seccomp(SECCOMP_SET_MODE_FILTER", "prctl(PR_SET_SECCOMP")))
        reader = lines[begin][0]
        own = [call for pid, call in lines[begin + 1:] if pid == reader]
        main = [call for pid, call in lines if pid != reader]
        assert own and any(call.startswith(("read(", "pread64(")) for call in own)
        names = {call.split("(")[0] for call in own if "(" in call}
        assert not names & {"socket", "connect", "execve", "fork", "clone", "clone3", "vfork", "ptrace", "kill", "unlink", "rename", "setuid"}, names
        opened = [(path, flags, result) for path, flags, result in re.findall(r'^openat\(\S+, "([^"]*)", ([A-Z_|]+).* = (-?\d+)', "\n".join(own), re.M) if int(result) >= 0]
        assert bool(opened) == (arguments[0] == "query"), opened
        assert all((path.startswith(folder) or path == ".") and "O_RDONLY" in flags for path, flags, _ in opened), opened
        # The command itself reads none of what it opened.
        fds = {result for path, result in re.findall(r'openat\(\S+, "([^"]*)".* = (\d+)', "\n".join(main)) if path.endswith((".pb.gz", ".db"))}
        assert not [call for call in main if re.match(r"(read|pread64|readv)\((\d+)", call) and re.match(r"\w+\((\d+)", call)[1] in fds and ".pb.gz" in call], main


@test("a signal ends it, and leaves no file")
def interrupted():
    os.mkfifo("slow")
    os.mkdir("out")
    for number in (signal.SIGINT, signal.SIGTERM):
        hold = os.open("slow", os.O_RDWR)
        process = spawn(HEARTH, "flame", "-o", "out/x.svg", "slow", stderr=subprocess.PIPE)
        wait_for(lambda: os.listdir("out"), 60, "the unfinished file")
        process.send_signal(number)
        assert process.wait(60) == -number and not os.listdir("out"), (process.returncode, os.listdir("out"))
        os.close(hold)


run()
