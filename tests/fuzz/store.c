/* What a segment's rows hold, unpacked: two bytes of length, that much of a dictionary, a window. What is taken must be whole, come back the same, and add up. */
#include <errno.h>
#include <string.h>

#include "store/summing.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX 12288 /* n bytes can say n^2 frames */
#define NUMBER	  1

static uint64_t total(const struct profile *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->n_samples * p->n_sample_types; i++)
		sum += (uint64_t)p->values[i];
	return sum;
}

static void check_string(const struct profile *p, profile_str string)
{
	PROMISE(string < p->n_strings && p->strings[string][p->string_lengths[string]] == '\0');
}

static void check_frame(const struct profile *p, uint32_t location)
{
	PROMISE(location < p->n_locations);
	const struct profile_location *l = &p->locations[location];
	PROMISE(l->mapping == PROFILE_NONE || l->mapping < p->n_mappings);
	PROMISE(l->n_lines <= p->n_lines && l->first_line <= p->n_lines - l->n_lines);
	for (uint32_t i = 0; i < l->n_lines; i++) {
		PROMISE(p->lines[l->first_line + i].function < p->n_functions);
		check_string(p, p->functions[p->lines[l->first_line + i].function].name);
	}
}

static void check_profile(const struct profile *p)
{
	for (uint32_t i = 0; i < p->n_locations; i++)
		check_frame(p, i);
	for (size_t i = 0; i < p->n_mappings; i++)
		check_string(p, p->mappings[i].filename);
	for (size_t i = 0; i < p->n_samples; i++) {
		const struct profile_sample *s = &p->samples[i];
		for (uint32_t k = 0; k < s->n_locations; k++)
			PROMISE(p->stack_locations[s->first_location + k] < p->n_locations);
		for (uint32_t k = 0; k < s->n_labels; k++) {
			check_string(p, p->labels[s->first_label + k].key);
			check_string(p, p->labels[s->first_label + k].str);
		}
	}
}

static struct dictionary *decode(const uint8_t *bytes, size_t n)
{
	struct dictionary *d;

	PROMISE(dictionary_create(&d) == 0);
	struct dictionary_counts begin = d->n;
	int err = dictionary_decode(d, bytes, n);
	if (err == 0)
		return d;
	PROMISE(err == -EBADMSG || err == -E2BIG);
	PROMISE(memcmp(&d->n, &begin, sizeof(begin)) == 0);
	dictionary_destroy(d);
	return NULL;
}

static void encode(const struct dictionary *d, struct packing *out)
{
	struct dictionary *empty;

	PROMISE(dictionary_create(&empty) == 0);
	dictionary_encode(d, &empty->n, &d->n, out);
	PROMISE(!out->failed);
	dictionary_destroy(empty);
}

static void check_dictionary(const struct dictionary *d)
{
	struct packing once = {0}, again = {0};

	encode(d, &once);
	struct dictionary *copy = decode(once.bytes, once.n);
	PROMISE(copy);
	encode(copy, &again);
	PROMISE(once.n == again.n && memcmp(once.bytes, again.bytes, once.n) == 0);
	dictionary_destroy(copy);
	packing_deinit(&once);
	packing_deinit(&again);
}

/* As two segments that are alike: a sample may stay twice where the dictionary had something twice, but nothing is lost. */
static void check_sum(const struct window *w, const uint8_t *bytes, size_t n, const struct profile *alone)
{
	struct summing *s;
	struct profile *p;

	PROMISE(summing_create(&s) == 0);
	for (int i = 0; i < 2; i++) {
		struct dictionary *d = decode(bytes, n);
		PROMISE(d && summing_begin(s, d) == 0);
		PROMISE(summing_add(s, w, NULL, w->account) == 0);
		PROMISE(summing_end(s, &d) == 0);
		dictionary_destroy(d);
	}
	int err = summing_finish(s, &p);
	PROMISE(err == 0 || err == -E2BIG);
	if (err == 0) {
		check_profile(p);
		PROMISE(p->n_samples <= 2 * alone->n_samples);
		/* A shape whose strings are there twice may seem another one the second time: then it was left out, and is said to be. */
		PROMISE(total(p) == 2 * total(alone) || (p->n_comments && total(p) == total(alone)));
		profile_free(p);
	}
	summing_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct window w = {.head.number = NUMBER};
	struct profile *p;

	if (n < 2 || n > INPUT_MAX)
		return 0;
	size_t bytes = data[0] | (size_t)data[1] << 8, rest;
	bytes = bytes < n - 2 ? bytes : n - 2;
	rest = n - 2 - bytes;
	uint8_t *dictionary = fuzz_copy(data + 2, bytes), *samples = fuzz_copy(data + 2 + bytes, rest);
	struct dictionary *d = decode(dictionary, bytes);
	if (d)
		check_dictionary(d);
	int err = window_unpack(&w, samples, rest);
	PROMISE(err == 0 || err == -EBADMSG);
	if (d && err == 0 && window_fits(&w, &d->n)) {
		PROMISE(window_to_profile(&w, d, &p) == 0);
		check_profile(p);
		check_sum(&w, dictionary, bytes, p);
		profile_free(p);
	}
	window_deinit(&w);
	dictionary_destroy(d);
	free(dictionary);
	free(samples);
	return 0;
}
