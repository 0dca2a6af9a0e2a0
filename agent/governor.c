#include "agent/governor.h"

#define LOWER_AT 0.9 /* of the budget */
#define RAISE_AT 0.5
#define AIM_AT	 0.7

void governor_init(struct governor *g, double max_share, uint64_t wanted_hz)
{
	*g = (struct governor){.max_share = max_share, .wanted_hz = wanted_hz, .rate_hz = wanted_hz};
}

bool governor_update(struct governor *g, uint64_t own_ns, uint64_t capacity_ns)
{
	uint64_t before = g->rate_hz;

	if (!capacity_ns)
		return false;
	g->share = (double)own_ns / (double)capacity_ns;
	if (g->share > LOWER_AT * g->max_share) {
		/* Cost is roughly in proportion to the rate. At least 1 Hz stays: a profiler that stops says nothing. */
		double lower = (double)g->rate_hz * AIM_AT * g->max_share / g->share;
		g->rate_hz = lower < 1 ? 1 : (uint64_t)lower;
	} else if (g->share < RAISE_AT * g->max_share && g->rate_hz < g->wanted_hz) {
		g->rate_hz += g->rate_hz / 2 + 1;
		if (g->rate_hz > g->wanted_hz)
			g->rate_hz = g->wanted_hz;
	}
	g->lowered += g->rate_hz < before;
	return g->rate_hz != before;
}
