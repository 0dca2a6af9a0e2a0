#!/usr/bin/python3
"""The long tests of uploading: make test-upload."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
from away import run_away
from harness import run, test


@test("servers are away for half an hour's windows, the feeder is killed five times: every window arrives, in order")
def _():
    print("# measured:", run_away("store-away", windows=180, kills=5, interval_ms=150, catch_up_s=400))


run(needs_root=False)
