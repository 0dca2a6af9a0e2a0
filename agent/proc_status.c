#include "agent/proc_status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/proc_maps.h"
#include "base/scope.h"

#define TEXT_MAX 8192

/* The line "NAME:\t..." behind its colon, or NULL. Names of processes are escaped in this file: no line of it is somebody's invention. */
static const char *field(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) == 0 && line[n] == ':')
			return line + n + 1;
	}
	return NULL;
}

static pid_t last_number(const char *at)
{
	long last = 0;

	for (char *end;; at = end) {
		while (*at == ' ' || *at == '\t')
			at++;
		if (*at < '0' || *at > '9')
			break;
		last = strtol(at, &end, 10);
	}
	return last > 0 && last <= INT32_MAX ? (pid_t)last : 0;
}

int proc_status_parse(const char *text, struct proc_status *status_out)
{
	const char *uids = field(text, "Uid"), *pids = field(text, "NSpid");
	struct proc_status s = {0};

	if (!uids || sscanf(uids, "%u %u %u %u", &s.uids[0], &s.uids[1], &s.uids[2], &s.uids[3]) != 4)
		return -EBADMSG;
	if (!pids)
		pids = field(text, "Pid");
	s.ns_pid = pids ? last_number(pids) : 0;
	if (!s.ns_pid)
		return -EBADMSG;
	*status_out = s;
	return 0;
}

bool proc_uid_map_root(const char *text, uid_t *root_out)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		unsigned inside, outside, count;
		line += *line == '\n';
		if (sscanf(line, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 && count) {
			*root_out = outside;
			return true;
		}
	}
	return false;
}

static int read_text(int process, const char *name, char *text)
{
	AUTO_CLOSE int fd = openat(process, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_MAX - 1);

	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	return 0;
}

int proc_status_read(int process, struct proc_status *status_out, bool *has_root_out, uid_t *root_out)
{
	char text[TEXT_MAX];
	struct proc_status status;
	struct proc_stat stat;

	int err = read_text(process, "status", text);
	if (err == 0)
		err = proc_status_parse(text, &status);
	if (err == 0)
		err = read_text(process, "stat", text);
	if (err == 0)
		err = proc_stat_parse(text, &stat);
	if (err < 0)
		return err;
	status.start_ticks = stat.start_ticks;
	*status_out = status;
	*has_root_out = read_text(process, "uid_map", text) == 0 && proc_uid_map_root(text, root_out);
	return 0;
}
