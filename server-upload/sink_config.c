#include "server-upload/sink_config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"
#include "base/text_clean.h"
#include "server-upload/label_set.h"
#include "server-upload/url.h"

#define OTLP_GRPC_PORT	   4317
#define BYTES_PER_S_MIN	   (4u << 10)
#define BYTES_PER_S_MAX	   (1ull << 40)
#define TIMEOUT_MAX_S	   600
#define SERIES_MAX	   100000
#define HEADER_NAME_MAX	   128
#define HEADER_VALUE_MAX   4096

static const struct {
	const char *name;
	uint16_t port; /* where the servers listen, for HOST without one; 0: that of the scheme */
} KINDS[SINK_KINDS] = {
	[SINK_PYROSCOPE] = {"pyroscope", 4040}, [SINK_PARCA] = {"parca", 7070},	      [SINK_OTLP_HTTP] = {"otlp", 4318},
	[SINK_OTLP_GRPC] = {"otlp", OTLP_GRPC_PORT}, [SINK_HTTP] = {"http", 0}, [SINK_DIR] = {"dir", 0},
};

const char *sink_kind_name(enum sink_kind kind)
{
	return (unsigned)kind < SINK_KINDS ? KINDS[kind].name : "unknown";
}

/* --- KIND=URL ------------------------------------------------------------------------------------------------ */

static int find_kind(const char *text, size_t n, enum sink_kind *kind_out, struct why *why)
{
	for (size_t i = 0; i < SINK_KINDS; i++) {
		if (strlen(KINDS[i].name) == n && strncmp(KINDS[i].name, text, n) == 0) {
			*kind_out = (enum sink_kind)i;
			return 0;
		}
	}
	/* Nor is a URL without its KIND= repeated. */
	if (n > 20 || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") < n)
		n = 0;
	return why_set(why, -EINVAL, "'%.*s' is no kind of server: pyroscope, parca, otlp, http, dir", (int)n, text);
}

/* What the scheme says: of the protocol, and of gRPC. */
static int take_scheme(struct url *url, enum sink_kind *kind, struct why *why)
{
	bool is_grpc = strcmp(url->scheme, "grpc") == 0 || strcmp(url->scheme, "grpcs") == 0;
	bool has_scheme = *url->scheme;

	if (*kind == SINK_OTLP_HTTP && (is_grpc || url->port == OTLP_GRPC_PORT))
		*kind = SINK_OTLP_GRPC;
	if (is_grpc && *kind != SINK_OTLP_GRPC && *kind != SINK_PARCA)
		return why_set(why, -EINVAL, "%s is not spoken over gRPC; use http:// or https://", sink_kind_name(*kind));
	if (is_grpc || !has_scheme)
		snprintf(url->scheme, sizeof(url->scheme), "%s", strcmp(url->scheme, "grpcs") == 0 ? "https" : "http");
	if (strcmp(url->scheme, "http") != 0 && strcmp(url->scheme, "https") != 0)
		return why_set(why, -EINVAL, "'%s://' is none of http://, https://, grpc://, grpcs://", url->scheme);
	/* A URL without a port means its scheme's; HOST alone, and grpc://HOST, that of the server. */
	if (!url->port && (is_grpc || !has_scheme))
		url->port = KINDS[*kind].port;
	return 0;
}

static int take_url(const char *text, struct sink_config *sink, struct why *why)
{
	struct why inner;
	struct url url;
	char port[8] = "";

	int err = url_parse(text, &url, &inner);
	if (err == 0)
		err = take_scheme(&url, &sink->kind, &inner);
	if (err == 0 && *url.path && strcmp(url.path, "/") != 0 && (sink->kind == SINK_PARCA || sink->kind == SINK_OTLP_GRPC))
		err = why_set(&inner, -EINVAL, "gRPC has no path: HOST:PORT is enough");
	if (err == 0 && strchr(url.path, '?') && sink->kind != SINK_HTTP)
		err = why_set(&inner, -EINVAL, "no '?' in it");
	if (err < 0)
		return why_set(why, err, "%s: %s", sink_kind_name(sink->kind), inner.text);
	size_t path = strlen(url.path);
	while (path && url.path[path - 1] == '/' && !strchr(url.path, '?'))
		path--;
	if (url.port && url.port != (strcmp(url.scheme, "http") == 0 ? 80 : 443))
		snprintf(port, sizeof(port), ":%u", url.port);
	if (asprintf(&sink->url, "%s://%s%s%.*s", url.scheme, url.host, port, (int)path, url.path) < 0) {
		sink->url = NULL;
		return -ENOMEM;
	}
	return 0;
}

static bool is_path(const char *text)
{
	return text[0] == '/' && strlen(text) < 4096 && text_is_clean(text, strlen(text));
}

static int take_dir(const char *text, struct sink_config *sink, struct why *why)
{
	if (!is_path(text))
		return why_set(why, -EINVAL, "dir: '%.100s' is no absolute path", text);
	sink->url = strdup(text);
	return sink->url ? 0 : -ENOMEM;
}

int sink_config_parse(const char *text, struct sink_config *sink_out, struct why *why)
{
	struct sink_config sink = {.n_labels = 0};
	const char *equals = strchr(text, '=');

	/* It is not repeated in the message: there may be a password in it. */
	if (!equals)
		return why_set(why, -EINVAL, "it is not KIND=URL, such as pyroscope=http://HOST:4040");
	int err = find_kind(text, (size_t)(equals - text), &sink.kind, why);
	if (err == 0)
		err = sink.kind == SINK_DIR ? take_dir(equals + 1, &sink, why) : take_url(equals + 1, &sink, why);
	if (err < 0)
		return err;
	*sink_out = sink;
	return 0;
}

/* --- settings ------------------------------------------------------------------------------------------------ */

static int set_string(char **string, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*string);
	*string = copy;
	return 0;
}

static int set_file(char **path, const char *value, struct why *why)
{
	return is_path(value) ? set_string(path, value) : why_set(why, -EINVAL, "'%.100s' is no absolute path", value);
}

static int set_name(struct sink_config *sink, const char *value, struct why *why)
{
	size_t n = strlen(value);

	if (n == 0 || n >= SINK_NAME_MAX || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789._-") != n)
		return why_set(why, -EINVAL, "'%.80s' is no name of a sink: a-z, 0-9, '.', '_' and '-', at most %d", value, SINK_NAME_MAX - 1);
	memcpy(sink->name, value, n + 1);
	return 0;
}

static int set_text(char **string, const char *value, struct why *why)
{
	if (!*value || strlen(value) > LABEL_VALUE_MAX || !text_is_clean(value, strlen(value)))
		return why_set(why, -EINVAL, "it must be text of 1 to %d bytes, without control characters", LABEL_VALUE_MAX);
	return set_string(string, value);
}

static int set_user(struct sink_config *sink, const char *value, struct why *why)
{
	if (strchr(value, ':'))
		return why_set(why, -EINVAL, "a user has no ':' in its name; the password goes into a file (basic_password_file)");
	return set_text(&sink->basic_user, value, why);
}

static int set_proxy(struct sink_config *sink, const char *value, struct why *why)
{
	static const char *const SCHEMES[] = {"", "http", "https", "socks5", "socks5h"};
	struct url url = {.port = 0};

	if (!*value)
		return set_string(&sink->proxy, "");
	int err = url_parse(value, &url, why);
	if (err < 0)
		return err;
	for (size_t i = 0; i < sizeof(SCHEMES) / sizeof(SCHEMES[0]); i++)
		if (strcmp(url.scheme, SCHEMES[i]) == 0)
			return set_string(&sink->proxy, value);
	return why_set(why, -EINVAL, "'%s://' is none of http://, https://, socks5://, socks5h://", url.scheme);
}

/* A number with a unit: UNITS[i] stands for steps[i]. */
static int take_number(const char *text, const char *units, const uint64_t *steps, uint64_t low, uint64_t high, uint64_t *value_out)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(text, &end, 10), step = 1;
	if (errno || !isdigit((unsigned char)text[0]))
		return -EINVAL;
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		step = steps[unit - units];
		end++;
	}
	if (*end || value > UINT64_MAX / step || value * step < low || value * step > high)
		return -EINVAL;
	*value_out = value * step;
	return 0;
}

static int set_bytes_per_s(uint64_t *bytes_per_s, const char *value, struct why *why)
{
	static const uint64_t STEPS[] = {1ull << 10, 1ull << 20, 1ull << 30};

	if (take_number(value, "KMG", STEPS, BYTES_PER_S_MIN, BYTES_PER_S_MAX, bytes_per_s) < 0)
		return why_set(why, -EINVAL, "'%.40s' is no number of bytes such as 4M, 4K or more", value);
	return 0;
}

static int set_timeout(struct sink_config *sink, const char *value, struct why *why)
{
	static const uint64_t STEPS[] = {1, 60};
	uint64_t seconds;

	if (take_number(value, "sm", STEPS, 1, TIMEOUT_MAX_S, &seconds) < 0)
		return why_set(why, -EINVAL, "'%.40s' is no time such as 30s, from 1s to 10m", value);
	sink->timeout_s = (uint32_t)seconds;
	return 0;
}

static int set_series_max(struct sink_config *sink, const char *value, struct why *why)
{
	uint64_t series;

	if (take_number(value, "", NULL, 1, SERIES_MAX, &series) < 0)
		return why_set(why, -EINVAL, "'%.40s' is no number from 1 to %d", value, SERIES_MAX);
	sink->series_max = (uint32_t)series;
	return 0;
}

const char *const sink_symbolize_names[] = {"local", "server", "both", NULL};

bool sink_kind_symbolizes(enum sink_kind kind, enum sink_symbolize symbolize)
{
	switch (symbolize) {
	case SYMBOLIZE_SERVER:
		return kind == SINK_PARCA || kind == SINK_OTLP_HTTP || kind == SINK_OTLP_GRPC;
	case SYMBOLIZE_BOTH:
		return kind == SINK_PARCA;
	default:
		return true;
	}
}

static int set_symbolize(struct sink_config *sink, const char *value, struct why *why)
{
	for (int i = 0; sink_symbolize_names[i]; i++) {
		if (strcmp(value, sink_symbolize_names[i]) == 0) {
			sink->symbolize = (enum sink_symbolize)(SYMBOLIZE_LOCAL + i);
			return 0;
		}
	}
	return why_set(why, -EINVAL, "'%.40s' is none of local, server, both", value);
}

static int set_bool(bool *flag, const char *value, struct why *why)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return why_set(why, -EINVAL, "'%.40s' is neither true nor false", value);
	*flag = strcmp(value, "true") == 0;
	return 0;
}

/* --- labels and headers -------------------------------------------------------------------------------------- */

static void remove_pair(struct sink_pair *pairs, size_t *n, size_t at)
{
	free(pairs[at].name);
	free(pairs[at].value);
	(*n)--;
	memmove(&pairs[at], &pairs[at + 1], (*n - at) * sizeof(*pairs));
}

static int set_pair(struct sink_pair *pairs, size_t *n, const char *name, const char *value, int (*compare)(const char *, const char *),
		    struct why *why)
{
	size_t at = 0;

	while (at < *n && compare(pairs[at].name, name) != 0)
		at++;
	if (!*value) {
		if (at < *n)
			remove_pair(pairs, n, at);
		return 0;
	}
	if (at < *n)
		return set_string(&pairs[at].value, value);
	if (*n == SINK_PAIRS_MAX)
		return why_set(why, -E2BIG, "more than %d", SINK_PAIRS_MAX);
	struct sink_pair pair = {.name = strdup(name), .value = strdup(value)};
	if (!pair.name || !pair.value) {
		free(pair.name);
		free(pair.value);
		return -ENOMEM;
	}
	pairs[(*n)++] = pair;
	return 0;
}

static int set_label(struct sink_config *sink, const char *name, const char *value, struct why *why)
{
	if (!label_name_is_valid(name) || strncmp(name, "__", 2) == 0)
		return why_set(why, -EINVAL, "'%.80s' is no name of a label: letters, digits and _, and not __ at its begin", name);
	if (strlen(value) > LABEL_VALUE_MAX || !text_is_clean(value, strlen(value)))
		return why_set(why, -EINVAL, "the value must be text of at most %d bytes, without control characters", LABEL_VALUE_MAX);
	return set_pair(sink->labels, &sink->n_labels, name, value, strcmp, why);
}

/* Those that hearth or its library writes, and what to use for those that carry secrets. */
static const char *header_is_ours(const char *name)
{
	static const struct {
		const char *name, *instead;
	} OURS[] = {
		{"Authorization", "use bearer_token_file, or basic_user and basic_password_file"},
		{"Proxy-Authorization", "a proxy's password is not supported"},
		{"X-Scope-OrgID", "use tenant"},
		{"Host", "it follows from the URL"},
		{"Content-Type", "it follows from the kind of the server"},
		{"Content-Encoding", "it follows from the kind of the server"},
		{"Content-Length", "hearth writes it"},
		{"Transfer-Encoding", "hearth writes it"},
		{"Connection", "hearth writes it"},
		{"Expect", "hearth writes it"},
		{"TE", "hearth writes it"},
		{"Trailer", "hearth writes it"},
		{"Upgrade", "hearth writes it"},
	};

	for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++)
		if (strcasecmp(name, OURS[i].name) == 0)
			return OURS[i].instead;
	return NULL;
}

static int set_header(struct sink_config *sink, const char *name, const char *value, struct why *why)
{
	const char *instead = header_is_ours(name);
	size_t n = strlen(value);

	/* Source: RFC 9110, "token"; the value as "field-value" without what is not ASCII. */
	if (!*name || strlen(name) > HEADER_NAME_MAX ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") != strlen(name))
		return why_set(why, -EINVAL, "'%.80s' is no name of a header", name);
	if (instead)
		return why_set(why, -EINVAL, "the header %s cannot be set: %s", name, instead);
	if (n > HEADER_VALUE_MAX || (n && (value[0] == ' ' || value[n - 1] == ' ')))
		return why_set(why, -EINVAL, "the value must have at most %d bytes, and no space at its ends", HEADER_VALUE_MAX);
	for (size_t i = 0; i < n; i++)
		if (!isprint((unsigned char)value[i]))
			return why_set(why, -EINVAL, "the value must be printable ASCII");
	return set_pair(sink->headers, &sink->n_headers, name, value, strcasecmp, why);
}

/* --- the whole ----------------------------------------------------------------------------------------------- */

enum key {
	KEY_NAME,
	KEY_LABELS,
	KEY_HEADERS,
	KEY_TENANT,
	KEY_BEARER_TOKEN_FILE,
	KEY_BASIC_USER,
	KEY_BASIC_PASSWORD_FILE,
	KEY_CA_FILE,
	KEY_CERT_FILE,
	KEY_KEY_FILE,
	KEY_PROXY,
	KEY_BYTES_PER_S,
	KEY_TIMEOUT,
	KEY_SERIES_MAX,
	KEY_SYMBOLIZE,
	KEY_DEBUGINFO_BYTES_PER_S,
	KEY_INSECURE_HTTP_AUTH,
	N_KEYS,
};

static const char *const KEYS[N_KEYS + 1] = {
	[KEY_NAME] = "name",
	[KEY_LABELS] = "labels.",
	[KEY_HEADERS] = "headers.",
	[KEY_TENANT] = "tenant",
	[KEY_BEARER_TOKEN_FILE] = "bearer_token_file",
	[KEY_BASIC_USER] = "basic_user",
	[KEY_BASIC_PASSWORD_FILE] = "basic_password_file",
	[KEY_CA_FILE] = "ca_file",
	[KEY_CERT_FILE] = "cert_file",
	[KEY_KEY_FILE] = "key_file",
	[KEY_PROXY] = "proxy",
	[KEY_BYTES_PER_S] = "bytes_per_s",
	[KEY_TIMEOUT] = "timeout",
	[KEY_SERIES_MAX] = "series_max",
	[KEY_SYMBOLIZE] = "symbolize",
	[KEY_DEBUGINFO_BYTES_PER_S] = "debuginfo_bytes_per_s",
	[KEY_INSECURE_HTTP_AUTH] = "insecure_http_auth",
};

const char *const *sink_config_keys(void)
{
	return KEYS;
}

static int set(struct sink_config *sink, enum key key, const char *name, const char *value, struct why *why)
{
	switch (key) {
	case KEY_NAME:
		return set_name(sink, value, why);
	case KEY_LABELS:
		return set_label(sink, name, value, why);
	case KEY_HEADERS:
		return set_header(sink, name, value, why);
	case KEY_TENANT:
		return set_text(&sink->tenant, value, why);
	case KEY_BEARER_TOKEN_FILE:
		return set_file(&sink->bearer_token_file, value, why);
	case KEY_BASIC_USER:
		return set_user(sink, value, why);
	case KEY_BASIC_PASSWORD_FILE:
		return set_file(&sink->basic_password_file, value, why);
	case KEY_CA_FILE:
		return set_file(&sink->ca_file, value, why);
	case KEY_CERT_FILE:
		return set_file(&sink->cert_file, value, why);
	case KEY_KEY_FILE:
		return set_file(&sink->key_file, value, why);
	case KEY_PROXY:
		return set_proxy(sink, value, why);
	case KEY_BYTES_PER_S:
		return set_bytes_per_s(&sink->bytes_per_s, value, why);
	case KEY_TIMEOUT:
		return set_timeout(sink, value, why);
	case KEY_SERIES_MAX:
		return set_series_max(sink, value, why);
	case KEY_SYMBOLIZE:
		return set_symbolize(sink, value, why);
	case KEY_DEBUGINFO_BYTES_PER_S:
		return set_bytes_per_s(&sink->debuginfo_bytes_per_s, value, why);
	case KEY_INSECURE_HTTP_AUTH:
		return set_bool(&sink->insecure_http_auth, value, why);
	case N_KEYS:
		break;
	}
	return -ENOENT;
}

int sink_config_set(struct sink_config *sink, const char *key, const char *value, struct why *why)
{
	struct why inner = {""};

	for (size_t i = 0; i < N_KEYS; i++) {
		size_t n = strlen(KEYS[i]);
		bool is_table = KEYS[i][n - 1] == '.';
		if (is_table ? strncmp(key, KEYS[i], n) != 0 : strcmp(key, KEYS[i]) != 0)
			continue;
		int err = set(sink, (enum key)i, key + n, value, &inner);
		return err == -EINVAL || err == -E2BIG ? why_set(why, err, "%.100s: %s", key, inner.text) : err;
	}
	return why_set(why, -ENOENT, "a sink has no setting '%.100s'", key);
}

int sink_config_check(const struct sink_config *sink, struct why *why)
{
	struct why ignored;
	struct url url;

	if (!sink->basic_user != !sink->basic_password_file)
		return why_set(why, -EINVAL, "basic_user and basic_password_file go together");
	if (!sink->cert_file != !sink->key_file)
		return why_set(why, -EINVAL, "cert_file and key_file go together");
	if (sink->basic_user && sink->bearer_token_file)
		return why_set(why, -EINVAL, "either basic_user or bearer_token_file, not both");
	if (!sink_kind_symbolizes(sink->kind, sink->symbolize))
		return why_set(why, -EINVAL, "symbolize = \"%s\" is not for %s: %s", sink_symbolize_names[sink->symbolize - SYMBOLIZE_LOCAL],
			       sink_kind_name(sink->kind),
			       sink->symbolize == SYMBOLIZE_BOTH ? "debug information goes to parca only" : "of these servers parca and otlp take addresses");
	if (sink->kind == SINK_DIR)
		return 0;
	bool is_plain = strncmp(sink->url, "http://", 7) == 0;
	if (is_plain && (sink->ca_file || sink->cert_file))
		return why_set(why, -EINVAL, "ca_file and cert_file are for https");
	if (!is_plain || sink->insecure_http_auth || (!sink->basic_user && !sink->bearer_token_file))
		return 0;
	if (url_parse(sink->url, &url, &ignored) == 0 && url_is_loopback(&url))
		return 0;
	return why_set(why, -EINVAL, "its secret would go over plain http, for all to read: use https, or say insecure_http_auth = true");
}

static const struct sink_config *find_name(struct sink_config *const *sinks, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(sinks[i]->name, name) == 0)
			return sinks[i];
	return NULL;
}

int sink_config_name_all(struct sink_config *const *sinks, size_t n, struct why *why)
{
	for (size_t i = 0; i < n; i++)
		if (*sinks[i]->name && find_name(sinks, i, sinks[i]->name))
			return why_set(why, -EINVAL, "two sinks have the name '%s'", sinks[i]->name);
	for (size_t i = 0; i < n; i++) {
		char name[SINK_NAME_MAX];
		if (*sinks[i]->name)
			continue;
		snprintf(name, sizeof(name), "%s", sink_kind_name(sinks[i]->kind));
		for (unsigned number = 2; find_name(sinks, n, name); number++)
			snprintf(name, sizeof(name), "%s-%u", sink_kind_name(sinks[i]->kind), number);
		memcpy(sinks[i]->name, name, sizeof(name));
	}
	return 0;
}

static bool equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool pairs_are_equal(const struct sink_pair *a, size_t n_a, const struct sink_pair *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!equal(a[i].name, b[i].name) || !equal(a[i].value, b[i].value))
			return false;
	return true;
}

bool sink_config_is_equal(const struct sink_config *a, const struct sink_config *b)
{
	return strcmp(a->name, b->name) == 0 && a->kind == b->kind && equal(a->url, b->url) &&
	       pairs_are_equal(a->labels, a->n_labels, b->labels, b->n_labels) && pairs_are_equal(a->headers, a->n_headers, b->headers, b->n_headers) &&
	       equal(a->tenant, b->tenant) && equal(a->bearer_token_file, b->bearer_token_file) && equal(a->basic_user, b->basic_user) &&
	       equal(a->basic_password_file, b->basic_password_file) && equal(a->ca_file, b->ca_file) && equal(a->cert_file, b->cert_file) &&
	       equal(a->key_file, b->key_file) && equal(a->proxy, b->proxy) && a->bytes_per_s == b->bytes_per_s && a->timeout_s == b->timeout_s &&
	       a->debuginfo_bytes_per_s == b->debuginfo_bytes_per_s && a->symbolize == b->symbolize && a->series_max == b->series_max && a->insecure_http_auth == b->insecure_http_auth;
}

static int copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int copy_pairs(struct sink_pair *to, size_t *n_to, const struct sink_pair *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* Counted when it is whole or in part: sink_config_deinit() takes both. */
		++*n_to;
		if (copy_text(&to[i].name, from[i].name) < 0 || copy_text(&to[i].value, from[i].value) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int copy_all(struct sink_config *to, const struct sink_config *from)
{
	*to = (struct sink_config){.kind = from->kind, .bytes_per_s = from->bytes_per_s, .timeout_s = from->timeout_s, .series_max = from->series_max,
				   .insecure_http_auth = from->insecure_http_auth, .symbolize = from->symbolize,
				   .debuginfo_bytes_per_s = from->debuginfo_bytes_per_s};
	memcpy(to->name, from->name, sizeof(to->name));
	if (copy_text(&to->url, from->url) < 0 || copy_text(&to->tenant, from->tenant) < 0 ||
	    copy_text(&to->bearer_token_file, from->bearer_token_file) < 0 || copy_text(&to->basic_user, from->basic_user) < 0 ||
	    copy_text(&to->basic_password_file, from->basic_password_file) < 0 || copy_text(&to->ca_file, from->ca_file) < 0 ||
	    copy_text(&to->cert_file, from->cert_file) < 0 || copy_text(&to->key_file, from->key_file) < 0 || copy_text(&to->proxy, from->proxy) < 0 ||
	    copy_pairs(to->labels, &to->n_labels, from->labels, from->n_labels) < 0)
		return -ENOMEM;
	return copy_pairs(to->headers, &to->n_headers, from->headers, from->n_headers);
}

int sink_config_copy(const struct sink_config *from, struct sink_config *to_out)
{
	struct sink_config copy;

	int err = copy_all(&copy, from);
	if (err < 0)
		sink_config_deinit(&copy);
	else
		*to_out = copy;
	return err;
}

void sink_config_deinit(struct sink_config *sink)
{
	char *const strings[] = {sink->url,	       sink->tenant,  sink->bearer_token_file, sink->basic_user, sink->basic_password_file,
				 sink->ca_file,	       sink->cert_file, sink->key_file,		sink->proxy};

	while (sink->n_labels)
		remove_pair(sink->labels, &sink->n_labels, sink->n_labels - 1);
	while (sink->n_headers)
		remove_pair(sink->headers, &sink->n_headers, sink->n_headers - 1);
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free(strings[i]);
	*sink = (struct sink_config){.n_labels = 0};
}
