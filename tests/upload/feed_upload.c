#include "tests/upload/feed_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/scope.h"
#include "pprof/encode.h"
#include "server-upload/retry.h"
#include "server-upload/upload_process.h"
#include "server-upload/upload_protocol.h"

struct feed_policy feed_policy;

/* The linker has retry_init() go through here (--wrap). */
void __real_retry_init(struct retry *r, const struct retry_policy *policy, uint64_t seed, uint64_t now_ns);
void __wrap_retry_init(struct retry *r, const struct retry_policy *policy, uint64_t seed, uint64_t now_ns);
void __wrap_retry_init(struct retry *r, const struct retry_policy *policy, uint64_t seed, uint64_t now_ns)
{
	struct retry_policy changed = *policy;

	if (feed_policy.slow_first_ns)
		changed.slow_first_ns = feed_policy.slow_first_ns;
	if (feed_policy.pace_ns)
		changed.pace_first_ns = changed.pace_min_ns = feed_policy.pace_ns;
	__real_retry_init(r, &changed, seed, now_ns);
}

int feed_upload_start(struct feed_upload *u)
{
	int agent[2], store[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, agent) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, store) < 0)
		return -errno;
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		close(agent[0]);
		close(store[0]);
		_exit(upload_process_run(agent[1], store[1]));
	}
	close(agent[1]);
	close(store[1]);
	u->pid = pid;
	memset(u->marks, 0, sizeof(u->marks));
	memset(u->told, 0, sizeof(u->told));
	fprintf(u->out, "{\"upload_pid\":%d}\n", pid);
	int err = channel_init(&u->agent, agent[0], &UPLOAD_RULES, UPLOAD_CONFIG_BYTES);
	if (!err)
		err = channel_init(&u->store_link, store[0], &UPLOAD_RULES, UPLOAD_CONFIG_BYTES);
	return err ? err : feed_upload_configure(u, true);
}

/* The file's text without its line end; NULL: no file is named, or it cannot be read (*failed_out). */
static char *read_secret(const char *path, bool *failed_out)
{
	AUTO_FCLOSE FILE *file = path ? fopen(path, "re") : NULL;
	char *text = NULL;
	size_t room = 0;

	if (!path)
		return NULL;
	ssize_t n = file ? getdelim(&text, &room, EOF, file) : -1;
	if (n < 0) {
		free(text);
		*failed_out = true;
		return NULL;
	}
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		text[--n] = '\0';
	return text;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* Returns whether something changed. */
static bool read_secrets(struct upload_sink *sink)
{
	const struct sink_config *c = &sink->config;
	bool failed = false;
	struct sink_secrets new = {
		.bearer_token = read_secret(c->bearer_token_file, &failed),
		.basic_password = read_secret(c->basic_password_file, &failed),
		.ca = read_secret(c->ca_file, &failed),
		.cert = read_secret(c->cert_file, &failed),
		.key = read_secret(c->key_file, &failed),
	};
	struct sink_secrets *old = &sink->secrets;
	bool changed = !same_text(new.bearer_token, old->bearer_token) || !same_text(new.basic_password, old->basic_password) ||
		       !same_text(new.ca, old->ca) || !same_text(new.cert, old->cert) || !same_text(new.key, old->key) || failed != !!sink->held;

	sink_secrets_deinit(old);
	*old = new;
	free(sink->held);
	sink->held = failed ? strdup("a file of its settings cannot be read") : NULL;
	return changed;
}

int feed_upload_configure(struct feed_upload *u, bool always)
{
	uint8_t *bytes;
	size_t n_bytes;
	bool changed = always;

	for (size_t i = 0; i < u->config->n_sinks; i++)
		changed = read_secrets(&u->config->sinks[i]) || changed;
	if (!changed || !u->pid)
		return 0;
	u->config->serial++;
	int err = upload_config_encode(u->config, &bytes, &n_bytes);
	if (err)
		return err;
	err = channel_send(&u->agent, &(struct message_head){.kind = UPLOAD_CONFIG}, &(struct iovec){bytes, n_bytes}, 1, NULL, 0, true);
	upload_config_wipe(bytes, n_bytes);
	return err;
}

void feed_upload_news(struct feed_upload *u)
{
	if (u->pid)
		channel_send(&u->store_link, &(struct message_head){.kind = UPLOAD_NEWS}, NULL, 0, NULL, 0, false);
}

/* --- the agent's part -------------------------------------------------------------------------------------- */

static void print_status(FILE *out, const struct upload_status *s)
{
	struct json_writer w;

	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	json_object_begin(&w, "status");
	json_uint(&w, "sink", s->sink);
	json_uint(&w, "failing", s->failing);
	json_uint(&w, "windows_sent", s->windows_sent);
	json_uint(&w, "windows_dropped", s->windows_dropped);
	json_uint(&w, "requests", s->requests);
	json_uint(&w, "retries", s->retries);
	json_uint(&w, "rejected", s->rejected);
	json_uint(&w, "bytes_sent", s->bytes_sent);
	json_uint(&w, "samples_sent", s->samples_sent);
	json_uint(&w, "samples_pruned", s->samples_pruned);
	json_uint(&w, "samples_relabelled", s->samples_relabelled);
	json_uint(&w, "samples_rejected", s->samples_rejected);
	json_uint(&w, "series_folded", s->series_folded);
	json_uint(&w, "debuginfo_sent", s->debuginfo_sent);
	json_uint(&w, "debuginfo_bytes", s->debuginfo_bytes);
	json_uint(&w, "debuginfo_known", s->debuginfo_known);
	json_uint(&w, "debuginfo_missing", s->debuginfo_missing);
	json_uint(&w, "debuginfo_given_up", s->debuginfo_given_up);
	json_uint(&w, "debuginfo_waiting", s->debuginfo_waiting);
	uint64_t now = clock_ns(CLOCK_BOOTTIME);
	json_uint(&w, "wait_ms", s->wait_until_ns > now ? (s->wait_until_ns - now) / NS_PER_MS : 0);
	json_string(&w, "last_error", s->last_error);
	json_object_end(&w);
	json_object_end(&w);
	fputc('\n', out);
}

static void print_event(FILE *out, const struct upload_event *e)
{
	struct json_writer w;

	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	json_string(&w, "event", e->text);
	json_uint(&w, "severity", e->severity);
	json_object_end(&w);
	fputc('\n', out);
}

static void take_status(struct feed_upload *u, const struct upload_status *s)
{
	print_status(u->out, s);
	if (s->sink < SINKS_MAX)
		u->told[s->sink] = s->windows_sent + s->windows_dropped;
}

bool feed_upload_is_untold(const struct feed_upload *u)
{
	for (size_t i = 0; i < SINKS_MAX; i++)
		if (u->told[i] < u->marks[i])
			return true;
	return false;
}

/* Debug information as the confined process would have written it. */
static int send_file(struct feed_upload *u, const struct upload_want *want)
{
	struct upload_file answer = {.result = -ENOENT};
	AUTO_CLOSE int fd = -1;

	memcpy(answer.build_id, want->build_id, sizeof(answer.build_id));
	for (size_t i = 0; i < u->n_files; i++) {
		if (strcmp(u->files[i].build_id, want->build_id))
			continue;
		AUTO_FCLOSE FILE *file = fopen(u->files[i].path, "re");
		AUTO_FREE uint8_t *bytes = malloc(UPLOAD_FILE_BYTES);
		answer.bytes = file && bytes ? fread(bytes, 1, UPLOAD_FILE_BYTES, file) : 0;
		answer.result = answer.bytes ? sealed_create(&(struct iovec){bytes, answer.bytes}, 1, &fd) : -EIO;
		strcpy(answer.hash, answer.result == 0 ? "00ff" : "");
	}
	fprintf(u->out, "{\"want\":\"%s\",\"result\":%d}\n", want->build_id, answer.result);
	return channel_send(&u->agent, &(struct message_head){.kind = UPLOAD_FILE}, &(struct iovec){&answer, sizeof(answer)}, 1, &fd, answer.result == 0, true);
}

static int serve_agent(struct feed_upload *u)
{
	struct message m;
	int err = channel_receive(&u->agent, 1, &m);

	if (err)
		return err == -ETIME ? 0 : err;
	err = upload_message_check(&m);
	if (!err && m.head.kind == UPLOAD_STATUS)
		take_status(u, m.payload);
	else if (!err && m.head.kind == UPLOAD_EVENT)
		print_event(u->out, m.payload);
	else if (!err && m.head.kind == UPLOAD_WANT)
		send_file(u, m.payload);
	else
		fprintf(u->out, "{\"wrong_message\":%u}\n", m.head.kind);
	message_close(&m);
	return 0;
}

/* --- the store's part -------------------------------------------------------------------------------------- */

static int send_window(struct feed_upload *u, const struct upload_next *next)
{
	struct profile *window = NULL;
	AUTO_FREE uint8_t *bytes = NULL;
	AUTO_CLOSE int fd = -1;
	struct upload_window answer = {.serial = next->serial, .sink = next->sink};
	size_t n_bytes;
	int err = store_outbox_next(u->store, next->sink, next->after, &answer.number, &window);

	if (err == -ENOENT)
		return channel_send(&u->store_link, &(struct message_head){.kind = UPLOAD_NONE}, &(struct iovec){(void *)next, sizeof(*next)}, 1, NULL, 0,
				    true);
	if (!err)
		err = profile_encode(window, &bytes, &n_bytes);
	profile_free(window);
	if (!err)
		err = sealed_create(&(struct iovec){bytes, n_bytes}, 1, &fd);
	if (err)
		return err;
	answer.bytes = n_bytes;
	return channel_send(&u->store_link, &(struct message_head){.kind = UPLOAD_WINDOW}, &(struct iovec){&answer, sizeof(answer)}, 1, &fd, 1, true);
}

static int take_mark(struct feed_upload *u, const struct upload_mark *mark)
{
	int err = store_outbox_mark(u->store, mark->sink, mark->number);

	fprintf(u->out, "{\"mark\":%" PRIu64 ",\"sink\":%u,\"err\":%d}\n", mark->number, mark->sink, err);
	if (mark->sink < SINKS_MAX)
		u->marks[mark->sink]++;
	return err;
}

static int serve_store(struct feed_upload *u)
{
	struct message m;
	int err = channel_receive(&u->store_link, 1, &m);

	if (err)
		return err == -ETIME ? 0 : err;
	err = upload_message_check(&m);
	if (!err && m.head.kind == UPLOAD_NEXT) {
		const struct upload_next *next = m.payload;
		if (next->serial == u->config->serial)
			err = send_window(u, next);
	} else if (!err && m.head.kind == UPLOAD_MARK) {
		const struct upload_mark *mark = m.payload;
		if (mark->serial == u->config->serial)
			err = take_mark(u, mark);
	} else if (err || m.head.kind != UPLOAD_SHAPED) {
		fprintf(u->out, "{\"wrong_message\":%u}\n", m.head.kind);
	}
	message_close(&m);
	return err;
}

int feed_upload_serve(struct feed_upload *u)
{
	struct pollfd ready[] = {{.fd = u->agent.fd, .events = POLLIN}, {.fd = u->store_link.fd, .events = POLLIN}};
	int err = 0;

	for (int i = 0; !err && i < 1000 && poll(ready, 2, 0) > 0; i++) {
		/* The agent's first: what it says before its end is not to be lost. */
		if (ready[0].revents)
			err = serve_agent(u);
		else if (ready[1].revents)
			err = serve_store(u);
	}
	return err;
}

int feed_upload_stop(struct feed_upload *u, int wait_ms)
{
	int status = 0;

	channel_deinit(&u->agent);
	channel_deinit(&u->store_link);
	for (int i = 0; i < wait_ms / 10 && u->pid; i++) {
		if (waitpid(u->pid, &status, WNOHANG) == u->pid)
			u->pid = 0;
		else
			nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
	}
	if (u->pid) {
		kill(u->pid, SIGKILL);
		waitpid(u->pid, &status, 0);
		u->pid = 0;
	}
	return status;
}
