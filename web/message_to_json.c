#include "web/message_to_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "web/message_field.h"

static void write_int64(struct json_writer *json, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	json_string(json, key, text);
}

/* All its digits: sums are whole numbers of many. */
static void write_double(struct json_writer *json, const char *key, double value)
{
	char text[40];

	if (isfinite(value))
		json_raw(json, key, text, (size_t)snprintf(text, sizeof(text), "%.17g", value));
	else
		json_string(json, key, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

static void write_value(struct json_writer *json, const char *key, const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT64:
		write_int64(json, key, *(const int64_t *)value);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		write_double(json, key, *(const double *)value);
		break;
	case PROTOBUF_C_TYPE_STRING:
		json_string(json, key, *(const char *const *)value);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		message_to_json(json, key, *(ProtobufCMessage *const *)value);
		break;
	default: /* answers have no others */
		break;
	}
}

static bool is_zero(const ProtobufCFieldDescriptor *field, const void *value)
{
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return !**(const char *const *)value;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return !*(ProtobufCMessage *const *)value;
	if (field->type == PROTOBUF_C_TYPE_DOUBLE)
		return fpclassify(*(const double *)value) == FP_ZERO;
	return field->type == PROTOBUF_C_TYPE_ENUM ? !*(const int *)value : !*(const int64_t *)value;
}

void message_to_json(struct json_writer *json, const char *key, const ProtobufCMessage *message)
{
	char name[MESSAGE_NAME_MAX];

	json_object_begin(json, key);
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		const void *value = message_member(message, field->offset);
		message_field_name(field, name);
		if (field->label != PROTOBUF_C_LABEL_REPEATED) {
			if (!is_zero(field, value))
				write_value(json, name, field, value);
			continue;
		}
		size_t n = *(const size_t *)message_member(message, field->quantifier_offset);
		if (!n)
			continue;
		json_array_begin(json, name);
		for (size_t k = 0; k < n; k++)
			write_value(json, NULL, field, *(const char *const *)value + k * message_field_bytes(field));
		json_array_end(json);
	}
	json_object_end(json);
}
