#include "agent/view_load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/profile_file.h"
#include "agent/view_labels.h"
#include "base/scope.h"
#include "base/text_clean.h"
#include "base/time_text.h"
#include "pprof/profile_merge.h"
#include "store/store_reader.h"

#define VALUES_SHOWN   8   /* of a label, in a message */
#define VALUES_MAX     1024
#define NAME_SHOWN     100 /* bytes of a name in a message */

/* A name of the profile's in a message: clean already, maybe long. */
#define SHOW(text) (int)NAME_SHOWN, (text)

/* --- files ---------------------------------------------------------------------------------------------------------------- */

/* Names that were given, "a.pb.gz, b.pb.gz". */
static void name_files(const struct view_source *s, char *text, size_t bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_files && n < bytes; i++) {
		const char *slash = strrchr(s->names[i], '/');
		n += (size_t)snprintf(text + n, bytes - n, "%s%s", n ? ", " : "", slash && slash[1] ? slash + 1 : s->names[i]);
	}
}

static int merge_files(const struct view_source *s, struct profile **profiles, struct profile **profile_out, struct why *why)
{
	struct why inner = {""};

	if (s->n_files == 1) {
		*profile_out = take_ptr(profiles[0]);
		return 0;
	}
	int err = profile_merge((const struct profile *const *)profiles, s->n_files, profile_out, &inner);
	return err < 0 ? why_set(why, err, "merging %zu profiles: %s", s->n_files, inner.text[0] ? inner.text : strerror(-err)) : 0;
}

static int load_files(const struct view_source *s, struct profile **profile_out, struct why *why)
{
	AUTO_FREE struct profile **profiles = calloc(s->n_files, sizeof(struct profile *));
	int err = profiles ? 0 : why_set(why, -ENOMEM, "no memory");

	for (size_t i = 0; err == 0 && i < s->n_files; i++)
		err = profile_file_read(s->names[i], s->fds[i], &profiles[i], why);
	if (err == 0)
		err = merge_files(s, profiles, profile_out, why);
	for (size_t i = 0; profiles && i < s->n_files; i++)
		profile_free(profiles[i]);
	return err;
}

/* --- the store -------------------------------------------------------------------------------------------------------------- */

struct extent {
	int64_t from_ns, to_ns;
	uint64_t n;
};

static int add_window(void *context, const struct store_window *window)
{
	struct extent *e = context;

	if (!e->n || window->time_ns < e->from_ns)
		e->from_ns = window->time_ns;
	if (!e->n || window->end_ns > e->to_ns)
		e->to_ns = window->end_ns;
	e->n++;
	return 0;
}

/* The day once, when both are of it. */
static void name_range(int64_t from_ns, int64_t to_ns, char *text, size_t bytes)
{
	char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];

	time_text_format(from_ns, from, sizeof(from));
	time_text_format(to_ns, to, sizeof(to));
	bool same_day = strncmp(from, to, 11) == 0;
	snprintf(text, bytes, "%s to %s", from, same_day ? to + 11 : to);
}

static int explain_no_window(struct store_reader *r, const struct view_source *s, struct why *why)
{
	struct store_filter all = {0};
	struct extent extent = {0};
	char asked[80], there[80];
	struct why inner;

	int err = store_reader_windows(r, &all, add_window, &extent, &inner);
	if (err < 0)
		return why_set(why, err, "%s", inner.text);
	if (!extent.n)
		return why_set(why, -ENOENT, "the store in '%.200s' has no windows yet%s%.100s; 'hearth control status' tells whether an agent runs", s->store,
			       inner.text[0] ? ": " : "", inner.text);
	name_range(s->from_ns, s->to_ns, asked, sizeof(asked));
	name_range(extent.from_ns, extent.to_ns, there, sizeof(there));
	return why_set(why, -ENOENT, "the store in '%.200s' has no windows from %s; it has %" PRIu64 " from %s", s->store, asked, extent.n, there);
}

/* labels: with the labels of the selection, which the store looks at before it makes a profile. */
static int load_range(struct store_reader *r, const struct view_source *s, const struct profile_selection *selection, struct view_part *part, struct why *why)
{
	struct store_filter filter = {.from_ns = s->from_ns, .to_ns = s->to_ns};

	for (size_t i = 0; selection && i < selection->n_labels; i++) {
		filter.labels[i].key = selection->labels[i].key;
		filter.labels[i].value = selection->labels[i].value;
	}
	filter.n_labels = selection ? selection->n_labels : 0;
	int err = store_reader_sum(r, &filter, &part->profile, why);
	if (err == -ENOENT)
		return explain_no_window(r, s, why);
	if (err == 0)
		part->missing = *why;
	return err;
}

static int name_extent(struct store_reader *r, const struct view_source *s, struct view_part *part, struct why *why)
{
	struct store_filter filter = {.from_ns = s->from_ns, .to_ns = s->to_ns};
	struct extent extent = {0};

	int err = store_reader_windows(r, &filter, add_window, &extent, why);
	if (err == 0)
		name_range(extent.from_ns, extent.to_ns, part->subject, sizeof(part->subject));
	return err;
}

/* --- why there is nothing ------------------------------------------------------------------------------------------------------ */

/* Of one key: a string of the profile's, or a number. */
struct label_value {
	profile_str str;
	int64_t num;
	int64_t value;
};

static int by_value(const void *a, const void *b)
{
	const struct label_value *x = a, *y = b;

	return x->value > y->value ? -1 : x->value < y->value;
}

/* A table of few entries is searched from the end, where the last ones are. */
static void add_label_value(struct label_value *values, size_t *n, const struct profile_label *label, int64_t amount)
{
	for (size_t i = *n; i-- > 0;) {
		if (values[i].str != label->str || values[i].num != label->num)
			continue;
		values[i].value = (int64_t)((uint64_t)values[i].value + (uint64_t)amount);
		return;
	}
	if (*n < VALUES_MAX)
		values[(*n)++] = (struct label_value){label->str, label->num, amount};
}

/* The values of a label, the largest first. */
static size_t label_values(const struct profile *p, const char *key, struct label_value *values)
{
	uint32_t type = profile_default_value(p);
	size_t n = 0;

	for (size_t i = 0; type != PROFILE_NONE && i < p->n_samples; i++) {
		const struct profile_sample *sample = &p->samples[i];
		for (uint32_t j = 0; j < sample->n_labels; j++) {
			const struct profile_label *label = &p->labels[sample->first_label + j];
			if (strcmp(profile_string(p, label->key), key) == 0)
				add_label_value(values, &n, label, p->values[i * p->n_sample_types + type]);
		}
	}
	qsort(values, n, sizeof(*values), by_value);
	return n;
}

static const char *value_text(const struct profile *p, const struct label_value *value, char number[24])
{
	snprintf(number, 24, "%" PRId64, value->num);
	return value->str ? profile_string(p, value->str) : number;
}

static void list_values(const struct profile *p, const struct label_value *values, size_t n, char *text, size_t bytes)
{
	char number[24];
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n && i < VALUES_SHOWN && length < bytes; i++)
		length += (size_t)snprintf(text + length, bytes - length, "%s%.40s", i ? ", " : "", value_text(p, &values[i], number));
	if (n > VALUES_SHOWN && length < bytes)
		snprintf(text + length, bytes - length, ", and more");
}

static bool has_value(const struct profile *p, const struct label_value *values, size_t n, const char *text)
{
	char number[24];

	for (size_t i = 0; i < n; i++)
		if (strcmp(value_text(p, &values[i], number), text) == 0)
			return true;
	return n == VALUES_MAX; /* who knows */
}

/* p: before anything was selected. */
static void explain_empty(const struct profile *p, const struct view_options *o, const char *subject, struct why *why)
{
	AUTO_FREE struct label_value *values = malloc(VALUES_MAX * sizeof(*values));
	char text[380];

	if (!p->n_samples) {
		why_set(why, 0, "%s: no samples", subject);
		return;
	}
	for (size_t i = 0; values && i < o->selection.n_labels; i++) {
		const char *key = o->selection.labels[i].key, *value = o->selection.labels[i].value;
		size_t n = label_values(p, key, values);
		if (has_value(p, values, n, value))
			continue;
		list_values(p, values, n, text, sizeof(text));
		if (n)
			why_set(why, 0, "%s: no sample has the %.*s '%.*s'; there are %s", subject, SHOW(key), SHOW(value), text);
		else {
			label_keys_list(p, text, sizeof(text));
			why_set(why, 0, "%s: no sample has a label '%.*s'%s%s", subject, SHOW(key), *text ? "; there are " : "", text);
		}
		return;
	}
	view_options_describe(o, text, sizeof(text));
	why_set(why, 0, "%s: no sample is left of %s", subject, text);
}

/* --- loading --------------------------------------------------------------------------------------------------------------- */

static bool selects(const struct profile_selection *s)
{
	return s->n_labels || s->side != PROFILE_BOTH_SIDES || s->focus || s->ignore || s->hide || s->show;
}

/* The profile gives way to the part of it that is selected. */
static int select_part(struct view_part *part, const struct view_options *o, bool labels_are_done, struct why *why)
{
	struct profile_selection selection = o->selection;
	struct profile *selected = NULL;
	struct why inner = {""};

	if (labels_are_done)
		selection.n_labels = 0;
	if (!selects(&selection))
		return 0;
	int err = profile_select(part->profile, &selection, &selected, &inner);
	if (err < 0)
		return why_set(why, err, "selecting samples: %s", inner.text[0] ? inner.text : strerror(-err));
	if (!selected->n_samples && !labels_are_done)
		explain_empty(part->profile, o, part->subject, &part->empty);
	profile_free(part->profile);
	part->profile = selected;
	return 0;
}

static int load_from_files(const struct view_source *s, const struct view_options *o, struct view_part *part, struct why *why)
{
	name_files(s, part->subject, sizeof(part->subject));
	int err = load_files(s, &part->profile, why);
	if (err == 0 && !part->profile->n_samples)
		explain_empty(part->profile, o, part->subject, &part->empty);
	return err < 0 ? err : select_part(part, o, false, why);
}

static int load_from_store(const struct view_source *s, const struct view_options *o, struct view_part *part, struct why *why)
{
	struct store_reader *r = NULL;
	struct why inner;

	int err = store_reader_open(s->store, &r, why);
	if (err == 0)
		err = load_range(r, s, &o->selection, part, why);
	if (err == 0)
		err = name_extent(r, s, part, why);
	if (err == 0)
		err = select_part(part, o, true, why);
	if (err == 0 && !part->profile->n_samples) {
		/* What there would be without the filter by labels. */
		struct view_part all = {0};
		if (load_range(r, s, NULL, &all, &inner) == 0)
			explain_empty(all.profile, o, part->subject, &part->empty);
		profile_free(all.profile);
	}
	store_reader_close(r);
	if (err == -EROFS)
		return why_set(why, err, "the store in '%.200s' has a journal that only its writer can take over: start 'hearth agent' once, or copy all files of the folder", s->store);
	if (err < 0 && !why->text[0])
		why_set(why, err, "reading the store in '%.200s': %s", s->store, strerror(-err));
	return err;
}

int view_load(const struct view_source *source, const struct view_options *options, struct view_part *part_out, struct why *why)
{
	struct view_part part = {0};

	why->text[0] = '\0';
	int err = source->store ? load_from_store(source, options, &part, why) : load_from_files(source, options, &part, why);
	if (err < 0) {
		view_part_deinit(&part);
		return err;
	}
	*part_out = part;
	return 0;
}

void view_part_deinit(struct view_part *part)
{
	profile_free(take_ptr(part->profile));
}

/* --- sample types ---------------------------------------------------------------------------------------------------------- */

/* "cpu" or "cpu/nanoseconds" */
static bool is_type(const struct profile *p, size_t i, const char *name)
{
	const char *type = profile_string(p, p->sample_types[i].type), *unit = profile_string(p, p->sample_types[i].unit);
	size_t n = strlen(type);

	return strcmp(name, type) == 0 || (strncmp(name, type, n) == 0 && name[n] == '/' && strcmp(name + n + 1, unit) == 0);
}

int view_find_type(const struct profile *profile, const char *type, uint32_t *value_out, struct why *why)
{
	char list[300] = "";
	size_t n = 0;

	if (!profile->n_sample_types)
		return why_set(why, -EINVAL, "the profile has no sample types");
	if (!type) {
		*value_out = profile_default_value(profile);
		return 0;
	}
	for (size_t i = 0; i < profile->n_sample_types; i++) {
		if (is_type(profile, i, type)) {
			*value_out = (uint32_t)i;
			return 0;
		}
		if (n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%.60s", n ? ", " : "", profile_string(profile, profile->sample_types[i].type));
	}
	return why_set(why, -EINVAL, "--type: the profile has no '%.*s', but %s", SHOW(type), list);
}
