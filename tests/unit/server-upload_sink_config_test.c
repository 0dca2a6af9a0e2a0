#include "server-upload/sink_config.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/cmocka_prelude.h"

static void urls(void **state)
{
	static const struct {
		const char *text, *url;
		enum sink_kind kind;
	} GOOD[] = {
		{"pyroscope=http://p:4040", "http://p:4040", SINK_PYROSCOPE},
		{"pyroscope=p.example.com", "http://p.example.com:4040", SINK_PYROSCOPE},
		{"pyroscope=https://P.Example.com:443/some/Where//", "https://p.example.com/some/Where", SINK_PYROSCOPE},
		{"pyroscope=HTTP://p:80/", "http://p", SINK_PYROSCOPE},
		{"parca=p:7070", "http://p:7070", SINK_PARCA},
		{"parca=p", "http://p:7070", SINK_PARCA},
		{"parca=grpcs://p", "https://p:7070", SINK_PARCA},
		{"parca=https://p", "https://p", SINK_PARCA},
		{"parca=127.0.0.1:7", "http://127.0.0.1:7", SINK_PARCA},
		{"parca=[::1]:7070", "http://[::1]:7070", SINK_PARCA},
		{"otlp=http://c:4318", "http://c:4318", SINK_OTLP_HTTP},
		{"otlp=c", "http://c:4318", SINK_OTLP_HTTP},
		{"otlp=c:4317", "http://c:4317", SINK_OTLP_GRPC},
		{"otlp=https://c:4317/", "https://c:4317", SINK_OTLP_GRPC},
		{"otlp=grpc://c", "http://c:4317", SINK_OTLP_GRPC},
		{"otlp=grpcs://c:9999", "https://c:9999", SINK_OTLP_GRPC},
		{"http=https://h/in?a=b&c=d/", "https://h/in?a=b&c=d/", SINK_HTTP},
		{"http=h", "http://h", SINK_HTTP},
		{"http=http://[FE80::1]/", "http://[fe80::1]", SINK_HTTP},
		{"dir=/var/lib/profiles/", "/var/lib/profiles/", SINK_DIR},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
		struct sink_config sink;
		struct why why;
		if (sink_config_parse(GOOD[i].text, &sink, &why) != 0)
			fail_msg("%s: %s", GOOD[i].text, why.text);
		assert_string_equal(sink.url, GOOD[i].url);
		assert_int_equal(sink.kind, GOOD[i].kind);
		assert_string_equal(sink.name, "");
		sink_config_deinit(&sink);
	}
}

static void refused_urls(void **state)
{
	static const struct {
		const char *text, *why;
	} BAD[] = {
		{"", "KIND=URL"},
		{"http://p:4040", "KIND=URL"},
		{"loki=http://p", "'loki' is no kind"},
		{"Pyroscope=http://p", "no kind"},
		{"pyroscope=", "no host"},
		{"pyroscope=http://", "no host"},
		{"pyroscope=http:///x", "no host"},
		{"pyroscope=http://u:secret@p", "no user or password"},
		{"pyroscope=u@p", "no user or password"},
		{"pyroscope=grpc://p", "not spoken over gRPC"},
		{"pyroscope=ftp://p", "'ftp://' is none"},
		{"pyroscope=://p", "scheme"},
		{"pyroscope=averyveryverylongscheme://p", "scheme"},
		{"pyroscope=http://p:0", "no port"},
		{"pyroscope=http://p:", "no port"},
		{"pyroscope=http://p:65536", "no port"},
		{"pyroscope=http://p:123456789012", "no port"},
		{"pyroscope=http://p:8x", "no port"},
		{"pyroscope=http://p#x", "fragment"},
		{"pyroscope=http://p/?a", "no '?'"},
		{"pyroscope=http://p/a b", "character"},
		{"pyroscope=http://p\n", "character"},
		{"pyroscope=http://\xc3\xa9", "character"},
		{"pyroscope=http://p!", "no name of a host"},
		{"parca=p:7070/path", "no path"},
		{"otlp=grpc://p/path", "no path"},
		{"parca=[::1", "] is missing"},
		{"parca=[::1]x", "behind the host"},
		{"parca=[zz]:1", "no IPv6"},
		{"parca=[]:1", "no IPv6"},
		{"dir=relative", "no absolute path"},
		{"dir=", "no absolute path"},
		{"dir=/a\nb", "no absolute path"},
	};
	struct sink_config sink = {.n_labels = 77};
	char longer[3000] = "http=h/";
	struct why why;

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		assert_int_equal(sink_config_parse(BAD[i].text, &sink, &why), -EINVAL);
		if (!strstr(why.text, BAD[i].why) || strstr(why.text, "secret"))
			fail_msg("%s: %s", BAD[i].text, why.text);
	}
	memset(longer + 7, 'a', sizeof(longer) - 8);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(sink_config_parse(longer, &sink, &why), -EINVAL);
	memset(longer, 'a', 400);
	memcpy(longer, "http=", 5);
	longer[400] = '\0';
	assert_int_equal(sink_config_parse(longer, &sink, &why), -EINVAL);
	assert_non_null(strstr(why.text, "longer than 255"));
	/* A kind that was forgotten does not show the password behind it. */
	assert_int_equal(sink_config_parse("https://u:secret@h/?a=b", &sink, &why), -EINVAL);
	assert_null(strstr(why.text, "secret"));
	assert_int_equal(sink.n_labels, 77); /* untouched by failures */
}

static void open_sink(struct sink_config *sink, const char *text)
{
	struct why why;

	assert_int_equal(sink_config_parse(text, sink, &why), 0);
}

static void settings(void **state)
{
	static const struct {
		const char *key, *value;
	} ALL[] = {
		{"name", "main.1"}, {"labels.env", "prod"}, {"labels.team", "core"}, {"headers.X-Team", "core"}, {"tenant", "t1"},
		{"bearer_token_file", "/etc/t"}, {"basic_user", "u"}, {"basic_password_file", "/etc/p"}, {"ca_file", "/etc/ca"},
		{"cert_file", "/etc/c"}, {"key_file", "/etc/k"}, {"proxy", "http://proxy:3128"}, {"bytes_per_s", "2M"}, {"timeout", "1m"},
		{"series_max", "100"}, {"symbolize", "both"}, {"debuginfo_bytes_per_s", "8K"}, {"insecure_http_auth", "true"},
	};
	struct sink_config sink, other;
	struct why why;

	(void)state;
	open_sink(&sink, "pyroscope=https://p");
	open_sink(&other, "pyroscope=https://p");
	for (size_t i = 0; i < sizeof(ALL) / sizeof(ALL[0]); i++) {
		assert_true(sink_config_is_equal(&sink, &other));
		assert_int_equal(sink_config_set(&sink, ALL[i].key, ALL[i].value, &why), 0);
		assert_false(sink_config_is_equal(&sink, &other));
		assert_int_equal(sink_config_set(&other, ALL[i].key, ALL[i].value, &why), 0);
	}
	assert_string_equal(sink.name, "main.1");
	assert_int_equal(sink.n_labels, 2);
	assert_string_equal(sink.labels[0].name, "env");
	assert_string_equal(sink.labels[0].value, "prod");
	assert_string_equal(sink.headers[0].name, "X-Team");
	assert_string_equal(sink.tenant, "t1");
	assert_string_equal(sink.bearer_token_file, "/etc/t");
	assert_string_equal(sink.proxy, "http://proxy:3128");
	assert_int_equal(sink.bytes_per_s, 2 << 20);
	assert_int_equal(sink.timeout_s, 60);
	assert_int_equal(sink.series_max, 100);
	assert_int_equal(sink.symbolize, SYMBOLIZE_BOTH);
	assert_int_equal(sink.debuginfo_bytes_per_s, 8 << 10);
	assert_true(sink.insecure_http_auth);
	struct sink_config copy;
	assert_int_equal(sink_config_copy(&sink, &copy), 0);
	assert_true(sink_config_is_equal(&sink, &copy));
	assert_string_equal(copy.proxy, "http://proxy:3128");
	sink_config_deinit(&copy);
	/* Again: replaced, or taken out. */
	assert_int_equal(sink_config_set(&sink, "labels.env", "test", &why), 0);
	assert_int_equal(sink_config_set(&sink, "headers.x-team", "other", &why), 0);
	assert_int_equal(sink_config_set(&sink, "proxy", "", &why), 0);
	assert_int_equal(sink_config_set(&sink, "insecure_http_auth", "false", &why), 0);
	assert_string_equal(sink.labels[0].value, "test");
	assert_int_equal(sink.n_headers, 1);
	assert_string_equal(sink.headers[0].value, "other");
	assert_string_equal(sink.proxy, "");
	assert_int_equal(sink_config_set(&sink, "labels.env", "", &why), 0);
	assert_int_equal(sink_config_set(&sink, "labels.env", "", &why), 0);
	assert_int_equal(sink.n_labels, 1);
	assert_string_equal(sink.labels[0].name, "team");
	sink_config_deinit(&sink);
	sink_config_deinit(&other);
	sink_config_deinit(&other);
}

static void refused_settings(void **state)
{
	static const struct {
		const char *key, *value, *why;
	} BAD[] = {
		{"name", "", "no name of a sink"},
		{"name", "A", "no name of a sink"},
		{"name", "a/b", "no name of a sink"},
		{"name", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "no name of a sink"},
		{"labels.a-b", "x", "no name of a label"},
		{"labels.", "x", "no name of a label"},
		{"labels.__name__", "x", "no name of a label"},
		{"labels.a", "x\n", "control characters"},
		{"labels.a", "\xff", "control characters"},
		{"headers.", "x", "no name of a header"},
		{"headers.A B", "x", "no name of a header"},
		{"headers.A:B", "x", "no name of a header"},
		{"headers.A", "x\r\nB: y", "printable ASCII"},
		{"headers.A", "\xc3\xa9", "printable ASCII"},
		{"headers.A", " x", "no space at its ends"},
		{"headers.authorization", "Bearer x", "bearer_token_file"},
		{"headers.Host", "x", "cannot be set"},
		{"headers.Content-Length", "1", "cannot be set"},
		{"headers.x-scope-orgid", "1", "use tenant"},
		{"tenant", "", "text of 1"},
		{"tenant", "a\nb", "text of 1"},
		{"bearer_token_file", "token", "no absolute path"},
		{"basic_user", "a:b", "basic_password_file"},
		{"basic_user", "", "text of 1"},
		{"basic_password_file", "", "no absolute path"},
		{"ca_file", "x", "no absolute path"},
		{"cert_file", "x", "no absolute path"},
		{"key_file", "x", "no absolute path"},
		{"proxy", "ftp://x", "none of http://"},
		{"proxy", "http://u:secret@x", "no user or password"},
		{"bytes_per_s", "1", "no number of bytes"},
		{"bytes_per_s", "4X", "no number of bytes"},
		{"bytes_per_s", "99999999999999999999", "no number of bytes"},
		{"bytes_per_s", "99999999999999G", "no number of bytes"},
		{"bytes_per_s", "-4M", "no number of bytes"},
		{"timeout", "0", "no time such as"},
		{"timeout", "11m", "no time such as"},
		{"timeout", "1h", "no time such as"},
		{"timeout", "", "no time such as"},
		{"series_max", "0", "no number from 1"},
		{"series_max", "1000000", "no number from 1"},
		{"series_max", "5k", "no number from 1"},
		{"symbolize", "", "none of local, server, both"},
		{"symbolize", "remote", "none of local, server, both"},
		{"debuginfo_bytes_per_s", "1", "no number of bytes"},
		{"insecure_http_auth", "yes", "neither true nor false"},
	};
	struct sink_config sink, fresh;
	struct why why;
	char key[64];

	(void)state;
	open_sink(&sink, "http=https://p");
	open_sink(&fresh, "http=https://p");
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		assert_int_equal(sink_config_set(&sink, BAD[i].key, BAD[i].value, &why), -EINVAL);
		if (!strstr(why.text, BAD[i].why) || strstr(why.text, "secret") || strncmp(why.text, BAD[i].key, strlen(BAD[i].key)) != 0)
			fail_msg("%s: %s", BAD[i].key, why.text);
	}
	assert_true(sink_config_is_equal(&sink, &fresh)); /* untouched by failures */
	assert_int_equal(sink_config_set(&sink, "bearer", "x", &why), -ENOENT);
	assert_int_equal(sink_config_set(&sink, "label.x", "x", &why), -ENOENT);
	assert_int_equal(sink_config_set(&sink, "url", "x", &why), -ENOENT);
	for (int i = 0; i < SINK_PAIRS_MAX; i++) {
		snprintf(key, sizeof(key), "labels.l%d", i);
		assert_int_equal(sink_config_set(&sink, key, "x", &why), 0);
	}
	assert_int_equal(sink_config_set(&sink, "labels.more", "x", &why), -E2BIG);
	assert_non_null(strstr(why.text, "more than 32"));
	sink_config_deinit(&sink);
	sink_config_deinit(&fresh);
}

static void set_all(struct sink_config *sink, const char *const *pairs)
{
	struct why why;

	for (; pairs[0]; pairs += 2)
		assert_int_equal(sink_config_set(sink, pairs[0], pairs[1], &why), 0);
}

static void checks(void **state)
{
	static const struct {
		const char *sink, *settings[7], *why; /* NULL: good */
	} CASES[] = {
		{"http=http://h", {NULL}, NULL},
		{"http=https://h", {"bearer_token_file", "/t"}, NULL},
		{"http=http://h", {"bearer_token_file", "/t"}, "plain http"},
		{"http=http://h", {"basic_user", "u", "basic_password_file", "/p"}, "plain http"},
		{"http=http://h", {"bearer_token_file", "/t", "insecure_http_auth", "true"}, NULL},
		{"http=http://localhost:1", {"bearer_token_file", "/t"}, NULL},
		{"http=http://127.9.9.9:1", {"bearer_token_file", "/t"}, NULL},
		{"http=http://[::1]:1", {"bearer_token_file", "/t"}, NULL},
		{"http=http://127.0.0.1.example.com", {"bearer_token_file", "/t"}, "plain http"},
		{"http=https://h", {"basic_user", "u"}, "go together"},
		{"http=https://h", {"basic_password_file", "/p"}, "go together"},
		{"http=https://h", {"cert_file", "/c"}, "go together"},
		{"http=https://h", {"key_file", "/k"}, "go together"},
		{"http=https://h", {"basic_user", "u", "basic_password_file", "/p", "bearer_token_file", "/t"}, "not both"},
		{"http=https://h", {"cert_file", "/c", "key_file", "/k", "ca_file", "/a"}, NULL},
		{"http=http://h", {"ca_file", "/a"}, "for https"},
		{"dir=/d", {"bearer_token_file", "/t"}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct sink_config sink;
		struct why why = {""};
		open_sink(&sink, CASES[i].sink);
		set_all(&sink, CASES[i].settings);
		assert_int_equal(sink_config_check(&sink, &why), CASES[i].why ? -EINVAL : 0);
		if (CASES[i].why && !strstr(why.text, CASES[i].why))
			fail_msg("case %zu: %s", i, why.text);
		sink_config_deinit(&sink);
	}
}

static void names(void **state)
{
	struct sink_config sinks[4], *const all[] = {&sinks[0], &sinks[1], &sinks[2], &sinks[3]};
	struct why why;

	(void)state;
	open_sink(&sinks[0], "otlp=a");
	open_sink(&sinks[1], "otlp=grpc://b");
	open_sink(&sinks[2], "http=c");
	open_sink(&sinks[3], "otlp=d");
	assert_int_equal(sink_config_set(&sinks[3], "name", "otlp", &why), 0);
	assert_int_equal(sink_config_name_all(all, 4, &why), 0);
	assert_string_equal(sinks[0].name, "otlp-2");
	assert_string_equal(sinks[1].name, "otlp-3");
	assert_string_equal(sinks[2].name, "http");
	assert_string_equal(sinks[3].name, "otlp");
	assert_int_equal(sink_config_set(&sinks[2], "name", "otlp-3", &why), 0);
	assert_int_equal(sink_config_name_all(all, 4, &why), -EINVAL);
	assert_string_equal(why.text, "two sinks have the name 'otlp-3'");
	for (size_t i = 0; i < 4; i++)
		sink_config_deinit(&sinks[i]);
	assert_string_equal(sink_kind_name(SINK_DIR), "dir");
	assert_string_equal(sink_kind_name(SINK_KINDS), "unknown");
	assert_string_equal(sink_config_keys()[0], "name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls),		    cmocka_unit_test(refused_urls), cmocka_unit_test(settings),
		cmocka_unit_test(refused_settings), cmocka_unit_test(checks),	    cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
