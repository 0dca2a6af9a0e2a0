/* server-upload/upload_protocol.c: what is asked of the agent and what it answers. */
#include "server-upload/upload_protocol.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static int check(enum upload_message kind, const void *payload, size_t n, size_t n_fds)
{
	struct message m = {.head = {.kind = (uint16_t)kind, .payload_bytes = n}, .payload = payload, .n_fds = n_fds};

	return upload_message_check(&m);
}

static int check_want(const char *build_id)
{
	struct upload_want want = {.build_id = ""};

	memcpy(want.build_id, build_id, strlen(build_id));
	return check(UPLOAD_WANT, &want, sizeof(want), 0);
}

static void questions(void **state)
{
	struct upload_want want;
	char longest[UPLOAD_BUILD_ID_MAX + 3];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[UPLOAD_BUILD_ID_MAX] = '\0';
	assert_int_equal(check_want("00112233"), 0);
	assert_int_equal(check_want(longest), 0);
	longest[UPLOAD_BUILD_ID_MAX] = 'a';
	longest[UPLOAD_BUILD_ID_MAX + 2] = '\0';
	assert_int_equal(check_want(longest), -EBADMSG);
	assert_int_equal(check_want(""), -EBADMSG);
	assert_int_equal(check_want("001122"), -EBADMSG);
	assert_int_equal(check_want("001122334"), -EBADMSG);
	assert_int_equal(check_want("00112233AA"), -EBADMSG);
	assert_int_equal(check_want("../../../x"), -EBADMSG);
	memset(&want, '0', sizeof(want)); /* no end */
	assert_int_equal(check(UPLOAD_WANT, &want, sizeof(want), 0), -EBADMSG);
	assert_int_equal(check(UPLOAD_WANT, &want, sizeof(want) - 1, 0), -EBADMSG);
	assert_int_equal(check(UPLOAD_WANT, &want, sizeof(want), 1), -EBADMSG);
}

static void answers(void **state)
{
	const struct upload_file good = {.build_id = "00112233", .hash = "00ff", .bytes = 1};
	struct upload_file file = good;

	(void)state;
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 1), 0);
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 0), -EBADMSG);
	file.bytes = UPLOAD_FILE_BYTES;
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 1), 0);
	file.bytes = UPLOAD_FILE_BYTES + 1;
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 1), -EBADMSG);
	file.bytes = 0;
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 1), -EBADMSG);
	file = good;
	file.hash[0] = '\0';
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 1), -EBADMSG);
	file.result = -ENOENT;
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 0), 0);
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 1), -EBADMSG);
	file.result = 1;
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 0), -EBADMSG);
	file.result = -5000;
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 0), -EBADMSG);
	file.result = -ENOENT;
	file.build_id[0] = 'x';
	assert_int_equal(check(UPLOAD_FILE, &file, sizeof(file), 0), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(questions), cmocka_unit_test(answers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
