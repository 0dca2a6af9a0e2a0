/* A stretch of a dictionary as bytes: the counts where it begins, then each table in columns, so that like stands beside like and zstd finds it.
 * Numbers that tend to grow with the entries are differences to the entry before. Format: docs/storing.md. */
#include <errno.h>
#include <string.h>

#include "store/dictionary.h"
#include "store/dictionary_tables.h"

/* ---- encode ---- */

static void put_difference(struct packing *out, uint32_t value, uint32_t *last)
{
	packing_s64(out, (int64_t)value - (int64_t)*last);
	*last = value;
}

static void encode_strings(const struct dictionary *d, uint32_t from, uint32_t to, struct packing *out)
{
	uint32_t begin = d->string_ends[from - 1], at = begin;

	for (uint32_t i = from; i < to; i++) {
		packing_u64(out, d->string_ends[i] - at - 1);
		at = d->string_ends[i];
	}
	packing_raw(out, d->string_bytes + begin, at - begin);
}

static void encode_mappings(const struct dictionary *d, uint32_t from, uint32_t to, struct packing *out)
{
	for (uint32_t i = from; i < to; i++) {
		const struct profile_mapping *m = &d->mappings[i];
		packing_u64(out, m->start);
		packing_u64(out, m->limit);
		packing_u64(out, m->file_offset);
		packing_u64(out, m->filename);
		packing_u64(out, m->build_id);
		packing_u64(out, (uint64_t)m->has_functions | (uint64_t)m->has_filenames << 1 | (uint64_t)m->has_line_numbers << 2 |
					 (uint64_t)m->has_inline_frames << 3);
	}
}

static void encode_functions(const struct dictionary *d, uint32_t from, uint32_t to, struct packing *out)
{
	uint32_t name = 0, file = 0;

	for (uint32_t i = from; i < to; i++)
		put_difference(out, d->functions[i].name, &name);
	for (uint32_t i = from; i < to; i++)
		packing_s64(out, (int64_t)d->functions[i].system_name - (int64_t)d->functions[i].name);
	for (uint32_t i = from; i < to; i++)
		put_difference(out, d->functions[i].filename, &file);
	for (uint32_t i = from; i < to; i++)
		packing_s64(out, d->functions[i].start_line);
}

static void encode_locations(const struct dictionary *d, uint32_t from, uint32_t to, uint32_t first_line, uint32_t end_line,
			     struct packing *out)
{
	uint64_t address = 0;
	uint32_t function = 0;

	for (uint32_t i = from; i < to; i++)
		packing_u64(out, (uint32_t)(d->locations[i].mapping + 1)); /* PROFILE_NONE: 0 */
	for (uint32_t i = from; i < to; i++) {
		packing_s64(out, (int64_t)(d->locations[i].address - address));
		address = d->locations[i].address;
	}
	for (uint32_t i = from; i < to; i++)
		packing_u64(out, (uint64_t)d->locations[i].n_lines << 1 | d->locations[i].is_folded);
	for (uint32_t i = first_line; i < end_line; i++)
		put_difference(out, d->lines[i].function, &function);
	for (uint32_t i = first_line; i < end_line; i++)
		packing_s64(out, d->lines[i].line);
	for (uint32_t i = first_line; i < end_line; i++)
		packing_s64(out, d->lines[i].column);
}

static void encode_stacks(const struct dictionary *d, uint32_t from, uint32_t to, struct packing *out)
{
	for (uint32_t i = from; i < to; i++)
		packing_u64(out, i - d->stacks[i].parent - 1);
	for (uint32_t i = from; i < to; i++)
		packing_u64(out, d->stacks[i].location);
}

static void encode_label_sets(const struct dictionary *d, uint32_t from, uint32_t to, uint32_t first_label, uint32_t end_label,
			      struct packing *out)
{
	for (uint32_t i = from; i < to; i++)
		packing_u64(out, d->label_sets[i].n);
	for (uint32_t i = first_label; i < end_label; i++) {
		packing_u64(out, d->labels[i].key);
		packing_u64(out, d->labels[i].str);
		packing_s64(out, d->labels[i].num);
		packing_u64(out, d->labels[i].num_unit);
	}
}

static void encode_series(const struct dictionary *d, uint32_t from, uint32_t to, struct packing *out)
{
	uint32_t labels = 0, stack = 0;

	for (uint32_t i = from; i < to; i++)
		put_difference(out, d->series[i].labels, &labels);
	for (uint32_t i = from; i < to; i++)
		put_difference(out, d->series[i].stack, &stack);
}

void dictionary_encode(const struct dictionary *d, const struct dictionary_counts *from, const struct dictionary_counts *to, struct packing *out)
{
	const uint32_t *a = from->tables, *b = to->tables;

	for (int t = 0; t < DICTIONARY_TABLES; t++) {
		packing_u64(out, a[t]);
		packing_u64(out, b[t] - a[t]);
	}
	encode_strings(d, a[DICTIONARY_STRINGS], b[DICTIONARY_STRINGS], out);
	encode_mappings(d, a[DICTIONARY_MAPPINGS], b[DICTIONARY_MAPPINGS], out);
	encode_functions(d, a[DICTIONARY_FUNCTIONS], b[DICTIONARY_FUNCTIONS], out);
	encode_locations(d, a[DICTIONARY_LOCATIONS], b[DICTIONARY_LOCATIONS], from->lines, to->lines, out);
	encode_stacks(d, a[DICTIONARY_STACKS], b[DICTIONARY_STACKS], out);
	encode_label_sets(d, a[DICTIONARY_LABEL_SETS], b[DICTIONARY_LABEL_SETS], from->labels, to->labels, out);
	encode_series(d, a[DICTIONARY_SERIES], b[DICTIONARY_SERIES], out);
}

/* ---- decode ---- */

/* Decoding appends; d->n is set at the end only, so that a failure leaves no trace. */
struct decoding {
	struct dictionary *d;
	struct unpacking in;
	uint32_t from[DICTIONARY_TABLES], to[DICTIONARY_TABLES];
	struct dictionary_counts end;
};

static inline uint32_t get_difference(struct unpacking *in, uint32_t *last, uint32_t limit)
{
	int64_t difference = unpacking_s64(in), value;

	if (__builtin_add_overflow((int64_t)*last, difference, &value) || value < 0 || value >= limit) {
		in->bad = true;
		return 0;
	}
	*last = (uint32_t)value;
	return (uint32_t)value;
}

/* Room for n entries of a table behind those that are there. */
static int room(struct decoding *g, enum dictionary_table table, void *array, size_t entry_bytes)
{
	uint32_t from = g->from[table];

	return dictionary_reserve(array, &g->d->capacity.tables[table], from, g->to[table] - from, entry_bytes);
}

static int decode_strings(struct decoding *g)
{
	struct dictionary *d = g->d;
	uint64_t end = d->n.string_bytes;

	int err = room(g, DICTIONARY_STRINGS, &d->string_ends, sizeof(d->string_ends[0]));
	if (err < 0)
		return err;
	for (uint32_t i = g->from[DICTIONARY_STRINGS]; i < g->to[DICTIONARY_STRINGS]; i++) {
		uint64_t length = unpacking_below(&g->in, DICTIONARY_ENTRIES_MAX);
		end += length + 1;
		if (g->in.bad || end > DICTIONARY_ENTRIES_MAX)
			return -EBADMSG;
		d->string_ends[i] = (uint32_t)end;
	}
	const uint8_t *bytes = unpacking_raw(&g->in, (size_t)(end - d->n.string_bytes));
	if (!bytes)
		return -EBADMSG;
	err = dictionary_reserve(&d->string_bytes, &d->capacity.string_bytes, d->n.string_bytes, (size_t)(end - d->n.string_bytes), 1);
	if (err < 0)
		return err;
	memcpy(d->string_bytes + d->n.string_bytes, bytes, (size_t)(end - d->n.string_bytes));
	for (uint32_t i = g->from[DICTIONARY_STRINGS]; i < g->to[DICTIONARY_STRINGS]; i++)
		if (d->string_bytes[d->string_ends[i] - 1] != '\0')
			return -EBADMSG;
	g->end.string_bytes = (uint32_t)end;
	return 0;
}

static int decode_mappings(struct decoding *g)
{
	struct dictionary *d = g->d;
	uint32_t strings = g->to[DICTIONARY_STRINGS];

	int err = room(g, DICTIONARY_MAPPINGS, &d->mappings, sizeof(d->mappings[0]));
	if (err < 0)
		return err;
	for (uint32_t i = g->from[DICTIONARY_MAPPINGS]; i < g->to[DICTIONARY_MAPPINGS]; i++) {
		struct profile_mapping *m = &d->mappings[i];
		m->start = unpacking_u64(&g->in);
		m->limit = unpacking_u64(&g->in);
		m->file_offset = unpacking_u64(&g->in);
		m->filename = unpacking_below(&g->in, strings);
		m->build_id = unpacking_below(&g->in, strings);
		uint32_t flags = unpacking_below(&g->in, 16);
		m->has_functions = flags & 1;
		m->has_filenames = flags >> 1 & 1;
		m->has_line_numbers = flags >> 2 & 1;
		m->has_inline_frames = flags >> 3 & 1;
	}
	return 0;
}

static int decode_functions(struct decoding *g)
{
	struct dictionary *d = g->d;
	uint32_t from = g->from[DICTIONARY_FUNCTIONS], to = g->to[DICTIONARY_FUNCTIONS], strings = g->to[DICTIONARY_STRINGS];
	uint32_t name = 0, file = 0;
	struct unpacking in = g->in; /* a copy stays in registers */

	int err = room(g, DICTIONARY_FUNCTIONS, &d->functions, sizeof(d->functions[0]));
	if (err < 0)
		return err;
	for (uint32_t i = from; i < to; i++)
		d->functions[i].name = get_difference(&in, &name, strings);
	for (uint32_t i = from; i < to; i++) {
		uint32_t system_name = d->functions[i].name;
		d->functions[i].system_name = get_difference(&in, &system_name, strings);
	}
	for (uint32_t i = from; i < to; i++)
		d->functions[i].filename = get_difference(&in, &file, strings);
	for (uint32_t i = from; i < to; i++)
		d->functions[i].start_line = unpacking_s64(&in);
	g->in = in;
	return 0;
}

static int decode_lines(struct decoding *g, uint64_t end)
{
	struct dictionary *d = g->d;
	uint32_t from = d->n.lines, function = 0, functions = g->to[DICTIONARY_FUNCTIONS];
	struct unpacking in = g->in;

	/* Each line takes three bytes at least. */
	if (end - from > (uint64_t)(in.end - in.at))
		return -EBADMSG;
	int err = dictionary_reserve(&d->lines, &d->capacity.lines, from, (size_t)(end - from), sizeof(d->lines[0]));
	if (err < 0)
		return err;
	for (uint32_t i = from; i < end; i++)
		d->lines[i].function = get_difference(&in, &function, functions);
	for (uint32_t i = from; i < end; i++)
		d->lines[i].line = unpacking_s64(&in);
	for (uint32_t i = from; i < end; i++)
		d->lines[i].column = unpacking_s64(&in);
	g->in = in;
	g->end.lines = (uint32_t)end;
	return 0;
}

static int decode_locations(struct decoding *g)
{
	struct dictionary *d = g->d;
	uint32_t from = g->from[DICTIONARY_LOCATIONS], to = g->to[DICTIONARY_LOCATIONS];
	uint64_t address = 0, lines = d->n.lines, mappings = (uint64_t)g->to[DICTIONARY_MAPPINGS] + 1;
	struct unpacking in = g->in;

	int err = room(g, DICTIONARY_LOCATIONS, &d->locations, sizeof(d->locations[0]));
	if (err < 0)
		return err;
	for (uint32_t i = from; i < to; i++)
		d->locations[i].mapping = unpacking_below(&in, mappings) - 1; /* 0: PROFILE_NONE */
	for (uint32_t i = from; i < to; i++)
		d->locations[i].address = address += (uint64_t)unpacking_s64(&in);
	for (uint32_t i = from; i < to; i++) {
		uint32_t n = unpacking_below(&in, UINT32_MAX);
		d->locations[i].is_folded = n & 1;
		d->locations[i].n_lines = n >> 1;
		d->locations[i].first_line = (uint32_t)lines;
		lines += n >> 1;
		if (in.bad || lines > DICTIONARY_ENTRIES_MAX)
			return -EBADMSG;
	}
	g->in = in;
	return decode_lines(g, lines);
}

static int decode_stacks(struct decoding *g)
{
	struct dictionary *d = g->d;
	uint32_t from = g->from[DICTIONARY_STACKS], to = g->to[DICTIONARY_STACKS], locations = g->to[DICTIONARY_LOCATIONS];
	struct unpacking in = g->in;

	int err = room(g, DICTIONARY_STACKS, &d->stacks, sizeof(d->stacks[0]));
	if (err < 0)
		return err;
	for (uint32_t i = from; i < to; i++)
		d->stacks[i].parent = i - 1 - unpacking_below(&in, i);
	for (uint32_t i = from; i < to; i++)
		d->stacks[i].location = unpacking_below(&in, locations);
	g->in = in;
	return 0;
}

static int decode_labels(struct decoding *g, uint64_t end)
{
	struct dictionary *d = g->d;
	uint32_t from = d->n.labels, strings = g->to[DICTIONARY_STRINGS];
	struct unpacking in = g->in;

	if (end - from > (uint64_t)(in.end - in.at))
		return -EBADMSG;
	int err = dictionary_reserve(&d->labels, &d->capacity.labels, from, (size_t)(end - from), sizeof(d->labels[0]));
	if (err < 0)
		return err;
	for (uint32_t i = from; i < end; i++) {
		d->labels[i].key = unpacking_below(&in, strings);
		d->labels[i].str = unpacking_below(&in, strings);
		d->labels[i].num = unpacking_s64(&in);
		d->labels[i].num_unit = unpacking_below(&in, strings);
	}
	g->in = in;
	g->end.labels = (uint32_t)end;
	return 0;
}

static int decode_label_sets(struct decoding *g)
{
	struct dictionary *d = g->d;
	uint64_t labels = d->n.labels;

	int err = room(g, DICTIONARY_LABEL_SETS, &d->label_sets, sizeof(d->label_sets[0]));
	if (err < 0)
		return err;
	for (uint32_t i = g->from[DICTIONARY_LABEL_SETS]; i < g->to[DICTIONARY_LABEL_SETS]; i++) {
		uint32_t n = unpacking_below(&g->in, DICTIONARY_ENTRIES_MAX);
		d->label_sets[i] = (struct dictionary_label_set){(uint32_t)labels, n};
		labels += n;
		if (g->in.bad || labels > DICTIONARY_ENTRIES_MAX)
			return -EBADMSG;
	}
	return decode_labels(g, labels);
}

static int decode_series(struct decoding *g)
{
	struct dictionary *d = g->d;
	uint32_t from = g->from[DICTIONARY_SERIES], to = g->to[DICTIONARY_SERIES], labels = 0, stack = 0;
	uint32_t label_sets = g->to[DICTIONARY_LABEL_SETS], stacks = g->to[DICTIONARY_STACKS];
	struct unpacking in = g->in;

	int err = room(g, DICTIONARY_SERIES, &d->series, sizeof(d->series[0]));
	if (err < 0)
		return err;
	for (uint32_t i = from; i < to; i++)
		d->series[i].labels = get_difference(&in, &labels, label_sets);
	for (uint32_t i = from; i < to; i++)
		d->series[i].stack = get_difference(&in, &stack, stacks);
	g->in = in;
	return 0;
}

static int decode_counts(struct decoding *g)
{
	for (int t = 0; t < DICTIONARY_TABLES; t++) {
		g->from[t] = unpacking_below(&g->in, DICTIONARY_ENTRIES_MAX);
		uint32_t n = unpacking_count(&g->in);
		if (g->in.bad || g->from[t] != g->d->n.tables[t] || n > DICTIONARY_ENTRIES_MAX - g->from[t])
			return -EBADMSG;
		g->to[t] = g->from[t] + n;
	}
	return 0;
}

int dictionary_decode(struct dictionary *d, const uint8_t *bytes, size_t n)
{
	static int (*const parts[])(struct decoding *) = {decode_counts, decode_strings, decode_mappings, decode_functions,
							  decode_locations, decode_stacks, decode_label_sets, decode_series};
	struct decoding g = {.d = d, .in = {.at = bytes, .end = bytes + n}, .end = d->n};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		int err = parts[i](&g);
		if (err == 0 && g.in.bad)
			err = -EBADMSG;
		if (err < 0)
			return err;
	}
	if (g.in.at != g.in.end)
		return -EBADMSG;
	memcpy(g.end.tables, g.to, sizeof(g.to));
	d->n = g.end;
	return 0;
}
