/* What is said about a sink that fails, and when: once when an outage begins, again when its reason changes, and when it is over; not once a second. Pure. */
#ifndef HEARTH_SERVER_UPLOAD_OUTAGE_LOG_H
#define HEARTH_SERVER_UPLOAD_OUTAGE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* All zero is one that has said nothing yet. */
struct outage_log {
	bool failing, said;	/* said: that it fails */
	uint32_t reason;
	uint32_t failures;	/* since it began */
	uint64_t began_ns;
	uint64_t unsaid;	/* lines that were left out since the last that was not */
	uint32_t spent;		/* lines of the budget */
	uint64_t refilled_ns;
};

enum outage_line { OUTAGE_NOTHING, OUTAGE_BEGINS, OUTAGE_CHANGES, OUTAGE_OVER };

/* A failure. reason: equal for what is the same to people. at_once: one failure is enough; else a second one must follow, for one request that had to be sent
 * again is no news. Returns what is to be said. */
enum outage_line outage_failed(struct outage_log *log, uint64_t now_ns, uint32_t reason, bool at_once);

/* A success. ns_out: how long it lasted; failures_out: how many there were. */
enum outage_line outage_ended(struct outage_log *log, uint64_t now_ns, uint64_t *ns_out, uint32_t *failures_out);

/* Whether a line of another kind (a window that was dropped) may be said: 10 at once, then one a minute. unsaid_out: how many were not since the last one. */
bool outage_may_say(struct outage_log *log, uint64_t now_ns, uint64_t *unsaid_out);

#endif
