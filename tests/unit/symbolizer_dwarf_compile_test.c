#include "symbolizer/dwarf_compile.h"

#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/dwarf_abbrev.h"
#include "symbolizer/dwarf_compiler.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/dwarf_writer.h"
#include "tests/unit/elf_writer.h"

/* Abbreviations that most tests use. */
enum {
	UNIT = 1,     /* no attributes */
	FUNCTION,     /* name, low_pc, high_pc (length, data4) */
	INLINED,      /* abstract_origin, low_pc, high_pc, call_line */
	ABSTRACT,     /* linkage_name */
	CONCRETE,     /* abstract_origin, low_pc, high_pc */
	BLOCK,	      /* with children, no attributes */
	SPECIFIED,    /* specification */
	RANGED,	      /* name, ranges */
	CROSS,	      /* abstract_origin (ref_addr), low_pc, high_pc */
	LEAF,	      /* a function without children: name, low_pc, high_pc */
	SIBLING_TYPE, /* an enumeration with children: sibling */
	CLASS,	      /* name, with children */
	N_USUAL,
};

static void put_usual(struct dwarf_writer *w)
{
	ABBREV(w, UNIT, DW_TAG_compile_unit, 1, 0, 0);
	ABBREV(w, FUNCTION, DW_TAG_subprogram, 1, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, 0, 0);
	ABBREV(w, INLINED, DW_TAG_inlined_subroutine, 1, DW_AT_abstract_origin, DW_FORM_ref4, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc,
	       DW_FORM_data4, DW_AT_call_line, DW_FORM_data1, 0, 0);
	ABBREV(w, ABSTRACT, DW_TAG_subprogram, 0, DW_AT_linkage_name, DW_FORM_string, 0, 0);
	ABBREV(w, CONCRETE, DW_TAG_subprogram, 0, DW_AT_abstract_origin, DW_FORM_ref4, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4,
	       0, 0);
	ABBREV(w, BLOCK, DW_TAG_lexical_block, 1, 0, 0);
	ABBREV(w, SPECIFIED, DW_TAG_subprogram, 0, DW_AT_specification, DW_FORM_ref4, 0, 0);
	ABBREV(w, RANGED, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_string, DW_AT_ranges, DW_FORM_sec_offset, 0, 0);
	ABBREV(w, CROSS, DW_TAG_subprogram, 0, DW_AT_abstract_origin, DW_FORM_ref_addr, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc,
	       DW_FORM_data4, 0, 0);
	ABBREV(w, LEAF, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, 0, 0);
	ABBREV(w, SIBLING_TYPE, DW_TAG_enumeration_type, 1, DW_AT_sibling, DW_FORM_ref4, 0, 0);
	ABBREV(w, CLASS, DW_TAG_class_type, 1, DW_AT_name, DW_FORM_string, 0, 0);
	put_u8(&w->abbrev, 0);
}

static void put_range(struct dwarf_writer *w, uint64_t start, uint32_t bytes)
{
	put_u64(&w->info, start);
	put_u32(&w->info, bytes);
}

static void put_function(struct dwarf_writer *w, uint8_t code, const char *name, uint64_t start, uint32_t bytes)
{
	put_u8(&w->info, code);
	put_text(&w->info, name);
	put_range(w, start, bytes);
}

static void put_inlined(struct dwarf_writer *w, uint32_t origin, uint64_t start, uint32_t bytes, uint8_t line)
{
	put_u8(&w->info, INLINED);
	put_u32(&w->info, origin);
	put_range(w, start, bytes);
	put_u8(&w->info, line);
}

/* Offset of the next DIE in its unit. */
static uint32_t here(const struct dwarf_writer *w, size_t unit)
{
	return (uint32_t)(w->info.n - unit);
}

/* outer [0x2000, 0x2100) with inner [0x2010, 0x2020) called in line 7, in it deep [0x2014, 0x2018); then alone [0x2200, 0x2210). */
static void put_tree(struct dwarf_writer *w, uint16_t version, bool is_64)
{
	size_t unit = begin_unit(w, version, is_64, 0);

	put_u8(&w->info, UNIT);
	uint32_t inner = here(w, unit);
	put_u8(&w->info, ABSTRACT);
	put_text(&w->info, "inner");
	uint32_t deep = here(w, unit);
	put_u8(&w->info, ABSTRACT);
	put_text(&w->info, "deep");
	put_function(w, FUNCTION, "outer", 0x2000, 0x100);
	put_u8(&w->info, BLOCK);
	put_inlined(w, inner, 0x2010, 0x10, 7);
	put_inlined(w, deep, 0x2014, 4, 9);
	PUT(&w->info, 0, 0, 0, 0); /* deep, inner, the block, outer */
	put_function(w, LEAF, "alone", 0x2200, 0x10);
	put_u8(&w->info, 0);
	end_unit(w, unit);
}

static void inlined_calls_are_frames(void **state)
{
	(void)state;
	for (uint16_t version = 2; version <= 5; version++) {
		for (int is_64 = 0; is_64 <= 1; is_64++) {
			AUTO_DWARF struct dwarf_writer w = { 0 };
			put_usual(&w);
			put_tree(&w, version, is_64);
			AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
			assert_string_equal(names_at(n, 0x2000), "outer");
			assert_string_equal(names_at(n, 0x2010), "inner outer");
			assert_string_equal(names_at(n, 0x2014), "deep inner outer");
			assert_int_equal(n->match.frames[1].line, 9);
			assert_int_equal(n->match.frames[2].line, 7);
			assert_string_equal(names_at(n, 0x2018), "inner outer");
			assert_string_equal(names_at(n, 0x20ff), "outer");
			assert_string_equal(names_at(n, 0x2100), "");
			assert_string_equal(names_at(n, 0x220f), "alone");
			assert_int_equal(n->stats.units, 1);
			assert_int_equal(n->stats.functions, 2);
			assert_int_equal(n->stats.inlines, 2);
			assert_int_equal(n->stats.bad_units, 0);
		}
	}
}

static void a_file_without_debug_info_has_none(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_int_equal(n->err, -ENOENT);
}

static void the_builders_limit_ends_it(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_u8(&w.info, UNIT);
	for (unsigned i = 0; i < 20000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "function_%u", i);
		put_function(&w, LEAF, name, 0x2000 + i * 16, 16);
	}
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 512 << 10);
	assert_int_equal(n->err, -E2BIG);
	AUTO_NAMES struct names *enough = names_of(&w, NULL, 0);
	assert_string_equal(names_at(enough, 0x2000 + 19999 * 16), "function_19999");
}

/* A form and what follows it in a DIE. */
struct form_case {
	uint64_t form;
	uint8_t bytes[32];
	size_t n;
};

/* name behind it is read only when its length was right. As an attribute that matters (decl_column does not) and as one that does not. */
static void values_of_every_form_are_passed_over(void **state)
{
	static const struct form_case CASES[] = {
		{ DW_FORM_addr, { 0 }, 8 },
		{ DW_FORM_block1, { 2, 1, 1 }, 3 },
		{ DW_FORM_block2, { 2, 0, 1, 1 }, 4 },
		{ DW_FORM_block4, { 2, 0, 0, 0, 1, 1 }, 6 },
		{ DW_FORM_block, { 2, 1, 1 }, 3 },
		{ DW_FORM_exprloc, { 3, 1, 1, 1 }, 4 },
		{ DW_FORM_data1, { 1 }, 1 },
		{ DW_FORM_data2, { 1 }, 2 },
		{ DW_FORM_data4, { 1 }, 4 },
		{ DW_FORM_data8, { 1 }, 8 },
		{ DW_FORM_data16, { 1 }, 16 },
		{ DW_FORM_string, "text", 5 },
		{ DW_FORM_flag, { 1 }, 1 },
		{ DW_FORM_flag_present, { 0 }, 0 },
		{ DW_FORM_sdata, { 0xff, 0x7f }, 2 },
		{ DW_FORM_sdata, { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f }, 10 },
		{ DW_FORM_udata, { 0x80, 1 }, 2 },
		{ DW_FORM_strp, { 0 }, 4 },
		{ DW_FORM_line_strp, { 0 }, 4 },
		{ DW_FORM_strp_sup, { 0 }, 4 },
		{ DW_FORM_strx, { 0x80, 1 }, 2 },
		{ DW_FORM_strx1, { 0 }, 1 },
		{ DW_FORM_strx2, { 0 }, 2 },
		{ DW_FORM_strx3, { 0 }, 3 },
		{ DW_FORM_strx4, { 0 }, 4 },
		{ DW_FORM_addrx, { 0x80, 1 }, 2 },
		{ DW_FORM_addrx1, { 0 }, 1 },
		{ DW_FORM_addrx2, { 0 }, 2 },
		{ DW_FORM_addrx3, { 0 }, 3 },
		{ DW_FORM_addrx4, { 0 }, 4 },
		{ DW_FORM_ref1, { 0 }, 1 },
		{ DW_FORM_ref2, { 0 }, 2 },
		{ DW_FORM_ref4, { 0 }, 4 },
		{ DW_FORM_ref8, { 0 }, 8 },
		{ DW_FORM_ref_udata, { 0x80, 1 }, 2 },
		{ DW_FORM_ref_addr, { 0 }, 4 },
		{ DW_FORM_ref_sig8, { 0 }, 8 },
		{ DW_FORM_ref_sup4, { 0 }, 4 },
		{ DW_FORM_ref_sup8, { 0 }, 8 },
		{ DW_FORM_sec_offset, { 0 }, 4 },
		{ DW_FORM_loclistx, { 0x80, 1 }, 2 },
		{ DW_FORM_rnglistx, { 0x80, 1 }, 2 },
		{ DW_FORM_indirect, { DW_FORM_data2, 0, 0 }, 3 },
		{ DW_FORM_GNU_addr_index, { 0x80, 1 }, 2 },
		{ DW_FORM_GNU_str_index, { 0x80, 1 }, 2 },
		{ DW_FORM_GNU_ref_alt, { 0 }, 4 },
		{ DW_FORM_GNU_strp_alt, { 0 }, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		for (unsigned k = 0; k < 2; k++) {
			uint64_t attribute = k ? DW_AT_decl_line : DW_AT_decl_column;
			AUTO_DWARF struct dwarf_writer w = { 0 };
			ABBREV(&w, 1, DW_TAG_compile_unit, 1, 0, 0);
			ABBREV(&w, 2, DW_TAG_variable, 0, attribute, CASES[i].form, 0, 0);
			ABBREV(&w, 3, DW_TAG_subprogram, 0, attribute, CASES[i].form, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr,
			       DW_AT_high_pc, DW_FORM_data4, 0, 0);
			size_t unit = begin_unit(&w, 5, false, 0);
			PUT(&w.info, 1, 2);
			put(&w.info, CASES[i].bytes, CASES[i].n);
			put_u8(&w.info, 3);
			put(&w.info, CASES[i].bytes, CASES[i].n);
			put_text(&w.info, "found");
			put_range(&w, 0x2000, 16);
			put_u8(&w.info, 0);
			end_unit(&w, unit);
			AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
			if (strcmp(names_at(n, 0x2000), "found") != 0)
				fail_msg("form 0x%x", (unsigned)CASES[i].form);
			assert_int_equal(n->stats.bad_units, 0);
		}
	}
}

static void an_unknown_form_costs_its_unit(void **state)
{
	static const struct form_case CASES[] = {
		{ 0x7f, { 0 }, 0 },
		{ 0x12345, { 0 }, 0 },
		{ DW_FORM_indirect, { 0x7f }, 1 },
		{ DW_FORM_indirect, { DW_FORM_indirect, DW_FORM_data1, 0 }, 3 },
		{ DW_FORM_indirect, { DW_FORM_implicit_const }, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		AUTO_DWARF struct dwarf_writer w = { 0 };
		put_usual(&w);
		uint32_t second = (uint32_t)w.abbrev.n;
		ABBREV(&w, 1, DW_TAG_compile_unit, 1, 0, 0);
		ABBREV(&w, 2, DW_TAG_variable, 0, DW_AT_location, CASES[i].form, 0, 0);
		size_t unit = begin_unit(&w, 5, false, second);
		PUT(&w.info, 1, 2);
		put(&w.info, CASES[i].bytes, CASES[i].n);
		end_unit(&w, unit);
		put_tree(&w, 5, false);
		AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
		assert_string_equal(names_at(n, 0x2014), "deep inner outer");
		assert_int_equal(n->stats.bad_units, 1);
	}
}

static void constants_of_abbreviations_are_values(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	ABBREV(&w, 1, DW_TAG_compile_unit, 1, 0, 0);
	ABBREV(&w, 2, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_implicit_const, 0x10,
	       DW_AT_decl_line, DW_FORM_implicit_const, 0x21, 0, 0);
	size_t unit = begin_unit(&w, 5, false, 0);
	PUT(&w.info, 1, 2);
	put_text(&w.info, "f");
	put_u64(&w.info, 0x2000);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x200f), "f");
	assert_int_equal(n->match.frames[0].start_line, 0x21);
	assert_string_equal(names_at(n, 0x2010), "");
}

/* With bases other than the ones behind the sections' heads. */
static void indices_are_looked_up_from_their_bases(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	ABBREV(&w, 1, DW_TAG_compile_unit, 1, DW_AT_str_offsets_base, DW_FORM_sec_offset, DW_AT_addr_base, DW_FORM_sec_offset,
	       DW_AT_rnglists_base, DW_FORM_sec_offset, DW_AT_low_pc, DW_FORM_addrx, 0, 0);
	ABBREV(&w, 2, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_strx, DW_AT_low_pc, DW_FORM_addrx1, DW_AT_high_pc, DW_FORM_data1, 0, 0);
	ABBREV(&w, 3, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_strx2, DW_AT_ranges, DW_FORM_rnglistx, 0, 0);
	put_text(&w.str, "zero");
	put_text(&w.str, "one");
	put_u64(&w.str_offsets, 0);
	put_u64(&w.str_offsets, 0);
	put_u32(&w.str_offsets, 0); /* base 16: index 0 */
	put_u32(&w.str_offsets, 5);
	put_u64(&w.addr, 0);
	put_u64(&w.addr, 0x3000); /* base 8 */
	put_u64(&w.addr, 0x4000);
	PUT(&w.rnglists, 0, 0, 0, 0); /* base 4 */
	put_u32(&w.rnglists, 8);      /* list 0 is 8 behind the base */
	put_u32(&w.rnglists, 8);
	PUT(&w.rnglists, DW_RLE_offset_pair, 0x20, 0x28);      /* from the unit's low_pc, 0x4000 */
	PUT(&w.rnglists, DW_RLE_startx_length, 0, 4);	       /* 0x3000 */
	PUT(&w.rnglists, DW_RLE_base_addressx, 0, DW_RLE_offset_pair, 0x40, 0x48);
	PUT(&w.rnglists, DW_RLE_startx_endx, 0, 0);	       /* empty */
	PUT(&w.rnglists, DW_RLE_start_length);
	put_u64(&w.rnglists, 0x5000);
	PUT(&w.rnglists, 8, DW_RLE_start_end);
	put_u64(&w.rnglists, 0x6000);
	put_u64(&w.rnglists, 0x6008);
	PUT(&w.rnglists, DW_RLE_base_address);
	put_u64(&w.rnglists, 0x7000);
	PUT(&w.rnglists, DW_RLE_offset_pair, 0, 8, DW_RLE_base_address);
	put_u64(&w.rnglists, UINT64_MAX); /* removed */
	PUT(&w.rnglists, DW_RLE_offset_pair, 0x11, 0x80, 0x40, DW_RLE_end_of_list);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_u8(&w.info, 1);
	put_u32(&w.info, 16);
	put_u32(&w.info, 8);
	put_u32(&w.info, 4);
	PUT(&w.info, 1);
	PUT(&w.info, 2, 0, 1, 0x10);
	PUT(&w.info, 3, 1, 0, 0);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x400f), "zero");
	static const uint64_t ONES[] = { 0x4027, 0x3003, 0x3047, 0x5007, 0x6007, 0x7007 };
	for (size_t i = 0; i < sizeof(ONES) / sizeof(ONES[0]); i++) {
		assert_string_equal(names_at(n, ONES[i]), "one");
		assert_string_equal(names_at(n, ONES[i] + 1), "");
	}
}

static void old_lists_choose_their_base(void **state)
{
	static const uint64_t PAIRS[][2] = { { 0x2000, 0x2010 }, { UINT64_MAX, 0x10000 }, { 0x20, 0x30 }, { 1, 1 },
					     { UINT64_MAX - 1, UINT64_MAX - 1 }, { UINT64_MAX, 0 }, { 0x8000, 0x8004 }, { 0, 0 } };
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	put_u64(&w.ranges, 0);
	for (size_t i = 0; i < sizeof(PAIRS) / sizeof(PAIRS[0]); i++) {
		put_u64(&w.ranges, PAIRS[i][0]);
		put_u64(&w.ranges, PAIRS[i][1]);
	}
	size_t unit = begin_unit(&w, 4, false, 0);
	PUT(&w.info, UNIT, RANGED);
	put_text(&w.info, "cold");
	put_u32(&w.info, 8);
	put_u8(&w.info, RANGED);
	put_text(&w.info, "bad list");
	put_u32(&w.info, 0x7fffffff);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x200f), "cold");
	assert_string_equal(names_at(n, 0x10020), "cold");
	assert_string_equal(names_at(n, 0x8003), "cold");
	assert_string_equal(names_at(n, 0x8004), "");
	assert_int_equal(n->stats.bad_references, 1);
}

static void removed_functions_are_left_out(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t unit = begin_unit(&w, 4, false, 0);
	put_u8(&w.info, UNIT);
	static const uint64_t STARTS[] = { 0, 1, UINT64_MAX, UINT64_MAX - 1, CODE_START - 1, CODE_END };
	for (size_t i = 0; i < sizeof(STARTS) / sizeof(STARTS[0]); i++)
		put_function(&w, LEAF, "removed", STARTS[i], 0x3000);
	put_function(&w, LEAF, "empty", 0x2000, 0);
	put_function(&w, LEAF, "kept", CODE_START, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_int_equal(n->stats.functions, 1);
	assert_string_equal(names_at(n, CODE_START), "kept");
	assert_string_equal(names_at(n, 0x2000), "");
}

static void linkage_names_come_through_chains(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t unit = begin_unit(&w, 5, false, 0);
	PUT(&w.info, UNIT, CLASS);
	put_text(&w.info, "Class");
	uint32_t declared = here(&w, unit);
	put_u8(&w.info, ABSTRACT);
	put_text(&w.info, "_ZN5Class6methodEv");
	put_u8(&w.info, 0);
	uint32_t abstract = here(&w, unit);
	put_u8(&w.info, SPECIFIED);
	put_u32(&w.info, declared);
	put_u8(&w.info, CONCRETE);
	put_u32(&w.info, abstract);
	put_range(&w, 0x2000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2000), "_ZN5Class6methodEv");
	assert_int_equal(n->stats.bad_references, 0);
}

static void circles_and_long_chains_end(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_u8(&w.info, UNIT);
	uint32_t self = here(&w, unit);
	put_u8(&w.info, SPECIFIED);
	put_u32(&w.info, self);
	uint32_t two = here(&w, unit);
	put_u8(&w.info, SPECIFIED);
	put_u32(&w.info, two + 5);
	put_u8(&w.info, SPECIFIED);
	put_u32(&w.info, two);
	uint32_t chain = here(&w, unit);
	for (uint32_t i = 1; i <= 100; i++) {
		put_u8(&w.info, SPECIFIED);
		put_u32(&w.info, chain + 5 * i);
	}
	put_u8(&w.info, ABSTRACT);
	put_text(&w.info, "far");
	const uint32_t origins[] = { self, two, chain, 0, 0xffffff00, here(&w, unit) - 1 /* the end of a text */ };
	for (uint32_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		put_u8(&w.info, CONCRETE);
		put_u32(&w.info, origins[i]);
		put_range(&w, 0x2000 + i * 16, 16);
	}
	put_function(&w, LEAF, "after", 0x3000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_int_equal(n->stats.bad_references, sizeof(origins) / sizeof(origins[0]));
	assert_int_equal(n->stats.bad_units, 0);
	assert_string_equal(names_at(n, 0x3000), "after");
	assert_string_equal(names_at(n, 0x2000), "");
}

static void references_lead_into_other_units(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t first = begin_unit(&w, 5, false, 0);
	PUT(&w.info, UNIT, ABSTRACT);
	size_t before = w.info.n - 1;
	put_text(&w.info, "before");
	put_u8(&w.info, 0);
	end_unit(&w, first);
	size_t second = begin_unit(&w, 4, false, 0);
	PUT(&w.info, UNIT, CROSS);
	put_u32(&w.info, (uint32_t)before);
	put_range(&w, 0x2000, 16);
	put_u8(&w.info, CROSS);
	size_t patch = w.info.n;
	put_u32(&w.info, 0);
	put_range(&w, 0x2010, 16);
	put_u8(&w.info, CROSS);
	put_u32(&w.info, 0x7fffffff);
	put_range(&w, 0x2020, 16);
	put_u8(&w.info, 0);
	end_unit(&w, second);
	size_t third = begin_unit(&w, 5, true, 0);
	PUT(&w.info, UNIT, ABSTRACT);
	uint32_t behind = (uint32_t)w.info.n - 1;
	put_text(&w.info, "behind");
	put_u8(&w.info, 0);
	end_unit(&w, third);
	memcpy(w.info.bytes + patch, &behind, 4);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2000), "before");
	assert_string_equal(names_at(n, 0x2010), "behind");
	assert_int_equal(n->stats.bad_references, 1);
	assert_int_equal(n->stats.units, 3);
}

static void only_wanted_units_are_walked(void **state)
{
	const uint64_t wanted[] = { 0x3005 };
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	uint32_t ranged = (uint32_t)w.abbrev.n;
	ABBREV(&w, UNIT, DW_TAG_compile_unit, 1, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, 0, 0);
	ABBREV(&w, LEAF, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, 0, 0);
	put_u8(&w.abbrev, 0);
	for (uint32_t i = 0; i < 3; i++) { /* 0x2000, 0x3000, 0x4000 */
		size_t unit = begin_unit(&w, 5, false, ranged);
		put_u8(&w.info, UNIT);
		put_range(&w, 0x2000 + 0x1000 * i, 0x100);
		put_function(&w, LEAF, "here", 0x2000 + 0x1000 * i, 0x10);
		put_function(&w, LEAF, "there", 0x2080 + 0x1000 * i, 0x10);
		put_u8(&w.info, 0);
		end_unit(&w, unit);
	}
	put_tree(&w, 5, false); /* says nothing of its ranges */
	AUTO_NAMES struct names *n = names_of(&w, &(struct dwarf_input){ .wanted = wanted, .n_wanted = 1 }, 0);
	assert_string_equal(names_at(n, 0x3005), "here");
	assert_int_equal(n->stats.units, 4);
	assert_int_equal(n->stats.functions, 1);
	assert_int_equal(n->stats.inlines, 0);
	assert_int_equal(n->stats.dies, 4 + 13);
	const uint64_t deep[] = { 0x2014 };
	AUTO_NAMES struct names *other = names_of(&w, &(struct dwarf_input){ .wanted = deep, .n_wanted = 1 }, 0);
	assert_string_equal(names_at(other, 0x2014), "deep inner outer");
	assert_int_equal(other->stats.functions, 1); /* and neither "here", [0x2000, 0x2010), nor "alone" */
}

static void deep_trees_cost_nothing(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_u8(&w.info, UNIT);
	for (unsigned i = 0; i < 100000; i++)
		put_u8(&w.info, BLOCK);
	put_function(&w, LEAF, "deepest", 0x2000, 16);
	for (unsigned i = 0; i < 100000; i++)
		put_u8(&w.info, 0);
	put_function(&w, LEAF, "after", 0x3000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2000), "deepest");
	assert_string_equal(names_at(n, 0x3000), "after");
	assert_int_equal(n->stats.bad_units + n->stats.over_limits, 0);
}

static void deep_inlining_is_cut(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_u8(&w.info, UNIT);
	uint32_t inner = here(&w, unit);
	put_u8(&w.info, ABSTRACT);
	put_text(&w.info, "i");
	put_function(&w, FUNCTION, "outer", 0x2000, 16);
	for (unsigned i = 0; i < 100000; i++)
		put_inlined(&w, inner, 0x2000, 8, 1);
	for (unsigned i = 0; i < 100001; i++)
		put_u8(&w.info, 0);
	put_function(&w, LEAF, "after", 0x3000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	names_at(n, 0x2000);
	assert_int_equal(n->match.n, NAME_TABLE_DEPTH_MAX + 1);
	assert_string_equal(names_at(n, 0x2008), "outer");
	assert_string_equal(names_at(n, 0x3000), "after");
	assert_true(n->stats.over_limits > 0);
	assert_int_equal(n->stats.bad_units, 0);
}

static void siblings_lead_forward_only(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_u8(&w.info, UNIT);
	uint32_t start = here(&w, unit);
	put_u8(&w.info, SIBLING_TYPE);
	put_u32(&w.info, start); /* itself */
	put_function(&w, LEAF, "read", 0x2000, 16);
	put_u8(&w.info, 0);
	put_u8(&w.info, SIBLING_TYPE);
	put_u32(&w.info, 0xfffffff0);
	PUT(&w.info, 0, SIBLING_TYPE);
	put_u32(&w.info, here(&w, unit) + 4 + 2);
	PUT(&w.info, 0x7f, 0x7f); /* never read */
	put_function(&w, LEAF, "after", 0x3000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2000), "read");
	assert_string_equal(names_at(n, 0x3000), "after");
	assert_int_equal(n->stats.bad_references, 2);
	assert_int_equal(n->stats.bad_units, 0);
}

static void a_bad_head_costs_its_unit(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} DAMAGE[] = { { 4, 6 }, { 4, 1 }, { 5, 1 }, { 7, 3 } /* address bytes */, { 8, 0xff } /* abbreviations */ };

	(void)state;
	for (size_t i = 0; i < sizeof(DAMAGE) / sizeof(DAMAGE[0]); i++) {
		AUTO_DWARF struct dwarf_writer w = { 0 };
		put_usual(&w);
		size_t unit = begin_unit(&w, 5, false, 0);
		PUT(&w.info, UNIT, 0);
		end_unit(&w, unit);
		w.info.bytes[unit + DAMAGE[i].at] = DAMAGE[i].value;
		put_tree(&w, 5, false);
		AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
		assert_string_equal(names_at(n, 0x2014), "deep inner outer");
		assert_int_equal(n->stats.bad_units, 1);
	}
}

static void a_length_behind_the_end_ends_the_units(void **state)
{
	static const uint32_t LENGTHS[] = { 0x10000, 0xfffffff0, 0xfffffffe };

	(void)state;
	for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
		AUTO_DWARF struct dwarf_writer w = { 0 };
		put_usual(&w);
		put_tree(&w, 5, false);
		size_t at = w.info.n;
		put_tree(&w, 5, false);
		memcpy(w.info.bytes + at, &LENGTHS[i], 4);
		AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
		assert_string_equal(names_at(n, 0x2014), "deep inner outer");
		assert_int_equal(n->stats.units, 1);
		assert_int_equal(n->stats.bad_units, 1);
	}
}

static void abbreviations_without_order_are_found(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	ABBREV(&w, 900, DW_TAG_compile_unit, 1, 0, 0);
	ABBREV(&w, 7, DW_TAG_base_type, 0, DW_AT_byte_size, DW_FORM_data1, 0, 0);
	ABBREV(&w, UINT64_MAX, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, 0, 0);
	ABBREV(&w, 7, DW_TAG_base_type, 0, DW_AT_byte_size, DW_FORM_data8, 0, 0); /* the first counts */
	put_u8(&w.abbrev, 0);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_uleb(&w.info, 900);
	PUT(&w.info, 7, 4, 7, 4);
	put_uleb(&w.info, UINT64_MAX);
	put_text(&w.info, "f");
	put_range(&w, 0x2000, 16);
	PUT(&w.info, 7, 4, 0);
	end_unit(&w, unit);
	unit = begin_unit(&w, 5, false, 0);
	put_uleb(&w.info, 900);
	PUT(&w.info, 8, 0); /* no such code */
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2000), "f");
	assert_int_equal(n->stats.bad_units, 1);
}

/* Fuzzing found it: nothing was added to NULL. */
static void abbreviations_may_have_no_attributes(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	ABBREV(&w, 1, DW_TAG_compile_unit, 1, 0, 0);
	ABBREV(&w, 2, DW_TAG_base_type, 0, 0, 0);
	put_u8(&w.abbrev, 0);
	size_t unit = begin_unit(&w, 5, false, 0);
	PUT(&w.info, 1, 2, 2, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_int_equal(n->stats.units, 1);
	assert_int_equal(n->stats.bad_units, 0);
}

static void too_many_attributes_are_refused(void **state)
{
	(void)state;
	for (unsigned extra = 0; extra <= 1; extra++) {
		AUTO_DWARF struct dwarf_writer w = { 0 };
		put_usual(&w);
		uint32_t second = (uint32_t)w.abbrev.n;
		ABBREV(&w, 1, DW_TAG_compile_unit, 1, 0, 0);
		PUT(&w.abbrev, 2, DW_TAG_subprogram, 0);
		for (unsigned i = 0; i < DWARF_ATTRIBUTES_MAX + extra; i++)
			PUT(&w.abbrev, DW_AT_decl_column, i % 2 ? DW_FORM_udata : DW_FORM_data1);
		PUT(&w.abbrev, 0, 0, 0);
		size_t unit = begin_unit(&w, 5, false, second);
		PUT(&w.info, 1, 2);
		for (unsigned i = 0; i < DWARF_ATTRIBUTES_MAX; i++)
			put_u8(&w.info, 1);
		put_u8(&w.info, 0);
		end_unit(&w, unit);
		put_tree(&w, 5, false);
		AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
		assert_string_equal(names_at(n, 0x2014), "deep inner outer");
		assert_int_equal(n->stats.bad_units, extra);
		assert_int_equal(n->stats.over_limits, extra);
	}
}

static void put_block(struct dwarf_writer *w, uint8_t code, uint32_t bytes)
{
	AUTO_FREE uint8_t *block = calloc(1, bytes);

	assert_non_null(block);
	put_u8(&w->info, code);
	put_u32(&w->info, bytes);
	put(&w->info, block, bytes);
}

/* One unit of several windows, with a DIE that is cut by one and a DIE that is longer than one; what is referred to lies behind or before. */
static void long_units_are_read_window_by_window(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	w.abbrev.n--; /* one more */
	ABBREV(&w, N_USUAL, DW_TAG_variable, 0, DW_AT_location, DW_FORM_block4, 0, 0);
	put_u8(&w.abbrev, 0);
	size_t unit = begin_unit(&w, 5, false, 0);
	put_u8(&w.info, UNIT);
	uint32_t first = here(&w, unit);
	put_u8(&w.info, ABSTRACT);
	put_text(&w.info, "first");
	put_u8(&w.info, CONCRETE);
	size_t patch = w.info.n;
	put_u32(&w.info, 0);
	put_range(&w, 0x2000, 16);
	put_function(&w, FUNCTION, "around", 0x3000, 0x100);
	put_block(&w, N_USUAL, DWARF_WINDOW_BYTES - 1000);
	put_inlined(&w, first, 0x3010, 16, 1);
	put_block(&w, N_USUAL, DWARF_WINDOW_BYTES + 1000);
	PUT(&w.info, 0, 0);
	uint32_t last = here(&w, unit);
	put_u8(&w.info, ABSTRACT);
	put_text(&w.info, "last");
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	memcpy(w.info.bytes + patch, &last, 4);
	put_tree(&w, 5, false);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2000), "last");
	assert_string_equal(names_at(n, 0x3010), "first around");
	assert_string_equal(names_at(n, 0x3020), "around");
	assert_string_equal(names_at(n, 0x2210 - 1), "alone");
	assert_int_equal(n->stats.bad_units + n->stats.bad_references, 0);
}

/* Many functions that name one long list would have us read it for each: the work of a file is bounded. */
static void long_lists_are_not_read_for_ever(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	for (unsigned i = 0; i < 1000; i++) { /* one of code, others of what was removed */
		put_u64(&w.ranges, i ? 16 : 0x2000);
		put_u64(&w.ranges, i ? 20 : 0x2010);
	}
	put_u64(&w.ranges, 0);
	put_u64(&w.ranges, 0);
	size_t unit = begin_unit(&w, 4, false, 0);
	put_u8(&w.info, UNIT);
	for (unsigned i = 0; i < 100; i++) {
		put_u8(&w.info, RANGED);
		put_text(&w.info, "r");
		put_u32(&w.info, 0);
	}
	put_function(&w, LEAF, "after", 0x3000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, &(struct dwarf_input){ .max_range_entries = 50 * 1001 }, 0);
	assert_string_equal(names_at(n, 0x2000), "r");
	assert_string_equal(names_at(n, 0x3000), "after");
	assert_int_equal(n->stats.functions, 51);
	assert_int_equal(n->stats.over_limits, 50);
	AUTO_NAMES struct names *all = names_of(&w, NULL, 0);
	assert_int_equal(all->stats.functions, 101);
}

static void a_file_has_a_limit_of_dies(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	put_tree(&w, 5, false); /* the unit, two abstract functions, outer, its block, two calls, four ends: 11 */
	AUTO_NAMES struct names *n = names_of(&w, &(struct dwarf_input){ .max_dies = 11 }, 0);
	assert_string_equal(names_at(n, 0x2014), "deep inner outer");
	assert_string_equal(names_at(n, 0x2200), "");
	assert_int_equal(n->stats.dies, 11);
	assert_int_equal(n->stats.bad_units, 1);
	assert_int_equal(n->stats.over_limits, 1);
	AUTO_NAMES struct names *enough = names_of(&w, &(struct dwarf_input){ .max_dies = 13 }, 0);
	assert_string_equal(names_at(enough, 0x2200), "alone");
	assert_int_equal(enough->stats.bad_units, 0);
}

static void a_die_has_a_limit_of_ranges(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	for (uint64_t i = 0; i < DWARF_RANGES_MAX + 10; i++) {
		put_u64(&w.ranges, 0x2000 + 32 * i);
		put_u64(&w.ranges, 0x2010 + 32 * i);
	}
	put_u64(&w.ranges, 0);
	put_u64(&w.ranges, 0);
	size_t unit = begin_unit(&w, 4, false, 0);
	PUT(&w.info, UNIT, RANGED);
	put_text(&w.info, "r");
	put_u32(&w.info, 0);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2000 + 32 * (DWARF_RANGES_MAX - 1)), "r");
	assert_string_equal(names_at(n, 0x2000 + 32 * DWARF_RANGES_MAX), "");
	assert_int_equal(n->stats.over_limits, 1);
}

/* Cut at any byte, the unit that is cut is lost, and what came before stays. */
static void cut_files_are_read_as_far_as_they_go(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 };

	(void)state;
	put_usual(&w);
	put_tree(&w, 5, false);
	size_t whole = w.info.n;
	put_tree(&w, 4, true);
	size_t all = w.info.n, abbrevs = w.abbrev.n;
	for (w.info.n = all - 1; w.info.n > 0; w.info.n--) {
		AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
		assert_int_equal(n->stats.bad_units, w.info.n != whole);
		assert_string_equal(names_at(n, 0x2014), w.info.n >= whole ? "deep inner outer" : "");
	}
	w.info.n = all;
	for (w.abbrev.n = abbrevs - 1; w.abbrev.n > 0; w.abbrev.n--) {
		AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
		assert_int_equal(n->err, 0);
	}
	w.abbrev.n = abbrevs;
	/* A unit whose length is right, and whose tree is not closed. */
	uint32_t length = (uint32_t)whole - 4 - 2;
	memcpy(w.info.bytes, &length, 4);
	w.info.n = whole - 2;
	AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
	assert_string_equal(names_at(n, 0x2014), "deep inner outer");
	assert_int_equal(n->stats.bad_units, 1);
}

/* Whatever bytes there are: no crash (under sanitizers), and it ends. */
static void damage_is_survived(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		AUTO_DWARF struct dwarf_writer w = { 0 };
		put_usual(&w);
		put_tree(&w, (uint16_t)(2 + round % 4), round % 8 > 3);
		put_tree(&w, 5, false);
		for (unsigned i = 0; i < 1 + round % 5; i++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			struct writer *part = seed >> 63 ? &w.info : &w.abbrev;
			part->bytes[(seed >> 32) % part->n] = (uint8_t)(seed >> 24);
		}
		AUTO_NAMES struct names *n = names_of(&w, NULL, 0);
		if (n->err == 0)
			names_at(n, 0x2014);
	}
}

/* Hands over what is in fds, one after the other, and remembers what was asked for. */
struct candidates {
	int fds[4];
	unsigned n, asked;
	enum debug_ask_kind kinds[16];
	char names[16][32], directories[16][32];
	uint8_t id[64], id_bytes;
};

static int hand_over(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct candidates *c = context;

	assert_true(c->asked < 16);
	c->kinds[c->asked] = ask->kind;
	snprintf(c->names[c->asked], sizeof(c->names[0]), "%s", ask->name);
	snprintf(c->directories[c->asked++], sizeof(c->directories[0]), "%s", ask->directory);
	memcpy(c->id, ask->build_id, sizeof(c->id));
	c->id_bytes = ask->build_id_bytes;
	if (nth >= c->n)
		return -ENOENT;
	*fd_out = dup(c->fds[nth]);
	return *fd_out < 0 ? -errno : 0;
}

/* Strangers' files in place of what was asked for: passed over, and the unit's skeleton says what it can. */
static void split_files_that_are_others_are_missing(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 }, other = { 0 };
	struct candidates c = { .n = 3 };
	const struct debug_asker asker = { hand_over, &c };

	(void)state;
	put_usual(&other);
	put_tree(&other, 5, false);
	c.fds[0] = dwarf_writer_fd(&other); /* no .dwo sections */
	c.fds[1] = bytes_fd("no ELF file", 11);
	c.fds[2] = bytes_fd("", 0);
	ABBREV(&w, 1, DW_TAG_compile_unit, 1, DW_AT_GNU_dwo_name, DW_FORM_string, DW_AT_GNU_dwo_id, DW_FORM_data8, DW_AT_comp_dir,
	       DW_FORM_string, 0, 0);
	ABBREV(&w, 2, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, 0, 0);
	put_u8(&w.abbrev, 0);
	size_t unit = begin_unit(&w, 4, false, 0);
	put_u8(&w.info, 1);
	put_text(&w.info, "a.dwo");
	put_u64(&w.info, 0x1234567890abcdef);
	put_text(&w.info, "/build");
	put_function(&w, 2, "of_skeleton", 0x2000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, &(struct dwarf_input){ .asker = &asker }, 0);
	assert_string_equal(names_at(n, 0x2000), "of_skeleton");
	assert_int_equal(n->stats.missing_files, 1);
	assert_int_equal(c.asked, 8); /* the package, then the .dwo: each three candidates and one that is not there */
	assert_int_equal(c.kinds[0], DEBUG_ASK_DWP);
	assert_int_equal(c.kinds[4], DEBUG_ASK_DWO);
	assert_string_equal(c.names[4], "a.dwo");
	assert_string_equal(c.directories[4], "/build");
	AUTO_NAMES struct names *alone = names_of(&w, NULL, 0);
	assert_string_equal(names_at(alone, 0x2000), "of_skeleton");
	assert_int_equal(alone->stats.missing_files, 1);
	for (unsigned i = 0; i < 3; i++)
		close(c.fds[i]);
}

static void alternate_files_have_the_build_id_of_the_link(void **state)
{
	AUTO_DWARF struct dwarf_writer w = { 0 }, other = { 0 };
	struct candidates c = { .n = 1 };
	const struct debug_asker asker = { hand_over, &c };

	(void)state;
	put_usual(&other);
	put_tree(&other, 5, false);
	c.fds[0] = dwarf_writer_fd(&other); /* without a build id */
	put_usual(&w);
	w.abbrev.n--;
	ABBREV(&w, N_USUAL, DW_TAG_subprogram, 0, DW_AT_abstract_origin, DW_FORM_GNU_ref_alt, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc,
	       DW_FORM_data4, 0, 0);
	put_u8(&w.abbrev, 0);
	put_text(&w.altlink, "common.debug");
	PUT(&w.altlink, 1, 2, 3, 4, 5, 6, 7, 8);
	put_tree(&w, 5, false);
	size_t unit = begin_unit(&w, 5, false, 0);
	PUT(&w.info, UNIT, N_USUAL);
	put_u32(&w.info, 13);
	put_range(&w, 0x4000, 16);
	put_u8(&w.info, 0);
	end_unit(&w, unit);
	AUTO_NAMES struct names *n = names_of(&w, &(struct dwarf_input){ .asker = &asker }, 0);
	assert_int_equal(n->stats.missing_files, 1);
	assert_int_equal(c.kinds[0], DEBUG_ASK_ALT);
	assert_string_equal(c.names[0], "common.debug");
	assert_int_equal(c.id_bytes, 8);
	assert_memory_equal(c.id, "\1\2\3\4\5\6\7\10", 8);
	assert_string_equal(names_at(n, 0x2014), "deep inner outer");
	assert_string_equal(names_at(n, 0x4000), "");
	close(c.fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inlined_calls_are_frames),
		cmocka_unit_test(a_file_without_debug_info_has_none),
		cmocka_unit_test(the_builders_limit_ends_it),
		cmocka_unit_test(values_of_every_form_are_passed_over),
		cmocka_unit_test(an_unknown_form_costs_its_unit),
		cmocka_unit_test(constants_of_abbreviations_are_values),
		cmocka_unit_test(indices_are_looked_up_from_their_bases),
		cmocka_unit_test(old_lists_choose_their_base),
		cmocka_unit_test(removed_functions_are_left_out),
		cmocka_unit_test(linkage_names_come_through_chains),
		cmocka_unit_test(circles_and_long_chains_end),
		cmocka_unit_test(references_lead_into_other_units),
		cmocka_unit_test(only_wanted_units_are_walked),
		cmocka_unit_test(deep_trees_cost_nothing),
		cmocka_unit_test(deep_inlining_is_cut),
		cmocka_unit_test(siblings_lead_forward_only),
		cmocka_unit_test(a_bad_head_costs_its_unit),
		cmocka_unit_test(a_length_behind_the_end_ends_the_units),
		cmocka_unit_test(abbreviations_without_order_are_found),
		cmocka_unit_test(abbreviations_may_have_no_attributes),
		cmocka_unit_test(too_many_attributes_are_refused),
		cmocka_unit_test(long_units_are_read_window_by_window),
		cmocka_unit_test(long_lists_are_not_read_for_ever),
		cmocka_unit_test(a_file_has_a_limit_of_dies),
		cmocka_unit_test(a_die_has_a_limit_of_ranges),
		cmocka_unit_test(cut_files_are_read_as_far_as_they_go),
		cmocka_unit_test(split_files_that_are_others_are_missing),
		cmocka_unit_test(alternate_files_have_the_build_id_of_the_link),
		cmocka_unit_test(damage_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
