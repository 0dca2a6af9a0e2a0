#include "web/web_exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"
#include "web/request_guard.h"
#include "web/request_target.h"
#include "web/web_pages.h"

#define COOKIE	     "hearth"
#define CRASH_SAY_NS (60 * NS_PER_S)
#define BLOCKED	     "too many wrong tokens from this address: wait a minute"

struct exchange {
	struct exchange *prev, *next; /* those that wait */
	struct web_site *site;
	struct MHD_Connection *connection;
	struct peer *peer;
	struct request_target target;
	int target_err;
	char *raw; /* as it came; where a login goes back to */
	const char *host;
	bool is_post, is_api, is_begun, wants_gzip;
	uint8_t *body;
	size_t body_bytes;
	bool is_too_large;
	bool waits, is_gone; /* for its query; its client is */
	uint64_t serial;
	struct MHD_Response *ready; /* of the query */
	unsigned ready_status;
	uint64_t ready_bytes;
	uint64_t sending_bytes; /* its part of the site's */
	uint8_t *key; /* in the cache; NULL: it is not to be kept */
	size_t key_bytes;
};

struct exchange *exchange_create(struct web_site *site, struct MHD_Connection *connection, const char *raw)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->site = site;
	x->connection = connection;
	x->raw = strndup(raw, TARGET_BYTES_MAX);
	x->target_err = x->raw ? request_target_parse(raw, &x->target) : -ENOMEM;
	const union MHD_ConnectionInfo *info = site->mhd->get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	x->peer = info ? info->socket_context : NULL;
	return x;
}

static void stop_waiting(struct exchange *x)
{
	if (!x->waits)
		return;
	DL_DELETE(x->site->waiting, x);
	x->waits = false;
}

void exchange_destroy(struct exchange *x)
{
	if (!x)
		return;
	if (x->waits)
		query_queue_cancel(x->site->queue, x->serial);
	stop_waiting(x);
	x->site->sending_bytes -= x->sending_bytes;
	if (x->ready)
		x->site->mhd->destroy_response(x->ready);
	request_target_deinit(&x->target);
	free(x->raw);
	free(x->body);
	free(x->key);
	free(x);
}

static const char *header(const struct exchange *x, const char *name)
{
	return x->site->mhd->lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* response: given up here. bytes: of its body, for how long it may take. */
static enum MHD_Result queue(struct exchange *x, unsigned status, struct MHD_Response *response, uint64_t bytes)
{
	struct web_site *site = x->site;

	if (!response)
		return MHD_NO; /* no memory: the connection is closed */
	enum MHD_Result result = site->mhd->queue_response(x->connection, status, response);
	site->mhd->destroy_response(response);
	if (status < STATUSES_MAX)
		site->statuses[status]++;
	if (x->peer)
		x->peer->deadline_ns = clock_ns(CLOCK_MONOTONIC) + WEB_REQUEST_NS + bytes / WEB_LEAST_RATE * NS_PER_S;
	return result;
}

static enum MHD_Result refuse_with(struct exchange *x, const struct web_reply *reply, const char *sentence)
{
	return queue(x, reply->status, page_sentence(x->site, reply, x->is_api, sentence), 0);
}

static enum MHD_Result refuse(struct exchange *x, unsigned status, const char *sentence)
{
	return refuse_with(x, &(struct web_reply){.status = status}, sentence);
}

/* --- who asks ---------------------------------------------------------------------------------------------------- */

struct header_sum {
	size_t bytes;
	unsigned hosts;
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct header_sum *sum = context;

	(void)kind;
	sum->bytes += strlen(key) + (value ? strlen(value) : 0) + 4;
	sum->hosts += strcasecmp(key, "Host") == 0;
	return MHD_YES;
}

static bool is_path(const struct exchange *x, const char *path)
{
	return strcmp(x->target.path, path) == 0;
}

/* Returns a refusal's status, or 0; *sentence_out. */
static unsigned check_head(struct exchange *x, const char **sentence_out)
{
	const struct web_server_options *o = &x->site->options;
	struct header_sum sum = {0};

	x->site->mhd->get_connection_values(x->connection, MHD_HEADER_KIND, count_header, &sum);
	*sentence_out = "the headers are too large";
	if (sum.bytes > WEB_HEADER_BYTES)
		return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
	*sentence_out = "the address is too long, or has too many parameters";
	if (x->target_err == -E2BIG)
		return MHD_HTTP_URI_TOO_LONG;
	*sentence_out = "the address is not valid: after decoding it must be UTF-8 without control characters";
	if (x->target_err < 0)
		return MHD_HTTP_BAD_REQUEST;
	*sentence_out = "one Host header is needed";
	x->host = header(x, "Host");
	if (sum.hosts != 1 || !x->host)
		return MHD_HTTP_BAD_REQUEST;
	*sentence_out = "hearth does not know itself by this name: open the page as 127.0.0.1 or localhost, or start hearth agent with --listen-host NAME";
	if (!guard_host(x->host, o->names, o->n_names, o->is_open))
		return MHD_HTTP_MISDIRECTED_REQUEST;
	*sentence_out = "requests of other pages are not answered";
	if (!guard_origin(header(x, "Origin"), x->host) || !guard_fetch(header(x, "Sec-Fetch-Site"), header(x, "Sec-Fetch-Mode"), header(x, "Sec-Fetch-Dest"), !x->is_post))
		return MHD_HTTP_FORBIDDEN;
	return 0;
}

/* The form is at the page's own address, so that what stands behind the '?' stays. */
static bool is_login(const struct exchange *x)
{
	return x->is_post && is_path(x, "/") && !login_is_open(x->site->login);
}

static bool is_for_all(const struct exchange *x)
{
	return is_path(x, "/healthz") || is_path(x, "/readyz") || is_path(x, "/login.css") || is_login(x);
}

static enum MHD_Result refuse_blocked(struct exchange *x, uint64_t left_ns)
{
	return refuse_with(x, &(struct web_reply){.status = MHD_HTTP_TOO_MANY_REQUESTS, .retry_after_s = (unsigned)(left_ns / NS_PER_S + 1)}, BLOCKED);
}

static enum MHD_Result ask_for_token(struct exchange *x, unsigned status)
{
	const char *accept = header(x, "Accept");
	struct web_reply reply = {.status = status, .cache = "no-store"};
	const struct web_asset *form = web_asset_find(WEB_ASSET_LOGIN);

	if (form && is_path(x, "/") && accept && strstr(accept, "text/html"))
		return queue(x, status, page_asset(x->site, form, x->wants_gzip, NULL, &reply), form->bytes);
	reply.authenticate = "Bearer realm=\"hearth\"";
	return refuse_with(x, &reply, "a token is needed: Authorization: Bearer TOKEN, or open the page in a browser");
}

/* Whether it may; else *result_out is what became of it. */
static bool may_see(struct exchange *x, enum MHD_Result *result_out)
{
	struct web_site *site = x->site;
	const char *bearer = guard_bearer(header(x, "Authorization"));
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), left_ns;
	size_t n = 0;
	const char *cookie = guard_cookie(header(x, "Cookie"), COOKIE, &n);

	if (login_is_open(site->login) || is_for_all(x) || (cookie && login_session(site->login, cookie, n, now_ns)))
		return true;
	if (bearer && x->peer && login_is_blocked(site->login, x->peer->address, now_ns, &left_ns)) {
		*result_out = refuse_blocked(x, left_ns);
		return false;
	}
	if (bearer && login_token(site->login, bearer))
		return true;
	if (bearer) {
		site->logins_failed++;
		if (x->peer)
			login_failed(site->login, x->peer->address, now_ns);
	}
	*result_out = ask_for_token(x, MHD_HTTP_UNAUTHORIZED);
	return false;
}

/* Whether it may stand in a header as it came. */
static bool is_plain(const char *text)
{
	while (*text > ' ' && *text <= '~')
		text++;
	return !*text;
}

static enum MHD_Result log_in(struct exchange *x)
{
	struct web_site *site = x->site;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), left_ns;
	char digits[LOGIN_COOKIE_DIGITS + 1], cookie[LOGIN_COOKIE_DIGITS + 128];
	struct request_target form = {.text = NULL};

	if (x->peer && login_is_blocked(site->login, x->peer->address, now_ns, &left_ns))
		return refuse_blocked(x, left_ns);
	const char *token = request_form_parse(x->body, x->body_bytes, &form) == 0 ? request_parameter(&form, "token") : NULL;
	bool is_right = token && login_token(site->login, token) && login_begin(site->login, now_ns, digits) == 0;
	request_target_deinit(&form);
	if (!is_right) {
		site->logins_failed++;
		if (x->peer)
			login_failed(site->login, x->peer->address, now_ns);
		return ask_for_token(x, MHD_HTTP_UNAUTHORIZED);
	}
	snprintf(cookie, sizeof(cookie), COOKIE "=%s; Path=/; Max-Age=%llu; HttpOnly; SameSite=Strict%s", digits, LOGIN_SESSION_NS / NS_PER_S,
		 site->is_tls ? "; Secure" : "");
	const struct web_reply reply = {.status = MHD_HTTP_SEE_OTHER, .content_type = "text/plain", .cookie = cookie,
					.location = is_plain(x->raw) ? x->raw : "/"};
	return queue(x, reply.status, web_reply_static(site->mhd, &reply, "", 0), 0);
}

static enum MHD_Result log_out(struct exchange *x)
{
	const struct web_reply reply = {.status = MHD_HTTP_SEE_OTHER, .content_type = "text/plain", .location = "/",
					.cookie = COOKIE "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"};
	size_t n = 0;
	const char *cookie = guard_cookie(header(x, "Cookie"), COOKIE, &n);

	if (cookie)
		login_end(x->site->login, cookie, n);
	return queue(x, reply.status, web_reply_static(x->site->mhd, &reply, "", 0), 0);
}

/* --- queries ----------------------------------------------------------------------------------------------------- */

static size_t put_key(uint8_t *to, size_t at, const char *text)
{
	size_t n = strlen(text) + 1;

	memcpy(to + at, text, n);
	return at + n;
}

/* What makes two requests the same. NULL: no memory, or they are not to be kept. */
static void make_key(struct exchange *x)
{
	size_t n = strlen(x->target.path) + 2;

	for (size_t i = 0; i < x->target.n_parameters; i++)
		n += strlen(x->target.parameters[i].key) + strlen(x->target.parameters[i].value) + 2;
	x->key = x->is_post ? NULL : malloc(n);
	if (!x->key)
		return;
	x->key[0] = x->wants_gzip;
	size_t at = put_key(x->key, 1, x->target.path);
	for (size_t i = 0; i < x->target.n_parameters; i++) {
		at = put_key(x->key, at, x->target.parameters[i].key);
		at = put_key(x->key, at, x->target.parameters[i].value);
	}
	x->key_bytes = at;
}

/* A header that is for others to read: as struct web_request has it. */
static const char *clean_header(const struct exchange *x, const char *name)
{
	const char *text = header(x, name);

	return text && text_is_clean(text, strlen(text)) ? text : "";
}

static enum MHD_Result ask(struct exchange *x)
{
	struct web_site *site = x->site;
	const struct web_request request = {.method = x->is_post ? "POST" : "GET", .path = x->target.path, .parameters = x->target.parameters,
					    .n_parameters = x->target.n_parameters, .content_type = clean_header(x, "Content-Type"), .accept = clean_header(x, "Accept"),
					    .body = x->body, .body_bytes = x->body_bytes};

	make_key(x);
	struct MHD_Response *kept = x->key ? answer_cache_find(site->cache, x->key, x->key_bytes, clock_ns(CLOCK_MONOTONIC)) : NULL;
	if (kept) {
		enum MHD_Result result = site->mhd->queue_response(x->connection, MHD_HTTP_OK, kept);
		site->statuses[MHD_HTTP_OK]++;
		if (x->peer)
			x->peer->deadline_ns = clock_ns(CLOCK_MONOTONIC) + WEB_REQUEST_NS + WEB_CACHE_BYTES / WEB_LEAST_RATE * NS_PER_S;
		return result;
	}
	/* Who takes its answers slowly makes the others wait, not the machine's memory go. */
	int err = site->sending_bytes > site->options.sending_bytes ?
			  -EBUSY :
			  query_queue_add(site->queue, &request, x->wants_gzip, x, &x->serial);
	if (err == -EBUSY)
		return refuse_with(x, &(struct web_reply){.status = MHD_HTTP_SERVICE_UNAVAILABLE, .retry_after_s = 2},
				   "too many queries at once, or answers that nobody takes: try again in a few seconds");
	if (err < 0)
		return refuse(x, err == -E2BIG ? MHD_HTTP_CONTENT_TOO_LARGE : MHD_HTTP_INTERNAL_SERVER_ERROR, "the query cannot be started");
	x->waits = true;
	DL_APPEND(site->waiting, x);
	if (x->peer)
		x->peer->deadline_ns = 0;
	site->mhd->suspend_connection(x->connection);
	return MHD_YES;
}

static const char *why_failed(const struct query_result *result, struct web_reply *reply)
{
	reply->status = MHD_HTTP_SERVICE_UNAVAILABLE;
	if (result->is_late) {
		reply->retry_after_s = 5;
		return "the query had to wait too long behind others: try again";
	}
	switch (result->done->outcome) {
	case QUERY_OVER_CPU:
		return "the query took more CPU time than it may (20 s): choose a shorter range, or filter more";
	case QUERY_OVER_TIME:
		return "the query took longer than it may (30 s): choose a shorter range, or filter more";
	case QUERY_CRASHED:
		reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		return "the process of the query died: please report this; a shorter range may work";
	default:
		break;
	}
	if (result->done->status == -ENOMEM)
		return "the query needs more memory than it may have (768 MiB): choose a shorter range, or filter more";
	if (result->done->status == -EFBIG)
		return "the answer is larger than it may be (256 MiB): choose a shorter range, or filter more";
	reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	return "the query could not be answered";
}

static void say_crash(struct web_site *site, const struct exchange *x)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	char text[256];

	if (!site->options.say || (site->crash_said_ns && now_ns < site->crash_said_ns + CRASH_SAY_NS))
		return;
	site->crash_said_ns = now_ns;
	snprintf(text, sizeof(text), "the process of a query (%.100s) died; the page goes on, hearth_web_queries_total counts them", x->target.path);
	site->options.say(site->options.context, text);
}

static struct MHD_Response *answer(struct exchange *x, const struct query_result *result)
{
	const struct query_done *done = result->done;
	struct web_reply reply = {.status = MHD_HTTP_OK};

	if (result->is_late || done->outcome != QUERY_ANSWERED || result->fd < 0) {
		const char *why = why_failed(result, &reply);
		if (result->fd >= 0)
			close(result->fd);
		if (!result->is_late && done->outcome == QUERY_CRASHED)
			say_crash(x->site, x);
		x->ready_status = reply.status;
		return page_sentence(x->site, &reply, true, why);
	}
	reply = (struct web_reply){.status = (unsigned)done->status, .content_type = done->content_type, .is_gzip = done->is_gzip, .filename = done->filename};
	x->ready_status = reply.status;
	x->ready_bytes = result->bytes;
	return web_reply_file(x->site->mhd, &reply, result->fd, result->bytes);
}

void exchange_result(void *context, void *asker, const struct query_result *result)
{
	struct web_site *site = context;
	struct exchange *x = asker;

	stop_waiting(x);
	x->ready = answer(x, result);
	bool is_kept = x->ready && x->ready_status == MHD_HTTP_OK && x->key && !result->is_late && result->done->is_final;
	/* The cache and this exchange both hold it: one more reference is what queueing it takes, so the cache's is the one it was made with. */
	if (is_kept && answer_cache_add(site->cache, x->key, x->key_bytes, x->ready, x->ready_bytes, clock_ns(CLOCK_MONOTONIC)) == 0) {
		x->ready = NULL;
	} else {
		free(x->key);
		x->key = NULL;
		x->sending_bytes = x->ready_bytes;
		site->sending_bytes += x->sending_bytes;
	}
	site->mhd->resume_connection(x->connection);
}

/* Its query is answered. */
static enum MHD_Result finish(struct exchange *x)
{
	struct web_site *site = x->site;

	if (x->is_gone)
		return MHD_NO;
	if (!x->ready && x->key) {
		/* It is in the cache, unless others have taken its place since. */
		struct MHD_Response *kept = answer_cache_peek(site->cache, x->key, x->key_bytes);
		if (!kept)
			return MHD_NO;
		enum MHD_Result result = site->mhd->queue_response(x->connection, x->ready_status, kept);
		site->statuses[x->ready_status]++;
		if (x->peer)
			x->peer->deadline_ns = clock_ns(CLOCK_MONOTONIC) + WEB_REQUEST_NS + x->ready_bytes / WEB_LEAST_RATE * NS_PER_S;
		return result;
	}
	return queue(x, x->ready_status, take_ptr(x->ready), x->ready_bytes);
}

/* --- the way of a request ----------------------------------------------------------------------------------------- */

static enum MHD_Result route(struct exchange *x)
{
	struct web_site *site = x->site;
	const char *accept = header(x, "Accept");
	unsigned status = MHD_HTTP_OK;
	struct MHD_Response *response = NULL;
	const struct web_asset *asset = web_asset_find(x->target.path);

	if (x->is_too_large)
		return refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than 64 KiB");
	if (x->is_api)
		return ask(x);
	if (is_login(x))
		return log_in(x);
	if (x->is_post)
		return log_out(x);
	if (is_path(x, "/healthz"))
		response = page_health(site);
	else if (is_path(x, "/readyz"))
		response = page_ready(site, &status);
	else if (is_path(x, "/metrics"))
		response = page_metrics(site, accept && strstr(accept, "application/openmetrics-text"));
	else if (asset && !is_path(x, WEB_ASSET_LOGIN)) {
		struct web_reply reply = {.status = MHD_HTTP_OK};
		response = page_asset(site, asset, x->wants_gzip, header(x, "If-None-Match"), &reply);
		return queue(x, reply.status, response, asset->bytes);
	} else if (is_path(x, "/"))
		return refuse(x, MHD_HTTP_NOT_FOUND, "this hearth was built without its page; /metrics and /api/v1/status work");
	else
		return refuse(x, MHD_HTTP_NOT_FOUND, "there is nothing here");
	return queue(x, status, response, 0);
}

/* All headers are there. Returns whether to go on; else *result_out is what became of it. */
static bool begin(struct exchange *x, const char *method, enum MHD_Result *result_out)
{
	bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	struct web_reply not_allowed = {.status = MHD_HTTP_METHOD_NOT_ALLOWED, .allow = "GET, HEAD"};
	const char *sentence, *length = header(x, "Content-Length");

	x->is_post = strcmp(method, "POST") == 0;
	x->wants_gzip = guard_accepts_gzip(header(x, "Accept-Encoding"));
	x->is_api = x->target_err == 0 && x->site->options.has(x->target.path);
	unsigned status = check_head(x, &sentence);
	if (status) {
		*result_out = refuse(x, status, sentence);
		return false;
	}
	if (!is_get && !(x->is_post && (x->is_api || is_login(x) || is_path(x, "/logout")))) {
		if (x->is_api)
			not_allowed.allow = "GET, HEAD, POST";
		*result_out = refuse_with(x, &not_allowed, "this method is not for this address");
		return false;
	}
	if (length && strtoull(length, NULL, 10) > QUERY_BODY_MAX) {
		*result_out = refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than 64 KiB");
		return false;
	}
	return may_see(x, result_out);
}

static void take_body(struct exchange *x, const char *data, size_t n)
{
	if (n > QUERY_BODY_MAX - x->body_bytes)
		x->is_too_large = true;
	if (x->is_too_large)
		return;
	uint8_t *more = realloc(x->body, x->body_bytes + n);
	if (!more) {
		x->is_too_large = true;
		return;
	}
	x->body = more;
	memcpy(x->body + x->body_bytes, data, n);
	x->body_bytes += n;
}

enum MHD_Result exchange_step(struct exchange *x, const char *method, const char *data, size_t *n_inout)
{
	enum MHD_Result result = MHD_YES;

	if (!x->is_begun) {
		x->is_begun = true;
		begin(x, method, &result);
		return result;
	}
	if (*n_inout) {
		take_body(x, data, *n_inout);
		*n_inout = 0;
		return MHD_YES;
	}
	return x->serial ? finish(x) : route(x);
}

/* --- those that wait --------------------------------------------------------------------------------------------- */

size_t exchanges_poll(const struct web_site *site, struct pollfd *fds, size_t n)
{
	size_t i = 0;
	struct exchange *x;

	DL_FOREACH(site->waiting, x) {
		if (i == n)
			break;
		fds[i++] = (struct pollfd){.fd = x->peer ? x->peer->fd : -1, .events = POLLRDHUP};
	}
	return i;
}

static void leave(struct exchange *x)
{
	query_queue_cancel(x->site->queue, x->serial);
	stop_waiting(x);
	x->is_gone = true;
	x->site->mhd->resume_connection(x->connection);
}

void exchanges_work(struct web_site *site, const struct pollfd *fds, size_t n)
{
	struct exchange *x, *next;

	/* By descriptors: the list may be another one by now. */
	for (size_t i = 0; i < n; i++) {
		if (fds[i].fd < 0 || !(fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)))
			continue;
		DL_FOREACH_SAFE(site->waiting, x, next)
			if (x->peer && x->peer->fd == fds[i].fd)
				leave(x);
	}
}

void exchanges_end(struct web_site *site)
{
	while (site->waiting)
		leave(site->waiting);
}
