#include "agent/folder_sink.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/scope.h"
#include "pprof/encode.h"

int folder_sink_open(struct folder_sink *f, const struct store_sink *settings, size_t sink, struct store *store, outbox_say_fn *say, void *context,
		     struct why *why)
{
	*f = (struct folder_sink){.store = store, .say = say, .context = context, .sink = sink, .behind = store != NULL};
	snprintf(f->name, sizeof(f->name), "%s", settings->name);
	return output_dir_open(settings->folder, settings->folder_bytes, &f->dir, why);
}

/* A full disk is said when it begins and when it is over, not for every window. */
static int write_file(struct folder_sink *f, int64_t time_ns, const uint8_t *bytes, size_t n, struct why *why)
{
	char text[STORE_TEXT_MAX + 64];
	const char *path;

	int err = output_dir_write(f->dir, time_ns, bytes, n, &path, why);
	if (err < 0 && !f->failing) {
		snprintf(text, sizeof(text), "%s; sampling goes on%s", why->text, f->store ? ", and these windows are written later" : "");
		f->say(f->context, LOG_ERROR, text);
	} else if (err == 0 && f->failing) {
		snprintf(text, sizeof(text), "%s: writing works again", f->name);
		f->say(f->context, LOG_WARNING, text);
	}
	f->failing = err < 0;
	f->retry_ns = clock_ns(CLOCK_MONOTONIC) + FOLDER_SINK_RETRY_NS;
	return err;
}

static void mark(struct folder_sink *f, uint64_t number)
{
	if (f->store && number && f->sink != SIZE_MAX && store_outbox_mark(f->store, f->sink, number) < 0)
		f->behind = true; /* it is written again, over itself */
}

void folder_sink_has(struct folder_sink *f, uint64_t number)
{
	if (!f->behind)
		mark(f, number);
}

int folder_sink_window(struct folder_sink *f, uint64_t number, int64_t time_ns, const uint8_t *bytes, size_t n, struct why *why)
{
	if (f->sink == SIZE_MAX)
		return 0;
	/* In their order: what is still to come first out of the store does; and now is a good time to try again. */
	if (number && f->behind) {
		f->retry_ns = 0;
		return 0;
	}
	int err = write_file(f, time_ns, bytes, n, why);
	if (err == 0)
		mark(f, number);
	else if (number)
		f->behind = true;
	return number ? 0 : err;
}

uint64_t folder_sink_due_ns(const struct folder_sink *f)
{
	if (!f->behind || f->sink == SIZE_MAX)
		return UINT64_MAX;
	return f->failing ? f->retry_ns : 0;
}

void folder_sink_catch_up(struct folder_sink *f, uint64_t now_ns)
{
	AUTO_FREE uint8_t *bytes = NULL;
	struct profile *profile = NULL;
	struct why why = {""};
	uint64_t number;
	size_t n = 0;

	if (folder_sink_due_ns(f) > now_ns)
		return;
	int err = store_outbox_next(f->store, f->sink, 0, &number, &profile);
	if (err == -ENOENT) {
		f->behind = false;
		return;
	}
	if (err == 0)
		err = profile_encode(profile, &bytes, &n);
	if (err < 0) {
		profile_free(profile);
		f->failing = true; /* the store is in trouble, which is said elsewhere */
		f->retry_ns = now_ns + FOLDER_SINK_RETRY_NS;
		return;
	}
	if (write_file(f, profile->time_ns, bytes, n, &why) == 0)
		mark(f, number);
	profile_free(profile);
}

void folder_sink_stats(const struct folder_sink *f, struct store_folder_stats *stats_out)
{
	struct output_dir_stats stats;

	output_dir_stats(f->dir, &stats);
	*stats_out = (struct store_folder_stats){.files = stats.files, .bytes = stats.bytes, .written = stats.written, .failed = stats.failed,
						 .evicted = stats.evicted, .behind = f->behind};
}

void folder_sink_close(struct folder_sink *f)
{
	output_dir_close(f->dir);
	f->dir = NULL;
}
