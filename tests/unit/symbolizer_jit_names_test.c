/* engine_jit_names(): tables of processes, their files and budget. */
#include "symbolizer/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

struct fixture {
	struct engine *symbolizer;
	int map;
};

static int set_up(void **state)
{
	struct engine_options options = {.jit_budget_bytes = 1 << 20};
	struct fixture *f = calloc(1, sizeof(*f));

	f->map = memfd_create("map", MFD_CLOEXEC);
	*state = f;
	return engine_create(&options, &f->symbolizer);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->map);
	engine_destroy(f->symbolizer);
	free(f);
	return 0;
}

static void append(int fd, const void *bytes, size_t n)
{
	lseek(fd, 0, SEEK_END);
	assert_int_equal(write(fd, bytes, n), n);
}

static void append_text(int fd, const char *text)
{
	append(fd, text, strlen(text));
}

static const char *name_of(struct fixture *f, uint64_t process, int map_fd, int dump_fd, uint64_t pc, uint64_t time_ns)
{
	static char name[256];
	struct jit_source source = {map_fd, dump_fd};
	struct jit_query query = {pc, time_ns};
	struct symbolizer_reply *reply;
	bool more;

	assert_int_equal(engine_jit_names(f->symbolizer, process, &source, &query, 1, &reply, &more), 0);
	assert_int_equal(reply->n_answers, 1);
	snprintf(name, sizeof(name), "-");
	if (reply->answers[0].count) {
		const struct symbolizer_frame *frame = &reply->frames[reply->answers[0].first];
		snprintf(name, sizeof(name), "%s%s%s", frame->name, frame->file[0] ? " " : "", frame->file);
		assert_true(pc >= reply->answers[0].symbol_start && pc < reply->answers[0].symbol_end);
	}
	symbolizer_reply_free(reply);
	return name;
}

static struct jit_stats stats_of(struct fixture *f)
{
	struct engine_stats stats;

	engine_stats(f->symbolizer, &stats);
	return stats.jit;
}

static void processes_are_apart(void **state)
{
	struct fixture *f = *state;
	int other = memfd_create("other", MFD_CLOEXEC);

	append_text(f->map, "1000 10 one\n2000 10 _ZN1a1bEv\n3000 10 \x1b[31mred\xff\n");
	append_text(other, "1000 10 another\nbad\n");
	assert_string_equal(name_of(f, 1, f->map, -1, 0x1000, 0), "one");
	assert_string_equal(name_of(f, 2, other, -1, 0x1000, 0), "another");
	assert_string_equal(name_of(f, 1, -1, -1, 0x1000, 0), "one"); /* without a file: what was read */
	assert_string_equal(name_of(f, 3, -1, -1, 0x1000, 0), "-");
	assert_string_equal(name_of(f, 1, f->map, -1, 0x2000, 0), "a::b()");
	assert_string_equal(name_of(f, 1, f->map, -1, 0x3000, 0), "?[31mred\xef\xbf\xbd");
	append_text(f->map, "1000 10 newer\n");
	assert_string_equal(name_of(f, 1, f->map, -1, 0x1000, 0), "newer");
	struct jit_stats stats = stats_of(f);
	assert_int_equal(stats.tables, 3);
	assert_int_equal(stats.entries, 5);
	assert_int_equal(stats.bad, 1);
	assert_int_equal(stats.named, 6);
	assert_int_equal(stats.unnamed, 1);
	assert_int_equal(stats.anew, 0);
	close(other);
}

static void a_replaced_file_is_read_again(void **state)
{
	struct fixture *f = *state;
	int other = memfd_create("other", MFD_CLOEXEC);

	append_text(f->map, "1000 10 one\n2000 10 two\n");
	append_text(other, "1000 10 uno\n");
	assert_string_equal(name_of(f, 1, f->map, -1, 0x2000, 0), "two");
	assert_string_equal(name_of(f, 1, other, -1, 0x2000, 0), "-");
	assert_string_equal(name_of(f, 1, other, -1, 0x1000, 0), "uno");
	assert_int_equal(ftruncate(other, 0), 0);
	assert_string_equal(name_of(f, 1, other, -1, 0x1000, 0), "-");
	assert_int_equal(stats_of(f).anew, 2);
	close(other);
}

static int dump_with(const char *name, uint64_t time_ns)
{
	struct {
		uint32_t magic, version, bytes, machine, padding, pid;
		uint64_t time_ns, flags;
		uint32_t id, record_bytes;
		uint64_t record_ns;
		uint32_t record_pid, tid;
		uint64_t vma, start, code_bytes, index;
		char name[16];
	} dump = {0x4a695444, 1, 40, 62, 0, 7, 1, 0, 0, 16 + 40 + 16, time_ns, 7, 7, 0x1000, 0x1000, 0x10, 1, ""};
	int fd = memfd_create("dump", MFD_CLOEXEC);

	snprintf(dump.name, sizeof(dump.name), "%s", name);
	append(fd, &dump, sizeof(dump));
	return fd;
}

static void a_map_and_a_dump_together(void **state)
{
	struct fixture *f = *state;
	int dump = dump_with("dumped", 100);

	append_text(f->map, "1000 10 mapped\n2000 10 two\n");
	assert_string_equal(name_of(f, 1, f->map, dump, 0x1000, 50), "mapped");
	assert_string_equal(name_of(f, 1, f->map, dump, 0x1000, 100), "dumped");
	assert_string_equal(name_of(f, 1, f->map, dump, 0x2000, 100), "two");
	/* Told a moment after it began to run; but not long after. */
	assert_string_equal(name_of(f, 2, -1, dump, 0x1000, 99), "dumped");
	int late = dump_with("late", 1000000000);
	assert_string_equal(name_of(f, 3, -1, late, 0x1000, 100), "-");
	assert_string_equal(name_of(f, 3, -1, late, 0x1000, 999999999), "late");
	close(late);
	close(dump);
}

static void damaged_files_are_counted(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	append_text(f->map, "this is not a dump, and long enough for its header");
	assert_int_equal(pipe(fds), 0);
	assert_string_equal(name_of(f, 1, -1, f->map, 0x1000, 0), "-");
	assert_string_equal(name_of(f, 1, fds[0], fds[0], 0x1000, 0), "-");
	assert_int_equal(stats_of(f).failed, 3);
	close(fds[0]);
	close(fds[1]);
}

static void the_budget_holds(void **state)
{
	struct fixture *f = *state;
	char line[64];

	for (unsigned i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line), "%x 10 function_%u\n", 0x1000 + 16 * i, i);
		append_text(f->map, line);
	}
	for (uint64_t process = 1; process <= 300; process++)
		assert_string_equal(name_of(f, process, f->map, -1, 0x1010, 0), "function_1");
	struct jit_stats stats = stats_of(f);
	assert_true(stats.bytes <= 1 << 20);
	assert_int_equal(stats.tables + stats.evicted, 300);
	assert_true(stats.tables >= 1);
	assert_string_equal(name_of(f, 300, -1, -1, 0x1010, 0), "function_1");
	assert_string_equal(name_of(f, 1, -1, -1, 0x1010, 0), "-");
	assert_string_equal(name_of(f, 1, f->map, -1, 0x1010, 0), "function_1");
}

static void one_call_reads_so_much(void **state)
{
	struct fixture *f = *state;
	struct jit_source source = {f->map, -1};
	struct jit_query query = {0x500000, 0};
	struct symbolizer_reply *reply;
	char *text = malloc(1 << 20);
	bool more = true;
	int calls = 0;

	memset(text, '\n', 1 << 20);
	for (int i = 0; i < 40; i++)
		append(f->map, text, 1 << 20);
	append_text(f->map, "500000 1 last\n");
	for (uint32_t named = 0; !named; calls++) {
		assert_true(more);
		assert_int_equal(engine_jit_names(f->symbolizer, 1, &source, &query, 1, &reply, &more), 0);
		named = reply->answers[0].count;
		symbolizer_reply_free(reply);
	}
	assert_int_equal(calls, 21);
	assert_false(more);
	free(text);
}

static void many_pcs_in_any_order(void **state)
{
	enum { N = 3000 };
	static struct jit_query queries[N];
	struct fixture *f = *state;
	struct jit_source source = {f->map, -1};
	struct symbolizer_reply *reply;
	char line[64];
	bool more;

	for (unsigned i = 0; i < N; i++) {
		snprintf(line, sizeof(line), "%x 10 %u\n", 16 * i, i);
		append_text(f->map, line);
		queries[i] = (struct jit_query){16 * ((uint64_t)i * 1237 % (N + 10)), i * 7 % 5};
	}
	assert_int_equal(engine_jit_names(f->symbolizer, 1, &source, queries, N, &reply, &more), 0);
	for (unsigned i = 0; i < N; i++) {
		uint64_t number = queries[i].pc / 16;
		assert_int_equal(reply->answers[i].count, number < N);
		if (number < N)
			assert_int_equal(atoi(reply->frames[reply->answers[i].first].name), number);
	}
	symbolizer_reply_free(reply);
}

#define WITH_SYMBOLIZER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SYMBOLIZER(processes_are_apart),	    WITH_SYMBOLIZER(a_replaced_file_is_read_again),
		WITH_SYMBOLIZER(a_map_and_a_dump_together), WITH_SYMBOLIZER(damaged_files_are_counted),
		WITH_SYMBOLIZER(the_budget_holds),	    WITH_SYMBOLIZER(one_call_reads_so_much),
		WITH_SYMBOLIZER(many_pcs_in_any_order),
	};
	return cmocka_run_group_tests_name("symbolizer/jit_names", tests, NULL, NULL);
}
