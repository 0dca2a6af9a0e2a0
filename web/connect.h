/* The Connect protocol's unary calls: POST /SERVICE/METHOD with a message as its body, as protobuf or as JSON. Source: connectrpc.com/docs/protocol, "Unary-Request". */
#ifndef HEARTH_WEB_CONNECT_H
#define HEARTH_WEB_CONNECT_H

#include <protobuf-c/protobuf-c.h>

#include "web/api_query.h"

#define CONNECT_BODY_MAX (1u << 20) /* of a request, unpacked */

/* Is the caller one who speaks JSON? */
bool connect_is_json(const struct web_request *request);

/* The request's message; the body may be packed with gzip. message_out: for protobuf_c_message_free_unpacked(). Returns 0 or a status. */
int connect_read(struct api_query *q, const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message_out);

/* The answer in the form of the request. Returns 0 or a status, or -EIO. */
int connect_write(struct api_query *q, const ProtobufCMessage *message);

/* What failed, with q->why's sentence: {"code", "message"}, and the HTTP status that belongs to the code. */
void connect_write_error(struct api_query *q, int status);

#endif
