#include "server-upload/http_exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"

#define TIMEOUT_S      30
#define CONNECT_S      10
#define BYTES_PER_S    (128u << 10) /* a request may take a second longer for each of these */
#define STALL_BYTES    1000L
#define REDIRECTS_MAX  3
#define FRAME_BYTES    5
#define URL_MAX	       8192
#define WAIT_FDS_MAX   4
#define CONNECTIONS    32L
#define GZIP_WINDOW    (15 + 16)
#define GZIP_LEVEL     4 /* docs/uploading.md, "Measured" */

struct http_client {
	const struct curl_library *library;
	CURLM *multi;
};

struct http_exchange {
	struct http_client *client;
	const struct http_form *form;
	const struct sink_config *sink;
	CURL *curl;
	struct curl_slist *headers, *packed_headers; /* packed: with the encoding */
	char *url;
	char target[URL_MAX]; /* of this request: with its query, or where it was sent on to */
	char error[CURL_ERROR_SIZE];
	/* the request */
	uint8_t frame[FRAME_BYTES];
	size_t n_frame;
	const uint8_t *body;
	uint8_t *packed;
	struct http_source source; /* read: NULL: body is it */
	uint64_t n_body, at; /* at: of frame and body together; of a source: what was read of it */
	uint64_t begin_ns;
	bool busy, done;
	uint32_t redirects;
	/* Where libcurl spoils it: see choose_connection(). */
	bool connected, reuses, went_to_connect;
	/* the reply */
	CURLcode code;
	struct http_reply reply;
	size_t n_headers;
	uint8_t *kept; /* HTTP_BODY_MAX */
};

/* --- what libcurl calls --------------------------------------------------------------------------------------------------- */

static size_t give_body(char *to, size_t size, size_t n, void *context)
{
	struct http_exchange *e = context;
	size_t room = size * n, given = 0;

	if (e->source.read) {
		int64_t got = e->source.read(e->source.context, to, room);
		if (got < 0)
			return CURL_READFUNC_ABORT;
		e->at += (uint64_t)got;
		return (size_t)got;
	}
	if (e->at < e->n_frame) {
		given = e->n_frame - (size_t)e->at < room ? e->n_frame - (size_t)e->at : room;
		memcpy(to, e->frame + e->at, given);
		e->at += given;
	}
	uint64_t left = e->n_frame + e->n_body - e->at;
	size_t more = left < room - given ? (size_t)left : room - given;
	if (more)
		memcpy(to + given, e->body + (e->at - e->n_frame), more);
	e->at += more;
	return given + more;
}

static int seek_body(void *context, curl_off_t offset, int origin)
{
	struct http_exchange *e = context;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > e->n_frame + e->n_body)
		return CURL_SEEKFUNC_CANTSEEK;
	if (e->source.read) {
		if (offset)
			return CURL_SEEKFUNC_CANTSEEK;
		e->source.rewind(e->source.context);
	}
	e->at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t take_header(char *line, size_t size, size_t n, void *context)
{
	struct http_exchange *e = context;
	size_t bytes = size * n;

	e->n_headers += bytes;
	if (e->n_headers > HTTP_HEADERS_MAX)
		return 0;
	http_reply_take_line(&e->reply, line, bytes);
	return bytes;
}

static size_t take_body(char *data, size_t size, size_t n, void *context)
{
	struct http_exchange *e = context;
	size_t bytes = size * n, room = HTTP_BODY_MAX - e->reply.n_body;
	size_t taken = bytes < room ? bytes : room;

	memcpy(e->kept + e->reply.n_body, data, taken);
	e->reply.n_body += taken;
	e->reply.is_cut = taken < bytes;
	return e->reply.is_cut ? 0 : bytes;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_exchange *e = context;

	(void)purpose;
	e->went_to_connect = e->reuses;
	return e->reuses ? CURL_SOCKET_BAD : socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* --- setting up ----------------------------------------------------------------------------------------------------------- */

int http_client_create(const struct curl_library *library, struct http_client **client_out)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->library = library;
	client->multi = library->multi_init();
	/* No two requests on one connection at a time: a stream that hangs takes no other one along. */
	if (!client->multi || library->multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS) != CURLM_OK ||
	    library->multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK) {
		http_client_destroy(client);
		return -ENOMEM;
	}
	*client_out = client;
	return 0;
}

void http_client_destroy(struct http_client *client)
{
	if (!client)
		return;
	if (client->multi)
		client->library->multi_cleanup(client->multi);
	free(client);
}

static int add_header(const struct curl_library *l, struct curl_slist **list, const char *name, const char *middle, const char *value)
{
	char *line = malloc(strlen(name) + strlen(middle) + strlen(value) + 1);

	if (!line)
		return -ENOMEM;
	strcpy(stpcpy(stpcpy(line, name), middle), value);
	struct curl_slist *longer = l->slist_append(*list, line);
	secret_free(line);
	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

/* Those of the message itself are ours. */
static bool is_reserved(const char *name)
{
	static const char *const NAMES[] = {"content-type", "content-encoding", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer",
					    "upgrade", "grpc-encoding", "grpc-accept-encoding"};

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
		if (strcasecmp(name, NAMES[i]) == 0)
			return true;
	return false;
}

static int list_headers(const struct http_exchange *e, const struct sink_secrets *secrets, bool packed, struct curl_slist **list)
{
	const struct curl_library *l = e->client->library;
	/* A signed URL may have been signed without one. */
	int err = e->form->content_type ? add_header(l, list, "Content-Type", ": ", e->form->content_type) : add_header(l, list, "Content-Type", ":", "");

	if (err == 0)
		err = add_header(l, list, "Expect", ":", ""); /* none: bodies are small, and some proxies do not know it */
	if (err == 0 && e->form->header)
		err = add_header(l, list, e->form->header, "", "");
	if (err == 0 && e->form->is_grpc)
		err = add_header(l, list, "TE", ": ", "trailers");
	if (err == 0 && packed)
		err = add_header(l, list, e->form->is_grpc ? "grpc-encoding" : "Content-Encoding", ": ", "gzip");
	if (err == 0 && e->sink->tenant)
		err = add_header(l, list, "X-Scope-OrgID", ": ", e->sink->tenant);
	if (err == 0 && secrets->bearer_token)
		err = add_header(l, list, "Authorization", ": Bearer ", secrets->bearer_token);
	for (size_t i = 0; err == 0 && i < e->sink->n_headers; i++)
		if (!is_reserved(e->sink->headers[i].name))
			err = add_header(l, list, e->sink->headers[i].name, *e->sink->headers[i].value ? ": " : ";",
					 e->sink->headers[i].value);
	return err;
}

static void free_headers(const struct curl_library *l, struct curl_slist *list)
{
	for (struct curl_slist *item = list; item; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	l->slist_free_all(list);
}

/* One setting after the other, until one is refused. */
#define SET(option, value)                                                                                                       \
	do {                                                                                                                     \
		if (code == CURLE_OK)                                                                                            \
			code = l->easy_setopt(e->curl, option, value);                                                           \
	} while (0)

static CURLcode set_transfer(struct http_exchange *e)
{
	const struct curl_library *l = e->client->library;
	long timeout_s = e->sink->timeout_s ? (long)e->sink->timeout_s : TIMEOUT_S;
	CURLcode code = CURLE_OK;

	SET(CURLOPT_PRIVATE, e);
	SET(CURLOPT_ERRORBUFFER, e->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(e->form->is_put ? CURLOPT_UPLOAD : CURLOPT_POST, 1L);
	SET(CURLOPT_USERAGENT, "hearth/" HEARTH_VERSION);
	SET(CURLOPT_READFUNCTION, give_body);
	SET(CURLOPT_READDATA, e);
	SET(CURLOPT_SEEKFUNCTION, seek_body);
	SET(CURLOPT_SEEKDATA, e);
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, e);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, e);
	SET(CURLOPT_CONNECTTIMEOUT, timeout_s < CONNECT_S ? timeout_s : CONNECT_S);
	SET(CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
	SET(CURLOPT_LOW_SPEED_TIME, timeout_s);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, e);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* a proxy's CONNECT does not get our headers */
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	return code;
}

static CURLcode set_blob(struct http_exchange *e, CURLoption option, const char *text)
{
	struct curl_blob blob = {(void *)(uintptr_t)text, text ? strlen(text) : 0, CURL_BLOB_NOCOPY};

	return text ? e->client->library->easy_setopt(e->curl, option, &blob) : CURLE_OK;
}

/* SAFETY 23: verified (libcurl's default, said again). */
static CURLcode set_trust(struct http_exchange *e, const struct sink_secrets *secrets)
{
	const struct curl_library *l = e->client->library;
	CURLcode code = set_blob(e, CURLOPT_CAINFO_BLOB, secrets->ca);

	/* Without a folder libcurl holds the machine's certificates once for all connections. */
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (code == CURLE_OK)
		code = set_blob(e, CURLOPT_SSLCERT_BLOB, secrets->cert);
	if (code == CURLE_OK)
		code = set_blob(e, CURLOPT_SSLKEY_BLOB, secrets->key);
	if (e->sink->basic_user || secrets->basic_password) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, e->sink->basic_user ? e->sink->basic_user : "");
		SET(CURLOPT_PASSWORD, secrets->basic_password ? secrets->basic_password : "");
	}
	return code;
}

static bool is_https(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0;
}

static CURLcode set_way(struct http_exchange *e)
{
	const struct curl_library *l = e->client->library;
	CURLcode code = CURLE_OK;

	SET(CURLOPT_HTTP_VERSION, (long)(e->form->is_grpc && !is_https(e->url) ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_2TLS));
	if (e->form->is_grpc)
		SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	if (e->sink->proxy)
		SET(CURLOPT_PROXY, e->sink->proxy);
	return code;
}

int http_exchange_create(struct http_client *client, const char *url, const struct http_form *form, const struct sink_config *sink,
			 const struct sink_secrets *secrets, struct http_exchange **exchange_out, struct why *why)
{
	struct http_exchange *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->client = client;
	e->form = form;
	e->sink = sink;
	e->url = strdup(url);
	e->kept = malloc(HTTP_BODY_MAX);
	e->curl = client->library->easy_init();
	int err = e->url && e->kept && e->curl ? 0 : -ENOMEM;
	if (err == 0)
		err = list_headers(e, secrets, false, &e->headers);
	if (err == 0)
		err = list_headers(e, secrets, true, &e->packed_headers);
	if (err == 0) {
		CURLcode code = set_transfer(e);
		if (code == CURLE_OK)
			code = set_trust(e, secrets);
		if (code == CURLE_OK)
			code = set_way(e);
		if (code != CURLE_OK)
			err = why_set(why, -EINVAL, "libcurl: %s", client->library->easy_strerror(code));
	}
	if (err < 0) {
		http_exchange_destroy(e);
		return err;
	}
	*exchange_out = e;
	return 0;
}

void http_exchange_destroy(struct http_exchange *e)
{
	if (!e)
		return;
	if (e->busy && !e->done)
		e->client->library->multi_remove_handle(e->client->multi, e->curl);
	if (e->curl)
		e->client->library->easy_cleanup(e->curl);
	free_headers(e->client->library, e->headers);
	free_headers(e->client->library, e->packed_headers);
	free(e->url);
	free(e->kept);
	free(e->packed);
	free(e);
}

/* --- a request ------------------------------------------------------------------------------------------------------------ */

/* gzip in one piece. Returns 0 or -ENOMEM. */
static int pack(const uint8_t *bytes, size_t n, uint8_t **packed_out, size_t *n_out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)n};

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	size_t room = deflateBound(&z, (uLong)n);
	uint8_t *packed = malloc(room);
	z.next_out = packed;
	z.avail_out = (uInt)room;
	int result = packed ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	deflateEnd(&z);
	if (result != Z_STREAM_END) {
		free(packed);
		return -ENOMEM;
	}
	uint8_t *smaller = realloc(packed, z.total_out);
	*packed_out = smaller ? smaller : packed;
	*n_out = z.total_out;
	return 0;
}

/* Prior knowledge is for new connections only, where libcurl cannot do it on others; on others plain HTTP/2 is the same, and new ones are not made then. So a request on a
 * connection that is gone fails before anything is sent, and is begun again with a new one. */
static CURLcode choose_connection(struct http_exchange *e)
{
	const struct curl_library *l = e->client->library;
	CURLcode code = CURLE_OK;

	if (!l->spoils_prior_knowledge || !e->form->is_grpc || is_https(e->url))
		return code;
	e->reuses = e->connected;
	e->connected = e->went_to_connect = false;
	SET(CURLOPT_HTTP_VERSION, (long)(e->reuses ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
	SET(CURLOPT_FRESH_CONNECT, e->reuses ? 0L : 1L);
	return code;
}

static int start(struct http_exchange *e)
{
	const struct curl_library *l = e->client->library;
	uint64_t limit = e->source.read ? e->source.bytes_per_s : 0, slowest = limit && limit < BYTES_PER_S ? limit : BYTES_PER_S;
	uint64_t timeout_s = (e->sink->timeout_s ? e->sink->timeout_s : TIMEOUT_S) + (e->n_frame + e->n_body) / slowest;
	CURLcode code = choose_connection(e);

	e->at = e->n_headers = 0;
	if (e->source.read)
		e->source.rewind(e->source.context);
	e->error[0] = '\0';
	e->reply = (struct http_reply){.grpc_status = -1};
	SET(CURLOPT_URL, e->target);
	SET(CURLOPT_HTTPHEADER, e->packed ? e->packed_headers : e->headers);
	SET(e->form->is_put ? CURLOPT_INFILESIZE_LARGE : CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(e->n_frame + e->n_body));
	SET(CURLOPT_MAX_SEND_SPEED_LARGE, (curl_off_t)limit);
	SET(CURLOPT_TIMEOUT_MS, (long)(timeout_s * 1000));
	e->busy = true;
	e->done = false;
	if (code == CURLE_OK && l->multi_add_handle(e->client->multi, e->curl) == CURLM_OK)
		return 0;
	e->busy = false;
	return -ENOMEM;
}

int http_exchange_begin(struct http_exchange *e, const char *query, const uint8_t *body, size_t n_body, bool gzip)
{
	int n = snprintf(e->target, sizeof(e->target), "%s%s", e->url, query ? query : "");

	if (e->busy)
		return -EBUSY;
	if (n < 0 || (size_t)n >= sizeof(e->target) || n_body > UINT32_MAX)
		return -E2BIG;
	free(e->packed);
	e->packed = NULL;
	e->source.read = NULL;
	e->body = body;
	if (gzip) {
		int err = pack(body, n_body, &e->packed, &n_body);
		if (err < 0)
			return err;
		e->body = e->packed;
	}
	e->n_body = n_body;
	e->n_frame = e->form->is_grpc ? FRAME_BYTES : 0;
	e->frame[0] = e->packed != NULL;
	for (int i = 0; i < 4; i++)
		e->frame[1 + i] = (uint8_t)(e->n_body >> (24 - 8 * i));
	e->redirects = 0;
	e->begin_ns = clock_ns(CLOCK_BOOTTIME);
	return start(e);
}

int http_exchange_begin_stream(struct http_exchange *e, const char *query, const struct http_source *source)
{
	int n = snprintf(e->target, sizeof(e->target), "%s%s", e->url, query ? query : "");

	if (e->busy)
		return -EBUSY;
	if (n < 0 || (size_t)n >= sizeof(e->target) || source->n_bytes > UINT32_MAX)
		return -E2BIG;
	free(e->packed);
	e->packed = NULL;
	e->body = NULL;
	e->source = *source;
	e->n_body = source->n_bytes;
	e->n_frame = 0;
	e->redirects = 0;
	e->begin_ns = clock_ns(CLOCK_BOOTTIME);
	return start(e);
}

uint64_t http_exchange_bytes(const struct http_exchange *e)
{
	return e->n_frame + e->n_body;
}

bool http_exchange_is_busy(const struct http_exchange *e)
{
	return e->busy;
}

/* --- a reply -------------------------------------------------------------------------------------------------------------- */

static enum http_failure failure_of(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_PROXY:
		return HTTP_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_TIMED_OUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CRL_BADFILE:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CLIENTCERT:
		return HTTP_DISTRUSTED;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_NOT_BUILT_IN:
	case CURLE_UNKNOWN_OPTION:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return HTTP_UNUSABLE;
	case CURLE_OUT_OF_MEMORY:
		return HTTP_NO_MEMORY;
	default:
		return HTTP_BROKEN;
	}
}

static void set_failure(struct http_exchange *e, enum http_failure failure, const char *text)
{
	e->reply.failure = failure;
	text_clean(text, strlen(text), e->reply.error, sizeof(e->reply.error));
}

/* A status line is the server's word, whatever became of the rest; if it had all of the request. Of gRPC the word is grpc-status. */
static bool has_answered(const struct http_exchange *e)
{
	uint64_t all = e->n_frame + e->n_body;

	if (e->reply.status < 200)
		return false;
	if (e->reply.status >= 300)
		return true;
	if (e->form->is_grpc)
		return e->reply.grpc_status > 0 || (e->reply.grpc_status == 0 && e->code == CURLE_OK);
	return e->code == CURLE_OK || e->reply.bytes_sent >= all;
}

static void finish(struct http_exchange *e)
{
	const struct curl_library *l = e->client->library;
	curl_off_t retry_after_s = 0, sent = 0;
	long version = 0;
	char *redirect = NULL;

	l->easy_getinfo(e->curl, CURLINFO_RETRY_AFTER, &retry_after_s);
	l->easy_getinfo(e->curl, CURLINFO_SIZE_UPLOAD_T, &sent);
	l->easy_getinfo(e->curl, CURLINFO_HTTP_VERSION, &version);
	l->easy_getinfo(e->curl, CURLINFO_REDIRECT_URL, &redirect);
	struct http_reply *r = &e->reply;
	r->bytes_sent = sent > 0 ? (uint64_t)sent : 0;
	r->took_ns = clock_ns(CLOCK_BOOTTIME) - e->begin_ns;
	r->body = e->kept;
	if (retry_after_s > 0)
		r->retry_after_ns = retry_after_s < INT32_MAX ? (uint64_t)retry_after_s * NS_PER_S : INT32_MAX * NS_PER_S;
	if (redirect)
		text_clean(redirect, strcspn(redirect, "?#"), r->redirect, sizeof(r->redirect));
	if (!has_answered(e)) {
		if (e->code == CURLE_OK && e->form->is_grpc && r->status >= 200 && strncmp(r->content_type, "application/grpc", 16) != 0)
			set_failure(e, HTTP_UNUSABLE, "the reply is not gRPC");
		else if (e->n_headers > HTTP_HEADERS_MAX || r->is_cut)
			set_failure(e, HTTP_BROKEN, "the reply is too long");
		else
			set_failure(e, e->code == CURLE_OK ? HTTP_BROKEN : failure_of(e->code),
				    e->error[0] ? e->error : e->code == CURLE_OK ? "the reply ends early" : l->easy_strerror(e->code));
	} else if (e->form->is_grpc && version && version < CURL_HTTP_VERSION_2_0) {
		set_failure(e, HTTP_UNUSABLE, "the server does not speak HTTP/2, which gRPC needs");
	}
}

/* Whether the request goes to another place of the same server: then it is under way again. */
static bool follow(struct http_exchange *e)
{
	char *to = NULL;
	const char *host = strstr(e->target, "://");

	if (e->code != CURLE_OK || (e->reply.status != 307 && e->reply.status != 308) || e->redirects >= REDIRECTS_MAX || !host)
		return false;
	size_t n_origin = (size_t)(host - e->target) + 3;
	n_origin += strcspn(e->target + n_origin, "/?#");
	if (e->client->library->easy_getinfo(e->curl, CURLINFO_REDIRECT_URL, &to) != CURLE_OK || !to || strlen(to) >= sizeof(e->target) ||
	    strncmp(to, e->target, n_origin) != 0 || (to[n_origin] != '/' && to[n_origin] != '?'))
		return false;
	strcpy(e->target, to);
	e->redirects++;
	return start(e) == 0;
}

bool http_exchange_take(struct http_exchange *e, struct http_reply *reply_out)
{
	if (!e->busy || !e->done)
		return false;
	e->busy = false;
	if (e->went_to_connect && start(e) == 0)
		return false;
	if (follow(e))
		return false;
	e->connected = e->code == CURLE_OK;
	finish(e);
	*reply_out = e->reply;
	return true;
}

/* --- the loop ------------------------------------------------------------------------------------------------------------- */

static bool collect(struct http_client *client)
{
	const struct curl_library *l = client->library;
	bool ended = false;
	int running, left;

	l->multi_perform(client->multi, &running);
	for (CURLMsg *message; (message = l->multi_info_read(client->multi, &left)) != NULL;) {
		char *context = NULL;
		CURLcode code = message->data.result;
		CURL *curl = message->easy_handle;
		if (message->msg != CURLMSG_DONE || l->easy_getinfo(curl, CURLINFO_PRIVATE, &context) != CURLE_OK)
			continue;
		struct http_exchange *e = (void *)context;
		l->multi_remove_handle(client->multi, curl);
		e->code = code;
		e->done = ended = true;
	}
	return ended;
}

void http_client_wait(struct http_client *client, const int *fds, bool *ready_out, size_t n_fds, int timeout_ms)
{
	struct curl_waitfd extra[WAIT_FDS_MAX] = {{0}};
	int n = 0;

	n_fds = n_fds < WAIT_FDS_MAX ? n_fds : WAIT_FDS_MAX;
	for (size_t i = 0; i < n_fds; i++)
		extra[i] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
	/* What began since the last call is not in the set yet. */
	if (collect(client))
		timeout_ms = 0;
	client->library->multi_poll(client->multi, extra, (unsigned)n_fds, timeout_ms, &n);
	for (size_t i = 0; i < n_fds; i++)
		ready_out[i] = extra[i].revents != 0;
	collect(client);
}
