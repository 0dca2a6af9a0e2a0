#include "symbolizer/go_table.h"
#include "symbolizer/go_image.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 65536 /* inlined into one function */
#define NO_CALL	  (-1)
#define FILE_BYTES_MAX (4u << 20) /* of all names of files; kubectl's take 400 KB */
#define STEPS_PER_BYTE 16 /* functions share tables of pcs, but not all of them one */

/* A table of pcs, unpacked: value holds up to end. */
struct pc_value {
	uint32_t end; /* from the function's start */
	int32_t value;
};

struct pc_table {
	struct pc_value *values;
	size_t n, capacity;
};

/* An inlined call that has its node already. Another function has another root: nothing needs to be cleared. */
struct made_node {
	uint32_t root; /* + 1; 0: none */
	uint32_t node;
};

struct go_adder {
	struct go_image image;
	struct name_table_builder *builder;
	struct pc_table files, lines, calls;
	struct name_table_row *rows;
	size_t rows_capacity;
	uint32_t *file_ids; /* by offset in the table of files, + 1 */
	size_t n_file_ids;
	struct made_node *nodes; /* by index of the inlined call */
	size_t nodes_capacity;
	uint64_t steps_left;
	struct go_record record;
	uint32_t root;
};

static int reserve(void *array, size_t *capacity, size_t item_bytes, size_t n)
{
	void *old, *grown;

	if (n <= *capacity)
		return 0;
	memcpy(&old, array, sizeof(old));
	size_t wanted = 2 * *capacity > n ? 2 * *capacity : n + 64;
	grown = reallocarray(old, wanted, item_bytes);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*capacity = wanted;
	return 0;
}

/* --- tables of pcs ----------------------------------------------------------------------------------------------- */

static bool read_varint(const struct go_image *image, uint64_t *at, uint32_t *value_out)
{
	uint32_t value = 0;

	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (*at >= image->n_bytes)
			return false;
		uint8_t byte = image->bytes[(*at)++];
		value |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*value_out = value;
			return true;
		}
	}
	return false;
}

/* Pairs of differences: of the value, zigzag, from -1; of the pc. A difference of 0 in the value ends the table. Source: symtab.go, step().
 * What is damaged ends it too. */
static int read_pcs(struct go_adder *g, uint32_t offset, struct pc_table *table)
{
	uint64_t at = g->image.pcs + offset, pc = 0, length = g->record.end - g->record.start;
	uint32_t difference, advance;
	int32_t value = -1;

	table->n = 0;
	if (!offset)
		return 0;
	while (pc < length) {
		if (!g->steps_left)
			return -E2BIG;
		g->steps_left--;
		if (!read_varint(&g->image, &at, &difference) || (!difference && table->n))
			return 0;
		if (!read_varint(&g->image, &at, &advance))
			return 0;
		value = (int32_t)((uint32_t)value + (-(difference & 1) ^ difference >> 1));
		pc += (uint64_t)advance * g->image.quantum;
		int err = reserve(&table->values, &table->capacity, sizeof(*table->values), table->n + 1);
		if (err < 0)
			return err;
		table->values[table->n++] = (struct pc_value){(uint32_t)(pc < length ? pc : length), value};
	}
	return 0;
}

static int32_t value_at(const struct pc_table *table, uint32_t pc)
{
	size_t low = 0, high = table->n; /* the first that ends behind pc */

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (table->values[middle].end <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table->n ? table->values[low].value : -1;
}

/* --- files and lines --------------------------------------------------------------------------------------------- */

/* A number of the unit's files to a file of the builder. Source: symtab.go, funcfile(). */
static int64_t file_of(struct go_adder *g, int32_t number)
{
	uint64_t at = g->image.units + 4 * ((uint64_t)g->record.unit + (uint32_t)number);
	uint32_t offset;

	if (number < 0 || at > g->image.n_bytes || g->image.n_bytes - at < sizeof(offset))
		return 0;
	memcpy(&offset, g->image.bytes + at, sizeof(offset));
	if (offset >= g->n_file_ids)
		return 0;
	if (!g->file_ids[offset]) {
		int64_t id = name_table_add_file(g->builder, "", go_image_text(&g->image, g->image.files, offset));
		if (id < 0)
			return id;
		g->file_ids[offset] = (uint32_t)id + 1;
	}
	return g->file_ids[offset] - 1;
}

static int add_rows(struct go_adder *g)
{
	uint64_t start = g->image.text + g->record.start;
	size_t n = 0, file = 0, line = 0;
	uint32_t pc = 0;

	int err = reserve(&g->rows, &g->rows_capacity, sizeof(*g->rows), g->files.n + g->lines.n);
	if (err < 0)
		return err;
	while (file < g->files.n && line < g->lines.n) {
		uint32_t file_end = g->files.values[file].end, line_end = g->lines.values[line].end;
		uint32_t end = file_end < line_end ? file_end : line_end;
		int64_t id = file_of(g, g->files.values[file].value);
		if (id < 0)
			return (int)id;
		int32_t number = g->lines.values[line].value;
		if (end > pc)
			g->rows[n++] = (struct name_table_row){start + pc, (uint32_t)id, id && number > 0 ? (uint32_t)number : 0, 0};
		pc = end;
		file += file_end == end;
		line += line_end == end;
	}
	return n ? name_table_add_rows(g->builder, g->rows, n, start + pc) : 0;
}

/* --- functions and inlined calls --------------------------------------------------------------------------------- */

/* file: what is declared is where its code is. */
static int64_t add_function(struct go_adder *g, uint32_t name, uint32_t start_line, int32_t file)
{
	const char *text = go_image_text(&g->image, g->image.names, name);
	int64_t string = name_table_add_string(g->builder, text, strlen(text));
	int64_t file_id = string < 0 ? string : file_of(g, file);

	if (file_id < 0)
		return file_id;
	return name_table_add_function(g->builder, (uint32_t)string, (uint32_t)file_id, start_line > INT32_MAX ? 0 : start_line);
}

struct pending {
	int32_t index;
	struct go_call call;
	int32_t file; /* of the code of this call */
};

/* The chain from a call out to what is made already, at most as deep as tables go: trees that bite their tail end there. */
static size_t collect_pending(struct go_adder *g, int32_t index, uint32_t pc, struct pending chain[NAME_TABLE_DEPTH_MAX], uint32_t *parent_out)
{
	size_t n = 0;

	*parent_out = g->root;
	while (index != NO_CALL && n < NAME_TABLE_DEPTH_MAX) {
		if (index < 0 || index >= CALLS_MAX || !go_image_call(&g->image, &g->record, (uint32_t)index, &chain[n].call))
			break;
		if ((size_t)index < g->nodes_capacity && g->nodes[index].root == g->root + 1) {
			*parent_out = g->nodes[index].node;
			break;
		}
		chain[n].index = index;
		chain[n].file = value_at(&g->files, pc);
		pc = chain[n].call.parent_pc;
		index = value_at(&g->calls, pc);
		n++;
	}
	return n;
}

static int64_t add_call(struct go_adder *g, const struct pending *pending, uint32_t parent)
{
	uint32_t pc = pending->call.parent_pc;
	int64_t file = file_of(g, value_at(&g->files, pc));
	int32_t line = value_at(&g->lines, pc);
	int64_t function = file < 0 ? file : add_function(g, pending->call.name, pending->call.start_line, pending->file);

	if (function < 0)
		return function;
	return name_table_add_node(g->builder, parent, (uint32_t)function, (uint32_t)file, file && line > 0 ? (uint32_t)line : 0, 0);
}

/* The node of the inlined call at pc. */
static int64_t node_of(struct go_adder *g, int32_t index, uint32_t pc)
{
	struct pending chain[NAME_TABLE_DEPTH_MAX];
	uint32_t parent;

	for (size_t n = collect_pending(g, index, pc, chain, &parent); n; n--) {
		size_t at = (size_t)chain[n - 1].index, old = g->nodes_capacity;
		int64_t node = add_call(g, &chain[n - 1], parent);
		if (node < 0)
			return node;
		int err = reserve(&g->nodes, &g->nodes_capacity, sizeof(*g->nodes), at + 1);
		if (err < 0)
			return err;
		memset(g->nodes + old, 0, (g->nodes_capacity - old) * sizeof(*g->nodes));
		parent = (uint32_t)node;
		g->nodes[at] = (struct made_node){g->root + 1, parent};
	}
	return parent;
}

static int add_calls(struct go_adder *g)
{
	uint32_t pc = 0;

	for (size_t i = 0; i < g->calls.n; i++) {
		struct pc_value value = g->calls.values[i];
		uint32_t start = pc;
		pc = value.end;
		if (value.value == NO_CALL || start == pc)
			continue;
		int64_t node = node_of(g, value.value, start);
		if (node < 0)
			return (int)node;
		uint64_t base = g->image.text + g->record.start;
		int err = name_table_add_range(g->builder, (uint32_t)node, base + start, base + pc);
		if (err < 0)
			return err;
	}
	return 0;
}

static int add_record(struct go_adder *g)
{
	uint64_t start = g->image.text + g->record.start, end = g->image.text + g->record.end;
	int err = read_pcs(g, g->record.pc_file, &g->files);
	if (err == 0)
		err = read_pcs(g, g->record.pc_line, &g->lines);
	g->calls.n = 0;
	if (err == 0 && g->record.tree != UINT32_MAX && g->image.trees)
		err = read_pcs(g, g->record.pc_tree, &g->calls);
	if (err < 0)
		return err;
	int64_t id = add_function(g, g->record.name, g->record.start_line, value_at(&g->files, 0));
	if (id >= 0)
		id = name_table_add_node(g->builder, NAME_TABLE_NONE, (uint32_t)id, 0, 0, 0);
	if (id < 0)
		return (int)id;
	g->root = (uint32_t)id;
	if (g->lines.n) /* what follows up to the next function is padding */
		end = start + g->lines.values[g->lines.n - 1].end;
	err = name_table_add_range(g->builder, g->root, start, end);
	if (err == 0)
		err = add_rows(g);
	return err < 0 ? err : add_calls(g);
}

static void scope_adder(struct go_adder *g)
{
	go_image_deinit(&g->image);
	free(g->files.values);
	free(g->lines.values);
	free(g->calls.values);
	free(g->rows);
	free(g->file_ids);
	free(g->nodes);
}

int go_table_add(const struct elf_file *elf, struct name_table_builder *builder, uint64_t *functions_out)
{
	__attribute__((cleanup(scope_adder))) struct go_adder g = {.builder = builder};
	uint64_t n = 0;

	int err = go_image_open(elf, &g.image);
	if (err < 0)
		return err;
	g.steps_left = STEPS_PER_BYTE * (uint64_t)g.image.n_bytes;
	g.n_file_ids = g.image.pcs > g.image.files ? (size_t)(g.image.pcs - g.image.files) : 0; /* what lies behind the files */
	if (g.n_file_ids > FILE_BYTES_MAX)
		g.n_file_ids = FILE_BYTES_MAX;
	g.file_ids = calloc(g.n_file_ids + 1, sizeof(*g.file_ids));
	if (!g.file_ids)
		return -ENOMEM;
	for (uint64_t i = 0; i < g.image.n_functions && err == 0; i++) {
		if (!go_image_record(&g.image, i, &g.record) || g.record.end > UINT64_MAX - g.image.text)
			continue;
		err = add_record(&g);
		n += err == 0;
	}
	*functions_out = n;
	return err < 0 ? err : n ? 0 : -EBADMSG;
}
