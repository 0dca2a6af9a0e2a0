/* When a sink may send its next request. Pure: the caller says what time it is, in ns of CLOCK_BOOTTIME (a machine that slept has waited).
 *
 * After a failure: exponential backoff with full jitter, a random time up to 1 s, 2 s, 4 s, ... 5 min; a whole fleet that lost its server at one moment comes back
 * spread over minutes. Retry-After is never undercut, and jitter comes on top of it, for all were told the same. What only a person can repair (a token, a
 * certificate) is tried again slowly: at least half a minute apart.
 * After a recovery: requests are at first 2 s apart, then less with each success down to 500 ms; "slow down" (429) doubles that; and three times as long as the
 * last request took is always left between two, so that a sink uses a quarter of the server's time at most: a server that is busy is asked less.
 * Always: a token bucket of bytes.
 * Source of full jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. */
#ifndef HEARTH_SERVER_UPLOAD_RETRY_H
#define HEARTH_SERVER_UPLOAD_RETRY_H

#include <stdint.h>

enum retry_kind {
	RETRY_SOON, /* the server may be well again in a moment */
	RETRY_BUSY, /* it said: slow down */
	RETRY_SLOWLY, /* somebody has to do something about it */
};

struct retry_policy {
	uint64_t first_ns, max_ns; /* ceilings of the first and the last wait */
	uint64_t slow_first_ns;	   /* ceiling of RETRY_SLOWLY's first; its waits are at least half of their ceilings */
	uint64_t retry_after_max_ns;
	uint64_t pace_first_ns, pace_min_ns, pace_max_ns; /* between two requests after a recovery */
	uint64_t bytes_per_s;
};

/* 1 s to 5 min, from 30 s slowly, Retry-After up to 15 min, 2 s to 500 ms, 4 MB/s. */
extern const struct retry_policy RETRY_POLICY;

struct retry {
	struct retry_policy policy;
	uint64_t random;	/* xorshift: nobody is to guess anything from it */
	uint32_t failures;	/* in a row */
	uint64_t wait_until_ns; /* after a failure; 0: none */
	uint64_t pace_ns, pace_until_ns;
	int64_t bytes;		/* in the bucket; below 0 after a large request */
	uint64_t bytes_at_ns;
};

/* seed: different on every machine. */
void retry_init(struct retry *r, const struct retry_policy *policy, uint64_t seed, uint64_t now_ns);

/* When the next request may begin: now_ns or later. */
uint64_t retry_ready_ns(const struct retry *r, uint64_t now_ns);

/* A request of so many bytes begins. */
void retry_begin(struct retry *r, uint64_t now_ns, uint64_t bytes);

/* took_ns: from its begin to its reply. */
void retry_success(struct retry *r, uint64_t now_ns, uint64_t took_ns);

/* The server answered, and would not have this request: no failure of its own, but what is paced stays paced. */
void retry_refused(struct retry *r, uint64_t now_ns, uint64_t took_ns);

/* retry_after_ns: what the server asked for; 0: nothing. */
void retry_failure(struct retry *r, enum retry_kind kind, uint64_t now_ns, uint64_t retry_after_ns);

/* Somebody did something about it: try at once. */
void retry_now(struct retry *r);

#endif
