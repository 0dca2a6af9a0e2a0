"""OTLP profiles (v1development): decoded and checked. Source: PROTOCOLS.md, "OpenTelemetry profiles"."""
import generated
from generated import Refused, text
from receivers import Limits, LimitExceeded, Sums

TABLES = ("mapping_table", "location_table", "function_table", "link_table", "attribute_table", "stack_table")


def _any(value):
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return text(value.string_value, "attribute")
    if kind == "array_value":
        return [_any(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {text(item.key, "key"): _any(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def _attributes(pairs):
    out = {}
    for pair in pairs:
        key = text(pair.key, "attribute")
        if not key or key in out:
            raise Refused(f"resource attribute '{key}' is empty or comes twice")
        out[key] = _any(pair.value)
    return out


class Dictionary:
    """Checks all of it; indices are in range afterwards."""

    def __init__(self, message):
        self.message = message
        self.strings = [text(item, f"string {i}") for i, item in enumerate(message.string_table)]
        if not self.strings or self.strings[0]:
            raise Refused("string_table[0] is not empty")
        if len(set(self.strings)) != len(self.strings):
            raise Refused("string_table: duplicates")
        for name in TABLES:
            self._table(name)
        self._references()
        self.frames = [self._names(location) for location in message.location_table]

    def _table(self, name):
        table = getattr(self.message, name)
        if not table:
            raise Refused(f"{name}: entry 0 is missing")
        zero = type(table[0])()
        if name == "link_table":
            zero.trace_id, zero.span_id = bytes(16), bytes(8)
            for link in table:
                if len(link.trace_id) != 16 or len(link.span_id) != 8:
                    raise Refused("link_table: ids are 16 and 8 bytes")
        if table[0] != zero:
            raise Refused(f"{name}: entry 0 is not the zero value")
        if len({entry.SerializeToString(deterministic=True) for entry in table}) != len(table):
            raise Refused(f"{name}: duplicates")

    def check(self, name, index, what):
        if not 0 <= index < len(getattr(self.message, name)):
            raise Refused(f"{what}: no entry {index} in {name}")

    def attributes(self, indices, what):
        out = {}
        for index in indices:
            self.check("attribute_table", index, what)
            entry = self.message.attribute_table[index]
            key = self.strings[entry.key_strindex]
            if not key or key in out:
                raise Refused(f"{what}: attribute '{key}' is empty or comes twice")
            out[key] = _any(entry.value)
        return out

    def _references(self):
        m = self.message
        for entry in m.attribute_table:
            self.check("string_table", entry.key_strindex, "attribute")
            self.check("string_table", entry.unit_strindex, "attribute")
            _any(entry.value)
        for mapping in m.mapping_table:
            self.check("string_table", mapping.filename_strindex, "mapping")
            self.attributes(mapping.attribute_indices, "mapping")
        for function in m.function_table:
            for index in (function.name_strindex, function.system_name_strindex, function.filename_strindex):
                self.check("string_table", index, "function")
        for location in m.location_table:
            self.check("mapping_table", location.mapping_index, "location")
            self.attributes(location.attribute_indices, "location")
            for line in location.lines:
                self.check("function_table", line.function_index, "line")
        for stack in m.stack_table:
            for index in stack.location_indices:
                self.check("location_table", index, "stack")

    def _names(self, location):
        """Outermost first, as pprof.py names them."""
        if location.lines:
            return [self.strings[self.message.function_table[line.function_index].name_strindex] for line in reversed(location.lines)]
        where = self.strings[self.message.mapping_table[location.mapping_index].filename_strindex]
        return [f"[{where.rsplit('/', 1)[-1]}+{location.address:#x}]"]

    def stack(self, index):
        self.check("stack_table", index, "sample")
        names = []
        for location in reversed(self.message.stack_table[index].location_indices):
            names += self.frames[location]
        return names

    def kind(self, value_type, what):
        self.check("string_table", value_type.type_strindex, what)
        self.check("string_table", value_type.unit_strindex, what)
        if not self.strings[value_type.type_strindex] or not self.strings[value_type.unit_strindex]:
            raise Refused(f"{what} is not set")
        return f"{self.strings[value_type.type_strindex]}/{self.strings[value_type.unit_strindex]}"


def receive(body, limits=Limits()):
    """Parts: a series is the resource's attributes and the strings among the sample's."""
    if len(body) > limits.message_bytes:
        raise LimitExceeded(f"grpc: received message larger than max ({len(body)} vs. {limits.message_bytes})")
    request = generated.parse(generated.otlp.ExportProfilesServiceRequest, body)
    dictionary = Dictionary(request.dictionary)
    parts = []
    for of_resource in request.resource_profiles:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_profiles:
            text(of_scope.scope.name, "scope")
            for profile in of_scope.profiles:
                parts += _profile(dictionary, resource, profile)
    if not parts:
        raise Refused("no profiles")
    return parts


def _profile(dictionary, resource, profile):
    kind = dictionary.kind(profile.sample_type, "sample_type")
    dictionary.kind(profile.period_type, "period_type")
    if not profile.time_unix_nano or not profile.duration_nano or profile.period <= 0:
        raise Refused("time, duration or period is not set")
    if len(profile.profile_id) not in (0, 16) or profile.profile_id == bytes(16):
        raise Refused("profile_id is not 16 bytes, or all zero")
    dictionary.attributes(profile.attribute_indices, "profile")
    identities = set()
    sums = Sums(profile.time_unix_nano)
    for sample in profile.samples:
        attributes = dictionary.attributes(sample.attribute_indices, "sample")
        dictionary.check("link_table", sample.link_index, "sample")
        identity = (sample.stack_index, tuple(sorted(sample.attribute_indices)), sample.link_index)
        if identity in identities:
            raise Refused("two samples of one identity")
        identities.add(identity)
        if not sample.values or (sample.timestamps_unix_nano and len(sample.timestamps_unix_nano) != len(sample.values)):
            raise Refused("a sample's values and time stamps do not fit")
        series = {**resource, **{key: value for key, value in attributes.items() if isinstance(value, str)}}
        numbers = {key: value for key, value in attributes.items() if not isinstance(value, str)}
        sums.add({key: str(value) for key, value in series.items()}, numbers, dictionary.stack(sample.stack_index), kind, sum(sample.values))
    return sums.parts()
