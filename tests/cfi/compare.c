#include "tests/cfi/compare.h"

#include <dwarf.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRINTED_MAX 20 /* of one file */

const char *const ROW_CLASS_NAMES[ROW_CLASSES] = {
	"identical",	    "CFA not expressed", "return address not expressed", "frame pointer not expressed", "CFA invalid for both",
	"FDE bad for both", "overridden",	 "DIFFERENT",
};

/* A section's FDEs, as libdw sees them. */
struct section {
	const unsigned char *ident;
	Elf_Data *data;
	uint64_t vaddr;
	bool is_eh;
	Dwarf_CFI *cfi;
	Dwarf_CFI *other; /* .eh_frame's, which overrides .debug_frame; NULL: none */
};

static struct value_registers registers_of(uint16_t machine)
{
	if (machine == EM_AARCH64)
		return (struct value_registers){.fp = ARM64_FP, .ra = ARM64_RA, .pc = -1};
	return (struct value_registers){.fp = X86_64_FP, .ra = X86_64_RA, .pc = X86_64_RA};
}

enum row_class compare_row(Dwarf_Frame *frame, const struct unwind_rule *rule, uint64_t pc, uint16_t machine)
{
	struct value_registers registers = registers_of(machine);
	Dwarf_Addr start, end;
	bool is_signal;
	Dwarf_Op *ops;
	size_t n;

	if (!rule || rule->cfa == CFA_NONE)
		return ROW_DIFFERENT;
	if (dwarf_frame_cfa(frame, &ops, &n) != 0)
		return (rule->cfa & CFA_KIND_MASK) == CFA_UNSUPPORTED ? ROW_CFA_INVALID : ROW_DIFFERENT;
	if ((rule->cfa & CFA_KIND_MASK) == CFA_UNSUPPORTED)
		return ROW_CFA_NOT_EXPRESSED;
	struct value cfa = value_of_rule_cfa(rule, pc, &registers);
	if (cfa.kind != VALUE || !value_equal(cfa, value_of_cfa(frame, pc, &registers)))
		return ROW_DIFFERENT;
	dwarf_frame_info(frame, &start, &end, &is_signal);
	if (is_signal != !!(rule->cfa & CFA_SIGNAL_FRAME))
		return ROW_DIFFERENT;
	struct value ra = value_of_column(rule->ra, rule->ra_offset, cfa.value, pc, &registers);
	if (ra.kind == VALUE_UNKNOWN)
		return ROW_RA_NOT_EXPRESSED;
	if (!value_equal(ra, value_of_register(frame, registers.ra, cfa.value, pc, &registers)))
		return ROW_DIFFERENT;
	struct value fp = value_of_column(rule->fp, rule->fp_offset, cfa.value, pc, &registers);
	if (fp.kind == VALUE_UNKNOWN)
		return ROW_FP_NOT_EXPRESSED;
	return value_equal(fp, value_of_register(frame, registers.fp, cfa.value, pc, &registers)) ? ROW_IDENTICAL : ROW_DIFFERENT;
}

static void say_row(struct comparison *c, enum row_class class, const struct unwind_rule *rule, uint64_t pc)
{
	static const struct unwind_rule NONE;

	if (class == ROW_IDENTICAL || (class != ROW_DIFFERENT && !c->verbose) || c->printed++ >= PRINTED_MAX)
		return;
	if (!rule)
		rule = &NONE;
	printf("# %s: 0x%" PRIx64 " %s: our cfa is kind %u reg %u offset %d add %d, fp %#x %d, ra %#x %d\n", c->name, pc,
	       ROW_CLASS_NAMES[class], rule->cfa, rule->cfa_register, rule->cfa_offset, rule->cfa_add, rule->fp, rule->fp_offset,
	       rule->ra, rule->ra_offset);
}

static bool covers(Dwarf_CFI *cfi, uint64_t pc)
{
	Dwarf_Frame *frame = NULL;

	if (!cfi || dwarf_cfi_addrframe(cfi, pc, &frame) != 0)
		return false;
	free(frame);
	return true;
}

/* The row at pc, at its first and at its last byte. */
static enum row_class check_row(const struct comparison *c, Dwarf_Frame *frame, uint64_t pc, uint64_t last)
{
	enum row_class class = compare_row(frame, unwind_image_find(c->image, pc), pc, c->machine);

	if (class == ROW_IDENTICAL && last > pc)
		class = compare_row(frame, unwind_image_find(c->image, last), last, c->machine);
	return class;
}

/* All rows of the FDE that covers [start, end). Those of an FDE that both refuse are known when all of them are. */
static void check_range(struct comparison *c, const struct section *s, uint64_t start, uint64_t end)
{
	uint64_t missing = 0, other = 0;
	bool is_bad = false;

	for (uint64_t pc = start; pc < end;) {
		Dwarf_Addr row_start = 0, row_end = 0;
		Dwarf_Frame *frame = NULL;
		bool is_signal;
		if (dwarf_cfi_addrframe(s->cfi, pc, &frame) != 0) {
			is_bad = true;
			break;
		}
		dwarf_frame_info(frame, &row_start, &row_end, &is_signal);
		uint64_t last = (row_end < end && row_end > pc ? row_end : end) - 1;
		enum row_class class = covers(s->other, pc) ? ROW_OVERRIDDEN : check_row(c, frame, pc, last);
		const struct unwind_rule *rule = unwind_image_find(c->image, pc);
		free(frame);
		if (class == ROW_DIFFERENT && (!rule || rule->cfa == CFA_NONE))
			missing++;
		else
			other += class != ROW_CFA_INVALID;
		c->rows[class]++;
		say_row(c, class, rule, pc);
		pc = last + 1;
	}
	if (!is_bad)
		return;
	c->rows[ROW_BAD_FDE] += 1;
	if (!other) {
		c->rows[ROW_BAD_FDE] += missing;
		c->rows[ROW_DIFFERENT] -= missing;
	}
}

static size_t encoded_bytes(uint8_t encoding)
{
	switch (encoding & 0x07) {
	case DW_EH_PE_udata2:
		return 2;
	case DW_EH_PE_udata4:
		return 4;
	default:
		return 8;
	}
}

/* How an FDE's pointers are encoded: what 'R' in its CIE's augmentation stands for. */
static uint8_t pointer_encoding(const struct section *s, const Dwarf_FDE *fde)
{
	Dwarf_CFI_Entry entry;
	Dwarf_Off next;

	if (!s->is_eh || dwarf_next_cfi(s->ident, s->data, true, fde->CIE_pointer, &next, &entry) != 0 || !dwarf_cfi_cie_p(&entry))
		return DW_EH_PE_absptr;
	const uint8_t *at = entry.cie.augmentation_data;
	for (const char *letter = entry.cie.augmentation; *letter; letter++) {
		if (*letter == 'R')
			return *at;
		if (*letter == 'L')
			at++;
		else if (*letter == 'P')
			at += 1 + encoded_bytes(*at);
	}
	return DW_EH_PE_absptr;
}

static uint64_t read_encoded(const uint8_t *at, uint8_t encoding)
{
	uint64_t value = 0;
	size_t n = encoded_bytes(encoding);

	memcpy(&value, at, n);
	if (encoding & DW_EH_PE_signed && n < 8)
		value = (uint64_t)((int64_t)(value << (64 - 8 * n)) >> (64 - 8 * n));
	return value;
}

static void check_section(struct comparison *c, const struct section *s)
{
	Dwarf_Off next = 0;

	for (Dwarf_Off at = 0;; at = next) {
		Dwarf_CFI_Entry entry;
		int result = dwarf_next_cfi(s->ident, s->data, s->is_eh, at, &next, &entry);
		if (result > 0 || (result < 0 && (next <= at || next == (Dwarf_Off)-1))) {
			c->lost_sections += result < 0;
			return;
		}
		if (result < 0 || dwarf_cfi_cie_p(&entry))
			continue;
		uint8_t encoding = pointer_encoding(s, &entry.fde);
		const uint8_t *bytes = entry.fde.start;
		if ((size_t)(entry.fde.end - bytes) < 2 * encoded_bytes(encoding))
			continue;
		uint64_t start = read_encoded(bytes, encoding);
		if ((encoding & 0x70) == DW_EH_PE_pcrel)
			start += s->vaddr + (uint64_t)(bytes - (uint8_t *)s->data->d_buf);
		uint64_t length = read_encoded(bytes + encoded_bytes(encoding), encoding & 0x07);
		if (start && length)
			check_range(c, s, start, start + length);
	}
}

/* The bytes of a section, decompressed; NULL: there is none. */
static Elf_Data *find_section(Elf *elf, const char *wanted, uint64_t *vaddr)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) != 0)
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr header;
		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS)
			continue;
		const char *name = elf_strptr(elf, names, header.sh_name);
		if (!name || strcmp(name, wanted) != 0)
			continue;
		if (header.sh_flags & SHF_COMPRESSED && elf_compress(scn, 0, 0) < 0)
			return NULL;
		*vaddr = header.sh_addr;
		Elf_Data *data = header.sh_flags & SHF_COMPRESSED ? elf_getdata(scn, NULL) : elf_rawdata(scn, NULL);
		return data && data->d_size ? data : NULL;
	}
	return NULL;
}

void compare_elf(struct comparison *c, Elf *elf)
{
	struct section eh = {.is_eh = true}, debug = {.is_eh = false};
	Dwarf *dwarf = NULL;

	eh.ident = debug.ident = (const unsigned char *)elf_getident(elf, NULL);
	eh.data = find_section(elf, ".eh_frame", &eh.vaddr);
	if (eh.data)
		eh.cfi = dwarf_getcfi_elf(elf);
	if (eh.cfi)
		check_section(c, &eh);
	debug.data = find_section(elf, ".debug_frame", &debug.vaddr);
	if (debug.data)
		dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	if (dwarf)
		debug.cfi = dwarf_getcfi(dwarf);
	debug.other = eh.cfi;
	if (debug.cfi)
		check_section(c, &debug);
	dwarf_end(dwarf); /* its CFI too */
	if (eh.cfi)
		dwarf_cfi_end(eh.cfi);
}
