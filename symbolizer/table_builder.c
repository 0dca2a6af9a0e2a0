#include "symbolizer/table_builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MIN	256u
#define HOLE_MAX_BYTES	(64u * UNWIND_PAGE_BYTES) /* a longer hole without CFI ends a table: a page costs 4 bytes */
#define HOLES_MAX	(UNWIND_TABLES_MAX / 2)	  /* that end one; the other tables are for what is full */
#define PAGES_MAX	(UNWIND_TABLE_MAX_BYTES / 4)
/* Pages that may be begun, taken back ones included: FDEs that claim gigabytes and are refused would cost a megabyte of writes each. */
#define PAGES_BUDGET	(UNWIND_TABLES_MAX * (uint64_t)PAGES_MAX)
#define PADDING_MAX_BYTES 15 /* functions are aligned to 16 bytes; what lies between two is never executed */

/* What a rollback restores. */
struct place {
	uint32_t n_rows, n_pages;
	struct unwind_rule rule; /* in force */
};

/* The last row while it may become a run; it has its place in the table, but no rule yet. */
struct run {
	uint64_t vaddr;
	struct unwind_rule rule; /* at vaddr */
	uint32_t mask;		 /* of its steps */
	uint32_t steps, fp_step;
	int32_t step; /* 8 or -8; 0: none yet */
	bool is_open;
};

struct table_builder {
	uint64_t vaddr, start; /* of the current table: its first page and its first row */
	bool is_open;
	bool has_rows; /* committed ones */
	struct place now, saved;
	struct run run;
	uint64_t end, saved_end; /* of what the rows describe */
	bool hole_is_code; /* from end on: of a function whose rows were taken back */
	bool padded; /* the next row is the first of its transaction: it covers the padding before it */
	int err;
	uint64_t pages_left; /* of PAGES_BUDGET */
	uint32_t *rows, *pages;
	size_t rows_capacity, pages_capacity;
	struct unwind_rule *rules;
	uint32_t n_rules, rules_capacity;
	uint32_t *slots; /* rule + 1 by hash; twice rules_capacity, a power of two */
	struct unwind_table tables[UNWIND_TABLES_MAX];
	size_t n_tables;
};

int table_builder_create(struct table_builder **builder_out)
{
	struct table_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->pages_left = PAGES_BUDGET;
	b->rules_capacity = RULES_MIN;
	b->rules = malloc(b->rules_capacity * sizeof(b->rules[0]));
	b->slots = calloc(2 * b->rules_capacity, sizeof(b->slots[0]));
	if (!b->rules || !b->slots) {
		table_builder_destroy(b);
		return -ENOMEM;
	}
	*builder_out = b;
	return 0;
}

static uint64_t hash_rule(const struct unwind_rule *rule)
{
	uint64_t words[2];

	memcpy(words, rule, sizeof(words));
	uint64_t hash = (words[0] ^ words[1] * 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL;
	return hash ^ hash >> 32;
}

static bool same_rule(const struct unwind_rule *a, const struct unwind_rule *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint32_t *slot_of(const struct table_builder *b, const struct unwind_rule *rule)
{
	size_t mask = 2 * (size_t)b->rules_capacity - 1, at = hash_rule(rule) & mask;

	while (b->slots[at] && !same_rule(&b->rules[b->slots[at] - 1], rule))
		at = (at + 1) & mask;
	return &b->slots[at];
}

static int grow_rules(struct table_builder *b)
{
	uint32_t capacity = 2 * b->rules_capacity;
	struct unwind_rule *rules = realloc(b->rules, capacity * sizeof(*rules));

	if (!rules)
		return -ENOMEM;
	b->rules = rules;
	uint32_t *slots = calloc(2 * (size_t)capacity, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(b->slots);
	b->slots = slots;
	b->rules_capacity = capacity;
	for (uint32_t i = 0; i < b->n_rules; i++)
		*slot_of(b, &b->rules[i]) = i + 1;
	return 0;
}

static int64_t intern_rule(struct table_builder *b, const struct unwind_rule *rule)
{
	uint32_t *slot = slot_of(b, rule);

	if (*slot)
		return *slot - 1;
	if (b->n_rules == UNWIND_RULES_MAX - (rule->cfa != CFA_NONE)) /* the row that ends the table has a place */
		return -ENOSPC;
	if (b->n_rules == b->rules_capacity) {
		int err = grow_rules(b);
		if (err < 0)
			return err;
		slot = slot_of(b, rule);
	}
	b->rules[b->n_rules] = *rule;
	*slot = ++b->n_rules;
	return b->n_rules - 1;
}

static int reserve(uint32_t **array, size_t *capacity, size_t n)
{
	if (n <= *capacity)
		return 0;
	size_t grown = 2 * *capacity > n ? 2 * *capacity : n + 1024;
	uint32_t *moved = realloc(*array, grown * sizeof(*moved));
	if (!moved)
		return -ENOMEM;
	*array = moved;
	*capacity = grown;
	return 0;
}

static size_t bytes_of(const struct table_builder *b)
{
	return unwind_table_rules_offset(b->now.n_pages, b->now.n_rows) + b->n_rules * sizeof(struct unwind_rule);
}

static const struct unwind_rule NO_RULE = {.cfa = CFA_NONE};

/* All pages up to the one of vaddr. */
static int put_pages(struct table_builder *b, uint64_t vaddr)
{
	struct place *p = &b->now;
	uint64_t n = ((vaddr - b->vaddr) >> UNWIND_PAGE_BITS) + 1;

	if (n <= p->n_pages)
		return 0;
	if (n >= PAGES_MAX)
		return -ENOSPC;
	if (n - p->n_pages > b->pages_left)
		return -E2BIG;
	int err = reserve(&b->pages, &b->pages_capacity, n + 1);
	if (err < 0)
		return err;
	b->pages_left -= n - p->n_pages;
	while (p->n_pages < n)
		b->pages[p->n_pages++] = p->n_rows;
	return 0;
}

/* The last row is what it is: give it its rule. */
static int close_run(struct table_builder *b)
{
	struct run *run = &b->run;
	struct unwind_rule rule = run->rule;

	if (!run->is_open)
		return 0;
	run->is_open = false;
	if (run->steps) {
		rule.cfa = CFA_RUN;
		rule.cfa_add = (int32_t)(run->mask | run->fp_step << UNWIND_RUN_FP_BITS | (run->step < 0 ? UNWIND_RUN_DOWN : 0));
		if (run->fp_step && run->step > 0) { /* where the last step saved it */
			rule.fp = b->now.rule.fp;
			rule.fp_offset = b->now.rule.fp_offset;
		}
	}
	int64_t index = intern_rule(b, &rule);
	if (index < 0)
		return (int)index;
	b->rows[b->now.n_rows - 1] |= (uint32_t)index;
	return 0;
}

/* Does a step of this run save the frame pointer, or restore it? */
static bool changes_fp(const struct run *run, const struct unwind_rule *from, const struct unwind_rule *to)
{
	if (run->fp_step)
		return false;
	return to->cfa_offset > from->cfa_offset ? from->fp == IN_PLACE && to->fp == AT_CFA : from->fp == AT_CFA && to->fp == IN_PLACE;
}

/* Make a row the run's next step. False: it is none. */
static bool join_run(struct table_builder *b, uint64_t vaddr, const struct unwind_rule *rule)
{
	const struct unwind_rule *from = &b->now.rule;
	struct run *run = &b->run;
	int64_t step = (int64_t)rule->cfa_offset - from->cfa_offset;

	if (!run->is_open || vaddr - run->vaddr >= UNWIND_RUN_BYTES || (vaddr ^ run->vaddr) >> UNWIND_PAGE_BITS ||
	    from->cfa != CFA_REGISTER || rule->cfa != CFA_REGISTER || from->cfa_register != rule->cfa_register ||
	    from->ra != rule->ra || from->ra_offset != rule->ra_offset)
		return false;
	if (run->steps ? step != run->step : step != 8 && step != -8)
		return false;
	if (from->fp != rule->fp || from->fp_offset != rule->fp_offset) {
		if (!changes_fp(run, from, rule))
			return false;
		run->fp_step = run->steps + 1;
	}
	run->steps++;
	run->step = (int32_t)step;
	run->mask |= 1u << (vaddr - run->vaddr);
	return true;
}

/* A row at vaddr, when it changes something. */
static int put_row(struct table_builder *b, uint64_t vaddr, const struct unwind_rule *rule)
{
	struct place *p = &b->now;

	int err = put_pages(b, vaddr);
	if (err < 0 || (p->n_rows && same_rule(&p->rule, rule)))
		return err;
	if (!join_run(b, vaddr, rule)) {
		err = close_run(b);
		if (err == 0)
			err = reserve(&b->rows, &b->rows_capacity, (size_t)p->n_rows + 1);
		if (err < 0)
			return err;
		b->rows[p->n_rows++] = (uint32_t)(vaddr & (UNWIND_PAGE_BYTES - 1)) << UNWIND_RULE_BITS;
		b->run = (struct run){.vaddr = vaddr, .rule = *rule, .is_open = true};
	}
	p->rule = *rule;
	return 0;
}

static void forget_table(struct table_builder *b)
{
	b->is_open = b->has_rows = b->run.is_open = false;
	b->n_rules = 0;
	memset(b->slots, 0, 2 * (size_t)b->rules_capacity * sizeof(b->slots[0]));
}

/* The current table becomes one of the image's. */
static int close_table(struct table_builder *b)
{
	struct place *p = &b->now;

	if (!b->is_open || !b->has_rows)
		return forget_table(b), 0;
	b->pages_left += PAGES_MAX; /* what was committed is finished, whatever was tried besides */
	int err = put_row(b, b->end, &NO_RULE);
	if (err == 0)
		err = close_run(b);
	if (err < 0)
		return err;
	struct unwind_table table = {.vaddr = b->vaddr, .start = b->start, .end = b->end, .n_pages = p->n_pages, .n_rows = p->n_rows, .n_rules = b->n_rules,
				     .n_bytes = (uint32_t)bytes_of(b)};
	table.bytes = calloc(1, table.n_bytes);
	if (!table.bytes)
		return -ENOMEM;
	b->pages[p->n_pages] = p->n_rows;
	memcpy(table.bytes, b->pages, 4 * ((size_t)p->n_pages + 1));
	uint8_t *rows = table.bytes + 4 * ((size_t)p->n_pages + 1);
	for (uint32_t i = 0; i < p->n_rows; i++)
		memcpy(rows + UNWIND_ROW_BYTES * (size_t)i, &b->rows[i], UNWIND_ROW_BYTES);
	memcpy(table.bytes + unwind_table_rules_offset(p->n_pages, p->n_rows), b->rules, b->n_rules * sizeof(b->rules[0]));
	b->tables[b->n_tables++] = table;
	forget_table(b);
	return 0;
}

static int open_table(struct table_builder *b, uint64_t start)
{
	if (b->n_tables == UNWIND_TABLES_MAX)
		return -E2BIG;
	b->vaddr = start & ~(uint64_t)(UNWIND_PAGE_BYTES - 1);
	b->now = (struct place){0};
	b->is_open = true;
	b->start = b->end = start;
	if (start == b->vaddr)
		return 0;
	int err = put_row(b, b->vaddr, &NO_RULE);
	return err < 0 ? err : close_run(b); /* no rollback takes it back */
}

void table_builder_begin(struct table_builder *b, uint64_t start)
{
	b->err = 0;
	if (b->is_open && start - b->end > HOLE_MAX_BYTES && b->n_tables < HOLES_MAX)
		b->err = close_table(b);
	if (b->err == 0 && !b->is_open)
		b->err = open_table(b, start);
	b->saved = b->now;
	b->saved_end = b->end;
	if (b->err == 0 && (start - b->end > PADDING_MAX_BYTES || (start > b->end && b->hole_is_code))) {
		b->err = put_row(b, b->end, &NO_RULE);
		b->end = start;
	}
	b->padded = true;
}

void table_builder_row(struct table_builder *b, uint64_t vaddr, const struct unwind_rule *rule)
{
	if (b->err < 0)
		return;
	b->err = put_row(b, b->padded ? b->end : vaddr, rule);
	b->padded = false;
}

void table_builder_rollback(struct table_builder *b)
{
	b->now = b->saved;
	b->end = b->saved_end;
	b->hole_is_code = true;
	b->run.is_open = false;
}

int table_builder_commit(struct table_builder *b, uint64_t end)
{
	int err = b->err < 0 ? b->err : close_run(b);

	/* Room for the row that ends the table, and its pages. */
	uint64_t pages = ((end - b->vaddr) >> UNWIND_PAGE_BITS) + 2;
	uint64_t tail = 4 * (pages > b->now.n_pages ? pages - b->now.n_pages : 0) + UNWIND_ROW_BYTES + 8 + sizeof(struct unwind_rule);
	if (err == 0 && pages < PAGES_MAX && bytes_of(b) + tail <= UNWIND_TABLE_MAX_BYTES) {
		b->end = end;
		b->has_rows = true;
		b->hole_is_code = false;
		return 0;
	}
	table_builder_rollback(b);
	if (err < 0 && err != -ENOSPC)
		return err;
	bool was_alone = !b->has_rows;
	int close_err = close_table(b);
	if (close_err < 0)
		return close_err;
	return was_alone ? -E2BIG : -ENOSPC;
}

int table_builder_finish(struct table_builder *b, struct unwind_image *image)
{
	int err = close_table(b);

	if (err < 0)
		return err;
	image->tables = malloc((b->n_tables + 1) * sizeof(b->tables[0]));
	if (!image->tables)
		return -ENOMEM;
	memcpy(image->tables, b->tables, b->n_tables * sizeof(b->tables[0]));
	image->n_tables = b->n_tables;
	b->n_tables = 0;
	return 0;
}

void table_builder_destroy(struct table_builder *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n_tables; i++)
		free(b->tables[i].bytes);
	free(b->rows);
	free(b->pages);
	free(b->rules);
	free(b->slots);
	free(b);
}
