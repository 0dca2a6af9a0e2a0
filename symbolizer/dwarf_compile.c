#include "symbolizer/dwarf_compile.h"
#include "symbolizer/dwarf_compiler.h"
#include "symbolizer/symbol_reader.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

/* An error that costs the unit, or ends everything. */
static int count_bad_unit(struct dwarf_compiler *d, int err)
{
	if (d->fatal || dwarf_is_fatal(err))
		return d->fatal ? d->fatal : err;
	if (err == -E2BIG)
		d->stats.over_limits++;
	if (err < 0)
		d->stats.bad_units++;
	return 0;
}

/* Are all of the unit's ranges known, and none of them wanted? Returns 1, 0, or a fatal error. */
static int is_unwanted(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *root)
{
	bool has_ranges = dwarf_die_has(root, SLOT_RANGES) || (dwarf_die_has(root, SLOT_LOW_PC) && dwarf_die_has(root, SLOT_HIGH_PC));

	if (!d->input->wanted || !has_ranges)
		return 0;
	int err = dwarf_ranges_read(d, c, root);
	if (err < 0)
		return dwarf_is_fatal(err) ? err : 0;
	return !dwarf_ranges_wanted(d);
}

/* dwz moves what several units say into partial units, none of which has code. */
static bool is_shared_part(const struct dwarf_die *root)
{
	return root->abbrev->tag == DW_TAG_partial_unit && !dwarf_die_has(root, SLOT_LOW_PC) && !dwarf_die_has(root, SLOT_RANGES);
}

static int compile_context(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *root)
{
	d->stats.units++;
	if (is_shared_part(root))
		return 0;
	int got = is_unwanted(d, c, root);
	if (got)
		return got < 0 ? got : 0;
	int err = dwarf_lines_add(d, c);
	if (err < 0)
		return err;
	if (dwarf_die_has(root, SLOT_DWO_NAME)) {
		err = dwarf_split_walk(d, c, root);
		if (err != -ENOENT)
			return err;
		d->stats.missing_files++; /* the skeleton may have something itself */
	}
	return dwarf_walk(d, c, root);
}

static int compile_unit(struct dwarf_compiler *d, const struct dwarf_unit *unit)
{
	struct dwarf_context c;
	struct dwarf_die root;

	if (unit->type == DW_UT_type || unit->type == DW_UT_split_type)
		return 0;
	int err = dwarf_context_open(d->file, unit, NULL, &c, &root);
	if (err == 0)
		err = compile_context(d, &c, &root);
	dwarf_context_close(&c);
	return err == -ENOENT ? 0 : err; /* no DIE at all */
}

static int compile_units(struct dwarf_compiler *d)
{
	const struct dwarf_unit *unit;
	int err;

	for (size_t i = 0; (err = dwarf_unit_nth(d->file, i, &unit)) == 0; i++) {
		struct dwarf_unit copy = *unit; /* the array may move */
		err = count_bad_unit(d, compile_unit(d, &copy));
		if (err < 0)
			return err;
	}
	return err == -ENOENT ? 0 : err;
}

static void take_stats(struct dwarf_compiler *d)
{
	struct dwarf_line_stats lines = { 0 };

	d->stats.bad_units += d->file->bad_units;
	if (d->file->lines)
		dwarf_line_stats(d->file->lines, &lines);
	d->stats.line_programs = lines.programs;
	d->stats.bad_line_programs = lines.bad_programs;
	d->stats.rows = lines.rows;
}

static int compile(struct dwarf_compiler *d)
{
	const struct elf_file *elf = d->input->elf;
	int err = dwarf_file_create(elf, false, d->input->budget, &d->file);

	if (err < 0)
		return err;
	/* In relocatable files all sections begin at 0. */
	err = elf->type == ET_REL ? 0 : symbol_reader_code(elf, &d->code, &d->n_code);
	if (err == 0)
		err = dwarf_alt_open(d, d->file);
	if (err == 0)
		err = compile_units(d);
	take_stats(d);
	return err;
}

int dwarf_compile(const struct dwarf_input *input, struct name_table_builder *builder, struct dwarf_stats *stats_out)
{
	const uint64_t max_dies = input->max_dies ? input->max_dies : DWARF_DIES_MAX;
	const uint64_t max_ranges = input->max_range_entries ? input->max_range_entries : DWARF_RANGES_WORK;
	struct dwarf_compiler d = { .input = input, .builder = builder, .dies_left = max_dies, .ranges_left = max_ranges };

	int err = compile(&d);
	dwarf_split_destroy(d.split);
	dwarf_file_destroy(d.file);
	linker_names_destroy(d.linker_names);
	free(d.code);
	free(d.ranges);
	d.stats.dies = max_dies - d.dies_left;
	if (err != -ENOENT)
		*stats_out = d.stats;
	return err;
}
