#include "web/pyroscope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "web/connect.h"

#define SELECTORS_MAX 32
#define TYPE_PARTS    5

/* ---- names ---- */

const char *pyroscope_key(const char *name)
{
	return strcmp(name, "service_name") == 0 ? "service" : name;
}

const char *pyroscope_name(const char *key)
{
	return strcmp(key, "service") == 0 ? "service_name" : key;
}

/* "process_cpu:cpu:nanoseconds:cpu:nanoseconds", with ":delta" behind it or not. */
static int parse_type(struct pyroscope_query *p, const char *id)
{
	const char *parts[TYPE_PARTS + 1] = {id};
	size_t n = 1;

	for (const char *at = id; *at && n <= TYPE_PARTS; at++)
		if (*at == ':')
			parts[n++] = at + 1;
	if (n < TYPE_PARTS || parts[2] - parts[1] > (ptrdiff_t)sizeof(p->type) || parts[3] - parts[2] > (ptrdiff_t)sizeof(p->unit))
		return api_fail(p->q, 400, "'%.128s' is no profile type: it is as in " PYROSCOPE_NAME ":cpu:nanoseconds:cpu:nanoseconds", id);
	snprintf(p->type, sizeof(p->type), "%.*s", (int)(parts[2] - parts[1] - 1), parts[1]);
	snprintf(p->unit, sizeof(p->unit), "%.*s", (int)(parts[3] - parts[2] - 1), parts[2]);
	if ((size_t)(parts[1] - parts[0] - 1) != strlen(PYROSCOPE_NAME) || strncmp(id, PYROSCOPE_NAME, strlen(PYROSCOPE_NAME)) != 0)
		p->q->matches_host = false; /* another profile: there is none */
	return 0;
}

/* ---- selectors ---- */

static const char *value_of(const struct pyroscope_query *p, const char *name, const struct store_label *labels, size_t n)
{
	if (strcmp(name, "__name__") == 0)
		return PYROSCOPE_NAME;
	if (strcmp(name, "host") == 0)
		return p->q->context->host;
	const char *key = pyroscope_key(name);
	for (size_t i = 0; i < n; i++)
		if (strcmp(labels[i].key, key) == 0)
			return labels[i].text;
	return "";
}

static bool selector_holds(struct pyroscope_query *p, const struct label_selector *s, const struct store_label *labels, size_t n)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct label_matcher *m = &s->matchers[i];
		if (strncmp(m->name, "__", 2) == 0 && strcmp(m->name, "__name__") != 0)
			continue; /* __profile_type__ and the like are of all samples */
		int holds = label_matcher_holds(m, value_of(p, m->name, labels, n));
		if (holds < 0)
			p->err = holds;
		if (holds <= 0)
			return false;
	}
	return true;
}

static bool is_selected(void *context, const struct store_label *labels, size_t n)
{
	struct pyroscope_query *p = context;

	for (size_t i = 0; i < p->n_selectors && p->err == 0; i++)
		if (selector_holds(p, &p->selectors[i], labels, n))
			return true;
	return p->n_selectors == 0;
}

static int parse_selectors(struct pyroscope_query *p, char *const *selectors, size_t n)
{
	if (n > SELECTORS_MAX)
		return api_fail(p->q, 400, "more than %d selectors", SELECTORS_MAX);
	if (!n)
		return 0;
	p->selectors = calloc(n, sizeof(*p->selectors));
	if (!p->selectors)
		return api_fail_errno(p->q, -ENOMEM, "reading selectors");
	for (size_t i = 0; i < n; i++) {
		int err = label_selector_parse(selectors[i], &p->selectors[i], &p->q->why);
		if (err < 0)
			return api_fail_errno(p->q, err, "reading a selector");
		p->n_selectors++;
	}
	return 0;
}

/* ---- a call ---- */

static int set_range(struct pyroscope_query *p, int64_t start_ms, int64_t end_ms)
{
	struct api_query *q = p->q;

	if (start_ms < 0 || end_ms < 0 || __builtin_mul_overflow(start_ms, (int64_t)NS_PER_MS, &q->from_ns) ||
	    __builtin_mul_overflow(end_ms, (int64_t)NS_PER_MS, &q->to_ns))
		return api_fail(q, 400, "start and end are milliseconds since 1970");
	if (!end_ms)
		q->to_ns = q->context->now_ns;
	if (q->from_ns >= q->to_ns)
		return api_fail(q, 400, "start must be before end");
	q->is_fixed = end_ms != 0;
	q->filter = (struct store_filter){.from_ns = q->from_ns, .to_ns = q->to_ns, .match_context = p};
	q->filter.match = p->n_selectors ? is_selected : NULL;
	return 0;
}

int pyroscope_begin(struct pyroscope_query *p, struct api_query *q, int64_t start_ms, int64_t end_ms, char *const *selectors, size_t n_selectors, const char *type)
{
	*p = (struct pyroscope_query){.q = q};
	q->matches_host = true;
	int status = parse_selectors(p, selectors, n_selectors);
	if (status == 0)
		status = set_range(p, start_ms, end_ms);
	if (status == 0 && type) {
		status = parse_type(p, type);
		q->filter.type = p->type;
	}
	return status ? status : q->reader ? 0 : api_query_store(q);
}

void pyroscope_end(struct pyroscope_query *p)
{
	for (size_t i = 0; i < p->n_selectors; i++)
		label_selector_deinit(&p->selectors[i]);
	free(p->selectors);
}

int pyroscope_check(struct pyroscope_query *p, int err, const char *doing)
{
	if (p->err == -E2BIG)
		return api_fail(p->q, 400, "an expression of the selector takes too long to match: it has too many ways to");
	if (p->err < 0)
		return api_fail_errno(p->q, p->err, doing);
	return err < 0 ? api_fail_errno(p->q, err, doing) : 0;
}

static const struct method {
	const char *name;
	const ProtobufCMessageDescriptor *request;
	int (*answer)(struct api_query *q, const ProtobufCMessage *message);
} methods[] = {
	{"ProfileTypes", &querier__profile_types_request__descriptor, pyroscope_profile_types},
	{"LabelNames", &querier__label_names_request__descriptor, pyroscope_label_names},
	{"LabelValues", &querier__label_values_request__descriptor, pyroscope_label_values},
	{"Series", &querier__series_request__descriptor, pyroscope_series},
	{"SelectSeries", &querier__select_series_request__descriptor, pyroscope_select_series},
	{"SelectMergeStacktraces", &querier__select_merge_stacktraces_request__descriptor, pyroscope_select_merge_stacktraces},
	{"SelectMergeProfile", &querier__select_merge_profile_request__descriptor, pyroscope_select_merge_profile},
};

static int answer_call(struct api_query *q, const char *name)
{
	ProtobufCMessage *message;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(methods[i].name, name) != 0)
			continue;
		int status = connect_read(q, methods[i].request, &message);
		if (status == 0) {
			status = methods[i].answer(q, message);
			protobuf_c_message_free_unpacked(message, NULL);
		}
		return status;
	}
	return api_fail(q, 501, "there is no call '%.64s' here (docs/api.md lists what there is)", name);
}

int pyroscope_call(struct api_query *q, const char *name)
{
	int status = answer_call(q, name);

	if (status <= 0)
		return status;
	connect_write_error(q, status);
	return 0;
}
