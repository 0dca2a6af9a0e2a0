/* A real zygote and a real confined process for tests of what uses them. Under valgrind they run bare (symbolizer/zygote.h). */
#ifndef HEARTH_TESTS_ZYGOTE_FIXTURE_H
#define HEARTH_TESTS_ZYGOTE_FIXTURE_H

#include <stdlib.h>
#include <valgrind/valgrind.h>

#include "symbolizer/symbolizer.h"
#include "symbolizer/zygote.h"

/* One for the whole program; it ends with it. Forked at the first use: before threads are made, and before memory is taken. */
static inline struct zygote *test_zygote(void)
{
	static struct zygote *zygote;
	struct zygote_options options = {.bare = RUNNING_ON_VALGRIND != 0};

	if (!zygote && zygote_start_with(&options, &zygote) < 0)
		abort();
	return zygote;
}

/* With a deadline that sanitizers and busy machines can meet. */
static inline int test_symbolizer_create(struct symbolizer **symbolizer_out)
{
	struct symbolizer_options options = {.deadline_ns = 60 * 1000000000ull};

	return symbolizer_create(test_zygote(), &options, symbolizer_out);
}

#endif
