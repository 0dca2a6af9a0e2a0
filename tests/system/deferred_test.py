#!/usr/bin/env python3
"""Walks that the kernel program leaves to user space."""
import os
import subprocess

from harness import *


@test("a CFA expression that tables have no form for: libunwind finishes the stack")
def odd():
    program = build("odd.c", "odd", "-O2", "-fomit-frame-pointer")
    summary = record("-F", "499", "-o", "odd.folded", "--", program, "2")
    stacks = folded("odd.folded")
    for inner in ("odd_frame", "odd_inner"):
        assert share(stacks, inner) > 0.2, stacks[:5]
    total = sum(count for _, count in stacks)
    whole = sum(count for names, count in stacks if "odd_frame" in names
                and names[names.index("odd_frame") - 2:names.index("odd_frame")] == ["main", "odd_outer"]
                and not any(name.startswith("[truncated") for name in names))
    assert whole > 0.95 * total, (whole, total, summary["stacks"])


def bare_root(folder, *, matching):
    """A root folder with a program that has no CFI, and a debug file under its build id."""
    flags = ["-O2", "-g", "-DROUNDS=12", "-nostdlib", "-static", "-fomit-frame-pointer", "-fno-asynchronous-unwind-tables",
             "-fno-stack-protector"]
    program = build("bare.c", "bare", *flags, "-Wl,--build-id=0x" + "5a" * 20)
    other = build("bare.c", "bare_other", *flags, "-Wl,--build-id=0x" + "a5" * 20)
    debug = os.path.join(folder, "usr/lib/debug/.build-id/5a")
    os.makedirs(debug)
    subprocess.run(["objcopy", "--only-keep-debug", program if matching else other, debug + "/" + "5a" * 19 + ".debug"],
                   check=True)
    subprocess.run(["objcopy", "--strip-debug", program, os.path.join(folder, "bare")], check=True)
    return folder


def bare_stacks(folder, **options):
    root = bare_root(folder, **options)
    record("-F", "199", "-o", "bare.folded", "--", "chroot", root, "/bare")
    return [(names, count) for names, count in folded("bare.folded") if "bare_inner" in names]


@test("CFI of a separate debug file, in the root of the process")
def debug_file():
    stacks = bare_stacks("root", matching=True)
    total = sum(count for _, count in stacks)
    whole = sum(count for names, count in stacks
                if names[1:6] == ["_start", "bare_main", "bare_outer", "bare_middle", "bare_inner"])
    assert total > 50 and whole > 0.95 * total, stacks[:5]


@test("a debug file with another build id is none: only the instructions tell")
def wrong_debug_file():
    stacks = bare_stacks("wrong_root", matching=False)
    assert stacks and not any("bare_middle" in names and "[inferred]" not in names for names, _ in stacks), stacks[:5]


@test("hand-written code without CFI and frame pointer: its caller is inferred, and marked")
def inferred():
    program = build("bare_loop.c", "hand_loop", "-O2", "-fomit-frame-pointer")
    summary = record("-F", "499", "-o", "loop.folded", "--", program, "2")
    stacks = [(names, count) for names, count in folded("loop.folded") if "bare_loop" in names]
    total = sum(count for _, count in stacks)
    whole = sum(count for names, count in stacks
                if names[names.index("bare_loop") - 3:names.index("bare_loop")] == ["main", "loop_outer", "[inferred]"]
                and not any(name.startswith("[truncated") for name in names))
    assert total > 100 and whole > 0.95 * total, (whole, total, stacks[:5], summary["stacks"])


run()
