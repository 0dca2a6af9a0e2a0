#!/usr/bin/env python3
"""Processes that execute hostile files (tests/hostile/images.py) beside hearth: its memory, its windows, the other programs' names, and that what
reads the files opens, connects and executes nothing."""
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
LATE_MAX = 0.1		# part of a window


def written():
    """The files' folder; written anew when the script has changed."""
    stamp = os.path.join(FILES, ".written")
    source = os.path.join(REPO, "tests", "hostile", "images.py")
    if not os.path.exists(stamp) or os.stat(stamp).st_mtime < os.stat(source).st_mtime:
        shutil.rmtree(FILES, True)
        os.makedirs(FILES)
        for name, write in images.IMAGES.items():
            write(os.path.join(FILES, name))
        open(stamp, "w").close()
    return FILES


def build_mapped():
    subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", "-fno-omit-frame-pointer", "-o", "mapped", os.path.join(REPO, "tests", "hostile", "mapped.c")], check=True)
    return os.path.abspath("mapped")


def start_mapped(mapped, path, *mode):
    return spawn("nice", "-n", "19", mapped, path, str(images.CODE), *mode, stderr=subprocess.PIPE)


def start_all(mapped, folder, part=0, parts=1):
    """One of some parts of all: a loop for each would leave no CPU to anybody."""
    what = [(os.path.join(folder, name),) for name in images.IMAGES] + [(os.path.abspath(f"plain-{mode}"), mode) for mode in MODES]
    processes = []
    for path, *mode in what[part::parts]:
        if mode:
            if os.path.lexists(path):
                os.unlink(path)
            images.plain(path)
        processes.append(start_mapped(mapped, path, *mode))
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


def window_times(folder):
    times = []
    for path in sorted(glob.glob(folder + "/hearth-*")):
        stamp = re.search(r"hearth-(\d{8}T\d{6})\.(\d{3})Z", path)
        times.append(time.mktime(time.strptime(stamp.group(1), "%Y%m%dT%H%M%S")) + int(stamp.group(2)) / 1000)
    return times


def strings_of(path):
    with gzip.open(path) as file:
        return file.read()


@test("beside all of them: memory, windows and names are as before")
def beside():
    folder, mapped = written(), build_mapped()
    busy = spawn(build("busy.c", "busy_h", "-O2"), "300")
    # What is looked for are windows that wait for a parser, not for a CPU.
    agent = spawn("nice", "-n", "-15", HEARTH, "agent", "--output", "w", "--name-cache", "names", "--window", str(WINDOW_S), "-F", "99", stderr=subprocess.PIPE, text=True)
    time.sleep(2.5 * WINDOW_S)
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
    time.sleep(1.5 * WINDOW_S)
    alive = agent.poll() is None
    agent.send_signal(signal.SIGTERM)
    _, log = agent.communicate(timeout=20)
    busy.kill()
    busy.wait()
    assert alive and agent.returncode == 0, log
    times = window_times("w")
    beats = [late - early for early, late in zip(times[1:], times[2:])]  # behind the first, which finds the whole machine
    print(f"# measured: agent {before >> 10} KiB, at most {(peak - before) >> 10} KiB more; windows' beats {min(beats[:-1]):.3f} to {max(beats[:-1]):.3f} s of {WINDOW_S}")
    print("# measured: at most " + ", ".join(f"{name} {value >> 10} KiB" for name, value in sorted(samples.items())))
    assert peak - before < GROWTH_MAX, (before, peak)
    assert "BROKEN" not in log, log
    assert len(beats) >= 12 and all(abs(beat - WINDOW_S) < LATE_MAX * WINDOW_S for beat in beats[:-1]), beats
    windows = sorted(glob.glob("w/hearth-*"))
    lacking = [path for path in windows[:-1] if b"\x05inner" not in strings_of(path)]
    assert not lacking, (len(lacking), len(windows))
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
        for seconds in ("0.5", "2", "5"):
            summary = record("-p", str(process.pid), "-F", "199", "-d", seconds, "-o", f"alone-{name}.folded", "--name-cache", f"names-{name}-{seconds}", timeout=60)
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


def calls_after_confinement(trace):
    """({pid: {system call: times}} of processes that set a filter from there on, the same of those that gave up their capabilities and set none)."""
    filtered, bare = {}, {}
    with open(trace) as lines:
        for line in lines:
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
                              timeout=120)
    finally:
        stop_all(hostile)
    assert done.returncode == 0, done.stderr
    filtered, bare = calls_after_confinement("trace")
    assert filtered and len(bare) == 1, (len(filtered), len(bare))
    every = total(filtered)
    print(f"# measured: {len(filtered)} confined, " + ", ".join(f"{call} {times}" for call, times in sorted(every.items(), key=lambda item: -item[1])))
    assert every.get("pread64", 0) > 100, every
    assert not FORBIDDEN & set(every), FORBIDDEN & set(every)
    assert not ANYWHERE & set(total(bare)), ANYWHERE & set(total(bare))


run()
