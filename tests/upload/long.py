#!/usr/bin/python3
"""The long tests of uploading: make test-upload."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
from agents import run_killed
from away import KINDS, run_away
from harness import run, test


@test("servers are away for half an hour's windows, the feeder is killed five times: every window arrives, in order")
def _():
    print("# measured:", run_away("store-away", windows=180, kills=5, interval_ms=150, catch_up_s=400))


@test("the agent is killed five times in half an hour's windows, its servers are away: every window arrives, in order")
def _():
    print("# measured:", run_killed(os.path.abspath("store-killed"), KINDS, kills=5, windows_each=36, window=0.5, catch_up_s=400))


run(needs_root=False)
