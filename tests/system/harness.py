"""What the system tests share: TAP output, the workloads, and running hearth.

A test is a function decorated with @test("name"); it fails by raising, and is skipped by raising Skip. run() ends the program.
"""
import atexit
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEARTH = os.environ.get("HEARTH", os.path.join(REPO, "build", "hearth"))
WORKLOADS = os.path.join(REPO, "tests", "workloads")
TESTS = []
SPAWNED = []


class Skip(Exception):
    pass


def test(name, alone=False):
    """alone: needs the whole machine; no other test runs beside it."""
    def add(function):
        function.alone = alone
        TESTS.append((name, function))
        return function
    return add


def enter(scratch):
    """A folder of its own, and nothing of the machine's."""
    os.makedirs(scratch, exist_ok=True)
    os.chdir(scratch)
    os.environ["HEARTH_WINDOW_JITTER"] = "false"  # windows are counted
    os.environ["HEARTH_CONTROL"] = os.path.join(scratch, "run", "control.sock")  # not the socket of the machine's own agent
    os.environ["HEARTH_LISTEN"] = "none"  # nor its port
    os.environ["CACHE_DIRECTORY"] = os.path.join(scratch, "cache")  # not the machine's name tables
    os.environ["STATE_DIRECTORY"] = os.path.join(scratch, "state")  # nor its store


def run(needs_root=True, at_once=1, processes=0):
    """at_once: so many tests at a time, as threads, for those that mostly wait and share no files. processes: the same, each in a process
    and a folder of its own."""
    scratch = tempfile.mkdtemp(prefix="hearth-test-")
    atexit.register(shutil.rmtree, scratch, True)
    enter(scratch)
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    only = names_in(os.environ.get("TESTS_ONLY"))
    tests = [(name, function) for name, function in TESTS if wanted in name and (only is None or name in only)]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        # One at a time they run in this thread, as signals want it.
        outcomes = (in_processes(tests, needs_root, processes, scratch) if processes else
                    (map if at_once == 1 else pool.map)(lambda item: outcome(item[1], needs_root), tests))
        for number, ((name, _), (how, lines)) in enumerate(zip(tests, outcomes), 1):
            failed += how == "not ok"
            print(f"{how} {number} - {name}{lines if how == 'ok' else ''}", flush=True)
            for line in lines.splitlines() if how == "not ok" else []:
                print(f"# {line}", flush=True)
    print(f"1..{len(tests)}")
    sys.exit(1 if failed else 0)


def names_in(path):
    """tests/run names tests that are to run once more, a line each."""
    if not path:
        return None
    with open(path) as file:
        return set(file.read().splitlines())


def in_processes(tests, needs_root, processes, scratch):
    """The outcomes, in order. What needs the machine alone comes first."""
    running = {}

    def begin(number, function):
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            enter(os.path.join(scratch, str(number)))
            with open(os.path.join(scratch, f"{number}.outcome"), "w") as file:
                json.dump(outcome(function, needs_root), file)
            end_spawned()
            sys.stdout.flush()
            os._exit(0)
        running[pid] = number

    def wait():
        running.pop(os.wait()[0])

    for number, (_, function) in enumerate(tests):
        if function.alone:
            begin(number, function)
            wait()
    for number, (_, function) in enumerate(tests):
        if not function.alone:
            if len(running) == processes:
                wait()
            begin(number, function)
    while running:
        wait()
    for number in range(len(tests)):
        try:
            with open(os.path.join(scratch, f"{number}.outcome")) as file:
                yield json.load(file)
        except (OSError, ValueError):
            yield "not ok", "the test's process died"


def outcome(function, needs_root):
    """("ok", " # SKIP why" or "") or ("not ok", the traceback)"""
    if needs_root and os.geteuid() != 0:
        return "ok", " # SKIP needs root"
    try:
        function()
        return "ok", ""
    except Skip as skip:
        return "ok", f" # SKIP {skip}"
    except Exception:
        return "not ok", traceback.format_exc()


def build(source, output, *flags, compiler="gcc"):
    """Compile a workload into the scratch folder; returns its path."""
    subprocess.run([compiler, "-o", output, os.path.join(WORKLOADS, source), "-fno-omit-frame-pointer", *flags],
                   check=True)
    return os.path.abspath(output)


def hearth(*arguments, timeout=200, **options):
    return subprocess.run([HEARTH, *arguments], capture_output=True, text=True, timeout=timeout, **options)


def record(*arguments, timeout=200):
    """hearth record --json: the summary. Asserts success and the accounting identity."""
    done = hearth("record", "--json", *arguments, timeout=timeout)
    return summary_of(done.returncode, done.stdout, done.stderr)


def summary_of(status, output, errors):
    assert status == 0, (status, errors)
    summary = json.loads(output)
    check_identity(summary)
    return summary


class Recording:
    """hearth record beside the test, which samples when this is made, until end(). json: with a summary; else its text is in the log."""

    def __init__(self, *arguments, json=True, **options):
        self.json, self.log_name = json, f"recording-{time.monotonic_ns()}.log"
        with open(self.log_name, "w") as log:
            self.process = spawn(HEARTH, "record", *["--json"] * json, *arguments, stdout=subprocess.PIPE, stderr=log, text=True, **options)
        wait_for(lambda: "hearth: sampling " in self.log() or self.process.poll() is not None, 100, "the begin of sampling")
        assert "hearth: sampling " in self.log(), self.log()

    def log(self):
        with open(self.log_name) as log:
            return log.read()

    def end(self, how=signal.SIGINT):
        """The summary, as by Ctrl-C. how: None waits for what is sampled."""
        if how:
            self.process.send_signal(how)
        output, _ = self.process.communicate(timeout=200)
        if self.json:
            return summary_of(self.process.returncode, output, self.log())
        assert self.process.returncode == 0, self.log()
        return None


def cpu_s(pid):
    """CPU time that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def record_while(processes, seconds, *arguments, json=True):
    """A recording that lasts until each of the processes has used so many seconds of CPU in it: a time tells nothing of how many samples
    there are, on a machine whose CPUs others take. The summary, and what was said."""
    recording = Recording(*arguments, json=json)
    begin = {pid: cpu_s(pid) for pid in processes}
    wait_for(lambda: all(cpu_s(pid) - begin[pid] >= seconds for pid in processes), 120, f"{seconds} s of CPU")
    return recording.end(), recording.log()


def check_identity(summary):
    stacks = summary["stacks"]
    assert summary["ticks"] == summary["samples"] + sum(summary["dropped"].values()), summary
    assert summary["samples"] == stacks["complete"] + sum(stacks["truncated"].values()), summary
    assert summary["accounted"] is True, summary


def folded(path):
    """[(frames root first, count)] of a folded file."""
    stacks = []
    with open(path) as lines:
        for line in lines:
            names, count = line.rstrip("\n").rsplit(" ", 1)
            stacks.append((names.split(";"), int(count)))
    return stacks


def share(stacks, name):
    """Part of the samples that have a frame of this name."""
    total = sum(count for _, count in stacks)
    return sum(count for names, count in stacks if name in names) / total if total else 0.0


def go_pprof(*arguments):
    go = next((path for path in ("/usr/bin/go", shutil.which("go")) if path and os.path.exists(path)), None)
    if not go:
        raise Skip("no go")
    done = subprocess.run([go, "tool", "pprof", *arguments], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PPROF_TMPDIR": os.getcwd(), "HOME": os.getcwd()})
    assert done.returncode == 0, done.stderr
    return done.stdout


def spawn(*arguments, **options):
    """A process that is ended when the test program ends."""
    process = subprocess.Popen(arguments, **options)
    SPAWNED.append(process)
    return process


@atexit.register
def end_spawned():
    for process in SPAWNED:
        if process.poll() is None:
            process.kill()


def wait_for(condition, seconds, what):
    """What the condition returns, as soon as it is true. It is looked at once more behind the end, which may have come while nothing ran."""
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= end
        found = condition()
        if found:
            return found
        if late:
            raise AssertionError(f"timed out after {seconds} s: {what}")
        time.sleep(0.05)


def file_holds(path, words, times=1):
    """Has this been written so often? For what is written by somebody else."""
    try:
        with open(path) as file:
            return file.read().count(words) >= times
    except FileNotFoundError:
        return False
