#include "web/message_from_json.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "web/message_field.h"

#define DEPTH_MAX 16 /* of JSON; messages are three deep */

static int read_message(const ProtobufCMessageDescriptor *descriptor, struct json_object *json, ProtobufCMessage **message_out, struct why *why);

static int wrong(struct why *why, const ProtobufCFieldDescriptor *field, const char *wanted)
{
	return why_set(why, -EINVAL, "the member '%s' should be %s", field->name, wanted);
}

static int read_int64(const ProtobufCFieldDescriptor *field, struct json_object *json, int64_t *value_out, struct why *why)
{
	char *end;

	if (json_object_is_type(json, json_type_int)) {
		*value_out = json_object_get_int64(json);
		return 0;
	}
	if (json_object_is_type(json, json_type_double)) {
		double value = json_object_get_double(json);
		if (!(value > -9e18 && value < 9e18) || value - (double)(int64_t)value != 0)
			return wrong(why, field, "a whole number");
		*value_out = (int64_t)value;
		return 0;
	}
	const char *text = json_object_is_type(json, json_type_string) ? json_object_get_string(json) : "";
	errno = 0;
	int64_t value = strtoll(text, &end, 10);
	if (end == text || *end || errno)
		return wrong(why, field, "a whole number");
	*value_out = value;
	return 0;
}

static int read_double(const ProtobufCFieldDescriptor *field, struct json_object *json, double *value_out, struct why *why)
{
	if (!json_object_is_type(json, json_type_double) && !json_object_is_type(json, json_type_int))
		return wrong(why, field, "a number");
	*value_out = json_object_get_double(json);
	return 0;
}

static int read_enum(const ProtobufCFieldDescriptor *field, struct json_object *json, int *value_out, struct why *why)
{
	const ProtobufCEnumValue *value = NULL;

	if (json_object_is_type(json, json_type_int)) {
		*value_out = json_object_get_int(json);
		return 0;
	}
	if (json_object_is_type(json, json_type_string))
		value = protobuf_c_enum_descriptor_get_value_by_name(field->descriptor, json_object_get_string(json));
	if (!value)
		return wrong(why, field, "a name that there is");
	*value_out = value->value;
	return 0;
}

static int read_string(const ProtobufCFieldDescriptor *field, struct json_object *json, char **value_out, struct why *why)
{
	if (!json_object_is_type(json, json_type_string))
		return wrong(why, field, "a text");
	const char *text = json_object_get_string(json);
	if (strlen(text) != (size_t)json_object_get_string_len(json))
		return wrong(why, field, "a text without NUL");
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*value_out = copy;
	return 0;
}

static int read_value(const ProtobufCFieldDescriptor *field, struct json_object *json, void *value, struct why *why)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT64:
		return read_int64(field, json, value, why);
	case PROTOBUF_C_TYPE_DOUBLE:
		return read_double(field, json, value, why);
	case PROTOBUF_C_TYPE_ENUM:
		return read_enum(field, json, value, why);
	case PROTOBUF_C_TYPE_STRING:
		return read_string(field, json, value, why);
	case PROTOBUF_C_TYPE_MESSAGE:
		return read_message(field->descriptor, json, value, why);
	default:
		return wrong(why, field, "left out");
	}
}

/* What was read of a list stays in the message when the rest fails: who frees the message frees it. */
static int read_list(const ProtobufCFieldDescriptor *field, struct json_object *json, ProtobufCMessage *message, struct why *why)
{
	size_t *n = message_member(message, field->quantifier_offset), length = json_object_is_type(json, json_type_array) ? json_object_array_length(json) : 0;
	void **list = message_member(message, field->offset);
	int err = 0;

	if (!json_object_is_type(json, json_type_array))
		return wrong(why, field, "a list");
	if (!length)
		return 0;
	*list = calloc(length, message_field_bytes(field));
	if (!*list)
		return -ENOMEM;
	for (size_t i = 0; i < length && err == 0; i++) {
		err = read_value(field, json_object_array_get_idx(json, i), (char *)*list + i * message_field_bytes(field), why);
		*n += err == 0;
	}
	return err;
}

static int read_field(const ProtobufCFieldDescriptor *field, struct json_object *json, ProtobufCMessage *message, struct why *why)
{
	char name[MESSAGE_NAME_MAX];
	struct json_object *value;

	message_field_name(field, name);
	if (!json_object_object_get_ex(json, name, &value) && !json_object_object_get_ex(json, field->name, &value))
		return 0;
	if (json_object_is_type(value, json_type_null))
		return 0;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return read_list(field, value, message, why);
	return read_value(field, value, message_member(message, field->offset), why);
}

static int read_message(const ProtobufCMessageDescriptor *descriptor, struct json_object *json, ProtobufCMessage **message_out, struct why *why)
{
	if (!json_object_is_type(json, json_type_object))
		return why_set(why, -EINVAL, "an object is expected");
	ProtobufCMessage *message = malloc(descriptor->sizeof_message);
	if (!message)
		return -ENOMEM;
	protobuf_c_message_init(descriptor, message);
	int err = 0;
	for (unsigned i = 0; i < descriptor->n_fields && err == 0; i++)
		err = read_field(&descriptor->fields[i], json, message, why);
	if (err < 0) {
		protobuf_c_message_free_unpacked(message, NULL);
		return err;
	}
	*message_out = message;
	return 0;
}

int message_from_json(const ProtobufCMessageDescriptor *descriptor, const void *text, size_t n, ProtobufCMessage **message_out, struct why *why)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *json = NULL;
	int err;

	why->text[0] = '\0';
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	if (n <= INT_MAX)
		json = json_tokener_parse_ex(tokener, text, (int)n);
	if (!json || json_tokener_get_error(tokener) != json_tokener_success || json_tokener_get_parse_end(tokener) != n)
		err = why_set(why, -EINVAL, "the body is no JSON object");
	else
		err = read_message(descriptor, json, message_out, why);
	json_object_put(json);
	json_tokener_free(tokener);
	return err;
}
