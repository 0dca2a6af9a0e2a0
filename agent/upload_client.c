#include "agent/upload_client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/service_end.h"
#include "base/scope.h"

#define SOCKET_BUFFER (256 << 10) /* statuses of all sinks fit */

struct upload_client {
	struct upload_client_options options;
	struct channel channel; /* fd -1: no process */
	uint64_t serial;	/* of the last CONFIG that was sent */
	bool condemned;		/* its end has been said */
	struct upload_status now[SINKS_MAX];
	struct upload_status before[SINKS_MAX]; /* sums of the processes that ended */
};

__attribute__((format(printf, 3, 4))) static void say(const struct upload_client *c, enum log_level level, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	c->options.say(c->options.context, level, text);
}

int upload_client_create(const struct upload_client_options *options, struct upload_client **client_out)
{
	struct upload_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->options = *options;
	c->channel.fd = -1;
	*client_out = c;
	return 0;
}

int upload_client_start(struct upload_client *c, int *store_socket_out)
{
	AUTO_CLOSE int its_agent = -1;
	AUTO_CLOSE int its_store = -1;
	AUTO_CLOSE int store = -1;
	int pair[2], bytes = SOCKET_BUFFER;

	channel_deinit(&c->channel);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	its_agent = pair[1];
	setsockopt(its_agent, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	int err = channel_init(&c->channel, pair[0], &UPLOAD_RULES, CHANNEL_INLINE_MAX);
	if (err < 0)
		return err;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err = -errno;
	} else {
		store = pair[0];
		its_store = pair[1];
		err = services_start(c->options.services, c->options.service, (int[]){its_agent, its_store}, 2, NULL, 0);
	}
	if (err < 0) {
		channel_deinit(&c->channel);
		return err;
	}
	*store_socket_out = take_fd(&store);
	return 0;
}

int upload_client_configure(struct upload_client *c, const struct upload_config *config)
{
	struct message_head head = {.kind = UPLOAD_CONFIG, .serial = config->serial};
	uint8_t *bytes;
	size_t n;

	if (c->channel.fd < 0)
		return -EPIPE;
	int err = upload_config_encode(config, &bytes, &n);
	if (err < 0)
		return err;
	err = channel_send(&c->channel, &head, &(struct iovec){bytes, n}, 1, NULL, 0, false);
	upload_config_wipe(bytes, n);
	if (err == 0)
		c->serial = config->serial;
	return err;
}

int upload_client_fd(const struct upload_client *c)
{
	return c->channel.fd;
}

void upload_client_give(struct upload_client *c, const char *build_id, int err, int fd, uint64_t bytes, const char *hash)
{
	struct message_head head = {.kind = UPLOAD_FILE};
	struct upload_file file = {.result = err, .bytes = err == 0 ? bytes : 0};

	if (c->channel.fd < 0)
		return;
	snprintf(file.build_id, sizeof(file.build_id), "%s", build_id);
	snprintf(file.hash, sizeof(file.hash), "%s", err == 0 ? hash : "");
	/* If there is no room it asks again. */
	channel_send(&c->channel, &head, &(struct iovec){&file, sizeof(file)}, 1, &fd, err == 0, false);
}

static void take_want(struct upload_client *c, const struct upload_want *want)
{
	if (c->options.want)
		c->options.want(c->options.context, want->build_id);
	else
		upload_client_give(c, want->build_id, -ENOENT, -1, 0, "");
}

static int take_message(void *context, const struct message *m)
{
	static const enum log_level LEVELS[] = {[UPLOAD_INFO] = LOG_INFO, [UPLOAD_WARNING] = LOG_WARNING, [UPLOAD_ERROR] = LOG_ERROR};
	struct upload_client *c = context;

	if (upload_message_check(m) < 0)
		return -EBADMSG;
	if (m->head.kind == UPLOAD_STATUS) {
		const struct upload_status *status = m->payload;
		if (status->serial == c->serial)
			c->now[status->sink] = *status;
		return 0;
	}
	if (m->head.kind == UPLOAD_WANT) {
		take_want(c, m->payload);
		return 0;
	}
	if (m->head.kind != UPLOAD_EVENT)
		return -EBADMSG;
	const struct upload_event *event = m->payload;
	say(c, LEVELS[event->severity], "%s", event->text);
	return 0;
}

void upload_client_work(struct upload_client *c)
{
	int err = channel_take_all(&c->channel, take_message, c);

	if (err == 0)
		return;
	if (err != -EPIPE) {
		say(c, LOG_ERROR, "hearth-upload says what cannot be; it is started again");
		c->condemned = true;
		services_end(c->options.services, c->options.service);
	}
}

/* Counters of one that is added to those of another; what is not a counter is the latter's. */
static struct upload_status sum(const struct upload_status *before, const struct upload_status *now)
{
	struct upload_status total = *now;

	total.windows_sent += before->windows_sent;
	total.windows_dropped += before->windows_dropped;
	total.requests += before->requests;
	total.retries += before->retries;
	total.rejected += before->rejected;
	total.bytes_sent += before->bytes_sent;
	total.samples_sent += before->samples_sent;
	total.samples_pruned += before->samples_pruned;
	total.samples_relabelled += before->samples_relabelled;
	total.samples_rejected += before->samples_rejected;
	total.series_folded += before->series_folded;
	total.debuginfo_sent += before->debuginfo_sent;
	total.debuginfo_bytes += before->debuginfo_bytes;
	total.debuginfo_known += before->debuginfo_known;
	total.debuginfo_missing += before->debuginfo_missing;
	total.debuginfo_given_up += before->debuginfo_given_up;
	return total;
}

void upload_client_event(struct upload_client *c, const struct service_event *event)
{
	char text[SERVICE_END_MAX];

	if (event->started)
		return;
	upload_client_work(c); /* its last words */
	channel_deinit(&c->channel);
	for (size_t i = 0; i < SINKS_MAX; i++) {
		c->before[i] = sum(&c->before[i], &c->now[i]);
		c->now[i] = (struct upload_status){0};
	}
	bool is_said = event->expected || c->condemned;
	c->condemned = false;
	/* Status 0: its socket to the store closed, and hearth-store's end is said. */
	if (is_said || (event->status >= 0 && WIFEXITED(event->status) && WEXITSTATUS(event->status) == 0))
		return;
	say(c, LOG_ERROR, "hearth-upload %s; it is started again, and nothing is lost", service_end_text(event->status, text));
}

void upload_client_let_go(struct upload_client *c)
{
	services_let_go(c->options.services, c->options.service);
	upload_client_work(c);
	channel_deinit(&c->channel);
}

void upload_client_status(const struct upload_client *c, size_t sink, struct upload_status *status_out)
{
	*status_out = sum(&c->before[sink], &c->now[sink]);
}

void upload_client_destroy(struct upload_client *c)
{
	if (!c)
		return;
	channel_deinit(&c->channel);
	free(c);
}
