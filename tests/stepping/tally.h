/* Verdicts of a run: how many of each category, and one group for each place whose step was not right. */
#ifndef HEARTH_STEPPING_TALLY_H
#define HEARTH_STEPPING_TALLY_H

#include "tests/stepping/truth.h"
#include "tests/stepping/walker.h"

enum verdict { EXACT, TRUNCATED, WRONG, VERDICTS };
enum category {
	IN_PROLOGUE,
	IN_BODY,
	IN_EPILOGUE,
	IN_PLT,
	IN_SIGNAL,  /* a handler, what it calls, and the way back */
	IN_SWITCH,  /* between taking over another stack pointer and leaving for its code */
	IN_PLAIN,   /* no CFI covers the pc: crt's initializers, assembly */
	CATEGORIES,
};

struct tally;

struct tally *tally_create(void);

/* truth: truth[0] is the pc. complete: nothing is behind the last one. Groups what is not exact by the frame whose caller was not found. */
void tally_judge(struct tally *t, const struct walker *walker, const struct walked *walked, const struct truth_frame *truth,
		 size_t n_truth, bool complete, enum category category);

/* show: groups to print. */
void tally_print(const struct tally *t, size_t show);

/* NULL is legal. */
void tally_destroy(struct tally *t);

#endif
