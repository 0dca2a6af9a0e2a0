/* Compares hearth's unwind tables with libdw's dwarf_cfi_addrframe(), row by row, over whole files.
 *
 *	oracle [-v] FILE...
 *
 * Both sides are evaluated over the same made-up registers and memory, so that two spellings of one rule are equal. Every row is
 * identical, or of a class with a name: its rule is one that tables do not express (the kernel leaves such a step to the deferred walk).
 * Exit status 1 when a row is different. Prints one line for each difference and the sums. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "symbolizer/elf_file.h"
#include "symbolizer/unwind_compiler.h"

#define STACK_MAX	64
#define DIFFERENCES_MAX 20 /* printed of one file */

enum class {
	IDENTICAL,
	CFA_NOT_EXPRESSED,
	RA_NOT_EXPRESSED,
	FP_NOT_EXPRESSED, /* the walk goes on, unless it needs the frame pointer */
	BAD_FDE,	  /* instructions that libdw cannot run either: we leave out the FDE, it gives the rows before them */
	DIFFERENT,
	CLASSES,
};

static const char *const CLASS_NAMES[] = {"identical",		     "CFA not expressed", "return address not expressed",
					  "frame pointer not expressed", "FDE bad for both",	      "DIFFERENT"};

struct totals {
	uint64_t files, fdes, bad_fdes, rows[CLASSES];
	uint64_t table_bytes, text_bytes, cfi_rows;
	double compile_s;
};

static struct totals totals;
static bool verbose;

/* Made-up contents of memory: any function of the address that is no simple one. */
static uint64_t memory_at(uint64_t address)
{
	uint64_t hash = (address ^ 0x5bd1e995) * 0x9e3779b97f4a7c15ULL;

	return (hash ^ hash >> 29) & 0xffffffffffULL;
}

static uint64_t register_at(uint64_t reg, uint64_t pc)
{
	return reg == 16 ? pc : 0x7f0000000000ULL + memory_at(reg * 8 + 1) % 0x100000 * 16;
}

/* A value, or that there is none. */
struct value {
	enum { VALUE, SAME, UNDEFINED, UNKNOWN } kind;
	uint64_t value;
};

/* Evaluate libdw's operations. */
static struct value evaluate(const Dwarf_Op *ops, size_t n, uint64_t cfa, uint64_t pc, bool is_location)
{
	uint64_t stack[STACK_MAX];
	size_t depth = 0;
	bool is_value = !is_location;

	for (size_t i = 0; i < n; i++) {
		uint64_t a = ops[i].number, b = ops[i].number2;
		uint8_t op = ops[i].atom;
		if (depth > STACK_MAX - 2)
			return (struct value){UNKNOWN, 0};
		if (op >= DW_OP_lit0 && op <= DW_OP_lit31) {
			stack[depth++] = op - DW_OP_lit0;
		} else if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
			stack[depth++] = register_at(op - DW_OP_breg0, pc) + a;
		} else if (op >= DW_OP_reg0 && op <= DW_OP_reg31) {
			return (struct value){VALUE, register_at(op - DW_OP_reg0, pc)};
		} else if (op == DW_OP_regx) {
			return (struct value){VALUE, register_at(a, pc)};
		} else if (op == DW_OP_bregx) {
			stack[depth++] = register_at(a, pc) + b;
		} else if (op == DW_OP_call_frame_cfa) {
			stack[depth++] = cfa;
		} else if (op == DW_OP_stack_value) {
			is_value = true;
		} else if (op == DW_OP_const1u || op == DW_OP_const2u || op == DW_OP_const4u || op == DW_OP_const1s ||
			   op == DW_OP_const2s || op == DW_OP_const4s || op == DW_OP_constu || op == DW_OP_consts) {
			stack[depth++] = a;
		} else if (op == DW_OP_plus_uconst && depth) {
			stack[depth - 1] += a;
		} else if (op == DW_OP_deref && depth) {
			stack[depth - 1] = memory_at(stack[depth - 1]);
		} else if (depth >= 2) {
			uint64_t y = stack[--depth], x = stack[depth - 1];
			if (op == DW_OP_plus)
				x += y;
			else if (op == DW_OP_minus)
				x -= y;
			else if (op == DW_OP_and)
				x &= y;
			else if (op == DW_OP_shl)
				x <<= y & 63;
			else if (op == DW_OP_ge)
				x = (int64_t)x >= (int64_t)y;
			else
				return (struct value){UNKNOWN, 0};
			stack[depth - 1] = x;
		} else {
			return (struct value){UNKNOWN, 0};
		}
	}
	if (!depth) /* DW_CFA_expression begins with the CFA on the stack: the top counts */
		return (struct value){UNKNOWN, 0};
	return (struct value){VALUE, is_value ? stack[depth - 1] : memory_at(stack[depth - 1])};
}

static struct value theirs_register(Dwarf_Frame *frame, int reg, uint64_t cfa, uint64_t pc)
{
	Dwarf_Op memory[3], *ops;
	size_t n;

	if (dwarf_frame_register(frame, reg, memory, &ops, &n) != 0)
		return (struct value){UNKNOWN, 0};
	if (n == 0)
		return (struct value){ops == memory ? UNDEFINED : SAME, 0};
	return evaluate(ops, n, cfa, pc, true);
}

static bool our_cfa(const struct unwind_rule *rule, uint64_t pc, uint64_t *cfa)
{
	uint64_t base = register_at(rule->cfa_register, pc) + (uint64_t)(int64_t)rule->cfa_offset;

	switch (rule->cfa & CFA_KIND_MASK) {
	case CFA_REGISTER:
		break;
	case CFA_DEREF:
		base = memory_at(base) + (uint64_t)(int64_t)rule->cfa_add;
		break;
	case CFA_PLT:
		base += (pc & 15) >= (uint64_t)rule->cfa_add ? 8 : 0;
		break;
	default:
		return false;
	}
	*cfa = base;
	return true;
}

static struct value our_column(uint8_t where, int16_t offset, uint64_t cfa, uint64_t pc)
{
	if (where & IN_REGISTER)
		return (struct value){VALUE, register_at(where & AT_REGISTER, pc)};
	if (where & AT_REGISTER_PLUS)
		return (struct value){VALUE, memory_at(register_at(where & AT_REGISTER, pc) + (uint64_t)(int64_t)offset)};
	if (where == AT_CFA)
		return (struct value){VALUE, memory_at(cfa + (uint64_t)(int64_t)offset)};
	return (struct value){where == IN_PLACE ? SAME : where == AT_UNDEFINED ? UNDEFINED : UNKNOWN, 0};
}

static bool equal(struct value a, struct value b)
{
	return a.kind == b.kind && (a.kind != VALUE || a.value == b.value);
}

static enum class compare(Dwarf_Frame *frame, const struct unwind_rule *rule, uint64_t pc)
{
	Dwarf_Op *ops;
	uint64_t cfa;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) != 0)
		return DIFFERENT;
	struct value theirs = evaluate(ops, n, 0, pc, false);
	if (!rule || rule->cfa == CFA_NONE)
		return DIFFERENT;
	if ((rule->cfa & CFA_KIND_MASK) == CFA_UNSUPPORTED)
		return CFA_NOT_EXPRESSED;
	if (!our_cfa(rule, pc, &cfa) || theirs.kind != VALUE || theirs.value != cfa)
		return DIFFERENT;
	struct value fp = our_column(rule->fp, rule->fp_offset, cfa, pc), ra = our_column(rule->ra, rule->ra_offset, cfa, pc);
	if (ra.kind == UNKNOWN)
		return RA_NOT_EXPRESSED;
	struct value their_ra = theirs_register(frame, 16, cfa, pc);
	/* libdw says "same value" for a return address that CFI does not mention; so do we. */
	if (!equal(ra, their_ra))
		return DIFFERENT;
	if (fp.kind == UNKNOWN)
		return FP_NOT_EXPRESSED;
	return equal(fp, theirs_register(frame, 6, cfa, pc)) ? IDENTICAL : DIFFERENT;
}

static void say_difference(const char *path, const struct unwind_rule *rule, uint64_t pc, int *printed)
{
	static const struct unwind_rule NONE;

	if ((*printed)++ >= DIFFERENCES_MAX)
		return;
	if (!rule)
		rule = &NONE;
	printf("%s: 0x%" PRIx64 " differs: cfa kind %u reg %u offset %d add %d, fp %#x %d, ra %#x %d\n", path, pc, rule->cfa,
	       rule->cfa_register, rule->cfa_offset, rule->cfa_add, rule->fp, rule->fp_offset, rule->ra, rule->ra_offset);
}

/* All rows of the FDE that covers [start, end). */
static void check_range(const char *path, Dwarf_CFI *cfi, const struct unwind_image *image, uint64_t start, uint64_t end,
			int *printed)
{
	uint64_t different = 0; /* rows of this FDE that we do not have */

	for (uint64_t pc = start; pc < end;) {
		Dwarf_Addr row_start = 0, row_end = 0;
		Dwarf_Frame *frame = NULL;
		bool signal;
		if (dwarf_cfi_addrframe(cfi, pc, &frame) != 0) {
			totals.rows[BAD_FDE] += 1 + different;
			totals.rows[DIFFERENT] -= different;
			return;
		}
		dwarf_frame_info(frame, &row_start, &row_end, &signal);
		const struct unwind_rule *rule = unwind_image_find(image, pc);
		enum class class = compare(frame, rule, pc);
		uint64_t last = (row_end < end ? row_end : end) - 1;
		if (class == IDENTICAL && last > pc) {
			rule = unwind_image_find(image, last);
			class = compare(frame, rule, last);
		}
		if (class == IDENTICAL && rule && signal != !!(rule->cfa & CFA_SIGNAL_FRAME))
			class = DIFFERENT;
		totals.rows[class]++;
		different += class == DIFFERENT && (!rule || rule->cfa == CFA_NONE);
		if (class == DIFFERENT || (verbose && class != IDENTICAL))
			say_difference(path, rule, pc, printed);
		free(frame);
		pc = row_end > pc ? row_end : end;
	}
}

/* Each FDE, once, from libdw's own reader of the section. */
static void check_section(const char *path, Elf *elf, const unsigned char *ident, Elf_Data *data, bool is_eh, uint64_t vaddr,
			  Dwarf_CFI *cfi, const struct unwind_image *image)
{
	int printed = 0;
	Dwarf_Off next;

	(void)elf;
	for (Dwarf_Off at = 0;; at = next) {
		Dwarf_CFI_Entry entry;
		int result = dwarf_next_cfi(ident, data, is_eh, at, &next, &entry);
		if (result != 0 && next > at && next != (Dwarf_Off)-1)
			continue;
		if (result != 0)
			return;
		if (dwarf_cfi_cie_p(&entry))
			continue;
		/* libdw gives the encoded pointers only; in linked x86-64 files they are pcrel sdata4 or absolute. */
		const uint8_t *bytes = entry.fde.start;
		uint64_t start, length;
		if (is_eh) {
			int32_t delta;
			uint32_t narrow;
			if (entry.fde.end - bytes < 8)
				continue;
			memcpy(&delta, bytes, 4);
			memcpy(&narrow, bytes + 4, 4);
			start = vaddr + (uint64_t)(bytes - (uint8_t *)data->d_buf) + (uint64_t)(int64_t)delta;
			length = narrow;
		} else {
			if (entry.fde.end - bytes < 16)
				continue;
			memcpy(&start, bytes, 8);
			memcpy(&length, bytes + 8, 8);
		}
		if (start && length)
			check_range(path, cfi, image, start, start + length, &printed);
	}
}

static void check_sections(const char *path, Elf *elf, const struct unwind_image *image)
{
	const unsigned char *ident = (const unsigned char *)elf_getident(elf, NULL);
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) != 0)
		return;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr header;
		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS)
			continue;
		const char *name = elf_strptr(elf, names, header.sh_name);
		if (name && strcmp(name, ".eh_frame") == 0) {
			Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);
			Elf_Data *data = elf_rawdata(scn, NULL);
			if (cfi && data && data->d_size)
				check_section(path, elf, ident, data, true, header.sh_addr, cfi, image);
			dwarf_cfi_end(cfi);
		}
	}
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check_file(const char *path)
{
	struct unwind_image *image = NULL;
	struct elf_file file;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	double begin = now_s();
	if (elf_file_open(fd, &file) == 0 && unwind_image_compile(&file, NULL, &image) == 0) {
		totals.compile_s += now_s() - begin;
		totals.files++;
		totals.fdes += image->fdes;
		totals.bad_fdes += image->bad_fdes;
		totals.cfi_rows += image->cfi_rows;
		totals.text_bytes += image->text_bytes;
		totals.table_bytes += unwind_image_bytes(image);
		if (verbose && image->bad_fdes)
			printf("%s: %" PRIu64 " bad FDEs\n", path, image->bad_fdes);
		Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
		if (elf)
			check_sections(path, elf, image);
		elf_end(elf);
	}
	unwind_image_free(image);
	close(fd);
}

int main(int argc, char **argv)
{
	uint64_t rows = 0;

	elf_version(EV_CURRENT);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else
			check_file(argv[i]);
	}
	for (int i = 0; i < CLASSES; i++)
		rows += totals.rows[i];
	printf("%" PRIu64 " files, %" PRIu64 " FDEs (%" PRIu64 " bad), %" PRIu64 " rows compared with libdw\n", totals.files,
	       totals.fdes, totals.bad_fdes, rows);
	for (int i = 0; i < CLASSES; i++)
		printf("  %-28s %10" PRIu64 "  %.4f %%\n", CLASS_NAMES[i], totals.rows[i],
		       rows ? 100.0 * (double)totals.rows[i] / (double)rows : 0);
	printf("  tables %.1f MiB for %.1f MiB of text: %.1f KiB for each MiB; %" PRIu64 " rows before merging; compiled in %.2f s\n",
	       (double)totals.table_bytes / 1048576, (double)totals.text_bytes / 1048576,
	       totals.text_bytes ? 1024.0 * (double)totals.table_bytes / (double)totals.text_bytes : 0, totals.cfi_rows,
	       totals.compile_s);
	return totals.rows[DIFFERENT] || !rows;
}
