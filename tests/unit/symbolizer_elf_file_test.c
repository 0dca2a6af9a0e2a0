/* symbolizer/elf_file.c and image_info.c: good, bad and lying headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "symbolizer/image_info.h"
#include "tests/unit/elf_writer.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int read_info(int fd, struct image_info *info)
{
	struct elf_file elf;
	int err = elf_file_open(fd, &elf);
	return err < 0 ? err : image_info_read(&elf, info);
}

/* Takes the writer's file, closes it. */
static int info_of(struct elf_writer *w, struct image_info *info)
{
	int fd = elf_writer_fd(w);
	int err = read_info(fd, info);
	close(fd);
	return err;
}

static void reads_both_classes(void **state)
{
	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		struct elf_writer w;
		struct image_info info;
		elf_writer_sample(&w, is_64);
		assert_int_equal(info_of(&w, &info), 0);
		assert_int_equal(info.address_bytes, is_64 ? 8 : 4);
		assert_int_equal(info.build_id_bytes, 20);
		assert_memory_equal(info.build_id, SAMPLE_BUILD_ID, 20);
		assert_int_equal(info.n_segments, 1);
		assert_int_equal(info.segments[0].vaddr, 0x1000);
		assert_int_equal(info.segments[0].file_bytes, 0x1000);
		assert_true(info.segments[0].file_offset > 0);
		assert_false(info.segments_dropped);
	}
}

static void refuses_what_is_not_elf(void **state)
{
	static const char *const texts[] = { "", "\x7f", "\x7f" "EL", "#!/bin/sh\n",
					     "\x7f" "ELG and more and more and more" };
	struct image_info info;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int fd = bytes_fd(texts[i], strlen(texts[i]));
		assert_int_equal(read_info(fd, &info), -ENOEXEC);
		close(fd);
	}
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(read_info(pipes[0], &info), -ENOEXEC);
	close(pipes[0]);
	close(pipes[1]);
	int folder = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(read_info(folder, &info), -ENOEXEC);
	close(folder);
	assert_int_equal(read_info(-1, &info), -EBADF);
}

static void refuses_other_kinds_of_elf(void **state)
{
	struct elf_writer w;
	struct image_info info;

	(void)state;
	elf_writer_sample(&w, true);
	w.data = ELFDATA2MSB;
	assert_int_equal(info_of(&w, &info), -ENOEXEC);
	elf_writer_sample(&w, true);
	w.type = ET_REL;
	assert_int_equal(info_of(&w, &info), -ENOEXEC);
	elf_writer_sample(&w, true);
	w.type = ET_CORE;
	assert_int_equal(info_of(&w, &info), -ENOEXEC);
}

static void unreadable_fd_gives_errno(void **state)
{
	struct image_info info;
	int fd = open("/etc/passwd", O_RDONLY | O_PATH);

	(void)state;
	assert_int_equal(read_info(fd, &info), -EBADF);
	close(fd);
}

static void output_is_untouched_on_failure(void **state)
{
	struct image_info info, before;
	struct elf_writer w;

	(void)state;
	memset(&info, 0x5a, sizeof(info));
	before = info;
	elf_writer_sample(&w, true);
	w.segments[0].claimed_bytes = 1ULL << 40;
	assert_int_equal(info_of(&w, &info), -EBADMSG);
	assert_memory_equal(&info, &before, sizeof(info));
}

static void refuses_counts_over_limits(void **state)
{
	struct elf_writer w;
	struct image_info info;

	(void)state;
	elf_writer_sample(&w, true);
	w.claimed_segments = ELF_SEGMENTS_MAX + 1;
	assert_int_equal(info_of(&w, &info), -E2BIG);
	elf_writer_sample(&w, true);
	w.claimed_segments = 512; /* within the limit, not in the file */
	assert_int_equal(info_of(&w, &info), -EBADMSG);
	elf_writer_sample(&w, true);
	w.counts_in_section_0 = true;
	w.section_0_segments = UINT32_MAX;
	assert_int_equal(info_of(&w, &info), -E2BIG);
	elf_writer_sample(&w, true);
	w.without_sections = true;
	w.claimed_segments = PN_XNUM;
	assert_int_equal(info_of(&w, &info), -EBADMSG);

	int fd = memfd_create("huge", MFD_CLOEXEC);
	elf_writer_sample(&w, true);
	size_t bytes;
	uint8_t *file = elf_writer_finish(&w, &bytes);
	assert_int_equal(pwrite(fd, file, bytes, 0), (ssize_t)bytes);
	if (ftruncate(fd, (off_t)(ELF_FILE_BYTES_MAX + 1)) == 0)
		assert_int_equal(read_info(fd, &info), -E2BIG);
	else
		print_message("no sparse file of 16 GiB here, its limit is not tested\n");
	free(file);
	elf_writer_deinit(&w);
	close(fd);
}

static void reads_counts_from_section_0(void **state)
{
	struct elf_writer w;
	struct image_info info;

	(void)state;
	elf_writer_sample(&w, true);
	w.counts_in_section_0 = true;
	assert_int_equal(info_of(&w, &info), 0);
	assert_int_equal(info.n_segments, 1);
	assert_int_equal(info.build_id_bytes, 20);
}

static void bad_section_tables_cost_only_sections(void **state)
{
	static const uint64_t counts[] = { 65537, UINT32_MAX, UINT64_MAX, 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct elf_writer w;
		struct image_info info;
		struct elf_file elf;
		struct elf_section *sections = NULL;
		size_t n = 7;
		elf_writer_sample(&w, true);
		w.counts_in_section_0 = true;
		w.section_0_sections = counts[i];
		int fd = elf_writer_fd(&w);
		assert_int_equal(read_info(fd, &info), 0);
		assert_int_equal(info.build_id_bytes, 20);
		assert_int_equal(elf_file_open(fd, &elf), 0);
		int err = elf_file_sections(&elf, &sections, &n);
		if (counts[i] > ELF_SECTIONS_MAX) {
			assert_int_equal(err, -E2BIG);
			assert_int_equal(n, 7);
		} else {
			assert_int_equal(err, 0);
			assert_int_equal(n, 0);
			assert_true(elf.sections_damaged);
		}
		free(sections);
		close(fd);
	}
}

static void refuses_segments_outside_the_file(void **state)
{
	struct elf_writer w;
	struct image_info info;

	(void)state;
	elf_writer_sample(&w, true);
	w.segments[0].claimed_bytes = UINT64_MAX;
	assert_int_equal(info_of(&w, &info), -EBADMSG);
	elf_writer_sample(&w, true);
	w.segments[0].vaddr = UINT64_MAX - 8; /* wraps */
	assert_int_equal(info_of(&w, &info), -EBADMSG);
}

static void keeps_64_executable_segments(void **state)
{
	struct elf_writer w;
	struct image_info info;
	size_t bytes;
	Elf64_Phdr load = { PT_LOAD, PF_X, 0, 0x1000, 0x1000, 16, 16, 4 };
	uint8_t *file = calloc(1, sizeof(Elf64_Ehdr) + 65 * sizeof(load));

	(void)state;
	elf_writer_init(&w, true);
	w.without_sections = true;
	w.claimed_segments = 65;
	uint8_t *header = elf_writer_finish(&w, &bytes);
	memcpy(file, header, sizeof(Elf64_Ehdr));
	for (size_t i = 0; i < 65; i++)
		memcpy(file + sizeof(Elf64_Ehdr) + i * sizeof(load), &load, sizeof(load));
	int fd = bytes_fd(file, sizeof(Elf64_Ehdr) + 65 * sizeof(load));
	assert_int_equal(read_info(fd, &info), 0);
	assert_int_equal(info.n_segments, IMAGE_SEGMENTS_MAX);
	assert_true(info.segments_dropped);
	close(fd);
	free(header);
	free(file);
	elf_writer_deinit(&w);
}

static void build_ids_have_4_to_64_bytes(void **state)
{
	static const uint32_t lengths[] = { 0, 3, 4, 16, 64, 65, 200 };
	char id[256];

	(void)state;
	memset(id, 0xab, sizeof(id));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct elf_writer w;
		struct image_info info;
		elf_writer_init(&w, true);
		elf_writer_build_id(&w, id, lengths[i]);
		assert_int_equal(info_of(&w, &info), 0);
		bool good = lengths[i] >= 4 && lengths[i] <= 64;
		assert_int_equal(info.build_id_bytes, good ? lengths[i] : 0);
	}
}

static void build_id_from_sections_alone(void **state)
{
	struct elf_writer w;
	struct image_info info;

	(void)state;
	elf_writer_init(&w, true);
	elf_writer_build_id(&w, SAMPLE_BUILD_ID, 20);
	w.n_segments = 0;
	assert_int_equal(info_of(&w, &info), 0);
	assert_int_equal(info.build_id_bytes, 20);
}

static void damaged_notes_give_no_build_id(void **state)
{
	static const uint32_t notes[][5] = {
		{ UINT32_MAX, 20, NT_GNU_BUILD_ID, 0, 0 },
		{ 4, UINT32_MAX, NT_GNU_BUILD_ID, 0x00554e47, 0 },
		{ 4, 20, NT_GNU_BUILD_ID, 0x00554e47, 0 }, /* ends early */
		{ 0, 0, 0, 0, 0 },
		{ 0x7ffffffc, 0x7ffffffc, 3, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		struct elf_writer w;
		struct image_info info;
		elf_writer_init(&w, true);
		uint32_t note = elf_writer_section(&w, ".note", SHT_NOTE, 0, 0, notes[i], sizeof(notes[i]));
		elf_writer_segment(&w, PT_NOTE, PF_R, note, 0);
		assert_int_equal(info_of(&w, &info), 0);
		assert_int_equal(info.build_id_bytes, 0);
	}
}

static void giant_note_is_read_in_part(void **state)
{
	struct elf_writer w;
	struct image_info info;

	(void)state;
	elf_writer_sample(&w, true);
	w.segments[1].claimed_bytes = 1ULL << 60;
	assert_int_equal(info_of(&w, &info), 0);
	assert_int_equal(info.build_id_bytes, 20);
}

/* 65,535 sections of notes over the same 64 KiB took a second. */
static void notes_are_read_up_to_a_limit(void **state)
{
	static const uint32_t empty[16384 / sizeof(uint32_t)]; /* notes of type 0 without a name */
	struct image_info info;
	struct elf_writer w;

	(void)state;
	for (size_t before = 0; before < 2; before++) {
		elf_writer_init(&w, true);
		for (size_t i = 0; i < (before ? NOTES_BYTES_MAX / sizeof(empty) : 2); i++)
			elf_writer_section(&w, ".note", SHT_NOTE, 0, 0, empty, sizeof(empty));
		elf_writer_build_id(&w, SAMPLE_BUILD_ID, 20);
		w.n_segments = 0;
		assert_int_equal(info_of(&w, &info), 0);
		assert_int_equal(info.build_id_bytes, before ? 0 : 20);
	}
}

static void truncation_gives_errors(void **state)
{
	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		struct elf_writer w;
		size_t bytes;
		elf_writer_sample(&w, is_64);
		uint8_t *file = elf_writer_finish(&w, &bytes);
		for (size_t n = 0; n < bytes; n += 16) {
			struct image_info info;
			int fd = bytes_fd(file, n);
			int err = read_info(fd, &info);
			assert_true(err == 0 || err == -ENOEXEC || err == -EBADMSG);
			if (n < 16)
				assert_int_equal(err, -ENOEXEC);
			else if (n < 0x1000)
				assert_int_equal(err, -EBADMSG);
			close(fd);
		}
		free(file);
		elf_writer_deinit(&w);
	}
}

static void truncated_after_open_gives_an_error(void **state)
{
	struct elf_writer w;
	struct elf_file elf;
	struct image_info info;
	struct elf_section *sections = NULL;
	size_t n;

	(void)state;
	elf_writer_sample(&w, true);
	int fd = elf_writer_fd(&w);
	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(ftruncate(fd, 70), 0);
	assert_int_equal(image_info_read(&elf, &info), -EBADMSG);
	assert_int_equal(elf_file_sections(&elf, &sections, &n), -EBADMSG);
	close(fd);
}

static void flipped_bits_never_crash(void **state)
{
	struct elf_writer w;
	size_t bytes;
	unsigned seed = 1;

	(void)state;
	elf_writer_sample(&w, true);
	uint8_t *file = elf_writer_finish(&w, &bytes);
	for (int round = 0; round < 3000; round++) {
		struct image_info info;
		uint8_t *copy = malloc(bytes);
		memcpy(copy, file, bytes);
		for (int flips = 1 + rand_r(&seed) % 4; flips > 0; flips--) {
			/* Headers at the front, section headers at the back. */
			size_t at = rand_r(&seed) % 2 ? (size_t)rand_r(&seed) % 200
						      : bytes - 1 - (size_t)rand_r(&seed) % 700;
			copy[at] ^= (uint8_t)(1U << (rand_r(&seed) % 8));
		}
		int fd = bytes_fd(copy, bytes);
		int err = read_info(fd, &info);
		assert_true(err == 0 || err == -ENOEXEC || err == -EBADMSG || err == -E2BIG);
		close(fd);
		free(copy);
	}
	free(file);
	elf_writer_deinit(&w);
}

static void vaddr_to_file_offset(void **state)
{
	struct elf_segment segments[] = { { .type = PT_NOTE, .vaddr = 0x1000, .file_bytes = 0x1000 },
					  { .type = PT_LOAD, .vaddr = 0x1000, .file_offset = 0x200, .file_bytes = 0x100 } };
	uint64_t file_offset = 7, bytes = 7;

	(void)state;
	assert_int_equal(elf_segments_offset(segments, 2, 0x1010, &file_offset, &bytes), 0);
	assert_int_equal(file_offset, 0x210);
	assert_int_equal(bytes, 0xf0);
	assert_int_equal(elf_segments_offset(segments, 2, 0x1100, &file_offset, &bytes), -ENOENT);
	assert_int_equal(elf_segments_offset(segments, 2, 0xfff, &file_offset, &bytes), -ENOENT);
	assert_int_equal(file_offset, 0x210);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_both_classes),
		cmocka_unit_test(refuses_what_is_not_elf),
		cmocka_unit_test(refuses_other_kinds_of_elf),
		cmocka_unit_test(unreadable_fd_gives_errno),
		cmocka_unit_test(output_is_untouched_on_failure),
		cmocka_unit_test(refuses_counts_over_limits),
		cmocka_unit_test(reads_counts_from_section_0),
		cmocka_unit_test(bad_section_tables_cost_only_sections),
		cmocka_unit_test(refuses_segments_outside_the_file),
		cmocka_unit_test(keeps_64_executable_segments),
		cmocka_unit_test(build_ids_have_4_to_64_bytes),
		cmocka_unit_test(build_id_from_sections_alone),
		cmocka_unit_test(damaged_notes_give_no_build_id),
		cmocka_unit_test(giant_note_is_read_in_part),
		cmocka_unit_test(notes_are_read_up_to_a_limit),
		cmocka_unit_test(truncation_gives_errors),
		cmocka_unit_test(truncated_after_open_gives_an_error),
		cmocka_unit_test(flipped_bits_never_crash),
		cmocka_unit_test(vaddr_to_file_offset),
	};
	return cmocka_run_group_tests_name("symbolizer/elf_file", tests, NULL, NULL);
}
