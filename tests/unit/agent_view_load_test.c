/* agent/view_load.c: profiles from files and from the store, and what is said when there is none. */
#include "agent/view_load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "pprof/encode.h"
#include "store/store.h"
#include "tests/unit/sample_profile.h"

#define S 1000000000ll

static char folder[64];

static int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("profile", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static int file_of_profile(struct profile *profile, size_t cut)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n = 0;

	assert_int_equal(profile_encode(profile, &bytes, &n), 0);
	profile_free(profile);
	return file_of(bytes, n - cut);
}

/* Of another sample type; time_ns: that of a window. */
static struct profile *other_profile(const char *type, const char *process, int64_t time_ns)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, type, "count"), 0);
	profile_builder_time(b, time_ns, 10 * S);
	uint32_t location = sample_location(b, PROFILE_NONE, 1, "work", NULL);
	struct profile_label labels[] = {{.key = sample_string(b, "process"), .str = sample_string(b, process)}, {.key = sample_string(b, "pid"), .num = 77}};
	assert_int_equal(profile_builder_sample(b, &location, 1, labels, 2, (int64_t[]){5}), 0);
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static struct view_options options_of(const char *key, const char *value, const char *focus)
{
	struct view_options o;

	view_options_init(&o, "report");
	o.selection.focus = focus;
	if (key) {
		o.selection.labels[0].key = key;
		o.selection.labels[0].value = value;
		o.selection.n_labels = 1;
	}
	return o;
}

/* Load files and close them. */
static int load(const int *fds, size_t n, const struct view_options *o, struct view_part *part, struct why *why)
{
	static const char *const NAMES[] = {"/some/where/a.pb.gz", "b.pb.gz", "c.pb.gz"};
	const struct view_source source = {.names = NAMES, .fds = fds, .n_files = n};

	int err = view_load(&source, o, part, why);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return err;
}

static void files(void **state)
{
	struct view_options o = options_of(NULL, NULL, NULL);
	struct view_part part;
	struct why why;

	(void)state;
	assert_int_equal(load((int[]){file_of_profile(sample_profile(), 0)}, 1, &o, &part, &why), 0);
	assert_string_equal(part.subject, "a.pb.gz");
	assert_string_equal(part.empty.text, "");
	assert_int_equal(profile_total(part.profile, 0), 42);
	view_part_deinit(&part);
	const int three[] = {file_of_profile(sample_profile(), 0), file_of_profile(sample_profile(), 0), file_of_profile(sample_profile(), 0)};
	assert_int_equal(load(three, 3, &o, &part, &why), 0);
	assert_string_equal(part.subject, "a.pb.gz, b.pb.gz, c.pb.gz");
	assert_int_equal(profile_total(part.profile, 0), 126);
	view_part_deinit(&part);
	o = options_of("process", "app", "read");
	assert_int_equal(load((int[]){file_of_profile(sample_profile(), 0)}, 1, &o, &part, &why), 0);
	assert_int_equal(profile_total(part.profile, 0), 10);
	view_part_deinit(&part);
}

static void bad_files(void **state)
{
	struct view_options o = options_of(NULL, NULL, NULL);
	struct view_part part = {0};
	struct why why;

	(void)state;
	assert_int_equal(load((int[]){file_of("", 0)}, 1, &o, &part, &why), -EBADMSG);
	assert_string_equal(why.text, "reading '/some/where/a.pb.gz': it is empty, and no pprof file");
	assert_int_equal(load((int[]){file_of("nonsense", 8)}, 1, &o, &part, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "reading '/some/where/a.pb.gz': not a pprof profile"));
	const int second[] = {file_of_profile(sample_profile(), 0), file_of_profile(sample_profile(), 20)};
	assert_int_equal(load(second, 2, &o, &part, &why), -EBADMSG);
	assert_string_equal(why.text, "reading 'b.pb.gz': the gzip compression is damaged or cut off");
	const int kinds[] = {file_of_profile(sample_profile(), 0), file_of_profile(other_profile("faults", "x", S), 0)};
	assert_int_equal(load(kinds, 2, &o, &part, &why), -EINVAL);
	assert_non_null(strstr(why.text, "merging 2 profiles: profile 2"));
	assert_int_equal(load((int[]){-1}, 1, &o, &part, &why), -EBADF);
	assert_null(part.profile);
}

static void is_empty(const char *key, const char *value, const char *focus, const char *expected)
{
	struct view_options o = options_of(key, value, focus);
	struct view_part part;
	struct why why;

	assert_int_equal(load((int[]){file_of_profile(sample_profile(), 0)}, 1, &o, &part, &why), 0);
	assert_int_equal(part.profile->n_samples, 0);
	assert_string_equal(part.empty.text, expected);
	view_part_deinit(&part);
}

static void nothing_left(void **state)
{
	struct profile_builder *b;
	struct profile *none;
	struct view_options o = options_of(NULL, NULL, NULL);
	struct view_part part;
	struct why why;

	(void)state;
	is_empty("process", "nginx", NULL, "a.pb.gz: no sample has the process 'nginx'; there are app");
	is_empty("pid", "78", NULL, "a.pb.gz: no sample has the pid '78'; there are 77");
	is_empty("planet", "earth", NULL, "a.pb.gz: no sample has a label 'planet'; there are pid, process");
	is_empty("pid", "77", "nowhere", "a.pb.gz: no sample is left of pid=77, focus /nowhere/");
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "cpu", "nanoseconds"), 0);
	assert_int_equal(profile_builder_finish(b, &none), 0);
	profile_builder_destroy(b);
	assert_int_equal(load((int[]){file_of_profile(none, 0)}, 1, &o, &part, &why), 0);
	assert_string_equal(part.empty.text, "a.pb.gz: no samples");
	view_part_deinit(&part);
}

static void types(void **state)
{
	struct profile *p = sample_profile(), *none = calloc(1, sizeof(*none));
	uint32_t value = 7;
	struct why why;

	(void)state;
	assert_int_equal(view_find_type(p, NULL, &value, &why), 0);
	assert_int_equal(value, 1);
	assert_int_equal(view_find_type(p, "samples", &value, &why), 0);
	assert_int_equal(value, 0);
	assert_int_equal(view_find_type(p, "cpu/nanoseconds", &value, &why), 0);
	assert_int_equal(value, 1);
	assert_int_equal(view_find_type(p, "cpu/count", &value, &why), -EINVAL);
	assert_string_equal(why.text, "--type: the profile has no 'cpu/count', but samples, cpu");
	assert_int_equal(view_find_type(p, "", &value, &why), -EINVAL);
	assert_int_equal(view_find_type(none, NULL, &value, &why), -EINVAL);
	assert_string_equal(why.text, "the profile has no sample types");
	assert_int_equal(value, 1);
	profile_free(none);
	profile_free(p);
}

/* --- the store ------------------------------------------------------------------------------------------------------------ */

#define BEGIN (1700000000 * S) /* 2023-11-14 22:13:20 UTC */

static void fill(void)
{
	static const char *const PROCESSES[] = {"nginx", "nginx", "bash"};
	struct store_options options = {.bytes_max = STORE_BYTES_MIN, .outbox_bytes_max = STORE_BYTES_MIN};
	struct store *store;
	struct why why;

	assert_int_equal(store_open(folder, &options, &store, &why), 0);
	for (int i = 0; i < 3; i++) {
		struct profile *p = other_profile("samples", PROCESSES[i], BEGIN + i * 10 * S);
		uint64_t number;
		assert_int_equal(store_append(store, p, &number, &why), 0);
		profile_free(p);
	}
	store_close(store);
}

static int load_range(int64_t from, int64_t to, const struct view_options *o, struct view_part *part, struct why *why)
{
	const struct view_source source = {.store = folder, .from_ns = BEGIN + from * S, .to_ns = BEGIN + to * S};

	return view_load(&source, o, part, why);
}

static void ranges(void **state)
{
	struct view_options o = options_of(NULL, NULL, NULL);
	struct view_part part;
	struct why why;

	(void)state;
	assert_int_equal(load_range(0, 60, &o, &part, &why), -ENOENT);
	assert_non_null(strstr(why.text, "has no windows yet; 'hearth control status' tells whether an agent runs"));
	fill();
	assert_int_equal(load_range(0, 30, &o, &part, &why), 0);
	assert_int_equal(profile_total(part.profile, 0), 15);
	assert_string_equal(part.subject, "2023-11-14 22:13:20 to 22:13:50");
	view_part_deinit(&part);
	assert_int_equal(load_range(5, 11, &o, &part, &why), 0);
	assert_int_equal(profile_total(part.profile, 0), 10);
	assert_string_equal(part.subject, "2023-11-14 22:13:20 to 22:13:40"); /* of the windows */
	view_part_deinit(&part);
	assert_int_equal(load_range(100, 86400, &o, &part, &why), -ENOENT);
	assert_non_null(strstr(why.text, "has no windows from 2023-11-14 22:15:00 to 2023-11-15 22:13:20; it has 3 from 2023-11-14 22:13:20 to 22:13:50"));
	o = options_of("process", "nginx", NULL);
	assert_int_equal(load_range(0, 30, &o, &part, &why), 0);
	assert_int_equal(profile_total(part.profile, 0), 10);
	view_part_deinit(&part);
	o = options_of("process", "ngin", NULL);
	assert_int_equal(load_range(0, 30, &o, &part, &why), 0);
	assert_string_equal(part.empty.text, "2023-11-14 22:13:20 to 22:13:50: no sample has the process 'ngin'; there are nginx, bash");
	view_part_deinit(&part);
	o = options_of("process", "nginx", "sleep");
	assert_int_equal(load_range(0, 30, &o, &part, &why), 0);
	assert_string_equal(part.empty.text, "2023-11-14 22:13:20 to 22:13:50: no sample is left of process=nginx, focus /sleep/");
	view_part_deinit(&part);
	strcat(folder, "/none");
	assert_true(load_range(0, 30, &o, &part, &why) < 0);
	assert_non_null(strstr(why.text, "/none"));
	*strrchr(folder, '/') = '\0';
}

static int set_up(void **state)
{
	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	snprintf(folder, sizeof(folder), "/tmp/hearth-view-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files), cmocka_unit_test(bad_files), cmocka_unit_test(nothing_left), cmocka_unit_test(types), cmocka_unit_test(ranges),
	};

	return cmocka_run_group_tests_name("agent/view_load", tests, set_up, tear_down);
}
