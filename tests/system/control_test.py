#!/usr/bin/env python3
"""A running agent is told something: SIGHUP, hearth control, jitter, a fraction of windows. hearth record beside it."""
import glob
import json
import os
import re
import signal
import subprocess
import time

from harness import *
from profile_reader import times

ACCOUNT = re.compile(r"ticks=(\d+) samples=(\d+) dropped=(\d+).*identity=(\w+)")


AGENTS = []


class Agent:
    """hearth agent with its log in a file."""

    def __init__(self, name, *arguments, **environment):
        self.folder, self.log_name = name, name + ".log"
        with open(self.log_name, "w") as log:
            self.process = spawn(HEARTH, "agent", "--store", "none", "--output", name, *arguments, stderr=log, env={**os.environ, **environment})
        AGENTS.append(self)
        self.wait_for("sampling ")

    @staticmethod
    def kill_all():
        """What a test that failed left: the next needs the socket."""
        while AGENTS:
            AGENTS.pop().process.kill()

    def log(self):
        with open(self.log_name) as log:
            return log.read()

    def wait_for(self, words, seconds=30):
        end = time.monotonic() + seconds
        while words not in self.log():
            assert time.monotonic() < end and self.process.poll() is None, (words, self.log())
            time.sleep(0.05)

    def hangup(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log()
        return self.log()

    def windows(self):
        """(duration in s, rate, comments) of each, in order."""
        found = []
        for file in sorted(glob.glob(self.folder + "/*.pb.gz")):
            raw = go_pprof("-raw", file)
            account = ACCOUNT.search(raw)
            ticks, samples, dropped = (int(account.group(i)) for i in (1, 2, 3))
            assert ticks == samples + dropped and account.group(4) == "holds", account.group(0)
            rate = int(re.search(r"rate_hz=(\d+)", raw).group(1))
            period = int(re.search(r"^Period: (\d+)", raw, re.M).group(1))
            assert abs(period - 1e9 / rate) < 2, (period, rate)
            found.append((times(file)[1], rate, samples, raw))
        return found


def control(*arguments):
    return hearth("control", *arguments)


def status():
    done = control("status", "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


@test("SIGHUP: what can change does, at once and without losing a tick; a bad file changes nothing")
def hangup():
    Agent.kill_all()
    load = spawn(build("busy.c", "busy_h", "-O2"), "120")
    write("h.toml", "freq = 97\nwindow = 60\n")
    agent = Agent("h", "--config", "h.toml")
    time.sleep(1.5)
    write("h.toml", "freq = 49\nwindow = 1\nidle = true\n")
    agent.hangup()
    agent.wait_for("configuration read again: freq 97 -> 49, window 1m -> 1s")
    agent.wait_for("after a restart only: idle")
    wait_for(lambda: len(glob.glob("h/*.pb.gz")) >= 3, 20, "two windows after it")
    write("h.toml", "freq = 19\nwindwo = 5\nmax_cpu = 'x'\n")
    agent.hangup()
    agent.wait_for("the configuration stays as it was")
    assert re.search(r"h.toml:2: there is no setting 'windwo'; did you mean 'window'\?\n.*h.toml:3: max_cpu", agent.log()), agent.log()
    assert status()["wanted_hz"] == 49
    log = agent.stop()
    load.kill()
    load.wait()
    windows = agent.windows()
    assert windows[0][1] == 97 and 1 < windows[0][0] < 30 and all(rate == 49 for _, rate, _, _ in windows[1:]) and len(windows) >= 3, log
    # A busy CPU all the time: ticks follow from the clock, but for what a hypervisor takes.
    expected, found = sum(duration * rate for duration, rate, _, _ in windows), sum(window[2] for window in windows)
    assert found > 0.6 * expected, (found, expected, [window[:3] for window in windows], log)


@test("SIGHUP: sinks change, with their rules, and no window is missing in both folders together")
def other_sinks():
    Agent.kill_all()
    folders = [os.path.abspath("first"), os.path.abspath("second")]
    sink = "window = 0.5\n[[sink]]\nkind = 'dir'\nurl = '%s'\nname = '%s'\n"
    write("s.toml", sink % (folders[0], "first"))
    with open("s.log", "w") as log:
        agent = spawn(HEARTH, "agent", "--store", "none", "--config", "s.toml", stderr=log)
    wait_for(lambda: len(glob.glob("first/*.pb.gz")) >= 2, 30, "windows in the first folder")
    write("s.toml", sink % (folders[1], "second"))
    agent.send_signal(signal.SIGHUP)
    wait_for(lambda: len(glob.glob("second/*.pb.gz")) >= 2, 30, "windows in the second folder")
    agent.terminate()
    assert agent.wait(30) == 0
    with open("s.log") as log:
        text = log.read()
    assert "configuration read again: sinks" in text, text
    written = int(re.search(r"stopped after (\d+) windows", text).group(1))
    assert len(glob.glob("first/*.pb.gz")) + len(glob.glob("second/*.pb.gz")) == written, text


@test("control: status, a rate for some time which ends by itself, pause, resume")
def controlled():
    Agent.kill_all()
    load = spawn(build("busy.c", "busy_c", "-O2"), "120")
    agent = Agent("c", "--window", "30", "-F", "19")
    before = status()
    assert before["state"] == "sampling" and before["rate_hz"] == 19 and before["window_s"] == 30, before
    assert "state                sampling\n" in control("status").stdout
    assert control("rate", "199", "--for", "4").returncode == 0
    boosted = status()
    assert boosted["state"] == "boosted" and boosted["rate_hz"] == 199 and 0 < boosted["boost_left_s"] <= 4, boosted
    wait_for(lambda: status()["rate_hz"] == 19, 30, "the end of the boost")
    assert control("pause", "--for", "1h").returncode == 0
    assert status()["state"] == "paused"
    wait_for(lambda: len(glob.glob("c/*.pb.gz")) == 3, 30, "the window before the pause")
    time.sleep(1)
    assert control("resume").returncode == 0
    assert status()["state"] == "sampling"
    time.sleep(0.5)
    log = agent.stop()
    load.kill()
    load.wait()
    windows = agent.windows()
    rates = [rate for _, rate, _, _ in windows]
    # A machine that takes the CPU away between the end of a window and the pause gives the pause a window too, of the ticks that came before it: nothing is lost.
    assert rates == [19, 199, 19, 19] or (rates == [19, 199, 19, 19, 19] and windows[3][2] < windows[1][2] / 20), (rates, log)
    # A machine that takes CPUs away (steal) delays ends and misses ticks: how many came tells 199 from 19, and all are accounted for.
    assert 3.9 < windows[1][0] < 30 and windows[1][2] > 0.3 * 199 * windows[1][0], windows[1][:3]
    assert not os.path.exists(os.environ["HEARTH_CONTROL"])
    done = control("status")
    assert done.returncode == 1 and "no agent answers" in done.stderr, done


@test("control: wrong usage, and another agent's socket")
def wrong():
    Agent.kill_all()
    for words, arguments in (("status, rate, pause or resume?", []), ("none of status", ["stat"]), ("--for SECONDS is needed", ["rate", "99"]),
                             ("not a number", ["rate", "x", "--for", "1"]), ("more than 1h", ["rate", "99", "--for", "2h"]),
                             ("it is: status", ["resume", "now"]), ("see 'hearth control --help'", ["--nothing"])):
        done = control(*arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done)
    agent = Agent("x", "--window", "5")
    second = Agent("y", "--window", "5")
    assert "another agent answers" in second.stop()
    done = control("rate", "999999", "--for", "1")
    assert done.returncode == 1 and "above this machine's limit" in done.stderr, done
    assert status()["pid"] == agent.process.pid
    agent.stop()


@test("jitter: windows end at the host's phase; a fraction: the others are not sampled, and the weight is written")
def fleet():
    Agent.kill_all()
    agent = Agent("f", "--window", "1", "--window-jitter", "--sample-fraction", "0.5", HEARTH_FREQ="97")
    begin = time.monotonic()
    # So long that chance does not take all: one of a million times.
    wait_for(lambda: len(glob.glob("f/*.pb.gz")) >= 8 and time.monotonic() - begin > 20, 90, "eight sampled windows")
    total = int(re.search(r"stopped after (\d+) windows", agent.stop()).group(1))
    ends = []
    windows = agent.windows()
    for file in sorted(glob.glob("f/*.pb.gz"))[:-1]:
        stamp = re.search(r"T\d{4}(\d\d)\.(\d{3})Z", file)
        ends.append((int(stamp.group(1)) * 1000 + int(stamp.group(2))) % 1000)
    assert 8 <= len(windows) < total, (len(windows), total)
    assert all("weight=2\n" in raw or "weight=2 " in raw for *_, raw in windows), windows[0][3][:400]
    print(f"# measured: windows began at {sorted(ends)} ms of the second")
    # The last one ends when it is told to, and on a machine with much to do some begin late.
    assert any(sum((end - phase) % 1000 < 250 for end in ends) > len(ends) / 2 for phase in ends), ends


@test("hearth record beside a running agent")
def beside():
    Agent.kill_all()
    load = spawn(build("busy.c", "busy_r", "-O2"), "120")
    agent = Agent("r", "--window", "2", "-F", "49")
    summary = record("-F", "499", "-d", "2", "-p", str(load.pid))
    assert summary["samples"] > 0, summary
    agent.stop()
    load.kill()
    load.wait()
    windows = agent.windows()
    assert all(rate == 49 for _, rate, _, _ in windows)
    expected, found = 49 * sum(window[0] for window in windows), sum(window[2] for window in windows)
    assert found > 0.6 * expected, (found, expected, [window[:3] for window in windows])


run(processes=2)
