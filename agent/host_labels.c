#include "agent/host_labels.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/scope.h"
#include "base/text_clean.h"

static void set(char out[HOST_LABEL_MAX], const char *text, size_t bytes)
{
	if (!text_clean(text, bytes, out, HOST_LABEL_MAX))
		strcpy(out, "unknown");
}

/* hostname(5): one line; lines that begin with '#' are comments. */
static void read_name(const char *host_root, char out[HOST_LABEL_MAX])
{
	char path[4096], text[1024];

	snprintf(path, sizeof(path), "%s/etc/hostname", host_root);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat stat;
	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	const char *line = text;
	while (*line == '#' || *line == '\n') {
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	size_t length = strcspn(line, " \t\r\n");
	if (length)
		set(out, line, length);
}

void host_labels_read(const char *host_root, struct host_labels *labels_out)
{
	struct utsname name;

	uname(&name);
	set(labels_out->host, name.nodename, strlen(name.nodename));
	set(labels_out->kernel, name.release, strlen(name.release));
	set(labels_out->arch, name.machine, strlen(name.machine));
	if (host_root && host_root[0])
		read_name(host_root, labels_out->host);
}
