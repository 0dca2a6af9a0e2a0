#include "server-upload/shape_labels.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "base/text_clean.h"

#define TAGS_MAX      128
#define TEXT_MAX      4096 /* the longest of all kinds' limits */
#define NUMBER_TEXT   24

/* A set before it is interned: borrowed texts. */
struct working {
	size_t n;
	struct {
		const char *name, *value;
	} labels[LABEL_SET_MAX];
	char pid[NUMBER_TEXT], tid[NUMBER_TEXT];
};

static const char *working_get(const struct working *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->labels[i].name, name) == 0)
			return w->labels[i].value;
	return "";
}

/* replace: the last one counts, else the first. */
static void working_put(struct shape_series *x, struct working *w, const char *name, const char *value, bool replace)
{
	if (!*name || !*value)
		return;
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->labels[i].name, name) == 0) {
			if (replace)
				w->labels[i].value = value;
			return;
		}
	if (w->n == LABEL_SET_MAX) {
		x->counts.labels_cut++;
		return;
	}
	w->labels[w->n].name = name;
	w->labels[w->n++].value = value;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* The service of a sample: what the agent says, else what tells most about where the process belongs. */
static const char *service_of(const struct working *w, const char *said)
{
	if (*said)
		return said;
	if (*working_get(w, "container"))
		return working_get(w, "container");
	if (*working_get(w, "unit"))
		return working_get(w, "unit");
	if (*working_get(w, "executable"))
		return base_name(working_get(w, "executable"));
	if (*working_get(w, "process"))
		return working_get(w, "process");
	return "unknown";
}

static void put_sinks(struct shape_series *x, struct working *w)
{
	const struct shape_options *o = x->options;

	if (x->kind->profile_name)
		working_put(x, w, "__name__", x->profile_name, false);
	for (size_t i = 0; i < o->n_labels; i++) {
		if (!o->labels[i].name || !o->labels[i].value || strncmp(o->labels[i].name, "__", 2) == 0)
			continue;
		working_put(x, w, o->labels[i].name, o->labels[i].value, true);
	}
	if (x->kind->node)
		working_put(x, w, x->kind->node, working_get(w, "host"), false);
}

/* The sink's own labels come first: where a sample has one of the same name, the sink's stays. */
static void put_samples(struct shape_series *x, struct working *w, const struct profile_label *labels, size_t n)
{
	const char *service = "";

	for (size_t i = 0; i < n; i++) {
		const char *name = profile_string(x->window, labels[i].key);
		if (labels[i].str && strcmp(name, "service") == 0 && !*service)
			service = profile_string(x->window, labels[i].str);
		else if (labels[i].str && strncmp(name, "__", 2) != 0)
			working_put(x, w, name, profile_string(x->window, labels[i].str), false);
		else if (!labels[i].str && strcmp(name, "pid") == 0 && x->options->relabel && !*w->pid)
			snprintf(w->pid, sizeof(w->pid), "%" PRId64, labels[i].num);
		else if (!labels[i].str && strcmp(name, "tid") == 0 && x->options->relabel && !*w->tid)
			snprintf(w->tid, sizeof(w->tid), "%" PRId64, labels[i].num);
	}
	working_put(x, w, "service_name", service_of(w, service), false);
	working_put(x, w, "__pid", w->pid, false);
	working_put(x, w, "__tid", w->tid, false);
}

/* ---- rules ---- */

#define AUTO_SET __attribute__((cleanup(label_set_deinit)))

static int to_set(struct shape_series *x, const struct working *w, struct label_set *set)
{
	for (size_t i = 0; i < w->n; i++) {
		int err = label_set_put(set, w->labels[i].name, w->labels[i].value);
		if (err == -E2BIG)
			x->counts.labels_cut++;
		else if (err < 0)
			return err;
	}
	return 0;
}

/* Returns 1, 0 (dropped), -ENOMEM. set: holds the texts that w then borrows. */
static int apply_rules(struct shape_series *x, struct working *w, struct label_set *set)
{
	if (!x->options->relabel)
		return 1;
	int err = to_set(x, w, set);
	if (err == 0)
		err = relabel_rules_apply(x->options->relabel, set);
	if (err <= 0)
		return err;
	w->n = 0;
	for (size_t i = 0; i < set->n; i++) {
		w->labels[w->n].name = set->labels[i].name;
		w->labels[w->n++].value = set->labels[i].value;
	}
	if (x->kind->profile_name)
		working_put(x, w, "__name__", x->profile_name, false);
	return 1;
}

/* ---- what the server takes ---- */

static int64_t intern(struct shape_series *x, const char *text, size_t bytes_max)
{
	char clean[TEXT_MAX + 1];
	size_t n = strlen(text), max = bytes_max < TEXT_MAX ? bytes_max : TEXT_MAX;

	if (n <= max && text_is_clean(text, n))
		return intern_table_put(&x->texts, text, n);
	x->counts.labels_cut += n > max;
	n = text_clean(text, n, clean, max + 1);
	return intern_table_put(&x->texts, clean, n);
}

static bool is_plain(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static int64_t intern_name(struct shape_series *x, const char *name)
{
	char plain[TEXT_MAX + 1];
	size_t n = 0;

	if (!x->kind->plain_names)
		return intern(x, name, x->kind->name_bytes_max);
	if (*name >= '0' && *name <= '9')
		plain[n++] = '_';
	for (const char *at = name; *at && n < x->kind->name_bytes_max; at++, n++)
		plain[n] = is_plain(*at, n == 0) ? *at : '_';
	plain[n] = 0;
	return intern_table_put(&x->texts, plain, n);
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

/* What can be spared when there are too many: nothing that names the profile; the sink's own labels after all others. */
enum worth { WORTH_SPARED, WORTH_SINKS, WORTH_NAMES_IT };

struct finished {
	size_t n_labels, n_tags;
	struct shape_label labels[LABEL_SET_MAX];
	enum worth worth[LABEL_SET_MAX];
	struct shape_tag tags[TAGS_MAX];
};

static enum worth worth_of(const struct shape_series *x, const char *name)
{
	if (strcmp(name, "__name__") == 0 || strcmp(name, "service_name") == 0)
		return WORTH_NAMES_IT;
	for (size_t i = 0; i < x->options->n_labels; i++)
		if (x->options->labels[i].name && strcmp(name, x->options->labels[i].name) == 0)
			return WORTH_SINKS;
	return WORTH_SPARED;
}

/* Keep the order by name; the first of a name stays. */
static void add_label(struct shape_series *x, struct finished *f, struct shape_label label, enum worth worth)
{
	const char *name = shape_series_text(x, label.name);
	size_t at = f->n_labels;

	for (size_t i = 0; i < f->n_labels; i++)
		if (f->labels[i].name == label.name) {
			x->counts.labels_cut++;
			return;
		}
	for (; at && strcmp(shape_series_text(x, f->labels[at - 1].name), name) > 0; at--) {
		f->labels[at] = f->labels[at - 1];
		f->worth[at] = f->worth[at - 1];
	}
	f->labels[at] = label;
	f->worth[at] = worth;
	f->n_labels++;
}

/* The first of a name stays. */
static void add_tag(struct shape_series *x, struct finished *f, struct shape_tag tag)
{
	bool again = false;

	for (size_t i = 0; i < f->n_tags; i++)
		again |= f->tags[i].name == tag.name;
	if (again || f->n_tags == TAGS_MAX) {
		x->counts.labels_cut++;
		return;
	}
	f->tags[f->n_tags++] = tag;
}

static bool is_base(const struct shape_series *x, struct shape_label label)
{
	for (size_t i = 0; i < x->n_base; i++)
		if (x->base[i].name == label.name && x->base[i].value == label.value)
			return true;
	return false;
}

static int finish_label(struct shape_series *x, struct finished *f, const char *name, const char *value)
{
	const struct shape_kind *kind = x->kind;

	if (strncmp(name, "__", 2) == 0 && !(kind->profile_name && strcmp(name, "__name__") == 0))
		return 0;
	bool is_series = !kind->one_series && !is_one_of(name, kind->not_series);
	if (!is_series && !kind->keeps_others)
		return 0;
	/* In a pprof file of ours the service is called as in the store's. */
	int64_t n = intern_name(x, kind->one_series && strcmp(name, "service_name") == 0 ? "service" : name);
	int64_t v = n < 0 ? n : intern(x, value, kind->value_bytes_max);
	if (v < 0)
		return (int)v;
	struct shape_label label = {(uint32_t)n, (uint32_t)v};
	if (is_series)
		add_label(x, f, label, worth_of(x, name));
	else if (!is_base(x, label))
		add_tag(x, f, (struct shape_tag){.name = label.name, .value = label.value});
	return 0;
}

static void limit_labels(struct shape_series *x, struct finished *f)
{
	size_t max = x->kind->names_max ? x->kind->names_max : LABEL_SET_MAX;

	while (f->n_labels > max) {
		size_t victim = f->n_labels - 1;
		for (size_t i = f->n_labels; i-- > 0;)
			if (f->worth[i] < f->worth[victim])
				victim = i;
		f->n_labels--;
		memmove(&f->labels[victim], &f->labels[victim + 1], (f->n_labels - victim) * sizeof(f->labels[0]));
		memmove(&f->worth[victim], &f->worth[victim + 1], (f->n_labels - victim) * sizeof(f->worth[0]));
		x->counts.labels_cut++;
	}
}

static int finish_labels(struct shape_series *x, const struct working *w, struct finished *f)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < w->n; i++)
		err = finish_label(x, f, w->labels[i].name, w->labels[i].value);
	if (err == 0)
		limit_labels(x, f);
	return err;
}

static int finish_numbers(struct shape_series *x, const struct profile_label *labels, size_t n, struct finished *f, int64_t *pid)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = profile_string(x->window, labels[i].key);
		if (labels[i].str || !*name)
			continue;
		if (x->kind->by_process && !*pid && strcmp(name, "pid") == 0) {
			*pid = labels[i].num;
			continue;
		}
		if (!x->kind->keeps_numbers)
			continue;
		int64_t text = intern(x, name, x->kind->name_bytes_max);
		int64_t unit = text < 0 ? text : intern(x, profile_string(x->window, labels[i].num_unit), x->kind->name_bytes_max);
		if (unit < 0)
			return (int)unit;
		add_tag(x, f, (struct shape_tag){.name = (uint32_t)text, .number = labels[i].num, .unit = (uint64_t)unit});
	}
	return 0;
}

static int64_t intern_key(struct shape_series *x, int64_t pid, const struct shape_label *labels, size_t n)
{
	struct {
		int64_t pid;
		struct shape_label labels[LABEL_SET_MAX];
	} key = {.pid = pid};

	memcpy(key.labels, labels, n * sizeof(labels[0]));
	return intern_table_put(&x->keys, &key, sizeof(key.pid) + n * sizeof(labels[0]));
}

int shape_labels_of_sample(struct shape_series *x, const struct profile_label *labels, size_t n, struct shape_group *group_out)
{
	AUTO_SET struct label_set set = {.n = 0};
	struct working w = {.n = 0};
	struct finished f;
	int64_t pid = 0;

	f.n_labels = f.n_tags = 0;
	put_sinks(x, &w);
	put_samples(x, &w, labels, n);
	int err = apply_rules(x, &w, &set);
	if (err == 0)
		*group_out = (struct shape_group){.dropped = true};
	if (err <= 0)
		return err;
	err = finish_numbers(x, labels, n, &f, &pid);
	if (err == 0)
		err = finish_labels(x, &w, &f);
	if (err < 0)
		return err;
	int64_t key = intern_key(x, pid, f.labels, f.n_labels);
	int64_t tags = key < 0 ? key : intern_table_put(&x->tags, f.tags, f.n_tags * sizeof(f.tags[0]));
	if (tags < 0)
		return (int)tags;
	*group_out = (struct shape_group){.key = (uint32_t)key, .tags = (uint32_t)tags};
	return 0;
}

/* The sink's labels and perhaps a service, after the rules; when they drop it, as if there were none: samples that were kept must stay. */
static int finish_alone(struct shape_series *x, const char *service, struct finished *f)
{
	AUTO_SET struct label_set set = {.n = 0};
	struct working w = {.n = 0};

	f->n_labels = f->n_tags = 0;
	put_sinks(x, &w);
	working_put(x, &w, "service_name", service, false);
	int err = apply_rules(x, &w, &set);
	return err < 0 ? err : finish_labels(x, &w, f);
}

int shape_labels_of_other(struct shape_series *x, uint32_t *key_out)
{
	struct finished f;

	int err = finish_alone(x, "other", &f);
	int64_t key = err < 0 ? err : intern_key(x, 0, f.labels, f.n_labels);
	if (key < 0)
		return (int)key;
	*key_out = (uint32_t)key;
	return 0;
}

/* process_cpu is what users of CPU time query; a window of other events is no CPU time. */
static void name_profile(struct shape_series *x)
{
	const struct profile *p = x->window;
	const char *type = profile_string(p, p->sample_types[profile_default_value(p)].type);
	size_t n;

	if (!x->kind->profile_name)
		return;
	n = (size_t)snprintf(x->profile_name, sizeof(x->profile_name), "%s", x->kind->profile_name);
	if (!x->kind->names_the_type || strcmp(type, "cpu") == 0 || strcmp(type, "samples") == 0)
		return;
	n = (size_t)snprintf(x->profile_name, sizeof(x->profile_name), "process_%.*s", (int)sizeof(x->profile_name) / 2, type);
	for (size_t i = 0; i < n; i++)
		if (!is_plain(x->profile_name[i], i == 0))
			x->profile_name[i] = '_';
}

int shape_labels_of_sink(struct shape_series *x)
{
	struct finished f;

	name_profile(x);
	if (!x->kind->one_series)
		return 0;
	int err = finish_alone(x, "", &f);
	if (err < 0)
		return err;
	x->base = calloc(f.n_tags + 1, sizeof(x->base[0]));
	if (!x->base)
		return -ENOMEM;
	for (size_t i = 0; i < f.n_tags; i++)
		x->base[x->n_base++] = (struct shape_label){f.tags[i].name, f.tags[i].value};
	return 0;
}
