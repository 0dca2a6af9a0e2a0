/* agent/naming_link.c: questions and answers between a command and its process that reads profiles; and what either refuses of the other. */
#include "agent/naming_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/scope.h"
#include "symbolizer/protocol.h"
#include "tests/unit/cmocka_prelude.h"

#define PAIR(client, server)                                 \
	struct channel client;                               \
	struct naming_server server = {.finder = {.headers = headers}, .open_outputs = open_outputs}; \
	open_pair(&client, &server)

static int headers(void *context, int fd, struct image_info *info_out)
{
	(void)context;
	(void)fd;
	*info_out = (struct image_info){.address_bytes = 8, .build_id = {1, 2, 3, 4}, .build_id_bytes = 4, .n_segments = 1, .segments = {{0, 0x1000, 0x100}}};
	return 0;
}

static int opened;

static int open_outputs(void *context, int *fds_out)
{
	(void)context;
	opened++;
	fds_out[0] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	fds_out[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return 2;
}

static int refuse_outputs(void *context, int *fds_out)
{
	(void)context;
	(void)fds_out;
	return -ENOSPC;
}

static void open_pair(struct channel *client, struct naming_server *server)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(naming_client_init(client, pair[0]), 0);
	assert_int_equal(naming_server_init(server, pair[1]), 0);
}

static void close_pair(struct channel *client, struct naming_server *server)
{
	channel_deinit(client);
	naming_server_deinit(server);
}

/* The other end's next message is there before it is asked for: both ends are of this process. */
static void put(const struct channel *c, unsigned kind, int result, const void *bytes, size_t n, const int *fds, size_t n_fds)
{
	struct message_head head = {.kind = (uint16_t)kind, .result = result};
	const struct iovec part = {(void *)bytes, n};

	assert_int_equal(channel_send(c, &head, &part, 1, fds, n_fds, false), 0);
}

static void put_find(const struct channel *c, const char *filename, const char *build_id, int more)
{
	uint8_t bytes[3 * NAMING_TEXT_MAX] = {0};
	struct naming_find head = {(uint32_t)strlen(filename), (uint32_t)strlen(build_id)};

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), filename, head.filename_bytes);
	memcpy(bytes + sizeof(head) + head.filename_bytes, build_id, head.build_id_bytes);
	put(c, NAMING_FIND, 0, bytes, (size_t)((int)(sizeof(head) + head.filename_bytes + head.build_id_bytes) + more), NULL, 0);
}

/* --- the command ---------------------------------------------------------------------------------------------------------- */

static void finds(void **state)
{
	struct message m;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip(); /* valgrind 3.19 has no openat2 */
	PAIR(client, server);
	put_find(&client, "/no/such/file", "01020304", 0);
	assert_int_equal(naming_server_answer(&server), 0);
	assert_int_equal(channel_receive(&client, 1, &m), 0);
	assert_int_equal(m.head.result, -ENOENT);
	message_close(&m);
	put_find(&client, "/bin/sh", "01020304", 0);
	assert_int_equal(naming_server_answer(&server), 0);
	assert_int_equal(channel_receive(&client, 1, &m), 0);
	assert_int_equal(m.head.result, 0);
	assert_non_null(memmem(m.payload, m.head.payload_bytes, "/bin/sh", 7));
	message_close(&m);
	assert_int_equal(server.n_images, 2);
	close_pair(&client, &server);
}

static void refused_names(void **state)
{
	static char long_name[NAMING_TEXT_MAX + 1];
	static const char *const BAD[] = {"/tmp/a\nb", "/tmp/\xff", long_name};
	struct message m;

	(void)state;
	memset(long_name, 'a', NAMING_TEXT_MAX);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		PAIR(client, server);
		put_find(&client, BAD[i], "", 0);
		assert_int_equal(naming_server_answer(&server), 0);
		assert_int_equal(channel_receive(&client, 1, &m), 0);
		assert_int_equal(m.head.result, -ENAMETOOLONG);
		message_close(&m);
		close_pair(&client, &server);
	}
}

static void questions_that_cannot_be(void **state)
{
	const struct naming_find huge = {UINT32_MAX, UINT32_MAX};
	const uint64_t address = 0x1000;
	const int fd = STDERR_FILENO;

	(void)state;
	for (int i = 0; i < 9; i++) {
		PAIR(client, server);
		server.found.path = i == 4 || i == 5 ? strdup("/bin/sh") : NULL;
		switch (i) {
		case 0: put(&client, NAMING_FIND, 0, &huge, sizeof(huge), NULL, 0); break;
		case 1: put(&client, NAMING_FIND, 0, &huge, sizeof(huge) - 1, NULL, 0); break;
		case 2: put_find(&client, "/bin/sh", "", 1); break;
		case 3: put(&client, NAMING_NAMES, 0, &address, sizeof(address), NULL, 0); break; /* of what? */
		case 4: put(&client, NAMING_NAMES, 0, &address, sizeof(address) - 1, NULL, 0); break;
		case 5: put(&client, NAMING_NAMES, 0, NULL, 0, NULL, 0); break;
		case 6: put(&client, NAMING_PIECE, 0, NULL, 0, NULL, 0); break;
		case 7: put(&client, NAMING_OUTPUTS, 0, &address, sizeof(address), NULL, 0); break;
		default: put(&client, NAMING_OUTPUTS, 0, NULL, 0, &fd, 1); break;
		}
		assert_int_equal(naming_server_answer(&server), -EBADMSG);
		close_pair(&client, &server);
	}
	PAIR(client, server);
	assert_int_equal(write(client.fd, "nonsense", 8), 8);
	assert_int_equal(naming_server_answer(&server), -EBADMSG);
	close_pair(&client, &server);
}

static void outputs(void **state)
{
	struct message m;

	(void)state;
	PAIR(client, server);
	opened = 0;
	put(&client, NAMING_OUTPUTS, 0, NULL, 0, NULL, 0);
	assert_int_equal(naming_server_answer(&server), 0);
	assert_int_equal(channel_receive(&client, 1, &m), 0);
	assert_int_equal(m.n_fds, 2);
	message_close(&m);
	put(&client, NAMING_OUTPUTS, 0, NULL, 0, NULL, 0); /* twice */
	assert_int_equal(naming_server_answer(&server), -EBADMSG);
	assert_int_equal(opened, 1);
	close_pair(&client, &server);

	PAIR(other, without);
	without.open_outputs = refuse_outputs;
	put(&other, NAMING_OUTPUTS, 0, NULL, 0, NULL, 0);
	assert_int_equal(naming_server_answer(&without), 0);
	assert_int_equal(channel_receive(&other, 1, &m), 0);
	assert_int_equal(m.head.result, -ENOSPC);
	message_close(&m);
	close_pair(&other, &without);
}

static void gone(void **state)
{
	struct found_image found = {.fd = -1};
	struct why why;
	int fds[1];

	(void)state;
	PAIR(client, server);
	channel_deinit(&client);
	assert_int_equal(naming_server_answer(&server), -EPIPE);
	naming_server_deinit(&server);
	PAIR(other, away);
	naming_server_deinit(&away);
	assert_int_equal(naming_client_find(&other, "/bin/sh", "", &found, &why), -EPIPE);
	assert_int_equal(naming_client_outputs(&other, fds, 1), -EPIPE);
	channel_deinit(&other);
}

/* --- the process ---------------------------------------------------------------------------------------------------------- */

static size_t taken[8], n_taken;

static int take(void *context, size_t first, struct symbolizer_reply *reply)
{
	(void)context;
	for (size_t i = 0; i < reply->n_answers; i++)
		if (n_taken < sizeof(taken) / sizeof(taken[0]))
			taken[n_taken++] = first + i;
	assert_string_equal(reply->frames[reply->answers[0].first].name, "f");
	symbolizer_reply_free(reply);
	return 0;
}

/* A piece for n addresses, each named f. */
static void put_piece(const struct channel *c, uint32_t n, int result)
{
	struct {
		struct names_answer head;
		struct symbolizer_answer answers[4];
		struct names_answer_frame frame;
		char strings[4];
	} __attribute__((packed)) piece = {.head = {4, 1, 4, 0}, .frame = {.name = 1, .system_name = 1}, .strings = "\0f\0"};
	uint8_t bytes[sizeof(piece)];

	piece.head.n_answers = n;
	for (uint32_t i = 0; i < n; i++)
		piece.answers[i] = (struct symbolizer_answer){.count = 1, .symbol_start = 1, .symbol_end = 2};
	size_t before = sizeof(piece.head) + n * sizeof(piece.answers[0]), after = sizeof(piece.frame) + sizeof(piece.strings);
	memcpy(bytes, &piece, before);
	memcpy(bytes + before, &piece.frame, after);
	put(c, NAMING_PIECE, result, bytes, before + after, NULL, 0);
}

static void names_in_pieces(void **state)
{
	const uint64_t vaddrs[5] = {1, 2, 3, 4, 5};
	struct message m;

	(void)state;
	PAIR(client, server);
	n_taken = 0;
	put_piece(&server.channel, 3, 3);
	put_piece(&server.channel, 2, 2);
	put(&server.channel, NAMING_NAMES, 0, NULL, 0, NULL, 0);
	assert_int_equal(naming_client_names(&client, NULL, vaddrs, 5, take, NULL), 0);
	assert_int_equal(n_taken, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(taken[i], i);
	assert_int_equal(channel_receive(&server.channel, 1, &m), 0);
	assert_int_equal(m.head.payload_bytes, sizeof(vaddrs));
	assert_memory_equal(m.payload, vaddrs, sizeof(vaddrs));
	message_close(&m);
	/* What was taken before the end of the reader stays. */
	n_taken = 0;
	put_piece(&server.channel, 3, 3);
	put(&server.channel, NAMING_NAMES, -ECHILD, NULL, 0, NULL, 0);
	assert_int_equal(naming_client_names(&client, NULL, vaddrs, 5, take, NULL), -ECHILD);
	assert_int_equal(n_taken, 3);
	close_pair(&client, &server);
}

static void answers_that_cannot_be(void **state)
{
	const uint64_t vaddrs[2] = {1, 2};
	struct found_image found = {.fd = -1};
	const struct image_answer image = {.n_segments = IMAGE_SEGMENTS_MAX + 1};
	struct why why;
	int fds[2], two[2] = {STDERR_FILENO, STDERR_FILENO};

	(void)state;
	for (int i = 0; i < 6; i++) {
		PAIR(client, server);
		switch (i) {
		case 0: put_piece(&server.channel, 3, 3); break; /* of two */
		case 1: put_piece(&server.channel, 2, 1); break;
		case 2: put(&server.channel, NAMING_PIECE, 0, NULL, 0, NULL, 0); break;
		case 3: put(&server.channel, NAMING_PIECE, 2, "short", 5, NULL, 0); break;
		case 4: put(&server.channel, NAMING_NAMES, 0, NULL, 0, NULL, 0); break; /* before the last piece */
		default: put(&server.channel, NAMING_FIND, 0, NULL, 0, NULL, 0); break;
		}
		assert_int_equal(naming_client_names(&client, NULL, vaddrs, 2, take, NULL), -EBADMSG);
		close_pair(&client, &server);
	}
	PAIR(client, server);
	put(&server.channel, NAMING_FIND, 0, &image, sizeof(image), NULL, 0); /* no path, and no such image */
	assert_int_equal(naming_client_find(&client, "/bin/sh", "", &found, &why), -EBADMSG);
	put(&server.channel, NAMING_OUTPUTS, 0, NULL, 0, two, 2);
	assert_int_equal(naming_client_outputs(&client, fds, 1), -EBADMSG);
	assert_null(found.path);
	close_pair(&client, &server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds), cmocka_unit_test(refused_names), cmocka_unit_test(questions_that_cannot_be), cmocka_unit_test(outputs),
		cmocka_unit_test(gone),	 cmocka_unit_test(names_in_pieces), cmocka_unit_test(answers_that_cannot_be),
	};

	return cmocka_run_group_tests_name("agent/naming_link", tests, NULL, NULL);
}
