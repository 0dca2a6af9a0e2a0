/* Whose debug information is offered to a server that names addresses: each build id once, few at a time, in the order in which windows had them. A server is
 * asked first whether it wants it (debuginfo_messages.h); what failed is tried again later, and given up at last. Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_DEBUGINFO_OFFERS_H
#define HEARTH_SERVER_UPLOAD_DEBUGINFO_OFFERS_H

#include <stdint.h>

#include "pprof/profile.h"

#define DEBUGINFO_TRIES_MAX 8 /* a minute after the first, then twice as long each time, at most an hour: two hours in all */

struct debuginfo_offers;

struct debuginfo_offers_stats {
	uint64_t known;	   /* build ids seen */
	uint64_t waiting, under_way;
	uint64_t done;	   /* the server has it, or does not want it */
	uint64_t given_up; /* after DEBUGINFO_TRIES_MAX */
	uint64_t left_out; /* seen when known was at its limit; a build id is counted each time that it is seen */
};

/* known_max: build ids that are remembered (100 bytes each). parallel: under way at once, at least 1. */
int debuginfo_offers_create(uint32_t known_max, uint32_t parallel, struct debuginfo_offers **offers_out);

/* Note the build ids of a window's files (not the kernel's). Returns how many were new, or -ENOMEM. */
int debuginfo_offers_add(struct debuginfo_offers *offers, const struct profile *window);

/* Whose turn it is: it is under way then. number_out: for the two below. build_id_out: hex; borrowed, until the next add.
 * Returns 0; -EBUSY (as many are under way as may be); -EAGAIN (all that wait have failed lately: the first may be tried at *when_out); -ENOENT (none waits). */
int debuginfo_offers_next(struct debuginfo_offers *offers, uint64_t now_ns, uint32_t *number_out, const char **build_id_out, uint64_t *when_out);

/* Hex; borrowed, until the next add. NULL: there is no such number. */
const char *debuginfo_offers_build_id(const struct debuginfo_offers *offers, uint32_t number);

/* One that is under way: the server has it or does not want it; or something failed. */
void debuginfo_offers_done(struct debuginfo_offers *offers, uint32_t number);
/* ... or it was no fault of its own: it is the next again, and no try is counted. */
void debuginfo_offers_put_back(struct debuginfo_offers *offers, uint32_t number);
void debuginfo_offers_failed(struct debuginfo_offers *offers, uint32_t number, uint64_t now_ns);

void debuginfo_offers_stats(const struct debuginfo_offers *offers, struct debuginfo_offers_stats *stats_out);

/* NULL is legal. */
void debuginfo_offers_destroy(struct debuginfo_offers *offers);

#endif
