/* The age of windows, on a machine whose wall clock may jump.
 *
 * The store's clock is the time that was recorded: it goes on by the windows' durations and by the gaps between them. A gap of more than an hour (the machine
 * was off; or the clock jumped) is not counted at once, but noted with the window behind it. It counts when a day's worth was recorded since and the wall
 * clock has not come back meanwhile. So a clock that jumps a year ahead expires nothing until a day has passed in which nobody set it right; and a machine that was
 * off for a month loses what is too old a day after it came back. A clock that jumps back makes nothing older or younger. */
#ifndef HEARTH_STORE_STORE_CLOCK_H
#define HEARTH_STORE_STORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define STORE_CLOCK_GAP_NS   (3600 * INT64_C(1000000000))  /* longer ones are doubted */
#define STORE_CLOCK_TRUST_NS (86400 * INT64_C(1000000000)) /* until so much was recorded behind them */
#define STORE_CLOCK_GAPS_MAX 64				   /* noted at once; the oldest are forgotten: what is before them seems younger */

struct store_clock {
	int64_t now_ns;	     /* end of the newest window */
	int64_t wall_end_ns; /* the same by the wall clock */
	bool any;	     /* windows there were */
	unsigned n_gaps;
	struct {
		int64_t clock_ns, gap_ns;
	} gaps[STORE_CLOCK_GAPS_MAX];
};

/* The next window: its begin by the store's clock, and the gap before it that is not counted (0: none; negative: the wall clock went back by so much). */
void store_clock_place(const struct store_clock *c, int64_t time_ns, int64_t *clock_ns_out, int64_t *gap_ns_out);
/* It was written. Also: the windows that are there, in their order, at the opening. end_ns: by the wall clock. */
void store_clock_add(struct store_clock *c, int64_t clock_ns, int64_t gap_ns, int64_t duration_ns, int64_t end_ns);
/* How old a window is that began at clock_ns. */
int64_t store_clock_age(const struct store_clock *c, int64_t clock_ns);

#endif
