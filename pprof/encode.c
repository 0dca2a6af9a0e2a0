#include "pprof/encode.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/scope.h"
#include "pprof/profile.pb-c.h"

#define GZIP_WINDOW_BITS (15 + 16) /* zlib: 16 more is a gzip header */

typedef Perftools__Profiles__Profile Profile;
typedef Perftools__Profiles__ValueType ValueType;
typedef Perftools__Profiles__Sample Sample;
typedef Perftools__Profiles__Label Label;
typedef Perftools__Profiles__Mapping Mapping;
typedef Perftools__Profiles__Location Location;
typedef Perftools__Profiles__Line Line;
typedef Perftools__Profiles__Function Function;

/* The message's parts: arrays of structs, and of pointers to them as protobuf-c wants them, one block each. */
struct parts {
	ValueType *types, **type_pointers, period_type;
	Sample *samples, **sample_pointers;
	uint64_t *location_ids;
	Label *labels, **label_pointers;
	Mapping *mappings, **mapping_pointers;
	Location *locations, **location_pointers;
	Line *lines, **line_pointers;
	Function *functions, **function_pointers;
	ProtobufCBinaryData *strings;
	int64_t *comments;
};

static void parts_deinit(struct parts *x)
{
	free(x->types);
	free(x->type_pointers);
	free(x->samples);
	free(x->sample_pointers);
	free(x->location_ids);
	free(x->labels);
	free(x->label_pointers);
	free(x->mappings);
	free(x->mapping_pointers);
	free(x->locations);
	free(x->location_pointers);
	free(x->lines);
	free(x->line_pointers);
	free(x->functions);
	free(x->function_pointers);
	free(x->strings);
	free(x->comments);
}

#define AUTO_PARTS __attribute__((cleanup(parts_deinit)))

/* n entries and n pointers to them. Sets *failed when there is no memory. */
#define ALLOCATE(failed, array, pointers, n)                                                                           \
	do {                                                                                                           \
		(array) = calloc((n) + 1, sizeof(*(array)));                                                           \
		(pointers) = calloc((n) + 1, sizeof(*(pointers)));                                                     \
		if (!(array) || !(pointers))                                                                           \
			(failed) = true;                                                                               \
		else                                                                                                   \
			for (size_t i_ = 0; i_ < (n); i_++)                                                            \
				(pointers)[i_] = &(array)[i_];                                                         \
	} while (0)

static int allocate(struct parts *x, const struct profile *p)
{
	bool failed = false;

	ALLOCATE(failed, x->types, x->type_pointers, p->n_sample_types);
	ALLOCATE(failed, x->samples, x->sample_pointers, p->n_samples);
	ALLOCATE(failed, x->labels, x->label_pointers, p->n_labels);
	ALLOCATE(failed, x->mappings, x->mapping_pointers, p->n_mappings);
	ALLOCATE(failed, x->locations, x->location_pointers, p->n_locations);
	ALLOCATE(failed, x->lines, x->line_pointers, p->n_lines);
	ALLOCATE(failed, x->functions, x->function_pointers, p->n_functions);
	x->location_ids = calloc(p->n_stack_locations + 1, sizeof(x->location_ids[0]));
	x->strings = calloc(p->n_strings + 1, sizeof(x->strings[0]));
	x->comments = calloc(p->n_comments + 1, sizeof(x->comments[0]));
	return failed || !x->location_ids || !x->strings || !x->comments ? -ENOMEM : 0;
}

static void fill_samples(struct parts *x, const struct profile *p)
{
	for (size_t i = 0; i < p->n_stack_locations; i++)
		x->location_ids[i] = p->stack_locations[i] + 1ull;
	for (size_t i = 0; i < p->n_labels; i++) {
		const struct profile_label *from = &p->labels[i];
		perftools__profiles__label__init(&x->labels[i]);
		x->labels[i].key = from->key;
		x->labels[i].str = from->str;
		x->labels[i].num = from->num;
		x->labels[i].num_unit = from->num_unit;
	}
	for (size_t i = 0; i < p->n_samples; i++) {
		const struct profile_sample *from = &p->samples[i];
		Sample *to = &x->samples[i];
		perftools__profiles__sample__init(to);
		to->location_id = x->location_ids + from->first_location;
		to->n_location_id = from->n_locations;
		to->value = p->values + i * p->n_sample_types;
		to->n_value = p->n_sample_types;
		to->label = x->label_pointers + from->first_label;
		to->n_label = from->n_labels;
	}
}

static void fill_code(struct parts *x, const struct profile *p)
{
	for (size_t i = 0; i < p->n_mappings; i++) {
		const struct profile_mapping *from = &p->mappings[i];
		Mapping *to = &x->mappings[i];
		perftools__profiles__mapping__init(to);
		to->id = i + 1;
		to->memory_start = from->start;
		to->memory_limit = from->limit;
		to->file_offset = from->file_offset;
		to->filename = from->filename;
		to->build_id = from->build_id;
		to->has_functions = from->has_functions;
		to->has_filenames = from->has_filenames;
		to->has_line_numbers = from->has_line_numbers;
		to->has_inline_frames = from->has_inline_frames;
	}
	for (size_t i = 0; i < p->n_lines; i++) {
		perftools__profiles__line__init(&x->lines[i]);
		x->lines[i].function_id = p->lines[i].function + 1ull;
		x->lines[i].line = p->lines[i].line;
		x->lines[i].column = p->lines[i].column;
	}
	for (size_t i = 0; i < p->n_locations; i++) {
		const struct profile_location *from = &p->locations[i];
		Location *to = &x->locations[i];
		perftools__profiles__location__init(to);
		to->id = i + 1;
		to->mapping_id = from->mapping == PROFILE_NONE ? 0 : from->mapping + 1ull;
		to->address = from->address;
		to->line = x->line_pointers + from->first_line;
		to->n_line = from->n_lines;
		to->is_folded = from->is_folded;
	}
	for (size_t i = 0; i < p->n_functions; i++) {
		const struct profile_function *from = &p->functions[i];
		Function *to = &x->functions[i];
		perftools__profiles__function__init(to);
		to->id = i + 1;
		to->name = from->name;
		to->system_name = from->system_name;
		to->filename = from->filename;
		to->start_line = from->start_line;
	}
}

static void fill(Profile *message, struct parts *x, const struct profile *p)
{
	perftools__profiles__profile__init(message);
	for (size_t i = 0; i < p->n_sample_types; i++) {
		perftools__profiles__value_type__init(&x->types[i]);
		x->types[i].type = p->sample_types[i].type;
		x->types[i].unit = p->sample_types[i].unit;
	}
	perftools__profiles__value_type__init(&x->period_type);
	x->period_type.type = p->period_type.type;
	x->period_type.unit = p->period_type.unit;
	fill_samples(x, p);
	fill_code(x, p);
	for (size_t i = 0; i < p->n_strings; i++) {
		x->strings[i].data = (uint8_t *)(uintptr_t)p->strings[i];
		x->strings[i].len = p->string_lengths[i];
	}
	for (size_t i = 0; i < p->n_comments; i++)
		x->comments[i] = p->comments[i];
	message->sample_type = x->type_pointers;
	message->n_sample_type = p->n_sample_types;
	message->sample = x->sample_pointers;
	message->n_sample = p->n_samples;
	message->mapping = x->mapping_pointers;
	message->n_mapping = p->n_mappings;
	message->location = x->location_pointers;
	message->n_location = p->n_locations;
	message->function = x->function_pointers;
	message->n_function = p->n_functions;
	message->string_table = x->strings;
	message->n_string_table = p->n_strings;
	message->drop_frames = p->drop_frames;
	message->keep_frames = p->keep_frames;
	message->time_nanos = p->time_ns;
	message->duration_nanos = p->duration_ns;
	message->period_type = &x->period_type;
	message->period = p->period;
	message->comment = x->comments;
	message->n_comment = p->n_comments;
	message->default_sample_type = p->default_sample_type;
	message->doc_url = p->doc_url;
}

/* A window of 209 KB, best of 15: level 6 62.1 KB in 6.3 ms of CPU, 4 63.4 KB in 3.2 ms, 1 69.1 KB in 2.2 ms. The agent's own loop waits for it. */
#define GZIP_LEVEL 4

static int compress_gzip(uint8_t *plain, size_t n_plain, uint8_t **bytes_out, size_t *n_bytes_out)
{
	z_stream z = {0};

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	size_t bound = deflateBound(&z, n_plain);
	AUTO_FREE uint8_t *bytes = malloc(bound);
	if (!bytes || bound > UINT_MAX) {
		deflateEnd(&z);
		return bytes ? -E2BIG : -ENOMEM;
	}
	z.next_in = plain;
	z.avail_in = (unsigned int)n_plain;
	z.next_out = bytes;
	z.avail_out = (unsigned int)bound;
	int result = deflate(&z, Z_FINISH);
	size_t n = z.total_out;
	deflateEnd(&z);
	if (result != Z_STREAM_END)
		return -EIO;
	*bytes_out = take_ptr(bytes);
	*n_bytes_out = n;
	return 0;
}

int profile_encode_plain(const struct profile *profile, uint8_t **bytes_out, size_t *n_bytes_out)
{
	AUTO_PARTS struct parts x = {0};
	Profile message;

	int err = allocate(&x, profile);
	if (err < 0)
		return err;
	fill(&message, &x, profile);
	size_t n = perftools__profiles__profile__get_packed_size(&message);
	if (n > INT_MAX)
		return -E2BIG;
	uint8_t *plain = malloc(n + 1);
	if (!plain)
		return -ENOMEM;
	perftools__profiles__profile__pack(&message, plain);
	*bytes_out = plain;
	*n_bytes_out = n;
	return 0;
}

int profile_encode(const struct profile *profile, uint8_t **bytes_out, size_t *n_bytes_out)
{
	AUTO_FREE uint8_t *plain = NULL;
	size_t n;

	int err = profile_encode_plain(profile, &plain, &n);
	return err < 0 ? err : compress_gzip(plain, n, bytes_out, n_bytes_out);
}
