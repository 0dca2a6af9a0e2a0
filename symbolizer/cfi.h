/* Call frame information: CIEs and FDEs of .eh_frame and .debug_frame, and the rows that their instructions produce.
 *
 * Input is untrusted. Every read is bounds-checked, an FDE costs time in its own length only, and a bad FDE costs that FDE.
 * Only the three registers that the walk follows have columns: frame pointer, stack pointer (as CFA) and return address.
 * Source: DWARF 5, 6.4; Linux Standard Base 5, "Exception Frames". */
#ifndef HEARTH_SYMBOLIZER_CFI_H
#define HEARTH_SYMBOLIZER_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/unwind_table.h"

#define CFI_FDES_MAX	 (4u << 20) /* chromium with full CFI has 1.2 million */
#define CFI_CIES_MAX	 (1u << 20)
#define CFI_REMEMBER_MAX 64 /* compilers nest once; hand-written code twice */

/* A section's bytes. */
struct cfi_section {
	const uint8_t *bytes; /* borrowed */
	size_t n;
	uint64_t vaddr; /* of bytes[0] */
	bool is_eh;	/* .eh_frame, else .debug_frame */
	uint8_t address_bytes;
	uint16_t machine; /* EM_X86_64 or EM_AARCH64 */
};

/* One function's CFI. It covers vaddrs [start, start + bytes). */
struct cfi_fde {
	uint64_t start, bytes;
	uint32_t instructions, instructions_end; /* offsets in the section */
	uint32_t cie;				 /* index */
};

struct cfi_stats {
	uint64_t bad_fdes; /* left out: their headers are damaged. Bad instructions are found by cfi_rows() */
	uint64_t bad_cies; /* their FDEs are bad too */
};

struct cfi; /* the CIEs and FDEs of one section; not changed after cfi_open() */

/* Parse all CIEs and the headers of all FDEs. section: copied; its bytes are borrowed until cfi_close().
 * Returns 0, -EOPNOTSUPP (a machine that has no rules here), -E2BIG (over 4 GiB), -ENOMEM. Damage is counted. */
int cfi_open(const struct cfi_section *section, struct cfi **cfi_out);

/* All FDEs, in the order of the section. Borrowed. */
const struct cfi_fde *cfi_fdes(const struct cfi *cfi, size_t *n_out);

/* Called for each row of an FDE, in address order, without gaps: rule holds in [start, end). */
typedef void (*cfi_row_fn)(void *context, uint64_t start, uint64_t end, const struct unwind_rule *rule);

/* Run the instructions of an FDE. Returns 0, or -EBADMSG after which the rows given so far must be forgotten. */
int cfi_rows(const struct cfi *cfi, const struct cfi_fde *fde, cfi_row_fn fn, void *context);

void cfi_stats(const struct cfi *cfi, struct cfi_stats *stats_out);

/* NULL is legal. */
void cfi_close(struct cfi *cfi);

#endif
