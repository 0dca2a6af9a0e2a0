#include "symbolizer/cfi.h"
#include "base/scope.h"
#include "symbolizer/byte_reader.h"
#include "symbolizer/cfi_expression.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

/* What the instructions change. */
struct cfi_state {
	struct unwind_rule rule; /* cfa is CFA_NONE until it is defined; what a kind or place does not need is 0 */
	bool by_expression;	 /* the CFA: it has no register and no offset that could be changed, even if the rule does */
};

struct cfi_cie {
	uint32_t offset; /* in the section */
	bool bad;
	bool has_augmentation_data; /* 'z' */
	uint8_t signal_frame;	    /* CFA_SIGNAL_FRAME or 0; 'S' */
	uint8_t pointer_encoding;   /* DW_EH_PE_*, of FDEs */
	uint8_t address_bytes;	    /* of a .debug_frame version 4 CIE */
	uint64_t code_align;
	int64_t data_align;
	struct cfi_state initial;
};

struct cfi {
	struct cfi_section section;
	uint8_t fp_register, ra_register;
	struct cfi_cie *cies;
	size_t n_cies, cies_capacity;
	struct cfi_fde *fdes;
	size_t n_fdes, fdes_capacity;
	struct cfi_stats stats;
};

/* One run of instructions. */
struct execution {
	const struct cfi *cfi;
	const struct cfi_cie *cie;
	const struct cfi_state *initial; /* for DW_CFA_restore; NULL in a CIE */
	struct cfi_state state;
	struct cfi_state remembered[CFI_REMEMBER_MAX];
	unsigned n_remembered;
	uint64_t vaddr, end;
	cfi_row_fn fn;
	void *context;
};

/* A row of so many bytes, or as many as are left of the function: what lies behind its end is, as for libdw, nothing. */
static inline bool emit(struct execution *x, uint64_t bytes)
{
	if (bytes > x->end - x->vaddr)
		bytes = x->end - x->vaddr;
	if (!bytes)
		return true;
	if ((x->state.rule.cfa & CFA_KIND_MASK) == CFA_NONE)
		return false;
	x->fn(x->context, x->vaddr, x->vaddr + bytes, &x->state.rule);
	x->vaddr += bytes;
	return true;
}

static inline bool advance(struct execution *x, uint64_t units)
{
	uint64_t bytes, vaddr;

	if (!x->initial || __builtin_mul_overflow(units, x->cie->code_align, &bytes) ||
	    __builtin_add_overflow(x->vaddr, bytes, &vaddr))
		return false;
	return emit(x, bytes);
}

/* Say where a register is. One without a column is nobody's business; an offset that a rule cannot hold makes the place unknown. */
static void set_column(struct execution *x, uint64_t reg, uint8_t where, int64_t offset)
{
	if (offset < INT16_MIN || offset > INT16_MAX) {
		where = AT_UNKNOWN;
		offset = 0;
	}
	if (reg == x->cfi->fp_register) {
		x->state.rule.fp = where;
		x->state.rule.fp_offset = (int16_t)offset;
	} else if (reg == x->cfi->ra_register) {
		x->state.rule.ra = where;
		x->state.rule.ra_offset = (int16_t)offset;
	}
}

static void set_offset(struct execution *x, uint64_t reg, int64_t factored)
{
	int64_t offset;

	if (__builtin_mul_overflow(factored, x->cie->data_align, &offset))
		set_column(x, reg, AT_UNKNOWN, 0);
	else
		set_column(x, reg, AT_CFA, offset);
}

static bool restore(struct execution *x, uint64_t reg)
{
	if (!x->initial)
		return false;
	const struct unwind_rule *initial = &x->initial->rule;
	if (reg == x->cfi->fp_register)
		set_column(x, reg, initial->fp, initial->fp_offset);
	else if (reg == x->cfi->ra_register)
		set_column(x, reg, initial->ra, initial->ra_offset);
	return true;
}

static void set_cfa(struct execution *x, enum unwind_cfa kind, uint64_t reg, int64_t offset, int32_t add)
{
	struct unwind_rule *rule = &x->state.rule;

	if (kind == CFA_UNSUPPORTED || reg >= 32 || offset < INT32_MIN || offset > INT32_MAX) {
		kind = CFA_UNSUPPORTED;
		reg = 0;
		offset = add = 0;
	}
	rule->cfa = (uint8_t)(kind | x->cie->signal_frame);
	rule->cfa_register = (uint8_t)reg;
	rule->cfa_offset = (int32_t)offset;
	rule->cfa_add = add;
}

static void define_cfa(struct execution *x, uint64_t reg, int64_t offset)
{
	x->state.by_expression = false;
	set_cfa(x, CFA_REGISTER, reg, offset, 0);
}

/* Only a register-and-offset CFA can have one of the two changed. libgcrypt's assembly does it behind an expression: as for libdw, the
 * CFA is nothing that can be computed then, until it is defined anew, and the rows before stay good. */
static void change_cfa(struct execution *x, uint64_t reg, int64_t offset)
{
	bool is_changeable = (x->state.rule.cfa & CFA_KIND_MASK) == CFA_REGISTER && !x->state.by_expression;

	set_cfa(x, is_changeable ? CFA_REGISTER : CFA_UNSUPPORTED, reg, offset, 0);
}

/* A factored operand of an instruction that defines the CFA. */
static int64_t factor(const struct execution *x, int64_t operand)
{
	int64_t offset;

	return __builtin_mul_overflow(operand, x->cie->data_align, &offset) ? INT64_MAX : offset; /* which no rule can hold */
}

static struct byte_reader read_block(struct byte_reader *r)
{
	uint64_t bytes = byte_reader_uleb(r);
	struct byte_reader block = {r->at, r->at, r->failed};

	if (!r->failed && byte_reader_need(r, bytes)) {
		block.end = r->at + bytes;
		r->at = block.end;
	}
	return block;
}

static void define_cfa_expression(struct execution *x, struct byte_reader block)
{
	static const uint8_t KINDS[] = {
		[EXPRESSION_OTHER] = CFA_UNSUPPORTED,
		[EXPRESSION_ADDRESS] = CFA_REGISTER,
		[EXPRESSION_DEREF] = CFA_DEREF,
		[EXPRESSION_INDEXED] = CFA_INDEXED,
		[EXPRESSION_PLT] = CFA_PLT,
	};
	struct expression e = expression_classify(block);

	if (e.kind == EXPRESSION_INDEXED && e.add >= 0 && e.add <= CFA_INDEXED_ADD_MASK)
		e.add |= e.index << CFA_INDEXED_SHIFT;
	else if (e.kind == EXPRESSION_INDEXED)
		e.kind = EXPRESSION_OTHER;

	x->state.by_expression = true;
	set_cfa(x, KINDS[e.kind], e.reg, e.offset, e.add);
}

static void set_expression(struct execution *x, uint64_t reg, struct byte_reader block, bool is_value)
{
	struct expression e = expression_classify(block);

	if (e.kind == EXPRESSION_ADDRESS && !is_value)
		set_column(x, reg, (uint8_t)(AT_REGISTER_PLUS | e.reg), e.offset);
	else
		set_column(x, reg, AT_UNKNOWN, 0);
}

static bool remember(struct execution *x)
{
	if (x->n_remembered == CFI_REMEMBER_MAX)
		return false;
	x->remembered[x->n_remembered++] = x->state;
	return true;
}

static bool recall(struct execution *x)
{
	if (!x->n_remembered)
		return false;
	x->state = x->remembered[--x->n_remembered];
	return true;
}

static uint64_t read_address(struct byte_reader *r, uint8_t bytes)
{
	return bytes == 8 ? byte_reader_u64(r) : byte_reader_u32(r);
}

/* A pointer by its DW_EH_PE encoding. place: vaddr of its first byte. */
static uint64_t read_encoded(const struct cfi *cfi, struct byte_reader *r, uint8_t encoding, uint64_t place)
{
	uint64_t value;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
		value = read_address(r, cfi->section.address_bytes);
		break;
	case DW_EH_PE_uleb128:
		value = byte_reader_uleb(r);
		break;
	case DW_EH_PE_udata2:
		value = byte_reader_u16(r);
		break;
	case DW_EH_PE_udata4:
		value = byte_reader_u32(r);
		break;
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = byte_reader_u64(r);
		break;
	case DW_EH_PE_sleb128:
		value = (uint64_t)byte_reader_sleb(r);
		break;
	case DW_EH_PE_sdata2:
		value = (uint64_t)(int16_t)byte_reader_u16(r);
		break;
	case DW_EH_PE_sdata4:
		value = (uint64_t)(int32_t)byte_reader_u32(r);
		break;
	default:
		byte_reader_fail(r);
		return 0;
	}
	switch (encoding & 0x70) {
	case DW_EH_PE_absptr:
		return value;
	case DW_EH_PE_pcrel:
		return value + place;
	default: /* relative to text or data: no compiler for these machines */
		byte_reader_fail(r);
		return 0;
	}
}

static uint64_t place_of(const struct cfi *cfi, const struct byte_reader *r)
{
	return cfi->section.vaddr + (uint64_t)(r->at - cfi->section.bytes);
}

static bool set_location(struct execution *x, struct byte_reader *r)
{
	uint64_t place = place_of(x->cfi, r);
	uint64_t vaddr = x->cfi->section.is_eh ? read_encoded(x->cfi, r, x->cie->pointer_encoding, place)
					       : read_address(r, x->cie->address_bytes);

	if (r->failed || vaddr < x->vaddr || !x->cie->code_align)
		return false;
	return advance(x, (vaddr - x->vaddr) / x->cie->code_align);
}

/* The instructions that define the CFA. */
static bool step_cfa(struct execution *x, struct byte_reader *r, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = byte_reader_uleb(r);
		define_cfa(x, reg, (int64_t)byte_reader_uleb(r));
		return true;
	case DW_CFA_def_cfa_sf:
		reg = byte_reader_uleb(r);
		define_cfa(x, reg, factor(x, byte_reader_sleb(r)));
		return true;
	case DW_CFA_def_cfa_register:
		change_cfa(x, byte_reader_uleb(r), x->state.rule.cfa_offset);
		return true;
	case DW_CFA_def_cfa_offset:
		change_cfa(x, x->state.rule.cfa_register, (int64_t)byte_reader_uleb(r));
		return true;
	case DW_CFA_def_cfa_offset_sf:
		change_cfa(x, x->state.rule.cfa_register, factor(x, byte_reader_sleb(r)));
		return true;
	case DW_CFA_def_cfa_expression:
		define_cfa_expression(x, read_block(r));
		return true;
	default:
		return false;
	}
}

/* The instructions that say where a register is, which they all begin with. */
static bool step_column(struct execution *x, struct byte_reader *r, uint8_t op)
{
	uint64_t reg = byte_reader_uleb(r), holder;

	switch (op) {
	case DW_CFA_offset_extended:
		set_offset(x, reg, (int64_t)byte_reader_uleb(r));
		return true;
	case DW_CFA_offset_extended_sf:
		set_offset(x, reg, byte_reader_sleb(r));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		set_offset(x, reg, -(int64_t)(byte_reader_uleb(r) & INT64_MAX));
		return true;
	case DW_CFA_undefined:
		set_column(x, reg, AT_UNDEFINED, 0);
		return true;
	case DW_CFA_same_value:
		set_column(x, reg, IN_PLACE, 0);
		return true;
	case DW_CFA_register:
		holder = byte_reader_uleb(r);
		set_column(x, reg, holder < 32 ? (uint8_t)(IN_REGISTER | holder) : AT_UNKNOWN, 0);
		return true;
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		set_expression(x, reg, read_block(r), op == DW_CFA_val_expression);
		return true;
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		byte_reader_uleb(r); /* of either sign: skipped alike */
		set_column(x, reg, AT_UNKNOWN, 0);
		return true;
	default:
		return false;
	}
}

/* The instructions whose operands are not in the opcode. */
static bool step_extended(struct execution *x, struct byte_reader *r, uint8_t op)
{
	switch (op) {
	case DW_CFA_nop:
		return true;
	case DW_CFA_set_loc:
		return set_location(x, r);
	case DW_CFA_advance_loc1:
		return advance(x, byte_reader_u8(r));
	case DW_CFA_advance_loc2:
		return advance(x, byte_reader_u16(r));
	case DW_CFA_advance_loc4:
		return advance(x, byte_reader_u32(r));
	case DW_CFA_remember_state:
		return remember(x);
	case DW_CFA_restore_state:
		return recall(x);
	case DW_CFA_restore_extended:
		return restore(x, byte_reader_uleb(r));
	case DW_CFA_GNU_args_size:
		byte_reader_uleb(r);
		return true;
	case DW_CFA_GNU_window_save: /* DW_CFA_AARCH64_negate_ra_state: the return address is signed */
		return x->cfi->section.machine == EM_AARCH64;
	default:
		return step_cfa(x, r, op) || step_column(x, r, op);
	}
}

static bool step(struct execution *x, struct byte_reader *r)
{
	uint8_t op = byte_reader_u8(r);

	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		return advance(x, op & 0x3f);
	case DW_CFA_offset:
		set_offset(x, op & 0x3f, (int64_t)byte_reader_uleb(r));
		return true;
	case DW_CFA_restore:
		return restore(x, op & 0x3f);
	default:
		return step_extended(x, r, op);
	}
}

/* What nearly all instructions are: those whose operands take a byte each. Returns how many bytes were taken; 0: it is something else, or
 * not for this function to judge. At least FAST_BYTES are left. */
#define FAST_BYTES 3
static size_t step_short(struct execution *x, const uint8_t *at)
{
	bool is_short = !(at[1] & 0x80);

	switch (at[0]) {
	case DW_CFA_nop:
		return 1;
	case DW_CFA_restore ... DW_CFA_restore | 0x3f:
		return restore(x, at[0] & 0x3f) ? 1 : 0;
	case DW_CFA_advance_loc1:
		return advance(x, at[1]) ? 2 : 0;
	case DW_CFA_remember_state:
		return remember(x) ? 1 : 0;
	case DW_CFA_restore_state:
		return recall(x) ? 1 : 0;
	case DW_CFA_def_cfa_register:
		if (is_short)
			change_cfa(x, at[1], x->state.rule.cfa_offset);
		return is_short ? 2 : 0;
	case DW_CFA_def_cfa:
		if (is_short && at[2] < 0x80)
			define_cfa(x, at[1], at[2]);
		return is_short && at[2] < 0x80 ? 3 : 0;
	default:
		return 0;
	}
}

/* The three most frequent ones before the others: a jump by a table is predicted badly. */
static inline size_t step_fast(struct execution *x, const uint8_t *at)
{
	unsigned op = at[0], reg = op & 0x3f;
	bool is_short = !(at[1] & 0x80);

	if ((op & 0xc0) == DW_CFA_advance_loc)
		return advance(x, reg) ? 1 : 0;
	if (op == DW_CFA_def_cfa_offset && is_short && x->state.rule.cfa == CFA_REGISTER && !x->state.by_expression) {
		x->state.rule.cfa_offset = at[1];
		return 2;
	}
	if ((op & 0xc0) == DW_CFA_offset && is_short) {
		if (reg == x->cfi->fp_register || reg == x->cfi->ra_register)
			set_offset(x, reg, at[1]);
		return 2;
	}
	return step_short(x, at);
}

static bool execute(struct execution *x, const uint8_t *from, const uint8_t *to)
{
	while (from < to) {
		size_t taken = to - from >= FAST_BYTES ? step_fast(x, from) : 0;
		from += taken;
		if (taken)
			continue;
		struct byte_reader r = {from, to, false};
		if (!step(x, &r) || r.failed)
			return false;
		from = r.at;
	}
	return true;
}

int cfi_rows(const struct cfi *cfi, const struct cfi_fde *fde, cfi_row_fn fn, void *context)
{
	const struct cfi_cie *cie = &cfi->cies[fde->cie];
	struct execution x;

	x.cfi = cfi;
	x.cie = cie;
	x.initial = &cie->initial;
	x.state = cie->initial;
	x.n_remembered = 0;
	x.vaddr = fde->start;
	x.end = fde->start + fde->bytes;
	x.fn = fn;
	x.context = context;
	bool good = execute(&x, cfi->section.bytes + fde->instructions, cfi->section.bytes + fde->instructions_end) &&
		    emit(&x, UINT64_MAX);
	return good ? 0 : -EBADMSG;
}

/* The length and id words that begin a CIE or an FDE. */
struct entry {
	struct byte_reader body; /* behind the id */
	uint32_t offset;
	uint64_t id_offset;
	uint64_t id;
	bool is_cie;
};

/* Read the entry at r and move r behind it. Returns false at the end of the section, or when lengths cannot be followed any more. */
static bool next_entry(const struct cfi *cfi, struct byte_reader *r, struct entry *entry)
{
	bool wide = false;

	if (byte_reader_left(r) < 4)
		return false;
	entry->offset = (uint32_t)(r->at - cfi->section.bytes);
	uint64_t bytes = byte_reader_u32(r);
	if (!bytes) /* .eh_frame's terminator; crtend.o puts one before what other linkers append */
		return entry->body.at = entry->body.end = r->at, entry->is_cie = false, entry->id = 0, true;
	if (bytes == UINT32_MAX) {
		bytes = byte_reader_u64(r);
		wide = true;
	}
	if (r->failed || bytes > byte_reader_left(r))
		return false;
	entry->body = (struct byte_reader){r->at, r->at + bytes, false};
	r->at += bytes;
	entry->id_offset = (uint64_t)(entry->body.at - cfi->section.bytes);
	bool id_wide = wide && !cfi->section.is_eh;
	entry->id = id_wide ? byte_reader_u64(&entry->body) : byte_reader_u32(&entry->body);
	entry->is_cie = entry->id == (cfi->section.is_eh ? 0 : id_wide ? UINT64_MAX : UINT32_MAX);
	return true;
}

static bool read_augmentation(const struct cfi *cfi, struct byte_reader *r, const char *text, struct cfi_cie *cie)
{
	struct byte_reader data = {r->at, r->at, false};

	cie->pointer_encoding = DW_EH_PE_absptr;
	for (; *text; text++) {
		switch (*text) {
		case 'z':
			data = read_block(r);
			cie->has_augmentation_data = true;
			break;
		case 'R':
			cie->pointer_encoding = byte_reader_u8(&data);
			if (cie->pointer_encoding & DW_EH_PE_indirect) /* where a function is, the file itself says */
				return false;
			break;
		case 'P': {
			uint8_t encoding = byte_reader_u8(&data);
			if (encoding == DW_EH_PE_aligned)
				return false;
			read_encoded(cfi, &data, encoding & 0x0f, 0);
			break;
		}
		case 'L':
			byte_reader_u8(&data);
			break;
		case 'S':
			cie->signal_frame = CFA_SIGNAL_FRAME;
			break;
		case 'B': /* arm64: signed return addresses, key B */
		case 'G': /* arm64: tagged memory */
			break;
		default:
			/* Unknown: what follows it in the data is unknown too, but 'z' tells where it ends. */
			return cie->has_augmentation_data && !r->failed;
		}
	}
	return !data.failed && !r->failed;
}

static bool read_cie(const struct cfi *cfi, struct byte_reader r, struct cfi_cie *cie)
{
	uint8_t version = byte_reader_u8(&r);
	const uint8_t *text = r.at;
	const uint8_t *nul = memchr(text, 0, byte_reader_left(&r));

	if (!nul || (version != 1 && version != 3 && version != 4))
		return false;
	r.at = nul + 1;
	cie->address_bytes = cfi->section.address_bytes;
	if (strcmp((const char *)text, "eh") == 0) /* gcc 2 */
		return false;
	if (version == 4) {
		cie->address_bytes = byte_reader_u8(&r);
		if (byte_reader_u8(&r) || (cie->address_bytes != 4 && cie->address_bytes != 8))
			return false; /* no segments here */
	}
	cie->code_align = byte_reader_uleb(&r);
	cie->data_align = byte_reader_sleb(&r);
	uint64_t ra_register = version == 1 ? byte_reader_u8(&r) : byte_reader_uleb(&r);
	/* What rules say is about the machine's own return address. */
	if (ra_register != cfi->ra_register)
		return false;
	if (r.failed || !cie->code_align || !read_augmentation(cfi, &r, (const char *)text, cie))
		return false;
	struct execution x = {.cfi = cfi, .cie = cie, .state = {.rule = {.cfa = CFA_NONE, .fp = IN_PLACE, .ra = IN_PLACE}}};
	if (!execute(&x, r.at, r.end))
		return false;
	cie->initial = x.state;
	return true;
}

static int add_cie(struct cfi *cfi, const struct entry *entry)
{
	if (cfi->n_cies == cfi->cies_capacity) {
		size_t capacity = cfi->cies_capacity ? 2 * cfi->cies_capacity : 16;
		struct cfi_cie *grown = realloc(cfi->cies, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		cfi->cies = grown;
		cfi->cies_capacity = capacity;
	}
	struct cfi_cie cie = {.offset = entry->offset};
	if (!read_cie(cfi, entry->body, &cie)) {
		cie.bad = true;
		cfi->stats.bad_cies++;
	}
	cfi->cies[cfi->n_cies++] = cie;
	return 0;
}

/* CIEs were added in the order of their offsets. */
static const struct cfi_cie *find_cie(const struct cfi *cfi, uint64_t offset)
{
	size_t low = 0, high = cfi->n_cies;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (cfi->cies[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < cfi->n_cies && cfi->cies[low].offset == offset ? &cfi->cies[low] : NULL;
}

static bool read_fde(const struct cfi *cfi, const struct entry *entry, const struct cfi_cie *cie, struct cfi_fde *fde)
{
	struct byte_reader r = entry->body;

	if (!cie || cie->bad)
		return false;
	if (cfi->section.is_eh) {
		fde->start = read_encoded(cfi, &r, cie->pointer_encoding, place_of(cfi, &r));
		fde->bytes = read_encoded(cfi, &r, cie->pointer_encoding & 0x0f, 0);
	} else {
		fde->start = read_address(&r, cie->address_bytes);
		fde->bytes = read_address(&r, cie->address_bytes);
	}
	if (cie->has_augmentation_data)
		read_block(&r);
	if (r.failed || fde->start + fde->bytes < fde->start)
		return false;
	fde->instructions = (uint32_t)(r.at - cfi->section.bytes);
	fde->instructions_end = (uint32_t)(r.end - cfi->section.bytes);
	fde->cie = (uint32_t)(cie - cfi->cies);
	return true;
}

static int add_fde(struct cfi *cfi, const struct entry *entry, const struct cfi_cie **last)
{
	uint64_t offset = cfi->section.is_eh ? entry->id_offset - entry->id : entry->id;

	if (cfi->n_fdes == cfi->fdes_capacity) {
		/* An FDE takes 16 bytes at least, most 40. */
		size_t capacity = cfi->fdes_capacity ? 2 * cfi->fdes_capacity : cfi->section.n / 64 + 16;
		struct cfi_fde *grown = realloc(cfi->fdes, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		cfi->fdes = grown;
		cfi->fdes_capacity = capacity;
	}
	if (!*last || (*last)->offset != offset)
		*last = find_cie(cfi, offset);
	struct cfi_fde *fde = &cfi->fdes[cfi->n_fdes];
	if (!read_fde(cfi, entry, *last, fde))
		cfi->stats.bad_fdes++;
	else if (fde->bytes && fde->start) /* else of a function that the linker dropped */
		cfi->n_fdes++;
	return 0;
}

static int scan(struct cfi *cfi)
{
	struct byte_reader r = {cfi->section.bytes, cfi->section.bytes + cfi->section.n, false};
	const struct cfi_cie *last = NULL;
	struct entry entry;
	int err = 0;

	while (err == 0 && cfi->n_cies < CFI_CIES_MAX && next_entry(cfi, &r, &entry))
		if (entry.is_cie && entry.body.at < entry.body.end)
			err = add_cie(cfi, &entry);
	r = (struct byte_reader){cfi->section.bytes, cfi->section.bytes + cfi->section.n, false};
	while (err == 0 && cfi->n_fdes < CFI_FDES_MAX && next_entry(cfi, &r, &entry))
		if (!entry.is_cie && entry.body.at < entry.body.end)
			err = add_fde(cfi, &entry, &last);
	if (err == 0 && byte_reader_left(&r) >= 4)
		cfi->stats.bad_fdes++; /* the rest of the section cannot be followed */
	return err;
}

int cfi_open(const struct cfi_section *section, struct cfi **cfi_out)
{
	if (section->n > UINT32_MAX)
		return -E2BIG;
	if (section->machine != EM_X86_64 && section->machine != EM_AARCH64)
		return -EOPNOTSUPP;
	struct cfi *cfi = calloc(1, sizeof(*cfi));
	if (!cfi)
		return -ENOMEM;
	cfi->section = *section;
	cfi->fp_register = section->machine == EM_AARCH64 ? ARM64_FP : X86_64_FP;
	cfi->ra_register = section->machine == EM_AARCH64 ? ARM64_RA : X86_64_RA;
	int err = scan(cfi);
	if (err < 0) {
		cfi_close(cfi);
		return err;
	}
	*cfi_out = cfi;
	return 0;
}

const struct cfi_fde *cfi_fdes(const struct cfi *cfi, size_t *n_out)
{
	*n_out = cfi->n_fdes;
	return cfi->fdes;
}

void cfi_stats(const struct cfi *cfi, struct cfi_stats *stats_out)
{
	*stats_out = cfi->stats;
}

void cfi_close(struct cfi *cfi)
{
	if (!cfi)
		return;
	free(cfi->cies);
	free(cfi->fdes);
	free(cfi);
}
