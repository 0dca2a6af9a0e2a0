#!/usr/bin/env python3
"""hearth addr2line beside addr2line and llvm-symbolizer, and hearth symbolize on profiles of other producers."""
import collections
import gzip
import random
import re

from harness import *

SOURCE = r"""
#include <string>
#include <vector>
#include <algorithm>
namespace { __attribute__((noinline)) int hidden(const std::vector<int> &v) { int n = 0; for (int i : v) n += i * 3; return n; } }
static inline int clamp(int x) { return std::max(0, std::min(x, 10)); }
struct shape { virtual ~shape() {} virtual int area(int by) const { return clamp(by) * 2; } };
int main(int argc, char **argv)
{
	std::vector<int> v;
	for (int i = 0; i < argc; i++)
		v.push_back(clamp(static_cast<int>(std::string(argv[i]).size())));
	shape s;
	return hidden(v) + s.area(argc);
}
"""
BUILT = {}


def program():
    """A C++ program with debug information, and addresses inside its functions."""
    if not BUILT:
        with open("shape.cc", "w") as file:
            file.write(SOURCE)
        subprocess.run(["g++", "-O2", "-g", "-pie", "-fPIE", "-Wl,--build-id", "-o", "shape", "shape.cc"], check=True)
        rng, addresses = random.Random(3), []
        for line in subprocess.run(["nm", "-S", "shape"], capture_output=True, text=True, check=True).stdout.splitlines():
            fields = line.split()
            if len(fields) == 4 and (fields[3] in ("main", "_start") or "hidden" in fields[3] or "shape" in fields[3]) and fields[2] in "tTwW":
                start, size = int(fields[0], 16), int(fields[1], 16)
                addresses += [rng.randrange(start, start + size) for _ in range(20)]
        BUILT["path"], BUILT["addresses"] = os.path.abspath("shape"), addresses
    return BUILT["path"], BUILT["addresses"]


def addr2line(*arguments, **options):
    return hearth("addr2line", "--name-cache-budget", "0", *arguments, **options)


def without_discriminators(text):
    return re.sub(r" \(discriminator \d+\)", "", text)


@test("addr2line: the text of addr2line, option by option")
def like_addr2line():
    path, addresses = program()
    hexes = [f"{a:x}" for a in addresses]
    for options in ([], ["-f"], ["-i"], ["-f", "-i"], ["-a", "-f", "-i"], ["-f", "-i", "-p"], ["-afipCs"], ["-fC"], ["-ap"]):
        theirs = subprocess.run(["addr2line", "-e", path, *options, *hexes], capture_output=True, text=True, check=True).stdout
        ours = addr2line("-e", path, *options, *hexes)
        assert ours.returncode == 0 and not ours.stderr, ours.stderr
        pairs = [(a, b) for a, b in zip(without_discriminators(theirs).splitlines(), ours.stdout.splitlines()) if a != b]
        # Names of functions without a linkage name are explained in docs/naming.md.
        pairs = [(a, b) for a, b in pairs if "hidden" not in b and "clamp" not in b and a != "_start"]
        assert not pairs and len(theirs.splitlines()) == len(ours.stdout.splitlines()), (options, pairs[:5])


@test("addr2line: the text of llvm-symbolizer, LLVM's and JSON style")
def like_llvm():
    path, addresses = program()
    hexes = [f"0x{a:x}" for a in addresses]
    for style in ([], ["-a"], ["-p"], ["-s", "-a"], ["--no-inlines"]):
        theirs = subprocess.run(["llvm-symbolizer", "-e", path, *style, *hexes], capture_output=True, text=True, check=True).stdout
        ours = addr2line("-e", path, "--output-style=LLVM", *style, *hexes)
        pairs = [(a, b) for a, b in zip(theirs.splitlines(), ours.stdout.splitlines())
                 if a != b and "::~" not in a and "_start" not in a and "??" not in a]
        assert not pairs and len(theirs.splitlines()) == len(ours.stdout.splitlines()), (style, pairs[:5])
    theirs = json.loads(subprocess.run(["llvm-symbolizer", "-e", path, "--output-style=JSON", *hexes], capture_output=True, text=True).stdout)
    ours = json.loads(addr2line("-e", path, "--output-style=JSON", *hexes).stdout)
    assert [each["Address"] for each in ours] == [each["Address"] for each in theirs]
    for a, b in zip(ours, theirs):
        assert a["ModuleName"] == path
        assert [(s["Line"], s["Column"], s["FileName"]) for s in a["Symbol"]] == [(s["Line"], s["Column"], s["FileName"]) for s in b["Symbol"]] or \
            b["Symbol"][0]["Line"] == 0, (a, b)


@test("addr2line: one question, one answer, on standard input")
def interactive():
    path, addresses = program()
    asked = spawn(HEARTH, "addr2line", "-e", path, "-f", "--name-cache-budget", "0", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    expected = addr2line("-e", path, "-f", *[f"{a:x}" for a in addresses[:10]]).stdout.splitlines()
    for i, address in enumerate(addresses[:10]):
        asked.stdin.write(f"0x{address:x}\n")
        assert [asked.stdout.readline().rstrip("\n") for _ in range(2)] == expected[2 * i:2 * i + 2]
    asked.stdin.close()
    assert asked.wait(timeout=60) == 0
    done = addr2line("-e", path, "-f", input=f"nonsense\n{addresses[0]:x}\n")
    assert done.returncode == 1 and done.stdout.splitlines() == ["??", "??:0"] + expected[:2], done
    assert "1 line is no address" in done.stderr, done.stderr


@test("addr2line: --keep keeps a table, and the next time reads it")
def keep():
    path, addresses = program()
    hexes = [f"{a:x}" for a in addresses if "_start" not in addr2line("-e", path, "-f", f"{a:x}").stdout]  # the file's own symbols are not in tables
    plain = addr2line("-e", path, "-fi", *hexes).stdout
    first = hearth("addr2line", "-e", path, "--name-cache", "kept", "--keep", "-fi", *hexes)
    tables = os.listdir("kept")
    assert first.stdout == plain and len(tables) == 1 and tables[0].endswith(".names"), (tables, first.stderr)
    stripped = shutil.copy(path, "shape.stripped")
    subprocess.run(["strip", stripped], check=True)  # the same build id, and nothing in the file itself
    assert hearth("addr2line", "-e", stripped, "--name-cache", "kept", "-fi", *hexes).stdout == plain
    # A damaged one costs its names, not the answer.
    table = os.path.join("kept", tables[0])
    size = os.path.getsize(table)
    with open(table, "r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 3))
    done = hearth("addr2line", "-e", path, "--name-cache", "kept", "-fi", *hexes)
    assert done.returncode == 0 and done.stdout == plain, done.stderr


@test("addr2line: debug files in other folders")
def debug_path():
    path, addresses = program()
    hexes = [f"{a:x}" for a in addresses]
    plain = addr2line("-e", path, "-fi", *hexes).stdout
    build_id = re.search(r"Build ID: (\w+)", subprocess.run(["readelf", "-n", path], capture_output=True, text=True).stdout)[1]
    os.makedirs(f"symbols/.build-id/{build_id[:2]}", exist_ok=True)
    subprocess.run(["objcopy", "--only-keep-debug", path, f"symbols/.build-id/{build_id[:2]}/{build_id[2:]}.debug"], check=True)
    stripped = shutil.copy(path, "shape.alone")
    subprocess.run(["strip", stripped], check=True)
    assert addr2line("-e", stripped, "-fi", *hexes).stdout != plain
    assert addr2line("-e", stripped, "-fi", "--debug-path", "symbols", *hexes).stdout == plain


@test("addr2line: what is no file of code")
def errors():
    os.mkfifo("fifo")
    with open("text", "w") as file:
        file.write("no ELF file\n")
    for path, message in (("missing", "No such file"), ("fifo", "not a regular file"), (".", "not a regular file"), ("/dev/zero", "not a regular file"),
                          ("/proc/kmsg", "not a regular file"), ("text", "not an ELF file")):
        done = addr2line("-e", path, "1", timeout=60)
        assert done.returncode == 1 and message in done.stderr and not done.stdout, (path, done)
    for arguments in (["nonsense"], ["--output-style=XML"], ["--demangle=long"], ["--frobnicate"]):
        assert addr2line("-e", HEARTH, *arguments).returncode == 2, arguments


# --- profiles -------------------------------------------------------------------------------------------------------------------

def varint(n):
    out = b""
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


class Profile:
    """A pprof file as a stranger writes it: sparse ids, one sample for each location, a label."""

    def __init__(self):
        self.strings, self.body, self.locations = [""], b"", 0
        self.body += text(1, number(1, self.string("samples")) + number(2, self.string("count")))
        self.body += number(9, 1700000000000000000) + number(13, self.string("a stranger's comment"))

    def string(self, value):
        if value not in self.strings:
            self.strings.append(value)
        return self.strings.index(value)

    def mapping(self, number_, start, limit, offset, file, build_id=""):
        self.body += text(3, number(1, number_) + number(2, start) + number(3, limit) + number(4, offset) +
                          number(5, self.string(file)) + number(6, self.string(build_id)))

    def location(self, mapping, address):
        self.locations += 1
        id_ = 1000 + 7 * self.locations
        self.body += text(4, number(1, id_) + number(2, mapping) + number(3, address))
        label = number(1, self.string("thread")) + number(2, self.string(f"worker{self.locations}"))
        self.body += text(2, text(1, varint(id_)) + text(2, varint(self.locations)) + text(3, label))

    def write(self, path):
        with open(path, "wb") as file:
            file.write(gzip.compress(self.body + b"".join(text(6, s) for s in self.strings)))


def segment(path):
    """file offset, vaddr, size of the executable segment."""
    for line in subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout.splitlines():
        fields = line.split()
        if fields[:1] == ["LOAD"] and "R E" in line:
            return int(fields[1], 16), int(fields[2], 16), int(fields[4], 16)


def build_id_of(path):
    return re.search(r"Build ID: (\w+)", subprocess.run(["readelf", "-n", path], capture_output=True, text=True).stdout)[1]


def mapped(profile, number_, path, name, build_id, addresses, base=0x7f1234560000):
    """As the loader maps it at a random place; addresses are pcs there."""
    offset, vaddr, size = segment(path)
    start = base + (vaddr & ~4095)
    profile.mapping(number_, start, start + ((vaddr & 4095) + size + 4095 & ~4095), offset & ~4095, name, build_id)
    for address in addresses:
        profile.location(number_, base + address)


def symbolize(*arguments):
    done = hearth("symbolize", "--name-cache-budget", "0", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def outer_frames(path, *options):
    """The outermost frame of each stack, by the count that its sample has."""
    symbolize(path, "-o", "out.folded", *options)
    return {count: names[0] for names, count in folded("out.folded")}


@test("symbolize: pcs of a position-independent program, named; all else stays")
def names_come_in():
    path, addresses = program()
    addresses = sorted(set(addresses))[::5]
    profile = Profile()
    mapped(profile, 77, path, path, build_id_of(path), addresses)
    profile.write("pie.pb.gz")
    done = symbolize("pie.pb.gz", "-o", "named.pb.gz", "-o", "named.folded", "-o", "named.svg", "--json")
    said = json.loads(done.stdout)
    assert said["named"] == said["locations"] == len(addresses) and said["had_names"] == 0, said
    assert said["images"][0]["build_id_checked"] is True and said["images"][0]["read"] == path, said
    raw = go_pprof("-raw", "named.pb.gz")
    assert "a stranger's comment" in raw and raw.count("thread:[worker") == len(addresses), raw[:2000]
    assert "shape.cc:" in raw and "[FN][FL][LN][IN]" in raw, raw[-2000:]
    expected = collections.Counter()
    for i, address in enumerate(addresses):
        frames = addr2line("-e", path, "-fiC", f"{address:x}").stdout.splitlines()[0::2]
        expected[";".join(frames[::-1])] += i + 1
    assert {";".join(names): count for names, count in folded("named.folded")} == expected
    # Already named: nothing to do, and nothing changes.
    again = json.loads(symbolize("named.pb.gz", "-o", "again.pb.gz", "--json").stdout)
    assert again["had_names"] == len(addresses) and again["images"] == [], again
    assert go_pprof("-raw", "again.pb.gz") == raw


@test("symbolize: short names, names as the linker saw them, the default output")
def styles():
    path, addresses = program()
    profile = Profile()
    hidden = [a for a in addresses if "hidden" in addr2line("-e", path, "-f", f"{a:x}").stdout][:1]
    mapped(profile, 1, path, path, build_id_of(path), hidden)
    profile.write("styles.pb.gz")
    assert outer_frames("styles.pb.gz")[1].startswith("(anonymous namespace)::hidden(std::vector<int"), outer_frames("styles.pb.gz")
    assert outer_frames("styles.pb.gz", "--demangle=short")[1] == "(anonymous namespace)::hidden"
    assert outer_frames("styles.pb.gz", "--demangle", "none")[1].startswith("_ZN12_GLOBAL__N_1")
    symbolize("styles.pb.gz")
    assert os.path.getsize("styles.named.pb.gz") > 100


@test("symbolize: what cannot be named is told, and kept")
def reasons():
    path, addresses = program()
    other = shutil.copy(path, "other_build")
    with open(other, "r+b") as file:
        data = file.read()
        at = data.index(bytes.fromhex(build_id_of(path)))
        file.seek(at)
        file.write(b"\x01\x02\x03\x04")
    profile = Profile()
    mapped(profile, 1, path, "/nowhere/lib.so", "00112233445566778899", addresses[:2])
    mapped(profile, 2, path, os.path.abspath(other), build_id_of(path), addresses[:3], base=0x7f2234560000)
    profile.mapping(3, 0x1000, 0x2000, 0, "[vdso]")
    profile.location(3, 0x1234)
    profile.mapping(4, 1 << 63, (1 << 64) - 1, 0, "[kernel.kallsyms]")
    profile.location(4, 0xffffffff81000123)
    profile.location(0, 0x4242)
    mapped(profile, 5, path, path, "", addresses[:4], base=0x7f3234560000)
    profile.mapping(6, 0x7f4234560000, 0x7f4234570000, 0x900000, path, build_id_of(path))
    profile.location(6, 0x7f4234560010)
    profile.write("reasons.pb.gz")
    done = symbolize("reasons.pb.gz", "-o", "reasons.folded")
    for line in ("4 of 13 addresses named", "/nowhere/lib.so: no such file here", "is another build: 01020304", "[vdso]: memory of no file",
                 "[kernel.kallsyms]: the kernel's", "(no file): in no mapping", f"the profile has no build id of {path}",
                 f"no executable byte of {path}"):
        assert line in done.stderr, (line, done.stderr)
    assert sum(count for _, count in folded("reasons.folded")) == 13 * 14 // 2


@test("symbolize: by build id, a debug file alone, a sysroot")
def by_build_id():
    path, addresses = program()
    build_id = build_id_of(path)
    expected = None
    for how in ("name", "executable", "debug", "sysroot"):
        root = f"root_{how}"
        os.makedirs(f"{root}/.build-id/{build_id[:2]}", exist_ok=True)
        name = "/gone/bin/shape"
        if how == "name":
            name = path
        elif how == "executable":
            shutil.copy(path, f"{root}/.build-id/{build_id[:2]}/{build_id[2:]}")
        elif how == "debug":
            subprocess.run(["objcopy", "--only-keep-debug", path, f"{root}/.build-id/{build_id[:2]}/{build_id[2:]}.debug"], check=True)
        else:
            os.makedirs(f"{root}/gone/bin")
            shutil.copy(path, f"{root}/gone/bin/shape")
        profile = Profile()
        mapped(profile, 1, path, name, build_id, addresses)
        profile.write("found.pb.gz")
        names = outer_frames("found.pb.gz", "--debug-path", root)
        expected = expected or names
        assert names == expected and not any("0x" in n for n in names.values()), (how, names)


@test("symbolize: files that are none, and options")
def symbolize_errors():
    if not os.path.exists("fifo"):
        os.mkfifo("fifo")
    with open("garbage.pb.gz", "wb") as file:
        file.write(b"\x1f\x8b garbage")
    for path in ("missing.pb.gz", "fifo", ".", "garbage.pb.gz"):
        done = hearth("symbolize", path, "-o", "x.folded", timeout=60)
        assert done.returncode == 1 and "hearth: " in done.stderr and not os.path.exists("x.folded"), (path, done)
    for arguments in ([], ["a", "b"], ["-"], ["a", "-o", "x.unknown"], ["a", "-o", "-"], ["a", "--demangle=long"], ["a", "--debug-path", "/missing"]):
        assert hearth("symbolize", *arguments).returncode == 2, arguments


@test("symbolize: who reads the profile has no rights; the command opens what it asks for, and reads nothing of the profile")
def confined():
    if not shutil.which("strace"):
        raise Skip("no strace")
    path, addresses = program()
    profile = Profile()
    mapped(profile, 1, path, path, build_id_of(path), addresses)
    profile.write("traced.pb.gz")
    done = subprocess.run(["strace", "-f", "-yy", "-o", "trace", HEARTH, "symbolize", "--name-cache-budget", "0", "traced.pb.gz", "-o", "traced.svg", "-o", "traced.folded"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done
    with open("trace") as file:
        calls = [line.split(None, 1) for line in file]
    readers = {pid for pid, call in calls if re.match(r"read\(\d+<[^>]*traced\.pb\.gz>", call)}
    assert len(readers) == 1 and calls[0][0] not in readers, (readers, calls[0])
    own = [call for pid, call in calls if pid in readers]
    confined_at = max(i for i, call in enumerate(own) if call.startswith("seccomp(SECCOMP_SET_MODE_FILTER"))
    after = own[confined_at + 1:]
    assert next(i for i, call in enumerate(own) if "traced.pb.gz>" in call and call.startswith("read(")) > confined_at
    names = {call.split("(")[0] for call in after if "(" in call and not call.startswith("+++")}
    assert not names & {"open", "openat", "openat2", "socket", "connect", "execve", "fork", "clone", "clone3", "vfork", "ptrace", "kill", "unlink", "rename", "setuid"}, names
    assert any("traced.svg" in call for call in after), "it writes the outputs itself"


@test("symbolize: more addresses of one file than a message holds")
def many():
    path, addresses = program()
    profile, rng = Profile(), random.Random(5)
    mapped(profile, 1, path, path, build_id_of(path), [rng.choice(addresses) for _ in range(9000)])
    profile.write("many.pb.gz")
    said = json.loads(symbolize("many.pb.gz", "-o", "many.folded", "--json").stdout)
    assert said["named"] == said["locations"] == 9000, said
    assert sum(count for _, count in folded("many.folded")) == 9000 * 9001 // 2


@test("symbolize: a signal ends it, and leaves neither file nor process")
def interrupted():
    os.mkfifo("slow")
    os.mkdir("interrupted")
    for number in (signal.SIGINT, signal.SIGTERM):
        hold = os.open("slow", os.O_RDWR)
        process = spawn(HEARTH, "symbolize", "slow", "-o", "interrupted/x.svg", stderr=subprocess.PIPE)

        def processes():
            return subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()

        wait_for(lambda: len(processes()) == 2, 60, "the zygote and the process that reads")
        pids = processes()
        process.send_signal(number)
        assert process.wait(60) == -number and not os.listdir("interrupted"), (process.returncode, os.listdir("interrupted"))
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 60, "the end of its processes")
        os.close(hold)


@test("symbolize: an output that cannot be written leaves none; nothing is named in vain")
def failing_output():
    path, addresses = program()
    profile = Profile()
    mapped(profile, 1, path, path, build_id_of(path), addresses)
    profile.write("failing.pb.gz")
    os.mkdir("kept_empty")
    done = hearth("symbolize", "failing.pb.gz", "-o", "kept_empty/x.svg", "-o", "/dev/full", "--format", "folded")
    assert done.returncode == 1 and "/dev/full" in done.stderr and "No space left" in done.stderr and not os.listdir("kept_empty"), done
    done = hearth("symbolize", "failing.pb.gz", "-o", "no/such/folder.svg")
    assert done.returncode == 1 and "create its folder first" in done.stderr, done
    done = hearth("symbolize", "failing.pb.gz", "-o", "-", "--format", "folded", "--name-cache-budget", "0")
    assert done.returncode == 0 and "hidden" in done.stdout and "addresses named" in done.stderr, done


@test("symbolize: a recording of hearth's whose binary lost its names, named again elsewhere")
def own_recording():
    binary = build("split.c", "split_named", "-O1", "-g", "-Wl,--build-id")
    bare = shutil.copy(binary, "split_bare")
    subprocess.run(["strip", bare], check=True)
    record("-F", "499", "-o", "bare.pb.gz", "--name-cache-budget", "0", "--", os.path.abspath(bare), "2")
    symbolize("bare.pb.gz", "-o", "bare.folded")
    os.rename(bare, "split_moved")
    os.makedirs(f"home/.build-id/{build_id_of(binary)[:2]}", exist_ok=True)
    shutil.copy(binary, f"home/.build-id/{build_id_of(binary)[:2]}/{build_id_of(binary)[2:]}")
    assert share(folded("bare.folded"), "spend_70") == 0
    symbolize("bare.pb.gz", "-o", "whole.folded", "--debug-path", "home")
    assert 0.6 < share(folded("whole.folded"), "spend_70") < 0.8, share(folded("whole.folded"), "spend_70")


run()
