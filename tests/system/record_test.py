#!/usr/bin/env python3
"""hearth record on a real kernel: what it samples, filters, names, writes and counts."""
import contextlib
import gzip
import glob
import json
import os
import re
import signal
import subprocess
import time

from harness import *


@test("70 and 30 percent are seen as such, in a PIE")
def split_pie():
    program = build("split.c", "split_pie", "-O2", "-pie", "-fPIE")
    check_split(program, "split_pie")


@test("70 and 30 percent are seen as such, in a program at a fixed address")
def split_fixed():
    program = build("split.c", "split_fixed", "-O2", "-no-pie", "-fno-pie")
    check_split(program, "split_fixed")


@test("70 and 30 percent are seen as such, in a shared library")
def split_library():
    build("split.c", "libsplit.so", "-O2", "-shared", "-fPIC", "-DSPLIT_LIBRARY")
    program = build("split.c", "split_shared", "-O2", "-DSPLIT_EXTERNAL", "-L.", "-lsplit", "-Wl,-rpath,$ORIGIN")
    check_split(program, "split_shared")


@test("70 and 30 percent are seen as such, in a static program")
def split_static():
    check_split(build("split.c", "split_static", "-O2", "-static"), "split_static")


def check_split(program, name):
    record("-F", "997", "-o", "split.folded", "--", program, "2")
    stacks = folded("split.folded")
    assert all(names[0] in (name, "hearth") for names, _ in stacks), stacks[:3]
    seventy, thirty = share(stacks, "spend_70"), share(stacks, "spend_30")
    assert 0.64 < seventy < 0.76 and 0.24 < thirty < 0.36, (seventy, thirty)
    assert any(names[-3:-1] == ["main", "spend_70"] or names[-2:] == ["main", "spend_70"] for names, _ in stacks)


@test("callers stand above callees")
def order():
    program = build("busy.c", "busy", "-O2")
    record("-F", "499", "-o", "busy.folded", "--", program, "2")
    top = max(folded("busy.folded"), key=lambda stack: stack[1])[0]
    at = top.index("outer")
    assert top[at - 1:at + 3] == ["main", "outer", "middle", "inner"], top


@test("512 frames and more are walked, and what is cut is said", alone=True)
def depth():
    program = build("deep.c", "deep", "-O1", "-fno-optimize-sibling-calls")
    summary = record("-F", "199", "-o", "deep.folded", "--", program, "400", "2")
    top = max(folded("deep.folded"), key=lambda stack: stack[1])[0]
    assert top.count("down") == 400, top.count("down")
    assert summary["stacks"]["complete"] > 0.9 * summary["samples"], summary
    summary = record("-F", "199", "-o", "deep.folded", "--", program, "2000", "2")
    top = max(folded("deep.folded"), key=lambda stack: stack[1])[0]
    assert top.count("down") > 500 and "[truncated: too_deep]" in top, len(top)
    assert summary["stacks"]["truncated"]["too_deep"] > 0.9 * summary["samples"], summary


def numbers(message):
    """All varints of a protobuf message and of what looks like messages in it: no address hides from that."""
    at = 0
    while at < len(message):
        field, at = varint(message, at)
        if field is None:
            return
        if field & 7 == 0:
            value, at = varint(message, at)
            if value is None:
                return
            yield value
        elif field & 7 == 2:
            size, at = varint(message, at)
            if size is None or at + size > len(message):
                return
            yield from numbers(message[at:at + size])
            at += size
        else:
            return


def varint(message, at):
    value = shift = 0
    while at < len(message) and shift < 70:
        value |= (message[at] & 127) << shift
        shift += 7
        at += 1
        if message[at - 1] < 128:
            return value, at
    return None, at


@test("kernel frames are named, in one stack with the user's")
def kernel():
    program = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=3000000"]
    record("-F", "997", "-o", "dd.folded", "--", *program)
    both = [names for names, _ in folded("dd.folded")
            if any(name.endswith("_[k]") for name in names) and any(not name.endswith("_[k]") for name in names[1:])]
    assert both, "no stack has user and kernel frames"
    names = {name for stack in both for name in stack}
    assert any("read" in name and name.endswith("_[k]") for name in names), sorted(names)[:20]
    # User frames stand above kernel frames: a kernel frame has no user frame below it.
    for stack in both:
        first = next(i for i, name in enumerate(stack) if name.endswith("_[k]"))
        assert all(name.endswith("_[k]") for name in stack[first:]), stack


@test("C++ names are demangled")
def cpp():
    program = build("shapes.cpp", "shapes", "-O1", compiler="g++")
    record("-F", "499", "-o", "cpp.folded", "--", program, "2")
    assert share(folded("cpp.folded"), "shapes::grid<int>::fill(int, long)") > 0.8, folded("cpp.folded")[:3]
    for style, name in (("short", "shapes::grid::fill"), ("none", "_ZN6shapes4gridIiE4fillEil")):
        record("-F", "499", "--demangle", style, "-o", "cpp.folded", "--", program, "2")
        assert share(folded("cpp.folded"), name) > 0.8, (style, folded("cpp.folded")[:3])
    assert hearth("record", "--demangle", "long").returncode == 2
    assert hearth("agent", "--demangle", "long").returncode == 2


def setting(path):
    with open("/proc/sys/" + path) as file:
        return file.read().strip()


@test("BPF programs and trampolines have names", alone=True)
def bpf_programs():
    subprocess.run(["clang", "-target", "bpf", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu", "-c", os.path.join(WORKLOADS, "traced.bpf.c"),
                    "-o", "traced.o"], check=True)
    program = build("traced.c", "traced", "-O2", "-lbpf")
    load = spawn(program, "traced.o", "600", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if "0" in (setting("net/core/bpf_jit_kallsyms"), setting("net/core/bpf_jit_enable")):
        raise Skip("net.core.bpf_jit_kallsyms or bpf_jit_enable is 0")
    wait_for(lambda: load.poll() is not None or file_holds("/proc/kallsyms", "_hearth_run\t[bpf]"), 60, "the programs' names")
    assert load.poll() is None, load.returncode
    record_while([load.pid], 1.5, "-F", "997", "-p", str(load.pid), "-o", "traced.folded")
    load.kill()  # not before its names were looked up
    has_fentry = "fentry" in load.communicate()[0]
    stacks = folded("traced.folded")
    names = {name for stack, _ in stacks for name in stack if name.startswith("bpf_")}
    programs = sum(count for stack, count in stacks
                   if any(re.fullmatch(r"bpf_prog_[0-9a-f]{16}_hearth_(run|traced) \[bpf\]_\[k\]", name) for name in stack))
    assert programs > 0.3 * sum(count for _, count in stacks), sorted(names)
    if has_fentry:
        assert any(re.fullmatch(r"bpf_trampoline_[0-9]+ \[bpf\]_\[k\]", name) for name in names), sorted(names)
    else:
        print("# measured: this kernel attaches no program to functions: no trampolines")


@test("kernel addresses are in profiles only when they are asked for")
def kernel_addresses():
    program = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000000"]
    for options, expected in (([], False), (["--kernel-addresses"], True)):
        record("-F", "997", *options, "-o", "addresses.pb.gz", "--", *program)
        raw = gzip.open("addresses.pb.gz").read()
        pcs = [n for n in numbers(raw) if n >> 47 == 0x1ffff]
        assert bool(pcs) is expected, (options, [hex(n) for n in pcs[:5]])


@test("a process that lives for 50 ms and deleted its file has names")
def brief():
    source = build("brief.c", "brief", "-O2")
    command = f"for i in 1 2 3 4 5 6 7 8; do cp {source} brief_$i; ./brief_$i; done"
    summary = record("-F", "997", "-o", "brief.folded", "--", "sh", "-c", command)
    stacks = [(names, count) for names, count in folded("brief.folded") if names[0].startswith("brief_")]
    assert share(stacks, "brief_work") > 0.8, (share(stacks, "brief_work"), summary)


@test("a storm of short processes: their images are known, the table is small afterwards", alone=True)
def storm():
    script = "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"
    summary = record("-F", "997", "-o", "storm.folded", "--", "sh", "-c", script)
    stacks, self = summary["stacks"], summary["hearth"]
    assert stacks["image_known"] > 0.97 * stacks["user"], stacks
    assert self["task_records_lost"] == 0, self
    assert self["processes"] < 500, self


@test("-p samples that process only; threads included")
def pids():
    program = build("busy.c", "busy_p", "-O2")
    wanted, other = spawn(program, "120"), spawn(build("busy.c", "busy_other", "-O2"), "120")
    summary, _ = record_while([wanted.pid, other.pid], 0.7, "-p", str(wanted.pid), "-F", "199", "-o", "p.folded")
    stacks = folded("p.folded")
    assert stacks and {names[0] for names, _ in stacks} == {"busy_p"}, stacks[:3]
    assert summary["filtered"] > 0, summary
    for process in (wanted, other):
        process.kill()
        process.wait()


@test("-p ends when the process ends")
def pid_ends():
    process = spawn(build("busy.c", "busy_e", "-O2"), "120")
    recording = Recording("-p", str(process.pid), "-o", "e.folded")
    process.kill()
    recording.end(None)  # nobody has waited for the process: it is a zombie
    process.wait()


@test("--inherit follows children, and is off without it")
def inherit():
    program = build("busy.c", "busy_i", "-O2")
    for options, expected in ((["--inherit"], True), ([], False)):
        shell = spawn("sh", "-c", f"read go; {program} 1; true", stdin=subprocess.PIPE, text=True)
        recording = Recording("-p", str(shell.pid), *options, "-F", "199", "-o", "i.folded")
        shell.communicate("go\n")
        recording.end(None)
        names = {names[0] for names, _ in folded("i.folded")}
        assert ("busy_i" in names) == expected, (options, names)


@test("--cgroup samples what runs below it")
def cgroup():
    root = next((path for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if os.path.exists(path + "/cgroup.subtree_control")
                 or os.path.exists(path + "/cgroup.procs") and "cgroup2" in open("/proc/mounts").read()), None)
    if not root:
        raise Skip("no cgroup v2 is mounted")
    folder = f"{root}/hearth-test-{os.getpid()}"
    try:
        os.makedirs(folder + "/inner")
    except OSError as error:
        raise Skip(f"no cgroup can be made: {error}")
    inside, outside = spawn(build("busy.c", "busy_in", "-O2"), "120"), spawn(build("busy.c", "busy_out", "-O2"), "120")
    try:
        with open(folder + "/inner/cgroup.procs", "w") as file:
            file.write(str(inside.pid))
        summary, _ = record_while([inside.pid, outside.pid], 0.7, "--cgroup", os.path.basename(folder), "-F", "199", "-o", "cg.folded")
        assert {names[0] for names, _ in folded("cg.folded")} == {"busy_in"}, folded("cg.folded")[:3]
        assert summary["filtered"] > 35, summary
    finally:
        for process in (inside, outside):
            process.kill()
            process.wait()
        os.rmdir(folder + "/inner")
        os.rmdir(folder)


@test("a command is sampled from its exec on, and its exit status passed on")
def command():
    for script, status in (("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", 143)):
        done = hearth("record", "-q", "-o", "c.folded", "--", "sh", "-c", script)
        assert done.returncode == status, (script, done.returncode, done.stderr)
    record("-F", "997", "-o", "c.folded", "--", build("busy.c", "busy_c", "-O2"), "1")
    assert {names[0] for names, _ in folded("c.folded")} <= {"busy_c"}, folded("c.folded")[:3]


@test("Ctrl-C ends early and still writes the file")
def interrupt():
    with open("int.log", "w") as log:
        process = spawn(HEARTH, "record", "-d", "600", "-o", "int.folded", stderr=log)
    wait_for(lambda: file_holds("int.log", "hearth: sampling "), 60, "the begin")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    status = process.wait(100)
    with open("int.log") as log:
        errors = log.read()
    assert status == 0, errors
    assert os.path.exists("int.folded") and "samples of" in errors, errors


@test("every format is written in one run, and go tool pprof reads it with the same total")
def formats():
    program = build("busy.c", "busy_f", "-O2")
    summary = record("-F", "199", "-o", "f.pb.gz", "-o", "f.folded", "-o", "f.svg", "-o", "f.txt", "--", program, "2")
    assert sum(count for _, count in folded("f.folded")) == summary["samples"]
    assert "<svg" in open("f.svg").read(500) and "inner" in open("f.txt").read()
    raw = go_pprof("-raw", "f.pb.gz")
    samples = raw.split("Samples:\n")[1].split("Locations")[0]
    counts = [int(match.group(1)) for match in re.finditer(r"^\s+(\d+)\s+\d+:", samples, re.M)]
    assert sum(counts) == summary["samples"], (sum(counts), summary["samples"])
    assert "inner" in go_pprof("-top", "f.pb.gz") and "outer" in go_pprof("-traces", "f.pb.gz")
    assert f"ticks={summary['ticks']} samples={summary['samples']}" in raw, raw[:600]


@test("standard output takes each format")
def stdout():
    for name in ("folded", "text", "svg"):
        done = hearth("record", "-q", "-d", "0.5", "-o", "-", "--format", name)
        assert done.returncode == 0, done.stderr
    done = subprocess.run([HEARTH, "record", "-q", "-d", "0.5", "-o", "-", "--format", "pprof"], capture_output=True)
    assert done.returncode == 0 and done.stdout[:2] == b"\x1f\x8b"


@test("software events and tracepoints")
def events():
    program = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done"]
    for event in ("page-faults", "context-switches", "sched:sched_process_exec", "task-clock", "cpu-clock"):
        summary = record("-e", event, "-o", "event.folded", "-o", "event.pb.gz", "--", *program)
        assert summary["event"] == event
        if event in ("page-faults", "sched:sched_process_exec"):
            assert summary["samples"] >= 10, (event, summary)
    assert "sched_process_exec" in go_pprof("-raw", record_tracepoint())


def record_tracepoint():
    record("-e", "sched:sched_process_exec", "-o", "tp.pb.gz", "--", "sh", "-c", "/bin/true; /bin/true")
    return "tp.pb.gz"


@test("nothing stays in the kernel", alone=True)
def clean():
    def loaded():
        listing = subprocess.run(["/usr/sbin/bpftool", "prog", "show"], capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"^(\d+):", listing, re.M))
    recording = Recording("-o", "clean.folded")
    # By their ids: other hearths have programs of these names.
    folder, own = f"/proc/{recording.process.pid}/fdinfo", set()
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # it is open for a moment only: not a program
            with open(f"{folder}/{fd}") as info:
                own |= set(re.findall(r"^prog_id:\s+(\d+)", info.read(), re.M))
    assert own and own <= loaded(), (own, loaded())
    recording.end()
    wait_for(lambda: not own & loaded(), 60, "programs of a finished recording")


def refused(status, words, *arguments, **options):
    done = hearth("record", *arguments, **options)
    assert done.returncode == status, (arguments, done.returncode, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("hearth: ") and words in lines[0], (arguments, done.stderr)


@test("bad usage is one line that names the remedy, and status 2")
def usage():
    refused(2, "--format", "-d", "1", "-o", "-")
    refused(2, ".pb.gz", "-d", "1", "-o", "profile.xyz")
    refused(2, "contradict", "-p", "1", "--", "true")
    refused(2, "contradict", "-a", "-p", "1")
    refused(2, "-p", "--inherit", "-d", "1")
    refused(2, "not a number", "-F", "zero")
    refused(2, "not a number", "-F", "0")
    refused(2, "duration", "-d", "-3")
    refused(2, "duration", "-d", "1y")
    refused(2, "list of process ids", "-p", "1,,2")
    refused(2, "no event", "-e", "nonsense")
    refused(2, "-c", "-e", "page-faults", "-F", "99")
    refused(2, "-F", "-c", "7", "-e", "cpu-clock")
    refused(2, "--", "sleep", "1")
    refused(2, "standard output", "--json", "-o", "-", "--format", "folded")
    refused(2, "not a folder", "--host-root", "/nowhere", "-d", "1")
    refused(2, "twice", "-o", "a.svg", "-o", "a.svg")


@test("what cannot work is one line that names the remedy, status 1, and no file")
def failures():
    refused(1, "no process 999999", "-p", "999999", "-d", "1", "-o", "x.folded")
    thread = spawn("python3", "-c", "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()")
    wait_for(lambda: len(os.listdir(f"/proc/{thread.pid}/task")) > 1, 60, "a thread")
    tid = next(tid for tid in os.listdir(f"/proc/{thread.pid}/task") if int(tid) != thread.pid)
    refused(1, f"-p {thread.pid}", "-p", tid, "-d", "1", "-o", "x.folded")
    thread.kill()
    refused(1, "nowhere", "-d", "1", "-o", "nowhere/x.folded")
    refused(1, "max_sample_rate", "-F", "999999", "-d", "1", "-o", "x.folded")
    refused(1, "cgroup", "--cgroup", "no/such/cgroup", "-d", "1", "-o", "x.folded")
    assert not glob.glob("x.folded*") and not glob.glob(".*x.folded*")


@test("a command that cannot be run is said")
def no_command():
    done = hearth("record", "-o", "n.folded", "--", "/nonexistent/program")
    assert done.returncode == 1 and "cannot run '/nonexistent/program'" in done.stderr, done.stderr
    assert not os.path.exists("n.folded")


@test("without privileges: one line with the remedy")
def unprivileged():
    os.chmod(".", 0o777)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", HEARTH, "record", "-d", "1", "-o",
                           "u.folded"], capture_output=True, text=True)
    assert done.returncode == 1 and "run as root" in done.stderr, done.stderr
    assert not os.path.exists("u.folded")


def hidden(path, *command):
    """Run a command where a file reads as empty."""
    return subprocess.run(["unshare", "-m", "sh", "-c", f"mount --bind /dev/null {path} && exec \"$@\"", "sh", *command],
                          capture_output=True, text=True, timeout=200)


@test("without type information: one line with the remedy")
def no_btf():
    done = hidden("/sys/kernel/btf/vmlinux", HEARTH, "record", "-d", "1", "-o", "btf.folded")
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1 and "BTF" in lines[0], done.stderr
    assert not os.path.exists("btf.folded")


@test("without kernel symbols: one warning, and [kernel+0x...]")
def no_kallsyms():
    done = hidden("/proc/kallsyms", HEARTH, "record", "-F", "997", "-o", "ks.folded", "--", "dd", "if=/dev/zero", "of=/dev/null",
                  "bs=1", "count=1000000")
    assert done.returncode == 0 and done.stderr.count("kernel symbols cannot be read") == 1, done.stderr
    assert any(re.match(r"\[kernel\+0x[0-9a-f]+\]_\[k\]", names[-1]) for names, _ in folded("ks.folded"))


@test("a full disk: an error, and nothing under the final name")
def full_disk():
    os.mkdir("small")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", "small"])
    if mounted.returncode:
        raise Skip("tmpfs cannot be mounted here")
    try:
        with open("small/fill", "wb") as file:
            file.write(b"x" * 12288)
        done = hearth("record", "-F", "997", "-d", "1", "-o", "small/x.svg")
        assert done.returncode == 1 and "space" in done.stderr, (done.returncode, done.stderr)
        assert os.listdir("small") == ["fill"], os.listdir("small")
    finally:
        subprocess.run(["umount", "small"])


run(processes=2)
