#include "server-upload/debuginfo_messages.h"

#include <errno.h>
#include <string.h>

#include "server-upload/wire_scan.h"

enum { TYPE_DEBUGINFO = 0, BUILD_ID_GNU = 1 };
enum { SHOULD_BUILD_ID = 1, SHOULD_HASH, SHOULD_FORCE, SHOULD_TYPE, SHOULD_BUILD_ID_TYPE };
enum { SHOULD_REPLY_SHOULD = 1, SHOULD_REPLY_REASON };
enum { INITIATE_BUILD_ID = 1, INITIATE_SIZE, INITIATE_HASH, INITIATE_FORCE, INITIATE_TYPE, INITIATE_BUILD_ID_TYPE };
enum { INITIATE_REPLY_INSTRUCTIONS = 1 };
enum { INSTRUCTIONS_BUILD_ID = 1, INSTRUCTIONS_UPLOAD_ID, INSTRUCTIONS_STRATEGY, INSTRUCTIONS_SIGNED_URL, INSTRUCTIONS_TYPE };
enum { UPLOAD_INFO = 1, UPLOAD_CHUNK };
enum { INFO_BUILD_ID = 1, INFO_UPLOAD_ID, INFO_TYPE };

/* ---- requests ---- */

void debuginfo_put_should_initiate(struct wire *to, const char *build_id, const char *hash)
{
	wire_text(to, SHOULD_BUILD_ID, build_id);
	wire_text(to, SHOULD_HASH, hash);
	wire_number(to, SHOULD_TYPE, TYPE_DEBUGINFO);
	wire_number(to, SHOULD_BUILD_ID_TYPE, BUILD_ID_GNU);
}

void debuginfo_put_initiate(struct wire *to, const char *build_id, const char *hash, uint64_t bytes)
{
	wire_text(to, INITIATE_BUILD_ID, build_id);
	wire_number(to, INITIATE_SIZE, bytes);
	wire_text(to, INITIATE_HASH, hash);
	wire_number(to, INITIATE_TYPE, TYPE_DEBUGINFO);
	wire_number(to, INITIATE_BUILD_ID_TYPE, BUILD_ID_GNU);
}

void debuginfo_put_upload_info(struct wire *to, const char *build_id, const char *upload_id)
{
	size_t at = wire_open(to, UPLOAD_INFO);

	debuginfo_put_finished(to, build_id, upload_id);
	wire_close(to, at);
}

void debuginfo_put_upload_chunk(struct wire *to, const void *bytes, size_t n)
{
	wire_bytes(to, UPLOAD_CHUNK, bytes, n);
}

/* The same fields as UploadInfo. */
void debuginfo_put_finished(struct wire *to, const char *build_id, const char *upload_id)
{
	wire_text(to, INFO_BUILD_ID, build_id);
	wire_text(to, INFO_UPLOAD_ID, upload_id);
	wire_number(to, INFO_TYPE, TYPE_DEBUGINFO);
}

/* ---- replies ---- */

int debuginfo_get_should_initiate(const void *bytes, size_t n, bool *should_out, char *reason_out)
{
	struct wire_scan scan = {bytes, n ? (const uint8_t *)bytes + n : bytes};
	char reason[DEBUGINFO_REASON_MAX] = "";
	struct wire_scan_field field;
	bool should = false;
	int more, err = 0;

	while (err == 0 && (more = wire_scan_next(&scan, &field)) != 0) {
		if (more < 0)
			return more;
		if (field.number == SHOULD_REPLY_SHOULD && field.bytes)
			err = -EBADMSG;
		else if (field.number == SHOULD_REPLY_SHOULD)
			should = field.value;
		else if (field.number == SHOULD_REPLY_REASON)
			err = wire_scan_text(&field, reason, sizeof(reason));
	}
	if (err < 0)
		return err;
	*should_out = should;
	memcpy(reason_out, reason, sizeof(reason));
	return 0;
}

/* Printable ASCII, as it is: it goes back to the server, or becomes a URL. */
static int copy_plain(const struct wire_scan_field *field, char *text, size_t text_bytes)
{
	if (!field->bytes)
		return -EBADMSG;
	if (field->n >= text_bytes)
		return -E2BIG;
	for (size_t i = 0; i < field->n; i++)
		if (field->bytes[i] <= ' ' || field->bytes[i] > '~')
			return -EPROTO;
	if (field->n)
		memcpy(text, field->bytes, field->n);
	text[field->n] = 0;
	return 0;
}

static int get_one(const struct wire_scan_field *field, const char *build_id, struct debuginfo_instructions *to)
{
	switch (field->number) {
	case INSTRUCTIONS_BUILD_ID:
		return field->bytes && field->n == strlen(build_id) && memcmp(field->bytes, build_id, field->n) == 0 ? 0 : -EBADMSG;
	case INSTRUCTIONS_UPLOAD_ID:
		return copy_plain(field, to->upload_id, sizeof(to->upload_id));
	case INSTRUCTIONS_STRATEGY:
		to->strategy = field->value > UINT32_MAX ? UINT32_MAX : (uint32_t)field->value;
		return field->bytes ? -EBADMSG : 0;
	case INSTRUCTIONS_SIGNED_URL:
		return copy_plain(field, to->signed_url, sizeof(to->signed_url));
	default:
		return 0;
	}
}

static int get_instructions(const struct wire_scan_field *field, const char *build_id, struct debuginfo_instructions *to)
{
	struct wire_scan scan = {field->bytes, field->bytes + field->n};
	struct wire_scan_field inner;
	int more, err = 0;

	while (err == 0 && (more = wire_scan_next(&scan, &inner)) != 0)
		err = more < 0 ? more : get_one(&inner, build_id, to);
	return err;
}

int debuginfo_get_instructions(const void *bytes, size_t n, const char *build_id, struct debuginfo_instructions *instructions_out)
{
	struct wire_scan scan = {bytes, n ? (const uint8_t *)bytes + n : bytes};
	struct debuginfo_instructions instructions = {.strategy = 0};
	struct wire_scan_field field;
	int more;

	while ((more = wire_scan_next(&scan, &field)) != 0) {
		if (more < 0)
			return more;
		if (field.number != INITIATE_REPLY_INSTRUCTIONS)
			continue;
		int err = field.bytes ? get_instructions(&field, build_id, &instructions) : -EBADMSG;
		if (err < 0)
			return err;
	}
	if (!*instructions.upload_id)
		return -EBADMSG;
	*instructions_out = instructions;
	return 0;
}
