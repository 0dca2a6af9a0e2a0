#!/usr/bin/env python3
"""packaging/hearth.service: systemd takes it, and the agent works with the rights that it leaves."""
import glob
import os
import random
import re
import shutil
import socket
import subprocess
import urllib.request

from harness import *

UNIT = os.path.join(REPO, "packaging", "hearth.service")


def settings(name):
    with open(UNIT) as unit:
        return re.findall(rf"^{name}=(.*)$", unit.read(), re.M)


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze")
    return subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60)


def installed():
    """The unit as `make install` writes it, for a hearth that is here."""
    os.makedirs("units/bin", exist_ok=True)
    shutil.copy(HEARTH, "units/bin/hearth")
    with open(UNIT) as unit, open("units/hearth.service", "w") as out:
        out.write(unit.read().replace("@bindir@", os.path.abspath("units/bin")))
    return os.path.abspath("units/hearth.service")


def system_calls(group, seen):
    """The names of a group, with those of the groups in it."""
    names = set()
    for line in analyze("syscall-filter", group).stdout.splitlines():
        word = line.strip()
        if word.startswith("@") and word not in seen:
            seen.add(word)
            names |= system_calls(word, seen)
        elif word and word[0] not in "@#":
            names.add(word)
    return names


def allowed():
    names = set()
    for line in settings("SystemCallFilter"):
        for word in line.lstrip("~").split():
            listed = system_calls(word, {word}) if word.startswith("@") else {word}
            names = names - listed if line.startswith("~") else names | listed
    return names


@test("systemd-analyze has nothing to say against the unit; its exposure is below 5")
def verified():
    unit = installed()
    done = analyze("verify", "--man=no", unit)
    assert done.returncode == 0 and "hearth.service" not in done.stderr, done
    done = analyze("security", "--offline=true", "--threshold=50", unit)
    assert done.returncode == 0, done.stdout[-300:]


def free_port():
    """Below those that the kernel gives to clients: nobody gets it before we do."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def get(port, path):
    """"" while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=100) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def rights():
    """setpriv's words for what the unit leaves of root's rights."""
    capabilities = ",".join("+" + name[4:].lower() for name in settings("CapabilityBoundingSet")[0].split())
    return ["setpriv", f"--bounding-set=-all,{capabilities}", "--no-new-privs"]


@test("hearth check has nothing to mend with the unit's capabilities")
def checked():
    done = subprocess.run([*rights(), HEARTH, "check"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "no CAP_" not in done.stdout, done
    outside = subprocess.run([HEARTH, "check"], capture_output=True, text=True, timeout=200)
    assert done.stdout == outside.stdout, (done.stdout, outside.stdout)


@test("with the unit's capabilities, system calls, read-only files and no new privileges: windows with names, processes without rights")
def works():
    load = spawn(build("busy.c", "busy_service", "-O2"), "600")
    folder, port = os.path.abspath("service"), free_port()
    for name in ("state", "cache", "run"):
        os.makedirs(f"{folder}/{name}", mode=0o700, exist_ok=True)
    # The root read-only, but for the service's own folders.
    script = f"""mount --make-rprivate / && mount --bind {folder} {folder} && mount -o remount,bind,ro / && cd {folder} && umask 0077 &&
        exec {" ".join(rights())} strace -f -qq -o calls -c -S name -U name \
        {HEARTH} agent --window 2 -F 99 --config '' --listen {port} --upload http=http://127.0.0.1:9/"""
    environment = {**os.environ, "STATE_DIRECTORY": folder + "/state", "CACHE_DIRECTORY": folder + "/cache", "RUNTIME_DIRECTORY": folder + "/run"}
    environment.pop("HEARTH_CONTROL", None)
    with open("service.log", "w") as log:
        agent = spawn("unshare", "-m", "sh", "-c", script, stderr=log, cwd=folder, env=environment)
    log_text = lambda: open("service.log").read()
    try:
        wait_for(lambda: log_text().count("stored in") >= 3 or agent.poll() is not None, 150, "windows")
        assert agent.poll() is None, log_text()
        done = hearth("control", "--socket", folder + "/run/control.sock", "status")
        assert "state                sampling" in done.stdout, (done, log_text())
        wait_for(lambda: get(port, "/healthz") and "hearth_samples_total" in get(port, "/metrics"), 60, "the page's server: " + log_text())
        wait_for(lambda: "inner" in get(port, "/api/v1/functions?from=-1h&match=process:busy_service"), 60, "names: " + log_text())
    finally:
        tracee = subprocess.run(["pgrep", "-P", str(agent.pid), "-x", "hearth"], capture_output=True, text=True).stdout.split()
        for pid in tracee[:1]:
            os.kill(int(pid), 15)
        load.kill()
    agent.wait(100)
    text = log_text()
    assert "identity=holds" in text and "kernel symbols cannot be read" not in text and "refused: run as root" not in text, text
    assert "starting the process" not in text and "Operation not permitted" not in text and "Read-only" not in text, text
    with open(folder + "/calls") as table:
        calls = {line.strip() for line in table if re.fullmatch(r"\w+", line.strip())} - {"syscall", "total"}
    assert {"bpf", "perf_event_open", "chroot", "landlock_restrict_self"} <= calls, calls
    extra = calls - allowed()
    assert not extra, f"not in SystemCallFilter=: {sorted(extra)}"


@test("reading again and stopping are what the agent does")
def signals():
    assert settings("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert settings("StateDirectory") == settings("CacheDirectory") == settings("RuntimeDirectory") == ["hearth"]


run()
