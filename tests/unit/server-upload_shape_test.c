#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "pprof/decode.h"
#include "pprof/profile_builder.h"
#include "server-upload/shape.h"
#include "server-upload/shape_kind.h"
#include "tests/unit/random_profile.h"
#include "tests/unit/sample_profile.h"
#include "tests/unit/wire_reader.h"

static const enum sink_kind KINDS[] = {SINK_PYROSCOPE, SINK_PARCA, SINK_OTLP_HTTP, SINK_OTLP_GRPC, SINK_HTTP};
#define N_KINDS (sizeof(KINDS) / sizeof(KINDS[0]))

/* ---- reading requests ---- */

typedef void profile_fn(const struct profile *profile, size_t plain_bytes, const char *labels, void *context);

static void decoded(const uint8_t *bytes, size_t n, const char *labels, profile_fn *fn, void *context)
{
	struct profile *profile;
	const char *why = "";

	assert_true(n > 18 && bytes[0] == 0x1f && bytes[1] == 0x8b);
	size_t plain = bytes[n - 4] | (size_t)bytes[n - 3] << 8 | (size_t)bytes[n - 2] << 16; /* gzip's last word */
	if (profile_decode(bytes, n, 0, &profile, &why) < 0)
		fail_msg("%s", why);
	fn(profile, plain, labels, context);
	profile_free(profile);
}

/* "name=value," of each label. */
static void read_labels(struct wire_reader r, char *text, size_t size)
{
	struct wire_field label, name, value;
	size_t n = 0;

	while (read_next(&r, &label)) {
		if (label.number != 1)
			continue;
		assert_true(read_nth(read_field(&label), 1, 0, &name) && read_nth(read_field(&label), 2, 0, &value));
		n += (size_t)snprintf(text + n, size - n, "%.*s=%.*s,", (int)name.n, (const char *)name.bytes, (int)value.n, (const char *)value.bytes);
		assert_true(n < size);
	}
}

static void each_profile(enum sink_kind kind, const struct shape_request *request, profile_fn *fn, void *context)
{
	struct wire_reader r = read_bytes(request->bytes, request->n_bytes);
	struct wire_field series, field, raw;
	char labels[16384];

	if (kind == SINK_HTTP) {
		decoded(request->bytes, request->n_bytes, request->query ? request->query : "", fn, context);
		return;
	}
	while (read_next(&r, &series)) {
		if (series.number != (kind == SINK_PARCA ? 2u : 1u)) {
			assert_true(kind == SINK_PARCA && series.number == 3 && series.value == 1);
			continue;
		}
		labels[0] = 0;
		assert_true(kind != SINK_PARCA || read_nth(read_field(&series), 1, 0, &field));
		read_labels(read_field(kind == SINK_PARCA ? &field : &series), labels, sizeof(labels));
		for (size_t i = 0; read_nth(read_field(&series), 2, i, &field); i++) {
			assert_true(read_nth(read_field(&field), 1, 0, &raw));
			decoded(raw.bytes, raw.n, labels, fn, context);
		}
	}
}

struct totals {
	uint64_t count, cpu, n_profiles;
	size_t most_bytes, most_samples;
};

static void add_totals(const struct profile *p, size_t plain_bytes, const char *labels, void *context)
{
	struct totals *totals = context;

	(void)labels;
	assert_string_equal(profile_string(p, p->sample_types[0].type), "samples");
	totals->count += (uint64_t)profile_total(p, 0);
	totals->cpu += p->n_sample_types > 1 ? (uint64_t)profile_total(p, 1) : 0;
	totals->n_profiles++;
	totals->most_bytes = plain_bytes > totals->most_bytes ? plain_bytes : totals->most_bytes;
	totals->most_samples = p->n_samples > totals->most_samples ? p->n_samples : totals->most_samples;
}

static void add_otlp_profile(struct wire_reader r, struct totals *totals)
{
	struct wire_field field, type, value;
	size_t n = 0;

	assert_true(read_nth(r, 1, 0, &type));
	struct wire_reader inside = read_field(&type);
	bool is_count = read_nth(inside, 1, 0, &type) && type.value == 1;
	assert_true(read_nth(r, 7, 0, &field) && field.n == 16);
	while (read_next(&r, &field)) {
		if (field.number != 2)
			continue;
		n++;
		assert_true(read_nth(read_field(&field), 4, 0, &value));
		struct wire_reader packed = read_field(&value);
		uint64_t number = read_varint(&packed);
		assert_true(packed.at == packed.end);
		*(is_count ? &totals->count : &totals->cpu) += number;
	}
	totals->n_profiles++;
	totals->most_samples = n > totals->most_samples ? n : totals->most_samples;
}

static void add_otlp(const struct shape_request *request, struct totals *totals)
{
	struct wire_reader r = read_bytes(request->bytes, request->n_bytes);
	struct wire_field resource, scope, profile;

	totals->most_bytes = request->n_bytes > totals->most_bytes ? request->n_bytes : totals->most_bytes;
	for (size_t i = 0; read_nth(r, 1, i, &resource); i++) {
		assert_true(read_nth(read_field(&resource), 2, 0, &scope));
		for (size_t k = 0; read_nth(read_field(&scope), 2, k, &profile); k++)
			add_otlp_profile(read_field(&profile), totals);
	}
	assert_true(read_nth(r, 2, 0, &profile));
}

static struct totals totals_of(enum sink_kind kind, const struct shape_requests *requests)
{
	struct totals totals = {.count = 0};

	for (size_t i = 0; i < requests->n; i++)
		if (kind == SINK_OTLP_HTTP || kind == SINK_OTLP_GRPC)
			add_otlp(&requests->requests[i], &totals);
		else
			each_profile(kind, &requests->requests[i], add_totals, &totals);
	return totals;
}

static struct shape_requests shape(enum sink_kind kind, const struct profile *p, const struct shape_options *options)
{
	struct shape_requests requests;

	assert_int_equal(shape_window(kind, p, options, &requests), 0);
	return requests;
}

/* ---- nothing is lost on the way ---- */

/* What is in the requests is what is counted, and with what was left out it is the window. */
static void check_totals(enum sink_kind kind, const struct profile *p, const struct shape_options *options)
{
	struct shape_requests requests = shape(kind, p, options);
	const struct shape_counts *c = &requests.counts;
	struct totals totals = totals_of(kind, &requests);

	assert_int_equal(totals.count, c->samples);
	for (size_t i = 0; options->request_bytes_max && i < requests.n; i++)
		assert_true(requests.requests[i].n_plain > 0 && requests.requests[i].n_plain <= options->request_bytes_max);
	assert_int_equal(c->samples + c->samples_dropped + c->samples_pruned, profile_total(p, 0));
	if (totals.cpu)
		assert_int_equal(totals.cpu, c->value);
	if (c->samples == (uint64_t)profile_total(p, 0))
		assert_int_equal(c->value, profile_total(p, 1));
	if (options->request_bytes_max)
		assert_true(totals.most_bytes <= options->request_bytes_max);
	if (options->samples_max)
		assert_true(totals.most_samples <= options->samples_max);
	if (options->series_max)
		assert_true(c->series <= options->series_max);
	assert_true(!c->samples_pruned || options->window_bytes_max || options->request_bytes_max);
	shape_requests_deinit(&requests);
}

static void add_rule(struct relabel_rules *rules, struct relabel_rule rule)
{
	struct why why = {""};

	if (relabel_rules_add(rules, &rule, &why) < 0)
		fail_msg("%s", why.text);
}

static struct relabel_rules *some_rules(void)
{
	struct relabel_rules *rules;

	assert_int_equal(relabel_rules_create(&rules), 0);
	add_rule(rules, (struct relabel_rule){.action = "drop", .source_labels = "process", .regex = "process-.*3"});
	add_rule(rules, (struct relabel_rule){.action = "replace", .source_labels = "process", .target_label = "comm"});
	add_rule(rules, (struct relabel_rule){.action = "replace", .source_labels = "__pid", .target_label = "pid_text", .regex = "(.*1)"});
	return rules;
}

static void test_totals(void **state)
{
	static const uint32_t series[] = {0, 1, 2, 17}, samples[] = {0, 1, 100};
	static const size_t request_bytes[] = {0, 1024, 5000, 60000}, window_bytes[] = {0, 4000, 90000};
	struct relabel_rules *rules = some_rules();
	struct sink_pair label = {.name = (char *)(uintptr_t)"host", .value = (char *)(uintptr_t)"h1"};
	struct random_source r = {.state = 42};

	(void)state;
	for (unsigned round = 0; round < 12; round++) {
		struct random_profile how = {.seed = round, .n_samples = random_below(&r, 250), .n_processes = 1 + random_below(&r, 40),
					     .depth = 1 + random_below(&r, 60), .name_bytes = random_below(&r, 3) ? 20 : 3000,
					     .odd_values = random_below(&r, 2)};
		struct profile *p = random_profile(&how);
		struct shape_options options = {.labels = &label,
						.n_labels = random_below(&r, 2),
						.relabel = random_below(&r, 2) ? rules : NULL,
						.series_max = series[random_below(&r, 4)],
						.samples_max = samples[random_below(&r, 3)],
						.request_bytes_max = request_bytes[random_below(&r, 4)],
						.window_bytes_max = window_bytes[random_below(&r, 3)],
						.strip_symbols = random_below(&r, 2)};
		for (size_t k = 0; k < N_KINDS; k++)
			check_totals(KINDS[k], p, &options);
		profile_free(p);
	}
	relabel_rules_destroy(rules);
}

static void test_same_bytes_again(void **state)
{
	struct profile *p = random_profile(&(struct random_profile){.seed = 5, .n_samples = 500, .n_processes = 30, .depth = 30, .name_bytes = 30});
	struct shape_options options = {.request_bytes_max = 50000, .series_max = 9};

	(void)state;
	for (size_t k = 0; k < N_KINDS; k++) {
		struct shape_requests a = shape(KINDS[k], p, &options), b = shape(KINDS[k], p, &options);
		assert_int_equal(a.n, b.n);
		for (size_t i = 0; i < a.n; i++) {
			assert_int_equal(a.requests[i].n_bytes, b.requests[i].n_bytes);
			assert_memory_equal(a.requests[i].bytes, b.requests[i].bytes, a.requests[i].n_bytes);
		}
		shape_requests_deinit(&a);
		shape_requests_deinit(&b);
	}
	profile_free(p);
}

static void test_nothing(void **state)
{
	struct profile *p = random_profile(&(struct random_profile){.seed = 5, .n_processes = 1, .depth = 1});
	struct profile empty = {.n_samples = 0};
	struct shape_options options = {.n_labels = 0};

	(void)state;
	for (size_t k = 0; k < N_KINDS; k++) {
		struct shape_requests requests = shape(KINDS[k], p, &options);
		assert_int_equal(requests.n, 0);
		shape_requests_deinit(&requests);
		requests = shape(KINDS[k], &empty, &options);
		assert_int_equal(requests.n, 0);
		shape_requests_deinit(&requests);
	}
	struct shape_requests untouched = {.n = 77};
	assert_int_equal(shape_window(SINK_DIR, p, &options, &untouched), -EINVAL);
	assert_int_equal(untouched.n, 77);
	profile_free(p);
}

/* ---- series ---- */

struct label_spec {
	const char *key, *text;
	int64_t number;
};

/* A profile with one sample for each row of labels, whose count is 1, 2, 4, ... */
static struct profile *labelled(const struct label_spec (*rows)[8], size_t n)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	assert_int_equal(profile_builder_period(b, "cpu", "nanoseconds", 1000), 0);
	profile_builder_time(b, 1700000000000000000, 10000000000);
	struct profile_mapping app = {.filename = sample_string(b, "/usr/bin/app")};
	uint32_t location = sample_location(b, (uint32_t)profile_builder_mapping(b, &app), 0x1100, "main", NULL);
	for (size_t i = 0; i < n; i++) {
		struct profile_label labels[8];
		size_t k = 0;
		for (; k < 8 && rows[i][k].key; k++)
			labels[k] = (struct profile_label){.key = sample_string(b, rows[i][k].key), .num = rows[i][k].number,
							   .str = rows[i][k].text ? sample_string(b, rows[i][k].text) : 0};
		assert_true(profile_builder_sample(b, &location, 1, labels, k, (int64_t[]){(int64_t)1 << i}) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

struct described {
	char text[16384];
};

/* "labels total;" of each profile. */
static void describe(const struct profile *p, size_t plain_bytes, const char *labels, void *context)
{
	struct described *d = context;
	size_t n = strlen(d->text);

	(void)plain_bytes;
	snprintf(d->text + n, sizeof(d->text) - n, "%s %" PRId64 "\n", labels, profile_total(p, 0));
}

static void assert_series(enum sink_kind kind, const struct profile *p, const struct shape_options *options, const char *expected)
{
	struct shape_requests requests = shape(kind, p, options);
	struct described d = {""};

	for (size_t i = 0; i < requests.n; i++)
		each_profile(kind, &requests.requests[i], describe, &d);
	assert_string_equal(d.text, expected);
	shape_requests_deinit(&requests);
}

static void test_services(void **state)
{
	static const struct label_spec rows[][8] = {
		{{"pid", NULL, 1}, {"process", "nginx", 0}, {"thread", "a", 0}, {"unit", "nginx.service", 0}, {"service", "web", 0}},
		{{"pid", NULL, 2}, {"process", "nginx", 0}, {"container", "front", 0}, {"unit", "docker.service", 0}},
		{{"pid", NULL, 3}, {"process", "x", 0}, {"unit", "cron.service", 0}, {"executable", "/bin/x", 0}},
		{{"pid", NULL, 4}, {"process", "y", 0}, {"executable", "/opt/a b/y", 0}},
		{{"pid", NULL, 5}, {"process", "kworker", 0}},
		{{"pid", NULL, 6}},
		{{"pid", NULL, 7}, {"process", "nginx", 0}, {"thread", "b", 0}, {"unit", "nginx.service", 0}, {"service", "web", 0}},
	};
	struct profile *p = labelled(rows, 7);
	struct shape_options options = {.n_labels = 0};

	(void)state;
	assert_series(SINK_PYROSCOPE, p, &options,
		      "__name__=process_cpu,service_name=web,unit=nginx.service, 65\n"
		      "__name__=process_cpu,container=front,service_name=front,unit=docker.service, 2\n"
		      "__name__=process_cpu,service_name=cron.service,unit=cron.service, 4\n"
		      "__name__=process_cpu,service_name=y, 8\n"
		      "__name__=process_cpu,service_name=kworker, 16\n"
		      "__name__=process_cpu,service_name=unknown, 32\n");
	assert_series(SINK_PARCA, p, &options,
		      "__name__=parca_agent,process=nginx,service_name=web,thread=a,unit=nginx.service, 1\n"
		      "__name__=parca_agent,container=front,process=nginx,service_name=front,unit=docker.service, 2\n"
		      "__name__=parca_agent,executable=/bin/x,process=x,service_name=cron.service,unit=cron.service, 4\n"
		      "__name__=parca_agent,executable=/opt/a b/y,process=y,service_name=y, 8\n"
		      "__name__=parca_agent,process=kworker,service_name=kworker, 16\n"
		      "__name__=parca_agent,service_name=unknown, 32\n"
		      "__name__=parca_agent,process=nginx,service_name=web,thread=b,unit=nginx.service, 64\n");
	profile_free(p);
}

#define PAIR(name_, value_) {.name = (char *)(uintptr_t)(name_), .value = (char *)(uintptr_t)(value_)}

static void test_labels_of_the_sink(void **state)
{
	static const struct label_spec rows[][8] = {{{"process", "app", 0}, {"container", "box", 0}, {"env", "of the sample", 0}}};
	const struct sink_pair labels[] = {PAIR("host", "h 1"), PAIR("env", "of&=%\xc3\xa4"), PAIR("9-x.y", "z"), PAIR("__hidden", "x")};
	struct profile *p = labelled(rows, 1);
	struct shape_options options = {.labels = labels, .n_labels = 4};

	(void)state;
	assert_series(SINK_PYROSCOPE, p, &options, "_9_x_y=z,__name__=process_cpu,container=box,env=of&=%\xc3\xa4,host=h 1,service_name=box, 1\n");
	assert_series(SINK_PARCA, p, &options,
		      "_9_x_y=z,__name__=parca_agent,container=box,env=of&=%\xc3\xa4,host=h 1,node=h 1,process=app,service_name=box, 1\n");
	assert_series(SINK_HTTP, p, &options, "?host=h%201&env=of%26%3D%25%C3%A4&9-x.y=z 1\n");
	profile_free(p);
}

static void test_rules(void **state)
{
	static const struct label_spec rows[][8] = {
		{{"pid", NULL, 31}, {"process", "app", 0}, {"container", "box", 0}},
		{{"pid", NULL, 32}, {"process", "noise", 0}, {"container", "box", 0}},
		{{"pid", NULL, 33}, {"process", "app", 0}, {"thread", "t", 0}},
	};
	const struct sink_pair labels[] = {PAIR("host", "h1"), PAIR("kernel", "6.1")};
	struct profile *p = labelled(rows, 3);
	struct relabel_rules *rules;

	(void)state;
	assert_int_equal(relabel_rules_create(&rules), 0);
	add_rule(rules, (struct relabel_rule){.action = "drop", .source_labels = "process", .regex = "noise"});
	add_rule(rules, (struct relabel_rule){.action = "labeldrop", .regex = "kernel|__name__"});
	add_rule(rules, (struct relabel_rule){.action = "replace", .source_labels = "process,__pid", .separator = "/", .target_label = "who"});
	struct shape_options options = {.labels = labels, .n_labels = 2, .relabel = rules};
	assert_series(SINK_PYROSCOPE, p, &options,
		      "__name__=process_cpu,container=box,host=h1,service_name=box,who=app/31, 1\n"
		      "__name__=process_cpu,host=h1,service_name=app,who=app/33, 4\n");
	assert_series(SINK_HTTP, p, &options, "?host=h1&who=%2F 5\n");
	struct shape_requests requests = shape(SINK_OTLP_HTTP, p, &options);
	assert_int_equal(requests.counts.samples_dropped, 2);
	assert_int_equal(requests.counts.samples, 5);
	shape_requests_deinit(&requests);
	relabel_rules_destroy(rules);
	profile_free(p);
}

static void test_folding(void **state)
{
	static const struct label_spec rows[][8] = {{{"service", "a", 0}}, {{"service", "b", 0}}, {{"service", "c", 0}}, {{"service", "d", 0}}};
	struct profile *p = labelled(rows, 4);
	struct shape_options options = {.series_max = 3};

	(void)state;
	assert_series(SINK_PYROSCOPE, p, &options,
		      "__name__=process_cpu,service_name=c, 4\n"
		      "__name__=process_cpu,service_name=d, 8\n"
		      "__name__=process_cpu,service_name=other, 3\n");
	struct shape_requests requests = shape(SINK_PYROSCOPE, p, &options);
	assert_int_equal(requests.counts.series, 3);
	assert_int_equal(requests.counts.series_folded, 2);
	shape_requests_deinit(&requests);
	options.series_max = 1;
	assert_series(SINK_PYROSCOPE, p, &options, "__name__=process_cpu,service_name=other, 15\n");
	options.series_max = 4;
	requests = shape(SINK_PYROSCOPE, p, &options);
	assert_int_equal(requests.counts.series, 4);
	assert_int_equal(requests.counts.series_folded, 0);
	shape_requests_deinit(&requests);
	profile_free(p);
}

/* A service that is called "other" itself takes what is folded. */
static void test_folding_into_one_that_is_there(void **state)
{
	static const struct label_spec rows[][8] = {{{"service", "other", 0}}, {{"service", "b", 0}}, {{"service", "c", 0}}, {{"service", "d", 0}}};
	struct profile *p = labelled(rows, 4);
	struct shape_options options = {.series_max = 2};

	(void)state;
	assert_series(SINK_PYROSCOPE, p, &options, "__name__=process_cpu,service_name=other, 7\n__name__=process_cpu,service_name=d, 8\n");
	struct shape_requests requests = shape(SINK_PYROSCOPE, p, &options);
	assert_int_equal(requests.counts.series_folded, 2);
	shape_requests_deinit(&requests);
	profile_free(p);
}

static void test_limits_of_labels(void **state)
{
	static char names[40][16], value[5000], long_name[2000];
	static struct label_spec rows[1][8] = {{{"service", "web", 0}, {"unit", "u", 0}, {"pod", "p", 0}, {"container", value, 0}}};
	struct sink_pair labels[32];

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	memcpy(value + 2047, "\xc3\xa4", 2); /* the limit is in the middle of it */
	memset(long_name, 'n', sizeof(long_name) - 1);
	for (unsigned i = 0; i < 28; i++) {
		snprintf(names[i], sizeof(names[i]), "sink_%02u", i);
		labels[i] = (struct sink_pair)PAIR(names[i], "x");
	}
	labels[27] = (struct sink_pair)PAIR(long_name, "x");
	struct profile *p = labelled((const struct label_spec(*)[8])rows, 1);
	struct shape_options options = {.labels = labels, .n_labels = 28};
	struct shape_requests requests = shape(SINK_PYROSCOPE, p, &options);
	struct described d = {""};
	each_profile(SINK_PYROSCOPE, &requests.requests[0], describe, &d);
	size_t n = 0;
	for (const char *at = d.text; (at = strchr(at, ',')); at++)
		n++;
	assert_int_equal(n, 30);
	assert_non_null(strstr(d.text, "__name__=process_cpu,"));
	assert_non_null(strstr(d.text, "service_name=web,"));
	assert_non_null(strstr(d.text, "sink_26=x,"));
	assert_null(strstr(d.text, "unit="));
	const char *name = strstr(d.text, "nnn");
	assert_int_equal(strspn(name, "n"), 1024);
	assert_true(requests.counts.labels_cut >= 3);
	shape_requests_deinit(&requests);
	options.n_labels = 0;
	requests = shape(SINK_PYROSCOPE, p, &options);
	d.text[0] = 0;
	each_profile(SINK_PYROSCOPE, &requests.requests[0], describe, &d);
	assert_int_equal(strspn(strstr(d.text, "container=") + 10, "v"), 2047);
	assert_int_equal(strstr(d.text, "container=")[10 + 2047], ',');
	assert_int_equal(requests.counts.labels_cut, 1);
	shape_requests_deinit(&requests);
	profile_free(p);
}

/* ---- samples ---- */

static void check_numbers(const struct profile *p, size_t plain_bytes, const char *labels, void *context)
{
	(void)plain_bytes;
	(void)labels;
	for (size_t i = 0; i < p->n_labels; i++) {
		assert_int_equal(p->labels[i].str, 0);
		const char *key = profile_string(p, p->labels[i].key);
		assert_true(strcmp(key, "pid") == 0 || strcmp(key, "tid") == 0);
		++*(size_t *)context;
	}
}

/* Pyroscope would make a series of each string: there is none left. Parca gets none at all. */
static void test_no_string_labels(void **state)
{
	struct profile *p = random_profile(&(struct random_profile){.seed = 9, .n_samples = 200, .n_processes = 20, .depth = 10});
	struct shape_options options = {.n_labels = 0};
	size_t n = 0;

	(void)state;
	struct shape_requests requests = shape(SINK_PYROSCOPE, p, &options);
	each_profile(SINK_PYROSCOPE, &requests.requests[0], check_numbers, &n);
	assert_true(n > 0);
	shape_requests_deinit(&requests);
	n = 0;
	requests = shape(SINK_PARCA, p, &options);
	each_profile(SINK_PARCA, &requests.requests[0], check_numbers, &n);
	assert_int_equal(n, 0);
	shape_requests_deinit(&requests);
	profile_free(p);
}

/* One sample may have two locations; then pruning leaves the thick ones. */
static void test_thin_tails_go(void **state)
{
	struct profile *p = random_profile(&(struct random_profile){.seed = 3, .n_samples = 1000, .n_processes = 3, .depth = 60, .name_bytes = 100});
	struct shape_options options = {.window_bytes_max = 60000};

	(void)state;
	for (size_t k = 0; k < N_KINDS; k++) {
		struct shape_requests requests = shape(KINDS[k], p, &options);
		const struct shape_counts *c = &requests.counts;
		assert_true(c->samples_pruned > 0);
		/* One in twenty is up to 500 samples thick: they are more than half of all. */
		assert_true(c->samples > (uint64_t)profile_total(p, 0) / 2);
		shape_requests_deinit(&requests);
	}
	profile_free(p);
}

/* ---- Parca's frames ---- */

struct frames {
	size_t addresses, named;
	bool strip;
};

static void check_frames(const struct profile *p, size_t plain_bytes, const char *labels, void *context)
{
	struct frames *frames = context;
	char made_up[PROFILE_FRAME_NAME_MAX];

	(void)plain_bytes;
	(void)labels;
	for (size_t i = 0; i < p->n_locations; i++) {
		const struct profile_location *location = &p->locations[i];
		const struct profile_mapping *mapping = &p->mappings[location->mapping];
		const char *file = profile_string(p, mapping->filename);
		bool has_build_id = mapping->build_id != 0;
		assert_true(mapping->start == 0 && mapping->limit == 0 && mapping->file_offset == 0);
		if (!location->n_lines) {
			assert_true(location->address && has_build_id && file[0] == '/');
			frames->addresses++;
			continue;
		}
		frames->named++;
		const char *name = profile_frame_name(p, location, 0, made_up);
		assert_true(*name);
		assert_false(has_build_id && (frames->strip || strncmp(name, "[app+", 5) == 0));
	}
}

static void test_frames_for_parca(void **state)
{
	struct profile *p = random_profile(&(struct random_profile){.seed = 9, .n_samples = 500, .n_processes = 5, .depth = 30});
	struct frames frames = {0}, stripped = {.strip = true};
	struct shape_options options = {.n_labels = 0};

	(void)state;
	struct shape_requests requests = shape(SINK_PARCA, p, &options);
	each_profile(SINK_PARCA, &requests.requests[0], check_frames, &frames);
	shape_requests_deinit(&requests);
	options.strip_symbols = true;
	requests = shape(SINK_PARCA, p, &options);
	each_profile(SINK_PARCA, &requests.requests[0], check_frames, &stripped);
	shape_requests_deinit(&requests);
	assert_true(frames.addresses > 20 && frames.named > 20);
	assert_true(stripped.addresses > frames.addresses && stripped.named > 20);
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_same_bytes_again),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_labels_of_the_sink),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_folding_into_one_that_is_there),
		cmocka_unit_test(test_limits_of_labels),
		cmocka_unit_test(test_no_string_labels),
		cmocka_unit_test(test_thin_tails_go),
		cmocka_unit_test(test_frames_for_parca),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
