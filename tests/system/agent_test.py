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


def start(*arguments, **options):
    return spawn(HEARTH, "agent", *arguments, stderr=subprocess.PIPE, text=True, **options)


def stop(agent, how=signal.SIGTERM):
    agent.send_signal(how)
    begin = time.monotonic()
    _, log = agent.communicate(timeout=10)
    assert time.monotonic() - begin < 5, "the stop took more than 5 s"
    return log


@test("windows are written until SIGTERM, each sound and readable by go tool pprof")
def windows():
    load = spawn(build("busy.c", "busy_w", "-O2"), "20")
    agent = start("--output", "w", "--window", "2", "-F", "97")
    time.sleep(5)
    log = stop(agent)
    load.kill()
    load.wait()
    assert agent.returncode == 0, log
    files = sorted(glob.glob("w/*"))
    assert len(files) == 3, (files, log)
    assert all(re.fullmatch(r"w/hearth-\d{8}T\d{6}\.\d{3}Z\.pb\.gz", file) for file in files), files
    total = 0
    for file in files:
        raw = go_pprof("-raw", file)
        comment = re.search(r"ticks=(\d+) samples=(\d+) dropped=(\d+).*identity=(\w+)", raw)
        ticks, samples, dropped = (int(comment.group(i)) for i in (1, 2, 3))
        assert ticks == samples + dropped and comment.group(4) == "holds", comment.group(0)
        counts = [int(match) for match in re.findall(r"^\s+(\d+)\s+\d+:", raw.split("Samples:\n")[1].split("Locations")[0],
                                                     re.M)]
        assert sum(counts) == samples, (sum(counts), samples)
        total += samples
    assert "inner" in go_pprof("-top", *files)
    # One busy CPU for 5 s at 97 Hz: no window's tick is lost between two windows.
    assert total > 0.95 * 97 * 5, total
    assert oct(os.stat("w").st_mode & 0o777) == "0o700" and oct(os.stat(files[0]).st_mode & 0o777) == "0o600"


@test("JSON log lines")
def json_log():
    agent = start("--output", "j", "--window", "1", "--log-format", "json")
    time.sleep(2.5)
    lines = [json.loads(line) for line in stop(agent, signal.SIGINT).splitlines()]
    assert len(lines) >= 4 and all(set(line) == {"time", "level", "message"} for line in lines), lines


@test("the folder's budget: the oldest windows go")
def budget():
    agent = start("--output", "b", "--window", "0.5", "-F", "97", "--output-bytes", "65536")
    try:
        os.makedirs("b", exist_ok=True)
        for i in range(4):
            with open(f"b/hearth-2020010{i}T000000.000Z.pb.gz", "wb") as file:
                file.write(b"x" * 30000)
        time.sleep(2.5)
    finally:
        log = stop(agent)
    assert not os.path.exists("b/hearth-20200100T000000.000Z.pb.gz"), log
    assert sum(os.stat(file).st_size for file in glob.glob("b/*")) <= 65536 + 30000


@test("what a killed agent left half-written is removed at the next start; windows stay")
def killed():
    agent = start("--output", "k", "--window", "0.5")
    time.sleep(2.2)
    agent.kill()
    agent.wait()
    before = set(glob.glob("k/hearth-*"))
    assert before
    open("k/.hearth-20200101T000000.000Z.pb.gz.abcdef", "w").close()
    agent = start("--output", "k", "--window", "0.5")
    time.sleep(1)
    stop(agent)
    assert before <= set(glob.glob("k/hearth-*")) and not glob.glob("k/.hearth*")
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
        agent = start("--output", "f", "--window", "0.5")
        time.sleep(2.2)
        os.unlink("f/fill")
        time.sleep(1.5)
        log = stop(agent)
        assert agent.returncode == 0 and log.count("No space left") == 1 and "writing works again" in log, log
        assert glob.glob("f/hearth-*.pb.gz") and not glob.glob("f/.hearth*"), os.listdir("f")
    finally:
        subprocess.run(["umount", "f"])


@test("its own CPU has a budget: the rate is lowered, and that is said")
def governor():
    load = [spawn(build("busy.c", "busy_g", "-O2"), "20") for _ in range(os.cpu_count())]
    agent = start("--output", "g", "--window", "0.5", "-F", "4999", "--max-cpu", "0.02")
    time.sleep(3)
    log = stop(agent)
    for process in load:
        process.kill()
        process.wait()
    assert "own CPU was" in log, log
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
