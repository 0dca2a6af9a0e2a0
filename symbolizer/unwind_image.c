#include "symbolizer/unwind_image.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES_MAX (UNWIND_TABLE_MAX_BYTES / 4)

size_t unwind_table_rows_offset(uint32_t n_pages)
{
	return 4 * ((size_t)n_pages + 1);
}

size_t unwind_table_rules_offset(uint32_t n_pages, uint32_t n_rows)
{
	return (unwind_table_rows_offset(n_pages) + UNWIND_ROW_BYTES * (size_t)n_rows + 7) & ~(size_t)7;
}

/* One row, widened. */
static uint32_t row_at(const uint8_t *rows, uint32_t index)
{
	const uint8_t *row = rows + UNWIND_ROW_BYTES * (size_t)index;

	return row[0] | (uint32_t)row[1] << 8 | (uint32_t)row[2] << 16;
}

/* --- checks ----------------------------------------------------------------------------------------------------- */

static bool has_good_layout(const struct unwind_table *t)
{
	if (!t->n_pages || t->n_pages > PAGES_MAX || t->n_rows > UNWIND_TABLE_MAX_BYTES / UNWIND_ROW_BYTES || !t->n_rules ||
	    t->n_rules > UNWIND_RULES_MAX || t->n_bytes > UNWIND_TABLE_MAX_BYTES)
		return false;
	if (t->n_bytes != unwind_table_rules_offset(t->n_pages, t->n_rows) + t->n_rules * sizeof(struct unwind_rule))
		return false;
	if (t->vaddr & (UNWIND_PAGE_BYTES - 1) || t->vaddr > UINT64_MAX - ((uint64_t)t->n_pages << UNWIND_PAGE_BITS))
		return false;
	return t->start >= t->vaddr && t->start < t->end && t->end - t->vaddr <= (uint64_t)t->n_pages << UNWIND_PAGE_BITS;
}

static bool are_good_rows(const struct unwind_table *t)
{
	const uint8_t *rows = t->bytes + unwind_table_rows_offset(t->n_pages);
	uint32_t from, to;

	memcpy(&from, t->bytes, sizeof(from));
	if (from)
		return false;
	for (uint32_t page = 0; page < t->n_pages; page++, from = to) {
		memcpy(&to, t->bytes + 4 * ((size_t)page + 1), sizeof(to));
		if (to < from || to > t->n_rows)
			return false;
		for (uint32_t i = from, before = 0; i < to; i++) {
			uint32_t row = row_at(rows, i);
			if (row >> UNWIND_RULE_BITS < before || (row & (UNWIND_RULES_MAX - 1)) >= t->n_rules)
				return false;
			before = row >> UNWIND_RULE_BITS;
		}
	}
	return from == t->n_rows;
}

static bool is_good_place(uint8_t where)
{
	if (where & IN_REGISTER || where & AT_REGISTER_PLUS)
		return (where & AT_MASK) != AT_MASK;
	return where <= AT_UNRELIABLE;
}

static bool are_good_rules(const struct unwind_table *t)
{
	const uint8_t *rules = t->bytes + unwind_table_rules_offset(t->n_pages, t->n_rows);

	for (uint32_t i = 0; i < t->n_rules; i++) {
		struct unwind_rule rule;
		memcpy(&rule, rules + i * sizeof(rule), sizeof(rule));
		if ((rule.cfa & CFA_KIND_MASK) > CFA_UNSUPPORTED || !is_good_place(rule.fp) || !is_good_place(rule.ra))
			return false;
	}
	return true;
}

int unwind_image_check(const struct unwind_image *image)
{
	uint64_t end = 0;

	if (image->n_tables > UNWIND_TABLES_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < image->n_tables; i++) {
		const struct unwind_table *t = &image->tables[i];
		if (!has_good_layout(t) || t->start < end || !are_good_rows(t) || !are_good_rules(t))
			return -EBADMSG;
		end = t->end;
	}
	return 0;
}

/* --- use -------------------------------------------------------------------------------------------------------- */

/* As unwind_search_table() of bpf/unwind.h. */
static int find_in(const struct unwind_table *table, uint64_t vaddr, struct unwind_rule *rule_out)
{
	const uint32_t *pages = (const void *)table->bytes;
	const uint8_t *rows = (const void *)(pages + table->n_pages + 1);
	const struct unwind_rule *rules = (const struct unwind_rule *)(const void *)(table->bytes + table->n_bytes) - table->n_rules;
	uint64_t page = (vaddr - table->vaddr) >> UNWIND_PAGE_BITS;
	uint32_t in_page = vaddr & (UNWIND_PAGE_BYTES - 1);

	if (vaddr < table->start || vaddr >= table->end)
		return -ENOENT;
	uint32_t low = pages[page], high = pages[page + 1];
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (row_at(rows, middle) >> UNWIND_RULE_BITS <= in_page)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return -ENOENT;
	uint32_t row = row_at(rows, low - 1);
	*rule_out = rules[row & (UNWIND_RULES_MAX - 1)];
	unwind_rule_expand(rule_out, low > pages[page] ? in_page - (row >> UNWIND_RULE_BITS) : UNWIND_RUN_BYTES);
	return 0;
}

int unwind_image_find(const struct unwind_image *image, uint64_t vaddr, struct unwind_rule *rule_out)
{
	for (size_t i = 0; i < image->n_tables; i++)
		if (find_in(&image->tables[i], vaddr, rule_out) == 0)
			return 0;
	return -ENOENT;
}

size_t unwind_image_bytes(const struct unwind_image *image)
{
	size_t bytes = 0;

	for (size_t i = 0; i < image->n_tables; i++)
		bytes += image->tables[i].n_bytes;
	return bytes;
}

void unwind_image_free(struct unwind_image *image)
{
	if (!image)
		return;
	for (size_t i = 0; i < image->n_tables && !image->block; i++)
		free(image->tables[i].bytes);
	if (image->mapped_bytes)
		munmap(image->block, image->mapped_bytes);
	else
		free(image->block);
	free(image->tables);
	free(image);
}
