"""Messages of Pyroscope's query API from their field numbers, without hearth's .proto: what python3-protobuf makes of descriptors that are written here."""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
KINDS = {"string": F.TYPE_STRING, "int64": F.TYPE_INT64, "double": F.TYPE_DOUBLE, "enum": F.TYPE_INT32}

# name: [(number, field, kind; * before it: repeated)], from api/querier/v1/querier.proto and api/types/v1/types.proto of github.com/grafana/pyroscope
MESSAGES = {
    "ProfileTypesRequest": [(1, "start", "int64"), (2, "end", "int64")],
    "ProfileType": [(1, "ID", "string"), (2, "name", "string"), (4, "sample_type", "string"), (5, "sample_unit", "string"),
                    (6, "period_type", "string"), (7, "period_unit", "string")],
    "ProfileTypesResponse": [(1, "profile_types", "*ProfileType")],
    "LabelNamesRequest": [(1, "matchers", "*string"), (2, "start", "int64"), (3, "end", "int64")],
    "LabelValuesRequest": [(1, "name", "string"), (2, "matchers", "*string"), (3, "start", "int64"), (4, "end", "int64")],
    "NamesResponse": [(1, "names", "*string")],
    "LabelPair": [(1, "name", "string"), (2, "value", "string")],
    "Labels": [(1, "labels", "*LabelPair")],
    "SeriesRequest": [(1, "matchers", "*string"), (2, "label_names", "*string"), (3, "start", "int64"), (4, "end", "int64")],
    "SeriesResponse": [(2, "labels_set", "*Labels")],
    "Location": [(1, "name", "string")],
    "StackTraceSelector": [(1, "call_site", "*Location")],
    "SelectSeriesRequest": [(1, "profile_typeID", "string"), (2, "label_selector", "string"), (3, "start", "int64"), (4, "end", "int64"), (5, "group_by", "*string"),
                            (6, "step", "double"), (7, "aggregation", "enum"), (8, "stack_trace_selector", "StackTraceSelector"), (9, "limit", "int64"),
                            (10, "exemplar_type", "enum")],
    "Point": [(1, "value", "double"), (2, "timestamp", "int64")],
    "Series": [(1, "labels", "*LabelPair"), (2, "points", "*Point")],
    "SelectSeriesResponse": [(1, "series", "*Series")],
    "SelectMergeStacktracesRequest": [(1, "profile_typeID", "string"), (2, "label_selector", "string"), (3, "start", "int64"), (4, "end", "int64"),
                                      (5, "max_nodes", "int64"), (6, "format", "enum"), (7, "stack_trace_selector", "StackTraceSelector"),
                                      (8, "profile_id_selector", "*string")],
    "SelectMergeProfileRequest": [(1, "profile_typeID", "string"), (2, "label_selector", "string"), (3, "start", "int64"), (4, "end", "int64"),
                                  (5, "max_nodes", "int64")],
    "Level": [(1, "values", "*int64")],
    "FlameGraph": [(1, "names", "*string"), (2, "levels", "*Level"), (3, "total", "int64"), (4, "max_self", "int64")],
    "SelectMergeStacktracesResponse": [(1, "flamegraph", "FlameGraph")],
}


def _load():
    file = descriptor_pb2.FileDescriptorProto(name="test/querier.proto", package="test", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            plain = kind.lstrip("*")
            to = message.field.add(name=field, number=number, label=F.LABEL_REPEATED if kind != plain else F.LABEL_OPTIONAL,
                                   type=KINDS.get(plain, F.TYPE_MESSAGE))
            if plain not in KINDS:
                to.type_name = f".test.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    for name in MESSAGES:
        globals()[name] = factory.GetPrototype(pool.FindMessageTypeByName(f"test.{name}"))


_load()
