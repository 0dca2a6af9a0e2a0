/* Runs bench/plain.bpf.c on all CPUs: plain HZ SECONDS. Prints nothing; its cost is read from outside (bpftool prog show). */
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/plain.skel.h"

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: plain HZ SECONDS\n");
		return 2;
	}
	struct plain_bpf *skel = plain_bpf__open_and_load();
	if (!skel) {
		perror("loading");
		return 1;
	}
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++) {
		struct perf_event_attr attr = {.size = sizeof(attr), .type = PERF_TYPE_SOFTWARE,
					       .config = PERF_COUNT_SW_CPU_CLOCK, .freq = 1,
					       .sample_freq = strtoull(argv[1], NULL, 10)};
		int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0);
		if (fd >= 0 && !bpf_program__attach_perf_event(skel->progs.plain_tick, fd))
			perror("attaching");
	}
	sleep((unsigned int)atoi(argv[2]));
	return 0;
}
