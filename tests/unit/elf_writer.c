#include "tests/unit/elf_writer.h"

#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void elf_writer_init(struct elf_writer *w, bool is_64)
{
	memset(w, 0, sizeof(*w));
	w->is_64 = is_64;
	w->n_sections = 1;
}

/* Room for n bytes and one more: a power of two, so that large tables are not copied with each symbol. */
static size_t room(size_t n)
{
	size_t bytes = 64;

	while (bytes <= n)
		bytes *= 2;
	return bytes;
}

static void append(struct elf_writer_section *section, const void *data, size_t bytes)
{
	if (!section->data || room(section->bytes) != room(section->bytes + bytes))
		section->data = realloc(section->data, room(section->bytes + bytes));
	assert(section->data);
	if (bytes)
		memcpy((char *)section->data + section->bytes, data, bytes);
	section->bytes += bytes;
}

uint32_t elf_writer_section(struct elf_writer *w, const char *name, uint32_t type, uint64_t flags, uint64_t vaddr,
			    const void *data, size_t bytes)
{
	assert(w->n_sections < ELF_WRITER_PARTS_MAX - 1);
	struct elf_writer_section *section = &w->sections[w->n_sections];
	*section = (struct elf_writer_section){ .name = name, .type = type, .flags = flags, .vaddr = vaddr };
	append(section, data, bytes);
	return (uint32_t)w->n_sections++;
}

uint32_t elf_writer_symtab(struct elf_writer *w, uint32_t type)
{
	bool dynamic = type == SHT_DYNSYM;
	static const char zeros[sizeof(Elf64_Sym)];
	size_t entry = w->is_64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	uint32_t table = elf_writer_section(w, dynamic ? ".dynsym" : ".symtab", type, 0, 0, zeros, entry);

	w->sections[table].entry_bytes = entry;
	w->sections[table].link = elf_writer_section(w, dynamic ? ".dynstr" : ".strtab", SHT_STRTAB, 0, 0, "", 1);
	return table;
}

void elf_writer_symbol(struct elf_writer *w, uint32_t table, const char *name, unsigned type, unsigned binding,
		       uint16_t section, uint64_t value, uint64_t size)
{
	struct elf_writer_section *strings = &w->sections[w->sections[table].link];
	uint32_t offset = (uint32_t)strings->bytes;
	unsigned char info = (unsigned char)ELF64_ST_INFO(binding, type);

	append(strings, name, strlen(name) + 1);
	Elf64_Sym wide = { offset, info, 0, section, value, size };
	Elf32_Sym narrow = { offset, (uint32_t)value, (uint32_t)size, info, 0, section };
	if (w->is_64)
		append(&w->sections[table], &wide, sizeof(wide));
	else
		append(&w->sections[table], &narrow, sizeof(narrow));
}

void elf_writer_segment(struct elf_writer *w, uint32_t type, uint32_t flags, uint32_t section, uint64_t vaddr)
{
	assert(w->n_segments < ELF_WRITER_PARTS_MAX);
	w->segments[w->n_segments++] = (struct elf_writer_segment){ type, flags, section, vaddr, 0 };
}

void elf_writer_build_id(struct elf_writer *w, const void *id, uint32_t bytes)
{
	uint32_t header[] = { 4, bytes, NT_GNU_BUILD_ID };
	uint32_t note = elf_writer_section(w, ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, 0x200, header, sizeof(header));

	append(&w->sections[note], "GNU", 4);
	append(&w->sections[note], id, bytes);
	append(&w->sections[note], "\0\0\0", (4 - bytes % 4) % 4);
	elf_writer_segment(w, PT_NOTE, PF_R, note, 0x200);
}

static void put_segment(const struct elf_writer *w, const struct elf_writer_segment *s, uint8_t *at)
{
	const struct elf_writer_section *section = &w->sections[s->section];
	uint64_t bytes = s->claimed_bytes ? s->claimed_bytes : section->bytes;

	if (w->is_64) {
		Elf64_Phdr wide = { s->type, s->flags, section->file_offset, s->vaddr, s->vaddr, bytes, bytes, 4 };
		memcpy(at, &wide, sizeof(wide));
	} else {
		Elf32_Phdr narrow = { s->type,		 (uint32_t)section->file_offset, (uint32_t)s->vaddr,
				      (uint32_t)s->vaddr, (uint32_t)bytes,		 (uint32_t)bytes,
				      s->flags,		 4 };
		memcpy(at, &narrow, sizeof(narrow));
	}
}

static void put_section(const struct elf_writer *w, size_t i, uint32_t name, uint8_t *at)
{
	const struct elf_writer_section *s = &w->sections[i];
	Elf64_Shdr wide = { name,     s->type, s->flags, s->vaddr, s->file_offset,
			    s->bytes, s->link, 0,	 1,	   s->entry_bytes };

	if (s->claimed_bytes)
		wide.sh_size = s->claimed_bytes;
	if (i == 0 && w->counts_in_section_0) {
		wide.sh_size = w->section_0_sections ? w->section_0_sections : w->n_sections;
		wide.sh_info = w->section_0_segments ? w->section_0_segments : (uint32_t)w->n_segments;
		wide.sh_link = (uint32_t)w->n_sections - 1;
	}
	if (w->is_64) {
		memcpy(at, &wide, sizeof(wide));
		return;
	}
	Elf32_Shdr narrow = { wide.sh_name,	       wide.sh_type,		  (uint32_t)wide.sh_flags,
			      (uint32_t)wide.sh_addr,  (uint32_t)wide.sh_offset, (uint32_t)wide.sh_size,
			      wide.sh_link,	       wide.sh_info,		  1,
			      (uint32_t)wide.sh_entsize };
	memcpy(at, &narrow, sizeof(narrow));
}

static void put_header(const struct elf_writer *w, size_t sections_at, uint8_t *at)
{
	Elf64_Ehdr h = { .e_type = w->type ? w->type : ET_DYN,
			 .e_machine = w->machine ? w->machine : EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_phoff = w->is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr),
			 .e_shoff = sections_at,
			 .e_phnum = w->claimed_segments ? w->claimed_segments : (uint16_t)w->n_segments,
			 .e_shnum = w->claimed_sections ? w->claimed_sections : (uint16_t)w->n_sections,
			 .e_shstrndx = (uint16_t)(w->n_sections - 1) };

	if (w->without_sections)
		h.e_shnum = h.e_shstrndx = 0;
	if (w->counts_in_section_0) {
		h.e_shnum = 0;
		h.e_phnum = PN_XNUM;
		h.e_shstrndx = SHN_XINDEX;
	}
	memcpy(h.e_ident, ELFMAG, SELFMAG);
	h.e_ident[EI_CLASS] = w->is_64 ? ELFCLASS64 : ELFCLASS32;
	h.e_ident[EI_DATA] = w->data ? w->data : ELFDATA2LSB;
	h.e_ident[EI_VERSION] = EV_CURRENT;
	if (w->is_64) {
		h.e_ehsize = sizeof(Elf64_Ehdr);
		h.e_phentsize = sizeof(Elf64_Phdr);
		h.e_shentsize = sizeof(Elf64_Shdr);
		memcpy(at, &h, sizeof(h));
		return;
	}
	Elf32_Ehdr n = { .e_type = h.e_type,
			 .e_machine = h.e_machine,
			 .e_version = h.e_version,
			 .e_phoff = (uint32_t)h.e_phoff,
			 .e_shoff = (uint32_t)h.e_shoff,
			 .e_ehsize = sizeof(n),
			 .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = h.e_phnum,
			 .e_shentsize = sizeof(Elf32_Shdr),
			 .e_shnum = h.e_shnum,
			 .e_shstrndx = h.e_shstrndx };
	memcpy(n.e_ident, h.e_ident, EI_NIDENT);
	memcpy(at, &n, sizeof(n));
}

uint8_t *elf_writer_finish(struct elf_writer *w, size_t *bytes_out)
{
	size_t header = w->is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	size_t segment = w->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	size_t section = w->is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	uint32_t names[ELF_WRITER_PARTS_MAX] = { 0 };
	size_t at = header + w->n_segments * segment;
	uint32_t strings = elf_writer_section(w, ".shstrtab", SHT_STRTAB, 0, 0, "", 1);

	for (size_t i = 1; i < w->n_sections; i++) {
		names[i] = (uint32_t)w->sections[strings].bytes;
		append(&w->sections[strings], w->sections[i].name, strlen(w->sections[i].name) + 1);
	}
	for (size_t i = 1; i < w->n_sections; i++) {
		at = (at + 15) & ~(size_t)15;
		w->sections[i].file_offset = at;
		at += w->sections[i].bytes;
	}
	at = (at + 15) & ~(size_t)15;
	size_t bytes = at + (w->without_sections ? 0 : w->n_sections * section);
	uint8_t *out = calloc(1, bytes);
	assert(out);
	put_header(w, w->without_sections ? 0 : at, out);
	for (size_t i = 0; i < w->n_segments; i++)
		put_segment(w, &w->segments[i], out + header + i * segment);
	for (size_t i = 1; i < w->n_sections; i++)
		memcpy(out + w->sections[i].file_offset, w->sections[i].data, w->sections[i].bytes);
	for (size_t i = 0; i < w->n_sections && !w->without_sections; i++)
		put_section(w, i, names[i], out + at + i * section);
	*bytes_out = bytes;
	return out;
}

int bytes_fd(const void *bytes, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert(fd >= 0);
	for (size_t done = 0; done < n;) {
		ssize_t written = write(fd, (const char *)bytes + done, n - done);
		assert(written > 0);
		done += (size_t)written;
	}
	return fd;
}

int elf_writer_fd(struct elf_writer *w)
{
	size_t bytes;
	uint8_t *file = elf_writer_finish(w, &bytes);
	int fd = bytes_fd(file, bytes);

	free(file);
	elf_writer_deinit(w);
	return fd;
}

void elf_writer_deinit(struct elf_writer *w)
{
	for (size_t i = 0; i < w->n_sections; i++)
		free(w->sections[i].data);
	w->n_sections = 0;
}

void elf_writer_sample(struct elf_writer *w, bool is_64)
{
	static const char code[0x1000];

	elf_writer_init(w, is_64);
	uint32_t text = elf_writer_section(w, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, code,
					   sizeof(code));
	uint32_t symtab = elf_writer_symtab(w, SHT_SYMTAB);
	uint32_t dynsym = elf_writer_symtab(w, SHT_DYNSYM);
	uint16_t section = (uint16_t)text;

	elf_writer_symbol(w, symtab, "local", STT_FUNC, STB_LOCAL, section, 0x1000, 0x40);
	elf_writer_symbol(w, symtab, "main", STT_FUNC, STB_GLOBAL, section, 0x1100, 0x80);
	elf_writer_symbol(w, symtab, "data", STT_OBJECT, STB_GLOBAL, section, 0x1200, 0x80);
	elf_writer_symbol(w, dynsym, "exported", STT_FUNC, STB_GLOBAL, section, 0x1300, 0x20);
	elf_writer_symbol(w, dynsym, "main", STT_FUNC, STB_GLOBAL, section, 0x1100, 0x80);
	elf_writer_symbol(w, dynsym, "imported", STT_FUNC, STB_GLOBAL, SHN_UNDEF, 0, 0);
	elf_writer_segment(w, PT_LOAD, PF_R | PF_X, text, 0x1000);
	elf_writer_build_id(w, SAMPLE_BUILD_ID, 20);
}
