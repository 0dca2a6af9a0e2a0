#include "symbolizer/dwarf_abbrev.h"
#include "base/scope.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLES_MAX 64
#define DECLARATION_BYTES 4096	       /* nearly all are shorter */
#define LONG_DECLARATION_BYTES 65536 /* DWARF_ATTRIBUTES_MAX of them */

struct declaration {
	uint64_t code;
	uint64_t tag;
	bool has_children;
	bool is_bad; /* an unknown form */
	uint32_t slots;
	uint16_t n_skip, n_read;
	struct dwarf_step skip[DWARF_ATTRIBUTES_MAX];
	struct dwarf_step read[DWARF_ATTRIBUTES_MAX];
};

struct dwarf_abbrevs {
	struct dwarf_view view;
	struct dwarf_budget *budget;
	struct dwarf_abbrev_table *tables[TABLES_MAX];
	uint64_t clock;
	uint64_t work; /* bytes that may still be read */
	struct declaration declaration;
};

int dwarf_abbrevs_create(struct dwarf_sections *sections, struct dwarf_budget *budget, struct dwarf_abbrevs **abbrevs_out)
{
	struct dwarf_abbrevs *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	dwarf_view_init(&a->view, sections, DWARF_ABBREV);
	a->budget = budget;
	/* Units whose tables begin inside each other's would have us read everything once for each of them. */
	uint64_t bytes = dwarf_section_bytes(sections, DWARF_ABBREV);
	a->work = bytes < (DWARF_ABBREV_WORK - DWARF_ABBREV_FREE) / DWARF_ABBREV_AGAIN ? DWARF_ABBREV_AGAIN * bytes + DWARF_ABBREV_FREE
										      : DWARF_ABBREV_WORK;
	*abbrevs_out = a;
	return 0;
}

static void table_destroy(struct dwarf_abbrevs *a, struct dwarf_abbrev_table *table)
{
	if (!table)
		return;
	a->budget->left += table->capacity * sizeof(*table->abbrevs) + table->steps_capacity * sizeof(*table->steps);
	offset_map_deinit(&table->codes);
	free(table->abbrevs);
	free(table->steps);
	free(table);
}

void dwarf_abbrevs_destroy(struct dwarf_abbrevs *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < TABLES_MAX; i++)
		table_destroy(a, a->tables[i]);
	dwarf_view_deinit(&a->view);
	free(a);
}

static bool same_shape(struct dwarf_shape a, struct dwarf_shape b)
{
	/* Only DWARF 2 differs by its version. */
	return a.offset_bytes == b.offset_bytes && a.address_bytes == b.address_bytes && (a.version == 2) == (b.version == 2);
}

/* The table's place, or the one to put it: free, or not used for the longest time. NULL: all are in use. */
static struct dwarf_abbrev_table **find_place(struct dwarf_abbrevs *a, uint64_t offset, struct dwarf_shape shape)
{
	struct dwarf_abbrev_table **best = NULL;

	for (size_t i = 0; i < TABLES_MAX; i++) {
		struct dwarf_abbrev_table **place = &a->tables[i];
		if (*place && (*place)->offset == offset && same_shape((*place)->shape, shape))
			return place;
		if (*place && (*place)->users)
			continue;
		if (!best || (*best && (!*place || (*place)->used_at < (*best)->used_at)))
			best = place;
	}
	return best;
}

int dwarf_abbrevs_get(struct dwarf_abbrevs *a, uint64_t offset, struct dwarf_shape shape, struct dwarf_abbrev_table **table_out)
{
	struct dwarf_abbrev_table **place = find_place(a, offset, shape);

	if (!place)
		return -ENOMEM;
	if (!*place || (*place)->offset != offset || !same_shape((*place)->shape, shape)) {
		struct dwarf_abbrev_table *table = calloc(1, sizeof(*table));
		if (!table)
			return -ENOMEM;
		table->offset = offset;
		table->next = offset;
		table->shape = shape;
		table->is_dense = true;
		offset_map_init(&table->codes, a->budget);
		table_destroy(a, *place);
		*place = table;
	}
	(*place)->users++;
	(*place)->used_at = ++a->clock;
	*table_out = *place;
	return 0;
}

void dwarf_abbrevs_put(struct dwarf_abbrev_table *table)
{
	if (table)
		table->users--;
}

/* --- compiling ----------------------------------------------------------------------------------------------------- */

static unsigned slot_of(uint64_t attribute, bool is_unit)
{
	switch (attribute) {
	case DW_AT_sibling:
		return SLOT_SIBLING;
	case DW_AT_name:
		return SLOT_NAME;
	case DW_AT_linkage_name:
	case DW_AT_MIPS_linkage_name:
		return SLOT_LINKAGE_NAME;
	case DW_AT_low_pc:
		return SLOT_LOW_PC;
	case DW_AT_high_pc:
		return SLOT_HIGH_PC;
	case DW_AT_ranges:
		return SLOT_RANGES;
	case DW_AT_abstract_origin:
		return SLOT_ABSTRACT_ORIGIN;
	case DW_AT_specification:
		return SLOT_SPECIFICATION;
	case DW_AT_decl_file:
		return SLOT_DECL_FILE;
	case DW_AT_decl_line:
		return SLOT_DECL_LINE;
	case DW_AT_call_file:
		return SLOT_CALL_FILE;
	case DW_AT_call_line:
		return SLOT_CALL_LINE;
	case DW_AT_call_column:
		return SLOT_CALL_COLUMN;
	default:
		break;
	}
	switch (is_unit ? attribute : 0) {
	case DW_AT_stmt_list:
		return SLOT_STMT_LIST;
	case DW_AT_comp_dir:
		return SLOT_COMP_DIR;
	case DW_AT_str_offsets_base:
		return SLOT_STR_OFFSETS_BASE;
	case DW_AT_addr_base:
	case DW_AT_GNU_addr_base:
		return SLOT_ADDR_BASE;
	case DW_AT_rnglists_base:
		return SLOT_RNGLISTS_BASE;
	case DW_AT_GNU_ranges_base:
		return SLOT_GNU_RANGES_BASE;
	case DW_AT_dwo_name:
	case DW_AT_GNU_dwo_name:
		return SLOT_DWO_NAME;
	case DW_AT_GNU_dwo_id:
		return SLOT_DWO_ID;
	default:
		return DWARF_SLOTS;
	}
}

static bool is_unit_tag(uint64_t tag)
{
	return tag == DW_TAG_compile_unit || tag == DW_TAG_partial_unit || tag == DW_TAG_skeleton_unit;
}

/* No function can be declared below these. */
static bool never_holds_code(uint64_t tag)
{
	switch (tag) {
	case DW_TAG_array_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_subroutine_type:
	case DW_TAG_string_type:
	case DW_TAG_set_type:
	case DW_TAG_subrange_type:
	case DW_TAG_ptr_to_member_type:
	case DW_TAG_formal_parameter:
	case DW_TAG_variable:
	case DW_TAG_member:
	case DW_TAG_enumerator:
	case DW_TAG_call_site:
	case DW_TAG_call_site_parameter:
	case DW_TAG_GNU_call_site:
	case DW_TAG_GNU_call_site_parameter:
	case DW_TAG_GNU_formal_parameter_pack:
	case DW_TAG_GNU_template_parameter_pack:
	case DW_TAG_template_type_parameter:
	case DW_TAG_template_value_parameter:
		return true;
	default:
		return false;
	}
}

static bool may_have_code(uint32_t slots)
{
	return slots & (1u << SLOT_LOW_PC | 1u << SLOT_RANGES);
}

/* Append a step, or make the last one longer. */
static uint16_t add_step(struct dwarf_step *steps, uint16_t n, struct dwarf_step step)
{
	bool skips = step.slot == DWARF_SLOTS && step.kind == FORM_FIXED;

	if (skips && step.bytes == 0)
		return n;
	if (skips && n && steps[n - 1].slot == DWARF_SLOTS && steps[n - 1].kind == FORM_FIXED) {
		steps[n - 1].bytes += step.bytes;
		return n;
	}
	steps[n] = step;
	return (uint16_t)(n + 1);
}

static int read_attributes(struct byte_reader *r, struct dwarf_shape shape, struct declaration *d)
{
	bool is_code = d->tag == DW_TAG_subprogram || d->tag == DW_TAG_inlined_subroutine;
	bool is_unit = is_unit_tag(d->tag), jumps = d->has_children && never_holds_code(d->tag);

	for (unsigned i = 0;; i++) {
		uint64_t attribute = byte_reader_uleb(r), form = byte_reader_uleb(r);
		struct dwarf_step step = { .slot = DWARF_SLOTS, .form = (uint16_t)form };
		if (r->failed || (attribute == 0 && form == 0))
			return r->failed ? -EBADMSG : 0;
		if (i == DWARF_ATTRIBUTES_MAX)
			return -E2BIG;
		if (form == DW_FORM_implicit_const)
			step.constant = byte_reader_sleb(r);
		step.kind = (uint8_t)dwarf_form_kind(form, shape, &step.bytes);
		d->is_bad |= step.kind == FORM_UNKNOWN;
		d->n_skip = add_step(d->skip, d->n_skip, step);
		unsigned slot = slot_of(attribute, is_unit);
		/* Of an attribute that is there twice the first counts. */
		if (slot != DWARF_SLOTS && (is_code || is_unit || (jumps && slot == SLOT_SIBLING)) && !(d->slots & 1u << slot)) {
			d->slots |= 1u << slot;
			step.slot = (uint8_t)slot;
		}
		d->n_read = add_step(d->read, d->n_read, step);
	}
}

static int read_declaration(struct byte_reader *r, struct dwarf_shape shape, struct declaration *d)
{
	d->code = byte_reader_uleb(r);
	if (r->failed || d->code == 0)
		return r->failed ? -EBADMSG : -ENOENT;
	d->tag = byte_reader_uleb(r);
	d->has_children = byte_reader_u8(r) != 0;
	d->is_bad = d->tag == 0 || d->tag > UINT16_MAX;
	d->slots = 0;
	d->n_skip = d->n_read = 0;
	return read_attributes(r, shape, d);
}

static enum dwarf_action action_of(const struct declaration *d)
{
	if (d->is_bad)
		return ACTION_BAD;
	if (d->tag == DW_TAG_subprogram || d->tag == DW_TAG_inlined_subroutine)
		return may_have_code(d->slots) ? ACTION_CODE : ACTION_SCOPE;
	if (d->slots & 1u << SLOT_SIBLING && !is_unit_tag(d->tag))
		return ACTION_JUMP;
	if (d->n_skip == 0 || (d->n_skip == 1 && d->skip[0].kind == FORM_FIXED))
		return ACTION_FIXED;
	return ACTION_SKIP;
}

static void evict(struct dwarf_abbrevs *a)
{
	for (size_t i = 0; i < TABLES_MAX; i++) {
		if (!a->tables[i] || a->tables[i]->users)
			continue;
		table_destroy(a, a->tables[i]);
		a->tables[i] = NULL;
	}
}

static int grow(struct dwarf_abbrevs *a, void **array, size_t *capacity, size_t wanted, size_t entry_bytes)
{
	if (wanted <= *capacity)
		return 0;
	size_t n = *capacity ? *capacity : 32;
	while (n < wanted)
		n *= 2;
	if (n > DWARF_ABBREV_TABLE_BYTES / entry_bytes)
		return -E2BIG;
	uint64_t more = (n - *capacity) * entry_bytes;
	if (more > a->budget->left)
		evict(a);
	if (more > a->budget->left)
		return -E2BIG;
	void *grown = reallocarray(*array, n, entry_bytes);
	if (!grown)
		return -ENOMEM;
	a->budget->left -= more;
	*array = grown;
	*capacity = n;
	return 0;
}

static int add_declaration(struct dwarf_abbrevs *a, struct dwarf_abbrev_table *table, const struct declaration *d)
{
	bool reads = d->slots != 0;
	size_t n_steps = (size_t)d->n_skip + (reads ? d->n_read : 0);
	uint32_t earlier;

	if (!table->is_dense && offset_map_find(&table->codes, d->code, &earlier))
		return 0; /* the first declaration of a code counts */
	int err = grow(a, (void **)&table->abbrevs, &table->capacity, table->n + 1, sizeof(*table->abbrevs));
	if (err == 0) /* one more: also without any attribute so far the steps are not NULL */
		err = grow(a, (void **)&table->steps, &table->steps_capacity, table->n_steps + n_steps + 1, sizeof(*table->steps));
	if (err < 0)
		return err;
	struct dwarf_abbrev *abbrev = &table->abbrevs[table->n];
	*abbrev = (struct dwarf_abbrev){ .tag = (uint16_t)d->tag, .action = (uint8_t)action_of(d), .has_children = d->has_children,
					 .skip = (uint32_t)table->n_steps, .n_skip = d->n_skip };
	if (d->n_skip)
		abbrev->skip_bytes = d->skip[0].bytes;
	memcpy(table->steps + table->n_steps, d->skip, d->n_skip * sizeof(*d->skip));
	table->n_steps += d->n_skip;
	if (reads) {
		abbrev->read = (uint32_t)table->n_steps;
		abbrev->n_read = d->n_read;
		memcpy(table->steps + table->n_steps, d->read, d->n_read * sizeof(*d->read));
		table->n_steps += d->n_read;
	}
	if (table->is_dense && d->code != table->n + 1) {
		table->is_dense = false;
		for (size_t i = 0; i < table->n; i++)
			offset_map_add(&table->codes, i + 1, (uint32_t)i);
	}
	if (!table->is_dense)
		offset_map_add(&table->codes, d->code, (uint32_t)table->n);
	table->n++;
	return 0;
}

static int read_next(struct dwarf_abbrevs *a, struct dwarf_abbrev_table *table, uint64_t *code_out)
{
	static const size_t LENGTHS[] = { DECLARATION_BYTES, LONG_DECLARATION_BYTES };
	struct declaration *d = &a->declaration;
	int err;

	for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
		size_t bytes = LENGTHS[i];
		const uint8_t *at;
		err = dwarf_view_some(&a->view, table->next, &bytes, &at);
		if (err < 0)
			return err;
		struct byte_reader r = { .at = at, .end = at + bytes };
		err = read_declaration(&r, table->shape, d);
		if (r.failed && bytes == LENGTHS[i])
			continue; /* it is longer */
		if (err < 0)
			return err;
		uint64_t used = (uint64_t)(r.at - at);
		if (used > a->work)
			return -E2BIG;
		a->work -= used;
		table->next += used;
		*code_out = d->code;
		return add_declaration(a, table, d);
	}
	return -E2BIG;
}

static bool find_read(const struct dwarf_abbrev_table *table, uint64_t code, const struct dwarf_abbrev **abbrev_out)
{
	uint32_t index = (uint32_t)code - 1;

	if (table->is_dense ? code - 1 >= table->n : !offset_map_find(&table->codes, code, &index))
		return false;
	*abbrev_out = &table->abbrevs[index];
	return true;
}

int dwarf_abbrev_read(struct dwarf_abbrevs *a, struct dwarf_abbrev_table *table, uint64_t code, const struct dwarf_abbrev **abbrev_out)
{
	bool is_found = find_read(table, code, abbrev_out);

	while (!is_found && !table->end) {
		uint64_t got = 0;
		table->end = read_next(a, table, &got);
		is_found = table->end == 0 && got == code && find_read(table, code, abbrev_out);
	}
	return is_found ? 0 : table->end;
}
