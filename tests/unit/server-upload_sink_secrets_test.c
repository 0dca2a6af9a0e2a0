#include "server-upload/sink_secrets.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static void no_secret_stays_in_a_text(void **state)
{
	static const struct {
		const char *text, *clean;
	} TEXTS[] = {
		{"bad token s3cr3t-t0k3n-abc!", "bad token *****************"},
		{"s3cr3t-t0k3n-abc!s3cr3t-t0k3n-abc!", "**********************************"},
		{"it was cut: s3cr3t-t0k", "it was cut: **********"},
		{"too short to tell: s3cr3t", "too short to tell: s3cr3t"},
		{"Basic dXNlcjpwYXNzd29yZA==", "Basic ********************"},
		{"the password is password", "the ******** is ********"},
		{"X-Key: 1234567", "X-Key: *******"},
		{"proxy proxypass", "proxy *********"},
		{"abc", "abc"},
		{"", ""},
	};
	struct sink_secrets secrets = {.bearer_token = strdup("s3cr3t-t0k3n-abc!"), .basic_password = strdup("password")};
	struct sink_config config = {.headers = {{(char *)"X-Key", (char *)"1234567"}, {(char *)"X-Tiny", (char *)"abc"}}, .n_headers = 2,
				     .basic_user = (char *)"user", .proxy = (char *)"http://me:proxypass@proxy:3128"};

	(void)state;
	for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
		char text[128];
		strcpy(text, TEXTS[i].text);
		sink_secrets_redact(&secrets, &config, text);
		assert_string_equal(text, TEXTS[i].clean);
	}
	sink_secrets_deinit(&secrets);
	assert_null(secrets.bearer_token);
	secret_free(NULL);
}

static void secrets_are_not_for_everybody(void **state)
{
	static const struct {
		const char *url;
		bool exposed;
	} URLS[] = {{"https://far.example", false},   {"http://far.example", true},	{"http://localhost:4040/x", false}, {"http://127.0.0.1:1", false},
		    {"http://127.9.9.9", false},      {"http://[::1]:4040", false},	{"http://127.0.0.1.evil.example", true}, {"http://localhost.evil", true},
		    {"http://[::1].evil", true},      {"http://10.0.0.1", true},	{"http://127.0.0.1@evil.example", true}, {"", true}};
	struct sink_secrets none = {0}, token = {.bearer_token = (char *)"x"}, password = {.basic_password = (char *)"x"}, certificates = {.ca = (char *)"x"};
	struct sink_config config = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(URLS) / sizeof(URLS[0]); i++) {
		config = (struct sink_config){.url = (char *)(uintptr_t)URLS[i].url};
		assert_false(sink_secrets_exposed(&none, &config));
		assert_false(sink_secrets_exposed(&certificates, &config));
		assert_int_equal(sink_secrets_exposed(&token, &config), URLS[i].exposed);
		assert_int_equal(sink_secrets_exposed(&password, &config), URLS[i].exposed);
		config.headers[0] = (struct sink_pair){(char *)"AUTHORIZATION", (char *)"x"};
		config.n_headers = 1;
		assert_int_equal(sink_secrets_exposed(&none, &config), URLS[i].exposed);
		config.insecure_http_auth = true;
		assert_false(sink_secrets_exposed(&token, &config));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_secret_stays_in_a_text), cmocka_unit_test(secrets_are_not_for_everybody)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
