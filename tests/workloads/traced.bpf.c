/* BPF programs that take long, to be found on kernel stacks: one is run by its caller, one at the entry of vfs_write() through a trampoline. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";
volatile unsigned long long sink;

static __always_inline int spend(void)
{
	unsigned long long sum = sink;

	for (int i = 0; i < 2000; i++)
		sum = sum * 31 + (unsigned long long)i;
	sink = sum;
	return 0;
}

SEC("socket") int hearth_run(void *context)
{
	(void)context;
	return spend();
}

SEC("fentry/vfs_write") int hearth_traced(void *context)
{
	(void)context;
	return spend();
}
