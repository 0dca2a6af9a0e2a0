#include "symbolizer/elf_file.h"
#include "base/scope.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Fields are copied out of the file as they are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian host needs byte swaps here");

bool elf_file_holds(const struct elf_file *elf, uint64_t file_offset, uint64_t bytes)
{
	return file_offset <= elf->file_bytes && bytes <= elf->file_bytes - file_offset;
}

int elf_file_read_some(const struct elf_file *elf, uint64_t file_offset, void *buffer, size_t *bytes)
{
	size_t done = 0;

	if (file_offset >= elf->file_bytes)
		*bytes = 0;
	else if (*bytes > elf->file_bytes - file_offset)
		*bytes = (size_t)(elf->file_bytes - file_offset);
	while (done < *bytes) {
		ssize_t n = pread(elf->fd, (char *)buffer + done, *bytes - done, (off_t)(file_offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break; /* truncated since fstat */
		done += (size_t)n;
	}
	*bytes = done;
	return 0;
}

int elf_file_read(const struct elf_file *elf, uint64_t file_offset, void *buffer, size_t bytes)
{
	size_t got = bytes;

	if (!elf_file_holds(elf, file_offset, bytes))
		return -EBADMSG;
	int err = elf_file_read_some(elf, file_offset, buffer, &got);
	if (err < 0)
		return err;
	return got == bytes ? 0 : -EBADMSG;
}

static void widen_header(const Elf32_Ehdr *narrow, Elf64_Ehdr *wide)
{
	wide->e_type = narrow->e_type;
	wide->e_machine = narrow->e_machine;
	wide->e_entry = narrow->e_entry;
	wide->e_version = narrow->e_version;
	wide->e_phoff = narrow->e_phoff;
	wide->e_shoff = narrow->e_shoff;
	wide->e_phentsize = narrow->e_phentsize;
	wide->e_phnum = narrow->e_phnum;
	wide->e_shentsize = narrow->e_shentsize;
	wide->e_shnum = narrow->e_shnum;
	wide->e_shstrndx = narrow->e_shstrndx;
}

static void widen_segment(const Elf32_Phdr *narrow, struct elf_segment *segment)
{
	*segment = (struct elf_segment){ narrow->p_type,  narrow->p_flags,  narrow->p_offset, narrow->p_vaddr,
					 narrow->p_filesz, narrow->p_memsz, narrow->p_align };
}

static void copy_segment(const Elf64_Phdr *wide, struct elf_segment *segment)
{
	*segment = (struct elf_segment){ wide->p_type,	 wide->p_flags, wide->p_offset, wide->p_vaddr,
					 wide->p_filesz, wide->p_memsz, wide->p_align };
}

static void widen_section(const Elf32_Shdr *narrow, struct elf_section *section)
{
	*section = (struct elf_section){ narrow->sh_name, narrow->sh_type,   narrow->sh_link,
					 narrow->sh_info, narrow->sh_flags,  narrow->sh_addr,
					 narrow->sh_offset, narrow->sh_size, narrow->sh_entsize };
}

static void copy_section(const Elf64_Shdr *wide, struct elf_section *section)
{
	*section = (struct elf_section){ wide->sh_name,	 wide->sh_type,	   wide->sh_link,
					 wide->sh_info,	 wide->sh_flags,   wide->sh_addr,
					 wide->sh_offset, wide->sh_size,   wide->sh_entsize };
}

static size_t segment_bytes(const struct elf_file *elf)
{
	return elf->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

static size_t section_bytes(const struct elf_file *elf)
{
	return elf->is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
}

static int read_section(const struct elf_file *elf, uint32_t index, struct elf_section *section_out)
{
	union {
		Elf64_Shdr wide;
		Elf32_Shdr narrow;
	} raw;
	int err = elf_file_read(elf, elf->sections_offset + index * section_bytes(elf), &raw, section_bytes(elf));

	if (err < 0)
		return err;
	if (elf->is_64)
		copy_section(&raw.wide, section_out);
	else
		widen_section(&raw.narrow, section_out);
	return 0;
}

static int read_header(struct elf_file *elf, Elf64_Ehdr *header)
{
	size_t bytes = sizeof(*header);
	union {
		Elf64_Ehdr wide;
		Elf32_Ehdr narrow;
	} raw = { 0 };
	int err = elf_file_read_some(elf, 0, &raw, &bytes);

	if (err < 0)
		return err;
	const unsigned char *ident = raw.wide.e_ident;
	if (bytes < SELFMAG || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (bytes < EI_NIDENT)
		return -EBADMSG;
	if (ident[EI_DATA] != ELFDATA2LSB || ident[EI_VERSION] != EV_CURRENT)
		return -ENOEXEC;
	if (ident[EI_CLASS] != ELFCLASS64 && ident[EI_CLASS] != ELFCLASS32)
		return -ENOEXEC;
	elf->is_64 = ident[EI_CLASS] == ELFCLASS64;
	if (bytes < (elf->is_64 ? sizeof(raw.wide) : sizeof(raw.narrow)))
		return -EBADMSG;
	*header = raw.wide;
	if (!elf->is_64)
		widen_header(&raw.narrow, header);
	return 0;
}

/* The section table is optional for running a program, so a bad one costs what it describes and not the file.
 * Counts that do not fit in the header are in section 0. Source: gABI, "ELF Header", e_shnum and e_phnum. */
static int read_counts(struct elf_file *elf, const Elf64_Ehdr *header)
{
	struct elf_section first = { 0 };
	bool has_first = false;

	elf->n_segments = header->e_phnum;
	elf->sections_offset = header->e_shoff;
	if (header->e_shoff) {
		has_first = header->e_shentsize == section_bytes(elf) && read_section(elf, 0, &first) == 0;
		elf->sections_damaged = !has_first;
	}
	if (has_first) {
		uint64_t n = header->e_shnum ? header->e_shnum : first.bytes;
		elf->n_sections = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
		elf->names_section = header->e_shstrndx == SHN_XINDEX ? first.link : header->e_shstrndx;
		if (n <= ELF_SECTIONS_MAX && !elf_file_holds(elf, header->e_shoff, n * section_bytes(elf))) {
			elf->sections_damaged = true;
			elf->n_sections = 0;
		}
	}
	if (header->e_phnum == PN_XNUM) {
		if (!has_first)
			return -EBADMSG;
		elf->n_segments = first.info;
	}
	return 0;
}

static int open_file(int fd, bool takes_relocatable, struct elf_file *elf_out)
{
	struct stat st;
	Elf64_Ehdr header;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	struct elf_file elf = { .fd = fd, .file_bytes = (uint64_t)st.st_size };
	int err = read_header(&elf, &header);
	if (err < 0)
		return err;
	if (elf.file_bytes > ELF_FILE_BYTES_MAX)
		return -E2BIG;
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN && !(takes_relocatable && header.e_type == ET_REL))
		return -ENOEXEC;
	elf.type = header.e_type;
	elf.machine = header.e_machine;
	elf.entry = header.e_entry;
	elf.segments_offset = header.e_phoff;
	err = read_counts(&elf, &header);
	if (err < 0)
		return err;
	if (elf.n_segments > ELF_SEGMENTS_MAX)
		return -E2BIG;
	if (elf.n_segments && (header.e_phentsize != segment_bytes(&elf) ||
			       !elf_file_holds(&elf, elf.segments_offset, elf.n_segments * segment_bytes(&elf))))
		return -EBADMSG;
	*elf_out = elf;
	return 0;
}

int elf_file_open(int fd, struct elf_file *elf_out)
{
	return open_file(fd, false, elf_out);
}

int elf_file_open_debug(int fd, struct elf_file *elf_out)
{
	return open_file(fd, true, elf_out);
}

int elf_file_segments(const struct elf_file *elf, struct elf_segment **segments_out, size_t *n_out)
{
	size_t n = elf->n_segments;
	AUTO_FREE struct elf_segment *segments = NULL;
	AUTO_FREE char *raw = NULL;

	if (n) {
		segments = calloc(n, sizeof(*segments));
		raw = malloc(n * segment_bytes(elf));
		if (!segments || !raw)
			return -ENOMEM;
		int err = elf_file_read(elf, elf->segments_offset, raw, n * segment_bytes(elf));
		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < n; i++) {
		if (elf->is_64)
			copy_segment((const Elf64_Phdr *)(const void *)raw + i, &segments[i]);
		else
			widen_segment((const Elf32_Phdr *)(const void *)raw + i, &segments[i]);
	}
	*segments_out = take_ptr(segments);
	*n_out = n;
	return 0;
}

int elf_file_sections(const struct elf_file *elf, struct elf_section **sections_out, size_t *n_out)
{
	size_t n = elf->n_sections;
	AUTO_FREE struct elf_section *sections = NULL;
	AUTO_FREE char *raw = NULL;

	if (n > ELF_SECTIONS_MAX)
		return -E2BIG;
	if (n) {
		sections = calloc(n, sizeof(*sections));
		raw = malloc(n * section_bytes(elf));
		if (!sections || !raw)
			return -ENOMEM;
		int err = elf_file_read(elf, elf->sections_offset, raw, n * section_bytes(elf));
		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < n; i++) {
		if (elf->is_64)
			copy_section((const Elf64_Shdr *)(const void *)raw + i, &sections[i]);
		else
			widen_section((const Elf32_Shdr *)(const void *)raw + i, &sections[i]);
	}
	*sections_out = take_ptr(sections);
	*n_out = n;
	return 0;
}

bool elf_file_section_is(const struct elf_file *elf, const struct elf_section *sections, size_t n_sections,
			 const struct elf_section *section, const char *name)
{
	char text[64];
	size_t bytes = strlen(name) + 1;

	if (elf->names_section >= n_sections || bytes > sizeof(text))
		return false;
	const struct elf_section *names = &sections[elf->names_section];
	if (section->name > names->bytes || names->bytes - section->name < bytes ||
	    names->file_offset > UINT64_MAX - section->name)
		return false;
	return elf_file_read(elf, names->file_offset + section->name, text, bytes) == 0 &&
	       memcmp(text, name, bytes) == 0;
}

int elf_file_find_section(const struct elf_file *elf, const char *name, struct elf_section *section_out)
{
	AUTO_FREE struct elf_section *sections = NULL;
	size_t n = 0;

	int err = elf_file_sections(elf, &sections, &n);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (sections[i].type == SHT_NOBITS || !sections[i].bytes || !elf_file_section_is(elf, sections, n, &sections[i], name))
			continue;
		*section_out = sections[i];
		return 0;
	}
	return -ENOENT;
}

int elf_segments_offset(const struct elf_segment *segments, size_t n, uint64_t vaddr, uint64_t *file_offset_out,
			uint64_t *bytes_out)
{
	for (size_t i = 0; i < n; i++) {
		const struct elf_segment *segment = &segments[i];
		uint64_t delta = vaddr - segment->vaddr;
		if (segment->type != PT_LOAD || vaddr < segment->vaddr || delta >= segment->file_bytes)
			continue;
		if (segment->file_offset > UINT64_MAX - segment->file_bytes)
			continue;
		*file_offset_out = segment->file_offset + delta;
		*bytes_out = segment->file_bytes - delta;
		return 0;
	}
	return -ENOENT;
}
