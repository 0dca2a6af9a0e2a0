#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/scope.h"
#include "pprof/decode.h"
#include "pprof/encode.h"
#include "pprof/render.h"
#include "tests/unit/sample_profile.h"

static char *as_folded(const struct profile *profile)
{
	char *text = NULL;
	size_t bytes;
	FILE *stream = open_memstream(&text, &bytes);

	assert_int_equal(profile_write_folded(profile, PROFILE_NONE, stream), 0);
	fclose(stream);
	return text;
}

/* Decompress what the encoder wrote. */
static size_t plain_of(const uint8_t *bytes, size_t n, uint8_t *plain, size_t plain_bytes)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (unsigned int)n, .next_out = plain,
		      .avail_out = (unsigned int)plain_bytes};

	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	return z.total_out;
}

static void round_trip(void **state)
{
	struct profile *profile = sample_profile(), *again;
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n;

	(void)state;
	assert_int_equal(profile_encode(profile, &bytes, &n), 0);
	assert_true(n > 2 && bytes[0] == 0x1f && bytes[1] == 0x8b);
	assert_int_equal(profile_decode(bytes, n, 0, &again, NULL), 0);
	AUTO_FREE char *before = as_folded(profile);
	AUTO_FREE char *after = as_folded(again);
	assert_string_equal(before, after);
	assert_int_equal(again->time_ns, profile->time_ns);
	assert_int_equal(again->duration_ns, profile->duration_ns);
	assert_int_equal(again->period, profile->period);
	assert_int_equal(again->n_comments, 1);
	assert_string_equal(profile_string(again, again->comments[0]), "ticks=42 samples=42");
	assert_string_equal(profile_string(again, again->default_sample_type), "cpu");
	assert_int_equal(again->n_mappings, 2);
	assert_int_equal(again->mappings[0].file_offset, 0x1000);
	assert_string_equal(profile_string(again, again->mappings[0].build_id), "abcdef0123456789");
	assert_true(again->mappings[0].has_functions);
	assert_int_equal(again->labels[0].num, 77);
	assert_int_equal(profile_total(again, 1), profile_total(profile, 1));
	profile_free(profile);
	profile_free(again);
}

/* A message written by hand, in the ways that other producers write: ids that are sparse and out of order, values not packed, fields
 * that are not known, the string table last. */
static void other_producers(void **state)
{
	static const uint8_t FILE_BYTES[] = {
		0x0a, 0x04, 0x08, 1, 0x10, 2,		   /* sample_type {1, 2} */
		0x12, 0x07, 0x08, 0xc8, 0x01, 0x08, 9, 0x10, 5, /* sample {location 200, location 9, value 5}: unpacked */
		0x22, 0x09, 0x08, 0xc8, 0x01, 0x22, 0x04, 0x08, 0x4d, 0x10, 3, /* location {200, line {function 77, line 3}} */
		0x22, 0x04, 0x08, 9, 0x18, 0x2a,	   /* location {9, address 42} */
		0x2a, 0x04, 0x08, 0x4d, 0x10, 3,	   /* function {77, name 3} */
		0xa2, 0x06, 0x02, 'h', 'i',		   /* field 100: not known */
		0x32, 0, 0x32, 1, 'a', 0x32, 1, 'b', 0x32, 1, 'c', /* strings "", a, b, c */
	};
	struct profile *profile;
	const char *why = "";

	(void)state;
	assert_int_equal(profile_decode(FILE_BYTES, sizeof(FILE_BYTES), 0, &profile, &why), 0);
	AUTO_FREE char *text = as_folded(profile);
	assert_string_equal(text, "0x2a;c 5\n");
	profile_free(profile);
}

static void refused(const uint8_t *bytes, size_t n, int err, const char *words)
{
	struct profile *profile = NULL;
	const char *why = "";

	assert_int_equal(profile_decode(bytes, n, 0, &profile, &why), err);
	assert_null(profile);
	assert_non_null(strstr(why, words));
}

#define REFUSED(words, ...)                                                                                            \
	do {                                                                                                           \
		static const uint8_t bytes_[] = {__VA_ARGS__};                                                         \
		refused(bytes_, sizeof(bytes_), -EBADMSG, words);                                                      \
	} while (0)

static void says_what_is_wrong(void **state)
{
	(void)state;
	REFUSED("string table", 0x0a, 0);
	REFUSED("string table", 0x32, 1, 'a');
	REFUSED("value type", 0x32, 0, 0x0a, 2, 0x08, 7);
	REFUSED("mapping's id", 0x32, 0, 0x1a, 0);
	REFUSED("mapping's id", 0x32, 0, 0x1a, 2, 8, 1, 0x1a, 2, 8, 1);
	REFUSED("mapping names", 0x32, 0, 0x1a, 4, 8, 1, 0x28, 9);
	REFUSED("function's id", 0x32, 0, 0x2a, 0);
	REFUSED("function names", 0x32, 0, 0x2a, 4, 8, 1, 0x10, 9);
	REFUSED("mapping that is not there", 0x32, 0, 0x22, 4, 8, 1, 0x10, 5);
	REFUSED("function that is not there", 0x32, 0, 0x22, 6, 8, 1, 0x22, 2, 8, 5);
	REFUSED("as many values", 0x32, 0, 0x12, 2, 0x10, 5);
	REFUSED("location that is not there", 0x32, 0, 0x0a, 0, 0x12, 4, 0x08, 1, 0x10, 5);
	REFUSED("label names", 0x32, 0, 0x12, 4, 0x1a, 2, 8, 9);
	REFUSED("comment", 0x32, 0, 0x68, 4);
	REFUSED("names a string", 0x32, 0, 0x70, 4);
	REFUSED("damaged", 0xff, 0xff, 0xff);
	REFUSED("gzip", 0x1f, 0x8b, 8, 0, 0);
}

/* Cut off at every byte, and with seeded damage in the plain message: an error or a profile, never a crash. */
static void survives_damage(void **state)
{
	struct profile *profile = sample_profile(), *out;
	AUTO_FREE uint8_t *bytes = NULL;
	static uint8_t plain[65536], copy[65536];
	size_t n;

	(void)state;
	assert_int_equal(profile_encode(profile, &bytes, &n), 0);
	for (size_t i = 0; i < n; i++)
		assert_true(profile_decode(bytes, i, 0, &out, NULL) < 0);
	size_t n_plain = plain_of(bytes, n, plain, sizeof(plain));
	srand(11);
	for (int round = 0; round < 20000; round++) {
		size_t length = round % 3 ? n_plain : (size_t)rand() % n_plain;
		memcpy(copy, plain, n_plain);
		for (int i = 0; i < 1 + round % 4; i++)
			copy[(size_t)rand() % n_plain] = (uint8_t)rand();
		if (profile_decode(copy, length, 0, &out, NULL) == 0) {
			free(as_folded(out));
			profile_free(out);
		}
	}
	profile_free(profile);
}

static void a_bomb_ends_at_the_limit(void **state)
{
	enum { PLAIN = 8 << 20 };
	AUTO_FREE uint8_t *plain = calloc(1, PLAIN);
	AUTO_FREE uint8_t *bomb = malloc(PLAIN);
	z_stream z = {.next_in = plain, .avail_in = PLAIN, .next_out = bomb, .avail_out = PLAIN};
	struct profile *profile;
	const char *why;

	(void)state;
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	assert_true(z.total_out < 16384);
	assert_int_equal(profile_decode(bomb, z.total_out, 1 << 20, &profile, &why), -E2BIG);
	assert_non_null(strstr(why, "too large"));
	assert_int_equal(profile_decode(plain, PLAIN, 1 << 20, &profile, &why), -E2BIG);
}

/* Several gzip members are one file, as `cat` makes them; protobuf messages behind each other are one message. */
static void members_of_gzip(void **state)
{
	struct profile *profile = sample_profile(), *twice;
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n;

	(void)state;
	assert_int_equal(profile_encode(profile, &bytes, &n), 0);
	AUTO_FREE uint8_t *both = malloc(n + 20);
	/* An empty member in front. */
	static const uint8_t EMPTY[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	memcpy(both, EMPTY, sizeof(EMPTY));
	memcpy(both + sizeof(EMPTY), bytes, n);
	assert_int_equal(profile_decode(both, n + sizeof(EMPTY), 0, &twice, NULL), 0);
	assert_int_equal(profile_total(twice, 0), 42);
	profile_free(twice);
	profile_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),	       cmocka_unit_test(other_producers),
		cmocka_unit_test(says_what_is_wrong),  cmocka_unit_test(survives_damage),
		cmocka_unit_test(a_bomb_ends_at_the_limit), cmocka_unit_test(members_of_gzip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
