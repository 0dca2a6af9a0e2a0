#include "server-upload/debuginfo_offers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "server-upload/intern_table.h"
#include "server-upload/shape_frames.h"

#define WAIT_FIRST_NS (60 * NS_PER_S)
#define WAIT_MAX_NS   (3600 * NS_PER_S)

enum state { WAITING, UNDER_WAY, DONE, GIVEN_UP };

struct offer {
	uint8_t state, tries;
	uint64_t not_before_ns;
};

struct debuginfo_offers {
	struct intern_table build_ids;
	struct offer *offers; /* build_ids.n */
	uint32_t capacity, known_max, parallel;
	uint32_t first; /* those before are done or given up */
	struct debuginfo_offers_stats stats;
};

int debuginfo_offers_create(uint32_t known_max, uint32_t parallel, struct debuginfo_offers **offers_out)
{
	struct debuginfo_offers *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->known_max = known_max;
	o->parallel = parallel ? parallel : 1;
	if (getrandom(&o->build_ids.seed, sizeof(o->build_ids.seed), 0) != (ssize_t)sizeof(o->build_ids.seed)) {
		free(o);
		return -ENOMEM;
	}
	*offers_out = o;
	return 0;
}

static int add_one(struct debuginfo_offers *o, const char *build_id)
{
	uint32_t known = o->build_ids.n;

	if (known == o->capacity) {
		uint32_t capacity = 2 * o->capacity + 64;
		struct offer *grown = realloc(o->offers, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		o->offers = grown;
		o->capacity = capacity;
	}
	int64_t number = intern_table_put(&o->build_ids, build_id, strlen(build_id));
	if (number < 0)
		return (int)number;
	if (number < known)
		return 0;
	if (known >= o->known_max) {
		intern_table_cut(&o->build_ids, known);
		o->stats.left_out++;
		return 0;
	}
	o->offers[number] = (struct offer){.state = WAITING};
	o->stats.known++;
	o->stats.waiting++;
	return 1;
}

int debuginfo_offers_add(struct debuginfo_offers *o, const struct profile *window)
{
	int n_new = 0;

	for (size_t i = 0; i < window->n_mappings; i++) {
		if (!shape_mapping_is_nameable(window, &window->mappings[i]))
			continue;
		int added = add_one(o, profile_string(window, window->mappings[i].build_id));
		if (added < 0)
			return added;
		n_new += added;
	}
	return n_new;
}

int debuginfo_offers_next(struct debuginfo_offers *o, uint64_t now_ns, uint32_t *number_out, const char **build_id_out, uint64_t *when_out)
{
	uint64_t when = UINT64_MAX;

	if (o->stats.under_way >= o->parallel)
		return -EBUSY;
	while (o->first < o->build_ids.n && o->offers[o->first].state >= DONE)
		o->first++;
	for (uint32_t i = o->first; i < o->build_ids.n; i++) {
		struct offer *offer = &o->offers[i];
		if (offer->state != WAITING)
			continue;
		if (offer->not_before_ns > now_ns) {
			when = offer->not_before_ns < when ? offer->not_before_ns : when;
			continue;
		}
		offer->state = UNDER_WAY;
		o->stats.waiting--;
		o->stats.under_way++;
		*number_out = i;
		*build_id_out = intern_table_get(&o->build_ids, i, NULL);
		return 0;
	}
	if (when == UINT64_MAX)
		return -ENOENT;
	*when_out = when;
	return -EAGAIN;
}

const char *debuginfo_offers_build_id(const struct debuginfo_offers *o, uint32_t number)
{
	return number < o->build_ids.n ? intern_table_get(&o->build_ids, number, NULL) : NULL;
}

void debuginfo_offers_done(struct debuginfo_offers *o, uint32_t number)
{
	if (number >= o->build_ids.n || o->offers[number].state != UNDER_WAY)
		return;
	o->offers[number].state = DONE;
	o->stats.under_way--;
	o->stats.done++;
}

void debuginfo_offers_put_back(struct debuginfo_offers *o, uint32_t number)
{
	if (number >= o->build_ids.n || o->offers[number].state != UNDER_WAY)
		return;
	o->offers[number].state = WAITING;
	o->stats.under_way--;
	o->stats.waiting++;
}

void debuginfo_offers_failed(struct debuginfo_offers *o, uint32_t number, uint64_t now_ns)
{
	if (number >= o->build_ids.n || o->offers[number].state != UNDER_WAY)
		return;
	struct offer *offer = &o->offers[number];
	o->stats.under_way--;
	if (++offer->tries == DEBUGINFO_TRIES_MAX) {
		offer->state = GIVEN_UP;
		o->stats.given_up++;
		return;
	}
	uint64_t wait_ns = WAIT_FIRST_NS << (offer->tries - 1);
	offer->not_before_ns = now_ns + (wait_ns < WAIT_MAX_NS ? wait_ns : WAIT_MAX_NS);
	offer->state = WAITING;
	o->stats.waiting++;
}

void debuginfo_offers_stats(const struct debuginfo_offers *o, struct debuginfo_offers_stats *stats_out)
{
	*stats_out = o->stats;
}

void debuginfo_offers_destroy(struct debuginfo_offers *o)
{
	if (!o)
		return;
	intern_table_deinit(&o->build_ids);
	free(o->offers);
	free(o);
}
