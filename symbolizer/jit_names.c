#include "symbolizer/jit_names.h"
#include "symbolizer/jit_table.h"
#include "symbolizer/jitdump.h"
#include "symbolizer/perf_map.h"
#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

#define READ_BUDGET_BYTES (2U << 20) /* in one call: about 10 ms, so that a busy machine meets the deadline, too */
#define PROCESSES_MAX	  256
#define LATE_NS		  (100 * NS_PER_MS)

/* What is known of one process. */
struct process_code {
	uint64_t process;
	uint64_t last_used; /* number of the call */
	struct jit_table *table;
	struct perf_map map;
	struct jitdump dump;
};

struct jit_names {
	size_t budget_bytes;
	uint64_t calls;
	struct process_code *codes[PROCESSES_MAX];
	size_t n;
	struct jit_stats stats;
};

int jit_names_create(size_t budget_bytes, struct jit_names **names_out)
{
	struct jit_names *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->budget_bytes = budget_bytes;
	*names_out = j;
	return 0;
}

static void free_code(struct process_code *code)
{
	jitdump_deinit(&code->dump);
	jit_table_destroy(code->table);
	free(code);
}

static void drop_oldest(struct jit_names *j)
{
	size_t oldest = 0;

	for (size_t i = 1; i < j->n; i++)
		if (j->codes[i]->last_used < j->codes[oldest]->last_used)
			oldest = i;
	free_code(j->codes[oldest]);
	j->codes[oldest] = j->codes[--j->n];
	j->stats.evicted++;
}

static int code_of(struct jit_names *j, uint64_t process, struct process_code **code_out)
{
	j->calls++;
	for (size_t i = 0; i < j->n; i++) {
		if (j->codes[i]->process != process)
			continue;
		j->codes[i]->last_used = j->calls;
		*code_out = j->codes[i];
		return 0;
	}
	struct process_code *code = calloc(1, sizeof(*code));
	if (!code || jit_table_create(&code->table) < 0) {
		free(code);
		return -ENOMEM;
	}
	if (j->n == PROCESSES_MAX)
		drop_oldest(j);
	code->process = process;
	code->last_used = j->calls;
	j->codes[j->n++] = code;
	*code_out = code;
	return 0;
}

static void keep_budget(struct jit_names *j)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < j->n; i++)
		bytes += jit_table_bytes(j->codes[i]->table);
	while (bytes > j->budget_bytes && j->n > 1) {
		drop_oldest(j);
		bytes = 0;
		for (size_t i = 0; i < j->n; i++)
			bytes += jit_table_bytes(j->codes[i]->table);
	}
	j->stats.bytes = bytes;
	j->stats.tables = j->n;
}

/* ---- reading ---- */

/* What the files gave before comes to nothing together: ranges of both lie over each other. */
static void forget(struct process_code *code)
{
	jit_table_clear(code->table);
	jitdump_deinit(&code->dump);
	code->map = (struct perf_map){ 0 };
	code->dump = (struct jitdump){ 0 };
}

static int read_files(struct process_code *code, const struct jit_source *source, bool *anew, int *map_out, int *dump_out)
{
	*map_out = *dump_out = 0;
	if (source->map_fd >= 0)
		*map_out = perf_map_read(&code->map, source->map_fd, READ_BUDGET_BYTES, code->table, anew);
	if (!*anew && source->dump_fd >= 0)
		*dump_out = jitdump_read(&code->dump, source->dump_fd, READ_BUDGET_BYTES, code->table, anew);
	return *map_out == -ENOMEM || *dump_out == -ENOMEM ? -ENOMEM : 0;
}

static void count(struct jit_stats *stats, const struct process_code *code, int sign)
{
	uint64_t entries = code->map.entries + code->dump.records, bad = code->map.bad_lines + code->dump.bad_records,
		 refused = code->map.refused + code->dump.refused + jit_table_lost(code->table);

	stats->entries += sign < 0 ? -entries : entries;
	stats->bad += sign < 0 ? -bad : bad;
	stats->refused += sign < 0 ? -refused : refused;
}

/* Returns whether there is more, or -ENOMEM. */
static int read_new(struct jit_names *j, struct process_code *code, const struct jit_source *source)
{
	bool anew = false;
	int map, dump;

	/* A table that is full stays as it is, until its file is another one. */
	count(&j->stats, code, -1);
	int err = read_files(code, source, &anew, &map, &dump);
	if (err == 0 && anew) {
		count(&j->stats, code, 1);
		forget(code);
		j->stats.anew++;
		count(&j->stats, code, -1);
		anew = false;
		err = read_files(code, source, &anew, &map, &dump);
	}
	count(&j->stats, code, 1);
	j->stats.failed += map < 0;
	j->stats.failed += dump < 0;
	return err < 0 ? err : map > 0 || dump > 0;
}

/* ---- look-up ---- */

/* A query, and its place in the request. */
struct asked {
	struct jit_query query;
	size_t index;
	bool found;
};

static int by_time(const void *left, const void *right)
{
	const struct asked *a = left, *b = right;

	if (a->query.time_ns != b->query.time_ns)
		return a->query.time_ns < b->query.time_ns ? -1 : 1;
	return a->query.pc < b->query.pc ? -1 : a->query.pc > b->query.pc;
}

static int answer(struct jit_names *j, const struct process_code *code, struct asked *asked, struct reply_builder *builder)
{
	struct jit_match match;
	bool refused = false;
	uint32_t frame;

	if (jit_table_find(code->table, asked->query.pc, &match) < 0)
		return 0;
	int err = reply_builder_add_frame(builder, match.name, strlen(match.name), "", &refused, &frame);
	if (err == 0)
		err = reply_builder_set_line(builder, match.file, match.line);
	if (err < 0)
		return err;
	reply_builder_answer(builder, asked->index, frame, match.start, match.end);
	asked->found = true;
	j->stats.named++;
	return 0;
}

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static int answer_all(struct jit_names *j, const struct process_code *code, struct asked *asked, size_t n, struct reply_builder *builder)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < n; i++) {
		jit_table_advance(code->table, asked[i].query.time_ns);
		err = answer(j, code, &asked[i], builder);
	}
	/* A runtime may tell of code a moment after it begins to run it. */
	if (n)
		jit_table_advance(code->table, saturating_sum(asked[n - 1].query.time_ns, LATE_NS));
	for (size_t i = 0; err == 0 && i < n; i++) {
		if (asked[i].found)
			continue;
		err = answer(j, code, &asked[i], builder);
		j->stats.unnamed += !asked[i].found;
	}
	return err;
}

static void scope_builder(struct reply_builder **builder)
{
	reply_builder_destroy(*builder);
}

int jit_names_find(struct jit_names *j, uint64_t process, const struct jit_source *source, const struct jit_query *queries,
		   size_t n, struct symbolizer_reply **reply_out, bool *more_out)
{
	__attribute__((cleanup(scope_builder))) struct reply_builder *builder = NULL;
	AUTO_FREE struct asked *asked = calloc(n + 1, sizeof(*asked));
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	struct process_code *code = NULL;

	int err = asked ? reply_builder_create(n, &builder) : -ENOMEM;
	if (err == 0)
		err = code_of(j, process, &code);
	if (err < 0)
		return err;
	int more = read_new(j, code, source);
	j->stats.read_ns += clock_ns(CLOCK_MONOTONIC) - begin_ns;
	for (size_t i = 0; i < n; i++)
		asked[i] = (struct asked){ .query = queries[i], .index = i };
	qsort(asked, n, sizeof(*asked), by_time);
	err = more < 0 ? more : answer_all(j, code, asked, n, builder);
	if (err == 0)
		err = reply_builder_finish(builder, reply_out);
	keep_budget(j);
	if (err == 0)
		*more_out = more > 0;
	return err;
}

void jit_names_stats(const struct jit_names *j, struct jit_stats *stats_out)
{
	*stats_out = j->stats;
}

void jit_names_destroy(struct jit_names *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++)
		free_code(j->codes[i]);
	free(j);
}
