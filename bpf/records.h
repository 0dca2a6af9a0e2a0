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

#include "bpf/unwind_table.h"

#define KERNEL_FRAMES_MAX 127 /* sysctl kernel.perf_event_max_stack's default; a larger one is cut and counted */
#define USER_FRAMES_MAX	  512

/* Why a tick that passed the filter is not in a profile. */
enum drop_reason {
	DROP_BUFFER_FULL, /* the arena had no room for a new stack */
	DROP_REASONS,
};

/* Where the walk of a user stack ended. */
enum stack_end {
	END_NO_USER,	      /* there is no user stack: a kernel thread, or inside exit or exec after the old memory was given up */
	END_COMPLETE,	      /* CFI says that this frame has no caller */
	END_FRAME_ZERO,	      /* the frame pointer or return address is 0: the ABI's mark of the outermost frame */
	END_BAD_FRAME,	      /* what should be a frame does not lead upwards, or to no return address */
	END_UNREADABLE,	      /* stack memory that is not resident or not mapped */
	END_TOO_DEEP,	      /* USER_FRAMES_MAX frames, or no room in the arena */
	END_COMPAT,	      /* 32-bit code: only its pc is recorded */
	END_NO_REGISTERS,     /* the user registers could not be found */
	END_NO_PROCESS,	      /* its mappings are not in the kernel yet: walked by frame pointers only */
	END_NO_MAPPING,	      /* a pc that no mapping covers */
	END_NO_TABLE,	      /* the image's unwind table is not in the kernel */
	END_UNSUPPORTED_RULE, /* CFI that the tables do not express, or a register that is not known here */
	END_UNRELIABLE_RULE,  /* CFI that is known to be wrong for this instruction */
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
	__u64 deferred;	       /* walks left to user space */
	__u64 deferred_no_room; /* ... that found no room in the ring: their stacks stay as they were */
	__u64 reserved[4];
};
_Static_assert(sizeof(struct arena_header) == 128, "arena_header is a wire format");

/* One distinct stack. Followed by n_kernel kernel pcs and n_user user pcs, each leaf first, 8 bytes each. All but the first pc of a
 * stack are return addresses; those that are not, because a signal interrupted there, are written plus one, so that the
 * instruction is always one byte before. */
struct arena_entry {
	__u64 hash;  /* of everything below and the frames; seeded */
	__u64 check; /* a second, independent hash: tells a collision of the first from a match */
	__u64 count;
	__u64 first_ns; /* CLOCK_MONOTONIC of the first sample */
	__u64 cgroup;	/* cgroup v2 id */
	char comm[16];	/* of the thread; ends in NUL */
	__u32 tgid;	/* in the initial pid namespace */
	__u32 exec_id;	/* task_struct.self_exec_id: changes with each exec of the process */
	__u32 tid;	/* in the initial pid namespace; 0: not asked for */
	__u16 n_user;
	__u8 n_kernel;
	__u8 user_end; /* enum stack_end */
	__u64 walk; /* from WALK_DEFERRED on: id of the deferred_record that finishes this stack; below: serial of the mapset it was walked by */
};
#define WALK_DEFERRED (1ULL << 40)
_Static_assert(sizeof(struct arena_entry) == 80, "arena_entry is a wire format");
_Static_assert(KERNEL_FRAMES_MAX < 256, "n_kernel is a byte");

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

/* Ring buffer record: a cgroup (v2) was made. Followed by its path, which ends in NUL. */
#define CGROUP_PATH_MAX 1024 /* as the kernel's tracepoints cut it (TRACE_CGROUP_PATH_LEN) */
struct cgroup_record {
	__u64 id;
};
_Static_assert(sizeof(struct cgroup_record) == 8, "cgroup_record is a wire format");

/* Unwind tables in the kernel: chunks of memory, allocated one by one within a budget. Tables and mapsets lie in them; the agent
 * alone writes them, before it tells where they are. The slack lets a load at a masked offset be wider than a byte. */
#define UNWIND_CHUNK_BYTES UNWIND_TABLE_MAX_BYTES
#define UNWIND_CHUNK_SLACK 64
#define UNWIND_CHUNKS_MAX  4096
#define UNWIND_TABLE_NONE  0xffffffff /* a mapping without CFI: code is walked by frame pointers */

/* One table in a chunk. Offsets are in bytes from the chunk's begin. */
struct unwind_slot {
	__u64 vaddr; /* of its first page */
	__u32 n_pages;
	__u32 chunk;
	__u32 pages, rows, rules;
	__u32 serial; /* names the table, also when it was given up and came back; 0: nothing is here */
	__u32 used;   /* epoch in which a walk last searched it; written by the kernel */
	__u32 reserved;
};
_Static_assert(sizeof(struct unwind_slot) == 40, "unwind_slot is a wire format");

/* A range of one executable mapping that one table covers, or none. vaddr = pc - bias. */
struct unwind_mapping {
	__u64 start, bytes;
	__u64 bias;
	__u32 table;  /* slot, or UNWIND_TABLE_NONE */
	__u32 serial; /* of the table: a slot that has another one was given up. Without a table: 1 for files, 0 for anonymous memory */
};
_Static_assert(sizeof(struct unwind_mapping) == 32, "unwind_mapping is a wire format");

/* The mappings of an address space, sorted by start; several processes may share them. */
#define UNWIND_PARTS_MAX     4
#define UNWIND_PART_MAPPINGS (UNWIND_CHUNK_BYTES / sizeof(struct unwind_mapping))
struct unwind_part {
	__u64 start; /* of its first mapping */
	__u32 chunk, offset, n;
	__u32 reserved;
};
struct unwind_mapset {
	__u32 serial; /* never used again; 0: empty */
	__u32 n_parts;
	__u32 used; /* epoch; written by the kernel */
	__u32 reserved;
	struct unwind_part parts[UNWIND_PARTS_MAX];
};
_Static_assert(sizeof(struct unwind_mapset) == 112, "unwind_mapset is a wire format");

/* Value of the processes map; key: tgid. A fork copies it, an exec or exit removes it. */
struct unwind_process {
	__u32 exec_id;
	__u32 mapset; /* index */
	__u32 serial; /* of the mapset: another one means that it was given up */
	__u32 exec_pages; /* mm_struct.exec_vm when it was right: another one means that code was mapped or unmapped since */
};
_Static_assert(sizeof(struct unwind_process) == 16, "unwind_process is a wire format");

/* Registers by their DWARF numbers; x86-64 uses 16. */
#define UNWIND_REGISTERS 32

/* Ring buffer record: a walk that user space finishes. Followed by n_bytes of stack. */
#define DEFERRED_STACK_MAX (16u << 10)
struct deferred_record {
	__u64 id;      /* arena_entry.walk */
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 pc;
	__u64 stack; /* address of the first byte that follows */
	__u64 registers[UNWIND_REGISTERS];
	__u32 tgid, exec_id;
	__u32 n_bytes;
	__u32 end; /* enum stack_end: why the kernel did not finish */
	__u32 exec_pages; /* for unwind_process */
	__u32 reserved;
};
_Static_assert(sizeof(struct deferred_record) == 312, "deferred_record is a wire format");

/* A walk in progress. In the kernel it lies in a map and not in registers, so that the verifier sees every step alike. */
#define UNWIND_USER_TOP	    (1ULL << 56) /* above any user address, 5-level paging included */
#define UNWIND_WINDOW_BYTES 512		 /* of the stack, read at once */
struct unwind_walk {
	__u64 pc, sp, fp;
	__u32 epoch;
	__u32 end;	    /* enum stack_end, when a step returned false */
	__u32 exact;	    /* pc was interrupted there; else it is a return address */
	__u32 has_registers; /* registers[] are those of the frame at hand */
	__u32 by_frame_pointer; /* pc was found by a frame pointer: it may be anything */
	__u32 low, high;	 /* of a search at work */
	__u32 reserved;
	struct unwind_rule rule;	/* of the frame at hand */
	struct unwind_mapping mapping; /* the one looked up last; bytes is 0: none */
	struct unwind_mapset mapset;
	__u64 registers[UNWIND_REGISTERS];
	__u64 window_base, window_bytes;
	__u64 window[UNWIND_WINDOW_BYTES / 8 + 1]; /* slack for a word at a masked offset */
	__u8 code[8]; /* instructions */
};

/* A rule that was found before: pc -> rule. */
#define UNWIND_MEMOS 1024 /* per CPU; a power of two */
struct unwind_memo {
	__u64 pc;
	__u64 key; /* epoch and mapset */
	struct unwind_rule rule;
};

#ifdef __aarch64__
#define UNWIND_FP ARM64_FP
#define UNWIND_SP ARM64_SP
#else
#define UNWIND_FP X86_64_FP
#define UNWIND_SP X86_64_SP
#endif

#endif
