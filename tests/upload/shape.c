/* Shapes one profile for one kind of sink and writes the requests into a folder, for tests/upload/shape_test.py:
 *   shape KIND PROFILE|random:SEED:SAMPLES:PROCESSES:DEPTH:NAME_BYTES[:odd] FOLDER [OPTION=VALUE]...
 * Prints the counts, one "name=value" in a line, and the totals of what went in. With FOLDER "-" nothing is written: CPU time instead.
 * Option rules=1: with three rules such as people write. KIND pprof: the profile as it is. Option agent=1: give samples the labels that the agent gives, made up from the process's name. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "pprof/decode.h"
#include "pprof/encode.h"
#include "server-upload/shape.h"
#include "tests/unit/random_profile.h"

#define REPEAT_S 1

static const char *const KINDS[] = {"pyroscope", "parca", "otlp", "otlp-grpc", "http"};

static struct profile *read_profile(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct profile *profile = NULL;
	const char *why = "cannot be read";
	static uint8_t bytes[64 << 20];

	size_t n = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
	if (!file || profile_decode(bytes, n, 0, &profile, &why) < 0) {
		fprintf(stderr, "%s: %s\n", path, why);
		exit(1);
	}
	fclose(file);
	return profile;
}

static struct profile *find_profile(const char *name)
{
	struct random_profile how = {.depth = 40};
	char odd[4] = "";

	if (sscanf(name, "random:%" SCNu64 ":%u:%u:%u:%u:%3s", &how.seed, &how.n_samples, &how.n_processes, &how.depth, &how.name_bytes, odd) < 5)
		return read_profile(name);
	how.odd_values = *odd;
	return random_profile(&how);
}

static struct relabel_rules *some_rules(void)
{
	static const struct relabel_rule some[] = {
		{.action = "drop", .source_labels = "namespace,pod", .regex = "kube-system;.*"},
		{.action = "replace", .source_labels = "process", .target_label = "comm"},
		{.action = "replace", .source_labels = "pod", .regex = "(.*)-[a-z0-9]+-[a-z0-9]+", .target_label = "deployment"},
	};
	struct relabel_rules *rules;
	struct why why;

	RANDOM_NEED(relabel_rules_create(&rules) == 0);
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		RANDOM_NEED(relabel_rules_add(rules, &some[i], &why) == 0);
	return rules;
}

static void set_option(struct shape_options *o, struct sink_pair *labels, char *text)
{
	char *value = strchr(text, '=');

	if (!value) {
		fprintf(stderr, "%s: not an option\n", text);
		exit(2);
	}
	*value++ = 0;
	if (strcmp(text, "series_max") == 0)
		o->series_max = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(text, "request_bytes_max") == 0)
		o->request_bytes_max = strtoul(value, NULL, 10);
	else if (strcmp(text, "samples_max") == 0)
		o->samples_max = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(text, "window_bytes_max") == 0)
		o->window_bytes_max = strtoul(value, NULL, 10);
	else if (strcmp(text, "strip_symbols") == 0)
		o->strip_symbols = *value == '1';
	else if (strcmp(text, "rules") == 0)
		o->relabel = some_rules();
	else if (strcmp(text, "agent") != 0)
		labels[o->n_labels++] = (struct sink_pair){.name = text, .value = value};
}

/* Labels as of processes in containers and units, four processes of one name in each. */
static struct profile *with_labels(struct profile *from)
{
	static const char *const keys[] = {"executable", "cgroup", "unit", "container_id", "container", "pod", "namespace", "service"};
	static const char *const formats[] = {"/usr/bin/%s", "/kubepods.slice/%s", "%s.service", "%064x", "%s", "%s-7d9f", "production", "%s"};
	struct profile_builder *b;
	struct profile *to;
	char text[512];

	RANDOM_NEED(profile_builder_create(&b) == 0);
	for (size_t i = 1; i < from->n_strings; i++)
		RANDOM_NEED(profile_builder_string(b, from->strings[i], from->string_lengths[i]) == (int64_t)i);
	for (size_t i = 0; i < from->n_sample_types; i++)
		profile_builder_sample_type(b, profile_string(from, from->sample_types[i].type), profile_string(from, from->sample_types[i].unit));
	profile_builder_period(b, "cpu", "nanoseconds", from->period);
	profile_builder_time(b, from->time_ns, from->duration_ns);
	for (size_t i = 0; i < from->n_mappings; i++)
		RANDOM_NEED(profile_builder_mapping(b, &from->mappings[i]) == (int64_t)i);
	for (size_t i = 0; i < from->n_functions; i++)
		RANDOM_NEED(profile_builder_function(b, &from->functions[i]) == (int64_t)i);
	for (size_t i = 0; i < from->n_locations; i++)
		RANDOM_NEED(profile_builder_location(b, from->locations[i].mapping, from->locations[i].address, from->lines + from->locations[i].first_line,
						     from->locations[i].n_lines) == (int64_t)i);
	for (size_t i = 0; i < from->n_samples; i++) {
		const struct profile_sample *s = &from->samples[i];
		const char *process = profile_label_string(from, s, "process");
		bool in_pod = *process % 2;
		struct profile_label labels[32];
		size_t n = 0;
		for (; n < s->n_labels && n < 16; n++)
			labels[n] = from->labels[s->first_label + n];
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			if (k < 7 && (in_pod ? k == 2 : k > 2))
				continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			if (k == 3)
				snprintf(text, sizeof(text), formats[k], *process);
			else
				snprintf(text, sizeof(text), formats[k], process);
#pragma GCC diagnostic pop
			int64_t key = profile_builder_string(b, keys[k], strlen(keys[k])), value = profile_builder_string(b, text, strlen(text));
			labels[n++] = (struct profile_label){.key = (profile_str)key, .str = (profile_str)value};
		}
		profile_builder_sample(b, from->stack_locations + s->first_location, s->n_locations, labels, n,
				       from->values + i * from->n_sample_types);
	}
	RANDOM_NEED(profile_builder_finish(b, &to) == 0);
	profile_builder_destroy(b);
	profile_free(from);
	return to;
}

static void write_file(const char *folder, size_t number, const char *what, const void *bytes, size_t n)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%04zu.%s", folder, number, what);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

static void print_counts(const struct profile *p, const struct shape_requests *r)
{
	const struct shape_counts *c = &r->counts;
	size_t bytes = 0;

	for (size_t i = 0; i < r->n; i++)
		bytes += r->requests[i].n_bytes;
	printf("requests=%zu\nbytes=%zu\nsamples=%" PRIu64 "\nvalue=%" PRIu64 "\ndropped=%" PRIu64 "\npruned=%" PRIu64 "\n", r->n, bytes,
	       c->samples, c->value, c->samples_dropped, c->samples_pruned);
	printf("series=%" PRIu64 "\nfolded=%" PRIu64 "\nlabels_cut=%" PRIu64 "\n", c->series, c->series_folded, c->labels_cut);
	for (uint32_t i = 0; i < p->n_sample_types; i++)
		printf("total_%s=%" PRId64 "\n", profile_string(p, p->sample_types[i].type), profile_total(p, i));
	printf("stacks=%zu\n", p->n_samples);
}

/* CPU time of one window, over a second's worth of them. */
static void measure(enum sink_kind kind, const struct profile *p, const struct shape_options *o)
{
	uint64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID), spent = 0;
	unsigned n = 0;

	for (; spent < REPEAT_S * NS_PER_S; n++) {
		struct shape_requests requests;
		if (shape_window(kind, p, o, &requests) < 0)
			exit(1);
		shape_requests_deinit(&requests);
		spent = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
	}
	printf("cpu_us=%" PRIu64 "\n", spent / n / 1000);
}

static int write_pprof(const struct profile *p, const char *folder)
{
	uint8_t *bytes;
	size_t n;

	if (profile_encode(p, &bytes, &n) < 0)
		return 1;
	write_file(folder, 0, "body", bytes, n);
	free(bytes);
	return 0;
}

int main(int argc, char **argv)
{
	struct sink_pair labels[SINK_PAIRS_MAX];
	struct shape_options options = {.labels = labels};
	struct shape_requests requests;
	unsigned kind = 0;

	if (argc < 4)
		return 2;
	while (kind < sizeof(KINDS) / sizeof(KINDS[0]) && strcmp(KINDS[kind], argv[1]) != 0)
		kind++;
	for (int i = 4; i < argc && i < SINK_PAIRS_MAX; i++)
		set_option(&options, labels, argv[i]);
	struct profile *profile = find_profile(argv[2]);
	if (argc > 4 && strcmp(argv[4], "agent") == 0) /* set_option() has cut it at the '=' */
		profile = with_labels(profile);
	if (kind == sizeof(KINDS) / sizeof(KINDS[0]))
		return write_pprof(profile, argv[3]);
	int err = shape_window((enum sink_kind)kind, profile, &options, &requests);
	if (err < 0) {
		fprintf(stderr, "shape_window: %s\n", strerror(-err));
		return 1;
	}
	print_counts(profile, &requests);
	if (strcmp(argv[3], "-") == 0)
		measure((enum sink_kind)kind, profile, &options);
	for (size_t i = 0; strcmp(argv[3], "-") != 0 && i < requests.n; i++) {
		write_file(argv[3], i, "body", requests.requests[i].bytes, requests.requests[i].n_bytes);
		if (requests.requests[i].query)
			write_file(argv[3], i, "query", requests.requests[i].query, strlen(requests.requests[i].query));
	}
	shape_requests_deinit(&requests);
	profile_free(profile);
	return 0;
}
