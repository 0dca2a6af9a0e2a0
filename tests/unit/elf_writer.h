/* Writes small ELF files for tests, good ones and bad ones. */
#ifndef HEARTH_TESTS_ELF_WRITER_H
#define HEARTH_TESTS_ELF_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_WRITER_PARTS_MAX 32

/* A section, and through it bytes that segments can name. */
struct elf_writer_section {
	const char *name;
	uint32_t type;
	uint64_t flags;
	uint64_t vaddr;
	void *data;
	size_t bytes;
	uint64_t claimed_bytes; /* sh_size, when it shall lie */
	uint32_t link;
	uint64_t entry_bytes;
	uint64_t file_offset; /* set by elf_writer_finish() */
};

struct elf_writer_segment {
	uint32_t type;
	uint32_t flags;
	uint32_t section; /* whose bytes it covers */
	uint64_t vaddr;
	uint64_t claimed_bytes; /* p_filesz and p_memsz, when they shall lie */
};

struct elf_writer {
	bool is_64;
	bool without_sections;
	uint16_t type;	  /* ET_DYN when 0 */
	uint16_t machine; /* EM_X86_64 when 0 */
	uint8_t data;	  /* EI_DATA, little-endian when 0 */
	/* Counts of the header, when they shall lie. */
	uint16_t claimed_segments;
	uint16_t claimed_sections;
	bool counts_in_section_0; /* e_shnum 0, e_phnum PN_XNUM, e_shstrndx SHN_XINDEX */
	uint32_t section_0_segments;
	uint64_t section_0_sections;
	struct elf_writer_section sections[ELF_WRITER_PARTS_MAX]; /* 0 is the null section */
	size_t n_sections;
	struct elf_writer_segment segments[ELF_WRITER_PARTS_MAX];
	size_t n_segments;
};

void elf_writer_init(struct elf_writer *w, bool is_64);
/* Copies data. Returns the section's index. */
uint32_t elf_writer_section(struct elf_writer *w, const char *name, uint32_t type, uint64_t flags, uint64_t vaddr,
			    const void *data, size_t bytes);
/* A symbol table with its strings; returns its index, the strings are the next one. */
uint32_t elf_writer_symtab(struct elf_writer *w, uint32_t type);
void elf_writer_symbol(struct elf_writer *w, uint32_t table, const char *name, unsigned type, unsigned binding,
		       uint16_t section, uint64_t value, uint64_t size);
void elf_writer_segment(struct elf_writer *w, uint32_t type, uint32_t flags, uint32_t section, uint64_t vaddr);
/* A GNU build id note section and its segment. */
void elf_writer_build_id(struct elf_writer *w, const void *id, uint32_t bytes);
/* bytes_out: the caller frees the return value. */
uint8_t *elf_writer_finish(struct elf_writer *w, size_t *bytes_out);
int elf_writer_fd(struct elf_writer *w);
void elf_writer_deinit(struct elf_writer *w);

/* A memfd with these bytes. */
int bytes_fd(const void *bytes, size_t n);

/* The file that most tests read: .text at 0x1000 (0x1000 bytes), .symtab, .dynsym, a build id. */
#define SAMPLE_BUILD_ID "0123456789abcdefghij"
void elf_writer_sample(struct elf_writer *w, bool is_64);

#endif
