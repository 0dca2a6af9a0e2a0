#include "tests/fuzz/parts.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#include "tests/unit/elf_writer.h"

#define HEAD_BYTES 4
#define FILE_SHIFT 6
#define KIND_MASK  0x3f

struct part {
	uint8_t which;
	const uint8_t *bytes;
	size_t n;
};

/* libFuzzer's interface. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);

static size_t split(const uint8_t *data, size_t n, struct part parts[PARTS_MAX])
{
	size_t n_parts = 0;

	for (size_t at = 0; at + HEAD_BYTES <= n && n_parts < PARTS_MAX;) {
		size_t bytes = data[at + 1] | (size_t)data[at + 2] << 8 | (size_t)data[at + 3] << 16;
		struct part *part = &parts[n_parts++];
		part->which = data[at];
		at += HEAD_BYTES;
		part->bytes = data + at;
		part->n = bytes < n - at ? bytes : n - at;
		at += part->n;
	}
	return n_parts;
}

int parts_file(const uint8_t *data, size_t n, unsigned file, const struct part_kind *kinds, size_t n_kinds)
{
	struct part parts[PARTS_MAX];
	struct elf_writer elf;
	size_t bytes;

	size_t n_parts = split(data, n, parts);
	elf_writer_init(&elf, true);
	for (size_t i = 0; i < n_parts; i++) {
		unsigned kind = parts[i].which & KIND_MASK;
		if (parts[i].which >> FILE_SHIFT != file || kind >= n_kinds)
			continue;
		const struct part_kind *k = &kinds[kind];
		uint32_t section = elf_writer_section(&elf, k->name, k->type, k->flags, k->vaddr, parts[i].bytes, parts[i].n);
		if (k->flags & SHF_EXECINSTR)
			elf_writer_segment(&elf, PT_LOAD, PF_R | PF_X, section, k->vaddr);
		else if (k->flags & SHF_ALLOC)
			elf_writer_segment(&elf, PT_LOAD, PF_R, section, k->vaddr);
	}
	uint8_t *written = elf_writer_finish(&elf, &bytes);
	int fd = fuzz_file(file, written, bytes);
	free(written);
	elf_writer_deinit(&elf);
	return fd;
}

static size_t put_part(uint8_t *out, size_t at, const struct part *part)
{
	out[at] = part->which;
	out[at + 1] = (uint8_t)part->n;
	out[at + 2] = (uint8_t)(part->n >> 8);
	out[at + 3] = (uint8_t)(part->n >> 16);
	if (part->n)
		memcpy(out + at + HEAD_BYTES, part->bytes, part->n);
	return at + HEAD_BYTES + part->n;
}

/* One part is changed inside; now and then one goes, or is given another name. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed)
{
	struct part parts[PARTS_MAX];
	size_t n_parts = split(data, n, parts), at = 0;
	uint8_t *out = malloc(max + (n_parts + 1) * HEAD_BYTES);

	PROMISE(out);
	if (!n_parts) {
		free(out);
		return LLVMFuzzerMutate(data, n, max);
	}
	size_t chosen = seed % n_parts, whole = n_parts * HEAD_BYTES;
	unsigned how = seed / PARTS_MAX % 64;
	for (size_t i = 0; i < n_parts; i++)
		whole += parts[i].n;
	for (size_t i = 0; i < n_parts; i++) {
		struct part part = parts[i];
		if (i == chosen && how == 0)
			continue;
		if (i == chosen && how == 1)
			part.which = (uint8_t)(seed >> 16);
		size_t room = whole < max ? part.n + (max - whole) : part.n;
		uint8_t *inside = malloc(room + 1);
		PROMISE(inside);
		memcpy(inside, part.bytes, part.n);
		if (i == chosen && room) {
			part.n = LLVMFuzzerMutate(inside, part.n, room);
			part.bytes = inside;
		}
		if (at + HEAD_BYTES + part.n <= max)
			at = put_part(out, at, &part);
		free(inside);
	}
	memcpy(data, out, at);
	free(out);
	return at;
}
