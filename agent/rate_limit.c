#include "agent/rate_limit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/scope.h"

uint64_t rate_limit_hz(void)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/sys/kernel/perf_event_max_sample_rate", "re");
	uint64_t limit;

	return file && fscanf(file, "%" SCNu64, &limit) == 1 ? limit : UINT64_MAX;
}
