#include "agent/store_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/folder_sink.h"
#include "agent/folders_only.h"
#include "agent/outbox_server.h"
#include "agent/store_protocol.h"
#include "base/clock.h"
#include "base/scope.h"
#include "base/text_clean.h"
#include "pprof/decode.h"
#include "store/store_reader.h"

#define STATUS_DONE    0
#define STATUS_SETUP   1
#define STATUS_MESSAGE 2

#define MAINTAIN_NS	 (10 * NS_PER_S) /* when there was nothing to do */
#define FINISH_NS	 (NS_PER_S / 2)
#define MAINTAIN_STEP_NS (5 * NS_PER_MS) /* between steps: what is not urgent takes at most two thirds of a CPU at nice 10 */

struct store_process {
	struct channel agent;
	struct store_settings settings;
	struct store *store; /* NULL: there is none */
	struct outbox_server *outbox;
	struct folder_sink folders[STORE_SINKS_MAX];
	size_t n_folders;
	uint64_t maintain_ns;
	bool tidied, trouble;
};

/* --- what is said ----------------------------------------------------------------------------------------------- */

static void send_text(struct store_process *p, enum store_message kind, int result, enum log_level level, const char *text)
{
	struct message_head head = {.kind = (uint16_t)kind, .result = result};
	struct store_text message = {.severity = level};

	text_clean(text, strlen(text), message.text, sizeof(message.text));
	channel_send(&p->agent, &head, &(struct iovec){&message, sizeof(message)}, 1, NULL, 0, true);
}

static void say(void *context, enum log_level level, const char *text)
{
	send_text(context, STORE_EVENT, 0, level, text);
}

static void send_stats(struct store_process *p)
{
	struct message_head head = {.kind = STORE_STATS};
	struct store_report report = {.store = {0}};

	if (p->store)
		store_stats(p->store, &report.store);
	for (size_t i = 0; i < p->n_folders; i++)
		if (p->folders[i].sink < STORE_SINKS_MAX)
			folder_sink_stats(&p->folders[i], &report.folders[p->folders[i].sink]);
	for (size_t i = 0; p->outbox && i < STORE_SINKS_MAX; i++)
		report.passed_over[i] = outbox_server_passed_over(p->outbox, i);
	channel_send(&p->agent, &head, &(struct iovec){&report, sizeof(report)}, 1, NULL, 0, false);
}

/* --- the beginning ---------------------------------------------------------------------------------------------- */

static bool is_text(const char *text, size_t room)
{
	return strnlen(text, room) < room;
}

static bool settings_are_sound(const struct store_settings *s)
{
	if (s->n_sinks > STORE_SINKS_MAX || !is_text(s->folder, sizeof(s->folder)))
		return false;
	for (size_t i = 0; i < s->n_sinks; i++)
		if (!is_text(s->sinks[i].name, sizeof(s->sinks[i].name)) || !is_text(s->sinks[i].folder, sizeof(s->sinks[i].folder)))
			return false;
	return true;
}

/* With the rights that we still have; the folder above must be there. */
static int make_folder(const char *path, struct why *why)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "creating the folder '%.300s': %s", path, strerror(errno));
	AUTO_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return why_set(why, -errno, "the folder '%.300s': %s", path, strerror(errno));
	return 0;
}

static int confine(struct store_process *p, struct why *why)
{
	const char *folders[STORE_SINKS_MAX + 1];
	size_t n = 0;

	if (p->settings.folder[0])
		folders[n++] = p->settings.folder;
	for (size_t i = 0; i < p->settings.n_sinks; i++)
		if (p->settings.sinks[i].folder[0])
			folders[n++] = p->settings.sinks[i].folder;
	for (size_t i = 0; i < n; i++) {
		int err = make_folder(folders[i], why);
		if (err < 0)
			return err;
	}
	tzset(); /* names of files have a time, and the library reads its file of zones whenever it first needs one */
	int err = folders_only_enter(folders, n, p->settings.bare);
	return err < 0 ? why_set(why, err, "confining the process of the store: %s", strerror(-err)) : 0;
}

static int open_store(struct store_process *p, struct why *why)
{
	const struct store_settings *s = &p->settings;
	struct store_options options = {.bytes_max = s->bytes_max, .age_max_ns = s->age_max_ns, .outbox_bytes_max = s->outbox_bytes_max,
					.outbox_age_max_ns = s->outbox_age_max_ns, .n_sinks = s->n_sinks};

	if (!s->folder[0])
		return 0;
	memcpy(options.levels, s->levels, sizeof(options.levels));
	for (size_t i = 0; i < s->n_sinks; i++)
		options.sinks[i] = s->sinks[i].name;
	int err = store_open(s->folder, &options, &p->store, why);
	if (err < 0)
		return err;
	err = outbox_server_create(p->store, say, p, &p->outbox);
	if (err < 0)
		return why_set(why, err, "out of memory");
	outbox_server_sinks(p->outbox, s->serial, options.sinks, s->n_sinks);
	return 0;
}

static int open_folders(struct store_process *p, struct why *why)
{
	for (size_t i = 0; i < p->settings.n_sinks; i++) {
		const struct store_sink *sink = &p->settings.sinks[i];
		if (!sink->folder[0])
			continue;
		int err = folder_sink_open(&p->folders[p->n_folders], sink, i, p->store, say, p, why);
		if (err < 0)
			return err;
		p->n_folders++;
	}
	return 0;
}

static int begin(struct store_process *p)
{
	struct why why = {""};

	int err = confine(p, &why);
	if (err == 0)
		err = open_store(p, &why);
	if (err == 0)
		err = open_folders(p, &why);
	send_text(p, STORE_READY, err, LOG_ERROR, why.text);
	return err;
}

/* --- windows ---------------------------------------------------------------------------------------------------- */

static int is_it(void *context, const struct store_window *window)
{
	const struct profile *profile = context;

	return window->time_ns == profile->time_ns && window->duration_ns == profile->duration_ns && window->samples == profile->n_samples;
}

/* The process before this one may have stored it, and died before it could say so. Times are in nanoseconds: two windows never begin at once. */
static bool is_stored(const struct store_process *p, const struct profile *profile)
{
	struct store_filter filter = {.from_ns = profile->time_ns, .to_ns = profile->time_ns + 1};
	struct store_reader *reader;
	struct why why;

	if (store_reader_open(p->settings.folder, &reader, &why) < 0)
		return false;
	int found = store_reader_windows(reader, &filter, is_it, (void *)(uintptr_t)profile, &why);
	store_reader_close(reader);
	return found == 1;
}

static void put_into_store(struct store_process *p, const struct message *m, const struct profile *profile, struct store_written *written,
			   struct why *why)
{
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

	if (!p->store)
		return;
	if (m->head.detail & STORE_WINDOW_FILES_ONLY) {
		written->store_err = -EAGAIN;
		return;
	}
	if (m->head.detail & STORE_WINDOW_MAYBE && is_stored(p, profile))
		return;
	written->store_err = store_append(p->store, profile, &written->number, why);
	written->append_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
}

static void put_into_folders(struct store_process *p, const struct message *m, int64_t time_ns, const uint8_t *bytes, size_t n,
			     struct store_written *written, struct why *why)
{
	for (size_t i = 0; i < p->n_folders; i++) {
		struct why its = {""};
		int err = 0;
		if (m->head.detail & STORE_WINDOW_STORE_ONLY)
			folder_sink_has(&p->folders[i], written->number);
		else
			err = folder_sink_window(&p->folders[i], written->number, time_ns, bytes, n, &its);
		if (err < 0 && written->files_err == 0)
			written->files_err = err;
		if (err < 0 && !why->text[0])
			*why = its;
	}
}

static void tell_written(struct store_process *p, uint64_t serial, struct store_written *written, const struct why *why)
{
	struct message_head head = {.kind = STORE_WRITTEN, .serial = serial};

	text_clean(why->text, strlen(why->text), written->why, sizeof(written->why));
	channel_send(&p->agent, &head, &(struct iovec){written, sizeof(*written)}, 1, NULL, 0, true);
}

static int take_window(struct store_process *p, const struct message *m)
{
	struct store_written written = {.number = 0};
	struct profile *profile = NULL;
	const char *what = "";
	struct why why = {""};
	void *bytes;
	size_t n;

	if (m->n_fds != 1 || m->head.payload_bytes || sealed_map(m->fds[0], STORE_WINDOW_BYTES, &bytes, &n) < 0)
		return -EBADMSG;
	int err = profile_decode(bytes, n, 0, &profile, &what);
	if (err < 0) {
		written.store_err = written.files_err = why_set(&why, err, "a window cannot be read: %s", err == -EBADMSG ? what : strerror(-err));
	} else {
		put_into_store(p, m, profile, &written, &why);
		put_into_folders(p, m, profile->time_ns, bytes, n, &written, &why);
		if (p->outbox && written.number)
			outbox_server_new_window(p->outbox, written.number, m->fds[0], n);
	}
	profile_free(profile);
	munmap(bytes, n);
	tell_written(p, m->head.serial, &written, &why);
	send_stats(p);
	return 0;
}

static int take_sinks(struct store_process *p, struct message *m)
{
	const struct store_sinks *sinks = m->payload;
	const char *names[STORE_SINKS_MAX];

	if (m->head.payload_bytes != sizeof(*sinks) || sinks->n > STORE_SINKS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < sinks->n; i++) {
		if (!is_text(sinks->names[i], sizeof(sinks->names[i])))
			return -EBADMSG;
		names[i] = sinks->names[i];
	}
	for (size_t k = 0; k < p->n_folders; k++) {
		p->folders[k].sink = SIZE_MAX;
		for (size_t i = 0; i < sinks->n; i++)
			if (strcmp(names[i], p->folders[k].name) == 0)
				p->folders[k].sink = i;
	}
	if (!p->outbox)
		return 0;
	/* First what the one before has left, by its own numbers. */
	int err = m->n_fds ? outbox_server_connect(p->outbox, take_fd(&m->fds[0])) : 0;
	outbox_server_sinks(p->outbox, sinks->serial, names, sinks->n);
	return err;
}

/* Returns -EPIPE when the agent has gone and all is done that it sent. */
static int take_message(struct store_process *p)
{
	struct message m;

	int err = channel_receive(&p->agent, 0, &m);
	if (err < 0)
		return err;
	if (m.head.kind == STORE_WINDOW)
		err = take_window(p, &m);
	else
		err = m.head.kind == STORE_SINKS ? take_sinks(p, &m) : -EBADMSG;
	message_close(&m);
	return err;
}

/* --- what is not urgent ----------------------------------------------------------------------------------------- */

static void maintain(struct store_process *p, uint64_t now_ns)
{
	struct why why = {""};

	int more = store_maintain(p->store, &why);
	if (more < 0 && !p->trouble)
		say(p, LOG_ERROR, why.text[0] ? why.text : strerror(-more));
	p->trouble = more < 0;
	p->maintain_ns = now_ns + (more == 1 ? MAINTAIN_STEP_NS : MAINTAIN_NS);
	if (more != 1 && p->tidied)
		send_stats(p);
	p->tidied = more == 1;
}

static uint64_t next_due_ns(const struct store_process *p)
{
	uint64_t due_ns = p->store ? p->maintain_ns : UINT64_MAX;

	for (size_t i = 0; i < p->n_folders; i++)
		if (folder_sink_due_ns(&p->folders[i]) < due_ns)
			due_ns = folder_sink_due_ns(&p->folders[i]);
	return due_ns;
}

static int wait_for_work(const struct store_process *p, struct pollfd fds[2])
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), due_ns = next_due_ns(p);
	int timeout_ms = due_ns == UINT64_MAX ? -1 : due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / NS_PER_MS + 1);

	fds[0] = (struct pollfd){.fd = p->agent.fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = p->outbox ? outbox_server_fd(p->outbox) : -1, .events = POLLIN};
	return poll(fds, 2, timeout_ms) < 0 && errno != EINTR ? -errno : 0;
}

/* The agent comes first: what it says about sinks is read before what hearth-upload says about them. */
static int serve(struct store_process *p)
{
	struct pollfd fds[2];
	int err;

	while ((err = wait_for_work(p, fds)) == 0) {
		if (fds[0].revents) {
			err = take_message(p);
			if (err < 0)
				return err;
			continue;
		}
		if (fds[1].revents)
			outbox_server_work(p->outbox);
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		for (size_t i = 0; i < p->n_folders; i++)
			folder_sink_catch_up(&p->folders[i], now_ns);
		if (p->store && p->maintain_ns <= now_ns)
			maintain(p, now_ns);
	}
	return err;
}

/* Folders get what the store has, as far as there is time for it; the rest comes with the next start. */
static void finish_folders(struct store_process *p)
{
	uint64_t limit_ns = clock_ns(CLOCK_MONOTONIC) + FINISH_NS, now_ns;

	for (size_t i = 0; i < p->n_folders; i++)
		while ((now_ns = clock_ns(CLOCK_MONOTONIC)) < limit_ns && folder_sink_due_ns(&p->folders[i]) <= now_ns)
			folder_sink_catch_up(&p->folders[i], now_ns);
}

static void end(struct store_process *p)
{
	for (size_t i = 0; i < p->n_folders; i++)
		folder_sink_close(&p->folders[i]);
	outbox_server_destroy(p->outbox);
	store_close(p->store);
	channel_deinit(&p->agent);
	free(p);
}

int store_process_run(const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	struct store_process *p = calloc(1, sizeof(*p));

	if (!p || n_fds != 1 || n_bytes != sizeof(p->settings)) {
		free(p);
		return STATUS_MESSAGE;
	}
	memcpy(&p->settings, argument, sizeof(p->settings));
	if (!settings_are_sound(&p->settings) || channel_init(&p->agent, fds[0], &STORE_RULES, CHANNEL_INLINE_MAX) < 0) {
		free(p);
		return STATUS_MESSAGE;
	}
	int err = begin(p), status = err < 0 ? STATUS_SETUP : STATUS_DONE;
	if (err == 0) {
		err = serve(p);
		if (err != -EPIPE)
			status = STATUS_MESSAGE;
		finish_folders(p);
	}
	end(p);
	return status;
}
