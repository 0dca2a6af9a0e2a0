/* A store of some days in a folder of its own, several segments: made once for the tests of who reads it. */
#ifndef HEARTH_TESTS_STORE_FIXTURE_H
#define HEARTH_TESTS_STORE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"
#include "tests/store/replay.h"
#include "tests/unit/cmocka_prelude.h"

#define STORE_FIXTURE_WINDOW_NS ((int64_t)(10 * NS_PER_S))
#define STORE_FIXTURE_BEGIN_NS	(1790000000 * (int64_t)NS_PER_S)

struct store_fixture {
	char base[64], folder[80];
	int64_t from_ns, to_ns; /* of all windows */
	int64_t samples;	/* sum of the first sample type */
};

static const struct replay_options store_fixture_host = {.seed = 3, .processes = 6, .brief = 2, .ticks = 40, .depth = 10, .period = 1000, .branching = 30};

static inline struct store_fixture *store_fixture_empty(void)
{
	struct store_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->base, access("/dev/shm", W_OK) == 0 ? "/dev/shm/hearth-store-test.XXXXXX" : "/tmp/hearth-store-test.XXXXXX");
	assert_non_null(mkdtemp(f->base));
	snprintf(f->folder, sizeof(f->folder), "%s/store", f->base);
	f->from_ns = f->to_ns = STORE_FIXTURE_BEGIN_NS;
	return f;
}

/* n_windows of 10 s, every_s seconds from one's begin to the next one's. */
static inline void store_fixture_fill(struct store_fixture *f, unsigned n_windows, unsigned every_s)
{
	struct store_options options = {.bytes_max = 64u << 20};
	struct replay *replay = replay_create(&store_fixture_host);
	struct store *store;
	struct why why;
	uint64_t number;

	assert_int_equal(store_open(f->folder, &options, &store, &why), 0);
	for (unsigned i = 0; i < n_windows; i++) {
		int64_t time_ns = STORE_FIXTURE_BEGIN_NS + (int64_t)i * every_s * (int64_t)NS_PER_S;
		struct profile *window = replay_window(replay, time_ns, STORE_FIXTURE_WINDOW_NS);
		assert_int_equal(store_append(store, window, &number, &why), 0);
		f->samples += profile_total(window, 0);
		profile_free(window);
		f->to_ns = time_ns + STORE_FIXTURE_WINDOW_NS;
	}
	store_close(store);
	replay_destroy(replay);
}

static inline void store_fixture_destroy(struct store_fixture *f)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->base);
	assert_int_equal(system(command), 0);
	free(f);
}

#endif
