#include "cmocka_prelude.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/scope.h"
#include "elf_writer.h"
#include "symbolizer/go_image.h"
#include "symbolizer/go_table.h"

#define TEXT	 0x401000
#define TABLE	 0x500000
#define TREES	 0x600000
#define MODULE	 0x700000
#define DATA	 0x710000
#define MODULE_N 48

/* --- a small Go program's tables ---------------------------------------------------------------------------------- */

struct buffer {
	uint8_t bytes[8192];
	size_t n;
};

static void put(struct buffer *b, const void *bytes, size_t n)
{
	assert_true(b->n + n <= sizeof(b->bytes));
	memcpy(b->bytes + b->n, bytes, n);
	b->n += n;
}

static void put32(struct buffer *b, uint32_t value)
{
	put(b, &value, sizeof(value));
}

static uint32_t put_text(struct buffer *b, const char *text)
{
	uint32_t at = (uint32_t)b->n;

	put(b, text, strlen(text) + 1);
	return at;
}

struct pc_pair {
	uint32_t bytes;
	int32_t value;
};

/* Differences of the values, zigzag, and of the pcs. Everything here fits in one byte, but for lines. */
static uint32_t put_pcs(struct buffer *b, const struct pc_pair *pairs, size_t n)
{
	uint32_t at = (uint32_t)b->n;
	int32_t value = -1;

	for (size_t i = 0; i < n; i++) {
		int32_t difference = pairs[i].value - value;
		uint32_t zigzag = (uint32_t)difference << 1 ^ (uint32_t)(difference >> 31);
		for (; zigzag >= 0x80; zigzag >>= 7)
			put(b, (uint8_t[]){(uint8_t)(zigzag | 0x80)}, 1);
		put(b, (uint8_t[]){(uint8_t)zigzag, (uint8_t)pairs[i].bytes}, 2);
		value = pairs[i].value;
	}
	put(b, (uint8_t[]){0}, 1);
	return at;
}
#define PCS(b, ...) put_pcs(b, (const struct pc_pair[]){__VA_ARGS__}, sizeof((const struct pc_pair[]){__VA_ARGS__}) / sizeof(struct pc_pair))

/* What is to be otherwise. */
struct options {
	bool is_1_18;
	bool has_module_section; /* Go 1.26 */
	bool is_merged;	/* no section of its own */
	bool is_pie;	/* moduledata is zeros, and relocated */
	bool is_32;
	bool has_no_module;
	bool has_loop; /* the second call was called from itself */
	uint32_t magic;	 /* 0: a right one */
	uint64_t trees;	 /* moduledata's word; 0: a right one */
};

struct program {
	struct buffer table, trees;
};

/* Function main.outer at TEXT, 0x40 bytes, which inlines main.middle (0x10..0x30, called at line 12), which inlines main.leaf (0x18..0x20, called at line 22);
 * main.other behind it, 0x20 bytes of which 0x18 are code. */
static void make_table(struct program *p, const struct options *o)
{
	struct buffer names = {0}, files = {0}, pcs = {0}, units = {0}, records = {0};
	uint32_t words = o->is_1_18 ? 10 : 11;

	put_text(&names, "");
	uint32_t outer = put_text(&names, "main.outer"), other = put_text(&names, "main.other");
	uint32_t middle = put_text(&names, "main.middle"), leaf = put_text(&names, "main.leaf");
	put32(&units, put_text(&files, "/src/main.go"));
	put32(&units, put_text(&files, "/src/leaf.go"));
	put(&pcs, "", 1);
	uint32_t file = PCS(&pcs, {0x18, 0}, {8, 1}, {0x20, 0}), line = PCS(&pcs, {0x10, 12}, {8, 22}, {8, 1032}, {0x10, 23}, {0x10, 13});
	uint32_t tree = PCS(&pcs, {0x10, -1}, {8, 0}, {8, 1}, {0x10, 0}, {0x10, -1});
	uint32_t other_file = PCS(&pcs, {0x18, 0}), other_line = PCS(&pcs, {0x18, 50});
	/* functab: starts, and where the records are behind it. */
	uint32_t functab_bytes = 3 * 8, record_bytes = 4 * (words + 3 + 4);
	put32(&records, 0);
	put32(&records, functab_bytes);
	put32(&records, 0x40);
	put32(&records, functab_bytes + record_bytes);
	put32(&records, 0x60);
	put32(&records, 0);
	for (int i = 0; i < 2; i++) {
		uint32_t record[] = {i ? 0x40 : 0, i ? other : outer, 0, 0, 0, i ? other_file : file, i ? other_line : line, 3, 0};
		put(&records, record, sizeof(record));
		if (!o->is_1_18)
			put32(&records, i ? 49 : 10);
		put32(&records, 4u << 24);
		put(&records, (uint32_t[]){0, 0, i ? 0 : tree}, 12);
		put(&records, (uint32_t[]){UINT32_MAX, UINT32_MAX, UINT32_MAX, i ? UINT32_MAX : 16}, 16);
	}
	/* Where calls are: before the instruction that the position is of. */
	p->trees.n = 16;
	uint32_t parent_of_leaf = o->has_loop ? 0x18 : 0x10, parent_of_middle = o->has_loop ? 0x18 : 0xc;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t name = i ? leaf : middle, at = i ? parent_of_leaf : parent_of_middle;
		if (o->is_1_18)
			put(&p->trees, (uint32_t[]){0xffff, 0, 0, name, at}, 20);
		else
			put(&p->trees, (uint32_t[]){0, name, at, i ? 1030 : 20}, 16);
	}
	unsigned word = o->is_32 ? 4 : 8;
	uint64_t offset = 8 + 8 * word, header[8] = {2, 2, o->is_1_18 && !o->is_pie ? TEXT : 0};
	const struct buffer *parts[] = {&names, &units, &files, &pcs, &records};
	uint32_t magic = o->magic ? o->magic : o->is_1_18 ? 0xfffffff0 : 0xfffffff1;
	put32(&p->table, magic);
	put(&p->table, (uint8_t[]){0, 0, 1, (uint8_t)word}, 4);
	for (int i = 0; i < 5; i++) {
		header[3 + i] = offset;
		offset += (parts[i]->n + 7) & ~(size_t)7;
	}
	for (int i = 0; i < 8; i++)
		put(&p->table, &header[i], word);
	for (int i = 0; i < 5; i++) {
		p->table.n = 8 + 8 * word;
		p->table.n = (size_t)header[3 + i];
		put(&p->table, parts[i]->bytes, parts[i]->n);
	}
	p->table.n = (size_t)offset;
}

static void make_module(const struct program *p, const struct options *o, uint64_t vaddr, uint64_t words[MODULE_N])
{
	uint64_t header[8] = {0};
	unsigned word = o->is_32 ? 4 : 8;

	for (int i = 0; i < 8; i++)
		memcpy(&header[i], p->table.bytes + 8 + (size_t)i * word, word);
	words[0] = vaddr;
	words[1] = vaddr + header[3];
	words[4] = vaddr + header[4];
	words[22] = TEXT;
	words[o->is_1_18 ? 38 : 40] = o->trees ? o->trees : TREES;
}

static void put_module(struct elf_writer *w, const struct options *o, const uint64_t words[MODULE_N])
{
	const char *name = o->has_module_section ? ".go.module" : ".noptrdata";
	uint8_t data[64 + MODULE_N * 8] = {0}; /* not the first in its section */
	size_t before = o->has_module_section ? 0 : 64, word = o->is_32 ? 4 : 8, n = before + MODULE_N * word;
	Elf64_Rela relocations[MODULE_N] = {{0}};
	size_t n_relocations = 0;

	for (size_t i = 0; i < MODULE_N; i++) {
		if (o->is_pie && words[i])
			relocations[n_relocations++] = (Elf64_Rela){MODULE + before + 8 * i, R_X86_64_RELATIVE, (int64_t)words[i]};
		else
			memcpy(data + before + i * word, &words[i], word);
	}
	uint32_t section = elf_writer_section(w, name, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, MODULE, data, n);
	elf_writer_segment(w, PT_LOAD, PF_R | PF_W, section, MODULE);
	if (o->is_pie)
		elf_writer_section(w, ".rela", SHT_RELA, SHF_ALLOC, DATA, relocations, n_relocations * sizeof(relocations[0]));
}

/* damage: of the table's and the trees' bytes; NULL: none. */
static int make_program(const struct options *o, void (*damage)(struct program *, void *), void *context)
{
	struct program p = {0};
	struct elf_writer w;
	static const uint8_t code[0x100] = {0};
	uint64_t words[MODULE_N] = {0}, at = o->is_merged ? TABLE + 64 : TABLE;
	uint8_t merged[64 + sizeof(p.table.bytes)] = {0};

	make_table(&p, o);
	make_module(&p, o, at, words);
	if (damage)
		damage(&p, context);
	elf_writer_init(&w, !o->is_32);
	w.type = o->is_pie ? ET_DYN : ET_EXEC;
	uint32_t text = elf_writer_section(&w, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, TEXT, code, sizeof(code));
	elf_writer_segment(&w, PT_LOAD, PF_R | PF_X, text, TEXT);
	memcpy(merged + 64, p.table.bytes, p.table.n);
	if (o->is_merged) {
		elf_writer_section(&w, ".go.buildinfo", SHT_PROGBITS, SHF_ALLOC, DATA + 0x8000, code, 16);
		elf_writer_section(&w, ".data.rel.ro", SHT_PROGBITS, SHF_ALLOC, TABLE, merged, 64 + p.table.n);
	} else {
		elf_writer_section(&w, ".gopclntab", SHT_PROGBITS, SHF_ALLOC, TABLE, p.table.bytes, p.table.n);
	}
	uint32_t trees = elf_writer_section(&w, ".rodata", SHT_PROGBITS, SHF_ALLOC, TREES, p.trees.bytes, p.trees.n);
	elf_writer_segment(&w, PT_LOAD, PF_R, trees, TREES);
	if (!o->has_no_module)
		put_module(&w, o, words);
	int fd = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	return fd;
}

/* --- what is read of it ------------------------------------------------------------------------------------------- */

static int read_program(int fd, struct name_table **table_out, uint64_t *n_out)
{
	struct name_table_builder *b = NULL;
	struct name_table_stats stats;
	struct elf_file elf;
	uint64_t bytes;
	AUTO_CLOSE int table_fd = memfd_create("names", MFD_CLOEXEC);

	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(name_table_builder_create(NULL, &b), 0);
	int err = go_table_add(&elf, b, n_out);
	assert_int_equal(name_table_write(b, table_fd, &bytes, &stats), 0);
	name_table_builder_destroy(b);
	assert_int_equal(name_table_open(table_fd, table_out), 0);
	close(fd);
	return err;
}

static const char *frames_of(struct name_table *t, uint64_t vaddr)
{
	static char text[1024];
	struct name_table_match match;
	size_t at = 0;

	if (name_table_find(t, vaddr, &match) < 0)
		return "none";
	for (size_t i = 0; i < match.n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s@%u %s:%u", i ? " < " : "", match.frames[i].name,
				       match.frames[i].start_line, match.frames[i].file, match.frames[i].line);
	return text;
}

static void expect_all(const struct options *o, bool has_calls)
{
	struct name_table *t = NULL;
	uint64_t n = 0;

	assert_int_equal(read_program(make_program(o, NULL, NULL), &t, &n), 0);
	assert_int_equal(n, 2);
	bool has_lines = !o->is_1_18;
	if (has_calls) {
		assert_string_equal(frames_of(t, TEXT), has_lines ? "main.outer@10 /src/main.go:12" : "main.outer@0 /src/main.go:12");
		assert_string_equal(frames_of(t, TEXT + 0x10), has_lines ? "main.middle@20 /src/main.go:22 < main.outer@10 /src/main.go:12"
									 : "main.middle@0 /src/main.go:22 < main.outer@0 /src/main.go:12");
		assert_string_equal(frames_of(t, TEXT + 0x1f),
				    has_lines ? "main.leaf@1030 /src/leaf.go:1032 < main.middle@20 /src/main.go:22 < main.outer@10 /src/main.go:12"
					      : "main.leaf@0 /src/leaf.go:1032 < main.middle@0 /src/main.go:22 < main.outer@0 /src/main.go:12");
	} else {
		assert_string_equal(frames_of(t, TEXT + 0x1f), "main.outer@10 /src/leaf.go:1032");
	}
	assert_string_equal(frames_of(t, TEXT + 0x57), has_lines ? "main.other@49 /src/main.go:50" : "main.other@0 /src/main.go:50");
	assert_string_equal(frames_of(t, TEXT + 0x58), "none"); /* padding */
	name_table_close(t);
}

static void reads_inlined_calls(void **state)
{
	(void)state;
	expect_all(&(struct options){0}, true);
}

static void reads_go_1_18(void **state)
{
	(void)state;
	expect_all(&(struct options){.is_1_18 = true}, true);
}

static void finds_moduledata_in_its_section(void **state)
{
	(void)state;
	expect_all(&(struct options){.has_module_section = true}, true);
}

static void finds_moduledata_by_relocations(void **state)
{
	(void)state;
	expect_all(&(struct options){.is_pie = true}, true);
	expect_all(&(struct options){.is_pie = true, .has_module_section = true}, true);
	expect_all(&(struct options){.is_pie = true, .is_1_18 = true}, true);
}

static void finds_a_merged_table(void **state)
{
	(void)state;
	expect_all(&(struct options){.is_merged = true}, true);
	expect_all(&(struct options){.is_merged = true, .is_pie = true}, true);
}

static void reads_32_bit_programs(void **state)
{
	(void)state;
	expect_all(&(struct options){.is_32 = true}, true);
}

static void without_trees_there_are_functions_and_lines(void **state)
{
	(void)state;
	expect_all(&(struct options){.has_no_module = true}, false);
	expect_all(&(struct options){.trees = TEXT}, false); /* zeros are no calls */
	expect_all(&(struct options){.trees = 1}, false);
}

static void trees_that_bite_their_tail_end(void **state)
{
	struct name_table *t = NULL;
	struct name_table_match match;
	uint64_t n;
	(void)state;

	assert_int_equal(read_program(make_program(&(struct options){.has_loop = true}, NULL, NULL), &t, &n), 0);
	assert_int_equal(name_table_find(t, TEXT + 0x1f, &match), 0);
	assert_in_range(match.n, 2, NAME_TABLE_DEPTH_MAX + 1);
	assert_string_equal(match.frames[0].name, "main.leaf");
	name_table_close(t);
}

static void others_are_refused(void **state)
{
	struct name_table *t = NULL;
	struct elf_writer w;
	uint64_t n;
	(void)state;

	assert_int_equal(read_program(make_program(&(struct options){.magic = 0xfffffffa}, NULL, NULL), &t, &n), -ENOENT); /* Go 1.16 */
	name_table_close(t);
	assert_int_equal(read_program(make_program(&(struct options){.magic = 0x12345678}, NULL, NULL), &t, &n), -EBADMSG);
	name_table_close(t);
	elf_writer_sample(&w, true);
	assert_int_equal(read_program(elf_writer_fd(&w), &t, &n), -ENOENT);
	elf_writer_deinit(&w);
	name_table_close(t);
}

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((*seed >> 33) % below);
}

static void damage_some(struct program *p, void *context)
{
	uint64_t *seed = context;
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};

	for (uint32_t k = 1 + draw(seed, 8); k; k--) {
		struct buffer *b = draw(seed, 4) ? &p->table : &p->trees;
		uint32_t at = draw(seed, (uint32_t)b->n);
		b->bytes[b == &p->table && at < 8 ? 8 : at] = draw(seed, 2) ? values[draw(seed, 5)] : (uint8_t)draw(seed, 256);
	}
}

static void damaged_tables_are_safe(void **state)
{
	uint64_t seed = 5, n, good = 0;
	(void)state;

	for (int round = 0; round < 3000; round++) {
		struct options o = {.is_1_18 = draw(&seed, 2), .is_pie = draw(&seed, 2)};
		struct name_table *t = NULL;
		int err = read_program(make_program(&o, damage_some, &seed), &t, &n);
		assert_true(err == 0 || err == -ENOENT || err == -EBADMSG || err == -E2BIG);
		good += err == 0;
		for (uint64_t at = 0; at < 0x60; at += 8)
			frames_of(t, TEXT + at);
		name_table_close(t);
	}
	assert_true(good > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_inlined_calls),
		cmocka_unit_test(reads_go_1_18),
		cmocka_unit_test(finds_moduledata_in_its_section),
		cmocka_unit_test(finds_moduledata_by_relocations),
		cmocka_unit_test(finds_a_merged_table),
		cmocka_unit_test(reads_32_bit_programs),
		cmocka_unit_test(without_trees_there_are_functions_and_lines),
		cmocka_unit_test(trees_that_bite_their_tail_end),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(damaged_tables_are_safe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
