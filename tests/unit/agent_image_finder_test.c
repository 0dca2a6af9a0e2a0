/* agent/image_finder.c: which file a profile means. The headers are read in this process, by the function that the confined one uses. */
#include <valgrind/valgrind.h>

#include "tests/unit/cmocka_prelude.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/image_finder.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/image_info.h"
#include "tests/unit/elf_writer.h"

#define SAMPLE_HEX "303132333435363738396162636465666768696a"
#define OTHER_HEX  "ffffffffffffffffffffffffffffffffffffffff"

static char folder[] = "/tmp/hearth-finder-XXXXXX";

static int headers(void *context, int fd, struct image_info *info_out)
{
	struct elf_file elf;

	(void)context;
	int err = elf_file_open(fd, &elf);
	return err < 0 ? err : image_info_read(&elf, info_out);
}

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void put_file(const char *name, const void *bytes, size_t n)
{
	FILE *file = fopen(path_of(name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	fclose(file);
}

static int setup(void **state)
{
	struct elf_writer w;
	size_t n;

	(void)state;
	assert_non_null(mkdtemp(folder));
	elf_writer_sample(&w, true);
	uint8_t *bytes = elf_writer_finish(&w, &n);
	elf_writer_deinit(&w);
	put_file("program", bytes, n);
	mkdir(path_of("symbols"), 0700);
	mkdir(path_of("symbols/.build-id"), 0700);
	mkdir(path_of("symbols/.build-id/30"), 0700);
	put_file("symbols/.build-id/30/3132333435363738396162636465666768696a.debug", bytes, n);
	free(bytes);
	put_file("text", "no ELF file", 11);
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	return 0;
}

static int teardown(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static char found_path[PATH_MAX];

static int find(const char *filename, const char *build_id, const char *const *folders, size_t n, bool *is_checked_out)
{
	struct image_finder finder = {.folders = folders, .n_folders = n, .headers = headers};
	struct found_image found = {.fd = -1};
	struct why why = {""};

	int err = image_finder_find(&finder, filename, build_id, &found, &why);
	assert_int_equal(err == 0, found.fd >= 0);
	assert_int_equal(err < 0, why.text[0] != 0);
	if (err == 0) {
		snprintf(found_path, sizeof(found_path), "%s", found.path);
		*is_checked_out = found.is_checked;
	}
	found_image_deinit(&found);
	return err;
}

static void by_name(void **state)
{
	char deleted[PATH_MAX + 16];
	bool checked;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip(); /* valgrind 3.19 does not know openat2() */
	assert_int_equal(find(path_of("program"), SAMPLE_HEX, NULL, 0, &checked), 0);
	assert_true(checked);
	assert_string_equal(found_path, path_of("program"));
	assert_int_equal(find(path_of("program"), "", NULL, 0, &checked), 0);
	assert_false(checked);
	assert_int_equal(find(path_of("program"), "Go build id/x", NULL, 0, &checked), 0);
	assert_false(checked);
	snprintf(deleted, sizeof(deleted), "%s (deleted)", path_of("program"));
	assert_int_equal(find(deleted, SAMPLE_HEX, NULL, 0, &checked), 0);
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(find("program", SAMPLE_HEX, NULL, 0, &checked), 0);
	assert_string_equal(found_path, path_of("program"));
}

static void in_folders(void **state)
{
	char symbols[PATH_MAX];
	const char *folders[] = {symbols};
	bool checked;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip(); /* valgrind 3.19 does not know openat2() */
	snprintf(symbols, sizeof(symbols), "%s", path_of("symbols"));
	assert_int_equal(find("/gone/elsewhere", SAMPLE_HEX, folders, 1, &checked), 0);
	assert_non_null(strstr(found_path, "/.build-id/30/"));
	assert_int_equal(find("", SAMPLE_HEX, folders, 1, &checked), 0);
	assert_int_equal(find("[vdso]", SAMPLE_HEX, folders, 1, &checked), 0);
	snprintf(symbols, sizeof(symbols), "%s", folder);
	assert_int_equal(find("/gone/program", SAMPLE_HEX, folders, 1, &checked), 0);
	assert_string_equal(found_path, path_of("program"));
}

static void what_is_not_found(void **state)
{
	char long_name[PATH_MAX + 10];
	bool checked;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip(); /* valgrind 3.19 does not know openat2() */
	assert_int_equal(find("/gone/elsewhere", OTHER_HEX, NULL, 0, &checked), -ENOENT);
	assert_int_equal(find("", "", NULL, 0, &checked), -ENOENT);
	assert_int_equal(find(path_of("program"), OTHER_HEX, NULL, 0, &checked), -ESTALE);
	assert_int_equal(find(path_of("text"), "", NULL, 0, &checked), -ENOEXEC);
	assert_int_equal(find(path_of("fifo"), "", NULL, 0, &checked), -EINVAL);
	assert_int_equal(find("/dev/zero.so", "", NULL, 0, &checked), -EOPNOTSUPP);
	assert_int_equal(find("/proc/self/exe", "", NULL, 0, &checked) < 0, 1); /* a link of the kernel's */
	assert_int_equal(find("[vdso]", "", NULL, 0, &checked), -EOPNOTSUPP);
	assert_int_equal(find("//anon", "", NULL, 0, &checked), -EOPNOTSUPP);
	memset(long_name, 'a', sizeof(long_name));
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = 0;
	assert_int_equal(find(long_name, "", NULL, 0, &checked), -ENAMETOOLONG);
}

static void build_ids(void **state)
{
	static const char *const BAD[] = {"", "12", "123456", "1234567", "123456789", "g2345678", "0x345678", "../45678"};
	uint8_t bytes[BUILD_ID_MAX];
	char text[2 * BUILD_ID_MAX + 1], longest[2 * BUILD_ID_MAX + 3];

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(build_id_parse(BAD[i], bytes), 0);
	assert_int_equal(build_id_parse("12aBcDeF", bytes), 4);
	build_id_format(bytes, 4, text);
	assert_string_equal(text, "12abcdef");
	build_id_format(bytes, 0, text);
	assert_string_equal(text, "");
	memset(longest, 'a', sizeof(longest));
	longest[2 * BUILD_ID_MAX] = 0;
	assert_int_equal(build_id_parse(longest, bytes), BUILD_ID_MAX);
	longest[2 * BUILD_ID_MAX] = 'a';
	longest[2 * BUILD_ID_MAX + 2] = 0;
	assert_int_equal(build_id_parse(longest, bytes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_name),
		cmocka_unit_test(in_folders),
		cmocka_unit_test(what_is_not_found),
		cmocka_unit_test(build_ids),
	};
	return cmocka_run_group_tests_name("agent/image_finder", tests, setup, teardown);
}
