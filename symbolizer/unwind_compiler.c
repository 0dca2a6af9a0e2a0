#include "symbolizer/unwind_compiler.h"
#include "base/scope.h"
#include "symbolizer/byte_reader.h"
#include "symbolizer/cfi.h"
#include "symbolizer/go_functions.h"
#include "symbolizer/go_switches.h"
#include "symbolizer/section_reader.h"
#include "symbolizer/table_builder.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES_MAX	    3 /* .eh_frame, .debug_frame of the image and of its debug file */
#define TEXT_SEARCH_BYTES   (64u << 20) /* of an image in which a signal trampoline is looked for */
#define TEXT_WINDOW_BYTES   (1u << 20)
#define ENTRY_BYTES	    64 /* of an entry point without CFI: crt1.o's and ld.so's are shorter */
#define CALL_BYTES	    5   /* of a direct call */
#define EH_RETURN_BYTES	    256 /* of code before an eh_return that are searched for calls; gcc 12 has 131 */
#define GO_PARTS_MAX	    32	/* of functions that switch stacks; Go 1.26 has 21 */
#define EMPTY_FUNCTION_BYTES 8  /* endbr64; ret */

/* One section with CFI. */
struct source {
	uint8_t *bytes;
	struct cfi *cfi;
	const struct cfi_fde *fdes;
	size_t n_fdes;
	bool is_eh;
};

/* An FDE's place in the order of addresses. */
struct span {
	uint64_t start, end;
	uint32_t fde;
	uint32_t source; /* SOURCES_MAX: an own rule for code without CFI; fde says which */
};

enum own_rule { OWN_TRAMPOLINE, OWN_ENTRY, OWN_GO_FRAME, OWN_GO_RETURN };

struct compiler {
	const struct elf_file *elf;
	struct source sources[SOURCES_MAX];
	uint32_t n_sources;
	struct span *spans;
	size_t n_spans;
	uint64_t trampoline; /* vaddr; 0: none */
	struct table_builder *builder;
	struct unwind_image *image;
	uint64_t clip_end; /* rows of the FDE at hand end here */
	uint64_t next_start; /* of the FDE behind it; UINT64_MAX: none */
	uint64_t fde_rows;
	bool is_signal_frame; /* the last row's */
	uint64_t eh_return; /* where the FDE at hand leaves for a handler; 0: it does not. See find_install(). */
	uint64_t install, install_end; /* rows between these have no return address */
	struct go_switches *go; /* NULL: not Go's */
	struct go_part go_parts[GO_PARTS_MAX]; /* of a program without .debug_frame */
	size_t n_go_parts;
	struct go_function go_function; /* of the FDE at hand */
};

static int add_source(struct compiler *c, const struct elf_file *elf, const struct cfi_section *section, uint8_t *bytes)
{
	struct source *source = &c->sources[c->n_sources];
	struct cfi_section with_bytes = *section;

	with_bytes.bytes = bytes;
	with_bytes.address_bytes = elf->is_64 ? 8 : 4;
	with_bytes.machine = elf->machine;
	int err = cfi_open(&with_bytes, &source->cfi);
	if (err < 0) {
		free(bytes);
		return err;
	}
	source->bytes = bytes;
	source->is_eh = section->is_eh;
	source->fdes = cfi_fdes(source->cfi, &source->n_fdes);
	c->n_sources++;
	return 0;
}

/* A section that is damaged or too large costs itself only. */
static bool costs_section_only(int err)
{
	return err == -EBADMSG || err == -E2BIG || err == -EOPNOTSUPP;
}

static int add_section(struct compiler *c, const struct elf_file *elf, const struct elf_section *section, bool is_eh)
{
	size_t most = section->flags & SHF_COMPRESSED ? UNWIND_PACKED_MAX_BYTES : UNWIND_SECTION_MAX_BYTES;
	struct cfi_section cfi = {.vaddr = section->vaddr, .is_eh = is_eh};
	uint8_t *bytes;

	int err = section_read(elf, section, most, &bytes, &cfi.n);
	if (err == 0)
		err = add_source(c, elf, &cfi, bytes);
	if (costs_section_only(err)) {
		c->image->bad_fdes++;
		return 0;
	}
	return err;
}

/* .eh_frame of a file without section headers: .eh_frame_hdr, which the program headers name, begins with a pointer to it. Where it ends is
 * not told; its terminator or the end of its segment is the end. Source: LSB 5, "The .eh_frame_hdr section". */
static int add_eh_frame_by_header(struct compiler *c)
{
	AUTO_FREE struct elf_segment *segments = NULL;
	const struct elf_segment *header = NULL;
	uint64_t file_offset, bytes;
	uint8_t head[8];
	size_t n;

	int err = elf_file_segments(c->elf, &segments, &n);
	if (err < 0)
		return err == -EBADMSG ? 0 : err;
	for (size_t i = 0; i < n; i++)
		if (segments[i].type == PT_GNU_EH_FRAME)
			header = &segments[i];
	if (!header || elf_file_read(c->elf, header->file_offset, head, sizeof(head)) < 0)
		return 0;
	int32_t delta;
	memcpy(&delta, head + 4, sizeof(delta));
	if (head[0] != 1 || head[1] != (DW_EH_PE_pcrel | DW_EH_PE_sdata4))
		return 0;
	struct cfi_section cfi = {.vaddr = header->vaddr + 4 + (uint64_t)(int64_t)delta, .is_eh = true};
	if (elf_segments_offset(segments, n, cfi.vaddr, &file_offset, &bytes) < 0)
		return 0;
	struct elf_section section = {.type = SHT_PROGBITS, .vaddr = cfi.vaddr, .file_offset = file_offset, .bytes = bytes};
	return add_section(c, c->elf, &section, true);
}

static int add_sections(struct compiler *c, const struct elf_file *elf, bool is_debug_file)
{
	AUTO_FREE struct elf_section *sections = NULL;
	bool has_eh = false;
	size_t n = 0;

	int err = elf_file_sections(elf, &sections, &n);
	if (err < 0 && err != -EBADMSG && err != -E2BIG)
		return err;
	for (size_t i = 0; err == 0 && i < n && c->n_sources < SOURCES_MAX; i++) {
		bool is_eh = elf_file_section_is(elf, sections, n, &sections[i], ".eh_frame");
		if (sections[i].type == SHT_NOBITS || (is_eh && (is_debug_file || has_eh)))
			continue;
		if (is_eh || elf_file_section_is(elf, sections, n, &sections[i], ".debug_frame"))
			err = add_section(c, elf, &sections[i], is_eh);
		has_eh |= is_eh;
	}
	if (costs_section_only(err))
		err = 0;
	return err == 0 && !has_eh && !is_debug_file ? add_eh_frame_by_header(c) : err;
}

/* mov $15, %rax; syscall. Source: rt_sigreturn is system call 15 of x86-64; musl's and Go's restorers are these bytes. glibc's has CFI. */
static const uint8_t TRAMPOLINE[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};

/* A signal frame as rt_sigreturn finds it: the stack pointer is at the ucontext. Source: struct rt_sigframe of the kernel's
 * arch/x86/include/asm/sigframe.h; offsets in the ucontext as in glibc's CFI of __restore_rt. */
static const struct unwind_rule TRAMPOLINE_RULE = {
	.cfa = CFA_DEREF | CFA_SIGNAL_FRAME,
	.cfa_register = X86_64_SP,
	.cfa_offset = 160,
	.fp = AT_REGISTER_PLUS | X86_64_SP,
	.fp_offset = 120,
	.ra = AT_REGISTER_PLUS | X86_64_SP,
	.ra_offset = 168,
};

/* Nothing calls what the kernel enters. ld.so's entry point has no CFI. Source: System V ABI AMD64, 3.4.1. */
static const struct unwind_rule ENTRY_RULE = {
	.cfa = CFA_REGISTER,
	.cfa_register = X86_64_SP,
	.ra = AT_UNDEFINED,
};

/* Before the return of a function that has popped its frame pointer. */
static const struct unwind_rule RETURN_RULE = {
	.cfa = CFA_REGISTER,
	.cfa_register = X86_64_SP,
	.cfa_offset = 8,
	.ra = AT_CFA,
	.ra_offset = -8,
};

static const struct unwind_rule *const OWN_RULES[] = {
	[OWN_TRAMPOLINE] = &TRAMPOLINE_RULE,
	[OWN_ENTRY] = &ENTRY_RULE,
	[OWN_GO_FRAME] = &GO_FRAME_RULE,
	[OWN_GO_RETURN] = &RETURN_RULE,
};

static int find_trampoline_in(struct compiler *c, const struct elf_segment *segment, uint8_t *window)
{
	uint64_t left = segment->file_bytes < TEXT_SEARCH_BYTES ? segment->file_bytes : TEXT_SEARCH_BYTES;

	for (uint64_t at = 0; at + sizeof(TRAMPOLINE) <= left; at += TEXT_WINDOW_BYTES - sizeof(TRAMPOLINE)) {
		size_t bytes = left - at < TEXT_WINDOW_BYTES ? (size_t)(left - at) : TEXT_WINDOW_BYTES;
		int err = elf_file_read(c->elf, segment->file_offset + at, window, bytes);
		if (err < 0)
			return err;
		const uint8_t *found = memmem(window, bytes, TRAMPOLINE, sizeof(TRAMPOLINE));
		if (found) {
			c->trampoline = segment->vaddr + at + (uint64_t)(found - window);
			return 0;
		}
	}
	return 0;
}

/* Programs that do without libc's CFI bring their own restorer. It is looked for only where no .eh_frame speaks for the text. */
static int find_trampoline(struct compiler *c, bool has_eh)
{
	AUTO_FREE struct elf_segment *segments = NULL;
	size_t n;

	if (has_eh || c->elf->machine != EM_X86_64)
		return 0;
	int err = elf_file_segments(c->elf, &segments, &n);
	if (err < 0)
		return err == -EBADMSG ? 0 : err;
	AUTO_FREE uint8_t *window = malloc(TEXT_WINDOW_BYTES);
	if (!window)
		return -ENOMEM;
	for (size_t i = 0; i < n && !c->trampoline; i++) {
		if (segments[i].type != PT_LOAD || !(segments[i].flags & PF_X))
			continue;
		err = find_trampoline_in(c, &segments[i], window);
		if (err < 0)
			return err == -EBADMSG ? 0 : err;
	}
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	/* Of two for one function the trampoline, then the first section's, then the first one. */
	if (x->source != y->source)
		return x->source == SOURCES_MAX ? -1 : y->source == SOURCES_MAX ? 1 : x->source < y->source ? -1 : 1;
	return x->fde < y->fde ? -1 : x->fde > y->fde;
}

static int order_spans(struct compiler *c)
{
	size_t n = 2 + c->n_go_parts;
	uint64_t entry = c->elf->machine == EM_X86_64 ? c->elf->entry : 0;
	bool sorted = true;

	for (uint32_t i = 0; i < c->n_sources; i++)
		n += c->sources[i].n_fdes;
	c->spans = malloc(n * sizeof(c->spans[0]));
	if (!c->spans)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < c->n_sources; i++) {
		for (size_t j = 0; j < c->sources[i].n_fdes; j++) {
			const struct cfi_fde *fde = &c->sources[i].fdes[j];
			c->spans[n] = (struct span){fde->start, fde->start + fde->bytes, (uint32_t)j, i};
			if (fde->start <= entry && entry - fde->start < fde->bytes)
				entry = 0;
			sorted = sorted && (!n || by_start(&c->spans[n - 1], &c->spans[n]) < 0);
			n++;
		}
	}
	if (c->trampoline) {
		/* The handler returns to its first byte, and a return address is looked up one byte before. */
		c->spans[n++] = (struct span){c->trampoline - 1, c->trampoline + sizeof(TRAMPOLINE), OWN_TRAMPOLINE, SOURCES_MAX};
		sorted = false;
	}
	if (entry && entry <= UINT64_MAX - ENTRY_BYTES) {
		c->spans[n++] = (struct span){entry, entry + ENTRY_BYTES, OWN_ENTRY, SOURCES_MAX};
		sorted = false;
	}
	for (size_t i = 0; i < c->n_go_parts; i++) {
		const struct go_part *part = &c->go_parts[i];
		c->spans[n++] = (struct span){part->start, part->end, part->is_popped ? OWN_GO_RETURN : OWN_GO_FRAME, SOURCES_MAX};
		sorted = false;
	}
	c->n_spans = n;
	if (!sorted)
		qsort(c->spans, n, sizeof(c->spans[0]), by_start);
	return 0;
}

static int by_vaddr(const void *key, const void *element)
{
	uint64_t vaddr = *(const uint64_t *)key;
	const struct span *span = element;

	return vaddr < span->start ? -1 : vaddr > span->start;
}

/* A call of a function that CFI knows. Returns the function, or NULL. at: vaddr of code[0]. */
static const struct span *called(const struct compiler *c, const uint8_t *code, uint64_t at)
{
	int32_t delta;

	if (code[0] != 0xe8)
		return NULL;
	memcpy(&delta, code + 1, sizeof(delta));
	uint64_t target = at + CALL_BYTES + (uint64_t)(int64_t)delta;
	return bsearch(&target, c->spans, c->n_spans, sizeof(c->spans[0]), by_vaddr);
}

/* Throwing an exception ends in libgcc: uw_install_context_1() copies the handler's registers over those that its caller, such as
 * _Unwind_Resume(), has saved, return address and frame pointer included; then _Unwind_DebugHook(), an empty function, is called, and
 * then the caller leaves for the handler by __builtin_eh_return(). From the first call on nobody knows its caller any more: its
 * rows get no return address, as a cut stack is better than a wrong one. Where the calls are not found, nothing changes.
 * Source: gcc 12, libgcc/unwind.inc and unwind-dw2.c (uw_install_context). */
static int find_install(struct compiler *c, const struct span *span)
{
	AUTO_FREE struct elf_segment *segments = NULL;
	uint64_t from = c->eh_return, file_offset, bytes, last = 0;
	uint8_t code[EH_RETURN_BYTES];
	size_t n;

	from = from - span->start < sizeof(code) ? span->start : from - sizeof(code);
	size_t length = (size_t)(c->eh_return - from);
	int err = elf_file_segments(c->elf, &segments, &n);
	if (err == 0)
		err = elf_segments_offset(segments, n, from, &file_offset, &bytes);
	if (err == 0)
		err = bytes < length ? -EBADMSG : elf_file_read(c->elf, file_offset, code, length);
	for (size_t i = 0; err == 0 && i + CALL_BYTES <= length; i++) {
		const struct span *function = called(c, code + i, from + i);
		if (!function)
			continue;
		if (last && function->end - function->start <= EMPTY_FUNCTION_BYTES) {
			c->install = last + CALL_BYTES - 1; /* return addresses are looked up one byte before */
			c->install_end = c->eh_return;
		}
		last = from + i;
	}
	return err == -ENOMEM ? err : 0;
}

/* mov %rcx,%rsp: gcc's __builtin_eh_return(), and no other code of a compiler, has its CFA in rcx. */
static bool is_eh_return(const struct compiler *c, const struct unwind_rule *rule)
{
	return c->elf->machine == EM_X86_64 && rule->cfa == CFA_REGISTER && rule->cfa_register == X86_64_RCX && rule->cfa_offset == 8;
}

static uint64_t clamp(uint64_t vaddr, uint64_t from, uint64_t to)
{
	return vaddr < from ? from : vaddr > to ? to : vaddr;
}

/* The part of a row within [from, to), which has no return address if that is hidden. */
static void put_part(struct compiler *c, uint64_t from, uint64_t to, const struct unwind_rule *rule, bool is_hidden)
{
	struct unwind_rule part = *rule;

	if (from >= to)
		return;
	if (is_hidden) {
		part.ra = AT_UNRELIABLE;
		part.ra_offset = 0;
	}
	table_builder_row(c->builder, from, &part);
}

/* A row of Go's, with what its CFI does not say. */
static void put_go_part(struct compiler *c, uint64_t from, uint64_t to, const struct unwind_rule *rule)
{
	uint64_t starts[] = {from, clamp(c->go_function.behind_switch, from, to)};

	for (int i = 0; i < 2; i++) {
		struct unwind_rule part = *rule;
		if (starts[i] >= to || (i && starts[i] == from))
			continue;
		go_function_rule(&c->go_function, starts[i], &part);
		table_builder_row(c->builder, starts[i], &part);
	}
}

static void take_row(void *context, uint64_t start, uint64_t end, const struct unwind_rule *rule)
{
	struct compiler *c = context;

	c->fde_rows++;
	c->is_signal_frame = rule->cfa & CFA_SIGNAL_FRAME;
	if (is_eh_return(c, rule) && !c->eh_return)
		c->eh_return = start;
	end = end < c->clip_end ? end : c->clip_end;
	if (start >= end)
		return;
	if (c->go_function.switches)
		return put_go_part(c, start, end, rule);
	uint64_t hide = clamp(c->install, start, end), show = clamp(c->install_end, start, end);
	put_part(c, start, hide, rule, false);
	put_part(c, hide, show, rule, true);
	put_part(c, show, end, rule, false);
}

static int run_rows(struct compiler *c, const struct span *span)
{
	struct source *source = &c->sources[span->source];

	int err = cfi_rows(source->cfi, &source->fdes[span->fde], take_row, c);
	if (err == 0 && c->eh_return && !c->install)
		err = find_install(c, span);
	return err;
}

static int compile_rows(struct compiler *c, const struct span *span)
{
	c->fde_rows = 0;
	c->eh_return = 0;
	table_builder_begin(c->builder, span->start);
	if (span->source == SOURCES_MAX) {
		c->is_signal_frame = span->fde == OWN_TRAMPOLINE;
		table_builder_row(c->builder, span->start, OWN_RULES[span->fde]);
	} else {
		bool was_found = c->install;
		int err = run_rows(c, span);
		if (err == 0 && c->install && !was_found) {
			table_builder_rollback(c->builder);
			return compile_rows(c, span); /* once more: the rows before it are known to be wrong now */
		}
		if (err < 0) {
			table_builder_rollback(c->builder);
			return err;
		}
	}
	/* A signal frame's code ends with a system call, in which its pc is the one behind. */
	bool ends_in_call = c->is_signal_frame && c->clip_end < c->next_start;
	return table_builder_commit(c->builder, c->clip_end + ends_in_call);
}

static int compile_span(struct compiler *c, const struct span *span)
{
	bool is_own = span->source == SOURCES_MAX;

	c->install = c->install_end = 0;
	/* C linked into a Go program has .eh_frame, which is right. */
	c->go_function = go_switches_find(is_own || c->sources[span->source].is_eh ? NULL : c->go, span->start, span->end);
	int err = compile_rows(c, span);

	if (err == -ENOSPC)
		err = compile_rows(c, span); /* at the beginning of a new table */
	if (err == 0) {
		c->image->fdes += !is_own;
		c->image->cfi_rows += c->fde_rows;
		c->image->text_bytes += c->clip_end - span->start;
	}
	if (!costs_section_only(err) && err != -ENOSPC)
		return err;
	c->image->bad_fdes++;
	return 0;
}

static int compile(struct compiler *c)
{
	int err = order_spans(c);

	for (size_t i = 0, next; err == 0 && i < c->n_spans; i = next) {
		const struct span *span = &c->spans[i];
		c->clip_end = span->end;
		for (next = i + 1; next < c->n_spans && c->spans[next].start == span->start; next++)
			;
		/* Nothing overrides a trampoline. */
		while (span->source == SOURCES_MAX && span->fde == OWN_TRAMPOLINE && next < c->n_spans && c->spans[next].start < span->end)
			next++;
		c->next_start = next < c->n_spans ? c->spans[next].start : UINT64_MAX;
		if (c->next_start < c->clip_end)
			c->clip_end = c->next_start;
		err = compile_span(c, span);
	}
	return err < 0 ? err : table_builder_finish(c->builder, c->image);
}

static void close_compiler(struct compiler *c)
{
	for (uint32_t i = 0; i < c->n_sources; i++) {
		cfi_close(c->sources[i].cfi);
		free(c->sources[i].bytes);
	}
	free(c->spans);
	go_switches_close(c->go);
	table_builder_destroy(c->builder);
}

static int open_go(struct compiler *c)
{
	int err = go_switches_open(c->elf, &c->go);

	for (uint32_t i = 0; i < c->n_sources; i++)
		if (!c->sources[i].is_eh && c->sources[i].n_fdes)
			return err;
	return err == 0 && c->go ? go_functions_switching(c->elf, c->go, c->go_parts, GO_PARTS_MAX, &c->n_go_parts) : err;
}

int unwind_image_compile(const struct elf_file *elf, const struct elf_file *debug, struct unwind_image **image_out)
{
	struct compiler c = {.elf = elf};

	if (elf->machine != EM_X86_64 && elf->machine != EM_AARCH64)
		return -EOPNOTSUPP;
	c.image = calloc(1, sizeof(*c.image));
	int err = c.image ? table_builder_create(&c.builder) : -ENOMEM;
	if (err == 0)
		err = add_sections(&c, elf, false);
	bool has_eh = c.n_sources && c.sources[0].is_eh && c.sources[0].n_fdes; /* else Go's: .debug_frame alone, which calls it a function */
	if (err == 0 && debug && debug->machine == elf->machine)
		err = add_sections(&c, debug, true);
	if (err == 0)
		err = find_trampoline(&c, has_eh);
	if (err == 0)
		err = open_go(&c);
	if (err == 0)
		err = compile(&c);
	for (uint32_t i = 0; c.image && i < c.n_sources; i++) {
		struct cfi_stats stats;
		cfi_stats(c.sources[i].cfi, &stats);
		c.image->bad_fdes += stats.bad_fdes;
	}
	close_compiler(&c);
	if (err < 0) {
		unwind_image_free(c.image);
		return err;
	}
	*image_out = c.image;
	return 0;
}
