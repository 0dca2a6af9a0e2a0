#include "symbolizer/name_table_build.h"
#include "symbolizer/name_table_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BYTES_DEFAULT (256ULL << 20)
/* What writing takes for each range (twice: sorted, and in the sweep), node and sequence is set aside while they are added. */
#define RANGE_WRITE_BYTES    (sizeof(struct name_claim) + sizeof(uint32_t))
#define NODE_WRITE_BYTES     (2 * sizeof(uint32_t))
#define ROW_BYTES_MAX	     (10 + 5 + 5 + 5)
#define SITES_MAX	     ((1u << 29) - 1)
#define COLUMN_MAX	     UINT16_MAX /* generated code has longer lines; nobody looks there */

int name_table_builder_create(const struct name_table_limits *limits, struct name_table_builder **builder_out)
{
	struct name_table_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->memory.limit = limits && limits->bytes ? limits->bytes : BYTES_DEFAULT;
	if (getrandom(&b->memory.seed, sizeof(b->memory.seed), GRND_NONBLOCK) != sizeof(b->memory.seed))
		b->memory.seed = (uintptr_t)b; /* as random as the kernel has placed it */
	name_tuples_init(&b->files, &b->memory, 2);
	name_tuples_init(&b->functions, &b->memory, 4);
	name_tuples_init(&b->sites, &b->memory, 4);
	name_tuples_init(&b->function_ranges, &b->memory, 3);
	name_tuples_init(&b->sequence_ranges, &b->memory, 3);
	b->copies = NAME_TABLE_NONE;
	static const uint32_t unknown[2] = {0, 0};
	int err = name_strings_init(&b->strings, &b->memory);
	if (err == 0)
		err = (int)name_tuples_add(&b->files, unknown);
	if (err < 0) {
		name_table_builder_destroy(b);
		return err;
	}
	*builder_out = b;
	return 0;
}

int64_t name_table_add_string(struct name_table_builder *b, const char *text, size_t bytes)
{
	const char *nul = memchr(text, 0, bytes);

	if (nul)
		bytes = (size_t)(nul - text);
	if (bytes > NAME_TABLE_STRING_MAX) {
		bytes = NAME_TABLE_STRING_MAX;
		b->stats.cut++;
	}
	return name_strings_add(&b->strings, text, bytes);
}

int64_t name_table_add_file(struct name_table_builder *b, const char *directory, const char *name)
{
	int64_t directory_id = 0;

	if (!name[0])
		return 0;
	if (name[0] != '/')
		directory_id = name_table_add_string(b, directory, strlen(directory));
	if (directory_id < 0)
		return directory_id;
	int64_t name_id = name_table_add_string(b, name, strlen(name));
	if (name_id < 0)
		return name_id;
	return name_tuples_add(&b->files, (uint32_t[]){(uint32_t)directory_id, (uint32_t)name_id});
}

static int64_t add_function(struct name_table_builder *b, uint32_t name, uint32_t file, uint32_t line, bool is_symbol)
{
	if (name >= b->strings.n || file >= b->files.n)
		return -EINVAL;
	return name_tuples_add(&b->functions, (uint32_t[]){name, file, line, is_symbol});
}

int64_t name_table_add_function(struct name_table_builder *b, uint32_t name, uint32_t file, uint32_t line)
{
	return add_function(b, name, file, line, false);
}

static int64_t add_node(struct name_table_builder *b, uint32_t parent, const uint32_t site[4], unsigned depth, bool is_symbol)
{
	int64_t site_id = name_tuples_add(&b->sites, site);

	if (site_id < 0)
		return site_id;
	if (site_id > SITES_MAX || b->n_nodes == UINT32_MAX - 1)
		return -E2BIG;
	int err = name_memory_grow(&b->memory, &b->nodes, &b->nodes_capacity, sizeof(*b->nodes), b->n_nodes + 1);
	if (err == 0)
		err = name_memory_grow(&b->memory, &b->depths, &b->depths_capacity, 1, b->n_nodes + 1);
	if (err < 0)
		return err;
	if (NODE_WRITE_BYTES > b->memory.limit - b->memory.used)
		return -E2BIG;
	b->memory.used += NODE_WRITE_BYTES;
	b->depths[b->n_nodes] = (uint8_t)depth;
	b->nodes[b->n_nodes] = (struct build_node){
		.parent = parent,
		.root = parent == NAME_TABLE_NONE ? (uint32_t)b->n_nodes : b->nodes[parent].root,
		.site = (uint32_t)site_id & SITES_MAX,
		.is_symbol = is_symbol,
	};
	return (int64_t)b->n_nodes++;
}

int64_t name_table_add_node(struct name_table_builder *b, uint32_t parent, uint32_t function, uint32_t call_file, uint32_t call_line,
			    uint32_t call_column)
{
	if (function >= b->functions.n || call_file >= b->files.n || (parent != NAME_TABLE_NONE && parent >= b->n_nodes))
		return -EINVAL;
	if (parent == NAME_TABLE_NONE)
		return add_node(b, parent, (uint32_t[]){function, 0, 0, 0}, 0, false);
	if (b->nodes[parent].is_copy) {
		int64_t id = b->copies != NAME_TABLE_NONE ? b->copies : add_node(b, NAME_TABLE_NONE, (uint32_t[]){function, 0, 0, 0}, 0, false);
		if (id < 0)
			return id;
		b->copies = (uint32_t)id;
		b->nodes[id].is_copy = true;
		return id;
	}
	unsigned depth = b->depths[parent] + 1u;
	if (depth > NAME_TABLE_DEPTH_MAX) {
		b->stats.too_deep++;
		return parent; /* its ranges are the parent's */
	}
	call_column = call_column < COLUMN_MAX ? call_column : COLUMN_MAX;
	return add_node(b, parent, (uint32_t[]){function, call_file, call_line, call_column}, depth, false);
}

/* Is this the first with this range? */
static int is_first(struct name_tuples *ranges, uint64_t start, uint64_t end, bool *first_out)
{
	size_t n = ranges->n;
	int64_t id = name_tuples_add(ranges, (uint32_t[]){(uint32_t)start, (uint32_t)(start >> 32), (uint32_t)(end - start)});

	*first_out = ranges->n > n;
	return id < 0 ? (int)id : 0;
}

static bool is_function(const struct name_table_builder *b, uint32_t node)
{
	return b->nodes[node].parent == NAME_TABLE_NONE && !b->nodes[node].is_symbol;
}

/* has_own_out: false when another function has the range already, or the node is inside of such a one. */
static int claim_range(struct name_table_builder *b, uint32_t node, uint64_t start, uint64_t end, bool *has_own_out)
{
	if (node == b->copies) {
		*has_own_out = false;
		return 0;
	}
	*has_own_out = true;
	if (!is_function(b, node))
		return 0;
	int err = is_first(&b->function_ranges, start, end, has_own_out);
	if (err < 0)
		return err;
	b->nodes[node].is_copy = !*has_own_out && !b->nodes[node].has_range;
	b->stats.overlaps += !*has_own_out;
	return 0;
}

int name_table_add_range(struct name_table_builder *b, uint32_t node, uint64_t start, uint64_t end)
{
	if (node >= b->n_nodes)
		return -EINVAL;
	if (start >= end)
		return 0;
	if (end - start > UINT32_MAX || b->n_ranges == UINT32_MAX - 1) {
		b->stats.overlaps++; /* no function has 4 GiB: it would only hide others */
		return 0;
	}
	bool has_own;
	int err = claim_range(b, node, start, end, &has_own);
	if (err < 0 || !has_own)
		return err;
	err = name_memory_grow(&b->memory, &b->ranges, &b->ranges_capacity, sizeof(*b->ranges), b->n_ranges + 1);
	if (err < 0)
		return err;
	if (RANGE_WRITE_BYTES > b->memory.limit - b->memory.used)
		return -E2BIG;
	b->memory.used += RANGE_WRITE_BYTES;
	b->nodes[node].has_range = true;
	b->ranges[b->n_ranges++] = (struct name_claim){start, (uint32_t)(end - start), node};
	return 0;
}

int name_table_add_symbol(struct name_table_builder *b, uint64_t start, uint64_t end, uint32_t name)
{
	if (start >= end || !name)
		return name < b->strings.n ? 0 : -EINVAL;
	int64_t id = add_function(b, name, 0, 0, true);
	if (id >= 0)
		id = add_node(b, NAME_TABLE_NONE, (uint32_t[]){(uint32_t)id, 0, 0, 0}, 0, true);
	if (id < 0)
		return (int)id;
	b->stats.symbols++;
	return name_table_add_range(b, (uint32_t)id, start, end);
}

/* --- line rows --------------------------------------------------------------------------------------------------- */

static bool same_line(const struct name_table_row *a, const struct name_table_row *b)
{
	return a->file == b->file && a->line == b->line && a->column == b->column;
}

/* Of rows at one vaddr the last counts; rows that say what the one before says are left out. */
static void put_rows(struct name_table_builder *b, const struct name_table_row *rows, size_t n, struct build_sequence *sequence)
{
	struct name_table_row last = {.vaddr = rows[0].vaddr};
	uint8_t *at = b->row_bytes + b->n_row_bytes;

	for (size_t i = 0; i < n; i++) {
		struct name_table_row row = rows[i];
		row.column = row.column < COLUMN_MAX ? row.column : COLUMN_MAX;
		if ((i + 1 < n && rows[i + 1].vaddr == row.vaddr) || (sequence->left && same_line(&row, &last)))
			continue;
		at = uleb_put(at, row.vaddr - last.vaddr);
		at = uleb_put(at, zigzag((int64_t)row.file - last.file));
		at = uleb_put(at, zigzag((int64_t)row.line - last.line));
		at = uleb_put(at, row.column);
		b->has_columns |= row.column != 0;
		sequence->left++;
		last = row;
	}
	b->n_row_bytes = (size_t)(at - b->row_bytes);
}

static bool are_in_order(const struct name_table_builder *b, const struct name_table_row *rows, size_t n, uint64_t end)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].file >= b->files.n || rows[i].vaddr >= end || (i && rows[i].vaddr < rows[i - 1].vaddr))
			return false;
	return true;
}

int name_table_add_rows(struct name_table_builder *b, const struct name_table_row *rows, size_t n, uint64_t end)
{
	while (n && rows[n - 1].vaddr >= end) /* rows at the end are of nothing */
		n--;
	if (!n)
		return 0;
	if (!are_in_order(b, rows, n, end))
		return -EINVAL;
	if (end - rows[0].vaddr > UINT32_MAX || n > UINT32_MAX || b->n_sequences == UINT32_MAX - 1) {
		b->stats.overlaps++;
		return 0;
	}
	if (n > SIZE_MAX / 2 / ROW_BYTES_MAX)
		return -E2BIG;
	bool is_new;
	int err = is_first(&b->sequence_ranges, rows[0].vaddr, end, &is_new);
	if (err == 0 && !is_new) {
		b->stats.overlaps++;
		return 0;
	}
	if (err == 0)
		err = name_memory_grow(&b->memory, &b->row_bytes, &b->row_capacity, 1, b->n_row_bytes + n * ROW_BYTES_MAX);
	if (err == 0)
		err = name_memory_grow(&b->memory, &b->sequences, &b->sequences_capacity, sizeof(*b->sequences), b->n_sequences + 1);
	if (err == 0)
		err = name_memory_grow(&b->memory, &b->sequence_claims, &b->claims_capacity, sizeof(*b->sequence_claims), b->n_sequences + 1);
	if (err < 0)
		return err;
	if (RANGE_WRITE_BYTES > b->memory.limit - b->memory.used)
		return -E2BIG;
	b->memory.used += RANGE_WRITE_BYTES;
	struct build_sequence *sequence = &b->sequences[b->n_sequences];
	*sequence = (struct build_sequence){.at = b->n_row_bytes, .vaddr = rows[0].vaddr};
	b->sequence_claims[b->n_sequences] = (struct name_claim){rows[0].vaddr, (uint32_t)(end - rows[0].vaddr), (uint32_t)b->n_sequences};
	put_rows(b, rows, n, sequence);
	b->stats.rows += sequence->left;
	b->n_sequences++;
	return 0;
}

void name_table_builder_destroy(struct name_table_builder *b)
{
	if (!b)
		return;
	name_strings_deinit(&b->strings);
	name_tuples_deinit(&b->files);
	name_tuples_deinit(&b->functions);
	name_tuples_deinit(&b->sites);
	name_tuples_deinit(&b->function_ranges);
	name_tuples_deinit(&b->sequence_ranges);
	free(b->nodes);
	free(b->depths);
	free(b->ranges);
	free(b->sequence_claims);
	free(b->sequences);
	free(b->row_bytes);
	free(b);
}
