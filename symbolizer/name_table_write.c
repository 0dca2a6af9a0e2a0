/* A builder's collection becomes bytes: one sweep over the vaddrs makes the stream and numbers the nodes as they are met; what they refer to
 * follows in the order in which it is referred to, so that what is looked up together lies together. */
#include "symbolizer/name_table_build.h"
#include "symbolizer/name_table_format.h"
#include "symbolizer/name_text.h"
#include "symbolizer/table_file.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE NAME_TABLE_NONE

/* New numbers for things, in the order in which they are first used. */
struct renumber {
	uint32_t *new_of; /* NONE: not used yet */
	uint32_t *old_of;
	uint32_t n;
};

static int renumber_init(struct renumber *r, size_t n)
{
	r->new_of = malloc((n + 1) * sizeof(*r->new_of));
	r->old_of = malloc((n + 1) * sizeof(*r->old_of));
	if (!r->new_of || !r->old_of)
		return -ENOMEM;
	memset(r->new_of, 0xff, n * sizeof(*r->new_of));
	return 0;
}

static uint32_t renumber(struct renumber *r, uint32_t old)
{
	if (r->new_of[old] == NONE) {
		r->new_of[old] = r->n;
		r->old_of[r->n++] = old;
	}
	return r->new_of[old];
}

static void renumber_deinit(struct renumber *r)
{
	free(r->new_of);
	free(r->old_of);
}

struct line_state {
	uint32_t file, line, column;
};

/* A vaddr where the node, the line, or both change. */
struct change {
	uint64_t vaddr;
	uint32_t node; /* NONE: none */
	bool has_line;
	struct line_state line;
};

struct writer {
	struct name_table_builder *b;
	struct table_file *file;
	struct name_table_head head;
	struct name_sweep nodes_sweep, rows_sweep;
	uint32_t *heap;
	struct name_claim *scratch;
	/* The stream's state, behind the last entry. */
	uint64_t vaddr, function_start;
	uint32_t node; /* old number; NONE */
	struct line_state line;
	uint32_t entries; /* in the block */
	uint64_t *block_vaddrs;
	uint32_t *block_offsets;
	size_t n_blocks, blocks_capacity, offsets_capacity;
	struct name_memory memory; /* of blocks and packed strings, beyond the builder's limit: both are a small part of what it has */
	struct renumber nodes, sites, functions, files, strings;
	uint32_t *string_offsets; /* by new number */
	struct text_packer *packer;
	uint8_t *packed; /* strings */
	size_t n_packed, packed_capacity;
};

/* --- the stream -------------------------------------------------------------------------------------------------- */

/* Parents get their numbers before their children. */
static uint32_t number_node(struct writer *w, uint32_t node)
{
	uint32_t chain[NAME_TABLE_DEPTH_MAX + 1];
	size_t n = 0;

	if (node == NONE)
		return NONE;
	for (uint32_t at = node; at != NONE && w->nodes.new_of[at] == NONE; at = w->b->nodes[at].parent)
		chain[n++] = at;
	while (n)
		renumber(&w->nodes, chain[--n]);
	return w->nodes.new_of[node];
}

static const uint32_t *function_of(const struct writer *w, uint32_t node)
{
	const uint32_t *site = name_tuples_get(&w->b->sites, w->b->nodes[node].site);

	return name_tuples_get(&w->b->functions, site[SITE_FUNCTION]);
}

static uint32_t root_of(const struct writer *w, uint32_t node)
{
	return node == NONE ? NONE : w->b->nodes[node].root;
}

static int begin_block(struct writer *w, const struct change *to)
{
	uint8_t bytes[64], *at = bytes;
	uint64_t offset = table_file_offset(w->file) - w->head.sections[SECTION_STREAM].offset;

	if (offset > UINT32_MAX)
		return -E2BIG;
	int err = name_memory_grow(&w->memory, &w->block_vaddrs, &w->blocks_capacity, sizeof(*w->block_vaddrs), w->n_blocks + 1);
	if (err == 0)
		err = name_memory_grow(&w->memory, &w->block_offsets, &w->offsets_capacity, sizeof(*w->block_offsets), w->n_blocks + 2);
	if (err < 0)
		return err;
	w->block_vaddrs[w->n_blocks] = to->vaddr;
	w->block_offsets[w->n_blocks++] = (uint32_t)offset;
	at = uleb_put(at, to->node == NONE ? 0 : number_node(w, to->node) + 1ULL);
	at = uleb_put(at, to->node == NONE ? 0 : to->vaddr - w->function_start);
	at = uleb_put(at, renumber(&w->files, to->line.file));
	at = uleb_put(at, to->line.line);
	if (w->b->has_columns)
		at = uleb_put(at, to->line.column);
	w->entries = 1;
	return table_file_put(w->file, bytes, (size_t)(at - bytes));
}

/* How a line is said with the fewest bytes. */
static enum entry_line choose_line(const struct writer *w, const struct change *to, uint64_t *value_out)
{
	uint64_t step = zigzag((int64_t)to->line.line - w->line.line), of_node = UINT64_MAX;
	bool has_step = to->line.file == w->line.file;

	if (to->node != NONE) {
		const uint32_t *function = function_of(w, to->node);
		if (function[FUNCTION_FILE] == to->line.file)
			of_node = zigzag((int64_t)to->line.line - function[FUNCTION_LINE]);
	}
	*value_out = has_step ? step : of_node;
	if (has_step && step <= of_node)
		return LINE_STEP;
	*value_out = of_node;
	if (of_node != UINT64_MAX)
		return LINE_OF_NODE;
	*value_out = to->line.line;
	return LINE_EXPLICIT;
}

static int put_entry(struct writer *w, const struct change *to, bool new_function)
{
	uint8_t bytes[64], *at = bytes + 1;
	uint64_t advance = to->vaddr - w->vaddr, value = 0;
	unsigned tag = advance < 16 ? (unsigned)advance << ENTRY_ADVANCE_SHIFT : 0;

	if (advance >= 16)
		at = uleb_put(at, advance);
	if (to->node != w->node) {
		int64_t from = w->node == NONE ? -1 : (int64_t)w->nodes.new_of[w->node];
		int64_t number = to->node == NONE ? -1 : (int64_t)number_node(w, to->node);
		tag |= ENTRY_NODE | (new_function ? ENTRY_FUNCTION : 0);
		at = uleb_put(at, zigzag(number - from));
	}
	if (memcmp(&to->line, &w->line, sizeof(w->line)) != 0) {
		enum entry_line kind = choose_line(w, to, &value);
		tag |= kind;
		if (kind == LINE_EXPLICIT)
			at = uleb_put(at, renumber(&w->files, to->line.file));
		at = uleb_put(at, value);
		if (w->b->has_columns)
			at = uleb_put(at, to->line.column);
	}
	bytes[0] = (uint8_t)tag;
	w->entries++;
	return table_file_put(w->file, bytes, (size_t)(at - bytes));
}

static int put_change(struct writer *w, const struct change *to)
{
	int err;

	if (to->node == w->node && memcmp(&to->line, &w->line, sizeof(w->line)) == 0)
		return 0;
	bool new_function = to->node != NONE && root_of(w, to->node) != root_of(w, w->node);
	if (new_function)
		w->function_start = to->vaddr;
	if (!w->n_blocks || w->entries == BLOCK_ENTRIES)
		err = begin_block(w, to);
	else
		err = put_entry(w, to, new_function);
	w->vaddr = to->vaddr;
	w->node = to->node;
	w->line = to->line;
	return err;
}

/* --- what the sweep goes over ------------------------------------------------------------------------------------ */

static bool node_before(const void *context, uint32_t a, uint32_t b)
{
	const struct writer *w = context;
	uint32_t left = w->b->ranges[a].owner, right = w->b->ranges[b].owner;
	const struct build_node *x = &w->b->nodes[left], *y = &w->b->nodes[right];

	if (x->is_symbol != y->is_symbol)
		return y->is_symbol;
	if (x->root != y->root)
		return x->root < y->root;
	if (w->b->depths[left] != w->b->depths[right])
		return w->b->depths[left] > w->b->depths[right];
	return left != right ? left < right : a < b;
}

static bool node_rivals(const void *context, uint32_t a, uint32_t b)
{
	const struct writer *w = context;
	const struct build_node *x = &w->b->nodes[a], *y = &w->b->nodes[b];

	return x->root != y->root && x->is_symbol == y->is_symbol;
}

/* A sequence that begins later is more to the point: what the linker left of removed code begins early. */
static bool sequence_before(const void *context, uint32_t a, uint32_t b)
{
	const struct name_claim *claims = ((const struct writer *)context)->b->sequence_claims;

	if (claims[a].start != claims[b].start)
		return claims[a].start > claims[b].start;
	return claims[a].owner < claims[b].owner;
}

static bool sequence_rivals(const void *context, uint32_t a, uint32_t b)
{
	(void)context;
	return a != b;
}

/* A stream of changes out of a sweep: its segments, and "none" in the holes between them. */
struct node_feed {
	struct name_segment segment, next;
	bool has_next, in_hole, is_done;
	uint64_t vaddr; /* of the change */
	uint32_t node;
};

static void feed_begin(struct node_feed *feed, struct name_sweep *sweep)
{
	*feed = (struct node_feed){0};
	feed->has_next = name_sweep_next(sweep, &feed->next);
}

/* The next segment, or the hole before it. False: nothing follows. */
static bool feed_next(struct node_feed *feed, struct name_sweep *sweep)
{
	if (!feed->in_hole && feed->segment.end && (!feed->has_next || feed->next.start != feed->segment.end)) {
		feed->in_hole = true;
		feed->vaddr = feed->segment.end;
		feed->node = NONE;
		return true;
	}
	if (!feed->has_next)
		return false;
	feed->segment = feed->next;
	feed->in_hole = false;
	feed->vaddr = feed->segment.start;
	feed->node = feed->segment.owner;
	feed->has_next = name_sweep_next(sweep, &feed->next);
	return true;
}

/* Numbers that the builder wrote: no checks. */
static uint64_t row_uleb(const uint8_t *bytes, uint64_t *at)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		uint8_t byte = bytes[(*at)++];
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
}

/* Go to the sequence's next row, if it begins at limit or before. */
static bool sequence_step(const struct name_table_builder *b, struct build_sequence *sequence, uint64_t limit)
{
	uint64_t at = sequence->at;

	if (!sequence->left)
		return false;
	uint64_t vaddr = sequence->vaddr + row_uleb(b->row_bytes, &at);
	if (vaddr > limit)
		return false;
	sequence->vaddr = vaddr;
	sequence->file = (uint32_t)(sequence->file + unzigzag(row_uleb(b->row_bytes, &at)));
	sequence->line = (uint32_t)(sequence->line + unzigzag(row_uleb(b->row_bytes, &at)));
	sequence->column = (uint32_t)row_uleb(b->row_bytes, &at);
	sequence->at = at;
	sequence->left--;
	return true;
}

/* As node_feed, and inside of a segment the sequence's rows. */
struct row_feed {
	struct node_feed feed;
	struct build_sequence *sequence; /* NULL: in a hole */
	uint64_t vaddr;
	struct line_state line;
};

static bool rows_next(struct row_feed *rows, struct writer *w)
{
	struct build_sequence *sequence = rows->sequence;

	if (sequence && sequence_step(w->b, sequence, rows->feed.segment.end - 1)) {
		rows->vaddr = sequence->vaddr;
	} else {
		if (!feed_next(&rows->feed, &w->rows_sweep))
			return false;
		rows->vaddr = rows->feed.vaddr;
		rows->sequence = sequence = rows->feed.in_hole ? NULL : &w->b->sequences[rows->feed.node];
		while (sequence && sequence_step(w->b, sequence, rows->vaddr))
			;
	}
	rows->line = sequence ? (struct line_state){sequence->file, sequence->line, sequence->column} : (struct line_state){0};
	return true;
}

static int put_stream(struct writer *w)
{
	struct node_feed nodes;
	struct row_feed rows = {0};
	struct change to = {.node = NONE};

	w->node = NONE;
	feed_begin(&nodes, &w->nodes_sweep);
	feed_begin(&rows.feed, &w->rows_sweep);
	bool has_node = feed_next(&nodes, &w->nodes_sweep), has_row = rows_next(&rows, w);
	while (has_node || has_row) {
		to.vaddr = !has_row || (has_node && nodes.vaddr < rows.vaddr) ? nodes.vaddr : rows.vaddr;
		if (has_node && nodes.vaddr == to.vaddr) {
			to.node = nodes.node;
			has_node = feed_next(&nodes, &w->nodes_sweep);
		}
		if (has_row && rows.vaddr == to.vaddr) {
			to.line = rows.line;
			has_row = rows_next(&rows, w);
		}
		int err = put_change(w, &to);
		if (err < 0)
			return err;
	}
	return 0;
}

/* --- the tables -------------------------------------------------------------------------------------------------- */

typedef void (*row_get)(struct writer *w, uint32_t i, uint32_t values[PACKED_COLUMNS]);

static void get_node(struct writer *w, uint32_t i, uint32_t values[PACKED_COLUMNS])
{
	const struct build_node *node = &w->b->nodes[w->nodes.old_of[i]];

	values[0] = node->parent == NONE ? 0 : i - w->nodes.new_of[node->parent];
	values[1] = renumber(&w->sites, node->site);
}

static void get_site(struct writer *w, uint32_t i, uint32_t values[PACKED_COLUMNS])
{
	const uint32_t *site = name_tuples_get(&w->b->sites, w->sites.old_of[i]);

	values[0] = renumber(&w->functions, site[SITE_FUNCTION]);
	values[1] = renumber(&w->files, site[SITE_FILE]);
	values[2] = site[SITE_LINE];
	values[3] = site[SITE_COLUMN];
}

static void get_function(struct writer *w, uint32_t i, uint32_t values[PACKED_COLUMNS])
{
	const uint32_t *function = name_tuples_get(&w->b->functions, w->functions.old_of[i]);

	values[0] = w->string_offsets ? w->string_offsets[w->strings.new_of[function[FUNCTION_NAME]]]
				      : renumber(&w->strings, function[FUNCTION_NAME]);
	values[1] = renumber(&w->files, function[FUNCTION_FILE]);
	values[2] = function[FUNCTION_LINE];
	values[3] = function[FUNCTION_IS_SYMBOL];
}

static void get_file(struct writer *w, uint32_t i, uint32_t values[PACKED_COLUMNS])
{
	const uint32_t *file = name_tuples_get(&w->b->files, w->files.old_of[i]);

	for (int k = 0; k < 2; k++)
		values[k] = w->string_offsets ? w->string_offsets[w->strings.new_of[file[k]]] : renumber(&w->strings, file[k]);
}

static uint8_t bits_of(uint32_t value)
{
	return value ? (uint8_t)(32 - __builtin_clz(value)) : 0;
}

static int put_packed(struct writer *w, enum name_table_section which, uint32_t n, row_get get)
{
	struct section_head *section = &w->head.sections[which];
	uint32_t values[PACKED_COLUMNS] = {0}, all[PACKED_COLUMNS] = {0};
	struct bit_writer bits;

	for (uint32_t i = 0; i < n; i++) {
		get(w, i, values);
		for (int k = 0; k < PACKED_COLUMNS; k++)
			all[k] |= values[k];
	}
	for (int k = 0; k < PACKED_COLUMNS; k++)
		section->bits[k] = bits_of(all[k]);
	section->n = n;
	section->offset = table_file_offset(w->file);
	bit_writer_init(&bits, w->file);
	for (uint32_t i = 0; i < n; i++) {
		get(w, i, values);
		for (int k = 0; k < PACKED_COLUMNS; k++)
			bit_writer_put(&bits, values[k], section->bits[k]);
	}
	bit_writer_flush(&bits);
	int err = table_file_put(w->file, (const uint8_t[PACKED_SLACK]){0}, PACKED_SLACK);
	section->bytes = table_file_offset(w->file) - section->offset;
	return err < 0 ? err : table_file_align(w->file);
}

static int put_plain(struct writer *w, enum name_table_section which, const void *bytes, size_t n_bytes, uint32_t n)
{
	struct section_head *section = &w->head.sections[which];

	*section = (struct section_head){.offset = table_file_offset(w->file), .bytes = n_bytes, .n = n};
	int err = table_file_put(w->file, bytes, n_bytes);
	return err < 0 ? err : table_file_align(w->file);
}

static int pack_strings(struct writer *w, uint32_t *offsets)
{
	size_t bytes;

	int err = text_packer_create(&w->b->strings, w->strings.old_of, w->strings.n, &w->packer);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < w->strings.n; i++) {
		const char *text = name_strings_text(&w->b->strings, w->strings.old_of[i], &bytes);
		err = name_memory_grow(&w->memory, &w->packed, &w->packed_capacity, 1, w->n_packed + NAME_TEXT_PACKED_MAX(bytes));
		if (err < 0)
			return err;
		if (w->n_packed > UINT32_MAX)
			return -E2BIG;
		offsets[i] = (uint32_t)w->n_packed;
		w->n_packed += text_pack(w->packer, text, bytes, w->packed + w->n_packed);
	}
	return 0;
}

/* Numbers strings by a first pass over who uses them, then knows where they will lie. */
static int place_strings(struct writer *w)
{
	uint32_t values[PACKED_COLUMNS];

	renumber(&w->strings, 0);
	for (uint32_t i = 0; i < w->functions.n; i++)
		get_function(w, i, values);
	for (uint32_t i = 0; i < w->files.n; i++)
		get_file(w, i, values);
	uint32_t *offsets = malloc(((size_t)w->strings.n + 1) * sizeof(*offsets));
	if (!offsets)
		return -ENOMEM;
	int err = pack_strings(w, offsets);
	w->string_offsets = offsets;
	return err;
}

/* What the stream was made of makes room for what strings are packed with: a builder that is full has nothing to spare. */
static void free_spent(struct writer *w)
{
	struct name_table_builder *b = w->b;

	free(b->ranges);
	free(b->sequence_claims);
	free(b->sequences);
	free(b->row_bytes);
	free(w->heap);
	b->ranges = b->sequence_claims = NULL;
	b->sequences = NULL;
	b->row_bytes = NULL;
	w->heap = NULL;
	name_slots_deinit(&b->strings.index);
	name_slots_deinit(&b->functions.index);
	name_slots_deinit(&b->sites.index);
	name_tuples_deinit(&b->function_ranges);
	name_tuples_deinit(&b->sequence_ranges);
}

static int put_tables(struct writer *w)
{
	struct section_head *stream = &w->head.sections[SECTION_STREAM];

	stream->bytes = table_file_offset(w->file) - stream->offset;
	if (stream->bytes > UINT32_MAX)
		return -E2BIG;
	static const uint32_t no_blocks = 0;
	if (w->n_blocks)
		w->block_offsets[w->n_blocks] = (uint32_t)stream->bytes;
	int err = table_file_align(w->file);
	if (err == 0)
		err = put_plain(w, SECTION_BLOCK_VADDRS, w->block_vaddrs, w->n_blocks * sizeof(uint64_t), (uint32_t)w->n_blocks);
	if (err == 0)
		err = put_plain(w, SECTION_BLOCK_OFFSETS, w->n_blocks ? w->block_offsets : &no_blocks, (w->n_blocks + 1) * sizeof(uint32_t),
				(uint32_t)w->n_blocks + 1);
	if (err == 0)
		err = put_packed(w, SECTION_NODES, w->nodes.n, get_node);
	if (err == 0)
		err = put_packed(w, SECTION_SITES, w->sites.n, get_site);
	if (err == 0)
		err = place_strings(w);
	if (err == 0)
		err = put_packed(w, SECTION_FUNCTIONS, w->functions.n, get_function);
	if (err == 0)
		err = put_packed(w, SECTION_FILES, w->files.n, get_file);
	if (err < 0)
		return err;
	size_t bytes;
	const uint8_t *dictionary = text_packer_dictionary(w->packer, &bytes);
	err = put_plain(w, SECTION_DICTIONARY, dictionary, bytes, 0);
	return err < 0 ? err : put_plain(w, SECTION_STRINGS, w->packed, w->n_packed, w->strings.n);
}

/* --- all --------------------------------------------------------------------------------------------------------- */

static int prepare(struct writer *w)
{
	struct name_table_builder *b = w->b;
	size_t n_claims = b->n_ranges > b->n_sequences ? b->n_ranges : b->n_sequences;

	w->scratch = malloc((n_claims + 1) * sizeof(*w->scratch));
	if (!w->scratch)
		return -ENOMEM;
	name_claims_sort(b->ranges, w->scratch, b->n_ranges);
	name_claims_sort(b->sequence_claims, w->scratch, b->n_sequences);
	free(w->scratch);
	w->scratch = NULL;
	w->heap = malloc((b->n_ranges + b->n_sequences + 1) * sizeof(*w->heap));
	if (!w->heap)
		return -ENOMEM;
	w->nodes_sweep = (struct name_sweep){
		.claims = b->ranges, .n = b->n_ranges, .heap = w->heap, .before = node_before, .rivals = node_rivals, .context = w};
	w->rows_sweep = (struct name_sweep){.claims = b->sequence_claims, .n = b->n_sequences, .heap = w->heap + b->n_ranges,
					    .before = sequence_before, .rivals = sequence_rivals, .context = w};
	int err = renumber_init(&w->nodes, b->n_nodes);
	if (err == 0)
		err = renumber_init(&w->sites, b->sites.n);
	if (err == 0)
		err = renumber_init(&w->functions, b->functions.n);
	if (err == 0)
		err = renumber_init(&w->files, b->files.n);
	if (err == 0)
		err = renumber_init(&w->strings, b->strings.n);
	if (err == 0)
		renumber(&w->files, 0);
	return err;
}

static void scope_writer(struct writer *w)
{
	table_file_destroy(w->file);
	renumber_deinit(&w->nodes);
	renumber_deinit(&w->sites);
	renumber_deinit(&w->functions);
	renumber_deinit(&w->files);
	renumber_deinit(&w->strings);
	free(w->heap);
	free(w->scratch);
	free(w->block_vaddrs);
	free(w->block_offsets);
	free(w->string_offsets);
	text_packer_destroy(w->packer);
	free(w->packed);
}

int name_table_write(struct name_table_builder *b, int fd, uint64_t *bytes_out, struct name_table_stats *stats_out)
{
	__attribute__((cleanup(scope_writer))) struct writer w = {.b = b, .memory.limit = UINT64_MAX};

	memcpy(w.head.magic, NAME_TABLE_MAGIC, sizeof(w.head.magic));
	w.head.version = NAME_TABLE_VERSION;
	w.head.flags = b->has_columns ? NAME_TABLE_HAS_COLUMNS : 0;
	int err = table_file_create(fd, sizeof(w.head), &w.file);
	if (err == 0)
		err = prepare(&w);
	if (err < 0)
		return err;
	w.head.sections[SECTION_STREAM].offset = table_file_offset(w.file);
	err = put_stream(&w);
	free_spent(&w);
	if (err == 0)
		err = put_tables(&w);
	if (err == 0)
		err = table_file_finish(w.file, &w.head);
	if (err < 0)
		return err;
	b->stats.functions = w.functions.n;
	b->stats.nodes = w.nodes.n;
	b->stats.ranges = b->n_ranges;
	b->stats.strings = w.strings.n;
	b->stats.overlaps += w.nodes_sweep.overlaps + w.rows_sweep.overlaps;
	*bytes_out = w.head.bytes;
	*stats_out = b->stats;
	return 0;
}
