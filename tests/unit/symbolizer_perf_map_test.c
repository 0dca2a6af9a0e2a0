/* symbolizer/perf_map.c and growing_file.c: written texts, files that grow and are replaced, garbage. */
#include "symbolizer/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

#define ALL (1u << 30)

struct fixture {
	int fd;
	struct perf_map map;
	struct jit_table *table;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_create("map", MFD_CLOEXEC);
	*state = f;
	return jit_table_create(&f->table);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	jit_table_destroy(f->table);
	free(f);
	return 0;
}

static void append(struct fixture *f, const char *text)
{
	lseek(f->fd, 0, SEEK_END);
	assert_int_equal(write(f->fd, text, strlen(text)), strlen(text));
}

/* As jit_names.c reads: a file that is another one is read again. */
static int read_on(struct fixture *f, uint64_t budget_bytes)
{
	bool anew = false;
	int err = perf_map_read(&f->map, f->fd, budget_bytes, f->table, &anew);

	if (!anew)
		return err;
	jit_table_clear(f->table);
	f->map.entries = f->map.bad_lines = 0;
	err = perf_map_read(&f->map, f->fd, budget_bytes, f->table, &anew);
	assert_false(anew);
	return err;
}

static const char *name_at(struct fixture *f, uint64_t pc)
{
	struct jit_match match;

	return jit_table_find(f->table, pc, &match) == 0 ? match.name : "-";
}

static void the_forms_that_runtimes_write(void **state)
{
	struct fixture *f = *state;

	append(f, "7f0000001000 40 LazyCompile:*fib /app/x y.js:3:13\n"
		  "0x7f0000002000 0x20 java.lang.String::hashCode()\r\n"
		  "0X7F0000003000  A \t py::f:/a.py  \n"
		  "\n"
		  "7f0000001020 10 inner\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_string_equal(name_at(f, 0x7f0000001000), "LazyCompile:*fib /app/x y.js:3:13");
	assert_string_equal(name_at(f, 0x7f000000101f), "LazyCompile:*fib /app/x y.js:3:13");
	assert_string_equal(name_at(f, 0x7f0000001020), "inner");
	assert_string_equal(name_at(f, 0x7f0000001030), "LazyCompile:*fib /app/x y.js:3:13");
	assert_string_equal(name_at(f, 0x7f0000001040), "-");
	assert_string_equal(name_at(f, 0x7f000000201f), "java.lang.String::hashCode()");
	assert_string_equal(name_at(f, 0x7f0000003009), "py::f:/a.py");
	assert_int_equal(f->map.entries, 4);
	assert_int_equal(f->map.bad_lines, 0);
}

static void garbage_is_counted(void **state)
{
	struct fixture *f = *state;

	append(f, "hello\n1000\n1000 \n1000 10\n1000 10 \n1000 0 nothing\nffffffffffffffff 10 wrap\n"
		  "11112222333344445 10 wide\n1000 100000000 long\n0x 10 x\n1000,10,x\n-1 10 x\n 1000 10 x\n2000 10 good\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_int_equal(f->map.entries, 1);
	assert_int_equal(f->map.bad_lines, 13);
	assert_string_equal(name_at(f, 0x2000), "good");
	assert_string_equal(name_at(f, 0x1000), "-");
}

static void a_growing_file_is_read_on(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_on(f, ALL), 0);
	append(f, "1000 10 one\n2000 10 tw");
	assert_int_equal(read_on(f, ALL), 0);
	assert_string_equal(name_at(f, 0x1000), "one");
	assert_string_equal(name_at(f, 0x2000), "-");
	append(f, "o");
	assert_int_equal(read_on(f, ALL), 0);
	assert_string_equal(name_at(f, 0x2000), "-");
	append(f, "\n3000 10 three\n1008 8 four\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_string_equal(name_at(f, 0x2000), "two");
	assert_string_equal(name_at(f, 0x3000), "three");
	assert_string_equal(name_at(f, 0x100f), "four");
	assert_int_equal(f->map.entries, 4);
}

static void truncated_rewritten_and_replaced_files_are_read_anew(void **state)
{
	struct fixture *f = *state;

	append(f, "1000 10 one\n2000 10 two\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	append(f, "3000 10 three\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_string_equal(name_at(f, 0x1000), "-");
	assert_string_equal(name_at(f, 0x3000), "three");
	/* In place, and longer than before: as jcmd PID Compiler.perfmap does. */
	assert_int_equal(ftruncate(f->fd, 0), 0);
	append(f, "4000 10 four\n3000 20 three_again\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_string_equal(name_at(f, 0x4000), "four");
	assert_string_equal(name_at(f, 0x301f), "three_again");
	assert_int_equal(f->map.entries, 2);
	close(f->fd);
	f->fd = memfd_create("map", MFD_CLOEXEC);
	append(f, "4000 10 four\n3000 20 three_again\n5000 10 five\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_int_equal(f->map.entries, 3);
}

static void a_call_has_its_budget(void **state)
{
	struct fixture *f = *state;
	char line[64];
	int calls = 0, more;

	for (unsigned i = 0; i < 20000; i++) {
		snprintf(line, sizeof(line), "%x 10 function_%u\n", 0x1000 + 16 * i, i);
		append(f, line);
	}
	while ((more = read_on(f, PERF_MAP_LINE_MAX)) == 1)
		calls++;
	assert_int_equal(more, 0);
	assert_true(calls > 2);
	assert_int_equal(f->map.entries, 20000);
	assert_string_equal(name_at(f, 0x1000 + 16 * 777), "function_777");
}

static void long_lines_are_left_out(void **state)
{
	struct fixture *f = *state;
	size_t n = 3 * PERF_MAP_LINE_MAX + 17;
	char *line = malloc(n + 1);

	memset(line, 'x', n);
	line[n] = 0;
	append(f, "1000 10 one\n");
	append(f, line);
	assert_int_equal(read_on(f, ALL), 0);
	append(f, line);
	append(f, "\n2000 10 two\n");
	assert_int_equal(read_on(f, ALL), 0);
	assert_string_equal(name_at(f, 0x1000), "one");
	assert_string_equal(name_at(f, 0x2000), "two");
	assert_int_equal(f->map.bad_lines, 1);
	free(line);
}

static void what_is_no_map(void **state)
{
	struct fixture *f = *state;
	int fds[2], keep = f->fd;

	assert_int_equal(ftruncate(f->fd, PERF_MAP_MAX_BYTES + 1), 0);
	assert_int_equal(read_on(f, ALL), -EFBIG);
	assert_int_equal(pipe(fds), 0);
	f->fd = fds[0];
	assert_int_equal(read_on(f, ALL), -EINVAL);
	f->fd = -1;
	assert_int_equal(read_on(f, ALL), -EBADF);
	f->fd = keep;
	close(fds[0]);
	close(fds[1]);
	/* A sparse file is one long line. */
	assert_int_equal(ftruncate(f->fd, PERF_MAP_MAX_BYTES), 0);
	assert_int_equal(read_on(f, ALL), 0);
	assert_int_equal(f->map.bad_lines, 1);
}

static void damage(void **state)
{
	static const char TEXT[] = "1000 10 one\n0x2000 0x20 two words\r\n1008 8 three\n30000000 ffffffff long\n5000 1 _ZN1a1bEv\n";
	struct fixture *f = *state;
	unsigned seed = 11;

	for (int round = 0; round < 4000; round++) {
		char text[sizeof(TEXT)];
		memcpy(text, TEXT, sizeof(TEXT));
		for (int flips = 1 + rand_r(&seed) % 5; flips > 0; flips--)
			text[(size_t)rand_r(&seed) % (sizeof(TEXT) - 1)] ^= (char)(1 << (rand_r(&seed) % 8));
		size_t cut = 1 + (size_t)rand_r(&seed) % (sizeof(TEXT) - 1);
		assert_int_equal(ftruncate(f->fd, 0), 0);
		assert_int_equal(pwrite(f->fd, text, cut, 0), cut);
		assert_int_equal(read_on(f, ALL), 0);
		assert_int_equal(pwrite(f->fd, text + cut, sizeof(TEXT) - 1 - cut, (off_t)cut), sizeof(TEXT) - 1 - cut);
		assert_int_equal(read_on(f, ALL), 0);
		for (uint64_t pc = 0xff0; pc < 0x1020; pc++)
			name_at(f, pc);
	}
}

static void ten_mebibytes(void **state)
{
	struct fixture *f = *state;
	struct timespec before, after;
	uint64_t bytes = 0;
	FILE *file = fdopen(dup(f->fd), "w");

	for (unsigned i = 0; bytes < 10 << 20; i++)
		bytes += (uint64_t)fprintf(file, "7f%010x %x LazyCompile:*someFunction%u /app/node_modules/package/lib/file%u.js:%u:13\n",
					   0x1000 + 0x140 * i, 0x100 + i % 64, i % 40000, i % 97, i % 4000);
	fclose(file);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	assert_int_equal(read_on(f, ALL), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	print_message("%lu bytes, %lu entries: %.1f ms CPU, %zu bytes held\n", bytes, f->map.entries,
		      (double)(after.tv_sec - before.tv_sec) * 1e3 + (double)(after.tv_nsec - before.tv_nsec) / 1e6,
		      jit_table_bytes(f->table));
	assert_int_equal(f->map.bad_lines + f->map.refused, 0);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILE(the_forms_that_runtimes_write),
		WITH_FILE(garbage_is_counted),
		WITH_FILE(a_growing_file_is_read_on),
		WITH_FILE(truncated_rewritten_and_replaced_files_are_read_anew),
		WITH_FILE(a_call_has_its_budget),
		WITH_FILE(long_lines_are_left_out),
		WITH_FILE(what_is_no_map),
		WITH_FILE(damage),
		WITH_FILE(ten_mebibytes),
	};
	return cmocka_run_group_tests_name("symbolizer/perf_map", tests, NULL, NULL);
}
