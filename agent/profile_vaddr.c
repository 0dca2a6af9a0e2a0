#include "agent/profile_vaddr.h"

#include <errno.h>

#define PAGE_MASK 4095ull

bool profile_image_is_debug_file(const struct image_info *info)
{
	for (uint8_t i = 0; i < info->n_segments; i++)
		if (info->segments[i].file_bytes)
			return false;
	return info->n_segments > 0;
}

static bool is_code(const struct image_info *info, uint64_t vaddr)
{
	for (uint8_t i = 0; i < info->n_segments; i++)
		if (vaddr >= info->segments[i].vaddr && vaddr - info->segments[i].vaddr < info->segments[i].file_bytes)
			return true;
	return false;
}

static int by_offset(const struct image_info *info, uint64_t offset, uint64_t *vaddr_out)
{
	for (uint8_t i = 0; i < info->n_segments; i++) {
		const struct image_segment *s = &info->segments[i];
		if (offset < s->file_offset || offset - s->file_offset >= s->file_bytes)
			continue;
		*vaddr_out = offset - s->file_offset + s->vaddr;
		return 0;
	}
	return -ERANGE;
}

int profile_vaddr(const struct profile_mapping *mapping, uint64_t address, const struct image_info *info, uint64_t *vaddr_out)
{
	bool has_range = mapping->start || mapping->limit;
	bool is_inside = has_range && address >= mapping->start && (address < mapping->limit || !mapping->limit);
	uint64_t vaddr = address;

	if (profile_image_is_debug_file(info)) {
		/* The loader maps a segment from the page on that its vaddr lies in. */
		if (is_inside && info->n_segments == 1)
			vaddr = address - mapping->start + (info->segments[0].vaddr & ~PAGE_MASK);
		else if (is_inside && mapping->start != mapping->file_offset)
			return -ERANGE;
		*vaddr_out = vaddr;
		return 0;
	}
	if (is_inside) {
		uint64_t offset = address - mapping->start + mapping->file_offset;
		if (by_offset(info, offset, vaddr_out) == 0)
			return 0;
		/* One mapping for several segments: Go joins those that touch. Behind the first, memory counts, not the file. */
		vaddr = offset;
	}
	if (!is_code(info, vaddr))
		return -ERANGE;
	*vaddr_out = vaddr;
	return 0;
}
