#!/usr/bin/env python3
"""hearth record, and what needs the whole machine: all CPUs busy, a CPU that goes. Nothing runs beside these."""
import json
import os
import subprocess
import time

from harness import *


def idle_s():
    """Of all CPUs together: one that sleeps takes no ticks. None of the loads below sleeps, but who stops them all for a while makes it so."""
    with open("/proc/stat") as stat:
        fields = stat.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


@test("two busy CPUs at 997 Hz: every tick is there")
def two_busy():
    program = build("busy.c", "busy_2", "-O2")
    load = [spawn(program, "300") for _ in range(os.cpu_count())]
    begin, slept = time.monotonic(), idle_s()
    summary = record("-F", "997", "-d", "5", "-o", "two.folded")
    took, slept = time.monotonic() - begin, idle_s() - slept
    for process in load:
        process.kill()
        process.wait()
    expected = summary["ticks_expected"]
    assert 0.98 * 5 * 997 * summary["cpus"] < expected < 1.02 * took * 997 * summary["cpus"], (took, summary)
    # A virtual machine's host may take a CPU away for longer than a period: such ticks are missed, not lost unseen.
    assert summary["samples"] + summary["idle"] + sum(summary["dropped"].values()) >= 0.99 * expected - 997 * slept, (slept, summary)
    missed = summary["dropped"].get("missed", 0)
    assert summary["samples"] > 0.9 * (expected - missed - summary["idle"]) and summary["samples"] > 0.2 * expected, summary


@test("at 9,973 Hz what is lost is counted")
def fast():
    program = build("busy.c", "busy_9", "-O2")
    load = [spawn(program, "300") for _ in range(os.cpu_count())]
    slept = idle_s()
    done = hearth("record", "--json", "-F", "9973", "-d", "3", "-o", "fast.folded")
    slept = idle_s() - slept
    for process in load:
        process.kill()
        process.wait()
    if done.returncode == 1 and "max_sample_rate" in done.stderr:
        raise Skip("the kernel lowered kernel.perf_event_max_sample_rate")
    summary = json.loads(done.stdout)
    check_identity(summary)
    counted = summary["ticks_fired"] + summary["dropped"].get("missed", 0)
    assert counted >= 0.99 * summary["ticks_expected"] - 9973 * slept, (slept, summary)


@test("a CPU that goes offline and comes back is sampled again within 2 s")
def hotplug():
    online = "/sys/devices/system/cpu/cpu1/online"
    if not os.path.exists(online):
        raise Skip("CPU 1 cannot be taken offline here")
    program = build("busy.c", "busy_h", "-O2")
    recording = Recording("-F", "199", "-o", "hot.folded")
    time.sleep(0.5)
    try:
        with open(online, "w") as file:
            file.write("0")
        time.sleep(0.5)
    finally:
        with open(online, "w") as file:
            file.write("1")
    time.sleep(2)
    subprocess.run(["taskset", "-c", "1", program, "2"], check=True)
    summary = recording.end()
    samples = sum(count for names, count in folded("hot.folded") if names[0] == "busy_h")
    assert samples > 150, (samples, summary, recording.log())


run()
