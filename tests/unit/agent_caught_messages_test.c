#include "agent/caught_messages.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

/* Standard error is a pipe here, to see what is given back. */
static int stand_in(int *before)
{
	int ends[2];

	fflush(stderr);
	*before = dup(STDERR_FILENO);
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	return ends[0];
}

static void end_stand_in(int fd, int before)
{
	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	close(before);
	close(fd);
}

static void caught_and_given_back(void **state)
{
	struct caught_messages c;
	char got[256] = "";
	int before, fd = stand_in(&before);

	(void)state;
	assert_int_equal(caught_messages_begin(&c), 0);
	const char *nothing = caught_messages_read(&c);
	fprintf(stderr, "hearth: one\nhearth: two\n");
	const char *last = caught_messages_read(&c);
	ssize_t early = read(fd, got, sizeof(got) - 1);
	char line[64];
	snprintf(line, sizeof(line), "%s", last ? last : "");
	caught_messages_end(&c);
	ssize_t n = read(fd, got, sizeof(got) - 1);
	end_stand_in(fd, before);
	assert_null(nothing);
	assert_string_equal(line, "hearth: two");
	assert_int_equal(early, -1);
	assert_true(n > 0);
	assert_string_equal(got, "hearth: one\nhearth: two\n");
}

/* However much is written: nobody waits, and the last of it is kept. */
static void more_than_fits(void **state)
{
	static char got[4 * CAUGHT_MESSAGES_BYTES];
	struct caught_messages c;
	int before, fd = stand_in(&before);
	char line[64] = "";

	(void)state;
	assert_int_equal(caught_messages_begin(&c), 0);
	for (int i = 0; i < 20000; i++)
		dprintf(STDERR_FILENO, "line %d\n", i);
	const char *last = caught_messages_read(&c);
	bool has_last = last != NULL;
	dprintf(STDERR_FILENO, "the end\n");
	last = caught_messages_read(&c);
	snprintf(line, sizeof(line), "%s", last ? last : "");
	caught_messages_end(&c);
	ssize_t n = read(fd, got, sizeof(got) - 1);
	end_stand_in(fd, before);
	assert_true(has_last);
	assert_string_equal(line, "the end");
	assert_int_equal(n, CAUGHT_MESSAGES_BYTES);
	assert_non_null(strstr(got, "the end\n"));
}

static void never_begun(void **state)
{
	struct caught_messages c = {.stderr_fd = -1, .fd = -1};

	(void)state;
	assert_null(caught_messages_read(&c));
	caught_messages_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(caught_and_given_back), cmocka_unit_test(more_than_fits), cmocka_unit_test(never_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
