/* What the programs in the kernel and the agent share: a wire format.
 *
 * Each CPU has one arena per generation: a header with counters, an open-addressing index, and entries,
 * one for each distinct {process, thread name, cgroup, kernel stack, user stack} of the window. Only
 * the sampling program of that CPU writes it while its generation is current; only the agent touches it after the
 * generation was retired. docs/sampling.md tells why this and not STACK_TRACE and PERCPU_HASH maps.
 *
 * Fixed-width types, no pointers, sizes asserted on both sides. */
#ifndef HEARTH_BPF_RECORDS_H
#define HEARTH_BPF_RECORDS_H

#include <linux/types.h>

#define KERNEL_FRAMES_MAX 127 /* sysctl kernel.perf_event_max_stack's default; a larger one is cut and counted */
#define USER_FRAMES_MAX	  512

/* Why a tick that passed the filter is not in a profile. */
enum drop_reason {
	DROP_BUFFER_FULL, /* the arena had no room for a new stack */
	DROP_REASONS,
};

/* Where the walk of a user stack ended. */
enum stack_end {
	END_NO_USER,	  /* a kernel thread: there is no user stack */
	END_FRAME_ZERO,	  /* the frame pointer is 0: the ABI's mark of the outermost frame */
	END_BAD_FRAME,	  /* the frame pointer does not lead upwards, or is not aligned */
	END_UNREADABLE,	  /* stack memory that is not resident or not mapped */
	END_TOO_DEEP,	  /* USER_FRAMES_MAX frames, or no room in the arena */
	END_COMPAT,	  /* 32-bit code: only its pc is recorded */
	END_NO_REGISTERS, /* the user registers could not be found */
	STACK_ENDS,
};

/* Counters of one CPU and one generation. fired = idle + filtered + samples + sum of dropped. */
struct arena_header {
	__u64 head;	 /* offset of the first free byte; 0 until the first sample */
	__u64 fired;	 /* runs of the program */
	__u64 idle;	 /* of the idle task, not asked for */
	__u64 filtered;	 /* other processes than those asked for */
	__u64 samples;	 /* sum of the entries' counts */
	__u64 unindexed; /* entries that found no free slot: stored, but not added up */
	__u64 dropped[DROP_REASONS];
	__u64 signalled; /* the agent was told that this arena fills up */
	__u64 cost_ns;	 /* run time of cost_runs runs, one in 16 of those that took a sample */
	__u64 cost_runs;
	__u64 reserved[6];
};
_Static_assert(sizeof(struct arena_header) == 128, "arena_header is a wire format");

/* One distinct stack. Followed by n_kernel kernel pcs and n_user user pcs, each leaf first, 8 bytes each. */
struct arena_entry {
	__u64 hash;  /* of everything below and the frames; seeded */
	__u64 check; /* a second, independent hash: tells a collision of the first from a match */
	__u64 count;
	__u64 first_ns; /* CLOCK_MONOTONIC of the first sample */
	__u64 cgroup;	/* cgroup v2 id */
	char comm[16];	/* of the thread; ends in NUL */
	__u32 tgid;	/* in the initial pid namespace */
	__u32 exec_id;	/* task_struct.self_exec_id: changes with each exec of the process */
	__u16 n_kernel;
	__u16 n_user;
	__u8 user_end; /* enum stack_end */
	__u8 reserved[3];
};
_Static_assert(sizeof(struct arena_entry) == 72, "arena_entry is a wire format");

#define ENTRY_MAX_BYTES (sizeof(struct arena_entry) + (KERNEL_FRAMES_MAX + USER_FRAMES_MAX) * 8)

/* Layout of an arena: header, index of n_slots offsets (__u32, 0 = free), entries. */
#define ARENA_SLOTS_OFFSET (sizeof(struct arena_header))

/* State of a process in the targets map. */
enum target_state {
	TARGET_ARMED, /* sampled from its next exec on */
	TARGET_ON,
};

/* Ring buffer record: an arena is half full, drain early. */
struct wake_record {
	__u32 cpu;
	__u32 generation;
};
_Static_assert(sizeof(struct wake_record) == 8, "wake_record is a wire format");

#endif
