/* A sink: where windows go, and how. Filled by options and by the configuration file; the process that uploads gets it over its socket. */
#ifndef HEARTH_SERVER_UPLOAD_SINK_CONFIG_H
#define HEARTH_SERVER_UPLOAD_SINK_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define SINKS_MAX 16
#define SINK_NAME_MAX 64
#define SINK_PAIRS_MAX 32 /* labels, headers */

enum sink_kind { SINK_PYROSCOPE, SINK_PARCA, SINK_OTLP_HTTP, SINK_OTLP_GRPC, SINK_HTTP, SINK_DIR, SINK_KINDS };

/* Who names the addresses of programs. Of a sink: not said is as of all sinks, and local at last. */
enum sink_symbolize {
	SYMBOLIZE_UNSAID,
	SYMBOLIZE_LOCAL,  /* hearth: the server gets names, and addresses where there are none */
	SYMBOLIZE_SERVER, /* the server: it gets addresses, of files that have a build id; parca gets their debug information too */
	SYMBOLIZE_BOTH,	  /* parca: names and debug information */
	SYMBOLIZES,
};

struct sink_pair {
	char *name, *value;
};

/* All strings are owned by the struct; NULL: not set. Files are named by path here; the agent opens them, and hands their contents on (see
 * server-upload/sink_secrets.h): the process that uploads has no file system. */
struct sink_config {
	char name[SINK_NAME_MAX]; /* unique, [a-z0-9._-]; "": none yet. By default KIND, KIND-2, ...: the outbox's mark is kept by it */
	enum sink_kind kind;
	char *url;		  /* scheme http or https, host, port, path, without a user or password; no / at its end; dir: the path */
	struct sink_pair labels[SINK_PAIRS_MAX], headers[SINK_PAIRS_MAX];
	size_t n_labels, n_headers;
	char *tenant;		  /* X-Scope-OrgID */
	char *bearer_token_file, *basic_user, *basic_password_file;
	char *ca_file, *cert_file, *key_file;
	char *proxy;		  /* NULL: as the environment says; "": none */
	uint64_t bytes_per_s;	  /* limit; 0: 4 MB/s */
	uint64_t debuginfo_bytes_per_s; /* of debug information; 0: 1 MiB/s */
	enum sink_symbolize symbolize;
	uint32_t timeout_s;	  /* of one request; 0: 30 */
	uint32_t series_max;	  /* a window's; 0: 5,000 */
	bool insecure_http_auth;  /* send secrets over plain http to other hosts than this one; refused otherwise */
};

/* "KIND=URL" as --upload takes it: pyroscope=URL, parca=HOST:PORT or URL, otlp=URL (gRPC when the port is 4317 or the scheme is grpc or grpcs), http=URL, dir=PATH.
 * User and password in a URL are refused (they would show up in ps): why says what to use. Returns 0, -EINVAL, -ENOMEM. */
int sink_config_parse(const char *text, struct sink_config *sink_out, struct why *why);
/* One setting by its name in the configuration file (sink_config_keys()), such as "bearer_token_file", "labels.env", "headers.X-Team". A value that was set before is
 * replaced; an empty one of labels and headers takes them out. Untouched on failure: -EINVAL or -E2BIG (SINK_PAIRS_MAX) with why, -ENOMEM; -ENOENT: no such setting. */
int sink_config_set(struct sink_config *sink, const char *key, const char *value, struct why *why);
/* What needs more than one setting: both of basic_user and basic_password_file, of cert_file and key_file, no secrets over plain http, a server that can name addresses. Returns 0, or -EINVAL with why. */
int sink_config_check(const struct sink_config *sink, struct why *why);
/* Give each sink without a name its default one, and check that all differ. Returns 0, or -EINVAL with why. */
int sink_config_name_all(struct sink_config *const *sinks, size_t n, struct why *why);
/* to_out: sink_config_deinit(). Returns 0 or -ENOMEM. */
int sink_config_copy(const struct sink_config *from, struct sink_config *to_out);
bool sink_config_is_equal(const struct sink_config *a, const struct sink_config *b);
/* The names that sink_config_set() knows; "labels." and "headers." stand for all that begin so. Ends in NULL. */
const char *const *sink_config_keys(void);
/* Whether a kind of server can do its part. */
bool sink_kind_symbolizes(enum sink_kind kind, enum sink_symbolize symbolize);
/* "local", "server", "both", NULL: enum sink_symbolize without the first. */
extern const char *const sink_symbolize_names[];
/* "pyroscope", "parca", "otlp" (both), "http", "dir". */
const char *sink_kind_name(enum sink_kind kind);
void sink_config_deinit(struct sink_config *sink);

#endif
