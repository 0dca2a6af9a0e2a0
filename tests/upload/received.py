"""What arrived at a server: requests in their order, and what the windows in them add up to. Safe to use from several threads."""
import dataclasses
import json
import threading
import time


@dataclasses.dataclass
class Part:
    """One type of value of one series of one window."""
    series: dict
    time_ns: int
    kind: str
    stacks: dict  # {folded stack: sum}
    identity: str


class Received:
    def __init__(self):
        self.lock = threading.Lock()
        self.clear()

    def clear(self):
        with self.lock:
            self.requests = []  # all of them, also those that were refused
            self.windows = {}
            self.seen = {}
            self.duplicates = 0
            self.order = []  # time_ns of windows as they arrived first

    def request(self, entry):
        """Returns the number of the request."""
        with self.lock:
            entry["n"] = len(self.requests)
            entry["t"] = time.monotonic()
            self.requests.append(entry)
            return entry["n"]

    def answered(self, number, status, error=""):
        with self.lock:
            self.requests[number].update(status=status, error=error, t_end=time.monotonic())

    def parts(self, number, parts):
        """The request was taken. A part that came before counts as a duplicate, and is not added again."""
        with self.lock:
            times = []
            for part in parts:
                times.append(part.time_ns)
                window = self.windows.setdefault(part.time_ns, {"sums": {}, "stacks": {}, "series": {}, "requests": [], "duplicates": 0})
                if number not in window["requests"]:
                    window["requests"].append(number)
                if self.seen.setdefault(part.identity, number) != number:
                    window["duplicates"] += 1
                    self.duplicates += 1
                    continue
                self._add(window, part.series, part.kind, part.stacks)
            for time_ns in dict.fromkeys(times):
                if time_ns not in self.order:
                    self.order.append(time_ns)
            self.requests[number]["windows"] = sorted(set(times))

    @staticmethod
    def _add(window, series, kind, stacks):
        total = sum(stacks.values())
        window["sums"][kind] = window["sums"].get(kind, 0) + total
        name = json.dumps(series, sort_keys=True)
        of_series = window["series"].setdefault(name, {})
        of_series[kind] = of_series.get(kind, 0) + total
        of_kind = window["stacks"].setdefault(kind, {})
        for stack, value in stacks.items():
            of_kind[stack] = of_kind.get(stack, 0) + value

    def in_order(self):
        with self.lock:
            return self.order == sorted(self.order)

    def total(self, kind="samples/count"):
        with self.lock:
            return sum(window["sums"].get(kind, 0) for window in self.windows.values())

    def by_stack(self, kind="samples/count"):
        with self.lock:
            sums = {}
            for window in self.windows.values():
                for stack, value in window["stacks"].get(kind, {}).items():
                    sums[stack] = sums.get(stack, 0) + value
            return sums

    def series(self, kind="samples/count"):
        """[(labels, sum)]"""
        with self.lock:
            sums = {}
            for window in self.windows.values():
                for name, of_series in window["series"].items():
                    sums[name] = sums.get(name, 0) + of_series.get(kind, 0)
            return [(json.loads(name), value) for name, value in sorted(sums.items())]

    def listing(self):
        """For people and for other programs."""
        with self.lock:
            windows = [{"time_ns": time_ns, **{key: window[key] for key in ("sums", "series", "requests", "duplicates", "stacks")}}
                       for time_ns, window in sorted(self.windows.items())]
            return {"requests": list(self.requests), "windows": windows, "duplicates": self.duplicates,
                    "in_order": self.order == sorted(self.order)}
