#include "pprof/decode.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/scope.h"
#include "base/text_clean.h"
#include "pprof/profile.pb-c.h"

#define GZIP_WINDOW_BITS (15 + 16) /* zlib: 16 more is a gzip header */
#define INFLATE_STEP	 (256u << 10)

typedef Perftools__Profiles__Profile Message;

/* From the ids of a table (any numbers but 0) to indices. */
struct ids {
	uint64_t *ids;
	uint32_t *indices;
	size_t n_slots;
	uint64_t seed;
};

struct decoding {
	const Message *message;
	struct profile *profile;
	struct ids mappings, functions, locations;
	const char *why;
};

static int bad(struct decoding *d, const char *why)
{
	d->why = why;
	return -EBADMSG;
}

/* ---- ids ---- */

static int ids_init(struct ids *ids, size_t n)
{
	ids->n_slots = 16;
	while (ids->n_slots < 2 * n)
		ids->n_slots *= 2;
	ids->ids = calloc(ids->n_slots, sizeof(ids->ids[0]));
	ids->indices = calloc(ids->n_slots, sizeof(ids->indices[0]));
	if (!ids->ids || !ids->indices || getrandom(&ids->seed, sizeof(ids->seed), 0) != (ssize_t)sizeof(ids->seed))
		return -ENOMEM;
	return 0;
}

static void ids_deinit(struct ids *ids)
{
	free(ids->ids);
	free(ids->indices);
}

static size_t ids_slot(const struct ids *ids, uint64_t id)
{
	size_t at = XXH3_64bits_withSeed(&id, sizeof(id), ids->seed) & (ids->n_slots - 1);

	while (ids->ids[at] && ids->ids[at] != id)
		at = (at + 1) & (ids->n_slots - 1);
	return at;
}

static bool ids_add(struct ids *ids, uint64_t id, size_t index)
{
	size_t at = ids_slot(ids, id);

	if (!id || ids->ids[at])
		return false;
	ids->ids[at] = id;
	ids->indices[at] = (uint32_t)index;
	return true;
}

static bool ids_find(const struct ids *ids, uint64_t id, uint32_t *index_out)
{
	size_t at = ids_slot(ids, id);

	if (!id || !ids->ids[at])
		return false;
	*index_out = ids->indices[at];
	return true;
}

/* ---- tables ---- */

static bool string_ok(const struct decoding *d, int64_t index)
{
	return index >= 0 && (uint64_t)index < d->message->n_string_table;
}

static int decode_strings(struct decoding *d)
{
	const Message *m = d->message;
	struct profile *p = d->profile;
	size_t bytes = 0, at = 0;

	if (!m->n_string_table || m->string_table[0].len)
		return bad(d, "the string table does not begin with \"\"");
	for (size_t i = 0; i < m->n_string_table; i++) {
		const ProtobufCBinaryData *s = &m->string_table[i];
		/* A byte that is no UTF-8 becomes three. */
		bytes += (text_is_utf8((const char *)s->data, s->len) ? s->len : 3 * s->len) + 1;
	}
	p->strings = calloc(m->n_string_table, sizeof(p->strings[0]));
	p->string_lengths = calloc(m->n_string_table, sizeof(p->string_lengths[0]));
	p->string_bytes = malloc(bytes);
	if (!p->strings || !p->string_lengths || !p->string_bytes)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_string_table; i++) {
		const ProtobufCBinaryData *s = &m->string_table[i];
		size_t length = text_clean((const char *)s->data, s->len, p->string_bytes + at, bytes - at);
		p->strings[i] = p->string_bytes + at;
		p->string_lengths[i] = (uint32_t)length;
		at += length + 1;
	}
	p->n_strings = m->n_string_table;
	return 0;
}

static int decode_value_type(struct decoding *d, const Perftools__Profiles__ValueType *from,
			     struct profile_value_type *to)
{
	if (!from)
		return 0;
	if (!string_ok(d, from->type) || !string_ok(d, from->unit))
		return bad(d, "a value type names a string that is not there");
	*to = (struct profile_value_type){(profile_str)from->type, (profile_str)from->unit};
	return 0;
}

static int decode_head(struct decoding *d)
{
	const Message *m = d->message;
	struct profile *p = d->profile;

	p->sample_types = calloc(m->n_sample_type + 1, sizeof(p->sample_types[0]));
	p->comments = calloc(m->n_comment + 1, sizeof(p->comments[0]));
	if (!p->sample_types || !p->comments)
		return -ENOMEM;
	int err = decode_value_type(d, m->period_type, &p->period_type);
	for (size_t i = 0; err == 0 && i < m->n_sample_type; i++)
		err = decode_value_type(d, m->sample_type[i], &p->sample_types[i]);
	if (err < 0)
		return err;
	p->n_sample_types = m->n_sample_type;
	for (size_t i = 0; i < m->n_comment; i++) {
		if (!string_ok(d, m->comment[i]))
			return bad(d, "a comment names a string that is not there");
		p->comments[p->n_comments++] = (profile_str)m->comment[i];
	}
	if (!string_ok(d, m->drop_frames) || !string_ok(d, m->keep_frames) || !string_ok(d, m->doc_url) ||
	    !string_ok(d, m->default_sample_type))
		return bad(d, "the profile names a string that is not there");
	p->drop_frames = (profile_str)m->drop_frames;
	p->keep_frames = (profile_str)m->keep_frames;
	p->doc_url = (profile_str)m->doc_url;
	p->default_sample_type = (profile_str)m->default_sample_type;
	p->time_ns = m->time_nanos;
	p->duration_ns = m->duration_nanos;
	p->period = m->period;
	return 0;
}

static int decode_mappings(struct decoding *d)
{
	const Message *m = d->message;
	struct profile *p = d->profile;

	p->mappings = calloc(m->n_mapping + 1, sizeof(p->mappings[0]));
	if (!p->mappings || ids_init(&d->mappings, m->n_mapping) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_mapping; i++) {
		const Perftools__Profiles__Mapping *from = m->mapping[i];
		if (!ids_add(&d->mappings, from->id, i))
			return bad(d, "a mapping's id is 0 or not its own");
		if (!string_ok(d, from->filename) || !string_ok(d, from->build_id))
			return bad(d, "a mapping names a string that is not there");
		p->mappings[i] = (struct profile_mapping){
			.start = from->memory_start,
			.limit = from->memory_limit,
			.file_offset = from->file_offset,
			.filename = (profile_str)from->filename,
			.build_id = (profile_str)from->build_id,
			.has_functions = from->has_functions,
			.has_filenames = from->has_filenames,
			.has_line_numbers = from->has_line_numbers,
			.has_inline_frames = from->has_inline_frames,
		};
	}
	p->n_mappings = m->n_mapping;
	return 0;
}

static int decode_functions(struct decoding *d)
{
	const Message *m = d->message;
	struct profile *p = d->profile;

	p->functions = calloc(m->n_function + 1, sizeof(p->functions[0]));
	if (!p->functions || ids_init(&d->functions, m->n_function) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_function; i++) {
		const Perftools__Profiles__Function *from = m->function[i];
		if (!ids_add(&d->functions, from->id, i))
			return bad(d, "a function's id is 0 or not its own");
		if (!string_ok(d, from->name) || !string_ok(d, from->system_name) || !string_ok(d, from->filename))
			return bad(d, "a function names a string that is not there");
		p->functions[i] = (struct profile_function){
			.name = (profile_str)from->name,
			.system_name = (profile_str)from->system_name,
			.filename = (profile_str)from->filename,
			.start_line = from->start_line,
		};
	}
	p->n_functions = m->n_function;
	return 0;
}

static int decode_location(struct decoding *d, const Perftools__Profiles__Location *from, size_t index)
{
	struct profile *p = d->profile;
	struct profile_location *to = &p->locations[index];

	if (!ids_add(&d->locations, from->id, index))
		return bad(d, "a location's id is 0 or not its own");
	*to = (struct profile_location){
		.address = from->address,
		.mapping = PROFILE_NONE,
		.first_line = (uint32_t)p->n_lines,
		.n_lines = (uint32_t)from->n_line,
		.is_folded = from->is_folded,
	};
	if (from->mapping_id && !ids_find(&d->mappings, from->mapping_id, &to->mapping))
		return bad(d, "a location is in a mapping that is not there");
	for (size_t i = 0; i < from->n_line; i++) {
		struct profile_line *line = &p->lines[p->n_lines++];
		if (!ids_find(&d->functions, from->line[i]->function_id, &line->function))
			return bad(d, "a line is in a function that is not there");
		line->line = from->line[i]->line;
		line->column = from->line[i]->column;
	}
	return 0;
}

static int decode_locations(struct decoding *d)
{
	const Message *m = d->message;
	struct profile *p = d->profile;
	size_t n_lines = 0;
	int err = 0;

	for (size_t i = 0; i < m->n_location; i++)
		n_lines += m->location[i]->n_line;
	p->locations = calloc(m->n_location + 1, sizeof(p->locations[0]));
	p->lines = calloc(n_lines + 1, sizeof(p->lines[0]));
	if (!p->locations || !p->lines || ids_init(&d->locations, m->n_location) < 0)
		return -ENOMEM;
	for (size_t i = 0; err == 0 && i < m->n_location; i++)
		err = decode_location(d, m->location[i], i);
	p->n_locations = m->n_location;
	return err;
}

static int decode_sample(struct decoding *d, const Perftools__Profiles__Sample *from, size_t index)
{
	struct profile *p = d->profile;

	if (from->n_value != p->n_sample_types)
		return bad(d, "a sample has not as many values as there are sample types");
	p->samples[index] = (struct profile_sample){
		.first_location = (uint32_t)p->n_stack_locations,
		.n_locations = (uint32_t)from->n_location_id,
		.first_label = (uint32_t)p->n_labels,
		.n_labels = (uint32_t)from->n_label,
	};
	for (size_t i = 0; i < from->n_value; i++)
		p->values[index * p->n_sample_types + i] = from->value[i];
	for (size_t i = 0; i < from->n_location_id; i++)
		if (!ids_find(&d->locations, from->location_id[i], &p->stack_locations[p->n_stack_locations++]))
			return bad(d, "a sample's stack has a location that is not there");
	for (size_t i = 0; i < from->n_label; i++) {
		const Perftools__Profiles__Label *label = from->label[i];
		if (!string_ok(d, label->key) || !string_ok(d, label->str) || !string_ok(d, label->num_unit))
			return bad(d, "a label names a string that is not there");
		p->labels[p->n_labels++] = (struct profile_label){
			.key = (profile_str)label->key,
			.str = (profile_str)label->str,
			.num = label->num,
			.num_unit = (profile_str)label->num_unit,
		};
	}
	return 0;
}

static int decode_samples(struct decoding *d)
{
	const Message *m = d->message;
	struct profile *p = d->profile;
	size_t n_locations = 0, n_labels = 0;
	int err = 0;

	for (size_t i = 0; i < m->n_sample; i++) {
		n_locations += m->sample[i]->n_location_id;
		n_labels += m->sample[i]->n_label;
		if (m->sample[i]->n_value != p->n_sample_types)
			return bad(d, "a sample has not as many values as there are sample types");
	}
	p->samples = calloc(m->n_sample + 1, sizeof(p->samples[0]));
	p->values = calloc(m->n_sample * p->n_sample_types + 1, sizeof(p->values[0]));
	p->stack_locations = calloc(n_locations + 1, sizeof(p->stack_locations[0]));
	p->labels = calloc(n_labels + 1, sizeof(p->labels[0]));
	if (!p->samples || !p->values || !p->stack_locations || !p->labels)
		return -ENOMEM;
	for (size_t i = 0; err == 0 && i < m->n_sample; i++)
		err = decode_sample(d, m->sample[i], i);
	p->n_samples = m->n_sample;
	return err;
}

/* ---- the file ---- */

static bool is_gzip(const uint8_t *bytes, size_t n)
{
	return n >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/* Unpack all members of a gzip file, up to a limit. */
static int unpack(const uint8_t *bytes, size_t n_bytes, size_t max_bytes, uint8_t **plain_out, size_t *n_plain_out)
{
	AUTO_FREE uint8_t *plain = NULL;
	size_t n = 0, capacity = 0;
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (unsigned int)n_bytes};
	int result = Z_OK, err = 0;

	if (n_bytes > UINT_MAX)
		return -E2BIG;
	if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	while (err == 0 && !(result == Z_STREAM_END && !is_gzip(z.next_in, z.avail_in))) {
		if (result == Z_STREAM_END && inflateReset(&z) != Z_OK)
			err = -EBADMSG;
		if (n == capacity) {
			uint8_t *grown = capacity > max_bytes ? NULL : realloc(plain, 2 * capacity + INFLATE_STEP);
			if (!grown) {
				err = capacity > max_bytes ? -E2BIG : -ENOMEM;
				break;
			}
			plain = grown;
			capacity = 2 * capacity + INFLATE_STEP;
		}
		size_t room = capacity - n > INFLATE_STEP ? INFLATE_STEP : capacity - n;
		z.next_out = plain + n;
		z.avail_out = (unsigned int)room;
		result = inflate(&z, Z_NO_FLUSH);
		n += room - z.avail_out;
		if (n > max_bytes)
			err = -E2BIG;
		else if (result != Z_OK && result != Z_STREAM_END)
			err = result == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
	}
	inflateEnd(&z);
	if (err < 0)
		return err;
	*plain_out = take_ptr(plain);
	*n_plain_out = n;
	return 0;
}

static int decode_message(struct decoding *d)
{
	d->profile = calloc(1, sizeof(*d->profile));
	if (!d->profile)
		return -ENOMEM;
	int err = decode_strings(d);
	if (err == 0)
		err = decode_head(d);
	if (err == 0)
		err = decode_mappings(d);
	if (err == 0)
		err = decode_functions(d);
	if (err == 0)
		err = decode_locations(d);
	if (err == 0)
		err = decode_samples(d);
	ids_deinit(&d->mappings);
	ids_deinit(&d->functions);
	ids_deinit(&d->locations);
	return err;
}

static int decode_plain(const uint8_t *plain, size_t n_plain, struct profile **profile_out, const char **why)
{
	struct decoding d = {.why = "not a pprof profile: the protobuf message is damaged"};

	Message *message = perftools__profiles__profile__unpack(NULL, n_plain, plain);
	if (!message) {
		*why = d.why;
		return -EBADMSG;
	}
	d.message = message;
	int err = decode_message(&d);
	perftools__profiles__profile__free_unpacked(message, NULL);
	if (err < 0) {
		profile_free(d.profile);
		*why = err == -EBADMSG ? d.why : "out of memory";
		return err;
	}
	*profile_out = d.profile;
	return 0;
}

int profile_decode(const uint8_t *bytes, size_t n_bytes, size_t max_bytes, struct profile **profile_out,
		   const char **why_out)
{
	AUTO_FREE uint8_t *plain = NULL;
	const char *why = "";
	size_t n_plain = 0, limit = max_bytes ? max_bytes : PROFILE_MAX_BYTES;
	int err;

	if (is_gzip(bytes, n_bytes)) {
		err = unpack(bytes, n_bytes, limit, &plain, &n_plain);
		if (err == -EBADMSG)
			why = "the gzip compression is damaged or cut off";
		if (err == 0)
			err = decode_plain(plain, n_plain, profile_out, &why);
	} else {
		err = n_bytes > limit ? -E2BIG : decode_plain(bytes, n_bytes, profile_out, &why);
	}
	if (err == -E2BIG)
		why = "the profile is too large uncompressed";
	if (err < 0 && why_out)
		*why_out = why;
	return err;
}
