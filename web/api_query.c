#include "web/api_query.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/time_text.h"


/* All that any answer knows: what is in none of them is a mistake. */
static const char *const known[] = {"from", "to", "type", "match", "side", "focus", "ignore", "hide", "show", "by", "buckets", "top", "max_nodes", "first", "function", "sort", "limit",
				    "search", "format", "base_from", "base_to", "base_match", "query", "until", "max-nodes", "maxNodes", "groupBy", "aggregation", "icicle"};
static const char *const repeated[] = {"match", "base_match"};

int api_fail(struct api_query *q, int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(q->why.text, sizeof(q->why.text), format, arguments);
	va_end(arguments);
	return status;
}

int api_fail_errno(struct api_query *q, int err, const char *doing)
{
	if (err == -ENOMEM)
		return api_fail(q, 503, "%s: this takes more memory than a query may have; ask for a shorter time, or for fewer processes", doing);
	if (q->selected.text[0])
		q->why = q->selected;
	int status = err == -EINVAL || err == -E2BIG ? 400 : err == -ENOENT ? 404 : 500;
	return q->why.text[0] ? status : api_fail(q, status, "%s: %s", doing, strerror(-err));
}

/* ---- parameters ---- */

static bool is_among(const char *key, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

/* Each is known, and there once where it means one thing. */
static int check_keys(struct api_query *q)
{
	const struct web_request *r = q->request;

	for (size_t i = 0; i < r->n_parameters; i++) {
		const char *key = r->parameters[i].key;
		if (!*key && !*r->parameters[i].value)
			continue; /* "a=1&&b=2" */
		if (!is_among(key, known, sizeof(known) / sizeof(known[0])))
			return api_fail(q, 400, "there is no parameter '%.64s' (docs/api.md lists them)", key);
		if (is_among(key, repeated, sizeof(repeated) / sizeof(repeated[0])))
			continue;
		for (size_t k = 0; k < i; k++)
			if (strcmp(r->parameters[k].key, key) == 0)
				return api_fail(q, 400, "the parameter '%s' is there twice", key);
	}
	return 0;
}

const char *api_text(const struct api_query *q, const char *key)
{
	for (size_t i = 0; i < q->request->n_parameters; i++)
		if (strcmp(q->request->parameters[i].key, key) == 0)
			return q->request->parameters[i].value;
	return NULL;
}

int api_needed(struct api_query *q, const char *key, const char **value_out)
{
	const char *value = api_text(q, key);

	if (!value || !*value)
		return api_fail(q, 400, "the parameter '%s' is missing", key);
	*value_out = value;
	return 0;
}

static bool parse_digits(const char *text, int64_t *number_out)
{
	int64_t number = 0;

	if (!*text)
		return false;
	for (; *text; text++)
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *text - '0', &number))
			return false;
	*number_out = number;
	return true;
}

int api_number(struct api_query *q, const char *key, int64_t usual, int64_t least, int64_t most, int64_t *number_out)
{
	const char *text = api_text(q, key);
	int64_t number = usual;

	if (text && (!parse_digits(text, &number) || number < least || number > most))
		return api_fail(q, 400, "%s=%.32s: a whole number from %" PRId64 " to %" PRId64 " is wanted", key, text, least, most);
	*number_out = number;
	return 0;
}

/* ---- the time ---- */

static int parse_time(struct api_query *q, const char *prefix, const char *key, int64_t usual_ns, int64_t *ns_out)
{
	char name[32];
	struct why why;
	int64_t ms;

	snprintf(name, sizeof(name), "%s%s", prefix, key);
	const char *text = api_text(q, name);
	if (!text) {
		*ns_out = usual_ns;
		q->is_fixed = false;
		return 0;
	}
	if (parse_digits(text, &ms)) {
		if (__builtin_mul_overflow(ms, (int64_t)NS_PER_MS, ns_out))
			return api_fail(q, 400, "%s=%.32s: that many milliseconds since 1970 are beyond the year 2262", name, text);
		return 0;
	}
	q->is_fixed = false;
	if (time_text_parse(text, q->context->now_ns, ns_out, &why) < 0)
		return api_fail(q, 400, "%s: %s", name, why.text);
	return 0;
}

static int parse_range(struct api_query *q, const char *prefix)
{
	q->is_fixed = true;
	int status = parse_time(q, prefix, "to", q->context->now_ns, &q->to_ns);
	if (status == 0)
		status = parse_time(q, prefix, "from", q->to_ns - 3600 * (int64_t)NS_PER_S, &q->from_ns);
	if (status == 0 && q->from_ns >= q->to_ns)
		status = api_fail(q, 400, "%sfrom must be before %sto", prefix, prefix);
	q->filter.from_ns = q->from_ns;
	q->filter.to_ns = q->to_ns;
	return status;
}

/* ---- which samples ---- */

static int add_match(struct api_query *q, const char *text)
{
	struct store_filter *f = &q->filter;
	const char *colon = strchr(text, ':');
	char *key;

	if (!colon || colon == text)
		return api_fail(q, 400, "match=%.64s: it is a label and its value, as in match=process:nginx", text);
	if ((size_t)(colon - text) == strlen("host") && strncmp(text, "host", strlen("host")) == 0) {
		q->matches_host = q->matches_host && strcmp(colon + 1, q->context->host) == 0; /* a store has one host's windows, without its name */
		return 0;
	}
	if (f->n_labels == sizeof(f->labels) / sizeof(f->labels[0]))
		return api_fail(q, 400, "more than %zu labels to match", f->n_labels);
	key = strndup(text, (size_t)(colon - text));
	if (!key)
		return api_fail_errno(q, -ENOMEM, "reading the parameters");
	f->labels[f->n_labels].key = key;
	f->labels[f->n_labels++].value = colon + 1;
	return 0;
}

static void clear_matches(struct api_query *q)
{
	while (q->filter.n_labels)
		free((char *)(uintptr_t)q->filter.labels[--q->filter.n_labels].key);
	q->matches_host = true;
}

static int parse_matches(struct api_query *q, const char *prefix)
{
	const struct web_request *r = q->request;
	char name[32];
	int status = 0;

	snprintf(name, sizeof(name), "%smatch", prefix);
	if (*prefix && !api_text(q, name))
		return 0; /* as without it */
	clear_matches(q);
	for (size_t i = 0; i < r->n_parameters && status == 0; i++)
		if (strcmp(r->parameters[i].key, name) == 0 && *r->parameters[i].value)
			status = add_match(q, r->parameters[i].value);
	return status;
}

static const char *expression(const struct api_query *q, const char *key)
{
	const char *text = api_text(q, key);

	return text && *text ? text : NULL;
}

static int parse_frames(struct api_query *q)
{
	const char *side = expression(q, "side");
	struct profile_selection *s = &q->selection;

	*s = (struct profile_selection){
		.focus = expression(q, "focus"),
		.ignore = expression(q, "ignore"),
		.hide = expression(q, "hide"),
		.show = expression(q, "show"),
	};
	if (side && strcmp(side, "user") == 0)
		s->side = PROFILE_USER_SIDE;
	else if (side && strcmp(side, "kernel") == 0)
		s->side = PROFILE_KERNEL_SIDE;
	else if (side && strcmp(side, "both") != 0)
		return api_fail(q, 400, "side=%.32s: it is user, kernel or both", side);
	q->has_selection = s->side != PROFILE_BOTH_SIDES || s->focus || s->ignore || s->hide || s->show;
	return 0;
}

int api_query_parse(struct api_query *q, const char *prefix)
{
	int status = check_keys(q);

	if (status == 0)
		status = parse_range(q, prefix);
	if (status == 0)
		status = parse_matches(q, prefix);
	if (status == 0)
		status = parse_frames(q);
	q->type = expression(q, "type");
	q->filter.type = q->type;
	return status;
}

void api_query_deinit(struct api_query *q)
{
	clear_matches(q);
	store_reader_close(take_ptr(q->reader));
}

/* ---- frames, where the store looks at them ---- */

static int select_locations(void *context, const struct profile *frames, uint8_t **bits_out)
{
	struct api_query *q = context;

	return profile_select_locations(frames, &q->selection, bits_out, &q->selected);
}

static bool select_stack(void *context, unsigned bits, bool has_frames)
{
	const struct api_query *q = context;

	return profile_select_stack(&q->selection, bits, has_frames);
}

void api_query_select_in_store(struct api_query *q)
{
	q->selected.text[0] = '\0';
	q->filter.locations = q->has_selection ? select_locations : NULL;
	q->filter.stack = select_stack;
	q->filter.frames_context = q;
}

/* ---- the store ---- */

int api_query_store(struct api_query *q)
{
	const char *folder = q->context->store;

	if (!*folder)
		return api_fail(q, 404, "this agent has no store: without one there is nothing to show (hearth agent --store)");
	int err = store_reader_open(folder, &q->reader, &q->why);
	if (err == -ENOENT || err == -ENOTDIR)
		return api_fail(q, 404, "there is no store in '%s' yet: 'hearth agent' makes one, with its first window", folder);
	return err < 0 ? api_fail_errno(q, err, "opening the store") : 0;
}

void api_warn(struct api_query *q)
{
	if (!q->why.text[0])
		return;
	q->warned = q->why;
	q->warning = q->warned.text;
}

int api_query_profile(struct api_query *q, const char *const *keep, size_t n_keep, struct profile **profile_out)
{
	struct profile *all, *selected;

	*profile_out = NULL;
	if (!q->matches_host)
		return 0;
	q->filter.keep = keep;
	q->filter.n_keep = n_keep;
	int err = store_reader_sum(q->reader, &q->filter, &all, &q->why);
	if (err == -ENOENT)
		return 0;
	if (err < 0)
		return api_fail_errno(q, err, "summing the windows of this time");
	api_warn(q);
	if (q->has_selection) {
		q->why.text[0] = '\0';
		err = profile_select(all, &q->selection, &selected, &q->why);
		profile_free(all);
		if (err < 0)
			return api_fail_errno(q, err, "choosing frames");
		all = selected;
	}
	*profile_out = all;
	return 0;
}

int api_query_value(struct api_query *q, const struct profile *profile, uint32_t *value_out)
{
	char types[256] = "";
	size_t n = 0;

	*value_out = PROFILE_NONE;
	if (!profile)
		return 0;
	if (!q->type) {
		*value_out = profile_default_value(profile);
		return *value_out == PROFILE_NONE ? api_fail(q, 500, "the windows of this time have no values") : 0;
	}
	for (uint32_t i = 0; i < profile->n_sample_types; i++) {
		const char *name = profile_string(profile, profile->sample_types[i].type);
		if (strcmp(name, q->type) == 0) {
			*value_out = i;
			return 0;
		}
		n += (size_t)snprintf(types + n, sizeof(types) - n, "%s%.32s", n ? ", " : "", name);
		n = n < sizeof(types) ? n : sizeof(types) - 1;
	}
	return api_fail(q, 400, "there is no sample type '%.64s'; there are: %s", q->type, types);
}

/* ---- what all answers have ---- */

void api_write_head(struct api_query *q, const struct profile *profile, uint32_t value)
{
	json_int(&q->json, "from_ms", q->from_ns / (int64_t)NS_PER_MS);
	json_int(&q->json, "to_ms", q->to_ns / (int64_t)NS_PER_MS);
	json_string(&q->json, "type", profile ? profile_string(profile, profile->sample_types[value].type) : q->type ? q->type : "");
	json_string(&q->json, "unit", profile ? profile_string(profile, profile->sample_types[value].unit) : "");
}

void api_write_tail(struct api_query *q, int64_t largest)
{
	if (largest > API_EXACT_MAX || largest < -API_EXACT_MAX)
		json_bool(&q->json, "exact", false);
	if (q->warning)
		json_string(&q->json, "warning", q->warning);
}
