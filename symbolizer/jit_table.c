#include "symbolizer/jit_table.h"
#include "symbolizer/jit_ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

/* A piece of code, or all pieces of one name that have no lines. */
struct code {
	uint64_t start; /* 0 without lines */
	uint32_t text;	/* offset */
	uint32_t first_line;
	uint32_t n_lines;
};

/* What happens at a time. */
struct event {
	uint64_t time_ns;
	uint64_t start;
	uint64_t old_start; /* of a move */
	uint32_t bytes;
	uint32_t code; /* MOVE: a move */
};

#define MOVE UINT32_MAX

struct jit_table {
	struct jit_ranges ranges;
	struct code *codes;
	size_t n_codes, codes_capacity;
	uint32_t *plain; /* by text: its code without lines + 1, in the slots' order */
	char *texts;	 /* starts with "" */
	size_t texts_bytes, texts_capacity;
	uint32_t *slots; /* offset of a text; 0: free */
	size_t n_slots, n_texts;
	struct jit_line *lines;
	size_t n_lines, lines_capacity;
	struct event *events; /* in the order of times, from first_event on */
	size_t first_event, n_events, events_capacity;
	uint64_t last_time_ns, lost, seed;
};

static int reserve(void **array, size_t *capacity, size_t wanted, size_t element_bytes)
{
	if (wanted <= *capacity)
		return 0;
	size_t room = wanted + wanted / 2 + 64;
	void *grown = reallocarray(*array, room, element_bytes);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*capacity = room;
	return 0;
}

int jit_table_create(struct jit_table **table_out)
{
	struct jit_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed)) {
		free(t);
		return -EIO;
	}
	*table_out = t;
	return 0;
}

/* ---- texts ---- */

static int grow_slots(struct jit_table *t)
{
	size_t n_slots = t->n_slots ? 2 * t->n_slots : 256;
	uint32_t *slots = calloc(n_slots, sizeof(*slots)), *plain = calloc(n_slots, sizeof(*plain));

	if (!slots || !plain) {
		free(slots);
		free(plain);
		return -ENOMEM;
	}
	for (size_t i = 0; i < t->n_slots; i++) {
		if (!t->slots[i])
			continue;
		const char *text = t->texts + t->slots[i];
		size_t at = XXH3_64bits_withSeed(text, strlen(text), t->seed) & (n_slots - 1);
		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = t->slots[i];
		plain[at] = t->plain[i];
	}
	free(t->slots);
	free(t->plain);
	t->slots = slots;
	t->plain = plain;
	t->n_slots = n_slots;
	return 0;
}

static int add_text(struct jit_table *t, const char *name, size_t n, size_t slot)
{
	void *texts = t->texts;

	if (t->texts_bytes + n + 2 > JIT_TEXT_MAX)
		return -E2BIG;
	int err = reserve(&texts, &t->texts_capacity, t->texts_bytes + n + 2, 1);
	if (err < 0)
		return err;
	t->texts = texts;
	if (!t->texts_bytes)
		t->texts[t->texts_bytes++] = 0;
	t->slots[slot] = (uint32_t)t->texts_bytes;
	memcpy(t->texts + t->texts_bytes, name, n);
	t->texts[t->texts_bytes + n] = 0;
	t->texts_bytes += n + 1;
	t->n_texts++;
	return 0;
}

/* The slot of a text, which is added when it is new. */
static int slot_of(struct jit_table *t, const char *name, size_t n, size_t *slot_out)
{
	int err = 0;

	if (2 * (t->n_texts + 1) > t->n_slots)
		err = grow_slots(t);
	if (err < 0)
		return err;
	size_t at = XXH3_64bits_withSeed(name, n, t->seed) & (t->n_slots - 1);
	for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
		const char *text = t->texts + t->slots[at];
		/* The texts end in NUL: the first comparison does not read behind them. */
		if (strncmp(text, name, n) == 0 && !text[n])
			break;
	}
	if (!t->slots[at])
		err = add_text(t, name, n, at);
	*slot_out = at;
	return err;
}

static size_t text_bytes(const char *name, size_t n)
{
	return strnlen(name, n < JIT_NAME_MAX ? n : JIT_NAME_MAX);
}

int64_t jit_table_text(struct jit_table *t, const char *name, size_t n)
{
	size_t slot, bytes = text_bytes(name, n);

	if (!bytes)
		return 0;
	int err = slot_of(t, name, bytes, &slot);
	return err < 0 ? err : (int64_t)t->slots[slot];
}

/* ---- codes ---- */

static int add_code(struct jit_table *t, const struct code *code, uint32_t *index_out)
{
	void *codes = t->codes;

	if (t->n_codes == JIT_CODES_MAX)
		return -E2BIG;
	int err = reserve(&codes, &t->codes_capacity, t->n_codes + 1, sizeof(*t->codes));
	if (err < 0)
		return err;
	t->codes = codes;
	*index_out = (uint32_t)t->n_codes;
	t->codes[t->n_codes++] = *code;
	return 0;
}

/* A runtime compiles the same function again and again: without lines, one code stands for all of them. */
static int plain_code(struct jit_table *t, const char *name, size_t n, uint32_t *index_out)
{
	size_t slot;

	int err = slot_of(t, name, n, &slot);
	if (err < 0)
		return err;
	if (!t->plain[slot]) {
		struct code code = { .text = t->slots[slot] };
		err = add_code(t, &code, index_out);
		if (err == 0)
			t->plain[slot] = *index_out + 1;
		return err;
	}
	*index_out = t->plain[slot] - 1;
	return 0;
}

static int code_with_lines(struct jit_table *t, uint64_t start, const char *name, size_t n, const struct jit_line *lines,
			   size_t n_lines, uint32_t *index_out)
{
	void *grown = t->lines;

	if (n_lines > JIT_LINES_MAX - t->n_lines)
		return -E2BIG;
	int64_t text = jit_table_text(t, name, n);
	if (text < 0)
		return (int)text;
	int err = reserve(&grown, &t->lines_capacity, t->n_lines + n_lines, sizeof(*t->lines));
	if (err < 0)
		return err;
	t->lines = grown;
	struct code code = {
		.start = start,
		.text = (uint32_t)text,
		.first_line = (uint32_t)t->n_lines,
		.n_lines = (uint32_t)n_lines,
	};
	err = add_code(t, &code, index_out);
	if (err < 0)
		return err;
	memcpy(&t->lines[t->n_lines], lines, n_lines * sizeof(*lines));
	t->n_lines += n_lines;
	return 0;
}

/* ---- time ---- */

/* The code moves with its lines; a piece of it, too. */
static int apply_move(struct jit_table *t, const struct event *event)
{
	const struct jit_range *range = jit_ranges_find(&t->ranges, event->old_start);

	if (!range)
		return 0;
	uint32_t index = range->code;
	struct code code = t->codes[index];
	if (code.n_lines) {
		code.start = event->start - (event->old_start - code.start);
		int err = add_code(t, &code, &index);
		if (err < 0)
			return err;
	}
	return jit_ranges_put(&t->ranges, event->start, event->bytes, index);
}

static int apply(struct jit_table *t, const struct event *event)
{
	if (event->code == MOVE)
		return apply_move(t, event);
	return jit_ranges_put(&t->ranges, event->start, event->bytes, event->code);
}

void jit_table_advance(struct jit_table *t, uint64_t time_ns)
{
	while (t->first_event < t->n_events && t->events[t->first_event].time_ns <= time_ns)
		if (apply(t, &t->events[t->first_event++]) < 0)
			t->lost++;
	if (t->first_event < t->n_events)
		return;
	t->first_event = t->n_events = 0;
	if (t->events_capacity > 4096) {
		free(t->events);
		t->events = NULL;
		t->events_capacity = 0;
	}
}

/* Without a time, and with nothing that waits, it happens at once. */
static int happen(struct jit_table *t, const struct event *event)
{
	if (event->time_ns > t->last_time_ns)
		t->last_time_ns = event->time_ns;
	if (!event->time_ns && t->first_event == t->n_events)
		return apply(t, event);
	size_t waiting = t->n_events - t->first_event;
	if (waiting == JIT_EVENTS_MAX)
		jit_table_advance(t, t->events[t->first_event + waiting / 2].time_ns);
	if (t->first_event && 2 * t->first_event >= t->n_events) {
		t->n_events -= t->first_event;
		memmove(t->events, &t->events[t->first_event], t->n_events * sizeof(*t->events));
		t->first_event = 0;
	}
	void *events = t->events;
	int err = reserve(&events, &t->events_capacity, t->n_events + 1, sizeof(*t->events));
	if (err < 0)
		return err;
	t->events = events;
	t->events[t->n_events] = *event;
	t->events[t->n_events++].time_ns = t->last_time_ns;
	return 0;
}

int jit_table_load(struct jit_table *t, uint64_t time_ns, uint64_t start, uint32_t bytes, const char *name, size_t n,
		   const struct jit_line *lines, size_t n_lines)
{
	struct event event = { .time_ns = time_ns, .start = start, .bytes = bytes };
	size_t name_bytes = text_bytes(name, n);

	if (!bytes || start > UINT64_MAX - bytes || !name_bytes)
		return -EINVAL;
	if (jit_table_bytes(t) > JIT_TABLE_MAX_BYTES)
		return -E2BIG;
	int err = n_lines ? code_with_lines(t, start, name, name_bytes, lines, n_lines, &event.code)
			  : plain_code(t, name, name_bytes, &event.code);
	return err < 0 ? err : happen(t, &event);
}

int jit_table_move(struct jit_table *t, uint64_t time_ns, uint64_t old_start, uint64_t new_start, uint32_t bytes)
{
	struct event event = { .time_ns = time_ns, .start = new_start, .old_start = old_start, .bytes = bytes, .code = MOVE };

	if (!bytes || new_start > UINT64_MAX - bytes)
		return -EINVAL;
	return happen(t, &event);
}

/* ---- look-up ---- */

static void find_line(const struct jit_table *t, const struct code *code, uint64_t pc, struct jit_match *match)
{
	const struct jit_line *lines = t->lines + code->first_line;
	uint64_t offset = pc - code->start;
	size_t low = 0, high = code->n_lines;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (lines[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return;
	match->file = t->texts + lines[low - 1].file;
	match->line = lines[low - 1].line;
}

int jit_table_find(const struct jit_table *t, uint64_t pc, struct jit_match *match_out)
{
	const struct jit_range *range = jit_ranges_find(&t->ranges, pc);

	if (!range)
		return -ENOENT;
	const struct code *code = &t->codes[range->code];
	struct jit_match match = {
		.name = t->texts + code->text,
		.file = "",
		.start = range->start,
		.end = range->start + range->bytes,
	};
	if (code->n_lines)
		find_line(t, code, pc, &match);
	*match_out = match;
	return 0;
}

uint64_t jit_table_lost(const struct jit_table *t)
{
	return t->lost;
}

size_t jit_table_bytes(const struct jit_table *t)
{
	return sizeof(*t) + jit_ranges_bytes(&t->ranges) + t->codes_capacity * sizeof(*t->codes) + t->texts_capacity +
	       2 * t->n_slots * sizeof(*t->slots) + t->lines_capacity * sizeof(*t->lines) +
	       t->events_capacity * sizeof(*t->events);
}

void jit_table_clear(struct jit_table *t)
{
	struct jit_table empty = { .lost = t->lost, .seed = t->seed };

	jit_ranges_clear(&t->ranges);
	free(t->codes);
	free(t->plain);
	free(t->texts);
	free(t->slots);
	free(t->lines);
	free(t->events);
	*t = empty;
}

void jit_table_destroy(struct jit_table *t)
{
	if (!t)
		return;
	jit_table_clear(t);
	free(t);
}
