/* The sampling program: filter, kernel stack, user stack, ++count.
 *
 * Runs on every tick of the perf event of its CPU, possibly in an NMI: no locks, no allocation. It cannot
 * nest with itself on one CPU (the kernel's bpf_prog_active), so an arena has one writer. */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "bpf/records.h"

#define PF_KTHREAD     0x00200000 /* include/linux/sched.h */
#define USER32_CS      0x23	  /* arch/x86: __USER32_CS */
#define USER_TOP       (1ULL << 56) /* above any user address, 5-level paging included */
#define PAGE_BYTES     4096
#define STACK_WINDOW   512 /* bytes of user stack read at once */
#define PROBES	       8
/* Frames of a walk on kernels without bpf_loop (before 5.17). */
#define USER_FRAMES_MAX_WITHOUT_LOOP 192
#define THREAD_BYTES   (1 << 14) /* x86-64 kernel stack, only for kernels without bpf_task_pt_regs (< 5.15) */

/* The few kernel types that are needed, so that the build host needs no BTF. */
struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	char comm[16];
	__u64 self_exec_id;
	void *stack;
} __attribute__((preserve_access_index));

struct pt_regs___kernel {
	unsigned long bp;
	unsigned long ip;
	unsigned long cs;
	unsigned long flags;
	unsigned long sp;
	unsigned long ss;
} __attribute__((preserve_access_index));

/* settings */
const volatile unsigned long long arena_bytes = 0;
const volatile unsigned long long entries_offset = 0; /* of the first entry in an arena */
const volatile unsigned long long slot_mask = 0;
const volatile unsigned long long wake_bytes = 0; /* head beyond this: wake the agent */
const volatile unsigned long long hash_seed[2] = {0, 0};
const volatile bool sample_idle = false;
const volatile bool filter_targets = false;
const volatile bool filter_cgroup = false;

/* Which arena is filled now: 0 or 1. Written by the agent only. */
volatile unsigned long long generation = 0;

/* Children that could not be followed because the targets map is full. */
volatile unsigned long long targets_lost = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} arenas SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} wakes SEC(".maps");

/* A walk in progress. In a map and not in registers, so that the verifier sees every step alike: a loop over it costs the
 * verifier one step, not one for each number of frames. */
struct walk {
	__u64 fp;    /* frame pointer to follow next */
	__u64 floor; /* frames lie above the stack pointer */
	__u64 base;  /* user address of words[0] */
	__u64 avail; /* bytes of words that are valid */
	__u64 pos;   /* where the next frame goes in the arena */
	__u64 hash, check;
	__u64 n_kernel;
	__u64 end; /* enum stack_end */
	__u64 words[STACK_WINDOW / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

struct registers {
	__u64 ip, sp, bp;
	bool compat;
};

/* Two multiplicative hashes of 64 bits; seeded, because frames are chosen by strangers (SAFETY 29). */
static __always_inline void hash_word(struct walk *w, __u64 word)
{
	__u64 hash = (w->hash ^ word) * 0x9e3779b97f4a7c15ULL;
	__u64 check = (w->check + word) * 0xd6e8feb86659fd93ULL;

	w->hash = hash ^ hash >> 32;
	w->check = check ^ check >> 29;
}

static __always_inline bool push_frame(struct walk *w, void *arena, __u64 pc)
{
	__u64 pos = w->pos;

	if (pos > arena_bytes - 8)
		return false;
	*(__u64 *)(arena + pos) = pc;
	w->pos = pos + 8;
	hash_word(w, pc);
	return true;
}

/* Read a window of the stack from fp on. It never crosses a page: the page above the outermost frame may not exist. */
static __always_inline bool read_window(struct walk *w, __u64 fp)
{
	__u64 bytes = PAGE_BYTES - (fp & (PAGE_BYTES - 1));

	if (bytes > STACK_WINDOW)
		bytes = STACK_WINDOW;
	if (bytes < 16)
		bytes = 16;
	if (bpf_probe_read_user(w->words, (__u32)bytes, (void *)fp)) {
		w->end = END_UNREADABLE;
		return false;
	}
	w->base = fp;
	w->avail = bytes;
	return true;
}

/* Follow one saved frame pointer: [fp] is the caller's fp, [fp + 8] the return address.
 * Source: System V ABI AMD64, 3.2.2. Returns false at the end of the stack, with w->end set. */
static __always_inline bool walk_step(struct walk *w, void *arena)
{
	__u64 fp = w->fp, offset;

	if (!fp) {
		w->end = END_FRAME_ZERO;
		return false;
	}
	w->end = END_BAD_FRAME;
	if (fp & 7 || fp < w->floor || fp >= USER_TOP)
		return false;
	offset = fp - w->base;
	if (offset + 16 > w->avail) {
		if (!read_window(w, fp))
			return false;
		offset = 0;
	}
	if (offset > STACK_WINDOW - 16)
		return false;
	__u64 next = *(__u64 *)((void *)w->words + offset);
	__u64 pc = *(__u64 *)((void *)w->words + offset + 8);
	if (pc < PAGE_BYTES || pc >= USER_TOP)
		return false;
	w->end = END_TOO_DEEP;
	if (!push_frame(w, arena, pc))
		return false;
	w->floor = fp + 16;
	w->fp = next;
	return true;
}

struct walk_context {
	struct walk *walk;
	void *arena;
};

static long walk_step_callback(__u32 index, void *data)
{
	struct walk_context *c = data;

	(void)index;
	return !walk_step(c->walk, c->arena);
}

/* with_loop: a constant. A kernel without bpf_loop (before 5.17) refuses a program that even contains a callback, so each program
 * exists twice, and the agent loads the one that its kernel takes. */
static __always_inline void walk_frame_pointers(struct walk *w, void *arena, const struct registers *regs, bool with_loop)
{
	w->fp = regs->bp;
	w->floor = regs->sp;
	w->base = 0;
	w->avail = 0;
	if (with_loop) {
		struct walk_context context = {w, arena};
		bpf_loop(USER_FRAMES_MAX - 1, walk_step_callback, &context, 0);
	} else {
		for (int i = 1; i < USER_FRAMES_MAX_WITHOUT_LOOP; i++)
			if (!walk_step(w, arena))
				break;
	}
}

/* The user's registers when the kernel was interrupted: saved at the top of the kernel stack. */
static __always_inline bool registers_of_task(struct registers *regs)
{
	unsigned long cs, ss;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		struct task_struct *task = (void *)bpf_get_current_task_btf();
		struct pt_regs___kernel *saved = (void *)bpf_task_pt_regs((void *)task);
		regs->ip = saved->ip;
		regs->sp = saved->sp;
		regs->bp = saved->bp;
		cs = saved->cs;
		ss = saved->ss;
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();
		void *stack = BPF_CORE_READ(task, stack);
		void *saved = stack + THREAD_BYTES - bpf_core_type_size(struct pt_regs___kernel);
		bpf_probe_read_kernel(&regs->ip, 8, saved + bpf_core_field_offset(struct pt_regs___kernel, ip));
		bpf_probe_read_kernel(&regs->sp, 8, saved + bpf_core_field_offset(struct pt_regs___kernel, sp));
		bpf_probe_read_kernel(&regs->bp, 8, saved + bpf_core_field_offset(struct pt_regs___kernel, bp));
		bpf_probe_read_kernel(&cs, 8, saved + bpf_core_field_offset(struct pt_regs___kernel, cs));
		bpf_probe_read_kernel(&ss, 8, saved + bpf_core_field_offset(struct pt_regs___kernel, ss));
	}
	regs->compat = (cs & 0xffff) == USER32_CS;
	return (cs & 3) == 3 && (ss & 3) == 3;
}

/* Facts of the current task that go into the key. */
static __always_inline void task_facts(__u32 *flags, __u32 *exec_id)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		struct task_struct *task = (void *)bpf_get_current_task_btf();
		*flags = task->flags;
		*exec_id = (__u32)task->self_exec_id;
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();
		*flags = BPF_CORE_READ(task, flags);
		*exec_id = (__u32)BPF_CORE_READ(task, self_exec_id);
	}
}

static __always_inline void wake_agent(struct arena_header *header, __u32 cpu)
{
	struct wake_record *wake;

	if (header->head < wake_bytes || header->signalled)
		return;
	wake = bpf_ringbuf_reserve(&wakes, sizeof(*wake), 0);
	if (!wake)
		return; /* the ring's lock is taken by what this NMI interrupted: the next sample tries again */
	wake->cpu = cpu;
	wake->generation = (__u32)generation;
	bpf_ringbuf_submit(wake, BPF_RB_FORCE_WAKEUP);
	header->signalled = 1;
}

/* Find the entry of this stack, or make the bytes at head it. */
static __always_inline void count_entry(void *arena, struct arena_header *header, __u64 head, __u64 end,
					const struct arena_entry *key, __u32 cpu)
{
	__u64 mask = slot_mask, slot = key->hash >> 20;
	__u32 *free_slot = 0;

	for (int i = 0; i < PROBES; i++, slot++) {
		__u64 at = ARENA_SLOTS_OFFSET + (slot & mask) * 4;
		if (at > arena_bytes - 8)
			break;
		__u32 *cell = arena + at;
		__u64 offset = *cell;
		if (!offset) {
			free_slot = cell;
			break;
		}
		if (offset > arena_bytes - ENTRY_MAX_BYTES)
			break;
		struct arena_entry *entry = arena + offset;
		if (entry->hash == key->hash && entry->check == key->check) {
			entry->count++;
			header->samples++;
			return;
		}
	}
	if (free_slot)
		*free_slot = (__u32)head;
	else
		header->unindexed++;
	struct arena_entry *entry = arena + head;
	*entry = *key;
	entry->count = 1;
	entry->first_ns = bpf_ktime_get_ns();
	header->samples++;
	header->head = end;
	wake_agent(header, cpu);
}

static __always_inline bool wanted(__u32 tgid)
{
	if (filter_targets) {
		__u32 *state = bpf_map_lookup_elem(&targets, &tgid);
		if (!state || *state != TARGET_ON)
			return false;
	}
	if (filter_cgroup && bpf_current_task_under_cgroup(&cgroups, 0) != 1)
		return false;
	return true;
}

static __always_inline void kernel_stack(struct walk *w, void *ctx, void *arena)
{
	__u64 pos = w->pos;
	long bytes;

	if (pos > arena_bytes - ENTRY_MAX_BYTES + sizeof(struct arena_entry))
		return;
	bytes = bpf_get_stack(ctx, arena + pos, KERNEL_FRAMES_MAX * 8, 0);
	if (bytes <= 0)
		return;
	__u32 n = (__u32)bytes >> 3;
	for (__u32 i = 0; i < KERNEL_FRAMES_MAX && i < n; i++)
		hash_word(w, *(__u64 *)(arena + pos + i * 8));
	w->n_kernel = n;
	w->pos = pos + n * 8;
}

static __always_inline void user_stack(struct walk *w, void *arena, bool in_user, struct registers *regs,
				       bool with_loop)
{
	w->end = END_NO_REGISTERS;
	if (!in_user && !registers_of_task(regs))
		return;
	w->end = END_TOO_DEEP;
	if (!push_frame(w, arena, regs->ip))
		return;
	w->end = END_COMPAT;
	if (!regs->compat)
		walk_frame_pointers(w, arena, regs, with_loop);
}

static __always_inline int take_sample(void *ctx, bool in_user, struct registers *regs, bool with_loop)
{
	__u32 which = generation & 1, cpu = bpf_get_smp_processor_id(), zero = 0;
	struct arena_entry key = {};
	struct arena_header *header;
	void *arena, *map;

	map = bpf_map_lookup_elem(&arenas, &which);
	if (!map)
		return 0;
	arena = bpf_map_lookup_elem(map, &cpu);
	if (!arena)
		return 0;
	header = arena;
	header->fired++;

	__u64 ids = bpf_get_current_pid_tgid();
	if (!(__u32)ids && !sample_idle) {
		header->idle++;
		return 0;
	}
	key.tgid = ids >> 32;
	if (!wanted(key.tgid)) {
		header->filtered++;
		return 0;
	}

	/* The agent's CPU budget covers this program too: it measures one sample in 16. */
	__u64 begin_ns = header->samples & 15 ? 0 : bpf_ktime_get_ns();
	__u64 head = header->head;
	if (head < entries_offset)
		head = entries_offset;
	if (head > arena_bytes - ENTRY_MAX_BYTES) {
		header->dropped[DROP_BUFFER_FULL]++;
		return 0;
	}
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	if (!w)
		return 0;
	w->hash = hash_seed[0];
	w->check = hash_seed[1];
	w->n_kernel = 0;
	w->pos = head + sizeof(struct arena_entry);
	w->end = END_NO_USER;

	__u32 flags;
	task_facts(&flags, &key.exec_id);
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	key.cgroup = bpf_get_current_cgroup_id();
	if (!in_user)
		kernel_stack(w, ctx, arena);
	__u64 n_kernel = w->n_kernel;
	if (!(flags & PF_KTHREAD) && (__u32)ids)
		user_stack(w, arena, in_user, regs, with_loop);

	key.n_kernel = n_kernel;
	key.n_user = ((w->pos - head - sizeof(struct arena_entry)) >> 3) - n_kernel;
	key.user_end = w->end;
	hash_word(w, (__u64)key.tgid << 32 | key.exec_id);
	hash_word(w, *(__u64 *)&key.comm[0]);
	hash_word(w, *(__u64 *)&key.comm[8]);
	hash_word(w, key.cgroup ^ (__u64)key.n_kernel << 48 ^ (__u64)key.user_end << 40);
	key.hash = w->hash;
	key.check = w->check;
	count_entry(arena, header, head, w->pos, &key, cpu);
	if (begin_ns) {
		header->cost_ns += bpf_ktime_get_ns() - begin_ns;
		header->cost_runs++;
	}
	return 0;
}

static __always_inline int take_tick(struct bpf_perf_event_data *ctx, bool with_loop)
{
	struct registers regs = {
		.ip = PT_REGS_IP(&ctx->regs),
		.sp = PT_REGS_SP(&ctx->regs),
		.bp = PT_REGS_FP(&ctx->regs),
		.compat = ctx->regs.cs == USER32_CS,
	};
	return take_sample(ctx, (ctx->regs.cs & 3) == 3, &regs, with_loop);
}

SEC("perf_event")
int sample_tick(struct bpf_perf_event_data *ctx)
{
	return take_tick(ctx, true);
}

SEC("perf_event")
int sample_tick_bounded(struct bpf_perf_event_data *ctx)
{
	return take_tick(ctx, false);
}

/* For -e SUBSYSTEM:NAME. A tracepoint is always in the kernel. */
SEC("tracepoint")
int sample_tracepoint(void *ctx)
{
	struct registers regs = {};
	return take_sample(ctx, false, &regs, true);
}

SEC("tracepoint")
int sample_tracepoint_bounded(void *ctx)
{
	struct registers regs = {};
	return take_sample(ctx, false, &regs, false);
}

/* The children of a target are targets, before they run their first instruction. */
SEC("raw_tp/sched_process_fork")
int follow_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *child = (void *)ctx->args[1];
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid), child_tgid = BPF_CORE_READ(child, tgid);
	__u32 *state = bpf_map_lookup_elem(&targets, &parent_tgid);

	if (!state || parent_tgid == child_tgid)
		return 0;
	__u32 inherited = *state;
	if (bpf_map_update_elem(&targets, &child_tgid, &inherited, BPF_ANY))
		__sync_fetch_and_add(&targets_lost, 1);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int arm_exec(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 *state = bpf_map_lookup_elem(&targets, &tgid);

	(void)ctx;
	if (state)
		*state = TARGET_ON;
	return 0;
}

/* A pid that is given to another process must not be taken for the target. */
SEC("raw_tp/sched_process_free")
int forget_process(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	__u32 pid = BPF_CORE_READ(task, pid), tgid = BPF_CORE_READ(task, tgid);

	if (pid == tgid)
		bpf_map_delete_elem(&targets, &tgid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
