#!/usr/bin/env python3
"""Names of JIT code: perf maps and jitdumps of a small JIT of our own, in namespaces, hostile ones, and those of real runtimes."""
import atexit
import glob
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import time

from harness import *
from profile_reader import samples

JIT_FILES = re.compile(r"/tmp/perf-(\d+)\.map(\.new)?$")
YOUNG_S = 20
BEFORE = set(glob.glob("/tmp/perf-*.map*"))


@atexit.register
def remove_maps():
    """Of processes that are gone for a while: somebody else may run this test, too."""
    for path in set(glob.glob("/tmp/perf-*.map*")) - BEFORE:
        name = JIT_FILES.match(path)
        if name and not os.path.isdir(path) and not os.path.exists("/proc/" + name[1]) and time.time() - os.lstat(path).st_mtime > YOUNG_S:
            os.unlink(path)


def jit(*flags):
    if platform.machine() != "x86_64":
        raise Skip("the workload is x86-64 code")
    return build("jit.c", "jit", "-O2", *flags)


def recorded(name, *command, rate=499, timeout=300):
    summary = record("-F", str(rate), "-o", name + ".folded", *command, timeout=timeout)
    return summary, folded(name + ".folded")


def jit_stacks(stacks, inner):
    return sum(count for names, count in stacks if inner in names)


def run_mode(mode, inner, outer, seconds=2):
    program = jit()
    summary, stacks = recorded(mode, "--", program, mode, str(seconds))
    total = sum(count for _, count in stacks)
    chain = sum(count for names, count in stacks if inner in names and names[names.index(inner) - 1] == outer
                and "main" in names)
    assert chain > 0.9 * total, (chain, total, stacks[:5])
    assert summary["jit"]["samples"] >= chain, summary["jit"]
    return summary, stacks, total


@test("JIT: a perf map names code, callers too", alone=True)
def perf_map():
    summary, _, total = run_mode("map", "jit_inner", "jit_outer with spaces")
    assert summary["jit"]["unnamed"] == 0 and summary["jit"]["maps_opened"] == 1, summary["jit"]
    assert summary["jit"]["entries"] == 2 and summary["stacks"]["complete"] > 0.95 * total, summary


@test("JIT: code in a memfd")
def memfd():
    run_mode("memfd", "jit_inner", "jit_outer with spaces")


@test("JIT: a jitdump, found by its mapping: name, file and line", alone=True)
def jitdump():
    summary, _, _ = run_mode("dump", "dumped_inner", "dumped_outer")
    assert summary["jit"]["dumps_opened"] == 1 and summary["jit"]["maps_opened"] == 0, summary["jit"]
    record("-F", "499", "-o", "dump.pb.gz", "--", jit(), "dump", "1")
    lines = go_pprof("-traces", "-lines", "dump.pb.gz")
    assert "inner.lang:42" in lines, lines[:2000]


@test("JIT: code that replaces other code: each sample gets the name of its time")
def replaced():
    program = jit()
    _, stacks = recorded("replace", "--", program, "replace", "4")
    first, second = jit_stacks(stacks, "dumped_inner"), jit_stacks(stacks, "dumped_second")
    # Equal stacks of one drain are one sample with the time of the first: a drain comes every second at least.
    assert first > 0.3 * (first + second), (first, second)


@test("JIT: half a line waits until it ends")
def half():
    program = jit()
    _, stacks = recorded("half", "--", program, "half", "2")
    assert jit_stacks(stacks, "jit_inner_and_more") > 0.8 * sum(count for _, count in stacks), stacks[:5]


@test("JIT: a forked child runs its parent's code")
def forked():
    run_mode("fork", "jit_inner", "jit_outer with spaces")


@test("JIT: a forked child that was there before hearth")
def forked_before():
    process = spawn(jit(), "fork", "120")
    child = int(wait_for(lambda: subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.strip(), 60, "a child"))
    wait_for(lambda: cpu_s(child) > 0.1, 60, "a child that runs")
    record_while([child], 0.7, "-F", "499", "-o", "fork_before.folded", "-p", str(child))
    stacks = folded("fork_before.folded")
    assert jit_stacks(stacks, "jit_inner") > 0.8 * sum(count for _, count in stacks), stacks[:5]
    os.kill(child, signal.SIGKILL)


@test("JIT: a process that was there before hearth, and one without a map: it is said what to run")
def without_map():
    program = jit()
    process = spawn(program, "map", "120")
    silent = spawn(program, "none", "120")
    wait_for(lambda: cpu_s(process.pid) > 0.1 and cpu_s(silent.pid) > 0.1, 60, "processes that run")
    _, said = record_while([process.pid, silent.pid], 0.5, "-F", "499", "-p", f"{process.pid},{silent.pid}", "-o", "both.folded", json=False)
    stacks = folded("both.folded")
    assert jit_stacks(stacks, "jit_inner") > 50 and jit_stacks(stacks, "[anonymous]") > 50, stacks[:5]
    lines = [line for line in said.splitlines() if "JIT" in line]
    assert len(lines) == 1 and f"/tmp/perf-{silent.pid}.map is not there; for names:" in lines[0], said
    process.kill(), silent.kill()


@test("JIT: a process that ends at once, and its map is there")
def brief():
    program = jit()
    summary, stacks = recorded("brief", "--", "sh", "-c", f"for i in 1 2 3 4 5; do {program} map 0.2; done")
    named, unnamed = jit_stacks(stacks, "jit_inner"), jit_stacks(stacks, "[anonymous]")
    assert named > 5 * max(unnamed, 1), (named, unnamed, summary["jit"])


def bare_root(folder, program):
    os.makedirs(os.path.join(folder, "tmp"), exist_ok=True)
    os.chmod(os.path.join(folder, "tmp"), 0o1777)
    shutil.copy(program, os.path.join(folder, "jit"))
    return os.path.abspath(folder)


@test("JIT: own root and pid namespace")
def namespaces():
    root = bare_root("jail", jit("-static"))
    subprocess.run(["unshare", "--pid", "--fork", "true"], check=True)
    _, stacks = recorded("jail", "--", "unshare", "--pid", "--mount", "--fork", "chroot", root, "/jit", "map", "2")
    assert os.path.exists(os.path.join(root, "tmp/perf-1.map")), os.listdir(os.path.join(root, "tmp"))
    assert jit_stacks(stacks, "jit_inner") > 0.8 * sum(count for _, count in stacks), stacks[:5]


@test("JIT: a user namespace: its root may write the map, nobody else")
def user_namespace():
    root = bare_root("userns", jit("-static"))
    os.chmod(os.path.dirname(root), 0o755)
    enter = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "chroot", root, "/jit", "map", "2"]
    try:
        subprocess.run(["setpriv", "--reuid=12345", "--clear-groups", *enter[:-1], "0"], check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise Skip(f"no user namespaces for users here: {error}")
    _, stacks = recorded("userns", "--", "setpriv", "--reuid=12345", "--clear-groups", *enter)
    assert jit_stacks(stacks, "jit_inner") > 0.8 * sum(count for _, count in stacks), stacks[:5]


def hostile(prepare):
    """A silent JIT with a perf map that somebody prepared for it: the summary of JITs, hearth's seconds of CPU."""
    process = spawn(jit(), "none", "300")
    path = f"/tmp/perf-{process.pid}.map"
    prepare(path)
    try:
        summary, _ = record_while([process.pid], 0.5, "-F", "499", "-o", "hostile.folded", "-p", str(process.pid))
    finally:
        process.kill()
        if os.path.lexists(path):
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    stacks = folded("hostile.folded")
    assert jit_stacks(stacks, "[anonymous]") > 50, stacks[:5]
    return summary["jit"], summary["hearth"]["cpu_ns"] / 1e9


def write(path, text, repeat=1):
    with open(path, "w") as out:
        for _ in range(repeat):
            out.write(text)


def sparse(path, size):
    with open(path, "w") as out:
        out.truncate(size)


def foreign(path):
    write(path, "0 ffffffff forged\n")
    os.chown(path, 4711, 4711)


@test("JIT: hostile maps are refused: link, FIFO, device, folder, foreign owner, 10 GB sparse, 1 GB of lines")
def hostile_maps():
    for name, prepare in {
        "link": lambda path: os.symlink("/etc/passwd", path),
        "fifo": lambda path: os.mkfifo(path),
        "device": lambda path: os.mknod(path, 0o020666, os.makedev(1, 5)),
        "folder": lambda path: os.mkdir(path),
        "owner": foreign,
        "sparse": lambda path: sparse(path, 10 << 30),
        "lines": lambda path: write(path, "this is not a line of a map\n" * 40000, 1000),
    }.items():
        jit_summary, used_s = hostile(prepare)
        assert jit_summary["maps_refused"] >= 1 and jit_summary["entries"] == 0, (name, jit_summary)
        assert used_s < 6, (name, used_s)


@test("JIT: 60 MB of garbage lines, and of lines for the whole address space: counted, bounded")
def garbage():
    for name, line in (("garbage", "this is not a line of a map\n"), ("forged", "%x 1000 name_%d\n")):
        def prepare(path):
            with open(path, "w") as out:
                if "%" in line:
                    for i in range(2_000_000):
                        out.write(line % (1 << 40 | i << 12, i))
                else:
                    out.write(line * 2_000_000)
        jit_summary, used_s = hostile(prepare)
        print(f"# {name}: {jit_summary['entries']} entries, {jit_summary['entries_bad']} bad, {jit_summary['entries_refused']} refused, "
              f"{jit_summary['table_bytes'] >> 20} MiB, {jit_summary['read_ns'] / 1e6:.0f} ms", flush=True)
        assert jit_summary["entries_bad"] + jit_summary["entries"] + jit_summary["entries_refused"] == 2_000_000, jit_summary
        assert jit_summary["table_bytes"] < 100 << 20 and used_s < 8, (jit_summary, used_s)


@test("JIT: a map that is replaced all the time, over windows of the agent")
def churn():
    program = jit()
    process = spawn(program, "churn", "300")
    service = spawn(HEARTH, "agent", "--output", "windows", "-F", "199", "--window", "1s", stderr=open("agent.log", "w"))

    def sampled():
        """Windows behind the first that have many samples of the process."""
        return [window for window in sorted(glob.glob("windows/*.pb.gz"))[1:] if sum(values[0] for labels, values in samples(window) if labels["pid"] == process.pid) > 20]

    wait_for(lambda: len(sampled()) >= 3, 100, "windows")
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0, open("agent.log").read()
    process.kill()
    lacking = [window for window in sampled() if "jit_inner" not in go_pprof("-top", "-nodecount=1000", window)]
    assert not lacking, (lacking, open("agent.log").read())


# ---- real runtimes ----

def share_named(name, stacks, summary, at_least):
    """How many of the samples with JIT code have all their names."""
    j = summary["jit"]
    part = 1 - j["unnamed"] / j["samples"] if j["samples"] else 0
    print(f"# {name}: {j['samples']} of {summary['samples']} samples have JIT code, {100 * part:.1f} % of these all names, "
          f"{j['entries']} entries, {j['read_ns'] / 1e6:.1f} ms", flush=True)
    assert j["samples"] > 50 and part >= at_least, (j, stacks[:10])


def need(program):
    path = shutil.which(program)
    if not path:
        raise Skip(f"no {program}")
    return path


FIB_JS = """
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
let s = 0;
while (process.cpuUsage().user < 2e6) { s += fib(22); s += JSON.stringify([...Array(100).keys()].map(i => "k" + i)).length; }
"""


@test("JIT: node --perf-basic-prof")
def node():
    node = need("node")
    write("fib.js", FIB_JS)
    summary, stacks = recorded("node", "--", node, "--perf-basic-prof", "--interpreted-frames-native-stack", "fib.js")
    share_named("node --perf-basic-prof", stacks, summary, 0.95)
    assert sum(count for names, count in stacks if any("fib" in name for name in names)) > 100


@test("JIT: node --perf-prof writes a jitdump")
def node_dump():
    node = need("node")
    write("fib.js", FIB_JS)
    summary, stacks = recorded("node_dump", "--", node, "--perf-prof", "--interpreted-frames-native-stack", "fib.js")
    share_named("node --perf-prof", stacks, summary, 0.95)
    assert summary["jit"]["dumps_opened"] == 1, summary["jit"]


FIB_JAVA = """
public class Fib {
  static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
  public static void main(String[] a) {
    var thread = java.lang.management.ManagementFactory.getThreadMXBean();
    long end = Long.parseLong(a[0]) * 1000000; long s = 0;
    while (thread.getCurrentThreadCpuTime() < end) { s += fib(24); StringBuilder b = new StringBuilder(); for (int i = 0; i < 999; i++) b.append(i); s += b.length(); }
  }
}
"""


@test("JIT: java, and jcmd PID Compiler.perfmap while it runs")
def java():
    java, jcmd = need("java"), need("jcmd")
    write("Fib.java", FIB_JAVA)
    process = spawn(java, "-XX:+PreserveFramePointer", "Fib.java", "600000", stdout=subprocess.DEVNULL)

    def used(seconds):
        begin = cpu_s(process.pid)
        wait_for(lambda: cpu_s(process.pid) - begin > seconds, 200, "CPU time of java")

    used(4)
    recording = Recording("-F", "199", "-p", str(process.pid), "-o", "java.folded")
    used(1.5)
    told = subprocess.run([jcmd, str(process.pid), "Compiler.perfmap"], capture_output=True, text=True)
    used(1)
    summary = recording.end()
    process.kill()
    if told.returncode or not os.path.exists(f"/tmp/perf-{process.pid}.map"):
        raise Skip(f"jcmd Compiler.perfmap: {told.stdout} {told.stderr}")
    share_named("java", folded("java.folded"), summary, 0.95)


@test("JIT: java -XX:+DumpPerfMapAtExit")
def java_at_exit():
    java = need("java")
    write("Fib.java", FIB_JAVA)
    flags = ["-XX:+PreserveFramePointer", "-XX:+UnlockDiagnosticVMOptions", "-XX:+DumpPerfMapAtExit"]
    if subprocess.run([java, *flags, "-version"], capture_output=True).returncode:
        raise Skip("this Java has no DumpPerfMapAtExit")
    summary, stacks = recorded("java_exit", "--", java, *flags, "Fib.java", "3000", rate=199)
    share_named("java at exit", stacks, summary, 0.95)


@test("JIT: Erlang, +JPperf true")
def erlang():
    erl = need("erl")
    code = ("F = fun(_, N) when N < 2 -> N; (G, N) -> G(G, N - 1) + G(G, N - 2) end, "
            "lists:foreach(fun(_) -> lists:sort([erlang:phash2(X) || X <- lists:seq(1, 100000)]) end, lists:seq(1, 40)), halt().")
    if subprocess.run([erl, "+JPperf", "true", "-noshell", "-eval", "halt()."], capture_output=True).returncode:
        raise Skip("this Erlang has no JIT")
    summary, stacks = recorded("erlang", "--", erl, "+JPperf", "true", "+S", "1", "-noshell", "-eval", code, rate=199)
    share_named("erlang", stacks, summary, 0.9)


@test("JIT: php, opcache.jit_debug")
def php():
    php = need("php")
    write("fib.php", "<?php function fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); } "
                     "do { fib(22); $used = getrusage(); } while ($used['ru_utime.tv_sec'] < 2);")
    flags = ["-d", "opcache.enable_cli=1", "-d", "opcache.jit_buffer_size=32M", "-d", "opcache.jit=1235", "-d", "opcache.jit_debug=0x10",
             "-d", "opcache.file_update_protection=0"]
    has = subprocess.run([php, *flags, "-r", "echo json_encode(opcache_get_status()['jit']['on'] ?? false);"], capture_output=True, text=True)
    if has.stdout.strip() != "true":
        raise Skip("this PHP has no opcache JIT")
    summary, stacks = recorded("php", "--", php, *flags, "fib.php", rate=199)
    share_named("php", stacks, summary, 0.9)


@test("JIT: LuaJIT; Debian's is built without a perf map: it is said what to do")
def luajit():
    luajit = need("luajit")
    write("loop.lua", "local e = os.clock() + 1; local s = 0; while os.clock() < e do for i = 1, 1e6 do s = s + i % 7 end end")
    done = hearth("record", "-F", "499", "-o", "lua.folded", "--", luajit, "loop.lua")
    assert done.returncode == 0 and "LUAJIT_USE_PERFTOOLS" in done.stderr, done.stderr


@test("JIT: CPython 3.12 -X perf")
def python():
    program = next((path for path in map(shutil.which, ("python3.14", "python3.13", "python3.12")) if path
                    and subprocess.run([path, "-X", "perf", "-c", ""], capture_output=True).returncode == 0), None)
    if not program:
        raise Skip("no Python 3.12 (Debian 12 has 3.11)")
    write("fib.py", "import time\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
                    "while time.process_time() < 2:\n    fib(18)\n")
    summary, stacks = recorded("python", "--", program, "-X", "perf", "fib.py")
    share_named("python", stacks, summary, 0.9)
    assert any(name.startswith("py::fib") for names, _ in stacks for name in names), stacks[:5]


run(processes=2)
