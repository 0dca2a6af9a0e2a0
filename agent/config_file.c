#include "agent/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/nearest_name.h"
#include "agent/toml_reader.h"
#include "base/scope.h"

struct reading {
	const struct setting *table;
	size_t n;
	void *object;
	struct sink_list *sinks;
	struct config_problems *problems;
};

static int check_file(int fd, const char *path, bool is_trusted, size_t *bytes_out, struct why *why)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return why_set(why, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return why_set(why, -EINVAL, "%s: it is no regular file", path);
	if (is_trusted && stat.st_uid != 0 && stat.st_uid != geteuid())
		return why_set(why, -EPERM, "%s: it belongs to somebody else: chown root %s", path, path);
	if (is_trusted && (stat.st_mode & S_IWOTH))
		return why_set(why, -EPERM, "%s: everybody may write to it: chmod o-w %s", path, path);
	if (stat.st_size > TOML_BYTES_MAX)
		return why_set(why, -E2BIG, "%s: it has more than %u bytes", path, TOML_BYTES_MAX);
	*bytes_out = (size_t)stat.st_size;
	return 0;
}

int config_file_load(const char *path, bool is_trusted, char **text_out, size_t *bytes_out, struct why *why)
{
	size_t bytes = 0, n = 0;

	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return why_set(why, -errno, "%s: %s", path, strerror(errno));
	int err = check_file(fd, path, is_trusted, &bytes, why);
	if (err < 0)
		return err;
	AUTO_FREE char *text = malloc(bytes + 1);
	if (!text)
		return why_set(why, -ENOMEM, "out of memory");
	while (n < bytes) {
		ssize_t got = read(fd, text + n, bytes - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return why_set(why, -errno, "%s: %s", path, strerror(errno));
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*text_out = take_ptr(text);
	*bytes_out = n;
	return 0;
}

/* Returns -ENOMEM, or 0 after telling. */
static int tell(struct reading *r, unsigned line, const char *where, const char *key, int err, const struct why *why)
{
	if (err < 0 && err != -ENOMEM)
		config_problem(r->problems, line, "%s%s%s%s", where, key, *key ? ": " : "", why->text);
	return err == -ENOMEM ? err : 0;
}

static void tell_unknown(struct reading *r, const struct toml_value *value, const char *where, const char *best)
{
	if (*where && settings_find(r->table, r->n, value->key)) {
		config_problem(r->problems, value->line, "%s'%s' is none of its settings: it belongs above the first [[...]]", where, value->key);
		return;
	}
	config_problem(r->problems, value->line, "%sthere is no setting '%s'%s%s%s", where, value->key, best ? "; did you mean '" : "", best ? best : "",
		       best ? "'?" : "");
}

static bool expect(struct reading *r, const struct toml_value *value, const char *where, enum toml_type type)
{
	if (value->type == type)
		return true;
	config_problem(r->problems, value->line, "%s%s: it is %s, but should be %s", where, value->key, toml_type_name(value->type), toml_type_name(type));
	return false;
}

/* An array of tables, as [[KEY]] makes it. */
static bool expect_tables(struct reading *r, const struct toml_value *value, const char *where)
{
	bool good = value->type == TOML_ARRAY;

	for (const struct toml_value *inner = good ? value->first : NULL; inner; inner = inner->next)
		good = good && inner->type == TOML_TABLE;
	if (!good)
		config_problem(r->problems, value->line, "%s%s: write [[%s%s]]: there may be several", where, value->key, *where ? "sink." : "", value->key);
	return good;
}

/* --- relabel rules ------------------------------------------------------------------------------------------- */

/* "a,b", or ["a", "b"] as in Prometheus' files. */
static int take_sources(struct reading *r, const struct toml_value *value, const char *where, char **sources_out)
{
	AUTO_FREE char *joined = NULL;
	size_t n = 0;

	if (value->type != TOML_ARRAY) {
		if (expect(r, value, where, TOML_STRING))
			*sources_out = strdup(value->text);
		return *sources_out || value->type != TOML_STRING ? 0 : -ENOMEM;
	}
	for (const struct toml_value *inner = value->first; inner; inner = inner->next)
		n += inner->type == TOML_STRING ? strlen(inner->text) + 1 : 0;
	joined = calloc(1, n + 1);
	if (!joined)
		return -ENOMEM;
	n = 0;
	for (const struct toml_value *inner = value->first; inner; inner = inner->next) {
		if (inner->type != TOML_STRING) {
			config_problem(r->problems, inner->line, "%s%s: it should be an array of strings", where, value->key);
			return 0;
		}
		if (inner != value->first)
			joined[n++] = ',';
		memcpy(joined + n, inner->text, strlen(inner->text));
		n += strlen(inner->text);
	}
	*sources_out = take_ptr(joined);
	return 0;
}

static int take_rule(struct reading *r, const struct toml_value *table, const char *where, struct rule_list *list)
{
	static const char *const NAMES[] = {"action", "separator", "regex", "target_label", "replacement", "source_labels", "modulus"};
	struct relabel_rule rule = {.modulus = 0};
	const char **const texts[] = {&rule.action, &rule.separator, &rule.regex, &rule.target_label, &rule.replacement};
	AUTO_FREE char *sources = NULL;
	size_t before = r->problems->n;
	struct why why;

	for (const struct toml_value *value = table->first; value; value = value->next) {
		const char *best = NULL;
		size_t field = 0;
		if (value->is_broken)
			return 0;
		while (field < 7 && strcmp(NAMES[field], value->key) != 0)
			nearest_name(value->key, NAMES[field++], &best);
		if (field == 7) {
			tell_unknown(r, value, where, best);
		} else if (field == 5) {
			int err = take_sources(r, value, where, &sources);
			if (err < 0)
				return err;
		} else if (!expect(r, value, where, field == 6 ? TOML_INTEGER : TOML_STRING)) {
			continue;
		} else if (field == 6 && value->integer < 1) {
			config_problem(r->problems, value->line, "%smodulus: it must be 1 or more", where);
		} else if (field == 6) {
			rule.modulus = (uint64_t)value->integer;
		} else {
			*texts[field] = value->text;
		}
	}
	if (r->problems->n > before || r->problems->more)
		return 0;
	rule.source_labels = sources;
	return tell(r, table->line, where, "", rule_list_add(list, &rule, &why), &why);
}

static int take_rules(struct reading *r, const struct toml_value *value, const char *where, struct rule_list *list)
{
	char inner[64];
	int err = 0;

	if (!expect_tables(r, value, where))
		return 0;
	snprintf(inner, sizeof(inner), "%srelabel: ", where);
	for (const struct toml_value *table = value->first; table && err == 0; table = table->next)
		err = take_rule(r, table, inner, list);
	return err;
}

/* --- sinks --------------------------------------------------------------------------------------------------- */

static bool sink_type_fits(const char *key, enum toml_type type)
{
	if (strcmp(key, "bytes_per_s") == 0 || strcmp(key, "timeout") == 0)
		return type == TOML_INTEGER || type == TOML_STRING;
	return type == (strcmp(key, "series_max") == 0 ? TOML_INTEGER : strcmp(key, "insecure_http_auth") == 0 ? TOML_BOOL : TOML_STRING);
}

/* labels and headers. */
static int take_pairs(struct reading *r, const struct toml_value *table, struct sink_config *sink)
{
	char key[2 * TOML_KEY_MAX];
	struct why why;
	int err = 0;

	if (!expect(r, table, "sink: ", TOML_TABLE))
		return 0;
	for (const struct toml_value *value = table->first; value && err == 0; value = value->next) {
		snprintf(key, sizeof(key), "%s.%s", table->key, value->key);
		if (!value->is_broken && expect(r, value, "sink: ", TOML_STRING))
			err = tell(r, value->line, "sink: ", "", sink_config_set(sink, key, value->text, &why), &why);
	}
	return err;
}

static int take_sink_setting(struct reading *r, const struct toml_value *value, struct sink_config *sink)
{
	const char *best = NULL;
	struct why why;

	for (const char *const *key = sink_config_keys(); *key; key++) {
		if (strcmp(*key, value->key) != 0 || strchr(*key, '.')) {
			nearest_name(value->key, *key, &best);
			continue;
		}
		if (!sink_type_fits(value->key, value->type)) {
			config_problem(r->problems, value->line, "sink: %s: it should not be %s", value->key, toml_type_name(value->type));
			return 0;
		}
		return tell(r, value->line, "sink: ", "", sink_config_set(sink, value->key, value->text, &why), &why);
	}
	nearest_name(value->key, "kind", &best);
	nearest_name(value->key, "url", &best);
	nearest_name(value->key, "relabel", &best);
	best = best && strcmp(best, "labels.") == 0 ? "labels" : best && strcmp(best, "headers.") == 0 ? "headers" : best;
	tell_unknown(r, value, "sink: ", best);
	return 0;
}

static int take_kind_and_url(struct reading *r, const struct toml_value *table, struct sink_config *sink, bool *good_out)
{
	const struct toml_value *kind = toml_find(table, "kind"), *url = toml_find(table, "url");
	AUTO_FREE char *text = NULL;
	struct why why;

	*good_out = false;
	if (!kind)
		config_problem(r->problems, table->line, "sink: kind is missing: pyroscope, parca, otlp, http or dir");
	if (!url)
		config_problem(r->problems, table->line, "sink: url is missing");
	if (!kind || !url || kind->is_broken || url->is_broken || !expect(r, kind, "sink: ", TOML_STRING) || !expect(r, url, "sink: ", TOML_STRING))
		return 0;
	if (strchr(kind->text, '=')) {
		config_problem(r->problems, kind->line, "sink: kind: pyroscope, parca, otlp, http or dir");
		return 0;
	}
	if (asprintf(&text, "%s=%s", kind->text, url->text) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	int err = sink_config_parse(text, sink, &why);
	*good_out = err == 0;
	return tell(r, url->line, "sink: ", "", err, &why);
}

static int take_sink(struct reading *r, const struct toml_value *table)
{
	struct listed_sink scratch = {.line = 0}, *sink = &scratch;
	struct sink_config config;
	struct why why;
	bool good;

	int err = take_kind_and_url(r, table, &config, &good);
	if (err < 0)
		return err;
	if (good) {
		err = sink_list_add(r->sinks, &config, table->line, &sink, &why);
		if (err < 0)
			return tell(r, table->line, "sink: ", "", err, &why);
	}
	for (const struct toml_value *value = table->first; value && err == 0; value = value->next) {
		if (value->is_broken || strcmp(value->key, "kind") == 0 || strcmp(value->key, "url") == 0)
			continue;
		if (strcmp(value->key, "labels") == 0 || strcmp(value->key, "headers") == 0)
			err = take_pairs(r, value, &sink->config);
		else if (strcmp(value->key, "relabel") == 0)
			err = take_rules(r, value, "sink: ", &sink->rules);
		else
			err = take_sink_setting(r, value, &sink->config);
	}
	sink_config_deinit(&scratch.config);
	rule_list_deinit(&scratch.rules);
	return err;
}

static int take_sinks(struct reading *r, const struct toml_value *value)
{
	int err = 0;

	if (!expect_tables(r, value, ""))
		return 0;
	for (const struct toml_value *table = value->first; table && err == 0; table = table->next)
		err = take_sink(r, table);
	return err;
}

/* Of the first sink that has the name of one before it. */
static unsigned line_of_second(const struct sink_list *sinks)
{
	for (size_t i = 1; i < sinks->n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(sinks->sinks[i].config.name, sinks->sinks[j].config.name) == 0 && *sinks->sinks[i].config.name)
				return sinks->sinks[i].line;
	return 0;
}

int config_check_sinks(struct sink_list *sinks, struct config_problems *problems)
{
	size_t before = problems->n + problems->more;
	struct why why;

	for (size_t i = 0; i < sinks->n; i++)
		if (sink_config_check(&sinks->sinks[i].config, &why) < 0)
			config_problem(problems, sinks->sinks[i].line, "sink %s: %s", sinks->sinks[i].config.url, why.text);
	if (sink_list_name_all(sinks, &why) < 0)
		config_problem(problems, line_of_second(sinks), "%s", why.text);
	return problems->n + problems->more > before ? -EBADMSG : 0;
}

/* --- the whole ----------------------------------------------------------------------------------------------- */

static int take_setting(struct reading *r, const struct toml_value *value)
{
	char key[SETTING_NAME_MAX], best_key[SETTING_NAME_MAX];
	const char *best = NULL;
	struct why why;

	for (size_t i = 0; i < r->n; i++) {
		setting_key(&r->table[i], key);
		if (strcmp(key, value->key) == 0)
			return tell(r, value->line, "", key, setting_take_toml(&r->table[i], r->object, value, &why), &why);
		nearest_name(value->key, r->table[i].name, &best);
	}
	const struct setting *near = best ? settings_find(r->table, r->n, best) : NULL;
	if (near)
		setting_key(near, best_key);
	best = near ? best_key : NULL;
	nearest_name(value->key, "sink", &best);
	nearest_name(value->key, "relabel", &best);
	tell_unknown(r, value, "", best);
	return 0;
}

int config_file_read(const char *text, size_t bytes, const struct setting *table, size_t n, void *object, struct sink_list *sinks,
		     struct config_problems *problems)
{
	struct reading r = {.table = table, .n = n, .object = object, .sinks = sinks, .problems = problems};
	size_t before = problems->n + problems->more;
	struct toml_value *root = NULL;

	int err = toml_read(text, bytes, problems, &root);
	if (err == -ENOMEM)
		return err;
	err = 0;
	for (const struct toml_value *value = root->first; value && err == 0; value = value->next) {
		if (value->is_broken)
			continue;
		if (strcmp(value->key, "sink") == 0)
			err = take_sinks(&r, value);
		else if (strcmp(value->key, "relabel") == 0)
			err = take_rules(&r, value, "", &sinks->rules);
		else
			err = take_setting(&r, value);
	}
	toml_free(root);
	return err < 0 ? err : problems->n + problems->more > before ? -EBADMSG : 0;
}
