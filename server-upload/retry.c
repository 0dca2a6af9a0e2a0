#include "server-upload/retry.h"

#include "base/clock.h"

#define LEFT_FREE    3 /* times what the last request took */
#define BUCKET_S     2 /* seconds' worth of bytes that may go at once */
#define DOUBLINGS    40
#define JITTER_PARTS 4 /* of Retry-After: a quarter */

const struct retry_policy RETRY_POLICY = {
	.first_ns = NS_PER_S,
	.max_ns = 300 * NS_PER_S,
	.slow_first_ns = 30 * NS_PER_S,
	.retry_after_max_ns = 900 * NS_PER_S,
	.pace_first_ns = 2 * NS_PER_S,
	.pace_min_ns = 500 * NS_PER_MS,
	.pace_max_ns = 60 * NS_PER_S,
	.bytes_per_s = 4000000,
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Source: Marsaglia, "Xorshift RNGs", with Vigna's multiplier. */
static uint64_t draw(struct retry *r, uint64_t below)
{
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return below ? (r->random * 2685821657736338717ull >> 11) % below : 0;
}

void retry_init(struct retry *r, const struct retry_policy *policy, uint64_t seed, uint64_t now_ns)
{
	*r = (struct retry){.policy = *policy, .random = seed ? seed : 1, .pace_ns = policy->pace_min_ns, .bytes_at_ns = now_ns};
	r->bytes = (int64_t)min_u64(policy->bytes_per_s * BUCKET_S, INT64_MAX);
	for (int i = 0; i < 8; i++)
		draw(r, 1); /* seeds that are close give numbers that are not */
}

static int64_t bucket_bytes(const struct retry *r, uint64_t now_ns)
{
	uint64_t past_ns = now_ns > r->bytes_at_ns ? now_ns - r->bytes_at_ns : 0;
	int64_t full = (int64_t)min_u64(r->policy.bytes_per_s * BUCKET_S, INT64_MAX);
	double bytes = (double)r->bytes + (double)past_ns / (double)NS_PER_S * (double)r->policy.bytes_per_s;

	return bytes < (double)full ? (int64_t)bytes : full;
}

uint64_t retry_ready_ns(const struct retry *r, uint64_t now_ns)
{
	uint64_t ready_ns = max_u64(max_u64(now_ns, r->wait_until_ns), r->pace_until_ns);
	int64_t bytes = bucket_bytes(r, now_ns);

	/* A request may be larger than the bucket: what it takes too much is waited for afterwards. */
	if (bytes < 0)
		ready_ns = max_u64(ready_ns, now_ns + (uint64_t)((double)-bytes / (double)r->policy.bytes_per_s * (double)NS_PER_S) + 1);
	return ready_ns;
}

void retry_begin(struct retry *r, uint64_t now_ns, uint64_t bytes)
{
	r->bytes = bucket_bytes(r, now_ns) - (int64_t)min_u64(bytes, INT64_MAX / 2);
	r->bytes_at_ns = now_ns;
}

static void leave_room(struct retry *r, uint64_t now_ns, uint64_t took_ns)
{
	uint64_t pause_ns = min_u64(took_ns, r->policy.pace_max_ns) * LEFT_FREE;

	r->pace_until_ns = now_ns + min_u64(max_u64(pause_ns, r->pace_ns), r->policy.pace_max_ns);
}

void retry_success(struct retry *r, uint64_t now_ns, uint64_t took_ns)
{
	r->pace_ns = max_u64(r->pace_ns - r->pace_ns / 5, r->policy.pace_min_ns);
	r->failures = 0;
	r->wait_until_ns = 0;
	leave_room(r, now_ns, took_ns);
}

void retry_refused(struct retry *r, uint64_t now_ns, uint64_t took_ns)
{
	r->failures = 0;
	r->wait_until_ns = 0;
	leave_room(r, now_ns, took_ns);
}

/* first, doubled for each failure, up to max. */
static uint64_t ceiling(uint64_t first_ns, uint64_t max_ns, uint32_t failures)
{
	for (uint32_t i = 1; i < failures && i < DOUBLINGS && first_ns < max_ns; i++)
		first_ns *= 2;
	return min_u64(first_ns, max_ns);
}

void retry_failure(struct retry *r, enum retry_kind kind, uint64_t now_ns, uint64_t retry_after_ns)
{
	uint64_t wait_ns;

	if (r->failures < UINT32_MAX)
		r->failures++;
	if (kind == RETRY_SLOWLY) {
		uint64_t most_ns = ceiling(r->policy.slow_first_ns, r->policy.max_ns, r->failures);
		wait_ns = most_ns / 2 + draw(r, most_ns - most_ns / 2);
	} else {
		wait_ns = draw(r, ceiling(r->policy.first_ns, r->policy.max_ns, r->failures)) + 1;
	}
	if (kind == RETRY_BUSY)
		r->pace_ns = min_u64(max_u64(r->pace_ns, r->policy.pace_min_ns) * 2, r->policy.pace_max_ns);
	else
		r->pace_ns = max_u64(r->pace_ns, r->policy.pace_first_ns);
	if (retry_after_ns) {
		retry_after_ns = min_u64(retry_after_ns, r->policy.retry_after_max_ns);
		wait_ns = max_u64(wait_ns, retry_after_ns + draw(r, retry_after_ns / JITTER_PARTS));
	}
	r->wait_until_ns = now_ns + wait_ns;
}

void retry_now(struct retry *r)
{
	r->failures = 0;
	r->wait_until_ns = 0;
}
