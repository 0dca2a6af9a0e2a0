/* symbolizer/dwarf_sections.c and section_reader.c: sections whole, in windows, packed; lies, bombs and budgets. */
#include "tests/unit/cmocka_prelude.h"

#include "symbolizer/dwarf_sections.h"
#include "symbolizer/section_reader.h"
#include "tests/unit/elf_writer.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2
#endif

#define MIB (1u << 20)

/* One file that is open. */
struct open_file {
	int fd;
	struct elf_file elf;
	struct dwarf_budget budget;
	struct dwarf_sections *sections;
};

static void open_as(struct open_file *f, struct elf_writer *w, bool is_dwo, uint64_t budget)
{
	f->fd = elf_writer_fd(w);
	f->budget = (struct dwarf_budget){ .left = budget };
	assert_int_equal(elf_file_open_debug(f->fd, &f->elf), 0);
	assert_int_equal(dwarf_sections_open(&f->elf, is_dwo, &f->budget, &f->sections), 0);
}

static void close_file(struct open_file *f, uint64_t budget)
{
	dwarf_sections_close(f->sections);
	assert_int_equal(f->budget.left, budget);
	close(f->fd);
}

/* Bytes that a shift by one would show. */
static uint8_t *pattern(size_t n)
{
	uint8_t *bytes = malloc(n);

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)((i * 2654435761u) >> 13);
	return bytes;
}

enum packer { PACK_ZLIB, PACK_ZSTD, PACK_ZDEBUG };

/* claimed: what the header says; 0: the truth. */
static uint8_t *pack(enum packer packer, const void *data, size_t n, uint64_t claimed, bool is_64, size_t *n_out)
{
	uLongf room = packer == PACK_ZSTD ? ZSTD_compressBound(n) : compressBound(n);
	uint8_t *packed = malloc(room + sizeof(Elf64_Chdr));
	size_t header = is_64 ? sizeof(Elf64_Chdr) : sizeof(Elf32_Chdr);

	assert_non_null(packed);
	if (!claimed)
		claimed = n;
	if (packer == PACK_ZDEBUG) {
		uint64_t big = htobe64(claimed);
		header = 12;
		memcpy(packed, "ZLIB", 4);
		memcpy(packed + 4, &big, sizeof(big));
	} else if (is_64) {
		Elf64_Chdr wide = { packer == PACK_ZLIB ? ELFCOMPRESS_ZLIB : ELFCOMPRESS_ZSTD, 0, claimed, 1 };
		memcpy(packed, &wide, sizeof(wide));
	} else {
		Elf32_Chdr narrow = { packer == PACK_ZLIB ? ELFCOMPRESS_ZLIB : ELFCOMPRESS_ZSTD, (uint32_t)claimed, 1 };
		memcpy(packed, &narrow, sizeof(narrow));
	}
	if (packer == PACK_ZSTD)
		room = ZSTD_compress(packed + header, room, data, n, 1);
	else
		assert_int_equal(compress2(packed + header, &room, data, n, 1), Z_OK);
	*n_out = header + room;
	return packed;
}

static void add_packed(struct elf_writer *w, enum packer packer, const char *name, const void *data, size_t n, uint64_t claimed)
{
	size_t n_packed;
	uint8_t *packed = pack(packer, data, n, claimed, w->is_64, &n_packed);

	elf_writer_section(w, name, SHT_PROGBITS, packer == PACK_ZDEBUG ? 0 : SHF_COMPRESSED, 0, packed, n_packed);
	free(packed);
}

static void a_file_without_dwarf_has_empty_sections(void **state)
{
	struct elf_writer w;
	struct open_file f;
	struct dwarf_view view;
	const uint8_t *bytes;
	size_t n = 1;

	(void)state;
	elf_writer_sample(&w, true);
	open_as(&f, &w, false, MIB);
	for (unsigned i = 0; i < DWARF_SECTIONS; i++) {
		assert_int_equal(dwarf_section_bytes(f.sections, i), 0);
		dwarf_view_init(&view, f.sections, i);
		assert_int_equal(dwarf_view_get(&view, 0, 1, &bytes), -EBADMSG);
		assert_int_equal(dwarf_view_some(&view, 0, &n, &bytes), -EBADMSG);
		dwarf_view_deinit(&view);
	}
	close_file(&f, MIB);
	dwarf_sections_close(NULL);
}

static void finds_each_section_by_its_name(void **state)
{
	static const char *const names[DWARF_SECTIONS] = { ".debug_info", ".debug_types", ".debug_abbrev", ".debug_line",
		".debug_line_str", ".debug_str", ".debug_str_offsets", ".debug_addr", ".debug_ranges", ".debug_rnglists",
		".debug_aranges", ".debug_cu_index", ".debug_tu_index" };

	(void)state;
	for (int is_dwo = 0; is_dwo < 2; is_dwo++) {
		struct elf_writer w;
		struct open_file f;
		char full[DWARF_SECTIONS][64];
		elf_writer_init(&w, true);
		for (unsigned i = 0; i < DWARF_SECTIONS; i++) {
			bool has_suffix = is_dwo && i < DWARF_CU_INDEX;
			strcat(strcpy(full[i], names[i]), has_suffix ? ".dwo" : "");
			elf_writer_section(&w, full[i], SHT_PROGBITS, 0, 0, names[i], i + 1);
		}
		elf_writer_section(&w, ".debug_info.dw", SHT_PROGBITS, 0, 0, "wrong", 5);
		elf_writer_section(&w, ".debug_inf", SHT_PROGBITS, 0, 0, "wrong", 5);
		open_as(&f, &w, is_dwo, MIB);
		for (unsigned i = 0; i < DWARF_SECTIONS; i++) {
			struct dwarf_view view;
			const uint8_t *bytes;
			assert_int_equal(dwarf_section_bytes(f.sections, i), i + 1);
			dwarf_view_init(&view, f.sections, i);
			assert_int_equal(dwarf_view_get(&view, 0, i + 1, &bytes), 0);
			assert_memory_equal(bytes, names[i], i + 1);
			assert_int_equal(dwarf_view_get(&view, 0, i + 2, &bytes), -EBADMSG);
			assert_int_equal(dwarf_view_get(&view, i + 2, 0, &bytes), -EBADMSG);
			assert_int_equal(dwarf_view_get(&view, UINT64_MAX, 2, &bytes), -EBADMSG);
			assert_int_equal(dwarf_view_get(&view, 1, SIZE_MAX, &bytes), -EBADMSG);
			dwarf_view_deinit(&view);
		}
		close_file(&f, MIB);
	}
}

/* The unit is in the section that is in no group, wherever it stands. */
static void sections_of_type_units_are_passed_over(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct elf_writer w;
		struct open_file f;
		elf_writer_init(&w, true);
		w.type = ET_REL;
		if (first)
			elf_writer_section(&w, ".debug_info.dwo", SHT_PROGBITS, 0, 0, "unit", 4);
		elf_writer_section(&w, ".debug_info.dwo", SHT_PROGBITS, SHF_GROUP, 0, "type", 3);
		if (!first)
			elf_writer_section(&w, ".debug_info.dwo", SHT_PROGBITS, 0, 0, "unit", 4);
		elf_writer_section(&w, ".debug_info.dwo", SHT_PROGBITS, 0, 0, "another", 7);
		open_as(&f, &w, true, MIB);
		assert_int_equal(dwarf_section_bytes(f.sections, DWARF_INFO), 4);
		close_file(&f, MIB);
	}
}

/* Every place and length of a large section, in order and not, whatever the window. */
static void windows_show_what_the_file_has(void **state)
{
	size_t n = 5 * MIB + 12345;
	uint8_t *data = pattern(n);
	static const enum dwarf_section which[] = { DWARF_INFO, DWARF_STR };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct elf_writer w;
		struct open_file f;
		struct dwarf_view view, other;
		const uint8_t *bytes;
		uint64_t seed = 1;
		elf_writer_init(&w, true);
		elf_writer_section(&w, ".debug_info", SHT_PROGBITS, 0, 0, data, n);
		elf_writer_section(&w, ".debug_str", SHT_PROGBITS, 0, 0, data, n);
		open_as(&f, &w, false, 10 * MIB); /* less than four times the section: no section is read whole */
		dwarf_view_init(&view, f.sections, which[i]);
		dwarf_view_init(&other, f.sections, which[i]);
		for (uint64_t offset = 0; offset < n; offset += 4093) {
			size_t length = n - offset < 5000 ? (size_t)(n - offset) : 5000;
			assert_int_equal(dwarf_view_get(&view, offset, length, &bytes), 0);
			assert_memory_equal(bytes, data + offset, length);
		}
		for (int k = 0; k < 2000; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			uint64_t offset = (seed >> 20) % n;
			size_t length = (seed >> 50) < n - offset ? (size_t)(seed >> 50) : (size_t)(n - offset), some = length + 1;
			assert_int_equal(dwarf_view_get(&other, offset, length, &bytes), 0);
			assert_memory_equal(bytes, data + offset, length);
			assert_int_equal(dwarf_view_some(&view, offset, &some, &bytes), 0);
			assert_int_equal(some, n - offset == length ? length : length + 1);
			assert_memory_equal(bytes, data + offset, some);
		}
		assert_int_equal(dwarf_view_get(&view, 0, n, &bytes), 0);
		assert_memory_equal(bytes, data, n);
		assert_int_equal(dwarf_view_get(&other, 0, n, &bytes), -E2BIG); /* the budget has one of them */
		assert_int_equal(dwarf_view_get(&other, 0, n + 1, &bytes), -EBADMSG);
		assert_int_equal(f.budget.refused, 1);
		dwarf_view_deinit(&view);
		assert_int_equal(dwarf_view_get(&other, 0, n, &bytes), 0);
		dwarf_view_deinit(&other);
		close_file(&f, 10 * MIB);
	}
	free(data);
}

static void strings_end_where_they_end(void **state)
{
	size_t n = 3 * MIB;
	uint8_t *data = malloc(n);

	(void)state;
	assert_non_null(data);
	memset(data, 'x', n);
	memcpy(data, "one\0two", 8);
	data[2 * MIB] = 0;
	for (int whole = 0; whole < 2; whole++) {
		struct elf_writer w;
		struct open_file f;
		struct dwarf_view view;
		const char *text;
		size_t bytes;
		uint64_t budget = whole ? 16 * MIB : 8 * MIB;
		elf_writer_init(&w, true);
		elf_writer_section(&w, ".debug_str", SHT_PROGBITS, 0, 0, data, n);
		open_as(&f, &w, false, budget);
		dwarf_view_init(&view, f.sections, DWARF_STR);
		assert_int_equal(dwarf_view_string(&view, 4, 100, &text, &bytes), 0);
		assert_int_equal(bytes, 3);
		assert_memory_equal(text, "two", 3);
		assert_int_equal(dwarf_view_string(&view, 4, 2, &text, &bytes), 0);
		assert_int_equal(bytes, 2);
		assert_int_equal(dwarf_view_string(&view, 3, 100, &text, &bytes), 0);
		assert_int_equal(bytes, 0);
		assert_int_equal(dwarf_view_string(&view, 8, 4096, &text, &bytes), 0);
		assert_int_equal(bytes, 4096);
		assert_int_equal(dwarf_view_string(&view, 8, SIZE_MAX, &text, &bytes), 0);
		assert_int_equal(bytes, 2 * MIB - 8);
		assert_int_equal(dwarf_view_string(&view, n - 1, 2, &text, &bytes), -EBADMSG); /* never ends */
		assert_int_equal(dwarf_view_string(&view, n - 1, 1, &text, &bytes), 0);
		assert_int_equal(dwarf_view_string(&view, n, 1, &text, &bytes), -EBADMSG);
		dwarf_view_deinit(&view);
		close_file(&f, budget);
	}
	free(data);
}

static void packed_sections_are_unpacked(void **state)
{
	size_t n = 200000;
	uint8_t *data = pattern(n);

	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		for (unsigned packer = PACK_ZLIB; packer <= PACK_ZDEBUG; packer++) {
			struct elf_writer w;
			struct open_file f;
			struct dwarf_view view;
			const uint8_t *bytes;
			elf_writer_init(&w, is_64);
			add_packed(&w, packer, packer == PACK_ZDEBUG ? ".zdebug_str" : ".debug_str", data, n, 0);
			add_packed(&w, packer, packer == PACK_ZDEBUG ? ".zdebug_line" : ".debug_line", "", 0, 0);
			open_as(&f, &w, false, 2 * MIB);
			assert_int_equal(f.budget.left, 2 * MIB); /* nothing before it is asked for */
			assert_int_equal(dwarf_section_bytes(f.sections, DWARF_STR), n);
			assert_int_equal(f.budget.left, 2 * MIB - n);
			assert_int_equal(dwarf_section_bytes(f.sections, DWARF_LINE), 0);
			dwarf_view_init(&view, f.sections, DWARF_STR);
			assert_int_equal(dwarf_view_get(&view, 0, n, &bytes), 0);
			assert_memory_equal(bytes, data, n);
			dwarf_view_deinit(&view);
			close_file(&f, 2 * MIB);
		}
	}
	free(data);
}

static int get_first(struct elf_writer *w, uint64_t budget, uint64_t *refused_out)
{
	struct open_file f;
	struct dwarf_view view;
	const uint8_t *bytes;

	open_as(&f, w, false, budget);
	dwarf_view_init(&view, f.sections, DWARF_STR);
	int err = dwarf_view_get(&view, 0, 1, &bytes);
	assert_int_equal(dwarf_section_bytes(f.sections, DWARF_STR), 0);
	*refused_out = f.budget.refused;
	dwarf_view_deinit(&view);
	close_file(&f, budget);
	return err;
}

/* SAFETY 4: nothing is unpacked beyond what is claimed, and what is claimed is within the budget. */
static void lies_and_bombs_are_refused(void **state)
{
	size_t n = 4 * MIB;
	uint8_t *zeroes = calloc(1, n);
	uint64_t refused;
	struct elf_writer w;

	(void)state;
	assert_non_null(zeroes);
	for (unsigned packer = PACK_ZLIB; packer <= PACK_ZDEBUG; packer++) {
		const char *name = packer == PACK_ZDEBUG ? ".zdebug_str" : ".debug_str";
		static const uint64_t lies[] = { 100, 4 * MIB - 1, 4 * MIB + 1, 8 * MIB };
		for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
			elf_writer_init(&w, true);
			add_packed(&w, packer, name, zeroes, n, lies[i]);
			assert_int_equal(get_first(&w, 16 * MIB, &refused), -EBADMSG);
			assert_int_equal(refused, 0);
		}
		static const uint64_t bombs[] = { 0, 1ULL << 40, UINT64_MAX };
		for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
			elf_writer_init(&w, true);
			add_packed(&w, packer, name, zeroes, n, bombs[i]);
			assert_int_equal(get_first(&w, 4 * MIB - 1, &refused), -E2BIG);
			assert_int_equal(refused, 1);
		}
	}
	free(zeroes);
}

static void damaged_packed_sections_are_refused(void **state)
{
	uint8_t *data = pattern(5000);
	struct elf_writer w;
	uint64_t refused;

	(void)state;
	for (unsigned packer = PACK_ZLIB; packer <= PACK_ZDEBUG; packer++) {
		const char *name = packer == PACK_ZDEBUG ? ".zdebug_str" : ".debug_str";
		uint64_t flags = packer == PACK_ZDEBUG ? 0 : SHF_COMPRESSED;
		size_t n;
		uint8_t *packed = pack(packer, data, 5000, 0, true, &n);
		for (size_t cut = 0; cut < n; cut += cut < 40 ? 1 : 97) {
			elf_writer_init(&w, true);
			elf_writer_section(&w, name, SHT_PROGBITS, flags, 0, packed, cut);
			assert_int_equal(get_first(&w, MIB, &refused), -EBADMSG);
		}
		packed[0] ^= 0x40; /* no such compression */
		elf_writer_init(&w, true);
		elf_writer_section(&w, name, SHT_PROGBITS, flags, 0, packed, n);
		assert_int_equal(get_first(&w, MIB, &refused), packer == PACK_ZDEBUG ? -EBADMSG : -EOPNOTSUPP);
		free(packed);
	}
	free(data);
}

static void sections_that_are_not_in_the_file_are_empty(void **state)
{
	struct elf_writer w;
	uint64_t refused;

	(void)state;
	elf_writer_init(&w, true);
	uint32_t i = elf_writer_section(&w, ".debug_str", SHT_PROGBITS, 0, 0, "x", 1);
	w.sections[i].claimed_bytes = 1ULL << 40;
	assert_int_equal(get_first(&w, MIB, &refused), -EBADMSG);
	elf_writer_init(&w, true);
	elf_writer_section(&w, ".debug_str", SHT_NOBITS, 0, 0, "x", 1);
	assert_int_equal(get_first(&w, MIB, &refused), -EBADMSG);
}

static void a_file_that_shrinks_gives_an_error(void **state)
{
	size_t n = 3 * MIB;
	uint8_t *data = pattern(n);
	struct elf_writer w;
	struct open_file f;
	struct dwarf_view view;
	const uint8_t *bytes;

	(void)state;
	elf_writer_init(&w, true);
	elf_writer_section(&w, ".debug_info", SHT_PROGBITS, 0, 0, data, n);
	open_as(&f, &w, false, 16 * MIB);
	dwarf_view_init(&view, f.sections, DWARF_INFO);
	assert_int_equal(dwarf_view_get(&view, 0, 10, &bytes), 0);
	assert_int_equal(ftruncate(f.fd, MIB), 0);
	assert_int_equal(dwarf_view_get(&view, 2 * MIB, 10, &bytes), -EBADMSG);
	dwarf_view_deinit(&view);
	close_file(&f, 16 * MIB);
	free(data);
}

static void only_debug_files_may_be_relocatable(void **state)
{
	struct elf_file elf;
	struct elf_writer w;

	(void)state;
	elf_writer_sample(&w, true);
	w.type = ET_REL;
	int fd = elf_writer_fd(&w);
	assert_int_equal(elf_file_open(fd, &elf), -ENOEXEC);
	assert_int_equal(elf_file_open_debug(fd, &elf), 0);
	close(fd);
	elf_writer_sample(&w, true);
	w.type = ET_CORE;
	fd = elf_writer_fd(&w);
	assert_int_equal(elf_file_open_debug(fd, &elf), -ENOEXEC);
	close(fd);
}

static void too_many_sections_are_over_the_limit(void **state)
{
	struct elf_writer w;
	struct elf_file elf;
	struct dwarf_budget budget = { .left = MIB };
	struct dwarf_sections *sections = NULL;

	(void)state;
	elf_writer_sample(&w, true);
	int fd = elf_writer_fd(&w);
	assert_int_equal(elf_file_open(fd, &elf), 0);
	elf.n_sections = ELF_SECTIONS_MAX + 1;
	assert_int_equal(dwarf_sections_open(&elf, false, &budget, &sections), -E2BIG);
	assert_null(sections);
	close(fd);
}

static void packed_bytes_are_known_beforehand(void **state)
{
	struct elf_writer w;
	struct open_file f;

	(void)state;
	elf_writer_init(&w, true);
	elf_writer_section(&w, ".debug_info", SHT_PROGBITS, 0, 0, "plain", 5);
	add_packed(&w, PACK_ZLIB, ".debug_str", "1234567", 7, 0);
	add_packed(&w, PACK_ZDEBUG, ".zdebug_line", "12345", 5, 0);
	add_packed(&w, PACK_ZSTD, ".debug_addr", "123", 3, 1000);
	add_packed(&w, PACK_ZLIB, ".debug_loclists", "1234", 4, 0);
	open_as(&f, &w, false, MIB);
	assert_int_equal(dwarf_sections_packed_bytes(&f.elf), 1012);
	close_file(&f, MIB);
	elf_writer_init(&w, true);
	add_packed(&w, PACK_ZLIB, ".debug_str", "1234567", 7, 1ULL << 63);
	add_packed(&w, PACK_ZLIB, ".debug_info", "1234567", 7, 1ULL << 63);
	open_as(&f, &w, false, MIB);
	assert_true(dwarf_sections_packed_bytes(&f.elf) == UINT64_MAX);
	f.elf.n_sections = ELF_SECTIONS_MAX + 1;
	assert_int_equal(dwarf_sections_packed_bytes(&f.elf), 0);
	close_file(&f, MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_without_dwarf_has_empty_sections),
		cmocka_unit_test(finds_each_section_by_its_name),
		cmocka_unit_test(sections_of_type_units_are_passed_over),
		cmocka_unit_test(windows_show_what_the_file_has),
		cmocka_unit_test(strings_end_where_they_end),
		cmocka_unit_test(packed_sections_are_unpacked),
		cmocka_unit_test(packed_bytes_are_known_beforehand),
		cmocka_unit_test(lies_and_bombs_are_refused),
		cmocka_unit_test(damaged_packed_sections_are_refused),
		cmocka_unit_test(sections_that_are_not_in_the_file_are_empty),
		cmocka_unit_test(a_file_that_shrinks_gives_an_error),
		cmocka_unit_test(only_debug_files_may_be_relocatable),
		cmocka_unit_test(too_many_sections_are_over_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
