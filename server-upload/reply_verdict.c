#include "server-upload/reply_verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text_clean.h"

#define FRAME_BYTES 5

enum grpc_code {
	GRPC_OK,
	GRPC_CANCELLED,
	GRPC_UNKNOWN,
	GRPC_INVALID_ARGUMENT,
	GRPC_DEADLINE_EXCEEDED,
	GRPC_NOT_FOUND,
	GRPC_ALREADY_EXISTS,
	GRPC_PERMISSION_DENIED,
	GRPC_RESOURCE_EXHAUSTED,
	GRPC_FAILED_PRECONDITION,
	GRPC_ABORTED,
	GRPC_OUT_OF_RANGE,
	GRPC_UNIMPLEMENTED,
	GRPC_INTERNAL,
	GRPC_UNAVAILABLE,
	GRPC_DATA_LOSS,
	GRPC_UNAUTHENTICATED,
	GRPC_CODES,
};

static const char *const GRPC_NAMES[GRPC_CODES] = {
	"OK",		"CANCELLED",	       "UNKNOWN",	   "INVALID_ARGUMENT",	  "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",	   "OUT_OF_RANGE",	  "UNIMPLEMENTED",     "INTERNAL",  "UNAVAILABLE",    "DATA_LOSS",
	"UNAUTHENTICATED",
};

/* --- protobuf, as much as replies need ------------------------------------------------------------------------------------ */

struct field {
	uint32_t number;
	uint64_t value;	     /* of a varint */
	const uint8_t *bytes; /* of a message or a string; NULL: it is none */
	size_t n;
};

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value_out)
{
	uint64_t value = 0;

	for (uint32_t shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*value_out = value;
			return true;
		}
	}
	return false;
}

static bool next_field(const uint8_t **at, const uint8_t *end, struct field *field_out)
{
	struct field field = {0};
	uint64_t key, n;

	if (!read_varint(at, end, &key) || key >> 3 > UINT32_MAX)
		return false;
	field.number = (uint32_t)(key >> 3);
	switch (key & 7) {
	case 0:
		if (!read_varint(at, end, &field.value))
			return false;
		break;
	case 1:
	case 5:
		n = (key & 7) == 1 ? 8 : 4;
		if ((uint64_t)(end - *at) < n)
			return false;
		*at += n;
		break;
	case 2:
		if (!read_varint(at, end, &n) || n > (uint64_t)(end - *at))
			return false;
		field.bytes = *at;
		field.n = (size_t)n;
		*at += n;
		break;
	default:
		return false;
	}
	*field_out = field;
	return true;
}

/* ExportProfilesServiceResponse { partial_success = 1 { rejected_profiles = 1, error_message = 2 } } */
static void read_partial_success(const uint8_t *bytes, size_t n, struct verdict *v)
{
	char text[160] = "";
	struct field outer, inner;

	for (const uint8_t *at = bytes, *end = bytes + n; at < end && next_field(&at, end, &outer);) {
		if (outer.number != 1 || !outer.bytes)
			continue;
		const uint8_t *in = outer.bytes, *in_end = outer.bytes + outer.n;
		while (in < in_end && next_field(&in, in_end, &inner)) {
			if (inner.number == 1 && !inner.bytes && inner.value <= INT64_MAX)
				v->rejected = inner.value;
			else if (inner.number == 2 && inner.bytes)
				text_clean((const char *)inner.bytes, inner.n, text, sizeof(text));
		}
	}
	if (v->rejected)
		snprintf(v->text, sizeof(v->text), "it rejected %" PRIu64 " profiles%s%s", v->rejected, *text ? ": " : "", text);
}

/* --- words ---------------------------------------------------------------------------------------------------------------- */

static bool is_text(const char *content_type)
{
	return strncmp(content_type, "text/plain", 10) == 0 || strcmp(content_type, "application/json") == 0 || !*content_type;
}

/* What the body says, in one line. */
static void body_text(const struct http_reply *reply, char *out, size_t out_bytes)
{
	const char *body = (const char *)reply->body, *message;
	size_t n = reply->body ? reply->n_body : 0;
	struct field field;

	out[0] = '\0';
	if (!n)
		return;
	if (strcmp(reply->content_type, "application/x-protobuf") == 0) {
		/* google.rpc.Status { code = 1, message = 2 } */
		for (const uint8_t *at = reply->body, *end = at + n; at < end && next_field(&at, end, &field);)
			if (field.number == 2 && field.bytes)
				text_clean((const char *)field.bytes, field.n, out, out_bytes);
		return;
	}
	if (!is_text(reply->content_type))
		return;
	/* {"code":"...","message":"..."}: the message is what people want to read, and no more of JSON is understood than that. */
	message = memmem(body, n, "\"message\":\"", 11);
	if (message && strcmp(reply->content_type, "application/json") == 0) {
		n -= (size_t)(message + 11 - body);
		body = message + 11;
		for (size_t i = 0; i < n; i++) {
			if (body[i] == '"') {
				n = i;
				break;
			}
			i += body[i] == '\\';
		}
	}
	while (n && (body[n - 1] == '\n' || body[n - 1] == '\r' || body[n - 1] == ' '))
		n--;
	text_clean(body, n, out, out_bytes);
}

__attribute__((format(printf, 4, 5))) static void judge(struct verdict *v, enum verdict_kind kind, uint32_t reason, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	int n = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	v->kind = kind;
	v->reason = reason;
	/* Cut between characters. */
	text_clean(text, n < 0 ? 0 : strlen(text), v->text, sizeof(v->text));
}

/* --- HTTP ----------------------------------------------------------------------------------------------------------------- */

static enum verdict_kind http_kind(enum sink_kind kind, const struct http_reply *reply, bool packed)
{
	bool is_otlp = kind == SINK_OTLP_HTTP;

	switch (reply->status) {
	case 401:
	case 403:
	case 407:
		return VERDICT_SLOWLY;
	case 408:
		return is_otlp ? VERDICT_REFUSED : VERDICT_SOON;
	case 413:
		return VERDICT_TOO_LARGE;
	case 415:
		return packed ? VERDICT_UNPACKED : VERDICT_REFUSED;
	case 429:
		return VERDICT_BUSY;
	case 502:
	case 503:
	case 504:
		return VERDICT_SOON;
	default:
		break;
	}
	if (reply->status >= 500)
		return is_otlp ? VERDICT_REFUSED : VERDICT_SOON;
	/* It wants us elsewhere: to go there is not ours to decide. */
	return reply->status < 400 ? VERDICT_SLOWLY : VERDICT_REFUSED;
}

static const char *http_advice(int status)
{
	switch (status) {
	case 401:
	case 403:
		return "; check the sink's token or password";
	case 407:
		return "; check the proxy's user and password";
	default:
		return "";
	}
}

static void judge_http(enum sink_kind kind, const struct http_reply *reply, bool packed, struct verdict *v)
{
	char text[200];

	if (reply->status >= 200 && reply->status < 300) {
		if (kind == SINK_OTLP_HTTP && reply->n_body && strcmp(reply->content_type, "application/x-protobuf") == 0)
			read_partial_success(reply->body, reply->n_body, v);
		return;
	}
	body_text(reply, text, sizeof(text));
	enum verdict_kind what = http_kind(kind, reply, packed);
	if (reply->status < 400)
		judge(v, what, (uint32_t)reply->status, "HTTP %d: it sends us to %s; give that URL if it is right", reply->status,
		      *reply->redirect ? reply->redirect : "another place");
	else
		judge(v, what, (uint32_t)reply->status, "HTTP %d%s%s%s", reply->status, *text ? ": " : "", text, http_advice(reply->status));
}

/* --- gRPC ----------------------------------------------------------------------------------------------------------------- */

/* Libraries say so for a message that is over their limit, which is no matter of time: grpc-go, grpc-java, C++. */
static bool is_about_size(const char *message)
{
	return strstr(message, "larger than max") || strstr(message, "exceeds maximum size") || strstr(message, "too large");
}

static enum verdict_kind grpc_kind(enum sink_kind kind, const struct http_reply *reply, bool packed)
{
	switch (reply->grpc_status) {
	case GRPC_OK:
		return VERDICT_TAKEN;
	case GRPC_RESOURCE_EXHAUSTED:
		return is_about_size(reply->grpc_message) ? VERDICT_TOO_LARGE : VERDICT_BUSY;
	case GRPC_CANCELLED:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_ABORTED:
	case GRPC_OUT_OF_RANGE:
	case GRPC_UNAVAILABLE:
	case GRPC_DATA_LOSS:
		return VERDICT_SOON;
	case GRPC_UNKNOWN:
	case GRPC_INTERNAL:
		return kind == SINK_OTLP_GRPC ? VERDICT_REFUSED : VERDICT_SOON;
	case GRPC_UNAUTHENTICATED:
	case GRPC_PERMISSION_DENIED:
		return VERDICT_SLOWLY;
	case GRPC_UNIMPLEMENTED:
		return packed ? VERDICT_UNPACKED : VERDICT_REFUSED;
	default:
		return VERDICT_REFUSED;
	}
}

static void judge_grpc(enum sink_kind kind, const struct http_reply *reply, bool packed, struct verdict *v)
{
	if (reply->status >= 200 && reply->status < 300 && (reply->status != 200 || reply->grpc_status < 0 || reply->grpc_status >= GRPC_CODES)) {
		judge(v, VERDICT_SLOWLY, 999, "the reply is not gRPC");
		return;
	}
	if (reply->status != 200) {
		/* A proxy's answer. Source: gRPC's http-grpc-status-mapping.md, and the codes' meanings above. */
		judge_http(kind == SINK_OTLP_GRPC ? SINK_OTLP_HTTP : kind, reply, packed, v);
		return;
	}
	enum verdict_kind what = grpc_kind(kind, reply, packed);
	if (what != VERDICT_TAKEN) {
		const char *advice = what == VERDICT_SLOWLY ? "; check the sink's token or password" : "";
		judge(v, what, 1000u + (uint32_t)reply->grpc_status, "gRPC %s%s%s%s", GRPC_NAMES[reply->grpc_status], *reply->grpc_message ? ": " : "",
		      reply->grpc_message, advice);
	} else if (kind == SINK_OTLP_GRPC && reply->n_body > FRAME_BYTES && reply->body[0] == 0) {
		const uint8_t *frame = reply->body;
		size_t n = (size_t)frame[1] << 24 | (size_t)frame[2] << 16 | (size_t)frame[3] << 8 | frame[4];
		if (n <= reply->n_body - FRAME_BYTES)
			read_partial_success(frame + FRAME_BYTES, n, v);
	}
}

void reply_verdict(enum sink_kind kind, const struct http_reply *reply, bool packed, struct verdict *verdict_out)
{
	struct verdict v = {.kind = VERDICT_TAKEN};

	if (reply->failure != HTTP_ANSWERED) {
		bool needs_a_person = reply->failure == HTTP_DISTRUSTED || reply->failure == HTTP_UNUSABLE;
		judge(&v, needs_a_person ? VERDICT_SLOWLY : VERDICT_SOON, 2000u + (uint32_t)reply->failure, "%s", reply->error);
	} else if (kind == SINK_PARCA || kind == SINK_OTLP_GRPC) {
		judge_grpc(kind, reply, packed, &v);
	} else {
		judge_http(kind, reply, packed, &v);
	}
	v.retry_after_ns = v.kind == VERDICT_TAKEN ? 0 : reply->retry_after_ns;
	*verdict_out = v;
}
