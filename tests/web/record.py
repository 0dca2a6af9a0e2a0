#!/usr/bin/env python3
"""Record a store of real workloads, for the page's tests and pictures: record.py HEARTH STORE-FOLDER [SECONDS [plain]]. Needs root.

In the first half a server works well, in the second it is slow (tests/workloads/shop.c); beside it Python, gzip and a copy run, and a process whose name is HTML and escape sequences (not with "plain", which is for pictures).
Writes STORE-FOLDER/../recorded.json: the moments in milliseconds."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IS_PLAIN = sys.argv[4:] == ["plain"]
HOSTILE_FUNCTION = "write_log" if IS_PLAIN else "<img/src=x/onerror=alert(1)>"
UNIT = "shop.service" if IS_PLAIN else f"shop-{os.getpid()}.service"  # two recordings may be made at a time
HOSTILE_PROCESS = "worker" if IS_PLAIN else "<b>x\x1b[31m</b>"  # of 15 bytes a name may have
PYTHON = "import json, re\nwhile True:\n    text = json.dumps([{'n': i, 'text': str(i) * 9} for i in range(4000)])\n    json.loads(text)\n    re.findall(r'[0-9]+9', text)\n"


def build(folder):
    source = os.path.join(REPO, "tests", "workloads")
    program, hostile, main = (os.path.join(folder, name) for name in ("shop", "shop_hostile.o", "shop.o"))
    subprocess.run(["gcc", "-O2", "-g", f"-ffile-prefix-map={source}=/usr/src/shop", "-c", "-o", main, "shop.c"], check=True, cwd=source)
    subprocess.run(["gcc", "-O2", "-c", "-o", hostile, os.path.join(source, "shop_hostile.c")], check=True)
    subprocess.run(["objcopy", "--redefine-sym", f"hostile_function={HOSTILE_FUNCTION}", hostile], check=True)
    subprocess.run(["objcopy", "--redefine-sym", f"hostile_function={HOSTILE_FUNCTION}", main], check=True)
    subprocess.run(["gcc", "-o", program, main, hostile], check=True)
    return program


def named(name):
    """A process of that name."""
    code = f"import ctypes\nctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)\nwhile True: pass\n"
    return [sys.executable, "-c", code]


def unit_folder():
    """A cgroup whose path is a systemd unit's, for what is started; None where cgroups cannot be made."""
    for root in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(os.path.join(root, "cgroup.procs")):
            folder = os.path.join(root, "system.slice", UNIT)
            try:
                os.makedirs(folder, exist_ok=True)
                return folder
            except OSError:
                pass
    return None


def wait_for(condition, what):
    end = time.monotonic() + 100
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"record.py: there are no {what} after 100 s")
        time.sleep(0.1)


def wait_for_names(program, cache):
    """The program runs until the agent has compiled its debug information, which it does beside other work."""
    notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
    build_id = notes.split("Build ID:")[1].split()[0]
    warm = subprocess.Popen([program, "300"], stdout=subprocess.DEVNULL)
    wait_for(lambda: os.path.isdir(cache) and any(name.startswith(build_id) for name in os.listdir(cache)), f"names of {program}")
    warm.kill()
    warm.wait()
    time.sleep(2)  # no window has both


def leave(folder):
    for _ in range(100):
        try:
            os.rmdir(folder)
            return
        except OSError:
            time.sleep(0.1)


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
    others, unit = [], unit_folder()

    def join():
        with open(os.path.join(unit, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write("0")

    try:
        wait_for_names(shop, os.path.join(folder, "cache"))
        half = seconds / 2
        begin = time.time()
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=join if unit else None)
        others.append(subprocess.Popen([sys.executable, "-c", PYTHON], **quiet))
        others.append(subprocess.Popen(["sh", "-c", "while :; do head -c 20000000 /dev/zero | gzip -1 | wc -c; done"], **quiet))
        others.append(subprocess.Popen(named(HOSTILE_PROCESS), **quiet))
        first = subprocess.Popen([shop, "300"], **quiet)
        others.append(first)
        time.sleep(half)
        first.kill()
        first.wait()
        middle = time.time()
        others.append(subprocess.Popen([shop, "300", "slow"], **quiet))
        time.sleep(half)
        end = time.time()
    finally:
        for one in others:
            try:
                os.killpg(one.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
            one.wait()
        if unit:
            leave(unit)
        time.sleep(1.5)
        agent.send_signal(signal.SIGTERM)
        _, errors = agent.communicate(timeout=90)
    if agent.returncode != 0:
        sys.exit(f"record.py: the agent ended with {agent.returncode}: {errors.decode(errors='replace')[-800:]}")
    with open(os.path.join(folder, "recorded.json"), "w", encoding="utf-8") as file:
        json.dump({"from_ms": int(begin * 1000), "middle_ms": int(middle * 1000), "to_ms": int(end * 1000), "hostile_function": HOSTILE_FUNCTION, "hostile_process": HOSTILE_PROCESS, "unit": UNIT if unit else ""}, file)


main()
