/* symbolizer/engine.c with symtab_cache.c and reply_builder.c: the contract of symbolizer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "symbolizer/engine.h"
#include "symbolizer/symtab_cache.h"
#include "tests/unit/elf_writer.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct engine *create(size_t budget_bytes)
{
	struct engine *s = NULL;
	struct engine_options options = { .symtab_budget_bytes = budget_bytes };
	assert_int_equal(engine_create(budget_bytes ? &options : NULL, &s), 0);
	return s;
}

static struct engine_stats stats_of(const struct engine *s)
{
	struct engine_stats stats;
	engine_stats(s, &stats);
	return stats;
}

static int sample_fd(void)
{
	struct elf_writer w;
	elf_writer_sample(&w, true);
	return elf_writer_fd(&w);
}

static const char *answer_name(const struct symbolizer_reply *reply, size_t i)
{
	const struct symbolizer_answer *answer = &reply->answers[i];
	assert_true(i < reply->n_answers);
	if (!answer->count) {
		assert_int_equal(answer->symbol_start, 0);
		assert_int_equal(answer->symbol_end, 0);
		return "-";
	}
	assert_true(answer->first + answer->count <= reply->n_frames);
	return reply->frames[answer->first].name;
}

static void images(void **state)
{
	struct engine *s = create(0);
	struct image_info info;

	(void)state;
	int fd = sample_fd();
	assert_int_equal(engine_image(s, fd, &info), 0);
	assert_int_equal(info.build_id_bytes, 20);
	assert_int_equal(info.n_segments, 1);
	close(fd);
	fd = bytes_fd("text", 4);
	assert_int_equal(engine_image(s, fd, &info), -ENOEXEC);
	close(fd);
	struct elf_writer w;
	elf_writer_sample(&w, true);
	w.data = ELFDATA2MSB;
	fd = elf_writer_fd(&w);
	assert_int_equal(engine_image(s, fd, &info), -ENOEXEC);
	close(fd);
	elf_writer_sample(&w, true);
	w.segments[0].claimed_bytes = 1ULL << 50;
	fd = elf_writer_fd(&w);
	assert_int_equal(engine_image(s, fd, &info), -EBADMSG);
	close(fd);
	elf_writer_sample(&w, true);
	w.claimed_segments = 600;
	fd = elf_writer_fd(&w);
	assert_int_equal(engine_image(s, fd, &info), -E2BIG);
	close(fd);
	assert_int_equal(engine_image(s, -1, &info), -EBADF);
	assert_int_equal(stats_of(s).images_read, 6);
	assert_int_equal(stats_of(s).images_rejected, 4);
	engine_destroy(s);
}

static void names_in_any_order(void **state)
{
	static const uint64_t vaddrs[] = { 0x1300, 0x1000, 0x1050, 0x1010, 0x1300, UINT64_MAX, 0x1100, 0x1000 };
	static const char *const expected[] = { "exported", "local", "-", "local", "exported", "-", "main", "local" };
	struct engine *s = create(0);
	struct symbolizer_reply *reply = NULL;
	int fd = sample_fd();

	(void)state;
	assert_int_equal(engine_names(s, 1, fd, -1, vaddrs, 8, &reply), 0);
	close(fd);
	assert_int_equal(reply->n_answers, 8);
	assert_int_equal(reply->n_frames, 3); /* one for each symbol */
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(answer_name(reply, i), expected[i]);
	assert_int_equal(reply->answers[3].symbol_start, 0x1000);
	assert_int_equal(reply->answers[3].symbol_end, 0x1040);
	for (size_t i = 0; i < reply->n_frames; i++) {
		assert_string_equal(reply->frames[i].file, "");
		assert_int_equal(reply->frames[i].line, 0);
		assert_int_equal(reply->frames[i].start_line, 0);
		assert_string_equal(reply->frames[i].system_name, reply->frames[i].name);
	}
	assert_int_equal(stats_of(s).addresses_named, 6);
	assert_int_equal(stats_of(s).addresses_unnamed, 2);
	symbolizer_reply_free(reply);
	assert_int_equal(engine_names(s, 1, -1, -1, NULL, 0, &reply), 0);
	assert_int_equal(reply->n_answers, 0);
	symbolizer_reply_free(reply);
	symbolizer_reply_free(NULL);
	engine_destroy(s);
	engine_destroy(NULL);
}

/* Each symbol is met once, however its addresses are mixed with others. */
static void many_names_in_any_order(void **state)
{
	static const uint64_t starts[] = { 0x1300, 0x1000, 0x1050, UINT64_MAX - 9, 0x1100, 1ULL << 40 };
	static const char *const expected[] = { "exported", "local", "-", "-", "main", "-" };
	struct engine *s = create(0);
	uint64_t vaddrs[4096];
	struct symbolizer_reply *reply = NULL;
	int fd = sample_fd();

	(void)state;
	for (size_t n = 1; n <= 4096; n = 3 * n / 2 + 1) {
		for (size_t i = 0; i < n; i++)
			vaddrs[i] = starts[i * 7 % 6] + i % 5;
		assert_int_equal(engine_names(s, 1, fd, -1, vaddrs, n, &reply), 0);
		assert_true(reply->n_frames <= 3);
		for (size_t i = 0; i < n; i++)
			assert_string_equal(answer_name(reply, i), expected[i * 7 % 6]);
		symbolizer_reply_free(reply);
	}
	close(fd);
	engine_destroy(s);
}

static void names_are_read_and_cleaned(void **state)
{
	static const char code[0x1000];
	static const uint64_t vaddrs[] = { 0x1000, 0x1010, 0x1020, 0x1030 };
	struct engine *s = create(0);
	struct symbolizer_reply *reply = NULL;
	struct elf_writer w;

	(void)state;
	elf_writer_init(&w, true);
	uint16_t text = (uint16_t)elf_writer_section(&w, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, code,
						     sizeof(code));
	uint32_t tab = elf_writer_symtab(&w, SHT_SYMTAB);
	elf_writer_symbol(&w, tab, "_ZN3foo3barEi", STT_FUNC, STB_GLOBAL, text, 0x1000, 16);
	elf_writer_symbol(&w, tab, "evil\n\xff\x1b", STT_FUNC, STB_GLOBAL, text, 0x1010, 16);
	elf_writer_symbol(&w, tab, "_ZN3f\no3barEi", STT_FUNC, STB_GLOBAL, text, 0x1020, 16);
	elf_writer_symbol(&w, tab, "_RMC1aFGzzzzzzzzzz_EuE", STT_FUNC, STB_GLOBAL, text, 0x1030, 16);
	int fd = elf_writer_fd(&w);
	assert_int_equal(engine_names(s, 1, fd, -1, vaddrs, 4, &reply), 0);
	close(fd);
	assert_string_equal(answer_name(reply, 0), "foo::bar(int)");
	assert_string_equal(reply->frames[reply->answers[0].first].system_name, "_ZN3foo3barEi");
	assert_string_equal(answer_name(reply, 1), "evil?\xef\xbf\xbd?");
	assert_null(strchr(answer_name(reply, 2), '\n'));
	assert_string_equal(answer_name(reply, 3), "_RMC1aFGzzzzzzzzzz_EuE");
	assert_int_equal(stats_of(s).names_refused, 1);
	symbolizer_reply_free(reply);
	engine_destroy(s);
}

static void a_cached_table_needs_no_descriptor(void **state)
{
	const uint64_t vaddr = 0x1000;
	struct engine *s = create(0);
	struct symbolizer_reply *reply = (void *)&s;
	int fd = sample_fd();

	(void)state;
	assert_int_equal(engine_names(s, 1, -1, -1, &vaddr, 1, &reply), -ENOENT);
	assert_ptr_equal(reply, &s);
	assert_int_equal(engine_names(s, 1, fd, -1, &vaddr, 1, &reply), 0);
	symbolizer_reply_free(reply);
	close(fd);
	assert_int_equal(engine_names(s, 1, -1, -1, &vaddr, 1, &reply), 0);
	assert_string_equal(answer_name(reply, 0), "local");
	symbolizer_reply_free(reply);
	assert_int_equal(stats_of(s).symtabs_read, 1);
	assert_true(stats_of(s).symtab_bytes > 0);
	assert_int_equal(engine_names(s, 2, -1, -1, &vaddr, 1, &reply), -ENOENT);
	engine_destroy(s);
}

static void a_changed_file_is_read_again(void **state)
{
	const uint64_t vaddr = 0x1000;
	struct engine *s = create(0);
	struct symbolizer_reply *reply;
	int fd = sample_fd();

	(void)state;
	assert_int_equal(engine_names(s, 1, fd, -1, &vaddr, 1, &reply), 0);
	symbolizer_reply_free(reply);
	assert_int_equal(ftruncate(fd, 100), 0);
	reply = NULL;
	assert_int_equal(engine_names(s, 1, -1, -1, &vaddr, 1, &reply), -ENOENT);
	assert_int_equal(engine_names(s, 1, fd, -1, &vaddr, 1, &reply), -EBADMSG);
	assert_null(reply);
	close(fd);
	engine_destroy(s);
}

static void unreadable_files_are_errors(void **state)
{
	const uint64_t vaddr = 0x1000;
	struct engine *s = create(0);
	struct symbolizer_reply *reply = NULL;
	int fd = bytes_fd("text", 4);

	(void)state;
	assert_int_equal(engine_names(s, 1, fd, -1, &vaddr, 1, &reply), -ENOEXEC);
	assert_null(reply);
	close(fd);
	engine_destroy(s);
}

static void the_budget_evicts_the_least_recently_used(void **state)
{
	const uint64_t vaddr = 0x1000;
	struct symbolizer_reply *reply;
	struct engine *s = create(0);
	int fd = sample_fd();

	(void)state;
	assert_int_equal(engine_names(s, 1, fd, -1, &vaddr, 1, &reply), 0);
	symbolizer_reply_free(reply);
	size_t one = stats_of(s).symtab_bytes;
	engine_destroy(s);
	s = create(one * 2);
	for (uint64_t id = 1; id <= 2; id++) {
		assert_int_equal(engine_names(s, id, fd, -1, &vaddr, 1, &reply), 0);
		symbolizer_reply_free(reply);
	}
	assert_int_equal(engine_names(s, 1, -1, -1, &vaddr, 1, &reply), 0); /* 2 is the older now */
	symbolizer_reply_free(reply);
	assert_int_equal(engine_names(s, 3, fd, -1, &vaddr, 1, &reply), 0);
	symbolizer_reply_free(reply);
	assert_int_equal(engine_names(s, 2, -1, -1, &vaddr, 1, &reply), -ENOENT);
	assert_int_equal(engine_names(s, 1, -1, -1, &vaddr, 1, &reply), 0);
	symbolizer_reply_free(reply);
	assert_int_equal(stats_of(s).symtabs_evicted, 1);
	assert_int_equal(stats_of(s).symtab_bytes, one * 2);
	engine_destroy(s);

	s = create(one - 1); /* larger than the whole budget: used once, dropped, counted */
	assert_int_equal(engine_names(s, 1, fd, -1, &vaddr, 1, &reply), 0);
	assert_string_equal(answer_name(reply, 0), "local");
	symbolizer_reply_free(reply);
	assert_int_equal(engine_names(s, 1, -1, -1, &vaddr, 1, &reply), -ENOENT);
	assert_int_equal(stats_of(s).symtabs_evicted, 1);
	assert_int_equal(stats_of(s).symtab_bytes, 0);
	close(fd);
	engine_destroy(s);
}

static void descriptors_are_bounded(void **state)
{
	const uint64_t vaddr = 0x1000;
	struct symbolizer_reply *reply;
	struct engine *s = create(0);
	int fd = sample_fd();

	(void)state;
	for (uint64_t id = 0; id < SYMTAB_CACHE_TABLES_MAX + 10; id++) {
		assert_int_equal(engine_names(s, id, fd, -1, &vaddr, 1, &reply), 0);
		symbolizer_reply_free(reply);
	}
	int highest = dup(fd);
	assert_true(highest < SYMTAB_CACHE_TABLES_MAX + 40);
	assert_int_equal(stats_of(s).symtabs_evicted, 10);
	close(highest);
	close(fd);
	engine_destroy(s);
}

static void a_damaged_table_still_answers(void **state)
{
	static const uint64_t vaddrs[] = { 0x1000, 0x1300 };
	struct symbolizer_reply *reply;
	struct engine *s = create(0);
	struct elf_writer w;

	(void)state;
	elf_writer_sample(&w, true);
	w.sections[2].claimed_bytes = UINT64_MAX;
	int fd = elf_writer_fd(&w);
	assert_int_equal(engine_names(s, 1, fd, -1, vaddrs, 2, &reply), 0);
	assert_string_equal(answer_name(reply, 0), "local");
	assert_string_equal(answer_name(reply, 1), "exported");
	assert_true(stats_of(s).symbols_damaged > 0);
	symbolizer_reply_free(reply);
	close(fd);
	engine_destroy(s);
}

static void kernel_names(void **state)
{
	static const char text[] = "ffffffff81000000 T _stext\n"
				   "ffffffff81000100 t do_work\n"
				   "garbage\n"
				   "ffffffffc0201000 t rust\t[mod]\n"
				   "ffffffffc0201100 t _RNvC3mod4main\t[mod]\n";
	static const char hidden[] = "0000000000000000 T _stext\n";
	static const uint64_t addrs[] = { 0xffffffffc0201110, 0xffffffff81000180, 0xffffffffc0201010, 0x1000 };
	struct engine *s = create(0);
	struct symbolizer_reply *reply = NULL;

	(void)state;
	assert_int_equal(engine_kernel_base(s), 0);
	assert_int_equal(engine_kernel_names(s, addrs, 4, &reply), -ENOENT);
	int fd = bytes_fd(text, strlen(text));
	assert_int_equal(engine_kernel_load(s, fd), 4);
	close(fd);
	assert_int_equal(engine_kernel_base(s), 0xffffffff81000000);
	assert_int_equal(stats_of(s).kernel_lines_skipped, 1);
	fd = bytes_fd(hidden, strlen(hidden));
	assert_int_equal(engine_kernel_load(s, fd), -EPERM); /* the earlier ones stay */
	close(fd);
	assert_int_equal(engine_kernel_load(s, -1), -EBADF);
	assert_int_equal(engine_kernel_names(s, addrs, 4, &reply), 0);
	assert_string_equal(answer_name(reply, 0), "mod::main [mod]");
	assert_string_equal(reply->frames[reply->answers[0].first].system_name, "_RNvC3mod4main");
	assert_string_equal(answer_name(reply, 1), "do_work");
	assert_string_equal(answer_name(reply, 2), "rust [mod]");
	assert_string_equal(answer_name(reply, 3), "-");
	assert_int_equal(reply->answers[2].symbol_start, 0xffffffffc0201000);
	assert_int_equal(reply->answers[2].symbol_end, 0xffffffffc0201100);
	symbolizer_reply_free(reply);
	fd = bytes_fd("", 0);
	assert_int_equal(engine_kernel_load(s, fd), 0);
	close(fd);
	assert_int_equal(engine_kernel_names(s, addrs, 4, &reply), -ENOENT);
	engine_destroy(s);
}

/* This program names itself: through its program headers, as the agent does. */
static void names_its_own_function(void **state)
{
	struct engine *s = create(0);
	struct symbolizer_reply *reply = NULL;
	struct image_info info;
	Dl_info where;
	char path[256] = "";

	(void)state;
	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	if (strstr(path, "valgrind")) {
		print_message("/proc/self/exe is valgrind's\n");
		engine_destroy(s);
		skip();
	}
	int fd = open("/proc/self/exe", O_RDONLY);
	assert_int_equal(engine_image(s, fd, &info), 0);
	assert_true(info.n_segments >= 1);
	void *function = (void *)(uintptr_t)names_its_own_function;
	assert_true(dladdr(function, &where) != 0);
	uint64_t pc = (uint64_t)(uintptr_t)function;
	uint64_t base = (uint64_t)(uintptr_t)where.dli_fbase;
	uint64_t vaddr = info.segments[0].vaddr < base ? pc - base : pc; /* PIE or not */
	assert_int_equal(engine_names(s, 1, fd, -1, &vaddr, 1, &reply), 0);
	assert_string_equal(answer_name(reply, 0), "names_its_own_function");
	assert_int_equal(reply->answers[0].symbol_start, vaddr);
	symbolizer_reply_free(reply);
	close(fd);
	engine_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images),
		cmocka_unit_test(names_in_any_order),
		cmocka_unit_test(many_names_in_any_order),
		cmocka_unit_test(names_are_read_and_cleaned),
		cmocka_unit_test(a_cached_table_needs_no_descriptor),
		cmocka_unit_test(a_changed_file_is_read_again),
		cmocka_unit_test(unreadable_files_are_errors),
		cmocka_unit_test(the_budget_evicts_the_least_recently_used),
		cmocka_unit_test(descriptors_are_bounded),
		cmocka_unit_test(a_damaged_table_still_answers),
		cmocka_unit_test(kernel_names),
		cmocka_unit_test(names_its_own_function),
	};
	return cmocka_run_group_tests_name("symbolizer/engine", tests, NULL, NULL);
}
