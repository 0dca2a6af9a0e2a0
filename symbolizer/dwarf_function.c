/* Names, files and lines of functions: what a DIE says itself, and what those say that it is an instance or a definition of. */
#include "symbolizer/dwarf_compiler.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNNAMED UINT32_MAX

/* A string that is not read yet: the linkage name may be found further on in the chain, and then it is not wanted. */
struct string_place {
	uint32_t id; /* UNNAMED: offset of view */
	struct dwarf_view *view;
	struct offset_map *memo; /* NULL: none */
	uint64_t offset;
};

struct function_facts {
	bool has_linkage_name, has_name, has_file, has_line;
	struct string_place linkage_name, name;
	uint32_t file, line;
};

/* An error that ends everything is kept; others cost what they were met in. */
static int settle(struct dwarf_compiler *d, int err)
{
	if (dwarf_is_fatal(err) && !d->fatal)
		d->fatal = err;
	return d->fatal;
}

static int add_string(struct dwarf_compiler *d, const char *text, size_t bytes, uint32_t *id_out)
{
	int64_t id = name_table_add_string(d->builder, text, bytes);

	if (id < 0)
		return d->fatal = (int)id;
	*id_out = (uint32_t)id;
	return 0;
}

/* Returns 0 or an error; -ENOENT: no string. */
static int find_string(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_value *value, struct string_place *place_out)
{
	struct string_place place = { .id = UNNAMED, .offset = value->number };
	struct dwarf_file *file = c->file;

	switch (value->form) {
	case DW_FORM_string: {
		int err = add_string(d, (const char *)value->text, strlen((const char *)value->text), &place.id);
		if (err < 0)
			return err;
		break;
	}
	case DW_FORM_line_strp:
		place.view = &file->line_str;
		break;
	case DW_FORM_GNU_strp_alt:
	case DW_FORM_strp_sup:
		if (!file->alt)
			return -ENOENT;
		place.view = &file->alt->str;
		place.memo = &file->alt->strings;
		break;
	default: {
		int err = dwarf_string_offset(c, value, &place.offset);
		if (err < 0)
			return err;
		place.view = &file->str;
		place.memo = &file->strings;
		break;
	}
	}
	*place_out = place;
	return 0;
}

static int read_string(struct dwarf_compiler *d, const struct string_place *place, uint32_t *id_out)
{
	const char *text;
	size_t bytes;

	if (place->id != UNNAMED) {
		*id_out = place->id;
		return 0;
	}
	if (place->memo && offset_map_find(place->memo, place->offset, id_out))
		return 0;
	int err = dwarf_view_string(place->view, place->offset, NAME_TABLE_STRING_MAX, &text, &bytes);
	if (err == 0)
		err = add_string(d, text, bytes, id_out);
	if (err == 0 && place->memo)
		offset_map_add(place->memo, place->offset, *id_out);
	return err;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

/* Makes the head of the unit's table the one that was read last. Returns 0, an error, -ENOENT: it has none. */
static int read_files(struct dwarf_compiler *d, struct dwarf_context *c)
{
	struct dwarf_line_unit unit = { .offset = c->stmt_list, .address_bytes = c->unit.shape.address_bytes,
					.directory = c->directory ? c->directory : "", .name = c->name ? c->name : "",
					.string_offsets = c->str_offsets_base, .wanted = d->input->wanted,
					.n_wanted = d->input->n_wanted };
	bool is_first = !c->files_read;
	const uint32_t *files;
	size_t n;

	c->files_read = true;
	if (!c->has_lines)
		return -ENOENT;
	int err = c->file->lines ? 0 : dwarf_line_reader_create(c->file->sections, &c->file->lines);
	if (err == 0)
		err = dwarf_line_files(c->file->lines, &unit, d->builder, &files, &n);
	if (err < 0 || !is_first || !n)
		return err;
	if (n > c->file->budget->left / sizeof(*files))
		return -E2BIG;
	c->files = malloc(n * sizeof(*files));
	if (!c->files)
		return -ENOMEM;
	c->file->budget->left -= n * sizeof(*files);
	memcpy(c->files, files, n * sizeof(*files));
	c->n_files = n;
	return 0;
}

int dwarf_file_of(struct dwarf_compiler *d, struct dwarf_context *c, uint64_t index, uint32_t *file_out)
{
	if (c->lines)
		c = c->lines;
	if (!c->files_read) {
		int err = read_files(d, c);
		if (settle(d, err) < 0)
			return d->fatal;
	}
	*file_out = index < c->n_files ? c->files[index] : 0;
	return 0;
}

int dwarf_lines_add(struct dwarf_compiler *d, struct dwarf_context *c)
{
	int err = read_files(d, c);
	if (err == 0)
		err = dwarf_line_rows(c->file->lines, d->builder);
	return settle(d, err);
}

/* --- chains -------------------------------------------------------------------------------------------------------- */

struct die_place {
	struct dwarf_file *file;
	uint64_t offset;
};

static int place_of(struct dwarf_context *c, const struct dwarf_value *value, struct die_place *place_out)
{
	struct dwarf_file *file = c->file;
	uint64_t offset = value->number;

	switch (value->form) {
	case DW_FORM_ref1:
	case DW_FORM_ref2:
	case DW_FORM_ref4:
	case DW_FORM_ref8:
	case DW_FORM_ref_udata:
		if (offset >= c->unit.end - c->unit.offset)
			return -EBADMSG;
		offset += c->unit.offset;
		break;
	case DW_FORM_ref_addr:
		break;
	case DW_FORM_GNU_ref_alt:
	case DW_FORM_ref_sup4:
	case DW_FORM_ref_sup8:
		file = file->alt;
		break;
	default:
		return -ENOENT;
	}
	*place_out = (struct die_place){ file, offset };
	return file ? 0 : -ENOENT;
}

/* What the DIE says that nothing before it in the chain has said. Returns 0 or a fatal error. */
static int gather(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *die, struct function_facts *facts)
{
	int err = 0;

	if (!facts->has_linkage_name && dwarf_die_has(die, SLOT_LINKAGE_NAME)) {
		err = find_string(d, c, &die->values[SLOT_LINKAGE_NAME], &facts->linkage_name);
		facts->has_linkage_name = err == 0;
	}
	if (!facts->has_name && !facts->has_linkage_name && dwarf_die_has(die, SLOT_NAME) && !settle(d, err)) {
		err = find_string(d, c, &die->values[SLOT_NAME], &facts->name);
		facts->has_name = err == 0;
	}
	if (!facts->has_file && dwarf_die_has(die, SLOT_DECL_FILE) && !settle(d, err)) {
		err = dwarf_file_of(d, c, die->values[SLOT_DECL_FILE].number, &facts->file);
		facts->has_file = err == 0;
	}
	if (!facts->has_line && dwarf_die_has(die, SLOT_DECL_LINE)) {
		uint64_t line = die->values[SLOT_DECL_LINE].number;
		facts->line = line <= UINT32_MAX ? (uint32_t)line : 0;
		facts->has_line = true;
	}
	return settle(d, err);
}

static bool is_complete(const struct function_facts *facts)
{
	return facts->has_linkage_name && facts->has_file && facts->has_line;
}

static const struct dwarf_value *next_in_chain(const struct dwarf_die *die)
{
	if (dwarf_die_has(die, SLOT_ABSTRACT_ORIGIN))
		return &die->values[SLOT_ABSTRACT_ORIGIN];
	return dwarf_die_has(die, SLOT_SPECIFICATION) ? &die->values[SLOT_SPECIFICATION] : NULL;
}

/* home: the unit that is walked. Returns 0 or a fatal error. A bad reference ends the chain: what was said until there counts. */
static int follow(struct dwarf_compiler *d, struct dwarf_context *home, const struct dwarf_die *first, struct function_facts *facts)
{
	const struct dwarf_value *reference = next_in_chain(first);
	struct dwarf_context *c = home;
	struct dwarf_die die;

	for (unsigned hops = 0; reference && !is_complete(facts); hops++) {
		struct die_place place;
		int err = hops < DWARF_CHAIN_MAX ? place_of(c, reference, &place) : -EBADMSG;
		if (err == 0 && !(place.file == c->file && place.offset >= c->unit.dies && place.offset < c->unit.end)) {
			c = home;
			if (place.file != home->file || place.offset < home->unit.dies || place.offset >= home->unit.end)
				err = dwarf_context_of(place.file, place.offset, &c);
		}
		if (err == 0)
			err = dwarf_die_at(c, place.offset, &die);
		if (err == 0)
			err = gather(d, c, &die, facts);
		if (settle(d, err) < 0)
			return d->fatal;
		if (err < 0) {
			d->stats.bad_references++;
			return 0;
		}
		reference = next_in_chain(&die);
	}
	return 0;
}

/* The symbol where the function begins may tell more than DWARF's plain name. Returns 0 or a fatal error. */
static int find_linker_name(struct dwarf_compiler *d, const struct string_place *plain, uint32_t *name_out)
{
	char text[NAME_TABLE_STRING_MAX], name[SYMTAB_NAME_MAX];
	const char *bytes = "";
	size_t n = 0;
	int err = d->linker_names ? 0 : linker_names_create(d->input->elf, &d->linker_names);

	if (err == 0 && plain->view)
		err = dwarf_view_string(plain->view, plain->offset, sizeof(text) - 1, &bytes, &n);
	if (err < 0)
		return settle(d, err);
	memcpy(text, bytes, n);
	text[n] = 0;
	for (size_t i = 0; i < d->n_ranges && i < 2; i++) {
		err = linker_names_find(d->linker_names, d->ranges[i].start, text, name);
		if (err == 0)
			return add_string(d, name, strlen(name), name_out);
		if (err != -ENOENT)
			return settle(d, err);
	}
	return 0;
}

static int add_function(struct dwarf_compiler *d, const struct function_facts *facts, bool is_inlined, uint32_t *function_out)
{
	const struct string_place *place = facts->has_linkage_name ? &facts->linkage_name : &facts->name;
	uint32_t name = 0;

	if (facts->has_linkage_name || facts->has_name) {
		int err = read_string(d, place, &name);
		if (settle(d, err) < 0)
			return d->fatal;
	}
	if (!is_inlined && !facts->has_linkage_name && find_linker_name(d, place, &name) < 0)
		return d->fatal;
	int64_t id = name_table_add_function(d->builder, name, facts->file, facts->line);
	if (id < 0)
		return d->fatal = (int)id;
	*function_out = (uint32_t)id;
	return 0;
}

/* Does the DIE only point to another? Then all that point there are instances of one function. */
static bool says_nothing(const struct dwarf_die *die)
{
	return !(die->slots & (1u << SLOT_NAME | 1u << SLOT_LINKAGE_NAME | 1u << SLOT_DECL_FILE | 1u << SLOT_DECL_LINE));
}

int dwarf_function_of(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *die, bool is_inlined, uint32_t *function_out)
{
	const struct dwarf_value *reference = next_in_chain(die);
	struct function_facts facts = { .file = 0 };
	struct offset_map *memo = NULL;
	struct die_place place;

	/* Where it is not inlined it may have a name of the linker's, which goes by its address. */
	if (is_inlined && reference && says_nothing(die) && place_of(c, reference, &place) == 0) {
		bool is_local = place.file == c->file && place.offset >= c->unit.dies && place.offset < c->unit.end;
		memo = is_local ? &place.file->local : &place.file->functions;
		if (offset_map_find(memo, place.offset, function_out))
			return 0;
	}
	int err = gather(d, c, die, &facts);
	if (err == 0)
		err = follow(d, c, die, &facts);
	if (err == 0)
		err = add_function(d, &facts, is_inlined, function_out);
	if (err == 0 && memo)
		offset_map_add(memo, place.offset, *function_out);
	return err;
}
