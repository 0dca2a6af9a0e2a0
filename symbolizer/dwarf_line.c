#include "symbolizer/dwarf_line.h"
#include "base/scope.h"
#include "symbolizer/dwarf_line_head.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_FIRST     4096
#define ROWS_MAX       (1u << 20) /* of a sequence before a part of it is handed over */
#define TABLES_KEPT    64	  /* of files, by their offsets */
#define KEPT_IDS_MAX   (1u << 20)
#define HEADS_AGAIN    16	  /* times that the heads of a section may be read, taken together */
#define HEADS_SMALL    (1u << 20) /* bytes of heads that are always read */
#define TEXT_AGAIN     16	  /* bytes of paths for each byte of the section: compilers write 1.5 at most */
#define TEXT_SMALL     (64u << 20) /* and these in any case */
#define DONE_SHIFT     3	  /* two programs begin more than 8 bytes apart: no head is shorter */

struct code_range {
	uint64_t start, end;
};

/* Files of a table that was read. */
struct kept_table {
	uint64_t offset;
	uint32_t *ids; /* NULL: an empty slot */
	size_t n;
};

struct dwarf_line_reader {
	struct dwarf_sections *sections;
	struct dwarf_view view;
	struct code_range *code; /* the file's executable segments */
	size_t n_code;		 /* 0: not known, every address may be one */
	struct line_files files;
	struct kept_table kept[TABLES_KEPT];
	size_t kept_ids;
	uint64_t head_bytes;	/* read so far */
	uint64_t moved_bytes;	/* of units that were read of a section that is too large to be kept */
	uint64_t program_bytes; /* run so far */
	uint8_t *done;		/* a bit for each offset >> DONE_SHIFT whose program has been run */

	/* The table that was asked for last. */
	bool has_table, has_head;
	uint64_t offset;
	struct line_head head;
	const uint32_t *ids;
	size_t n_ids;
	const uint64_t *wanted;
	size_t n_wanted;

	struct name_table_row *rows;
	size_t n_rows, rows_capacity;
	struct dwarf_line_stats stats;
};

static int read_code(struct dwarf_line_reader *r)
{
	AUTO_FREE struct elf_segment *segments = NULL;
	size_t n;
	int err = elf_file_segments(dwarf_sections_elf(r->sections), &segments, &n);

	if (err == -EBADMSG)
		return 0;
	if (err < 0)
		return err;
	r->code = calloc(n + 1, sizeof(*r->code));
	if (!r->code)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct elf_segment *segment = &segments[i];
		if (segment->type != PT_LOAD || !(segment->flags & PF_X) || segment->memory_bytes > UINT64_MAX - segment->vaddr)
			continue;
		r->code[r->n_code++] = (struct code_range){ segment->vaddr, segment->vaddr + segment->memory_bytes };
	}
	return 0;
}

int dwarf_line_reader_create(struct dwarf_sections *sections, struct dwarf_line_reader **reader_out)
{
	struct dwarf_line_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->sections = sections;
	dwarf_view_init(&r->view, sections, DWARF_LINE);
	line_files_init(&r->files, sections);
	r->rows = malloc(ROWS_FIRST * sizeof(*r->rows));
	r->rows_capacity = ROWS_FIRST;
	int err = r->rows ? read_code(r) : -ENOMEM;
	if (err < 0) {
		dwarf_line_reader_destroy(r);
		return err;
	}
	*reader_out = r;
	return 0;
}

void dwarf_line_reader_destroy(struct dwarf_line_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < TABLES_KEPT; i++)
		free(r->kept[i].ids);
	line_files_deinit(&r->files);
	dwarf_view_deinit(&r->view);
	free(r->code);
	free(r->done);
	free(r->rows);
	free(r);
}

void dwarf_line_stats(const struct dwarf_line_reader *r, struct dwarf_line_stats *stats_out)
{
	*stats_out = r->stats;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static struct kept_table *kept_slot(struct dwarf_line_reader *r, uint64_t offset)
{
	return &r->kept[(offset >> DONE_SHIFT) % TABLES_KEPT];
}

static void drop_kept(struct dwarf_line_reader *r, struct kept_table *table)
{
	r->kept_ids -= table->n;
	free(table->ids);
	*table = (struct kept_table){ 0 };
}

/* Remember the table. Without memory for it, it is read again. */
static void keep_table(struct dwarf_line_reader *r)
{
	struct kept_table *table = kept_slot(r, r->offset);

	drop_kept(r, table);
	for (size_t i = 0; i < TABLES_KEPT && r->kept_ids > KEPT_IDS_MAX; i++)
		drop_kept(r, &r->kept[i]);
	table->ids = malloc(r->n_ids * sizeof(*r->ids) + 1);
	if (!table->ids)
		return;
	if (r->n_ids)
		memcpy(table->ids, r->ids, r->n_ids * sizeof(*r->ids));
	table->offset = r->offset;
	table->n = r->n_ids;
	r->kept_ids += r->n_ids;
}

/* A unit is read whole. Where lengths reach over other units, all of them would be read for each. */
static int read_head(struct dwarf_line_reader *r, uint64_t offset)
{
	if (r->moved_bytes / HEADS_AGAIN > dwarf_section_bytes(r->sections, DWARF_LINE)) {
		r->stats.over_limits++;
		return -E2BIG;
	}
	int err = line_head_read(&r->view, offset, &r->head);
	if (err == 0 && r->view.buffer)
		r->moved_bytes += byte_reader_left(&r->head.tables) + byte_reader_left(&r->head.program);
	return err;
}

static int read_table(struct dwarf_line_reader *r, const struct dwarf_line_unit *unit, struct name_table_builder *builder)
{
	uint64_t section_bytes = dwarf_section_bytes(r->sections, DWARF_LINE);
	bool damaged = false;
	int err = read_head(r, unit->offset);

	if (err == -ENOENT)
		return err;
	if (err < 0) {
		r->stats.bad_programs++;
		return err;
	}
	r->head_bytes += byte_reader_left(&r->head.tables);
	/* Units that share tables, in an order that the kept ones do not help with. */
	if (r->head_bytes > HEADS_SMALL && r->head_bytes / HEADS_AGAIN > section_bytes) {
		r->stats.over_limits++;
		return -E2BIG;
	}
	r->files.text_max = TEXT_SMALL + TEXT_AGAIN * section_bytes;
	err = line_files_read(&r->files, &r->head, unit, builder, &damaged);
	if (err < 0)
		return err;
	r->stats.bad_programs += damaged;
	r->stats.over_limits += r->files.over_limits;
	r->has_head = true;
	r->ids = r->files.ids;
	r->n_ids = r->files.n;
	r->offset = unit->offset;
	keep_table(r);
	return 0;
}

int dwarf_line_files(struct dwarf_line_reader *r, const struct dwarf_line_unit *unit, struct name_table_builder *builder,
		     const uint32_t **files_out, size_t *n_out)
{
	struct kept_table *kept = kept_slot(r, unit->offset);

	r->has_table = r->has_head = false;
	if (kept->ids && kept->offset == unit->offset) {
		r->ids = kept->ids;
		r->n_ids = kept->n;
		r->offset = unit->offset;
	} else {
		int err = read_table(r, unit, builder);
		if (err < 0)
			return err;
	}
	r->has_table = true;
	r->wanted = unit->wanted;
	r->n_wanted = unit->n_wanted;
	*files_out = r->ids;
	*n_out = r->n_ids;
	return 0;
}

/* --- sequences --------------------------------------------------------------------------------------------------- */

/* The registers of DWARF 5, 6.2.2, as far as they matter here. */
struct machine {
	struct dwarf_line_reader *reader;
	struct name_table_builder *builder;
	struct byte_reader in;
	struct name_table_row row;
	uint32_t operation; /* op_index */
	bool is_checked;    /* rows may be put as long as they are in order: none of what follows has to be looked at */
	bool has_rows;	    /* the sequence has begun */
	bool is_removed;    /* no code of this sequence is in the file */
	bool is_tombstone;  /* nor of what follows this address */
	bool is_bad;
	uint64_t last_vaddr; /* of the last row; what is not in order has no answer */
	int err;
	/* What each special opcode adds; not used where an instruction holds several operations. */
	uint64_t vaddr_steps[256];
	int32_t line_steps[256];
};

static bool is_code(const struct dwarf_line_reader *r, uint64_t vaddr)
{
	for (size_t i = 0; i < r->n_code; i++)
		if (vaddr >= r->code[i].start && vaddr < r->code[i].end)
			return true;
	return r->n_code == 0;
}

static bool is_wanted(const struct dwarf_line_reader *r, uint64_t start, uint64_t end)
{
	size_t low = 0, high = r->n_wanted;

	if (!r->wanted)
		return true;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (r->wanted[middle] < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->n_wanted && r->wanted[low] < end;
}

/* Hand over what is in the buffer. end: the first vaddr behind it. */
static void hand_over(struct machine *m, uint64_t end)
{
	struct dwarf_line_reader *r = m->reader;

	if (r->n_rows && r->rows[0].vaddr < end && is_wanted(r, r->rows[0].vaddr, end)) {
		m->err = name_table_add_rows(m->builder, r->rows, r->n_rows, end);
		r->stats.rows += r->n_rows;
	}
	r->n_rows = 0;
}

static void make_row_room(struct machine *m)
{
	struct dwarf_line_reader *r = m->reader;

	if (r->n_rows == ROWS_MAX) {
		hand_over(m, m->row.vaddr);
		return;
	}
	size_t capacity = 2 * r->rows_capacity;
	struct name_table_row *rows = realloc(r->rows, capacity * sizeof(*rows));
	if (!rows) {
		m->err = -ENOMEM;
		return;
	}
	r->rows = rows;
	r->rows_capacity = capacity;
}

/* The first row of a sequence, one at a tombstone, or one out of order. Returns whether it is put. */
static bool check_row(struct machine *m)
{
	if (m->is_tombstone)
		return false;
	if (!m->has_rows) {
		m->has_rows = true;
		m->is_removed = m->row.vaddr == 0 || !is_code(m->reader, m->row.vaddr);
		m->last_vaddr = m->row.vaddr;
	} else if (m->row.vaddr < m->last_vaddr) {
		m->is_bad = true;
	}
	m->is_checked = !m->is_removed && !m->is_bad;
	return m->is_checked;
}

static inline void put_row(struct machine *m)
{
	struct dwarf_line_reader *r = m->reader;

	if ((!m->is_checked || m->row.vaddr < m->last_vaddr) && !check_row(m))
		return;
	m->last_vaddr = m->row.vaddr;
	if (r->n_rows) {
		struct name_table_row *last = &r->rows[r->n_rows - 1];
		if (last->vaddr == m->row.vaddr) {
			*last = m->row;
			return;
		}
		if (last->line == m->row.line && last->file == m->row.file && last->column == m->row.column)
			return;
		if (r->n_rows == r->rows_capacity || r->n_rows == ROWS_MAX) {
			make_row_room(m);
			if (m->err < 0)
				return;
		}
	}
	r->rows[r->n_rows++] = m->row;
}

static uint32_t file_id(const struct dwarf_line_reader *r, uint64_t index)
{
	return index < r->n_ids ? r->ids[index] : 0;
}

static void start_sequence(struct machine *m)
{
	m->row = (struct name_table_row){ .file = file_id(m->reader, 1), .line = 1 };
	m->operation = 0;
	m->is_checked = m->has_rows = m->is_removed = m->is_tombstone = m->is_bad = false;
	m->reader->n_rows = 0;
}

static void end_sequence(struct machine *m)
{
	struct dwarf_line_stats *stats = &m->reader->stats;

	if (m->is_removed || (m->is_tombstone && !m->has_rows))
		stats->removed++;
	else if (m->is_bad || (m->has_rows && m->row.vaddr < m->last_vaddr))
		stats->bad_sequences++;
	else
		hand_over(m, m->row.vaddr);
	start_sequence(m);
}

/* --- the machine ------------------------------------------------------------------------------------------------- */

/* Nearly all operands are of one byte or two. */
static inline uint64_t operand(struct byte_reader *in)
{
	const uint8_t *at = in->at;

	if (in->end - at < 2 || at[0] & at[1] & 0x80)
		return byte_reader_uleb(in);
	in->at = at + 1 + (at[0] >> 7);
	return at[0] & 0x80 ? (at[0] & 0x7fu) | (unsigned)at[1] << 7 : at[0];
}

static inline int64_t signed_operand(struct byte_reader *in)
{
	const uint8_t *at = in->at;

	if (in->end - at < 2 || at[0] & at[1] & 0x80)
		return byte_reader_sleb(in);
	uint64_t value = operand(in);
	unsigned unused = at[0] & 0x80 ? 64 - 14 : 64 - 7;
	return (int64_t)(value << unused) >> unused;
}

static void advance(struct machine *m, uint64_t operations)
{
	const struct line_head *head = &m->reader->head;

	if (head->max_operations > 1) {
		operations += m->operation;
		m->operation = (uint32_t)(operations % head->max_operations);
		operations /= head->max_operations;
	}
	m->row.vaddr += operations * head->min_instruction_bytes;
}

/* Operations that an opcode above opcode_base stands for. */
static uint64_t special_operations(const struct line_head *head, uint8_t opcode)
{
	return head->line_range ? (unsigned)(uint8_t)(opcode - head->opcode_base) / head->line_range : 0;
}

static void prepare_special(struct machine *m)
{
	const struct line_head *head = &m->reader->head;

	for (unsigned opcode = head->opcode_base; opcode < 256; opcode++) {
		m->vaddr_steps[opcode] = special_operations(head, (uint8_t)opcode) * head->min_instruction_bytes;
		m->line_steps[opcode] = head->line_range ? head->line_base + (int32_t)(opcode - head->opcode_base) % head->line_range : 0;
	}
}

static void set_address(struct machine *m, struct byte_reader *operands)
{
	size_t bytes = byte_reader_left(operands);
	uint64_t vaddr = 0;

	if (bytes == 0 || bytes > sizeof(vaddr)) {
		m->is_bad = true;
		m->is_checked = false;
		return;
	}
	memcpy(&vaddr, operands->at, bytes);
	uint64_t highest = bytes == 8 ? UINT64_MAX : (1ULL << (8 * bytes)) - 1;
	m->is_tombstone = vaddr >= highest - 1; /* -1, or -2 as in sections where -1 has a meaning */
	m->is_checked = false;
	m->row.vaddr = vaddr;
	m->operation = 0;
}

static void define_file(struct machine *m, struct byte_reader *operands)
{
	struct dwarf_line_reader *r = m->reader;

	if (r->ids != r->files.ids) /* a kept table has no directories, and no compiler of our days writes this opcode */
		return;
	m->err = line_files_define(&r->files, operands, m->builder);
	r->ids = r->files.ids;
	r->n_ids = r->files.n;
}

static void extended(struct machine *m)
{
	uint64_t bytes = byte_reader_uleb(&m->in);

	if (bytes > byte_reader_left(&m->in))
		byte_reader_fail(&m->in);
	if (bytes == 0 || m->in.failed)
		return;
	struct byte_reader operands = { .at = m->in.at, .end = m->in.at + bytes };
	m->in.at += bytes;
	switch (byte_reader_u8(&operands)) {
	case DW_LNE_end_sequence:
		end_sequence(m);
		break;
	case DW_LNE_set_address:
		set_address(m, &operands);
		break;
	case DW_LNE_define_file:
		define_file(m, &operands);
		break;
	default: /* discriminators, and what others have invented */
		break;
	}
}

static void standard(struct machine *m, uint8_t opcode)
{
	const struct line_head *head = &m->reader->head;

	switch (opcode) {
	case DW_LNS_copy:
		put_row(m);
		break;
	case DW_LNS_advance_pc:
		advance(m, operand(&m->in));
		break;
	case DW_LNS_advance_line:
		m->row.line += (uint32_t)signed_operand(&m->in);
		break;
	case DW_LNS_set_file:
		m->row.file = file_id(m->reader, operand(&m->in));
		break;
	case DW_LNS_set_column: {
		uint64_t column = operand(&m->in);
		m->row.column = column < UINT32_MAX ? (uint32_t)column : UINT32_MAX;
		break;
	}
	case DW_LNS_negate_stmt:
	case DW_LNS_set_basic_block:
	case DW_LNS_set_prologue_end:
	case DW_LNS_set_epilogue_begin:
		break;
	case DW_LNS_const_add_pc:
		advance(m, special_operations(head, 255));
		break;
	case DW_LNS_fixed_advance_pc:
		m->row.vaddr += byte_reader_u16(&m->in);
		m->operation = 0;
		break;
	default: /* DW_LNS_set_isa, and what others have invented */
		for (unsigned i = 0; i < head->operands[opcode]; i++)
			byte_reader_uleb(&m->in);
	}
}

static int run(struct machine *m)
{
	const struct line_head *head = &m->reader->head;
	bool is_plain = head->max_operations == 1;

	start_sequence(m);
	while (m->in.at < m->in.end && m->err >= 0) {
		uint8_t opcode = *m->in.at++;
		if (opcode >= head->opcode_base && opcode) {
			if (is_plain)
				m->row.vaddr += m->vaddr_steps[opcode];
			else
				advance(m, special_operations(head, opcode));
			m->row.line += (uint32_t)m->line_steps[opcode];
			put_row(m);
		} else if (opcode) {
			standard(m, opcode);
		} else {
			extended(m);
		}
	}
	if (m->err == 0 && m->has_rows && !m->is_removed)
		m->reader->stats.bad_sequences++;
	m->reader->stats.bad_programs += m->in.failed;
	m->reader->n_rows = 0;
	return m->err;
}

/* Was this program run before? If not, it is now. */
static int mark_done(struct dwarf_line_reader *r, bool *was_done_out)
{
	if (!r->done) {
		r->done = calloc((dwarf_section_bytes(r->sections, DWARF_LINE) >> (DONE_SHIFT + 3)) + 1, 1);
		if (!r->done)
			return -ENOMEM;
	}
	uint8_t *byte = &r->done[r->offset >> (DONE_SHIFT + 3)];
	uint8_t bit = (uint8_t)(1u << ((r->offset >> DONE_SHIFT) & 7));
	*was_done_out = *byte & bit;
	*byte |= bit;
	return 0;
}

int dwarf_line_rows(struct dwarf_line_reader *r, struct name_table_builder *builder)
{
	bool was_done = true;
	int err = 0;

	if (r->has_table)
		err = mark_done(r, &was_done);
	if (err < 0 || was_done)
		return err;
	if (!r->has_head)
		err = read_head(r, r->offset);
	if (err < 0) /* it could be read when it was kept */
		return err;
	r->has_head = true;
	r->stats.programs++;
	r->program_bytes += byte_reader_left(&r->head.program);
	if (r->program_bytes > dwarf_section_bytes(r->sections, DWARF_LINE)) { /* programs inside each other */
		r->stats.over_limits++;
		return 0;
	}
	struct machine m = { .reader = r, .builder = builder, .in = r->head.program };
	prepare_special(&m);
	return run(&m);
}
