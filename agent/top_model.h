/* What `hearth top` shows: the windows of the last seconds, as tables of functions, of processes, and of what is around a function. It knows nothing of
 * terminals. Names are strangers': they are kept as the profile has them (valid UTF-8 without control characters). Not thread-safe. */
#ifndef HEARTH_AGENT_TOP_MODEL_H
#define HEARTH_AGENT_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/accounting.h"
#include "base/regex.h"
#include "pprof/profile.h"

struct top_model;

enum top_list { TOP_FUNCTIONS, TOP_PROCESSES, TOP_AROUND /* a function: its callers, itself, what it calls */ };
enum top_sort { TOP_BY_SELF, TOP_BY_TOTAL, TOP_BY_NAME };
enum top_side { TOP_BOTH, TOP_USER, TOP_KERNEL };
enum top_part { TOP_ROW, TOP_CALLER, TOP_CENTRE, TOP_CALLEE };

/* What tells one function, or one process, from another. */
struct top_identity {
	const char *name;
	const char *module; /* base name of the mapped file; of processes "" */
	bool is_kernel;
	int64_t pid; /* of processes; else 0 */
};

struct top_query {
	enum top_list list;
	enum top_sort sort;
	enum top_side side;		      /* functions of that side; of processes only that side's samples */
	struct regex *filter;		      /* rows with a match in their name, module, container or pid; NULL: all */
	const struct top_identity *process;   /* its samples only; NULL: all */
	const struct top_identity *function;  /* of TOP_AROUND */
};

/* Texts are borrowed from the model until the next top_model_add() or top_model_clear(). */
struct top_row {
	enum top_part part;
	struct top_identity who;
	const char *container; /* of processes: container, else its id, else the unit; "" */
	int64_t self;  /* value where it is the innermost frame; of processes all; of callers and callees: of that call */
	int64_t total; /* value of all stacks that it is in, each once */
	uint64_t samples; /* behind total */
};

struct top_table {
	struct top_row *rows;
	size_t n;
	size_t n_filtered; /* rows that the filter left out */
	bool filter_failed; /* it took too long for a name: that one and those behind it are left out */
};

/* Sums over the windows that are kept. */
struct top_figures {
	struct accounting account;
	int64_t value;	     /* nanoseconds of CPU, or occurrences */
	bool is_time;	     /* the first */
	int64_t duration_ns;
	int64_t end_ns;	     /* wall clock of the last one's end */
	uint64_t own_ns;     /* CPU time of hearth */
	size_t windows;
};

#define TOP_WINDOWS_MAX 1024

/* span_ns: so much is kept: a window goes when those after it are as long, or are TOP_WINDOWS_MAX. */
int top_model_create(int64_t span_ns, struct top_model **model_out);

/* Take a window; nothing of profile is kept but copies. own_ns: what hearth used in it. Returns 0, -EINVAL (the profile has no sample types), or -ENOMEM: then the
 * model is as it was. */
int top_model_add(struct top_model *m, const struct profile *profile, const struct accounting *account, uint64_t own_ns);
void top_model_clear(struct top_model *m);
void top_model_figures(const struct top_model *m, struct top_figures *figures_out);

/* Fill in a table. Callers come first, then the function, then callees. A function that is in no window (any more) gives its own row with zeros. Returns 0 or
 * -ENOMEM. */
int top_model_table(struct top_model *m, const struct top_query *query, struct top_table *table_out);
void top_table_deinit(struct top_table *table);

/* Bytes that the model holds: bounded by what the windows have, however long it runs. */
size_t top_model_bytes(const struct top_model *m);

/* NULL is legal. */
void top_model_destroy(struct top_model *m);

#endif
