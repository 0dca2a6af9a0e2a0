#include "symbolizer/go_image.h"
#include "symbolizer/symbol_ranges.h"
#include "base/scope.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_1_18 0xfffffff0u
#define MAGIC_1_20 0xfffffff1u
#define FUNCDATA_TREE 3 /* internal/abi: FUNCDATA_InlTree */
#define PCDATA_TREE   2 /* PCDATA_InlTreeIndex */
#define CHUNK_BYTES   (64U << 10)
#define TREES_BYTES_MAX (64U << 20)
#define TEXT_BYTES_MAX	4096

/* Words of moduledata. */
#define MODULE_WORDS	   48
#define MODULE_NAMES	   1
#define MODULE_UNITS	   4
#define MODULE_TEXT	   22
#define MODULE_TREES_1_18  38
#define MODULE_TREES_1_20  40 /* behind covctrs and ecovctrs */
#define MODULE_TREES_FIRST 34 /* where the field may have moved in versions to come */
#define MODULES_MAX	   8

struct finder {
	const struct elf_file *elf;
	struct elf_section *sections;
	struct elf_segment *segments;
	size_t n_sections, n_segments;
	uint64_t modules[MODULES_MAX]; /* vaddrs where moduledata may be */
	size_t n_modules;
	uint64_t words[MODULE_WORDS];
	bool has_module;
};

static uint32_t load_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t load_word(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static bool is_named(const struct finder *f, const struct elf_section *section, const char *name)
{
	return elf_file_section_is(f->elf, f->sections, f->n_sections, section, name);
}

/* --- the table --------------------------------------------------------------------------------------------------- */

/* magic, 0, 0, quantum, pointer's size; then words: functions, files, text, offsets of names, units, files, pcs, functions. */
static bool is_header(const uint8_t *at, size_t n, struct go_image *image)
{
	uint64_t words[8];

	if (n < 8 + sizeof(words))
		return false;
	uint32_t magic = load_u32(at);
	if ((magic != MAGIC_1_18 && magic != MAGIC_1_20) || at[4] || at[5] || (at[6] != 1 && at[6] != 2 && at[6] != 4) ||
	    (at[7] != 4 && at[7] != 8))
		return false;
	for (unsigned i = 0; i < 8; i++)
		words[i] = load_word(at + 8 + i * at[7], at[7]);
	image->quantum = at[6];
	image->pointer_bytes = at[7];
	image->has_start_lines = magic == MAGIC_1_20;
	image->n_functions = words[0];
	image->text = words[2];
	image->names = words[3];
	image->units = words[4];
	image->files = words[5];
	image->pcs = words[6];
	image->functions = words[7];
	/* One more entry tells where the last function ends. */
	return image->n_functions && image->n_functions <= GO_FUNCTION_COUNT_MAX && image->names <= n && image->units <= n &&
	       image->files <= n && image->pcs <= n && image->functions <= n && (n - image->functions) / 8 > image->n_functions;
}

static int load_table(struct finder *f, const struct elf_section *section, bool is_table, struct go_image *image)
{
	size_t at = 0;

	if (section->type == SHT_NOBITS || section->flags & SHF_COMPRESSED)
		return -EBADMSG;
	if (section->bytes > GO_TABLE_BYTES_MAX)
		return -E2BIG;
	AUTO_FREE uint8_t *bytes = malloc(section->bytes + 1);
	if (!bytes)
		return -ENOMEM;
	int err = elf_file_read(f->elf, section->file_offset, bytes, section->bytes);
	if (err < 0)
		return err;
	while (at < section->bytes && !is_header(bytes + at, section->bytes - at, image)) {
		if (is_table)
			return section->bytes >= 4 && load_u32(bytes) >> 8 == 0xffffff ? -ENOENT : -EBADMSG;
		at += 8;
	}
	if (at >= section->bytes)
		return -ENOENT;
	image->n_bytes = section->bytes - at;
	image->vaddr = section->vaddr + at;
	memmove(bytes, bytes + at, image->n_bytes);
	image->bytes = take_ptr(bytes);
	return 0;
}

static int find_table(struct finder *f, struct go_image *image)
{
	static const char *const names[] = {".gopclntab", ".data.rel.ro.gopclntab"}, *const merged[] = {".data.rel.ro", ".rodata"};
	bool is_go = false;
	int err = -ENOENT;

	for (size_t i = 0; i < f->n_sections; i++) {
		for (size_t k = 0; k < 2; k++)
			if (is_named(f, &f->sections[i], names[k]))
				return load_table(f, &f->sections[i], true, image);
		is_go |= is_named(f, &f->sections[i], ".go.buildinfo") || is_named(f, &f->sections[i], ".note.go.buildid");
	}
	for (size_t k = 0; is_go && k < 2; k++)
		for (size_t i = 0; i < f->n_sections && err == -ENOENT; i++)
			if (is_named(f, &f->sections[i], merged[k]))
				err = load_table(f, &f->sections[i], false, image);
	return err;
}

/* --- moduledata -------------------------------------------------------------------------------------------------- */

static void add_module(struct finder *f, uint64_t vaddr)
{
	for (size_t i = 0; i < f->n_modules; i++)
		if (f->modules[i] == vaddr)
			return;
	if (f->n_modules < MODULES_MAX)
		f->modules[f->n_modules++] = vaddr;
}

/* Words in a section's data that point to the table. */
static int scan_data(struct finder *f, const struct elf_section *section, const struct go_image *image)
{
	AUTO_FREE uint8_t *chunk = malloc(CHUNK_BYTES);

	if (!chunk)
		return -ENOMEM;
	for (uint64_t at = 0; at < section->bytes && f->n_modules < MODULES_MAX; at += CHUNK_BYTES) {
		size_t n = section->bytes - at < CHUNK_BYTES ? (size_t)(section->bytes - at) : CHUNK_BYTES;
		int err = elf_file_read_some(f->elf, section->file_offset + at, chunk, &n);
		if (err < 0)
			return err;
		for (size_t i = 0; i + image->pointer_bytes <= n; i += image->pointer_bytes)
			if (load_word(chunk + i, image->pointer_bytes) == image->vaddr)
				add_module(f, section->vaddr + at + i);
		if (!n)
			break;
	}
	return 0;
}

static bool is_relative(const struct elf_file *elf, const Elf64_Rela *rela)
{
	uint64_t type = ELF64_R_TYPE(rela->r_info);

	return elf->machine == EM_X86_64 ? type == R_X86_64_RELATIVE : elf->machine == EM_AARCH64 && type == R_AARCH64_RELATIVE;
}

/* module 0: places that are to point to the table. Else the words of the module that are relocated. */
static int scan_relocations(struct finder *f, const struct elf_section *section, const struct go_image *image, uint64_t module)
{
	enum { AT_ONCE = CHUNK_BYTES / sizeof(Elf64_Rela) };
	AUTO_FREE Elf64_Rela *chunk = malloc(AT_ONCE * sizeof(*chunk));
	uint64_t n_all = section->bytes / sizeof(*chunk);

	if (!chunk)
		return -ENOMEM;
	for (uint64_t at = 0; at < n_all; at += AT_ONCE) {
		size_t n = (n_all - at < AT_ONCE ? (size_t)(n_all - at) : (size_t)AT_ONCE) * sizeof(*chunk);
		int err = elf_file_read_some(f->elf, section->file_offset + at * sizeof(*chunk), chunk, &n);
		if (err < 0)
			return err;
		n /= sizeof(*chunk);
		for (size_t i = 0; i < n; i++) {
			uint64_t word = (chunk[i].r_offset - module) / 8;
			if (!is_relative(f->elf, &chunk[i]))
				continue;
			if (!module && (uint64_t)chunk[i].r_addend == image->vaddr)
				add_module(f, chunk[i].r_offset);
			else if (module && chunk[i].r_offset >= module && word < MODULE_WORDS && chunk[i].r_offset % 8 == module % 8)
				f->words[word] = (uint64_t)chunk[i].r_addend;
		}
		if (!n)
			break;
	}
	return 0;
}

static int scan_all_relocations(struct finder *f, const struct go_image *image, uint64_t module)
{
	int err = 0;

	for (size_t i = 0; i < f->n_sections && err == 0 && f->elf->is_64; i++)
		if (f->sections[i].type == SHT_RELA && f->sections[i].flags & SHF_ALLOC)
			err = scan_relocations(f, &f->sections[i], image, module);
	return err;
}

static bool is_code(const struct finder *f, uint64_t vaddr)
{
	for (size_t i = 0; i < f->n_segments; i++)
		if (f->segments[i].type == PT_LOAD && f->segments[i].flags & PF_X && vaddr >= f->segments[i].vaddr &&
		    vaddr - f->segments[i].vaddr < f->segments[i].memory_bytes)
			return true;
	return false;
}

static int try_module(struct finder *f, const struct go_image *image, uint64_t vaddr)
{
	uint8_t raw[MODULE_WORDS * 8] = {0};
	uint64_t file_offset, room;
	size_t bytes = (size_t)MODULE_WORDS * image->pointer_bytes;

	if (elf_segments_offset(f->segments, f->n_segments, vaddr, &file_offset, &room) < 0)
		return 0;
	bytes = bytes < room ? bytes : (size_t)room;
	int err = elf_file_read_some(f->elf, file_offset, raw, &bytes);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < MODULE_WORDS; i++)
		f->words[i] = load_word(raw + i * image->pointer_bytes, image->pointer_bytes);
	err = f->elf->type == ET_DYN ? scan_all_relocations(f, image, vaddr) : 0;
	f->has_module = f->words[0] == image->vaddr && f->words[MODULE_NAMES] == image->vaddr + image->names &&
			f->words[MODULE_UNITS] == image->vaddr + image->units && is_code(f, f->words[MODULE_TEXT]);
	return err;
}

static int find_module(struct finder *f, const struct go_image *image)
{
	static const char *const names[] = {".go.module", ".noptrdata", ".data", ".data.rel.ro"};
	int err = 0;

	for (size_t i = 0; i < f->n_sections; i++)
		if (is_named(f, &f->sections[i], names[0]))
			add_module(f, f->sections[i].vaddr);
	for (size_t k = 1; k < 4 && !f->n_modules; k++)
		for (size_t i = 0; i < f->n_sections && err == 0; i++)
			if (f->sections[i].type == SHT_PROGBITS && is_named(f, &f->sections[i], names[k]))
				err = scan_data(f, &f->sections[i], image);
	if (err == 0 && !f->n_modules && f->elf->type == ET_DYN)
		err = scan_all_relocations(f, image, 0);
	for (size_t i = 0; i < f->n_modules && err == 0 && !f->has_module; i++)
		err = try_module(f, image, f->modules[i]);
	return err;
}

/* --- the inline trees -------------------------------------------------------------------------------------------- */

static size_t call_bytes(const struct go_image *image)
{
	return image->has_start_lines ? 16 : 20;
}

/* The bytes from vaddr on, as many as trees can have. */
static int load_trees(struct finder *f, struct go_image *image, uint64_t vaddr, uint64_t bytes)
{
	uint64_t file_offset, room;

	if (vaddr >= image->vaddr && vaddr - image->vaddr < image->n_bytes) { /* Go 1.26 */
		image->trees = image->bytes + (vaddr - image->vaddr);
		image->n_trees = image->n_bytes - (size_t)(vaddr - image->vaddr);
		return 0;
	}
	image->trees = NULL;
	if (elf_segments_offset(f->segments, f->n_segments, vaddr, &file_offset, &room) < 0)
		return 0;
	bytes = bytes < room ? bytes : room;
	if (bytes > TREES_BYTES_MAX)
		bytes = TREES_BYTES_MAX;
	uint8_t *trees = realloc(image->own_trees, (size_t)bytes + 1);
	if (!trees)
		return -ENOMEM;
	image->own_trees = trees;
	image->trees = trees;
	image->n_trees = (size_t)bytes;
	return elf_file_read_some(f->elf, file_offset, trees, &image->n_trees);
}

/* Do the trees' first calls look like calls, for all functions that have a tree? */
static bool are_trees(const struct go_image *image)
{
	struct go_record record;
	struct go_call call;
	size_t n = 0;

	for (uint64_t i = 0; i < image->n_functions && n < 1000; i++) {
		if (!go_image_record(image, i, &record) || record.tree == UINT32_MAX)
			continue;
		n++;
		if (!go_image_call(image, &record, 0, &call) || !call.name || call.parent_pc > record.end - record.start)
			return false;
		const uint8_t *raw = image->trees + record.tree;
		if (image->has_start_lines ? raw[1] || raw[2] || raw[3] : raw[3])
			return false;
		/* Names begin behind another's end. */
		if (image->names + call.name >= image->n_bytes || image->bytes[image->names + call.name - 1] ||
		    !image->bytes[image->names + call.name])
			return false;
	}
	return n > 0;
}

static int find_trees(struct finder *f, struct go_image *image)
{
	unsigned usual = image->has_start_lines ? MODULE_TREES_1_20 : MODULE_TREES_1_18;
	uint64_t bytes = 0;
	struct go_record record;

	for (uint64_t i = 0; i < image->n_functions; i++)
		if (go_image_record(image, i, &record) && record.tree != UINT32_MAX && record.tree > bytes)
			bytes = record.tree;
	bytes += CHUNK_BYTES; /* of the last tree */
	for (unsigned k = MODULE_TREES_FIRST; k <= MODULE_WORDS; k++) {
		unsigned word = k == MODULE_TREES_FIRST ? usual : k - 1;
		if (!f->words[word])
			continue;
		int err = load_trees(f, image, f->words[word], bytes);
		if (err < 0)
			return err;
		if (image->trees && are_trees(image))
			return 0;
	}
	image->trees = NULL;
	return 0;
}

/* --- all --------------------------------------------------------------------------------------------------------- */

static void set_text(const struct finder *f, struct go_image *image)
{
	if (f->has_module)
		image->text = f->words[MODULE_TEXT];
	for (size_t i = 0; i < f->n_sections && !image->text; i++)
		if (is_named(f, &f->sections[i], ".text"))
			image->text = f->sections[i].vaddr;
}

static void scope_finder(struct finder *f)
{
	free(f->sections);
	free(f->segments);
}

int go_image_open(const struct elf_file *elf, struct go_image *image_out)
{
	__attribute__((cleanup(scope_finder))) struct finder f = {.elf = elf};
	struct go_image image = {0};

	int err = elf_file_sections(elf, &f.sections, &f.n_sections);
	if (err == 0)
		err = elf_file_segments(elf, &f.segments, &f.n_segments);
	if (err == 0)
		err = find_table(&f, &image);
	if (err == 0)
		err = find_module(&f, &image);
	if (err == 0)
		set_text(&f, &image);
	if (err == 0 && f.has_module)
		err = find_trees(&f, &image);
	if (err < 0) {
		go_image_deinit(&image);
		return err;
	}
	*image_out = image;
	return 0;
}

void go_image_deinit(struct go_image *image)
{
	free(image->bytes);
	free(image->own_trees);
	*image = (struct go_image){0};
}

/* functab: {start, offset of its record}, 32 bits each. A record, in words of 32 bits: start, name, args, deferreturn, pcsp, pcfile, pcln, n of pcdata,
 * unit, [start line, since 1.20], a word whose last byte is the n of funcdata; pcdata; funcdata. Source: runtime2.go, _func. */
bool go_image_record(const struct go_image *image, uint64_t i, struct go_record *record_out)
{
	const uint8_t *entry = image->bytes + image->functions + 8 * i;
	uint64_t n_words = image->has_start_lines ? 11 : 10;
	uint64_t at = image->functions + load_u32(entry + 4);

	if (i >= image->n_functions || at > image->n_bytes || image->n_bytes - at < 4 * n_words)
		return false;
	const uint8_t *raw = image->bytes + at;
	uint64_t n_pcdata = load_u32(raw + 28);
	uint8_t n_funcdata = raw[4 * n_words - 1];
	*record_out = (struct go_record){
		.start = load_u32(entry),
		.end = load_u32(entry + 8),
		.name = load_u32(raw + 4),
		.pc_file = load_u32(raw + 20),
		.pc_line = load_u32(raw + 24),
		.unit = load_u32(raw + 32),
		.start_line = image->has_start_lines ? load_u32(raw + 36) : 0,
		.tree = UINT32_MAX,
	};
	if (record_out->end <= record_out->start || n_pcdata > 64)
		return false;
	if ((image->n_bytes - at) / 4 < n_words + n_pcdata + n_funcdata)
		return false;
	if (n_pcdata > PCDATA_TREE)
		record_out->pc_tree = load_u32(raw + 4 * (n_words + PCDATA_TREE));
	if (n_funcdata > FUNCDATA_TREE)
		record_out->tree = load_u32(raw + 4 * (n_words + n_pcdata + FUNCDATA_TREE));
	return true;
}

/* 1.20: {function id, 0, 0, 0, name, parent's pc, start line}; before: {parent, function id, 0, file, line, name, parent's pc}. The parent's pc tells what the other
 * fields told. Source: symtab.go and symtabinl.go, inlinedCall. */
bool go_image_call(const struct go_image *image, const struct go_record *record, uint32_t index, struct go_call *call_out)
{
	uint64_t at = record->tree + (uint64_t)index * call_bytes(image);

	if (!image->trees || record->tree == UINT32_MAX || at > image->n_trees || image->n_trees - at < call_bytes(image))
		return false;
	const uint8_t *raw = image->trees + at;
	if (image->has_start_lines)
		*call_out = (struct go_call){load_u32(raw + 4), load_u32(raw + 8), load_u32(raw + 12)};
	else
		*call_out = (struct go_call){load_u32(raw + 12), load_u32(raw + 16), 0};
	return true;
}

const char *go_image_text(const struct go_image *image, uint64_t base, uint64_t offset)
{
	if (base > image->n_bytes || offset >= image->n_bytes - base)
		return "";
	uint64_t room = image->n_bytes - base - offset;
	const char *text = (const char *)image->bytes + base + offset;
	return memchr(text, 0, room < TEXT_BYTES_MAX ? (size_t)room : TEXT_BYTES_MAX) ? text : "";
}
