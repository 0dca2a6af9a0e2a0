#!/usr/bin/env python3
"""hearth's walk at every instruction of small programs, against callers that single-stepping tells (tests/stepping)."""
import os
import re
import subprocess

from harness import REPO, Skip, build, run, test

STEP = f"{REPO}/build/tests/stepping/step"
FLAGS = ("-O2", "-fomit-frame-pointer", "-pthread")
# Compiled code, PLT stubs and signal handlers. Stack switches have no true caller, and what has no CFI is walked by its frame pointer.
JUDGED = ("prologue", "body", "epilogue", "plt", "signal")


def step(*command, seconds=120, bind_now=True):
    """({category: (exact, truncated, wrong)}, the printed places)."""
    subprocess.run(["make", "-s", "-C", REPO, "stepping"], check=True)
    done = subprocess.run([STEP, "--seconds", str(seconds), *command], capture_output=True, text=True, timeout=400,
                          env={**os.environ, "LD_BIND_NOW": "1"} if bind_now else None)
    if "Operation not permitted" in done.stderr:
        raise Skip("ptrace is not allowed")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^([a-z][a-zA-Z ]*?) +(\d+) +(\d+) +(\d+)$", done.stdout, re.M)
    return {name: tuple(map(int, counts)) for name, *counts in rows}, [line for line in done.stdout.splitlines() if line.startswith(("    wrong", "    trunc"))]


def sums(counts):
    return [sum(counts[name][i] for name in JUDGED) for i in range(3)]


@test("C: prologues, bodies, epilogues, PLT and signal handlers are exact at every instruction")
def c_is_exact():
    for level in ("-O2", "-O3"):
        program = build("stepped.c", f"stepped{level}", *FLAGS, level)
        counts, places = step("--from-entry", "--show", "1000", "--", program)
        exact, truncated, wrong = sums(counts)
        assert exact > 5000 and counts["signal"][0] > 200 and counts["plt"][0] > 10, counts
        # glibc says that clone3 has no caller behind its system call, in the parent too.
        cut = [place for place in places if "truncated" in place and "without CFI" not in place and "ended: complete" not in place]
        assert wrong == 0 and truncated < 10 and not cut, (counts, cut[:5])


@test("C with lazy binding: no wrong stack")
def lazy_binding_is_not_wrong():
    program = build("stepped.c", "stepped-lazy", *FLAGS)
    counts, places = step("--from-entry", "--", program, bind_now=False)
    assert sums(counts)[2] == 0 and counts["plt"][0] > 10, (counts, places[:5])


@test("C++ exceptions: cut and not wrong while libgcc overwrites what the frame that throws has saved")
def exceptions_are_not_wrong():
    program = build("stepped.cc", "stepped-cc", *FLAGS, compiler="g++")
    counts, places = step("--from-entry", "--show", "1000", "--", program)
    exact, truncated, wrong = sums(counts)
    assert exact > 5000 and truncated < exact * 0.05, (counts, places[:5])
    # The last instruction before the stack pointer is the handler's: its caller is the handler by its CFI, the one that threw by its calls.
    others = [place for place in places if re.search(r"wrong +x \d+, (prologue|body|plt)", place)]
    assert wrong < 10 and not others, others[:5]


@test("the comparison finds damaged tables")
def damage_is_found():
    program = build("stepped.c", "stepped-damaged", *FLAGS)
    counts, _ = step("--from-entry", "--damage", "--", program)
    exact, truncated, wrong = sums(counts)
    assert truncated + wrong > 100, counts


run()
