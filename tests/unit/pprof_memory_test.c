/* Each allocation of an analysis fails once: the error is -ENOMEM, nothing leaks (sanitizers, valgrind), and what is handed out is untouched (SAFETY 26).
 * Linked with --wrap for the three functions. */
#include <errno.h>
#include <stdlib.h>

#include "pprof/function_table.h"
#include "pprof/profile_merge.h"
#include "pprof/profile_select.h"
#include "pprof/render.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/failing_allocations.h"
#include "tests/unit/random_profile.h"

static struct profile *profiles[2];
static FILE *nowhere;

static int try_tree(void)
{
	struct flame_tree *tree = NULL;
	int err = flame_tree_create(profiles[0], 0, &(struct flame_options){.base = profiles[1], .max_nodes = 700}, &tree);

	assert_true(err == 0 || !tree);
	flame_tree_destroy(tree);
	return err;
}

static int try_functions(void)
{
	struct function_row *rows = NULL;
	size_t n;
	int err = function_table_create(profiles[0], profiles[1], 0, &rows, &n);

	assert_true(err == 0 || !rows);
	free(rows);
	return err;
}

static int try_lines(void)
{
	struct line_row *rows = NULL;
	size_t n;
	int err = line_table_create(profiles[0], 0, "function_1_0", &rows, &n);

	assert_true(err == 0 || !rows);
	free(rows);
	return err;
}

static int try_select(void)
{
	struct profile *part = NULL;
	struct why why;
	int err = profile_select(profiles[0], &(struct profile_selection){.focus = "function_.*1", .hide = "_2", .labels = {{"pid", "1001"}}, .n_labels = 1}, &part, &why);

	assert_true(err == 0 || !part);
	profile_free(part);
	return err;
}

static int try_merge(void)
{
	struct profile *sum = NULL;
	struct why why;
	int err = profile_merge((const struct profile *const *)profiles, 2, &sum, &why);

	assert_true(err == 0 || !sum);
	profile_free(sum);
	return err;
}

static int try_folded(void)
{
	return profile_write_folded(profiles[0], 0, nowhere);
}

static int try_text(void)
{
	return profile_write_text(profiles[0], 0, 0, nowhere);
}

static int try_diff_svg(void)
{
	return profile_write_diff_svg(profiles[0], profiles[1], 0, NULL, nowhere);
}

static int try_speedscope(void)
{
	return profile_write_speedscope(profiles[0], "name", nowhere);
}

static int try_firefox(void)
{
	return profile_write_firefox(profiles[0], "name", nowhere);
}

static void each_allocation(void **state)
{
	int (*const tries[])(void) = {try_tree, try_functions, try_lines, try_select, try_merge, try_folded, try_text, try_diff_svg, try_speedscope, try_firefox};

	(void)state;
	profiles[0] = random_profile(&(struct random_profile){.seed = 1, .n_samples = 120, .n_processes = 5, .depth = 20});
	profiles[1] = random_profile(&(struct random_profile){.seed = 2, .n_samples = 120, .n_processes = 5, .depth = 20});
	nowhere = fopen("/dev/null", "we");
	assert_non_null(nowhere);
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		unsigned n_failed = 0;
		for (uint64_t n = 0;; n += n < 60 ? 1 : 1 + n / 60) {
			countdown = n;
			int err = tries[i]();
			bool reached = countdown > n; /* it went past 0 */
			countdown = UINT64_MAX;
			if (!reached) {
				assert_int_equal(err, 0);
				break;
			}
			if (err != -ENOMEM)
				fail_msg("analysis %zu, allocation %u: %d", i, (unsigned)n, err);
			n_failed++;
		}
		assert_true(n_failed > 3);
	}
	fclose(nowhere);
	profile_free(profiles[0]);
	profile_free(profiles[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
