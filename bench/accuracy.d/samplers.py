"""Run a program under a profiler and yield (Stack, count), user frames only, leaf first."""
import os
import re
import subprocess
from collections import Counter

from classify import Stack

KERNEL_FIRST = 1 << 63
FRAME = re.compile(r"^\s+([0-9a-f]+) (.*)$")
LOCATION = re.compile(r" \((?:inlined|\[[^()]*\]|/[^()]*|\.[^()]*|[^()]* \(deleted\))\)$")


class SamplerError(Exception):
    pass


def _run(command, what):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SamplerError(f"{what} failed with status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done


def hearth(binary, options):
    """hearth's folded stacks are root first; a cut one says so where its root would be."""
    def sample(program, seconds, scratch):
        output = os.path.join(scratch, "out.folded")
        _run([binary, "record", "-F", "997", *options, "-o", output, "-q", "--", program, str(seconds)], "hearth record")
        with open(output, errors="replace") as file:
            stacks = parse_folded(file, os.path.basename(program))
        os.remove(output)
        return stacks
    return sample


def parse_folded(lines, program):
    stacks = Counter()
    for line in lines:
        text, _, count = line.rstrip("\n").rpartition(" ")
        process, *frames = text.split(";")
        if process != program[:15]:  # before the exec
            continue
        cut = next((frame[len("[truncated: "):-1] for frame in frames[:2] if frame.startswith("[truncated")), "")
        user = tuple(frame for frame in reversed(frames) if not frame.endswith("_[k]") and not frame.startswith("[truncated"))
        stacks[Stack(user, cut)] += int(count)
    return stacks


def perf(call_graph):
    def sample(program, seconds, scratch):
        data = os.path.join(scratch, "perf.data")
        # --buildid-mmap: while any event in the system asks for build ids, as hearth's do, Linux (6.18 at least) flags every mmap
        # record as having one, and a perf 6.1 that did not ask takes the inode for a build id and dies.
        _run(["perf", "record", "-q", "--buildid-mmap", "-e", "cpu-clock", "-F", "997", "--call-graph", call_graph, "-o", data, "--",
              program, str(seconds)], "perf record")
        script = subprocess.Popen(["perf", "script", "-i", data, "-F", "comm,tid,ip,sym,dso"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True, errors="replace")
        stacks = parse_script(script.stdout, os.path.basename(program))
        if script.wait():
            raise SamplerError(f"perf script failed with status {script.returncode}")
        os.remove(data)
        return stacks
    return sample


def parse_script(lines, program):
    stacks = Counter()
    frames, wanted = [], False
    for line in lines:
        if not line.strip():
            if wanted:
                stacks[Stack(tuple(frames), "")] += 1
            frames, wanted = [], False
        elif line[0].isspace() and FRAME.match(line):
            address, name = FRAME.match(line).groups()
            if int(address, 16) < KERNEL_FIRST:
                frames.append(frame_name(name))
        else:
            frames, wanted = [], line.strip().rpartition(" ")[0].strip() == program[:15]
    if wanted:
        stacks[Stack(tuple(frames), "")] += 1
    return stacks


def frame_name(text):
    """The function of "name (dso)"; an unknown one is named by its file."""
    location = LOCATION.search(text)
    name = text[:location.start()] if location else text
    if name == "[unknown]" and location and "/ld-linux" in location.group():
        return "[ld-linux]"
    return name


def samplers(hearth_binary, hearth_options):
    return {"hearth": hearth(hearth_binary, hearth_options), "fp": perf("fp"), "dwarf": perf("dwarf,65528")}
