#include "symbolizer/frame_entry.h"
#include "base/scope.h"
#include "symbolizer/byte_reader.h"
#include "symbolizer/frame_screen.h"
#include "symbolizer/section_reader.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_HEADER 8 /* length and id */

/* Bytes that are at hand, and where they are. */
struct piece {
	const uint8_t *bytes;
	size_t n;
	uint64_t vaddr;
};

struct cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t ra_register;
	uint8_t pointers; /* DW_EH_PE_* */
	bool has_data, is_signal_frame;
	struct byte_reader program;
};

static uint64_t vaddr_of(const struct piece *piece, const struct byte_reader *r)
{
	return piece->vaddr + (uint64_t)(r->at - piece->bytes);
}

/* A pointer by its encoding; relative ones only to themselves. */
static bool read_pointer(const struct piece *piece, struct byte_reader *r, uint8_t encoding, uint64_t *value_out)
{
	uint64_t value, at = vaddr_of(piece, r);

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = byte_reader_u64(r);
		break;
	case DW_EH_PE_udata4:
		value = byte_reader_u32(r);
		break;
	case DW_EH_PE_sdata4:
		value = (uint64_t)(int32_t)byte_reader_u32(r);
		break;
	case DW_EH_PE_udata2:
		value = byte_reader_u16(r);
		break;
	case DW_EH_PE_sdata2:
		value = (uint64_t)(int16_t)byte_reader_u16(r);
		break;
	default:
		return false;
	}
	if ((encoding & 0xf0) == DW_EH_PE_pcrel)
		value += at;
	else if (encoding & 0xf0)
		return false;
	*value_out = value;
	return !r->failed;
}

/* What a CIE says in the letters of its augmentation. Source: LSB 5, "Exception Frames". */
static int read_augmentation(const struct piece *piece, struct byte_reader *r, const char *letters, struct cie *cie)
{
	uint64_t bytes = byte_reader_uleb(r), personality;
	const uint8_t *end = r->at + bytes;

	if (r->failed || bytes > byte_reader_left(r))
		return -EBADMSG;
	cie->has_data = true;
	for (letters++; *letters; letters++) {
		if (*letters == 'R') {
			cie->pointers = byte_reader_u8(r);
		} else if (*letters == 'L') {
			byte_reader_u8(r);
		} else if (*letters == 'S') {
			cie->is_signal_frame = true;
		} else if (*letters == 'P') {
			/* Where it leads does not matter: an indirect pointer has the size of a direct one. */
			uint8_t encoding = byte_reader_u8(r) & 0x0f;
			if (!read_pointer(piece, r, encoding, &personality))
				return -EOPNOTSUPP;
		} else if (*letters != 'B') {
			return -EOPNOTSUPP;
		}
	}
	if (r->failed || r->at > end)
		return -EBADMSG;
	r->at = end;
	return 0;
}

static int read_cie(const struct piece *piece, struct cie *cie)
{
	struct byte_reader r = {piece->bytes + ENTRY_HEADER, piece->bytes + piece->n, false};

	*cie = (struct cie){.pointers = DW_EH_PE_absptr};
	uint8_t version = byte_reader_u8(&r);
	const char *letters = (const char *)r.at;
	const uint8_t *nul = memchr(r.at, 0, byte_reader_left(&r));
	if ((version != 1 && version != 3 && version != 4) || !nul)
		return -EBADMSG;
	r.at = nul + 1;
	if (version == 4 && (byte_reader_u8(&r) != 8 || byte_reader_u8(&r) != 0))
		return -EOPNOTSUPP;
	cie->code_align = byte_reader_uleb(&r);
	cie->data_align = byte_reader_sleb(&r);
	cie->ra_register = version == 1 ? byte_reader_u8(&r) : byte_reader_uleb(&r);
	int err = r.failed ? -EBADMSG : 0;
	if (err == 0 && letters[0])
		err = letters[0] == 'z' ? read_augmentation(piece, &r, letters, cie) : -EOPNOTSUPP;
	cie->program = r;
	return err;
}

static int take_program(const struct byte_reader *from, struct frame_program *to)
{
	if (byte_reader_left(from) > sizeof(to->bytes))
		return -E2BIG;
	if (!frame_program_is_safe(*from))
		return -EOPNOTSUPP;
	to->n = (uint32_t)byte_reader_left(from);
	memcpy(to->bytes, from->at, to->n);
	return 0;
}

/* An FDE, once its CIE is known. -ENOENT: it does not cover this vaddr. */
static int read_fde(const struct piece *piece, const struct cie *cie, uint64_t vaddr, struct frame_entry *entry)
{
	struct byte_reader r = {piece->bytes + ENTRY_HEADER, piece->bytes + piece->n, false};

	if (!read_pointer(piece, &r, cie->pointers, &entry->start) ||
	    !read_pointer(piece, &r, cie->pointers & 0x0f, &entry->bytes))
		return r.failed ? -EBADMSG : -EOPNOTSUPP;
	if (vaddr - entry->start >= entry->bytes)
		return -ENOENT;
	if (cie->has_data)
		byte_reader_skip(&r, byte_reader_uleb(&r));
	if (r.failed || cie->ra_register > 16 || !cie->code_align)
		return -EBADMSG;
	entry->code_align = cie->code_align;
	entry->data_align = cie->data_align;
	entry->ra_register = (uint8_t)cie->ra_register;
	entry->is_signal_frame = cie->is_signal_frame;
	int err = take_program(&cie->program, &entry->initial);
	return err < 0 ? err : take_program(&r, &entry->program);
}

/* ---- by .eh_frame_hdr ---- */

struct loaded {
	const struct elf_file *elf;
	struct elf_segment *segments;
	size_t n;
};

/* An entry of .eh_frame at a vaddr, with its length field: into bytes, of FRAME_ENTRY_BYTES_MAX. */
static int load_entry(const struct loaded *l, uint64_t vaddr, uint8_t *bytes, struct piece *piece_out)
{
	uint64_t offset, left;
	uint32_t length;

	if (elf_segments_offset(l->segments, l->n, vaddr, &offset, &left) < 0 || left < ENTRY_HEADER)
		return -EBADMSG;
	int err = elf_file_read(l->elf, offset, &length, sizeof(length));
	if (err < 0)
		return err;
	if (length < 4 || length > left - 4)
		return -EBADMSG; /* 64-bit DWARF has 0xffffffff here: nobody writes it in .eh_frame */
	if (length > FRAME_ENTRY_BYTES_MAX - 4)
		return -E2BIG;
	*piece_out = (struct piece){bytes, length + 4, vaddr};
	return elf_file_read(l->elf, offset, bytes, length + 4);
}

static int read_at(const struct loaded *l, uint64_t fde_vaddr, uint64_t vaddr, struct frame_entry *entry)
{
	uint8_t fde_bytes[FRAME_ENTRY_BYTES_MAX], cie_bytes[FRAME_ENTRY_BYTES_MAX];
	struct piece fde, of_cie;
	struct cie cie;
	uint32_t back, id;

	int err = load_entry(l, fde_vaddr, fde_bytes, &fde);
	if (err < 0)
		return err;
	memcpy(&back, fde_bytes + 4, sizeof(back));
	err = back ? load_entry(l, fde_vaddr + 4 - back, cie_bytes, &of_cie) : -EBADMSG;
	if (err < 0)
		return err;
	memcpy(&id, cie_bytes + 4, sizeof(id));
	err = id ? -EBADMSG : read_cie(&of_cie, &cie);
	return err < 0 ? err : read_fde(&fde, &cie, vaddr, entry);
}

/* Binary search in the file; each look costs a read of 8 bytes.
 * Source: LSB 5, "The .eh_frame_hdr section": version 1, then three encodings, of which all linkers write these. */
static int find_by_header(const struct loaded *l, const struct elf_segment *header, uint64_t vaddr, struct frame_entry *entry)
{
	uint8_t head[12];
	uint32_t count, low = 0;

	int err = header->file_bytes < sizeof(head) ? -EOPNOTSUPP : elf_file_read(l->elf, header->file_offset, head, sizeof(head));
	if (err < 0)
		return err;
	if (head[0] != 1 || head[1] != (DW_EH_PE_pcrel | DW_EH_PE_sdata4) || head[2] != DW_EH_PE_udata4 ||
	    head[3] != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
		return -EOPNOTSUPP;
	memcpy(&count, head + 8, sizeof(count));
	if (count > (header->file_bytes - sizeof(head)) / 8)
		return -EBADMSG;
	int32_t pair[2], found[2] = {0};
	for (uint32_t high = count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		err = elf_file_read(l->elf, header->file_offset + sizeof(head) + 8 * (uint64_t)middle, pair, sizeof(pair));
		if (err < 0)
			return err;
		if (header->vaddr + (uint64_t)(int64_t)pair[0] <= vaddr) {
			low = middle + 1;
			memcpy(found, pair, sizeof(found));
		} else {
			high = middle;
		}
	}
	return low ? read_at(l, header->vaddr + (uint64_t)(int64_t)found[1], vaddr, entry) : -ENOENT;
}

/* ---- entry by entry ---- */

/* The entry at an offset of a section. -ENOENT: the section ends. */
static int entry_at(const struct piece *section, size_t at, struct piece *piece_out)
{
	uint32_t length;

	if (section->n - at < ENTRY_HEADER)
		return -ENOENT;
	memcpy(&length, section->bytes + at, sizeof(length));
	if (!length)
		return -ENOENT;
	if (length < 4 || length > section->n - at - 4)
		return -EBADMSG;
	*piece_out = (struct piece){section->bytes + at, (size_t)length + 4, section->vaddr + at};
	return 0;
}

static int find_in_section(const struct piece *section, bool is_eh, uint64_t vaddr, struct frame_entry *entry)
{
	size_t cie_at = SIZE_MAX;
	struct piece piece, of_cie;
	struct cie cie;
	int err, cie_err = 0;

	for (size_t at = 0; (err = entry_at(section, at, &piece)) == 0; at += piece.n) {
		uint32_t id;
		memcpy(&id, piece.bytes + 4, sizeof(id));
		if (id == (is_eh ? 0 : UINT32_MAX))
			continue;
		size_t wanted = is_eh ? at + 4 - id : id;
		if (wanted >= section->n)
			continue;
		if (wanted != cie_at) {
			cie_at = wanted;
			cie_err = entry_at(section, cie_at, &of_cie) == 0 ? read_cie(&of_cie, &cie) : -EBADMSG;
		}
		err = cie_err < 0 ? -ENOENT : read_fde(&piece, &cie, vaddr, entry); /* a bad one costs itself */
		if (err == 0 || err == -EOPNOTSUPP || err == -E2BIG)
			return err;
	}
	return err == -EBADMSG ? -ENOENT : err;
}

static int find_in_sections(const struct elf_file *elf, const char *name, uint64_t vaddr, struct frame_entry *entry)
{
	AUTO_FREE struct elf_section *sections = NULL;
	size_t n = 0;

	int err = elf_file_sections(elf, &sections, &n);
	for (size_t i = 0; err == 0 && i < n; i++) {
		if (sections[i].type == SHT_NOBITS || !elf_file_section_is(elf, sections, n, &sections[i], name))
			continue;
		AUTO_FREE uint8_t *bytes = NULL;
		struct piece section = {.vaddr = sections[i].vaddr};
		err = section_read(elf, &sections[i], FRAME_SECTION_BYTES_MAX, &bytes, &section.n);
		section.bytes = bytes;
		return err < 0 ? err : find_in_section(&section, name[1] == 'e', vaddr, entry);
	}
	return err < 0 ? err : -ENOENT;
}

int frame_entry_find(const struct elf_file *elf, uint64_t vaddr, struct frame_entry *entry_out)
{
	AUTO_FREE struct elf_segment *segments = NULL;
	struct loaded l = {.elf = elf};

	int err = elf->is_64 ? elf_file_segments(elf, &segments, &l.n) : -EOPNOTSUPP;
	if (err < 0)
		return err;
	l.segments = segments;
	err = -EOPNOTSUPP;
	for (size_t i = 0; i < l.n; i++)
		if (segments[i].type == PT_GNU_EH_FRAME)
			err = find_by_header(&l, &segments[i], vaddr, entry_out);
	if (err == 0 || (err != -ENOENT && err != -EOPNOTSUPP))
		return err;
	if (err == -EOPNOTSUPP)
		err = find_in_sections(elf, ".eh_frame", vaddr, entry_out);
	return err == -ENOENT ? find_in_sections(elf, ".debug_frame", vaddr, entry_out) : err;
}
