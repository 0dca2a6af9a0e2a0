/* Abbreviation tables, compiled: for each kind of DIE what to do with it, and how to get over it in as few steps as can be.
 *
 * Most DIEs are passed over. Attributes of fixed length that follow each other become one step; a DIE that has no others is one addition.
 * Declarations are read one by one when a code is first asked for: of a unit that is not wanted only the first is. Tables are shared by the
 * units that name the same offset. Source: DWARF 5, 7.5.3. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_DWARF_ABBREV_H
#define HEARTH_SYMBOLIZER_DWARF_ABBREV_H

#include "symbolizer/dwarf_form.h"
#include "symbolizer/dwarf_sections.h"
#include "symbolizer/offset_map.h"

#define DWARF_ATTRIBUTES_MAX	 1024		/* of one declaration */
#define DWARF_ABBREV_TABLE_BYTES (32u << 20)	/* compiled */
#define DWARF_ABBREV_WORK	 (512ull << 20) /* bytes of declarations that one file may make us read, at most */
#define DWARF_ABBREV_AGAIN	 16		/* times that its section may be read, taken together (and DWARF_ABBREV_FREE bytes) */
#define DWARF_ABBREV_FREE	 (16ull << 20)

/* The attributes that matter. */
enum dwarf_slot {
	SLOT_SIBLING,
	SLOT_NAME,
	SLOT_LINKAGE_NAME,
	SLOT_LOW_PC,
	SLOT_HIGH_PC,
	SLOT_RANGES,
	SLOT_ABSTRACT_ORIGIN,
	SLOT_SPECIFICATION,
	SLOT_DECL_FILE,
	SLOT_DECL_LINE,
	SLOT_CALL_FILE,
	SLOT_CALL_LINE,
	SLOT_CALL_COLUMN,
	/* of units */
	SLOT_STMT_LIST,
	SLOT_COMP_DIR,
	SLOT_STR_OFFSETS_BASE,
	SLOT_ADDR_BASE,
	SLOT_RNGLISTS_BASE,
	SLOT_GNU_RANGES_BASE,
	SLOT_DWO_NAME,
	SLOT_DWO_ID,
	DWARF_SLOTS
};

enum dwarf_action {
	ACTION_FIXED, /* skip_bytes behind the code */
	ACTION_SKIP,
	ACTION_JUMP,  /* to its sibling: nothing below it can have code */
	ACTION_SCOPE, /* a function or inlined call without code of its own; what is below it may have some */
	ACTION_CODE,  /* a function or inlined call that may have code */
	ACTION_BAD,   /* has a form that nobody knows: where the next DIE begins cannot be told */
};

struct dwarf_step {
	uint8_t kind; /* enum dwarf_form_kind */
	uint8_t slot; /* DWARF_SLOTS: skip */
	uint16_t form;
	uint32_t bytes;	  /* FORM_FIXED */
	int64_t constant; /* DW_FORM_implicit_const */
};

struct dwarf_abbrev {
	uint16_t tag;
	uint8_t action;
	bool has_children;
	uint32_t skip_bytes;
	uint32_t skip, read; /* the first of the table's steps: to get over the DIE, to read what matters */
	uint16_t n_skip, n_read;
};

struct dwarf_abbrev_table {
	uint64_t offset;
	struct dwarf_shape shape;
	uint32_t users;
	uint64_t used_at;
	struct dwarf_abbrev *abbrevs;
	size_t n, capacity;
	struct dwarf_step *steps;
	size_t n_steps, steps_capacity;
	bool is_dense; /* abbrevs[code - 1] */
	struct offset_map codes; /* else: code -> index */
	uint64_t next; /* offset of the declaration that was not read yet */
	int end;       /* not 0: there is none; -ENOENT, or what is wrong with it */
};

struct dwarf_abbrevs;

/* sections, budget: borrowed. */
int dwarf_abbrevs_create(struct dwarf_sections *sections, struct dwarf_budget *budget, struct dwarf_abbrevs **abbrevs_out);

/* table_out: valid until dwarf_abbrevs_put(), however many others are asked for. Returns 0 or -ENOMEM. */
int dwarf_abbrevs_get(struct dwarf_abbrevs *a, uint64_t offset, struct dwarf_shape shape, struct dwarf_abbrev_table **table_out);

/* NULL is legal. */
void dwarf_abbrevs_put(struct dwarf_abbrev_table *table);

/* A declaration that is not read yet. abbrev_out: borrowed until the next call for this table.
 * Returns 0, -ENOENT (no such code), -EBADMSG, -E2BIG (over a limit), -ENOMEM, or the errno of a failed read. */
int dwarf_abbrev_read(struct dwarf_abbrevs *a, struct dwarf_abbrev_table *table, uint64_t code, const struct dwarf_abbrev **abbrev_out);

static inline int dwarf_abbrev_find(struct dwarf_abbrevs *a, struct dwarf_abbrev_table *table, uint64_t code,
				    const struct dwarf_abbrev **abbrev_out)
{
	if (code - 1 >= table->n || !table->is_dense)
		return dwarf_abbrev_read(a, table, code, abbrev_out);
	*abbrev_out = &table->abbrevs[code - 1];
	return 0;
}

/* NULL is legal. No table is in use any more. */
void dwarf_abbrevs_destroy(struct dwarf_abbrevs *a);

#endif
