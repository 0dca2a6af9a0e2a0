#include "server-upload/debuginfo_sender.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"
#include "server-upload/debuginfo_offers.h"
#include "server-upload/debuginfo_upload.h"
#include "server-upload/outage_log.h"
#include "server-upload/reply_verdict.h"
#include "server-upload/retry.h"

#define FRAME_BYTES	     5
#define GRPC_ALREADY_EXISTS  6
#define GRPC_UNIMPLEMENTED   12
#define UNIMPLEMENTED_NS     (3600 * NS_PER_S) /* a server that knows nothing of it is asked again: it may be a newer one then */

static const struct http_form CALL = {.content_type = "application/grpc+proto", .is_grpc = true}, PUT = {.is_put = true};

struct debuginfo_sender {
	struct http_client *client;
	const struct upload_sink *sink;
	sink_say_fn *say;
	void *context;
	struct debuginfo_offers *offers;
	struct http_exchange *calls;
	struct retry retry;
	struct outage_log log;
	bool is_well;	       /* as it was said last */
	uint64_t off_until_ns; /* the server knows nothing of debug information; 0: it does */
	uint64_t idle_until_ns; /* nothing is to be offered before, but by debuginfo_sender_see() */
	/* The one at hand. */
	struct debuginfo_upload *upload; /* NULL: none */
	uint32_t number;		 /* of its offer */
	const char *build_id;		 /* borrowed of the offers */
	struct wire message;
	uint64_t n_file;
	struct http_exchange *put; /* to a signed URL; NULL: none */
	struct sink_config put_config;
	uint64_t sent, sent_bytes, known, missing;
	uint64_t steps_said; /* files that were seen, done or given up, when the status was asked for last */
};

/* A signed URL's server is another one: it gets none of the sink's secrets, and is trusted as the machine trusts. */
static const struct sink_secrets NO_SECRETS;

/* --- what is said --------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void say(const struct debuginfo_sender *s, enum upload_severity severity, const char *format, ...)
{
	char text[sizeof(((struct upload_event *)NULL)->text)], clean[sizeof(text)];
	va_list arguments;
	int n = snprintf(text, sizeof(text), "upload '%s': debug information: ", s->sink->config.name);

	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, arguments);
	va_end(arguments);
	text_clean(text, strlen(text), clean, sizeof(clean));
	s->say(s->context, severity, clean);
}

/* A line of one file; there may be many. */
static void say_of_file(struct debuginfo_sender *s, uint64_t now_ns, enum upload_severity severity, const char *what)
{
	uint64_t unsaid;

	if (outage_may_say(&s->log, now_ns, &unsaid))
		say(s, severity, "%s: %s", s->build_id, what);
}

/* --- beginning and end ---------------------------------------------------------------------------------------------------- */

bool debuginfo_sender_is_for(const struct sink_config *sink)
{
	return sink->kind == SINK_PARCA && (sink->symbolize == SYMBOLIZE_SERVER || sink->symbolize == SYMBOLIZE_BOTH);
}

static uint64_t bytes_per_s(const struct debuginfo_sender *s)
{
	return s->sink->config.debuginfo_bytes_per_s ? s->sink->config.debuginfo_bytes_per_s : DEBUGINFO_BYTES_PER_S;
}

int debuginfo_sender_create(struct http_client *client, const struct upload_sink *sink, sink_say_fn *say_fn, void *context, struct debuginfo_sender **sender_out,
			    struct why *why)
{
	struct debuginfo_sender *s = calloc(1, sizeof(*s));
	AUTO_FREE char *url = NULL;
	struct retry_policy policy = RETRY_POLICY;
	uint64_t seed = 0;

	if (!s)
		return -ENOMEM;
	s->client = client;
	s->sink = sink;
	s->say = say_fn;
	s->context = context;
	s->put_config = (struct sink_config){.kind = SINK_HTTP, .timeout_s = sink->config.timeout_s, .proxy = sink->config.proxy};
	policy.bytes_per_s = bytes_per_s(s);
	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	retry_init(&s->retry, &policy, seed ^ (uint64_t)(uintptr_t)s, clock_ns(CLOCK_BOOTTIME));
	int err = debuginfo_offers_create(DEBUGINFO_KNOWN_MAX, 1, &s->offers);
	if (err == 0 && asprintf(&url, "%s" DEBUGINFO_SERVICE, sink->config.url) < 0) {
		url = NULL;
		err = -ENOMEM;
	}
	if (err == 0)
		err = http_exchange_create(client, url, &CALL, &sink->config, &sink->secrets, &s->calls, why);
	if (err < 0) {
		debuginfo_sender_destroy(s);
		return err;
	}
	*sender_out = s;
	return 0;
}

/* The exchanges first: the body that one sends is the upload's. */
static void close_upload(struct debuginfo_sender *s)
{
	http_exchange_destroy(s->put);
	debuginfo_upload_destroy(s->upload);
	s->put = NULL;
	s->upload = NULL;
	s->n_file = 0;
}

void debuginfo_sender_destroy(struct debuginfo_sender *s)
{
	if (!s)
		return;
	http_exchange_destroy(s->calls);
	close_upload(s);
	debuginfo_offers_destroy(s->offers);
	wire_deinit(&s->message);
	free(s);
}

int debuginfo_sender_see(struct debuginfo_sender *s, const struct profile *window)
{
	int n_new = debuginfo_offers_add(s->offers, window);

	/* Its text may have moved. Nothing of what is under way is forgotten: it is found again by its number. */
	s->build_id = s->upload ? debuginfo_offers_build_id(s->offers, s->number) : NULL;
	if (n_new > 0)
		s->idle_until_ns = 0;
	return n_new < 0 ? n_new : 0;
}

/* --- one file after the other --------------------------------------------------------------------------------------------- */

static void done(struct debuginfo_sender *s)
{
	debuginfo_offers_done(s->offers, s->number);
	close_upload(s);
}

static void failed(struct debuginfo_sender *s, uint64_t now_ns)
{
	debuginfo_offers_failed(s->offers, s->number, now_ns);
	close_upload(s);
	s->idle_until_ns = 0;
}

/* The server's trouble, not the file's: it comes first again. */
static void put_back(struct debuginfo_sender *s)
{
	debuginfo_offers_put_back(s->offers, s->number);
	close_upload(s);
	s->idle_until_ns = 0;
}

static void begin_next(struct debuginfo_sender *s, uint64_t now_ns)
{
	uint64_t when_ns = UINT64_MAX;

	int err = debuginfo_offers_next(s->offers, now_ns, &s->number, &s->build_id, &when_ns);
	if (err < 0) {
		s->idle_until_ns = when_ns;
		return;
	}
	if (debuginfo_upload_create(s->build_id, &s->upload) < 0)
		failed(s, now_ns);
}

const char *debuginfo_sender_wants(const struct debuginfo_sender *s)
{
	return s->upload && debuginfo_upload_step(s->upload) == DEBUGINFO_FILE ? s->build_id : NULL;
}

bool debuginfo_sender_has_file(const struct debuginfo_sender *s)
{
	return s->n_file != 0;
}

void debuginfo_sender_give(struct debuginfo_sender *s, uint64_t now_ns, int err, int fd, uint64_t bytes, const char *hash)
{
	AUTO_CLOSE int file = fd;

	if (!debuginfo_sender_wants(s))
		return;
	if (err == -ENOENT) {
		s->missing++;
		done(s);
		return;
	}
	if (err == 0)
		err = debuginfo_upload_file(s->upload, take_fd(&file), bytes, hash);
	if (err < 0)
		failed(s, now_ns);
	else
		s->n_file = bytes;
}

/* --- requests ------------------------------------------------------------------------------------------------------------- */

static int64_t read_stream(void *context, void *buffer, size_t n)
{
	return debuginfo_stream_read(context, buffer, n);
}

static void rewind_stream(void *context)
{
	debuginfo_stream_rewind(context);
}

/* https, or the very host that gets windows over http too: else whoever listens there would send us about. */
static bool may_put_to(const struct debuginfo_sender *s, const char *url)
{
	const char *own = s->sink->config.url;

	if (strncmp(url, "https://", 8) == 0)
		return true;
	if (strncmp(url, "http://", 7) != 0 || strncmp(own, "http://", 7) != 0)
		return false;
	size_t n = strcspn(own + 7, ":/");
	return strncmp(own + 7, url + 7, n) == 0 && (url[7 + n] == ':' || url[7 + n] == '/') && strcspn(url + 7, "@") >= strcspn(url + 7, "/");
}

static int begin_put(struct debuginfo_sender *s, const struct http_source *source)
{
	const char *url = debuginfo_upload_url(s->upload);
	struct why ignored;

	if (!may_put_to(s, url))
		return -EPROTO;
	int err = s->put ? 0 : http_exchange_create(s->client, url, &PUT, &s->put_config, &NO_SECRETS, &s->put, &ignored);
	return err < 0 ? err : http_exchange_begin_stream(s->put, NULL, source);
}

static void begin(struct debuginfo_sender *s, uint64_t now_ns)
{
	struct debuginfo_stream *stream = debuginfo_upload_stream(s->upload);
	int err;

	if (stream) {
		struct http_source source = {.read = read_stream, .rewind = rewind_stream, .context = stream, .n_bytes = debuginfo_stream_bytes(stream),
					     .bytes_per_s = bytes_per_s(s)};
		err = debuginfo_upload_url(s->upload) ? begin_put(s, &source) : http_exchange_begin_stream(s->calls, debuginfo_upload_method(s->upload), &source);
		retry_begin(&s->retry, now_ns, 0); /* it has its own limit */
	} else {
		wire_reset(&s->message);
		err = debuginfo_upload_message(s->upload, &s->message);
		if (err == 0)
			err = http_exchange_begin(s->calls, debuginfo_upload_method(s->upload), s->message.bytes, s->message.n, false);
		retry_begin(&s->retry, now_ns, s->message.n);
	}
	if (err < 0) {
		say_of_file(s, now_ns, UPLOAD_WARNING, err == -EPROTO ? "the server wants it where it may not go" : strerror(-err));
		failed(s, now_ns);
	}
}

/* The message in its frame. */
static int take_answer(struct debuginfo_sender *s, const struct http_reply *reply)
{
	const uint8_t *body = reply->body;
	size_t n = 0;

	if (debuginfo_upload_url(s->upload))
		return debuginfo_upload_answer(s->upload, NULL, 0);
	if (reply->n_body < FRAME_BYTES || body[0])
		return -EBADMSG;
	for (size_t i = 1; i < FRAME_BYTES; i++)
		n = n << 8 | body[i];
	return n == reply->n_body - FRAME_BYTES ? debuginfo_upload_answer(s->upload, body + FRAME_BYTES, n) : -EBADMSG;
}

static void succeeded(struct debuginfo_sender *s, uint64_t now_ns, const struct http_reply *reply)
{
	enum debuginfo_step before = debuginfo_upload_step(s->upload);
	char text[64];
	uint64_t lasted_ns;
	uint32_t failures;

	/* How long a file takes is our limit's doing: no reason to leave the server alone. */
	retry_success(&s->retry, now_ns, before == DEBUGINFO_UPLOAD ? 0 : reply->took_ns);
	if (outage_ended(&s->log, now_ns, &lasted_ns, &failures) == OUTAGE_OVER)
		say(s, UPLOAD_INFO, "it works again, after %llu s and %u failures", lasted_ns / NS_PER_S, failures);
	int err = take_answer(s, reply);
	if (err < 0) {
		say_of_file(s, now_ns, UPLOAD_WARNING, err == -EOPNOTSUPP ? "the server wants it in a way that is not known here" : "the server's answer cannot be");
		failed(s, now_ns);
		return;
	}
	if (debuginfo_upload_step(s->upload) != DEBUGINFO_DONE)
		return;
	if (before == DEBUGINFO_ASK) {
		s->known++;
	} else {
		s->sent++;
		s->sent_bytes += s->n_file;
		snprintf(text, sizeof(text), "sent, %" PRIu64 " bytes", s->n_file);
		say_of_file(s, now_ns, UPLOAD_INFO, text);
	}
	done(s);
}

/* The server would not have this one. */
static void refused(struct debuginfo_sender *s, uint64_t now_ns, const struct http_reply *reply, const struct verdict *v)
{
	retry_refused(&s->retry, now_ns, reply->took_ns);
	say_of_file(s, now_ns, UPLOAD_WARNING, v->text);
	failed(s, now_ns);
}

/* What fails while a file goes may be the file's fault (it takes too long), and is counted as a try of it. */
static void postpone(struct debuginfo_sender *s, uint64_t now_ns, const struct verdict *v)
{
	static const enum retry_kind KINDS[] = {[VERDICT_SOON] = RETRY_SOON, [VERDICT_BUSY] = RETRY_BUSY, [VERDICT_SLOWLY] = RETRY_SLOWLY};
	enum debuginfo_step step = debuginfo_upload_step(s->upload);

	retry_failure(&s->retry, KINDS[v->kind], now_ns, v->retry_after_ns);
	if (outage_failed(&s->log, now_ns, v->reason, v->kind == VERDICT_SLOWLY) != OUTAGE_NOTHING)
		say(s, UPLOAD_WARNING, "%s; it is tried again, and windows go on", v->text);
	if (step == DEBUGINFO_UPLOAD || step == DEBUGINFO_FINISH)
		failed(s, now_ns);
	else
		put_back(s);
}

static void judge(struct debuginfo_sender *s, uint64_t now_ns, const struct http_reply *reply)
{
	bool is_put = debuginfo_upload_url(s->upload);
	int status = reply->failure == HTTP_ANSWERED && !is_put ? reply->grpc_status : -1;
	struct verdict v;

	reply_verdict(is_put ? SINK_HTTP : SINK_PARCA, reply, false, &v);
	if (is_put) /* its words may have the signature in them */
		snprintf(v.text, sizeof(v.text), "the store that the server named: %s%d", reply->failure == HTTP_ANSWERED ? "HTTP status " : "no answer, kind ",
			 reply->failure == HTTP_ANSWERED ? reply->status : (int)reply->failure);
	sink_secrets_redact(&s->sink->secrets, &s->sink->config, v.text);
	if (v.kind == VERDICT_TAKEN) {
		succeeded(s, now_ns, reply);
	} else if (status == GRPC_ALREADY_EXISTS) {
		retry_success(&s->retry, now_ns, reply->took_ns);
		s->known++;
		done(s);
	} else if (status == GRPC_UNIMPLEMENTED) {
		say(s, UPLOAD_WARNING, "the server takes none: it is no Parca, or an old one; asked again in an hour");
		s->off_until_ns = now_ns + UNIMPLEMENTED_NS;
		put_back(s);
	} else if (v.kind == VERDICT_SOON || v.kind == VERDICT_BUSY || v.kind == VERDICT_SLOWLY) {
		postpone(s, now_ns, &v);
	} else {
		refused(s, now_ns, reply, &v);
	}
}

static bool is_busy(const struct debuginfo_sender *s)
{
	return http_exchange_is_busy(s->calls) || (s->put && http_exchange_is_busy(s->put));
}

void debuginfo_sender_work(struct debuginfo_sender *s, uint64_t now_ns, bool is_well)
{
	struct http_reply reply;

	if (http_exchange_take(s->calls, &reply) || (s->put && http_exchange_take(s->put, &reply)))
		judge(s, now_ns, &reply);
	s->is_well = is_well;
	if (is_busy(s))
		return;
	if (!is_well) {
		if (s->upload && !debuginfo_sender_wants(s))
			put_back(s);
		return;
	}
	if (now_ns < s->off_until_ns || retry_ready_ns(&s->retry, now_ns) > now_ns)
		return;
	if (!s->upload && now_ns >= s->idle_until_ns)
		begin_next(s, now_ns);
	if (s->upload && !debuginfo_sender_wants(s))
		begin(s, now_ns);
}

uint64_t debuginfo_sender_wake_ns(const struct debuginfo_sender *s, uint64_t now_ns)
{
	if (!s->is_well || is_busy(s) || debuginfo_sender_wants(s))
		return UINT64_MAX;
	uint64_t at_ns = retry_ready_ns(&s->retry, now_ns);
	if (at_ns < s->off_until_ns)
		at_ns = s->off_until_ns;
	return !s->upload && at_ns < s->idle_until_ns ? s->idle_until_ns : at_ns;
}

bool debuginfo_sender_status(struct debuginfo_sender *s, struct upload_status *status)
{
	struct debuginfo_offers_stats stats;

	debuginfo_offers_stats(s->offers, &stats);
	status->debuginfo_sent += s->sent;
	status->debuginfo_bytes += s->sent_bytes;
	status->debuginfo_known += s->known;
	status->debuginfo_missing += s->missing;
	status->debuginfo_given_up += stats.given_up;
	status->debuginfo_waiting += stats.waiting + stats.under_way;
	uint64_t steps = stats.known + stats.done + stats.given_up, before = s->steps_said;
	s->steps_said = steps;
	return steps != before;
}
