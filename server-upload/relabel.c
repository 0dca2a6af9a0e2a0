#include "server-upload/relabel.h"

#include <ctype.h>
#include <errno.h>
#include <md5.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/regex.h"
#include "base/scope.h"

enum action { REPLACE, KEEP, DROP, KEEPEQUAL, DROPEQUAL, HASHMOD, LABELMAP, LABELDROP, LABELKEEP, LOWERCASE, UPPERCASE, ACTIONS };

/* What an action may be told; the rest is refused, as Prometheus does. */
enum { SOURCES = 1, TARGET = 2, REGEX = 4, REPLACEMENT = 8, MODULUS = 16, NEEDS_TARGET = 32 };

static const struct {
	const char *name;
	unsigned takes;
} ACTION[ACTIONS] = {
	[REPLACE] = {"replace", SOURCES | TARGET | NEEDS_TARGET | REGEX | REPLACEMENT},
	[KEEP] = {"keep", SOURCES | REGEX},
	[DROP] = {"drop", SOURCES | REGEX},
	[KEEPEQUAL] = {"keepequal", SOURCES | TARGET | NEEDS_TARGET},
	[DROPEQUAL] = {"dropequal", SOURCES | TARGET | NEEDS_TARGET},
	[HASHMOD] = {"hashmod", SOURCES | TARGET | NEEDS_TARGET | MODULUS},
	[LABELMAP] = {"labelmap", REGEX | REPLACEMENT},
	[LABELDROP] = {"labeldrop", REGEX},
	[LABELKEEP] = {"labelkeep", REGEX},
	[LOWERCASE] = {"lowercase", SOURCES | TARGET | NEEDS_TARGET},
	[UPPERCASE] = {"uppercase", SOURCES | TARGET | NEEDS_TARGET},
};

struct rule {
	enum action action;
	char *sources[LABEL_SET_MAX];
	size_t n_sources;
	char *separator, *target, *replacement;
	struct regex *regex;
	uint64_t modulus;
	uint64_t passed_over;
};

struct relabel_rules {
	struct rule *rules;
	size_t n;
};

/* Room for the values of all sources and their separators; beyond it what matters of a value was seen. */
struct value {
	char text[REGEX_SUBJECT_MAX + 2];
};

int relabel_rules_create(struct relabel_rules **rules_out)
{
	struct relabel_rules *rules = calloc(1, sizeof(*rules));

	if (!rules)
		return -ENOMEM;
	*rules_out = rules;
	return 0;
}

static void rule_deinit(struct rule *rule)
{
	for (size_t i = 0; i < rule->n_sources; i++)
		free(rule->sources[i]);
	free(rule->separator);
	free(rule->target);
	free(rule->replacement);
	regex_destroy(rule->regex);
}

/* --- reading rules ------------------------------------------------------------------------------------------- */

static int take_action(const char *text, struct rule *rule, struct why *why)
{
	for (size_t i = 0; i < ACTIONS; i++) {
		if (strcasecmp(text, ACTION[i].name) == 0) {
			rule->action = (enum action)i;
			return 0;
		}
	}
	return why_set(why, -EINVAL,
		       "action: '%s' is none of replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase",
		       text);
}

static int take_sources(const char *text, struct rule *rule, struct why *why)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy;

	if (!copy)
		return -ENOMEM;
	for (char *name; (name = strsep(&rest, ","));) {
		name += strspn(name, " ");
		name[strcspn(name, " ")] = '\0';
		if (!label_name_is_valid(name))
			return why_set(why, -EINVAL, "source_labels: '%s' is no name of a label: letters, digits and _", name);
		if (rule->n_sources == LABEL_SET_MAX)
			return why_set(why, -EINVAL, "source_labels: more than %d", LABEL_SET_MAX);
		rule->sources[rule->n_sources] = strdup(name);
		if (!rule->sources[rule->n_sources])
			return -ENOMEM;
		rule->n_sources++;
	}
	return 0;
}

/* The fields that are there, against what the action takes. */
static int check_fields(const struct relabel_rule *from, enum action action, struct why *why)
{
	const struct {
		const char *name;
		bool there;
		unsigned flag;
	} FIELDS[] = {
		{"source_labels", from->source_labels, SOURCES},     {"separator", from->separator, SOURCES},
		{"regex", from->regex, REGEX},			     {"target_label", from->target_label, TARGET},
		{"replacement", from->replacement, REPLACEMENT},     {"modulus", from->modulus, MODULUS},
	};
	unsigned takes = ACTION[action].takes;

	for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++)
		if (FIELDS[i].there && !(takes & FIELDS[i].flag))
			return why_set(why, -EINVAL, "%s: action %s does not take it", FIELDS[i].name, ACTION[action].name);
	if ((takes & NEEDS_TARGET) && (!from->target_label || !*from->target_label))
		return why_set(why, -EINVAL, "target_label: action %s needs it", ACTION[action].name);
	if ((takes & MODULUS) && from->modulus == 0)
		return why_set(why, -EINVAL, "modulus: action hashmod needs it, 1 or more");
	/* The target of replace may have groups in it. */
	if ((takes & TARGET) && !label_name_is_valid(from->target_label) && !(action == REPLACE && strchr(from->target_label, '$')))
		return why_set(why, -EINVAL, "target_label: '%s' is no name of a label: letters, digits and _", from->target_label);
	return 0;
}

static int take_rule(const struct relabel_rule *from, struct rule *rule, struct why *why)
{
	struct why inner = {""};

	int err = take_action(from->action ? from->action : "replace", rule, why);
	if (err == 0)
		err = check_fields(from, rule->action, why);
	if (err == 0 && from->source_labels && *from->source_labels)
		err = take_sources(from->source_labels, rule, why);
	if (err < 0)
		return err;
	rule->modulus = from->modulus;
	rule->separator = strdup(from->separator ? from->separator : ";");
	rule->target = strdup(from->target_label ? from->target_label : "");
	rule->replacement = strdup(from->replacement ? from->replacement : "$1");
	if (!rule->separator || !rule->target || !rule->replacement)
		return -ENOMEM;
	err = regex_create(from->regex ? from->regex : "(.*)", REGEX_WHOLE, &rule->regex, &inner);
	return err == -EINVAL ? why_set(why, err, "regex: %s", inner.text) : err;
}

int relabel_rules_add(struct relabel_rules *rules, const struct relabel_rule *from, struct why *why)
{
	struct rule rule = {.action = REPLACE};

	if (rules->n == RELABEL_RULES_MAX)
		return why_set(why, -E2BIG, "more than %d rules", RELABEL_RULES_MAX);
	struct rule *grown = reallocarray(rules->rules, rules->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	rules->rules = grown;
	int err = take_rule(from, &rule, why);
	if (err < 0) {
		rule_deinit(&rule);
		return err;
	}
	rules->rules[rules->n++] = rule;
	return 0;
}

/* --- applying them ------------------------------------------------------------------------------------------- */

static void append(struct value *value, size_t *n, const char *from)
{
	size_t length = strlen(from), room = sizeof(value->text) - 1 - *n;

	length = length < room ? length : room;
	memcpy(value->text + *n, from, length);
	*n += length;
	value->text[*n] = '\0';
}

static void join(const struct rule *rule, const struct label_set *set, struct value *value)
{
	size_t n = 0;

	value->text[0] = '\0';
	for (size_t i = 0; i < rule->n_sources; i++) {
		if (i)
			append(value, &n, rule->separator);
		append(value, &n, label_set_get(set, rule->sources[i]));
	}
}

static int put(struct rule *rule, struct label_set *set, const char *name, const char *value)
{
	int err = strlen(value) > LABEL_VALUE_MAX ? -E2BIG : label_set_put(set, name, value);

	if (err != -E2BIG)
		return err;
	rule->passed_over++;
	return 0;
}

/* As regex_match(); what takes too long matches nothing, and is counted. */
static int match(struct rule *rule, const char *subject)
{
	int result = regex_match(rule->regex, subject);

	if (result != -E2BIG)
		return result;
	rule->passed_over++;
	return 0;
}

static int expand(struct rule *rule, const char *subject, const char *replacement, char *out, size_t out_bytes)
{
	int n = regex_expand(rule->regex, subject, replacement, out, out_bytes);

	rule->passed_over += n < 0;
	return n;
}

static int apply_replace(struct rule *rule, struct label_set *set, const char *value)
{
	char target[LABEL_NAME_MAX + 1], text[LABEL_VALUE_MAX + 1];
	int matches = match(rule, value);

	if (matches <= 0)
		return matches;
	if (expand(rule, value, rule->target, target, sizeof(target)) < 0 || expand(rule, value, rule->replacement, text, sizeof(text)) < 0)
		return 0;
	return label_name_is_valid(target) ? put(rule, set, target, text) : 0;
}

static int apply_hashmod(struct rule *rule, struct label_set *set, const char *value)
{
	uint8_t digest[MD5_DIGEST_LENGTH];
	uint64_t hash = 0;
	char text[32];
	MD5_CTX md5;

	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)value, strlen(value));
	MD5Final(digest, &md5);
	for (size_t i = 8; i < 16; i++)
		hash = hash << 8 | digest[i];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(hash % rule->modulus));
	return put(rule, set, rule->target, text);
}

/* ASCII only: labels' values are names. */
static int apply_case(struct rule *rule, struct label_set *set, struct value *value)
{
	for (char *at = value->text; *at; at++)
		*at = (char)(rule->action == LOWERCASE ? tolower((unsigned char)*at) : toupper((unsigned char)*at));
	return put(rule, set, rule->target, value->text);
}

/* Names are taken from the set as it was: what a new label is called is not mapped again. */
static int apply_labelmap(struct rule *rule, struct label_set *set)
{
	char name[LABEL_NAME_MAX + 1];
	struct label_set before = {.n = 0};
	int err = 0;

	for (size_t i = 0; i < set->n && err == 0; i++)
		err = label_set_put(&before, set->labels[i].name, set->labels[i].value);
	for (size_t i = 0; i < before.n && err == 0; i++) {
		int matches = match(rule, before.labels[i].name);
		if (matches < 0)
			err = matches;
		else if (matches && expand(rule, before.labels[i].name, rule->replacement, name, sizeof(name)) >= 0 && label_name_is_valid(name))
			err = put(rule, set, name, before.labels[i].value);
	}
	label_set_deinit(&before);
	return err;
}

static int apply_to_names(struct rule *rule, struct label_set *set)
{
	for (size_t i = set->n; i-- > 0;) {
		int matches = match(rule, set->labels[i].name);
		if (matches < 0)
			return matches;
		if ((bool)matches == (rule->action == LABELDROP))
			label_set_remove(set, i);
	}
	return 0;
}

/* Returns 1 (go on), 0 (the set is dropped), -ENOMEM. */
static int apply(struct rule *rule, struct label_set *set)
{
	struct value value;
	int err = 0, matches;

	join(rule, set, &value);
	switch (rule->action) {
	case KEEP:
		return match(rule, value.text);
	case DROP:
		matches = match(rule, value.text);
		return matches < 0 ? matches : !matches;
	case KEEPEQUAL:
		return strcmp(label_set_get(set, rule->target), value.text) == 0;
	case DROPEQUAL:
		return strcmp(label_set_get(set, rule->target), value.text) != 0;
	case REPLACE:
		err = apply_replace(rule, set, value.text);
		break;
	case HASHMOD:
		err = apply_hashmod(rule, set, value.text);
		break;
	case LOWERCASE:
	case UPPERCASE:
		err = apply_case(rule, set, &value);
		break;
	case LABELMAP:
		err = apply_labelmap(rule, set);
		break;
	case LABELDROP:
	case LABELKEEP:
		err = apply_to_names(rule, set);
		break;
	case ACTIONS:
		break;
	}
	return err < 0 ? err : 1;
}

int relabel_rules_apply(const struct relabel_rules *rules, struct label_set *set)
{
	for (size_t i = 0; i < rules->n; i++) {
		int stays = apply(&rules->rules[i], set);
		if (stays <= 0)
			return stays;
	}
	for (size_t i = set->n; i-- > 0;)
		if (strncmp(set->labels[i].name, "__", 2) == 0 && strcmp(set->labels[i].name, "__name__") != 0)
			label_set_remove(set, i);
	return 1;
}

uint64_t relabel_rules_passed_over(const struct relabel_rules *rules)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < rules->n; i++)
		sum += rules->rules[i].passed_over;
	return sum;
}

void relabel_rules_destroy(struct relabel_rules *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; i < rules->n; i++)
		rule_deinit(&rules->rules[i]);
	free(rules->rules);
	free(rules);
}
