/* agent/address_reader.c: addresses as people and programs write them. */
#include "tests/unit/cmocka_prelude.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/address_reader.h"

static void texts(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t address;
	} cases[] = {
		{"1234", true, 0x1234}, {"0x1234", true, 0x1234}, {"0X00aBcD", true, 0xabcd}, {"  12\t\r\n", true, 0x12}, {"0", true, 0},
		{"ffffffffffffffff", true, UINT64_MAX}, {"0000000000ffffffffffffffff", true, UINT64_MAX},
		{"10000000000000000", false, 0}, {"", false, 0}, {"  ", false, 0}, {"0x", false, 0}, {"xyz", false, 0}, {"12 34", false, 0},
		{"-1", false, 0}, {"+1", false, 0}, {"12g", false, 0}, {"main+0x12", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t address = 99;
		assert_int_equal(address_parse(cases[i].text, &address), cases[i].good);
		assert_int_equal(address, cases[i].good ? cases[i].address : 99);
	}
}

static void writes(int fd, const char *text, size_t bytes)
{
	assert_int_equal(write(fd, text, bytes), bytes);
}

/* One question, one answer, the writer waiting in between. */
static void one_by_one(void **state)
{
	const struct asked_address *asked;
	struct address_reader *r;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(address_reader_create(fds[0], &r), 0);
	writes(fds[1], "0x12\n", 5);
	assert_int_equal(address_reader_next(r, &asked), 1);
	assert_int_equal(asked[0].address, 0x12);
	assert_false(asked[0].is_bad);
	assert_false(address_reader_is_done(r));
	writes(fds[1], "3\nnot\n4", 7);
	assert_int_equal(address_reader_next(r, &asked), 2);
	assert_int_equal(asked[0].address, 3);
	assert_true(asked[1].is_bad);
	/* The last line has no end. */
	close(fds[1]);
	assert_int_equal(address_reader_next(r, &asked), 1);
	assert_int_equal(asked[0].address, 4);
	assert_true(address_reader_is_done(r));
	assert_int_equal(address_reader_next(r, &asked), 0);
	address_reader_destroy(r);
	address_reader_destroy(NULL);
	close(fds[0]);
}

static void many_at_once(void **state)
{
	const struct asked_address *asked;
	struct address_reader *r;
	FILE *file = tmpfile();

	(void)state;
	for (uint64_t i = 0; i < ADDRESS_BATCH_MAX + 10; i++)
		fprintf(file, "%jx\n", (uintmax_t)i);
	fflush(file);
	lseek(fileno(file), 0, SEEK_SET);
	assert_int_equal(address_reader_create(fileno(file), &r), 0);
	assert_int_equal(address_reader_next(r, &asked), ADDRESS_BATCH_MAX);
	for (uint64_t i = 0; i < ADDRESS_BATCH_MAX; i++)
		assert_int_equal(asked[i].address, i);
	assert_int_equal(address_reader_next(r, &asked), 10);
	assert_int_equal(asked[9].address, ADDRESS_BATCH_MAX + 9);
	address_reader_destroy(r);
	fclose(file);
}

static void odd_lines(void **state)
{
	static const char text[] = "1\0002\n\n5\r\n";
	const struct asked_address *asked;
	struct address_reader *r;
	FILE *file = tmpfile();

	(void)state;
	fwrite(text, 1, sizeof(text) - 1, file);
	for (int i = 0; i < 100000; i++)
		fputc('0', file);
	fputs("\n6\n", file);
	fflush(file);
	lseek(fileno(file), 0, SEEK_SET);
	assert_int_equal(address_reader_create(fileno(file), &r), 0);
	assert_int_equal(address_reader_next(r, &asked), 5);
	assert_true(asked[0].is_bad && asked[1].is_bad && asked[3].is_bad);
	assert_int_equal(asked[2].address, 5);
	assert_int_equal(asked[4].address, 6);
	address_reader_destroy(r);
	fclose(file);
}

static void errors(void **state)
{
	const struct asked_address *asked;
	struct address_reader *r;

	(void)state;
	assert_int_equal(address_reader_create(-1, &r), 0);
	assert_int_equal(address_reader_next(r, &asked), -EBADF);
	address_reader_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),     cmocka_unit_test(one_by_one), cmocka_unit_test(many_at_once),
		cmocka_unit_test(odd_lines), cmocka_unit_test(errors),
	};
	return cmocka_run_group_tests_name("agent/address_reader", tests, NULL, NULL);
}
