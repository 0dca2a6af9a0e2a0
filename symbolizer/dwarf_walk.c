/* One pass over the DIEs of a unit. Most are passed over by their abbreviation's steps; functions and inlined calls with code become nodes.
 *
 * Nothing here recurses. How deep the tree is does not matter: only functions and inlined calls are kept on a stack, other levels are counted. */
#include "symbolizer/dwarf_compiler.h"

#include <dwarf.h>
#include <errno.h>
#include <string.h>

#define LONGEST_DIE (16u << 10) /* nearly all are shorter: with less than this before it, the window moves on */

struct scope {
	uint64_t depth; /* of the DIEs in it */
	uint32_t node;	/* NAME_TABLE_NONE: has no code, or none that is wanted */
};

struct walk {
	struct dwarf_compiler *d;
	struct dwarf_context *c;
	struct byte_reader r; /* in the window */
	uint64_t depth;	      /* of the next DIE; the unit's is 0 */
	struct scope scopes[DWARF_FUNCTIONS_MAX];
	size_t n_scopes;
	struct dwarf_die die;
};

static uint64_t offset_of(const struct walk *w, const uint8_t *at)
{
	return w->c->window_offset + (uint64_t)(at - w->c->window);
}

/* Have the bytes from offset on before us, at least as many as given unless the unit ends before. */
static int move_window(struct walk *w, uint64_t offset, size_t bytes)
{
	struct dwarf_context *c = w->c;
	uint64_t left = c->unit.end - offset;

	if (bytes > left)
		bytes = (size_t)left;
	c->window_bytes = 0;
	int err = dwarf_view_get(&c->file->info, offset, bytes, &c->window);
	if (err < 0)
		return err;
	c->window_offset = offset;
	c->window_bytes = bytes;
	w->r = (struct byte_reader){ .at = c->window, .end = c->window + bytes };
	return 0;
}

static bool is_last_window(const struct walk *w)
{
	return w->c->window_offset + w->c->window_bytes == w->c->unit.end;
}

/* --- nodes ----------------------------------------------------------------------------------------------------------- */

static uint32_t parent_of(const struct walk *w)
{
	return w->n_scopes ? w->scopes[w->n_scopes - 1].node : NAME_TABLE_NONE;
}

static uint32_t small(const struct dwarf_die *die, enum dwarf_slot slot)
{
	return dwarf_die_has(die, slot) && die->values[slot].number <= UINT32_MAX ? (uint32_t)die->values[slot].number : 0;
}

/* A node for w->die, with d->ranges. */
static int add_node(struct walk *w, bool is_inlined, uint32_t *node_out)
{
	const struct dwarf_die *die = &w->die;
	struct dwarf_compiler *d = w->d;
	uint32_t function = 0, file = 0;

	int err = dwarf_function_of(d, w->c, die, is_inlined, &function);
	if (err == 0 && is_inlined && dwarf_die_has(die, SLOT_CALL_FILE))
		err = dwarf_file_of(d, w->c, die->values[SLOT_CALL_FILE].number, &file);
	if (err < 0)
		return err;
	int64_t node = name_table_add_node(d->builder, is_inlined ? parent_of(w) : NAME_TABLE_NONE, function, file,
					   is_inlined ? small(die, SLOT_CALL_LINE) : 0, is_inlined ? small(die, SLOT_CALL_COLUMN) : 0);
	if (node < 0)
		return d->fatal = (int)node;
	for (size_t i = 0; i < d->n_ranges; i++) {
		err = name_table_add_range(d->builder, (uint32_t)node, d->ranges[i].start, d->ranges[i].end);
		if (err < 0)
			return d->fatal = err;
	}
	if (is_inlined)
		d->stats.inlines++;
	else
		d->stats.functions++;
	*node_out = (uint32_t)node;
	return 0;
}

/* w->die is a function or an inlined call that may have code. node_out: NAME_TABLE_NONE when it has none that is wanted. */
static int add_code(struct walk *w, uint32_t *node_out)
{
	bool is_inlined = w->die.abbrev->tag == DW_TAG_inlined_subroutine;
	struct dwarf_compiler *d = w->d;

	*node_out = NAME_TABLE_NONE;
	int err = dwarf_ranges_read(d, w->c, &w->die);
	if (dwarf_is_fatal(err))
		return d->fatal = err;
	if (err == -EBADMSG)
		d->stats.bad_references++;
	return d->n_ranges && dwarf_ranges_wanted(d) ? add_node(w, is_inlined, node_out) : 0;
}

static void enter(struct walk *w, uint32_t node)
{
	if (w->n_scopes == DWARF_FUNCTIONS_MAX) {
		w->d->stats.over_limits++; /* what is inlined below it counts for the function around it */
		return;
	}
	w->scopes[w->n_scopes++] = (struct scope){ w->depth, node };
}

/* --- DIEs ------------------------------------------------------------------------------------------------------------ */

static bool skip_die(struct walk *w, const struct dwarf_abbrev *abbrev)
{
	const struct dwarf_step *step = w->c->table->steps + abbrev->skip, *end = step + abbrev->n_skip;
	struct byte_reader *r = &w->r;

	for (; step < end; step++) {
		switch (step->kind) {
		case FORM_FIXED:
			byte_reader_skip(r, step->bytes);
			break;
		case FORM_BLOCK1:
			byte_reader_skip(r, byte_reader_u8(r));
			break;
		case FORM_BLOCK:
			byte_reader_skip(r, byte_reader_uleb(r));
			break;
		default:
			if (!dwarf_form_skip(r, step->form, w->c->unit.shape))
				return false;
			break;
		}
	}
	return !r->failed;
}

/* Over the subtree. A sibling that is not behind its DIE would have us read in circles. Returns 1 when it was gone to, 0: read on. */
static int jump(struct walk *w)
{
	const struct dwarf_value *sibling = &w->die.values[SLOT_SIBLING];
	uint64_t at = offset_of(w, w->r.at), unit = w->c->unit.offset, target = sibling->number;

	if (sibling->form != DW_FORM_ref_addr && __builtin_add_overflow(target, unit, &target))
		return 0;
	if (target < at || target >= w->c->unit.end) {
		w->d->stats.bad_references++;
		return 0;
	}
	if (target - w->c->window_offset <= w->c->window_bytes) {
		w->r.at = w->c->window + (target - w->c->window_offset);
		return 1;
	}
	int err = move_window(w, target, DWARF_WINDOW_BYTES);
	return err < 0 ? err : 1;
}

/* Returns 0, -EBADMSG (r has failed: perhaps only the window ended), or an error. */
static int read_die(struct walk *w, const struct dwarf_abbrev *abbrev)
{
	bool is_scope = false, has_children = abbrev->has_children;
	uint32_t node = NAME_TABLE_NONE;
	uint8_t action = abbrev->action;
	int err;

	/* Calls inlined into what is not wanted need not be looked at. */
	if (action == ACTION_CODE && abbrev->tag == DW_TAG_inlined_subroutine && parent_of(w) == NAME_TABLE_NONE)
		action = ACTION_SCOPE;
	switch (action) {
	case ACTION_FIXED:
		byte_reader_skip(&w->r, abbrev->skip_bytes);
		if (w->r.failed)
			return -EBADMSG;
		break;
	case ACTION_SKIP:
	case ACTION_SCOPE:
		if (!skip_die(w, abbrev))
			return -EBADMSG;
		is_scope = action == ACTION_SCOPE;
		break;
	case ACTION_JUMP:
		if (!dwarf_die_read(w->c, abbrev, &w->r, &w->die))
			return -EBADMSG;
		err = jump(w);
		if (err < 0)
			return err;
		has_children &= err == 0;
		break;
	case ACTION_CODE:
		if (!dwarf_die_read(w->c, abbrev, &w->r, &w->die))
			return -EBADMSG;
		err = add_code(w, &node);
		if (err < 0)
			return err;
		is_scope = true;
		break;
	default:
		return -EBADMSG;
	}
	if (has_children) {
		w->depth++;
		if (is_scope)
			enter(w, node);
	}
	return 0;
}

static void leave(struct walk *w)
{
	if (w->n_scopes && w->scopes[w->n_scopes - 1].depth == w->depth)
		w->n_scopes--;
	w->depth--;
}

/* The next DIE, from where r stands. Returns 1 behind the last one, else as read_die(). */
static int step(struct walk *w)
{
	const struct dwarf_abbrev *abbrev;
	uint64_t code;

	if (w->r.at < w->r.end && *w->r.at < 0x80)
		code = *w->r.at++;
	else
		code = byte_reader_uleb(&w->r);
	if (w->r.failed)
		return -EBADMSG;
	if (code == 0) {
		if (w->depth)
			leave(w);
		return w->depth == 0;
	}
	int err = dwarf_abbrev_find(w->c->file->abbrevs, w->c->table, code, &abbrev);
	if (err < 0)
		return err == -ENOENT ? -EBADMSG : err;
	return read_die(w, abbrev);
}

/* A DIE that is longer than what is left of the window is tried again with twice as much, until the unit ends. */
static int step_again(struct walk *w, uint64_t offset)
{
	for (size_t bytes = DWARF_WINDOW_BYTES;; bytes *= 2) {
		int err = move_window(w, offset, bytes);
		if (err == 0)
			err = step(w);
		if (err != -EBADMSG || !w->r.failed || is_last_window(w))
			return err;
	}
}

static int walk_dies(struct walk *w)
{
	struct dwarf_compiler *d = w->d;
	int err = 0;

	while (err == 0) {
		if (byte_reader_left(&w->r) < LONGEST_DIE && !is_last_window(w)) {
			err = move_window(w, offset_of(w, w->r.at), DWARF_WINDOW_BYTES);
			if (err < 0)
				return err;
		}
		if (!byte_reader_left(&w->r))
			return -EBADMSG; /* the unit ends inside the tree */
		if (!d->dies_left)
			return -E2BIG;
		d->dies_left--;
		uint64_t offset = offset_of(w, w->r.at);
		w->die.offset = offset;
		err = step(w);
		if (err == -EBADMSG && w->r.failed && !is_last_window(w))
			err = step_again(w, offset);
	}
	return err < 0 ? err : 0;
}

int dwarf_walk(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *root)
{
	struct walk w = { .d = d, .c = c };

	if (!root->abbrev->has_children)
		return 0;
	offset_map_reset(&c->file->local);
	int err = move_window(&w, c->unit.dies, DWARF_WINDOW_BYTES);
	if (err == 0)
		err = walk_dies(&w);
	c->window_bytes = 0;
	return err;
}
