#include "symbolizer/dwarf_form.h"

#include <dwarf.h>
#include <string.h>

enum dwarf_form_kind dwarf_form_kind(uint64_t form, struct dwarf_shape shape, uint32_t *bytes_out)
{
	*bytes_out = 0;
	switch (form) {
	case DW_FORM_flag_present:
	case DW_FORM_implicit_const:
		return FORM_FIXED;
	case DW_FORM_data1:
	case DW_FORM_ref1:
	case DW_FORM_flag:
	case DW_FORM_strx1:
	case DW_FORM_addrx1:
		*bytes_out = 1;
		return FORM_FIXED;
	case DW_FORM_data2:
	case DW_FORM_ref2:
	case DW_FORM_strx2:
	case DW_FORM_addrx2:
		*bytes_out = 2;
		return FORM_FIXED;
	case DW_FORM_strx3:
	case DW_FORM_addrx3:
		*bytes_out = 3;
		return FORM_FIXED;
	case DW_FORM_data4:
	case DW_FORM_ref4:
	case DW_FORM_strx4:
	case DW_FORM_addrx4:
	case DW_FORM_ref_sup4:
		*bytes_out = 4;
		return FORM_FIXED;
	case DW_FORM_data8:
	case DW_FORM_ref8:
	case DW_FORM_ref_sig8:
	case DW_FORM_ref_sup8:
		*bytes_out = 8;
		return FORM_FIXED;
	case DW_FORM_data16:
		*bytes_out = 16;
		return FORM_FIXED;
	case DW_FORM_addr:
		*bytes_out = shape.address_bytes;
		return FORM_FIXED;
	case DW_FORM_ref_addr: /* DWARF 2 had it as large as an address */
		*bytes_out = shape.version == 2 ? shape.address_bytes : shape.offset_bytes;
		return FORM_FIXED;
	case DW_FORM_strp:
	case DW_FORM_line_strp:
	case DW_FORM_sec_offset:
	case DW_FORM_strp_sup:
	case DW_FORM_GNU_ref_alt:
	case DW_FORM_GNU_strp_alt:
		*bytes_out = shape.offset_bytes;
		return FORM_FIXED;
	case DW_FORM_sdata:
	case DW_FORM_udata:
	case DW_FORM_ref_udata:
	case DW_FORM_strx:
	case DW_FORM_addrx:
	case DW_FORM_loclistx:
	case DW_FORM_rnglistx:
	case DW_FORM_GNU_addr_index:
	case DW_FORM_GNU_str_index:
		return FORM_LEB;
	case DW_FORM_string:
		return FORM_STRING;
	case DW_FORM_block1:
		return FORM_BLOCK1;
	case DW_FORM_block2:
		return FORM_BLOCK2;
	case DW_FORM_block4:
		return FORM_BLOCK4;
	case DW_FORM_block:
	case DW_FORM_exprloc:
		return FORM_BLOCK;
	case DW_FORM_indirect:
		return FORM_INDIRECT;
	default:
		return FORM_UNKNOWN;
	}
}

static bool skip_string(struct byte_reader *r)
{
	const uint8_t *end = byte_reader_left(r) ? memchr(r->at, 0, byte_reader_left(r)) : NULL;

	if (!end)
		return byte_reader_fail(r);
	r->at = end + 1;
	return true;
}

/* Of any length: what is skipped need not fit anywhere. */
static void skip_leb(struct byte_reader *r)
{
	while (byte_reader_u8(r) & 0x80)
		;
}

/* The form that the unit has in place of the abbreviation. One that needs the abbreviation, or is indirect again, makes no sense. */
static uint64_t read_indirect(struct byte_reader *r)
{
	uint64_t form = byte_reader_uleb(r);

	return form == DW_FORM_indirect || form == DW_FORM_implicit_const ? 0 : form;
}

bool dwarf_form_skip(struct byte_reader *r, uint64_t form, struct dwarf_shape shape)
{
	uint32_t bytes;

	if (form == DW_FORM_indirect)
		form = read_indirect(r);
	switch (dwarf_form_kind(form, shape, &bytes)) {
	case FORM_FIXED:
		byte_reader_skip(r, bytes);
		break;
	case FORM_LEB:
		skip_leb(r);
		break;
	case FORM_STRING:
		return skip_string(r);
	case FORM_BLOCK1:
		byte_reader_skip(r, byte_reader_u8(r));
		break;
	case FORM_BLOCK2:
		byte_reader_skip(r, byte_reader_u16(r));
		break;
	case FORM_BLOCK4:
		byte_reader_skip(r, byte_reader_u32(r));
		break;
	case FORM_BLOCK:
		byte_reader_skip(r, byte_reader_uleb(r));
		break;
	case FORM_INDIRECT:
	case FORM_UNKNOWN:
	default:
		return false;
	}
	return !r->failed;
}

static uint64_t read_fixed(struct byte_reader *r, uint32_t bytes)
{
	uint64_t value = 0;

	if (byte_reader_need(r, bytes)) {
		memcpy(&value, r->at, bytes); /* little-endian, as elf_file_open() wants it */
		r->at += bytes;
	}
	return value;
}

bool dwarf_form_read(struct byte_reader *r, uint64_t form, struct dwarf_shape shape, int64_t constant, struct dwarf_value *value_out)
{
	uint32_t bytes;

	if (form == DW_FORM_indirect)
		form = read_indirect(r);
	value_out->form = (uint16_t)form; /* known ones fit */
	value_out->number = 0;
	switch (dwarf_form_kind(form, shape, &bytes)) {
	case FORM_FIXED:
		if (form == DW_FORM_implicit_const)
			value_out->number = (uint64_t)constant;
		else if (form == DW_FORM_flag_present)
			value_out->number = 1;
		else if (bytes > sizeof(uint64_t))
			byte_reader_skip(r, bytes);
		else
			value_out->number = read_fixed(r, bytes);
		return !r->failed;
	case FORM_LEB:
		value_out->number = form == DW_FORM_sdata ? (uint64_t)byte_reader_sleb(r) : byte_reader_uleb(r);
		return !r->failed;
	case FORM_STRING:
		value_out->text = r->at;
		return skip_string(r);
	default:
		return dwarf_form_skip(r, form, shape);
	}
}
