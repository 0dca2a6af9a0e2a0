#include "agent/sink_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "base/text_clean.h"

enum { BEARER_TOKEN, BASIC_PASSWORD, CA, CERT, KEY, FILES };

static const struct {
	const char *setting;
	size_t max;
	bool is_line; /* a token: one line of text, whose end does not count */
} KINDS[FILES] = {
	[BEARER_TOKEN] = {"bearer_token_file", SINK_SECRET_MAX, true}, [BASIC_PASSWORD] = {"basic_password_file", SINK_SECRET_MAX, true},
	[CA] = {"ca_file", SINK_CERTIFICATE_MAX, false},	       [CERT] = {"cert_file", SINK_CERTIFICATE_MAX, false},
	[KEY] = {"key_file", SINK_CERTIFICATE_MAX, false},
};

/* As it was when it was read. */
struct seen {
	bool read;
	dev_t device;
	ino_t inode;
	off_t bytes;
	struct timespec modified, changed;
};

struct sink_state {
	struct seen seen[FILES];
	char trouble[512], said[512];
};

struct sink_files {
	struct upload_config *config;
	struct sink_state sinks[SINKS_MAX];
};

int sink_files_create(struct upload_config *config, struct sink_files **files_out)
{
	struct sink_files *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->config = config;
	*files_out = f;
	return 0;
}

static const char *path_of(const struct upload_sink *sink, unsigned kind)
{
	const struct sink_config *c = &sink->config;
	const char *const paths[FILES] = {c->bearer_token_file, c->basic_password_file, c->ca_file, c->cert_file, c->key_file};

	return paths[kind];
}

static char **place_of(struct upload_sink *sink, unsigned kind)
{
	struct sink_secrets *s = &sink->secrets;
	char **const places[FILES] = {&s->bearer_token, &s->basic_password, &s->ca, &s->cert, &s->key};

	return places[kind];
}

static bool is_as_seen(const struct seen *seen, const struct stat *now)
{
	return seen->read && seen->device == now->st_dev && seen->inode == now->st_ino && seen->bytes == now->st_size &&
	       seen->modified.tv_sec == now->st_mtim.tv_sec && seen->modified.tv_nsec == now->st_mtim.tv_nsec &&
	       seen->changed.tv_sec == now->st_ctim.tv_sec && seen->changed.tv_nsec == now->st_ctim.tv_nsec;
}

/* Returns the whole file as text, or NULL with errno. */
static char *read_text(int fd, size_t max)
{
	char *text = malloc(max + 2);
	size_t n = 0;

	if (!text)
		return NULL;
	for (ssize_t got; n <= max && (got = read(fd, text + n, max + 1 - n)) != 0; n += (size_t)got) {
		if (got < 0) {
			int err = errno;
			text[n] = '\0';
			secret_free(text);
			errno = err;
			return NULL;
		}
	}
	text[n] = '\0';
	if (n > max || strlen(text) != n) {
		errno = n > max ? EFBIG : EBADMSG;
		memset(text, '*', n);
		secret_free(text);
		return NULL;
	}
	return text;
}

static const char *why_not(int err)
{
	switch (err) {
	case EFBIG:
		return "it is too large";
	case EBADMSG:
		return "it is empty, or no text";
	case EINVAL:
		return "it is no regular file";
	default:
		return strerror(err);
	}
}

/* What a token's file has besides the token. */
static bool is_usable(char *text, bool is_line)
{
	if (is_line)
		text[strcspn(text, "\r\n")] = '\0';
	return text[0] && (!is_line || text_is_clean(text, strlen(text)));
}

/* Returns 1 when there is something new, 0, or a negative errno. */
static int refresh_file(struct upload_sink *sink, struct seen *seen, unsigned kind)
{
	char **place = place_of(sink, kind);
	struct stat status;

	/* Not followed by a wait: what blocks is not opened, nor is what is no file. */
	if (stat(path_of(sink, kind), &status) < 0)
		return -errno;
	if (is_as_seen(seen, &status))
		return 0;
	AUTO_CLOSE int fd = open(path_of(sink, kind), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	char *text = read_text(fd, KINDS[kind].max);
	if (!text)
		return -errno;
	if (!is_usable(text, KINDS[kind].is_line)) {
		secret_free(text);
		return -EBADMSG;
	}
	*seen = (struct seen){true, status.st_dev, status.st_ino, status.st_size, status.st_mtim, status.st_ctim};
	if (*place && strcmp(*place, text) == 0) {
		secret_free(text);
		return 0;
	}
	secret_free(*place);
	*place = text;
	return 1;
}

static bool hold(struct upload_sink *sink, const char *why)
{
	if (!why && !sink->held)
		return false;
	if (why && sink->held && strcmp(why, sink->held) == 0)
		return false;
	free(sink->held);
	sink->held = why ? strdup(why) : NULL;
	return true;
}

static bool refresh_sink(struct sink_files *f, size_t i)
{
	struct upload_sink *sink = &f->config->sinks[i];
	struct sink_state *state = &f->sinks[i];
	bool changed = false, lacks = false;

	state->trouble[0] = '\0';
	for (unsigned kind = 0; kind < FILES; kind++) {
		int err = path_of(sink, kind) ? refresh_file(sink, &state->seen[kind], kind) : 0;
		changed = changed || err == 1;
		if (err >= 0)
			continue;
		lacks = lacks || !*place_of(sink, kind);
		if (!state->trouble[0])
			snprintf(state->trouble, sizeof(state->trouble), "%s: reading its %s '%.300s': %s", sink->config.name, KINDS[kind].setting,
				 path_of(sink, kind), why_not(-err));
	}
	return hold(sink, lacks ? state->trouble : NULL) || changed;
}

bool sink_files_refresh(struct sink_files *f)
{
	bool changed = false;

	for (size_t i = 0; i < f->config->n_sinks; i++)
		changed = refresh_sink(f, i) || changed;
	return changed;
}

const char *sink_files_trouble(struct sink_files *f, size_t sink)
{
	struct sink_state *state = &f->sinks[sink];

	if (strcmp(state->trouble, state->said) == 0)
		return NULL;
	memcpy(state->said, state->trouble, sizeof(state->said));
	return state->said[0] ? state->said : NULL;
}

void sink_files_destroy(struct sink_files *f)
{
	free(f);
}
