#include "agent/agent_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

#define ARGUMENTS_MAX 16
#define EXAMPLE	      "packaging/hearth.toml"

static char file[] = "/tmp/hearth-options-XXXXXX";

static void write_file(const char *text)
{
	FILE *stream = fopen(file, "w");

	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
}

/* arguments: separated by blanks. config: NULL: none is said. */
static int load_with(const char *config, const char *arguments, struct agent_options *o, struct config_problems *problems)
{
	char copy[1024], *argv[ARGUMENTS_MAX + 1] = {NULL}, *rest = NULL;
	int argc = 0;

	snprintf(copy, sizeof(copy), "agent -e cpu-clock %s%s %s", config ? "--config=" : "", config ? config : "", arguments);
	for (char *word = strtok_r(copy, " ", &rest); word && argc < ARGUMENTS_MAX; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	memset(problems, 0, sizeof(*problems));
	return agent_options_load(argc, argv, o, problems);
}

static int load(const char *arguments, struct agent_options *o, struct config_problems *problems)
{
	return load_with(file, arguments, o, problems);
}

static void good(const char *arguments, struct agent_options *o)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));

	if (load(arguments, o, problems) != 0)
		fail_msg("%s: line %u: %s", arguments, problems->list[0].line, problems->list[0].text);
}

static void bad(const char *arguments, unsigned line, const char *problem)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct agent_options o;

	assert_int_equal(load(arguments, &o, problems), -EINVAL);
	assert_true(problems->n > 0);
	if (problems->list[0].line != line || !strstr(problems->list[0].text, problem))
		fail_msg("%s: line %u: %s", arguments, problems->list[0].line, problems->list[0].text);
	agent_options_deinit(&o);
}

static void defaults(void **state)
{
	struct agent_options o;

	(void)state;
	write_file("");
	good("--output d", &o);
	assert_string_equal(o.output, "d");
	assert_int_equal(o.rate_hz, 19);
	assert_int_equal(o.window_ns, 10000000000);
	assert_int_equal(o.output_bytes, 1 << 30);
	assert_true(o.max_share == 0.01);
	assert_false(o.idle || o.kernel_addresses || o.quiet);
	assert_null(o.name_cache);
	assert_null(o.debuginfod_urls);
	assert_int_equal(o.sinks.n, 0);
	assert_string_equal(o.config, file);
	assert_string_equal(o.event.name, "cpu-clock");
	agent_options_deinit(&o);
	agent_options_deinit(&o);
}

/* The option wins over the variable, the variable over the file, the file over the default. */
static void order(void **state)
{
	struct agent_options o;

	(void)state;
	write_file("freq = 20\nwindow = '20s'\nidle = true\noutput = 'from-file'\nname_cache = 'f'\n");
	setenv("HEARTH_FREQ", "30", 1);
	setenv("HEARTH_NAME_CACHE", "v", 1);
	setenv("HEARTH_OUTPUT", "", 1); /* as if it were not there */
	good("-F 40 --idle=false", &o);
	assert_int_equal(o.rate_hz, 40);
	assert_int_equal(o.window_ns, 20000000000);
	assert_false(o.idle);
	assert_string_equal(o.output, "from-file");
	assert_string_equal(o.name_cache, "v");
	agent_options_deinit(&o);
	good("--quiet", &o);
	assert_int_equal(o.rate_hz, 30);
	assert_true(o.quiet && o.idle);
	agent_options_deinit(&o);
	setenv("HEARTH_FREQ", "x", 1);
	bad("", 0, "HEARTH_FREQ: 'x' is not a number");
	unsetenv("HEARTH_FREQ");
	unsetenv("HEARTH_NAME_CACHE");
	unsetenv("HEARTH_OUTPUT");
	setenv("DEBUGINFOD_URLS", "https://env", 1);
	good("", &o);
	assert_int_equal(o.rate_hz, 20);
	assert_string_equal(o.debuginfod_urls, "https://env");
	agent_options_deinit(&o);
	unsetenv("DEBUGINFOD_URLS");
}

static void config_path(void **state)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct agent_options o;

	(void)state;
	write_file("freq = 77\n");
	assert_int_equal(load_with("", "--output d", &o, problems), 0);
	assert_null(o.config);
	agent_options_deinit(&o);
	setenv("HEARTH_CONFIG", file, 1);
	assert_int_equal(load_with(NULL, "--output d", &o, problems), 0);
	assert_int_equal(o.rate_hz, 77);
	agent_options_deinit(&o);
	unsetenv("HEARTH_CONFIG");
	assert_int_equal(load_with("/nonexistent/x.toml", "--output d", &o, problems), -EINVAL);
	assert_string_equal(problems->list[0].text, "/nonexistent/x.toml: No such file or directory");
	agent_options_deinit(&o);
}

static void refused(void **state)
{
	(void)state;
	write_file("\nfreq = 'x'\n");
	bad("--output d", 2, "freq: it is a string");
	write_file("");
	bad("--store none", 0, "without a store --output DIR is needed");
	bad("--store none --upload http=h", 0, "--upload needs a store");
	bad("--store /x --output /x", 0, "the same folder");
	bad("--output d -F 0", 0, "--freq: '0' is not a number");
	bad("--output d --window 0.05", 0, "--window: '0.05' is not from 100ms to 1h");
	bad("--output d --max-cpu 0", 0, "--max-cpu: '0' is not a percentage");
	bad("--output d --log-format xml", 0, "--log-format: 'xml' is none of text, json");
	bad("--output d -e page-faults", 0, "is not a clock");
	bad("--output d -e nothing", 0, "there is no event 'nothing'");
	bad("--output d -F 1000000", 0, "above this machine's limit");
	bad("--output d --upload loki=x", 0, "--upload: 'loki' is no kind");
	bad("--output d --upload http=h --upload-set x.tenant=y", 0, "--upload-set: it is not SINK.KEY=VALUE");
	bad("--output d --upload http=h --upload-set http.tenat=y", 0, "a sink has no setting 'tenat'; did you mean 'tenant'?");
	bad("--output d --upload http=h --upload-set http.timeout=y", 0, "timeout: 'y' is no time");
	bad("--output d --upload http=h --upload-set http.name=y", 0, "name is given in the configuration file");
	bad("--output d --upload http=h --upload-set http.headers.X-Api-Key=y", 0, "seen in the list of processes");
	bad("--output d --upload http=h --upload-set http.bearer_token_file=/t", 0, "plain http");
}

static void uploads(void **state)
{
	struct agent_options o;

	(void)state;
	write_file("[[sink]]\nkind = 'http'\nurl = 'h'\n[[sink]]\nkind = 'parca'\nurl = 'p'\nname = 'p.q'\n[[relabel]]\naction = 'keep'\n");
	good("--output d", &o);
	assert_int_equal(o.sinks.n, 2);
	agent_options_deinit(&o);
	/* Settings go by name, to the file's sinks too. */
	setenv("HEARTH_UPLOAD_SET", "http.tenant=v  p.q.labels.env=prod", 1);
	good("--output d --upload-set http.tenant=o", &o);
	assert_string_equal(o.sinks.sinks[0].config.tenant, "o");
	assert_string_equal(o.sinks.sinks[1].config.labels[0].value, "prod");
	agent_options_deinit(&o);
	setenv("HEARTH_UPLOAD_SET", "otlp-2.headers.X-Api-Key=y", 1); /* not seen by others */
	setenv("HEARTH_UPLOAD", "otlp=a otlp=grpc://b", 1);
	good("--output d", &o);
	assert_int_equal(o.sinks.n, 2);
	assert_string_equal(o.sinks.sinks[1].config.headers[0].value, "y");
	assert_int_equal(o.sinks.rules.n, 1);
	agent_options_deinit(&o);
	unsetenv("HEARTH_UPLOAD_SET");
	good("--output d --upload dir=/x", &o);
	assert_int_equal(o.sinks.n, 1);
	assert_int_equal(o.sinks.sinks[0].config.kind, SINK_DIR);
	agent_options_deinit(&o);
	unsetenv("HEARTH_UPLOAD");
}

/* What the processes get: all sinks, with rules, and --output as one more. */
static void for_the_processes(void **state)
{
	struct upload_config *config;
	struct agent_options o;
	struct why why;

	(void)state;
	write_file("[[sink]]\nkind = 'http'\nurl = 'https://h'\nlabels.a = 'b'\nbearer_token_file = '/t'\n[[sink.relabel]]\naction = 'keep'\n[[relabel]]\naction = 'drop'\n");
	good("--output /d", &o);
	assert_int_equal(agent_options_sinks(&o, &config, &why), 0);
	assert_int_equal(config->n_sinks, 2);
	config->sinks[0].config.symbolize = o.sinks.sinks[0].config.symbolize; /* see who_symbolizes() */
	assert_true(sink_config_is_equal(&config->sinks[0].config, &o.sinks.sinks[0].config));
	assert_int_equal(config->sinks[0].rules.n, 1);
	assert_string_equal(config->sinks[0].rules.rules[0].action, "keep");
	assert_string_equal(config->rules.rules[0].action, "drop");
	assert_string_equal(config->sinks[1].config.name, "output");
	assert_string_equal(config->sinks[1].config.url, "/d");
	upload_config_free(config);
	agent_options_deinit(&o);
}

/* What is said of all sinks is for those that can, and do not say it themselves. */
static void who_symbolizes(void **state)
{
	static const struct {
		const char *all;
		enum sink_symbolize parca, otlp, pyroscope, own;
	} EXPECTED[] = {
		{"local", SYMBOLIZE_LOCAL, SYMBOLIZE_LOCAL, SYMBOLIZE_LOCAL, SYMBOLIZE_SERVER},
		{"server", SYMBOLIZE_SERVER, SYMBOLIZE_SERVER, SYMBOLIZE_LOCAL, SYMBOLIZE_SERVER},
		{"both", SYMBOLIZE_BOTH, SYMBOLIZE_LOCAL, SYMBOLIZE_LOCAL, SYMBOLIZE_SERVER},
	};
	struct upload_config *config;
	struct agent_options o;
	struct why why;

	(void)state;
	write_file("[[sink]]\nkind = 'parca'\nurl = 'h'\n[[sink]]\nkind = 'otlp'\nurl = 'h'\n[[sink]]\nkind = 'pyroscope'\nurl = 'h'\n"
		   "[[sink]]\nkind = 'parca'\nurl = 'i'\nsymbolize = 'server'\n");
	for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++) {
		char arguments[64];
		snprintf(arguments, sizeof(arguments), "--symbolize %s", EXPECTED[i].all);
		good(arguments, &o);
		assert_int_equal(agent_options_sinks(&o, &config, &why), 0);
		assert_int_equal(config->sinks[0].config.symbolize, EXPECTED[i].parca);
		assert_int_equal(config->sinks[1].config.symbolize, EXPECTED[i].otlp);
		assert_int_equal(config->sinks[2].config.symbolize, EXPECTED[i].pyroscope);
		assert_int_equal(config->sinks[3].config.symbolize, EXPECTED[i].own);
		upload_config_free(config);
		agent_options_deinit(&o);
	}
	bad("--symbolize remote", 0, "--symbolize");
	write_file("[[sink]]\nkind = 'pyroscope'\nurl = 'h'\nsymbolize = 'server'\n");
	bad("", 1, "is not for pyroscope");
	write_file("[[sink]]\nkind = 'otlp'\nurl = 'h'\nsymbolize = 'both'\n");
	bad("", 1, "is not for otlp: debug information goes to parca only");
}

/* What a running agent takes over, and what it says. */
static void applied(void **state)
{
	struct agent_options o, next;
	struct agent_change change;

	(void)state;
	write_file("freq = 19\n[[sink]]\nkind = 'http'\nurl = 'h'\n");
	good("--output d --window 10", &o);
	good("--output d --window 10", &next);
	assert_int_equal(agent_options_apply(&o, &next, &change), 0);
	assert_false(change.sampling || change.sinks || change.log || *change.live || *change.restart);
	agent_options_deinit(&next);
	write_file("freq = 49\nwindow = '1m'\nlog_format = 'json'\nidle = true\nname_cache = '/n'\n[[sink]]\nkind = 'http'\nurl = 'i'\n");
	good("--output e --window 10", &next);
	assert_int_equal(agent_options_apply(&o, &next, &change), 0);
	assert_true(change.sampling && change.sinks && change.log);
	assert_string_equal(change.live, "freq 19 -> 49, log-format text -> json, sinks");
	assert_string_equal(change.restart, "output, idle, name-cache");
	assert_int_equal(o.rate_hz, 49);
	assert_int_equal(o.window_ns, 10000000000); /* the option wins, as at the start */
	assert_string_equal(o.output, "d");
	assert_false(o.idle);
	assert_string_equal(o.sinks.sinks[0].config.url, "http://i");
	agent_options_deinit(&next);
	write_file("freq = 49\nlog_format = 'json'\n[[sink]]\nkind = 'http'\nurl = 'i'\n[[relabel]]\naction = 'keep'\n");
	good("--output d --window 10", &next);
	assert_int_equal(agent_options_apply(&o, &next, &change), 0);
	assert_true(change.sinks && !change.sampling && !change.log);
	assert_string_equal(change.live, "sinks");
	agent_options_deinit(&next);
	good("--output d --window 10 --symbolize server", &next);
	assert_int_equal(agent_options_apply(&o, &next, &change), 0);
	assert_true(change.sinks && !change.sampling && !change.log);
	assert_string_equal(change.live, "symbolize local -> server");
	agent_options_deinit(&next);
	agent_options_deinit(&o);
}

/* What we ship is good, names every setting, and is still good when everything in it is switched on. */
static void example(void **state)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	AUTO_FREE char *text = calloc(1, 65536), *all = calloc(1, 65536);
	FILE *stream = fopen(EXAMPLE, "r");
	char key[SETTING_NAME_MAX + 8];
	size_t n;

	(void)state;
	if (!stream)
		skip(); /* not run from the repository */
	assert_int_equal(agent_options_check_file(EXAMPLE, problems), 0);
	size_t bytes = fread(text, 1, 65535, stream);
	fclose(stream);
	const struct setting *table = agent_settings(&n);
	for (size_t i = 0; i < n; i++) {
		strcpy(key, "\n#");
		setting_key(&table[i], key + 2);
		strcat(key, " =");
		if (!strstr(text, key))
			fail_msg("%s is not in " EXAMPLE, key + 2);
	}
	for (size_t i = 0, out = 0; i < bytes; i++)
		if (!(text[i] == '#' && (i == 0 || text[i - 1] == '\n') && text[i + 1] != ' ' && text[i + 1] != '\n'))
			all[out++] = text[i];
	write_file(all);
	if (agent_options_check_file(file, problems) != 0)
		fail_msg("line %u: %s", problems->list[0].line, problems->list[0].text);
}

/* Each setting is in the manual pages. */
static void manual(void **state)
{
	static const char *const PAGES[] = {"docs/man/hearth-agent.1", "docs/man/hearth.toml.5"};
	size_t n;

	(void)state;
	const struct setting *table = agent_settings(&n);
	for (size_t page = 0; page < 2; page++) {
		AUTO_FREE char *text = calloc(1, 65536);
		FILE *stream = fopen(PAGES[page], "r");
		if (!stream)
			skip();
		size_t bytes = fread(text, 1, 65535, stream), out = 0;
		fclose(stream);
		for (size_t i = 0; i < bytes; i++) /* roff's \- is a - */
			if (text[i] != '\\')
				text[out++] = text[i];
		text[out] = '\0';
		for (size_t i = 0; i < n; i++) {
			char name[SETTING_NAME_MAX + 8] = "--";
			if (page == 0)
				strcat(name, table[i].name);
			else
				setting_key(&table[i], name);
			if (!strstr(text, name))
				fail_msg("%s is not in %s", name, PAGES[page]);
		}
	}
}

static void checked_files(void **state)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));

	(void)state;
	write_file("event = 'nothing'\n[[sink]]\nkind = 'http'\nurl = 'h'\ncert_file = '/c'\n");
	assert_int_equal(agent_options_check_file(file, problems), -EBADMSG);
	assert_int_equal(problems->n, 2);
	assert_non_null(strstr(problems->list[0].text, "event: there is no event 'nothing' here"));
	assert_string_equal(problems->list[1].text, "sink http://h: cert_file and key_file go together");
	assert_int_equal(problems->list[1].line, 2);
	memset(problems, 0, sizeof(*problems));
	assert_int_equal(agent_options_check_file("/nonexistent", problems), -EBADMSG);
	assert_int_equal(problems->n, 1);
}

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(file);
	if (fd >= 0)
		close(fd);
	unsetenv("DEBUGINFOD_URLS");
	return fd < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(order),   cmocka_unit_test(config_path), cmocka_unit_test(refused),
		cmocka_unit_test(uploads),  cmocka_unit_test(applied), cmocka_unit_test(for_the_processes), cmocka_unit_test(who_symbolizes),
		cmocka_unit_test(example),  cmocka_unit_test(manual),  cmocka_unit_test(checked_files),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
