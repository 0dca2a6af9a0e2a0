#include "symbolizer/jitdump.h"
#include "symbolizer/byte_reader.h"
#include "base/clock.h"
#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>

#define MAGIC		0x4a695444U /* "JiTD" */
#define MAGIC_SWAPPED	0x4454694aU
#define VERSION		1
#define HEADER_BYTES	40
#define HEADER_MAX	4096
#define RECORD_BYTES	16
#define LOAD_BYTES	(RECORD_BYTES + 40)
#define MOVE_BYTES	(RECORD_BYTES + 48)
#define DEBUG_BYTES	(RECORD_BYTES + 16)
#define ARCH_TIMESTAMP	1 /* flag: times are the CPU's counter */
/* Runtimes add the size of the ELF header that `perf inject` puts before the code. */
#define LINES_SHIFT	0x40

enum { CODE_LOAD, CODE_MOVE, CODE_DEBUG_INFO, CODE_CLOSE, CODE_UNWINDING_INFO };

struct record {
	uint32_t id;
	uint32_t bytes;
	uint64_t time_ns;
	const uint8_t *body; /* all of the record, or as much as JITDUMP_RECORD_MAX */
	size_t body_bytes;
};

/* A part of the file in memory. */
struct window {
	uint8_t *bytes;
	uint64_t offset; /* from the file's position */
	size_t n;
	uint64_t read; /* in all */
};

/* n bytes at offset, or as many as the file has. */
static int64_t window_get(struct window *w, const struct jitdump *d, int fd, uint64_t offset, size_t n, const uint8_t **at_out)
{
	bool inside = offset >= w->offset && offset - w->offset <= w->n && n <= w->n - (offset - w->offset);

	if (!inside) {
		int64_t got = growing_file_read(&d->file, fd, offset, w->bytes, JITDUMP_RECORD_MAX);
		if (got < 0)
			return got;
		w->offset = offset;
		w->n = (size_t)got;
		w->read += (uint64_t)got;
	}
	size_t left = w->n - (size_t)(offset - w->offset);
	*at_out = w->bytes + (offset - w->offset);
	return (int64_t)(n < left ? n : left);
}

static void drop_lines(struct jitdump *d)
{
	free(d->lines);
	d->lines = NULL;
	d->n_lines = 0;
}

/* Returns the bytes of the header, 0 when they are not all there yet, or an error. */
static int64_t read_header(struct jitdump *d, int fd, struct window *w)
{
	const uint8_t *at;

	int64_t n = window_get(w, d, fd, 0, HEADER_BYTES, &at);
	if (n < HEADER_BYTES)
		return n < 0 ? n : 0;
	struct byte_reader r = { .at = at, .end = at + HEADER_BYTES };
	uint32_t magic = byte_reader_u32(&r), version = byte_reader_u32(&r), bytes = byte_reader_u32(&r);
	byte_reader_skip(&r, 4 + 4 + 4); /* machine, padding, pid */
	uint64_t time_ns = byte_reader_u64(&r), flags = byte_reader_u64(&r);
	if (magic == MAGIC_SWAPPED || (magic == MAGIC && version != VERSION))
		return -EOPNOTSUPP;
	if (magic != MAGIC || bytes < HEADER_BYTES || bytes > HEADER_MAX)
		return -EBADMSG;
	/* A time to come is one of another clock. */
	d->has_times = !(flags & ARCH_TIMESTAMP) && time_ns <= clock_ns(CLOCK_MONOTONIC);
	return bytes;
}

static int take_load(struct jitdump *d, const struct record *record, struct jit_table *table)
{
	struct byte_reader r = { .at = record->body, .end = record->body + record->body_bytes };

	byte_reader_skip(&r, RECORD_BYTES + 4 + 4 + 8); /* pid, tid, vma */
	uint64_t start = byte_reader_u64(&r), bytes = byte_reader_u64(&r);
	byte_reader_skip(&r, 8); /* index */
	size_t left = byte_reader_left(&r), n = strnlen((const char *)r.at, left);
	if (r.failed || bytes > UINT32_MAX || (n == left && n < JIT_NAME_MAX))
		return -EINVAL;
	bool has_lines = d->n_lines && d->lines_for == start;
	int err = jit_table_load(table, record->time_ns, start, (uint32_t)bytes, (const char *)r.at, n, d->lines,
				 has_lines ? d->n_lines : 0);
	drop_lines(d);
	return err;
}

static int take_move(const struct record *record, struct jit_table *table)
{
	struct byte_reader r = { .at = record->body, .end = record->body + record->body_bytes };

	byte_reader_skip(&r, RECORD_BYTES + 4 + 4 + 8);
	uint64_t old_start = byte_reader_u64(&r), new_start = byte_reader_u64(&r), bytes = byte_reader_u64(&r);
	if (r.failed || bytes > UINT32_MAX)
		return -EINVAL;
	return jit_table_move(table, record->time_ns, old_start, new_start, (uint32_t)bytes);
}

static int by_offset(const void *a, const void *b)
{
	const struct jit_line *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* One entry: address, line, discriminator, file; the name ff 00 is that of the entry before. */
static int take_entry(struct byte_reader *r, uint64_t start, struct jit_table *table, struct jit_line *line, uint32_t last_file)
{
	uint64_t address = byte_reader_u64(r);
	uint32_t number = byte_reader_u32(r);

	byte_reader_skip(r, 4);
	const char *name = (const char *)r->at;
	size_t left = byte_reader_left(r), n = strnlen(name, left);
	if (r->failed || n == left)
		return -EINVAL;
	r->at += n + 1;
	if (address < start || address - start > UINT32_MAX)
		return -EINVAL;
	bool same = n == 1 && (uint8_t)name[0] == 0xff;
	int64_t file = same ? last_file : jit_table_text(table, name, n);
	if (file < 0)
		return (int)file;
	*line = (struct jit_line){ .offset = (uint32_t)(address - start), .line = number, .file = (uint32_t)file };
	return 0;
}

/* The lines of the code that is loaded next. */
static int take_lines(struct jitdump *d, const struct record *record, struct jit_table *table)
{
	struct byte_reader r = { .at = record->body, .end = record->body + record->body_bytes };
	uint32_t file = 0;
	int err = 0;

	drop_lines(d);
	if (record->body_bytes < record->bytes)
		return -E2BIG;
	byte_reader_skip(&r, RECORD_BYTES);
	uint64_t start = byte_reader_u64(&r), n = byte_reader_u64(&r);
	/* An entry has 17 bytes at least. */
	if (r.failed || n > byte_reader_left(&r) / 17)
		return -EINVAL;
	if (!n)
		return 0;
	AUTO_FREE struct jit_line *lines = calloc(n, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	for (size_t i = 0; err == 0 && i < n; i++) {
		err = take_entry(&r, start, table, &lines[i], file);
		file = lines[i].file;
	}
	if (err < 0)
		return err;
	qsort(lines, n, sizeof(*lines), by_offset);
	if (lines[0].offset >= LINES_SHIFT)
		for (size_t i = 0; i < n; i++)
			lines[i].offset -= LINES_SHIFT;
	d->lines = take_ptr(lines);
	d->n_lines = n;
	d->lines_for = start;
	return 0;
}

static int take_record(struct jitdump *d, const struct record *record, struct jit_table *table)
{
	int err = 0;

	if (record->id == CODE_LOAD)
		err = take_load(d, record, table);
	else if (record->id == CODE_MOVE)
		err = take_move(record, table);
	else if (record->id == CODE_DEBUG_INFO)
		err = take_lines(d, record, table);
	d->records++;
	d->bad_records += err == -EINVAL;
	d->refused += err == -E2BIG;
	return err == -ENOMEM ? err : 0;
}

/* The bytes of a record that are needed. */
static size_t wanted_bytes(uint32_t id, uint32_t bytes)
{
	size_t wanted = id == CODE_LOAD ? LOAD_BYTES + JIT_NAME_MAX : id == CODE_MOVE ? MOVE_BYTES
			: id == CODE_DEBUG_INFO ? JITDUMP_RECORD_MAX : RECORD_BYTES;

	return bytes < wanted ? bytes : wanted;
}

/* Returns the bytes of the record at offset, 0 when they are not all there yet, or an error. */
static int64_t read_record(struct jitdump *d, int fd, struct window *w, uint64_t offset, uint64_t size, struct jit_table *table)
{
	struct record record;

	int64_t n = window_get(w, d, fd, offset, RECORD_BYTES, &record.body);
	if (n < RECORD_BYTES)
		return n < 0 ? n : 0;
	struct byte_reader r = { .at = record.body, .end = record.body + n };
	record.id = byte_reader_u32(&r);
	record.bytes = byte_reader_u32(&r);
	record.time_ns = byte_reader_u64(&r);
	if (!d->has_times)
		record.time_ns = 0;
	if (record.bytes < RECORD_BYTES)
		return -EBADMSG;
	if (record.bytes > size - offset)
		return 0;
	record.body_bytes = wanted_bytes(record.id, record.bytes);
	n = window_get(w, d, fd, offset, record.body_bytes, &record.body);
	if (n < 0 || (size_t)n < record.body_bytes)
		return n < 0 ? n : 0;
	int err = take_record(d, &record, table);
	return err < 0 ? err : (int64_t)record.bytes;
}

static int read_on(struct jitdump *d, int fd, uint64_t budget_bytes, uint64_t size, struct jit_table *table)
{
	AUTO_FREE uint8_t *buffer = malloc(JITDUMP_RECORD_MAX);
	struct window window = { .bytes = buffer };
	uint64_t done = 0, left = size - d->file.position;
	int64_t used = 1;

	if (!buffer)
		return -ENOMEM;
	while (used > 0 && window.read < budget_bytes && done < left) {
		used = d->file.position + done ? read_record(d, fd, &window, done, left, table) : read_header(d, fd, &window);
		if (used > 0 && (uint64_t)used > left - done)
			used = 0;
		done += used > 0 ? (uint64_t)used : 0;
	}
	int err = done ? growing_file_mark(&d->file, fd, d->file.position + done) : 0;
	if (used == -EBADMSG)
		d->damaged = true;
	if (used < 0 || err < 0)
		return used < 0 ? (int)used : err;
	return used > 0 && done < left;
}

int jitdump_read(struct jitdump *d, int fd, uint64_t budget_bytes, struct jit_table *table, bool *anew_out)
{
	uint64_t size;

	int err = growing_file_look(&d->file, fd, JITDUMP_MAX_BYTES, anew_out, &size);
	if (err < 0)
		return err;
	if (*anew_out) {
		d->damaged = false;
		drop_lines(d);
		return 0;
	}
	if (d->damaged)
		return -EBADMSG;
	return size > d->file.position ? read_on(d, fd, budget_bytes, size, table) : 0;
}

void jitdump_deinit(struct jitdump *d)
{
	drop_lines(d);
}
