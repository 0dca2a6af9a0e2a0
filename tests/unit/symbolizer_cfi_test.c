#include "symbolizer/cfi.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/cfi_expression.h"
#include "tests/unit/cfi_writer.h"
#include "tests/unit/cmocka_prelude.h"

static void a_prologue_gives_its_rows(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct rows rows;
	size_t cie = put_cie(&w, "zR");

	(void)state;
	/* push %rbp; mov %rsp,%rbp; ...; leave; ret */
	FDE(&w, cie, 0x1000, 0x40, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2,
	    DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, 6, DW_CFA_remember_state, DW_CFA_advance_loc1, 0x30, DW_CFA_def_cfa,
	    7, 8, DW_CFA_restore | 6, DW_CFA_advance_loc | 1, DW_CFA_restore_state);
	assert_int_equal(rows_of(&w, &rows), 0);
	assert_int_equal(rows.n, 5);
	assert_int_equal(rows.rows[0].start, 0x1000);
	assert_int_equal(rows.rows[0].rule.cfa_register, X86_64_SP);
	assert_int_equal(rows.rows[0].rule.cfa_offset, 8);
	assert_int_equal(rows.rows[0].rule.fp, IN_PLACE);
	assert_int_equal(rows.rows[0].rule.ra, AT_CFA);
	assert_int_equal(rows.rows[0].rule.ra_offset, -8);
	assert_int_equal(rows.rows[1].start, 0x1001);
	assert_int_equal(rows.rows[1].rule.cfa_offset, 16);
	assert_int_equal(rows.rows[1].rule.fp, AT_CFA);
	assert_int_equal(rows.rows[1].rule.fp_offset, -16);
	assert_int_equal(rows.rows[2].rule.cfa_register, X86_64_FP);
	assert_int_equal(rows.rows[3].start, 0x1034);
	assert_int_equal(rows.rows[3].rule.cfa_offset, 8);
	assert_int_equal(rows.rows[3].rule.fp, IN_PLACE);
	assert_int_equal(rows.rows[4].rule.cfa_register, X86_64_FP);
	assert_int_equal(rows.rows[4].end, 0x1040);
}

static void bad_instructions_cost_their_fde(void **state)
{
	static const struct {
		const char *what;
		uint8_t code[8];
		size_t n;
	} CASES[] = {
		{"restore_state without remember_state", {DW_CFA_restore_state}, 1},
		{"an opcode that does not exist", {0x3e}, 1},
		{"an operand behind the end", {DW_CFA_def_cfa, 7}, 2},
		{"a LEB128 without an end", {DW_CFA_def_cfa_offset, 0x80, 0x80, 0x80}, 4},
		{"a LEB128 of more than 64 bits", {DW_CFA_GNU_args_size, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 8},
		{"a block longer than the FDE", {DW_CFA_def_cfa_expression, 0x70}, 2},
		/* -0x5000 from where it stands, which is a little behind SECTION_VADDR */
		{"a location behind itself", {DW_CFA_advance_loc | 4, DW_CFA_set_loc, 0, 0xb0, 0xff, 0xff}, 6},
	};
	struct rows rows;

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		AUTO_WRITER struct writer w = {.n = 0};
		put_fde(&w, put_cie(&w, "zR"), 0x1000, 0x40, CASES[i].code, CASES[i].n);
		if (rows_of(&w, &rows) != -EBADMSG)
			fail_msg("%s was taken", CASES[i].what);
	}
}

/* libgcrypt's assembly does so; libdw says that the CFA is invalid there. */
static void an_offset_change_of_an_expression_costs_its_rows(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct rows rows;

	(void)state;
	FDE(&w, put_cie(&w, "zR"), 0x1000, 0x40, DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 8, DW_OP_deref, DW_CFA_advance_loc | 1,
	    DW_CFA_def_cfa_offset, 8, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_register, 6, DW_CFA_advance_loc | 1, DW_CFA_def_cfa, 7,
	    16);
	assert_int_equal(rows_of(&w, &rows), 0);
	assert_int_equal(rows.n, 4);
	assert_int_equal(rows.rows[0].rule.cfa, CFA_DEREF);
	assert_int_equal(rows.rows[1].rule.cfa, CFA_UNSUPPORTED);
	assert_int_equal(rows.rows[2].rule.cfa, CFA_UNSUPPORTED);
	assert_int_equal(rows.rows[3].rule.cfa, CFA_REGISTER);
	assert_int_equal(rows.rows[3].rule.cfa_offset, 16);
}

static void locations_move_by_every_instruction(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct rows rows;
	size_t cie = put_cie(&w, "zR"), at = begin_fde(&w, cie, 0x1000, 0x100000);

	(void)state;
	PUT(&w, DW_CFA_advance_loc | 0x3f, DW_CFA_def_cfa_offset, 16, DW_CFA_advance_loc1, 0xff, DW_CFA_def_cfa_offset, 24,
	    DW_CFA_advance_loc2, 0xff, 0xff, DW_CFA_def_cfa_offset, 32, DW_CFA_advance_loc4, 0, 0, 1, 0, DW_CFA_def_cfa_offset, 40,
	    DW_CFA_set_loc);
	put_u32(&w, 0x100000 - (SECTION_VADDR + (uint32_t)w.n));
	PUT(&w, DW_CFA_def_cfa_offset, 48, DW_CFA_advance_loc4, 0, 0, 0, 1, DW_CFA_def_cfa_offset, 56);
	end_entry(&w, at);
	assert_int_equal(rows_of(&w, &rows), 0);
	static const uint64_t STARTS[] = {0x1000, 0x103f, 0x113e, 0x1113d, 0x2113d, 0x100000};
	assert_int_equal(rows.n, 6); /* what lies behind the function's end is no row */
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(rows.rows[i].start, STARTS[i]);
		assert_int_equal(rows.rows[i].rule.cfa_offset, 8 + 8 * i);
		assert_int_equal(rows.rows[i].end, i < 5 ? STARTS[i + 1] : 0x101000);
	}
}

/* Every instruction that says where a register is, on rbp. */
static void registers_are_where_instructions_say(void **state)
{
	static const struct {
		uint8_t code[8];
		size_t n;
		uint8_t fp;
		int16_t offset;
	} CASES[] = {
		{{DW_CFA_offset | 6, 2}, 2, AT_CFA, -16},
		{{DW_CFA_offset_extended, 6, 3}, 3, AT_CFA, -24},
		{{DW_CFA_offset_extended_sf, 6, 0x7f}, 3, AT_CFA, 8},
		{{DW_CFA_GNU_negative_offset_extended, 6, 1}, 3, AT_CFA, 8},
		{{DW_CFA_same_value, 6}, 2, IN_PLACE, 0},
		{{DW_CFA_undefined, 6}, 2, AT_UNDEFINED, 0},
		{{DW_CFA_register, 6, 3}, 3, IN_REGISTER | 3, 0},
		{{DW_CFA_register, 6, 99}, 3, AT_UNKNOWN, 0},
		{{DW_CFA_expression, 6, 2, DW_OP_breg7, 24}, 5, AT_REGISTER_PLUS | 7, 24},
		{{DW_CFA_expression, 6, 3, DW_OP_breg7, 24, DW_OP_deref}, 6, AT_UNKNOWN, 0},
		{{DW_CFA_val_expression, 6, 2, DW_OP_breg7, 24}, 5, AT_UNKNOWN, 0},
		{{DW_CFA_val_offset, 6, 2}, 3, AT_UNKNOWN, 0},
		{{DW_CFA_val_offset_sf, 6, 0x7f}, 3, AT_UNKNOWN, 0},
		{{DW_CFA_offset | 6, 2, DW_CFA_restore | 6}, 3, IN_PLACE, 0},
		{{DW_CFA_offset | 6, 2, DW_CFA_restore_extended, 6}, 4, IN_PLACE, 0},
		{{DW_CFA_offset_extended, 6, 0x80, 0x80, 4}, 5, AT_UNKNOWN, 0}, /* -524288 does not fit */
		{{DW_CFA_offset | 3, 2, DW_CFA_GNU_args_size, 0x90, 1, DW_CFA_nop}, 6, IN_PLACE, 0},
	};
	struct rows rows;

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		AUTO_WRITER struct writer w = {.n = 0};
		put_fde(&w, put_cie(&w, "zR"), 0x1000, 0x40, CASES[i].code, CASES[i].n);
		assert_int_equal(rows_of(&w, &rows), 0);
		assert_int_equal(rows.n, 1);
		if (rows.rows[0].rule.fp != CASES[i].fp || rows.rows[0].rule.fp_offset != CASES[i].offset)
			fail_msg("case %zu: fp %#x %d", i, rows.rows[0].rule.fp, rows.rows[0].rule.fp_offset);
		assert_int_equal(rows.rows[0].rule.ra, AT_CFA);
		assert_int_equal(rows.rows[0].rule.ra_offset, -8);
	}
}

static void cfas_are_what_instructions_say(void **state)
{
	static const struct {
		uint8_t code[8];
		size_t n;
		uint8_t cfa, reg;
		int32_t offset;
	} CASES[] = {
		{{DW_CFA_def_cfa, 10, 0}, 3, CFA_REGISTER, 10, 0},
		{{DW_CFA_def_cfa_sf, 6, 0x7e}, 3, CFA_REGISTER, 6, 16},
		{{DW_CFA_def_cfa_offset_sf, 0x7d}, 2, CFA_REGISTER, 7, 24},
		{{DW_CFA_def_cfa_register, 3}, 2, CFA_REGISTER, 3, 8},
		{{DW_CFA_def_cfa, 40, 8}, 3, CFA_UNSUPPORTED, 0, 0},
		{{DW_CFA_def_cfa_offset, 0x80, 0x80, 0x80, 0x80, 8}, 6, CFA_UNSUPPORTED, 0, 0}, /* 2^31 */
		{{DW_CFA_def_cfa_expression, 1, DW_OP_lit0}, 3, CFA_UNSUPPORTED, 0, 0},
		{{DW_CFA_def_cfa_expression, 0}, 2, CFA_UNSUPPORTED, 0, 0},
		{{DW_CFA_def_cfa_expression, 2, DW_OP_breg6, 0x70}, 4, CFA_REGISTER, 6, -16},
		{{DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x70, DW_OP_deref}, 5, CFA_DEREF, 6, -16},
		{{DW_CFA_def_cfa_expression, 2, DW_OP_breg6, 8, DW_CFA_def_cfa_offset, 8}, 6, CFA_UNSUPPORTED, 0, 0},
		{{DW_CFA_remember_state, DW_CFA_def_cfa, 6, 80, DW_CFA_restore_state}, 5, CFA_REGISTER, 7, 8},
	};
	struct rows rows;

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		AUTO_WRITER struct writer w = {.n = 0};
		put_fde(&w, put_cie(&w, "zR"), 0x1000, 0x40, CASES[i].code, CASES[i].n);
		assert_int_equal(rows_of(&w, &rows), 0);
		assert_int_equal(rows.n, 1);
		const struct unwind_rule *rule = &rows.rows[0].rule;
		if (rule->cfa != CASES[i].cfa || rule->cfa_register != CASES[i].reg || rule->cfa_offset != CASES[i].offset)
			fail_msg("case %zu: kind %u reg %u offset %d", i, rule->cfa, rule->cfa_register, rule->cfa_offset);
	}
}

static void an_undefined_return_address_is_kept(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct rows rows;

	(void)state;
	FDE(&w, put_cie(&w, "zR"), 0x1000, 0x40, DW_CFA_undefined, 16, DW_CFA_advance_loc | 1, DW_CFA_restore | 16);
	assert_int_equal(rows_of(&w, &rows), 0);
	assert_int_equal(rows.n, 2);
	assert_int_equal(rows.rows[0].rule.ra, AT_UNDEFINED);
	assert_int_equal(rows.rows[0].rule.ra_offset, 0);
	assert_int_equal(rows.rows[1].rule.ra, AT_CFA);
}

static void signal_frames_are_marked(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct rows rows;

	(void)state;
	FDE(&w, put_cie(&w, "zRS"), 0x1000, 0x40, DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0xa0, 1, DW_OP_deref, DW_CFA_expression, 16,
	    3, DW_OP_breg7, 0xa8, 1);
	assert_int_equal(rows_of(&w, &rows), 0);
	assert_int_equal(rows.rows[0].rule.cfa, CFA_DEREF | CFA_SIGNAL_FRAME);
	assert_int_equal(rows.rows[0].rule.cfa_offset, 160);
	assert_int_equal(rows.rows[0].rule.ra, AT_REGISTER_PLUS | 7);
	assert_int_equal(rows.rows[0].rule.ra_offset, 168);
}

static void augmentations_are_read_or_skipped(void **state)
{
	static const char *const KNOWN[] = {"zR", "zRS", "zLR", "zRQ"}; /* 'Q' is nobody's: 'z' tells where its data end */
	struct rows rows;
	struct cfi_stats stats;

	(void)state;
	for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
		AUTO_WRITER struct writer w = {.n = 0};
		FDE(&w, put_cie(&w, KNOWN[i]), 0x1000, 0x40, DW_CFA_nop);
		assert_int_equal(rows_of(&w, &rows), 0);
		assert_int_equal(rows.rows[0].start, 0x1000);
	}
	AUTO_WRITER struct writer w = {.n = 0};
	FDE(&w, put_cie(&w, "QR"), 0x1000, 0x40, DW_CFA_nop);
	struct cfi *cfi = open_cfi(&w, EM_X86_64);
	cfi_stats(cfi, &stats);
	assert_int_equal(stats.bad_cies, 1);
	cfi_close(cfi);
}

/* SAFETY.md's corpus: careless readers take 1.5 GB for this. */
static void huge_registers_and_remembered_states_cost_nothing(void **state)
{
	struct rows rows;

	(void)state;
	for (unsigned depth = CFI_REMEMBER_MAX; depth <= CFI_REMEMBER_MAX + 1; depth++) {
		AUTO_WRITER struct writer w = {.n = 0};
		size_t n, at = begin_fde(&w, put_cie(&w, "zR"), 0x1000, 0x40);
		PUT(&w, DW_CFA_offset_extended, 0xff, 0xff, 0xff, 0xff, 0x0f, 1);
		for (unsigned i = 0; i < depth; i++)
			PUT(&w, DW_CFA_remember_state);
		end_entry(&w, at);
		struct cfi *cfi = open_cfi(&w, EM_X86_64);
		const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
		assert_int_equal(rows_of_fde(cfi, fdes, &rows), depth > CFI_REMEMBER_MAX ? -EBADMSG : 0);
		cfi_close(cfi);
	}
}

/* What the last one would be is below its own function. */
static void locations_do_not_wrap(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct rows rows;

	(void)state;
	FDE(&w, put_cie(&w, "zR"), (uint64_t)-0x100000, 0x80000, DW_CFA_advance_loc4, 0, 0, 0, 0x10, DW_CFA_def_cfa_offset, 16);
	assert_int_equal(rows_of(&w, &rows), -EBADMSG);
}

/* Pointers to pointers, pointers from a base that is not known, and columns that are not the machine's return address. */
static void foreign_cies_are_refused(void **state)
{
	static const struct {
		size_t at; /* in the CIE: 8 version, 9 "zR", 12 alignments, 14 return address, 16 encoding */
		uint8_t byte;
	} CASES[] = {{14, 17}, {16, DW_EH_PE_indirect | DW_EH_PE_pcrel | DW_EH_PE_sdata4}, {16, DW_EH_PE_datarel | DW_EH_PE_sdata4}};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		AUTO_WRITER struct writer w = {.n = 0};
		struct cfi_stats stats;
		size_t n;
		FDE(&w, put_cie(&w, "zR"), 0x1000, 0x40, DW_CFA_nop);
		w.bytes[CASES[i].at] = CASES[i].byte;
		struct cfi *cfi = open_cfi(&w, EM_X86_64);
		cfi_fdes(cfi, &n);
		assert_int_equal(n, 0);
		cfi_stats(cfi, &stats);
		assert_int_equal(stats.bad_fdes, 1);
		cfi_close(cfi);
	}
}

static void a_bad_cie_costs_its_fdes_only(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct cfi_stats stats;
	size_t n;

	(void)state;
	size_t bad = put_cie(&w, "zR");
	w.bytes[bad + 8] = 77; /* version */
	FDE(&w, bad, 0x1000, 0x40, DW_CFA_nop);
	FDE(&w, put_cie(&w, "zR"), 0x2000, 0x40, DW_CFA_nop);
	struct cfi *cfi = open_cfi(&w, EM_X86_64);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	assert_int_equal(n, 1);
	assert_int_equal(fdes[0].start, 0x2000);
	cfi_stats(cfi, &stats);
	assert_int_equal(stats.bad_cies, 1);
	assert_int_equal(stats.bad_fdes, 1);
	cfi_close(cfi);
}

static void lengths_that_leave_the_section_end_it(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct cfi_stats stats;
	size_t n;

	(void)state;
	size_t cie = put_cie(&w, "zR");
	FDE(&w, cie, 0x1000, 0x40, DW_CFA_nop);
	size_t at = w.n;
	FDE(&w, cie, 0x2000, 0x40, DW_CFA_nop);
	memcpy(w.bytes + at, &(uint32_t){0x7fffffff}, 4);
	struct cfi *cfi = open_cfi(&w, EM_X86_64);
	cfi_fdes(cfi, &n);
	assert_int_equal(n, 1);
	cfi_stats(cfi, &stats);
	assert_int_equal(stats.bad_fdes, 1);
	cfi_close(cfi);
}

/* Every prefix, and every byte damaged: nothing is read outside the section (the sanitizers see to that). */
static void damage_is_survived(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	size_t cie = put_cie(&w, "zR");

	(void)state;
	FDE(&w, cie, 0x1000, 0x40, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2,
	    DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 8, DW_OP_deref);
	FDE(&w, cie, 0x2000, 0x40, DW_CFA_remember_state, DW_CFA_advance_loc2, 4, 0, DW_CFA_restore_state);
	for (size_t i = 0; i < 256 * w.n + w.n; i++) {
		size_t bytes = i < w.n ? i : w.n, n;
		uint8_t *copy = malloc(bytes + !bytes);
		assert_non_null(copy);
		memcpy(copy, w.bytes, bytes);
		if (i >= w.n)
			copy[(i - w.n) / 256] = (uint8_t)i;
		struct cfi_section section = {.bytes = copy, .n = bytes, .vaddr = SECTION_VADDR, .is_eh = true,
					      .address_bytes = 8, .machine = EM_X86_64};
		struct cfi *cfi;
		assert_int_equal(cfi_open(&section, &cfi), 0);
		const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
		for (size_t j = 0; j < n; j++) {
			struct rows rows;
			rows_of_fde(cfi, &fdes[j], &rows);
		}
		cfi_close(cfi);
		free(copy);
	}
}

static void a_machine_without_rules_is_refused(void **state)
{
	struct cfi_section section = {.machine = EM_386, .address_bytes = 4};
	struct cfi *cfi;

	(void)state;
	assert_int_equal(cfi_open(&section, &cfi), -EOPNOTSUPP);
}

static void arm64_has_its_own_registers(void **state)
{
	AUTO_WRITER struct writer w = {.n = 0};
	struct rows rows;
	size_t n;

	(void)state;
	/* CIE: code alignment 4, data alignment -8, return address x30; def_cfa sp+0 */
	put_u32(&w, 4 + 1 + 3 + 3 + 2 + 3);
	put_u32(&w, 0);
	PUT(&w, 1, 'z', 'R', 0, 4, 0x78, 30, 1, DW_EH_PE_pcrel | DW_EH_PE_sdata4, DW_CFA_def_cfa, 31, 0);
	/* stp x29, x30, [sp, #-16]! */
	FDE(&w, 0, 0x1000, 0x40, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 29, 2, DW_CFA_offset | 30, 1,
	    DW_CFA_GNU_window_save);
	struct cfi *cfi = open_cfi(&w, EM_AARCH64);
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	assert_int_equal(n, 1);
	assert_int_equal(rows_of_fde(cfi, fdes, &rows), 0);
	assert_int_equal(rows.n, 2);
	assert_int_equal(rows.rows[0].rule.cfa_register, ARM64_SP);
	assert_int_equal(rows.rows[0].rule.ra, IN_PLACE);
	assert_int_equal(rows.rows[1].start, 0x1004);
	assert_int_equal(rows.rows[1].rule.fp_offset, -16);
	assert_int_equal(rows.rows[1].rule.ra_offset, -8);
	cfi_close(cfi);
}

static struct expression classify(const uint8_t *bytes, size_t n)
{
	return expression_classify((struct byte_reader){bytes, bytes + n, false});
}
#define CLASSIFY(...) classify((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void known_expressions_are_recognized(void **state)
{
	struct expression e;

	(void)state;
	/* The linker's .plt. */
	e = CLASSIFY(DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl,
		     DW_OP_plus);
	assert_int_equal(e.kind, EXPRESSION_PLT);
	assert_int_equal(e.reg, 7);
	assert_int_equal(e.offset, 8);
	assert_int_equal(e.add, 11);
	/* gcc's realigned stacks: *(rbp - 8). */
	e = CLASSIFY(DW_OP_breg6, 0x78, DW_OP_deref);
	assert_int_equal(e.kind, EXPRESSION_DEREF);
	assert_int_equal(e.offset, -8);
	assert_int_equal(e.add, 0);
	/* OpenSSL's assembly: *(rsp + 40) + 8. */
	e = CLASSIFY(DW_OP_breg7, 40, DW_OP_deref, DW_OP_plus_uconst, 8);
	assert_int_equal(e.kind, EXPRESSION_DEREF);
	assert_int_equal(e.add, 8);
	/* And its Montgomery multiplication: *(rsp + 8 + 8 * r9) + 8. */
	e = CLASSIFY(DW_OP_breg7, 8, DW_OP_breg9, 0, DW_OP_lit8, DW_OP_mul, DW_OP_plus, DW_OP_deref, DW_OP_plus_uconst, 8);
	assert_int_equal(e.kind, EXPRESSION_INDEXED);
	assert_int_equal(e.reg, 7);
	assert_int_equal(e.offset, 8);
	assert_int_equal(e.index, 9);
	assert_int_equal(e.add, 8);
	e = CLASSIFY(DW_OP_breg7, 0xa8, 1);
	assert_int_equal(e.kind, EXPRESSION_ADDRESS);
	assert_int_equal(e.offset, 168);
	e = CLASSIFY(DW_OP_breg7, 8, DW_OP_lit2, DW_OP_plus);
	assert_int_equal(e.kind, EXPRESSION_ADDRESS);
	assert_int_equal(e.offset, 10);
}

static void other_expressions_are_not(void **state)
{
	(void)state;
	assert_int_equal(classify(NULL, 0).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7, 8, DW_OP_deref, DW_OP_deref).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_lit0).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7, 8, DW_OP_breg9, 0, DW_OP_lit4, DW_OP_mul, DW_OP_plus, DW_OP_deref).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7, 8, DW_OP_breg9, 0, DW_OP_lit8, DW_OP_mul, DW_OP_plus).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_bregx, 99, 0).kind, EXPRESSION_OTHER);
	assert_int_equal(CLASSIFY(DW_OP_breg7, 8, DW_OP_plus_uconst, 0xff, 0xff, 0xff, 0xff, 0x7f).kind, EXPRESSION_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prologue_gives_its_rows),
		cmocka_unit_test(bad_instructions_cost_their_fde),
		cmocka_unit_test(an_offset_change_of_an_expression_costs_its_rows),
		cmocka_unit_test(locations_move_by_every_instruction),
		cmocka_unit_test(registers_are_where_instructions_say),
		cmocka_unit_test(cfas_are_what_instructions_say),
		cmocka_unit_test(an_undefined_return_address_is_kept),
		cmocka_unit_test(signal_frames_are_marked),
		cmocka_unit_test(augmentations_are_read_or_skipped),
		cmocka_unit_test(huge_registers_and_remembered_states_cost_nothing),
		cmocka_unit_test(locations_do_not_wrap),
		cmocka_unit_test(foreign_cies_are_refused),
		cmocka_unit_test(a_bad_cie_costs_its_fdes_only),
		cmocka_unit_test(lengths_that_leave_the_section_end_it),
		cmocka_unit_test(damage_is_survived),
		cmocka_unit_test(a_machine_without_rules_is_refused),
		cmocka_unit_test(arm64_has_its_own_registers),
		cmocka_unit_test(known_expressions_are_recognized),
		cmocka_unit_test(other_expressions_are_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
