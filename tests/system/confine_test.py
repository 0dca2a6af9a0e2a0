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
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


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
    done = subprocess.run(["strace", "-f", "-o", "trace", HEARTH, "record", "-q", "-d", "2", "-F", "199", "-o", "traced.folded"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    named, confined, bad = set(), {}, []
    with open("trace") as trace:
        for line in trace:
            pid, call = line.split(None, 1)
            renamed = re.match(r'prctl\(PR_SET_NAME, "(\S+)"', call)
            if renamed and renamed[1] in CONFINED:
                named.add(pid)
            elif pid in named and call.startswith("seccomp(SECCOMP_SET_MODE_FILTER"):
                confined[pid] = 0
            elif pid in confined:
                confined[pid] += 1
                if FORBIDDEN.match(call) or "SIGSYS" in call:
                    bad.append(line)
    assert confined and max(confined.values()) > 100, confined
    assert named == confined.keys(), (named, confined)
    assert not bad, bad[:5]


@test("a confined process that is killed costs a request, and is there again")
def killed():
    busy = spawn("sh", "-c", "while :; do :; done")  # something to name, also on a machine that idles
    process = spawn(HEARTH, "record", "--json", "-d", "4", "-F", "199", "-o", "killed.folded", stdout=subprocess.PIPE, text=True)
    wait_for(lambda: "hearth-names" in family(process.pid), 20, "the process that names")
    first = family(process.pid)["hearth-names"]
    os.kill(first, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    busy.kill()
    busy.wait()
    summary = json.loads(output)
    check_identity(summary)
    assert process.returncode == 0
    assert summary["symbolizer"]["restarts"] >= 1, summary["symbolizer"]
    assert summary["symbolizer"]["addresses_named"] > 0, summary["symbolizer"]


@test("Ctrl-C ends the recording, not the processes that it still needs")
def interrupted():
    busy = spawn("sh", "-c", "while :; do :; done")
    process = spawn(HEARTH, "record", "--json", "-F", "199", "-o", "interrupted.folded", stdout=subprocess.PIPE, text=True,
                    start_new_session=True)
    wait_for(lambda: "hearth-names" in family(process.pid), 20, "the process that names")
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    for pid in family(process.pid).values():
        os.kill(pid, signal.SIGTERM)  # as the end of a service does
    output, _ = process.communicate(timeout=60)
    busy.kill()
    busy.wait()
    summary = json.loads(output)
    assert summary["symbolizer"]["restarts"] == 0, summary["symbolizer"]
    assert summary["symbolizer"]["addresses_named"] > 0, summary["symbolizer"]


@test("all of them end with hearth, also when it is killed")
def orphans():
    process = spawn(HEARTH, "record", "-q", "-F", "199", "-o", "orphans.folded", stderr=subprocess.DEVNULL)
    wait_for(lambda: "hearth-names" in family(process.pid), 20, "the process that names")
    pids = family(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: not any(comm(pid) == name for name, pid in pids.items()), 5, "their end")


if __name__ == "__main__":
    run()
