/* What top_view.c keeps and top_draw.c draws; nobody else includes it. */
#ifndef HEARTH_AGENT_TOP_VIEW_STATE_H
#define HEARTH_AGENT_TOP_VIEW_STATE_H

#include "agent/top_view.h"

#define TOP_PLACES_MAX 32 /* so deep one can drill */

/* Strings owned. */
struct top_owned {
	char *name, *module;
	bool is_kernel;
	int64_t pid;
};

/* A list that was entered, and where one was in it. */
struct top_place {
	enum top_list list;
	struct top_owned function; /* of TOP_AROUND */
	struct top_owned process;  /* name NULL: all */
	char filter[TOP_FILTER_MAX];
	struct regex *regex;
	size_t selected, first; /* rows: at hand, topmost on the screen */
	bool has_moved;		/* the selection follows its row; until then it stays at the top */
	struct top_owned at;	/* what is selected */
	enum top_part part;
};

struct top_view {
	struct top_model *model;
	enum top_sort sort;
	enum top_side side;
	struct top_place places[TOP_PLACES_MAX];
	size_t n_places; /* 1 or more; the last one is shown */
	struct top_table table;
	struct top_figures figures;
	size_t page; /* rows that the screen showed last */
	bool is_editing, is_helping;
	size_t help_first;
	char before[TOP_FILTER_MAX]; /* the filter, when editing began */
	char edited[TOP_FILTER_MAX];
	struct why trouble; /* with the filter, or with memory; "": none */
};

static inline struct top_place *top_view_place(const struct top_view *v)
{
	return (struct top_place *)&v->places[v->n_places - 1];
}

static inline struct top_identity top_owned_identity(const struct top_owned *o)
{
	return (struct top_identity){o->name, o->module, o->is_kernel, o->pid};
}

#endif
