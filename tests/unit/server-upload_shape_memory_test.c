/* Each allocation of shaping fails once: the error is -ENOMEM, nothing leaks (sanitizers, valgrind), and what is handed out is untouched (SAFETY 26).
 * Linked with --wrap for the three functions. */
#include <errno.h>
#include <stdlib.h>

#include "server-upload/shape.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/failing_allocations.h"
#include "tests/unit/random_profile.h"

static struct relabel_rules *one_rule(void)
{
	struct relabel_rules *rules;
	struct why why;

	assert_int_equal(relabel_rules_create(&rules), 0);
	assert_int_equal(relabel_rules_add(rules, &(struct relabel_rule){.source_labels = "process", .target_label = "comm"}, &why), 0);
	return rules;
}

static void test_each_allocation(void **state)
{
	static const enum sink_kind kinds[] = {SINK_PYROSCOPE, SINK_PARCA, SINK_OTLP_HTTP, SINK_HTTP};
	struct profile *p = random_profile(&(struct random_profile){.seed = 4, .n_samples = 150, .n_processes = 12, .depth = 20, .name_bytes = 200});
	struct sink_pair label = {.name = (char *)(uintptr_t)"host", .value = (char *)(uintptr_t)"h"};
	struct relabel_rules *rules = one_rule();
	struct shape_options options = {.labels = &label, .n_labels = 1, .relabel = rules, .request_bytes_max = 6000, .window_bytes_max = 30000, .series_max = 5};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		unsigned n_failed = 0;
		for (uint64_t n = 0;; n += n < 60 ? 1 : 1 + n / 60) {
			struct shape_requests requests = {.n = 77};
			countdown = n;
			int err = shape_window(kinds[k], p, &options, &requests);
			bool all = countdown < UINT64_MAX / 2;
			countdown = UINT64_MAX;
			if (err == 0)
				shape_requests_deinit(&requests);
			if (all) {
				assert_int_equal(err, 0);
				break;
			}
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(requests.n, 77);
			n_failed++;
		}
		assert_true(n_failed > 60);
	}
	relabel_rules_destroy(rules);
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
