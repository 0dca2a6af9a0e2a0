#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/debug_only.h"
#include "symbolizer/name_compiler.h"
#include "symbolizer/protocol.h"
#include "symbolizer/worker.h"

#define STATUS_DONE    0
#define STATUS_SETUP   1
#define STATUS_REQUEST 2

struct name_worker {
	struct channel channel;
	uint64_t serial;
	unsigned asks;
};

/* Of candidates for debug files: the agent opens what it finds. */
static int ask_for_file(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct name_worker *w = context;
	struct ask_request request = {.build_id_bytes = ask->build_id_bytes, .kind = ask->kind, .nth = nth,
				      .directory_bytes = (uint32_t)strnlen(ask->directory, DEBUG_ASK_TEXT_MAX),
				      .name_bytes = (uint32_t)strnlen(ask->name, DEBUG_ASK_TEXT_MAX)};
	struct message_head head = {.serial = w->serial, .kind = MESSAGE_ASK};
	struct message answer;

	if (request.directory_bytes == DEBUG_ASK_TEXT_MAX || request.name_bytes == DEBUG_ASK_TEXT_MAX ||
	    ask->build_id_bytes > sizeof(request.build_id))
		return -ENOENT;
	if (w->asks++ == DEBUG_ASKS_MAX)
		return -E2BIG;
	memcpy(request.build_id, ask->build_id, ask->build_id_bytes);
	const struct iovec parts[] = {{&request, sizeof(request)},
				      {(void *)(uintptr_t)ask->directory, request.directory_bytes},
				      {(void *)(uintptr_t)ask->name, request.name_bytes}};
	int err = channel_send(&w->channel, &head, parts, 3, NULL, 0, true);
	if (err == 0)
		err = channel_receive(&w->channel, 0, &answer);
	if (err < 0)
		_exit(STATUS_DONE); /* nobody wants the table any more */
	err = answer.head.result;
	if (answer.head.kind != MESSAGE_ASK || err > 0 || (err == 0 && answer.n_fds != 1))
		err = -EBADMSG;
	if (err == 0)
		*fd_out = take_fd(&answer.fds[0]);
	message_close(&answer);
	return err;
}

static int compile_image(struct name_worker *w, const struct message *m, int table_fd, struct name_compile_stats *stats)
{
	struct debug_asker asker = {.open = ask_for_file, .context = w};
	struct request request;
	uint64_t bytes;

	if (request_decode(MESSAGE_COMPILE, m->payload, m->head.payload_bytes, m->n_fds, &request) < 0)
		_exit(STATUS_REQUEST);
	struct name_compile_input input = {.fd = m->fds[0], .asker = &asker, .wanted = request.has_wanted ? request.addresses : NULL,
					   .n_wanted = request.n_addresses};
	int err = name_compile(&input, table_fd, &bytes, stats);
	if (err == 0 && fcntl(table_fd, F_ADD_SEALS, CHANNEL_SEALS) < 0)
		err = -errno;
	return err;
}

static int write_debug_only(struct name_worker *w, const struct message *m, int out_fd, struct debug_only *result)
{
	struct debug_asker asker = {.open = ask_for_file, .context = w};
	struct request request;

	if (request_decode(MESSAGE_DEBUG_ONLY, m->payload, m->head.payload_bytes, m->n_fds, &request) < 0)
		_exit(STATUS_REQUEST);
	int err = debug_only_write_best(m->fds[0], &asker, out_fd, request.bytes_max, result);
	if (err == 0 && fcntl(out_fd, F_ADD_SEALS, CHANNEL_SEALS) < 0)
		err = -errno;
	return err;
}

/* One image, one process: what a file does to it, it does to no other file. */
int name_worker_run(int socket)
{
	struct name_compile_stats stats = {0};
	struct debug_only debug_only = {0};
	struct name_worker w = {.serial = 0};
	struct message m;

	if (channel_init(&w.channel, socket, &PROTOCOL_RULES, PROTOCOL_UNWIND_MAX) < 0)
		return STATUS_SETUP;
	int err = channel_receive(&w.channel, 0, &m);
	if (err < 0)
		return err == -EPIPE ? STATUS_DONE : STATUS_REQUEST;
	bool is_table = m.head.kind == MESSAGE_COMPILE;
	if (!is_table && m.head.kind != MESSAGE_DEBUG_ONLY)
		return STATUS_REQUEST;
	w.serial = m.head.serial;
	AUTO_CLOSE int out_fd = memfd_create(is_table ? "names" : "debug", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int result = out_fd < 0 ? -errno : is_table ? compile_image(&w, &m, out_fd, &stats) : write_debug_only(&w, &m, out_fd, &debug_only);
	struct message_head head = {.serial = m.head.serial, .kind = m.head.kind, .result = result};
	const struct iovec part = {is_table ? (void *)&stats : &debug_only, is_table ? sizeof(stats) : sizeof(debug_only)};
	err = channel_send(&w.channel, &head, &part, 1, &out_fd, result == 0, true);
	message_close(&m);
	channel_deinit(&w.channel);
	return err < 0 ? STATUS_REQUEST : STATUS_DONE;
}
