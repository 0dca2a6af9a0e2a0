#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolizer/debug_only.h"
#include "symbolizer/elf_file.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"

#define LIMIT (64u << 20)

static int out_file(void)
{
	int fd = memfd_create("out", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void put_sections(struct elf_writer *w, bool is_64)
{
	static const char secret[] = "SECRET of the program";

	elf_writer_sample(w, is_64);
	elf_writer_section(w, ".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0x5000, secret, sizeof(secret));
	elf_writer_section(w, ".debug_info", SHT_PROGBITS, 0, 0, "information", 11);
	elf_writer_section(w, ".debug_a_very_long_name_that_is_kept_too", SHT_PROGBITS, 0, 0, "long", 4);
	elf_writer_section(w, ".debugging", SHT_PROGBITS, 0, 0, secret, sizeof(secret));
	elf_writer_section(w, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, 0x6000, NULL, 0);
}

static void assert_same_bytes(const struct elf_file *a, const struct elf_section *x, const struct elf_file *b, const struct elf_section *y)
{
	uint8_t *p = malloc(x->bytes + 1), *q = malloc(x->bytes + 1);

	assert_int_equal(x->bytes, y->bytes);
	assert_int_equal(elf_file_read(a, x->file_offset, p, x->bytes), 0);
	assert_int_equal(elf_file_read(b, y->file_offset, q, x->bytes), 0);
	assert_memory_equal(p, q, x->bytes);
	free(p);
	free(q);
}

/* Sections have the same numbers, names, addresses and sizes; the kept ones the same bytes. Returns how many are kept. */
static size_t compare(int fd, int out, uint64_t bytes)
{
	struct elf_section *before, *after;
	size_t n_before, n_after, kept = 0;
	struct elf_file a, b;
	struct stat file;

	assert_int_equal(fstat(out, &file), 0);
	assert_int_equal(file.st_size, bytes);
	assert_int_equal(elf_file_open_debug(fd, &a), 0);
	assert_int_equal(elf_file_open_debug(out, &b), 0);
	assert_true(a.type == b.type && a.machine == b.machine && a.is_64 == b.is_64 && a.n_segments == b.n_segments && a.entry == b.entry);
	assert_int_equal(elf_file_sections(&a, &before, &n_before), 0);
	assert_int_equal(elf_file_sections(&b, &after, &n_after), 0);
	assert_int_equal(n_before, n_after);
	for (size_t i = 0; i < n_before; i++) {
		assert_true(before[i].name == after[i].name && before[i].vaddr == after[i].vaddr && before[i].bytes == after[i].bytes);
		assert_true(before[i].flags == after[i].flags && before[i].link == after[i].link && before[i].entry_bytes == after[i].entry_bytes);
		if (after[i].type == SHT_NOBITS || after[i].type == SHT_NULL)
			continue;
		assert_int_equal(before[i].type, after[i].type);
		assert_same_bytes(&a, &before[i], &b, &after[i]);
		kept++;
	}
	free(before);
	free(after);
	return kept;
}

static bool has_text(int fd, const char *text)
{
	struct stat file;
	bool found;

	assert_int_equal(fstat(fd, &file), 0);
	char *bytes = malloc((size_t)file.st_size + 1);
	assert_int_equal(pread(fd, bytes, (size_t)file.st_size, 0), file.st_size);
	found = memmem(bytes, (size_t)file.st_size, text, strlen(text));
	free(bytes);
	return found;
}

static void test_kept(void **state)
{
	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		struct debug_only first, again;
		struct elf_section section;
		struct elf_writer w;
		struct elf_file elf;
		put_sections(&w, is_64);
		int fd = elf_writer_fd(&w), out = out_file(), out_again = out_file();
		assert_int_equal(debug_only_write(fd, out, LIMIT, &first), 0);
		assert_true(first.has_dwarf && first.has_symbols);
		compare(fd, out, first.bytes);
		assert_true(has_text(fd, "SECRET"));
		assert_false(has_text(out, "SECRET"));
		assert_int_equal(elf_file_open_debug(out, &elf), 0);
		assert_int_equal(elf_file_find_section(&elf, ".debug_info", &section), 0);
		assert_int_equal(elf_file_find_section(&elf, ".debug_a_very_long_name_that_is_kept_too", &section), 0);
		assert_int_equal(elf_file_find_section(&elf, ".note.gnu.build-id", &section), 0);
		assert_int_equal(elf_file_find_section(&elf, ".symtab", &section), 0);
		assert_true(has_text(out, SAMPLE_BUILD_ID));
		assert_int_equal(strlen(first.hash), 32);
		assert_int_equal(debug_only_write(fd, out_again, LIMIT, &again), 0);
		assert_string_equal(first.hash, again.hash);
		close(out_again);
		out_again = out_file();
		assert_int_equal(debug_only_write(fd, out_again, first.bytes - 1, &again), -EFBIG);
		assert_int_equal(debug_only_write(fd, out_again, first.bytes, &again), 0);
		close(fd);
		close(out);
		close(out_again);
		elf_writer_deinit(&w);
	}
}

/* The build id's segment is where its bytes are now; the others have none. */
static void test_segments(void **state)
{
	struct elf_segment *segments;
	struct debug_only result;
	struct elf_writer w;
	struct elf_file elf;
	size_t n, notes = 0;
	char id[64];

	(void)state;
	put_sections(&w, true);
	int fd = elf_writer_fd(&w), out = out_file();
	assert_int_equal(debug_only_write(fd, out, LIMIT, &result), 0);
	assert_int_equal(elf_file_open_debug(out, &elf), 0);
	assert_int_equal(elf_file_segments(&elf, &segments, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (segments[i].type != PT_NOTE) {
			assert_int_equal(segments[i].file_bytes, 0);
			assert_true(segments[i].memory_bytes > 0);
			continue;
		}
		notes++;
		assert_true(segments[i].file_bytes < sizeof(id));
		assert_int_equal(elf_file_read(&elf, segments[i].file_offset, id, segments[i].file_bytes), 0);
		assert_memory_equal(id + 16, SAMPLE_BUILD_ID, strlen(SAMPLE_BUILD_ID));
	}
	assert_int_equal(notes, 1);
	free(segments);
	close(fd);
	close(out);
	elf_writer_deinit(&w);
}

static void test_nothing_in_it(void **state)
{
	struct debug_only result = {.bytes = 77};
	struct elf_writer w;

	(void)state;
	elf_writer_init(&w, true);
	elf_writer_section(&w, ".text", SHT_PROGBITS, SHF_ALLOC, 0x1000, "code", 4);
	int fd = elf_writer_fd(&w), out = out_file(), text = bytes_fd("no ELF file", 11);
	assert_int_equal(debug_only_write(fd, out, LIMIT, &result), -ENODATA);
	assert_int_equal(debug_only_write(text, out, LIMIT, &result), -ENOEXEC);
	assert_int_equal(result.bytes, 77);
	close(text);
	close(fd);
	elf_writer_deinit(&w);
	put_sections(&w, true);
	w.without_sections = true;
	fd = elf_writer_fd(&w);
	assert_int_equal(debug_only_write(fd, out, LIMIT, &result), -ENODATA);
	close(fd);
	close(out);
	elf_writer_deinit(&w);
}

/* Many sections that are the same bytes: the file that comes out is no larger than the one that went in. */
static void test_sections_over_each_other(void **state)
{
	struct debug_only result;
	struct elf_writer w;

	(void)state;
	put_sections(&w, true);
	size_t n = 0;
	uint8_t *bytes = elf_writer_finish(&w, &n);
	Elf64_Ehdr header;
	memcpy(&header, bytes, sizeof(header));
	for (size_t i = 1; i < header.e_shnum; i++) {
		Elf64_Shdr section;
		memcpy(&section, bytes + header.e_shoff + i * sizeof(section), sizeof(section));
		if (section.sh_type == SHT_NOBITS || i == header.e_shstrndx)
			continue;
		section.sh_type = SHT_NOTE;
		section.sh_offset = 0;
		section.sh_size = n;
		memcpy(bytes + header.e_shoff + i * sizeof(section), &section, sizeof(section));
	}
	int fd = bytes_fd(bytes, n), out = out_file();
	assert_int_equal(debug_only_write(fd, out, LIMIT, &result), -EBADMSG);
	free(bytes);
	close(fd);
	close(out);
	elf_writer_deinit(&w);
}

/* Cut off and changed in every place: an error, or a file that can be read. */
static void test_damaged(void **state)
{
	struct debug_only result;
	struct elf_writer w;
	size_t n, written = 0;

	(void)state;
	put_sections(&w, true);
	uint8_t *bytes = elf_writer_finish(&w, &n);
	int fd = memfd_create("in", MFD_CLOEXEC), out = out_file();
	for (size_t i = 0; i < n + 600; i++) {
		uint8_t *copy = malloc(n);
		memcpy(copy, bytes, n);
		size_t length = i < 600 ? n * i / 600 : n;
		if (i >= 600)
			copy[i - 600] ^= (uint8_t)(1 + i % 255);
		assert_int_equal(ftruncate(fd, 0) | ftruncate(out, 0), 0);
		assert_int_equal(pwrite(fd, copy, length, 0), length);
		if (debug_only_write(fd, out, LIMIT, &result) == 0) {
			assert_true(result.bytes <= 3 * n);
			struct elf_file elf;
			assert_int_equal(elf_file_open_debug(out, &elf), 0);
			written++;
		}
		free(copy);
	}
	assert_true(written > n / 2);
	free(bytes);
	close(fd);
	close(out);
	elf_writer_deinit(&w);
}

/* This program itself, which has all that compilers write. */
static void test_real_file(void **state)
{
	struct debug_only result;
	struct stat file;

	(void)state;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), out = out_file();
	assert_true(fd >= 0 && fstat(fd, &file) == 0);
	assert_int_equal(debug_only_write(fd, out, LIMIT, &result), 0);
	assert_true(result.has_dwarf && result.has_symbols);
	assert_true(result.bytes < (uint64_t)file.st_size);
	assert_true(compare(fd, out, result.bytes) > 8);
	close(fd);
	close(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_nothing_in_it),
		cmocka_unit_test(test_sections_over_each_other),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_real_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
