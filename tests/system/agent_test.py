#!/usr/bin/env python3
"""hearth agent on a real kernel: windows, their accounting, its end, and what may go wrong."""
import glob
import json
import os
import re
import signal
import subprocess
import time

from harness import *
from profile_reader import times


class Agent:
    """A running agent whose log can be read meanwhile."""

    def __init__(self, folder, *arguments):
        self.folder, self.log_name = folder, f"{folder}-{time.monotonic_ns()}.log"
        with open(self.log_name, "w") as log:
            self.process = spawn(HEARTH, "agent", "--output", folder, *arguments, stderr=log)

    def log(self):
        with open(self.log_name) as log:
            return log.read()

    def files(self):
        return sorted(glob.glob(f"{self.folder}/hearth-*"))

    def wait_for(self, condition, what):
        """condition: words of the log, or a function."""
        wait_for(condition if callable(condition) else lambda: condition in self.log(), 60, f"{what} of\n{self.log()}")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        begin = time.monotonic()
        status = self.process.wait(100)
        took = time.monotonic() - begin
        assert status == 0 and took < 30, (status, took, self.log())
        return self.log()


@test("windows are written until SIGTERM, each sound and readable by go tool pprof")
def windows():
    load = spawn(build("busy.c", "busy_w", "-O2"), "120")
    agent = Agent("w", "--window", "2", "-F", "97")
    agent.wait_for(lambda: len(agent.files()) >= 2, "two windows")
    time.sleep(0.5)
    log = agent.stop()
    load.kill()
    load.wait()
    files = sorted(glob.glob("w/*"))
    written = int(re.search(r"stopped after (\d+) windows", log).group(1))
    assert len(files) == written >= 3, (files, log)
    assert all(re.fullmatch(r"w/hearth-\d{8}T\d{6}\.\d{3}Z\.pb\.gz", file) for file in files), files
    total = accounted = cpus = 0
    for file in files:
        raw = go_pprof("-raw", file)
        comment = re.search(r"ticks=(\d+) samples=(\d+) dropped=(\d+).*idle=(\d+) filtered=0 identity=(\w+)", raw)
        ticks, samples, dropped, idle = (int(comment.group(i)) for i in (1, 2, 3, 4))
        assert ticks == samples + dropped and comment.group(5) == "holds", comment.group(0)
        counts = [int(match) for match in re.findall(r"^\s+(\d+)\s+\d+:", raw.split("Samples:\n")[1].split("Locations")[0],
                                                     re.M)]
        assert sum(counts) == samples, (sum(counts), samples)
        total += samples
        accounted += ticks + idle
        cpus = int(re.search(r" cpus=(\d+)", raw).group(1))
    assert "inner" in go_pprof("-top", *files)
    # No window's tick is lost between two windows: each is a sample, dropped (also when a hypervisor took the CPU for longer than a period) or idle.
    first, (last, length) = times(files[0])[0], times(files[-1])
    expected = 97 * cpus * (last + length - first)
    assert 0.9 * expected < accounted < 1.1 * expected and total > 0.2 * 97 * (last + length - first), (accounted, expected, total, log)
    assert oct(os.stat("w").st_mode & 0o777) == "0o700" and oct(os.stat(files[0]).st_mode & 0o777) == "0o600"


@test("JSON log lines")
def json_log():
    agent = Agent("j", "--window", "1", "--log-format", "json")
    agent.wait_for(lambda: len(agent.files()) >= 2, "two windows")
    lines = [json.loads(line) for line in agent.stop(signal.SIGINT).splitlines()]
    assert len(lines) >= 4 and all(set(line) == {"time", "level", "message"} for line in lines), lines


@test("the folder's budget: the oldest windows go")
def budget():
    agent = Agent("b", "--window", "0.5", "-F", "97", "--output-bytes", "65536")
    try:
        agent.wait_for(agent.files, "a window")
        for i in range(4):
            with open(f"b/hearth-2020010{i}T000000.000Z.pb.gz", "wb") as file:
                file.write(b"x" * 30000)
        agent.wait_for(lambda: not os.path.exists("b/hearth-20200100T000000.000Z.pb.gz"), "the end of the oldest")
    finally:
        log = agent.stop()
    assert not os.path.exists("b/hearth-20200100T000000.000Z.pb.gz"), log
    assert sum(os.stat(file).st_size for file in glob.glob("b/*")) <= 65536 + 30000


@test("what a killed agent left half-written is removed at the next start; windows stay")
def killed():
    agent = Agent("k", "--window", "0.5")
    agent.wait_for(lambda: len(agent.files()) >= 2, "two windows")
    agent.process.kill()
    agent.process.wait()
    before = set(agent.files())
    open("k/.hearth-20200101T000000.000Z.pb.gz.abcdef", "w").close()
    agent = Agent("k", "--window", "0.5")
    agent.wait_for(lambda: set(agent.files()) - before, "a window")
    agent.stop()
    assert before <= set(agent.files()) and not glob.glob("k/.hearth*")
    for file in before:
        assert "Samples" in go_pprof("-raw", file)


@test("a full disk: sampling goes on, it is said once, and works again")
def full_disk():
    os.mkdir("f")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "f"]).returncode:
        raise Skip("tmpfs cannot be mounted here")
    try:
        with open("f/fill", "wb") as file:
            try:
                file.write(b"x" * 65536)
                file.flush()
            except OSError:
                pass
        agent = Agent("f", "--window", "0.5")
        agent.wait_for("No space left", "what is said")
        time.sleep(1.2)  # windows about which nothing is said
        os.unlink("f/fill")
        agent.wait_for("writing works again", "what is said")
        log = agent.stop()
        assert log.count("No space left") == 1 and log.count("writing works again") == 1, log
        assert agent.files() and not glob.glob("f/.hearth*"), os.listdir("f")
    finally:
        subprocess.run(["umount", "f"])


@test("its own CPU has a budget: the rate is lowered, and that is said")
def governor():
    load = [spawn(build("busy.c", "busy_g", "-O2"), "120") for _ in range(os.cpu_count())]
    agent = Agent("g", "--window", "0.5", "-F", "4999", "--max-cpu", "0.02")
    agent.wait_for("own CPU was", "what is said")
    agent.wait_for(lambda: re.search(r"sampling at \d+ Hz now", agent.log()), "what is said")
    log = agent.stop()
    for process in load:
        process.kill()
        process.wait()
    rates = [int(rate) for rate in re.findall(r"sampling at (\d+) Hz now", log)]
    assert rates and rates[-1] < 4999, log
    assert "BROKEN" not in log, log


@test("bad usage and bad places are one line")
def refused():
    for status, words, arguments in (
            (2, "--output DIR", ["--store", "none"]), (2, "needs a store", ["--store", "none", "--upload", "http=http://localhost/"]),
            (2, "KIND=URL", ["--upload", "localhost"]), (2, "same folder", ["--store", "x", "--output", "x"]), (2, "--store-days", ["--store-days", "0"]),
            (2, "none of text, json", ["--output", "x", "--log-format", "xml"]),
            (2, "from 100ms to 1h", ["--output", "x", "--window", "0.05"]), (2, "percentage", ["--output", "x", "--max-cpu", "0"]),
            (2, "not a clock", ["--output", "x", "-e", "page-faults"]), (2, "no event", ["--output", "x", "-e", "y"]),
            (1, "max_sample_rate", ["--output", "x", "-F", "999999"]), (1, "no/where", ["--output", "no/where"])):
        done = hearth("agent", *arguments)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == status and words in done.stderr, (arguments, done)
        assert len(lines) == 1 or lines[-1].startswith("hearth: see"), lines


run()
