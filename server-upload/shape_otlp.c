/* OTLP profiles (v1development, alpha: all of it is in this file). A request has one dictionary of tables whose entries are all different, and a resource
 * for each process. Entries are interned by their encoded bytes: what is equal is one, whatever it was in the window. Source: PROTOCOLS.md. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/scope.h"
#include "server-upload/memo.h"
#include "server-upload/shape_frames.h"
#include "server-upload/shape_output.h"

#define VALUES_MAX	8   /* sample types that are sent */
#define PROFILE_BYTES	160 /* a profile and its resource, besides samples and attributes */
#define PROFILE_ID_SEED 0   /* the same window has the same ids */

/* ProfilesDictionary's fields. */
enum table { MAPPINGS = 1, LOCATIONS, FUNCTIONS, LINKS, STRINGS, ATTRIBUTES, STACKS, TABLES };
enum { REQUEST_RESOURCE_PROFILES = 1, REQUEST_DICTIONARY };
enum { RESOURCE_RESOURCE = 1, RESOURCE_SCOPE_PROFILES, SCOPE_SCOPE = 1, SCOPE_PROFILES };
enum { PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLES, PROFILE_TIME, PROFILE_DURATION, PROFILE_PERIOD_TYPE, PROFILE_PERIOD, PROFILE_ID };
enum { TYPE_TYPE = 1, TYPE_UNIT };
enum { SAMPLE_STACK = 1, SAMPLE_ATTRIBUTES, SAMPLE_LINK, SAMPLE_VALUES };
enum { STACK_LOCATIONS = 1 };
enum { LOCATION_MAPPING = 1, LOCATION_ADDRESS, LOCATION_LINES, LOCATION_ATTRIBUTES };
enum { LINE_FUNCTION = 1, LINE_LINE, LINE_COLUMN };
enum { FUNCTION_NAME = 1, FUNCTION_FILENAME = 3, FUNCTION_START_LINE };
enum { MAPPING_START = 1, MAPPING_LIMIT, MAPPING_OFFSET, MAPPING_FILENAME, MAPPING_ATTRIBUTES };
enum { LINK_TRACE_ID = 1, LINK_SPAN_ID };
enum { ATTRIBUTE_KEY = 1, ATTRIBUTE_VALUE, ATTRIBUTE_UNIT };
enum { ANY_STRING = 1, ANY_INT = 3 };
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE };

struct otlp_mark {
	uint32_t tables[TABLES];
	size_t n_journal, samples[VALUES_MAX];
};

struct otlp {
	struct shape_output *out;
	const struct shape_series *series;
	const struct profile *window;
	struct intern_table tables[TABLES];
	struct memo memo; /* strings, mappings, functions, locations, stacks: what index each has in its table */
	size_t first_mapping, first_function, first_location, first_stack;
	uint32_t types[VALUES_MAX]; /* the sample types that are sent: a profile each */
	size_t n_types;
	struct wire samples[VALUES_MAX]; /* of the resource that is being written */
	uint32_t n_samples;
	struct wire resource;		 /* its attributes */
	struct wire body;		 /* resources that are done */
	struct wire scratch[4];		 /* a location or mapping; a function; an attribute; a stack */
	int error;
};

/* ---- tables ---- */

static uint32_t put_entry(struct otlp *o, enum table table, const void *bytes, size_t n)
{
	int64_t index = o->error ? 0 : intern_table_put(&o->tables[table], bytes, n);

	if (index < 0)
		o->error = (int)index;
	return index < 0 ? 0 : (uint32_t)index;
}

static uint32_t put_wire(struct otlp *o, enum table table, struct wire *entry)
{
	if (wire_error(entry) < 0)
		o->error = wire_error(entry);
	return put_entry(o, table, entry->bytes, entry->n);
}

static uint32_t put_text(struct otlp *o, const char *text)
{
	return put_entry(o, STRINGS, text, strlen(text));
}

static uint32_t put_string(struct otlp *o, profile_str string)
{
	uint32_t index;

	if (!string)
		return 0;
	if (memo_get(&o->memo, string, &index))
		return index;
	return memo_set(&o->memo, string, put_entry(o, STRINGS, o->window->strings[string], o->window->string_lengths[string]));
}

static uint32_t put_attribute(struct otlp *o, const char *key, const char *text, int64_t number, const char *unit)
{
	struct wire *to = &o->scratch[2];

	uint32_t key_index = put_text(o, key), unit_index = put_text(o, unit);
	wire_reset(to);
	wire_number(to, ATTRIBUTE_KEY, key_index);
	size_t at = wire_open(to, ATTRIBUTE_VALUE);
	if (text) {
		wire_text(to, ANY_STRING, text);
	} else {
		wire_varint(to, ANY_INT << 3); /* 0 must be there too: it is one of several */
		wire_varint(to, (uint64_t)number);
	}
	wire_close(to, at);
	wire_number(to, ATTRIBUTE_UNIT, unit_index);
	return put_wire(o, ATTRIBUTES, to);
}

static void put_indices(struct wire *to, uint32_t field, const uint32_t *indices, size_t n)
{
	if (!n)
		return;
	size_t at = wire_open(to, field);
	for (size_t i = 0; i < n; i++)
		wire_varint(to, indices[i]);
	wire_close(to, at);
}

static uint32_t put_mapping(struct otlp *o, uint32_t mapping)
{
	const struct profile_mapping *from = &o->window->mappings[mapping];
	const char *build_id = profile_string(o->window, from->build_id);
	struct wire *to = &o->scratch[0];
	uint32_t index, attribute = 0;

	if (memo_get(&o->memo, o->first_mapping + mapping, &index))
		return index;
	uint32_t filename = put_string(o, from->filename);
	if (*build_id)
		attribute = put_attribute(o, "process.executable.build_id.gnu", build_id, 0, "");
	wire_reset(to);
	wire_number(to, MAPPING_START, from->start);
	wire_number(to, MAPPING_LIMIT, from->limit);
	wire_number(to, MAPPING_OFFSET, from->file_offset);
	wire_number(to, MAPPING_FILENAME, filename);
	put_indices(to, MAPPING_ATTRIBUTES, &attribute, *build_id ? 1 : 0);
	return memo_set(&o->memo, o->first_mapping + mapping, put_wire(o, MAPPINGS, to));
}

static uint32_t put_function(struct otlp *o, uint32_t function)
{
	const struct profile_function *from = &o->window->functions[function];
	struct wire *to = &o->scratch[1];
	uint32_t index;

	if (memo_get(&o->memo, o->first_function + function, &index))
		return index;
	uint32_t name = put_string(o, from->name ? from->name : from->system_name), filename = put_string(o, from->filename);
	wire_reset(to);
	wire_number(to, FUNCTION_NAME, name);
	wire_number(to, FUNCTION_FILENAME, filename);
	wire_number(to, FUNCTION_START_LINE, (uint64_t)from->start_line);
	return memo_set(&o->memo, o->first_function + function, put_wire(o, FUNCTIONS, to));
}

/* profile.frame.type, as far as it can be told. Code that a process made itself is of a language only where its file is. */
static const char *frame_type(const struct profile *p, const struct profile_location *location)
{
	static const char *const types[][2] = {{".go", "go"}, {".rs", "rust"}, {".py", "cpython"}, {".java", "jvm"}, {".kt", "jvm"}, {".js", "v8js"}, {".mjs", "v8js"}};
	const char *mapping = location->mapping == PROFILE_NONE ? "" : profile_string(p, p->mappings[location->mapping].filename), *dot = NULL;

	if (profile_location_is_kernel(p, location))
		return "kernel";
	if (location->n_lines)
		dot = strrchr(profile_string(p, p->functions[p->lines[location->first_line].function].filename), '.');
	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(dot, types[i][0]) == 0)
			return types[i][1];
	return *mapping && *mapping != '[' ? "native" : NULL;
}

static uint32_t put_location(struct otlp *o, uint32_t location)
{
	const struct profile_location *from = &o->window->locations[location];
	const char *type = frame_type(o->window, from);
	struct wire *to = &o->scratch[0];
	uint32_t index, attribute = 0;

	if (memo_get(&o->memo, o->first_location + location, &index))
		return index;
	bool has_lines = !o->series->as_address[location];
	uint32_t mapping = from->mapping == PROFILE_NONE ? 0 : put_mapping(o, from->mapping);
	if (type)
		attribute = put_attribute(o, "profile.frame.type", type, 0, "");
	wire_reset(to);
	wire_number(to, LOCATION_MAPPING, mapping);
	wire_number(to, LOCATION_ADDRESS, from->address);
	for (uint32_t i = 0; has_lines && i < from->n_lines; i++) {
		const struct profile_line *line = &o->window->lines[from->first_line + i];
		uint32_t function = put_function(o, line->function);
		size_t at = wire_open(to, LOCATION_LINES);
		wire_number(to, LINE_FUNCTION, function);
		wire_number(to, LINE_LINE, (uint64_t)line->line);
		wire_number(to, LINE_COLUMN, (uint64_t)line->column);
		wire_close(to, at);
	}
	put_indices(to, LOCATION_ATTRIBUTES, &attribute, type ? 1 : 0);
	return memo_set(&o->memo, o->first_location + location, put_wire(o, LOCATIONS, to));
}

static uint32_t put_stack(struct otlp *o, uint32_t stack)
{
	size_t n, slot = o->first_stack + stack;
	const uint32_t *locations = intern_table_get(&o->series->stacks, stack, &n);
	struct wire *to = &o->scratch[3];
	uint32_t index;

	if (memo_get(&o->memo, slot, &index))
		return index;
	wire_reset(to);
	size_t at = n ? wire_open(to, STACK_LOCATIONS) : 0;
	for (size_t i = 0; i < n / sizeof(locations[0]); i++)
		wire_varint(to, put_location(o, locations[i]));
	if (n)
		wire_close(to, at);
	return memo_set(&o->memo, slot, put_wire(o, STACKS, to));
}

/* ---- samples ---- */

static const char *sample_attribute_name(const char *label)
{
	return strcmp(label, "thread") == 0 ? "thread.name" : strcmp(label, "tid") == 0 ? "thread.id" : label;
}

/* Keys are unique; the first one stays. */
static bool is_again(const struct shape_series *x, const struct shape_tag *tags, size_t i)
{
	const char *name = sample_attribute_name(shape_series_text(x, tags[i].name));

	for (size_t k = 0; k < i; k++)
		if (strcmp(sample_attribute_name(shape_series_text(x, tags[k].name)), name) == 0)
			return true;
	return false;
}

static void put_attributes_of(struct otlp *o, struct wire *to, uint32_t number)
{
	size_t n;
	const struct shape_tag *tags = intern_table_get(&o->series->tags, number, &n);
	const struct shape_series *x = o->series;

	if (!n)
		return;
	size_t at = wire_open(to, SAMPLE_ATTRIBUTES);
	for (size_t i = 0; i < n / sizeof(tags[0]); i++)
		if (!is_again(x, tags, i))
			wire_varint(to, put_attribute(o, sample_attribute_name(shape_series_text(x, tags[i].name)),
						      tags[i].value ? shape_series_text(x, tags[i].value) : NULL, tags[i].number,
						      shape_series_text(x, (uint32_t)tags[i].unit)));
	wire_close(to, at);
}

static void put_sample(struct otlp *o, const struct shape_entry *entry)
{
	uint32_t stack = put_stack(o, entry->stack);

	for (size_t i = 0; i < o->n_types; i++) {
		struct wire *to = &o->samples[i];
		size_t sample = wire_open(to, PROFILE_SAMPLES);
		wire_number(to, SAMPLE_STACK, stack);
		put_attributes_of(o, to, entry->tags);
		size_t at = wire_open(to, SAMPLE_VALUES);
		wire_varint(to, (uint64_t)o->series->values[entry->values * o->window->n_sample_types + o->types[i]]);
		wire_close(to, at);
		wire_close(to, sample);
		if (wire_error(to) < 0)
			o->error = wire_error(to);
	}
	o->n_samples++;
}

/* ---- resources ---- */

/* Keys are unique; the first one stays. */
struct resource_keys {
	const char *keys[LABEL_SET_MAX + 4];
	size_t n;
};

static void put_key_value(struct wire *to, struct resource_keys *keys, const char *key, const char *text, int64_t number)
{
	for (size_t i = 0; i < keys->n; i++)
		if (strcmp(keys->keys[i], key) == 0)
			return;
	keys->keys[keys->n++] = key;
	size_t attribute = wire_open(to, 1);
	wire_text(to, KEY_VALUE_KEY, key);
	size_t value = wire_open(to, KEY_VALUE_VALUE);
	if (text) {
		wire_text(to, ANY_STRING, text);
	} else {
		wire_varint(to, ANY_INT << 3);
		wire_varint(to, (uint64_t)number);
	}
	wire_close(to, value);
	wire_close(to, attribute);
}

static const char *resource_attribute_name(const char *label)
{
	static const char *const names[][2] = {
		{"host", "host.name"},
		{"kernel", "os.version"},
		{"service_name", "service.name"},
		{"process", "process.title"},
		{"cgroup", "process.linux.cgroup"},
		{"container_id", "container.id"},
		{"container", "k8s.container.name"},
		{"pod", "k8s.pod.name"},
		{"namespace", "k8s.namespace.name"},
		{"unit", "systemd.unit"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(label, names[i][0]) == 0)
			return names[i][1];
	return label;
}

static const char *label_value(const struct shape_series *x, const struct shape_label *labels, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(shape_series_text(x, labels[i].name), name) == 0)
			return shape_series_text(x, labels[i].value);
	return NULL;
}

/* process.executable.path and .name, from the path or the name of the executable, else from the process's name. */
static void put_executable(struct wire *to, struct resource_keys *keys, const char *executable, const char *process)
{
	const char *name = executable ? executable : process, *slash = name ? strrchr(name, '/') : NULL;

	if (executable && *executable == '/')
		put_key_value(to, keys, "process.executable.path", executable, 0);
	if (name)
		put_key_value(to, keys, "process.executable.name", slash && slash[1] ? slash + 1 : name, 0);
}

static void begin_resource(struct otlp *o, uint32_t number)
{
	const struct shape_series *x = o->series;
	struct resource_keys keys = {.n = 0};
	struct wire *to = &o->resource;
	const struct shape_label *labels;
	size_t n;
	int64_t pid;

	shape_series_labels(x, number, &pid, &labels, &n);
	bool in_pod = label_value(x, labels, n, "pod");
	wire_reset(to);
	if (pid)
		put_key_value(to, &keys, "process.pid", NULL, pid);
	put_executable(to, &keys, label_value(x, labels, n, "executable"), label_value(x, labels, n, "process"));
	for (size_t i = 0; i < n; i++) {
		const char *name = shape_series_text(x, labels[i].name), *value = shape_series_text(x, labels[i].value);
		if (strcmp(name, "container") == 0 && !in_pod)
			put_key_value(to, &keys, "container.name", value, 0);
		else if (strcmp(name, "executable") != 0)
			put_key_value(to, &keys, resource_attribute_name(name), value, 0);
	}
}

static void put_type(struct otlp *o, struct wire *to, uint32_t field, const struct profile_value_type *type)
{
	uint32_t type_index = put_string(o, type->type), unit_index = put_string(o, type->unit);

	size_t at = wire_open(to, field);
	wire_number(to, TYPE_TYPE, type_index);
	wire_number(to, TYPE_UNIT, unit_index);
	wire_close(to, at);
}

/* The same samples of the same process at the same time: the same id, in every try to send them. */
static void put_profile_id(struct otlp *o, struct wire *to, size_t type)
{
	uint64_t content[5] = {(uint64_t)o->window->time_ns, (uint64_t)o->window->duration_ns, o->types[type],
			       XXH3_64bits_withSeed(o->resource.bytes, o->resource.n, PROFILE_ID_SEED),
			       XXH3_64bits_withSeed(o->samples[type].bytes, o->samples[type].n, PROFILE_ID_SEED)};
	XXH128_canonical_t id;

	XXH128_canonicalFromHash(&id, XXH3_128bits(content, sizeof(content)));
	wire_bytes(to, PROFILE_ID, id.digest, sizeof(id.digest));
}

static void put_profile(struct otlp *o, struct wire *to, size_t type)
{
	const struct profile *p = o->window;

	size_t at = wire_open(to, SCOPE_PROFILES);
	put_type(o, to, PROFILE_SAMPLE_TYPE, &p->sample_types[o->types[type]]);
	wire_raw(to, o->samples[type].bytes, o->samples[type].n);
	wire_fixed64(to, PROFILE_TIME, (uint64_t)p->time_ns);
	wire_number(to, PROFILE_DURATION, p->duration_ns > 0 ? (uint64_t)p->duration_ns : 1);
	put_type(o, to, PROFILE_PERIOD_TYPE, &p->period_type);
	wire_number(to, PROFILE_PERIOD, (uint64_t)p->period);
	put_profile_id(o, to, type);
	wire_close(to, at);
	wire_reset(&o->samples[type]);
}

/* Samples that are written become a resource of the request. */
static int end_resource(struct otlp *o)
{
	struct wire *to = &o->body;

	if (!o->n_samples)
		return o->error;
	size_t resource = wire_open(to, REQUEST_RESOURCE_PROFILES);
	wire_bytes(to, RESOURCE_RESOURCE, o->resource.bytes, o->resource.n);
	size_t scope = wire_open(to, RESOURCE_SCOPE_PROFILES), name = wire_open(to, SCOPE_SCOPE);
	wire_text(to, 1, "hearth");
	wire_text(to, 2, HEARTH_VERSION);
	wire_close(to, name);
	for (size_t i = 0; i < o->n_types; i++)
		put_profile(o, to, i);
	wire_close(to, scope);
	wire_close(to, resource);
	o->n_samples = 0;
	return wire_error(to) < 0 ? wire_error(to) : o->error;
}

/* ---- requests ---- */

/* Index 0 of each table is the zero value. */
static void begin_tables(struct otlp *o)
{
	static const uint8_t zero_link[] = {LINK_TRACE_ID << 3 | 2, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
					    LINK_SPAN_ID << 3 | 2, 8, 0, 0, 0, 0, 0, 0, 0, 0};

	for (uint32_t table = MAPPINGS; table < TABLES; table++) {
		intern_table_cut(&o->tables[table], 0);
		put_entry(o, table, zero_link, table == LINKS ? sizeof(zero_link) : 0);
	}
	/* What the end of each resource needs, so that the size is known before it. */
	for (size_t i = 0; i < o->n_types; i++) {
		put_string(o, o->window->sample_types[o->types[i]].type);
		put_string(o, o->window->sample_types[o->types[i]].unit);
	}
	put_string(o, o->window->period_type.type);
	put_string(o, o->window->period_type.unit);
}

static size_t dictionary_bytes(const struct otlp *o)
{
	size_t n = 16;

	for (uint32_t table = MAPPINGS; table < TABLES; table++)
		n += o->tables[table].wire_bytes;
	return n;
}

static size_t request_bytes(const struct otlp *o)
{
	size_t n = dictionary_bytes(o) + o->body.n + o->resource.n;

	for (size_t i = 0; i < o->n_types; i++)
		n += o->samples[i].n + PROFILE_BYTES;
	return n;
}

static int end_request(struct otlp *o)
{
	struct wire *to = &o->body;

	if (!to->n)
		return o->error;
	size_t dictionary = wire_open(to, REQUEST_DICTIONARY);
	for (uint32_t table = MAPPINGS; table < TABLES; table++)
		for (uint32_t i = 0; i < o->tables[table].n; i++) {
			size_t n;
			const void *bytes = intern_table_get(&o->tables[table], i, &n);
			wire_bytes(to, table, bytes, n);
		}
	wire_close(to, dictionary);
	memo_cut(&o->memo, 0);
	int err = shape_output_add(o->out, to, to->n, NULL);
	begin_tables(o);
	return err < 0 ? err : o->error;
}

/* ---- splitting ---- */

static struct otlp_mark mark(const struct otlp *o)
{
	struct otlp_mark mark = {.n_journal = o->memo.n_journal};

	for (uint32_t table = MAPPINGS; table < TABLES; table++)
		mark.tables[table] = o->tables[table].n;
	for (size_t i = 0; i < o->n_types; i++)
		mark.samples[i] = o->samples[i].n;
	return mark;
}

/* Add a sample; -EFBIG: it does not fit, and nothing has changed. */
static int try_entry(struct otlp *o, const struct shape_entry *entry)
{
	struct otlp_mark before = mark(o);

	put_sample(o, entry);
	if (o->error < 0)
		return o->error;
	if (request_bytes(o) <= o->out->request_bytes)
		return 0;
	for (uint32_t table = MAPPINGS; table < TABLES; table++)
		intern_table_cut(&o->tables[table], before.tables[table]);
	for (size_t i = 0; i < o->n_types; i++)
		o->samples[i].n = before.samples[i];
	memo_cut(&o->memo, before.n_journal);
	o->n_samples--;
	return -EFBIG;
}

static int add_entry(struct otlp *o, const struct shape_entry *entry)
{
	int err = o->n_samples == o->out->samples_max ? end_resource(o) : 0;

	if (err == 0)
		err = try_entry(o, entry);
	if (err == -EFBIG && (o->body.n || o->n_samples)) {
		err = end_resource(o);
		if (err == 0)
			err = end_request(o);
		if (err == 0)
			err = try_entry(o, entry);
	}
	if (err == 0)
		shape_output_written(o->out, entry);
	if (err != -EFBIG)
		return err;
	shape_output_pruned(o->out, entry);
	return 0;
}

static int add_series(struct otlp *o, uint32_t number)
{
	const struct shape_serie *series = &o->series->series[number];

	begin_resource(o, number);
	int err = wire_error(&o->resource);
	for (uint32_t i = 0; err == 0 && i < series->n_entries; i++) {
		const struct shape_entry *entry = &o->series->entries[series->first_entry + i];
		if (entry->rank >= o->out->keep)
			shape_output_pruned(o->out, entry);
		else
			err = add_entry(o, entry);
	}
	return err < 0 ? err : end_resource(o);
}

/* A value that the count and the period tell is not sent. */
static void choose_types(struct otlp *o)
{
	const struct profile *p = o->window;

	o->types[o->n_types++] = o->series->count_type;
	for (uint32_t i = 0; i < p->n_sample_types && o->n_types < VALUES_MAX; i++)
		if (i != o->series->count_type && !shape_value_follows(p, i, o->series->count_type))
			o->types[o->n_types++] = i;
}

static int prepare(struct otlp *o)
{
	const struct profile *p = o->window;

	for (uint32_t table = MAPPINGS; table < TABLES; table++)
		o->tables[table].seed = o->series->texts.seed;
	o->first_mapping = p->n_strings;
	o->first_function = o->first_mapping + p->n_mappings;
	o->first_location = o->first_function + p->n_functions;
	o->first_stack = o->first_location + p->n_locations;
	size_t n = o->first_stack + o->series->stacks.n;
	int err = n > UINT32_MAX ? -E2BIG : memo_init(&o->memo, n);
	if (err < 0)
		return err;
	choose_types(o);
	begin_tables(o);
	return o->error;
}

static void otlp_deinit(struct otlp *o)
{
	for (uint32_t table = MAPPINGS; table < TABLES; table++)
		intern_table_deinit(&o->tables[table]);
	for (size_t i = 0; i < VALUES_MAX; i++)
		wire_deinit(&o->samples[i]);
	for (size_t i = 0; i < sizeof(o->scratch) / sizeof(o->scratch[0]); i++)
		wire_deinit(&o->scratch[i]);
	wire_deinit(&o->resource);
	wire_deinit(&o->body);
	memo_deinit(&o->memo);
}

int shape_write_otlp(struct shape_output *out)
{
	__attribute__((cleanup(otlp_deinit))) struct otlp o = {.out = out, .series = out->series, .window = out->series->window};

	int err = prepare(&o);
	for (uint32_t i = 0; err == 0 && i < o.series->keys.n; i++)
		err = add_series(&o, i);
	return err < 0 ? err : end_request(&o);
}
