/* When windows end, at which rate they sample, and whether they sample at all: the user's settings, what the governor allows, and what is asked for over the control
 * socket. No clocks of its own: times are given. Not thread-safe. */
#ifndef HEARTH_AGENT_PACE_H
#define HEARTH_AGENT_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/governor.h"

#define PACE_FOREVER UINT64_MAX

/* What can change while it runs. */
struct pace_settings {
	uint64_t rate_hz;
	uint64_t window_ns;
	double max_share;	/* of the machine, for the governor */
	double sample_fraction; /* of windows that are sampled, above 0, up to 1 */
	bool is_jittered;	/* windows end at this host's own phase of the wall clock */
	uint64_t host;		/* pace_host() */
};

struct pace {
	struct pace_settings settings;
	struct governor governor;
	uint64_t end_ns;      /* of the window at hand; CLOCK_MONOTONIC, as all ends */
	uint64_t boost_hz;    /* 0: none */
	uint64_t boost_end_ns;
	uint64_t rate_before_boost_hz;
	uint64_t pause_end_ns; /* 0: not paused */
	bool is_left_out;      /* the window at hand, by the fraction */
};

void pace_init(struct pace *p, const struct pace_settings *settings);

/* A window begins. monotonic_ns, wall_ns: now. Sets when it ends, and whether it is sampled. Without jitter windows keep the beat of the first. With it a window ends when the wall clock, modulo its length, is at
 * the host's phase; one that would be shorter than a tenth is made longer, so that a clock that is set costs one odd window. */
void pace_begin_window(struct pace *p, uint64_t monotonic_ns, uint64_t wall_ns);

/* When something is due: the end of the window, of a boost, of a pause. */
uint64_t pace_due_ns(const struct pace *p);

/* What is over by now is taken back: call before a window begins. */
void pace_expire(struct pace *p, uint64_t monotonic_ns);

/* For the window at hand. */
bool pace_is_sampling(const struct pace *p);
uint64_t pace_rate_hz(const struct pace *p);
double pace_weight(const struct pace *p); /* how many windows it stands for */

/* Each of these: the window at hand should end now. until_ns: PACE_FOREVER is legal for a pause. A boost during a boost replaces it. */
void pace_boost(struct pace *p, uint64_t rate_hz, uint64_t until_ns);
void pace_end_boost(struct pace *p);
void pace_pause(struct pace *p, uint64_t until_ns);
void pace_resume(struct pace *p);
void pace_set(struct pace *p, const struct pace_settings *settings);

/* After a window that was sampled: what hearth itself took. Returns true when the rate changed. */
bool pace_govern(struct pace *p, uint64_t own_ns, uint64_t window_ns, int cpus);

/* This host among others: a hash of /etc/machine-id and the host's name (machines that were copied have the same id). */
uint64_t pace_host(void);

#endif
