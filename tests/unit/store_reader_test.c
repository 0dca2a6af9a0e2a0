/* What a query asks of the store: sums with some labels only, totals by labels, time lines by several. */
#include "store/store_reader.h"

#include <errno.h>

#include "store/window.h"
#include "tests/store/profile_text.h"
#include "tests/unit/sample_profile.h"
#include "tests/unit/store_fixture.h"

struct fixture {
	struct store_fixture *store;
	struct store_reader *reader;
	struct why why;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->store = store_fixture_empty();
	store_fixture_fill(f->store, 72, 3600);
	assert_int_equal(store_reader_open(f->store->folder, &f->reader, &f->why), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	store_reader_close(f->reader);
	store_fixture_destroy(f->store);
	free(f);
	return 0;
}

static struct profile *sum_of(struct fixture *f, const struct store_filter *filter)
{
	struct profile *profile;

	assert_int_equal(store_reader_sum(f->reader, filter, &profile, &f->why), 0);
	return profile;
}

/* The same profile, of each sample's labels only those of the keys left, equal samples added up. */
static char *text_with(struct profile *p, const char *const *keys, size_t n_keys)
{
	struct dictionary *d;
	struct window w;
	struct profile *less;
	struct profile_label *labels = calloc(p->n_samples * n_keys + 1, sizeof(*labels)), *at = labels;

	for (size_t i = 0; i < p->n_samples; i++) {
		struct profile_sample *s = &p->samples[i];
		struct profile_label *begin = at;
		for (uint32_t k = 0; k < s->n_labels; k++)
			for (size_t key = 0; key < n_keys; key++)
				if (strcmp(profile_string(p, p->labels[s->first_label + k].key), keys[key]) == 0)
					*at++ = p->labels[s->first_label + k];
		s->first_label = (uint32_t)(begin - labels);
		s->n_labels = (uint32_t)(at - begin);
	}
	free(p->labels);
	p->labels = labels;
	p->n_labels = (size_t)(at - labels);
	assert_int_equal(dictionary_create(&d), 0);
	assert_int_equal(window_from_profile(&w, d, p), 0);
	assert_int_equal(window_to_profile(&w, d, &less), 0);
	char *text = profile_text(less);
	profile_free(less);
	window_deinit(&w);
	dictionary_destroy(d);
	return text;
}

static void assert_keeps(struct fixture *f, struct store_filter filter, const char *const *keys, size_t n_keys)
{
	struct profile *all = sum_of(f, &filter);
	char *wanted = text_with(all, keys, n_keys);

	filter.keep = keys;
	filter.n_keep = n_keys;
	struct profile *sum = sum_of(f, &filter);
	char *text = profile_text(sum);
	assert_string_equal(text, wanted);
	assert_true(sum->n_samples <= all->n_samples);
	profile_free(all);
	profile_free(sum);
	free(text);
	free(wanted);
}

static bool odd_pid(void *context, const struct store_label *labels, size_t n)
{
	++*(size_t *)context;
	for (size_t i = 0; i < n; i++)
		if (strcmp(labels[i].key, "pid") == 0)
			return (labels[i].text[strlen(labels[i].text) - 1] - '0') % 2;
	return false;
}

static void keeps_some_labels(void **state)
{
	struct fixture *f = *state;
	const char *const process[] = {"process"}, *const two[] = {"pid", "process"}, *const missing[] = {"no such"};
	size_t asked = 0;
	struct store_filter filter = {0}, one = {.labels = {{"process", "app1"}}, .n_labels = 1},
			    odd = {.match = odd_pid, .match_context = &asked};

	for (int i = 0; i < 3; i++) {
		const struct store_filter *which = i == 0 ? &filter : i == 1 ? &one : &odd;
		assert_keeps(f, *which, process, 1);
		assert_keeps(f, *which, two, 2);
		assert_keeps(f, *which, two, 1);
		assert_keeps(f, *which, missing, 1);
		assert_keeps(f, *which, missing, 0);
	}
	assert_true(asked > 0);
}

/* A window of one stack, once for each pid (0: without the label), all of one process. */
static void append_pids(struct store *store, int64_t time_ns, const int *pids, size_t n)
{
	struct profile_builder *b;
	struct profile *window;
	struct why why;
	uint64_t number;

	assert_int_equal(profile_builder_create(&b), 0);
	profile_builder_sample_type(b, "samples", "count");
	profile_builder_time(b, time_ns, STORE_FIXTURE_WINDOW_NS);
	uint32_t location = sample_location(b, PROFILE_NONE, 0x1000, "main", NULL);
	for (size_t i = 0; i < n; i++) {
		struct profile_label labels[] = {{.key = sample_string(b, "process"), .str = sample_string(b, "app")}, {.key = sample_string(b, "pid"), .num = pids[i]}};
		assert_true(profile_builder_sample(b, &location, 1, labels, pids[i] ? 2 : 1, (int64_t[]){1}) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &window), 0);
	assert_int_equal(store_append(store, window, &number, &why), 0);
	profile_free(window);
	profile_builder_destroy(b);
}

/* In one segment samples with and without the label that goes, and those that are filtered out, meet what they become in another one. */
static void labels_that_become_equal(void **state)
{
	static const int pids[][3] = {{1, 0, 2}, {0, 1, 2}, {2, 1, 0}};
	struct fixture *f = *state;
	struct store_fixture *small = store_fixture_empty();
	struct store_options options = {.bytes_max = 64u << 20};
	struct store_reader *reader;
	struct store *store;
	const char *const process[] = {"process"};
	struct store_filter filter = {.keep = process, .n_keep = 1, .labels = {{"pid", "1"}}};
	struct profile *sum;

	assert_int_equal(store_open(small->folder, &options, &store, &f->why), 0);
	for (int64_t hour = 0; hour < 72; hour++)
		append_pids(store, STORE_FIXTURE_BEGIN_NS + hour * 3600 * (int64_t)NS_PER_S, pids[hour / 24], 3);
	struct store_stats stats;
	store_stats(store, &stats);
	assert_in_range(stats.segments, 2, 4);
	store_close(store);
	assert_int_equal(store_reader_open(small->folder, &reader, &f->why), 0);
	for (size_t n_labels = 0; n_labels < 2; n_labels++) {
		filter.n_labels = n_labels;
		for (size_t n_keep = 0; n_keep < 2; n_keep++) {
			filter.n_keep = n_keep;
			assert_int_equal(store_reader_sum(reader, &filter, &sum, &f->why), 0);
			assert_int_equal(sum->n_samples, 1);
			assert_int_equal(sum->values[0], n_labels ? 72 : 216);
			profile_free(sum);
		}
	}
	store_reader_close(reader);
	store_fixture_destroy(small);
}

static void a_sample_without_a_label(void **state)
{
	struct fixture *f = *state;
	struct store_filter filter = {.labels = {{"process", ""}}, .n_labels = 1};
	struct profile *sum = sum_of(f, &filter);

	assert_int_equal(sum->n_samples, 0);
	profile_free(sum);
	filter.labels[0].key = "no such";
	sum = sum_of(f, &filter);
	assert_int_equal(profile_total(sum, 0), f->store->samples);
	profile_free(sum);
}

struct seen {
	int64_t total, app1;
	size_t n, end_at;
	int64_t rest;
};

static int see_total(void *context, const struct store_label_total *total)
{
	struct seen *seen = context;

	assert_true(total->n >= 2);
	seen->total += total->value;
	for (size_t i = 0; i < total->n; i++)
		if (strcmp(total->labels[i].key, "process") == 0 && strcmp(total->labels[i].text, "app1") == 0)
			seen->app1 += total->value;
	return ++seen->n == seen->end_at ? 7 : 0;
}

static void totals_by_labels(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {0}, one = {0}, end = {.end_at = 3};
	struct store_filter filter = {0};

	assert_int_equal(store_reader_labels(f->reader, &filter, see_total, &seen, &f->why), 0);
	assert_int_equal(seen.total, f->store->samples * store_fixture_host.period);
	filter.type = "samples";
	assert_int_equal(store_reader_labels(f->reader, &filter, see_total, &one, &f->why), 0);
	assert_int_equal(one.total, f->store->samples);
	one = (struct seen){0};
	filter = (struct store_filter){.labels = {{"process", "app1"}}, .n_labels = 1};
	assert_int_equal(store_reader_labels(f->reader, &filter, see_total, &one, &f->why), 0);
	assert_int_equal(one.total, seen.app1);
	assert_true(one.total > 0);
	assert_int_equal(store_reader_labels(f->reader, &filter, see_total, &end, &f->why), 7);
	assert_int_equal(end.n, 3);
	filter = (struct store_filter){.type = "no such"};
	seen = (struct seen){0};
	assert_int_equal(store_reader_labels(f->reader, &filter, see_total, &seen, &f->why), 0);
	assert_int_equal(seen.n, 0);
}

static int see_type(void *context, const struct store_type *type)
{
	size_t *n = context;

	assert_string_equal(type->type, *n % 2 ? "cpu" : "samples");
	assert_string_equal(type->unit, *n % 2 ? "nanoseconds" : "count");
	assert_string_equal(type->period_type, "cpu");
	assert_int_equal(type->is_default, *n % 2);
	++*n;
	return 0;
}

static void sample_types(void **state)
{
	struct fixture *f = *state;
	size_t n = 0;

	assert_int_equal(store_reader_types(f->reader, &(struct store_filter){0}, see_type, &n, &f->why), 0);
	assert_int_equal(n, 2);
	assert_int_equal(store_reader_types(f->reader, &(struct store_filter){.to_ns = 5}, see_type, &n, &f->why), 0);
	assert_int_equal(n, 2);
}

static int see_row(void *context, const struct store_bucket *bucket)
{
	struct seen *seen = context;

	seen->total += bucket->value;
	if (!bucket->label)
		seen->rest += bucket->value;
	else if (strcmp(bucket->label, "app1") == 0 || strncmp(bucket->label, "app1\n", 5) == 0)
		seen->app1 += bucket->value;
	seen->n++;
	return 0;
}

static void time_lines_by_labels(void **state)
{
	struct fixture *f = *state;
	const char *const keys[] = {"process", "pid"}, *const only[] = {"app1"};
	struct store_filter filter = {.from_ns = f->store->from_ns, .to_ns = f->store->to_ns};
	struct store_rows rows = {.keys = keys, .n_keys = 1, .n_buckets = 50};
	int64_t total = f->store->samples * store_fixture_host.period;
	struct seen all = {0}, pairs = {0}, some = {0};

	assert_int_equal(store_reader_timeline_by(f->reader, &filter, &rows, see_row, &all, &f->why), 0);
	assert_int_equal(all.total, total);
	assert_int_equal(all.rest, 0);
	rows.n_keys = 2;
	assert_int_equal(store_reader_timeline_by(f->reader, &filter, &rows, see_row, &pairs, &f->why), 0);
	assert_int_equal(pairs.total, total);
	assert_int_equal(pairs.app1, all.app1);
	assert_true(pairs.n > all.n);
	rows.values_max = 50 * 20;
	assert_int_equal(store_reader_timeline_by(f->reader, &filter, &rows, see_row, &pairs, &f->why), -E2BIG);
	rows = (struct store_rows){.keys = keys, .n_keys = 1, .n_buckets = 50, .only = only, .n_only = 1};
	assert_int_equal(store_reader_timeline_by(f->reader, &filter, &rows, see_row, &some, &f->why), 0);
	assert_int_equal(some.total, total);
	assert_int_equal(some.app1, all.app1);
	assert_int_equal(some.rest, total - all.app1);
	filter.type = "samples";
	some = (struct seen){0};
	assert_int_equal(store_reader_timeline_by(f->reader, &filter, &rows, see_row, &some, &f->why), 0);
	assert_int_equal(some.total, f->store->samples);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keeps_some_labels),	TEST(labels_that_become_equal), TEST(a_sample_without_a_label), TEST(totals_by_labels),
		TEST(sample_types),		TEST(time_lines_by_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
