#include "agent/cpu_idle.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/scope.h"

int cpu_idle_parse(FILE *stream, uint64_t *idle_ns_out, int n_cpus)
{
	char line[512];

	/* The lines of CPUs come first; what follows (one line with a number for each interrupt) may be very long. */
	while (fgets(line, sizeof(line), stream)) {
		uint64_t user, nice, system, idle, iowait;
		unsigned int cpu;
		if (strncmp(line, "cpu", 3) != 0)
			break;
		if (sscanf(line, "cpu%u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &cpu, &user, &nice,
			   &system, &idle, &iowait) != 6)
			continue; /* the sum over all CPUs has no number */
		if (cpu < (unsigned int)n_cpus)
			idle_ns_out[cpu] = (idle + iowait) * CPU_IDLE_RESOLUTION_NS;
	}
	return ferror(stream) ? -EIO : 0;
}

int cpu_idle_read(uint64_t *idle_ns_out, int n_cpus)
{
	AUTO_FCLOSE FILE *stream = fopen("/proc/stat", "re");

	return stream ? cpu_idle_parse(stream, idle_ns_out, n_cpus) : -errno;
}
