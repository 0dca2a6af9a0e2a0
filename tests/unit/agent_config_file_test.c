#include "agent/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

struct object {
	uint64_t freq, window;
};

static const struct setting TABLE[] = {
	{.name = "freq", .kind = SETTING_NUMBER, .offset = offsetof(struct object, freq), .low = 1, .high = 1000, .usual = "19", .help = ""},
	{.name = "long-window", .kind = SETTING_DURATION, .offset = offsetof(struct object, window), .low = 1, .high = UINT64_MAX, .usual = "10", .help = ""},
};

static int read_text(const char *text, struct object *object, struct sink_list *sinks, struct config_problems *problems)
{
	assert_int_equal(settings_init(TABLE, 2, object), 0);
	int err = config_file_read(text, strlen(text), TABLE, 2, object, sinks, problems);
	int sinks_err = config_check_sinks(sinks, problems);
	config_problems_sort(problems);
	return err < 0 ? err : sinks_err;
}

static void good(void **state)
{
	static const char TEXT[] = "freq = 99\n"
				   "long_window = '1m'\n"
				   "[[sink]]\n"
				   "kind = 'otlp'\n"
				   "url = 'grpcs://collector'\n"
				   "labels = { env = 'prod' }\n"
				   "headers.X-Team = 'core'\n"
				   "timeout = 5\n"
				   "bytes_per_s = '2M'\n"
				   "[[sink.relabel]]\n"
				   "action = 'hashmod'\n"
				   "source_labels = ['a', 'b']\n"
				   "target_label = 'x'\n"
				   "modulus = 8\n"
				   "[[sink]]\n"
				   "name = 'second'\n"
				   "kind = 'dir'\n"
				   "url = '/d'\n"
				   "[sink.labels]\n"
				   "a = 'b'\n"
				   "[[relabel]]\n"
				   "source_labels = 'a,b'\n"
				   "regex = '(.*);.*'\n"
				   "separator = ';'\n"
				   "target_label = 'c'\n"
				   "replacement = 'x$1'\n";
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct sink_list sinks = {.n = 0}, again = {.n = 0};
	struct object object;

	(void)state;
	assert_int_equal(read_text(TEXT, &object, &sinks, problems), 0);
	assert_int_equal(object.freq, 99);
	assert_int_equal(object.window, 60000000000);
	assert_int_equal(sinks.n, 2);
	assert_int_equal(sinks.sinks[0].config.kind, SINK_OTLP_GRPC);
	assert_string_equal(sinks.sinks[0].config.url, "https://collector:4317");
	assert_string_equal(sinks.sinks[0].config.name, "otlp");
	assert_string_equal(sinks.sinks[0].config.headers[0].value, "core");
	assert_int_equal(sinks.sinks[0].config.timeout_s, 5);
	assert_int_equal(sinks.sinks[0].line, 3);
	assert_int_equal(sinks.sinks[0].rules.n, 1);
	assert_string_equal(sinks.sinks[0].rules.rules[0].source_labels, "a,b");
	assert_int_equal(sinks.sinks[0].rules.rules[0].modulus, 8);
	assert_ptr_equal(sink_list_find(&sinks, "second"), &sinks.sinks[1]);
	assert_null(sink_list_find(&sinks, "third"));
	assert_string_equal(sinks.sinks[1].config.labels[0].value, "b");
	assert_int_equal(sinks.rules.n, 1);
	assert_string_equal(sinks.rules.rules[0].replacement, "x$1");
	/* The same text is the same list; another rule is another. */
	assert_int_equal(read_text(TEXT, &object, &again, problems), 0);
	assert_true(sink_list_is_equal(&sinks, &again));
	again.sinks[0].rules.rules[0].modulus++;
	assert_false(sink_list_is_equal(&sinks, &again));
	sink_list_deinit(&sinks);
	sink_list_deinit(&again);
}

/* All at once, by line. */
static void problems_by_line(void **state)
{
	static const struct {
		const char *line, *problem; /* NULL: none */
	} LINES[] = {
		{"freg = 1", "there is no setting 'freg'; did you mean 'freq'?"},
		{"something = 1", "there is no setting 'something'"},
		{"long-window = 3", "there is no setting 'long-window'; did you mean 'long_window'?"},
		{"freq = 0", "freq: '0' is not a number from 1 to 1000"},
		{"freq = 5", "'freq' is set a second time; the first time was in line 4"},
		{"long_window = true", "long_window: it is true or false, but should be a number of seconds, or a string such as \"5m\""},
		{"broken = [", NULL},
		{"  nothing", "'nothing' is no number; text is written \"nothing\""},
		{"[sinks]", "there is no setting 'sinks'; did you mean 'sink'?"},
		{"[[sink]]", "sink: kind is missing: pyroscope, parca, otlp, http or dir"},
		{"url = 'http://h'", NULL},
		{"[[sink]]", "sink: url is missing"},
		{"kind = 'http'", NULL},
		{"[[sink]]", NULL},
		{"kind = 'loki'", NULL},
		{"url = 'http://h'", "sink: 'loki' is no kind of server: pyroscope, parca, otlp, http, dir"},
		{"bearer_token_flie = '/x'", "sink: there is no setting 'bearer_token_flie'; did you mean 'bearer_token_file'?"},
		{"label.x = 'y'", "sink: there is no setting 'label'; did you mean 'labels'?"},
		{"[[sink]]", "sink http://h: its secret would go over plain http, for all to read: use https, or say insecure_http_auth = true"},
		{"kind = 'http'", NULL},
		{"url = 'http://h'", NULL},
		{"bearer_token_file = '/t'", NULL},
		{"basic_user = 5", "sink: basic_user: it should not be a number"},
		{"series_max = '5'", "sink: series_max: it should not be a string"},
		{"insecure_http_auth = 'true'", "sink: insecure_http_auth: it should not be a string"},
		{"tenant = ''", "sink: tenant: it must be text of 1 to 2048 bytes, without control characters"},
		{"labels.a-b = 'x'", "sink: labels.a-b: 'a-b' is no name of a label: letters, digits and _, and not __ at its begin"},
		{"labels.ok = 5", "sink: ok: it is a number, but should be a string"},
		{"freq = 5", "sink: 'freq' is none of its settings: it belongs above the first [[...]]"},
		{"name = 'one'", NULL},
		{"relabel = 5", "sink: relabel: write [[sink.relabel]]: there may be several"},
		{"[[sink]]", "two sinks have the name 'one'"},
		{"kind = 'http'", NULL},
		{"url = 'http://i'", NULL},
		{"name = 'one'", NULL},
		{"headers = 'x'", "sink: headers: it is a string, but should be a table"},
		{"[[sink.relabel]]", "sink: relabel: target_label: action replace needs it"},
		{"source_labels = ['a']", NULL},
		{"[[sink.relabel]]", NULL},
		{"source_labels = [1]", "sink: relabel: source_labels: it should be an array of strings"},
		{"[[relabel]]", "relabel: regex: missing closing parenthesis (at character 3)"},
		{"action = 'drop'", NULL},
		{"regex = '(a'", NULL},
		{"[[relabel]]", NULL},
		{"modulus = 0", "relabel: modulus: it must be 1 or more"},
		{"acton = 'x'", "relabel: there is no setting 'acton'; did you mean 'action'?"},
		{"target_label = 5", "relabel: target_label: it is a number, but should be a string"},
	};
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct sink_list sinks = {.n = 0};
	struct object object;
	char text[4096] = "";
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", LINES[i].line);
	assert_int_equal(read_text(text, &object, &sinks, problems), -EBADMSG);
	size_t next = 0;
	for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
		if (!LINES[i].problem)
			continue;
		assert_true(next < problems->n);
		if (problems->list[next].line != i + 1 || strcmp(problems->list[next].text, LINES[i].problem) != 0)
			fail_msg("line %zu '%s': line %u: %s", i + 1, LINES[i].line, problems->list[next].line, problems->list[next].text);
		next++;
	}
	assert_int_equal(next, problems->n);
	sink_list_deinit(&sinks);
}

static void too_many(void **state)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct sink_list sinks = {.n = 0};
	struct object object;
	char text[8192] = "";
	size_t n = 0;

	(void)state;
	for (int i = 0; i <= SINKS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[[sink]]\nkind = 'http'\nurl = 'h'\n");
	for (int i = 0; i <= RULE_LIST_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[[relabel]]\naction = 'keep'\n");
	assert_int_equal(read_text(text, &object, &sinks, problems), -EBADMSG);
	assert_int_equal(problems->n, 2);
	assert_string_equal(problems->list[0].text, "sink: more than 16 sinks");
	assert_int_equal(problems->list[0].line, 49);
	assert_string_equal(problems->list[1].text, "relabel: more than 64 rules");
	sink_list_deinit(&sinks);
}

static void files(void **state)
{
	char folder[] = "/tmp/hearth-config-XXXXXX", path[64], fifo[64];
	char *text = NULL;
	struct why why;
	size_t bytes;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/f", folder);
	snprintf(fifo, sizeof(fifo), "%s/p", folder);
	assert_int_equal(config_file_load(path, true, &text, &bytes, &why), -ENOENT);
	assert_non_null(strstr(why.text, path));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(config_file_load(fifo, true, &text, &bytes, &why), -EINVAL);
	assert_int_equal(config_file_load(folder, true, &text, &bytes, &why), -EINVAL);
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_int_equal(write(fd, "freq = 5\n", 9), 9);
	assert_int_equal(config_file_load(path, true, &text, &bytes, &why), 0);
	assert_int_equal(bytes, 9);
	assert_memory_equal(text, "freq = 5\n", 9);
	free(text);
	assert_int_equal(fchmod(fd, 0646), 0);
	assert_int_equal(config_file_load(path, true, &text, &bytes, &why), -EPERM);
	assert_non_null(strstr(why.text, "chmod o-w"));
	assert_int_equal(config_file_load(path, false, &text, &bytes, &why), 0);
	free(text);
	assert_int_equal(fchmod(fd, 0600), 0);
	if (geteuid() == 0) {
		assert_int_equal(fchown(fd, 65534, 65534), 0);
		assert_int_equal(config_file_load(path, true, &text, &bytes, &why), -EPERM);
		assert_non_null(strstr(why.text, "chown root"));
		assert_int_equal(fchown(fd, 0, 0), 0);
	}
	assert_int_equal(ftruncate(fd, TOML_BYTES_MAX + 1), 0);
	assert_int_equal(config_file_load(path, true, &text, &bytes, &why), -E2BIG);
	close(fd);
	unlink(path);
	unlink(fifo);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(problems_by_line), cmocka_unit_test(too_many), cmocka_unit_test(files)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
