/* Ranges of DIEs. Source: DWARF 5, 2.17; DWARF 4, 2.17.3; GNU: DebugFission. */
#include "symbolizer/dwarf_compiler.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_BYTES 24 /* of a range list, at most: 1 + 10 + 10 */

bool dwarf_is_fatal(int err)
{
	return err < 0 && err != -EBADMSG && err != -E2BIG && err != -ENOENT;
}

/* Linkers mark what they removed by 0, 1, -1 or -2 (in .debug_ranges -1 chooses a base): none of these is code. */
bool dwarf_is_code(const struct dwarf_compiler *d, uint64_t vaddr)
{
	if (!d->n_code)
		return vaddr < UINT64_MAX - 1 && vaddr != UINT32_MAX;
	return code_ranges_find(d->code, d->n_code, vaddr) != NULL;
}

static int add_range(struct dwarf_compiler *d, uint64_t start, uint64_t end)
{
	if (start >= end || !dwarf_is_code(d, start))
		return 0;
	if (d->n_ranges == DWARF_RANGES_MAX) {
		d->stats.over_limits++;
		return -E2BIG;
	}
	if (d->n_ranges == d->ranges_capacity) {
		size_t wanted = d->ranges_capacity ? d->ranges_capacity * 2 : 64;
		struct dwarf_range *grown = reallocarray(d->ranges, wanted, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		d->ranges = grown;
		d->ranges_capacity = wanted;
	}
	d->ranges[d->n_ranges++] = (struct dwarf_range){ start, end };
	return 0;
}

static int spend(struct dwarf_compiler *d)
{
	if (d->ranges_left) {
		d->ranges_left--;
		return 0;
	}
	d->stats.over_limits++;
	return -E2BIG;
}

static uint64_t read_address(struct byte_reader *r, uint8_t bytes)
{
	return bytes == 8 ? byte_reader_u64(r) : byte_reader_u32(r);
}

static uint64_t all_ones(uint8_t bytes)
{
	return bytes == 8 ? UINT64_MAX : UINT32_MAX;
}

/* DWARF 2 to 4. */
static int read_old_list(struct dwarf_compiler *d, struct dwarf_context *c, uint64_t offset)
{
	uint8_t address_bytes = c->unit.shape.address_bytes;
	uint64_t base = c->low_pc, ones = all_ones(address_bytes);

	for (;; offset += 2u * address_bytes) {
		const uint8_t *at;
		int err = spend(d);
		if (err == 0)
			err = dwarf_view_get(&c->code->ranges, offset, 2u * address_bytes, &at);
		if (err < 0)
			return err;
		struct byte_reader r = { .at = at, .end = at + 2u * address_bytes };
		uint64_t start = read_address(&r, address_bytes), end = read_address(&r, address_bytes);
		if (start == 0 && end == 0)
			return 0;
		if (start == ones)
			base = end;
		else if (start != ones - 1 && base < ones - 1 && end > start)
			err = add_range(d, (start + base) & ones, (end + base) & ones);
		if (err < 0)
			return err;
	}
}

/* One entry of a DWARF 5 list. Returns 1, 0 at the end of the list, or an error. */
static int read_entry(struct dwarf_compiler *d, struct dwarf_context *c, struct byte_reader *r, uint64_t *base)
{
	uint8_t kind = byte_reader_u8(r), address_bytes = c->unit.shape.address_bytes;
	uint64_t ones = all_ones(address_bytes), start = 0, end = 0;
	bool is_removed = false;
	int err = 0;

	switch (r->failed ? UINT8_MAX : kind) {
	case DW_RLE_end_of_list:
		return 0;
	case DW_RLE_base_addressx:
		err = dwarf_address_nth(c, byte_reader_uleb(r), base);
		break;
	case DW_RLE_base_address:
		*base = read_address(r, address_bytes);
		break;
	case DW_RLE_startx_endx:
		err = dwarf_address_nth(c, byte_reader_uleb(r), &start);
		if (err == 0)
			err = dwarf_address_nth(c, byte_reader_uleb(r), &end);
		break;
	case DW_RLE_startx_length:
		err = dwarf_address_nth(c, byte_reader_uleb(r), &start);
		end = start + byte_reader_uleb(r);
		break;
	case DW_RLE_offset_pair:
		start = *base + byte_reader_uleb(r);
		end = *base + byte_reader_uleb(r);
		is_removed = *base >= ones - 1;
		break;
	case DW_RLE_start_end:
		start = read_address(r, address_bytes);
		end = read_address(r, address_bytes);
		break;
	case DW_RLE_start_length:
		start = read_address(r, address_bytes);
		end = start + byte_reader_uleb(r);
		break;
	default:
		return -EBADMSG;
	}
	if (err < 0 || r->failed)
		return err < 0 ? err : -EBADMSG;
	err = is_removed || start >= ones - 1 ? 0 : add_range(d, start & ones, end & ones);
	return err < 0 ? err : 1;
}

static int read_list(struct dwarf_compiler *d, struct dwarf_context *c, uint64_t offset)
{
	uint64_t base = c->low_pc;

	for (;;) {
		size_t bytes = ENTRY_BYTES;
		const uint8_t *at;
		int err = spend(d);
		if (err == 0)
			err = dwarf_view_some(&c->file->rnglists, offset, &bytes, &at);
		if (err < 0)
			return err;
		struct byte_reader r = { .at = at, .end = at + bytes };
		err = read_entry(d, c, &r, &base);
		if (err <= 0)
			return err;
		offset += (uint64_t)(r.at - at);
	}
}

static int read_indexed_list(struct dwarf_compiler *d, struct dwarf_context *c, uint64_t index)
{
	uint8_t bytes = c->unit.shape.offset_bytes;
	uint64_t at, offset = 0;
	const uint8_t *entry;

	if (__builtin_mul_overflow(index, bytes, &at) || __builtin_add_overflow(at, c->rnglists_base, &at))
		return -EBADMSG;
	int err = dwarf_view_get(&c->file->rnglists, at, bytes, &entry);
	if (err < 0)
		return err;
	memcpy(&offset, entry, bytes);
	return __builtin_add_overflow(offset, c->rnglists_base, &offset) ? -EBADMSG : read_list(d, c, offset);
}

static int read_low_high(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *die)
{
	const struct dwarf_value *high = &die->values[SLOT_HIGH_PC];
	uint64_t low_pc, high_pc;
	int err = dwarf_address(c, &die->values[SLOT_LOW_PC], &low_pc);

	if (err < 0)
		return err;
	switch (high->form) {
	case DW_FORM_data1:
	case DW_FORM_data2:
	case DW_FORM_data4:
	case DW_FORM_data8:
	case DW_FORM_udata:
	case DW_FORM_sdata:
	case DW_FORM_implicit_const: /* a length */
		return __builtin_add_overflow(low_pc, high->number, &high_pc) ? 0 : add_range(d, low_pc, high_pc);
	default:
		err = dwarf_address(c, high, &high_pc);
		return err < 0 ? err : add_range(d, low_pc, high_pc);
	}
}

int dwarf_ranges_read(struct dwarf_compiler *d, struct dwarf_context *c, const struct dwarf_die *die)
{
	const struct dwarf_value *ranges = &die->values[SLOT_RANGES];

	d->n_ranges = 0;
	if (dwarf_die_has(die, SLOT_LOW_PC) && dwarf_die_has(die, SLOT_HIGH_PC))
		return read_low_high(d, c, die);
	if (!dwarf_die_has(die, SLOT_RANGES))
		return 0;
	if (ranges->form == DW_FORM_rnglistx)
		return read_indexed_list(d, c, ranges->number);
	if (c->unit.shape.version >= 5)
		return read_list(d, c, ranges->number);
	uint64_t offset;
	return __builtin_add_overflow(ranges->number, c->ranges_base, &offset) ? -EBADMSG : read_old_list(d, c, offset);
}

bool dwarf_ranges_wanted(const struct dwarf_compiler *d)
{
	const struct dwarf_input *input = d->input;

	if (!input->wanted)
		return true;
	for (size_t i = 0; i < d->n_ranges; i++) {
		size_t low = 0, high = input->n_wanted;
		while (low < high) {
			size_t middle = low + (high - low) / 2;
			if (input->wanted[middle] < d->ranges[i].start)
				low = middle + 1;
			else
				high = middle;
		}
		if (low < input->n_wanted && input->wanted[low] < d->ranges[i].end)
			return true;
	}
	return false;
}
