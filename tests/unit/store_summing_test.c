/* Sums over the dictionaries of several segments, beside the same windows in one dictionary. */
#include "store/summing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/store/profile_text.h"
#include "tests/store/replay.h"
#include "tests/unit/cmocka_prelude.h"

#define SEGMENTS 4
#define WINDOWS	 6 /* of a segment */

static const struct replay_options host = {.seed = 5, .processes = 9, .brief = 2, .ticks = 120, .depth = 14, .period = 1000, .branching = 30};

struct fixture {
	struct profile *windows[SEGMENTS * WINDOWS];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct replay *replay = replay_create(&host);

	assert_non_null(f);
	for (size_t i = 0; i < SEGMENTS * WINDOWS; i++)
		f->windows[i] = replay_window(replay, (int64_t)i * 10, 10);
	replay_destroy(replay);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SEGMENTS * WINDOWS; i++)
		profile_free(f->windows[i]);
	free(f);
	return 0;
}

/* As a segment has it: decoded, without an index. */
static struct dictionary *decoded(const struct dictionary *d)
{
	struct dictionary *copy;
	struct packing packed = {0};

	assert_int_equal(dictionary_create(&copy), 0);
	struct dictionary_counts begin = copy->n;
	dictionary_encode(d, &begin, &d->n, &packed);
	assert_int_equal(dictionary_decode(copy, packed.bytes, packed.n), 0);
	packing_deinit(&packed);
	return copy;
}

/* One segment of n windows; every: which of them are summed. */
static void add_segment(struct summing *s, struct profile *const *windows, size_t n, size_t every, bool with_places)
{
	struct dictionary *writer;
	struct window w[WINDOWS];

	assert_int_equal(dictionary_create(&writer), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(window_from_profile(&w[i], writer, windows[i]), 0);
	struct dictionary *d = decoded(writer);
	dictionary_destroy(writer);
	uint32_t *places = malloc((d->n.tables[DICTIONARY_SERIES] + 1) * sizeof(*places));
	for (uint32_t i = 0; i < d->n.tables[DICTIONARY_SERIES]; i++)
		places[i] = i;
	assert_int_equal(summing_begin(s, d), 0);
	for (size_t i = 0; i < n; i += every)
		assert_int_equal(summing_add(s, &w[i], with_places ? places : NULL, w[i].account), 0);
	assert_int_equal(summing_end(s, &d), 0);
	for (size_t i = 0; i < n; i++)
		window_deinit(&w[i]);
	dictionary_destroy(d);
	free(places);
}

static char *expected(struct profile *const *windows, size_t n, size_t every)
{
	struct dictionary *d;
	struct window sum = {0}, w;
	struct profile *profile;

	assert_int_equal(dictionary_create(&d), 0);
	for (size_t i = 0; i < n; i += every) {
		assert_int_equal(window_from_profile(i ? &w : &sum, d, windows[i]), 0);
		if (!i)
			continue;
		assert_int_equal(window_add(&sum, &w), 0);
		window_deinit(&w);
	}
	assert_int_equal(window_to_profile(&sum, d, &profile), 0);
	char *text = profile_text(profile);
	profile_free(profile);
	window_deinit(&sum);
	dictionary_destroy(d);
	return text;
}

static void assert_sum(struct fixture *f, size_t segments, size_t every, bool with_places)
{
	struct summing *s;
	struct profile *profile;

	assert_int_equal(summing_create(&s), 0);
	for (size_t i = 0; i < segments; i++)
		add_segment(s, &f->windows[i * WINDOWS], WINDOWS, every, with_places);
	assert_int_equal(summing_finish(s, &profile), 0);
	summing_destroy(s);
	char *wanted = expected(f->windows, segments * WINDOWS, every), *text = profile_text(profile);
	assert_string_equal(text, wanted);
	for (size_t i = 0; i < profile->n_strings; i++)
		assert_int_equal(strlen(profile->strings[i]), profile->string_lengths[i]);
	free(text);
	free(wanted);
	profile_free(profile);
}

static void one_segment(void **state)
{
	assert_sum(*state, 1, 1, false);
	assert_sum(*state, 1, WINDOWS, false); /* of a dictionary that has much more */
}

static void several_segments(void **state)
{
	assert_sum(*state, SEGMENTS, 1, false);
	assert_sum(*state, SEGMENTS, 3, false);
	assert_sum(*state, SEGMENTS, 1, true);
}

static void the_same_segment_again(void **state)
{
	struct fixture *f = *state;
	struct summing *s;
	struct profile *profile;

	/* All is known the second time: no sample more, each value twice. */
	assert_int_equal(summing_create(&s), 0);
	for (int i = 0; i < 2; i++)
		add_segment(s, f->windows, WINDOWS, 1, false);
	assert_int_equal(summing_finish(s, &profile), 0);
	summing_destroy(s);
	struct profile *twice[2 * WINDOWS];
	for (size_t i = 0; i < 2 * WINDOWS; i++)
		twice[i] = f->windows[i % WINDOWS];
	char *wanted = expected(twice, 2 * WINDOWS, 1), *text = profile_text(profile);
	assert_string_equal(text, wanted);
	free(text);
	free(wanted);
	profile_free(profile);
}

static void no_window(void **state)
{
	struct summing *s;
	struct profile *profile;

	(void)state;
	assert_int_equal(summing_create(&s), 0);
	assert_int_equal(summing_finish(s, &profile), -ENOENT);
	summing_destroy(s);
}

/* A small file can say that stacks branch off at each of 60,000 levels: their frames, written out, would be 2.7 * 10^9. */
static void too_many_frames(void **state)
{
	struct dictionary *d;
	struct window w = {.shape = {.n_types = 0}};
	struct profile *profile;
	const uint32_t depth = 60000;
	int64_t stack = 0;

	(void)state;
	assert_int_equal(dictionary_create(&d), 0);
	struct profile_location l = {.address = 1, .mapping = PROFILE_NONE};
	int64_t one = dictionary_location(d, &l, NULL), other;
	l.address = 2;
	other = dictionary_location(d, &l, NULL);
	w.series = malloc(2 * depth * sizeof(*w.series));
	for (uint32_t i = 0; i < depth; i++) {
		stack = dictionary_stack(d, (uint32_t)stack, (uint32_t)one);
		w.series[w.n++] = (uint32_t)dictionary_series(d, 0, (uint32_t)dictionary_stack(d, (uint32_t)stack, (uint32_t)other));
	}
	for (uint32_t i = 0; i < depth / 4; i++) {
		l.address = i + 3;
		uint32_t leaf = (uint32_t)dictionary_stack(d, (uint32_t)stack, (uint32_t)dictionary_location(d, &l, NULL));
		w.series[w.n++] = (uint32_t)dictionary_series(d, 0, leaf);
	}
	assert_int_equal(window_into_profile(&w, d, &profile), -E2BIG);
	window_deinit(&w);
	dictionary_destroy(d);
}

/* Stacks that come twice have one number, whether they continue the one before or not, and whatever was forgotten meanwhile. */
static void stacks_once(void **state)
{
	struct dictionary *d;
	struct profile_location l = {.mapping = PROFILE_NONE};
	struct dictionary_counts middle = {0};

	(void)state;
	assert_int_equal(dictionary_create(&d), 0);
	for (uint32_t i = 0; i < 50; i++) {
		l.address = i;
		assert_int_equal(dictionary_location(d, &l, NULL), i);
	}
	for (int round = 0; round < 3; round++) {
		uint32_t next = 1;
		for (uint32_t i = 0; i < 40; i++) {
			int64_t parent = dictionary_stack(d, 0, i);
			assert_int_equal(parent, next);
			for (uint32_t k = 0; k < 6; k++) /* the first continues it, others branch off */
				assert_int_equal(dictionary_stack(d, (uint32_t)parent, k), next + 1 + k);
			next += 7;
			if (round == 0 && i == 20)
				middle = d->n;
		}
		assert_int_equal(d->n.tables[DICTIONARY_STACKS], next);
		if (round == 0)
			dictionary_rollback(d, &middle);
	}
	dictionary_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_segment),	    cmocka_unit_test(several_segments), cmocka_unit_test(the_same_segment_again),
		cmocka_unit_test(no_window),	    cmocka_unit_test(too_many_frames),  cmocka_unit_test(stacks_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
