#!/usr/bin/env python3
"""Walks that the kernel program leaves to user space."""
from harness import *


@test("a CFA expression that tables have no form for: libunwind finishes the stack")
def odd():
    program = build("odd.c", "odd", "-O2", "-fomit-frame-pointer")
    summary = record("-F", "499", "-o", "odd.folded", "--", program, "3")
    stacks = folded("odd.folded")
    for inner in ("odd_frame", "odd_inner"):
        assert share(stacks, inner) > 0.2, stacks[:5]
    total = sum(count for _, count in stacks)
    whole = sum(count for names, count in stacks if "odd_frame" in names
                and names[names.index("odd_frame") - 2:names.index("odd_frame")] == ["main", "odd_outer"]
                and not any(name.startswith("[truncated") for name in names))
    assert whole > 0.95 * total, (whole, total, summary["stacks"])


run()
