/* Split units: in a package (FILE.dwp), or each in a .dwo of its own. Source: DWARF 5, 7.3.2, 7.3.3 and 7.3.5; GNU: DebugFissionDWP (version 2). */
#include "symbolizer/dwarf_compiler.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX	     4
#define PACKAGE_SECTIONS_MAX 16	  /* columns; 8 are defined */
#define PROBES_MAX	     1024 /* of a hash table that is a third empty */
#define UNITS_MAX	     64   /* of one .dwo: one compilation unit, before or behind its type units */

/* Columns. Version 2 has .debug_types.dwo as 2 and .debug_loc.dwo as 5; none of both is read. */
enum { COLUMN_INFO = 1, COLUMN_ABBREV = 3, COLUMN_STR_OFFSETS = 6, COLUMN_RNGLISTS = 8, COLUMNS };

struct package_index {
	uint16_t version;
	uint32_t n_columns, n_units, n_slots;
	uint64_t slots, rows, columns, offsets, sizes; /* places in .debug_cu_index */
};

struct dwarf_split {
	struct dwarf_file *package; /* NULL: none */
	struct dwarf_view view;	    /* of its .debug_cu_index */
	struct package_index index;
};

/* Parts of the package's sections that belong to one unit. */
struct parts {
	uint64_t offsets[COLUMNS];
};

/* --- the package's index ------------------------------------------------------------------------------------------- */

static int read_u32s(struct dwarf_view *view, uint64_t offset, uint32_t *values, size_t n)
{
	const uint8_t *at;
	int err = dwarf_view_get(view, offset, n * sizeof(*values), &at);

	if (err == 0)
		memcpy(values, at, n * sizeof(*values));
	return err;
}

static int read_index(struct dwarf_split *split)
{
	struct package_index *index = &split->index;
	uint32_t head[4];
	int err = read_u32s(&split->view, 0, head, 4);

	if (err < 0)
		return err;
	index->version = (uint16_t)head[0];
	index->n_columns = head[1];
	index->n_units = head[2];
	index->n_slots = head[3];
	bool is_known = head[0] == 2 || index->version == 5;
	if (!is_known || index->n_columns == 0 || index->n_columns > PACKAGE_SECTIONS_MAX || (index->n_slots & (index->n_slots - 1)))
		return -EBADMSG;
	index->slots = 16;
	index->rows = index->slots + 8ull * index->n_slots;
	index->columns = index->rows + 4ull * index->n_slots;
	index->offsets = index->columns + 4ull * index->n_columns;
	index->sizes = index->offsets + 4ull * index->n_columns * index->n_units; /* 2^36 at most */
	return 0;
}

/* The row of an id. Returns 0 or an error; -ENOENT: it is not in the package. */
static int find_row(struct dwarf_split *split, uint64_t id, uint32_t *row_out)
{
	const struct package_index *index = &split->index;
	uint32_t mask = index->n_slots - 1, slot = (uint32_t)id & mask, row = 0;
	uint32_t stride = ((uint32_t)(id >> 32) & mask) | 1;

	for (unsigned probes = 0; probes < PROBES_MAX && index->n_slots; probes++, slot = (slot + stride) & mask) {
		const uint8_t *at;
		int err = read_u32s(&split->view, index->rows + 4ull * slot, &row, 1);
		if (err == 0 && row)
			err = dwarf_view_get(&split->view, index->slots + 8ull * slot, 8, &at);
		if (err < 0)
			return err;
		if (!row)
			return -ENOENT;
		if (memcmp(at, &id, 8) != 0)
			continue;
		*row_out = row - 1;
		return row <= index->n_units ? 0 : -EBADMSG;
	}
	return -ENOENT;
}

static int find_parts(struct dwarf_split *split, uint64_t id, struct parts *parts_out)
{
	const struct package_index *index = &split->index;
	uint32_t columns[PACKAGE_SECTIONS_MAX], offsets[PACKAGE_SECTIONS_MAX], row;
	struct parts parts = { .offsets = { 0 } };
	int err = find_row(split, id, &row);

	if (err == 0)
		err = read_u32s(&split->view, index->columns, columns, index->n_columns);
	if (err == 0)
		err = read_u32s(&split->view, index->offsets + 4ull * index->n_columns * row, offsets, index->n_columns);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < index->n_columns; i++)
		if (columns[i] < COLUMNS)
			parts.offsets[columns[i]] = offsets[i];
	if (index->version == 2)
		parts.offsets[COLUMN_RNGLISTS] = 0; /* .debug_macro.dwo there */
	*parts_out = parts;
	return 0;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

static int ask(struct dwarf_compiler *d, const struct debug_ask *ask, unsigned nth, struct dwarf_file **file_out)
{
	const struct debug_asker *asker = d->input->asker;
	int fd;

	if (!asker || d->asks == DEBUG_ASKS_MAX) {
		d->stats.over_limits += asker != NULL;
		return -ENOENT;
	}
	d->asks++;
	if (asker->open(asker->context, ask, nth, &fd) < 0)
		return -ENOENT;
	int err = dwarf_file_open(fd, true, d->input->budget, file_out);
	return err == -ENOENT || err == -ENOEXEC ? -EBADMSG : err;
}

static int open_package(struct dwarf_compiler *d)
{
	static const struct debug_ask PACKAGE = { .kind = DEBUG_ASK_DWP, .directory = "", .name = "" };
	struct dwarf_split *split = calloc(1, sizeof(*split));

	if (!split)
		return -ENOMEM;
	d->split = split;
	for (unsigned nth = 0; nth < CANDIDATES_MAX; nth++) {
		int err = ask(d, &PACKAGE, nth, &split->package);
		if (err == -ENOENT || dwarf_is_fatal(err))
			return err == -ENOENT ? 0 : err;
		if (err < 0)
			continue;
		dwarf_view_init(&split->view, split->package->sections, DWARF_CU_INDEX);
		err = read_index(split);
		if (err == 0)
			return 0;
		dwarf_view_deinit(&split->view);
		dwarf_file_destroy(split->package);
		split->package = NULL;
		if (dwarf_is_fatal(err))
			return err;
	}
	return 0;
}

void dwarf_split_destroy(struct dwarf_split *split)
{
	if (!split)
		return;
	if (split->package)
		dwarf_view_deinit(&split->view);
	dwarf_file_destroy(split->package);
	free(split);
}

/* --- units --------------------------------------------------------------------------------------------------------- */

static uint64_t id_of(const struct dwarf_context *c, const struct dwarf_die *root)
{
	if (c->unit.shape.version >= 5)
		return c->unit.id;
	return dwarf_die_has(root, SLOT_DWO_ID) ? root->values[SLOT_DWO_ID].number : 0;
}

static struct dwarf_context presets_of(struct dwarf_context *skeleton, const struct parts *parts)
{
	return (struct dwarf_context){
		.code = skeleton->file,
		.lines = skeleton,
		.low_pc = skeleton->low_pc,
		.addr_base = skeleton->addr_base,
		.ranges_base = skeleton->gnu_ranges_base,
		.str_offsets_base = parts->offsets[COLUMN_STR_OFFSETS],
		.rnglists_base = parts->offsets[COLUMN_RNGLISTS],
	};
}

/* Walk a unit when it is the skeleton's. Returns 0, -ENOENT (it is not), or an error. */
static int walk_unit(struct dwarf_compiler *d, struct dwarf_context *skeleton, uint64_t id, struct dwarf_file *file,
		     const struct dwarf_unit *unit, const struct parts *parts)
{
	const struct dwarf_context presets = presets_of(skeleton, parts);
	struct dwarf_unit moved = *unit;
	struct dwarf_context c;
	struct dwarf_die root;

	if (unit->type == DW_UT_type || unit->type == DW_UT_split_type || (unit->shape.version >= 5 && unit->id != id))
		return -ENOENT;
	if (__builtin_add_overflow(moved.abbrevs, parts->offsets[COLUMN_ABBREV], &moved.abbrevs))
		return -EBADMSG;
	int err = dwarf_context_open(file, &moved, &presets, &c, &root);
	if (err == 0)
		err = id_of(&c, &root) == id ? dwarf_walk(d, &c, &root) : -ENOENT;
	dwarf_context_close(&c);
	return err;
}

static int walk_packed(struct dwarf_compiler *d, struct dwarf_context *skeleton, uint64_t id)
{
	struct dwarf_split *split = d->split;
	struct dwarf_unit unit;
	struct parts parts;

	if (!split->package)
		return -ENOENT;
	int err = find_parts(split, id, &parts);
	if (err == 0)
		err = dwarf_unit_at(split->package, parts.offsets[COLUMN_INFO], &unit);
	return err < 0 ? err : walk_unit(d, skeleton, id, split->package, &unit, &parts);
}

static int walk_file(struct dwarf_compiler *d, struct dwarf_context *skeleton, uint64_t id, struct dwarf_file *file)
{
	static const struct parts WHOLE = { .offsets = { 0 } };
	const struct dwarf_unit *unit;
	int err = -ENOENT;

	for (size_t i = 0; i < UNITS_MAX && err == -ENOENT; i++) {
		err = dwarf_unit_nth(file, i, &unit);
		if (err < 0)
			return err;
		err = walk_unit(d, skeleton, id, file, unit, &WHOLE);
	}
	return err;
}

static int walk_single(struct dwarf_compiler *d, struct dwarf_context *skeleton, const struct dwarf_die *root, uint64_t id)
{
	char name[DEBUG_ASK_TEXT_MAX];
	const char *text;
	size_t bytes;
	int err = dwarf_string(skeleton, &root->values[SLOT_DWO_NAME], &text, &bytes);

	if (err < 0 || bytes >= sizeof(name))
		return err < 0 ? err : -E2BIG;
	memcpy(name, text, bytes);
	name[bytes] = 0;
	const struct debug_ask wanted = { .kind = DEBUG_ASK_DWO, .directory = skeleton->directory ? skeleton->directory : "", .name = name };
	for (unsigned nth = 0; nth < CANDIDATES_MAX; nth++) {
		struct dwarf_file *file;
		err = ask(d, &wanted, nth, &file);
		if (err == -ENOENT || dwarf_is_fatal(err))
			return err;
		if (err < 0)
			continue;
		err = walk_file(d, skeleton, id, file);
		d->stats.bad_units += file->bad_units;
		dwarf_file_destroy(file);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

int dwarf_split_walk(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *root)
{
	uint64_t id = id_of(c, root);
	int err = d->split ? 0 : open_package(d);

	if (err == 0)
		err = walk_packed(d, c, id);
	return err == -ENOENT ? walk_single(d, c, root, id) : err;
}
