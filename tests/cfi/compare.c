#include "tests/cfi/compare.h"
#include "symbolizer/cfi.h"

#include <dwarf.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRINTED_MAX	  20 /* of one file */
#define PADDING_MAX_BYTES 15 /* as symbolizer/table_builder.c has it */

const char *const ROW_CLASS_NAMES[ROW_CLASSES] = {
	"identical",	    "CFA not expressed", "return address not expressed", "frame pointer not expressed", "CFA invalid for both",
	"FDE bad for both", "refused by us",	 "refused by libdw",		 "overridden",			"signal restorer",
	"Go's, completed",
	"DIFFERENT",
};

/* What an FDE covers, and who says so. */
struct range {
	uint64_t start, end;
	bool is_theirs, is_ours;
	bool overlaps; /* with another one, of any reader: whose rows are in force is a matter of taste */
};

struct ranges {
	struct range *ranges;
	size_t n, capacity;
};

/* A section with CFI. */
struct section {
	const unsigned char *ident;
	Elf_Data *data;
	uint64_t vaddr;
	bool is_eh;
	bool is_go; /* .debug_frame of a Go program for x86-64 */
	Dwarf_CFI *cfi;
	Dwarf_CFI *other; /* .eh_frame's, which overrides .debug_frame; NULL: none */
	struct ranges ranges;
};

static struct value_registers registers_of(uint16_t machine)
{
	if (machine == EM_AARCH64)
		return (struct value_registers){.fp = ARM64_FP, .ra = ARM64_RA, .pc = -1};
	return (struct value_registers){.fp = X86_64_FP, .ra = X86_64_RA, .pc = X86_64_RA};
}

/* NULL where no table covers pc; valid until the next call. */
static const struct unwind_rule *find_rule(const struct comparison *c, uint64_t pc)
{
	static struct unwind_rule rule;

	return unwind_image_find(c->image, pc, &rule) == 0 ? &rule : NULL;
}

/* The rule that the compiler gives Go's restorer; what lies behind it in its FDE is never run, and has none. */
static bool is_restorer(const struct unwind_rule *rule)
{
	return rule && rule->cfa == (CFA_DEREF | CFA_SIGNAL_FRAME) && rule->ra == (AT_REGISTER_PLUS | X86_64_SP);
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
	dwarf_frame_info(frame, &start, &end, &is_signal);
	if (is_restorer(rule) && !is_signal)
		return ROW_RESTORER;
	struct value cfa = value_of_rule_cfa(rule, pc, &registers);
	if (cfa.kind != VALUE || !value_equal(cfa, value_of_cfa(frame, pc, &registers)))
		return ROW_DIFFERENT;
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

/* Is a rule Go's row, but for what that does not say? What Go's runtime does on other stacks libdw cannot tell. */
static bool completes_go(Dwarf_Frame *frame, const struct unwind_rule *rule, uint64_t pc, uint16_t machine)
{
	if (!rule)
		return false;
	struct unwind_rule plain = *rule;
	if (rule->cfa & CFA_SWITCHES_STACK || rule->ra == AT_UNDEFINED)
		return true;
	if (rule->fp != AT_CFA || rule->fp_offset != -16)
		return false;
	plain.fp = IN_PLACE;
	plain.fp_offset = 0;
	return compare_row(frame, &plain, pc, machine) == ROW_IDENTICAL;
}

static enum row_class class_at(const struct comparison *c, const struct section *s, Dwarf_Frame *frame, uint64_t pc)
{
	const struct unwind_rule *rule = find_rule(c, pc);
	enum row_class class = compare_row(frame, rule, pc, c->machine);

	return class == ROW_DIFFERENT && s->is_go && completes_go(frame, rule, pc, c->machine) ? ROW_GO : class;
}

/* The row at pc, at its first and at its last byte. */
static enum row_class check_row(const struct comparison *c, const struct section *s, Dwarf_Frame *frame, uint64_t pc, uint64_t last)
{
	enum row_class class = class_at(c, s, frame, pc);

	if ((class == ROW_IDENTICAL || class == ROW_GO) && last > pc) {
		enum row_class at_last = class_at(c, s, frame, last);
		class = at_last == ROW_IDENTICAL ? class : at_last;
	}
	return class;
}

/* Rows of one FDE: what they are is known when all of them are. */
struct tally {
	uint64_t rows[ROW_CLASSES];
	uint64_t missing; /* different ones that we do not have at all */
	uint64_t first_different; /* pc; 0: none */
	bool is_bad;	  /* libdw refuses something in it */
};

static void count_row(struct comparison *c, const struct section *s, const struct range *range, uint64_t pc, Dwarf_Frame *frame,
		      uint64_t last, struct tally *tally)
{
	enum row_class class = covers(s->other, pc) ? ROW_OVERRIDDEN : check_row(c, s, frame, pc, last);
	Dwarf_Addr start, end;
	bool is_signal;
	dwarf_frame_info(frame, &start, &end, &is_signal);
	/* A frame that reaches out of the FDE at hand is of another one, perhaps of one that only libdw reads. */
	if (class == ROW_DIFFERENT && (range->overlaps || start < range->start || end > range->end))
		class = ROW_OVERRIDDEN;
	if (class == ROW_DIFFERENT && !is_signal && is_restorer(find_rule(c, range->start)))
		class = ROW_RESTORER;
	const struct unwind_rule *rule = find_rule(c, pc);
	tally->missing += class == ROW_DIFFERENT && (!rule || rule->cfa == CFA_NONE);
	tally->rows[class]++;
	if (class != ROW_DIFFERENT)
		say_row(c, class, rule, pc);
	else if (!tally->first_different)
		tally->first_different = pc;
}

static void settle(struct comparison *c, const struct range *range, struct tally *tally)
{
	bool is_absent = !tally->rows[ROW_IDENTICAL] && !tally->rows[ROW_GO] && c->image->bad_fdes;

	/* Where an FDE with a bad header was, as long as padding, the next function's first rule is taken for padding's. */
	if (is_absent && range->end - range->start <= PADDING_MAX_BYTES)
		tally->missing = tally->rows[ROW_DIFFERENT];
	if (tally->missing && is_absent && tally->missing == tally->rows[ROW_DIFFERENT]) {
		tally->rows[ROW_DIFFERENT] -= tally->missing;
		tally->rows[tally->is_bad ? ROW_BAD_FDE : ROW_REFUSED] += tally->missing;
	} else if (tally->rows[ROW_DIFFERENT]) {
		say_row(c, ROW_DIFFERENT, find_rule(c, tally->first_different), tally->first_different);
	}
	if (tally->is_bad)
		tally->rows[tally->rows[ROW_IDENTICAL] ? ROW_ACCEPTED : ROW_BAD_FDE]++;
	for (int i = 0; i < ROW_CLASSES; i++)
		c->rows[i] += tally->rows[i];
}

static void check_range(struct comparison *c, const struct section *s, const struct range *range)
{
	struct tally tally = {.missing = 0};
	uint64_t rows = 0;

	for (uint64_t pc = range->start; pc < range->end && !tally.is_bad; rows++) {
		Dwarf_Addr row_start = 0, row_end = 0;
		Dwarf_Frame *frame = NULL;
		bool is_signal;
		if (c->fde_rows_max && rows == c->fde_rows_max)
			break;
		if (dwarf_cfi_addrframe(s->cfi, pc, &frame) != 0) {
			tally.is_bad = true;
			break;
		}
		dwarf_frame_info(frame, &row_start, &row_end, &is_signal);
		uint64_t last = (row_end < range->end && row_end > pc ? row_end : range->end) - 1;
		count_row(c, s, range, pc, frame, last, &tally);
		free(frame);
		pc = last + 1;
	}
	settle(c, range, &tally);
}

static void add_range(struct ranges *r, uint64_t start, uint64_t length, bool is_theirs)
{
	if (!start || !length || start + length < start)
		return;
	if (r->n == r->capacity) {
		r->capacity = 2 * r->capacity + 64;
		r->ranges = realloc(r->ranges, r->capacity * sizeof(r->ranges[0]));
		if (!r->ranges)
			abort();
	}
	r->ranges[r->n++] = (struct range){.start = start, .end = start + length, .is_theirs = is_theirs, .is_ours = !is_theirs};
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->is_ours - y->is_ours;
}

/* Both readers' ranges become one list, and which overlap is noted. */
static void merge_ranges(struct ranges *r)
{
	size_t n = 0;
	uint64_t end = 0;

	if (r->n)
		qsort(r->ranges, r->n, sizeof(r->ranges[0]), by_start);
	for (size_t i = 0; i < r->n; i++) {
		struct range *at = &r->ranges[i], *last = n ? &r->ranges[n - 1] : NULL;
		if (last && last->start == at->start && last->end == at->end && !last->is_ours && at->is_ours)
			last->is_ours = true;
		else
			r->ranges[n++] = *at;
	}
	r->n = n;
	for (size_t i = 0; i < n; i++) {
		struct range *at = &r->ranges[i];
		at->overlaps = at->start < end || (i + 1 < n && r->ranges[i + 1].start < at->end);
		end = at->end > end ? at->end : end;
	}
	/* A range that began earlier and reaches over several was only compared with its neighbour: look back. */
	for (size_t i = n; i-- > 1;)
		if (r->ranges[i].overlaps && r->ranges[i - 1].end > r->ranges[i].start)
			r->ranges[i - 1].overlaps = true;
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

/* libdw gives an FDE's pointers as they are encoded; of the encodings, those that files have. */
static void read_range(struct section *s, const Dwarf_FDE *fde)
{
	uint8_t encoding = pointer_encoding(s, fde);
	size_t bytes = encoded_bytes(encoding);

	if (encoding & ~(DW_EH_PE_pcrel | 0x0f) || (encoding & 0x07) == DW_EH_PE_uleb128 || (encoding & 0x07) > 4 ||
	    (size_t)(fde->end - fde->start) < 2 * bytes)
		return;
	uint64_t start = read_encoded(fde->start, encoding);
	if (encoding & DW_EH_PE_pcrel)
		start += s->vaddr + (uint64_t)(fde->start - (uint8_t *)s->data->d_buf);
	add_range(&s->ranges, start, read_encoded(fde->start + bytes, encoding & 0x0f), true);
}

static void read_their_ranges(struct comparison *c, struct section *s)
{
	Dwarf_Off next = 0;

	for (Dwarf_Off at = 0;; at = next) {
		Dwarf_CFI_Entry entry;
		int result = dwarf_next_cfi(s->ident, s->data, s->is_eh, at, &next, &entry);
		if (result > 0 || (result < 0 && (next <= at || next == (Dwarf_Off)-1))) {
			c->lost_sections += result < 0;
			return;
		}
		if (result == 0 && !dwarf_cfi_cie_p(&entry))
			read_range(s, &entry.fde);
	}
}

static void read_our_ranges(const struct comparison *c, struct section *s)
{
	struct cfi_section section = {.bytes = s->data->d_buf, .n = s->data->d_size, .vaddr = s->vaddr, .is_eh = s->is_eh,
				      .address_bytes = s->ident[EI_CLASS] == ELFCLASS64 ? 8 : 4, .machine = c->machine};
	struct cfi *cfi;
	size_t n;

	if (cfi_open(&section, &cfi) < 0)
		return;
	const struct cfi_fde *fdes = cfi_fdes(cfi, &n);
	for (size_t i = 0; i < n; i++)
		add_range(&s->ranges, fdes[i].start, fdes[i].bytes, false);
	cfi_close(cfi);
}

static void check_section(struct comparison *c, struct section *s)
{
	read_their_ranges(c, s);
	read_our_ranges(c, s);
	merge_ranges(&s->ranges);
	for (size_t i = 0; i < s->ranges.n; i++) {
		const struct range *range = &s->ranges.ranges[i];
		const struct unwind_rule *rule = find_rule(c, range->start);
		if (range->is_theirs)
			check_range(c, s, range);
		else if (rule && rule->cfa != CFA_NONE && !covers(s->cfi, range->start))
			c->rows[ROW_ACCEPTED]++;
	}
	free(s->ranges.ranges);
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
	uint64_t vaddr;

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
	debug.is_go = c->machine == EM_X86_64 && find_section(elf, ".gopclntab", &vaddr);
	if (debug.cfi)
		check_section(c, &debug);
	dwarf_end(dwarf); /* its CFI too */
	if (eh.cfi)
		dwarf_cfi_end(eh.cfi);
}
