/* symbolizer/kallsyms.c: written texts, garbage, and this machine's kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "symbolizer/kallsyms.h"
#include "tests/unit/elf_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct kallsyms *read_bytes(const char *text, size_t bytes)
{
	struct kallsyms *k = NULL;
	int fd = bytes_fd(text, bytes);
	assert_int_equal(kallsyms_read(fd, &k), 0);
	close(fd);
	return k;
}

static struct kallsyms *read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

static const char *name_at(const struct kallsyms *k, uint64_t address)
{
	static char text[1024];
	struct kernel_symbol symbol;

	if (kallsyms_find(k, address, &symbol) < 0)
		return "-";
	assert_true(address >= symbol.start && address < symbol.end);
	snprintf(text, sizeof(text), "%s%s%s", symbol.name, symbol.module[0] ? " " : "", symbol.module);
	return text;
}

static void keeps_functions(void **state)
{
	struct kallsyms *k = read_text("ffffffff81000000 T _text\n"
				       "ffffffff81000000 T _stext\n"
				       "ffffffff81000100 t __pfx_local\n"
				       "ffffffff81000110 t local\n"
				       "ffffffff81000200 W weak\n"
				       "ffffffff81000200 t in_shadow\n"
				       "ffffffff81000300 w weak_too\n"
				       "ffffffff81000350 t $x\n"
				       "ffffffff81000360 t .L1\n"
				       "ffffffff81000400 T last\n"
				       "ffffffff81000500 T _etext\n"
				       "ffffffff81001000 D data\n"
				       "ffffffff82000000 T init_one\n"
				       "ffffffff82000040 T _einittext\n");
	struct kernel_symbol symbol;

	(void)state;
	assert_int_equal(kallsyms_base(k), 0xffffffff81000000);
	assert_int_equal(kallsyms_count(k), 7);
	assert_string_equal(name_at(k, 0xffffffff81000000), "_text"); /* the shorter one */
	assert_string_equal(name_at(k, 0xffffffff81000100), "__pfx_local");
	assert_string_equal(name_at(k, 0xffffffff81000110), "local");
	assert_string_equal(name_at(k, 0xffffffff81000200), "weak");
	assert_string_equal(name_at(k, 0xffffffff810003ff), "weak_too");
	assert_string_equal(name_at(k, 0xffffffff810004ff), "last");
	assert_string_equal(name_at(k, 0xffffffff81000500), "-"); /* behind _etext */
	assert_string_equal(name_at(k, 0xffffffff81001000), "-");
	assert_string_equal(name_at(k, 0xffffffff8200003f), "init_one");
	assert_string_equal(name_at(k, 0xffffffff82000040), "-");
	assert_string_equal(name_at(k, 0), "-");
	assert_string_equal(name_at(k, UINT64_MAX), "-");
	assert_int_equal(kallsyms_find(k, 0x10, &symbol), -ENOENT);
	assert_int_equal(kallsyms_lines_skipped(k), 0);
	kallsyms_free(k);
}

static void modules_and_programs(void **state)
{
	/* Modules come behind the kernel and are not sorted among themselves. */
	struct kallsyms *k = read_text("ffffffff81000000 T _text\n"
				       "ffffffffc0203000 t b_one\t[beta]\n"
				       "ffffffffc0203100 t b_two\t[beta]\n"
				       "ffffffffc0201000 t a_one\t[alpha]\n"
				       "ffffffffc0201800 t a_two\t[alpha]\n"
				       "ffffffffc0400000 t a_init\t[alpha]\n"
				       "ffffffffc0300000 t bpf_prog_6deef7357e7b4530_x\t[bpf]\n"
				       "ffffffffc0301000 t bpf_trampoline_6442532293\t[bpf]\n");

	(void)state;
	assert_string_equal(name_at(k, 0xffffffff81000010), "_text");
	assert_string_equal(name_at(k, 0xffffffff81002000), "-"); /* two pages, not up to the modules */
	assert_string_equal(name_at(k, 0xffffffffc0201000), "a_one alpha");
	assert_string_equal(name_at(k, 0xffffffffc02017ff), "a_one alpha");
	assert_string_equal(name_at(k, 0xffffffffc0202fff), "a_two alpha");
	assert_string_equal(name_at(k, 0xffffffffc0203000), "b_one beta");
	assert_string_equal(name_at(k, 0xffffffffc0204fff), "b_two beta");
	assert_string_equal(name_at(k, 0xffffffffc0205000), "-");
	assert_string_equal(name_at(k, 0xffffffffc0300010), "bpf_prog_6deef7357e7b4530_x bpf");
	assert_string_equal(name_at(k, 0xffffffffc0301010), "bpf_trampoline_6442532293 bpf");
	assert_string_equal(name_at(k, 0xffffffffc0400000), "a_init alpha");
	assert_string_equal(name_at(k, 0xffffffffc0402000), "-");
	kallsyms_free(k);
	k = read_text("ffffffffc0200000 t one\t[m]\nffffffffc0300000 t two\t[m]\n");
	assert_string_equal(name_at(k, 0xffffffffc020ffff), "one m");
	assert_string_equal(name_at(k, 0xffffffffc0210000), "-"); /* 64 KiB */
	kallsyms_free(k);
}

static void base_falls_back_to_text(void **state)
{
	struct kallsyms *k = read_text("ffffffff81000000 T _text\n");
	(void)state;
	assert_int_equal(kallsyms_base(k), 0xffffffff81000000);
	kallsyms_free(k);
	k = read_text("ffffffff81000000 T _text\nffffffff81001000 T _stext\n");
	assert_int_equal(kallsyms_base(k), 0xffffffff81001000);
	kallsyms_free(k);
	k = read_text("");
	assert_int_equal(kallsyms_base(k), 0);
	assert_int_equal(kallsyms_count(k), 0);
	kallsyms_free(k);
	kallsyms_free(NULL);
}

static void hidden_addresses_are_eperm(void **state)
{
	static const char text[] = "0000000000000000 T _text\n0000000000000000 t other\n";
	struct kallsyms *k = NULL;
	int fd = bytes_fd(text, strlen(text));

	(void)state;
	assert_int_equal(kallsyms_read(fd, &k), -EPERM);
	assert_null(k);
	close(fd);
	assert_int_equal(kallsyms_read(-1, &k), -EBADF);
}

static void garbage_is_skipped(void **state)
{
	static const char text[] = "ffffffff81000000 T good\n"
				   "\n"
				   "no line at all\n"
				   "ffffffff81000010\n"
				   "ffffffff81000010 T\n"
				   "ffffffff81000010 T \n"
				   "fffffffff81000010 T digits\n"
				   "ffffffff81000020 T mod\t[x\n"
				   "ffffffff81000020 T mod\t[\n"
				   "ffffffff81000020TTname\n"
				   "ffffffff81000030 T a\0b\n"
				   "ffffffff81000040 T good_too";
	struct kallsyms *k = read_bytes(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(kallsyms_count(k), 2);
	assert_int_equal(kallsyms_lines_skipped(k), 9);
	assert_string_equal(name_at(k, 0xffffffff81000038), "good");
	assert_string_equal(name_at(k, 0xffffffff81000040), "good_too");
	kallsyms_free(k);
}

static void long_lines_are_skipped(void **state)
{
	size_t bytes = 300000;
	char *text = malloc(bytes);

	(void)state;
	memset(text, 'x', bytes);
	memcpy(text, "ffffffff81000000 T first\nffffffff81000010 T ", 44);
	static const char tail[] = "\nffffffff81000020 T second\n";
	memcpy(text + bytes - sizeof(tail) + 1, tail, sizeof(tail) - 1);
	struct kallsyms *k = read_bytes(text, bytes);
	assert_int_equal(kallsyms_count(k), 2);
	assert_true(kallsyms_lines_skipped(k) >= 1);
	assert_string_equal(name_at(k, 0xffffffff81000020), "second");
	kallsyms_free(k);
	k = read_bytes(text, bytes - sizeof(tail) + 1); /* ends inside the long line */
	assert_int_equal(kallsyms_count(k), 1);
	kallsyms_free(k);
	free(text);
}

static void flipped_bits(void **state)
{
	static const char text[] = "ffffffff81000000 T _text\nffffffff81000010 t __pfx_x\nffffffff81000020 t x\n"
				   "ffffffffc0201000 t a\t[alpha]\nffffffff82000000 T _etext\n";
	unsigned seed = 4;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		char copy[sizeof(text)];
		struct kallsyms *k = NULL;
		memcpy(copy, text, sizeof(text));
		for (int flips = 1 + rand_r(&seed) % 5; flips > 0; flips--)
			copy[(size_t)rand_r(&seed) % (sizeof(text) - 1)] ^= (char)(1 << (rand_r(&seed) % 8));
		int fd = bytes_fd(copy, sizeof(text) - 1 - (size_t)rand_r(&seed) % 60);
		assert_int_equal(kallsyms_read(fd, &k), 0);
		for (uint64_t at = 0; at < 0x100; at += 8)
			name_at(k, 0xffffffff81000000 + at);
		kallsyms_free(k);
		close(fd);
	}
}

/* As it is now: programs of other tests come and go while it is read. */
static int copy_of_kallsyms(void)
{
	static char bytes[1 << 16];
	int from = open("/proc/kallsyms", O_RDONLY), to = memfd_create("kallsyms", MFD_CLOEXEC);
	ssize_t n = -1;

	while (from >= 0 && (n = read(from, bytes, sizeof(bytes))) > 0)
		assert_int_equal(write(to, bytes, (size_t)n), n);
	assert_true(from < 0 || n == 0);
	assert_int_equal(lseek(to, 0, SEEK_SET), 0);
	if (from < 0) {
		close(to);
		return -1;
	}
	close(from);
	return to;
}

/* Every function of this kernel: the name found at its address is one that the file has for this address. */
static void matches_this_kernel(void **state)
{
	struct kallsyms *k = NULL;
	struct timespec before, after;
	int fd = copy_of_kallsyms();

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &before);
	int err = fd < 0 ? -errno : kallsyms_read(fd, &k);
	clock_gettime(CLOCK_MONOTONIC, &after);
	if (err < 0) {
		print_message("/proc/kallsyms: %s: not compared\n", strerror(-err));
		skip();
	}
	print_message("%zu symbols, %zu bytes, %.1f ms, base %lx\n", kallsyms_count(k), kallsyms_bytes(k),
		      (double)(after.tv_sec - before.tv_sec) * 1e3 + (double)(after.tv_nsec - before.tv_nsec) / 1e6,
		      kallsyms_base(k));
	lseek(fd, 0, SEEK_SET);
	FILE *text = fdopen(fd, "r");
	char line[1024], name[512], module[512];
	uint64_t address, last_address = 0;
	bool found = true;
	size_t n = 0;
	while (fgets(line, sizeof(line), text)) {
		char type;
		module[0] = 0;
		if (sscanf(line, "%lx %c %511s\t[%511[^]]", &address, &type, name, module) < 3 ||
		    !strchr("tTwW", type) || !strcmp(name, "_etext") || !strcmp(name, "_einittext"))
			continue;
		if (address != last_address && !found)
			fail_msg("no name of %lx is in the file", last_address);
		found = (found && address == last_address);
		last_address = address;
		struct kernel_symbol symbol;
		assert_int_equal(kallsyms_find(k, address, &symbol), 0);
		assert_int_equal(symbol.start, address);
		assert_true(symbol.end > symbol.start);
		found |= strcmp(symbol.name, name) == 0 && strcmp(symbol.module, module) == 0;
		n++;
	}
	assert_true(found);
	print_message("%zu lines as the kernel says\n", n);
	assert_true(kallsyms_bytes(k) < n * 40);
	assert_int_equal(kallsyms_lines_skipped(k), 0);
	fclose(text);
	kallsyms_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_functions),
		cmocka_unit_test(modules_and_programs),
		cmocka_unit_test(base_falls_back_to_text),
		cmocka_unit_test(hidden_addresses_are_eperm),
		cmocka_unit_test(garbage_is_skipped),
		cmocka_unit_test(long_lines_are_skipped),
		cmocka_unit_test(flipped_bits),
		cmocka_unit_test(matches_this_kernel),
	};
	return cmocka_run_group_tests_name("symbolizer/kallsyms", tests, NULL, NULL);
}
