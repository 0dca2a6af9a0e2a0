/* Lines of /proc/PID/maps, and /proc/PID/stat. Paths and names are a stranger's. */
#include <errno.h>
#include <string.h>

#include "agent/proc_maps.h"
#include "tests/fuzz/fuzz.h"

static void parse_line(const char *from, size_t n)
{
	struct proc_mapping mapping;
	char *line = malloc(n + 1);

	PROMISE(line);
	memcpy(line, from, n);
	line[n] = 0;
	int err = proc_maps_parse(line, &mapping);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err == 0) {
		PROMISE(mapping.start < mapping.end);
		PROMISE(mapping.path >= line && mapping.path + strlen(mapping.path) <= line + n);
	}
	free(line);
}

static void parse_stat(const uint8_t *data, size_t n)
{
	struct proc_stat stat;
	char *text = malloc(n + 1);

	PROMISE(text);
	memcpy(text, data, n);
	text[n] = 0;
	int err = proc_stat_parse(text, &stat);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err == 0)
		PROMISE(memchr(stat.comm, 0, sizeof(stat.comm)));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end = data + n;

	parse_stat(data, n);
	for (const uint8_t *at = data; at < end;) {
		const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
		const uint8_t *next = newline ? newline + 1 : end;
		parse_line((const char *)at, (size_t)(next - at));
		at = next;
	}
	return 0;
}
