/* A configuration file: the TOML reader, settings, sinks and rules. The same bytes without damage give the same result twice, and problems come with lines of the file. */
#include <errno.h>
#include <string.h>

#include "agent/agent_options.h"
#include "agent/config_file.h"
#include "agent/toml_reader.h"
#include "tests/fuzz/fuzz.h"

static void walk(const struct toml_value *value, size_t *n)
{
	++*n;
	PROMISE(value->key);
	PROMISE(value->is_broken || value->type >= TOML_ARRAY || value->text);
	for (const struct toml_value *inner = value->first; inner; inner = inner->next) {
		PROMISE(value->type >= TOML_ARRAY);
		if (!value->is_broken)
			walk(inner, n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config_problems *problems = calloc(1, sizeof(*problems));
	char *text = (char *)fuzz_copy(data, n);
	struct agent_options o = {.output = NULL};
	struct toml_value *root = NULL;
	size_t lines = 1, values = 0, n_settings;

	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	int err = toml_read(text, n, problems, &root);
	PROMISE(err == 0 || err == -EBADMSG);
	PROMISE((err == 0) == (problems->n == 0));
	walk(root, &values);
	PROMISE(values <= TOML_VALUES_MAX + 1);
	toml_free(root);

	memset(problems, 0, sizeof(*problems));
	const struct setting *table = agent_settings(&n_settings);
	PROMISE(settings_init(table, n_settings, &o) == 0);
	int file_err = config_file_read(text, n, table, n_settings, &o, &o.sinks, problems);
	PROMISE(file_err == (problems->n ? -EBADMSG : 0));
	PROMISE(err == 0 || file_err);
	config_check_sinks(&o.sinks, problems);
	config_problems_sort(problems);
	for (size_t i = 0; i < problems->n; i++) {
		PROMISE(problems->list[i].line <= lines && problems->list[i].text[0]);
		PROMISE(i == 0 || problems->list[i - 1].line <= problems->list[i].line);
	}
	PROMISE(o.sinks.n <= SINKS_MAX && o.sinks.rules.n <= RULE_LIST_MAX);
	agent_options_deinit(&o);
	free(text);
	free(problems);
	return 0;
}
