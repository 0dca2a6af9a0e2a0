#include "server-upload/outage_log.h"

#include "base/clock.h"

#define LINES_AT_ONCE 10
#define REFILL_NS     (60 * NS_PER_S)

bool outage_may_say(struct outage_log *log, uint64_t now_ns, uint64_t *unsaid_out)
{
	uint64_t refills = now_ns > log->refilled_ns ? (now_ns - log->refilled_ns) / REFILL_NS : 0;

	log->spent = refills < log->spent ? log->spent - (uint32_t)refills : 0;
	log->refilled_ns = log->spent ? log->refilled_ns + refills * REFILL_NS : now_ns;
	if (log->spent >= LINES_AT_ONCE) {
		log->unsaid++;
		return false;
	}
	log->spent++;
	*unsaid_out = log->unsaid;
	log->unsaid = 0;
	return true;
}

enum outage_line outage_failed(struct outage_log *log, uint64_t now_ns, uint32_t reason, bool at_once)
{
	uint64_t unsaid;

	if (!log->failing) {
		log->failing = true;
		log->said = false;
		log->failures = 0;
		log->began_ns = now_ns;
	}
	log->failures++;
	bool is_new = !log->said || reason != log->reason;
	if (!is_new || (!at_once && log->failures < 2))
		return OUTAGE_NOTHING;
	/* What could not be said is tried again with the next failure, and is no line that was left out. */
	uint64_t left_out = log->unsaid;
	if (!outage_may_say(log, now_ns, &unsaid)) {
		log->unsaid = left_out;
		return OUTAGE_NOTHING;
	}
	log->unsaid = left_out;
	enum outage_line line = log->said ? OUTAGE_CHANGES : OUTAGE_BEGINS;
	log->said = true;
	log->reason = reason;
	return line;
}

enum outage_line outage_ended(struct outage_log *log, uint64_t now_ns, uint64_t *ns_out, uint32_t *failures_out)
{
	bool said = log->failing && log->said;

	*ns_out = now_ns > log->began_ns ? now_ns - log->began_ns : 0;
	*failures_out = log->failures;
	log->failing = log->said = false;
	return said ? OUTAGE_OVER : OUTAGE_NOTHING;
}
