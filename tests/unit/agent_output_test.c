#include "agent/output.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pprof/decode.h"
#include "tests/unit/sample_profile.h"

static char folder[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/hearth-output-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? 0 : -1;
}

static const char *in_folder(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int files_in_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "ls -A %s | wc -l", folder);
	FILE *listing = popen(command, "r");
	int n = -1;
	assert_int_equal(fscanf(listing, "%d", &n), 1);
	pclose(listing);
	return n;
}

static void formats(void **state)
{
	static const struct {
		const char *path, *name;
		enum output_format format;
	} CASES[] = {{"a.pb.gz", "pprof", OUTPUT_PPROF}, {"/x/a.folded", "folded", OUTPUT_FOLDED}, {"a.b.svg", "svg", OUTPUT_SVG},
		     {"a.txt", "text", OUTPUT_TEXT}};
	static const char *const BAD[] = {"", "a", ".svg", "a.gz", "a.pb", "a.SVG", "svg", "a.svg/"};
	enum output_format format;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(output_format_of_path(CASES[i].path, &format), 0);
		assert_int_equal(format, CASES[i].format);
		assert_int_equal(output_format_of_name(CASES[i].name, &format), 0);
		assert_int_equal(format, CASES[i].format);
	}
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(output_format_of_path(BAD[i], &format), -EINVAL);
	assert_int_equal(output_format_of_name("json", &format), -EINVAL);
}

static void whole_files(void **state)
{
	struct profile *profile = sample_profile(), *again;
	static uint8_t bytes[65536];
	struct stat status;
	struct why why;

	(void)state;
	for (int round = 0; round < 2; round++) { /* the second time over the first file */
		assert_int_equal(output_check(in_folder("a.pb.gz"), &why), 0);
		assert_int_equal(output_write(profile, in_folder("a.pb.gz"), OUTPUT_PPROF, NULL, &why), 0);
	}
	assert_int_equal(output_write(profile, in_folder("a.svg"), OUTPUT_SVG, "title", &why), 0);
	assert_int_equal(files_in_folder(), 2);
	assert_int_equal(stat(in_folder("a.pb.gz"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	FILE *file = fopen(in_folder("a.pb.gz"), "r");
	size_t n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	assert_int_equal(profile_decode(bytes, n, 0, &again, NULL), 0);
	assert_int_equal(profile_total(again, 0), 42);
	profile_free(again);
	profile_free(profile);
}

static void refused(const char *path, int err, const char *words)
{
	struct profile *profile = sample_profile();
	struct why why = {""};

	assert_int_equal(output_check(path, &why), err);
	assert_non_null(strstr(why.text, words));
	why.text[0] = '\0';
	assert_int_equal(output_write(profile, path, OUTPUT_FOLDED, NULL, &why), err);
	assert_non_null(strstr(why.text, words));
	profile_free(profile);
}

static void places_that_cannot_be_written(void **state)
{
	struct profile *profile = sample_profile();
	char long_name[300];
	struct why why;

	(void)state;
	refused(in_folder("none/a.txt"), -ENOENT, "create its folder");
	refused(folder, -EISDIR, "not a folder");
	assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(output_check(in_folder(long_name), &why), -ENAMETOOLONG);
	assert_int_equal(output_write(profile, "/dev/full", OUTPUT_SVG, NULL, &why), -ENOSPC);
	assert_non_null(strstr(why.text, "free some space"));
	assert_int_equal(output_write(profile, "/dev/null", OUTPUT_SVG, NULL, &why), 0);
	assert_int_equal(files_in_folder(), 1);
	profile_free(profile);
}

/* A link is replaced by the file, as rename() does: what it pointed at stays as it was. */
static void links_are_replaced(void **state)
{
	struct profile *profile = sample_profile();
	char target[512];
	struct stat status;
	struct why why;

	(void)state;
	strcpy(target, in_folder("target"));
	fclose(fopen(target, "w"));
	assert_int_equal(symlink(target, in_folder("a.txt")), 0);
	assert_int_equal(output_write(profile, in_folder("a.txt"), OUTPUT_TEXT, NULL, &why), 0);
	assert_int_equal(lstat(in_folder("a.txt"), &status), 0);
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(stat(target, &status), 0);
	assert_int_equal(status.st_size, 0);
	profile_free(profile);
}

/* In steps: nothing is there under the name before the end, and nothing at all when it was not to be kept. */
static void in_steps(void **state)
{
	struct output_file file;
	struct stat status;
	struct why why;

	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		assert_int_equal(output_begin(in_folder("steps.txt"), &file, &why), 0);
		assert_int_equal(files_in_folder(), 1);
		assert_int_equal(output_file_write(&file, (const uint8_t *)"text", 4, &why), 0);
		assert_int_equal(access(in_folder("steps.txt"), F_OK), -1);
		assert_int_equal(output_end(&file, keep, &why), 0);
		assert_int_equal(output_end(&file, keep, &why), 0);
		assert_int_equal(files_in_folder(), keep);
	}
	assert_int_equal(stat(in_folder("steps.txt"), &status), 0);
	assert_int_equal(status.st_size, 4);
	assert_int_equal(output_begin("/dev/full", &file, &why), 0);
	assert_int_equal(output_file_write(&file, (const uint8_t *)"text", 4, &why), -ENOSPC);
	assert_non_null(strstr(why.text, "free some space"));
	assert_int_equal(output_end(&file, false, &why), 0);
	assert_int_equal(output_begin(in_folder("none/a.txt"), &file, &why), -ENOENT);
	assert_int_equal(output_begin(folder, &file, &why), -EISDIR);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		IN_FOLDER(whole_files),
		IN_FOLDER(places_that_cannot_be_written),
		IN_FOLDER(links_are_replaced),
		IN_FOLDER(in_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
