#include "agent/debug_downloads.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/cmocka_prelude.h"

/* --- a fetcher that does what the test says --------------------------------------------------------------------------------- */

struct debuginfod_fetcher {
	int event_fd;
	bool busy, has_result, dead;
	struct debuginfod_result result;
	uint8_t build_id[64];
	int fd;
	unsigned fetches, stops;
	int fetch_err;
};

static struct debuginfod_fetcher fetcher;
static uint64_t now_ns;

int debuginfod_fetch(struct debuginfod_fetcher *f, uint64_t id, const uint8_t *build_id, uint8_t build_id_bytes, int fd)
{
	assert_false(f->busy);
	if (f->fetch_err)
		return f->fetch_err;
	f->busy = true;
	f->result.id = id;
	f->fd = dup(fd);
	memcpy(f->build_id, build_id, build_id_bytes);
	f->fetches++;
	return 0;
}

int debuginfod_fd(const struct debuginfod_fetcher *f)
{
	return f->event_fd;
}

bool debuginfod_take(struct debuginfod_fetcher *f, struct debuginfod_result *result_out)
{
	if (!f->has_result)
		return false;
	f->has_result = f->busy = false;
	*result_out = f->result;
	return true;
}

bool debuginfod_is_dead(const struct debuginfod_fetcher *f)
{
	return f->dead;
}

void debuginfod_stop(struct debuginfod_fetcher *f)
{
	if (f)
		f->stops++;
}

int debuginfod_start(const struct debuginfod_options *options, struct debuginfod_fetcher **fetcher_out)
{
	(void)options;
	(void)fetcher_out;
	return -ENOSYS;
}

static uint64_t test_clock(void)
{
	return now_ns;
}

/* --- set-up ----------------------------------------------------------------------------------------------------------------- */

static char base[PATH_MAX], folder[PATH_MAX + 16];
static struct debug_downloads *downloads;
static unsigned arrivals;
static uint8_t last_arrival;

static void create(void)
{
	struct why why = {""};

	fetcher = (struct debuginfod_fetcher){.event_fd = eventfd(0, EFD_CLOEXEC), .fd = -1};
	assert_int_equal(debug_downloads_create(&fetcher, folder, 1 << 20, test_clock, &downloads, &why), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(base, "/tmp/hearth-downloads-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(folder, sizeof(folder), "%s/debuginfod", base);
	now_ns = 1000 * NS_PER_S;
	arrivals = 0;
	create();
	return 0;
}

static void destroy(void)
{
	debug_downloads_destroy(downloads);
	downloads = NULL;
	assert_int_equal(fetcher.stops, 1);
	close(fetcher.event_fd);
	if (fetcher.fd >= 0)
		close(fetcher.fd);
}

static int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	if (downloads)
		destroy();
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command) == 0 ? 0 : -1;
}

static void take_arrival(void *context, const uint8_t *build_id, uint8_t build_id_bytes)
{
	(void)context;
	assert_int_equal(build_id_bytes, 20);
	arrivals++;
	last_arrival = build_id[0];
}

static void want(uint8_t first)
{
	uint8_t build_id[20] = {first};

	debug_downloads_want(downloads, build_id, sizeof(build_id));
}

static bool has(uint8_t first)
{
	uint8_t build_id[20] = {first};

	return debug_downloads_has(downloads, build_id, sizeof(build_id));
}

static void finish(int err, size_t bytes, uint32_t retry_after_s)
{
	assert_true(fetcher.busy);
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(write(fetcher.fd, "x", 1), 1);
	close(fetcher.fd);
	fetcher.fd = -1;
	fetcher.result.err = err;
	fetcher.result.bytes = err == 0 ? bytes : 0;
	fetcher.result.retry_after_s = retry_after_s;
	fetcher.has_result = true;
	debug_downloads_work(downloads, take_arrival, NULL);
}

static struct debug_downloads_stats stats_of(void)
{
	struct debug_downloads_stats stats;

	debug_downloads_stats(downloads, &stats);
	return stats;
}

static void pass(uint64_t seconds)
{
	now_ns += seconds * NS_PER_S;
	debug_downloads_work(downloads, take_arrival, NULL);
}

/* --- tests ------------------------------------------------------------------------------------------------------------------ */

static void one_after_the_other(void **state)
{
	(void)state;
	assert_string_equal(debug_downloads_folder(downloads), folder);
	want(1);
	want(2);
	want(1);
	want(2);
	assert_int_equal(fetcher.fetches, 1);
	assert_int_equal(debug_downloads_outstanding(downloads), 2);
	assert_false(has(1));
	finish(0, 100, 0);
	assert_int_equal(arrivals, 1);
	assert_int_equal(last_arrival, 1);
	assert_true(has(1));
	assert_int_equal(fetcher.build_id[0], 2);
	finish(0, 5, 0);
	assert_int_equal(last_arrival, 2);
	assert_int_equal(debug_downloads_outstanding(downloads), 0);
	assert_int_equal(stats_of().fetched, 2);
	assert_int_equal(stats_of().fetched_bytes, 105);
	assert_int_equal(stats_of().files, 2);
	/* SAFETY 11. */
	uint8_t build_id[65] = {9};
	debug_downloads_want(downloads, build_id, 3);
	debug_downloads_want(downloads, build_id, 65);
	assert_false(debug_downloads_has(downloads, build_id, 65));
	debug_downloads_useless(downloads, build_id, 65);
	assert_int_equal(fetcher.fetches, 2);
}

static void what_nobody_has(void **state)
{
	(void)state;
	want(1);
	finish(-ENOENT, 0, 0);
	want(2);
	finish(-EFBIG, 0, 0);
	assert_int_equal(arrivals, 0);
	/* Not asked for again, by the next start neither. */
	want(1);
	want(2);
	destroy();
	create();
	want(1);
	want(2);
	assert_int_equal(fetcher.fetches, 0);
	/* A day later it is. */
	char command[PATH_MAX + 64];
	snprintf(command, sizeof(command), "touch -d '2 days ago' %s/01*.none", folder);
	assert_int_equal(system(command), 0);
	want(1);
	assert_int_equal(fetcher.fetches, 1);
	finish(0, 10, 0);
	assert_true(has(1));
}

static void what_is_useless(void **state)
{
	uint8_t build_id[20] = {1};

	(void)state;
	debug_downloads_useless(downloads, build_id, sizeof(build_id));
	assert_int_equal(stats_of().useless, 0);
	want(1);
	finish(0, 10, 0);
	debug_downloads_useless(downloads, build_id, sizeof(build_id));
	assert_false(has(1));
	assert_int_equal(stats_of().useless, 1);
	want(1);
	assert_int_equal(fetcher.fetches, 1);
}

/* SAFETY 22. */
static void servers_that_cannot_now(void **state)
{
	(void)state;
	want(1);
	finish(-EAGAIN, 3, 0);
	assert_int_equal(fetcher.fetches, 1);
	assert_int_equal(debug_downloads_outstanding(downloads), 0);
	pass(1);
	assert_int_equal(fetcher.fetches, 2);
	/* What the server asks for, and the jitter behind it. */
	finish(-EAGAIN, 0, 100);
	pass(99);
	assert_int_equal(fetcher.fetches, 2);
	pass(3);
	assert_int_equal(fetcher.fetches, 3);
	finish(-EPROTO, 0, 0);
	assert_int_equal(stats_of().refused, 1);
	for (unsigned tries = 3; tries < DEBUG_DOWNLOADS_TRIES; tries++) {
		pass(300);
		assert_int_equal(fetcher.fetches, tries + 1);
		finish(-ECHILD, 0, 0);
	}
	assert_int_equal(stats_of().given_up, 1);
	assert_int_equal(stats_of().failed, DEBUG_DOWNLOADS_TRIES);
	pass(300);
	want(1);
	assert_int_equal(fetcher.fetches, DEBUG_DOWNLOADS_TRIES);
	assert_int_equal(stats_of().queued, 0);
	/* Others come on; and one that goes well ends the pauses. */
	want(2);
	finish(0, 1, 0);
	want(3);
	assert_int_equal(fetcher.fetches, DEBUG_DOWNLOADS_TRIES + 2);
	/* The next one is tried while one waits. */
	want(4);
	finish(-EAGAIN, 0, 0);
	pass(300);
	assert_int_equal(fetcher.build_id[0], 4);
}

static void a_full_queue(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DEBUG_DOWNLOADS_QUEUE + 5; i++)
		want((uint8_t)(i + 1));
	assert_int_equal(stats_of().queued, DEBUG_DOWNLOADS_QUEUE);
	assert_int_equal(stats_of().displaced, 5);
}

static void a_fetcher_that_is_gone(void **state)
{
	(void)state;
	fetcher.fetch_err = -ECHILD;
	want(1);
	assert_int_equal(debug_downloads_outstanding(downloads), 0);
	fetcher.fetch_err = 0;
	pass(300);
	assert_int_equal(fetcher.fetches, 0);
	destroy();
	create();
	want(1);
	fetcher.dead = true;
	finish(-ECHILD, 0, 0);
	pass(300);
	assert_int_equal(fetcher.fetches, 1);
	assert_int_equal(debug_downloads_outstanding(downloads), 0);
}

static void folders_that_are_refused(void **state)
{
	struct debug_downloads *d = NULL;
	struct why why;

	(void)state;
	assert_int_equal(chmod(folder, 0777), 0);
	struct debuginfod_fetcher other = {.event_fd = eventfd(0, EFD_CLOEXEC)};
	assert_int_equal(debug_downloads_create(&other, folder, 1 << 20, NULL, &d, &why), -EPERM);
	assert_int_equal(other.stops, 1);
	close(other.event_fd);
	debug_downloads_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_after_the_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_nobody_has, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_useless, set_up, tear_down),
		cmocka_unit_test_setup_teardown(servers_that_cannot_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_fetcher_that_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(folders_that_are_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
