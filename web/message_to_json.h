/* Protobuf messages as JSON, by their descriptors. Source: protobuf.dev, "ProtoJSON Format". */
#ifndef HEARTH_WEB_MESSAGE_TO_JSON_H
#define HEARTH_WEB_MESSAGE_TO_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/json_writer.h"

/* Of int64, double, string, message, and lists of them. Fields with their zero value are left out; 64-bit numbers are strings. key: as for json_object_begin(). */
void message_to_json(struct json_writer *json, const char *key, const ProtobufCMessage *message);

#endif
