#include "server-upload/upload_protocol.h"

#include <errno.h>
#include <string.h>

#include "base/text_clean.h"

#define BUILD_ID_MIN 8 /* hex digits */

const struct channel_rules UPLOAD_RULES = {.version = 2, .kinds = UPLOAD_MESSAGES, .fds_max = 1};

static bool is_clean(const char *text, size_t room)
{
	size_t n = strnlen(text, room);

	return n < room && text_is_clean(text, n);
}

static int check_status(const struct upload_status *status)
{
	return status->sink < SINKS_MAX && is_clean(status->last_error, sizeof(status->last_error)) ? 0 : -EBADMSG;
}

static int check_event(const struct upload_event *event)
{
	return event->severity <= UPLOAD_ERROR && is_clean(event->text, sizeof(event->text)) ? 0 : -EBADMSG;
}

static int check_window(const struct upload_window *window, size_t n_fds)
{
	return n_fds == 1 && window->sink < SINKS_MAX && window->number && window->bytes && window->bytes <= UPLOAD_WINDOW_BYTES ? 0 : -EBADMSG;
}

static int check_next(const struct upload_next *next)
{
	return next->sink < SINKS_MAX ? 0 : -EBADMSG;
}

static int check_mark(const struct upload_mark *mark)
{
	return mark->sink < SINKS_MAX && mark->number ? 0 : -EBADMSG;
}

static bool is_hex(const char *text, size_t room, size_t min, size_t max)
{
	size_t n = strnlen(text, room);

	return n < room && n >= min && n <= max && n % 2 == 0 && strspn(text, "0123456789abcdef") == n;
}

static int check_want(const struct upload_want *want)
{
	return is_hex(want->build_id, sizeof(want->build_id), BUILD_ID_MIN, UPLOAD_BUILD_ID_MAX) ? 0 : -EBADMSG;
}

static int check_file(const struct upload_file *file, size_t n_fds)
{
	bool is_file = file->result == 0;

	if (!is_hex(file->build_id, sizeof(file->build_id), BUILD_ID_MIN, UPLOAD_BUILD_ID_MAX) || file->result > 0 || file->result < -4095 ||
	    n_fds != is_file || !is_hex(file->hash, sizeof(file->hash), is_file ? 1 : 0, is_file ? sizeof(file->hash) : 0))
		return -EBADMSG;
	return !is_file || (file->bytes && file->bytes <= UPLOAD_FILE_BYTES) ? 0 : -EBADMSG;
}

int upload_message_check(const struct message *m)
{
	static const size_t BYTES[UPLOAD_MESSAGES] = {
		[UPLOAD_STATUS] = sizeof(struct upload_status), [UPLOAD_EVENT] = sizeof(struct upload_event), [UPLOAD_NEXT] = sizeof(struct upload_next),
		[UPLOAD_WINDOW] = sizeof(struct upload_window), [UPLOAD_NONE] = sizeof(struct upload_next),   [UPLOAD_MARK] = sizeof(struct upload_mark),
		[UPLOAD_SHAPED] = sizeof(struct upload_mark), [UPLOAD_WANT] = sizeof(struct upload_want),   [UPLOAD_FILE] = sizeof(struct upload_file),
	};

	if (m->head.kind >= UPLOAD_MESSAGES || (m->n_fds && m->head.kind != UPLOAD_WINDOW && m->head.kind != UPLOAD_FILE))
		return -EBADMSG;
	if (m->head.kind == UPLOAD_CONFIG)
		return m->head.payload_bytes ? 0 : -EBADMSG;
	if (m->head.payload_bytes != BYTES[m->head.kind])
		return -EBADMSG;
	switch (m->head.kind) {
	case UPLOAD_STATUS:
		return check_status(m->payload);
	case UPLOAD_EVENT:
		return check_event(m->payload);
	case UPLOAD_WINDOW:
		return check_window(m->payload, m->n_fds);
	case UPLOAD_NEXT:
	case UPLOAD_NONE:
		return check_next(m->payload);
	case UPLOAD_MARK:
	case UPLOAD_SHAPED:
		return check_mark(m->payload);
	case UPLOAD_WANT:
		return check_want(m->payload);
	case UPLOAD_FILE:
		return check_file(m->payload, m->n_fds);
	default:
		return 0;
	}
}
