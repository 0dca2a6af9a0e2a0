#include "agent/governor.h"

#define LOWER_AT 0.9 /* of the budget */
#define RAISE_AT 0.5
#define AIM_AT	 0.7
#define HORIZON_NS 60e9

void governor_init(struct governor *g, double max_share, uint64_t wanted_hz)
{
	*g = (struct governor){.max_share = max_share, .wanted_hz = wanted_hz, .rate_hz = wanted_hz};
}

bool governor_update(struct governor *g, uint64_t own_ns, uint64_t window_ns, int cpus)
{
	uint64_t before = g->rate_hz;

	if (!window_ns || cpus <= 0)
		return false;
	double part = (double)window_ns / HORIZON_NS, weight = part < 1 ? part : 1;
	double now = (double)own_ns / ((double)window_ns * cpus);
	g->share += weight * (now - g->share);
	if (g->share > LOWER_AT * g->max_share) {
		/* Cost is roughly in proportion to the rate; the mean lags behind a cost that rose. At least 1 Hz stays: a profiler
		 * that stops says nothing. */
		double cost = now > g->share ? now : g->share;
		double lower = (double)g->rate_hz * AIM_AT * g->max_share / cost;
		g->rate_hz = lower < 1 ? 1 : (uint64_t)lower;
	} else if (g->share < RAISE_AT * g->max_share && g->rate_hz < g->wanted_hz) {
		g->rate_hz += g->rate_hz / 2 + 1;
		if (g->rate_hz > g->wanted_hz)
			g->rate_hz = g->wanted_hz;
	}
	g->lowered += g->rate_hz < before;
	/* The mean as it would be had this rate held all the time: what was mended is not mended again. */
	g->share *= (double)g->rate_hz / (double)before;
	return g->rate_hz != before;
}
