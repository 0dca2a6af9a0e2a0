#include "server-upload/pprof_writer.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/scope.h"
#include "server-upload/memo.h"
#include "server-upload/shape_frames.h"

#define GZIP_WINDOW_BITS (15 + 16) /* zlib: 16 more is a gzip header */
#define GZIP_LEVEL	 4 /* 2 % larger than 6 in two thirds of its time (docs/uploading.md) */
#define GZIP_MEMORY	 8

/* Field numbers. Source: PROTOCOLS.md, "pprof". */
enum { PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLE, PROFILE_MAPPING, PROFILE_LOCATION, PROFILE_FUNCTION, PROFILE_STRING_TABLE,
       PROFILE_TIME_NANOS = 9, PROFILE_DURATION_NANOS, PROFILE_PERIOD_TYPE, PROFILE_PERIOD, PROFILE_COMMENT, PROFILE_DEFAULT_SAMPLE_TYPE };
enum { TYPE_TYPE = 1, TYPE_UNIT };
enum { SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_STR, LABEL_NUM, LABEL_NUM_UNIT };
enum { MAPPING_ID = 1, MAPPING_START, MAPPING_LIMIT, MAPPING_OFFSET, MAPPING_FILENAME, MAPPING_BUILD_ID, MAPPING_HAS_FUNCTIONS,
       MAPPING_HAS_FILENAMES, MAPPING_HAS_LINE_NUMBERS, MAPPING_HAS_INLINE_FRAMES };
enum { LOCATION_ID = 1, LOCATION_MAPPING_ID, LOCATION_ADDRESS, LOCATION_LINE, LOCATION_IS_FOLDED };
enum { LINE_FUNCTION_ID = 1, LINE_LINE, LINE_COLUMN };
enum { FUNCTION_ID = 1, FUNCTION_NAME, FUNCTION_SYSTEM_NAME, FUNCTION_FILENAME, FUNCTION_START_LINE };

/* Fields of one number lie together in the message, in this order. */
enum section { HEAD, SAMPLES, MAPPINGS, LOCATIONS, FUNCTIONS, STRINGS, SECTIONS };

struct counters {
	uint32_t samples, mappings, locations, functions;
};

struct mark {
	size_t n[SECTIONS], n_journal;
	uint32_t n_strings;
	struct counters counters;
};

struct pprof_writer {
	const struct shape_series *series;
	const struct profile *window;
	struct wire sections[SECTIONS];
	struct counters n;
	struct memo memo; /* strings, texts, mappings, functions, locations of the window, one after the other */
	size_t first_text, first_mapping, first_function, first_location;
	struct intern_table strings;
	int error; /* of it */
	struct wire gzip;
	z_stream z;
	bool z_ready, begun;
	bool *type_is_left_out; /* of each sample type */
};

/* ---- tables ---- */

/* Names that are made up may be there already. */
static uint32_t put_bytes(struct pprof_writer *w, const char *text, size_t n)
{
	uint32_t known = w->strings.n;
	int64_t index = intern_table_put(&w->strings, text, n);

	if (index < 0) {
		w->error = (int)index;
		return 0;
	}
	if (index == known)
		wire_bytes(&w->sections[STRINGS], PROFILE_STRING_TABLE, text, n);
	return (uint32_t)index;
}

static uint32_t put_string(struct pprof_writer *w, profile_str string)
{
	uint32_t index;

	if (!string)
		return 0;
	if (memo_get(&w->memo, string, &index))
		return index;
	return memo_set(&w->memo, string, put_bytes(w, w->window->strings[string], w->window->string_lengths[string]));
}

static uint32_t put_text(struct pprof_writer *w, uint32_t text)
{
	uint32_t index;
	size_t n;

	if (!text)
		return 0;
	if (memo_get(&w->memo, w->first_text + text, &index))
		return index;
	const char *bytes = intern_table_get(&w->series->texts, text, &n);
	return memo_set(&w->memo, w->first_text + text, put_bytes(w, bytes, n));
}

/* A server that names addresses gets the address in the file, which needs no bounds. */
static uint32_t put_mapping(struct pprof_writer *w, uint32_t mapping)
{
	const struct profile_mapping *from = &w->window->mappings[mapping];
	bool has_bounds = !w->series->kind->resolves_names;
	struct wire *to = &w->sections[MAPPINGS];
	uint32_t id;

	if (memo_get(&w->memo, w->first_mapping + mapping, &id))
		return id;
	uint32_t filename = put_string(w, from->filename), build_id = put_string(w, from->build_id);
	id = ++w->n.mappings;
	size_t at = wire_open(to, PROFILE_MAPPING);
	wire_number(to, MAPPING_ID, id);
	wire_number(to, MAPPING_START, has_bounds ? from->start : 0);
	wire_number(to, MAPPING_LIMIT, has_bounds ? from->limit : 0);
	wire_number(to, MAPPING_OFFSET, has_bounds ? from->file_offset : 0);
	wire_number(to, MAPPING_FILENAME, filename);
	wire_number(to, MAPPING_BUILD_ID, build_id);
	wire_number(to, MAPPING_HAS_FUNCTIONS, has_bounds && from->has_functions);
	wire_number(to, MAPPING_HAS_FILENAMES, has_bounds && from->has_filenames);
	wire_number(to, MAPPING_HAS_LINE_NUMBERS, has_bounds && from->has_line_numbers);
	wire_number(to, MAPPING_HAS_INLINE_FRAMES, has_bounds && from->has_inline_frames);
	wire_close(to, at);
	return memo_set(&w->memo, w->first_mapping + mapping, id);
}

static uint32_t put_new_function(struct pprof_writer *w, uint32_t name, uint32_t system_name, uint32_t filename, int64_t start_line)
{
	struct wire *to = &w->sections[FUNCTIONS];
	uint32_t id = ++w->n.functions;

	size_t at = wire_open(to, PROFILE_FUNCTION);
	wire_number(to, FUNCTION_ID, id);
	wire_number(to, FUNCTION_NAME, name);
	wire_number(to, FUNCTION_SYSTEM_NAME, system_name);
	wire_number(to, FUNCTION_FILENAME, filename);
	wire_number(to, FUNCTION_START_LINE, (uint64_t)start_line);
	wire_close(to, at);
	return id;
}

static uint32_t put_function(struct pprof_writer *w, uint32_t function)
{
	const struct profile_function *from = &w->window->functions[function];
	uint32_t id;

	if (memo_get(&w->memo, w->first_function + function, &id))
		return id;
	uint32_t name = put_string(w, from->name ? from->name : from->system_name), filename = put_string(w, from->filename);
	uint32_t system_name = w->series->kind->keeps_system_names ? put_string(w, from->system_name) : name;
	return memo_set(&w->memo, w->first_function + function, put_new_function(w, name, system_name, filename, from->start_line));
}

static void put_line(struct pprof_writer *w, uint32_t function, int64_t line, int64_t column)
{
	struct wire *to = &w->sections[LOCATIONS];

	size_t at = wire_open(to, LOCATION_LINE);
	wire_number(to, LINE_FUNCTION_ID, function);
	wire_number(to, LINE_LINE, (uint64_t)line);
	wire_number(to, LINE_COLUMN, (uint64_t)column);
	wire_close(to, at);
}

static void put_lines(struct pprof_writer *w, const struct profile_location *from)
{
	char name[PROFILE_FRAME_NAME_MAX];

	for (uint32_t i = 0; i < from->n_lines; i++) {
		const struct profile_line *line = &w->window->lines[from->first_line + i];
		put_line(w, put_function(w, line->function), line->line, line->column);
	}
	if (from->n_lines || w->series->kind->one_series)
		return;
	profile_frame_name(w->window, from, 0, name);
	uint32_t string = put_bytes(w, name, strlen(name));
	put_line(w, put_new_function(w, string, string, 0, 0), 0, 0);
}

static uint32_t put_location(struct pprof_writer *w, uint32_t location)
{
	const struct profile_location *from = &w->window->locations[location];
	struct wire *to = &w->sections[LOCATIONS];
	uint32_t id;

	if (memo_get(&w->memo, w->first_location + location, &id))
		return id;
	uint32_t mapping = from->mapping == PROFILE_NONE ? 0 : put_mapping(w, from->mapping);
	id = ++w->n.locations;
	size_t at = wire_open(to, PROFILE_LOCATION);
	wire_number(to, LOCATION_ID, id);
	wire_number(to, LOCATION_MAPPING_ID, mapping);
	wire_number(to, LOCATION_ADDRESS, from->address);
	if (!w->series->as_address || !w->series->as_address[location])
		put_lines(w, from);
	wire_number(to, LOCATION_IS_FOLDED, from->is_folded);
	wire_close(to, at);
	return memo_set(&w->memo, w->first_location + location, id);
}

/* ---- samples ---- */

static void put_tag(struct pprof_writer *w, const struct shape_tag *tag)
{
	struct wire *to = &w->sections[SAMPLES];

	size_t at = wire_open(to, SAMPLE_LABEL);
	wire_number(to, LABEL_KEY, put_text(w, tag->name));
	wire_number(to, LABEL_STR, put_text(w, tag->value));
	wire_number(to, LABEL_NUM, (uint64_t)tag->number);
	wire_number(to, LABEL_NUM_UNIT, put_text(w, (uint32_t)tag->unit));
	wire_close(to, at);
}

static void put_sample(struct pprof_writer *w, const struct shape_entry *entry)
{
	const struct profile *p = w->window;
	struct wire *to = &w->sections[SAMPLES];
	size_t n;

	const uint32_t *stack = intern_table_get(&w->series->stacks, entry->stack, &n);
	size_t sample = wire_open(to, PROFILE_SAMPLE), at = wire_open(to, SAMPLE_LOCATION_ID);
	for (size_t i = 0; i < n / sizeof(stack[0]); i++)
		wire_varint(to, put_location(w, stack[i]));
	wire_close(to, at);
	at = wire_open(to, SAMPLE_VALUE);
	for (size_t i = 0; i < p->n_sample_types; i++)
		if (!w->type_is_left_out[i])
			wire_varint(to, (uint64_t)w->series->values[entry->values * p->n_sample_types + i]);
	wire_close(to, at);
	const struct shape_tag *tags = intern_table_get(&w->series->tags, entry->tags, &n);
	for (size_t i = 0; i < n / sizeof(tags[0]); i++)
		put_tag(w, &tags[i]);
	wire_close(to, sample);
	w->n.samples++;
}

/* ---- the head ---- */

static void put_type(struct pprof_writer *w, uint32_t field, const struct profile_value_type *type)
{
	struct wire *to = &w->sections[HEAD];

	size_t at = wire_open(to, field);
	wire_number(to, TYPE_TYPE, put_string(w, type->type));
	wire_number(to, TYPE_UNIT, put_string(w, type->unit));
	wire_close(to, at);
}

static void begin(struct pprof_writer *w)
{
	const struct profile *p = w->window;
	struct wire *to = &w->sections[HEAD];
	uint32_t value = profile_default_value(p);

	w->begun = true;
	put_bytes(w, "", 0);
	for (size_t i = 0; i < p->n_sample_types; i++)
		if (!w->type_is_left_out[i])
			put_type(w, PROFILE_SAMPLE_TYPE, &p->sample_types[i]);
	put_type(w, PROFILE_PERIOD_TYPE, &p->period_type);
	wire_number(to, PROFILE_TIME_NANOS, (uint64_t)p->time_ns);
	/* Servers divide by it. */
	wire_number(to, PROFILE_DURATION_NANOS, p->duration_ns > 0 ? (uint64_t)p->duration_ns : 1);
	wire_number(to, PROFILE_PERIOD, (uint64_t)p->period);
	if (value != PROFILE_NONE && !w->type_is_left_out[value])
		wire_number(to, PROFILE_DEFAULT_SAMPLE_TYPE, put_string(w, p->sample_types[value].type));
	/* What the window's account says is about all of it. */
	for (size_t i = 0; w->series->kind->one_series && i < p->n_comments; i++) {
		size_t at = wire_open(to, PROFILE_COMMENT);
		wire_varint(to, put_string(w, p->comments[i]));
		wire_close(to, at);
	}
}

static int any_error(const struct pprof_writer *w)
{
	for (size_t i = 0; i < SECTIONS; i++)
		if (wire_error(&w->sections[i]) < 0)
			return wire_error(&w->sections[i]);
	return w->error;
}

static void forget(struct pprof_writer *w)
{
	for (size_t i = 0; i < SECTIONS; i++)
		wire_reset(&w->sections[i]);
	memo_cut(&w->memo, 0);
	intern_table_cut(&w->strings, 0);
	w->n = (struct counters){0};
	w->begun = false;
}

static struct mark mark(const struct pprof_writer *w)
{
	struct mark mark = {.n_journal = w->memo.n_journal, .n_strings = w->strings.n, .counters = w->n};

	for (size_t i = 0; i < SECTIONS; i++)
		mark.n[i] = w->sections[i].n;
	return mark;
}

static void back_to(struct pprof_writer *w, const struct mark *mark)
{
	for (size_t i = 0; i < SECTIONS; i++)
		w->sections[i].n = mark->n[i];
	memo_cut(&w->memo, mark->n_journal);
	intern_table_cut(&w->strings, mark->n_strings);
	w->n = mark->counters;
}

int pprof_writer_add(struct pprof_writer *w, const struct shape_entry *entry, size_t bytes_max)
{
	if (!w->begun)
		begin(w);
	struct mark before = mark(w);
	put_sample(w, entry);
	int err = any_error(w);
	if (err < 0)
		return err;
	if (pprof_writer_bytes(w) <= bytes_max)
		return 0;
	if (before.counters.samples)
		back_to(w, &before);
	else
		forget(w);
	return -EFBIG;
}

uint32_t pprof_writer_samples(const struct pprof_writer *w)
{
	return w->n.samples;
}

size_t pprof_writer_bytes(const struct pprof_writer *w)
{
	size_t n = 0;

	for (size_t i = 0; i < SECTIONS; i++)
		n += w->sections[i].n;
	return n;
}

/* ---- gzip ---- */

static int compress_sections(struct pprof_writer *w)
{
	size_t bound = deflateBound(&w->z, pprof_writer_bytes(w));
	uint8_t *grown = bound <= w->gzip.capacity ? w->gzip.bytes : realloc(w->gzip.bytes, bound);

	if (!grown)
		return -ENOMEM;
	w->gzip.bytes = grown;
	if (bound > w->gzip.capacity)
		w->gzip.capacity = bound;
	if (deflateReset(&w->z) != Z_OK)
		return -ENOMEM;
	w->z.next_out = w->gzip.bytes;
	w->z.avail_out = (unsigned int)w->gzip.capacity;
	for (size_t i = 0; i < SECTIONS; i++) {
		w->z.next_in = w->sections[i].bytes;
		w->z.avail_in = (unsigned int)w->sections[i].n;
		int result = deflate(&w->z, i + 1 < SECTIONS ? Z_NO_FLUSH : Z_FINISH);
		if (result != (i + 1 < SECTIONS ? Z_OK : Z_STREAM_END) && result != Z_BUF_ERROR)
			return -ENOMEM;
	}
	w->gzip.n = w->z.total_out;
	return 0;
}

int pprof_writer_end(struct pprof_writer *w, const uint8_t **bytes_out, size_t *n_out)
{
	if (pprof_writer_bytes(w) > INT_MAX)
		return -E2BIG;
	int err = compress_sections(w);
	forget(w);
	if (err < 0)
		return err;
	*bytes_out = w->gzip.bytes;
	*n_out = w->gzip.n;
	return 0;
}

/* ---- */

static int choose_types(struct pprof_writer *w)
{
	const struct profile *p = w->window;

	w->type_is_left_out = calloc(p->n_sample_types + 1, sizeof(w->type_is_left_out[0]));
	if (!w->type_is_left_out)
		return -ENOMEM;
	for (uint32_t i = 0; w->series->kind->count_alone && i < p->n_sample_types; i++)
		w->type_is_left_out[i] = i != w->series->count_type && shape_value_follows(p, i, w->series->count_type);
	return 0;
}

static int prepare(struct pprof_writer *w)
{
	const struct profile *p = w->window;

	w->first_text = p->n_strings;
	w->first_mapping = w->first_text + w->series->texts.n;
	w->first_function = w->first_mapping + p->n_mappings;
	w->first_location = w->first_function + p->n_functions;
	if (w->first_location + p->n_locations > UINT32_MAX)
		return -E2BIG;
	if (deflateInit2(&w->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	w->z_ready = true;
	int err = memo_init(&w->memo, w->first_location + p->n_locations);
	return err < 0 ? err : choose_types(w);
}

int pprof_writer_create(const struct shape_series *series, struct pprof_writer **writer_out)
{
	struct pprof_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->series = series;
	w->window = series->window;
	w->strings.seed = series->texts.seed;
	int err = prepare(w);
	if (err < 0) {
		pprof_writer_destroy(w);
		return err;
	}
	*writer_out = w;
	return 0;
}

void pprof_writer_destroy(struct pprof_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < SECTIONS; i++)
		wire_deinit(&w->sections[i]);
	wire_deinit(&w->gzip);
	intern_table_deinit(&w->strings);
	if (w->z_ready)
		deflateEnd(&w->z);
	memo_deinit(&w->memo);
	free(w->type_is_left_out);
	free(w);
}
