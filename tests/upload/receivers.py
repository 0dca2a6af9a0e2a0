"""What each kind of server demands of a body, and what it takes out of it: functions of bytes. Source: PROTOCOLS.md.

Each returns a list of Part, or raises Refused (or LimitExceeded: too large, too much)."""
import dataclasses
import hashlib
import json
import re
import time

import generated
import pprof
from generated import Refused, text
from received import Part

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
HEX = re.compile(r"([0-9a-f]{2}){4,64}")


class LimitExceeded(Refused):
    pass


@dataclasses.dataclass
class Limits:
    profile_bytes: int = 4 << 20
    samples: int = 16000
    label_names: int = 30
    name_bytes: int = 1024
    value_bytes: int = 2048
    series: int = 5000
    check_clock: bool = False  # time_nanos from one hour ago to ten minutes ahead
    message_bytes: int = 4 << 20  # OTLP
    parca_bytes: int = 64 << 20


def _labels(pairs, what):
    labels = {}
    for pair in pairs:
        name, value = text(pair.name, f"{what}: label name"), text(pair.value, f"{what}: value of a label")
        if not LABEL_NAME.fullmatch(name):
            raise Refused(f"{what}: invalid label name '{name}'")
        if name in labels:
            raise Refused(f"{what}: duplicate label name '{name}'")
        labels[name] = value
    if not METRIC_NAME.fullmatch(labels.get("__name__", "")):
        raise Refused(f"{what}: profile with no __name__, or an invalid one: {labels}")
    return labels


class Sums:
    """Samples of one profile, added up by series. A part's identity has the numbers (pid) of its samples in it: the two halves of a series
    that was split may well have the same stacks."""

    def __init__(self, time_ns):
        self.time_ns = time_ns
        self.series = {}

    def add(self, labels, numbers, stack, kind, value):
        folded = ";".join(stack)
        stacks, details = self.series.setdefault((tuple(sorted(labels.items())), kind), ({}, {}))
        stacks[folded] = stacks.get(folded, 0) + value
        detail = f"{folded} {sorted(numbers.items())}"
        details[detail] = details.get(detail, 0) + value

    def parts(self):
        return [Part(dict(labels), self.time_ns, kind, stacks, hashlib.sha256(json.dumps(
            [labels, self.time_ns, kind, details], sort_keys=True).encode()).hexdigest())
                for (labels, kind), (stacks, details) in self.series.items()]


def _parts(series_of, profile):
    """series_of(sample): the labels."""
    sums = Sums(profile.time_ns)
    for sample in profile.samples:
        labels = series_of(sample)
        for kind, value in zip(profile.types, sample.values):
            sums.add(labels, sample.numbers, sample.stack, kind, value)
    return sums.parts()


def pyroscope(body, limits=Limits()):
    request = generated.parse(generated.pyroscope.PushRequest, body)
    if not request.series:
        raise Refused("push: no series")
    parts = []
    for series in request.series:
        labels = _labels(series.labels, "push")
        if not series.samples:
            raise Refused("push: a series without a profile")
        for raw in series.samples:
            text(raw.ID, "ID")
            parts += _pyroscope_profile(labels, raw.raw_profile, limits)
    if len({tuple(sorted(part.series.items())) for part in parts}) > limits.series:
        raise LimitExceeded(f"maximum number of active series exceeded ({limits.series})")
    return parts


def _pyroscope_profile(labels, raw, limits):
    profile = pprof.decode(raw)
    if profile.uncompressed_bytes > limits.profile_bytes:
        raise LimitExceeded(f"the profile is {profile.uncompressed_bytes} bytes, over {limits.profile_bytes}")
    if len(profile.samples) > limits.samples:
        raise LimitExceeded(f"the profile has {len(profile.samples)} samples, over {limits.samples}")
    if not profile.samples:
        raise Refused("the profile has no samples")
    if not profile.time_ns:
        raise Refused("time_nanos is not set")
    now = time.time_ns()
    if limits.check_clock and not now - 3600 * 10**9 <= profile.time_ns <= now + 600 * 10**9:
        raise Refused(f"profile's time is {(profile.time_ns - now) / 1e9:.0f} s from now: outside of the ingestion window")
    if labels["__name__"] == "process_cpu" and ("cpu/nanoseconds" not in profile.types or profile.period_type != "cpu/nanoseconds"):
        raise Refused("process_cpu: users query process_cpu:cpu:nanoseconds:cpu:nanoseconds")

    def series_of(sample):
        merged = {**labels, **sample.labels}  # string labels of samples become labels of the series
        _check_lengths(merged, limits)
        return merged
    return _parts(series_of, profile)


def _check_lengths(labels, limits):
    if len(labels) > limits.label_names:
        raise Refused(f"{len(labels)} label names, over {limits.label_names}")
    for name, value in labels.items():
        if len(name.encode()) > limits.name_bytes or len(value.encode()) > limits.value_bytes:
            raise Refused(f"label name or value is too long: {name[:40]}")
        if not LABEL_NAME.fullmatch(name):
            raise Refused(f"invalid label name '{name}'")


def parca(body, limits=Limits()):
    if len(body) > limits.parca_bytes:
        raise LimitExceeded(f"grpc: received message larger than max ({len(body)} vs. {limits.parca_bytes})")
    request = generated.parse(generated.parca.WriteRawRequest, body)
    if not request.series:
        raise Refused("no series")
    parts = []
    for series in request.series:
        labels = _labels(series.labels.labels, "series")
        if not series.samples:
            raise Refused("a series without a profile")
        for raw in series.samples:
            profile = pprof.decode(raw.raw_profile)
            _parca_profile(profile)
            parts += _parts(lambda _sample, labels=labels: labels, profile)  # labels of samples are ignored
    return parts


def _parca_profile(profile):
    for name in ("time_ns", "duration_ns", "period"):
        if getattr(profile, name) <= 0:
            raise Refused(f"{name} is not set")
    if "/" in (profile.period_type, *profile.types):
        raise Refused(f"a type is not set: period {profile.period_type}, samples {profile.types}")
    if not profile.samples:
        raise Refused("the profile has no samples")
    tables = profile.message.string_table
    for address, mapping in profile.unnamed:
        if mapping is None:
            raise Refused(f"location {address:#x}: neither lines nor a mapping")
        if not tables[mapping.build_id]:
            continue  # nobody can name it
        if not HEX.fullmatch(tables[mapping.build_id].decode()):
            raise Refused(f"build id is not hex: {tables[mapping.build_id]!r}")
        if not address or mapping.memory_start or mapping.memory_limit or mapping.file_offset:
            raise Refused(f"location {address:#x} without lines: its mapping is {mapping.memory_start:#x}-{mapping.memory_limit:#x} "
                          f"at {mapping.file_offset:#x}; the server would move the address")


def plain(body, _limits=Limits(), labels=None):
    profile = pprof.decode(body)
    if not body.startswith(pprof.GZIP):
        raise Refused("not gzip")
    return _parts(lambda sample: {**(labels or {}), **sample.labels}, profile)
