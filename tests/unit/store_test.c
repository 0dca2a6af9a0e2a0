#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/clock.h"
#include "store/store_reader.h"
#include "tests/store/profile_text.h"
#include "tests/store/replay.h"
#include "tests/unit/sample_profile.h"

#define WINDOW_NS ((int64_t)(10 * NS_PER_S))
#define BEGIN_NS  (1790000000 * (int64_t)NS_PER_S)
#define MINUTES	  (60 * NS_PER_S)
#define HOURS	  (60 * MINUTES)
#define DAYS	  (24 * HOURS)

static const struct replay_options small_host = {.seed = 3, .processes = 6, .brief = 2, .ticks = 40, .depth = 10, .period = 1000, .branching = 30};

struct fixture {
	char base[64], folder[80];
	struct store_options options;
	struct store *store;
	struct why why;
	struct replay *replay;
	int64_t time_ns;
	uint64_t number;
};

static void open_store(struct fixture *f)
{
	int err = store_open(f->folder, &f->options, &f->store, &f->why);

	if (err < 0)
		print_message("store_open: %s\n", f->why.text);
	assert_int_equal(err, 0);
}

static void close_store(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->base, access("/dev/shm", W_OK) == 0 ? "/dev/shm/hearth-store-test.XXXXXX" : "/tmp/hearth-store-test.XXXXXX");
	assert_non_null(mkdtemp(f->base));
	snprintf(f->folder, sizeof(f->folder), "%s/store", f->base);
	f->options = (struct store_options){.bytes_max = 64u << 20};
	f->replay = replay_create(&small_host);
	f->time_ns = BEGIN_NS;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	store_close(f->store);
	replay_destroy(f->replay);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->base);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static struct profile *next_window(struct fixture *f)
{
	struct profile *window = replay_window(f->replay, f->time_ns, WINDOW_NS);

	f->time_ns += WINDOW_NS;
	return window;
}

static void append(struct fixture *f, const struct profile *window)
{
	int err = store_append(f->store, window, &f->number, &f->why);

	if (err < 0)
		print_message("store_append: %s\n", f->why.text);
	assert_int_equal(err, 0);
}

static void append_next(struct fixture *f)
{
	struct profile *window = next_window(f);

	append(f, window);
	profile_free(window);
}

static void append_many(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		append_next(f);
}

static void maintain(struct fixture *f)
{
	int err;

	while ((err = store_maintain(f->store, &f->why)) == 1)
		;
	if (err < 0)
		print_message("store_maintain: %s\n", f->why.text);
	assert_int_equal(err, 0);
}

static struct store_stats stats_of(struct fixture *f)
{
	struct store_stats stats;

	store_stats(f->store, &stats);
	return stats;
}

static struct profile *sum_of(struct fixture *f, const struct store_filter *filter)
{
	struct store_reader *reader;
	struct profile *profile = NULL;

	assert_int_equal(store_reader_open(f->folder, &reader, &f->why), 0);
	int err = store_reader_sum(reader, filter, &profile, &f->why);
	if (err < 0 && err != -ENOENT)
		print_message("store_reader_sum: %d %s\n", err, f->why.text);
	assert_true(err == 0 || err == -ENOENT);
	store_reader_close(reader);
	return profile;
}

static int64_t total_of(struct fixture *f)
{
	struct profile *sum = sum_of(f, &(struct store_filter){0});
	int64_t total = sum ? profile_total(sum, 0) : 0;

	profile_free(sum);
	return total;
}

static void assert_same(const struct profile *a, const struct profile *b)
{
	char *x = profile_text(a), *y = profile_text(b);

	assert_string_equal(x, y);
	free(x);
	free(y);
}

/* The first segment's file, or the one that ends in suffix. */
static bool find_file(struct fixture *f, const char *suffix, char path[256])
{
	DIR *folder = opendir(f->folder);
	bool found = false;

	for (struct dirent *entry; (entry = readdir(folder));) {
		size_t n = strlen(entry->d_name), m = strlen(suffix);
		char candidate[256];
		if (n < m || strcmp(entry->d_name + n - m, suffix) != 0)
			continue;
		snprintf(candidate, sizeof(candidate), "%s/%.100s", f->folder, entry->d_name);
		if (!found || strcmp(candidate, path) < 0)
			strcpy(path, candidate);
		found = true;
	}
	closedir(folder);
	return found;
}

/* ---- there and back ---- */

static struct profile *odd_profile(void)
{
	struct profile_builder *b;
	struct profile *p;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "alloc", "count"), 0);
	assert_int_equal(profile_builder_sample_type(b, "bytes", "bytes"), 0);
	assert_int_equal(profile_builder_sample_type(b, "scaled", "units"), 0);
	assert_int_equal(profile_builder_period(b, "space", "bytes", 524288), 0);
	profile_builder_time(b, -5, 0);
	assert_int_equal(profile_builder_comment(b, ""), 0);
	assert_int_equal(profile_builder_comment(b, "second"), 0);
	struct profile_mapping m = {.start = UINT64_MAX - 1, .limit = UINT64_MAX, .filename = sample_string(b, "f"), .has_line_numbers = true};
	uint32_t mapping = (uint32_t)profile_builder_mapping(b, &m);
	struct profile_function fn = {.name = sample_string(b, "f"), .system_name = sample_string(b, "_f"), .start_line = -3};
	uint32_t function = (uint32_t)profile_builder_function(b, &fn);
	struct profile_line line = {.function = function, .line = INT64_MAX, .column = INT64_MIN};
	uint32_t a = (uint32_t)profile_builder_location(b, mapping, UINT64_MAX, &line, 1);
	uint32_t c = (uint32_t)profile_builder_location(b, PROFILE_NONE, 0, NULL, 0);
	struct profile_label labels[] = {{.key = sample_string(b, "size"), .num = -9, .num_unit = sample_string(b, "bytes")},
					 {.key = sample_string(b, "size"), .num = INT64_MIN},
					 {.key = sample_string(b, "name"), .str = sample_string(b, "x y")}};
	uint32_t both[] = {a, c}, twice[] = {c, c, a, a};
	assert_int_equal(profile_builder_sample(b, both, 2, labels, 3, (int64_t[]){INT64_MAX, INT64_MIN, 1}), 0);
	assert_int_equal(profile_builder_sample(b, both, 2, labels + 1, 2, (int64_t[]){-1, 7, 0}), 1);
	assert_int_equal(profile_builder_sample(b, twice, 4, NULL, 0, (int64_t[]){0, 0, 0}), 2);
	assert_int_equal(profile_builder_sample(b, NULL, 0, NULL, 0, (int64_t[]){3, 4, 5}), 3);
	assert_int_equal(profile_builder_sample(b, &c, 1, NULL, 0, (int64_t[]){3, 4, 5}), 4);
	profile_str drop = sample_string(b, "drop.*"), keep = sample_string(b, "keep"), doc = sample_string(b, "https://doc");
	assert_int_equal(profile_builder_finish(b, &p), 0);
	p->drop_frames = drop;
	p->keep_frames = keep;
	p->doc_url = doc;
	p->locations[c].is_folded = true;
	profile_builder_destroy(b);
	return p;
}

static struct profile *empty_profile(void)
{
	struct profile_builder *b;
	struct profile *p;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_finish(b, &p), 0);
	profile_builder_destroy(b);
	return p;
}

static void comes_back_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct profile *in[4] = {sample_profile(), odd_profile(), empty_profile(), next_window(f)}, *out;
	uint64_t number = 0, numbers[4];

	f->options.sinks[0] = "all";
	f->options.n_sinks = 1;
	open_store(f);
	for (int i = 0; i < 4; i++) {
		append(f, in[i]);
		numbers[i] = f->number;
		assert_true(!i || numbers[i] > numbers[i - 1]);
	}
	for (int round = 0; round < 2; round++) {
		number = 0;
		for (int i = 0; i < 4; i++) {
			assert_int_equal(store_outbox_next(f->store, 0, number, &number, &out), 0);
			assert_int_equal(number, numbers[i]);
			assert_same(in[i], out);
			profile_free(out);
		}
		assert_int_equal(store_outbox_next(f->store, 0, number, &number, &out), -ENOENT);
		close_store(f);
		open_store(f);
	}
	for (int i = 0; i < 4; i++) {
		struct store_filter one = {.from_ns = in[i]->time_ns, .to_ns = in[i]->time_ns + 1};
		if (in[i]->time_ns > 0) {
			out = sum_of(f, &one);
			assert_same(in[i], out);
			profile_free(out);
		}
		profile_free(in[i]);
	}
}

static void numbers_only_grow(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	for (int round = 0; round < 4; round++) {
		open_store(f);
		for (int i = 0; i < 3; i++) {
			append_next(f);
			assert_true(f->number > last);
			last = f->number;
		}
		close_store(f);
	}
}

static void refuses_what_it_cannot_hold(void **state)
{
	struct fixture *f = *state;
	struct profile_builder *b;
	struct profile *p;

	open_store(f);
	assert_int_equal(profile_builder_create(&b), 0);
	for (int i = 0; i < 9; i++) {
		char type[8];
		snprintf(type, sizeof(type), "t%d", i);
		assert_int_equal(profile_builder_sample_type(b, type, "count"), 0);
	}
	assert_int_equal(profile_builder_finish(b, &p), 0);
	assert_int_equal(store_append(f->store, p, &f->number, &f->why), -E2BIG);
	assert_true(f->why.text[0]);
	append_next(f);
	assert_int_equal(stats_of(f).append_failed, 1);
	assert_int_equal(stats_of(f).appended, 1);
	profile_free(p);
	profile_builder_destroy(b);
}

/* ---- opening ---- */

static void opens_only_what_is_its_own(void **state)
{
	struct fixture *f = *state;
	struct store *second;
	struct stat status;
	char path[256];

	f->options.bytes_max = STORE_BYTES_MIN - 1;
	assert_int_equal(store_open(f->folder, &f->options, &f->store, &f->why), -EINVAL);
	f->options.bytes_max = 64u << 20;
	open_store(f);
	append_next(f);
	assert_int_equal(store_open(f->folder, &f->options, &second, &f->why), -EBUSY);
	assert_non_null(strstr(f->why.text, "in use"));
	assert_int_equal(stat(f->folder, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_true(find_file(f, ".db", path));
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_true(find_file(f, "-wal", path));
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	close_store(f);
	assert_int_equal(chmod(f->folder, 0770), 0);
	assert_int_equal(store_open(f->folder, &f->options, &second, &f->why), -EPERM);
	assert_non_null(strstr(f->why.text, "chmod"));
	assert_int_equal(chmod(f->folder, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(f->folder, 65534, 65534), 0);
		assert_int_equal(store_open(f->folder, &f->options, &second, &f->why), -EPERM);
		assert_int_equal(chown(f->folder, 0, 0), 0);
	}
	assert_int_equal(store_open("/proc/nothing/here", &f->options, &second, &f->why), -ENOENT);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void refuses_a_newer_one(void **state)
{
	struct fixture *f = *state;
	struct store_reader *reader;
	struct profile *profile;
	char path[256];

	open_store(f);
	append_next(f);
	close_store(f);
	assert_true(find_file(f, ".db", path));
	sql(path, "PRAGMA user_version=2");
	assert_int_equal(store_open(f->folder, &f->options, &f->store, &f->why), -ENOTSUP);
	assert_non_null(strstr(f->why.text, "newer hearth"));
	assert_int_equal(store_reader_open(f->folder, &reader, &f->why), 0);
	assert_int_equal(store_reader_sum(reader, &(struct store_filter){0}, &profile, &f->why), -ENOTSUP);
	assert_non_null(strstr(f->why.text, "newer hearth"));
	store_reader_close(reader);
	sql(path, "PRAGMA user_version=1");
	open_store(f);
	assert_int_equal(stats_of(f).windows, 1);
}

static void sets_aside_a_strangers_tables(void **state)
{
	static const char *const changes[] = {
		"CREATE TRIGGER t AFTER INSERT ON windows BEGIN DELETE FROM samples; END",
		"CREATE VIEW v AS SELECT * FROM windows",
		"DROP TABLE marks",
		"ALTER TABLE windows ADD COLUMN more",
		"UPDATE windows SET time_ns = time_ns + 1",
		"UPDATE windows SET number = number + 5000000",
		"UPDATE dictionary SET chunk = chunk + 1, packed = x'00'",
		"PRAGMA application_id=7",
	};
	struct fixture *f = *state;
	char path[256];

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		open_store(f);
		append_next(f);
		uint64_t last = f->number;
		close_store(f);
		assert_true(find_file(f, ".db", path));
		sql(path, changes[i]);
		open_store(f);
		assert_non_null(strstr(f->why.text, "set aside"));
		assert_int_equal(stats_of(f).damaged, 1);
		assert_int_equal(stats_of(f).windows, 0);
		append_next(f);
		assert_true(f->number > last);
		close_store(f);
		assert_int_equal(unlink(path), -1); /* renamed */
		assert_true(find_file(f, ".db", path));
		assert_int_equal(unlink(path), 0);
	}
	assert_true(find_file(f, ".damaged", path));
}

static void begins_again_where_it_was_cut_short(void **state)
{
	struct fixture *f = *state;
	char path[256];

	open_store(f);
	append_many(f, 2);
	close_store(f);
	snprintf(path, sizeof(path), "%s/windows-000002.db", f->folder);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/windows-000009.db-wal", f->folder);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	open_store(f);
	assert_int_equal(access(path, F_OK), -1);
	assert_string_equal(f->why.text, "");
	append_next(f);
	assert_int_equal(stats_of(f).windows, 3);
}

/* ---- what goes ---- */

static uint64_t folder_size(struct fixture *f)
{
	DIR *folder = opendir(f->folder);
	uint64_t bytes = 0;

	for (struct dirent *entry; (entry = readdir(folder));) {
		struct stat status;
		if (fstatat(dirfd(folder), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode))
			bytes += (uint64_t)status.st_size;
	}
	closedir(folder);
	return bytes;
}

static void never_above_the_budget(void **state)
{
	struct fixture *f = *state;
	struct replay_options large = {.seed = 9, .processes = 20, .brief = 5, .ticks = 60, .depth = 12, .period = 1000, .ballast = 60000, .branching = 40};
	uint64_t largest = 0;

	if (RUNNING_ON_VALGRIND)
		skip(); /* some hundred windows: half a minute */
	replay_destroy(f->replay);
	f->replay = replay_create(&large);
	f->options.bytes_max = STORE_BYTES_MIN;
	open_store(f);
	for (int i = 0; i < 260; i++) {
		append_next(f);
		if (i % 3 == 0)
			while (store_maintain(f->store, &f->why) == 1)
				;
		uint64_t bytes = folder_size(f);
		largest = bytes > largest ? bytes : largest;
		assert_true(bytes <= STORE_BYTES_MIN);
		if (stats_of(f).windows_evicted && i % 50 == 0) {
			close_store(f);
			open_store(f);
		}
	}
	assert_true(largest > STORE_BYTES_MIN / 2);
	assert_true(stats_of(f).windows > 20);
	assert_int_equal(stats_of(f).append_failed, 0);
	f->options.bytes_max = 64 << 20;
}

static void expires_by_age(void **state)
{
	struct fixture *f = *state;

	f->options.age_max_ns = 2 * HOURS;
	open_store(f);
	for (int i = 0; i < 5 * 60; i++) {
		append_next(f);
		f->time_ns += 50 * (int64_t)NS_PER_S;
		maintain(f);
	}
	struct store_stats stats = stats_of(f);
	assert_int_equal(stats.windows_expired, 180);
	assert_int_equal(stats.windows_merged, 0); /* windows a minute apart: nothing to merge within one minute */
	struct profile *sum = sum_of(f, &(struct store_filter){0});
	assert_true(sum->time_ns >= f->time_ns - (int64_t)(2 * HOURS + 3 * MINUTES));
	assert_true(sum->time_ns <= f->time_ns - (int64_t)(2 * HOURS - 3 * MINUTES));
	profile_free(sum);
}

static void segments_end_after_a_day(void **state)
{
	struct fixture *f = *state;

	f->options.age_max_ns = 3 * DAYS;
	open_store(f);
	for (int i = 0; i < 8 * 24; i++) {
		append_next(f);
		f->time_ns += 3590 * (int64_t)NS_PER_S;
		if (i % 12 == 0)
			maintain(f);
	}
	maintain(f);
	assert_in_range(stats_of(f).segments, 3, 4);
	assert_in_range(stats_of(f).windows, 70, 74);
	assert_in_range(stats_of(f).windows_expired, 8 * 24 - 74, 8 * 24 - 70);
}

static void clock_jumps(void **state)
{
	struct fixture *f = *state;
	unsigned appended = 0;

	if (RUNNING_ON_VALGRIND)
		skip(); /* some hundred windows: half a minute */
	f->options.age_max_ns = 3 * DAYS;
	open_store(f);
	append_many(f, 200), appended += 200;
	f->time_ns -= (int64_t)HOURS;
	append_many(f, 400), appended += 400;
	maintain(f);
	f->time_ns += 365 * (int64_t)DAYS;
	append_many(f, 400), appended += 400;
	maintain(f);
	close_store(f);
	open_store(f);
	maintain(f);
	f->time_ns -= 365 * (int64_t)DAYS;
	append_many(f, 300), appended += 300;
	maintain(f);
	assert_int_equal(stats_of(f).windows_expired, 0);
	assert_int_equal(total_of(f), appended * small_host.ticks);
	/* Set right within the day: the year never was. */
	for (int i = 0; i < 60; i++) {
		f->time_ns += 1800 * (int64_t)NS_PER_S;
		append_next(f), appended++;
		maintain(f);
	}
	assert_int_equal(stats_of(f).windows_expired, 0);
	assert_int_equal(total_of(f), appended * small_host.ticks);
	/* Not set right: a day later what is before it is a year old. */
	f->time_ns += 365 * (int64_t)DAYS;
	for (int i = 0; i < 60; i++) {
		f->time_ns += 1800 * (int64_t)NS_PER_S;
		append_next(f);
		maintain(f);
	}
	assert_int_equal(stats_of(f).windows, 60);
}

/* ---- compaction ---- */

static int check_row(void *context, const struct store_window *window)
{
	int64_t *sums = context;

	sums[0] += window->value;
	sums[1] += window->merged;
	sums[2]++;
	sums[3] += window->duration_ns;
	return 0;
}

static void merges_old_windows(void **state)
{
	struct fixture *f = *state;
	struct store_reader *reader;
	int64_t sums[4] = {0};
	struct profile *before, *after;

	f->options.levels[0] = (struct store_level){10 * MINUTES, 1 * MINUTES};
	f->options.levels[1] = (struct store_level){60 * MINUTES, 10 * MINUTES};
	f->time_ns = BEGIN_NS - BEGIN_NS % (600 * (int64_t)NS_PER_S);
	int64_t begin = f->time_ns;
	open_store(f);
	append_many(f, 60);
	before = sum_of(f, &(struct store_filter){.from_ns = begin, .to_ns = begin + 600 * (int64_t)NS_PER_S});
	for (int i = 0; i < 600; i++) {
		append_next(f);
		maintain(f);
	}
	assert_true(stats_of(f).windows < 60 + 65 + 6 + 6);
	/* One window of ten minutes: equal to the sum of what it was made of, but for the order. */
	after = sum_of(f, &(struct store_filter){.from_ns = begin, .to_ns = begin + 600 * (int64_t)NS_PER_S});
	assert_same(before, after);
	profile_free(before);
	profile_free(after);
	assert_int_equal(store_reader_open(f->folder, &reader, &f->why), 0);
	assert_int_equal(store_reader_windows(reader, &(struct store_filter){0}, check_row, sums, &f->why), 0);
	assert_int_equal(sums[0], 660 * small_host.ticks * 1000);
	assert_int_equal(sums[1], 660);
	assert_int_equal(sums[2], (int64_t)stats_of(f).windows);
	assert_int_equal(sums[3], 660 * WINDOW_NS);
	store_reader_close(reader);
	uint64_t windows = stats_of(f).windows;
	close_store(f);
	open_store(f);
	assert_int_equal(stats_of(f).windows, windows);
	append_next(f);
	assert_int_equal(total_of(f), 661 * small_host.ticks);
}

static void does_not_merge_other_values(void **state)
{
	struct fixture *f = *state;
	struct profile *other = sample_profile();

	f->options.levels[0] = (struct store_level){1 * MINUTES, 1 * MINUTES};
	f->time_ns = BEGIN_NS - BEGIN_NS % (60 * (int64_t)NS_PER_S);
	open_store(f);
	append_many(f, 2);
	other->time_ns = f->time_ns;
	other->duration_ns = WINDOW_NS;
	other->sample_types[0] = other->sample_types[1];
	append(f, other);
	f->time_ns += WINDOW_NS;
	append_many(f, 20);
	maintain(f);
	struct store_stats stats = stats_of(f);
	assert_int_equal(stats.windows_merged, 2 + 3 + 6);
	struct profile *sum = sum_of(f, &(struct store_filter){0});
	assert_int_equal(profile_total(sum, 0), 22 * small_host.ticks);
	assert_string_equal(profile_string(sum, sum->comments[sum->n_comments - 1]), "1 windows of other sample types were left out");
	profile_free(sum);
	profile_free(other);
}

/* ---- outbox ---- */

static void outbox_in_order(void **state)
{
	struct fixture *f = *state;
	const char *names[] = {"one", "two"};
	struct profile *window;
	uint64_t number = 0, first = 0;

	open_store(f);
	append_many(f, 3); /* before there was a sink */
	assert_int_equal(store_set_sinks(f->store, names, 2), 0);
	assert_int_equal(store_outbox_next(f->store, 0, 0, &number, &window), -ENOENT);
	append_many(f, 5);
	assert_int_equal(stats_of(f).outbox_windows[0], 5);
	assert_true(stats_of(f).outbox_bytes[1] > 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(store_outbox_next(f->store, 0, number, &number, &window), 0);
		first = first ? first : number;
		profile_free(window);
	}
	assert_int_equal(number, f->number);
	assert_int_equal(store_outbox_mark(f->store, 0, first + 1), 0);
	assert_int_equal(stats_of(f).outbox_windows[0], 3);
	close_store(f);
	f->options.sinks[0] = "two", f->options.sinks[1] = "one", f->options.n_sinks = 2;
	open_store(f);
	assert_int_equal(stats_of(f).outbox_windows[0], 5);
	assert_int_equal(stats_of(f).outbox_windows[1], 3);
	assert_int_equal(store_outbox_next(f->store, 1, 0, &number, &window), 0);
	assert_int_equal(number, first + 2);
	profile_free(window);
	assert_int_equal(store_outbox_mark(f->store, 1, f->number), 0);
	assert_int_equal(store_outbox_mark(f->store, 1, f->number + 1), -EINVAL);
	assert_int_equal(store_outbox_mark(f->store, 2, f->number), -EINVAL);
	assert_int_equal(stats_of(f).outbox_windows[1], 0);
	assert_int_equal(stats_of(f).outbox_bytes[1], 0);
	assert_int_equal(store_set_sinks(f->store, (const char *[]){"UPPER"}, 1), -EINVAL);
	assert_int_equal(store_set_sinks(f->store, (const char *[]){"a", "a"}, 2), -EINVAL);
	assert_int_equal(store_set_sinks(f->store, names, STORE_SINKS_MAX + 1), -E2BIG);
}

static void outbox_keeps_windows_whole(void **state)
{
	struct fixture *f = *state;
	struct profile *window;
	uint64_t number = 0;
	int n = 0;

	f->options.levels[0] = (struct store_level){10 * MINUTES, 1 * MINUTES};
	f->options.sinks[0] = "slow", f->options.n_sinks = 1;
	open_store(f);
	append_many(f, 300);
	maintain(f);
	assert_int_equal(stats_of(f).windows_merged, 0);
	for (; store_outbox_next(f->store, 0, number, &number, &window) == 0; n++)
		profile_free(window);
	assert_int_equal(n, 300);
	assert_int_equal(store_outbox_mark(f->store, 0, number), 0);
	maintain(f);
	assert_true(stats_of(f).windows_merged >= 230);
}

static void outbox_has_a_budget(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats;

	f->options.sinks[0] = "away", f->options.n_sinks = 1;
	f->options.outbox_age_max_ns = 20 * MINUTES;
	open_store(f);
	append_many(f, 300);
	maintain(f);
	assert_non_null(f->store);
	stats = stats_of(f);
	assert_int_equal(stats.outbox_windows[0], 120);
	assert_int_equal(stats.outbox_dropped[0], 180);
	close_store(f);
	f->options.outbox_age_max_ns = 0;
	f->options.outbox_bytes_max = stats.outbox_bytes[0] / 2;
	open_store(f);
	int said = 0;
	for (int more = 1; more == 1;) {
		more = store_maintain(f->store, &f->why);
		said += strstr(f->why.text, "'away'") != NULL;
	}
	stats = stats_of(f);
	assert_int_equal(said, 1);
	assert_in_range(stats.outbox_windows[0], 50, 70);
	assert_true(stats.outbox_bytes[0] <= f->options.outbox_bytes_max);
	assert_int_equal(stats.outbox_dropped[0], 120 - stats.outbox_windows[0]);
	assert_int_equal(stats.windows, 300);
}

/* ---- reading ---- */

struct seen_buckets {
	int64_t total;
	size_t n;
	char last[64];
};

static int see_bucket(void *context, const struct store_bucket *bucket)
{
	struct seen_buckets *seen = context;

	seen->total += bucket->value;
	seen->n++;
	snprintf(seen->last, sizeof(seen->last), "%s", bucket->label);
	return 0;
}

static void filters(void **state)
{
	struct fixture *f = *state;
	struct store_reader *reader;
	struct profile *sum;
	struct store_filter filter = {.n_labels = 1};
	int64_t total = 0;

	open_store(f);
	append_many(f, 30);
	for (int program = 0; program < 6; program++) {
		char name[16];
		snprintf(name, sizeof(name), "app%d", program);
		filter.labels[0].key = "process", filter.labels[0].value = name;
		sum = sum_of(f, &filter);
		total += profile_total(sum, 0);
		assert_int_equal(sum->n_comments, 0);
		profile_free(sum);
	}
	assert_int_equal(total, 30 * small_host.ticks);
	filter.labels[0].key = "pid", filter.labels[0].value = "1013";
	filter.labels[1].key = "process", filter.labels[1].value = "app1";
	filter.n_labels = 2;
	sum = sum_of(f, &filter);
	assert_true(profile_total(sum, 0) > 0);
	profile_free(sum);
	filter.labels[1].value = "app2";
	sum = sum_of(f, &filter);
	assert_int_equal(sum->n_samples, 0);
	profile_free(sum);
	assert_null(sum_of(f, &(struct store_filter){.to_ns = 5}));

	struct seen_buckets seen = {0};
	struct store_filter time = {.from_ns = BEGIN_NS - 7, .to_ns = f->time_ns + 13};
	assert_int_equal(store_reader_open(f->folder, &reader, &f->why), 0);
	assert_int_equal(store_reader_timeline(reader, &time, "process", 97, see_bucket, &seen, &f->why), 0);
	assert_int_equal(seen.total, 30 * small_host.ticks * small_host.period);
	assert_true(seen.n > 97);
	seen = (struct seen_buckets){0};
	time.from_ns = BEGIN_NS + 5 * (int64_t)NS_PER_S, time.to_ns = BEGIN_NS + 25 * (int64_t)NS_PER_S;
	assert_int_equal(store_reader_timeline(reader, &time, NULL, 1, see_bucket, &seen, &f->why), 0);
	assert_int_equal(seen.total, 2 * small_host.ticks * small_host.period);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.last, "");
	assert_int_equal(store_reader_timeline(reader, &time, NULL, 0, see_bucket, &seen, &f->why), -EINVAL);
	time.to_ns = time.from_ns;
	assert_int_equal(store_reader_timeline(reader, &time, NULL, 1, see_bucket, &seen, &f->why), -EINVAL);
	store_reader_close(reader);
	assert_int_equal(store_reader_open("/proc/nothing", &reader, &f->why), -ENOENT);
}

static int stop_at_second(void *context, const struct store_window *window)
{
	(void)window;
	return ++*(int *)context == 2 ? 42 : 0;
}

static void readers_beside_the_writer(void **state)
{
	struct fixture *f = *state;
	struct store_reader *reader;
	int n = 0;

	open_store(f);
	append_many(f, 3);
	assert_int_equal(store_reader_open(f->folder, &reader, &f->why), 0);
	assert_int_equal(store_reader_windows(reader, &(struct store_filter){0}, stop_at_second, &n, &f->why), 42);
	for (int i = 0; i < 200; i++) {
		append_next(f);
		maintain(f);
		if (i % 20 == 0)
			assert_int_equal(total_of(f), (4 + (unsigned)i) * small_host.ticks);
	}
	store_reader_close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(comes_back_as_it_was),
		TEST(numbers_only_grow),
		TEST(refuses_what_it_cannot_hold),
		TEST(opens_only_what_is_its_own),
		TEST(refuses_a_newer_one),
		TEST(sets_aside_a_strangers_tables),
		TEST(begins_again_where_it_was_cut_short),
		TEST(never_above_the_budget),
		TEST(expires_by_age),
		TEST(segments_end_after_a_day),
		TEST(clock_jumps),
		TEST(merges_old_windows),
		TEST(does_not_merge_other_values),
		TEST(outbox_in_order),
		TEST(outbox_keeps_windows_whole),
		TEST(outbox_has_a_budget),
		TEST(filters),
		TEST(readers_beside_the_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
