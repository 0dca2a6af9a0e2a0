#include "server-upload/relabel.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

/* "a=1,b=2" */
static void fill(struct label_set *set, const char *text)
{
	char copy[1024], *rest = copy;

	set->n = 0;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *name; (name = strsep(&rest, ","));) {
		char *value = strchr(name, '=');
		if (!value)
			continue;
		*value++ = '\0';
		assert_int_equal(label_set_put(set, name, value), 0);
	}
}

static void print(const struct label_set *set, char *out, size_t bytes)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < set->n && n < bytes; i++)
		n += (size_t)snprintf(out + n, bytes - n, "%s%s=%s", i ? "," : "", set->labels[i].name, set->labels[i].value);
}

#define BEFORE "a=foo,b=bar,c=baz"

/* Expected results as Prometheus documents its actions; "dropped" when the set goes. */
static void actions(void **state)
{
	static const struct {
		struct relabel_rule rule;
		const char *before, *after;
	} CASES[] = {
		{{.source_labels = "a", .regex = "f(.*)", .target_label = "d", .replacement = "ch${1}-ch${1}"}, BEFORE, BEFORE ",d=choo-choo"},
		{{.source_labels = "a, b", .regex = "(.*);(.*)", .target_label = "a", .replacement = "$2$1"}, BEFORE, "a=barfoo,b=bar,c=baz"},
		{{.source_labels = "a,b", .separator = "", .regex = "foobar", .target_label = "a", .replacement = "x"}, BEFORE, "a=x,b=bar,c=baz"},
		{{.source_labels = "a", .target_label = "d"}, BEFORE, BEFORE ",d=foo"},
		{{.target_label = "d", .replacement = "static"}, BEFORE, BEFORE ",d=static"},
		{{.source_labels = "a", .regex = "no", .target_label = "d"}, BEFORE, BEFORE},
		{{.source_labels = "a", .regex = "f(.).*", .target_label = "$1"}, BEFORE, BEFORE ",o=o"},
		{{.source_labels = "a", .target_label = "$1-$1"}, BEFORE, BEFORE}, /* no name of a label */
		{{.source_labels = "a", .target_label = "b", .replacement = ""}, BEFORE, "a=foo,c=baz"},
		{{.source_labels = "nothing", .target_label = "b"}, BEFORE, "a=foo,c=baz"},
		{{.action = "keep", .source_labels = "a", .regex = "foo"}, BEFORE, BEFORE},
		{{.action = "keep", .source_labels = "a", .regex = "fo"}, BEFORE, "dropped"},
		{{.action = "Drop", .source_labels = "a", .regex = "f.*"}, BEFORE, "dropped"},
		{{.action = "drop", .source_labels = "nothing", .regex = ".+"}, BEFORE, BEFORE},
		{{.action = "keepequal", .source_labels = "a", .target_label = "d"}, "a=x,d=x", "a=x,d=x"},
		{{.action = "keepequal", .source_labels = "a", .target_label = "d"}, "a=x,d=y", "dropped"},
		{{.action = "dropequal", .source_labels = "a", .target_label = "d"}, "a=x,d=x", "dropped"},
		{{.action = "dropequal", .source_labels = "a", .target_label = "d"}, "a=x,d=y", "a=x,d=y"},
		/* Source: md5("foo")'s last 8 bytes, big-endian, modulo 1000. */
		{{.action = "hashmod", .source_labels = "a", .target_label = "d", .modulus = 1000}, BEFORE, BEFORE ",d=HASH"},
		{{.action = "hashmod", .source_labels = "a,b", .target_label = "d", .modulus = 1}, BEFORE, BEFORE ",d=0"},
		{{.action = "labelmap", .regex = "(b|c)", .replacement = "x_$1"}, BEFORE, BEFORE ",x_b=bar,x_c=baz"},
		{{.action = "labelmap", .regex = "(.*)", .replacement = "x$1"}, "a=1,xa=2", "a=1,xa=1,xxa=2"},
		{{.action = "labelmap", .regex = "(.*)", .replacement = "-$1"}, BEFORE, BEFORE},
		{{.action = "labeldrop", .regex = "a|c"}, BEFORE, "b=bar"},
		{{.action = "labelkeep", .regex = "a|c"}, BEFORE, "a=foo,c=baz"},
		{{.action = "lowercase", .source_labels = "a", .target_label = "a"}, "a=FoO", "a=foo"},
		{{.action = "uppercase", .source_labels = "a", .target_label = "b"}, "a=FoO", "a=FoO,b=FOO"},
		{{.action = "labeldrop", .regex = "none"}, "__name__=n,__tmp=x,_a=1,a=2", "__name__=n,_a=1,a=2"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct relabel_rules *rules;
		struct label_set set;
		struct why why = {""};
		char text[1024], expected[256];
		const char *hash = strstr(CASES[i].after, "HASH");
		assert_int_equal(relabel_rules_create(&rules), 0);
		if (relabel_rules_add(rules, &CASES[i].rule, &why) != 0)
			fail_msg("case %zu: %s", i, why.text);
		fill(&set, CASES[i].before);
		int stays = relabel_rules_apply(rules, &set);
		print(&set, text, sizeof(text));
		/* python3 -c 'import hashlib; print(int(hashlib.md5(b"foo").hexdigest()[16:], 16) % 1000)' */
		snprintf(expected, sizeof(expected), "%.*s%s", hash ? (int)(hash - CASES[i].after) : 250, CASES[i].after, hash ? "696" : "");
		if (strcmp(stays ? text : "dropped", expected) != 0)
			fail_msg("case %zu: '%s', not '%s'", i, stays ? text : "dropped", expected);
		assert_int_equal(relabel_rules_passed_over(rules), 0);
		label_set_deinit(&set);
		relabel_rules_destroy(rules);
	}
}

static void refused(void **state)
{
	static const struct {
		struct relabel_rule rule;
		const char *why;
	} BAD[] = {
		{{.action = "move"}, "action: 'move' is none of"},
		{{.source_labels = "a-b", .target_label = "x"}, "source_labels: 'a-b'"},
		{{.source_labels = "a,,b", .target_label = "x"}, "source_labels: ''"},
		{{.source_labels = "a"}, "target_label: action replace needs it"},
		{{.source_labels = "a", .target_label = ""}, "target_label: action replace needs it"},
		{{.source_labels = "a", .target_label = "1x"}, "target_label: '1x'"},
		{{.action = "lowercase", .source_labels = "a", .target_label = "$1"}, "target_label: '$1'"},
		{{.action = "hashmod", .source_labels = "a", .target_label = "b"}, "modulus: action hashmod needs it"},
		{{.action = "keep", .source_labels = "a", .target_label = "b"}, "target_label: action keep does not take it"},
		{{.action = "keep", .source_labels = "a", .replacement = "b"}, "replacement: action keep does not take it"},
		{{.action = "labeldrop", .source_labels = "a", .regex = "b"}, "source_labels: action labeldrop does not take it"},
		{{.action = "labelkeep", .separator = "a", .regex = "b"}, "separator: action labelkeep does not take it"},
		{{.action = "keepequal", .source_labels = "a", .target_label = "b", .regex = "b"}, "regex: action keepequal does not take it"},
		{{.action = "keep", .modulus = 3}, "modulus: action keep does not take it"},
		{{.action = "keep", .regex = "(a"}, "regex: "},
		{{.action = "keep", .regex = "(?=a)"}, "regex: look-around"},
	};
	struct relabel_rules *rules;
	struct relabel_rule good = {.action = "keep"};
	struct why why;

	(void)state;
	assert_int_equal(relabel_rules_create(&rules), 0);
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		assert_int_equal(relabel_rules_add(rules, &BAD[i].rule, &why), -EINVAL);
		if (!strstr(why.text, BAD[i].why))
			fail_msg("case %zu: %s", i, why.text);
	}
	for (int i = 0; i < RELABEL_RULES_MAX; i++)
		assert_int_equal(relabel_rules_add(rules, &good, &why), 0);
	assert_int_equal(relabel_rules_add(rules, &good, &why), -E2BIG);
	assert_non_null(strstr(why.text, "256"));
	relabel_rules_destroy(rules);
	relabel_rules_destroy(NULL);
}

/* Rules see what those before them wrote. */
static void in_order(void **state)
{
	static const struct relabel_rule RULES[] = {
		{.source_labels = "a", .target_label = "__tmp", .regex = "f(.*)"},
		{.source_labels = "__tmp", .target_label = "b"},
		{.action = "labeldrop", .regex = "a"},
		{.action = "keep", .source_labels = "b", .regex = "oo"},
	};
	struct relabel_rules *rules;
	struct label_set set;
	struct why why;
	char text[128];

	(void)state;
	assert_int_equal(relabel_rules_create(&rules), 0);
	for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]); i++)
		assert_int_equal(relabel_rules_add(rules, &RULES[i], &why), 0);
	fill(&set, BEFORE);
	assert_int_equal(relabel_rules_apply(rules, &set), 1);
	print(&set, text, sizeof(text));
	assert_string_equal(text, "b=oo,c=baz");
	label_set_deinit(&set);
	relabel_rules_destroy(rules);
}

static void passed_over(void **state)
{
	static const struct relabel_rule DOUBLE = {.source_labels = "a,a", .separator = "", .target_label = "a"};
	static const struct relabel_rule SLOW = {.source_labels = "a", .regex = "(?:(x+)+[yz]|(.*))", .target_label = "b"};
	struct relabel_rules *rules;
	struct label_set set;
	struct why why;

	(void)state;
	assert_int_equal(relabel_rules_create(&rules), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(relabel_rules_add(rules, &DOUBLE, &why), 0);
	fill(&set, "a=xx");
	assert_int_equal(relabel_rules_apply(rules, &set), 1);
	assert_int_equal(strlen(label_set_get(&set, "a")), LABEL_VALUE_MAX);
	assert_int_equal(relabel_rules_passed_over(rules), 10);
	assert_int_equal(relabel_rules_add(rules, &SLOW, &why), 0);
	assert_int_equal(relabel_rules_apply(rules, &set), 1);
	assert_string_equal(label_set_get(&set, "b"), "");
	assert_int_equal(relabel_rules_passed_over(rules), 31);
	label_set_deinit(&set);
	relabel_rules_destroy(rules);
}

static void full_sets(void **state)
{
	static const struct relabel_rule MAP = {.action = "labelmap", .regex = "(.*)", .replacement = "x$1"};
	struct relabel_rules *rules;
	struct label_set set = {.n = 0};
	struct why why;
	char name[16];

	(void)state;
	for (int i = LABEL_SET_MAX; i-- > 0;) {
		snprintf(name, sizeof(name), "l%d", i);
		assert_int_equal(label_set_put(&set, name, "v"), 0);
	}
	for (size_t i = 1; i < set.n; i++)
		assert_true(strcmp(set.labels[i - 1].name, set.labels[i].name) < 0);
	assert_int_equal(label_set_put(&set, "more", "v"), -E2BIG);
	assert_int_equal(label_set_put(&set, "l7", "w"), 0);
	assert_string_equal(label_set_get(&set, "l7"), "w");
	assert_int_equal(relabel_rules_create(&rules), 0);
	assert_int_equal(relabel_rules_add(rules, &MAP, &why), 0);
	assert_int_equal(relabel_rules_apply(rules, &set), 1);
	assert_int_equal(relabel_rules_passed_over(rules), LABEL_SET_MAX);
	assert_int_equal(set.n, LABEL_SET_MAX);
	assert_int_equal(label_set_put(&set, "l7", ""), 0);
	assert_int_equal(label_set_put(&set, "l7", ""), 0);
	assert_int_equal(set.n, LABEL_SET_MAX - 1);
	label_set_deinit(&set);
	relabel_rules_destroy(rules);
}

static void label_names(void **state)
{
	char name[LABEL_NAME_MAX + 2];

	(void)state;
	assert_true(label_name_is_valid("a") && label_name_is_valid("_") && label_name_is_valid("A_9"));
	assert_false(label_name_is_valid("") || label_name_is_valid("9a") || label_name_is_valid("a.b") || label_name_is_valid("\xc3\xa9"));
	memset(name, 'a', sizeof(name));
	name[LABEL_NAME_MAX + 1] = '\0';
	assert_false(label_name_is_valid(name));
	name[LABEL_NAME_MAX] = '\0';
	assert_true(label_name_is_valid(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(actions),     cmocka_unit_test(refused),   cmocka_unit_test(in_order),
		cmocka_unit_test(passed_over), cmocka_unit_test(full_sets), cmocka_unit_test(label_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
