#include "cmocka_prelude.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "symbolizer/name_text.h"
#include "symbolizer/text_cache.h"

#define TEXTS 3000
#define TEXT_MAX 8192

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((*seed >> 33) % below);
}

/* Names that resemble mangled ones, some random bytes, some very long. */
static void add_texts(struct name_strings *strings, uint64_t seed)
{
	static const char *const parts[] = {"St6vector", "IiSaIiEE", "NSt7__cxx1112basic_string", "IcSt11char_traitsIcESaIcEE", "allocator", "push_back", "RKT_", "EEEvT_"};
	char *text = malloc(TEXT_MAX + 100);

	assert_non_null(text);
	for (int i = 0; i < TEXTS; i++) {
		size_t n = (size_t)sprintf(text, "_ZN%d", i), most = i % 100 ? 200 : TEXT_MAX;
		while (n < most - 100 && draw(&seed, 12)) {
			if (draw(&seed, 5))
				n += (size_t)sprintf(text + n, "%s", parts[draw(&seed, 8)]);
			else
				for (uint32_t k = draw(&seed, 70); k; k--)
					text[n++] = (char)(1 + draw(&seed, 255));
		}
		for (; i % 500 == 499 && n < TEXT_MAX; n++)
			text[n] = (char)('a' + n % 26);
		assert_true(name_strings_add(strings, text, n) >= 0);
	}
	free(text);
}

struct fixture {
	struct name_memory memory;
	struct name_strings strings;
	struct text_packer *packer;
	const uint8_t *dictionary;
	size_t n_dictionary;
};

static void open_fixture(struct fixture *f, uint64_t seed, bool has_texts)
{
	*f = (struct fixture){.memory = {.limit = 64 << 20}};
	assert_int_equal(name_strings_init(&f->strings, &f->memory), 0);
	if (has_texts)
		add_texts(&f->strings, seed);
	AUTO_FREE uint32_t *order = malloc(f->strings.n * sizeof(*order));
	for (size_t i = 0; i < f->strings.n; i++)
		order[i] = (uint32_t)i;
	assert_int_equal(text_packer_create(&f->strings, order, f->strings.n, &f->packer), 0);
	f->dictionary = text_packer_dictionary(f->packer, &f->n_dictionary);
}

static void close_fixture(struct fixture *f)
{
	text_packer_destroy(f->packer);
	name_strings_deinit(&f->strings);
}

static void packs_and_unpacks(void **state)
{
	uint8_t packed[NAME_TEXT_PACKED_MAX(TEXT_MAX + 100)];
	char out[TEXT_MAX + 100 + 1 + NAME_TEXT_SLACK];
	(void)state;

	for (uint64_t seed = 1; seed < 4; seed++) {
		size_t all = 0, all_packed = 0;
		struct fixture f;
		open_fixture(&f, seed, true);
		for (uint32_t i = 0; i < f.strings.n; i++) {
			size_t bytes, unpacked;
			const char *text = name_strings_text(&f.strings, i, &bytes);
			size_t n = text_pack(f.packer, text, bytes, packed);
			assert_true(n <= NAME_TEXT_PACKED_MAX(bytes));
			/* A copy of the bytes alone: what is read behind them is an error that the sanitizer sees. */
			AUTO_FREE uint8_t *alone = malloc(n);
			memcpy(alone, packed, n);
			const uint8_t *at = alone;
			assert_true(text_unpack_head(&at, alone + n, TEXT_MAX + 100, &unpacked));
			assert_int_equal(unpacked, bytes);
			assert_true(text_unpack(f.dictionary, f.n_dictionary, at, alone + n, out, bytes));
			assert_int_equal(memcmp(out, text, bytes + 1), 0);
			all += bytes;
			all_packed += n;
		}
		assert_true(f.n_dictionary > 0 && f.n_dictionary <= all / 8);
		assert_true(all_packed < all);
		close_fixture(&f);
	}
}

static void few_strings_have_no_dictionary(void **state)
{
	struct fixture f;
	uint8_t packed[64];
	(void)state;

	open_fixture(&f, 0, false);
	assert_int_equal(f.n_dictionary, 0);
	assert_int_equal(text_pack(f.packer, "", 0, packed), 1);
	assert_int_equal(text_pack(f.packer, "main", 4, packed), 6);
	close_fixture(&f);
	text_packer_destroy(NULL);
}

static void damage_is_refused(void **state)
{
	char out[64 + NAME_TEXT_SLACK];
	static const uint8_t dictionary[10] = "0123456789";
	static const struct {
		uint8_t bytes[8];
		size_t n, text;
	} bad[] = {
		{{0}, 0, 5},	     /* nothing there */
		{{4, 'a', 'b'}, 3, 5}, /* literals beyond the end */
		{{7, 1, 2, 3, 4, 5, 6, 7}, 8, 5}, /* more than said */
		{{64, 6, 0}, 3, 5}, /* a copy beyond the dictionary */
		{{64, 11, 0}, 3, 5},
		{{64, 1}, 2, 5}, /* no offset */
		{{66, 0, 0}, 3, 5}, /* a copy of more than said */
	};
	size_t bytes;
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_unpack(dictionary, sizeof(dictionary), bad[i].bytes, bad[i].bytes + bad[i].n, out, bad[i].text));
	static const uint8_t good[] = {64, 5, 0, 0, 'x'}, large[] = {0xff, 0xff, 0x7f}, endless[] = {0x80, 0x80, 0x80, 0x80, 0x80};
	assert_true(text_unpack(dictionary, sizeof(dictionary), good, good + sizeof(good), out, 6));
	assert_string_equal(out, "56789x");
	const uint8_t *at = large;
	assert_false(text_unpack_head(&at, large + sizeof(large), 8192, &bytes));
	at = endless;
	assert_false(text_unpack_head(&at, endless + sizeof(endless), SIZE_MAX, &bytes));
	at = endless;
	assert_false(text_unpack_head(&at, endless + 1, SIZE_MAX, &bytes));
}

static void texts_stay_where_they_are(void **state)
{
	struct text_cache *cache = NULL;
	static const char *places[5000];
	char text[32];
	(void)state;

	assert_int_equal(text_cache_create(1 << 20, &cache), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		size_t n = (size_t)snprintf(text, sizeof(text), "text %u", i);
		assert_null(text_cache_find(cache, i * 7));
		char *place = text_cache_add(cache, i * 7, n + 1);
		assert_non_null(place);
		memcpy(place, text, n + 1);
		places[i] = place;
	}
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "text %u", i);
		assert_ptr_equal(text_cache_find(cache, i * 7), places[i]);
		assert_string_equal(places[i], text);
	}
	text_cache_destroy(cache);
	text_cache_destroy(NULL);
}

static void texts_have_a_budget(void **state)
{
	struct text_cache *cache = NULL;
	(void)state;

	assert_int_equal(text_cache_create(200 << 10, &cache), 0);
	assert_null(text_cache_add(cache, 1, 300 << 10));
	assert_non_null(text_cache_add(cache, 1, 100 << 10));
	assert_non_null(text_cache_add(cache, 2, 100 << 10));
	assert_null(text_cache_add(cache, 3, 100));
	assert_non_null(text_cache_find(cache, 2));
	text_cache_destroy(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packs_and_unpacks),
		cmocka_unit_test(few_strings_have_no_dictionary),
		cmocka_unit_test(damage_is_refused),
		cmocka_unit_test(texts_stay_where_they_are),
		cmocka_unit_test(texts_have_a_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
