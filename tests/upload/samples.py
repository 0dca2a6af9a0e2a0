"""Small messages for the tests of the test servers, right ones, to be spoiled."""
import gzip
import time

import generated


class Strings:
    def __init__(self, table):
        self.table = table
        self.ids = {b"": 0}
        table.append(b"")

    def __call__(self, text):
        data = text.encode()
        if data not in self.ids:
            self.ids[data] = len(self.table)
            self.table.append(data)
        return self.ids[data]


def profile(stacks=(("main", "work"), ("main", "read")), value=3, time_ns=None, labels=(), address=0x1234, unnamed=False):
    """As generated; each stack has value samples."""
    message = generated.pprof.Profile()
    string = Strings(message.string_table)
    for kind, unit in (("samples", "count"), ("cpu", "nanoseconds")):
        message.sample_type.add(type=string(kind), unit=string(unit))
    message.period_type.type, message.period_type.unit = string("cpu"), string("nanoseconds")
    message.default_sample_type = string("cpu")
    message.period, message.duration_nanos, message.time_nanos = 10**9 // 19, 10**10, time_ns or time.time_ns()
    message.mapping.add(id=1, filename=string("/bin/app"), build_id=string("ab" * 20))
    functions = {}
    for stack in stacks:
        sample = message.sample.add(value=[value, value * message.period])
        for name in reversed(stack):
            if name not in functions:
                functions[name] = len(functions) + 1
                message.function.add(id=functions[name], name=string(name), system_name=string(name))
                message.location.add(id=functions[name], mapping_id=1, address=address + functions[name]).line.add(function_id=functions[name])
            sample.location_id.append(functions[name])
        for key, text in labels:
            sample.label.add(key=string(key), str=string(text))
        sample.label.add(key=string("pid"), num=77)
    if unnamed:
        location = message.location.add(id=len(functions) + 1, mapping_id=1, address=address)
        message.sample.add(value=[value, value * message.period], location_id=[location.id])
    return message


def packed(message):
    return gzip.compress(message.SerializeToString(), mtime=0)


def _series(message, labels, profiles, where):
    series = message.series.add()
    pairs = where(series)
    for name, value in labels:
        pairs.add(name=name.encode() if isinstance(name, str) else name, value=value.encode() if isinstance(value, str) else value)
    for item in profiles:
        series.samples.add(raw_profile=item if isinstance(item, bytes) else packed(item))


def push(labels=(("__name__", "process_cpu"), ("service_name", "app")), profiles=None):
    message = generated.pyroscope.PushRequest()
    _series(message, labels, [profile()] if profiles is None else profiles, lambda series: series.labels)
    return message.SerializeToString()


def write_raw(labels=(("__name__", "parca_agent"), ("node", "here")), profiles=None):
    message = generated.parca.WriteRawRequest(normalized=True)
    _series(message, labels, [profile()] if profiles is None else profiles, lambda series: series.labels.labels)
    return message.SerializeToString()


def export(value=3, spoil=None):
    """spoil(message): changes it before it is packed."""
    message = generated.otlp.ExportProfilesServiceRequest()
    d = message.dictionary
    string = Strings(d.string_table)
    for table in (d.mapping_table, d.location_table, d.function_table, d.attribute_table, d.stack_table):
        table.add()
    d.link_table.add(trace_id=bytes(16), span_id=bytes(8))
    d.mapping_table.add(filename_strindex=string("/bin/app"))
    d.function_table.add(name_strindex=string("main"))
    d.function_table.add(name_strindex=string("work"))
    for i in (1, 2):
        d.location_table.add(mapping_index=1, address=0x1234 + i).lines.add(function_index=i)
    d.stack_table.add(location_indices=[2, 1])
    d.attribute_table.add(key_strindex=string("thread.name"), value=generated.otlp.AnyValue(string_value=b"worker"))
    of_resource = message.resource_profiles.add()
    of_resource.resource.attributes.add(key=b"service.name", value=generated.otlp.AnyValue(string_value=b"app"))
    item = of_resource.scope_profiles.add().profiles.add(time_unix_nano=time.time_ns(), duration_nano=10**10, period=10**9 // 19,
                                                         profile_id=bytes(range(16)))
    item.sample_type.type_strindex, item.sample_type.unit_strindex = string("samples"), string("count")
    item.period_type.type_strindex, item.period_type.unit_strindex = string("cpu"), string("nanoseconds")
    item.samples.add(stack_index=1, attribute_indices=[1], values=[value])
    if spoil:
        spoil(message)
    return message.SerializeToString()
