#include "symbolizer/dwarf_unit.h"
#include "base/scope.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES   48 /* of a unit, at most: 12 + 2 + 1 + 1 + 8 + 8 + 8 */
#define PATH_BYTES   4096

/* --- files ----------------------------------------------------------------------------------------------------------- */

int dwarf_file_create(const struct elf_file *elf, bool is_dwo, struct dwarf_budget *budget, struct dwarf_file **file_out)
{
	struct dwarf_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->own_elf = *elf; /* the descriptor stays where it is */
	file->elf = &file->own_elf;
	file->fd = -1;
	file->budget = budget;
	file->reference_work = DWARF_REFERENCE_WORK;
	int err = dwarf_sections_open(file->elf, is_dwo, budget, &file->sections);
	if (err < 0) {
		free(file);
		return err;
	}
	dwarf_view_init(&file->info, file->sections, DWARF_INFO);
	dwarf_view_init(&file->refs, file->sections, DWARF_INFO);
	file->refs.is_scattered = true;
	dwarf_view_init(&file->str, file->sections, DWARF_STR);
	dwarf_view_init(&file->line_str, file->sections, DWARF_LINE_STR);
	dwarf_view_init(&file->str_offsets, file->sections, DWARF_STR_OFFSETS);
	dwarf_view_init(&file->addr, file->sections, DWARF_ADDR);
	dwarf_view_init(&file->ranges, file->sections, DWARF_RANGES);
	dwarf_view_init(&file->rnglists, file->sections, DWARF_RNGLISTS);
	offset_map_init(&file->strings, budget);
	offset_map_init(&file->local, budget);
	offset_map_init(&file->functions, budget);
	err = dwarf_section_bytes(file->sections, DWARF_INFO) ? dwarf_abbrevs_create(file->sections, budget, &file->abbrevs) : -ENOENT;
	if (err < 0) {
		dwarf_file_destroy(file);
		return err;
	}
	*file_out = file;
	return 0;
}

int dwarf_file_open(int fd, bool is_dwo, struct dwarf_budget *budget, struct dwarf_file **file_out)
{
	AUTO_CLOSE int owned = fd;
	struct elf_file elf;

	int err = elf_file_open_debug(fd, &elf);
	if (err == 0)
		err = dwarf_file_create(&elf, is_dwo, budget, file_out);
	if (err == 0)
		(*file_out)->fd = take_fd(&owned);
	return err;
}

void dwarf_file_destroy(struct dwarf_file *file)
{
	if (!file)
		return;
	dwarf_file_destroy(file->alt); /* which has none of its own */
	for (size_t i = 0; i < DWARF_CONTEXTS_MAX; i++) {
		if (!file->contexts[i])
			continue;
		dwarf_context_close(file->contexts[i]);
		free(file->contexts[i]);
	}
	dwarf_abbrevs_destroy(file->abbrevs);
	dwarf_line_reader_destroy(file->lines);
	offset_map_deinit(&file->strings);
	offset_map_deinit(&file->local);
	offset_map_deinit(&file->functions);
	struct dwarf_view *views[] = { &file->info,	   &file->refs, &file->str,    &file->line_str,
				       &file->str_offsets, &file->addr, &file->ranges, &file->rnglists };
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		dwarf_view_deinit(views[i]);
	dwarf_sections_close(file->sections);
	if (file->fd >= 0)
		close(file->fd);
	free(file->units);
	free(file);
}

/* --- heads of units -------------------------------------------------------------------------------------------------- */

static uint64_t read_offset(struct byte_reader *r, uint8_t offset_bytes)
{
	return offset_bytes == 8 ? byte_reader_u64(r) : byte_reader_u32(r);
}

/* Behind the length. False: a version or shape that is not read. */
static bool read_head(struct byte_reader *r, struct dwarf_unit *unit)
{
	const uint8_t *start = r->at;

	unit->shape.version = (uint8_t)byte_reader_u8(r);
	if (byte_reader_u8(r) != 0 || unit->shape.version < 2 || unit->shape.version > 5)
		return false;
	unit->type = DW_UT_compile;
	if (unit->shape.version < 5) {
		unit->abbrevs = read_offset(r, unit->shape.offset_bytes);
		unit->shape.address_bytes = byte_reader_u8(r);
	} else {
		unit->type = byte_reader_u8(r);
		unit->shape.address_bytes = byte_reader_u8(r);
		unit->abbrevs = read_offset(r, unit->shape.offset_bytes);
		if (unit->type == DW_UT_skeleton || unit->type == DW_UT_split_compile)
			unit->id = byte_reader_u64(r);
		if (unit->type == DW_UT_type || unit->type == DW_UT_split_type) {
			byte_reader_skip(r, 8);
			read_offset(r, unit->shape.offset_bytes);
		}
	}
	unit->dies += (uint64_t)(r->at - start);
	return !r->failed && unit->dies <= unit->end && (unit->shape.address_bytes == 4 || unit->shape.address_bytes == 8);
}

/* end_out: of the unit, as far as its length makes sense; untouched otherwise. */
static int read_unit(struct dwarf_file *file, struct dwarf_view *view, uint64_t offset, struct dwarf_unit *unit, uint64_t *end_out)
{
	uint64_t section = dwarf_section_bytes(file->sections, DWARF_INFO);
	size_t bytes = HEAD_BYTES;
	const uint8_t *at;
	int err = dwarf_view_some(view, offset, &bytes, &at);

	if (err < 0)
		return err;
	struct byte_reader r = { .at = at, .end = at + bytes };
	*unit = (struct dwarf_unit){ .offset = offset, .shape.offset_bytes = 4 };
	uint64_t length = byte_reader_u32(&r);
	if (length == UINT32_MAX) {
		unit->shape.offset_bytes = 8;
		length = byte_reader_u64(&r);
	}
	unit->dies = offset + (uint64_t)(r.at - at);
	if (r.failed || (length >= 0xfffffff0 && unit->shape.offset_bytes == 4) || length > section - unit->dies)
		return -EBADMSG;
	*end_out = unit->end = unit->dies + length;
	return read_head(&r, unit) ? 0 : -EBADMSG;
}

int dwarf_unit_at(struct dwarf_file *file, uint64_t offset, struct dwarf_unit *unit_out)
{
	struct dwarf_unit unit;
	uint64_t end;
	int err = read_unit(file, &file->info, offset, &unit, &end);

	if (err < 0)
		return err;
	*unit_out = unit;
	return 0;
}

/* The next one whose head makes sense. Behind one whose length does not, nothing can be found. */
static int read_next_unit(struct dwarf_file *file, struct dwarf_view *view, struct dwarf_unit *unit)
{
	uint64_t section = dwarf_section_bytes(file->sections, DWARF_INFO);

	while (file->next_unit < section && file->n_units + file->bad_units < DWARF_UNITS_MAX) {
		uint64_t offset = file->next_unit;
		file->next_unit = section;
		int err = read_unit(file, view, offset, unit, &file->next_unit);
		if (err != -EBADMSG)
			return err;
		file->bad_units++;
	}
	file->bad_units += file->next_unit < section; /* all that are too many */
	file->next_unit = section;
	return -ENOENT;
}

static int add_next_unit(struct dwarf_file *file, struct dwarf_view *view)
{
	struct dwarf_unit unit;
	int err = read_next_unit(file, view, &unit);

	if (err < 0)
		return err == -E2BIG ? -ENOENT : err;
	if (file->n_units == file->units_capacity) {
		size_t wanted = file->units_capacity ? file->units_capacity * 2 : 64;
		struct dwarf_unit *grown = reallocarray(file->units, wanted, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		file->units = grown;
		file->units_capacity = wanted;
	}
	file->units[file->n_units++] = unit;
	return 0;
}

int dwarf_unit_nth(struct dwarf_file *file, size_t index, const struct dwarf_unit **unit_out)
{
	while (index >= file->n_units) {
		int err = add_next_unit(file, &file->info);
		if (err < 0)
			return err;
	}
	*unit_out = &file->units[index];
	return 0;
}

int dwarf_unit_find(struct dwarf_file *file, uint64_t offset, const struct dwarf_unit **unit_out)
{
	while (file->next_unit <= offset) { /* the last one's end is the section's */
		int err = add_next_unit(file, &file->refs);
		if (err < 0)
			return err;
	}
	size_t low = 0, high = file->n_units;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (file->units[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == file->n_units || offset < file->units[low].dies)
		return -ENOENT;
	*unit_out = &file->units[low];
	return 0;
}

/* --- DIEs ------------------------------------------------------------------------------------------------------------ */

/* A value of fixed length, when the bytes reach far enough to load 8 of them. */
static inline bool read_fast(const struct dwarf_step *step, struct byte_reader *r, struct dwarf_value *value)
{
	uint64_t loaded;

	if (step->kind != FORM_FIXED || step->bytes == 0 || step->bytes > sizeof(loaded) || byte_reader_left(r) < sizeof(loaded))
		return false;
	memcpy(&loaded, r->at, sizeof(loaded)); /* little-endian, as elf_file_open() wants it */
	value->form = step->form;
	value->number = loaded & UINT64_MAX >> (64 - 8 * step->bytes);
	r->at += step->bytes;
	return true;
}

bool dwarf_die_read(const struct dwarf_context *c, const struct dwarf_abbrev *abbrev, struct byte_reader *r, struct dwarf_die *die_out)
{
	const struct dwarf_step *step = c->table->steps + abbrev->read, *end = step + abbrev->n_read;

	die_out->abbrev = abbrev;
	die_out->slots = 0;
	for (; step < end; step++) {
		if (step->slot == DWARF_SLOTS) {
			if (step->kind == FORM_FIXED)
				byte_reader_skip(r, step->bytes);
			else if (!dwarf_form_skip(r, step->form, c->unit.shape))
				return false;
			continue;
		}
		struct dwarf_value *value = &die_out->values[step->slot];
		if (!read_fast(step, r, value) && !dwarf_form_read(r, step->form, c->unit.shape, step->constant, value))
			return false;
		die_out->slots |= 1u << step->slot;
	}
	return !r->failed;
}

/* at: bytes from offset on. *short_out: it is longer than that. */
static int die_in(struct dwarf_context *c, uint64_t offset, const uint8_t *at, size_t bytes, struct dwarf_die *die_out, bool *short_out)
{
	struct byte_reader r = { .at = at, .end = at + bytes };
	const struct dwarf_abbrev *abbrev;
	uint64_t code = byte_reader_uleb(&r);

	*short_out = r.failed;
	if (r.failed)
		return -EBADMSG;
	if (code == 0)
		return -ENOENT;
	int err = dwarf_abbrev_find(c->file->abbrevs, c->table, code, &abbrev);
	if (err < 0)
		return err == -ENOENT ? -EBADMSG : err;
	if (abbrev->action == ACTION_BAD)
		return -EBADMSG;
	die_out->offset = offset;
	bool is_read = dwarf_die_read(c, abbrev, &r, die_out);
	uint64_t work = (uint64_t)(r.at - at);
	if (work > c->file->reference_work)
		return -E2BIG;
	c->file->reference_work -= work;
	if (is_read)
		return 0;
	*short_out = r.failed;
	return -EBADMSG;
}

int dwarf_die_at(struct dwarf_context *c, uint64_t offset, struct dwarf_die *die_out)
{
	bool is_short = true;
	int err = -EBADMSG;

	if (offset < c->unit.dies || offset >= c->unit.end)
		return -EBADMSG;
	if (c->window_bytes && offset >= c->window_offset && offset - c->window_offset < c->window_bytes) {
		size_t into = (size_t)(offset - c->window_offset);
		err = die_in(c, offset, c->window + into, c->window_bytes - into, die_out, &is_short);
	}
	for (size_t want = 4096; err == -EBADMSG && is_short && want <= 1u << 20; want *= 16) {
		uint64_t left = c->unit.end - offset;
		size_t bytes = want < left ? want : (size_t)left;
		const uint8_t *at;
		int view_err = dwarf_view_some(&c->file->refs, offset, &bytes, &at);
		if (view_err < 0)
			return view_err;
		err = die_in(c, offset, at, bytes, die_out, &is_short);
		if (bytes == left)
			break;
	}
	return err;
}

/* --- contexts -------------------------------------------------------------------------------------------------------- */

/* NULL when there is none, or it cannot be read: then files have no directory. */
static char *copy_text(struct dwarf_context *c, const struct dwarf_die *die, enum dwarf_slot slot)
{
	const char *text;
	size_t bytes;

	if (!dwarf_die_has(die, slot) || dwarf_string(c, &die->values[slot], &text, &bytes) < 0)
		return NULL;
	return strndup(text, bytes < PATH_BYTES ? bytes : PATH_BYTES);
}

static void take_base(const struct dwarf_die *root, enum dwarf_slot slot, uint64_t *base)
{
	if (dwarf_die_has(root, slot))
		*base = root->values[slot].number;
}

static void set_bases(struct dwarf_context *c, const struct dwarf_context *presets, const struct dwarf_die *root)
{
	bool is_long = c->unit.shape.offset_bytes == 8;

	c->code = c->file;
	if (presets) {
		c->code = presets->code;
		c->lines = presets->lines;
		c->low_pc = presets->low_pc;
		c->str_offsets_base = presets->str_offsets_base;
		c->addr_base = presets->addr_base;
		c->rnglists_base = presets->rnglists_base;
		c->ranges_base = presets->ranges_base;
	}
	if (c->unit.shape.version >= 5) {
		/* Without an attribute, behind the head of the (part of the) section. */
		c->str_offsets_base += is_long ? 16 : 8;
		c->rnglists_base += is_long ? 20 : 12;
		if (!presets)
			c->addr_base = is_long ? 16 : 8;
	}
	if (!presets) {
		take_base(root, SLOT_STR_OFFSETS_BASE, &c->str_offsets_base);
		take_base(root, SLOT_ADDR_BASE, &c->addr_base);
		take_base(root, SLOT_RNGLISTS_BASE, &c->rnglists_base);
		take_base(root, SLOT_GNU_RANGES_BASE, &c->gnu_ranges_base);
	}
	if (dwarf_die_has(root, SLOT_STMT_LIST) && !c->lines) {
		c->has_lines = true;
		c->stmt_list = root->values[SLOT_STMT_LIST].number;
	}
}

int dwarf_context_open(struct dwarf_file *file, const struct dwarf_unit *unit, const struct dwarf_context *presets,
		       struct dwarf_context *c, struct dwarf_die *root_out)
{
	*c = (struct dwarf_context){ .file = file, .unit = *unit };
	int err = dwarf_abbrevs_get(file->abbrevs, unit->abbrevs, unit->shape, &c->table);
	if (err < 0)
		return err;
	err = dwarf_die_at(c, unit->dies, root_out);
	if (err < 0)
		return err;
	set_bases(c, presets, root_out);
	if (dwarf_die_has(root_out, SLOT_LOW_PC))
		dwarf_address(c, &root_out->values[SLOT_LOW_PC], &c->low_pc);
	if (!c->has_lines && !dwarf_die_has(root_out, SLOT_DWO_NAME))
		return 0;
	c->directory = copy_text(c, root_out, SLOT_COMP_DIR);
	c->name = copy_text(c, root_out, SLOT_NAME);
	return 0;
}

void dwarf_context_close(struct dwarf_context *c)
{
	dwarf_abbrevs_put(c->table);
	c->file->budget->left += c->n_files * sizeof(*c->files);
	free(c->files);
	free(c->directory);
	free(c->name);
	c->table = NULL;
	c->files = NULL;
	c->n_files = 0;
	c->directory = c->name = NULL;
}

static struct dwarf_context **place_for(struct dwarf_file *file)
{
	struct dwarf_context **best = &file->contexts[0];

	for (size_t i = 0; i < DWARF_CONTEXTS_MAX && *best; i++)
		if (!file->contexts[i] || file->contexts[i]->used_at < (*best)->used_at)
			best = &file->contexts[i];
	return best;
}

int dwarf_context_of(struct dwarf_file *file, uint64_t offset, struct dwarf_context **c_out)
{
	const struct dwarf_unit *unit;
	struct dwarf_die root;

	for (size_t i = 0; i < DWARF_CONTEXTS_MAX; i++) {
		struct dwarf_context *c = file->contexts[i];
		if (!c || offset < c->unit.dies || offset >= c->unit.end)
			continue;
		c->used_at = ++file->clock;
		*c_out = c;
		return 0;
	}
	int err = dwarf_unit_find(file, offset, &unit);
	if (err < 0)
		return err;
	struct dwarf_context **place = place_for(file);
	if (*place)
		dwarf_context_close(*place);
	else
		*place = malloc(sizeof(**place));
	if (!*place)
		return -ENOMEM;
	err = dwarf_context_open(file, unit, NULL, *place, &root);
	if (err < 0) {
		dwarf_context_close(*place);
		free(take_ptr(*place));
		return err;
	}
	(*place)->used_at = ++file->clock;
	*c_out = *place;
	return 0;
}

/* --- values -------------------------------------------------------------------------------------------------------- */

static int read_number(struct dwarf_view *view, uint64_t offset, uint8_t bytes, uint64_t *number_out)
{
	const uint8_t *at;
	int err = dwarf_view_get(view, offset, bytes, &at);

	if (err < 0)
		return err;
	*number_out = 0;
	memcpy(number_out, at, bytes);
	return 0;
}

/* base + index * bytes. */
static int place_of(uint64_t base, uint64_t index, uint8_t bytes, uint64_t *offset_out)
{
	return __builtin_mul_overflow(index, bytes, offset_out) || __builtin_add_overflow(*offset_out, base, offset_out) ? -EBADMSG : 0;
}

int dwarf_string_offset(struct dwarf_context *c, const struct dwarf_value *value, uint64_t *offset_out)
{
	uint64_t at;

	switch (value->form) {
	case DW_FORM_strp:
		*offset_out = value->number;
		return 0;
	case DW_FORM_strx:
	case DW_FORM_strx1:
	case DW_FORM_strx2:
	case DW_FORM_strx3:
	case DW_FORM_strx4:
	case DW_FORM_GNU_str_index:
		break;
	default:
		return -ENOENT;
	}
	int err = place_of(c->str_offsets_base, value->number, c->unit.shape.offset_bytes, &at);
	return err < 0 ? err : read_number(&c->file->str_offsets, at, c->unit.shape.offset_bytes, offset_out);
}

int dwarf_string(struct dwarf_context *c, const struct dwarf_value *value, const char **text_out, size_t *bytes_out)
{
	struct dwarf_file *file = c->file;
	uint64_t offset;

	if (value->form == DW_FORM_string) {
		*text_out = (const char *)value->text;
		*bytes_out = strlen(*text_out);
		return 0;
	}
	if (value->form == DW_FORM_line_strp)
		return dwarf_view_string(&file->line_str, value->number, NAME_TABLE_STRING_MAX, text_out, bytes_out);
	if (value->form == DW_FORM_GNU_strp_alt || value->form == DW_FORM_strp_sup)
		return file->alt ? dwarf_view_string(&file->alt->str, value->number, NAME_TABLE_STRING_MAX, text_out, bytes_out) : -ENOENT;
	int err = dwarf_string_offset(c, value, &offset);
	return err < 0 ? err : dwarf_view_string(&file->str, offset, NAME_TABLE_STRING_MAX, text_out, bytes_out);
}

int dwarf_address_nth(struct dwarf_context *c, uint64_t index, uint64_t *vaddr_out)
{
	uint64_t at;
	int err = place_of(c->addr_base, index, c->unit.shape.address_bytes, &at);

	return err < 0 ? err : read_number(&c->code->addr, at, c->unit.shape.address_bytes, vaddr_out);
}

int dwarf_address(struct dwarf_context *c, const struct dwarf_value *value, uint64_t *vaddr_out)
{
	switch (value->form) {
	case DW_FORM_addr:
		*vaddr_out = value->number;
		return 0;
	case DW_FORM_addrx:
	case DW_FORM_addrx1:
	case DW_FORM_addrx2:
	case DW_FORM_addrx3:
	case DW_FORM_addrx4:
	case DW_FORM_GNU_addr_index:
		return dwarf_address_nth(c, value->number, vaddr_out);
	default:
		return -EBADMSG;
	}
}
