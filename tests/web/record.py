#!/usr/bin/env python3
"""Record a store of real workloads, for the page's tests and pictures: record.py HEARTH STORE-FOLDER [SECONDS]. Needs root.

In the first half a server works well, in the second it is slow (tests/workloads/shop.c); beside it Python, gzip and a copy run, and a process whose name is HTML and escape sequences.
Writes STORE-FOLDER/../recorded.json: the moments in milliseconds."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOSTILE_FUNCTION = "<img/src=x/onerror=alert(1)>"
HOSTILE_PROCESS = "<b>x\x1b[31m</b>"  # of 15 bytes a name may have
PYTHON = "import json, re\nwhile True:\n    text = json.dumps([{'n': i, 'text': str(i) * 9} for i in range(4000)])\n    json.loads(text)\n    re.findall(r'[0-9]+9', text)\n"


def build(folder):
    source = os.path.join(REPO, "tests", "workloads")
    program, hostile, main = (os.path.join(folder, name) for name in ("shop", "shop_hostile.o", "shop.o"))
    subprocess.run(["gcc", "-O2", "-g", f"-ffile-prefix-map={REPO}/=", "-c", "-o", main, os.path.join(source, "shop.c")], check=True)
    subprocess.run(["gcc", "-O2", "-c", "-o", hostile, os.path.join(source, "shop_hostile.c")], check=True)
    subprocess.run(["objcopy", "--redefine-sym", f"hostile_function={HOSTILE_FUNCTION}", hostile], check=True)
    subprocess.run(["objcopy", "--redefine-sym", f"hostile_function={HOSTILE_FUNCTION}", main], check=True)
    subprocess.run(["gcc", "-o", program, main, hostile], check=True)
    return program


def named(name, seconds):
    """A process of that name."""
    code = f"import ctypes, time\nctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)\nend = time.time() + {seconds}\nwhile time.time() < end: pass\n"
    return [sys.executable, "-c", code]


def main():
    hearth, store = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 12
    folder = os.path.dirname(store)
    shutil.rmtree(store, ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    shop = build(folder)
    environment = dict(os.environ, HEARTH_CONTROL=os.path.join(folder, "control.sock"), CACHE_DIRECTORY=os.path.join(folder, "cache"), STATE_DIRECTORY=os.path.join(folder, "state"),
                       HEARTH_WINDOW_JITTER="false")
    agent = subprocess.Popen([hearth, "agent", "--store", store, "--window", "1", "-F", "199", "--max-cpu", "50"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    others = []
    try:
        time.sleep(1.5)
        half = seconds / 2
        begin = time.time()
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        others.append(subprocess.Popen([sys.executable, "-c", PYTHON], **quiet))
        others.append(subprocess.Popen(["sh", "-c", "while :; do head -c 20000000 /dev/zero | gzip -1 | wc -c; done"], start_new_session=True, **quiet))
        others.append(subprocess.Popen(named(HOSTILE_PROCESS, seconds), **quiet))
        first = subprocess.Popen([shop, str(max(1, int(half)))], **quiet)
        time.sleep(half)
        middle = time.time()
        second = subprocess.Popen([shop, str(max(1, int(half))), "slow"], **quiet)
        time.sleep(half)
        end = time.time()
        others += [first, second]
    finally:
        for one in others:
            try:
                os.killpg(one.pid, signal.SIGTERM) if os.getpgid(one.pid) == one.pid else one.terminate()
            except ProcessLookupError:
                pass
        time.sleep(1.5)
        agent.send_signal(signal.SIGTERM)
        _, errors = agent.communicate(timeout=20)
    if agent.returncode != 0:
        sys.exit(f"record.py: the agent ended with {agent.returncode}: {errors.decode(errors='replace')[-800:]}")
    with open(os.path.join(folder, "recorded.json"), "w", encoding="utf-8") as file:
        json.dump({"from_ms": int(begin * 1000), "middle_ms": int(middle * 1000), "to_ms": int(end * 1000), "hostile_function": HOSTILE_FUNCTION, "hostile_process": HOSTILE_PROCESS}, file)


main()
