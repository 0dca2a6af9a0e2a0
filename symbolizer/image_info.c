#include "symbolizer/image_info.h"
#include "base/scope.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define BUILD_ID_MIN 4

static uint32_t load_u32(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return value;
}

static size_t align_up(size_t n, size_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* Find the build id in the bytes of a note segment.
 * align: 8 for segments that say so (.note.gnu.property), else 4. Source: gABI, "Note Section", and Linux' ABI
 * extensions, "Alignment of Note Sections". Sizes are at most 64 KiB here, so that the sums cannot wrap. */
static bool find_build_id(const uint8_t *notes, size_t bytes, size_t align, struct image_info *info)
{
	size_t at = 0;

	while (bytes - at >= 12) {
		uint32_t name_bytes = load_u32(notes + at);
		uint32_t data_bytes = load_u32(notes + at + 4);
		uint32_t type = load_u32(notes + at + 8);
		if (name_bytes > bytes || data_bytes > bytes)
			return false;
		size_t name = at + 12;
		size_t data = align_up(name + name_bytes, align);
		if (data > bytes || data_bytes > bytes - data)
			return false;
		if (type == NT_GNU_BUILD_ID && name_bytes == 4 && memcmp(notes + name, "GNU", 4) == 0 &&
		    data_bytes >= BUILD_ID_MIN && data_bytes <= BUILD_ID_MAX) {
			memcpy(info->build_id, notes + data, data_bytes);
			info->build_id_bytes = (uint8_t)data_bytes;
			return true;
		}
		at = align_up(data + data_bytes, align);
		if (at > bytes)
			return false;
	}
	return false;
}

/* left: of NOTES_BYTES_MAX. Returns 1 when the build id was found, 0 when not, or the errno of a failed read. */
static int read_notes(const struct elf_file *elf, uint64_t file_offset, uint64_t file_bytes, uint64_t align, size_t *left,
		      struct image_info *info)
{
	size_t most = *left < NOTE_BYTES_MAX ? *left : NOTE_BYTES_MAX;
	size_t bytes = file_bytes < most ? (size_t)file_bytes : most;

	if (!bytes)
		return 0;
	*left -= bytes;
	AUTO_FREE uint8_t *notes = malloc(bytes);
	if (!notes)
		return -ENOMEM;
	int err = elf_file_read_some(elf, file_offset, notes, &bytes);
	if (err < 0)
		return err;
	return find_build_id(notes, bytes, align == 8 ? 8 : 4, info);
}

static int read_build_id(const struct elf_file *elf, const struct elf_segment *segments, size_t n_segments,
			 struct image_info *info)
{
	AUTO_FREE struct elf_section *sections = NULL;
	size_t n_sections = 0, left = NOTES_BYTES_MAX;

	for (size_t i = 0; i < n_segments; i++) {
		if (segments[i].type != PT_NOTE)
			continue;
		int found = read_notes(elf, segments[i].file_offset, segments[i].file_bytes, segments[i].align, &left, info);
		if (found)
			return found < 0 ? found : 0;
	}
	int err = elf_file_sections(elf, &sections, &n_sections);
	if (err == -EBADMSG || err == -E2BIG)
		return 0; /* a build id is a bonus */
	if (err < 0)
		return err;
	for (size_t i = 0; i < n_sections; i++) {
		if (sections[i].type != SHT_NOTE)
			continue;
		/* Section alignment is not kept by struct elf_section: GNU notes with build ids are 4-aligned. */
		int found = read_notes(elf, sections[i].file_offset, sections[i].bytes, 4, &left, info);
		if (found)
			return found < 0 ? found : 0;
	}
	return 0;
}

static int add_segment(const struct elf_file *elf, const struct elf_segment *segment, struct image_info *info)
{
	if (segment->type != PT_LOAD || !(segment->flags & PF_X))
		return 0;
	if (!elf_file_holds(elf, segment->file_offset, segment->file_bytes) ||
	    segment->file_bytes > segment->memory_bytes || segment->vaddr > UINT64_MAX - segment->memory_bytes)
		return -EBADMSG;
	if (info->n_segments == IMAGE_SEGMENTS_MAX) {
		info->segments_dropped = true;
		return 0;
	}
	info->segments[info->n_segments++] =
		(struct image_segment){ segment->file_offset, segment->vaddr, segment->file_bytes };
	return 0;
}

/* .eh_frame_hdr has 12 bytes and then 8 for each function that has CFI. Whoever links a program gets a few from libc's start files.
 * Functions of more than 1 KiB on the average do occur; then a debug file is looked for in vain. */
static bool lacks_cfi(const struct elf_segment *segments, size_t n, const struct image_info *info)
{
	uint64_t functions = 0, text = 0;

	for (size_t i = 0; i < n; i++)
		if (segments[i].type == PT_GNU_EH_FRAME && segments[i].file_bytes > 12)
			functions = (segments[i].file_bytes - 12) / 8;
	for (uint8_t i = 0; i < info->n_segments; i++)
		text += info->segments[i].file_bytes;
	return functions < text / 1024 + 1;
}

int image_info_read(const struct elf_file *elf, struct image_info *info_out)
{
	struct image_info info = { .address_bytes = elf->is_64 ? 8 : 4 };
	AUTO_FREE struct elf_segment *segments = NULL;
	size_t n = 0;

	int err = elf_file_segments(elf, &segments, &n);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++) {
		err = add_segment(elf, &segments[i], &info);
		if (err < 0)
			return err;
	}
	err = read_build_id(elf, segments, n, &info);
	if (err < 0)
		return err;
	info.lacks_cfi = lacks_cfi(segments, n, &info);
	*info_out = info;
	return 0;
}

int image_info_read_build_id(const struct elf_file *elf, struct image_info *info_out)
{
	struct image_info info = {0};

	int err = read_build_id(elf, NULL, 0, &info);
	if (err == 0)
		*info_out = info;
	return err;
}
