/* An ELF file, read with bounds.
 *
 * Every byte comes through pread and every offset and size is checked against the size that fstat gave, with
 * arithmetic that cannot wrap: the files come from strangers' containers. Nothing is mmapped (SAFETY 7), so a
 * file that shrinks while it is read gives -EBADMSG.
 *
 * Words: file_offset is a byte in the file, vaddr an ELF virtual address. ELF32 is widened to ELF64's types.
 * Source: ELF gABI 4.1 and /usr/include/elf.h. Not changed after elf_file_open(), so safe from several threads. */
#ifndef HEARTH_SYMBOLIZER_ELF_FILE_H
#define HEARTH_SYMBOLIZER_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_FILE_BYTES_MAX (16ULL << 30) /* a debug build of chromium is 5 GiB; sparse files may claim anything */
#define ELF_SEGMENTS_MAX   512		 /* linkers write about 13 */
#define ELF_SECTIONS_MAX   65536	 /* -ffunction-sections in relocatable files; executables have about 40 */

struct elf_file {
	int fd; /* borrowed */
	uint64_t file_bytes;
	bool is_64;
	bool sections_damaged; /* the header names a section table that is not in the file */
	uint16_t type;	       /* ET_* */
	uint16_t machine;      /* EM_* */
	uint64_t entry;	       /* vaddr of the first instruction; 0: none */
	uint64_t segments_offset;
	uint32_t n_segments;
	uint64_t sections_offset;
	uint32_t n_sections; /* may be over ELF_SECTIONS_MAX: elf_file_sections() refuses */
	uint32_t names_section;
};

struct elf_segment {
	uint32_t type;	/* PT_* */
	uint32_t flags; /* PF_* */
	uint64_t file_offset;
	uint64_t vaddr;
	uint64_t file_bytes;
	uint64_t memory_bytes;
	uint64_t align;
};

struct elf_section {
	uint32_t name; /* offset in the section of names */
	uint32_t type; /* SHT_* */
	uint32_t link;
	uint32_t info;
	uint64_t flags; /* SHF_* */
	uint64_t vaddr;
	uint64_t file_offset;
	uint64_t bytes;
	uint64_t entry_bytes;
};

/* Read and check the file header.
 * fd: borrowed; must stay open while elf_out is used.
 * Returns 0, -ENOEXEC (no regular file, no ELF magic, a byte order, class or file type that hearth does not
 * read), -EBADMSG (bad header), -E2BIG (a limit above), or the errno of fstat or pread. */
int elf_file_open(int fd, struct elf_file *elf_out);

/* As above, of a file that only has debug information: relocatable files are taken too (.dwo, .dwp). */
int elf_file_open_debug(int fd, struct elf_file *elf_out);

/* Copy bytes of the file. Returns 0, -EBADMSG when they are not all in the file, or the errno of pread. */
int elf_file_read(const struct elf_file *elf, uint64_t file_offset, void *buffer, size_t bytes);

/* Copy up to *bytes; *bytes becomes what the file had (0 at its end). Returns 0 or the errno of pread. */
int elf_file_read_some(const struct elf_file *elf, uint64_t file_offset, void *buffer, size_t *bytes);

/* Do [file_offset, +bytes) lie in the file? */
bool elf_file_holds(const struct elf_file *elf, uint64_t file_offset, uint64_t bytes);

/* All program headers. segments_out: the caller frees; NULL when there are none.
 * Returns 0, -EBADMSG, -ENOMEM or the errno of pread. */
int elf_file_segments(const struct elf_file *elf, struct elf_segment **segments_out, size_t *n_out);

/* All section headers, as elf_file_segments(); also -E2BIG. Their offsets and sizes are not checked: a bad section
 * must not cost the good ones. */
int elf_file_sections(const struct elf_file *elf, struct elf_section **sections_out, size_t *n_out);

/* Does a section have this name? (Reads the file; false on any error.) */
bool elf_file_section_is(const struct elf_file *elf, const struct elf_section *sections, size_t n_sections,
			 const struct elf_section *section, const char *name);

/* The first section of this name that has bytes in the file. Returns 0, -ENOENT, or an error of elf_file_sections(). */
int elf_file_find_section(const struct elf_file *elf, const char *name, struct elf_section *section_out);

/* File offset of a virtual address, and how many bytes of the file follow it in its PT_LOAD.
 * Returns 0 or -ENOENT. */
int elf_segments_offset(const struct elf_segment *segments, size_t n, uint64_t vaddr, uint64_t *file_offset_out,
			uint64_t *bytes_out);

#endif
