#include "store/store_clock.h"

#include <string.h>

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

static int64_t subtract(int64_t a, int64_t b)
{
	int64_t difference;

	return __builtin_sub_overflow(a, b, &difference) ? (b < 0 ? INT64_MAX : -INT64_MAX) : difference;
}

void store_clock_place(const struct store_clock *c, int64_t time_ns, int64_t *clock_ns_out, int64_t *gap_ns_out)
{
	int64_t gap = c->any ? subtract(time_ns, c->wall_end_ns) : 0;
	bool doubted = gap > STORE_CLOCK_GAP_NS || gap < -STORE_CLOCK_GAP_NS;

	*clock_ns_out = add(c->now_ns, !doubted && gap > 0 ? gap : 0);
	*gap_ns_out = doubted ? gap : 0;
}

/* What the wall clock goes back by, it had gone ahead by: the newest gaps that do not count yet were none. */
static void take_back(struct store_clock *c, int64_t clock_ns, int64_t back_ns)
{
	while (c->n_gaps && back_ns > 0 && subtract(clock_ns, c->gaps[c->n_gaps - 1].clock_ns) < STORE_CLOCK_TRUST_NS) {
		int64_t *gap = &c->gaps[c->n_gaps - 1].gap_ns;
		int64_t taken = *gap < back_ns ? *gap : back_ns;
		*gap -= taken;
		back_ns -= taken;
		if (*gap > STORE_CLOCK_GAP_NS)
			return;
		c->n_gaps--;
	}
}

void store_clock_add(struct store_clock *c, int64_t clock_ns, int64_t gap_ns, int64_t duration_ns, int64_t end_ns)
{
	if (gap_ns < 0)
		take_back(c, clock_ns, gap_ns == INT64_MIN ? INT64_MAX : -gap_ns);
	if (gap_ns > 0) {
		if (c->n_gaps == STORE_CLOCK_GAPS_MAX)
			memmove(&c->gaps[0], &c->gaps[1], --c->n_gaps * sizeof(c->gaps[0]));
		c->gaps[c->n_gaps].clock_ns = clock_ns;
		c->gaps[c->n_gaps++].gap_ns = gap_ns;
	}
	int64_t length = duration_ns < STORE_CLOCK_GAP_NS ? duration_ns : STORE_CLOCK_GAP_NS; /* one alone cannot make the rest old */
	int64_t end = add(clock_ns, length > 0 ? length : 0);
	if (end > c->now_ns || !c->any)
		c->now_ns = end;
	c->wall_end_ns = end_ns;
	c->any = true;
}

int64_t store_clock_age(const struct store_clock *c, int64_t clock_ns)
{
	int64_t age = subtract(c->now_ns, clock_ns);

	for (unsigned i = c->n_gaps; i-- > 0 && c->gaps[i].clock_ns > clock_ns;)
		if (subtract(c->now_ns, c->gaps[i].clock_ns) >= STORE_CLOCK_TRUST_NS)
			age = add(age, c->gaps[i].gap_ns);
	return age;
}
