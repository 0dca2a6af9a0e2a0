#!/usr/bin/env python3
"""Stacks of code without frame pointers: every sample in spin() must show exactly the callers that the program has."""
import collections
import json
import os
import re
import shutil
import struct
import subprocess

from harness import *

UNWIND = os.path.join(WORKLOADS, "unwind")
FLAGS = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"]


def make(source, output, *flags, compiler="gcc"):
    if not shutil.which(compiler):
        raise Skip(f"no {compiler}")
    subprocess.run([compiler, *FLAGS, "-o", output, os.path.join(UNWIND, source), *flags], check=True)
    return os.path.abspath(output)


def is_named(name):
    return not name.startswith("[") and not name.endswith("_[k]")


# With glibc's debug package its functions have the names that only its sources know.
LIBC_INSIDE = {"__restore_rt", "msort_with_tmp"}
LIBC_NAMES = {"__GI___qsort_r": "qsort_r"}


def plain(name):
    name = name.split("(")[0]
    return LIBC_NAMES.get(name, name)


def chains(*command, leaf="spin", root="main", rate="499", options=()):
    """Chains of named functions from root to leaf, with their counts, of the samples that have leaf; and the summary."""
    summary = record("-F", rate, *options, "-o", "chains.folded", "--", *command)
    found = collections.Counter()
    for names, count in folded("chains.folded"):
        named = [plain(name) for name in names[1:] if is_named(name) or name.startswith("[truncated")]
        named = [name for name in named if name not in LIBC_INSIDE]
        if leaf not in named:
            continue
        named = named[:named.index(leaf) + 1]
        if root in named:
            named = named[named.index(root):]
        found[";".join(named)] += count
    return found, summary


def check(found, *expected, least=0.97, at_least=100):
    """Nearly all samples have one of the expected chains, and what has not is truncated, not wrong."""
    total = sum(found.values())
    right = sum(found[chain] for chain in expected)
    wrong = {chain: count for chain, count in found.items() if chain not in expected and "[truncated" not in chain}
    assert total >= at_least, (total, found)
    assert not wrong, wrong
    assert right >= least * total, (right, total, found.most_common(4))


def check_shape(program, shape, *expected, root="main", leaf="spin", **limits):
    found, _ = chains(program, shape, "1", root=root, leaf=leaf)
    check(found, *expected, **limits)


SHAPES = {
    "a thread, from clone's entry": ("thread", "thread_body;spin"),
    "a signal handler": ("signal", "main;shape_signal;signal_shape;interrupted;on_signal;spin"),
    # The first samples have their stack copied, and a copy holds one stack.
    "a signal handler on a stack of its own": ("altstack", "main;shape_altstack;signal_shape;interrupted;on_signal;spin"),
    "a frame that was realigned": ("realigned", "main;shape_realigned;spin"),
    "through the C library": ("libc", "main;shape_libc;qsort_r;compare;spin"),
    "a child that never execs": ("fork", "main;shape_fork;child_work;spin"),
    "50,000 mappings": ("mappings", "main;shape_mappings;spin"),
}


def add_shape(name, shape, chain):
    @test(name)
    def check_it():
        check_shape(make("shapes.c", "shapes"), shape, chain, root=chain.split(";")[0], least=0.93)


for title, (shape, chain) in SHAPES.items():
    add_shape(title, shape, chain)


@test("a coroutine has its own frames and no others")
def coroutine():
    found, _ = chains(make("shapes.c", "shapes"), "coroutine", "1", root="coroutine")
    total = sum(found.values())
    assert total > 100 and found["coroutine;spin"] == total, found


@test("the C library's assembly and system call stubs")
def assembly():
    for shape, root in (("string", "shape_string"), ("system-call", "shape_system_call")):
        summary = record("-F", "499", "-o", "assembly.folded", "--", make("shapes.c", "shapes"), shape, "1")
        stacks = folded("assembly.folded")
        inside = sum(count for names, count in stacks if ["main", root] == names[4:6] and names[1] == "_start")
        assert inside > 0.97 * sum(count for _, count in stacks), stacks[:5]
        assert summary["stacks"]["complete"] > 0.98 * summary["samples"], summary["stacks"]


LINKING = {
    "a static program": ["-static"],
    "a static PIE": ["-static-pie"],
    "a program at a fixed address": ["-no-pie", "-fno-pie"],
    "a program with .debug_frame only": ["-fno-asynchronous-unwind-tables", "-g"],
    "a program with huge pages' alignment": ["-Wl,-z,max-page-size=0x200000"],
    "a program in several segments": ["-Wl,-z,separate-code", "-Wl,--section-start=.text=0x900000", "-no-pie", "-fno-pie"],
}


def add_linking(name, flags):
    @test(name)
    def check_it():
        check_shape(make("shapes.c", "linked", *flags), "realigned", "main;shape_realigned;spin")


for title, flags in LINKING.items():
    add_linking(title, flags)


@test("a program without section headers")
def sectionless():
    program = make("shapes.c", "sectionless")
    with open(program, "r+b") as file:
        file.seek(40)
        file.write(struct.pack("<Q", 0))  # e_shoff
        file.seek(60)
        file.write(struct.pack("<HH", 0, 0))  # e_shnum, e_shstrndx
    # Its own functions have no names now; that its stacks are whole shows in what libc calls (__libc_start_main_impl in its debug file).
    summary = record("-F", "499", "-o", "sectionless.folded", "--", program, "realigned", "1")
    whole = sum(count for names, count in folded("sectionless.folded") if any(name.startswith("__libc_start_main") for name in names))
    assert whole > 0.95 * summary["samples"], (whole, summary["samples"])
    assert summary["stacks"]["complete"] > 0.97 * summary["samples"], summary["stacks"]


@test("musl")
def musl():
    for flags in (["-static"], []):
        check_shape(make("shapes.c", "musl", *flags, compiler="musl-gcc"), "realigned", "main;shape_realigned;spin", least=0.9)


@test("C++: virtual calls, lambdas, exceptions")
def cplusplus():
    found, summary = chains(make("shapes.cpp", "shapes_cpp", compiler="g++"), "1")
    derived = ";".join(["derived::work"] * 6)
    total = sum(found.values())
    right = sum(count for chain, count in found.items() if chain.startswith("main;catches") and chain.endswith(derived + ";spin"))
    assert total > 100 and right == total, found
    assert summary["stacks"]["complete"] > 0.98 * summary["samples"], summary["stacks"]


def make_go(source, output, *flags):
    if not shutil.which("go"):
        raise Skip("no go")
    environment = {**os.environ, "GOCACHE": os.path.abspath("go-cache"), "GOFLAGS": "-mod=mod", "HOME": os.getcwd()}
    subprocess.run(["go", "build", *flags, "-o", output, os.path.join(UNWIND, source)], check=True, env=environment)
    return os.path.abspath(output)


@test("Go: goroutines, closures, stacks that grew, also without its CFI")
def go():
    for flags in ([], ["-ldflags=-w"]):
        found, summary = chains(make_go("shapes.go", "shapes_go", *flags), "1", leaf="main.spin", root="nothing")
        total = sum(found.values())
        closure = sum(count for chain, count in found.items() if "runtime.main;main.main;main.closure;sort.Slice;" in chain)
        grown = sum(count for chain, count in found.items() if ";".join(["main.body"] + ["main.grow"] * 41 + ["main.spin"]) in chain)
        assert closure and grown and closure + grown > 0.97 * total > 100, found.most_common(4)
        assert summary["stacks"]["complete"] > 0.95 * summary["samples"], summary["stacks"]


def go_minor():
    return int(re.match(r"go version go1\.(\d+)", subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout)[1])


@test("Go's collector: its system stacks lead back to the goroutines")
def garbage():
    summary = record("-F", "499", "-o", "garbage.folded", "--", make_go("garbage.go", "garbage_go"), "3")
    assert summary["stacks"]["complete"] >= 0.97 * summary["samples"] > 200, summary["stacks"]
    if go_minor() < 21:
        return  # its systemstack has no frame: Go's own stacks end there
    workers = assists = 0
    for names, count in folded("garbage.folded"):
        names = [name.removesuffix(".abi0") for name in names]
        if "runtime.systemstack" not in names or names[1].startswith("[truncated"):
            continue
        at = names.index("runtime.systemstack")
        assert at > 1 and names[1] in ("runtime.goexit", "runtime.rt0_go"), names
        callee = names[at + 1] if at + 1 < len(names) else ""
        if callee.startswith("runtime.gcBgMarkWorker.func"):
            assert names[1:at] == ["runtime.goexit", "runtime.gcBgMarkStartWorkers.gowrap1", "runtime.gcBgMarkWorker"], names
            workers += count
        elif callee.startswith("runtime.gcAssistAlloc.func"):
            assert names[2:5] == ["runtime.main", "main.main", "main.build"] and names[at - 1] == "runtime.gcAssistAlloc", names
            assists += count
    assert workers > 50 and assists > 10, (workers, assists)


@test("Go without any CFI: the system stack and the clock")
def stripped_go():
    for source in ("garbage.go", "shapes.go"):
        program = make_go(source, "stripped_go", "-ldflags=-s -w")
        summary = record("-F", "499", "-o", "stripped.folded", "--", program, "2")
        least = 0.95 if go_minor() >= 21 or source == "shapes.go" else 0.5
        assert summary["stacks"]["complete"] >= least * summary["samples"] > 100, (source, summary["stacks"])


@test("Rust: closures, trait objects, a thread")
def rust():
    if not shutil.which("rustc"):
        raise Skip("no rustc")
    subprocess.run(["rustc", "-O", "-C", "force-frame-pointers=no", "-o", "shapes_rs", os.path.join(UNWIND, "shapes.rs")], check=True)
    found, summary = chains(os.path.abspath("shapes_rs"), "1", leaf="shapes::spin", root="shapes::body")
    node = "<shapes::Node as shapes::Work>::work"
    check(found, ";".join(["shapes::body"] + [node] * 5 + ["<shapes::Leaf as shapes::Work>::work", "shapes::spin"]))
    assert summary["stacks"]["complete"] > 0.97 * summary["samples"], summary["stacks"]


@test("libraries that take each other's place while the program runs", alone=True)
def libraries():
    for name, padding in (("a", 0), ("b", 200)):
        make("library.c", f"lib{name}.so", "-shared", "-fPIC", f"-DNAME={name}", f"-DPADDING={padding}")
    found, _ = chains(make("loader.c", "loader"), "2", "0.03", "./liba.so", "./libb.so", leaf="called_back")
    a, b = (f"main;use;work;inner_{name};called_back" for name in "ab")
    check(found, a, b, least=0.95)
    total = sum(found.values())
    assert 0.3 * total < found[a] < 0.7 * total, found


@test("more executables than the budget holds: eviction, no growth, whole stacks", alone=True)
def eviction():
    libraries = []
    source = os.path.abspath("large.c")
    with open(source, "w") as file:
        for i in range(20000):
            file.write(f"int f{i}(int (*g)(int), int n) {{ int a[{i % 50 + 1}]; a[0] = g(n); return g(a[0]) + {i}; }}\n")
    subprocess.run(["gcc", "-O1", "-fomit-frame-pointer", "-fPIC", "-c", "-o", "large.o", source], check=True)
    for i in range(40):
        name = f"./large{i}.so"
        subprocess.run(["gcc", *FLAGS, "-shared", "-fPIC", "-DNAME=a", "-DPADDING=0", f"-Wl,--defsym=tag{i}=0", "-Wl,--build-id=sha1",
                        "-o", name, os.path.join(UNWIND, "library.c"), "large.o"], check=True)
        libraries.append(name)
    program = make("loader.c", "loader")
    _, alone = chains(program, "2", "0.3", *libraries[:2], leaf="called_back")
    found, many = chains(program, "12", "0.3", *libraries, leaf="called_back", rate="199", options=("--unwind-budget", "2M"))
    unwind = many["unwind"]
    assert unwind["tables_evicted"] > 0, unwind
    assert unwind["allocated_bytes"] <= 2 << 20, unwind
    share = [s["stacks"]["complete"] / s["samples"] for s in (alone, many)]
    assert min(share) > 0.9, (share, many["stacks"], unwind)
    assert all("[truncated" in chain or chain == "main;use;work;inner_a;called_back" for chain in found), found


@test("programs are named with what cut their stacks")
def reasons():
    summary = record("-F", "499", "-o", "reasons.folded", "--", make("shapes.c", "shapes"), "realigned", "1")
    rows = {row["process"]: row for row in summary["processes"]}
    assert rows["shapes"]["samples"] == rows["shapes"]["complete"] + sum(rows["shapes"]["truncated"].values()), rows
    assert sum(row["samples"] for row in rows.values()) == summary["samples"], (rows, summary["samples"])


@test("a budget that is none is refused")
def bad_budget():
    for text in ("0", "1M", "-5", "64MB", "x", "8G"):
        done = hearth("record", "--unwind-budget", text, "-d", "1")
        assert done.returncode == 2 and "--unwind-budget" in done.stderr, (text, done.stderr)


run(processes=2)
