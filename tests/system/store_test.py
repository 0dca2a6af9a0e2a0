#!/usr/bin/env python3
"""hearth agent and the processes that keep its windows: what dies, what is full, what is left over, and what hearth-store opens."""
import glob
import gzip
import http.server
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from harness import *


class Agent:
    """A running agent whose log can be read meanwhile."""

    def __init__(self, *arguments, before=()):
        self.path = f"log-{time.monotonic_ns()}"
        self.process = spawn(*before, HEARTH, "agent", *arguments, stderr=open(self.path, "w"))

    def log(self):
        with open(self.path) as log:
            return log.read()

    def wait(self, words, seconds=60, times=1):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if len(re.findall(words, self.log())) >= times:
                return
            assert self.process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(f"no '{words}' in:\n{self.log()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        self.process.wait(100)
        took = time.monotonic() - begin
        assert self.process.returncode == 0 and took < 30, (self.process.returncode, took, self.log())
        return self.log()

    def numbers(self):
        return [int(number) for number in re.findall(r"window (\d+) \(", self.log())]


def family(pid):
    """{name: pid} of the processes below one."""
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
            return {names[child]: child for child in found - {pid}}
        found |= more


def child(agent, name):
    """The pid of a process below an agent, as soon as it is there."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        pid = family(agent.process.pid).get(name)
        if pid:
            return pid
        time.sleep(0.05)
    raise AssertionError(f"no {name}: {agent.log()}")


def is_alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_gone(pids, seconds=60):
    limit = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in pids), pids


def stored(folder):
    """The numbers of the windows in a store that nobody writes, whose files are sound."""
    numbers = []
    for path in sorted(glob.glob(f"{folder}/*.db")):
        base = sqlite3.connect(path)
        assert base.execute("PRAGMA integrity_check").fetchone()[0] == "ok", path
        numbers += [row[0] for row in base.execute("SELECT number FROM windows")]
        base.close()
    return sorted(numbers)


@test("windows are in the store, with and without a restart; nothing is left over at the end")
def keeps():
    agent = Agent("--window", "0.5", "-F", "49")
    agent.wait("stored in", times=3)
    children = family(agent.process.pid)
    assert {"hearth-keeper", "hearth-store", "hearth-zygote"} <= children.keys() and "hearth-upload" not in children, children
    log = agent.stop()
    wait_gone(children.values())
    state = os.environ["STATE_DIRECTORY"]
    assert stored(state) == agent.numbers() and "lost" not in log, log
    assert oct(os.stat(state).st_mode & 0o777) == "0o700" and all(oct(os.stat(f).st_mode & 0o777) == "0o600" for f in glob.glob(f"{state}/*"))
    again = Agent("--window", "0.5", "-F", "49")
    again.wait("stored in", times=2)
    again.stop()
    assert again.numbers()[0] == agent.numbers()[-1] + 1, (agent.numbers(), again.numbers())
    assert stored(state) == agent.numbers() + again.numbers()


@test("kill -9 of hearth-store: it comes again, and no window is lost or there twice")
def store_killed():
    agent = Agent("--store", "s", "--output", "s_files", "--window", "0.3", "-F", "49")
    for i in range(3):
        agent.wait("stored in", times=2 * i + 1)
        os.kill(child(agent, "hearth-store"), signal.SIGKILL)
        agent.wait("hearth-store died", times=i + 1)
    agent.wait("stored in", times=20, seconds=120)
    log = agent.stop()
    windows = int(re.search(r"stopped after (\d+) windows", log).group(1))
    assert "lost" not in log and len(stored("s")) == windows == len(glob.glob("s_files/hearth-*")), (stored("s"), log)


@test("kill -9 of the agent: nothing is left over, the windows are there, the next one begins")
def agent_killed():
    agent = Agent("--store", "k", "--window", "0.3", "-F", "49")
    for _ in range(4):
        agent.wait("stored in", times=2)
        children = family(agent.process.pid)
        agent.process.kill()
        agent.process.wait()
        before = agent.numbers()
        agent = Agent("--store", "k", "--window", "0.3", "-F", "49")
        wait_gone(children.values())
    agent.wait("stored in")
    agent.stop()
    numbers = stored("k")
    assert set(before) <= set(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers


@test("a full 20 MB file system: sampling goes on, it is said once, and no window is lost when there is room again")
def full():
    os.mkdir("f")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", "f"]).returncode:
        raise Skip("tmpfs cannot be mounted here")
    try:
        agent = Agent("--store", "f/store", "--output", "f_files", "--window", "0.3", "-F", "49")
        agent.wait("stored in", times=2)
        with open("f/fill", "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        agent.wait("sampling goes on")
        files = len(glob.glob("f_files/hearth-*"))
        wait_for(lambda: len(glob.glob("f_files/hearth-*")) >= files + 3, 60, "the other folder's windows")
        os.unlink("f/fill")
        agent.wait("writing works again")
        log = agent.stop()
        windows = int(re.search(r"stopped after (\d+) windows", log).group(1))
        assert log.count("sampling goes on") == 1 and "window lost" not in log, log
        assert len(stored("f/store")) == windows == len(glob.glob("f_files/hearth-*")), log
    finally:
        subprocess.run(["umount", "f"])


@test("a store that cannot be: one line, and the end")
def refused():
    os.mkdir("open_to_all")
    os.chmod("open_to_all", 0o777)
    open("no_folder", "w").close()
    for words, arguments in (("others may write", ["--store", "open_to_all"]), ("no/where", ["--store", "no/where"]), ("no_folder", ["--store", "no_folder"]),
                             ("no/where", ["--store", "r", "--output", "no/where"])):
        done = hearth("agent", *arguments)
        assert done.returncode == 1 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done
    first = Agent("--store", "twice", "--window", "0.5")
    first.wait("stored in")
    done = hearth("agent", "--store", "twice")
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done
    first.stop()


@test("strace: hearth-store opens its folders only, connects nowhere and executes nothing")
def traced():
    if not shutil.which("strace"):
        raise Skip("no strace")
    agent = Agent("--store", "t/store", "--output", "t/files", "--window", "0.5", "-F", "49", before=("strace", "-f", "-o", "trace")) \
        if not os.makedirs("t") else None
    agent.wait("stored in", seconds=150, times=3)
    tracee = subprocess.run(["pgrep", "-P", str(agent.process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(tracee), signal.SIGTERM)
    agent.process.wait(100)
    with open("trace") as file:
        lines = [line.rstrip("\n") for line in file]
    pid = next(line.split()[0] for line in lines if 'PR_SET_NAME, "hearth-store"' in line)
    own = [line.split(None, 1)[1] for line in lines if line.startswith(f"{pid} ")]
    begin = max(i for i, call in enumerate(own) if call.startswith(("seccomp(", "prctl(PR_SET_SECCOMP")))
    place = os.path.join(os.getcwd(), "t")
    calls = {call.split("(")[0] for call in own[begin + 1:] if "(" in call}
    assert calls & {"fdatasync", "fsync"} and not calls & {"socket", "connect", "bind", "execve", "fork", "vfork", "clone", "clone3", "ptrace", "kill"}, calls
    opened = [(path, result) for folder, path, result in re.findall(r'^open(?:at)?\((\S+), "([^"]*)".* = (-?\d+)', "\n".join(own[begin + 1:]), re.M)]
    assert opened
    for path, result in opened:
        assert int(result) < 0 or path.startswith(place) or path == "." or path == "/dev/urandom", (path, result)


class Server(http.server.BaseHTTPRequestHandler):
    got, tokens = [], []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        gzip.decompress(body)
        Server.got.append(body)
        Server.tokens.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@test("--upload: windows go to a server, also after hearth-upload or hearth-store was killed, and none is missing")
def uploads():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    agent = Agent("--store", "u", "--upload", f"http=http://127.0.0.1:{server.server_port}/in", "--window", "1", "-F", "49")

    def wait_for_all():
        """What is stored now, sooner or later; requests are half a second apart."""
        agent.wait("stored in")
        n, limit = len(agent.numbers()), time.monotonic() + 60
        while len(set(Server.got)) < n and time.monotonic() < limit:
            time.sleep(0.05)
        assert len(set(Server.got)) >= n, (n, len(Server.got), agent.log())

    wait_for_all()
    for name in ("hearth-upload", "hearth-store"):
        os.kill(child(agent, name), signal.SIGKILL)
        agent.wait(f"{name} died")
        wait_for_all()
    wait_for_all()
    children = family(agent.process.pid)
    agent.stop()
    wait_gone(children.values())
    server.shutdown()


run(processes=2)
