/* The kernel's own limit of sampling rates. */
#ifndef HEARTH_AGENT_RATE_LIMIT_H
#define HEARTH_AGENT_RATE_LIMIT_H

#include <stdint.h>

/* kernel.perf_event_max_sample_rate; UINT64_MAX when it cannot be read. */
uint64_t rate_limit_hz(void);

#endif
