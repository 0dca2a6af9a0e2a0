/* Shapes one profile for one kind of sink and writes the requests into a folder, for tests/shape/run and bench/shape:
 *   shape KIND PROFILE|random:SEED:SAMPLES:PROCESSES:DEPTH:NAME_BYTES[:odd] FOLDER [OPTION=VALUE]...
 * Prints the counts, one "name=value" in a line, and the totals of what went in. With FOLDER "-" nothing is written: CPU time instead. */
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
	else
		labels[o->n_labels++] = (struct sink_pair){.name = text, .value = value};
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
