/* The sinks of the agent's settings, each with its relabel rules. Strings are owned. Not thread-safe. */
#ifndef HEARTH_AGENT_SINK_LIST_H
#define HEARTH_AGENT_SINK_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/why.h"
#include "server-upload/relabel.h"
#include "server-upload/sink_config.h"

#define RULE_LIST_MAX 64

struct rule_list {
	struct relabel_rule *rules;
	size_t n;
};

struct listed_sink {
	struct sink_config config;
	struct rule_list rules; /* of this sink, after those of all */
	unsigned line;		/* in the configuration file; 0: not from there */
};

/* All zero: empty. */
struct sink_list {
	struct listed_sink *sinks;
	size_t n;
	struct rule_list rules; /* of all sinks */
};

/* Append a copy, checked. Returns 0, -EINVAL or -E2BIG (RULE_LIST_MAX) with why, -ENOMEM. */
int rule_list_add(struct rule_list *list, const struct relabel_rule *rule, struct why *why);
bool rule_list_is_equal(const struct rule_list *a, const struct rule_list *b);
void rule_list_deinit(struct rule_list *list);

/* Append; config's strings go over to the list, also on failure. Returns 0, -E2BIG with why (SINKS_MAX), -ENOMEM. sink_out: may be NULL; borrowed until the next call. */
int sink_list_add(struct sink_list *list, struct sink_config *config, unsigned line, struct listed_sink **sink_out, struct why *why);
/* Give all sinks names. Returns 0, or -EINVAL with why: two have the same. */
int sink_list_name_all(struct sink_list *list, struct why *why);
struct listed_sink *sink_list_find(struct sink_list *list, const char *name);
bool sink_list_is_equal(const struct sink_list *a, const struct sink_list *b);

/* Only the sinks go; rules stay. */
void sink_list_clear(struct sink_list *list);
void sink_list_deinit(struct sink_list *list);

#endif
