"""A pprof file: decoded and checked as the strictest reader would."""
import dataclasses
import zlib

import generated
from generated import Refused, text

GZIP = b"\x1f\x8b"
BYTES_MAX = 256 << 20


@dataclasses.dataclass
class Sample:
    stack: tuple  # names, root first
    labels: dict  # strings
    numbers: dict
    values: list


@dataclasses.dataclass
class Profile:
    types: list  # "samples/count", ...
    samples: list
    time_ns: int
    duration_ns: int
    period_type: str
    period: int
    comments: list
    default_type: str
    uncompressed_bytes: int
    unnamed: list  # (address, mapping as generated) of locations without lines
    message: object

    def total(self, kind):
        index = self.types.index(kind)
        return sum(sample.values[index] for sample in self.samples)

    def by_stack(self, kind):
        """{folded stack: sum}"""
        index = self.types.index(kind)
        sums = {}
        for sample in self.samples:
            key = ";".join(sample.stack)
            sums[key] = sums.get(key, 0) + sample.values[index]
        return sums


def inflate(data, bytes_max=BYTES_MAX):
    """gzip or plain, as all receivers take it."""
    if not data.startswith(GZIP):
        return data
    unpacker = zlib.decompressobj(31)
    try:
        plain = unpacker.decompress(data, bytes_max + 1)
    except zlib.error as error:
        raise Refused(f"gzip: {error}") from error
    if len(plain) > bytes_max:
        raise Refused(f"over {bytes_max} bytes uncompressed")
    if not unpacker.eof or unpacker.unused_data:
        raise Refused("gzip: cut off, or something behind its end")
    return plain


class _Tables:
    def __init__(self, message):
        self.strings = [text(item, f"string {i}") for i, item in enumerate(message.string_table)]
        if not self.strings or self.strings[0] != "":
            raise Refused("string_table[0] is not empty")
        if len(set(self.strings)) != len(self.strings):
            raise Refused("string_table: duplicates")
        self.mappings = self.by_id(message.mapping, "mapping")
        self.functions = self.by_id(message.function, "function")
        self.locations = self.by_id(message.location, "location")
        for location in message.location:
            if location.mapping_id and location.mapping_id not in self.mappings:
                raise Refused(f"location {location.id}: no mapping {location.mapping_id}")
            for line in location.line:
                if line.function_id not in self.functions:
                    raise Refused(f"location {location.id}: no function {line.function_id}")
        self.frames = {location.id: self.names(location) for location in message.location}

    @staticmethod
    def by_id(items, what):
        for i, item in enumerate(items):
            if item.id != i + 1:
                raise Refused(f"{what} {i}: its id is {item.id}, not {i + 1}")
        return {item.id: item for item in items}

    def string(self, index, what):
        if not 0 <= index < len(self.strings):
            raise Refused(f"{what}: no string {index}")
        return self.strings[index]

    def names(self, location):
        """Outermost first."""
        if location.line:
            return [self.string(self.functions[line.function_id].name, "function") for line in reversed(location.line)]
        mapping = self.mappings.get(location.mapping_id)
        where = self.string(mapping.filename, "mapping") if mapping else ""
        return [f"[{where.rsplit('/', 1)[-1]}+{location.address:#x}]"]


def decode(data, bytes_max=BYTES_MAX):
    plain = inflate(data, bytes_max)
    message = generated.parse(generated.pprof.Profile, plain)
    tables = _Tables(message)
    kinds = [f"{tables.string(kind.type, 'sample_type')}/{tables.string(kind.unit, 'sample_type')}" for kind in message.sample_type]
    if not kinds:
        raise Refused("no sample_type")
    for function in message.function:
        for index in (function.name, function.system_name, function.filename):
            tables.string(index, "function")
    for mapping in message.mapping:
        for index in (mapping.filename, mapping.build_id):
            tables.string(index, "mapping")
    samples = [_sample(tables, i, sample, len(kinds)) for i, sample in enumerate(message.sample)]
    period_type = f"{tables.string(message.period_type.type, 'period_type')}/{tables.string(message.period_type.unit, 'period_type')}"
    return Profile(kinds, samples, message.time_nanos, message.duration_nanos, period_type, message.period,
                   [tables.string(index, "comment") for index in message.comment],
                   tables.string(message.default_sample_type, "default_sample_type"), len(plain),
                   [(location.address, tables.mappings.get(location.mapping_id)) for location in message.location if not location.line],
                   message)


def _sample(tables, i, sample, n_kinds):
    if len(sample.value) != n_kinds:
        raise Refused(f"sample {i}: {len(sample.value)} values for {n_kinds} types")
    stack = []
    for location in reversed(sample.location_id):
        if location not in tables.frames:
            raise Refused(f"sample {i}: no location {location}")
        stack += tables.frames[location]
    labels, numbers = {}, {}
    for label in sample.label:
        key = tables.string(label.key, "label")
        if not key or key in labels or key in numbers:
            raise Refused(f"sample {i}: label '{key}' is empty or comes twice")
        if label.str:
            labels[key] = tables.string(label.str, "label")
        else:
            numbers[key] = label.num
    return Sample(tuple(stack), labels, numbers, list(sample.value))
