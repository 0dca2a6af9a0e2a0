/* web/request_target.c and request_guard.c: what strangers write into a request's head. */
#include "web/request_guard.h"
#include "web/request_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static void targets_are_taken_apart(void **state)
{
	struct request_target t;

	(void)state;
	assert_int_equal(request_target_parse("/api/v1/flame?from=-1h&match=process%3Anginx&match=a+b&x&=y&&z=", &t), 0);
	assert_string_equal(t.path, "/api/v1/flame");
	assert_int_equal(t.n_parameters, 6);
	assert_string_equal(t.parameters[0].key, "from");
	assert_string_equal(t.parameters[0].value, "-1h");
	assert_string_equal(t.parameters[1].value, "process:nginx");
	assert_string_equal(t.parameters[2].value, "a b");
	assert_string_equal(t.parameters[3].key, "x");
	assert_string_equal(t.parameters[3].value, "");
	assert_string_equal(t.parameters[4].key, "");
	assert_string_equal(t.parameters[4].value, "y");
	assert_string_equal(t.parameters[5].value, "");
	assert_string_equal(request_parameter(&t, "match"), "process:nginx");
	assert_null(request_parameter(&t, "y"));
	request_target_deinit(&t);
	assert_int_equal(request_target_parse("/%2e%2E/a+b?c=%E2%82%AC%25", &t), 0);
	assert_string_equal(t.path, "/../a+b");
	assert_string_equal(t.parameters[0].value, "\xe2\x82\xac%");
	request_target_deinit(&t);
	assert_int_equal(request_target_parse("/?", &t), 0);
	assert_string_equal(t.path, "/");
	assert_int_equal(t.n_parameters, 0);
	request_target_deinit(&t);
}

static void targets_are_refused(void **state)
{
	static const char *const BAD[] = {"",	       "*",	     "http://a/",  "api",	    "/%",	 "/%1",	       "/%g0",	    "/a%",	   "/?a=%",
					  "/?a=%1",    "/?%=1",	     "/%00",	   "/?a=%00",	    "/?a=%0a",	 "/?a=%0D",    "/%1b[31m",  "/?a=%c3%28",  "/?a=\xff",
					  "/?a=%ed%a0%80", "/#x",    "/?a=%e2%80%ae", "/?a=\t"};
	char *text = malloc(TARGET_BYTES_MAX + 2);
	struct request_target t = {.text = NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(request_target_parse(BAD[i], &t), -EBADMSG);
	memset(text, 'a', TARGET_BYTES_MAX + 1);
	text[0] = '/';
	text[TARGET_BYTES_MAX + 1] = '\0';
	assert_int_equal(request_target_parse(text, &t), -E2BIG);
	text[TARGET_BYTES_MAX] = '\0';
	assert_int_equal(request_target_parse(text, &t), 0);
	request_target_deinit(&t);
	strcpy(text, "/?");
	for (size_t i = 0; i < TARGET_PARAMETERS_MAX; i++)
		strcat(text, "a&");
	assert_int_equal(request_target_parse(text, &t), 0);
	request_target_deinit(&t);
	strcat(text, "a");
	assert_int_equal(request_target_parse(text, &t), -E2BIG);
	free(text);
}

static void forms_are_taken_apart(void **state)
{
	static const char FORM[] = "token=a%2Bb+c&x=1";
	struct request_target t;
	char *large = calloc(1, TARGET_BYTES_MAX + 1);

	(void)state;
	assert_int_equal(request_form_parse(FORM, strlen(FORM), &t), 0);
	assert_string_equal(request_parameter(&t, "token"), "a+b c");
	request_target_deinit(&t);
	/* Not a byte more. */
	assert_int_equal(request_form_parse(FORM, 7, &t), 0);
	assert_string_equal(request_parameter(&t, "token"), "a");
	request_target_deinit(&t);
	assert_int_equal(request_form_parse(NULL, 0, &t), 0);
	request_target_deinit(&t);
	assert_int_equal(request_form_parse("a=%4", 4, &t), -EBADMSG);
	assert_int_equal(request_form_parse("a=\0b", 4, &t), -EBADMSG);
	assert_int_equal(request_form_parse(large, TARGET_BYTES_MAX + 1, &t), -E2BIG);
	free(large);
}

static void hosts(void **state)
{
	static const char *const NAMES[] = {"profiles.example.com"};
	static const char *const GOOD[] = {"localhost", "localhost:7117", "LOCALHOST:1", "localhost:", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:7117", "[0:0::1]",
					   "Profiles.Example.com:443"};
	static const char *const BAD[] = {"", ":80", "localhost.", "localhost:8a", "localhost:80:80", "evil.example.com", "127.0.0.1.evil.com", "127.0.0.2",
					  "[::2]", "[::1", "[::1]x", "::1", "[localhost]", "0x7f000001", "2130706433", "profiles.example.com.evil.com", "10.0.0.1", "localhost /", "@localhost"};
	char long_name[400];

	(void)state;
	for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++)
		assert_true(guard_host(GOOD[i], NAMES, 1, false));
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_false(guard_host(BAD[i], NAMES, 1, false));
	assert_false(guard_host(NULL, NAMES, 1, true));
	assert_true(guard_host("10.0.0.1:7117", NAMES, 1, true));
	assert_true(guard_host("[fe80::1]:7117", NAMES, 1, true));
	assert_false(guard_host("evil.example.com", NAMES, 1, true));
	assert_false(guard_host("2130706433", NAMES, 1, true));
	memset(long_name, 'a', sizeof(long_name));
	long_name[399] = '\0';
	assert_false(guard_host(long_name, NAMES, 1, true));
}

static void origins(void **state)
{
	(void)state;
	assert_true(guard_origin(NULL, "localhost:7117"));
	assert_true(guard_origin("http://localhost:7117", "localhost:7117"));
	assert_true(guard_origin("https://LOCALHOST:7117", "localhost:7117"));
	assert_false(guard_origin("http://localhost:7118", "localhost:7117"));
	assert_false(guard_origin("http://localhost", "localhost:7117"));
	assert_false(guard_origin("null", "localhost:7117"));
	assert_false(guard_origin("", "localhost:7117"));
	assert_false(guard_origin("file://localhost:7117", "localhost:7117"));
	assert_false(guard_origin("http://localhost:7117/x", "localhost:7117"));
	assert_false(guard_origin("http://x", NULL));
	assert_true(guard_fetch(NULL, NULL, NULL, true));
	assert_true(guard_fetch("same-origin", "cors", "empty", false));
	assert_true(guard_fetch("none", "navigate", "document", true));
	assert_true(guard_fetch("cross-site", "navigate", "document", true));
	assert_false(guard_fetch("cross-site", "navigate", "document", false));
	assert_false(guard_fetch("cross-site", "navigate", "iframe", true));
	assert_false(guard_fetch("cross-site", "no-cors", "script", true));
	assert_false(guard_fetch("same-site", "cors", "empty", true));
	assert_false(guard_fetch("cross-site", NULL, NULL, true));
}

static void headers(void **state)
{
	static const char *const YES[] = {"gzip", "br, gzip", "gzip;q=0.5", "GZIP ; q=1", "a,gzip,b", "gzip;q=0.01"};
	static const char *const NO[] = {"", "br", "xgzip", "gzipx", "gzip;q=0", "gzip; q=0.000", "identity;q=1, *;q=0", "br;q=gzip"};
	size_t n = 99;

	(void)state;
	for (size_t i = 0; i < sizeof(YES) / sizeof(YES[0]); i++)
		assert_true(guard_accepts_gzip(YES[i]));
	for (size_t i = 0; i < sizeof(NO) / sizeof(NO[0]); i++)
		assert_false(guard_accepts_gzip(NO[i]));
	assert_false(guard_accepts_gzip(NULL));
	assert_string_equal(guard_bearer("bearer  x"), "x");
	assert_null(guard_bearer("Basic x"));
	assert_null(guard_bearer(NULL));
	const char *value = guard_cookie("a=1; hearth=abc ; b=2", "hearth", &n);
	assert_int_equal(n, 3);
	assert_memory_equal(value, "abc", 3);
	assert_null(guard_cookie("xhearth=1; hearthx=2; hearth", "hearth", &n));
	assert_null(guard_cookie(NULL, "hearth", &n));
	assert_non_null(guard_cookie(";;hearth=", "hearth", &n));
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_taken_apart), cmocka_unit_test(targets_are_refused), cmocka_unit_test(forms_are_taken_apart),
		cmocka_unit_test(hosts),		   cmocka_unit_test(origins),		  cmocka_unit_test(headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
