/* Protobuf messages from JSON, by their descriptors. Source: protobuf.dev, "ProtoJSON Format".
 *
 * For messages of proto3 with the types that web/querier.proto has: int64, double, string, enum, message, and lists of them. Not in one file with base/json_writer.h: json-c has a json_bool, too. */
#ifndef HEARTH_WEB_MESSAGE_FROM_JSON_H
#define HEARTH_WEB_MESSAGE_FROM_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/why.h"

/* message_out: for protobuf_c_message_free_unpacked(). Unknown members are skipped; null is as if it was not there. Returns 0, -EINVAL (why: no JSON, or a member of another type),
 * -ENOMEM. */
int message_from_json(const ProtobufCMessageDescriptor *descriptor, const void *text, size_t n, ProtobufCMessage **message_out, struct why *why);

#endif
