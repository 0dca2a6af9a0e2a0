#include "agent/cpu_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"

int cpu_list_parse(const char *text, bool *cpus_out, int n_cpus)
{
	for (const char *at = text; *at && *at != '\n';) {
		char *end;
		long first = strtol(at, &end, 10), last = first;
		if (end == at || first < 0)
			return -EBADMSG;
		if (*end == '-') {
			at = end + 1;
			last = strtol(at, &end, 10);
			if (end == at || last < first)
				return -EBADMSG;
		}
		if (*end && *end != ',' && *end != '\n')
			return -EBADMSG;
		for (long cpu = first; cpu <= last && cpu < n_cpus; cpu++)
			cpus_out[cpu] = true;
		at = *end == ',' ? end + 1 : end;
	}
	return 0;
}

int cpu_list_online(bool *cpus_out, int n_cpus)
{
	char text[4096];
	AUTO_CLOSE int fd = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	text[n] = '\0';
	return cpu_list_parse(text, cpus_out, n_cpus);
}
