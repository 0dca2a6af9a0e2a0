#include "agent/sink_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int copy_text(const char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* The strings are const for who makes rules from literals; those of a list are its own. */
static void rule_deinit(struct relabel_rule *rule)
{
	const char *const strings[] = {rule->action, rule->source_labels, rule->separator, rule->regex, rule->target_label, rule->replacement};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free((char *)(uintptr_t)strings[i]);
}

static int check_rule(const struct relabel_rule *rule, struct why *why)
{
	struct relabel_rules *rules;

	int err = relabel_rules_create(&rules);
	if (err < 0)
		return err;
	err = relabel_rules_add(rules, rule, why);
	relabel_rules_destroy(rules);
	return err;
}

int rule_list_add(struct rule_list *list, const struct relabel_rule *rule, struct why *why)
{
	struct relabel_rule copy = {.modulus = rule->modulus};

	if (list->n == RULE_LIST_MAX)
		return why_set(why, -E2BIG, "more than %d rules", RULE_LIST_MAX);
	int err = check_rule(rule, why);
	if (err < 0)
		return err;
	struct relabel_rule *grown = reallocarray(list->rules, list->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->rules = grown;
	if (copy_text(&copy.action, rule->action) < 0 || copy_text(&copy.source_labels, rule->source_labels) < 0 ||
	    copy_text(&copy.separator, rule->separator) < 0 || copy_text(&copy.regex, rule->regex) < 0 ||
	    copy_text(&copy.target_label, rule->target_label) < 0 || copy_text(&copy.replacement, rule->replacement) < 0) {
		rule_deinit(&copy);
		return -ENOMEM;
	}
	list->rules[list->n++] = copy;
	return 0;
}

static bool equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool rule_list_is_equal(const struct rule_list *a, const struct rule_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct relabel_rule *x = &a->rules[i], *y = &b->rules[i];
		if (!equal(x->action, y->action) || !equal(x->source_labels, y->source_labels) || !equal(x->separator, y->separator) ||
		    !equal(x->regex, y->regex) || !equal(x->target_label, y->target_label) || !equal(x->replacement, y->replacement) ||
		    x->modulus != y->modulus)
			return false;
	}
	return true;
}

void rule_list_deinit(struct rule_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		rule_deinit(&list->rules[i]);
	free(list->rules);
	*list = (struct rule_list){.n = 0};
}

int sink_list_add(struct sink_list *list, struct sink_config *config, unsigned line, struct listed_sink **sink_out, struct why *why)
{
	struct listed_sink *grown = NULL;
	int err = 0;

	if (list->n == SINKS_MAX)
		err = why_set(why, -E2BIG, "more than %d sinks", SINKS_MAX);
	else if (!(grown = reallocarray(list->sinks, list->n + 1, sizeof(*grown))))
		err = -ENOMEM;
	if (err < 0) {
		sink_config_deinit(config);
		return err;
	}
	list->sinks = grown;
	list->sinks[list->n] = (struct listed_sink){.config = *config, .line = line};
	if (sink_out)
		*sink_out = &list->sinks[list->n];
	list->n++;
	return 0;
}

int sink_list_name_all(struct sink_list *list, struct why *why)
{
	struct sink_config *sinks[SINKS_MAX];

	for (size_t i = 0; i < list->n; i++)
		sinks[i] = &list->sinks[i].config;
	return sink_config_name_all(sinks, list->n, why);
}

struct listed_sink *sink_list_find(struct sink_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->sinks[i].config.name, name) == 0)
			return &list->sinks[i];
	return NULL;
}

bool sink_list_is_equal(const struct sink_list *a, const struct sink_list *b)
{
	if (a->n != b->n || !rule_list_is_equal(&a->rules, &b->rules))
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!sink_config_is_equal(&a->sinks[i].config, &b->sinks[i].config) || !rule_list_is_equal(&a->sinks[i].rules, &b->sinks[i].rules))
			return false;
	return true;
}

void sink_list_clear(struct sink_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		sink_config_deinit(&list->sinks[i].config);
		rule_list_deinit(&list->sinks[i].rules);
	}
	free(list->sinks);
	list->sinks = NULL;
	list->n = 0;
}

void sink_list_deinit(struct sink_list *list)
{
	sink_list_clear(list);
	rule_list_deinit(&list->rules);
}
