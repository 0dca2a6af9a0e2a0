#include "symbolizer/perf_map.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* A number and the blanks behind it. Moves *at. */
static bool number(const char **at, const char *end, uint64_t *value_out)
{
	const char *c = *at;
	uint64_t value = 0;

	if (end - c > 2 && c[0] == '0' && (c[1] | 0x20) == 'x')
		c += 2;
	const char *first = c;
	for (; c < end && digit_of(*c) < 16; c++) {
		if (value >> 60)
			return false;
		value = value << 4 | digit_of(*c);
	}
	if (c == first || c == end || (*c != ' ' && *c != '\t'))
		return false;
	while (c < end && (*c == ' ' || *c == '\t'))
		c++;
	*at = c;
	*value_out = value;
	return true;
}

static int take_line(struct perf_map *m, const char *line, size_t bytes, struct jit_table *table)
{
	const char *at = line, *end = line + bytes;
	uint64_t start, size;

	while (end > at && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (at == end)
		return 0;
	if (!number(&at, end, &start) || !number(&at, end, &size) || at == end || size > UINT32_MAX) {
		m->bad_lines++;
		return 0;
	}
	int err = jit_table_load(table, 0, start, (uint32_t)size, at, (size_t)(end - at), NULL, 0);
	m->entries += err == 0;
	m->bad_lines += err == -EINVAL;
	m->refused += err == -E2BIG;
	return err == -ENOMEM ? err : 0;
}

/* The whole lines of a buffer. Returns the bytes used, or -ENOMEM. */
static int64_t take_lines(struct perf_map *m, const char *text, size_t bytes, struct jit_table *table)
{
	size_t used = 0;

	for (const char *newline; (newline = memchr(text + used, '\n', bytes - used)); ) {
		size_t n = (size_t)(newline - text) - used;
		int err = m->inside_long_line ? 0 : take_line(m, text + used, n, table);
		if (err < 0)
			return err;
		m->inside_long_line = false;
		used += n + 1;
	}
	return (int64_t)used;
}

/* One buffer. Returns the bytes used; 0: nothing but an unfinished line is left. */
static int64_t read_some(struct perf_map *m, int fd, uint64_t done, char *buffer, struct jit_table *table)
{
	int64_t n = growing_file_read(&m->file, fd, done, buffer, PERF_MAP_LINE_MAX);

	if (n <= 0)
		return n;
	int64_t used = take_lines(m, buffer, (size_t)n, table);
	if (used || n < PERF_MAP_LINE_MAX)
		return used;
	/* A buffer without an end of a line. */
	m->bad_lines += !m->inside_long_line;
	m->inside_long_line = true;
	return n;
}

int perf_map_read(struct perf_map *m, int fd, uint64_t budget_bytes, struct jit_table *table, bool *anew_out)
{
	uint64_t size, done = 0;
	int64_t used = 1;

	int err = growing_file_look(&m->file, fd, PERF_MAP_MAX_BYTES, anew_out, &size);
	if (err < 0)
		return err;
	if (*anew_out)
		m->inside_long_line = false;
	if (*anew_out || size == m->file.position)
		return 0;
	AUTO_FREE char *buffer = malloc(PERF_MAP_LINE_MAX);
	if (!buffer)
		return -ENOMEM;
	while (used > 0 && done < budget_bytes && m->file.position + done < size) {
		used = read_some(m, fd, done, buffer, table);
		done += used > 0 ? (uint64_t)used : 0;
	}
	if (done)
		err = growing_file_mark(&m->file, fd, m->file.position + done);
	if (used < 0 || err < 0)
		return used < 0 ? (int)used : err;
	return used > 0 && m->file.position < size;
}
