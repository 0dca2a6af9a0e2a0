#include "agent/naming_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "base/text_clean.h"
#include "symbolizer/protocol.h"

static const struct channel_rules RULES = {.version = 1, .kinds = NAMING_KINDS, .fds_max = NAMING_OUTPUTS_MAX + 1};

/* What a found file's answer says, before its path. */
struct naming_found {
	struct image_answer image;
	uint64_t is_checked;
};

static int send_plain(const struct channel *c, enum naming_kind kind, int result, const struct iovec *parts, size_t n_parts)
{
	struct message_head head = {.kind = (uint16_t)kind, .result = result};

	return channel_send(c, &head, parts, n_parts, NULL, 0, true);
}

/* --- in the process ----------------------------------------------------------------------------------------------------- */

int naming_client_init(struct channel *c, int fd)
{
	return channel_init(c, fd, &RULES, PROTOCOL_REPLY_MAX);
}

/* An answer of one of two kinds. */
static int receive(struct channel *c, enum naming_kind kind, enum naming_kind or_kind, struct message *m)
{
	int err = channel_receive(c, 0, m);

	if (err == 0 && m->head.kind != kind && m->head.kind != or_kind) {
		message_close(m);
		err = -EBADMSG;
	}
	return err;
}

static int take_found(const struct message *m, struct found_image *found_out, struct why *why)
{
	const struct naming_found *answer = m->payload;
	size_t n = m->head.payload_bytes;
	struct found_image found = {.fd = -1};

	if (m->head.result < 0)
		return why_set(why, m->head.result, "%.*s", (int)n, (const char *)m->payload);
	if (n <= sizeof(*answer) || image_answer_decode(&answer->image, sizeof(answer->image), &found.info) < 0)
		return -EBADMSG;
	found.is_checked = answer->is_checked;
	found.path = strndup((const char *)(answer + 1), n - sizeof(*answer));
	if (!found.path)
		return -ENOMEM;
	*found_out = found;
	return 0;
}

int naming_client_find(void *context, const char *filename, const char *build_id, struct found_image *found_out, struct why *why)
{
	struct naming_find request = {(uint32_t)strnlen(filename, NAMING_TEXT_MAX), (uint32_t)strnlen(build_id, NAMING_TEXT_MAX)};
	const struct iovec parts[] = {{&request, sizeof(request)}, {(void *)filename, request.filename_bytes}, {(void *)build_id, request.build_id_bytes}};
	struct message m;

	int err = send_plain(context, NAMING_FIND, 0, parts, 3);
	if (err == 0)
		err = receive(context, NAMING_FIND, NAMING_FIND, &m);
	if (err < 0)
		return why_set(why, err, "asking for the file: %s", strerror(-err));
	err = take_found(&m, found_out, why);
	message_close(&m);
	return err;
}

static int take_piece(const struct message *m, size_t first, size_t left, symbolizer_take_fn *take, void *context)
{
	struct symbolizer_reply *reply;

	if (m->head.result <= 0 || (size_t)m->head.result > left)
		return -EBADMSG;
	int err = names_answer_decode(m->payload, m->head.payload_bytes, (size_t)m->head.result, &reply);
	return err < 0 ? err : take(context, first, reply);
}

int naming_client_names(void *context, const struct found_image *found, const uint64_t *vaddrs, size_t n, symbolizer_take_fn *take, void *take_context)
{
	size_t done = 0;
	struct message m;

	(void)found;
	while (done < n) {
		size_t piece = n - done < NAMING_ADDRESSES_MAX ? n - done : NAMING_ADDRESSES_MAX, end = done + piece;
		int err = send_plain(context, NAMING_NAMES, 0, &(struct iovec){(void *)(vaddrs + done), piece * sizeof(*vaddrs)}, 1);
		for (bool more = true; err == 0 && more;) {
			err = receive(context, NAMING_PIECE, NAMING_NAMES, &m);
			if (err < 0)
				break;
			more = m.head.kind == NAMING_PIECE;
			err = more ? take_piece(&m, done, end - done, take, take_context) : m.head.result < 0 ? m.head.result : 0;
			done += err == 0 && more ? (size_t)m.head.result : 0;
			message_close(&m);
		}
		if (err < 0)
			return err;
		if (done < end)
			return -EBADMSG;
	}
	return 0;
}

int naming_client_outputs(struct channel *c, int *fds_out, size_t n)
{
	struct message m;

	int err = send_plain(c, NAMING_OUTPUTS, 0, NULL, 0);
	if (err == 0)
		err = receive(c, NAMING_OUTPUTS, NAMING_OUTPUTS, &m);
	if (err < 0)
		return err;
	err = m.head.result < 0 ? m.head.result : m.n_fds == n ? 0 : -EBADMSG;
	for (size_t i = 0; err == 0 && i < n; i++)
		fds_out[i] = take_fd(&m.fds[i]);
	message_close(&m);
	return err;
}

/* --- in the command ----------------------------------------------------------------------------------------------------- */

int naming_server_init(struct naming_server *s, int fd)
{
	s->found = (struct found_image){.fd = -1};
	return channel_init(&s->channel, fd, &RULES, NAMING_PAYLOAD_MAX);
}

void naming_server_deinit(struct naming_server *s)
{
	found_image_deinit(&s->found);
	channel_deinit(&s->channel);
}

/* A text that may be a name; NULL: it is over a limit, or has a NUL or what else no clean profile has. */
static char *take_text(const char *bytes, size_t n)
{
	return n >= NAMING_TEXT_MAX || !text_is_clean(bytes, n) ? NULL : strndup(bytes, n);
}

static int send_found(struct naming_server *s, int err, const struct why *why)
{
	struct naming_found answer = {.is_checked = s->found.is_checked};
	const struct iovec parts[] = {{&answer, sizeof(answer)}, {s->found.path, s->found.path ? strlen(s->found.path) : 0}};

	if (err < 0)
		return send_plain(&s->channel, NAMING_FIND, err, &(struct iovec){(void *)why->text, strlen(why->text)}, 1);
	image_answer_encode(&s->found.info, &answer.image);
	return send_plain(&s->channel, NAMING_FIND, 0, parts, 2);
}

static int answer_find(struct naming_server *s, const struct message *m)
{
	const struct naming_find *request = m->payload;
	size_t n = m->head.payload_bytes;
	struct why why = {""};

	if (n < sizeof(*request) || n - sizeof(*request) != (uint64_t)request->filename_bytes + request->build_id_bytes)
		return -EBADMSG;
	const char *texts = (const char *)(request + 1);
	AUTO_FREE char *filename = take_text(texts, request->filename_bytes);
	AUTO_FREE char *build_id = take_text(texts + request->filename_bytes, request->build_id_bytes);
	found_image_deinit(&s->found);
	int err = filename && build_id ? image_finder_find(&s->finder, filename, build_id, &s->found, &why)
				       : why_set(&why, -ENAMETOOLONG, "its name or build id can be of no file");
	s->n_images++;
	return send_found(s, err, &why);
}

struct sending {
	struct naming_server *server;
	int err; /* of the channel */
};

static int send_piece(void *context, size_t first, struct symbolizer_reply *reply)
{
	struct sending *sending = context;
	AUTO_FREE uint8_t *heads = NULL;
	size_t n = 0;

	(void)first; /* in their order */
	int err = names_answer_encode(reply, &heads, &n);
	if (err == 0 && reply->n_answers) {
		const struct iovec parts[] = {{heads, n}, {(void *)reply->strings, reply->n_string_bytes}};
		err = sending->err = send_plain(&sending->server->channel, NAMING_PIECE, (int)reply->n_answers, parts, 2);
	}
	symbolizer_reply_free(reply);
	return err;
}

static int answer_names(struct naming_server *s, const struct message *m)
{
	size_t n = m->head.payload_bytes / sizeof(uint64_t);
	struct sending sending = {.server = s};

	if (!n || m->head.payload_bytes % sizeof(uint64_t) || !s->found.path)
		return -EBADMSG;
	struct named_image image = {.id = s->n_images, .fd = s->found.fd, .path = s->found.path, .info = &s->found.info, .is_last = n < NAMING_ADDRESSES_MAX};
	int err = image_names_each(s->names, &image, m->payload, n, send_piece, &sending);
	if (sending.err < 0)
		return sending.err;
	if (err == 0 && image_names_problem(s->names))
		fprintf(stderr, "hearth: reading '%s': %s\n", s->found.path, image_names_problem(s->names));
	return send_plain(&s->channel, NAMING_NAMES, err, NULL, 0);
}

static int answer_outputs(struct naming_server *s, const struct message *m)
{
	struct message_head head = {.kind = NAMING_OUTPUTS};
	int fds[NAMING_OUTPUTS_MAX];

	if (m->head.payload_bytes || s->has_opened)
		return -EBADMSG;
	s->has_opened = true;
	head.result = s->open_outputs(s->context, fds);
	return channel_send(&s->channel, &head, NULL, 0, fds, head.result < 0 ? 0 : (size_t)head.result, true);
}

int naming_server_answer(struct naming_server *s)
{
	struct message m;

	int err = channel_receive(&s->channel, 0, &m);
	if (err < 0)
		return err;
	if (m.n_fds)
		err = -EBADMSG;
	else if (m.head.kind == NAMING_FIND)
		err = answer_find(s, &m);
	else if (m.head.kind == NAMING_NAMES)
		err = answer_names(s, &m);
	else
		err = m.head.kind == NAMING_OUTPUTS ? answer_outputs(s, &m) : -EBADMSG;
	message_close(&m);
	return err;
}
