#include "symbolizer/debug_only.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/scope.h"
#include "symbolizer/debug_file.h"
#include "symbolizer/elf_file.h"

#define CHUNK_BYTES  (64u << 10)
#define ALIGNMENT    8u
#define NAME_BYTES   24 /* longer ones are not those that are kept by their whole name */

struct writer {
	struct elf_file elf;
	struct elf_section *sections;
	size_t n_sections;
	struct elf_segment *segments;
	size_t n_segments;
	uint8_t *headers;	/* of sections, raw, as they are written */
	uint64_t *out_offsets; /* of sections whose bytes are kept; 0: not kept */
	uint64_t kept_bytes;
	int out_fd;
	uint64_t position, bytes_max;
	XXH3_state_t *hash;
	struct debug_only result;
	uint8_t chunk[CHUNK_BYTES];
};

static void writer_deinit(struct writer *w)
{
	free(w->sections);
	free(w->segments);
	free(w->headers);
	free(w->out_offsets);
	XXH3_freeState(w->hash);
}

/* ---- output ---- */

static int put(struct writer *w, const void *bytes, size_t n)
{
	if (n > w->bytes_max - w->position)
		return -EFBIG;
	XXH3_128bits_update(w->hash, bytes, n);
	for (size_t at = 0; at < n;) {
		ssize_t written = pwrite(w->out_fd, (const uint8_t *)bytes + at, n - at, (off_t)(w->position + at));
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		at += (size_t)written;
	}
	w->position += n;
	return 0;
}

static int align(struct writer *w)
{
	static const uint8_t zeros[ALIGNMENT];

	return put(w, zeros, (ALIGNMENT - w->position % ALIGNMENT) % ALIGNMENT);
}

static int copy(struct writer *w, uint64_t offset, uint64_t bytes)
{
	int err = 0;

	while (err == 0 && bytes) {
		size_t n = bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES;
		err = elf_file_read(&w->elf, offset, w->chunk, n);
		if (err == 0)
			err = put(w, w->chunk, n);
		offset += n;
		bytes -= n;
	}
	return err;
}

/* ---- which sections ---- */

static bool has_bytes(const struct writer *w, const struct elf_section *section)
{
	return section->type != SHT_NULL && section->type != SHT_NOBITS && elf_file_holds(&w->elf, section->file_offset, section->bytes);
}

/* "" when there is none. */
static void read_name(const struct writer *w, const struct elf_section *section, char name[NAME_BYTES + 1])
{
	size_t n = NAME_BYTES;

	name[0] = 0;
	if (w->elf.names_section >= w->n_sections)
		return;
	const struct elf_section *names = &w->sections[w->elf.names_section];
	if (section->name >= names->bytes || !has_bytes(w, names))
		return;
	if (n > names->bytes - section->name)
		n = (size_t)(names->bytes - section->name);
	if (elf_file_read_some(&w->elf, names->file_offset + section->name, name, &n) < 0)
		n = 0;
	name[n] = 0;
}

static bool is_debug(const char *name)
{
	return strncmp(name, ".debug_", 7) == 0 || strncmp(name, ".zdebug_", 8) == 0;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static bool is_kept(struct writer *w, size_t i)
{
	static const char *const dwarf[] = {".debug_info", ".zdebug_info", NULL}, *const go[] = {".gopclntab", ".data.rel.ro.gopclntab", NULL},
				 *const others[] = {".strtab", ".dynstr", ".gnu_debugaltlink", NULL};
	const struct elf_section *section = &w->sections[i];
	char name[NAME_BYTES + 1];

	if (!has_bytes(w, section))
		return false;
	read_name(w, section, name);
	w->result.has_dwarf |= section->bytes && is_one_of(name, dwarf);
	w->result.has_symbols |= section->bytes && (section->type == SHT_SYMTAB || is_one_of(name, go));
	return section->type == SHT_SYMTAB || section->type == SHT_DYNSYM || section->type == SHT_NOTE || i == w->elf.names_section || is_debug(name) ||
	       is_one_of(name, go) || is_one_of(name, others);
}

/* Sections that lie over each other could make a file of any size of a small one. */
static int choose(struct writer *w)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < w->n_sections; i++) {
		if (!is_kept(w, i))
			continue;
		w->out_offsets[i] = 1;
		bytes += w->sections[i].bytes; /* each is in the file, and there are at most 65,536: no wrap */
		if (bytes > w->elf.file_bytes)
			return -EBADMSG;
	}
	w->kept_bytes = bytes;
	return w->result.has_dwarf || w->result.has_symbols ? 0 : -ENODATA;
}

/* ---- headers ---- */

static size_t section_bytes(const struct writer *w)
{
	return w->elf.is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
}

static void set_section(struct writer *w, size_t i, uint32_t type, uint64_t offset)
{
	uint8_t *header = w->headers + i * section_bytes(w);
	uint32_t narrow = (uint32_t)offset;

	memcpy(header + (w->elf.is_64 ? offsetof(Elf64_Shdr, sh_type) : offsetof(Elf32_Shdr, sh_type)), &type, sizeof(type));
	if (w->elf.is_64)
		memcpy(header + offsetof(Elf64_Shdr, sh_offset), &offset, sizeof(offset));
	else
		memcpy(header + offsetof(Elf32_Shdr, sh_offset), &narrow, sizeof(narrow));
}

/* Where the bytes of a segment are now: of notes (the build id) as many as are in the section that it begins with; others have none. */
static uint64_t moved_to(const struct writer *w, const struct elf_segment *segment, uint64_t *bytes_out)
{
	for (size_t i = 0; segment->type == PT_NOTE && i < w->n_sections; i++)
		if (w->out_offsets[i] && w->sections[i].bytes && w->sections[i].file_offset == segment->file_offset &&
		    w->sections[i].bytes <= segment->file_bytes) {
			*bytes_out = w->sections[i].bytes;
			return w->out_offsets[i];
		}
	*bytes_out = 0;
	return segment->file_offset;
}

static int put_segment(struct writer *w, const struct elf_segment *segment)
{
	uint64_t bytes, offset = moved_to(w, segment, &bytes);
	Elf64_Phdr wide = {.p_type = segment->type, .p_flags = segment->flags, .p_offset = offset, .p_vaddr = segment->vaddr, .p_paddr = segment->vaddr,
			   .p_filesz = bytes, .p_memsz = segment->memory_bytes, .p_align = segment->align};
	Elf32_Phdr narrow = {.p_type = segment->type, .p_flags = segment->flags, .p_offset = (Elf32_Off)offset, .p_vaddr = (Elf32_Addr)segment->vaddr,
			     .p_paddr = (Elf32_Addr)segment->vaddr, .p_filesz = (Elf32_Word)bytes, .p_memsz = (Elf32_Word)segment->memory_bytes,
			     .p_align = (Elf32_Word)segment->align};

	return w->elf.is_64 ? put(w, &wide, sizeof(wide)) : put(w, &narrow, sizeof(narrow));
}

/* The file's own header, with other places. */
static int put_header(struct writer *w, uint64_t sections_offset)
{
	union {
		Elf64_Ehdr wide;
		Elf32_Ehdr narrow;
	} header;
	size_t n = w->elf.is_64 ? sizeof(header.wide) : sizeof(header.narrow);

	int err = elf_file_read(&w->elf, 0, &header, n);
	if (err < 0)
		return err;
	if (w->elf.is_64) {
		header.wide.e_phoff = w->n_segments ? n : 0;
		header.wide.e_shoff = sections_offset;
	} else {
		header.narrow.e_phoff = w->n_segments ? (Elf32_Off)n : 0;
		header.narrow.e_shoff = (Elf32_Off)sections_offset;
	}
	return put(w, &header, n);
}

/* Places of everything: header, segments, sections' bytes, sections' headers. Returns where the last ones begin. */
static uint64_t lay_out(struct writer *w)
{
	uint64_t at = w->elf.is_64 ? sizeof(Elf64_Ehdr) + w->n_segments * sizeof(Elf64_Phdr) : sizeof(Elf32_Ehdr) + w->n_segments * sizeof(Elf32_Phdr);

	for (size_t i = 0; i < w->n_sections; i++) {
		const struct elf_section *section = &w->sections[i];
		if (w->out_offsets[i]) {
			at = (at + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
			w->out_offsets[i] = at;
			set_section(w, i, section->type, at);
			at += section->bytes;
		} else if (section->type != SHT_NULL) {
			set_section(w, i, SHT_NOBITS, at);
		}
	}
	return (at + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* ---- */

static int read_all(struct writer *w, int fd)
{
	int err = elf_file_open_debug(fd, &w->elf);

	if (err == 0)
		err = elf_file_sections(&w->elf, &w->sections, &w->n_sections);
	if (err == 0)
		err = elf_file_segments(&w->elf, &w->segments, &w->n_segments);
	if (err < 0)
		return err;
	if (!w->n_sections)
		return -ENODATA;
	w->headers = malloc(w->n_sections * section_bytes(w));
	w->out_offsets = calloc(w->n_sections, sizeof(w->out_offsets[0]));
	w->hash = XXH3_createState();
	if (!w->headers || !w->out_offsets || !w->hash)
		return -ENOMEM;
	XXH3_128bits_reset(w->hash);
	return elf_file_read(&w->elf, w->elf.sections_offset, w->headers, w->n_sections * section_bytes(w));
}

static int write_all(struct writer *w)
{
	uint64_t sections_offset = lay_out(w);

	if (sections_offset + w->n_sections * section_bytes(w) > w->bytes_max)
		return -EFBIG;
	int err = put_header(w, sections_offset);
	for (size_t i = 0; err == 0 && i < w->n_segments; i++)
		err = put_segment(w, &w->segments[i]);
	for (size_t i = 0; err == 0 && i < w->n_sections; i++) {
		if (!w->out_offsets[i])
			continue;
		err = align(w);
		if (err == 0)
			err = copy(w, w->sections[i].file_offset, w->sections[i].bytes);
	}
	if (err == 0)
		err = align(w);
	return err < 0 ? err : put(w, w->headers, w->n_sections * section_bytes(w));
}

int debug_only_write(int fd, int out_fd, uint64_t bytes_max, struct debug_only *result_out)
{
	AUTO_FREE struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->out_fd = out_fd;
	int err = read_all(w, fd);
	/* Offsets of ELF32 are 32 bits. */
	w->bytes_max = !w->elf.is_64 && bytes_max > UINT32_MAX ? UINT32_MAX : bytes_max;
	if (err == 0)
		err = choose(w);
	if (err == 0)
		err = write_all(w);
	if (err == 0) {
		XXH128_hash_t hash = XXH3_128bits_digest(w->hash);
		snprintf(w->result.hash, sizeof(w->result.hash), "%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
		w->result.bytes = w->position;
		*result_out = w->result;
	}
	writer_deinit(w);
	return err;
}

static bool has_dwarf(const struct elf_file *elf)
{
	struct elf_section section;

	return elf_file_find_section(elf, ".debug_info", &section) == 0 || elf_file_find_section(elf, ".zdebug_info", &section) == 0;
}

int debug_only_write_best(int fd, const struct debug_asker *asker, int out_fd, uint64_t bytes_max, struct debug_only *result_out)
{
	AUTO_CLOSE int debug_fd = -1;
	struct elf_file image, debug;
	uint64_t refused = 0;

	int err = elf_file_open(fd, &image);
	if (err < 0)
		return err;
	if (has_dwarf(&image))
		return debug_only_write(fd, out_fd, bytes_max, result_out);
	err = debug_file_find(&image, asker, &debug_fd, &debug, &refused);
	if (err < 0 && err != -ENOENT)
		return err;
	bool other = err == 0 && has_dwarf(&debug);
	return debug_only_write(other ? debug_fd : fd, out_fd, bytes_max, result_out);
}
