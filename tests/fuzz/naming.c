/* What a command and its process that reads profiles say to each other (agent/naming_link.h). The first byte says who reads; then come messages: kind, result, two bytes of
 * length, payload. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/naming_link.h"
#include "base/text_clean.h"
#include "tests/fuzz/fuzz.h"

#define HEAD_BYTES   4
#define MESSAGES_MAX 8
#define N_VADDRS     4

/* Nothing is an ELF file here: what is found would be named by processes. */
static int no_headers(void *context, int fd, struct image_info *info_out)
{
	(void)context;
	(void)fd;
	(void)info_out;
	return -ENOEXEC;
}

static int no_outputs(void *context, int *fds_out)
{
	(void)context;
	(void)fds_out;
	return -ENOSPC;
}

/* Returns how many were sent. */
static unsigned send_messages(const struct channel *c, const uint8_t *data, size_t n)
{
	unsigned sent = 0;

	while (sent < MESSAGES_MAX && n >= HEAD_BYTES) {
		struct message_head head = {.kind = data[0] % (NAMING_KINDS + 1), .result = (int8_t)data[1]};
		size_t bytes = (size_t)(data[2] | data[3] << 8);
		bytes = bytes < n - HEAD_BYTES ? bytes : n - HEAD_BYTES;
		if (channel_send(c, &head, &(struct iovec){(void *)(data + HEAD_BYTES), bytes}, 1, NULL, 0, false) < 0)
			break;
		data += HEAD_BYTES + bytes;
		n -= HEAD_BYTES + bytes;
		sent++;
	}
	return sent;
}

static void command_reads(const int pair[2], const uint8_t *data, size_t n)
{
	struct naming_server server = {.finder = {.headers = no_headers}, .open_outputs = no_outputs};
	struct channel process;
	int err = 0;

	PROMISE(naming_client_init(&process, pair[0]) == 0 && naming_server_init(&server, pair[1]) == 0);
	for (unsigned left = send_messages(&process, data, n); err == 0 && left; left--) {
		err = naming_server_answer(&server);
		PROMISE(err == 0 || err == -EBADMSG);
		PROMISE(!server.found.path);
	}
	channel_deinit(&process);
	naming_server_deinit(&server);
}

static int take(void *context, size_t first, struct symbolizer_reply *reply)
{
	size_t *next = context;

	PROMISE(first == *next && reply->n_answers && first + reply->n_answers <= N_VADDRS);
	*next += reply->n_answers;
	for (size_t i = 0; i < reply->n_answers; i++)
		PROMISE(reply->answers[i].first <= reply->n_frames && reply->answers[i].count <= reply->n_frames - reply->answers[i].first);
	for (size_t i = 0; i < reply->n_frames; i++)
		PROMISE(text_is_clean(reply->frames[i].name, strlen(reply->frames[i].name)));
	symbolizer_reply_free(reply);
	return 0;
}

static void process_reads(const int pair[2], const uint8_t *data, size_t n)
{
	const uint64_t vaddrs[N_VADDRS] = {1, 2, 3, 4};
	struct found_image found = {.fd = -1};
	struct naming_server server = {0};
	struct channel process;
	struct why why = {""};
	size_t next = 0;
	int fds[1];

	PROMISE(naming_client_init(&process, pair[0]) == 0 && naming_server_init(&server, pair[1]) == 0);
	send_messages(&server.channel, data + 1, n - 1);
	shutdown(server.channel.fd, SHUT_WR); /* the process waits for no more */
	int err = data[0] & 1 ? naming_client_find(&process, "/bin/sh", "", &found, &why) : naming_client_names(&process, NULL, vaddrs, N_VADDRS, take, &next);
	PROMISE(err <= 0 && (err < 0 || data[0] & 1 || next == N_VADDRS));
	PROMISE((err == 0 && data[0] & 1) == (found.path != NULL));
	PROMISE(naming_client_outputs(&process, fds, 1) < 0); /* no descriptor came */
	found_image_deinit(&found);
	channel_deinit(&process);
	naming_server_deinit(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int pair[2];

	if (n < 2 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	if (data[0] & 1)
		command_reads(pair, data + 1, n - 1);
	else
		process_reads(pair, data + 1, n - 1);
	return 0;
}
