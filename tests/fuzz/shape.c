/* Windows of any content, shaped for every kind of sink with limits that the first bytes choose: what comes out adds up to what went in. */
#include <string.h>

#include "pprof/decode.h"
#include "server-upload/shape.h"
#include "tests/fuzz/fuzz.h"

#define OPTION_BYTES	  4
#define PROFILE_BYTES_MAX (1u << 20)

static struct shape_options options_of(const uint8_t *data)
{
	static const size_t requests[] = {0, 1024, 2000, 9000}, windows[] = {0, 3000, 0, 20000};
	static struct sink_pair labels[] = {{(char *)(uintptr_t)"host", (char *)(uintptr_t)"h"},
					    {(char *)(uintptr_t)"service_name", (char *)(uintptr_t)"s\xff"},
					    {(char *)(uintptr_t)"0", (char *)(uintptr_t)"&"}};

	return (struct shape_options){.labels = labels,
				      .n_labels = data[0] % 4,
				      .series_max = data[0] / 4 % 4,
				      .request_bytes_max = requests[data[1] % 4],
				      .window_bytes_max = windows[data[1] / 4 % 4],
				      .samples_max = data[2] % 8,
				      .strip_symbols = data[3] % 2};
}

/* The type that shape.h counts. */
static uint64_t total(const struct profile *p)
{
	for (uint32_t i = 0; i < p->n_sample_types; i++)
		if (strcmp(profile_string(p, p->sample_types[i].type), "samples") == 0 &&
		    strcmp(profile_string(p, p->sample_types[i].unit), "count") == 0)
			return (uint64_t)profile_total(p, i);
	return (uint64_t)profile_total(p, 0);
}

static uint64_t total_of_requests(const struct shape_requests *requests)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < requests->n; i++) {
		struct profile *profile;
		PROMISE(profile_decode(requests->requests[i].bytes, requests->requests[i].n_bytes, 0, &profile, NULL) == 0);
		sum += total(profile);
		profile_free(profile);
	}
	return sum;
}

static void check(enum sink_kind kind, const struct profile *p, const struct shape_options *options)
{
	struct shape_requests requests;

	PROMISE(shape_window(kind, p, options, &requests) == 0);
	const struct shape_counts *c = &requests.counts;
	PROMISE(c->samples + c->samples_pruned == total(p));
	PROMISE(c->samples_dropped == 0);
	PROMISE(!options->series_max || c->series <= options->series_max);
	if (kind == SINK_HTTP)
		PROMISE(total_of_requests(&requests) == c->samples);
	shape_requests_deinit(&requests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum sink_kind kinds[] = {SINK_PYROSCOPE, SINK_PARCA, SINK_OTLP_HTTP, SINK_HTTP};
	struct profile *profile;

	if (n < OPTION_BYTES)
		return 0;
	struct shape_options options = options_of(data);
	if (profile_decode(data + OPTION_BYTES, n - OPTION_BYTES, PROFILE_BYTES_MAX, &profile, NULL) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		check(kinds[i], profile, &options);
	profile_free(profile);
	return 0;
}
