#!/usr/bin/python3
"""The whole way: hearth agent samples this machine, and servers get what its store has."""
import glob
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import certificates
from agents import Agent, processes_of, refusals, run_killed, same_as_store
from away import KINDS
from harness import build, run, spawn, test, wait_for
from sinks import Sink


@test("what the agent samples is what each kind of server gets")
def _():
    busy = build("busy.c", "busy")
    spawn(busy, "300")
    sinks = [Sink(kind) for kind in KINDS]
    agent = Agent("store-agent", [sink.argument() for sink in sinks])
    wait_for(lambda: all(len(sink.received.windows) >= 4 and any("outer;middle;inner" in stack for stack in sink.received.by_stack()) for sink in sinks), 100,
             "four windows at each server, and what the program does")
    agent.stop()
    windows = same_as_store(sinks, os.path.abspath("store-agent"))
    # Windows that were stored at its end go with the next agent.
    agent = Agent("store-agent", [sink.argument() for sink in sinks])
    wait_for(lambda: all(set(windows) <= set(sink.received.windows) for sink in sinks), 100, "what waited")
    agent.stop()
    same_as_store(sinks, os.path.abspath("store-agent"))
    for sink in sinks:
        assert len({request["connection"] for request in sink.received.requests}) <= 3, sink.kind
    services = {labels["service_name"] for labels, _ in sinks[0].received.series()}
    assert services, sinks[0].received.series()[:3]


@test("debug information of what was sampled goes to Parca, which names addresses by it")
def _():
    busy = build("busy.c", "busy-debug")
    spawn(busy, "300")
    notes = subprocess.run(["readelf", "-n", busy], capture_output=True, text=True, check=True).stdout
    build_id = re.search(r"Build ID: ([0-9a-f]+)", notes)[1]
    sink = Sink("parca")
    agent = Agent("store-debuginfo", [sink.argument()], "--symbolize", "server", "--upload-set", "parca.debuginfo_bytes_per_s=100M")
    wait_for(lambda: build_id in sink.debuginfo.finished, 150, "the program's debug information")
    agent.stop()
    assert not refusals(sink), refusals(sink)[:2]
    assert not any("outer;middle;inner" in stack for stack in sink.received.by_stack()), "names were sent"
    with open("debug", "wb") as file:
        file.write(sink.debuginfo.files[build_id][0])
    symbols = subprocess.run(["nm", "debug"], capture_output=True, text=True, check=True).stdout
    assert re.search(r" [tT] inner$", symbols, re.M), symbols
    sections = subprocess.run(["readelf", "-WS", "debug"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"\] \.text +NOBITS", sections), sections
    assert len([1 for _, name, of in sink.debuginfo.calls if name == "Upload" and of == build_id]) == 1, sink.debuginfo.calls
    assert sink.debuginfo.open_max == 1


@test("the agent is killed three times while the servers are away: every window arrives, in order")
def _():
    print("# measured:", run_killed(os.path.abspath("store-killed-agent"), ("pyroscope", "parca"), kills=3, windows_each=2, window=1, catch_up_s=120))


def seen_of(pid):
    """What ps and others can see."""
    seen = ""
    for name in ("cmdline", "environ", "comm", "status"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                seen += file.read().decode("latin-1")
        except OSError:
            pass
    return seen


@test("sinks of a configuration file: secrets are seen nowhere, SIGHUP brings another server and loses no window")
def _():
    made = certificates.make("certificates")
    first, second = Sink("pyroscope", certificate=made["good"]), Sink("parca")
    first.bearer, second.basic = "t0ken-SECRET-agent", "user:pa55-SECRET-agent"
    for name, text in (("token", first.bearer), ("password", second.basic.split(":")[1])):
        with open(name, "w") as file:
            file.write(text + "\n")
        os.chmod(name, 0o600)

    def configure(*sinks):
        with open("hearth.toml", "w") as file:
            file.write("".join(f"[[sink]]\n{sink}\n" for sink in sinks))
    one = (f'kind = "pyroscope"\nurl = "{first.url("localhost")}"\nname = "one"\nbearer_token_file = "{os.path.abspath("token")}"\n'
           f'ca_file = "{os.path.abspath(made["ca"][0])}"\nlabels = {{ env = "test" }}')
    two = (f'kind = "parca"\nurl = "{second.url()}"\nname = "two"\nbasic_user = "user"\nbasic_password_file = "{os.path.abspath("password")}"')
    configure(one)
    folder = os.path.abspath("store-config")
    agent = Agent(folder, [], "--config", os.path.abspath("hearth.toml"))
    wait_for(lambda: len(first.received.windows) >= 2, 100, "windows at the first server")
    configure(one, two)
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(second.received.windows) >= 3, 100, "windows at the second server")
    seen = "".join(seen_of(pid) for pid in processes_of(agent.process.pid))
    agent.stop()
    seen += agent.log()
    for path in glob.glob(folder + "/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                seen += file.read().decode("latin-1")
    assert "SECRET" not in seen, re.findall(".{60}SECRET.{20}", seen)
    windows = same_as_store([first, second], folder)
    assert all(labels["env"] == "test" for labels, _ in first.received.series())
    # All but those that were stored at the end: none is missing in between.
    for sink in (first, second):
        got = sorted(sink.received.windows)
        between = [time_ns for time_ns in sorted(windows) if got[0] <= time_ns <= got[-1]]
        assert got == between, (sink.kind, len(got), len(between))


run(at_once=3)
