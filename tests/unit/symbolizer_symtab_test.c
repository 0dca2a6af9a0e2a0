/* symbolizer/symtab.c with symbol_reader.c, symbol_ranges.c and plt_reader.c: written files, damaged files, and every
 * function of real ones against readelf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "symbolizer/symbol_ranges.h"
#include "symbolizer/symtab.h"
#include "base/text_clean.h"
#include "tests/unit/elf_writer.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

static struct symtab *open_writer(struct elf_writer *w)
{
	struct symtab *tab = NULL;
	int fd = elf_writer_fd(w);
	assert_int_equal(symtab_open(fd, &tab), 0);
	close(fd);
	return tab;
}

static const char *name_at(const struct symtab *tab, uint64_t vaddr)
{
	static char name[SYMTAB_NAME_MAX];
	struct symtab_match match;
	size_t bytes;

	if (symtab_find(tab, vaddr, &match) < 0)
		return "-";
	assert_true(vaddr >= match.start && vaddr < match.end);
	if (symtab_name(tab, &match, name, &bytes) < 0)
		return "?";
	assert_int_equal(bytes, strlen(name));
	return name;
}

/* A file with only .text at 0x1000 and one table. */
static uint32_t begin(struct elf_writer *w, uint32_t *text_out)
{
	static const char code[0x1000];
	elf_writer_init(w, true);
	*text_out = elf_writer_section(w, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, code, sizeof(code));
	return elf_writer_symtab(w, SHT_SYMTAB);
}

static void reads_both_tables(void **state)
{
	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		struct elf_writer w;
		struct symtab_match match;
		elf_writer_sample(&w, is_64);
		struct symtab *tab = open_writer(&w);
		assert_string_equal(name_at(tab, 0x1000), "local");
		assert_string_equal(name_at(tab, 0x103f), "local");
		assert_string_equal(name_at(tab, 0x1040), "-");
		assert_string_equal(name_at(tab, 0xfff), "-");
		assert_string_equal(name_at(tab, 0x1100), "main");
		assert_string_equal(name_at(tab, 0x1210), "-"); /* an object */
		assert_string_equal(name_at(tab, 0x1300), "exported");
		assert_string_equal(name_at(tab, 0), "-");
		assert_string_equal(name_at(tab, UINT64_MAX), "-");
		assert_int_equal(symtab_find(tab, 0x1040, &match), -ENOENT);
		assert_int_equal(symtab_count(tab), 3);
		assert_int_equal(symtab_damaged(tab), 0);
		symtab_free(tab);
	}
}

static void aliases_have_an_order(void **state)
{
	struct elf_writer w;
	uint32_t text, tab;

	(void)state;
	tab = begin(&w, &text);
	uint16_t s = (uint16_t)text;
	elf_writer_symbol(&w, tab, "a_local", STT_FUNC, STB_LOCAL, s, 0x1000, 16);
	elf_writer_symbol(&w, tab, "b_weak", STT_FUNC, STB_WEAK, s, 0x1000, 16);
	elf_writer_symbol(&w, tab, "c_global", STT_FUNC, STB_GLOBAL, s, 0x1000, 16);
	elf_writer_symbol(&w, tab, "__x", STT_FUNC, STB_GLOBAL, s, 0x1010, 16);
	elf_writer_symbol(&w, tab, "_x", STT_FUNC, STB_GLOBAL, s, 0x1010, 16);
	elf_writer_symbol(&w, tab, "xlong", STT_FUNC, STB_GLOBAL, s, 0x1020, 16);
	elf_writer_symbol(&w, tab, "xz", STT_FUNC, STB_GLOBAL, s, 0x1020, 16);
	elf_writer_symbol(&w, tab, "xa", STT_FUNC, STB_GLOBAL, s, 0x1020, 16);
	elf_writer_symbol(&w, tab, "local_function", STT_FUNC, STB_LOCAL, s, 0x1030, 16);
	elf_writer_symbol(&w, tab, "global_label", STT_NOTYPE, STB_GLOBAL, s, 0x1030, 16);
	elf_writer_symbol(&w, tab, "ifunc", STT_GNU_IFUNC, STB_GLOBAL, s, 0x1040, 16);
	struct symtab *symtab = open_writer(&w);
	assert_string_equal(name_at(symtab, 0x1008), "c_global");
	assert_string_equal(name_at(symtab, 0x1010), "_x");
	assert_string_equal(name_at(symtab, 0x1020), "xa");
	assert_string_equal(name_at(symtab, 0x1030), "local_function");
	assert_string_equal(name_at(symtab, 0x1040), "ifunc");
	symtab_free(symtab);
}

static void overlaps_give_the_innermost(void **state)
{
	struct elf_writer w;
	uint32_t text, tab;
	struct symtab_match match;

	(void)state;
	tab = begin(&w, &text);
	uint16_t s = (uint16_t)text;
	elf_writer_symbol(&w, tab, "outer", STT_FUNC, STB_GLOBAL, s, 0x1000, 0x100);
	elf_writer_symbol(&w, tab, "inner", STT_FUNC, STB_LOCAL, s, 0x1040, 0x10);
	elf_writer_symbol(&w, tab, "entry", STT_FUNC, STB_LOCAL, s, 0x1000, 0x20); /* outer is global: it wins */
	elf_writer_symbol(&w, tab, "label", STT_NOTYPE, STB_GLOBAL, s, 0x1080, 0);
	elf_writer_symbol(&w, tab, "sized_label", STT_NOTYPE, STB_GLOBAL, s, 0x1090, 4);
	elf_writer_symbol(&w, tab, "crossing", STT_FUNC, STB_LOCAL, s, 0x10f0, 0x40);
	elf_writer_symbol(&w, tab, "best_short", STT_FUNC, STB_GLOBAL, s, 0x1200, 0x10);
	elf_writer_symbol(&w, tab, "longer", STT_FUNC, STB_LOCAL, s, 0x1200, 0x40);
	struct symtab *symtab = open_writer(&w);
	assert_string_equal(name_at(symtab, 0x1000), "outer");
	assert_string_equal(name_at(symtab, 0x103f), "outer");
	assert_string_equal(name_at(symtab, 0x1040), "inner");
	assert_string_equal(name_at(symtab, 0x1050), "outer");
	assert_string_equal(name_at(symtab, 0x1080), "outer");
	assert_string_equal(name_at(symtab, 0x1090), "outer");
	assert_string_equal(name_at(symtab, 0x10f0), "crossing");
	assert_string_equal(name_at(symtab, 0x112f), "crossing");
	assert_string_equal(name_at(symtab, 0x1130), "-");
	assert_string_equal(name_at(symtab, 0x120f), "best_short");
	assert_string_equal(name_at(symtab, 0x1210), "longer");
	assert_string_equal(name_at(symtab, 0x1240), "-");
	assert_int_equal(symtab_find(symtab, 0x1050, &match), 0);
	assert_int_equal(match.start, 0x1050);
	assert_int_equal(match.end, 0x10f0);
	symtab_free(symtab);
}

static void symbols_without_size_end_somewhere(void **state)
{
	struct elf_writer w;
	uint32_t text, tab;

	(void)state;
	tab = begin(&w, &text);
	uint16_t s = (uint16_t)text;
	uint32_t fini = elf_writer_section(&w, ".fini", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x2010, "code", 4);
	elf_writer_symbol(&w, tab, "assembly", STT_NOTYPE, STB_LOCAL, s, 0x1000, 0);
	elf_writer_symbol(&w, tab, "next", STT_FUNC, STB_LOCAL, s, 0x1100, 0);
	elf_writer_symbol(&w, tab, "sized", STT_FUNC, STB_LOCAL, s, 0x1180, 8);
	elf_writer_symbol(&w, tab, "sized_too", STT_FUNC, STB_LOCAL, s, 0x1180, 0); /* must not name the gap */
	elf_writer_symbol(&w, tab, "last", STT_FUNC, STB_LOCAL, s, 0x1200, 0);
	elf_writer_symbol(&w, tab, "_fini", STT_FUNC, STB_GLOBAL, (uint16_t)fini, 0x2010, 0);
	elf_writer_symbol(&w, tab, "too_long", STT_FUNC, STB_GLOBAL, (uint16_t)fini, 0x2012, UINT64_MAX);
	elf_writer_symbol(&w, tab, "_etext", STT_NOTYPE, STB_GLOBAL, s, 0x2000, 0); /* behind the section */
	elf_writer_symbol(&w, tab, "$x", STT_NOTYPE, STB_LOCAL, s, 0x1300, 0);
	elf_writer_symbol(&w, tab, ".L1", STT_NOTYPE, STB_LOCAL, s, 0x1310, 0);
	struct symtab *symtab = open_writer(&w);
	assert_string_equal(name_at(symtab, 0x10ff), "assembly");
	assert_string_equal(name_at(symtab, 0x117f), "next");
	assert_string_equal(name_at(symtab, 0x1187), "sized");
	assert_string_equal(name_at(symtab, 0x1188), "-");
	assert_string_equal(name_at(symtab, 0x1fff), "last");
	assert_string_equal(name_at(symtab, 0x1310), "last");
	assert_string_equal(name_at(symtab, 0x2000), "-");
	assert_string_equal(name_at(symtab, 0x2011), "_fini");
	assert_string_equal(name_at(symtab, 0x2013), "too_long");
	assert_string_equal(name_at(symtab, 0x2014), "-");
	symtab_free(symtab);
}

static void versions_are_cut(void **state)
{
	struct elf_writer w;
	uint32_t text, tab;

	(void)state;
	tab = begin(&w, &text);
	elf_writer_symbol(&w, tab, "memcpy@@GLIBC_2.14", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1000, 16);
	elf_writer_symbol(&w, tab, "memcpy@GLIBC_2.2.5", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1010, 16);
	elf_writer_symbol(&w, tab, "odd@name", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1020, 16);
	struct symtab *symtab = open_writer(&w);
	assert_string_equal(name_at(symtab, 0x1000), "memcpy");
	assert_string_equal(name_at(symtab, 0x1010), "memcpy");
	assert_string_equal(name_at(symtab, 0x1020), "odd@name");
	symtab_free(symtab);
}

static void long_names_are_cut(void **state)
{
	struct elf_writer w;
	uint32_t text, tab;
	char name[10000];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	tab = begin(&w, &text);
	elf_writer_symbol(&w, tab, name, STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1000, 16);
	name[300] = 0; /* longer than the first read */
	elf_writer_symbol(&w, tab, name, STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1010, 16);
	struct symtab *symtab = open_writer(&w);
	size_t bytes = strlen(name_at(symtab, 0x1000));
	assert_true(bytes > 4000 && bytes < SYMTAB_NAME_MAX);
	assert_string_equal(name_at(symtab, 0x1010), name);
	symtab_free(symtab);
}

static void damaged_entries_cost_themselves(void **state)
{
	struct elf_writer w;
	uint32_t text, tab;

	(void)state;
	tab = begin(&w, &text);
	uint16_t s = (uint16_t)text;
	elf_writer_symbol(&w, tab, "good", STT_FUNC, STB_GLOBAL, s, 0x1000, 16);
	elf_writer_symbol(&w, tab, "nowhere", STT_FUNC, STB_GLOBAL, s, UINT64_MAX - 3, 16);
	elf_writer_symbol(&w, tab, "bad_name", STT_FUNC, STB_GLOBAL, s, 0x1020, 16);
	elf_writer_symbol(&w, tab, "", STT_FUNC, STB_GLOBAL, s, 0x1040, 16);
	Elf64_Sym *raw = w.sections[tab].data;
	raw[3].st_name = UINT32_MAX;
	struct symtab *symtab = open_writer(&w);
	assert_string_equal(name_at(symtab, 0x1000), "good");
	assert_string_equal(name_at(symtab, 0x1020), "-");
	assert_string_equal(name_at(symtab, 0x1040), "?");
	assert_int_equal(symtab_damaged(symtab), 2);
	symtab_free(symtab);
}

static void giant_counts_are_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct elf_writer w;
		uint32_t text, tab;
		tab = begin(&w, &text);
		elf_writer_symbol(&w, tab, "good", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1000, 16);
		if (i == 0)
			w.sections[tab].claimed_bytes = UINT64_MAX;
		if (i == 1)
			w.sections[tab].claimed_bytes = 1ULL << 40;
		if (i == 2)
			w.sections[tab + 1].claimed_bytes = UINT64_MAX;
		if (i == 3)
			w.sections[text].claimed_bytes = UINT64_MAX;
		struct symtab *symtab = open_writer(&w);
		assert_string_equal(name_at(symtab, 0x1000), i == 3 ? "-" : "good");
		if (i != 2)
			assert_true(symtab_damaged(symtab) > 0);
		symtab_free(symtab);
	}
}

static void wrong_tables_are_left_out(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct elf_writer w;
		elf_writer_sample(&w, true);
		if (i == 0)
			w.sections[2].entry_bytes = 23;
		if (i == 1)
			w.sections[2].link = 1; /* not strings */
		if (i == 2)
			w.sections[2].link = 4000;
		if (i == 3)
			w.sections[3].flags = SHF_COMPRESSED;
		struct symtab *symtab = open_writer(&w);
		assert_string_equal(name_at(symtab, 0x1000), "-");
		assert_string_equal(name_at(symtab, 0x1300), "exported"); /* .dynsym still works */
		assert_int_equal(symtab_damaged(symtab), 1);
		symtab_free(symtab);
	}
}

static void header_errors_are_returned(void **state)
{
	struct symtab *tab = (void *)&tab, *before = tab;
	struct elf_writer w;
	int fd = bytes_fd("text", 4);

	(void)state;
	assert_int_equal(symtab_open(fd, &tab), -ENOEXEC);
	close(fd);
	elf_writer_sample(&w, true);
	w.claimed_segments = 513;
	fd = elf_writer_fd(&w);
	assert_int_equal(symtab_open(fd, &tab), -E2BIG);
	close(fd);
	elf_writer_sample(&w, true);
	w.claimed_segments = 512;
	fd = elf_writer_fd(&w);
	assert_int_equal(symtab_open(fd, &tab), -EBADMSG);
	close(fd);
	assert_int_equal(symtab_open(-1, &tab), -EBADF);
	assert_ptr_equal(tab, before);
	symtab_free(NULL);
}

/* A file without section headers: everything through PT_DYNAMIC. All vaddrs are one PT_LOAD's. */
static int sectionless_fd(bool gnu, uint32_t lie)
{
	struct {
		char code[0x100];
		Elf64_Sym symbols[3];
		char strings[16];
		uint32_t hash[16];
		Elf64_Dyn dynamic[8];
	} image = { 0 };
	struct elf_writer w;
	const uint64_t base = 0x1000;

	image.symbols[1] = (Elf64_Sym){ 1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 7, base + 0x10, 0x10 };
	image.symbols[2] = (Elf64_Sym){ 5, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 7, base + 0x40, 0x10 };
	memcpy(image.strings, "\0one\0two", 9);
	/* 2 buckets, first symbol 1, 1 bloom word of 8 bytes; buckets 1, 2; chains end at once. */
	const uint32_t gnu_hash[] = { 2, 1, 1, 0, 0, 0, 1, 2, 1, 1 };
	const uint32_t hash[] = { 1, 3, 1, 0, 0, 0 };
	memcpy(image.hash, gnu ? gnu_hash : hash, gnu ? sizeof(gnu_hash) : sizeof(hash));
	if (lie)
		image.hash[gnu ? 7 : 1] = lie;
	Elf64_Dyn tags[] = { { DT_SYMTAB, { base + 0x100 } },
			     { DT_STRTAB, { base + 0x100 + sizeof(image.symbols) } },
			     { DT_STRSZ, { sizeof(image.strings) } },
			     { DT_SYMENT, { sizeof(Elf64_Sym) } },
			     { gnu ? DT_GNU_HASH : DT_HASH,
			       { base + 0x100 + sizeof(image.symbols) + sizeof(image.strings) } } };
	memcpy(image.dynamic, tags, sizeof(tags));
	elf_writer_init(&w, true);
	w.without_sections = true;
	uint32_t all = elf_writer_section(&w, "", SHT_PROGBITS, 0, base, &image, sizeof(image));
	uint32_t dynamic = elf_writer_section(&w, "", SHT_PROGBITS, 0, base, image.dynamic, sizeof(image.dynamic));
	elf_writer_segment(&w, PT_LOAD, PF_R | PF_X, all, base);
	elf_writer_segment(&w, PT_DYNAMIC, PF_R, dynamic, base);
	return elf_writer_fd(&w);
}

static void files_without_sections(void **state)
{
	(void)state;
	for (int gnu = 0; gnu < 2; gnu++) {
		struct symtab *tab = NULL;
		int fd = sectionless_fd(gnu, 0);
		assert_int_equal(symtab_open(fd, &tab), 0);
		close(fd);
		assert_string_equal(name_at(tab, 0x1010), "one");
		assert_string_equal(name_at(tab, 0x104f), "two");
		assert_string_equal(name_at(tab, 0x1030), "-");
		symtab_free(tab);
	}
	static const uint32_t lies[] = { UINT32_MAX, 1U << 31, 100000, 50 };
	for (int i = 0; i < 8; i++) {
		struct symtab *tab = NULL;
		int fd = sectionless_fd(i % 2, lies[i / 2]);
		assert_int_equal(symtab_open(fd, &tab), 0);
		close(fd);
		symtab_free(tab);
	}
}

static void look_everywhere(struct symtab *tab)
{
	for (uint64_t vaddr = 0xf00; vaddr < 0x2100; vaddr += 0x40)
		name_at(tab, vaddr);
}

static void truncated_files(void **state)
{
	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		struct elf_writer w;
		size_t bytes;
		elf_writer_sample(&w, is_64);
		uint8_t *file = elf_writer_finish(&w, &bytes);
		for (size_t n = 0; n < bytes; n += 16) {
			struct symtab *tab = NULL;
			int fd = bytes_fd(file, n);
			int err = symtab_open(fd, &tab);
			assert_true(err == 0 || err == -ENOEXEC || err == -EBADMSG);
			if (err == 0)
				look_everywhere(tab);
			symtab_free(tab);
			close(fd);
		}
		free(file);
		elf_writer_deinit(&w);
	}
}

static void truncated_after_open(void **state)
{
	struct elf_writer w;
	struct symtab *tab = NULL;

	(void)state;
	elf_writer_sample(&w, true);
	int fd = elf_writer_fd(&w);
	assert_int_equal(symtab_open(fd, &tab), 0);
	assert_false(symtab_is_stale(tab));
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_true(symtab_is_stale(tab));
	assert_string_equal(name_at(tab, 0x1000), "?");
	symtab_free(tab);
	close(fd);
}

static void flipped_bits(void **state)
{
	struct elf_writer w;
	size_t bytes;
	unsigned seed = 2;

	(void)state;
	elf_writer_sample(&w, true);
	uint8_t *file = elf_writer_finish(&w, &bytes);
	for (int round = 0; round < 4000; round++) {
		struct symtab *tab = NULL;
		uint8_t *copy = malloc(bytes);
		memcpy(copy, file, bytes);
		for (int flips = 1 + rand_r(&seed) % 4; flips > 0; flips--) {
			/* Headers at the front; tables, strings and section headers at the back. */
			size_t at = rand_r(&seed) % 4 ? bytes - 1 - (size_t)rand_r(&seed) % 1200
						      : (size_t)rand_r(&seed) % 200;
			copy[at] ^= (uint8_t)(1U << (rand_r(&seed) % 8));
		}
		int fd = bytes_fd(copy, bytes);
		int err = symtab_open(fd, &tab);
		assert_true(err == 0 || err == -ENOEXEC || err == -EBADMSG || err == -E2BIG);
		if (err == 0)
			look_everywhere(tab);
		symtab_free(tab);
		close(fd);
		free(copy);
	}
	free(file);
	elf_writer_deinit(&w);
}

/* The rules of symbol_ranges.h once more, without cleverness: of typed symbols with sizes and different starts, the
 * one that starts last. */
static void random_overlaps_match_a_plain_search(void **state)
{
	unsigned seed = 3;
	const struct code_range code = { 0, 1000 };

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct symbol symbols[40], copy[40];
		struct symbol_range *ranges = NULL;
		size_t n = (size_t)rand_r(&seed) % 40, n_ranges = 0;
		for (size_t i = 0; i < n; i++)
			symbols[i] = (struct symbol){ (uint64_t)i * 20 + (uint64_t)rand_r(&seed) % 20,
						      1 + (uint32_t)rand_r(&seed) % 200, (uint32_t)i, 1, false, 0 };
		memcpy(copy, symbols, sizeof(copy));
		assert_int_equal(symbol_ranges_build(symbols, n, &code, 1, &ranges, &n_ranges), 0);
		for (uint64_t vaddr = 0; vaddr < 1100; vaddr++) {
			int64_t expected = -1, got = -1;
			for (size_t i = 0; i < n; i++)
				if (vaddr < 1000 && vaddr >= copy[i].vaddr && vaddr < copy[i].vaddr + copy[i].bytes)
					expected = (int64_t)i;
			for (size_t i = 0; i < n_ranges; i++) {
				if (vaddr < ranges[i].vaddr || vaddr >= ranges[i].vaddr + ranges[i].bytes)
					continue;
				assert_int_equal(got, -1); /* disjoint */
				got = ranges[i].name;
			}
			assert_int_equal(got, expected);
		}
		free(ranges);
	}
}

/* Aliases of a function that returns after each inner one: ranges must not explode. */
static void hostile_nesting_is_bounded(void **state)
{
	const struct code_range code = { 0x1000, 0x41000000 };
	const size_t n = 200000;
	struct symbol *symbols = calloc(n, sizeof(*symbols));
	struct symbol_range *ranges = NULL;
	size_t n_ranges = 0;

	(void)state;
	for (size_t i = 0; i < n / 2; i++)
		symbols[i] = (struct symbol){ 0x1000, SYMBOL_BYTES_MAX, (uint32_t)i, 1, false, 0 };
	for (size_t i = n / 2; i < n; i++)
		symbols[i] = (struct symbol){ 0x1000 + i * 4, 2, (uint32_t)i, 1, false, 0 };
	assert_int_equal(symbol_ranges_build(symbols, n, &code, 1, &ranges, &n_ranges), 0);
	assert_true(n_ranges < n * SYMBOL_ALIASES_MAX);
	free(ranges);
	free(symbols);
}

/* --- real files ------------------------------------------------------------------------------------------------ */

struct known {
	uint64_t vaddr, bytes;
	char name[512];
};

/* Functions by readelf. Returns their number, 0 when there is no readelf. */
static size_t readelf_functions(const char *path, struct known **known_out)
{
	char command[512], line[4096];
	size_t n = 0;

	*known_out = NULL;
	snprintf(command, sizeof(command), "readelf -sW '%s' 2>/dev/null", path);
	FILE *pipe = popen(command, "r");
	while (pipe && fgets(line, sizeof(line), pipe)) {
		struct known k = { 0 };
		char size[32], type[16], bind[16], section[16], name[512];
		if (sscanf(line, " %*d: %lx %31s %15s %15s %*s %15s %511s", &k.vaddr, size, type, bind, section, name) != 6)
			continue;
		if ((strcmp(type, "FUNC") && strcmp(type, "IFUNC")) || !strcmp(section, "UND"))
			continue;
		k.bytes = strtoull(size, NULL, 0);
		char *version = strchr(name, '@');
		if (version && version != name)
			*version = 0;
		snprintf(k.name, sizeof(k.name), "%s", name);
		*known_out = realloc(*known_out, (n + 1) * sizeof(k));
		(*known_out)[n++] = k;
	}
	if (pipe)
		pclose(pipe);
	return n;
}

/* Is this the name of a known function that covers vaddr, and that starts last of those which do? */
static bool is_right(const struct known *known, size_t n, uint64_t vaddr, const char *name)
{
	uint64_t start = 0;
	bool right = false;

	for (size_t i = 0; i < n; i++)
		if (vaddr >= known[i].vaddr && vaddr < known[i].vaddr + known[i].bytes && known[i].vaddr > start)
			start = known[i].vaddr;
	for (size_t i = 0; i < n; i++)
		right |= vaddr >= known[i].vaddr && vaddr < known[i].vaddr + known[i].bytes &&
			 known[i].vaddr == start && strcmp(known[i].name, name) == 0;
	return right;
}

static void matches_readelf(const char *path)
{
	struct known *known;
	struct symtab *tab = NULL;
	size_t n = readelf_functions(path, &known), sized = 0;
	int fd = open(path, O_RDONLY);

	if (n == 0 || fd < 0) {
		print_message("no readelf or no %s: not compared\n", path);
		skip();
	}
	assert_int_equal(symtab_open(fd, &tab), 0);
	close(fd);
	for (size_t i = 0; i < n; i++) {
		struct symtab_match match;
		const char *first = name_at(tab, known[i].vaddr);
		assert_int_equal(symtab_find(tab, known[i].vaddr, &match), 0);
		assert_int_equal(match.start, known[i].vaddr);
		if (!known[i].bytes)
			continue;
		sized++;
		if (!is_right(known, n, known[i].vaddr, first) ||
		    !is_right(known, n, known[i].vaddr + known[i].bytes - 1,
			      name_at(tab, known[i].vaddr + known[i].bytes - 1)))
			fail_msg("%s: %s at %lx got %s", path, known[i].name, known[i].vaddr, first);
	}
	print_message("%s: %zu functions, %zu with sizes, all as readelf says; %zu ranges\n", path, n, sized,
		      symtab_count(tab));
	assert_int_equal(symtab_damaged(tab), 0);
	symtab_free(tab);
	free(known);
}

static void own_executable_matches_readelf(void **state)
{
	char path[256] = "";
	(void)state;
	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	if (strstr(path, "valgrind")) /* its tools are the executable then */
		skip();
	matches_readelf(path);
}

static void libc_matches_readelf(void **state)
{
	(void)state;
	matches_readelf("/lib/x86_64-linux-gnu/libc.so.6");
}

static void plt_stubs_have_names(void **state)
{
	struct symtab *tab = NULL;
	char line[512];
	size_t compared = 0;
	int fd = open("/usr/bin/gcc", O_RDONLY);
	/* "0000000000401a30 <free@plt>:" */
	FILE *pipe = popen("objdump -d -j .plt -j .plt.sec /usr/bin/gcc 2>/dev/null | grep '@plt>:'", "r");

	(void)state;
	if (fd >= 0)
		assert_int_equal(symtab_open(fd, &tab), 0);
	while (tab && pipe && fgets(line, sizeof(line), pipe)) {
		uint64_t vaddr;
		char name[256];
		if (sscanf(line, "%lx <%255[^>]>", &vaddr, name) != 2)
			continue;
		assert_string_equal(name_at(tab, vaddr), name);
		compared++;
	}
	if (pipe)
		pclose(pipe);
	if (fd >= 0)
		close(fd);
	symtab_free(tab);
	if (!compared) {
		print_message("no objdump, or no PLT in /usr/bin/gcc: not compared\n");
		skip();
	}
	print_message("%zu stubs of /usr/bin/gcc as objdump says\n", compared);
}

static void vdso_works(void **state)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	uint64_t start = 0, end = 0;

	(void)state;
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]"))
			sscanf(line, "%lx-%lx", &start, &end);
	if (maps)
		fclose(maps);
	if (!start || start != getauxval(AT_SYSINFO_EHDR)) {
		print_message("no vDSO (valgrind hides it)\n");
		skip();
	}
	struct symtab *tab = NULL;
	int fd = bytes_fd((const void *)(uintptr_t)start, end - start);
	assert_int_equal(symtab_open(fd, &tab), 0);
	close(fd);
	bool found = false;
	for (uint64_t vaddr = 0; vaddr < end - start; vaddr++)
		found |= strcmp(name_at(tab, vaddr), "__vdso_clock_gettime") == 0;
	assert_true(found);
	symtab_free(tab);
}

static void out_of_descriptors(void **state)
{
	struct elf_writer w;
	struct symtab *tab = NULL;
	struct rlimit old, none;

	(void)state;
	elf_writer_sample(&w, true);
	int fd = elf_writer_fd(&w);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int err = symtab_open(fd, &tab);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_true(err == -EMFILE || err == -EINVAL);
	assert_null(tab);
	close(fd);
}

static void cleaned_text(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "a\nb\x7f\x1b[0m", "a?b??[0m" },
		{ "\xff\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
		{ "\xc2\x85\xe2\x80\xae", "??" },			    /* C1, bidi override */
		{ "\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5" },
		{ "\xf0\x9f\x94", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(text_clean(cases[i].in, strlen(cases[i].in), out, sizeof(out)), strlen(cases[i].out));
		assert_string_equal(out, cases[i].out);
	}
	assert_int_equal(text_clean("\xc3\xbc\xc3\xbc", 4, out, 4), 2); /* cut between characters */
	assert_int_equal(text_clean("abc", 3, out, 1), 0);
	assert_int_equal(text_clean("abc", 3, out, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_both_tables),
		cmocka_unit_test(aliases_have_an_order),
		cmocka_unit_test(overlaps_give_the_innermost),
		cmocka_unit_test(symbols_without_size_end_somewhere),
		cmocka_unit_test(versions_are_cut),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(damaged_entries_cost_themselves),
		cmocka_unit_test(giant_counts_are_bounded),
		cmocka_unit_test(wrong_tables_are_left_out),
		cmocka_unit_test(header_errors_are_returned),
		cmocka_unit_test(files_without_sections),
		cmocka_unit_test(truncated_files),
		cmocka_unit_test(truncated_after_open),
		cmocka_unit_test(flipped_bits),
		cmocka_unit_test(random_overlaps_match_a_plain_search),
		cmocka_unit_test(hostile_nesting_is_bounded),
		cmocka_unit_test(own_executable_matches_readelf),
		cmocka_unit_test(libc_matches_readelf),
		cmocka_unit_test(plt_stubs_have_names),
		cmocka_unit_test(vdso_works),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(cleaned_text),
	};
	return cmocka_run_group_tests_name("symbolizer/symtab", tests, NULL, NULL);
}
