#include "server-upload/sink_sender.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/text_clean.h"
#include "server-upload/outage_log.h"
#include "server-upload/reply_verdict.h"
#include "server-upload/retry.h"
#include "server-upload/shape.h"
#include "server-upload/sink_form.h"

#define REQUEST_BYTES_MIN  (64u << 10)	/* smaller ones are not asked for, whatever a server says */
#define BUSY_BYTES_MIN	   (256u << 10)
#define STUCK_FAILURES	   10		/* in a row: some four minutes */
#define STUCK_SLOWLY	   2		/* the same, of waits that are longer: a minute or two */
#define HTTP_FORBIDDEN	   403
#define GRPC_FORBIDDEN	   7		/* PERMISSION_DENIED */
#define MEMORY_TRIES	   5
#define QUERY_MAX	   8192

struct sink_sender {
	struct http_client *client;
	const struct upload_config *config;
	const struct upload_sink *sink;
	const struct sink_form *form;
	struct http_exchange *exchange; /* NULL: it holds its windows */
	struct relabel_rules *rules;	/* NULL: none */
	struct sink_pair labels[2 * SINK_PAIRS_MAX]; /* borrowed */
	size_t n_labels;
	sink_say_fn *say;
	void *context;
	struct retry retry;
	struct outage_log log;
	struct upload_status status;
	bool changed;
	bool packs, is_packed; /* requests go through gzip; the one under way did */
	size_t bytes_max;      /* of a request; 0: the kind's */
	uint64_t after;	       /* the next window is one above it; 0: above the store's mark */
	bool is_none;	       /* there is none for now */
	uint64_t mark;
	bool mark_is_new;
	/* The window that is being sent. */
	uint64_t number; /* 0: none */
	struct shape_requests requests;
	size_t part;
	bool refused;	/* some of it */
	bool repeats;	/* the next request was sent before */
	uint32_t no_memory;
	/* A window that the server fails on is set aside, and the one behind it tried: see is_stuck(). */
	uint64_t stuck, ahead;
};

/* --- what is said --------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void say(const struct sink_sender *s, enum upload_severity severity, const char *format, ...)
{
	char text[sizeof(((struct upload_event *)NULL)->text)], clean[sizeof(text)];
	va_list arguments;
	int n = snprintf(text, sizeof(text), "upload '%s': ", s->sink->config.name);

	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, arguments);
	va_end(arguments);
	text_clean(text, strlen(text), clean, sizeof(clean));
	s->say(s->context, severity, clean);
}

static void set_error(struct sink_sender *s, const char *text)
{
	text_clean(text, strlen(text), s->status.last_error, sizeof(s->status.last_error));
	s->changed = true;
}

/* A line that may come often. */
static bool may_say(struct sink_sender *s, uint64_t now_ns, char more[64])
{
	uint64_t unsaid;

	if (!outage_may_say(&s->log, now_ns, &unsaid))
		return false;
	more[0] = '\0';
	if (unsaid)
		snprintf(more, 64, " (and %" PRIu64 " lines before that were left out)", unsaid);
	return true;
}

static void say_failure(struct sink_sender *s, uint64_t now_ns, const struct verdict *v)
{
	bool slowly = v->kind == VERDICT_SLOWLY;
	enum outage_line line = outage_failed(&s->log, now_ns, v->reason, slowly);

	if (line != OUTAGE_NOTHING)
		say(s, slowly ? UPLOAD_ERROR : UPLOAD_WARNING, "%s%s; windows wait in the store and go when it works", line == OUTAGE_CHANGES ? "now: " : "",
		    v->text);
}

static void say_success(struct sink_sender *s, uint64_t now_ns)
{
	uint64_t lasted_ns;
	uint32_t failures;

	if (outage_ended(&s->log, now_ns, &lasted_ns, &failures) == OUTAGE_OVER)
		say(s, UPLOAD_INFO, "it works again, after %llu s and %u failures", lasted_ns / NS_PER_S, failures);
}

/* --- beginning ------------------------------------------------------------------------------------------------------------ */

static void merge_labels(struct sink_sender *s)
{
	const struct sink_config *own = &s->sink->config;

	for (size_t i = 0; i < own->n_labels; i++)
		s->labels[s->n_labels++] = own->labels[i];
	for (size_t i = 0; i < s->config->n_labels; i++) {
		bool is_own = false;
		for (size_t k = 0; k < own->n_labels; k++)
			is_own = is_own || strcmp(own->labels[k].name, s->config->labels[i].name) == 0;
		if (!is_own)
			s->labels[s->n_labels++] = s->config->labels[i];
	}
}

static int add_rules(struct sink_sender *s, struct why *why)
{
	const struct upload_rules *const lists[] = {&s->config->rules, &s->sink->rules};

	if (!lists[0]->n && !lists[1]->n)
		return 0;
	int err = relabel_rules_create(&s->rules);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; err == 0 && k < lists[i]->n; k++)
			err = relabel_rules_add(s->rules, &lists[i]->rules[k], why);
	return err;
}

/* -EINVAL: it cannot work as it is configured; why says it. */
static int set_up(struct sink_sender *s, struct why *why)
{
	const struct sink_config *config = &s->sink->config;
	char *url;

	if (s->sink->held)
		return why_set(why, -EINVAL, "%s", s->sink->held);
	s->form = sink_form_of(config->kind);
	if (!s->form)
		return why_set(why, -EINVAL, "nothing is uploaded to a sink of this kind");
	if (sink_secrets_exposed(&s->sink->secrets, config))
		return why_set(why, -EINVAL, "its token or password would go over plain http; use https, or set insecure_http_auth");
	int err = add_rules(s, why);
	if (err == 0)
		err = sink_form_url(s->form, config->url, &url);
	if (err < 0)
		return err;
	err = http_exchange_create(s->client, url, &s->form->http, config, &s->sink->secrets, &s->exchange, why);
	free(url);
	s->packs = s->form->packs;
	return err;
}

int sink_sender_create(struct http_client *client, const struct upload_config *config, const struct upload_sink *sink, const struct upload_status *earlier,
		       sink_say_fn *say_fn, void *context, struct sink_sender **sender_out)
{
	struct sink_sender *s = calloc(1, sizeof(*s));
	struct retry_policy policy = RETRY_POLICY;
	struct why why = {""};
	uint64_t seed = 0;

	if (!s)
		return -ENOMEM;
	s->client = client;
	s->config = config;
	s->sink = sink;
	s->say = say_fn;
	s->context = context;
	merge_labels(s);
	if (earlier)
		s->status = *earlier;
	s->status.failing = 0;
	s->status.wait_until_ns = 0;
	s->status.last_error[0] = '\0';
	s->changed = true;
	policy.bytes_per_s = sink->config.bytes_per_s ? sink->config.bytes_per_s : policy.bytes_per_s;
	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	retry_init(&s->retry, &policy, seed ^ (uint64_t)(uintptr_t)s, clock_ns(CLOCK_BOOTTIME));
	int err = set_up(s, &why);
	if (err == -ENOMEM) {
		sink_sender_destroy(s);
		return err;
	}
	if (err < 0) {
		sink_secrets_redact(&sink->secrets, &sink->config, why.text);
		set_error(s, why.text);
		say(s, UPLOAD_ERROR, "%s; its windows wait in the store", s->status.last_error);
	}
	*sender_out = s;
	return 0;
}

static void drop_requests(struct sink_sender *s)
{
	shape_requests_deinit(&s->requests);
	s->requests = (struct shape_requests){0};
	s->number = 0;
	s->part = 0;
	s->refused = s->repeats = false;
}

void sink_sender_destroy(struct sink_sender *s)
{
	if (!s)
		return;
	http_exchange_destroy(s->exchange);
	drop_requests(s);
	relabel_rules_destroy(s->rules);
	free(s);
}

/* --- windows -------------------------------------------------------------------------------------------------------------- */

/* Ask for it (or what is there of it) again. */
static void ask_again(struct sink_sender *s, uint64_t number)
{
	drop_requests(s);
	s->after = number - 1;
	s->is_none = false;
}

/* All up to number is done with. */
static void go_on(struct sink_sender *s, uint64_t number)
{
	drop_requests(s);
	s->after = s->mark = number;
	s->mark_is_new = true;
	s->is_none = false;
	s->stuck = s->ahead = 0;
}

/* The window that is being sent was taken, or refused, in whole or in parts. */
static void finish_window(struct sink_sender *s)
{
	const struct shape_counts *counts = &s->requests.counts;
	uint64_t number = s->number;

	s->status.windows_sent += !s->refused;
	s->status.windows_dropped += s->refused;
	*(s->refused ? &s->status.samples_rejected : &s->status.samples_sent) += counts->samples;
	s->status.samples_pruned += counts->samples_pruned;
	s->status.samples_relabelled += counts->samples_dropped;
	s->status.series_folded += counts->series_folded;
	s->changed = true;
	if (s->stuck && number != s->stuck) {
		/* The server takes others: once more the one that it failed on. */
		s->ahead = number;
		ask_again(s, s->stuck);
		return;
	}
	go_on(s, s->ahead > number ? s->ahead : number);
}

static void drop_window(struct sink_sender *s, uint64_t now_ns, const char *reason)
{
	char more[64];

	if (!s->refused && may_say(s, now_ns, more))
		say(s, UPLOAD_WARNING, "window %" PRIu64 " is dropped: %s%s", s->number, reason, more);
	s->refused = true;
}

bool sink_sender_wants(const struct sink_sender *s, uint64_t now_ns, uint64_t *after_out)
{
	if (!s->exchange || s->number || s->is_none || retry_ready_ns(&s->retry, now_ns) > now_ns)
		return false;
	*after_out = s->after;
	return true;
}

static int shape(struct sink_sender *s, const struct profile *profile)
{
	struct shape_options options = {.labels = s->labels, .n_labels = s->n_labels, .relabel = s->rules, .series_max = s->sink->config.series_max,
					.request_bytes_max = s->bytes_max, .strip_symbols = s->sink->config.symbolize == SYMBOLIZE_SERVER};

	return shape_window(s->sink->config.kind, profile, &options, &s->requests);
}

void sink_sender_give(struct sink_sender *s, uint64_t now_ns, uint64_t number, const struct profile *profile, int err, const char *why)
{
	if (s->number || !s->exchange || number <= s->after)
		return;
	if (s->ahead && number != s->stuck) {
		/* The one that it failed on is gone from the store. */
		go_on(s, s->ahead);
		return;
	}
	s->number = number;
	if (profile) {
		err = shape(s, profile);
		why = "it does not fit the limits of this kind of sink";
	}
	if (err == -ENOMEM && ++s->no_memory < MEMORY_TRIES) {
		s->number = 0;
		retry_failure(&s->retry, RETRY_SLOWLY, now_ns, 0);
		set_error(s, "there is no memory for a window");
		return;
	}
	s->no_memory = 0;
	if (err < 0)
		drop_window(s, now_ns, err == -ENOMEM ? "there is no memory for it" : why);
	if (err < 0 || !s->requests.n)
		finish_window(s);
}

/* The window ahead of which the stuck one stands has not come: back to it. */
static void return_to_stuck(struct sink_sender *s)
{
	ask_again(s, s->stuck);
	s->stuck = 0;
}

void sink_sender_none(struct sink_sender *s)
{
	if (s->ahead)
		go_on(s, s->ahead);
	else if (s->stuck)
		return_to_stuck(s);
	else
		s->is_none = true;
}

void sink_sender_news(struct sink_sender *s)
{
	s->is_none = false;
}

/* --- requests ------------------------------------------------------------------------------------------------------------- */

static void begin(struct sink_sender *s, uint64_t now_ns)
{
	const struct shape_request *r = &s->requests.requests[s->part];
	char query[QUERY_MAX] = "";

	int n = snprintf(query, sizeof(query), "%s", r->query ? r->query : "");
	if (*query && strchr(s->sink->config.url, '?'))
		query[0] = '&';
	int err = n < (int)sizeof(query) ? http_exchange_begin(s->exchange, query, r->bytes, r->n_bytes, s->packs) : -E2BIG;
	if (err == -E2BIG) {
		drop_window(s, now_ns, "it is too large for one request");
		finish_window(s);
		return;
	}
	if (err < 0) {
		retry_failure(&s->retry, RETRY_SOON, now_ns, 0);
		return;
	}
	s->is_packed = s->packs;
	s->status.requests++;
	s->status.retries += s->repeats;
	s->changed = true;
	retry_begin(&s->retry, now_ns, http_exchange_bytes(s->exchange));
}

/* One request is over, for good. */
static void next_part(struct sink_sender *s)
{
	s->repeats = false;
	if (++s->part == s->requests.n)
		finish_window(s);
}

static void succeeded(struct sink_sender *s, uint64_t now_ns, const struct verdict *v, uint64_t took_ns)
{
	char more[64];

	retry_success(&s->retry, now_ns, took_ns);
	say_success(s, now_ns);
	s->status.failing = 0;
	s->status.last_success_ns = now_ns;
	set_error(s, "");
	s->status.rejected += v->rejected;
	if (v->rejected && may_say(s, now_ns, more))
		say(s, UPLOAD_WARNING, "of window %" PRIu64 " %s%s", s->number, v->text, more);
	next_part(s);
}

static void refused(struct sink_sender *s, uint64_t now_ns, const struct verdict *v, uint64_t took_ns)
{
	retry_refused(&s->retry, now_ns, took_ns);
	say_success(s, now_ns);
	s->status.failing = 0;
	set_error(s, v->text);
	drop_window(s, now_ns, v->text);
	next_part(s);
}

/* What a server says it cannot now, or that we may not, it may say of one window for ever, and it would stand before all others. So after some answers in a row the window
 * behind it is tried: does that fail too, it is an outage, or a right that we lack, and nothing is lost. Is it taken, the first is sent once more, and dropped when that fails.
 * A token that is none (401) and a place that is another (3xx) are not of one window. */
static bool is_of_window(const struct http_reply *reply, const struct verdict *v)
{
	bool is_forbidden = v->kind == VERDICT_SLOWLY && (reply->status == HTTP_FORBIDDEN || reply->grpc_status == GRPC_FORBIDDEN);

	return (v->kind == VERDICT_SOON || is_forbidden) && reply->failure == HTTP_ANSWERED;
}

static bool is_stuck(const struct sink_sender *s, const struct http_reply *reply, const struct verdict *v)
{
	return is_of_window(reply, v) && s->retry.failures % (v->kind == VERDICT_SLOWLY ? STUCK_SLOWLY : STUCK_FAILURES) == 0;
}

/* Half of the request at hand, uncompressed as limits of shaping are. A packed one is known by its packed size; two to four times that it was. */
static size_t smaller(const struct sink_sender *s)
{
	size_t bytes = s->requests.requests[s->part].n_bytes, half = s->form->packs ? bytes / 2 : bytes * 2;

	return s->bytes_max && s->bytes_max / 2 < half ? s->bytes_max / 2 : half;
}

/* A limit of bytes a second refuses by 429, however long one waits, what is larger than its burst. */
static bool is_too_much(const struct sink_sender *s, const struct verdict *v)
{
	return v->kind == VERDICT_BUSY && s->retry.failures % STUCK_FAILURES == 0 && smaller(s) >= BUSY_BYTES_MIN;
}

static void failed(struct sink_sender *s, uint64_t now_ns, const struct http_reply *reply, const struct verdict *v)
{
	static const enum retry_kind KINDS[] = {[VERDICT_SOON] = RETRY_SOON, [VERDICT_BUSY] = RETRY_BUSY, [VERDICT_SLOWLY] = RETRY_SLOWLY};

	if (s->ahead && is_of_window(reply, v)) {
		retry_refused(&s->retry, now_ns, reply->took_ns);
		drop_window(s, now_ns, v->text);
		finish_window(s);
		return;
	}
	retry_failure(&s->retry, KINDS[v->kind], now_ns, v->retry_after_ns);
	say_failure(s, now_ns, v);
	set_error(s, v->text);
	s->status.failing++;
	s->repeats = true;
	if (s->stuck && s->number != s->stuck) {
		return_to_stuck(s);
	} else if (is_stuck(s, reply, v)) {
		s->stuck = s->number;
		ask_again(s, s->number + 1);
	} else if (is_too_much(s, v)) {
		s->bytes_max = smaller(s);
		ask_again(s, s->number);
	}
}

static void make_smaller(struct sink_sender *s, uint64_t now_ns, const struct http_reply *reply, struct verdict *v)
{
	size_t bytes = smaller(s);

	if (bytes < REQUEST_BYTES_MIN) {
		v->kind = VERDICT_REFUSED;
		refused(s, now_ns, v, reply->took_ns);
		return;
	}
	s->bytes_max = bytes;
	say(s, UPLOAD_INFO, "%s: requests are of at most %zu bytes, uncompressed, from now on", v->text, s->bytes_max);
	retry_refused(&s->retry, now_ns, reply->took_ns);
	ask_again(s, s->number);
}

static void judge(struct sink_sender *s, uint64_t now_ns, const struct http_reply *reply)
{
	struct verdict v;

	reply_verdict(s->sink->config.kind, reply, s->is_packed, &v);
	sink_secrets_redact(&s->sink->secrets, &s->sink->config, v.text);
	s->status.bytes_sent += reply->bytes_sent;
	switch (v.kind) {
	case VERDICT_TAKEN:
		succeeded(s, now_ns, &v, reply->took_ns);
		break;
	case VERDICT_REFUSED:
		refused(s, now_ns, &v, reply->took_ns);
		break;
	case VERDICT_TOO_LARGE:
		make_smaller(s, now_ns, reply, &v);
		break;
	case VERDICT_UNPACKED:
		s->packs = false;
		retry_refused(&s->retry, now_ns, reply->took_ns);
		break;
	default:
		failed(s, now_ns, reply, &v);
		break;
	}
	uint64_t ready_ns = retry_ready_ns(&s->retry, now_ns);
	s->status.wait_until_ns = ready_ns > now_ns ? ready_ns : 0;
}

void sink_sender_work(struct sink_sender *s, uint64_t now_ns)
{
	struct http_reply reply;

	if (!s->exchange)
		return;
	if (http_exchange_take(s->exchange, &reply))
		judge(s, now_ns, &reply);
	if (s->number && !http_exchange_is_busy(s->exchange) && retry_ready_ns(&s->retry, now_ns) <= now_ns)
		begin(s, now_ns);
}

bool sink_sender_take_mark(struct sink_sender *s, uint64_t *number_out)
{
	bool is_new = s->mark_is_new;

	if (is_new)
		*number_out = s->mark;
	s->mark_is_new = false;
	return is_new;
}

bool sink_sender_is_well(const struct sink_sender *s)
{
	return s->exchange && s->status.last_success_ns && !s->status.failing;
}

uint64_t sink_sender_wake_ns(const struct sink_sender *s, uint64_t now_ns)
{
	if (!s->exchange || http_exchange_is_busy(s->exchange) || (!s->number && s->is_none))
		return UINT64_MAX;
	return retry_ready_ns(&s->retry, now_ns);
}

const struct upload_status *sink_sender_status(struct sink_sender *s, bool *changed_out)
{
	*changed_out = s->changed;
	s->changed = false;
	return &s->status;
}
