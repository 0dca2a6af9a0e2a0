/* Every tick, accounted for (DESIGN.md, promise 1): ticks = samples in the profile + drops by reason. */
#ifndef HEARTH_AGENT_ACCOUNTING_H
#define HEARTH_AGENT_ACCOUNTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/sampler.h"
#include "bpf/records.h"

/* Why a tick is not in the profile. The first ones are the kernel program's enum drop_reason. */
enum account_drop {
	ACCOUNT_BUFFER_FULL = DROP_BUFFER_FULL, /* the kernel program had no room for a new stack */
	ACCOUNT_MISSED = DROP_REASONS,		/* never reached the program: throttled, late timer, nested program */
	ACCOUNT_OUT_OF_MEMORY,			/* the agent could not take it */
	ACCOUNT_DROPS,
};

/* Why a stack is not complete. */
enum account_cut {
	CUT_NO_FRAME_POINTER, /* the frame pointer leads nowhere from the first frame on */
	CUT_BAD_FRAME,	      /* ... from a later frame on */
	CUT_UNREADABLE,
	CUT_TOO_DEEP,
	CUT_COMPAT,
	CUT_NO_REGISTERS,
	CUT_NO_PROCESS, /* the process was gone before its mappings were known */
	CUT_NO_MAPPING, /* a return address in no mapping */
	CUT_NO_TABLE,	/* the unwind budget had no room */
	CUT_UNSUPPORTED_RULE,
	CUT_UNRELIABLE_RULE, /* CFI that is known to be wrong there */
	ACCOUNT_CUTS,
};

/* Sums of a window, or of a session. */
struct accounting {
	uint64_t fired, idle, filtered; /* runs of the program; those of an idle CPU; those of others */
	uint64_t expected;		/* by the clock, since the session began; 0: not known */
	uint64_t samples;		/* in the profile */
	uint64_t dropped[ACCOUNT_DROPS];
	uint64_t complete;
	uint64_t cut[ACCOUNT_CUTS];
	uint64_t user_samples;	 /* with a user stack */
	uint64_t image_known;	 /* of these: the innermost frame lies in a file that was opened */
	uint64_t jit_samples;	 /* with code that the process made itself */
	uint64_t jit_unnamed;	 /* of these: with such code that has no name */
	uint64_t deferred;		  /* walks that user space finished, or was to finish */
	uint64_t deferred_no_room;	  /* ... that did not get there: their stacks stay as the kernel left them */
	uint64_t early_drains, unindexed;
	uint64_t program_ns; /* run time of the sampling program */
	uint64_t windows;
};

/* Ticks that were asked for: what fired and was neither idle nor filtered, and what was missed. */
uint64_t accounting_ticks(const struct accounting *a);
uint64_t accounting_dropped(const struct accounting *a);
uint64_t accounting_truncated(const struct accounting *a);

/* The identity: ticks = samples + dropped, and every sample's stack was either complete or cut. */
bool accounting_holds(const struct accounting *a);

/* Take over what a drain counted; samples are added by who puts them into a profile. */
void accounting_add_counts(struct accounting *a, const struct sampler_counts *counts, uint64_t lost);
void accounting_add(struct accounting *sum, const struct accounting *window);

/* Words for people and JSON: "buffer_full", "bad_frame_pointer". */
const char *accounting_drop_name(enum account_drop drop);
const char *accounting_cut_name(enum account_cut cut);

/* One line for a profile's comments and the log. Returns the length that it has or would need. */
int accounting_describe(const struct accounting *a, char *text, size_t bytes);

#endif
