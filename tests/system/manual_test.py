#!/usr/bin/env python3
"""The manual pages and --help say the same: each command has a page, each option of the one is in the other, and groff has nothing to complain of."""
import glob
import os
import re
import shutil
import subprocess

from harness import *

PAGES = os.path.join(REPO, "docs", "man")


def commands():
    return re.findall(r"^  ([a-z][a-z0-9]*) ", hearth("--help").stdout, re.M)


def in_help(command):
    found = set()
    for line in hearth(command, "--help").stdout.splitlines():
        names = re.match(r"(?:  (-\w)(?:, (--[\w-]+))?|      (--[\w-]+))", line)
        found |= {name for name in names.groups() if name} if names else set()
    return found - {"-h", "--help"}  # of every command; pages do without


def plain(text):
    """Without fonts, quotes and escapes."""
    return re.sub(r"\\f.|\\&|\"", "", text.replace("\\-", "-"))


def in_page(command):
    """The options of tags: the lines behind .TP and .TQ."""
    with open(os.path.join(PAGES, f"hearth-{command}.1")) as page:
        lines = page.read().splitlines()
    found = set()
    for before, line in zip(lines, lines[1:]):
        # A tag may name another command's option behind a blank: only those in the place of names count.
        if before in (".TP", ".TQ"):
            words = re.sub(r"^\.[BI]R?I? ", "", plain(line)).replace(",", " ").replace("[", " ").replace("=", " ").split()
            found |= {word for word in words if re.fullmatch(r"-\w|--[a-z][\w-]*", word)}
    return found - {"-h", "--help"}


@test("each command has a page that has the options of its --help, and no other; hearth(1) names all commands")
def pages():
    with open(os.path.join(PAGES, "hearth.1")) as page:
        overview = page.read()
    wrong = []
    for command in commands():
        if f"hearth-{command} (1)" not in overview:
            wrong.append(f"hearth.1 lacks {command}")
        lacking, unknown = in_help(command) - in_page(command), in_page(command) - in_help(command)
        wrong += [f"hearth-{command}.1 lacks {name}" for name in sorted(lacking)]
        wrong += [f"hearth-{command}.1 has {name}, --help has not" for name in sorted(unknown)]
    assert not wrong, "\n".join(wrong)


@test("groff takes every page without a warning")
def groff():
    if not shutil.which("groff"):
        raise Skip("no groff")
    for page in sorted(glob.glob(PAGES + "/*.[15]")):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert done.stderr == "", (page, done.stderr)


run(needs_root=False)
