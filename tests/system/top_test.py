#!/usr/bin/env python3
"""hearth top on a terminal (a pty with pyte's screen), and in batches."""
import json
import os
import re
import signal
import subprocess
import threading
import time

from harness import *
from terminal import Terminal

HERE = threading.local()  # what the test of this thread left to be closed


def terminal_of(*arguments, **options):
    HERE.left.append(Terminal(*arguments, **options))
    return HERE.left[-1]


def top(*arguments, **options):
    """hearth top, once it shows a table."""
    terminal = terminal_of(HEARTH, "top", *arguments, **options)
    terminal.wait("SHARE")
    terminal.wait(lambda lines: "sampling ..." not in lines[1], what="the first window")
    return terminal


def ends_cleanly(terminal, status=0):
    assert terminal.ended() == status, (terminal.process.returncode, terminal.text())
    terminal.check_clean()
    assert b"add up" not in terminal.raw  # of the account: a window's ticks are its samples and its drops, also around a pause


def workload(name, seconds="200"):
    load = spawn(build("busy.c", name, "-O2", "-Wl,--build-id=none"), seconds)
    HERE.loads.append(load)
    return load


def body(lines):
    """The rows of the table."""
    at = next(i for i, line in enumerate(lines) if "NAME" in line)
    return [line for line in lines[at + 1:-1] if line.strip()]


def totals(lines):
    return [float(row.split("%")[1]) for row in body(lines)]


def names(lines):
    return [line[55:].strip() for line in body(lines)]


def selected_row(terminal):
    """What is drawn in reverse below the titles."""
    for row in range(4, terminal.screen.lines):
        if terminal.screen.buffer[row][0].reverse:
            return terminal.screen.display[row].rstrip()
    return ""


def guarded(function):
    """Ends what a test began, also one that failed."""
    def inner():
        HERE.left, HERE.loads = [], []
        try:
            function()
        finally:
            for terminal in HERE.left:
                terminal.close()
            for load in HERE.loads:
                load.kill()
                load.wait()
    return inner


@test("the hot function is on top within seconds; sorts, sides, filter, help")
@guarded
def functions():
    load = workload("busy_top")
    terminal = top("-p", str(load.pid), "-d", "0.5", rows=24, columns=100)
    lines = terminal.wait(lambda lines: body(lines) and re.match(r" ?([6-9]\d|100)\.\d+%.* busy_top +inner$", body(lines)[0]), what="inner on top")
    assert re.match(r"[\d,]+ samples of [\d,]+ ticks  dropped \d+  truncated", lines[1]), lines
    terminal.keys("t")
    terminal.wait(lambda lines: "by total" in lines[2] and totals(lines) == sorted(totals(lines), reverse=True), what="sorted by total")
    terminal.keys("n")
    terminal.wait(lambda lines: "by name" in lines[2] and names(lines) == sorted(names(lines)), what="sorted by name")
    terminal.keys("sk")
    terminal.wait(lambda lines: "kernel only" in lines[2] and all("[kernel]" in row for row in body(lines) if "%" in row), what="kernel only")
    terminal.keys("k/inn")
    terminal.wait(lambda lines: "filter: inn" in lines[-1] and len(body(lines)) == 1, what="one row")
    terminal.keys("(")
    terminal.wait("missing")  # half an expression
    terminal.keys("\x1b")
    terminal.wait(lambda lines: len(body(lines)) > 1, what="all rows")
    terminal.keys("h")
    terminal.wait("hearth top: keys")
    terminal.keys("h")
    terminal.wait("SHARE")
    terminal.keys("q")
    ends_cleanly(terminal)


@test("Enter goes to callers and callees and into processes, Backspace back; the selection stays on its row")
@guarded
def drill():
    load = workload("busy_drill")
    terminal = top("-p", str(load.pid), "-d", "0.3", rows=20, columns=100)
    terminal.wait(lambda lines: body(lines) and body(lines)[0].endswith("inner"), what="inner on top")
    terminal.keys("\r")
    terminal.wait(lambda lines: any(row.startswith("caller") and row.endswith("middle") for row in body(lines)), what="the caller")
    assert selected_row(terminal).startswith("itself"), terminal.text()
    terminal.keys("\x1bOA\r")  # up, into the caller
    terminal.wait(lambda lines: any(row.startswith("callee") and row.endswith("inner") for row in body(lines)), what="inner below middle")
    terminal.keys("\x7f\x7f\t")
    terminal.wait(lambda lines: "PID" in lines[3] and str(load.pid) in body(lines)[0], what="processes")
    terminal.keys("\r")
    terminal.wait(f"process {load.pid} busy_drill")
    first = selected_row(terminal)[55:]
    terminal.keys("\x1b[B")  # as terminals send it that know no application mode
    terminal.wait(lambda lines: selected_row(terminal)[55:] not in ("", first), what="the next row selected")
    name = selected_row(terminal)[55:]
    time.sleep(1)
    terminal.read()
    assert selected_row(terminal)[55:] == name
    terminal.keys("q")
    ends_cleanly(terminal)


@test("every size from 40x10 to 300x100 and smaller ones, while it runs; TERM=vt100 and NO_COLOR are without colours")
@guarded
def sizes():
    load = workload("busy_sizes")
    terminal = top("-p", str(load.pid), "-d", "0.3")
    for rows, columns in ((10, 40), (100, 300), (5, 20), (1, 1), (24, 80)):
        terminal.size(rows, columns)
        terminal.process.send_signal(signal.SIGWINCH)
        if rows >= 10:
            terminal.wait(lambda lines: len(lines) == rows and any("inner" in line for line in lines) and "h help" in lines[-1], what=f"{rows}x{columns}")
        else:
            terminal.wait(lambda lines: lines[0] in ("too small", "t", "~", "too small".ljust(9)), what=f"{rows}x{columns}")
    terminal.keys("q")
    ends_cleanly(terminal)
    for environment in ({"TERM": "vt100"}, {"NO_COLOR": "1"}):
        terminal = top("-p", str(load.pid), "-d", "0.3", **environment)
        terminal.wait("inner")
        terminal.keys("q")
        assert terminal.ended() == 0
        assert not re.search(rb"\x1b\[[0-9;]*(3[1-7]|38;5)[0-9;]*m", terminal.raw), terminal.raw[-500:]


@test("SIGINT, SIGTERM, SIGHUP and a terminal that goes end it; the terminal is as before")
@guarded
def signals():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, None):
        terminal = top("-d", "0.3")
        if number is None:
            terminal.keys("\x03")  # Ctrl-C of the terminal
        else:
            terminal.process.send_signal(number)
        ends_cleanly(terminal)
    terminal = top("-d", "0.3")
    HERE.left.remove(terminal)
    os.close(terminal.slave)
    os.close(terminal.master)
    assert terminal.process.wait(10) == 0


@test("^Z gives the terminal back and stops; fg goes on with it; so after SIGSTOP")
@guarded
def suspended():
    load = workload("busy_stop")
    # A shell with job control, as one that stops has.
    terminal = terminal_of("/bin/bash", "--norc", "--noprofile", "-i", rows=24, columns=100, PS1="ready> ")
    terminal.wait("ready>")
    terminal.keys(f"{HEARTH} top -p {load.pid} -d 0.3\n")
    terminal.wait("inner")
    terminal.keys("\x1a")
    terminal.wait("Stopped")
    assert terminal.raw.rfind(b"\x1b[?1049l") > terminal.raw.rfind(b"\x1b[?1049h")
    # The terminal echoes: the shell has it, as it was.
    terminal.keys("echo alive=$((40+2))\n")
    terminal.wait("alive=42")
    terminal.keys("fg\n")
    terminal.wait(lambda lines: "SHARE" in lines[3] and any("inner" in line for line in lines), what="the screen again")
    assert terminal.raw.rfind(b"\x1b[?1049h") > terminal.raw.rfind(b"\x1b[?1049l")
    pid = int(subprocess.run(["pgrep", "-f", f"^{HEARTH} top -p {load.pid}"], capture_output=True, text=True).stdout.split()[0])
    os.kill(pid, signal.SIGSTOP)
    terminal.wait("Stopped")
    terminal.keys("fg\n")
    terminal.wait(lambda lines: "SHARE" in lines[3] and any("inner" in line for line in lines), what="the screen again")
    terminal.keys("q")
    terminal.wait("ready>")
    terminal.keys("echo alive=$((50+2))\n")
    terminal.wait("alive=52")
    assert terminal.raw.rfind(b"\x1b[?1049l") > terminal.raw.rfind(b"\x1b[?1049h")


@test("a ^Z that comes while the screen is drawn is not lost: nothing ever ignores it")
@guarded
def never_ignored():
    if not shutil.which("strace"):
        raise Skip("no strace")
    terminal = terminal_of("strace", "-e", "trace=rt_sigaction", "-e", "signal=none", "-o", "actions", HEARTH, "top", "-d", "0.2")
    terminal.wait("SHARE")
    terminal.keys("t")
    terminal.wait("by total")
    terminal.keys("q")
    assert terminal.ended() == 0
    with open("actions") as file:
        actions = [line for line in file if line.startswith("rt_sigaction(SIGTSTP, {")]
    assert actions and not any("SIG_IGN" in line for line in actions), actions


def descendants(pid, *name):
    """Of a name, or all; some live for a moment only."""
    def children(parent, *more):
        return [int(child) for child in subprocess.run(["pgrep", "-P", str(parent), *more], capture_output=True, text=True).stdout.split()]
    return children(pid, *name) + [found for child in children(pid) for found in descendants(child, *name)]


@test("a worker that dies is no end of it; a fault of its own leaves the terminal as before")
@guarded
def faults():
    load = workload("busy_fault")
    terminal = top("-p", str(load.pid), "-d", "0.3")
    terminal.wait("inner")
    workers = descendants(terminal.process.pid, "-x", "hearth-names")
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGSEGV)
    time.sleep(1)
    terminal.wait("inner")
    assert terminal.process.poll() is None
    terminal.process.send_signal(signal.SIGSEGV)
    ends_cleanly(terminal, -signal.SIGSEGV)


@test("pause stands still, refresh and rate change, and what is sampled ends")
@guarded
def pauses():
    load = workload("busy_pause")
    terminal = top("-p", str(load.pid), "-d", "0.5", rows=24, columns=120)
    terminal.wait("inner")
    terminal.keys("p")
    terminal.wait(lambda lines: "PAUSED" in lines[0], what="paused")
    before = terminal.lines()
    time.sleep(1.5)
    assert terminal.lines() == before
    terminal.keys("p")
    terminal.wait(lambda lines: "PAUSED" not in lines[0] and lines[1] != before[1], what="on again")
    terminal.keys("+")
    terminal.wait("every 1 s")
    terminal.keys("--")
    terminal.wait("every 0.2 s")
    terminal.keys("]")
    terminal.wait("199 Hz")
    terminal.keys("[[")
    terminal.wait("49 Hz")
    load.kill()
    load.wait()
    terminal.wait(lambda lines: "ENDED" in lines[0] and any("inner" in line for line in lines), what="ended, and still shown")
    terminal.keys("\r")
    terminal.wait("itself")
    terminal.keys("q")
    ends_cleanly(terminal)


@test("names with escapes and wide letters stay in their cells")
@guarded
def hostile():
    folder = os.path.abspath("names")
    os.makedirs(folder, exist_ok=True)
    program = os.path.join(folder, "\x1b[2J中文\n\x07<b>")
    os.rename(build("busy.c", "busy_hostile", "-O2", "-Wl,--build-id=none"), program)
    load = spawn(program, "200")
    HERE.loads.append(load)
    terminal = top("-p", str(load.pid), "-d", "0.3", rows=20, columns=80)
    lines = terminal.wait("inner")
    assert "?[2J中" in "".join(lines).replace("中 ", "中"), lines
    assert lines[0].startswith("hearth top") and "h help" in lines[-1], lines
    terminal.keys("\t")
    lines = terminal.wait("PID")
    assert lines[0].startswith("hearth top") and any("?[2J" in line for line in lines), lines
    assert b"\x1b[2J\xe4" not in terminal.raw and b"\x07" not in terminal.raw
    terminal.keys("q")
    ends_cleanly(terminal)
    # Where the locale is not UTF-8: question marks, and no byte of theirs.
    terminal = top("-p", str(load.pid), "-d", "0.3", LC_ALL="C", LANG="C")
    terminal.wait("inner")
    terminal.keys("\t")
    terminal.wait("PID")
    terminal.keys("q")
    assert terminal.ended() == 0 and not any(byte >= 0x80 for byte in terminal.raw)


@test("batches: text and JSON, so many; what is no terminal is one; a reader that goes")
@guarded
def batches():
    load = workload("busy_batch")
    done = hearth("top", "-p", str(load.pid), "-d", "0.5", "-n", "2", "--rows", "3")
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout.count("hearth top - ") == 2 and "\x1b" not in done.stdout, done.stdout
    assert re.search(r"SHARE +SELF +TOTAL +TOTAL +MODULE +FUNCTION\n *\d+\.\d\d%.* busy_batch +inner\n", done.stdout), done.stdout
    assert re.search(rf"\d+ +{load.pid}  busy_batch\n", done.stdout), done.stdout
    done = hearth("top", "-p", str(load.pid), "--json", "-n", "3", "-d", "0.4", "-s", "0.8", "--rows", "0")
    refreshes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(refreshes) == 3 and done.returncode == 0, done
    for refresh in refreshes:
        assert refresh["ticks"] == refresh["samples"] + sum(refresh["dropped"].values()) and refresh["accounted"], refresh
        assert sum(row["self"] for row in refresh["functions"]) == refresh["total"] == sum(row["total"] for row in refresh["processes"])
        assert max(refresh["functions"], key=lambda row: row["self"])["name"] == "inner"
        assert refresh["processes"][0]["pid"] == load.pid and refresh["own_cpu_percent"] >= 0
    assert refreshes[2]["duration_ns"] < 2e9, refreshes[2]["duration_ns"]
    done = hearth("top", "--json", "-n", "1", "-d", "0.5", "--filter", "^inner$", "--user-only", "--rows", "0")
    assert {row["name"] for row in json.loads(done.stdout)["functions"]} == {"inner"}
    short = subprocess.run(f"{HEARTH} top -b -d 0.3 | head -n 3", shell=True, capture_output=True, text=True, timeout=20)
    assert short.returncode == 0 and short.stderr == "" and short.stdout.startswith("hearth top - "), short
    short_load = workload("busy_short", "4")
    done = hearth("top", "-b", "-p", str(short_load.pid), "-d", "0.5", timeout=20)
    assert done.returncode == 0 and "inner" in done.stdout, done  # ended with what it sampled


@test("what cannot work is one line that tells the remedy")
@guarded
def wrong():
    for words, arguments in (("-d is from 100ms", ["-d", "0.01"]), ("-s is at most 1024 times", ["-d", "0.1", "-s", "1000"]), ("--sort", ["--sort", "x"]),
                             ("is no regular expression", ["--filter", "("]), ("contradict", ["--user-only", "--kernel-only"]),
                             ("what is 'make'?", ["make"]), ("see 'hearth top --help'", ["--nothing"]), ("--inherit goes with -p", ["--inherit"])):
        done = hearth("top", *arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done)
    done = hearth("top", "-p", "999999999")
    assert done.returncode == 1 and "there is no process" in done.stderr, done
    for term in ("unheard-of", "", "../../etc/passwd"):
        terminal = terminal_of(HEARTH, "top", TERM=term)
        assert terminal.ended() == 1
        assert "is not known here: try TERM=xterm" in terminal.text().replace("\n", ""), terminal.text()
    done = hearth("top", "-b", "-n", "1", "-d", "0.2", stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done
    full = subprocess.run([HEARTH, "top", "-b", "-n", "1", "-d", "0.2"], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True, timeout=20)
    assert full.returncode == 1 and "writing to standard output: No space left" in full.stderr, full


@test("other commands do not load ncurses, and top drops to no terminfo of a user when it is root")
@guarded
def libraries():
    needed = subprocess.run(["ldd", HEARTH], capture_output=True, text=True).stdout
    assert "ncurses" not in needed and "tinfo" not in needed, needed
    # A description that would print something for "clear": root does not read it.
    os.makedirs("home/.terminfo", exist_ok=True)
    with open("evil.ti", "w") as source:
        source.write("xterm-256color|evil,\n\tcols#80, lines#24, clear=EVIL, cup=\\E[%i%p1%d;%p2%dH, smcup=EVIL, rmcup=EVIL,\n")
    subprocess.run(["tic", "-x", "-o", "home/.terminfo", "evil.ti"], check=True, capture_output=True)
    home = os.path.abspath("home")
    terminal = top("-d", "0.3", HOME=home, TERMINFO=home + "/.terminfo", TERMINFO_DIRS=home + "/.terminfo")
    terminal.keys("q")
    ends_cleanly(terminal)
    assert b"EVIL" not in terminal.raw


run(processes=3)
