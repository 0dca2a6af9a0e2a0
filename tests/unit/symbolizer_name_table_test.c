#include "cmocka_prelude.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/name_table.h"
#include "symbolizer/name_table_format.h"

#include <xxhash.h>

static struct name_table_builder *new_builder(void)
{
	struct name_table_builder *b = NULL;

	assert_int_equal(name_table_builder_create(NULL, &b), 0);
	return b;
}

static uint32_t string(struct name_table_builder *b, const char *text)
{
	int64_t id = name_table_add_string(b, text, strlen(text));

	assert_true(id >= 0);
	return (uint32_t)id;
}

static uint32_t function(struct name_table_builder *b, const char *name, uint32_t file, uint32_t line)
{
	int64_t id = name_table_add_function(b, string(b, name), file, line);

	assert_true(id >= 0);
	return (uint32_t)id;
}

static uint32_t file(struct name_table_builder *b, const char *directory, const char *name)
{
	int64_t id = name_table_add_file(b, directory, name);

	assert_true(id >= 0);
	return (uint32_t)id;
}

static uint32_t node(struct name_table_builder *b, uint32_t parent, uint32_t of, uint32_t call_file, uint32_t line, uint32_t column)
{
	int64_t id = name_table_add_node(b, parent, of, call_file, line, column);

	assert_true(id >= 0);
	return (uint32_t)id;
}

static void range(struct name_table_builder *b, uint32_t of, uint64_t start, uint64_t end)
{
	assert_int_equal(name_table_add_range(b, of, start, end), 0);
}

static int memfd(void)
{
	int fd = memfd_create("names", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Writes and frees the builder. */
static int write_table(struct name_table_builder *b, struct name_table_stats *stats)
{
	struct name_table_stats ignored;
	uint64_t bytes = 0;
	int fd = memfd();

	assert_int_equal(name_table_write(b, fd, &bytes, stats ? stats : &ignored), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)bytes);
	name_table_builder_destroy(b);
	return fd;
}

static struct name_table *open_table(int fd)
{
	struct name_table *t = NULL;

	assert_int_equal(name_table_open(fd, &t), 0);
	close(fd);
	return t;
}

static void expect_none(struct name_table *t, uint64_t vaddr)
{
	struct name_table_match match;

	assert_int_equal(name_table_find(t, vaddr, &match), -ENOENT);
}

/* "inner dir/file:line:column < outer ...", as text. */
static const char *frames_of(struct name_table *t, uint64_t vaddr)
{
	static char text[8192];
	struct name_table_match match;
	size_t at = 0;

	if (name_table_find(t, vaddr, &match) < 0)
		return "none";
	assert_true(match.start <= vaddr && vaddr < match.end);
	text[0] = 0;
	for (size_t i = 0; i < match.n && at < sizeof(text); i++) {
		const struct name_table_frame *f = &match.frames[i];
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %s/%s:%u:%u", i ? " < " : "", f->name, f->directory, f->file,
				       f->line, f->column);
	}
	return text;
}

/* --- writing and reading ------------------------------------------------------------------------------------------ */

static struct name_table *sample(struct name_table_stats *stats)
{
	struct name_table_builder *b = new_builder();
	uint32_t a = file(b, "/src", "a.c"), h = file(b, "/src", "a.h");
	uint32_t outer = node(b, NAME_TABLE_NONE, function(b, "outer", a, 10), 0, 0, 0);
	uint32_t middle = node(b, outer, function(b, "middle", h, 100), a, 12, 3);
	uint32_t inner = node(b, middle, function(b, "inner", h, 200), h, 102, 7);

	range(b, outer, 0x1000, 0x1100);
	range(b, outer, 0x5000, 0x5020);
	range(b, middle, 0x1010, 0x1050);
	range(b, inner, 0x1020, 0x1030);
	range(b, inner, 0x5008, 0x5010);
	const struct name_table_row rows[] = {{0x1000, a, 10, 1}, {0x1010, h, 101, 2}, {0x1020, h, 201, 9}, {0x1028, h, 202, 9},
					      {0x1030, h, 103, 2}, {0x1050, a, 14, 1}};
	assert_int_equal(name_table_add_rows(b, rows, 6, 0x1100), 0);
	assert_int_equal(name_table_add_symbol(b, 0x0f00, 0x1080, string(b, "symbol")), 0);
	assert_int_equal(name_table_add_symbol(b, 0x9000, 0x9010, string(b, "alone")), 0);
	return open_table(write_table(b, stats));
}

static void finds_inlined_frames(void **state)
{
	struct name_table_stats stats;
	struct name_table *t = sample(&stats);
	(void)state;

	assert_string_equal(frames_of(t, 0x1000), "outer /src/a.c:10:1");
	assert_string_equal(frames_of(t, 0x100f), "outer /src/a.c:10:1");
	assert_string_equal(frames_of(t, 0x1010), "middle /src/a.h:101:2 < outer /src/a.c:12:3");
	assert_string_equal(frames_of(t, 0x1020), "inner /src/a.h:201:9 < middle /src/a.h:102:7 < outer /src/a.c:12:3");
	assert_string_equal(frames_of(t, 0x102f), "inner /src/a.h:202:9 < middle /src/a.h:102:7 < outer /src/a.c:12:3");
	assert_string_equal(frames_of(t, 0x1030), "middle /src/a.h:103:2 < outer /src/a.c:12:3");
	assert_string_equal(frames_of(t, 0x10ff), "outer /src/a.c:14:1");
	assert_string_equal(frames_of(t, 0x5000), "outer /:0:0");
	assert_string_equal(frames_of(t, 0x5008), "inner /:0:0 < middle /src/a.h:102:7 < outer /src/a.c:12:3");
	expect_none(t, 0x1100);
	expect_none(t, 0x4fff);
	expect_none(t, 0x5020);
	expect_none(t, 0);
	expect_none(t, UINT64_MAX);
	assert_int_equal(stats.functions, 5);
	assert_int_equal(stats.nodes, 5);
	assert_int_equal(stats.symbols, 2);
	assert_int_equal(stats.rows, 6);
	assert_int_equal(stats.overlaps, 0);
	name_table_close(t);
}

static void tells_ranges_and_declarations(void **state)
{
	struct name_table *t = sample(NULL);
	struct name_table_match match;
	(void)state;

	assert_int_equal(name_table_find(t, 0x1025, &match), 0);
	assert_int_equal(match.start, 0x1020);
	assert_int_equal(match.end, 0x1030);
	assert_int_equal(match.function_start, 0x1000);
	assert_int_equal(match.n, 3);
	assert_string_equal(match.frames[0].declared_file, "a.h");
	assert_string_equal(match.frames[0].declared_directory, "/src");
	assert_int_equal(match.frames[0].start_line, 200);
	assert_int_equal(match.frames[2].start_line, 10);
	assert_false(match.frames[0].is_symbol);
	assert_int_equal(name_table_find(t, 0x5011, &match), 0);
	assert_int_equal(match.function_start, 0x5000);
	name_table_close(t);
}

static void symbols_name_what_nothing_else_does(void **state)
{
	struct name_table *t = sample(NULL);
	struct name_table_match match;
	(void)state;

	assert_string_equal(frames_of(t, 0x0f00), "symbol /:0:0");
	assert_string_equal(frames_of(t, 0x900f), "alone /:0:0");
	assert_int_equal(name_table_find(t, 0x0fff, &match), 0);
	assert_true(match.frames[0].is_symbol);
	assert_int_equal(match.end, 0x1000);
	name_table_close(t);
}

static void rows_without_function_have_no_name(void **state)
{
	struct name_table_builder *b = new_builder();
	uint32_t s = file(b, "/src", "memcpy.S");
	const struct name_table_row rows[] = {{0x100, s, 5, 0}, {0x104, s, 6, 0}};
	(void)state;

	assert_int_equal(name_table_add_rows(b, rows, 2, 0x108), 0);
	assert_int_equal(name_table_add_symbol(b, 0x104, 0x110, string(b, "memcpy")), 0);
	struct name_table *t = open_table(write_table(b, NULL));
	assert_string_equal(frames_of(t, 0x100), " /src/memcpy.S:5:0");
	assert_string_equal(frames_of(t, 0x104), "memcpy /src/memcpy.S:6:0");
	assert_string_equal(frames_of(t, 0x108), "memcpy /:0:0");
	name_table_close(t);
}

static void an_empty_table_knows_nothing(void **state)
{
	struct name_table *t = open_table(write_table(new_builder(), NULL));
	(void)state;

	expect_none(t, 0);
	expect_none(t, 0x1000);
	assert_true(name_table_bytes(t) > 0);
	name_table_close(t);
	name_table_close(NULL);
	name_table_builder_destroy(NULL);
}

static void the_function_added_first_wins(void **state)
{
	struct name_table_builder *b = new_builder();
	struct name_table_stats stats;
	uint32_t first = node(b, NAME_TABLE_NONE, function(b, "first", 0, 0), 0, 0, 0);
	uint32_t second = node(b, NAME_TABLE_NONE, function(b, "second", 0, 0), 0, 0, 0);
	uint32_t inside = node(b, second, function(b, "inside", 0, 0), 0, 7, 0);
	(void)state;

	range(b, second, 0x100, 0x200);
	range(b, inside, 0x120, 0x180);
	range(b, first, 0x140, 0x160);
	range(b, first, 0x170, 0x170); /* empty */
	range(b, first, 0x1a0, 0x1a0 + (1ULL << 32)); /* too long to be true */
	struct name_table *t = open_table(write_table(b, &stats));
	assert_string_equal(frames_of(t, 0x130), "inside /:0:0 < second /:7:0");
	assert_string_equal(frames_of(t, 0x140), "first /:0:0");
	assert_string_equal(frames_of(t, 0x160), "inside /:0:0 < second /:7:0");
	assert_string_equal(frames_of(t, 0x1ff), "second /:0:0");
	expect_none(t, 0x200);
	assert_int_equal(stats.overlaps, 2);
	name_table_close(t);
}

static void copies_are_left_out(void **state)
{
	struct name_table_builder *b = new_builder();
	struct name_table_stats stats;
	uint32_t f = function(b, "f", 0, 0), g = function(b, "g", 0, 0);
	(void)state;

	for (uint32_t i = 0; i < 3; i++) {
		uint32_t outer = node(b, NAME_TABLE_NONE, f, 0, 0, 0);
		range(b, outer, 0x100, 0x200);
		uint32_t inner = node(b, outer, g, 0, 7 + i, 0);
		range(b, inner, 0x140, 0x150);
		range(b, node(b, inner, f, 0, 1, 0), 0x144, 0x148);
	}
	/* The first range is another's, the second is its own. */
	uint32_t partly = node(b, NAME_TABLE_NONE, function(b, "partly", 0, 0), 0, 0, 0);
	range(b, partly, 0x100, 0x200);
	range(b, partly, 0x300, 0x400);
	range(b, node(b, partly, g, 0, 99, 0), 0x310, 0x320);
	const struct name_table_row rows[] = {{0x100, 0, 5, 0}};
	assert_int_equal(name_table_add_rows(b, rows, 1, 0x200), 0);
	assert_int_equal(name_table_add_rows(b, rows, 1, 0x200), 0);
	struct name_table *t = open_table(write_table(b, &stats));
	assert_string_equal(frames_of(t, 0x100), "f /:5:0");
	assert_string_equal(frames_of(t, 0x14f), "g /:5:0 < f /:7:0");
	assert_string_equal(frames_of(t, 0x147), "f /:5:0 < g /:1:0 < f /:7:0");
	assert_string_equal(frames_of(t, 0x315), "g /:0:0 < partly /:99:0");
	assert_int_equal(stats.ranges, 5);
	assert_int_equal(stats.nodes, 5);
	assert_int_equal(stats.rows, 1);
	assert_int_equal(stats.overlaps, 4);
	name_table_close(t);
}

static void a_later_sequence_hides_an_earlier_one(void **state)
{
	struct name_table_builder *b = new_builder();
	uint32_t a = file(b, "", "a.c"), c = file(b, "", "b.c");
	const struct name_table_row outer[] = {{0x100, a, 1, 0}, {0x110, a, 2, 0}, {0x120, a, 3, 0}, {0x130, a, 4, 0}};
	const struct name_table_row inner[] = {{0x118, c, 50, 0}, {0x118, c, 51, 0}, {0x11a, c, 51, 0}};
	(void)state;

	assert_int_equal(name_table_add_rows(b, outer, 4, 0x140), 0);
	assert_int_equal(name_table_add_rows(b, inner, 3, 0x128), 0);
	struct name_table *t = open_table(write_table(b, NULL));
	assert_string_equal(frames_of(t, 0x117), " /a.c:2:0");
	assert_string_equal(frames_of(t, 0x118), " /b.c:51:0"); /* of two rows the last */
	assert_string_equal(frames_of(t, 0x127), " /b.c:51:0");
	assert_string_equal(frames_of(t, 0x128), " /a.c:3:0");
	assert_string_equal(frames_of(t, 0x130), " /a.c:4:0");
	expect_none(t, 0x140);
	name_table_close(t);
}

static void refuses_what_makes_no_sense(void **state)
{
	struct name_table_builder *b = new_builder();
	uint32_t f = function(b, "f", 0, 0), a = file(b, "", "a.c");
	const struct name_table_row backwards[] = {{0x110, a, 1, 0}, {0x100, a, 2, 0}}, no_file[] = {{0x100, 99, 1, 0}};
	const struct name_table_row behind[] = {{0x200, a, 1, 0}};
	(void)state;

	assert_int_equal(name_table_add_function(b, 99, 0, 0), -EINVAL);
	assert_int_equal(name_table_add_function(b, 0, 99, 0), -EINVAL);
	assert_int_equal(name_table_add_node(b, NAME_TABLE_NONE, 99, 0, 0, 0), -EINVAL);
	assert_int_equal(name_table_add_node(b, NAME_TABLE_NONE, f, 99, 0, 0), -EINVAL);
	assert_int_equal(name_table_add_node(b, 0, f, 0, 0, 0), -EINVAL);
	assert_int_equal(name_table_add_range(b, 0, 1, 2), -EINVAL);
	assert_int_equal(name_table_add_symbol(b, 1, 2, 99), -EINVAL);
	assert_int_equal(name_table_add_rows(b, backwards, 2, 0x200), -EINVAL);
	assert_int_equal(name_table_add_rows(b, no_file, 1, 0x200), -EINVAL);
	assert_int_equal(name_table_add_rows(b, behind, 1, 0x200), 0); /* of nothing */
	assert_int_equal(name_table_add_rows(b, behind, 0, 0x200), 0);
	assert_int_equal(name_table_add_string(b, "", 0), 0);
	assert_int_equal(name_table_add_file(b, "/x", ""), 0);
	struct name_table *t = open_table(write_table(b, NULL));
	expect_none(t, 1);
	name_table_close(t);
}

static void equal_things_have_one_id(void **state)
{
	struct name_table_builder *b = new_builder();
	(void)state;

	assert_int_equal(string(b, "x"), string(b, "x"));
	assert_int_equal(name_table_add_string(b, "x\0y", 3), string(b, "x"));
	assert_int_equal(file(b, "/d", "x.c"), file(b, "/d", "x.c"));
	assert_int_equal(file(b, "/d", "/x.c"), file(b, "/e", "/x.c"));
	assert_int_not_equal(file(b, "/d", "x.c"), file(b, "/e", "x.c"));
	assert_int_equal(function(b, "x", 1, 2), function(b, "x", 1, 2));
	name_table_builder_destroy(b);
}

static void deep_inlining_is_cut_and_counted(void **state)
{
	struct name_table_builder *b = new_builder();
	struct name_table_stats stats;
	struct name_table_match match;
	uint32_t f = function(b, "f", 0, 0), at = NAME_TABLE_NONE;
	(void)state;

	for (uint32_t i = 0; i < 1000; i++) {
		at = node(b, at, f, 0, i, 0);
		range(b, at, 0x1000 + i, 0x9000);
	}
	struct name_table *t = open_table(write_table(b, &stats));
	assert_int_equal(stats.too_deep, 1000 - NAME_TABLE_DEPTH_MAX - 1);
	assert_int_equal(name_table_find(t, 0x8000, &match), 0);
	assert_int_equal(match.n, NAME_TABLE_DEPTH_MAX + 1);
	assert_int_equal(match.frames[1].line, NAME_TABLE_DEPTH_MAX);
	name_table_close(t);
}

static void long_strings_are_cut_and_counted(void **state)
{
	struct name_table_builder *b = new_builder();
	struct name_table_stats stats;
	struct name_table_match match;
	static char text[NAME_TABLE_STRING_MAX + 100];
	(void)state;

	memset(text, 'x', sizeof(text));
	int64_t id = name_table_add_string(b, text, sizeof(text));
	assert_true(id > 0);
	assert_int_equal(name_table_add_symbol(b, 1, 2, (uint32_t)id), 0);
	struct name_table *t = open_table(write_table(b, &stats));
	assert_int_equal(stats.cut, 1);
	assert_int_equal(name_table_find(t, 1, &match), 0);
	assert_int_equal(strlen(match.frames[0].name), NAME_TABLE_STRING_MAX);
	name_table_close(t);
}

static void memory_is_limited(void **state)
{
	const struct name_table_limits limits = {.bytes = 1 << 20};
	struct name_table_builder *b = NULL;
	char text[32];
	int64_t id = 0;
	int err = 0;
	(void)state;

	assert_int_equal(name_table_builder_create(&(struct name_table_limits){.bytes = 10}, &b), -E2BIG);
	assert_int_equal(name_table_builder_create(&limits, &b), 0);
	for (int i = 0; i < 1000000 && id >= 0; i++)
		id = name_table_add_string(b, text, (size_t)snprintf(text, sizeof(text), "name %d", i));
	assert_int_equal(id, -E2BIG);
	name_table_builder_destroy(b);
	assert_int_equal(name_table_builder_create(&limits, &b), 0);
	uint32_t n = node(b, NAME_TABLE_NONE, function(b, "f", 0, 0), 0, 0, 0);
	for (uint64_t i = 0; i < 1000000 && err == 0; i++)
		err = name_table_add_range(b, n, 16 * i, 16 * i + 8);
	assert_int_equal(err, -E2BIG);
	struct name_table *t = open_table(write_table(b, NULL)); /* what was added stays */
	assert_string_equal(frames_of(t, 16 * 1000), "f /:0:0");
	name_table_close(t);
}

static void write_errors_are_told(void **state)
{
	struct name_table_builder *b = new_builder();
	struct name_table_stats stats;
	uint64_t bytes;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)state;

	assert_int_equal(name_table_add_symbol(b, 1, 2, string(b, "x")), 0);
	assert_int_equal(name_table_write(b, fd, &bytes, &stats), -EBADF);
	name_table_builder_destroy(b);
	close(fd);
}

/* --- against a slow and simple model ------------------------------------------------------------------------------ */

#define MODEL_VADDRS 20000
#define MODEL_BASE   0xffffffff81000000ULL

struct model {
	uint32_t node[MODEL_VADDRS], file[MODEL_VADDRS], line[MODEL_VADDRS];
	uint32_t root[4000], depth[4000], parent[4000], call_line[4000];
};

static bool model_wins(const struct model *m, uint32_t a, uint32_t b)
{
	if (m->root[a] != m->root[b])
		return m->root[a] < m->root[b];
	return m->depth[a] != m->depth[b] ? m->depth[a] > m->depth[b] : a < b;
}

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((*seed >> 33) % below);
}

static void model_nodes(struct model *m, struct name_table_builder *b, uint64_t *seed)
{
	uint32_t functions[50];
	char name[32];

	for (uint32_t i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		functions[i] = function(b, name, 1 + i % 3, 10 * i);
	}
	memset(m->node, 0xff, sizeof(m->node));
	for (uint32_t i = 0; i < 4000; i++) {
		uint32_t parent = i && draw(seed, 4) ? draw(seed, i) : NAME_TABLE_NONE;
		m->parent[i] = parent;
		m->root[i] = parent == NAME_TABLE_NONE ? i : m->root[parent];
		m->depth[i] = parent == NAME_TABLE_NONE ? 0 : m->depth[parent] + 1;
		m->call_line[i] = parent == NAME_TABLE_NONE ? 0 : 1 + draw(seed, 100000);
		assert_int_equal(node(b, parent, functions[i % 50], 1, m->call_line[i], 0), i);
		for (uint32_t k = draw(seed, 3); k; k--) {
			uint32_t start = draw(seed, MODEL_VADDRS), end = start + draw(seed, i % 100 ? 60 : 3000);
			end = end < MODEL_VADDRS ? end : MODEL_VADDRS;
			range(b, i, MODEL_BASE + start, MODEL_BASE + end);
			for (uint32_t at = start; at < end; at++)
				if (m->node[at] == UINT32_MAX || model_wins(m, i, m->node[at]))
					m->node[at] = i;
		}
	}
}

static void model_rows(struct model *m, struct name_table_builder *b, uint64_t *seed)
{
	struct name_table_row rows[200];

	for (uint32_t start = draw(seed, 100); start < MODEL_VADDRS - 4000; start += draw(seed, 100)) {
		uint32_t n = 0, at = start;
		for (; n < 200 && (n < 2 || draw(seed, 50)); n++, at += 1 + draw(seed, 20)) {
			rows[n] = (struct name_table_row){MODEL_BASE + at, 1 + draw(seed, 3), draw(seed, 600), draw(seed, 3)};
		}
		assert_int_equal(name_table_add_rows(b, rows, n, MODEL_BASE + at), 0);
		for (uint32_t i = 0, k = start; k < at; k++) {
			i += i + 1 < n && rows[i + 1].vaddr == MODEL_BASE + k;
			m->file[k] = rows[i].file;
			m->line[k] = rows[i].line;
		}
		start = draw(seed, 2) ? at : start + 1;
	}
}

static void check_model(struct model *m, struct name_table *t, uint32_t at)
{
	struct name_table_match match;
	char file_name[32], name[32];
	int err = name_table_find(t, MODEL_BASE + at, &match);

	if (m->node[at] == UINT32_MAX && !m->file[at]) {
		assert_int_equal(err, -ENOENT);
		return;
	}
	assert_int_equal(err, 0);
	file_name[0] = 0;
	if (m->file[at])
		snprintf(file_name, sizeof(file_name), "%u.c", m->file[at]);
	assert_string_equal(match.frames[0].file, file_name);
	assert_int_equal(match.frames[0].line, m->line[at]);
	assert_true(match.start <= MODEL_BASE + at && MODEL_BASE + at < match.end);
	size_t n = 0;
	for (uint32_t i = m->node[at]; i != UINT32_MAX; i = m->parent[i], n++) {
		snprintf(name, sizeof(name), "f%u", i % 50);
		assert_string_equal(match.frames[n].name, name);
		assert_int_equal(match.frames[n].start_line, 10 * (i % 50));
		if (m->parent[i] != UINT32_MAX)
			assert_int_equal(match.frames[n + 1].line, m->call_line[i]);
	}
	assert_int_equal(match.n, n ? n : 1);
	for (uint64_t k = match.start; k < match.end && k - MODEL_BASE < MODEL_VADDRS; k++)
		assert_int_equal(m->node[k - MODEL_BASE], m->node[at]);
}

static void agrees_with_the_model(void **state)
{
	(void)state;

	for (uint64_t seed = 1; seed <= 8;) {
		uint64_t random = seed++;
		struct name_table_builder *b = new_builder();
		AUTO_FREE struct model *m = calloc(1, sizeof(*m));
		assert_int_equal(file(b, "", "1.c"), 1);
		assert_int_equal(file(b, "", "2.c"), 2);
		assert_int_equal(file(b, "", "3.c"), 3);
		model_nodes(m, b, &random);
		model_rows(m, b, &random);
		struct name_table *t = open_table(write_table(b, NULL));
		for (uint32_t at = 0; at < MODEL_VADDRS; at++)
			check_model(m, t, at);
		name_table_close(t);
	}
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

/* A table of some 200 KiB, so that there is more than one checksum. */
static uint8_t *damage_sample(size_t *n_out)
{
	struct name_table_builder *b = new_builder();
	uint64_t seed = 7;
	AUTO_FREE struct model *m = calloc(1, sizeof(*m));
	char name[128];

	for (uint32_t i = 1; i < 4; i++) {
		snprintf(name, sizeof(name), "%u.c", i);
		file(b, "", name);
	}
	model_nodes(m, b, &seed);
	model_rows(m, b, &seed);
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "_a_symbol_with_a_name_%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", draw(&seed, UINT32_MAX),
			 draw(&seed, UINT32_MAX), draw(&seed, UINT32_MAX), draw(&seed, UINT32_MAX), draw(&seed, UINT32_MAX),
			 draw(&seed, UINT32_MAX), draw(&seed, UINT32_MAX), draw(&seed, UINT32_MAX), draw(&seed, UINT32_MAX), i);
		assert_int_equal(name_table_add_symbol(b, MODEL_BASE + 0x100000 + 16 * i, MODEL_BASE + 0x100010 + 16 * i, string(b, name)), 0);
	}
	AUTO_CLOSE int fd = write_table(b, NULL);
	*n_out = (size_t)lseek(fd, 0, SEEK_END);
	uint8_t *bytes = malloc(*n_out);
	assert_int_equal(pread(fd, bytes, *n_out, 0), *n_out);
	return bytes;
}

static int table_of(const uint8_t *bytes, size_t n)
{
	int fd = memfd();

	assert_int_equal(pwrite(fd, bytes, n, 0), n);
	return fd;
}

static void damage_is_found(void **state)
{
	struct name_table *t = NULL;
	struct name_table_match match;
	size_t n;
	AUTO_FREE uint8_t *bytes = damage_sample(&n);
	(void)state;

	assert_true(n > 2 * CHECKED_BYTES);
	int fd = table_of(bytes, n - 1);
	assert_int_equal(name_table_open(fd, &t), -EBADMSG);
	close(fd);
	fd = table_of(bytes, 100);
	assert_int_equal(name_table_open(fd, &t), -EBADMSG);
	close(fd);
	bytes[8]++;
	fd = table_of(bytes, n);
	assert_int_equal(name_table_open(fd, &t), -ENOTSUP);
	close(fd);
	bytes[8]--;
	bytes[n - 3]++; /* a checksum */
	fd = table_of(bytes, n);
	assert_int_equal(name_table_open(fd, &t), -EBADMSG);
	close(fd);
	bytes[n - 3]--;
	assert_int_equal(name_table_open(-1, &t), -EBADF);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(name_table_open(fd, &t), -EBADMSG);
	close(fd);
	bytes[sizeof(struct name_table_head) + 1000]++; /* in the stream */
	t = open_table(table_of(bytes, n));
	assert_int_equal(name_table_find(t, MODEL_BASE + 100, &match), -EBADMSG);
	assert_int_equal(name_table_find(t, MODEL_BASE + 100, &match), -EBADMSG);
	name_table_close(t);
}

/* Checksums as a stranger would write them: they are right, whatever they are of. */
static void mend_checksums(uint8_t *bytes, size_t n)
{
	struct name_table_head head;

	memcpy(&head, bytes, sizeof(head));
	if (head.checksums_offset > n || head.checksums_offset < sizeof(head) || head.n_checksums != (n - head.checksums_offset) / 8)
		return;
	for (uint64_t i = 0; i < head.n_checksums; i++) {
		uint64_t from = sizeof(head) + i * CHECKED_BYTES, to = from + CHECKED_BYTES;
		to = to < head.checksums_offset ? to : head.checksums_offset;
		if (from >= to)
			break;
		uint64_t sum = XXH3_64bits(bytes + from, to - from);
		memcpy(bytes + head.checksums_offset + 8 * i, &sum, sizeof(sum));
	}
	head.checksum = 0;
	head.checksum = XXH3_64bits_withSeed(&head, sizeof(head), XXH3_64bits(bytes + head.checksums_offset, 8 * head.n_checksums));
	memcpy(bytes, &head, sizeof(head));
}

static void read_all(const uint8_t *bytes, size_t n, uint64_t *seed, size_t *opened)
{
	struct name_table *t = NULL;
	struct name_table_match match;
	AUTO_CLOSE int fd = table_of(bytes, n);

	if (name_table_open(fd, &t) < 0)
		return;
	++*opened;
	for (int i = 0; i < 60; i++) {
		uint64_t vaddr = i < 50 ? MODEL_BASE + draw(seed, MODEL_VADDRS) : MODEL_BASE + draw(seed, 0x110000);
		int err = name_table_find(t, vaddr, &match);
		assert_true(err == 0 || err == -ENOENT || err == -EBADMSG);
		size_t length = 0;
		for (size_t k = 0; err == 0 && k < match.n; k++)
			length += strlen(match.frames[k].name) + strlen(match.frames[k].file) + strlen(match.frames[k].directory) +
				  strlen(match.frames[k].declared_file) + strlen(match.frames[k].declared_directory);
		assert_true(length < 10 * 1000 * 1000);
	}
	name_table_close(t);
}

static void any_bytes_are_safe(void **state)
{
	size_t n, opened = 0, rounds = 1500;
	AUTO_FREE uint8_t *good = damage_sample(&n);
	AUTO_FREE uint8_t *bytes = malloc(n);
	uint64_t seed = 99;
	(void)state;

	for (size_t round = 0; round < rounds; round++) {
		memcpy(bytes, good, n);
		for (uint32_t k = 1 + draw(&seed, 20); k; k--) {
			/* The head and the first bytes of each section are worth more. */
			uint32_t at = draw(&seed, 3) ? draw(&seed, (uint32_t)n) : draw(&seed, sizeof(struct name_table_head));
			static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
			bytes[at] = draw(&seed, 2) ? values[draw(&seed, 5)] : (uint8_t)draw(&seed, 256);
		}
		memcpy(bytes, good, 12); /* magic and version */
		if (draw(&seed, 4))
			mend_checksums(bytes, n);
		read_all(bytes, n, &seed, &opened);
	}
	assert_true(opened > rounds / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_inlined_frames),
		cmocka_unit_test(tells_ranges_and_declarations),
		cmocka_unit_test(symbols_name_what_nothing_else_does),
		cmocka_unit_test(rows_without_function_have_no_name),
		cmocka_unit_test(an_empty_table_knows_nothing),
		cmocka_unit_test(the_function_added_first_wins),
		cmocka_unit_test(copies_are_left_out),
		cmocka_unit_test(a_later_sequence_hides_an_earlier_one),
		cmocka_unit_test(refuses_what_makes_no_sense),
		cmocka_unit_test(equal_things_have_one_id),
		cmocka_unit_test(deep_inlining_is_cut_and_counted),
		cmocka_unit_test(long_strings_are_cut_and_counted),
		cmocka_unit_test(memory_is_limited),
		cmocka_unit_test(write_errors_are_told),
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(any_bytes_are_safe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
