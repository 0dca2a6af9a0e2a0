#!/usr/bin/env python3
"""Completion in bash, zsh and fish offers what --help lists: each option, and no other."""
import os
import re
import shutil
import subprocess

from harness import *
from terminal import Terminal

GENERATE = os.path.join(REPO, "packaging", "completion", "generate")


def commands():
    listed = re.findall(r"^  ([a-z][a-z0-9]*) ", hearth("--help").stdout, re.M)
    assert {"record", "top", "agent", "check"} <= set(listed), listed
    return listed


def options(command):
    """What the help of a command lists at the begin of lines."""
    found = set()
    for line in hearth(command, "--help").stdout.splitlines():
        names = re.match(r"(?:  (-\w)(?:, (--[\w-]+))?|      (--[\w-]+))", line)
        if names:
            found |= {name for name in names.groups() if name}
    assert "--help" in found, (command, found)
    return found


def with_argument(command):
    """Of these, those that take an argument: one space behind the name, and capitals."""
    lines = hearth(command, "--help").stdout.splitlines()
    found = (re.match(r"(?:  (-\w)(?:, (--[\w-]+))?|      (--[\w-]+))[ =](?:\[[A-Z]+:\])?[A-Z]", line) for line in lines)
    return {name for names in found if names for name in names.groups() if name}


def script(shell):
    if not shutil.which(shell):
        raise Skip(f"no {shell}")
    path = os.path.abspath("hearth." + shell)
    if not os.path.exists(path):
        with open(path, "w") as file:
            subprocess.run([GENERATE, HEARTH, shell], stdout=file, check=True)
        subprocess.run([shell, "-n", path], check=True)
    return path


def by_bash(*words):
    line = " ".join(f"'{word}'" for word in words)
    code = f"compopt() {{ :; }}; source {script('bash')}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _hearth; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True)
    assert done.stderr == "", done.stderr
    return set(done.stdout.split())


def by_fish(text):
    done = subprocess.run(["fish", "--no-config", "-c", f"complete -e -c hearth; source {script('fish')}; complete -C '{text}'"],
                          capture_output=True, text=True, env={**os.environ, "HOME": os.getcwd()})
    assert done.stderr == "", done.stderr
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


@test("bash: commands, the options of each, words, files, processes, a command to run")
def bash():
    assert by_bash("hearth", "") == set(commands()) | {"--help", "--version"}
    assert by_bash("hearth", "rec") == {"record"}
    for command in commands():
        offered = {word for word in by_bash("hearth", command, "-")}
        assert offered == options(command), (command, offered ^ options(command))
        code = f"source {script('bash')}; for option in {' '.join(sorted(offered))}; do [ -z \"$(_hearth_values {command}:$option)\" ] || printf '%s\\n' $option; done"
        valued = set(subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True).stdout.split())
        assert valued == with_argument(command), (command, valued ^ with_argument(command))
    assert by_bash("hearth", "top", "--sort", "") == {"self", "total", "name"}
    assert by_bash("hearth", "top", "--sort", "=", "t") == {"total"}
    assert by_bash("hearth", "top", "--sort", "=") == {"self", "total", "name"}
    assert by_bash("hearth", "control", "p") == {"pause"}
    assert str(os.getpid()) in by_bash("hearth", "record", "-p", str(os.getpid()))
    open("a profile.pb.gz", "w").close()
    os.makedirs("a-folder", exist_ok=True)
    assert {"a-folder"} == by_bash("hearth", "agent", "--store", "a-f")
    assert "profile.pb.gz" in by_bash("hearth", "symbolize", "a")
    assert "ls" in by_bash("hearth", "record", "-F", "99", "--", "ls")
    assert by_bash("hearth", "nothing", "") == set()


@test("fish: the same")
def fish():
    assert {name for name in by_fish("hearth ") if not name.startswith("-")} == set(commands())
    for command in commands():
        offered = by_fish(f"hearth {command} --") | {name for name in by_fish(f"hearth {command} -") if re.fullmatch(r"-\w", name)}
        offered = {name.rstrip("=") for name in offered}
        assert offered == options(command), (command, offered ^ options(command))
    assert by_fish("hearth top --sort ") == {"self", "total", "name"}
    assert "pause" in by_fish("hearth control p")
    assert any(name.startswith("ls") for name in by_fish("hearth record -- ls"))


@test("zsh: the same, and typed")
def zsh():
    # _arguments of this test tells what it is given.
    stub = "_arguments() { print -rl -- \"$@\" }; _describe() { print -rl -- \"${(@P)5}\" }; "
    for command in commands():
        code = stub + f"words=(hearth {command} ''); CURRENT=3; source {script('zsh')}"
        done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True)
        assert done.stderr == "", done.stderr
        offered = set()
        for spec in done.stdout.splitlines():
            names = re.match(r"(?:\*|\([^)]*\))?(-[-\w]+)=?\[", spec)
            if names:
                offered.add(names.group(1))
        assert offered == options(command), (command, offered ^ options(command))
    os.makedirs("functions", exist_ok=True)
    shutil.copy(script("zsh"), "functions/_hearth")
    terminal = Terminal("zsh", "-f", "-i", rows=50, columns=120, HOME=os.getcwd(), PS1="ready> ")
    try:
        terminal.wait("ready>", 60)
        terminal.keys(f"fpath=({os.getcwd()}/functions $fpath); autoload -Uz compinit; compinit -u -D; hearth() {{ :; }}; echo loa''ded\n")
        terminal.wait("loaded", 60)
        terminal.keys("hearth rec\t")
        terminal.wait("hearth record", 60)
        terminal.keys("\x15hearth top --so\tto\t")
        terminal.wait("--sort=total", 60)
        terminal.keys("\x15hearth control pau\t")
        terminal.wait("hearth control pause", 60)
    finally:
        terminal.close()


@test("a help that is not understood is an error, not a completion that lacks something")
def not_understood():
    script_of_help = "#!/bin/sh\nif [ \"$1\" = --help ]; then printf '  odd        does things\\n'; else printf 'Usage: x\\n\\n  -%%x  what\\n'; fi\n"
    with open("odd", "w") as file:
        file.write(script_of_help)
    os.chmod("odd", 0o755)
    done = subprocess.run([GENERATE, os.path.abspath("odd"), "bash"], capture_output=True, text=True)
    assert done.returncode != 0 and "odd: what is" in done.stderr, done


run(needs_root=False)
