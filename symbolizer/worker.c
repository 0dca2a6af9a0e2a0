#include "symbolizer/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "symbolizer/libunwind_walk.h"
#include "symbolizer/protocol.h"

#define STATUS_DONE  0
#define STATUS_SETUP 1
#define STATUS_REQUEST 2 /* a request that cannot be: the agent is not as it should be either */

struct worker {
	struct channel channel;
	struct engine *engine;
};

/* What an answer carries behind the counters. */
struct body {
	struct iovec parts[2 * UNWIND_TABLES_MAX + 2];
	size_t n;
};

static int add_part(struct body *body, const void *bytes, size_t n)
{
	body->parts[body->n++] = (struct iovec){(void *)(uintptr_t)bytes, n};
	return 0;
}

/* Counters, body. */
static int send_answer(struct worker *w, const struct message *request, int result, const struct body *body)
{
	struct message_head head = {.serial = request->head.serial, .kind = request->head.kind, .result = result};
	struct iovec parts[2 * UNWIND_TABLES_MAX + 3];
	struct engine_stats stats;

	engine_stats(w->engine, &stats);
	parts[0] = (struct iovec){&stats, sizeof(stats)};
	if (body)
		memcpy(parts + 1, body->parts, body->n * sizeof(parts[0]));
	return channel_send(&w->channel, &head, parts, 1 + (body ? body->n : 0), NULL, 0, true);
}

static int answer_with(struct worker *w, const struct message *request, int result, const void *bytes, size_t n)
{
	struct body body = {.n = 0};

	if (result >= 0)
		add_part(&body, bytes, n);
	return send_answer(w, request, result, &body);
}

static int answer_image(struct worker *w, const struct message *m)
{
	struct image_answer answer;
	struct image_info info;

	int result = engine_image(w->engine, m->fds[0], &info);
	if (result == 0)
		image_answer_encode(&info, &answer);
	return answer_with(w, m, result, &answer, sizeof(answer));
}

/* reply: taken over. */
static int answer_reply(struct worker *w, const struct message *m, int result, struct symbolizer_reply *reply)
{
	AUTO_FREE uint8_t *heads = NULL;
	struct body body = {.n = 0};
	size_t n = 0;

	int err = result < 0 ? result : names_answer_encode(reply, &heads, &n);
	if (err < 0) {
		result = err;
	} else {
		add_part(&body, heads, n);
		add_part(&body, reply->strings, reply->n_string_bytes);
	}
	err = send_answer(w, m, result, &body);
	symbolizer_reply_free(reply);
	return err;
}

static int answer_names(struct worker *w, const struct message *m, const struct request *r)
{
	int fd = r->has_fd ? m->fds[0] : -1, table_fd = r->has_table ? m->fds[r->has_fd] : -1;
	struct symbolizer_reply *reply = NULL;

	int result = engine_names(w->engine, r->image_id, fd, table_fd, r->addresses, r->n_addresses, &reply);
	return answer_reply(w, m, result, reply);
}

static int answer_jit(struct worker *w, const struct message *m, const struct request *r)
{
	struct jit_source source = {r->has_fd ? m->fds[0] : -1, r->has_table ? m->fds[r->has_fd] : -1};
	struct symbolizer_reply *reply = NULL;
	bool more = false;

	int result = engine_jit_names(w->engine, r->image_id, &source, r->queries, r->n_queries, &reply, &more);
	return answer_reply(w, m, result == 0 ? more : result, reply);
}

static int answer_kernel_names(struct worker *w, const struct message *m, const struct request *r)
{
	struct symbolizer_reply *reply = NULL;

	int result = engine_kernel_names(w->engine, r->addresses, r->n_addresses, &reply);
	return answer_reply(w, m, result, reply);
}

static int answer_unwind(struct worker *w, const struct message *m)
{
	static const uint8_t PADDING[8];
	struct unwind_image *image = NULL;
	AUTO_FREE uint8_t *heads = NULL;
	struct body body = {.n = 0};
	size_t n = 0;

	int result = engine_unwind(w->engine, m->fds[0], m->n_fds > 1 ? m->fds[1] : -1, &image);
	if (result == 0)
		result = unwind_answer_encode(image, &heads, &n);
	if (result == 0)
		add_part(&body, heads, n);
	for (size_t i = 0; result == 0 && i < image->n_tables; i++) {
		add_part(&body, image->tables[i].bytes, image->tables[i].n_bytes);
		add_part(&body, PADDING, -image->tables[i].n_bytes & 7u);
	}
	int err = send_answer(w, m, result, &body);
	unwind_image_free(image);
	return err;
}

static int answer_code_frame(struct worker *w, const struct message *m, const struct request *r)
{
	struct symbolizer_function function = {0};
	struct code_frame_answer answer;

	int result = engine_code_frame(w->engine, r->image_id, r->has_fd ? m->fds[0] : -1, r->vaddr, r->is_return, &function);
	code_frame_answer_encode(&function, &answer);
	return answer_with(w, m, result, &answer, sizeof(answer));
}

static int answer_walk(struct worker *w, const struct message *m, struct request *r)
{
	struct symbolizer_caller callers[SYMBOLIZER_CALLERS_MAX];
	struct walk_answer answers[SYMBOLIZER_CALLERS_MAX];

	for (size_t i = 0; i < r->walk.n_images; i++)
		r->walk.images[i].fd = m->fds[i];
	int result = engine_walk(w->engine, &r->walk, r->goes_on, callers);
	size_t n = result > 0 && result <= SYMBOLIZER_CALLERS_MAX ? (size_t)result : 0;
	for (size_t i = 0; i < n; i++)
		walk_answer_encode(&callers[i], &answers[i]);
	return answer_with(w, m, result, answers, n * sizeof(answers[0]));
}

static int answer_kernel_load(struct worker *w, const struct message *m)
{
	int result = engine_kernel_load(w->engine, m->fds[0]);
	struct kernel_answer answer = {.base = engine_kernel_base(w->engine)};

	return answer_with(w, m, result, &answer, sizeof(answer));
}

static int answer(struct worker *w, const struct message *m)
{
	struct request r;

	if (request_decode(m->head.kind, m->payload, m->head.payload_bytes, m->n_fds, &r) < 0)
		return -EBADMSG;
	engine_style(w->engine, (enum demangle_style)m->head.detail);
	switch (r.kind) {
	case MESSAGE_IMAGE:
		return answer_image(w, m);
	case MESSAGE_DEBUG_FILE:
		return answer_with(w, m, engine_is_debug_file(w->engine, m->fds[0], r.build_id, r.build_id_bytes), NULL, 0);
	case MESSAGE_NAMES:
		return answer_names(w, m, &r);
	case MESSAGE_UNWIND:
		return answer_unwind(w, m);
	case MESSAGE_CODE_FRAME:
		return answer_code_frame(w, m, &r);
	case MESSAGE_WALK:
		return answer_walk(w, m, &r);
	case MESSAGE_JIT:
		return answer_jit(w, m, &r);
	case MESSAGE_KERNEL_LOAD:
		return answer_kernel_load(w, m);
	case MESSAGE_KERNEL_NAMES:
		return answer_kernel_names(w, m, &r);
	default:
		return -EBADMSG;
	}
}

static int compare_bytes(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

void worker_warm_up(void)
{
	struct libunwind_walk *walk;
	char bytes[4096] = {0};

	qsort(bytes, sizeof(bytes), 1, compare_bytes); /* asks for the size of the memory */
	if (libunwind_walk_create(&walk) == 0)	       /* makes a pipe, for walks of its own process */
		libunwind_walk_destroy(walk);
}

int worker_run(int socket)
{
	struct message m;
	struct worker w;

	if (channel_init(&w.channel, socket, &PROTOCOL_RULES, PROTOCOL_INLINE_MAX) < 0 || engine_create(NULL, &w.engine) < 0)
		return STATUS_SETUP;
	int err;
	while ((err = channel_receive(&w.channel, 0, &m)) == 0) {
		err = answer(&w, &m);
		message_close(&m);
		if (err < 0)
			break;
	}
	engine_destroy(w.engine);
	channel_deinit(&w.channel);
	return err == -EPIPE ? STATUS_DONE : STATUS_REQUEST;
}
