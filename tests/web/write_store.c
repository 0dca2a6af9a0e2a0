/* A store of synthetic windows (tests/store/replay.h): tests/web/write_store FOLDER WINDOWS SECONDS-FROM-ONE-TO-THE-NEXT [BEGIN-SECONDS] */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/store.h"
#include "tests/store/replay.h"

int main(int argc, char **argv)
{
	struct replay_options host = {.seed = 7, .processes = 12, .brief = 2, .ticks = 60, .depth = 14, .period = 52631578, .branching = 20};
	struct store_options options = {.bytes_max = UINT64_C(1) << 30};
	struct store *store;
	struct why why;
	uint64_t number;

	if (argc < 4)
		return 2;
	long windows = atol(argv[2]), every = atol(argv[3]);
	int64_t begin = (argc > 4 ? atoll(argv[4]) : 1790000000) * (int64_t)NS_PER_S;
	struct replay *replay = replay_create(&host);
	if (store_open(argv[1], &options, &store, &why) < 0) {
		fprintf(stderr, "write_store: %s\n", why.text);
		return 1;
	}
	for (long i = 0; i < windows; i++) {
		struct profile *window = replay_window(replay, begin + i * every * (int64_t)NS_PER_S, 10 * (int64_t)NS_PER_S);
		if (store_append(store, window, &number, &why) < 0) {
			fprintf(stderr, "write_store: %s\n", why.text);
			return 1;
		}
		profile_free(window);
	}
	store_close(store);
	replay_destroy(replay);
	return 0;
}
