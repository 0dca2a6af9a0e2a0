#!/usr/bin/env python3
"""What reads binaries has no right, and its death costs little."""
import os
import re
import shutil
import signal
import subprocess

from harness import *

CONFINED = ("hearth-names", "hearth-compile")
# Everything that would name a file, another process or another program.
FORBIDDEN = re.compile(r"^(open|openat|openat2|creat|execve|execveat|socket|connect|bind|accept|accept4|fork|vfork|clone|clone3|ptrace|"
                       r"kill|tgkill|pidfd_open|process_vm_readv|process_vm_writev|mount|chroot|unlink|unlinkat|rename|mkdir|link|symlink)\(")


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:  # it has ended
        return []


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def family(pid):
    """{name: pid} of the processes below hearth."""
    found = {}
    for zygote in children(pid):
        if comm(zygote) == "hearth-zygote":
            found[comm(zygote)] = zygote
            found.update({comm(child): child for child in children(zygote)})
    return found


@test("hearth check: a confined process dies of what it must not do")
def check():
    done = hearth("check", "--json")
    states = [result["state"] for result in json.loads(done.stdout)["checks"] if result["topic"] == "confinement"]
    assert states == ["ok"], done.stdout


@test("nothing is opened, connected or executed by what reads binaries, from its first request on")
def traced():
    if not shutil.which("strace"):
        raise Skip("no strace")
    busy = spawn("sh", "-c", "while :; do :; done")  # something to name, also on a machine that idles
    done = subprocess.run(["strace", "-f", "-o", "trace", HEARTH, "record", "-q", "-d", "3", "-F", "199", "-o", "traced.folded"],
                          capture_output=True, text=True, timeout=300)
    busy.kill()
    busy.wait()
    assert done.returncode == 0, done.stderr
    named, confined, bad, ended = set(), {}, [], set()
    with open("trace") as trace:
        for line in trace:
            pid, call = line.split(None, 1)
            renamed = re.match(r'prctl\(PR_SET_NAME, "(\S+)"', call)
            if renamed and renamed[1] in CONFINED:
                named.add(pid)
            elif pid in named and call.startswith("seccomp(SECCOMP_SET_MODE_FILTER"):
                confined[pid] = 0
            elif pid in named - confined.keys() and call.startswith("+++ killed by SIGKILL"):
                ended.add(pid)
            elif pid in confined:
                confined[pid] += 1
                if FORBIDDEN.match(call) or "SIGSYS" in call:
                    bad.append(line)
    assert confined and max(confined.values()) > 100, confined
    assert named - ended == confined.keys(), (named, ended, confined)  # the end of the recording may come before a process has begun
    assert not bad, bad[:5]


@test("a confined process that is killed costs a request, and is there again")
def killed():
    busy = spawn("sh", "-c", "while :; do :; done")  # something to name, also on a machine that idles
    recording = Recording("-F", "199", "-o", "killed.folded")
    first = wait_for(lambda: family(recording.process.pid).get("hearth-names"), 60, "the process that names")
    os.kill(first, signal.SIGKILL)
    begin = cpu_s(busy.pid)
    wait_for(lambda: cpu_s(busy.pid) - begin > 1, 60, "something to name")
    summary = recording.end()
    busy.kill()
    busy.wait()
    assert summary["symbolizer"]["restarts"] >= 1, summary["symbolizer"]
    assert summary["symbolizer"]["addresses_named"] > 0, summary["symbolizer"]


@test("Ctrl-C ends the recording, not the processes that it still needs")
def interrupted():
    busy = spawn("sh", "-c", "while :; do :; done")
    recording = Recording("-F", "199", "-o", "interrupted.folded", start_new_session=True)
    pid = recording.process.pid
    wait_for(lambda: "hearth-names" in family(pid), 60, "the process that names")
    begin = cpu_s(busy.pid)
    wait_for(lambda: cpu_s(busy.pid) - begin > 0.5, 60, "something to name")
    processes = family(pid).values()
    os.killpg(pid, signal.SIGINT)
    for each in processes:
        try:
            os.kill(each, signal.SIGTERM)  # as the end of a service does
        except ProcessLookupError:
            pass
    summary = recording.end(None)
    busy.kill()
    busy.wait()
    assert summary["symbolizer"]["restarts"] == 0, summary["symbolizer"]
    assert summary["symbolizer"]["addresses_named"] > 0, summary["symbolizer"]


@test("all of them end with hearth, also when it is killed")
def orphans():
    process = spawn(HEARTH, "record", "-q", "-F", "199", "-o", "orphans.folded", stderr=subprocess.DEVNULL)
    wait_for(lambda: "hearth-names" in family(process.pid), 60, "the process that names")
    pids = family(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: not any(comm(pid) == name for name, pid in pids.items()), 60, "their end")


if __name__ == "__main__":
    run()
