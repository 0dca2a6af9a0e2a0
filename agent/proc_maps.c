#include "agent/proc_maps.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define PF_KTHREAD     0x00200000 /* include/linux/sched.h */
#define LINE_MAX_BYTES 16384	  /* a path of PATH_MAX bytes, all of them escaped, and the fields before it */

/* A hexadecimal or decimal number that ends in a given character. Moves *at behind that character. */
static bool number(char **at, int base, char end_character, uint64_t *value_out)
{
	char *end;

	if (!isxdigit((unsigned char)**at))
		return false;
	errno = 0;
	*value_out = strtoull(*at, &end, base);
	if (errno || *end != end_character)
		return false;
	*at = end + 1;
	return true;
}

/* The kernel writes a newline in a path as \012. */
static void unescape(char *text)
{
	char *to = text;

	for (char *from = text; *from;) {
		if (strncmp(from, "\\012", 4) == 0) {
			*to++ = '\n';
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

int proc_maps_parse(char *line, struct proc_mapping *mapping_out)
{
	struct proc_mapping m = {0};
	uint64_t dev_major, dev_minor;
	char *at = line, *end;

	if (!number(&at, 16, '-', &m.start) || !number(&at, 16, ' ', &m.end) || m.end <= m.start)
		return -EBADMSG;
	if (strnlen(at, 5) < 5 || !strchr("x-", at[2]) || at[4] != ' ')
		return -EBADMSG;
	m.executable = at[2] == 'x';
	at += 5;
	if (!number(&at, 16, ' ', &m.file_offset) || !number(&at, 16, ':', &dev_major) ||
	    !number(&at, 16, ' ', &dev_minor) || dev_major > UINT32_MAX || dev_minor > UINT32_MAX)
		return -EBADMSG;
	m.dev_major = (uint32_t)dev_major;
	m.dev_minor = (uint32_t)dev_minor;
	if (!isdigit((unsigned char)*at))
		return -EBADMSG;
	errno = 0;
	m.inode = strtoull(at, &end, 10);
	if (errno || (*end && *end != ' ' && *end != '\n'))
		return -EBADMSG;
	while (*end == ' ')
		end++;
	end[strcspn(end, "\n")] = '\0';
	unescape(end);
	m.path = end;
	*mapping_out = m;
	return 0;
}

int proc_maps_read(pid_t pid, proc_mapping_fn fn, void *context, uint64_t *bad_lines_out)
{
	char path[32];
	uint64_t bad_lines = 0;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? -ESRCH : -errno;
	AUTO_FREE char *line = malloc(LINE_MAX_BYTES);
	if (!line)
		return -ENOMEM;
	while (err == 0 && fgets(line, LINE_MAX_BYTES, file)) {
		struct proc_mapping mapping;
		if (proc_maps_parse(line, &mapping) < 0)
			bad_lines++;
		else if (mapping.executable)
			err = fn(context, &mapping);
	}
	if (err == 0 && ferror(file))
		err = -ESRCH;
	if (bad_lines_out)
		*bad_lines_out = bad_lines;
	return err;
}

/* pid (comm) state ppid ...: comm may hold anything, so its end is the last parenthesis. */
int proc_stat_parse(const char *text, struct proc_stat *stat_out)
{
	struct proc_stat stat = {0};
	const char *begin = strchr(text, '('), *end = strrchr(text, ')');
	unsigned long flags;
	char state;
	int parent;

	if (!begin || !end || end < begin)
		return -EBADMSG;
	size_t n = (size_t)(end - begin - 1);
	if (n >= sizeof(stat.comm))
		n = sizeof(stat.comm) - 1;
	memcpy(stat.comm, begin + 1, n);
	/* Fields 3, 4, 9 (flags) and 22 (starttime) of proc(5). */
	if (sscanf(end + 1, " %c %d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, &state,
		   &parent, &flags, &stat.start_ticks) != 4)
		return -EBADMSG;
	stat.parent = parent;
	stat.is_kernel_thread = flags & PF_KTHREAD;
	*stat_out = stat;
	return 0;
}

int proc_stat_read(pid_t pid, struct proc_stat *stat_out)
{
	char path[32], text[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	if (!file)
		return -ESRCH;
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	if (!n)
		return -ESRCH;
	text[n] = '\0';
	return proc_stat_parse(text, stat_out);
}
