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
#define PAGE_BYTES     4096
#define RED_ZONE       128 /* bytes below the stack pointer that a leaf function may use; System V ABI AMD64, 3.2.2 */
#define PROBES	       8
#define FRAMES_A_CALL  2
#define THREAD_BYTES   (1 << 14) /* x86-64 kernel stack, only for kernels without bpf_task_pt_regs (< 5.15) */

/* The few kernel types that are needed, so that the build host needs no BTF. */
struct mm_struct {
	unsigned long exec_vm;
} __attribute__((preserve_access_index));

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	char comm[16];
	__u64 self_exec_id;
	void *stack;
	struct mm_struct *mm;
	unsigned int in_execve : 1;
} __attribute__((preserve_access_index));

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup_root {
	int hierarchy_id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
} __attribute__((preserve_access_index));

struct pt_regs___kernel {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
	unsigned long ip, cs, flags, sp, ss;
} __attribute__((preserve_access_index));

/* Its layout is ABI (ptrace, perf), so that one read will do for all of it. */
struct saved_registers {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* settings */
const volatile unsigned long long arena_bytes = 0;
const volatile unsigned long long entries_offset = 0; /* of the first entry in an arena */
const volatile unsigned long long slot_mask = 0;
const volatile unsigned long long wake_bytes = 0; /* head beyond this: wake the agent */
const volatile unsigned long long hash_seed[2] = {0, 0};
const volatile bool sample_idle = false;
const volatile bool filter_targets = false;
const volatile bool filter_cgroup = false;
const volatile bool by_thread = false;

/* Which arena is filled now: 0 or 1. Written by the agent only. */
volatile unsigned long long generation = 0;

/* Now: tables and mapsets that walks use are marked with it, and a new one makes all memos void. Written by the agent only. */
volatile unsigned long long unwind_epoch = 0;

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

/* Unwind tables: records.h tells what lies in them. All but the processes are written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1); /* by the budget */
	__type(key, __u32);
	__type(value, __u32);
} unwind_chunks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unwind_slot);
} unwind_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unwind_mapset);
} unwind_mapsets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unwind_process);
} unwind_processes SEC(".maps");

/* Walks for user space to finish. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} deferrals SEC(".maps");

/* Cgroups that were made. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 131072); /* some 1,000, between two looks of the agent */
} cgroups_made SEC(".maps");

struct cgroup_scratch {
	struct cgroup_record record;
	char path[CGROUP_PATH_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_scratch);
} cgroup_scratch SEC(".maps");

struct deferral {
	struct deferred_record record;
	__u8 stack[DEFERRED_STACK_MAX + PAGE_BYTES]; /* the last page may be copied beyond what is sent */
};

/* What a sample needs on its way; nothing of it outlives the sample. */
struct sample_state {
	struct unwind_walk walk;
	__u64 pos; /* where the next frame goes in the arena */
	__u64 hash, check;
	__u64 n_kernel;
	__u64 next_id; /* of deferrals */
	__u64 walked_by; /* arena_entry.walk */
	struct deferral deferral;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sample_state);
} states SEC(".maps");

struct memos {
	struct unwind_memo memos[UNWIND_MEMOS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct memos);
} memos SEC(".maps");

/* What bpf/unwind.h wants. */
#define UNWIND_INLINE static __always_inline
struct unwind_view {
	struct memos *memos;
};

UNWIND_INLINE int unwind_read(struct unwind_view *view, void *to, __u32 bytes, __u64 address)
{
	(void)view;
	return bpf_probe_read_user(to, bytes, (void *)address);
}

UNWIND_INLINE const void *unwind_chunk(struct unwind_view *view, __u32 index)
{
	__u32 zero = 0;
	void *chunk;

	(void)view;
	chunk = bpf_map_lookup_elem(&unwind_chunks, &index);
	return chunk ? bpf_map_lookup_elem(chunk, &zero) : 0;
}

UNWIND_INLINE struct unwind_slot *unwind_slot_at(struct unwind_view *view, __u32 index)
{
	(void)view;
	return bpf_map_lookup_elem(&unwind_slots, &index);
}

UNWIND_INLINE struct unwind_memo *unwind_memo_at(struct unwind_view *view, __u32 index)
{
	return &view->memos->memos[index & (UNWIND_MEMOS - 1)];
}

#include "bpf/unwind.h"

struct registers {
	__u64 ip, sp, bp;
	bool compat;
};

/* Two multiplicative hashes of 64 bits; seeded, because frames are chosen by strangers (SAFETY 29). */
static __always_inline void hash_word(struct sample_state *s, __u64 word)
{
	__u64 hash = (s->hash ^ word) * 0x9e3779b97f4a7c15ULL;
	__u64 check = (s->check + word) * 0xd6e8feb86659fd93ULL;

	s->hash = hash ^ hash >> 32;
	s->check = check ^ check >> 29;
}

static __always_inline bool push_frame(struct sample_state *s, void *arena, __u64 pc)
{
	__u64 pos = s->pos;

	if (pos > arena_bytes - 8)
		return false;
	*(__u64 *)(arena + pos) = pc;
	s->pos = pos + 8;
	hash_word(s, pc);
	return true;
}

/* Some frames of a walk: by tables, or by frame pointers alone. Returns whether it goes on. A function of its own: the verifier checks it
 * once and not for each round of the loop that calls it, so that the same loop passes on 5.10, which has no bpf_loop. */
__noinline int walk_frames(__u32 which, __u32 by_tables)
{
	struct unwind_view view;
	__u32 zero = 0, cpu = bpf_get_smp_processor_id();
	struct sample_state *s = bpf_map_lookup_elem(&states, &zero);
	void *map = bpf_map_lookup_elem(&arenas, &which), *arena;

	view.memos = bpf_map_lookup_elem(&memos, &zero);
	if (!s || !map || !view.memos)
		return 0;
	arena = bpf_map_lookup_elem(map, &cpu);
	if (!arena)
		return 0;
	for (int i = 0; i < FRAMES_A_CALL; i++) {
		if (by_tables ? !unwind_step(&view, &s->walk) : !unwind_step_frame_pointer(&view, &s->walk))
			return 0;
		/* The handler did not return to the trampoline's first byte from a call before it. */
		if (s->walk.exact && s->pos >= 8 && s->pos <= arena_bytes - 8)
			*(__u64 *)(arena + s->pos - 8) += 1;
		if (!push_frame(s, arena, s->walk.pc + s->walk.exact)) {
			s->walk.end = END_TOO_DEEP;
			return 0;
		}
	}
	return 1;
}

/* Facts of the current task. */
struct task_facts {
	__u32 exec_id;
	__u32 exec_pages; /* of its address space */
	bool has_memory; /* a kernel thread has none, and one that exits gives it up */
	bool in_exec;
};

static __always_inline void read_task(struct task_facts *facts)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		struct task_struct *task = (void *)bpf_get_current_task_btf();
		struct mm_struct *mm = task->mm;
		facts->has_memory = !(task->flags & PF_KTHREAD) && mm;
		facts->exec_pages = mm ? (__u32)mm->exec_vm : 0;
		facts->exec_id = (__u32)task->self_exec_id;
		facts->in_exec = bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD(task, in_execve);
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();
		struct mm_struct *mm = BPF_CORE_READ(task, mm);
		facts->has_memory = !(BPF_CORE_READ(task, flags) & PF_KTHREAD) && mm;
		facts->exec_pages = mm ? (__u32)BPF_CORE_READ(mm, exec_vm) : 0;
		facts->exec_id = (__u32)BPF_CORE_READ(task, self_exec_id);
		facts->in_exec = bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
	}
}

/* The mappings of this process, when they are here and nothing was mapped or unmapped since. */
static __always_inline bool find_mapset(struct unwind_walk *w, __u32 tgid, const struct task_facts *task)
{
	struct unwind_process *process = bpf_map_lookup_elem(&unwind_processes, &tgid);

	if (!process || process->exec_id != task->exec_id || process->exec_pages != task->exec_pages)
		return false;
	__u32 index = process->mapset, serial = process->serial;
	struct unwind_mapset *mapset = bpf_map_lookup_elem(&unwind_mapsets, &index);
	if (!mapset || mapset->serial != serial)
		return false;
	mapset->used = w->epoch;
	w->mapset = *mapset;
	return w->mapset.serial == serial;
}

static __always_inline void walk_user(struct sample_state *s, const struct registers *regs, __u32 which, __u32 tgid,
				      const struct task_facts *task)
{
	struct unwind_walk *w = &s->walk;
	__u32 by_tables;

	w->pc = regs->ip;
	w->sp = regs->sp;
	w->fp = regs->bp;
	w->epoch = (__u32)unwind_epoch;
	w->exact = 1;
	w->has_registers = 1;
	w->by_frame_pointer = 0;
	w->mapping.bytes = 0;
	w->window_base = 0;
	w->window_bytes = 0;
	by_tables = find_mapset(w, tgid, task);
	int i;
	for (i = 0; i < USER_FRAMES_MAX / FRAMES_A_CALL; i++)
		if (!walk_frames(which, by_tables))
			break;
	if (i == USER_FRAMES_MAX / FRAMES_A_CALL)
		w->end = END_TOO_DEEP;
	if (by_tables)
		s->walked_by = w->mapset.serial;
	else if (w->end != END_TOO_DEEP)
		w->end = END_NO_PROCESS;
}

/* Copy the stack's top, page by page: the last one may not be there. Returns the bytes. Masks and not comparisons bound what is read, so
 * that the verifier of each kernel sees it. */
static __always_inline __u32 copy_stack(struct deferral *d, __u64 from)
{
	__u64 n = 0;

	for (int i = 0; i < (int)(DEFERRED_STACK_MAX / PAGE_BYTES) + 1 && n < DEFERRED_STACK_MAX; i++) {
		__u64 before_end = ~(from + n), at = n;
		asm volatile("" : "+r"(before_end), "+r"(at));
		before_end &= PAGE_BYTES - 1;
		at &= DEFERRED_STACK_MAX - 1;
		if (bpf_probe_read_user(d->stack + at, before_end + 1, (void *)(from + n)))
			break;
		n += before_end + 1;
	}
	return n < DEFERRED_STACK_MAX ? n : DEFERRED_STACK_MAX;
}

/* Leave the walk to user space: registers and the stack's top through a ring buffer. A lost record costs the rest of the stack only. */
static __always_inline void defer(struct sample_state *s, struct arena_header *header, const struct registers *regs,
				  __u32 tgid, const struct task_facts *task, __u32 cpu)
{
	struct deferred_record *record = &s->deferral.record;
	__u64 flags = BPF_RB_FORCE_WAKEUP;

	record->id = (__u64)(cpu + 1) << 40 | (++s->next_id & 0xffffffffff);
	record->time_ns = bpf_ktime_get_ns();
	record->pc = regs->ip;
	for (int i = 0; i < UNWIND_REGISTERS; i++)
		record->registers[i] = s->walk.registers[i];
	record->registers[UNWIND_SP] = regs->sp;
	record->registers[UNWIND_FP] = regs->bp;
	record->tgid = tgid;
	record->exec_id = task->exec_id;
	record->exec_pages = task->exec_pages;
	record->end = s->walk.end;
	record->stack = (regs->sp - RED_ZONE) & ~7ULL;
	/* The pages of the red zone and of a new frame may never have been touched; the frames above are there. */
	__u32 n = 0;
	for (int i = 0; i < 3 && !n; i++) {
		if (i)
			record->stack = (record->stack | (PAGE_BYTES - 1)) + 1;
		n = copy_stack(&s->deferral, record->stack);
	}
	record->n_bytes = n;
	/* What the agent can do at once (read mappings, load a table) it should hear of at once. */
	if (s->walk.end != END_NO_PROCESS && s->walk.end != END_NO_MAPPING && s->walk.end != END_NO_TABLE &&
	    bpf_ringbuf_query(&deferrals, BPF_RB_AVAIL_DATA) < bpf_ringbuf_query(&deferrals, BPF_RB_RING_SIZE) / 2)
		flags = BPF_RB_NO_WAKEUP;
	__u64 bytes = sizeof(*record) + n;
	if (bytes > sizeof(s->deferral))
		bytes = sizeof(s->deferral);
	if (bpf_ringbuf_output(&deferrals, &s->deferral, bytes, flags)) {
		header->deferred_no_room++;
		return;
	}
	header->deferred++;
	s->walked_by = record->id;
}

/* A file's code without CFI, from which the frame pointer leads nowhere: its instructions may tell. A JIT's are not in any file. */
static __always_inline bool is_deferrable_code(const struct unwind_walk *w)
{
	if ((w->rule.cfa & CFA_KIND_MASK) != CFA_NONE || (w->end != END_BAD_FRAME && (w->end != END_FRAME_ZERO || !w->exact)))
		return false;
	return w->mapping.table != UNWIND_TABLE_NONE || w->mapping.serial || w->pc - w->mapping.start >= w->mapping.bytes;
}

static __always_inline bool is_deferrable(const struct unwind_walk *w)
{
	return w->end == END_NO_PROCESS || w->end == END_NO_MAPPING || w->end == END_NO_TABLE || w->end == END_UNSUPPORTED_RULE ||
	       is_deferrable_code(w);
}

/* All general registers, by their DWARF numbers. r: "r" in the user's view of pt_regs, nothing in the kernel's.
 * Source: System V ABI AMD64, figure 3.36. */
#define COPY_REGISTERS(to, from, r)                                                                           \
	do {                                                                                                  \
		(to)[0] = (from)->r##ax, (to)[1] = (from)->r##dx, (to)[2] = (from)->r##cx;                      \
		(to)[3] = (from)->r##bx, (to)[4] = (from)->r##si, (to)[5] = (from)->r##di;                      \
		(to)[8] = (from)->r8, (to)[9] = (from)->r9, (to)[10] = (from)->r10, (to)[11] = (from)->r11;     \
		(to)[12] = (from)->r12, (to)[13] = (from)->r13, (to)[14] = (from)->r14, (to)[15] = (from)->r15; \
	} while (0)

/* The user's registers when the kernel was interrupted: saved at the top of the kernel stack. */
static __always_inline bool registers_of_task(struct sample_state *s, struct registers *regs)
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
		COPY_REGISTERS(s->walk.registers, saved, );
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();
		void *stack = BPF_CORE_READ(task, stack);
		struct pt_regs___kernel *from = stack + THREAD_BYTES - bpf_core_type_size(struct pt_regs___kernel);
		/* The stack is too small for it; the window of a walk that has not begun is free. */
		struct saved_registers *saved = (void *)s->walk.window;
		_Static_assert(sizeof(*saved) <= sizeof(s->walk.window), "a window holds the registers");
		if (bpf_probe_read_kernel(saved, sizeof(*saved), from))
			return false;
		regs->ip = saved->ip;
		regs->sp = saved->sp;
		regs->bp = saved->bp;
		cs = saved->cs;
		ss = saved->ss;
		COPY_REGISTERS(s->walk.registers, saved, );
	}
	regs->compat = (cs & 0xffff) == USER32_CS;
	return (cs & 3) == 3 && (ss & 3) == 3;
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

static __always_inline void kernel_stack(struct sample_state *s, void *ctx, void *arena)
{
	__u64 pos = s->pos;
	long bytes;

	if (pos > arena_bytes - ENTRY_MAX_BYTES + sizeof(struct arena_entry))
		return;
	bytes = bpf_get_stack(ctx, arena + pos, KERNEL_FRAMES_MAX * 8, 0);
	if (bytes <= 0)
		return;
	__u32 n = (__u32)bytes >> 3;
	for (__u32 i = 0; i < KERNEL_FRAMES_MAX && i < n; i++)
		hash_word(s, *(__u64 *)(arena + pos + i * 8));
	s->n_kernel = n;
	s->pos = pos + n * 8;
}

static __always_inline void user_stack(struct sample_state *s, struct arena_header *header, bool in_user,
				       struct registers *regs, __u32 which, const struct arena_entry *key,
				       const struct task_facts *task, __u32 cpu)
{
	__u64 begin = s->pos;

	s->walk.end = END_NO_REGISTERS;
	if (!in_user && !registers_of_task(s, regs))
		return;
	s->walk.end = END_TOO_DEEP;
	if (!push_frame(s, header, regs->ip))
		return;
	s->walk.end = END_COMPAT;
	if (regs->compat)
		return;
	walk_user(s, regs, which, key->tgid, task);
	/* Inside execve the old registers are still there, but the old stack may be gone. */
	if (task->in_exec && s->pos == begin + 8 && bpf_probe_read_user(s->walk.window, 8, (void *)regs->sp)) {
		s->pos = begin;
		s->walk.end = END_NO_USER;
		return;
	}
	if (is_deferrable(&s->walk))
		defer(s, header, regs, key->tgid, task, cpu);
}

static __always_inline int take_sample(void *ctx, bool in_user, struct registers *regs)
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
	key.tid = by_thread ? (__u32)ids : 0;
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
	struct sample_state *s = bpf_map_lookup_elem(&states, &zero);
	if (!s)
		return 0;
	s->hash = hash_seed[0];
	s->check = hash_seed[1];
	s->n_kernel = 0;
	s->walked_by = 0;
	s->pos = head + sizeof(struct arena_entry);
	s->walk.end = END_NO_USER;

	struct task_facts task = {};
	read_task(&task);
	key.exec_id = task.exec_id;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	key.cgroup = bpf_get_current_cgroup_id();
	if (!in_user)
		kernel_stack(s, ctx, arena);
	__u64 n_kernel = s->n_kernel;
	if (task.has_memory && (__u32)ids) {
		if (in_user)
			COPY_REGISTERS(s->walk.registers, &((struct bpf_perf_event_data *)ctx)->regs, r);
		user_stack(s, header, in_user, regs, which, &key, &task, cpu);
	}

	key.n_kernel = (__u8)n_kernel;
	key.n_user = ((s->pos - head - sizeof(struct arena_entry)) >> 3) - n_kernel;
	key.user_end = s->walk.end;
	key.walk = s->walked_by;
	hash_word(s, (__u64)key.tgid << 32 | key.exec_id);
	hash_word(s, *(__u64 *)&key.comm[0]);
	hash_word(s, *(__u64 *)&key.comm[8]);
	hash_word(s, key.cgroup ^ n_kernel << 48 ^ (__u64)key.user_end << 40);
	hash_word(s, key.walk);
	if (by_thread)
		hash_word(s, key.tid);
	key.hash = s->hash;
	key.check = s->check;
	count_entry(arena, header, head, s->pos, &key, cpu);
	if (begin_ns) {
		header->cost_ns += bpf_ktime_get_ns() - begin_ns;
		header->cost_runs++;
	}
	return 0;
}

SEC("perf_event")
int sample_tick(struct bpf_perf_event_data *ctx)
{
	struct registers regs = {
		.ip = PT_REGS_IP(&ctx->regs),
		.sp = PT_REGS_SP(&ctx->regs),
		.bp = PT_REGS_FP(&ctx->regs),
		.compat = ctx->regs.cs == USER32_CS,
	};
	return take_sample(ctx, (ctx->regs.cs & 3) == 3, &regs);
}

/* For -e SUBSYSTEM:NAME. A tracepoint is always in the kernel. */
SEC("tracepoint")
int sample_tracepoint(void *ctx)
{
	struct registers regs = {};
	return take_sample(ctx, false, &regs);
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

/* A child has its parent's mappings. */
SEC("raw_tp/sched_process_fork")
int fork_mappings(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *child = (void *)ctx->args[1];
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid), child_tgid = BPF_CORE_READ(child, tgid);
	struct unwind_process *from = bpf_map_lookup_elem(&unwind_processes, &parent_tgid);

	if (parent_tgid == child_tgid)
		return 0;
	if (from) {
		struct unwind_process copy = *from;
		if (!bpf_map_update_elem(&unwind_processes, &child_tgid, &copy, BPF_ANY))
			return 0;
	}
	bpf_map_delete_elem(&unwind_processes, &child_tgid);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int exec_mappings(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	(void)ctx;
	bpf_map_delete_elem(&unwind_processes, &tgid);
	return 0;
}

/* Something is being mapped at a free place, perhaps a library where another one was: if that one's code went, samples from here on must
 * not be walked by its tables. The agent hears of the new one a moment later only. */
SEC("raw_tp/vm_unmapped_area")
int change_mappings(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct unwind_process *process = bpf_map_lookup_elem(&unwind_processes, &tgid);

	(void)ctx;
	if (!process)
		return 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	if (process->exec_pages != (__u32)BPF_CORE_READ(mm, exec_vm))
		bpf_map_delete_elem(&unwind_processes, &tgid);
	return 0;
}

SEC("raw_tp/sched_process_free")
int free_mappings(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	__u32 pid = BPF_CORE_READ(task, pid), tgid = BPF_CORE_READ(task, tgid);

	if (pid == tgid)
		bpf_map_delete_elem(&unwind_processes, &tgid);
	return 0;
}

/* A cgroup may be gone before the agent asks what it is called. The kernel holds a lock here, so that one place for all CPUs is enough. The agent
 * looks when it has other things to do: whoever makes cgroups in thousands fills the ring, and costs no more. */
SEC("raw_tp/cgroup_mkdir")
int learn_cgroup(struct bpf_raw_tracepoint_args *ctx)
{
	struct cgroup *cgroup = (void *)ctx->args[0];
	__u32 zero = 0;
	struct cgroup_scratch *scratch = bpf_map_lookup_elem(&cgroup_scratch, &zero);

	if (!scratch || BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0; /* of v1 */
	scratch->record.id = BPF_CORE_READ(cgroup, kn, id);
	long n = bpf_probe_read_kernel_str(scratch->path, sizeof(scratch->path), (void *)ctx->args[1]);
	if (n <= 0 || n > (long)sizeof(scratch->path))
		return 0;
	bpf_ringbuf_output(&cgroups_made, scratch, sizeof(scratch->record) + n, BPF_RB_NO_WAKEUP);
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
