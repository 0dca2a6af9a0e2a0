#include "web/web_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "web/web_exchange.h"

#define IDLE_S	     ((unsigned)(WEB_REQUEST_NS / NS_PER_S))
#define POOL_BYTES   (40u << 10) /* of a connection: headers of a request and of a response */
#define PRIORITIES   "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct web_server {
	struct web_site site;
	struct MHD_Daemon *daemon;
	int epoll_fd;
};

/* --- what the library calls --------------------------------------------------------------------------------------- */

static enum MHD_Result on_accept(void *context, const struct sockaddr *address, socklen_t n)
{
	struct web_server *s = context;

	(void)n;
	return peers_admit(&s->site.peers, address) ? MHD_YES : MHD_NO;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context, enum MHD_ConnectionNotificationCode code)
{
	struct web_server *s = context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		peers_remove(&s->site.peers, *socket_context);
		return;
	}
	const union MHD_ConnectionInfo *fd = s->site.mhd->get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	int socket = fd ? fd->connect_fd : -1;
	const union MHD_ConnectionInfo *address = s->site.mhd->get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	*socket_context = address ? peers_add(&s->site.peers, address->client_addr, socket, clock_ns(CLOCK_MONOTONIC) + WEB_REQUEST_NS) : NULL;
}

/* Called with the target as it came, before it is looked at. What it returns is the request's. */
static void *on_target(void *context, const char *raw, struct MHD_Connection *connection)
{
	struct web_server *s = context;

	return exchange_create(&s->site, connection, raw);
}

/* The library is to leave the target alone. */
static size_t leave_alone(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context, (void)connection;
	return strlen(text);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version, const char *data,
				  size_t *n_inout, void **request)
{
	(void)context, (void)connection, (void)url, (void)version;
	return *request ? exchange_step(*request, method, data, n_inout) : MHD_NO;
}

static void on_end(void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code)
{
	struct web_server *s = context;

	(void)code;
	exchange_destroy(*request);
	*request = NULL;
	const union MHD_ConnectionInfo *info = s->site.mhd->get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct peer *peer = info ? info->socket_context : NULL;
	if (peer && peer->fd >= 0)
		peer->deadline_ns = clock_ns(CLOCK_MONOTONIC) + WEB_REQUEST_NS;
}

static void on_log(void *context, const char *format, va_list arguments)
{
	(void)context, (void)format, (void)arguments; /* strangers' doing, mostly: it is counted */
}

static void destroy_response(void *context, void *response)
{
	struct web_server *s = context;

	s->site.mhd->destroy_response(response);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static int start(struct web_server *s, struct why *why)
{
	const struct web_server_options *o = &s->site.options;
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (s->site.is_tls ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->certificate},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES},
		{MHD_OPTION_END, 0, NULL},
	};

	if (s->site.is_tls && s->site.mhd->is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return why_set(why, -ENOTSUP, "this libmicrohttpd has no TLS");
	s->daemon = s->site.mhd->start_daemon(
		flags, 0, on_accept, s, on_request, s,
		/* first of all: what the others fail with */
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, o->listen_fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)PEERS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, on_end, s, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_alone, NULL, MHD_OPTION_ARRAY, s->site.is_tls ? tls : &tls[3], MHD_OPTION_END);
	if (!s->daemon)
		return why_set(why, -EINVAL, s->site.is_tls ? "TLS cannot be begun: the certificate or the key is no PEM, or they do not belong together" :
								"the HTTP server cannot be started");
	const union MHD_DaemonInfo *info = s->site.mhd->get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	s->epoll_fd = info ? info->epoll_fd : -1;
	return s->epoll_fd < 0 ? why_set(why, -EIO, "the HTTP server cannot be started") : 0;
}

int web_server_create(const struct web_server_options *options, struct web_server **server_out, struct why *why)
{
	struct web_server *s = calloc(1, sizeof(*s));

	if (!s) {
		close(options->query_socket);
		return why_set(why, -ENOMEM, "out of memory");
	}
	s->site.options = *options;
	s->site.mhd = options->mhd;
	if (!s->site.options.sending_bytes)
		s->site.options.sending_bytes = WEB_SENDING_BYTES;
	s->site.is_tls = options->certificate && *options->certificate;
	s->epoll_fd = -1;
	peers_init(&s->site.peers);
	int err = query_queue_create(options->query_socket, exchange_result, &s->site, &s->site.queue);
	if (err == 0)
		err = login_create(options->token, &s->site.login);
	if (err == 0)
		err = answer_cache_create(WEB_CACHE_BYTES, destroy_response, s, &s->site.cache);
	err = err < 0 ? why_set(why, err, "out of memory") : start(s, why);
	if (err < 0) {
		web_server_destroy(s);
		return err;
	}
	*server_out = s;
	return 0;
}

void web_server_destroy(struct web_server *s)
{
	if (!s)
		return;
	if (s->daemon) {
		/* Before the end nobody may wait. */
		exchanges_end(&s->site);
		s->site.mhd->run(s->daemon);
		s->site.mhd->stop_daemon(s->daemon);
	}
	query_queue_destroy(s->site.queue);
	answer_cache_destroy(s->site.cache);
	login_destroy(s->site.login);
	free(s);
}

/* --- work -------------------------------------------------------------------------------------------------------- */

size_t web_server_poll(const struct web_server *s, struct pollfd *fds, uint64_t *due_ns_out)
{
	uint64_t due_ns = peers_due_ns(&s->site.peers), queue_ns = query_queue_due_ns(s->site.queue), now_ns = clock_ns(CLOCK_MONOTONIC);
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (s->site.mhd->get_timeout(s->daemon, &timeout_ms) == MHD_YES && due_ns > now_ns + timeout_ms * NS_PER_MS)
		due_ns = now_ns + timeout_ms * NS_PER_MS;
	*due_ns_out = due_ns < queue_ns ? due_ns : queue_ns;
	fds[0] = (struct pollfd){.fd = s->epoll_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = query_queue_fd(s->site.queue), .events = POLLIN};
	return 2 + exchanges_poll(&s->site, fds + 2, WEB_SERVER_FDS - 2);
}

int web_server_work(struct web_server *s, const struct pollfd *fds, size_t n)
{
	/* Clients that are gone first: what they asked for need not be answered. */
	exchanges_work(&s->site, fds + 2, n - 2);
	int err = query_queue_work(s->site.queue);
	peers_end_late(&s->site.peers, clock_ns(CLOCK_MONOTONIC));
	s->site.mhd->run(s->daemon);
	return err;
}

int web_server_state(struct web_server *s, const void *payload, size_t n)
{
	int err = web_state_take(payload, n, &s->site.state);

	if (err < 0)
		return err;
	s->site.state_ns = clock_ns(CLOCK_MONOTONIC);
	query_queue_state(s->site.queue, s->site.state.json, s->site.state.head.json_bytes);
	return 0;
}
