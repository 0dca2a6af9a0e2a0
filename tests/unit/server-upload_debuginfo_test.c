/* Offers, messages and the stream of debug information. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "server-upload/debuginfo_messages.h"
#include "server-upload/debuginfo_offers.h"
#include "server-upload/debuginfo_stream.h"
#include "server-upload/debuginfo_upload.h"
#include "server-upload/wire_scan.h"
#include "tests/unit/random_profile.h"
#include "tests/unit/wire_reader.h"

#define BUILD_ID "00112233445566778899aabbccddeeff00112233"

/* ---- messages ---- */

static void assert_text(const struct wire *w, uint32_t number, const char *text)
{
	struct wire_field field;

	assert_true(read_nth(read_bytes(w->bytes, w->n), number, 0, &field));
	assert_true(field_is(&field, text));
}

static uint64_t number_of(const struct wire *w, uint32_t number)
{
	struct wire_field field;

	return read_nth(read_bytes(w->bytes, w->n), number, 0, &field) ? field.value : 0;
}

static void test_requests(void **state)
{
	AUTO_WIRE struct wire should = {0}, initiate = {0}, info = {0}, chunk = {0}, finished = {0};
	struct wire_field field;

	(void)state;
	debuginfo_put_should_initiate(&should, BUILD_ID, "abc");
	assert_text(&should, 1, BUILD_ID);
	assert_text(&should, 2, "abc");
	assert_int_equal(number_of(&should, 3), 0);
	assert_int_equal(number_of(&should, 4), 0);
	assert_int_equal(number_of(&should, 5), 1);
	debuginfo_put_initiate(&initiate, BUILD_ID, "abc", 123456789);
	assert_text(&initiate, 1, BUILD_ID);
	assert_int_equal(number_of(&initiate, 2), 123456789);
	assert_text(&initiate, 3, "abc");
	assert_int_equal(number_of(&initiate, 6), 1);
	debuginfo_put_upload_info(&info, BUILD_ID, "up-1");
	assert_true(read_nth(read_bytes(info.bytes, info.n), 1, 0, &field));
	struct wire inside = {.bytes = (uint8_t *)(uintptr_t)field.bytes, .n = field.n};
	assert_text(&inside, 1, BUILD_ID);
	assert_text(&inside, 2, "up-1");
	debuginfo_put_upload_chunk(&chunk, "bytes", 5);
	assert_text(&chunk, 2, "bytes");
	debuginfo_put_finished(&finished, BUILD_ID, "up-1");
	assert_text(&finished, 1, BUILD_ID);
	assert_text(&finished, 2, "up-1");
}

static void test_should_initiate(void **state)
{
	AUTO_WIRE struct wire reply = {0};
	char reason[DEBUGINFO_REASON_MAX], long_reason[1000];
	bool should = false;

	(void)state;
	wire_number(&reply, 1, 1);
	wire_text(&reply, 2, "first\ntime");
	wire_text(&reply, 99, "something newer");
	assert_int_equal(debuginfo_get_should_initiate(reply.bytes, reply.n, &should, reason), 0);
	assert_true(should);
	assert_string_equal(reason, "first?time");
	for (size_t n = 1; n < reply.n; n++) {
		should = true;
		int err = debuginfo_get_should_initiate(reply.bytes, n, &should, reason);
		assert_true(err == -EBADMSG || err == 0);
	}
	assert_int_equal(debuginfo_get_should_initiate("", 0, &should, reason), 0);
	assert_false(should);
	assert_string_equal(reason, "");
	wire_reset(&reply);
	memset(long_reason, 'r', sizeof(long_reason));
	wire_bytes(&reply, 2, long_reason, sizeof(long_reason));
	assert_int_equal(debuginfo_get_should_initiate(reply.bytes, reply.n, &should, reason), 0);
	assert_int_equal(strlen(reason), sizeof(reason) - 1);
	wire_reset(&reply);
	wire_text(&reply, 1, "true");
	should = true;
	assert_int_equal(debuginfo_get_should_initiate(reply.bytes, reply.n, &should, reason), -EBADMSG);
	assert_true(should);
	wire_reset(&reply);
	wire_number(&reply, 2, 7);
	assert_int_equal(debuginfo_get_should_initiate(reply.bytes, reply.n, &should, reason), -EBADMSG);
}

static int instructions_of(const char *build_id, const char *upload_id, uint64_t strategy, const char *url, struct debuginfo_instructions *to)
{
	AUTO_WIRE struct wire reply = {0};

	size_t at = wire_open(&reply, 1);
	wire_text(&reply, 1, build_id);
	wire_text(&reply, 2, upload_id);
	wire_number(&reply, 3, strategy);
	wire_text(&reply, 4, url);
	wire_close(&reply, at);
	return debuginfo_get_instructions(reply.bytes, reply.n, BUILD_ID, to);
}

static void test_instructions(void **state)
{
	struct debuginfo_instructions i = {.strategy = 77};
	static char long_text[5000];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	assert_int_equal(instructions_of("ff", "up", 1, "", &i), -EBADMSG);
	assert_int_equal(instructions_of(BUILD_ID, "", 1, "", &i), -EBADMSG);
	assert_int_equal(instructions_of(BUILD_ID, "u p", 1, "", &i), -EPROTO);
	assert_int_equal(instructions_of(BUILD_ID, "up\r\nx: y", 1, "", &i), -EPROTO);
	assert_int_equal(instructions_of(BUILD_ID, long_text, 1, "", &i), -E2BIG);
	assert_int_equal(instructions_of(BUILD_ID, "up", 2, long_text, &i), -E2BIG);
	assert_int_equal(debuginfo_get_instructions("", 0, BUILD_ID, &i), -EBADMSG);
	assert_int_equal(debuginfo_get_instructions("\x0a\x05\x0a", 3, BUILD_ID, &i), -EBADMSG);
	assert_int_equal(debuginfo_get_instructions("\x08\x01", 2, BUILD_ID, &i), -EBADMSG);
	assert_int_equal(i.strategy, 77);
	assert_int_equal(instructions_of(BUILD_ID, "up-1", 2, "https://bucket/x?y=z", &i), 0);
	assert_string_equal(i.upload_id, "up-1");
	assert_string_equal(i.signed_url, "https://bucket/x?y=z");
	assert_int_equal(i.strategy, DEBUGINFO_BY_SIGNED_URL);
	assert_int_equal(instructions_of(BUILD_ID, "up-1", UINT64_MAX, "", &i), 0);
	assert_int_equal(i.strategy, UINT32_MAX);
}

/* Bytes of all kinds: an end or an error, never more. */
static void test_scan_of_anything(void **state)
{
	struct random_source r = {.state = 3};
	uint8_t bytes[64];

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		uint32_t n = random_below(&r, sizeof(bytes) + 1);
		for (uint32_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)random_below(&r, random_below(&r, 2) ? 256 : 24);
		struct wire_scan scan = {bytes, bytes + n};
		struct wire_scan_field field;
		int more;
		while ((more = wire_scan_next(&scan, &field)) == 1)
			assert_true(!field.bytes || (field.bytes >= bytes && field.bytes + field.n <= bytes + n));
		assert_true(more == 0 || more == -EBADMSG);
		assert_int_equal(wire_scan_next(&scan, &field), 0);
	}
}

/* ---- the stream ---- */

static int file_of(size_t n, uint8_t **bytes_out)
{
	int fd = memfd_create("debuginfo", MFD_CLOEXEC);
	uint8_t *bytes = malloc(n + 1);

	assert_true(fd >= 0 && bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 251);
	assert_int_equal(write(fd, bytes, n), n);
	*bytes_out = bytes;
	return fd;
}

/* Take frames apart: the info first, then chunks that are the file. */
static void check_body(const uint8_t *body, size_t n, const uint8_t *file, size_t n_file)
{
	size_t at = 0, taken = 0, frames = 0;

	for (; at < n; frames++) {
		struct wire_field field;
		assert_true(n - at >= 5 && body[at] == 0);
		size_t length = (size_t)body[at + 1] << 24 | (size_t)body[at + 2] << 16 | (size_t)body[at + 3] << 8 | body[at + 4];
		assert_true(length <= n - at - 5 && length <= DEBUGINFO_CHUNK_BYTES + 16);
		assert_true(read_nth(read_bytes(body + at + 5, length), frames ? 2 : 1, 0, &field));
		if (frames) {
			assert_true(field.n && field.n <= n_file - taken);
			assert_memory_equal(field.bytes, file + taken, field.n);
			taken += field.n;
		}
		at += 5 + length;
	}
	assert_int_equal(taken, n_file);
	assert_true(frames > 0);
}

static size_t read_body(struct debuginfo_stream *s, uint8_t *body, size_t step)
{
	size_t n = 0;

	for (;;) {
		int64_t got = debuginfo_stream_read(s, body + n, step);
		assert_true(got >= 0);
		if (!got)
			return n;
		n += (size_t)got;
	}
}

static void test_stream(void **state)
{
	static const size_t sizes[] = {0, 1, 1000, DEBUGINFO_CHUNK_BYTES, DEBUGINFO_CHUNK_BYTES + 1, 3 * DEBUGINFO_CHUNK_BYTES - 7};
	uint8_t *body = malloc(4 * DEBUGINFO_CHUNK_BYTES), *file;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct debuginfo_stream *s;
		int fd = file_of(sizes[i], &file);
		assert_int_equal(debuginfo_stream_create(fd, sizes[i] + 1, BUILD_ID, "up", &s), -EINVAL);
		assert_int_equal(debuginfo_stream_create(fd, sizes[i], BUILD_ID, "up", &s), 0);
		assert_int_equal(debuginfo_stream_bytes(s), read_body(s, body, 16384));
		debuginfo_stream_rewind(s);
		check_body(body, read_body(s, body, 16384), file, sizes[i]);
		debuginfo_stream_rewind(s);
		check_body(body, read_body(s, body, 997), file, sizes[i]);
		debuginfo_stream_destroy(s);
		/* The bare file, for a signed URL. */
		assert_int_equal(debuginfo_stream_create(fd, sizes[i], NULL, NULL, &s), 0);
		for (size_t times = 0; times < 2; times++) {
			assert_int_equal(debuginfo_stream_bytes(s), sizes[i]);
			assert_int_equal(read_body(s, body, 997), sizes[i]);
			assert_memory_equal(body, file, sizes[i]);
			debuginfo_stream_rewind(s);
		}
		debuginfo_stream_destroy(s);
		free(file);
		close(fd);
	}
	free(body);
	struct debuginfo_stream *s;
	assert_int_equal(debuginfo_stream_create(-1, 0, BUILD_ID, "up", &s), -EBADF);
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(debuginfo_stream_create(pipe_fds[0], 0, BUILD_ID, "up", &s), -EINVAL);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	debuginfo_stream_destroy(NULL);
}

static void test_stream_of_a_file_that_shrinks(void **state)
{
	static uint8_t body[2 * DEBUGINFO_CHUNK_BYTES];
	struct debuginfo_stream *s;
	uint8_t *file;

	(void)state;
	int fd = file_of(DEBUGINFO_CHUNK_BYTES, &file);
	assert_int_equal(debuginfo_stream_create(fd, DEBUGINFO_CHUNK_BYTES, BUILD_ID, "up", &s), 0);
	assert_int_equal(ftruncate(fd, 100), 0);
	int64_t n = debuginfo_stream_read(s, body, sizeof(body));
	assert_true(n > 0 && n < 200); /* the info */
	assert_int_equal(debuginfo_stream_read(s, body, sizeof(body)), -EIO);
	assert_int_equal(debuginfo_stream_read(s, body, sizeof(body)), -EIO);
	debuginfo_stream_destroy(s);
	free(file);
	close(fd);
}

/* ---- one upload ---- */

static int answer(struct debuginfo_upload *u, const struct wire *message)
{
	return debuginfo_upload_answer(u, message->bytes, message->n);
}

static void instruct(struct wire *to, uint64_t strategy)
{
	wire_reset(to);
	size_t at = wire_open(to, 1);
	wire_text(to, 1, BUILD_ID);
	wire_text(to, 2, "up-1");
	wire_number(to, 3, strategy);
	wire_close(to, at);
}

static void assert_step(struct debuginfo_upload *u, enum debuginfo_step step, const char *method)
{
	assert_int_equal(debuginfo_upload_step(u), step);
	if (method)
		assert_string_equal(debuginfo_upload_method(u), method);
	else
		assert_null(debuginfo_upload_method(u));
	assert_true(step == DEBUGINFO_UPLOAD || !debuginfo_upload_stream(u));
}

static void test_steps(void **state)
{
	AUTO_WIRE struct wire reply = {0}, message = {0};
	static uint8_t body[4096];
	struct debuginfo_upload *u;
	uint8_t *file;

	(void)state;
	assert_int_equal(debuginfo_upload_create(BUILD_ID, &u), 0);
	assert_step(u, DEBUGINFO_ASK, "ShouldInitiateUpload");
	assert_int_equal(debuginfo_upload_file(u, -1, 0, ""), -EINVAL);
	assert_int_equal(debuginfo_upload_message(u, &message), 0);
	assert_text(&message, 1, BUILD_ID);
	assert_int_equal(debuginfo_upload_answer(u, "\x0a", 1), -EBADMSG);
	wire_number(&reply, 1, 1);
	assert_int_equal(answer(u, &reply), 0);
	assert_step(u, DEBUGINFO_FILE, NULL);
	assert_int_equal(answer(u, &reply), -EINVAL);
	assert_int_equal(debuginfo_upload_file(u, file_of(1000, &file), 999, "hash"), -EINVAL);
	free(file);
	assert_int_equal(debuginfo_upload_file(u, file_of(1000, &file), 1000, "hash"), 0);
	assert_step(u, DEBUGINFO_INITIATE, "InitiateUpload");
	wire_reset(&message);
	assert_int_equal(debuginfo_upload_message(u, &message), 0);
	assert_int_equal(number_of(&message, 2), 1000);
	assert_text(&message, 3, "hash");
	instruct(&reply, DEBUGINFO_BY_SIGNED_URL);
	assert_int_equal(answer(u, &reply), -EOPNOTSUPP);
	instruct(&reply, 9);
	assert_int_equal(answer(u, &reply), -EOPNOTSUPP);
	assert_int_equal(debuginfo_upload_answer(u, "", 0), -EBADMSG);
	assert_step(u, DEBUGINFO_INITIATE, "InitiateUpload");
	instruct(&reply, DEBUGINFO_BY_GRPC);
	assert_int_equal(answer(u, &reply), 0);
	assert_step(u, DEBUGINFO_UPLOAD, "Upload");
	for (unsigned i = 0; i < 2; i++) /* another try begins anew */
		check_body(body, read_body(debuginfo_upload_stream(u), body, 100), file, 1000);
	assert_int_equal(debuginfo_upload_answer(u, "", 0), 0);
	assert_step(u, DEBUGINFO_FINISH, "MarkUploadFinished");
	wire_reset(&message);
	assert_int_equal(debuginfo_upload_message(u, &message), 0);
	assert_text(&message, 2, "up-1");
	assert_int_equal(debuginfo_upload_answer(u, "", 0), 0);
	assert_step(u, DEBUGINFO_DONE, NULL);
	assert_int_equal(debuginfo_upload_answer(u, "", 0), -EINVAL);
	debuginfo_upload_destroy(u);
	debuginfo_upload_destroy(NULL);
	free(file);
}

static void test_signed_url(void **state)
{
	AUTO_WIRE struct wire reply = {0};
	static uint8_t body[4096];
	struct debuginfo_upload *u;
	uint8_t *file;

	(void)state;
	assert_int_equal(debuginfo_upload_create(BUILD_ID, &u), 0);
	assert_int_equal(debuginfo_upload_answer(u, "\x08\x01", 2), 0);
	assert_int_equal(debuginfo_upload_file(u, file_of(1000, &file), 1000, "hash"), 0);
	assert_null(debuginfo_upload_url(u));
	size_t at = wire_open(&reply, 1);
	wire_text(&reply, 1, BUILD_ID);
	wire_text(&reply, 2, "up-1");
	wire_number(&reply, 3, DEBUGINFO_BY_SIGNED_URL);
	wire_text(&reply, 4, "https://bucket/object?signature");
	wire_close(&reply, at);
	assert_int_equal(answer(u, &reply), 0);
	assert_step(u, DEBUGINFO_UPLOAD, NULL);
	assert_string_equal(debuginfo_upload_url(u), "https://bucket/object?signature");
	assert_int_equal(read_body(debuginfo_upload_stream(u), body, 100), 1000);
	assert_memory_equal(body, file, 1000);
	assert_int_equal(debuginfo_upload_answer(u, NULL, 0), 0);
	assert_step(u, DEBUGINFO_FINISH, "MarkUploadFinished");
	assert_null(debuginfo_upload_url(u));
	debuginfo_upload_destroy(u);
	free(file);
}

static void test_steps_that_end_early(void **state)
{
	struct debuginfo_upload *u;

	(void)state;
	assert_int_equal(debuginfo_upload_create(BUILD_ID, &u), 0);
	assert_int_equal(debuginfo_upload_answer(u, "", 0), 0); /* false: not wanted */
	assert_step(u, DEBUGINFO_DONE, NULL);
	debuginfo_upload_destroy(u);
	assert_int_equal(debuginfo_upload_create(BUILD_ID, &u), 0);
	assert_int_equal(debuginfo_upload_answer(u, "\x08\x01", 2), 0);
	assert_int_equal(debuginfo_upload_file(u, -1, 0, ""), 0);
	assert_step(u, DEBUGINFO_DONE, NULL);
	debuginfo_upload_destroy(u);
}

/* ---- offers ---- */

static struct debuginfo_offers_stats stats_of(const struct debuginfo_offers *o)
{
	struct debuginfo_offers_stats stats;

	debuginfo_offers_stats(o, &stats);
	return stats;
}

static void test_each_once(void **state)
{
	struct profile *p = random_profile(&(struct random_profile){.seed = 1, .n_samples = 10, .n_processes = 2, .depth = 5});
	struct debuginfo_offers *o;
	const char *build_id, *build_ids[8];
	uint32_t number, numbers[8], n = 0;
	uint64_t when;

	(void)state;
	assert_int_equal(debuginfo_offers_create(100, 2, &o), 0);
	assert_int_equal(debuginfo_offers_next(o, 1, &number, &build_id, &when), -ENOENT);
	/* Five files have one; the kernel, [jit] and a file have none. */
	assert_int_equal(debuginfo_offers_add(o, p), 5);
	assert_int_equal(debuginfo_offers_add(o, p), 0);
	for (; n < 2; n++)
		assert_int_equal(debuginfo_offers_next(o, 1, &numbers[n], &build_ids[n], &when), 0);
	assert_string_not_equal(build_ids[0], build_ids[1]);
	assert_int_equal(debuginfo_offers_next(o, 1, &number, &build_id, &when), -EBUSY);
	debuginfo_offers_done(o, numbers[0]);
	debuginfo_offers_done(o, numbers[0]);
	debuginfo_offers_done(o, 99);
	assert_int_equal(stats_of(o).done, 1);
	for (; n < 5; n++) {
		assert_int_equal(debuginfo_offers_next(o, 1, &numbers[n], &build_ids[n], &when), 0);
		debuginfo_offers_done(o, numbers[n]);
	}
	debuginfo_offers_done(o, numbers[1]);
	assert_int_equal(debuginfo_offers_add(o, p), 0);
	assert_int_equal(debuginfo_offers_next(o, 1, &number, &build_id, &when), -ENOENT);
	struct debuginfo_offers_stats stats = stats_of(o);
	assert_true(stats.known == 5 && stats.done == 5 && !stats.waiting && !stats.under_way && !stats.left_out);
	debuginfo_offers_destroy(o);
	profile_free(p);
}

static void test_failures(void **state)
{
	struct profile *p = random_profile(&(struct random_profile){.seed = 1, .n_samples = 10, .n_processes = 2, .depth = 5});
	struct debuginfo_offers *o;
	const char *build_id;
	uint64_t now = NS_PER_S, when = 0, begin = now;
	uint32_t number;

	(void)state;
	assert_int_equal(debuginfo_offers_create(1, 9, &o), 0);
	assert_int_equal(debuginfo_offers_add(o, p), 1);
	assert_int_equal(stats_of(o).left_out, 4);
	/* No fault of its own: at once again, as often as that happens. */
	for (unsigned i = 0; i < 3 * DEBUGINFO_TRIES_MAX; i++) {
		assert_int_equal(debuginfo_offers_next(o, now, &number, &build_id, &when), 0);
		assert_string_equal(debuginfo_offers_build_id(o, number), build_id);
		debuginfo_offers_put_back(o, number);
		assert_true(stats_of(o).waiting == 1 && !stats_of(o).under_way);
	}
	debuginfo_offers_put_back(o, number);
	debuginfo_offers_put_back(o, 77);
	assert_null(debuginfo_offers_build_id(o, 77));
	for (unsigned i = 0; i < DEBUGINFO_TRIES_MAX; i++) {
		assert_int_equal(debuginfo_offers_next(o, now, &number, &build_id, &when), 0);
		debuginfo_offers_failed(o, number, now);
		if (i + 1 == DEBUGINFO_TRIES_MAX)
			break;
		assert_int_equal(debuginfo_offers_next(o, now, &number, &build_id, &when), -EAGAIN);
		assert_true(when >= now + 60 * NS_PER_S && when <= now + 3600 * NS_PER_S);
		now = when;
	}
	assert_true(now - begin < 4 * 3600 * NS_PER_S);
	assert_int_equal(debuginfo_offers_next(o, now, &number, &build_id, &when), -ENOENT);
	assert_int_equal(stats_of(o).given_up, 1);
	debuginfo_offers_failed(o, 77, now);
	debuginfo_offers_destroy(o);
	debuginfo_offers_destroy(NULL);
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_should_initiate),
		cmocka_unit_test(test_instructions),
		cmocka_unit_test(test_scan_of_anything),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_stream_of_a_file_that_shrinks),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_signed_url),
		cmocka_unit_test(test_steps_that_end_early),
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
