#include "server-upload/upload_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "server-upload/upload_protocol.h"

#define MAGIC	   0x68757032 /* "hup2": this version of the bytes */
#define NO_STRING  UINT32_MAX
#define STRING_MAX (64u << 10)

/* Writing and reading are one walk over the fields: they cannot differ. */
struct coder {
	bool writes;
	int err;	   /* -ENOMEM, -EBADMSG, -E2BIG */
	uint8_t *bytes;	   /* read: borrowed; written: owned, NULL while bytes are only counted */
	size_t n, at;
	const char *field; /* the one that was wrong */
};

static void fail(struct coder *c, int err, const char *field)
{
	if (!c->err) {
		c->err = err;
		c->field = field;
	}
}

static void code_bytes(struct coder *c, void *bytes, size_t n, const char *field)
{
	if (c->err)
		return;
	if (c->writes) {
		if (c->bytes)
			memcpy(c->bytes + c->at, bytes, n);
	} else if (n > c->n - c->at) {
		fail(c, -EBADMSG, field);
		return;
	} else {
		memcpy(bytes, c->bytes + c->at, n);
	}
	c->at += n;
	if (c->at > UPLOAD_CONFIG_BYTES)
		fail(c, -E2BIG, field);
}

static void code_u64(struct coder *c, uint64_t *value, const char *field)
{
	code_bytes(c, value, sizeof(*value), field);
}

static uint32_t code_u32(struct coder *c, uint32_t value, uint32_t max, const char *field)
{
	code_bytes(c, &value, sizeof(value), field);
	if (!c->err && value > max)
		fail(c, -EBADMSG, field);
	/* A walk that writes changes nothing, even when it fails. */
	return c->err && !c->writes ? 0 : value;
}

static void code_bool(struct coder *c, bool *value, const char *field)
{
	uint32_t coded = code_u32(c, *value, 1, field);

	*value = coded == 1;
}

static void code_count(struct coder *c, size_t *n, size_t max, const char *field)
{
	*n = code_u32(c, (uint32_t)*n, (uint32_t)max, field);
}

static void read_string(struct coder *c, char **text, uint32_t n, size_t max, const char *field)
{
	if (n > max || n > c->n - c->at || memchr(c->bytes + c->at, '\0', n)) {
		fail(c, -EBADMSG, field);
		return;
	}
	*text = malloc((size_t)n + 1);
	if (!*text) {
		fail(c, -ENOMEM, field);
		return;
	}
	memcpy(*text, c->bytes + c->at, n);
	(*text)[n] = '\0';
	c->at += n;
}

static void code_string(struct coder *c, char **text, size_t max, const char *field)
{
	size_t bytes = c->writes && *text ? strlen(*text) : 0;

	if (bytes > max) {
		fail(c, -E2BIG, field);
		return;
	}
	uint32_t n = code_u32(c, c->writes && !*text ? NO_STRING : (uint32_t)bytes, UINT32_MAX, field);
	if (c->err || n == NO_STRING)
		return;
	if (c->writes)
		code_bytes(c, *text, bytes, field);
	else
		read_string(c, text, n, max, field);
}

/* A string that must be there. */
static void code_name(struct coder *c, char **text, const char *field)
{
	code_string(c, text, STRING_MAX, field);
	if (!c->err && !*text)
		fail(c, -EBADMSG, field);
}

static void code_pairs(struct coder *c, struct sink_pair pairs[SINK_PAIRS_MAX], size_t *n, const char *field)
{
	size_t count = *n;

	code_count(c, &count, SINK_PAIRS_MAX, field);
	for (size_t i = 0; i < count && !c->err; i++) {
		/* Counted before they are read, so that what there is of a bad one is freed. */
		*n = c->writes ? *n : i + 1;
		code_name(c, &pairs[i].name, field);
		code_name(c, &pairs[i].value, field);
	}
}

static void code_rules(struct coder *c, struct upload_rules *rules)
{
	size_t count = rules->n;

	code_count(c, &count, UPLOAD_RULES_MAX, "rules");
	for (size_t i = 0; i < count && !c->err; i++) {
		struct relabel_rule *r = &rules->rules[i];
		const char **const TEXTS[] = {&r->action, &r->source_labels, &r->separator, &r->regex, &r->target_label, &r->replacement};
		rules->n = c->writes ? rules->n : i + 1;
		for (size_t k = 0; k < sizeof(TEXTS) / sizeof(TEXTS[0]); k++) {
			char *text = (char *)(uintptr_t)*TEXTS[k];
			code_string(c, &text, STRING_MAX, "rules");
			*TEXTS[k] = text;
		}
		code_u64(c, &r->modulus, "rules");
	}
}

static void code_secrets(struct coder *c, struct sink_secrets *s)
{
	code_string(c, &s->bearer_token, SINK_SECRET_MAX, "bearer_token_file");
	code_string(c, &s->basic_password, SINK_SECRET_MAX, "basic_password_file");
	code_string(c, &s->ca, SINK_CERTIFICATE_MAX, "ca_file");
	code_string(c, &s->cert, SINK_CERTIFICATE_MAX, "cert_file");
	code_string(c, &s->key, SINK_CERTIFICATE_MAX, "key_file");
}

static void code_sink(struct coder *c, struct upload_sink *sink)
{
	struct sink_config *s = &sink->config;

	code_bytes(c, s->name, sizeof(s->name), "name");
	s->kind = (enum sink_kind)code_u32(c, s->kind, SINK_KINDS - 1, "kind");
	code_name(c, &s->url, "url");
	code_pairs(c, s->labels, &s->n_labels, "labels");
	code_pairs(c, s->headers, &s->n_headers, "headers");
	code_string(c, &s->tenant, STRING_MAX, "tenant");
	code_string(c, &s->bearer_token_file, STRING_MAX, "bearer_token_file");
	code_string(c, &s->basic_user, STRING_MAX, "basic_user");
	code_string(c, &s->basic_password_file, STRING_MAX, "basic_password_file");
	code_string(c, &s->ca_file, STRING_MAX, "ca_file");
	code_string(c, &s->cert_file, STRING_MAX, "cert_file");
	code_string(c, &s->key_file, STRING_MAX, "key_file");
	code_string(c, &s->proxy, STRING_MAX, "proxy");
	code_u64(c, &s->bytes_per_s, "bytes_per_s");
	code_u64(c, &s->debuginfo_bytes_per_s, "debuginfo_bytes_per_s");
	s->symbolize = (enum sink_symbolize)code_u32(c, s->symbolize, SYMBOLIZES - 1, "symbolize");
	s->timeout_s = code_u32(c, s->timeout_s, UINT32_MAX, "timeout_s");
	s->series_max = code_u32(c, s->series_max, UINT32_MAX, "series_max");
	code_bool(c, &s->insecure_http_auth, "insecure_http_auth");
	code_secrets(c, &sink->secrets);
	code_rules(c, &sink->rules);
	code_string(c, &sink->held, STRING_MAX, "held");
}

static void code_common(struct coder *c, struct upload_config *config)
{
	code_pairs(c, config->labels, &config->n_labels, "labels");
	code_rules(c, &config->rules);
}

static void code_config(struct coder *c, struct upload_config *config)
{
	size_t count = config->n_sinks;

	if (code_u32(c, MAGIC, UINT32_MAX, "version") != MAGIC)
		fail(c, -EBADMSG, "version");
	code_u64(c, &config->serial, "serial");
	code_common(c, config);
	code_count(c, &count, SINKS_MAX, "sinks");
	for (size_t i = 0; i < count && !c->err; i++) {
		config->n_sinks = c->writes ? config->n_sinks : i + 1;
		code_sink(c, &config->sinks[i]);
	}
}

/* --- encoding ------------------------------------------------------------------------------------------------------------- */

int upload_rules_add(struct upload_rules *rules, const struct relabel_rule *rule)
{
	const char *const texts[] = {rule->action, rule->source_labels, rule->separator, rule->regex, rule->target_label, rule->replacement};
	struct relabel_rule *to = &rules->rules[rules->n];
	const char **const copies[] = {&to->action, &to->source_labels, &to->separator, &to->regex, &to->target_label, &to->replacement};

	if (rules->n == UPLOAD_RULES_MAX)
		return -E2BIG;
	*to = (struct relabel_rule){.modulus = rule->modulus};
	rules->n++; /* half a rule is freed with the others */
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (!texts[i])
			continue;
		*copies[i] = strdup(texts[i]);
		if (!*copies[i])
			return -ENOMEM;
	}
	return 0;
}

/* walk: codes object. Returns 0 or a negative errno. */
static int write_all(void (*walk)(struct coder *c, void *object), void *object, uint8_t **bytes_out, size_t *n_out)
{
	struct coder counter = {.writes = true};

	walk(&counter, object);
	if (counter.err)
		return counter.err;
	struct coder writer = {.writes = true, .bytes = malloc(counter.at), .n = counter.at};
	if (!writer.bytes)
		return -ENOMEM;
	walk(&writer, object);
	*bytes_out = writer.bytes;
	*n_out = writer.at;
	return 0;
}

static void walk_config(struct coder *c, void *object)
{
	code_config(c, object);
}

static void walk_sink(struct coder *c, void *object)
{
	code_sink(c, object);
}

static void walk_common(struct coder *c, void *object)
{
	code_common(c, object);
}

int upload_config_encode(const struct upload_config *config, uint8_t **bytes_out, size_t *n_bytes_out)
{
	return write_all(walk_config, (void *)(uintptr_t)config, bytes_out, n_bytes_out);
}

void upload_config_wipe(uint8_t *bytes, size_t n_bytes)
{
	if (bytes)
		explicit_bzero(bytes, n_bytes);
	free(bytes);
}

static bool is_equal(void (*walk)(struct coder *c, void *object), const void *a, const void *b)
{
	uint8_t *bytes[2] = {NULL, NULL};
	size_t n[2] = {0, 0};

	bool equal = write_all(walk, (void *)(uintptr_t)a, &bytes[0], &n[0]) == 0 && write_all(walk, (void *)(uintptr_t)b, &bytes[1], &n[1]) == 0 &&
		     n[0] == n[1] && memcmp(bytes[0], bytes[1], n[0]) == 0;
	upload_config_wipe(bytes[0], n[0]);
	upload_config_wipe(bytes[1], n[1]);
	return equal;
}

bool upload_sink_equal(const struct upload_sink *a, const struct upload_sink *b)
{
	return is_equal(walk_sink, a, b);
}

bool upload_config_common_equal(const struct upload_config *a, const struct upload_config *b)
{
	return is_equal(walk_common, a, b);
}

/* --- decoding ------------------------------------------------------------------------------------------------------------- */

/* In a header a line end would begin another one. */
static bool is_one_line(const char *text)
{
	return !text || !strpbrk(text, "\r\n");
}

static bool is_token(const char *name)
{
	return *name && strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(name);
}

static bool is_name(const char name[SINK_NAME_MAX])
{
	size_t n = strnlen(name, SINK_NAME_MAX);

	return n && n < SINK_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static const char *wrong_in(const struct upload_sink *sink)
{
	if (!is_name(sink->config.name))
		return "name";
	if (!is_one_line(sink->config.tenant))
		return "tenant";
	if (!is_one_line(sink->secrets.bearer_token))
		return "bearer_token_file";
	for (size_t i = 0; i < sink->config.n_headers; i++)
		if (!is_token(sink->config.headers[i].name) || !is_one_line(sink->config.headers[i].value))
			return "headers";
	return NULL;
}

static int check(const struct upload_config *config, struct why *why)
{
	for (size_t i = 0; i < config->n_sinks; i++) {
		const char *wrong = wrong_in(&config->sinks[i]);
		if (wrong)
			return why_set(why, -EBADMSG, "the configuration of sink %zu: its %s cannot be", i, wrong);
		for (size_t k = 0; k < i; k++)
			if (strcmp(config->sinks[i].config.name, config->sinks[k].config.name) == 0)
				return why_set(why, -EBADMSG, "two sinks are called '%s'", config->sinks[i].config.name);
	}
	return 0;
}

int upload_config_decode(const uint8_t *bytes, size_t n_bytes, struct upload_config **config_out, struct why *why)
{
	struct coder c = {.bytes = (uint8_t *)(uintptr_t)bytes, .n = n_bytes};
	struct upload_config *config = calloc(1, sizeof(*config));

	if (!config)
		return -ENOMEM;
	code_config(&c, config);
	int err = c.err ? c.err : c.at != n_bytes ? -EBADMSG : 0;
	if (err == -E2BIG)
		err = -EBADMSG;
	if (err == -EBADMSG)
		why_set(why, err, "the configuration of uploading is damaged%s%s", c.field ? ": " : "", c.field ? c.field : "");
	if (err == 0)
		err = check(config, why);
	if (err < 0) {
		upload_config_free(config);
		return err;
	}
	*config_out = config;
	return 0;
}

static void free_rules(struct upload_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		struct relabel_rule *r = &rules->rules[i];
		const char *const texts[] = {r->action, r->source_labels, r->separator, r->regex, r->target_label, r->replacement};
		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
			free((void *)(uintptr_t)texts[k]);
	}
}

static void free_pairs(struct sink_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pairs[i].name);
		secret_free(pairs[i].value);
	}
}

void upload_config_free(struct upload_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_sinks; i++) {
		struct upload_sink *sink = &config->sinks[i];
		sink_secrets_deinit(&sink->secrets);
		for (size_t k = 0; k < sink->config.n_headers; k++)
			if (sink->config.headers[k].value)
				explicit_bzero(sink->config.headers[k].value, strlen(sink->config.headers[k].value));
		sink_config_deinit(&sink->config);
		free_rules(&sink->rules);
		free(sink->held);
	}
	free_pairs(config->labels, config->n_labels);
	free_rules(&config->rules);
	free(config);
}
