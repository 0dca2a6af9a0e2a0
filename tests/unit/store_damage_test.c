/* Damaged files: whatever is hit, the writer and the reader give errors, never crash, and go on. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/account.h"
#include "store/dictionary.h"
#include "store/store.h"
#include "store/store_clock.h"
#include "store/store_reader.h"
#include "store/window.h"
#include "tests/store/profile_text.h"
#include "tests/store/replay.h"
#include "tests/unit/sample_profile.h"

#define WINDOW_NS ((int64_t)(10 * NS_PER_S))
#define BEGIN_NS  (1790000000 * (int64_t)NS_PER_S)
#define WINDOWS	  12

static const struct replay_options small_host = {.seed = 3, .processes = 6, .brief = 2, .ticks = 30, .depth = 6, .period = 1000, .branching = 30};
static const struct store_options options = {.bytes_max = 64u << 20};

static char base[] = "/dev/shm/hearth-damage-test.XXXXXX";
static char folder[64], file[96];
static uint8_t *sound;
static size_t n_sound;

static void empty_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -f '%s'/*", folder);
	assert_int_equal(system(command), 0);
}

static void write_file(const char *path, const uint8_t *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

/* A sound store of one segment; its file is kept in memory. */
static int make_sound(void **state)
{
	struct replay *replay = replay_create(&small_host);
	struct store *store;
	struct stat status;
	struct why why;
	uint64_t number;

	(void)state;
	if (!mkdtemp(base))
		return -1;
	snprintf(folder, sizeof(folder), "%s/store", base);
	snprintf(file, sizeof(file), "%s/windows-000001.db", folder);
	assert_int_equal(store_open(folder, &options, &store, &why), 0);
	for (int i = 0; i < WINDOWS; i++) {
		struct profile *window = replay_window(replay, BEGIN_NS + i * WINDOW_NS, WINDOW_NS);
		assert_int_equal(store_append(store, window, &number, &why), 0);
		profile_free(window);
	}
	store_close(store);
	replay_destroy(replay);
	int fd = open(file, O_RDONLY);
	assert_int_equal(fstat(fd, &status), 0);
	n_sound = (size_t)status.st_size;
	sound = malloc(n_sound);
	assert_int_equal(read(fd, sound, n_sound), n_sound);
	close(fd);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	free(sound);
	empty_folder();
	return rmdir(folder) < 0 || rmdir(base) < 0;
}

static int ignore_window(void *context, const struct store_window *window)
{
	(void)context;
	return window->account == NULL;
}

static int ignore_bucket(void *context, const struct store_bucket *bucket)
{
	(void)context;
	return bucket->label == NULL;
}

static void read_all(void)
{
	struct store_filter filter = {.from_ns = BEGIN_NS, .to_ns = BEGIN_NS + 100 * WINDOW_NS};
	struct store_reader *reader;
	struct profile *sum = NULL;
	struct why why;

	assert_int_equal(store_reader_open(folder, &reader, &why), 0);
	int err = store_reader_sum(reader, &filter, &sum, &why);
	assert_true(err == 0 || (err < 0 && why.text[0]));
	/* What passes is what was written: rows, samples and the dictionary have checksums. */
	if (err == 0)
		assert_int_equal(profile_total(sum, 0) % small_host.ticks, 0);
	profile_free(sum);
	store_reader_windows(reader, &filter, ignore_window, NULL, &why);
	store_reader_timeline(reader, &filter, "process", 7, ignore_bucket, NULL, &why);
	store_reader_close(reader);
}

static void write_more(void)
{
	struct replay *replay = replay_create(&small_host);
	struct profile *window = replay_window(replay, BEGIN_NS + 50 * WINDOW_NS, WINDOW_NS), *out;
	struct store *store;
	struct why why;
	uint64_t number = 0;
	struct store_options with_sink = options;
	struct store_stats stats;

	with_sink.sinks[0] = "s", with_sink.n_sinks = 1;
	with_sink.levels[0] = (struct store_level){20 * NS_PER_S, 60 * NS_PER_S};
	int err = store_open(folder, &with_sink, &store, &why);
	if (err == -ENOTSUP) { /* the version was hit */
		assert_non_null(strstr(why.text, "newer"));
	} else {
		assert_int_equal(err, 0);
		assert_int_equal(store_append(store, window, &number, &why), 0);
		while (store_maintain(store, &why) == 1)
			;
		/* Damage may be found only when old windows are merged: then the new one went with its segment, and that was said. */
		store_stats(store, &stats);
		err = store_outbox_next(store, 0, 0, &number, &out);
		assert_true(err == 0 || (err == -ENOENT && stats.damaged));
		if (err == 0) {
			profile_free(out);
			assert_int_equal(store_outbox_mark(store, 0, number), 0);
		}
		while (store_maintain(store, &why) == 1)
			;
		store_close(store);
	}
	profile_free(window);
	replay_destroy(replay);
}

static void try_damaged(const uint8_t *bytes, size_t n)
{
	empty_folder();
	write_file(file, bytes, n);
	read_all();
	write_more();
}

static uint64_t state_of_random = 88172645463325252u;

static size_t below(size_t n)
{
	state_of_random ^= state_of_random << 13;
	state_of_random ^= state_of_random >> 7;
	state_of_random ^= state_of_random << 17;
	return (size_t)(state_of_random % n);
}

static void bytes_flipped(void **state)
{
	uint8_t *bytes = malloc(n_sound);
	const char *rounds = getenv("HEARTH_DAMAGE_ROUNDS");
	size_t n = rounds ? (size_t)atoi(rounds) : 120;

	(void)state;
	/* The head of the file and of its first pages, then anywhere: a bit, a byte, a run. */
	for (size_t i = 0; i < n; i++) {
		memcpy(bytes, sound, n_sound);
		size_t page = below(n_sound / 4096) * 4096;
		size_t at = i % 4 == 0 ? i % 100 : i % 4 == 1 ? page + below(16) : i % 4 == 2 ? page + below(200) : below(n_sound);
		size_t length = i % 3 == 0 ? 1 : 1 + below(64);
		for (size_t k = at; k < at + length && k < n_sound; k++)
			bytes[k] = (uint8_t)(i % 2 ? below(256) : bytes[k] ^ 1u << below(8));
		try_damaged(bytes, n_sound);
	}
	free(bytes);
}

static void truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < 20; i++)
		try_damaged(sound, i < 4 ? i * 50 : i < 12 ? (i - 3) * 4096 % n_sound : below(n_sound));
}

static void pages_exchanged(void **state)
{
	uint8_t *bytes = malloc(n_sound);

	(void)state;
	for (size_t i = 0; i < 20; i++) {
		size_t a = below(n_sound / 4096) * 4096, b = below(n_sound / 4096) * 4096;
		memcpy(bytes, sound, n_sound);
		memcpy(bytes + a, sound + b, 4096);
		if (i % 2)
			memcpy(bytes + b, sound + a, 4096);
		try_damaged(bytes, n_sound);
	}
	free(bytes);
}

static void not_a_database(void **state)
{
	(void)state;
	try_damaged((const uint8_t *)"hello\n", 6);
	empty_folder();
	assert_int_equal(symlink("/etc/passwd", file), 0);
	read_all();
	write_more();
	empty_folder();
	assert_int_equal(mkfifo(file, 0600), 0);
	read_all();
	write_more();
}

/* ---- full and read-only file systems ---- */

static bool mounted(const char *type, const char *data)
{
	struct stat status;

	if (stat(folder, &status) < 0)
		mkdir(folder, 0700);
	return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 && mount("x", folder, type, 0, data) == 0;
}

/* In a mount namespace of its own. Returns the status; 77: it may not mount. */
static int in_child(int (*test)(void))
{
	int status;

	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		_exit(mounted("tmpfs", "size=20m,mode=0700") ? test() : 77);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int note_number(void *context, const struct store_window *window)
{
	*(uint64_t *)context = window->number;
	return 0;
}

/* The number of the last window that a reader finds; 0: none. */
static uint64_t last_held(void)
{
	struct store_reader *reader;
	struct why why;
	uint64_t number = 0;

	if (store_reader_open(folder, &reader, &why) < 0)
		return 0;
	store_reader_windows(reader, &(struct store_filter){0}, note_number, &number, &why);
	store_reader_close(reader);
	return number;
}

static int fill_disk(void)
{
	struct replay_options host = {.seed = 9, .processes = 20, .brief = 5, .ticks = 60, .depth = 12, .period = 1000, .ballast = 60000, .branching = 60};
	struct replay *replay = replay_create(&host);
	struct store_options large = {.bytes_max = 1u << 30};
	struct store *store;
	struct store_stats stats;
	struct why why;
	uint64_t number = 0, last = 0;
	char ballast[96];
	bool said = false;

	if (store_open(folder, &large, &store, &why) < 0)
		return 1;
	for (int i = 0; i < 500; i++) {
		struct profile *window = replay_window(replay, BEGIN_NS + i * WINDOW_NS, WINDOW_NS);
		if (store_append(store, window, &number, &why) < 0 || number <= last)
			return 2;
		said |= strstr(why.text, "oldest") != NULL;
		last = number;
		profile_free(window);
		while (i % 5 == 0 && store_maintain(store, &why) == 1)
			;
	}
	store_stats(store, &stats);
	if (!stats.windows_evicted || stats.append_failed || !said || stats.windows + stats.windows_evicted < 500 - stats.windows_merged)
		return 3;
	/* Somebody else takes all that is left: the oldest windows go, the newest stay. */
	snprintf(ballast, sizeof(ballast), "%s/ballast", folder);
	int fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	static char block[1 << 16];
	while (write(fd, block, sizeof(block)) > 0)
		;
	for (int i = 500; i < 520; i++) {
		struct profile *window = replay_window(replay, BEGIN_NS + i * WINDOW_NS, WINDOW_NS);
		if (store_append(store, window, &number, &why) < 0) {
			print_message("%s\n", why.text);
			return 4;
		}
		profile_free(window);
	}
	/* Whatever goes, he takes it: at last there is nothing that could go. Then it says so, and goes on when there is room again. */
	int failed = 0;
	for (int i = 520; i < 800 && !failed; i++) {
		struct profile *window = replay_window(replay, BEGIN_NS + i * WINDOW_NS, WINDOW_NS);
		last = number;
		failed = store_append(store, window, &number, &why);
		profile_free(window);
		while (write(fd, block, 4096) > 0)
			;
	}
	if (failed != -ENOSPC || !strstr(why.text, "make room"))
		return 5;
	/* The newest windows are still there, also when it is asked again and again. */
	for (int i = 0; i < 5; i++) {
		struct profile *window = replay_window(replay, BEGIN_NS + 800 * WINDOW_NS, WINDOW_NS);
		if (store_append(store, window, &number, &why) != -ENOSPC || store_maintain(store, &why) > 1)
			return 9;
		profile_free(window);
	}
	if (last_held() != last)
		return 10;
	if (ftruncate(fd, 0) < 0)
		return 6;
	struct profile *window = replay_window(replay, BEGIN_NS + 900 * WINDOW_NS, WINDOW_NS);
	if (store_append(store, window, &number, &why) < 0)
		return 7;
	profile_free(window);
	store_close(store);
	if (store_open(folder, &large, &store, &why) < 0 || why.text[0])
		return 8;
	store_close(store);
	close(fd);
	replay_destroy(replay);
	return 0;
}

static void disk_that_fills_up(void **state)
{
	(void)state;
	int status = in_child(fill_disk);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

static int remount_read_only(void)
{
	struct replay *replay = replay_create(&small_host);
	struct profile *window = replay_window(replay, BEGIN_NS, WINDOW_NS), *sum;
	struct store_reader *reader;
	struct store *store;
	struct why why;
	uint64_t number;

	if (store_open(folder, &options, &store, &why) < 0 || store_append(store, window, &number, &why) < 0)
		return 1;
	store_close(store);
	if (mount("x", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return 77;
	if (store_open(folder, &options, &store, &why) != -EROFS || !why.text[0])
		return 2;
	if (store_reader_open(folder, &reader, &why) < 0 || store_reader_sum(reader, &(struct store_filter){0}, &sum, &why) < 0)
		return 3;
	if (profile_digest(sum) != profile_digest(window))
		return 4;
	if (mount("x", folder, "tmpfs", MS_REMOUNT, NULL) < 0)
		return 77;
	if (store_open(folder, &options, &store, &why) < 0)
		return 5;
	store_close(store);
	store_reader_close(reader);
	profile_free(sum);
	profile_free(window);
	replay_destroy(replay);
	return 0;
}

static void read_only_disk(void **state)
{
	(void)state;
	int status = in_child(remount_read_only);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

/* ---- parts ---- */

static void dictionary_of_strangers(void **state)
{
	struct replay *replay = replay_create(&small_host);
	struct profile *window = replay_window(replay, 0, 1);
	struct dictionary *d, *other;
	struct window w;
	struct packing packed = {0}, samples = {0};

	(void)state;
	assert_int_equal(dictionary_create(&d), 0);
	struct dictionary_counts begin = d->n;
	assert_int_equal(window_from_profile(&w, d, window), 0);
	dictionary_encode(d, &begin, &d->n, &packed);
	window_pack(&w, &samples);
	for (size_t i = 0; i < 4000; i++) {
		size_t n = i % 5 ? packed.n : below(packed.n);
		uint8_t *bytes = malloc(n + 1); /* its end is an end for sanitizers, too */
		memcpy(bytes, packed.bytes, n);
		for (size_t k = 0; k <= below(3) && n; k++)
			bytes[i % 2 ? below(n) : below(n < 40 ? n : 40)] = (uint8_t)below(256);
		assert_int_equal(dictionary_create(&other), 0);
		int err = dictionary_decode(other, bytes, n);
		if (err == 0) {
			struct profile *out;
			struct window all = {.shape = w.shape, .series = w.series, .values = w.values, .n = w.n};
			if (window_fits(&all, &other->n) && window_to_profile(&all, other, &out) == 0)
				profile_free(out);
		} else {
			assert_int_equal(memcmp(&other->n, &begin, sizeof(begin)), 0);
		}
		dictionary_destroy(other);
		free(bytes);
	}
	for (size_t i = 0; i < 4000; i++) {
		size_t n = i % 5 ? samples.n : below(samples.n);
		uint8_t *bytes = malloc(n + 1);
		struct window v = {.head.number = w.head.number};
		memcpy(bytes, samples.bytes, n);
		if (n)
			bytes[i % 2 ? below(n) : below(n < 20 ? n : 20)] = (uint8_t)below(256);
		int err = window_unpack(&v, bytes, n);
		assert_true(err == 0 || err == -EBADMSG);
		window_fits(&v, &d->n);
		window_deinit(&v);
		free(bytes);
	}
	packing_deinit(&packed);
	packing_deinit(&samples);
	window_deinit(&w);
	dictionary_destroy(d);
	profile_free(window);
	replay_destroy(replay);
}

static void dictionary_forgets(void **state)
{
	struct replay *replay = replay_create(&small_host);
	struct dictionary *d;
	struct window w;
	struct packing once = {0}, again = {0};

	(void)state;
	assert_int_equal(dictionary_create(&d), 0);
	struct dictionary_counts zero = d->n;
	struct profile *first = replay_window(replay, 0, 1), *second = replay_window(replay, 0, 1);
	assert_int_equal(window_from_profile(&w, d, first), 0);
	window_deinit(&w);
	struct dictionary_counts one = d->n;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(window_from_profile(&w, d, second), 0);
		packing_clear(i ? &again : &once);
		dictionary_encode(d, &zero, &d->n, i ? &again : &once);
		window_deinit(&w);
		if (!i)
			dictionary_rollback(d, &one);
	}
	assert_int_equal(once.n, again.n);
	assert_memory_equal(once.bytes, again.bytes, once.n);
	packing_deinit(&once);
	packing_deinit(&again);
	dictionary_destroy(d);
	profile_free(first);
	profile_free(second);
	replay_destroy(replay);
}

static void assert_merged(const char *a, const char *b, const char *wanted)
{
	char *merged;

	assert_int_equal(account_merge(a, b, &merged), 0);
	if (wanted)
		assert_string_equal(merged, wanted);
	else
		assert_null(merged);
	free(merged);
}

static void accounts_add_up(void **state)
{
	char long_text[5000], *merged;

	(void)state;
	assert_merged(NULL, NULL, NULL);
	assert_merged("x", NULL, "x");
	assert_merged(NULL, "ticks=5 identity=holds", "ticks=5 identity=holds");
	assert_merged("hearth 0.1.0\nevent=cpu-clock rate_hz=19 cpus=2\nticks=10 samples=9 dropped=1 dropped_missed=1 identity=holds",
		      "hearth 0.1.0\nevent=cpu-clock rate_hz=10 cpus=2\nticks=5 samples=4 dropped=1 dropped_throttled=1 identity=holds",
		      "hearth 0.1.0\nevent=cpu-clock rate_hz=19 cpus=2\n"
		      "ticks=15 samples=13 dropped=2 dropped_missed=1 dropped_throttled=1 identity=holds\nevent=cpu-clock rate_hz=10 cpus=2");
	assert_merged("ticks=1 identity=holds", "ticks=1 identity=BROKEN", "ticks=2 identity=BROKEN");
	assert_merged("ticks=1 mode=a", "ticks=1 mode=b", "ticks=2 mode=varies");
	assert_merged("ticks=18446744073709551615", "ticks=1", "ticks=18446744073709551615");
	assert_merged("ticks=99999999999999999999 a", "ticks=1 a", "ticks=varies a");
	assert_merged("a\nb", "b\nc", "a\nb\nc");
	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(account_merge("first", long_text, &merged), 0);
	assert_string_equal(merged, "first\nmore comments were left out");
	char *twice;
	assert_int_equal(account_merge(merged, long_text, &twice), 0);
	assert_string_equal(twice, merged);
	free(twice);
	free(merged);
}

static void clock_ages(void **state)
{
	struct store_clock c = {0};
	int64_t clock, gap, hour = 3600 * (int64_t)NS_PER_S;

	(void)state;
	store_clock_place(&c, INT64_MIN, &clock, &gap);
	store_clock_add(&c, clock, gap, 10, INT64_MIN + 10);
	store_clock_place(&c, INT64_MAX, &clock, &gap);
	assert_true(gap > 0);
	store_clock_add(&c, clock, gap, INT64_MAX, INT64_MAX);
	store_clock_place(&c, 0, &clock, &gap);
	assert_true(gap < 0);
	store_clock_add(&c, clock, gap, 10, 10);
	assert_true(store_clock_age(&c, 0) <= 25 * hour);
	for (int i = 0; i < 200; i++) { /* to and fro */
		store_clock_place(&c, i % 2 ? 0 : 1000 * hour, &clock, &gap);
		store_clock_add(&c, clock, gap, 10, i % 2 ? 10 : 1000 * hour);
	}
	assert_true(store_clock_age(&c, 0) <= 25 * hour);
	assert_true(c.n_gaps <= STORE_CLOCK_GAPS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_flipped),
		cmocka_unit_test(truncated),
		cmocka_unit_test(pages_exchanged),
		cmocka_unit_test(not_a_database),
		cmocka_unit_test(disk_that_fills_up),
		cmocka_unit_test(read_only_disk),
		cmocka_unit_test(dictionary_of_strangers),
		cmocka_unit_test(dictionary_forgets),
		cmocka_unit_test(accounts_add_up),
		cmocka_unit_test(clock_ages),
	};
	return cmocka_run_group_tests(tests, make_sound, clean_up);
}
