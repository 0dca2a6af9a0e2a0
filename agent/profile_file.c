#include "agent/profile_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "pprof/decode.h"

#define FILE_BYTES_MAX (2 * (size_t)PROFILE_MAX_BYTES)

static int refuse(const char *name, int err, const char *reason, struct why *why)
{
	return why_set(why, err, "reading '%.200s': %s", name, reason);
}

int profile_file_open(const char *name, int *fd_out, struct why *why)
{
	bool is_stdin = strcmp(name, "-") == 0;
	struct stat status;

	AUTO_CLOSE int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status) < 0)
		return refuse(is_stdin ? "standard input" : name, -errno, strerror(errno), why);
	if (S_ISDIR(status.st_mode))
		return refuse(name, -EINVAL, "it is a folder; name a pprof file", why);
	if (is_stdin && isatty(fd))
		return refuse("standard input", -EINVAL, "it is a terminal; name a pprof file, or give one with < or |", why);
	if (!is_stdin && !S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode))
		return refuse(name, -EINVAL, "it is neither a file nor a pipe", why);
	if (!is_stdin && fcntl(fd, F_SETFL, 0) < 0)
		return refuse(name, -errno, strerror(errno), why);
	*fd_out = take_fd(&fd);
	return 0;
}

static int read_all(int fd, uint8_t **bytes_out, size_t *n_out)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n = 0, capacity = 0;

	for (;;) {
		if (n == capacity) {
			capacity = capacity ? 2 * capacity : 1u << 20;
			void *grown = capacity > FILE_BYTES_MAX ? NULL : realloc(bytes, capacity);
			if (!grown)
				return capacity > FILE_BYTES_MAX ? -E2BIG : -ENOMEM;
			bytes = grown;
		}
		ssize_t got = read(fd, bytes + n, capacity - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		n += (size_t)got;
	}
	*bytes_out = take_ptr(bytes);
	*n_out = n;
	return 0;
}

int profile_file_read(const char *name, int fd, struct profile **profile_out, struct why *why)
{
	AUTO_FREE uint8_t *bytes = NULL;
	const char *wrong = NULL;
	size_t n = 0;

	int err = read_all(fd, &bytes, &n);
	if (err == 0 && !n)
		return why_set(why, -EBADMSG, "reading '%.200s': it is empty, and no pprof file", name);
	if (err == 0)
		err = profile_decode(bytes, n, 0, profile_out, &wrong);
	if (err == -E2BIG && !wrong)
		wrong = "it is too large";
	return err < 0 ? why_set(why, err, "reading '%.200s': %s", name, wrong ? wrong : strerror(-err)) : 0;
}
