#!/usr/bin/env python3
"""Where names come from: debug information, its separate files inside a process's own root, and the folder that keeps it."""
import glob
import os
import re
import shutil
import subprocess
import time
import zlib

from harness import *

CHAIN = ["outer", "middle", "leaf"]
PATIENCE = ("--names-wait", "120")  # libc's debug information is read for some seconds of CPU
SOURCE = os.path.join(WORKLOADS, "inlined.c")


def line_of(mark):
    with open(SOURCE) as lines:
        return next(number for number, line in enumerate(lines, 1) if mark in line)


def program(name, *flags):
    """A build of its own: equal builds have one build id, and one table."""
    return build("inlined.c", name, "-O2", "-g", "-Wl,--build-id", f"-DSPIN={100000 + zlib.crc32(name.encode()) % 9999}", *flags)


def build_id(path):
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    return re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)


def sample(*command, options=(), output="names.folded"):
    """Record a command; the summary, and the share of samples that have the whole chain."""
    summary = record("-F", "499", "-o", output, *PATIENCE, *options, "--", *command)
    return summary["names"], chain_share(output)


def chain_share(path):
    stacks = folded(path)
    total = sum(count for _, count in stacks)
    whole = sum(count for names, count in stacks if any(names[i:i + 3] == CHAIN for i in range(len(names))))
    return whole / total if total else 0.0


def split_debug(path, debug):
    os.makedirs(os.path.dirname(debug), exist_ok=True)
    subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
    subprocess.run(["objcopy", "--strip-all", path], check=True)


@test("inlined calls, with the file and the line of each")
def inlined():
    names, share_of_chain = sample(program("inlined_a"), "2", options=["-o", "names.pb.gz"])
    assert share_of_chain > 0.8, share_of_chain
    assert names["tables_compiled"] >= 1 and names["tables_failed"] == 0, names
    raw = go_pprof("-raw", "names.pb.gz")
    for name, mark in (("leaf", "LEAF LINE"), ("middle", "MIDDLE LINE"), ("outer", "OUTER LINE")):
        assert re.search(rf"\b{name} {re.escape(SOURCE)}:{line_of(mark)}\b", raw), (name, line_of(mark), raw[-3000:])


@test("a table is kept: the next recording compiles nothing, and a damaged one is compiled again")
def kept():
    path = program("inlined_b")
    options = ["--name-cache", os.path.abspath("kept")]
    names, first = sample(path, "2", options=options)
    assert first > 0.8 and names["cache_stored"] >= 1, (first, names)
    assert oct(os.stat("kept").st_mode & 0o777) == "0o700", oct(os.stat("kept").st_mode)
    table = glob.glob(f"kept/{build_id(path)}.*names")[0]
    assert oct(os.stat(table).st_mode & 0o777) == "0o600"
    written = os.stat(table).st_mtime_ns
    names, second = sample(path, "2", options=options)
    assert second > 0.8 and names["tables_from_cache"] >= 1 and os.stat(table).st_mtime_ns == written, (second, names)
    with open(table, "r+b") as file:
        length = os.path.getsize(table)
        file.seek(0)
        file.write(os.urandom(length))
    names, _ = sample(path, "2", options=options)
    assert names["tables_damaged"] == 1 and names["cache_damaged"] == 1, names
    names, third = sample(path, "2", options=options)
    assert third > 0.8 and names["tables_damaged"] == 0, (third, names)


@test("--name-cache-budget 0 keeps nothing, and names all the same")
def no_budget():
    options = ["--name-cache", os.path.abspath("nothing"), "--name-cache-budget", "0"]
    names, share_of_chain = sample(program("inlined_c"), "2", options=options)
    assert share_of_chain > 0.8 and not os.path.exists("nothing"), (share_of_chain, names)
    assert names["tables_memory_bytes"] > 0, names


@test("a folder that others may write to is refused, and that is said")
def refused():
    os.mkdir("refused")
    os.chmod("refused", 0o770)
    done = hearth("record", "-F", "499", "-o", "refused.folded", *PATIENCE, "--name-cache", os.path.abspath("refused"), "--", program("inlined_d"), "2")
    assert done.returncode == 0 and "others may write" in done.stderr, done.stderr
    assert chain_share("refused.folded") > 0.8 and not os.listdir("refused")


@test("a full disk costs the copy, and that is said")
def full():
    os.mkdir("full")
    script = ("mount -t tmpfs -o size=4k,mode=700 none full && exec \"$0\" record -F 499 -o full.folded --names-wait 120 --name-cache \"$PWD/full\" -- \"$1\" 2")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, HEARTH, program("inlined_e")], capture_output=True, text=True, timeout=200)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        raise Skip("no mounting here")
    assert done.returncode == 0 and "No space left" in done.stderr, done.stderr
    assert chain_share("full.folded") > 0.8


@test("the debug file of a build id, inside the root of the process")
def in_own_root():
    path = program("inlined_f", "-static")
    identity = build_id(path)
    root = os.path.abspath("root")
    split_debug(path, f"{root}/usr/lib/debug/.build-id/{identity[:2]}/{identity[2:]}.debug")
    os.makedirs(f"{root}/bin")
    shutil.copy(path, f"{root}/bin/inlined")
    # Long enough to be there still when it is looked at, on a busy machine too: its root goes with it.
    names, share_of_chain = sample(shutil.which("chroot"), root, "/bin/inlined", "3")
    assert share_of_chain > 0.8 and names["files_opened"] >= 1, (share_of_chain, names)


@test("the debug file that .gnu_debuglink names, in .debug, with its CRC; without that it is not taken")
def by_link():
    for good in (True, False):
        name = f"inlined_link_{good}"
        path = program(name, "-Wl,--build-id=none")
        split_debug(path, os.path.abspath(f".debug/{name}.debug"))
        subprocess.run(["objcopy", f"--add-gnu-debuglink=.debug/{name}.debug", path], check=True)
        if not good:
            with open(f".debug/{name}.debug", "ab") as file:
                file.write(b"x")
        _, share_of_chain = sample(path, "2")
        assert share_of_chain > 0.8 if good else share_of_chain == 0, (good, share_of_chain)


@test("a stripped program without debug information is remembered as such")
def lacking():
    path = program("inlined_h")
    subprocess.run(["strip", path], check=True)
    names, share_of_chain = sample(path, "2")
    assert share_of_chain == 0 and names["tables_lacking"] >= 1, (share_of_chain, names)
    table = glob.glob(f"{os.environ['CACHE_DIRECTORY']}/{build_id(path)}.*lacking")[0]
    written = os.stat(table).st_mtime_ns
    names, _ = sample(path, "2")
    assert names["tables_from_cache"] >= 1 and os.stat(table).st_mtime_ns == written, names


# --- debuginfod -----------------------------------------------------------------------------------------------------------

class Server:
    """A debuginfod server of our own (tests/debuginfod/server) with a folder of debug files."""

    def __init__(self, folder):
        os.makedirs(folder)
        self.folder = os.path.abspath(folder)
        self.process = spawn(os.path.join(REPO, "tests", "debuginfod", "server"), stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "SERVER_FOLDER": self.folder})
        self.port = int(self.process.stdout.readline())

    def url(self, kind="files"):
        return f"http://127.0.0.1:{self.port}/{kind}"

    def requests(self, identity):
        try:
            with open(os.path.join(self.folder, "log")) as log:
                return sum(identity in line for line in log)
        except FileNotFoundError:
            return 0


def remote(name, server):
    """A stripped program whose debug file only the server has."""
    path = program(name)
    identity = build_id(path)
    split_debug(path, os.path.join(server.folder, identity + ".debug"))
    return path, identity


@test("debuginfod: a debug file is fetched once, and names the recording that asked for it")
def fetched():
    server = Server("server_a")
    path, identity = remote("inlined_r", server)
    names, share_of_chain = sample(path, "2", options=["--debuginfod", server.url()])
    assert share_of_chain > 0.8 and names["debuginfod"]["fetched"] == 1, (share_of_chain, names)
    assert server.requests(identity) == 1
    folder = f"{os.environ['CACHE_DIRECTORY']}/debuginfod"
    assert oct(os.stat(f"{folder}/{identity}.debug").st_mode & 0o777) == "0o600"
    names, share_of_chain = sample(path, "2", options=["--debuginfod", server.url()])
    assert share_of_chain > 0.8 and server.requests(identity) == 1, (share_of_chain, names)


@test("debuginfod: what no server has is not asked for again")
def missing():
    server = Server("server_b")
    path, identity = remote("inlined_s", server)
    os.unlink(os.path.join(server.folder, identity + ".debug"))
    names, share_of_chain = sample(path, "2", options=["--debuginfod", server.url()])
    assert share_of_chain == 0 and server.requests(identity) == 1 and names["debuginfod"]["missing"] >= 1, (share_of_chain, names)
    sample(path, "2", options=["--debuginfod", server.url()])
    assert server.requests(identity) == 1


@test("debuginfod: a file with another build id is not believed, and not asked for again")
def other_build_id():
    server = Server("server_c")
    path, identity = remote("inlined_t", server)
    other = program("inlined_u")
    shutil.copy(other, os.path.join(server.folder, identity + ".debug"))
    names, share_of_chain = sample(path, "2", options=["--debuginfod", server.url()])
    assert share_of_chain == 0 and names["debuginfod"]["useless"] == 1, (share_of_chain, names)
    sample(path, "2", options=["--debuginfod", server.url()])
    assert server.requests(identity) == 1


@test("debuginfod: dead, mute and endless servers delay no window")
def no_delay():
    server = Server("server_d")
    path, _ = remote("inlined_v", server)
    load = spawn(path, "600")
    urls = ["", "http://127.0.0.1:9", server.url("mute"), server.url("endless")]
    agents = [spawn(HEARTH, "agent", "--store", f"s{number}", "--output", f"w{number}", "--window", "1", "-F", "49", "--max-cpu", "50", "--name-cache",
                    os.path.abspath(f"c{number}"), "--debuginfod", url, stderr=subprocess.PIPE, text=True) for number, url in enumerate(urls)]
    # The first one asks no server: what a busy machine costs, it costs all of them.
    written = lambda: [len(glob.glob(f"w{number}/*.pb.gz")) for number in range(len(urls))]
    wait_for(lambda: written()[0] >= 8 or agents[0].poll() is not None, 100, "windows")
    windows = written()
    for agent in agents:
        agent.terminate()
    logs = [agent.communicate(timeout=100)[1] for agent in agents]
    load.kill()
    assert all(agent.returncode == 0 for agent in agents), logs
    # A server that is waited for costs more than half of so many seconds.
    assert min(windows) >= windows[0] / 2 >= 4, (windows, logs)


@test("debuginfod: wrong URLs are said")
def wrong_urls():
    done = hearth("record", "-d", "1", "-o", "wrong.folded", "--debuginfod", "file:///etc ftp://x")
    assert done.returncode == 1 and "http://" in done.stderr, (done.returncode, done.stderr)
    done = hearth("record", "-d", "1", "-o", "wrong.folded", "--debuginfod", "")
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    run(processes=2)
