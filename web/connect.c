#include "web/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/scope.h"
#include "web/message_from_json.h"
#include "web/message_to_json.h"

#define GZIP_WINDOW_BITS (16 + MAX_WBITS)

static bool is_type(const char *content_type, const char *type)
{
	size_t n = strlen(type);

	return strncasecmp(content_type, type, n) == 0 && (!content_type[n] || content_type[n] == ';' || content_type[n] == ' ');
}

bool connect_is_json(const struct web_request *request)
{
	return is_type(request->content_type, "application/json");
}

/* ---- the request ---- */

static bool is_packed(const struct web_request *request)
{
	const uint8_t *body = request->body;

	/* Neither JSON nor a message begins so: 0x1f would be a field of a kind that there is not. */
	return request->body_bytes >= 2 && body[0] == 0x1f && body[1] == 0x8b;
}

static int unpack_body(struct api_query *q, uint8_t **bytes_out, size_t *n_out)
{
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)q->request->body, .avail_in = (unsigned int)q->request->body_bytes};
	AUTO_FREE uint8_t *bytes = malloc(CONNECT_BODY_MAX + 1);

	if (!bytes || q->request->body_bytes > UINT32_MAX || inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
		return api_fail_errno(q, -ENOMEM, "unpacking the request");
	z.next_out = bytes;
	z.avail_out = CONNECT_BODY_MAX + 1;
	int result = inflate(&z, Z_FINISH);
	size_t n = CONNECT_BODY_MAX + 1 - z.avail_out, left = z.avail_in;
	inflateEnd(&z);
	if (n > CONNECT_BODY_MAX)
		return api_fail(q, 413, "the request's body is larger than %u bytes, unpacked", CONNECT_BODY_MAX);
	if (result != Z_STREAM_END || left)
		return api_fail(q, 400, "the request's body is no whole gzip file");
	*bytes_out = take_ptr(bytes);
	*n_out = n;
	return 0;
}

static int read_message(struct api_query *q, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t n, ProtobufCMessage **message_out)
{
	if (connect_is_json(q->request)) {
		int err = message_from_json(descriptor, n ? (const void *)bytes : "{}", n ? n : 2, message_out, &q->why);
		return err < 0 ? api_fail_errno(q, err, "reading the request") : 0;
	}
	*message_out = protobuf_c_message_unpack(descriptor, NULL, n, n ? bytes : (const uint8_t *)"");
	return *message_out ? 0 : api_fail(q, 400, "the request's body is no message of this call");
}

int connect_read(struct api_query *q, const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message_out)
{
	const struct web_request *r = q->request;
	AUTO_FREE uint8_t *unpacked = NULL;
	size_t n = r->body_bytes;

	if (strcmp(r->method, "POST") != 0)
		return api_fail(q, 405, "%.16s: this is answered to POST only", r->method);
	if (!is_type(r->content_type, "application/proto") && !connect_is_json(r))
		return api_fail(q, 415, "the content type is application/proto or application/json, not '%.64s'", r->content_type);
	if (n > CONNECT_BODY_MAX)
		return api_fail(q, 413, "the request's body is larger than %u bytes", CONNECT_BODY_MAX);
	int status = is_packed(r) ? unpack_body(q, &unpacked, &n) : 0;
	return status ? status : read_message(q, descriptor, unpacked ? unpacked : r->body, n, message_out);
}

/* ---- the answer ---- */

int connect_write(struct api_query *q, const ProtobufCMessage *message)
{
	if (connect_is_json(q->request)) {
		message_to_json(&q->json, NULL, message);
		return 0;
	}
	size_t n = protobuf_c_message_get_packed_size(message);
	AUTO_FREE uint8_t *bytes = malloc(n + 1);
	if (!bytes)
		return api_fail_errno(q, -ENOMEM, "packing the answer");
	protobuf_c_message_pack(message, bytes);
	q->answer->content_type = "application/proto";
	return fwrite(bytes, 1, n, q->answer->body) == n ? 0 : -EIO;
}

/* Source: connectrpc.com/docs/protocol, "Error Codes". */
static const struct {
	int status, http;
	const char *code;
} codes[] = {
	{400, 400, "invalid_argument"}, {404, 404, "not_found"}, {405, 405, "unimplemented"}, {413, 429, "resource_exhausted"},
	{415, 415, "invalid_argument"}, {501, 501, "unimplemented"}, {503, 429, "resource_exhausted"},
};

void connect_write_error(struct api_query *q, int status)
{
	const char *code = "internal";
	int http = 500;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].status == status) {
			code = codes[i].code;
			http = codes[i].http;
		}
	}
	q->answer->status = http;
	q->answer->content_type = "application/json";
	q->answer->is_final = false;
	json_object_begin(&q->json, NULL);
	json_string(&q->json, "code", code);
	json_string(&q->json, "message", q->why.text);
	json_object_end(&q->json);
}
