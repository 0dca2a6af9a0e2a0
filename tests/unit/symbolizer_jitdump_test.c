/* symbolizer/jitdump.c: written records, files that grow, damage. */
#include "symbolizer/jitdump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

#define ALL	(1u << 30)
#define MAGIC	0x4a695444u
#define LOAD	0
#define MOVE	1
#define LINES	2
#define CLOSE	3
#define UNWINDING 4

struct fixture {
	int fd;
	struct jitdump dump;
	struct jit_table *table;
	uint8_t bytes[8192]; /* the record at hand */
	size_t n;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_create("dump", MFD_CLOEXEC);
	*state = f;
	return jit_table_create(&f->table);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	jitdump_deinit(&f->dump);
	jit_table_destroy(f->table);
	free(f);
	return 0;
}

static void put(struct fixture *f, uint64_t value, size_t bytes)
{
	memcpy(f->bytes + f->n, &value, bytes);
	f->n += bytes;
}

static void put_text(struct fixture *f, const char *text)
{
	memcpy(f->bytes + f->n, text, strlen(text) + 1);
	f->n += strlen(text) + 1;
}

static void write_out(struct fixture *f)
{
	lseek(f->fd, 0, SEEK_END);
	assert_int_equal(write(f->fd, f->bytes, f->n), f->n);
	f->n = 0;
}

static void header(struct fixture *f, uint32_t magic, uint32_t version, uint32_t bytes, uint64_t flags)
{
	put(f, magic, 4);
	put(f, version, 4);
	put(f, bytes, 4);
	put(f, 62, 4);
	put(f, 0, 4);
	put(f, 77, 4);
	put(f, 5, 8);
	put(f, flags, 8);
	for (uint32_t i = 40; i < bytes; i++)
		put(f, 0, 1);
	write_out(f);
}

static void begin(struct fixture *f, uint32_t id, uint64_t time_ns)
{
	put(f, id, 4);
	put(f, 0, 4);
	put(f, time_ns, 8);
}

static void end(struct fixture *f)
{
	uint32_t bytes = (uint32_t)f->n;

	memcpy(f->bytes + 4, &bytes, 4);
	write_out(f);
}

static void load(struct fixture *f, uint64_t time_ns, uint64_t start, uint64_t bytes, const char *name)
{
	begin(f, LOAD, time_ns);
	put(f, 77, 4);
	put(f, 78, 4);
	put(f, start, 8);
	put(f, start, 8);
	put(f, bytes, 8);
	put(f, 1, 8);
	put_text(f, name);
	for (uint64_t i = 0; i < bytes && i < 64; i++)
		put(f, 0xcc, 1);
	end(f);
}

static void move(struct fixture *f, uint64_t time_ns, uint64_t old_start, uint64_t new_start, uint64_t bytes)
{
	begin(f, MOVE, time_ns);
	put(f, 77, 4);
	put(f, 78, 4);
	put(f, new_start, 8);
	put(f, old_start, 8);
	put(f, new_start, 8);
	put(f, bytes, 8);
	put(f, 1, 8);
	end(f);
}

static void lines(struct fixture *f, uint64_t start, uint64_t shift)
{
	begin(f, LINES, 10);
	put(f, start, 8);
	put(f, 3, 8);
	put(f, start + shift + 8, 8); /* not in order */
	put(f, 12, 4);
	put(f, 0, 4);
	put_text(f, "/app/a.js");
	put(f, start + shift, 8);
	put(f, 10, 4);
	put(f, 0, 4);
	put_text(f, "\xff");
	put(f, start + shift + 16, 8);
	put(f, 99, 4);
	put(f, 0, 4);
	put_text(f, "/app/b.js");
	end(f);
}

static int read_on(struct fixture *f)
{
	bool anew = false;
	int err = jitdump_read(&f->dump, f->fd, ALL, f->table, &anew);

	if (!anew)
		return err;
	jit_table_clear(f->table);
	err = jitdump_read(&f->dump, f->fd, ALL, f->table, &anew);
	assert_false(anew);
	return err;
}

static struct jit_match match_at(struct fixture *f, uint64_t time_ns, uint64_t pc)
{
	struct jit_match match = {.name = "-", .file = "-"};

	jit_table_advance(f->table, time_ns);
	jit_table_find(f->table, pc, &match);
	return match;
}

static const char *name_at(struct fixture *f, uint64_t time_ns, uint64_t pc)
{
	return match_at(f, time_ns, pc).name;
}

static void records_of_all_kinds(void **state)
{
	struct fixture *f = *state;

	header(f, MAGIC, 1, 48, 0);
	load(f, 10, 0x1000, 32, "first");
	begin(f, UNWINDING, 15);
	for (int i = 0; i < 8; i++)
		put(f, 0, 8);
	end(f);
	load(f, 20, 0x1000, 64, "second");
	move(f, 30, 0x1000, 0x5000, 64);
	begin(f, 1234, 31); /* of a later version */
	end(f);
	load(f, 40, 0x1000, 64, "third");
	begin(f, CLOSE, 50);
	end(f);
	assert_int_equal(read_on(f), 0);
	assert_int_equal(f->dump.records, 7);
	assert_int_equal(f->dump.bad_records + f->dump.refused, 0);
	assert_string_equal(name_at(f, 12, 0x101f), "first");
	assert_string_equal(name_at(f, 12, 0x1020), "-");
	assert_string_equal(name_at(f, 25, 0x103f), "second");
	assert_string_equal(name_at(f, 30, 0x503f), "second");
	assert_string_equal(name_at(f, UINT64_MAX, 0x1000), "third");
}

static void source_lines(void **state)
{
	struct fixture *f = *state;

	header(f, MAGIC, 1, 40, 0);
	lines(f, 0x1000, 0);
	load(f, 10, 0x1000, 32, "plain");
	lines(f, 0x2000, 0x40); /* as V8 and LLVM write them */
	load(f, 10, 0x2000, 32, "shifted");
	lines(f, 0x3000, 0);
	load(f, 10, 0x4000, 32, "other"); /* the lines are of other code */
	load(f, 10, 0x3000, 32, "too_late");
	assert_int_equal(read_on(f), 0);
	assert_int_equal(f->dump.bad_records, 0);
	for (uint64_t start = 0x1000; start <= 0x2000; start += 0x1000) {
		assert_int_equal(match_at(f, 10, start).line, 10);
		assert_string_equal(match_at(f, 10, start + 7).file, "/app/a.js");
		assert_int_equal(match_at(f, 10, start + 9).line, 12);
		assert_int_equal(match_at(f, 10, start + 31).line, 99);
		assert_string_equal(match_at(f, 10, start + 31).file, "/app/b.js");
	}
	assert_int_equal(match_at(f, 10, 0x4000).line, 0);
	assert_int_equal(match_at(f, 10, 0x3000).line, 0);
}

static void a_growing_file_is_read_on(void **state)
{
	struct fixture *f = *state;
	static uint8_t whole[4096];

	header(f, MAGIC, 1, 40, 0);
	lines(f, 0x1000, 0);
	load(f, 10, 0x1000, 32, "one");
	load(f, 20, 0x2000, 32, "two");
	off_t n = lseek(f->fd, 0, SEEK_END);
	assert_int_equal(pread(f->fd, whole, sizeof(whole), 0), n);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	/* A byte at a time. */
	for (off_t i = 0; i < n; i++) {
		assert_int_equal(pwrite(f->fd, whole + i, 1, i), 1);
		assert_int_equal(read_on(f), 0);
	}
	assert_int_equal(f->dump.records, 3);
	assert_string_equal(name_at(f, 20, 0x1000), "one");
	assert_int_equal(match_at(f, 20, 0x1000).line, 10);
	assert_string_equal(name_at(f, 20, 0x2000), "two");
	/* Another process's dump in its place. */
	assert_int_equal(ftruncate(f->fd, 0), 0);
	header(f, MAGIC, 1, 40, 0);
	load(f, 10, 0x9000, 32, "three");
	assert_int_equal(read_on(f), 0);
	assert_string_equal(name_at(f, 20, 0x9000), "three");
	assert_string_equal(name_at(f, 20, 0x1000), "-");
}

static void another_clock_is_no_time(void **state)
{
	struct fixture *f = *state;
	uint64_t future_ns = UINT64_MAX / 2;

	header(f, MAGIC, 1, 40, 0);
	assert_int_equal(pwrite(f->fd, &future_ns, 8, 24), 8);
	load(f, 1ull << 60, 0x1000, 32, "one");
	assert_int_equal(read_on(f), 0);
	assert_string_equal(name_at(f, 1, 0x1000), "one");
}

static void the_cpus_counter_is_no_time(void **state)
{
	struct fixture *f = *state;

	header(f, MAGIC, 1, 40, 1);
	load(f, 1ull << 60, 0x1000, 32, "one");
	assert_int_equal(read_on(f), 0);
	assert_string_equal(name_at(f, 1, 0x1000), "one");
}

static int read_header(struct fixture *f, uint32_t magic, uint32_t version, uint32_t bytes)
{
	assert_int_equal(ftruncate(f->fd, 0), 0);
	header(f, magic, version, bytes, 0);
	int err = read_on(f);
	close(f->fd);
	f->fd = memfd_create("dump", MFD_CLOEXEC);
	return err;
}

static void what_is_no_dump(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_on(f), 0);
	assert_int_equal(read_header(f, MAGIC, 1, 40), 0);
	assert_int_equal(read_header(f, 0x4454694a, 1, 40), -EOPNOTSUPP);
	assert_int_equal(read_header(f, MAGIC, 2, 40), -EOPNOTSUPP);
	assert_int_equal(read_header(f, 0x464c457f, 1, 40), -EBADMSG);
	assert_int_equal(read_header(f, MAGIC, 1, 39), -EBADMSG);
	assert_int_equal(read_header(f, MAGIC, 1, 5000), -EBADMSG);
	assert_int_equal(read_header(f, MAGIC, 1, 4096), 0);
	assert_int_equal(ftruncate(f->fd, JITDUMP_MAX_BYTES + 1), 0);
	assert_int_equal(read_on(f), -EFBIG);
	int keep = f->fd;
	f->fd = -1;
	assert_int_equal(read_on(f), -EBADF);
	f->fd = keep;
}

static void damaged_records(void **state)
{
	struct fixture *f = *state;

	header(f, MAGIC, 1, 40, 0);
	load(f, 1, UINT64_MAX - 8, 32, "wraps");
	load(f, 1, 0x1000, 0, "empty");
	load(f, 1, 0x1000, 1ull << 32, "huge");
	load(f, 1, 0x1000, 16, "");
	begin(f, LOAD, 1); /* ends before its name does */
	for (int i = 0; i < 5; i++)
		put(f, 0x41414141, 8);
	end(f);
	begin(f, MOVE, 1);
	put(f, 1, 8);
	end(f);
	begin(f, LINES, 1);
	put(f, 0x1000, 8);
	put(f, UINT64_MAX, 8);
	end(f);
	begin(f, LINES, 1); /* an address before the code */
	put(f, 0x1000, 8);
	put(f, 1, 8);
	put(f, 0xfff, 8);
	put(f, 1, 8);
	put_text(f, "a.js");
	end(f);
	begin(f, LINES, 1); /* a name without an end */
	put(f, 0x1000, 8);
	put(f, 1, 8);
	put(f, 0x1000, 8);
	put(f, 1, 8);
	put(f, 'x', 1);
	end(f);
	assert_int_equal(read_on(f), 0);
	assert_int_equal(f->dump.records, 9);
	assert_int_equal(f->dump.bad_records, 9);
	load(f, 1, 0x7000, 16, "good");
	begin(f, LOAD, 1);
	write_out(f); /* a length of 0: nothing can follow */
	load(f, 1, 0x8000, 16, "behind");
	assert_int_equal(read_on(f), -EBADMSG);
	assert_int_equal(read_on(f), -EBADMSG);
	assert_string_equal(name_at(f, 9, 0x7000), "good");
	assert_string_equal(name_at(f, 9, 0x8000), "-");
}

static void too_many_lines_are_refused(void **state)
{
	struct fixture *f = *state;
	uint32_t bytes = JITDUMP_RECORD_MAX + 100;

	header(f, MAGIC, 1, 40, 0);
	begin(f, LINES, 1);
	memcpy(f->bytes + 4, &bytes, 4);
	put(f, 0x1000, 8);
	put(f, 1, 8);
	write_out(f);
	assert_int_equal(ftruncate(f->fd, 40 + bytes), 0);
	load(f, 1, 0x1000, 16, "good");
	assert_int_equal(read_on(f), 0);
	assert_int_equal(f->dump.refused, 1);
	assert_string_equal(name_at(f, 9, 0x1000), "good");
}

static void damage(void **state)
{
	struct fixture *f = *state;
	static uint8_t whole[4096], copy[4096];
	unsigned seed = 5;

	header(f, MAGIC, 1, 40, 0);
	for (uint64_t i = 0; i < 8; i++) {
		lines(f, 0x1000 * (i + 1), i & 1 ? 0x40 : 0);
		load(f, 10 * i, 0x1000 * (i + 1), 48, "function");
		if (i & 1)
			move(f, 10 * i, 0x1000 * i, 0x9000, 48);
	}
	size_t n = (size_t)lseek(f->fd, 0, SEEK_END);
	assert_int_equal(pread(f->fd, whole, sizeof(whole), 0), n);
	for (int round = 0; round < 4000; round++) {
		memcpy(copy, whole, n);
		for (int flips = 1 + rand_r(&seed) % 5; flips > 0; flips--)
			copy[(size_t)rand_r(&seed) % n] ^= (uint8_t)(1 << (rand_r(&seed) % 8));
		size_t cut = 1 + (size_t)rand_r(&seed) % n;
		close(f->fd);
		f->fd = memfd_create("dump", MFD_CLOEXEC);
		assert_int_equal(pwrite(f->fd, copy, cut, 0), cut);
		int err = read_on(f);
		assert_true(err == 0 || err == -EBADMSG || err == -EOPNOTSUPP);
		assert_int_equal(pwrite(f->fd, copy + cut, n - cut, (off_t)cut), n - cut);
		read_on(f);
		for (uint64_t pc = 0xff0; pc < 0xa000; pc += 33)
			match_at(f, pc / 100, pc);
	}
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILE(records_of_all_kinds),
		WITH_FILE(source_lines),
		WITH_FILE(a_growing_file_is_read_on),
		WITH_FILE(the_cpus_counter_is_no_time),
		WITH_FILE(another_clock_is_no_time),
		WITH_FILE(what_is_no_dump),
		WITH_FILE(damaged_records),
		WITH_FILE(too_many_lines_are_refused),
		WITH_FILE(damage),
	};
	return cmocka_run_group_tests_name("symbolizer/jitdump", tests, NULL, NULL);
}
