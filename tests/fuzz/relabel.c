/* Relabel rules, and the labels that they are applied to: lines. ACTION;SOURCES;SEPARATOR;REGEX;TARGET;REPLACEMENT;MODULUS with tabs for ;, then NAME=VALUE. A set stays sorted and within its limits, and
 * applying takes a bounded time (the fuzzer's own time-out). */
#include <errno.h>
#include <string.h>

#include "server-upload/relabel.h"
#include "tests/fuzz/fuzz.h"

#define RULES_MAX 8 /* a match that is given up costs a millisecond */

static void add_rule(struct relabel_rules *rules, char *line)
{
	struct why why = {""};
	char *fields[7] = {NULL};

	for (size_t i = 0; i < 7 && line; i++)
		fields[i] = strsep(&line, "\t");
	for (size_t i = 0; i < 7; i++)
		if (fields[i] && strcmp(fields[i], "-") == 0)
			fields[i] = NULL;
	struct relabel_rule rule = {.action = fields[0], .source_labels = fields[1], .separator = fields[2], .regex = fields[3], .target_label = fields[4],
				    .replacement = fields[5], .modulus = fields[6] ? strtoull(fields[6], NULL, 10) : 0};
	int err = relabel_rules_add(rules, &rule, &why);
	PROMISE(err == 0 || (err == -EINVAL && why.text[0]));
}

static void check(const struct label_set *set)
{
	PROMISE(set->n <= LABEL_SET_MAX);
	for (size_t i = 0; i < set->n; i++) {
		PROMISE(*set->labels[i].value);
		PROMISE(i == 0 || strcmp(set->labels[i - 1].name, set->labels[i].name) < 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1), *rest = text;
	struct label_set set = {.n = 0};
	struct relabel_rules *rules;
	size_t n_rules = 0;

	memcpy(text, data, n);
	text[n] = '\0';
	PROMISE(relabel_rules_create(&rules) == 0);
	for (char *line; (line = strsep(&rest, "\n"));) {
		char *value = strchr(line, '=');
		if (strchr(line, '\t')) {
			if (n_rules++ < RULES_MAX)
				add_rule(rules, line);
		} else if (value && value > line) {
			*value++ = '\0';
			int err = label_set_put(&set, line, value);
			PROMISE(err == 0 || (err == -E2BIG && set.n == LABEL_SET_MAX));
		}
	}
	check(&set);
	int stays = relabel_rules_apply(rules, &set);
	PROMISE(stays == 0 || stays == 1);
	check(&set);
	for (size_t i = 0; stays && i < set.n; i++)
		PROMISE(strncmp(set.labels[i].name, "__", 2) != 0 || strcmp(set.labels[i].name, "__name__") == 0);
	label_set_deinit(&set);
	relabel_rules_destroy(rules);
	free(text);
	return 0;
}
