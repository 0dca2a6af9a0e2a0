#include "agent/proc_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

static int parse(const char *text, struct proc_mapping *mapping_out)
{
	static char line[8192];

	snprintf(line, sizeof(line), "%s", text);
	return proc_maps_parse(line, mapping_out);
}

static void good_lines(void **state)
{
	struct proc_mapping m;

	(void)state;
	assert_int_equal(parse("55a4-55b5 r-xp 00002000 08:1f 123456                  /usr/bin/my app\n", &m), 0);
	assert_true(m.start == 0x55a4 && m.end == 0x55b5 && m.file_offset == 0x2000 && m.executable);
	assert_true(m.dev_major == 8 && m.dev_minor == 0x1f && m.inode == 123456);
	assert_string_equal(m.path, "/usr/bin/my app");
	assert_int_equal(parse("7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n", &m), 0);
	assert_false(m.executable);
	assert_string_equal(m.path, "");
	assert_int_equal(parse("1000-2000 r-xs 0 0:0 0", &m), 0);
	assert_int_equal(parse("1000-2000 --xp 0 0:0 5 /a\\012b (deleted)\n", &m), 0);
	assert_string_equal(m.path, "/a\nb (deleted)");
	assert_int_equal(parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n", &m), 0);
	assert_string_equal(m.path, "[vsyscall]");
}

static void damaged_lines(void **state)
{
	static const char *const BAD[] = {
		"", "\n", "x", "1000", "1000-", "1000-2000", "1000-2000 ", "1000-2000 r-xp", "1000-2000 r-xp 0",
		"1000-2000 r-xp 0 8:1", "1000-2000 r-xp 0 8:1 ", "2000-1000 r-xp 0 8:1 5 /x", "1000-1000 r-xp 0 8:1 5 /x",
		"11111111111111111-2 r-xp 0 8:1 5 /x", "1000-2000 rqqp 0 8:1 5 /x", "1000-2000 r-xp zz 8:1 5 /x",
		"1000-2000 r-xp 0 8-1 5 /x", "1000-2000 r-xp 0 8:1 5x /x", "1000-2000 r-xp 0 111111111:1 5 /x",
		"1000-2000 r-xp 0 8:1 99999999999999999999999 /x", "-1000-2000 r-xp 0 8:1 5 /x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		struct proc_mapping m;
		assert_int_equal(parse(BAD[i], &m), -EBADMSG);
	}
}

static int count(void *context, const struct proc_mapping *mapping)
{
	assert_true(mapping->executable);
	++*(int *)context;
	return 0;
}

static int refuse(void *context, const struct proc_mapping *mapping)
{
	(void)context;
	(void)mapping;
	return -ENOSPC;
}

static void this_process(void **state)
{
	uint64_t bad = 99;
	int n = 0;

	(void)state;
	assert_int_equal(proc_maps_read(getpid(), count, &n, &bad), 0);
	assert_true(n >= 3); /* the program, libc, the vDSO */
	assert_int_equal(bad, 0);
	assert_int_equal(proc_maps_read(getpid(), refuse, &n, NULL), -ENOSPC);
	assert_int_equal(proc_maps_read(5000000, count, &n, NULL), -ESRCH);
}

struct range {
	uint64_t start, end;
	int n;
};

/* A checker like valgrind maps and unmaps code of its own meanwhile. */
static int count_within(void *context, const struct proc_mapping *mapping)
{
	struct range *range = context;

	range->n += mapping->start >= range->start && mapping->end <= range->end;
	return 0;
}

static void many_mappings(void **state)
{
	enum { N = 5000 };
	char *pages = mmap(NULL, (N * 2 + 1) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(pages != MAP_FAILED);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(mprotect(pages + (i * 2 + 1) * 4096, 4096, PROT_READ | PROT_EXEC), 0);
	struct range range = {(uint64_t)(uintptr_t)pages, (uint64_t)(uintptr_t)pages + (N * 2 + 1) * 4096, 0};
	assert_int_equal(proc_maps_read(getpid(), count_within, &range, NULL), 0);
	assert_int_equal(range.n, N);
	munmap(pages, (N * 2 + 1) * 4096);
}

static void stat_lines(void **state)
{
	struct proc_stat s;

	(void)state;
	assert_int_equal(proc_stat_parse("42 (a) R 1 (b) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2", &s), 0);
	assert_string_equal(s.comm, "a) R 1 (b");
	assert_int_equal(s.parent, 7);
	assert_int_equal(s.start_ticks, 987654);
	assert_false(s.is_kernel_thread);
	assert_int_equal(proc_stat_parse("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0", &s), 0);
	assert_true(s.is_kernel_thread);
	assert_int_equal(proc_stat_parse("42 (a) R 1", &s), -EBADMSG);
	assert_int_equal(proc_stat_parse("42 a R 1", &s), -EBADMSG);
	assert_int_equal(proc_stat_parse(")(", &s), -EBADMSG);
	assert_int_equal(proc_stat_parse("", &s), -EBADMSG);
	assert_int_equal(proc_stat_read(getpid(), &s), 0);
	assert_int_equal(s.parent, getppid());
	assert_int_equal(proc_stat_read(5000000, &s), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines),	 cmocka_unit_test(damaged_lines), cmocka_unit_test(this_process),
		cmocka_unit_test(many_mappings), cmocka_unit_test(stat_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
