"""Runs tests/upload/feed: a store, what uploads, and windows that are made up."""
import atexit
import json
import os
import re
import subprocess
import threading
import time

import pprof

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FEED = os.environ.get("FEED", os.path.join(REPO, "build", "tests", "upload", "feed"))


def feed_arguments(folder, sinks=(), **options):
    """sinks: (argument of --upload, {setting: value}) each; options: windows=5, interval=100, ..."""
    arguments = [FEED, "--store", folder]
    for upload, settings in sinks:
        arguments += ["--upload", upload]
        for name, value in settings.items():
            arguments += ["--set", f"{name}={value}"]
    for name, value in options.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            arguments += [f"--{name.replace('_', '-')}", str(item)]
    return arguments


class Feed:
    def __init__(self, folder, sinks=(), environment=None, **options):
        self.folder = folder
        self.sinks, self.windows = len(sinks), options.get("windows", 0)
        self.lines, self.times = [], []  # what it said, and when
        # No proxy of the machine that the tests run on.
        env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.process = subprocess.Popen(feed_arguments(folder, sinks, **options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, env={**env, **(environment or {})})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        atexit.register(lambda: self.process.poll() is None and self.process.kill())

    def _read(self):
        for line in self.process.stdout:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"text": line.rstrip("\n")})
            self.times.append(time.monotonic())

    def of(self, key):
        return [line[key] for line in list(self.lines) if key in line]

    def events(self, about=""):
        return [text for text in self.of("event") if about in text]

    def status(self, sink=0):
        """The last one of a sink."""
        return next((status for status in reversed(self.of("status")) if status["sink"] == sink), None)

    @property
    def upload_pid(self):
        pids = self.of("upload_pid")
        return pids[-1] if pids else None

    def more(self, windows=1):
        """Behind those that it was started with, one each interval. With stay=1 it is there for them."""
        self.windows += windows
        self.process.stdin.write("+" * windows)
        self.process.stdin.flush()

    def all_marked(self):
        """All windows are appended, and every sink is done with them."""
        lines = list(self.lines)
        appended = [line["append"] for line in lines if "append" in line]
        marks = {line["sink"]: line["mark"] for line in lines if "mark" in line}
        return len(appended) == self.windows and len(marks) == self.sinks and min(marks.values()) >= max(appended)

    def kill(self):
        self.process.kill()
        self.wait(60)

    def stop(self, seconds=90):
        """In good order: returns what it said at its end."""
        if self.process.poll() is None:
            self.process.stdin.close()
        return self.wait(seconds)

    def wait(self, seconds):
        self.process.wait(seconds)
        self.reader.join(60)  # what uploads has ended then too
        assert not self.reader.is_alive(), self.lines[-5:]
        assert not [text for text in self.of("text") if re.search("ERROR: |runtime error:", text)], self.of("text")  # of sanitizers
        return self.lines

    def finish(self, seconds):
        """All windows are appended and sent, or its time is over; it says so."""
        self.wait(seconds)
        assert self.process.returncode == 0, (self.process.returncode, self.lines[-20:])
        return self.of("all_sent")[-1]


def stored(folder):
    """All samples of a store, by the independent decoder."""
    path = os.path.join(folder, "..", f"sum-{os.path.basename(folder)}.pb.gz")
    subprocess.run([FEED, "--store", folder, "--sum", path], check=True)
    with open(path, "rb") as file:
        return pprof.decode(file.read())


def stored_windows(folder):
    done = subprocess.run([FEED, "--store", folder, "--list"], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
