#!/usr/bin/python3
"""The short version of tests/upload/long.py."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
from away import run_away
from harness import run, test


@test("servers are away, the feeder is killed twice: every window arrives, in order")
def _():
    print("# measured:", run_away("store-away", windows=12, kills=2, interval_ms=100, catch_up_s=120, pace=50))


run(needs_root=False)
