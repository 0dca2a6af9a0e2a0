/* Fields of protobuf messages, by their descriptors: for the two ways between messages and JSON. */
#ifndef HEARTH_WEB_MESSAGE_FIELD_H
#define HEARTH_WEB_MESSAGE_FIELD_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#define MESSAGE_NAME_MAX 64

/* "profile_typeID" is "profileTypeID" in JSON. */
static inline void message_field_name(const ProtobufCFieldDescriptor *field, char out[MESSAGE_NAME_MAX])
{
	size_t n = 0;

	for (const char *at = field->name; *at && n + 1 < MESSAGE_NAME_MAX; at++) {
		bool raised = *at == '_' && at[1];
		if (raised)
			at++;
		out[n++] = raised && *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
	}
	out[n] = '\0';
}

static inline void *message_member(const ProtobufCMessage *message, unsigned offset)
{
	return (char *)(uintptr_t)message + offset;
}

/* What one of a list takes; pointers are as large as numbers. */
static inline size_t message_field_bytes(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_ENUM ? sizeof(int) : sizeof(int64_t);
}

#endif
