#include "symbolizer/go_switches.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define WINDOW_BYTES	   (64u << 10)
/* The longest function that switches is rt0_go: 384 bytes in Go 1.26. */
#define FUNCTION_MAX_BYTES 512u

#define REX_W	 0x48
#define REX_WB	 0x49
#define REX_WR	 0x4c
#define SIB_BASE 0x24 /* no index */

struct go_switches {
	const struct elf_file *elf;
	struct elf_segment *segments;
	size_t n_segments;
	uint64_t vaddr; /* of window[0] */
	size_t bytes;
	uint8_t window[WINDOW_BYTES];
};

static int is_go(const struct elf_file *elf, bool *is_go_out)
{
	static const char *const NAMES[] = {".gopclntab", ".data.rel.ro.gopclntab", ".note.go.buildid"};
	AUTO_FREE struct elf_section *sections = NULL;
	bool found = false;
	size_t n = 0;

	int err = elf_file_sections(elf, &sections, &n);
	if (err == -EBADMSG || err == -E2BIG)
		n = 0;
	else if (err < 0)
		return err;
	for (size_t i = 0; i < n && !found; i++)
		for (size_t j = 0; j < sizeof(NAMES) / sizeof(NAMES[0]); j++)
			found |= elf_file_section_is(elf, sections, n, &sections[i], NAMES[j]);
	*is_go_out = found;
	return 0;
}

int go_switches_open(const struct elf_file *elf, struct go_switches **switches_out)
{
	bool is_one = false;

	int err = elf->machine == EM_X86_64 && elf->is_64 ? is_go(elf, &is_one) : 0;
	if (err < 0)
		return err;
	if (!is_one) {
		*switches_out = NULL;
		return 0;
	}
	struct go_switches *s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->elf = elf;
	s->segments = NULL;
	s->vaddr = s->bytes = s->n_segments = 0;
	err = elf_file_segments(elf, &s->segments, &s->n_segments);
	if (err < 0 && err != -EBADMSG) {
		go_switches_close(s);
		return err;
	}
	*switches_out = s;
	return 0;
}

/* A function's bytes. Reads are a window long, as most functions are small and follow each other. NULL: not in the file. */
static const uint8_t *code_at(struct go_switches *s, uint64_t start, size_t bytes)
{
	uint64_t file_offset, left;

	if (start < s->vaddr || start - s->vaddr > s->bytes || s->bytes - (start - s->vaddr) < bytes) {
		s->bytes = 0;
		if (elf_segments_offset(s->segments, s->n_segments, start, &file_offset, &left) < 0)
			return NULL;
		size_t n = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
		if (elf_file_read_some(s->elf, file_offset, s->window, &n) < 0 || n < bytes)
			return NULL;
		s->vaddr = start;
		s->bytes = n;
	}
	return s->window + (start - s->vaddr);
}

/* The length of an instruction that loads the stack pointer from elsewhere, 0: another one. An epilogue's mov %rbp,%rsp is none.
 * Source: Intel SDM 2A, 2.1.3 and 2.1.5: MOV = 89 /r, 8B /r, AND = 83 /4 ib. */
static size_t switch_bytes(const uint8_t *code, size_t n)
{
	uint8_t rex = code[0], opcode = code[1], modrm = code[2], mod = modrm >> 6, rm = modrm & 7;

	/* and $-16,%rsp */
	if (rex == REX_W && opcode == 0x83 && modrm == 0xe4)
		return n >= 4 && code[3] >= 0x80 ? 4 : 0;
	/* mov reg,%rsp */
	if (opcode == 0x89 && (modrm & 0xc7) == 0xc4)
		return (rex == REX_W && modrm != 0xe4 && modrm != 0xec) || rex == REX_WR ? 3 : 0;
	/* mov (reg),%rsp or disp8(reg),%rsp */
	if (opcode != 0x8b || (rex != REX_W && rex != REX_WB) || (modrm & 0x38) != 0x20 || mod > 1 || (mod == 0 && rm == 5))
		return 0;
	bool has_sib = rm == 4;
	size_t bytes = 3u + has_sib + mod;
	return bytes <= n && (!has_sib || code[3] == SIB_BASE) ? bytes : 0;
}

/* push %rbp; mov %rsp,%rbp: since Go 1.21. sub $x,%rsp; mov %rbp,y(%rsp); lea y(%rsp),%rbp: before, with y = x - 8. Both leave the caller's
 * frame pointer and the return address at the frame pointer. */
static bool sets_up_frame(const uint8_t *code, size_t n)
{
	if (n >= 4 && memcmp(code, "\x55\x48\x89\xe5", 4) == 0)
		return true;
	return n >= 14 && memcmp(code, "\x48\x83\xec", 3) == 0 && memcmp(code + 4, "\x48\x89\x6c\x24", 4) == 0 &&
	       memcmp(code + 9, "\x48\x8d\x6c\x24", 4) == 0 && code[8] == code[13] && code[8] == (uint8_t)(code[3] - 8);
}

/* Does a compiled function with a stack check begin here? In those an operand may look like a switch; what switches has no check.
 * cmp 0x10(%r14),%rsp; lea -x(%rsp),%r12 before it for a large frame. */
static bool checks_stack(const uint8_t *code, size_t n)
{
	return n >= 4 && (memcmp(code, "\x49\x3b\x66\x10", 4) == 0 || memcmp(code, "\x4c\x8d\x64\x24", 4) == 0 ||
			  memcmp(code, "\x4c\x8d\xa4\x24", 4) == 0);
}

/* mov $0,%rbp behind a switch: the runtime says that nothing called what runs on the other stack (mcall, morestack). */
static bool clears_frame_pointer(const uint8_t *code, size_t n)
{
	return (n >= 7 && memcmp(code, "\x48\xc7\xc5\0\0\0\0", 7) == 0) || (n >= 2 && memcmp(code, "\x31\xed", 2) == 0);
}

struct go_function go_switches_find(struct go_switches *s, uint64_t start, uint64_t end)
{
	struct go_function function = {.switches = s, .behind_switch = UINT64_MAX};
	size_t n = (size_t)(end - start);

	if (!s || end < start || end - start > FUNCTION_MAX_BYTES)
		return function;
	const uint8_t *code = code_at(s, start, n);
	if (!code || checks_stack(code, n))
		return function;
	for (size_t i = 0; i + 3 <= n; i++) {
		size_t bytes = switch_bytes(code + i, n - i), behind = i + bytes;
		if (!bytes)
			continue;
		function.behind_switch = start + behind;
		function.has_frame = sets_up_frame(code, i) && !clears_frame_pointer(code + behind, n - behind);
		break;
	}
	return function;
}

uint64_t go_switches_return(struct go_switches *s, uint64_t vaddr, uint64_t end)
{
	size_t n = (size_t)(end - vaddr);
	const uint8_t *code = n <= FUNCTION_MAX_BYTES ? code_at(s, vaddr, n) : NULL;
	const uint8_t *found = code ? memmem(code, n, "\x5d\xc3", 2) : NULL;

	return found ? vaddr + (uint64_t)(found - code) + 1 : end;
}

/* Does the instruction before vaddr, or the one at it, save the frame pointer below the return address? vaddr: where the stack pointer is
 * below the return address for the first time: behind push %rbp, of which mov %rsp,%rbp tells a push that is a value's; or, before Go
 * 1.21, behind sub, at mov %rbp,y(%rsp). Assembly that keeps its own frames (crosscall2, gcWriteBarrier) has neither. */
static bool saves_frame_pointer(struct go_switches *s, uint64_t vaddr)
{
	const uint8_t *code = code_at(s, vaddr - 1, 5);

	if (!code)
		return false;
	return memcmp(code, "\x55\x48\x89\xe5", 4) == 0 || memcmp(code + 1, "\x48\x89\x6c\x24", 4) == 0 ||
	       memcmp(code + 1, "\x48\x89\xac\x24", 4) == 0;
}

/* Below the return address by at least a word. */
static bool is_in_frame(const struct unwind_rule *rule)
{
	return rule->cfa == CFA_REGISTER && rule->cfa_register == X86_64_SP && rule->cfa_offset >= 16;
}

const struct unwind_rule GO_FRAME_RULE = {.cfa = CFA_REGISTER | CFA_SWITCHES_STACK,
					  .cfa_register = X86_64_FP,
					  .cfa_offset = 16,
					  .fp = AT_CFA,
					  .fp_offset = -16,
					  .ra = AT_CFA,
					  .ra_offset = -8};

void go_function_rule(struct go_function *function, uint64_t start, struct unwind_rule *rule)
{
	static const struct unwind_rule OUTERMOST = {.cfa = CFA_REGISTER, .cfa_register = X86_64_SP, .cfa_offset = 8, .ra = AT_UNDEFINED};
	bool in_frame = is_in_frame(rule);

	if (!function->switches)
		return;
	if (start >= function->behind_switch && !function->has_frame) {
		*rule = OUTERMOST;
		return;
	}
	/* Behind the epilogue's pop the frame pointer is the caller's, and the stack the first one again. */
	if (!in_frame)
		return;
	if (!function->is_decided) {
		function->is_decided = true;
		function->saves_fp = saves_frame_pointer(function->switches, start);
	}
	if (function->saves_fp && rule->fp == IN_PLACE) {
		rule->fp = AT_CFA;
		rule->fp_offset = -16;
	}
	if (start >= function->behind_switch)
		*rule = GO_FRAME_RULE;
}

void go_switches_close(struct go_switches *s)
{
	if (!s)
		return;
	free(s->segments);
	free(s);
}
