/* What hearth's program is measured against: the textbook design. Two bpf_get_stackid() into STACK_TRACE maps and a PERCPU_HASH of
 * counts, as in bcc's and libbpf-tools' profile. Same key, same filters. */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>

struct key {
	__u32 tgid;
	int kernel_stack, user_stack;
	__u32 zero;
	char comm[16];
	__u64 cgroup;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 16384);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 127 * sizeof(__u64));
} kernel_stacks SEC(".maps"), user_stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct key);
	__type(value, __u64);
} counts SEC(".maps");

SEC("perf_event")
int plain_tick(struct bpf_perf_event_data *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid(), one = 1;
	struct key key = {};

	if (!(__u32)ids)
		return 0;
	key.tgid = ids >> 32;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	key.cgroup = bpf_get_current_cgroup_id();
	key.kernel_stack = bpf_get_stackid(ctx, &kernel_stacks, 0);
	key.user_stack = bpf_get_stackid(ctx, &user_stacks, BPF_F_USER_STACK);
	__u64 *count = bpf_map_lookup_elem(&counts, &key);
	if (count)
		++*count;
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
