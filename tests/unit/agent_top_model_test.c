#include "agent/top_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/top_names.h"
#include "tests/unit/top_profile.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct top_sample WINDOW[] = {
	{7, "app", "web", "inner;outer;main", 60},
	{7, "app", "web", "outer;main", 10},
	{7, "app", "web", "k:vfs_read;k:sys_read;outer;main", 20},
	{8, "other", "", "inner;main", 5},
	{8, "other", "", "again;again;again;main", 5},
};

static struct top_model *model_of(int64_t span_ns)
{
	struct top_model *m;

	assert_int_equal(top_model_create(span_ns, &m), 0);
	return m;
}

static const struct top_row *row_of(const struct top_table *t, enum top_part part, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].part == part && strcmp(t->rows[i].who.name, name) == 0)
			return &t->rows[i];
	return NULL;
}

static struct top_table table_of(struct top_model *m, struct top_query query)
{
	struct top_table table;

	assert_int_equal(top_model_table(m, &query, &table), 0);
	return table;
}

static void functions(void **state)
{
	struct top_model *m = model_of(10 * TOP_S);

	(void)state;
	assert_int_equal(top_add(m, WINDOW, N(WINDOW), 100), 0);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS});
	assert_int_equal(t.n, 6);
	assert_string_equal(t.rows[0].who.name, "inner");
	assert_string_equal(t.rows[0].who.module, "app");
	assert_int_equal(t.rows[0].self, 650000000);
	assert_int_equal(t.rows[0].samples, 65);
	assert_string_equal(t.rows[1].who.name, "vfs_read");
	assert_true(t.rows[1].who.is_kernel);
	assert_string_equal(t.rows[1].who.module, "[kernel]");
	/* Recursion counts once. */
	assert_int_equal(row_of(&t, TOP_ROW, "again")->total, 50000000);
	assert_int_equal(row_of(&t, TOP_ROW, "main")->total, 1000000000);
	assert_int_equal(row_of(&t, TOP_ROW, "main")->self, 0);
	top_table_deinit(&t);

	t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .sort = TOP_BY_TOTAL});
	assert_string_equal(t.rows[0].who.name, "main");
	assert_string_equal(t.rows[1].who.name, "outer");
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .sort = TOP_BY_NAME});
	assert_string_equal(t.rows[0].who.name, "again");
	assert_string_equal(t.rows[5].who.name, "vfs_read");
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .side = TOP_KERNEL});
	assert_int_equal(t.n, 2);
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .side = TOP_USER});
	assert_int_equal(t.n, 4);
	top_table_deinit(&t);
	top_model_destroy(m);
}

static void processes(void **state)
{
	struct top_model *m = model_of(10 * TOP_S);
	struct top_identity app = {"app", "", false, 7}, nobody = {"app", "", false, 99};

	(void)state;
	assert_int_equal(top_add(m, WINDOW, N(WINDOW), 100), 0);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_PROCESSES});
	assert_int_equal(t.n, 2);
	assert_int_equal(t.rows[0].who.pid, 7);
	assert_string_equal(t.rows[0].container, "web");
	assert_int_equal(t.rows[0].samples, 90);
	assert_int_equal(t.rows[1].self, 100000000);
	assert_string_equal(t.rows[1].container, "");
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_PROCESSES, .side = TOP_KERNEL});
	assert_int_equal(t.n, 1);
	assert_int_equal(t.rows[0].samples, 20);
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .process = &app});
	assert_int_equal(row_of(&t, TOP_ROW, "inner")->self, 600000000);
	assert_null(row_of(&t, TOP_ROW, "again"));
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .process = &nobody});
	assert_int_equal(t.n, 0);
	top_table_deinit(&t);
	top_model_destroy(m);
}

static void around(void **state)
{
	struct top_model *m = model_of(10 * TOP_S);
	struct top_identity outer = {"outer", "app", false, 0}, again = {"again", "app", false, 0}, gone = {"gone", "app", false, 0};

	(void)state;
	assert_int_equal(top_add(m, WINDOW, N(WINDOW), 100), 0);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_AROUND, .function = &outer});
	assert_int_equal(t.n, 4);
	assert_int_equal(t.rows[0].part, TOP_CALLER);
	assert_string_equal(t.rows[0].who.name, "main");
	assert_int_equal(t.rows[0].total, 900000000);
	assert_int_equal(t.rows[1].part, TOP_CENTRE);
	assert_int_equal(t.rows[1].self, 100000000);
	assert_int_equal(t.rows[1].total, 900000000);
	assert_string_equal(t.rows[2].who.name, "inner");
	assert_int_equal(t.rows[2].total, 600000000);
	assert_string_equal(t.rows[3].who.name, "sys_read");
	top_table_deinit(&t);
	/* Calls itself: once in each stack. */
	t = table_of(m, (struct top_query){.list = TOP_AROUND, .function = &again});
	assert_int_equal(row_of(&t, TOP_CALLER, "again")->total, 50000000);
	assert_int_equal(row_of(&t, TOP_CALLER, "main")->total, 50000000);
	assert_int_equal(row_of(&t, TOP_CALLEE, "again")->total, 50000000);
	assert_int_equal(row_of(&t, TOP_CENTRE, "again")->self, 50000000);
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_AROUND, .function = &gone});
	assert_int_equal(t.n, 1);
	assert_int_equal(t.rows[0].total, 0);
	top_table_deinit(&t);
	top_model_destroy(m);
}

static void filters(void **state)
{
	struct top_model *m = model_of(10 * TOP_S);
	struct regex *regex;
	struct why why;

	(void)state;
	assert_int_equal(top_add(m, WINDOW, N(WINDOW), 100), 0);
	assert_int_equal(regex_create("^(inner|vfs)", REGEX_SOMEWHERE, &regex, &why), 0);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .filter = regex});
	assert_int_equal(t.n, 2);
	assert_int_equal(t.n_filtered, 4);
	top_table_deinit(&t);
	regex_destroy(regex);
	assert_int_equal(regex_create("web|^8$", REGEX_SOMEWHERE, &regex, &why), 0);
	t = table_of(m, (struct top_query){.list = TOP_PROCESSES, .filter = regex});
	assert_int_equal(t.n, 2);
	top_table_deinit(&t);
	regex_destroy(regex);
	top_model_destroy(m);
}

/* An expression that takes too long stops matching at once, not for each of many names. */
static void filter_without_end(void **state)
{
	struct top_sample samples[50];
	char names[50][200];
	struct top_model *m = model_of(10 * TOP_S);
	struct regex *regex;
	struct why why;

	(void)state;
	for (size_t i = 0; i < 50; i++) {
		memset(names[i], 'a', 180);
		snprintf(names[i] + 180, 20, "%zu!", i);
		samples[i] = (struct top_sample){1, "p", "", names[i], 1};
	}
	assert_int_equal(top_add(m, samples, 50, 100), 0);
	assert_int_equal(regex_create("(a|aa)+(a|aa)+(a|aa)+$", REGEX_SOMEWHERE, &regex, &why), 0);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .filter = regex});
	assert_true(t.filter_failed);
	assert_int_equal(t.n, 0);
	top_table_deinit(&t);
	regex_destroy(regex);
	top_model_destroy(m);
}

static void sliding(void **state)
{
	static const struct top_sample OLD[] = {{1, "old", "", "old", 10}}, NEW[] = {{2, "new", "", "new", 10}};
	struct top_model *m = model_of(3 * TOP_S);
	struct top_figures f;

	(void)state;
	top_model_figures(m, &f);
	assert_int_equal(f.windows, 0);
	assert_int_equal(f.duration_ns, 0);
	assert_int_equal(top_add(m, OLD, 1, 100), 0);
	assert_int_equal(top_add(m, NEW, 1, 101), 0);
	assert_int_equal(top_add(m, NEW, 1, 102), 0);
	top_model_figures(m, &f);
	assert_int_equal(f.windows, 3);
	assert_int_equal(f.value, 300000000);
	assert_int_equal(f.own_ns, 15000000);
	assert_int_equal(f.end_ns, 102 * TOP_S);
	assert_true(accounting_holds(&f.account));
	assert_int_equal(f.account.samples, 30);
	assert_int_equal(top_add(m, NEW, 1, 103), 0);
	top_model_figures(m, &f);
	assert_int_equal(f.windows, 3);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS});
	assert_int_equal(t.n, 1);
	assert_string_equal(t.rows[0].who.name, "new");
	top_table_deinit(&t);
	top_model_clear(m);
	t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS});
	assert_int_equal(t.n, 0);
	top_table_deinit(&t);
	assert_int_equal(top_add(m, NEW, 1, 104), 0);
	top_model_destroy(m);
}

static void empty_windows(void **state)
{
	static const struct top_sample NO_STACK[] = {{1, "p", "", "", 3}};
	struct top_model *m = model_of(TOP_S);
	struct profile nothing = {0};

	(void)state;
	assert_int_equal(top_add(m, NULL, 0, 100), 0);
	assert_int_equal(top_add(m, NO_STACK, 1, 101), 0);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_PROCESSES});
	assert_int_equal(t.n, 1);
	top_table_deinit(&t);
	assert_int_equal(top_model_add(m, &nothing, &(struct accounting){0}, 0), -EINVAL);
	top_model_destroy(m);
	top_model_destroy(NULL);
}

/* Names that nobody has any more go: a machine whose programs change all the time does not fill the memory. */
static void bounded(void **state)
{
	struct top_model *m = model_of(2 * TOP_S);
	struct top_sample samples[100];
	char names[100][64];
	size_t most = 0;

	(void)state;
	for (int64_t w = 0; w < 600; w++) {
		for (size_t i = 0; i < 100; i++) {
			snprintf(names[i], sizeof(names[i]), "function_%d_%zu;same;main", (int)w, i);
			samples[i] = (struct top_sample){w * 100 + (int64_t)i, names[i], "c", names[i], 1};
		}
		assert_int_equal(top_add(m, samples, 100, 1000 + w), 0);
		if (w == 200)
			most = top_model_bytes(m);
	}
	assert_true(top_model_bytes(m) <= most + most / 10);
	struct top_table t = table_of(m, (struct top_query){.list = TOP_FUNCTIONS, .sort = TOP_BY_TOTAL});
	assert_int_equal(t.n, 202);
	assert_int_equal(t.rows[0].samples, 200);
	top_table_deinit(&t);
	t = table_of(m, (struct top_query){.list = TOP_PROCESSES, .sort = TOP_BY_NAME});
	assert_int_equal(t.n, 200);
	assert_string_equal(t.rows[0].who.name, "function_598_0;same;main");
	assert_int_equal(t.rows[0].who.pid, 59800);
	top_table_deinit(&t);
	top_model_destroy(m);
}

static void many_windows(void **state)
{
	static const struct top_sample ONE[] = {{1, "p", "", "f", 1}};
	struct top_model *m = model_of(INT64_MAX);
	struct top_figures f;

	(void)state;
	for (int64_t w = 0; w < TOP_WINDOWS_MAX + 10; w++)
		assert_int_equal(top_add(m, ONE, 1, w + 10), 0);
	top_model_figures(m, &f);
	assert_int_equal(f.windows, TOP_WINDOWS_MAX);
	assert_int_equal(f.account.samples, TOP_WINDOWS_MAX);
	top_model_destroy(m);
}

static void names(void **state)
{
	struct top_names t = {.seed = 3};
	uint32_t marks[3] = {0, 1, 0};

	(void)state;
	assert_int_equal(top_names_find(&t, &(struct top_key){"a", "m", "", 0, false}), TOP_NAME_NONE);
	assert_int_equal(top_names_put(&t, &(struct top_key){"a", "m", "c1", 0, false}), 0);
	assert_int_equal(top_names_put(&t, &(struct top_key){"a", "m", "", 0, true}), 1);
	assert_int_equal(top_names_put(&t, &(struct top_key){"am", "", "", 0, false}), 2);
	assert_int_equal(top_names_put(&t, &(struct top_key){"a", "m", "c2", 0, false}), 0);
	assert_string_equal(top_names_get(&t, 0).container, "c1");
	assert_int_equal(top_names_sweep(&t, marks), 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(marks[1], 0);
	assert_true(top_names_get(&t, 0).is_kernel);
	assert_int_equal(top_names_find(&t, &(struct top_key){"a", "m", "", 0, false}), TOP_NAME_NONE);
	assert_int_equal(top_names_find(&t, &(struct top_key){"a", "m", "", 0, true}), 0);
	top_names_deinit(&t);
	assert_int_equal(top_names_sweep(&t, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions), cmocka_unit_test(processes), cmocka_unit_test(around), cmocka_unit_test(filters),
		cmocka_unit_test(filter_without_end), cmocka_unit_test(sliding), cmocka_unit_test(empty_windows), cmocka_unit_test(bounded),
		cmocka_unit_test(many_windows), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
