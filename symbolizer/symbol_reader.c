#include "symbolizer/symbol_reader.h"
#include "symbolizer/plt_reader.h"
#include "symbolizer/symtab.h"
#include "base/scope.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define CHUNK_BYTES	(64U << 10)
#define SCATTERED_BYTES 256 /* of strings that are looked at here and there */
#define WINDOW_USES_MIN 4

/* A symbol table in the file. */
struct symbol_table {
	uint64_t file_offset;
	uint64_t n;
	enum symbol_source source;
	struct string_table strings;
	/* The last piece read of the strings: labels are looked at while the table is read. */
	char *window;
	uint64_t window_start;
	size_t window_bytes;
	unsigned window_uses;
};

void symbol_set_deinit(struct symbol_set *set)
{
	free(set->symbols);
	free(set->code);
	*set = (struct symbol_set){ 0 };
}

int symbol_set_add(struct symbol_set *set, const struct symbol *symbol)
{
	if (set->n == set->capacity) {
		size_t wanted = set->capacity ? set->capacity * 2 : 256;
		struct symbol *grown = reallocarray(set->symbols, wanted, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		set->symbols = grown;
		set->capacity = wanted;
	}
	set->symbols[set->n++] = *symbol;
	return 0;
}

/* --- executable ranges ----------------------------------------------------------------------------------------- */

static int compare_code(const void *left, const void *right)
{
	const struct code_range *a = left, *b = right;
	return a->start < b->start ? -1 : a->start > b->start;
}

static void add_code(struct symbol_set *set, uint64_t start, uint64_t bytes)
{
	if (bytes && bytes <= UINT64_MAX - start)
		set->code[set->n_code++] = (struct code_range){ start, start + bytes };
}

/* Sections tell where a symbol without a size must end; without them segments do. */
static int read_code(struct symbol_set *set, const struct elf_section *sections, size_t n_sections,
		     const struct elf_segment *segments, size_t n_segments)
{
	set->code = calloc(n_sections + n_segments + 1, sizeof(*set->code));
	if (!set->code)
		return -ENOMEM;
	for (size_t i = 0; i < n_sections; i++)
		if ((sections[i].flags & SHF_ALLOC) && (sections[i].flags & SHF_EXECINSTR))
			add_code(set, sections[i].vaddr, sections[i].bytes);
	for (size_t i = 0; i < n_segments && !n_sections; i++)
		if (segments[i].type == PT_LOAD && (segments[i].flags & PF_X))
			add_code(set, segments[i].vaddr, segments[i].memory_bytes);
	qsort(set->code, set->n_code, sizeof(*set->code), compare_code);
	size_t kept = 0;
	for (size_t i = 0; i < set->n_code; i++) {
		struct code_range range = set->code[i];
		if (kept && range.start < set->code[kept - 1].end)
			range.start = set->code[kept - 1].end;
		if (range.start < range.end)
			set->code[kept++] = range;
	}
	set->n_code = kept;
	return 0;
}

int symbol_reader_code(const struct elf_file *elf, struct code_range **code_out, size_t *n_out)
{
	AUTO_SYMBOL_SET struct symbol_set set = { 0 };
	AUTO_FREE struct elf_section *sections = NULL;
	AUTO_FREE struct elf_segment *segments = NULL;
	size_t n_sections = 0, n_segments = 0;

	int err = elf_file_segments(elf, &segments, &n_segments);
	if (err == 0 || err == -EBADMSG)
		err = elf_file_sections(elf, &sections, &n_sections);
	if (err < 0 && err != -E2BIG && err != -EBADMSG)
		return err;
	err = read_code(&set, sections, n_sections, segments, n_segments);
	if (err < 0)
		return err;
	*code_out = take_ptr(set.code);
	*n_out = set.n_code;
	return 0;
}

/* --- symbols --------------------------------------------------------------------------------------------------- */

/* The first two bytes of a name, "" when they are not in the file. */
static void name_begin(const struct elf_file *elf, struct symbol_table *table, uint32_t name, char begin[3])
{
	memset(begin, 0, 3);
	if (!table->window || name < table->window_start || name - table->window_start + 2 > table->window_bytes) {
		if (!table->window)
			table->window = malloc(CHUNK_BYTES);
		if (!table->window)
			return;
		/* Names in the order of their symbols use much of a window; to read as much for names here and there would take long. */
		table->window_start = name;
		table->window_bytes = table->window_uses >= WINDOW_USES_MIN || !table->window_bytes ? CHUNK_BYTES : SCATTERED_BYTES;
		table->window_uses = 0;
		if (elf_file_read_some(elf, table->strings.file_offset + name, table->window, &table->window_bytes) < 0)
			table->window_bytes = 0;
	}
	table->window_uses++;
	size_t at = name - (size_t)table->window_start;
	if (at + 2 <= table->window_bytes)
		memcpy(begin, table->window + at, 2);
}

/* "$x" marks code and data in ARM and RISC-V objects, ".L" is a compiler's local label. */
static bool is_mapping_symbol(const struct elf_file *elf, struct symbol_table *table, uint32_t name)
{
	char begin[3];

	name_begin(elf, table, name, begin);
	return !begin[0] || begin[0] == '$' || (begin[0] == '.' && begin[1] == 'L');
}

/* See symtab.h for the order. */
static uint8_t symbol_rank(bool label, const Elf64_Sym *raw, enum symbol_source source)
{
	unsigned binding = ELF64_ST_BIND(raw->st_info);
	unsigned kind = (label ? 1U : 3U) + (raw->st_size ? 1U : 0U);
	unsigned reach = binding == STB_LOCAL ? 0U : binding == STB_WEAK ? 1U : 2U;

	return (uint8_t)(kind << 3 | reach << 1 | (source == SYMBOL_FROM_SYMTAB));
}

static int add_symbol(const struct elf_file *elf, struct symbol_table *table, const Elf64_Sym *raw,
		      struct symbol_set *set)
{
	unsigned type = ELF64_ST_TYPE(raw->st_info);
	bool label = type == STT_NOTYPE;
	uint64_t vaddr = raw->st_value;

	if (!label && type != STT_FUNC && type != STT_GNU_IFUNC)
		return 0;
	if (raw->st_shndx == SHN_UNDEF || raw->st_shndx == SHN_COMMON || (label && raw->st_shndx == SHN_ABS))
		return 0;
	if (!raw->st_name)
		return 0;
	if (elf->machine == EM_ARM && !label)
		vaddr &= ~1ULL; /* bit 0 says Thumb. Source: AAELF32, "Symbol Values" */
	if (raw->st_name >= table->strings.bytes) {
		set->damaged++;
		return 0;
	}
	if (!code_ranges_find(set->code, set->n_code, vaddr)) {
		/* Linkers put labels such as _etext behind code: those are no damage. */
		set->damaged += !label;
		return 0;
	}
	if (label && is_mapping_symbol(elf, table, raw->st_name))
		return 0;
	struct symbol symbol = {
		.vaddr = vaddr,
		.bytes = raw->st_size < SYMBOL_BYTES_MAX ? (uint32_t)raw->st_size : SYMBOL_BYTES_MAX,
		.name = raw->st_name,
		.rank = symbol_rank(label, raw, table->source),
		.label = label,
		.source = (uint8_t)table->source,
	};
	return symbol_set_add(set, &symbol);
}

static void load_symbol(const struct elf_file *elf, const char *at, Elf64_Sym *raw)
{
	Elf32_Sym narrow;

	if (elf->is_64) {
		memcpy(raw, at, sizeof(*raw));
		return;
	}
	memcpy(&narrow, at, sizeof(narrow));
	*raw = (Elf64_Sym){ narrow.st_name,  narrow.st_info,  narrow.st_other,
			    narrow.st_shndx, narrow.st_value, narrow.st_size };
}

static int read_table(const struct elf_file *elf, struct symbol_table *table, struct symbol_set *set)
{
	size_t entry_bytes = elf->is_64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	AUTO_FREE char *chunk = malloc(CHUNK_BYTES);

	if (!chunk)
		return -ENOMEM;
	if (table->n > SYMTAB_SYMBOLS_MAX) {
		set->damaged += table->n - SYMTAB_SYMBOLS_MAX;
		table->n = SYMTAB_SYMBOLS_MAX;
	}
	if (table->file_offset > elf->file_bytes) {
		set->damaged++;
		return 0;
	}
	for (uint64_t i = 0; i < table->n;) {
		size_t in_chunk = CHUNK_BYTES / entry_bytes;
		if (in_chunk > table->n - i)
			in_chunk = (size_t)(table->n - i);
		size_t got = in_chunk * entry_bytes;
		int err = elf_file_read_some(elf, table->file_offset + i * entry_bytes, chunk, &got);
		if (err < 0)
			return err;
		for (size_t at = 0; at + entry_bytes <= got; at += entry_bytes) {
			Elf64_Sym raw;
			load_symbol(elf, chunk + at, &raw);
			err = add_symbol(elf, table, &raw, set);
			if (err < 0)
				return err;
		}
		i += in_chunk;
		if (got < in_chunk * entry_bytes) {
			set->damaged += table->n - i + (in_chunk - got / entry_bytes);
			break;
		}
	}
	return 0;
}

static int read_table_of(const struct elf_file *elf, const struct symbol_table *where, struct symbol_set *set)
{
	struct symbol_table table = *where;

	set->strings[table.source] = table.strings;
	int err = read_table(elf, &table, set);
	free(table.window);
	return err;
}

/* --- tables named by sections ---------------------------------------------------------------------------------- */

static int read_section_table(const struct elf_file *elf, const struct elf_section *sections, size_t n_sections,
			      const struct elf_section *section, struct symbol_set *set)
{
	size_t entry_bytes = elf->is_64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);

	if (section->entry_bytes != entry_bytes || section->link >= n_sections) {
		set->damaged++;
		return 0;
	}
	const struct elf_section *strings = &sections[section->link];
	if (strings->type != SHT_STRTAB || ((section->flags | strings->flags) & SHF_COMPRESSED) ||
	    strings->file_offset > elf->file_bytes) {
		set->damaged++;
		return 0;
	}
	struct symbol_table table = {
		.file_offset = section->file_offset,
		.n = section->bytes / entry_bytes,
		.source = section->type == SHT_SYMTAB ? SYMBOL_FROM_SYMTAB : SYMBOL_FROM_DYNSYM,
		.strings = { strings->file_offset, strings->bytes },
	};
	return read_table_of(elf, &table, set);
}

/* The gABI allows one table of each type; of a hostile file only the first is read. */
static int read_section_tables(const struct elf_file *elf, const struct elf_section *sections, size_t n_sections,
			       struct symbol_set *set, bool *has_dynsym_out)
{
	static const uint32_t types[] = { SHT_SYMTAB, SHT_DYNSYM };

	for (size_t t = 0; t < 2; t++) {
		for (size_t i = 0; i < n_sections; i++) {
			if (sections[i].type != types[t])
				continue;
			int err = read_section_table(elf, sections, n_sections, &sections[i], set);
			if (err < 0)
				return err;
			*has_dynsym_out |= types[t] == SHT_DYNSYM;
			break;
		}
	}
	return 0;
}

/* --- the table named by PT_DYNAMIC, for files without sections ------------------------------------------------- */

struct dynamic_tags {
	uint64_t symbols, strings, string_bytes, entry_bytes, hash, gnu_hash;
};

static void note_tag(struct dynamic_tags *tags, int64_t tag, uint64_t value)
{
	switch (tag) {
	case DT_SYMTAB:
		tags->symbols = value;
		break;
	case DT_STRTAB:
		tags->strings = value;
		break;
	case DT_STRSZ:
		tags->string_bytes = value;
		break;
	case DT_SYMENT:
		tags->entry_bytes = value;
		break;
	case DT_HASH:
		tags->hash = value;
		break;
	case DT_GNU_HASH:
		tags->gnu_hash = value;
		break;
	}
}

static int read_dynamic(const struct elf_file *elf, const struct elf_segment *segment, struct dynamic_tags *tags)
{
	char raw[CHUNK_BYTES / 16];
	size_t bytes = segment->file_bytes < sizeof(raw) ? (size_t)segment->file_bytes : sizeof(raw);

	int err = elf_file_read_some(elf, segment->file_offset, raw, &bytes);
	if (err < 0)
		return err;
	for (size_t at = 0; at + (elf->is_64 ? 16 : 8) <= bytes; at += elf->is_64 ? 16 : 8) {
		Elf64_Dyn wide;
		Elf32_Dyn narrow;
		memcpy(&wide, raw + at, elf->is_64 ? sizeof(wide) : sizeof(narrow));
		memcpy(&narrow, raw + at, sizeof(narrow));
		int64_t tag = elf->is_64 ? wide.d_tag : narrow.d_tag;
		if (tag == DT_NULL)
			break;
		note_tag(tags, tag, elf->is_64 ? wide.d_un.d_val : narrow.d_un.d_val);
	}
	return 0;
}

/* The GNU hash table does not say how many symbols there are: the chain of the highest bucket ends at the last.
 * Source: "GNU Hash ELF Sections", https://sourceware.org/ml/binutils/2006-10/msg00377.html */
static int count_gnu_hash(const struct elf_file *elf, uint64_t file_offset, uint64_t bytes, uint64_t *n_out)
{
	uint32_t header[4]; /* buckets, first hashed symbol, bloom words, bloom shift */
	uint32_t chunk[1024];
	uint32_t last = 0;

	if (bytes < sizeof(header))
		return -EBADMSG;
	int err = elf_file_read(elf, file_offset, header, sizeof(header));
	if (err < 0)
		return err;
	uint64_t buckets = sizeof(header) + (uint64_t)header[2] * (elf->is_64 ? 8 : 4);
	uint64_t chains = buckets + (uint64_t)header[0] * 4;
	if (chains > bytes || header[0] > SYMTAB_SYMBOLS_MAX)
		return -EBADMSG;
	for (uint64_t at = buckets; at < chains; at += sizeof(chunk)) {
		size_t got = chains - at < sizeof(chunk) ? (size_t)(chains - at) : sizeof(chunk);
		err = elf_file_read(elf, file_offset + at, chunk, got);
		if (err < 0)
			return err;
		for (size_t i = 0; i < got / 4; i++)
			last = chunk[i] > last ? chunk[i] : last;
	}
	if (last < header[1]) {
		*n_out = header[1];
		return 0;
	}
	for (uint64_t at = chains + (uint64_t)(last - header[1]) * 4; at < bytes; at += sizeof(chunk)) {
		size_t got = bytes - at < sizeof(chunk) ? (size_t)(bytes - at) : sizeof(chunk);
		err = elf_file_read(elf, file_offset + at, chunk, got);
		if (err < 0)
			return err;
		for (size_t i = 0; i < got / 4; i++, last++) {
			if (last >= SYMTAB_SYMBOLS_MAX || (chunk[i] & 1)) {
				*n_out = (uint64_t)last + 1;
				return 0;
			}
		}
	}
	return -EBADMSG;
}

static int count_symbols(const struct elf_file *elf, const struct elf_segment *segments, size_t n_segments,
			 const struct dynamic_tags *tags, uint64_t *n_out)
{
	uint64_t file_offset, bytes;
	uint32_t header[2];

	if (tags->hash && elf_segments_offset(segments, n_segments, tags->hash, &file_offset, &bytes) == 0 &&
	    bytes >= sizeof(header)) {
		int err = elf_file_read(elf, file_offset, header, sizeof(header));
		if (err == 0)
			*n_out = header[1]; /* nchain, one entry for each symbol */
		return err;
	}
	if (tags->gnu_hash && elf_segments_offset(segments, n_segments, tags->gnu_hash, &file_offset, &bytes) == 0)
		return count_gnu_hash(elf, file_offset, bytes, n_out);
	return -EBADMSG;
}

static int read_dynamic_table(const struct elf_file *elf, const struct elf_segment *segments, size_t n_segments,
			      struct symbol_set *set)
{
	struct dynamic_tags tags = { 0 };
	struct symbol_table table = { .source = SYMBOL_FROM_DYNSYM };
	uint64_t symbols_room, strings_room;
	size_t entry_bytes = elf->is_64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);

	for (size_t i = 0; i < n_segments; i++) {
		if (segments[i].type != PT_DYNAMIC)
			continue;
		int err = read_dynamic(elf, &segments[i], &tags);
		if (err < 0)
			return err;
		break;
	}
	if (!tags.symbols)
		return 0;
	int err = count_symbols(elf, segments, n_segments, &tags, &table.n);
	if (err < 0 && err != -EBADMSG)
		return err;
	if (err < 0 || (tags.entry_bytes && tags.entry_bytes != entry_bytes) ||
	    elf_segments_offset(segments, n_segments, tags.symbols, &table.file_offset, &symbols_room) < 0 ||
	    elf_segments_offset(segments, n_segments, tags.strings, &table.strings.file_offset, &strings_room) < 0) {
		set->damaged++;
		return 0;
	}
	if (table.n > symbols_room / entry_bytes)
		table.n = symbols_room / entry_bytes;
	table.strings.bytes = tags.string_bytes < strings_room ? tags.string_bytes : strings_room;
	if (table.strings.file_offset > elf->file_bytes)
		table.strings = (struct string_table){ 0 };
	return read_table_of(elf, &table, set);
}

/* --- all ------------------------------------------------------------------------------------------------------- */

int symbol_set_read(const struct elf_file *elf, struct symbol_set *set_out)
{
	AUTO_SYMBOL_SET struct symbol_set set = { .damaged = elf->sections_damaged };
	AUTO_FREE struct elf_section *sections = NULL;
	AUTO_FREE struct elf_segment *segments = NULL;
	size_t n_sections = 0, n_segments = 0;
	bool has_dynsym = false;

	int err = elf_file_segments(elf, &segments, &n_segments);
	if (err < 0)
		return err;
	err = elf_file_sections(elf, &sections, &n_sections);
	if (err == -E2BIG || err == -EBADMSG)
		set.damaged++; /* PT_DYNAMIC may still work */
	else if (err < 0)
		return err;
	err = read_code(&set, sections, n_sections, segments, n_segments);
	if (err < 0)
		return err;
	err = read_section_tables(elf, sections, n_sections, &set, &has_dynsym);
	if (err < 0)
		return err;
	if (!has_dynsym)
		err = read_dynamic_table(elf, segments, n_segments, &set);
	else
		err = plt_read(elf, sections, n_sections, &set);
	if (err < 0)
		return err;
	*set_out = set;
	set = (struct symbol_set){ 0 };
	return 0;
}
