#!/usr/bin/env python3
"""Processes that execute hostile files (tests/hostile/images.py) beside hearth: its memory, its windows, the other programs' names, and that what
reads the files opens, connects and executes nothing."""
import calendar
import concurrent.futures
import glob
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time

from harness import *

sys.path.insert(0, os.path.join(REPO, "tests", "hostile"))
import images

FILES = os.path.join(REPO, "build", "tests", "hostile", "files")
MODES = ("truncate", "breathe", "fifo", "device", "memfd")
WINDOW_S = 2
PARTS = 4
GROWTH_MAX = 20 << 20	# bytes of the agent's memory
LATE_MAX = 0.25		# part of a window; a parser may read for seconds


def written():
    """The files' folder; written anew when the script has changed."""
    images.write_all(FILES)
    return FILES


def build_mapped():
    subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", "-fno-omit-frame-pointer", "-o", "mapped", os.path.join(REPO, "tests", "hostile", "mapped.c")], check=True)
    return os.path.abspath("mapped")


def start_mapped(mapped, path, *mode, nice=0):
    return spawn("nice", "-n", str(nice), mapped, path, str(images.CODE), *mode, stderr=subprocess.PIPE)


def start_all(mapped, folder, part=0, parts=1):
    """One of some parts of all: a loop for each would leave no CPU to anybody."""
    what = [(os.path.join(folder, name),) for name in images.IMAGES] + [(os.path.abspath(f"plain-{mode}"), mode) for mode in MODES]
    processes = []
    for path, *mode in what[part::parts]:
        if mode:
            if os.path.lexists(path):
                os.unlink(path)
            images.plain(path)
        processes.append(start_mapped(mapped, path, *mode, nice=19))
    return processes


def stop_all(processes):
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def rss(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    return 0


def descendants(pid):
    """{pid: name} of a process and all below it."""
    parents, names = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    text = stat.read()
            except OSError:
                continue
            parents[int(entry)] = int(text.rsplit(")", 1)[1].split()[1])
            names[int(entry)] = text[text.index("(") + 1:text.rindex(")")]
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return {one: names.get(one, "?") for one in found}
        found |= more


def window_files():
    return sorted(glob.glob("w/hearth-*"))


def window_times():
    times = []
    for path in window_files():
        stamp = re.search(r"hearth-(\d{8}T\d{6})\.(\d{3})Z", path)
        times.append(calendar.timegm(time.strptime(stamp.group(1), "%Y%m%dT%H%M%S")) + int(stamp.group(2)) / 1000)
    return times


# On a CPU and with a priority, it tells when it could not run for 50 ms and more: begin, end.
WATCH = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
before = time.time()
while True:
    time.sleep(0.02)
    now = time.time()
    if now - before > 0.07:
        print(before, now, flush=True)
    before = now
"""


class Machine:
    """What a hypervisor, or who else, took of the machine's CPUs meanwhile: a watch on each."""

    def __init__(self, nice):
        self.watches = [spawn("nice", "-n", nice, sys.executable, "-c", WATCH, str(cpu), stdout=open(f"watch-{cpu}", "w")) for cpu in sorted(os.sched_getaffinity(0))]

    def end(self):
        """[(begin, end)] of times in which a CPU stood still."""
        stop_all(self.watches)
        gaps = []
        for name in glob.glob("watch-*"):
            with open(name) as file:
                gaps += [tuple(map(float, line.split())) for line in file.read().splitlines()]
        return gaps


def stood_still(gaps, begin, end):
    return sum(max(0, min(end, until) - max(begin, since)) for since, until in gaps)


def strings_of(path):
    with gzip.open(path) as file:
        return file.read()


@test("beside all of them: memory, windows and names are as before")
def beside():
    folder, mapped = written(), build_mapped()
    busy = spawn(build("busy.c", "busy_h", "-O2"), "600")
    # What is looked for are windows that wait for a parser, not for a CPU.
    machine = Machine("-15")
    agent = spawn("nice", "-n", "-15", HEARTH, "agent", "--output", "w", "--name-cache", "names", "--window", str(WINDOW_S), "-F", "99", stderr=open("agent.log", "w"))
    wait_for(lambda: len(window_files()) >= 2 or agent.poll() is not None, 60, "two windows")
    before = rss(agent.pid)
    peak, hostile = 0, []
    samples = {}
    for turn in range(2 * PARTS):  # all of them, and all again
        hostile = start_all(mapped, folder, turn % PARTS, PARTS)
        end = time.monotonic() + 1.5 * WINDOW_S
        while time.monotonic() < end:
            time.sleep(0.25)
            peak = max(peak, rss(agent.pid))
            for pid, name in descendants(agent.pid).items():
                try:
                    samples[name] = max(samples.get(name, 0), rss(pid))
                except OSError:
                    pass
        ended = [process.args for process in hostile if process.poll() is not None]
        stop_all(hostile)
        assert not ended, ended
    wait_for(lambda: len(window_files()) >= 15 or agent.poll() is not None, 100, "windows")
    gaps = machine.end()
    alive = agent.poll() is None
    agent.send_signal(signal.SIGTERM)
    agent.wait(100)
    with open("agent.log") as file:
        log = file.read()
    busy.kill()
    busy.wait()
    assert alive and agent.returncode == 0, log
    times = window_times()[1:-1]  # behind the first, which finds the whole machine; the last one ends early
    beats = [late - early for early, late in zip(times, times[1:])]
    # After a late window comes a short one: what stood still in the one before counts too.
    allowed = [LATE_MAX * WINDOW_S + stood_still(gaps, begin - WINDOW_S, begin + beat) for begin, beat in zip(times, beats)]
    print(f"# measured: agent {before >> 10} KiB, at most {(peak - before) >> 10} KiB more; windows' beats {min(beats):.3f} to {max(beats):.3f} s of {WINDOW_S}; "
          f"CPUs stood still for {sum(end - begin for begin, end in gaps):.3f} s")
    print("# measured: at most " + ", ".join(f"{name} {value >> 10} KiB" for name, value in sorted(samples.items())))
    assert peak - before < GROWTH_MAX, (before, peak)
    assert "BROKEN" not in log, log
    assert len(beats) >= 12 and all(abs(beat - WINDOW_S) < most for beat, most in zip(beats, allowed)), (beats, allowed)
    windows = window_files()
    sampled = [path for path in windows if b"\x06busy_h" in strings_of(path)]
    lacking = [path for path in sampled[:-1] if b"\x05inner" not in strings_of(path)]
    assert not lacking and len(sampled) > len(windows) / 2, (len(lacking), len(sampled), len(windows))
    assert any(b"endless_loop" in strings_of(path) for path in windows)


# What each file adds to, where something of it is left out. The others are read as they are: their making costs nobody anything.
COUNTED = {
    "symbolizer": {"fdes_damaged": "cfi_register zlib_bomb zlib_bomb_that_lies zlib_many sparse_10g sections_overlap", "symbols_damaged": "sparse_10g symbols_100m"},
    "names": {"parts_damaged": "xz_bomb zlib_bomb sections_overlap origin_loop specification_chain abbreviation_bomb attributes_many alt_itself link_itself go_many",
              "over_limits": "inlines_deep ranges_million abbreviation_bomb attributes_many", "files_missing": "dwo_fifo dwo_device dwo_climbs",
              "files_refused": "dwo_fifo dwo_device"},
}


def lacks(name, summary):
    return [(group, counter, summary[group]) for group, counters in COUNTED.items() for counter, names in counters.items()
            if name in names.split() and not summary[group][counter]]


def record_alone(mapped, folder, name):
    """On a machine that is busy a short time may have no sample in the file's own code: then a longer one."""
    process = start_mapped(mapped, os.path.join(folder, name))
    try:
        for seconds in ("0.5", "2", "5", "20"):
            summary = record("-p", str(process.pid), "-F", "199", "-d", seconds, "-o", f"alone-{name}.folded", "--name-cache", f"names-{name}-{seconds}")
            if summary["samples"] and not lacks(name, summary):
                break
        return summary
    finally:
        stop_all([process])


@test("each alone: it is sampled, hearth ends well, and something is counted")
def alone():
    folder, mapped = written(), build_mapped()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # each has a hearth of its own
        summaries = pool.map(lambda name: (name, record_alone(mapped, folder, name)), images.IMAGES)
        for name, summary in summaries:
            assert summary["samples"], (name, summary)
            assert summary["hearth"]["cpu_ns"] < 3e9, (name, summary["hearth"])
            assert not lacks(name, summary), (name, lacks(name, summary))


ANYWHERE = {"open", "openat", "openat2", "creat", "socket", "connect", "bind", "listen", "accept", "accept4", "execve", "execveat", "ptrace",
            "process_vm_readv", "process_vm_writev", "mount", "unlink", "unlinkat", "rename", "bpf", "perf_event_open", "io_uring_setup", "init_module"}
# The zygote, which reads nothing, forks and ends those that do.
FORBIDDEN = ANYWHERE | {"socketpair", "fork", "vfork", "clone", "clone3", "kill", "tkill", "tgkill", "pidfd_open", "setuid", "setresuid", "unshare", "chroot"}

READING = {"pread64", "preadv", "preadv2"}  # of files that were handed over


def calls_after_confinement(trace):
    """({pid: {system call: times}} of processes that set a filter from there on, the same of those that gave up their capabilities and set none,
    but for what was killed before it did anything else: the recording was over)."""
    filtered, bare = {}, {}
    with open(trace) as lines:
        for line in lines:
            killed = re.match(r"(\d+) +\+\+\+ killed by SIGKILL", line)
            if killed and not READING & bare.get(killed[1], {}).keys():
                bare.pop(killed[1], None)
            match = re.match(r"(\d+) +(\w+)\(", line)
            if not match:
                continue
            pid, call = match.groups()
            for calls in (filtered, bare):
                if pid in calls:
                    calls[pid][call] = calls[pid].get(call, 0) + 1
            # libseccomp tries what the kernel knows with a filter that is NULL.
            if call == "seccomp" and "SECCOMP_SET_MODE_FILTER" in line and "{len=" in line:
                filtered[pid] = {}
                bare.pop(pid, None)
            elif call == "capset" and pid not in filtered:
                bare[pid] = {}
    return filtered, bare


def total(processes):
    every = {}
    for calls in processes.values():
        for call, times in calls.items():
            every[call] = every.get(call, 0) + times
    return every


@test("strace: what reads files opens, connects and executes nothing once it is confined")
def traced():
    if not shutil.which("strace"):
        raise Skip("no strace")
    folder, mapped = written(), build_mapped()
    hostile = start_all(mapped, folder)
    try:
        done = subprocess.run(["strace", "-f", "-o", "trace", HEARTH, "record", "-F", "99", "-d", "6", "--name-cache", "names", "-o", "traced.folded", "-q"], capture_output=True, text=True,
                              timeout=300)
    finally:
        stop_all(hostile)
    assert done.returncode == 0, done.stderr
    filtered, bare = calls_after_confinement("trace")
    assert filtered and len(bare) <= 1, (len(filtered), len(bare))
    every = total(filtered)
    print(f"# measured: {len(filtered)} confined, " + ", ".join(f"{call} {times}" for call, times in sorted(every.items(), key=lambda item: -item[1])))
    assert every.get("pread64", 0) > 100, every
    assert not FORBIDDEN & set(every), FORBIDDEN & set(every)
    assert not ANYWHERE & set(total(bare)), ANYWHERE & set(total(bare))


run()
