/* The agent's state as hearth-web has it: a WEB_STATE message, checked. */
#ifndef HEARTH_WEB_WEB_STATE_H
#define HEARTH_WEB_WEB_STATE_H

#include "web/web_metrics.h"
#include "web/web_protocol.h"

struct web_state {
	struct web_state_head head;
	struct web_samples samples;
	char json[WEB_JSON_MAX + 1]; /* ends in NUL */
};

/* Returns 0, or -EBADMSG: *state is as it was. */
int web_state_take(const void *payload, size_t n, struct web_state *state);

#endif
