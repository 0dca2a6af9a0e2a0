#include "server-upload/upload_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/scope.h"
#include "debuginfod/network_only.h"
#include "pprof/decode.h"
#include "server-upload/debuginfo_sender.h"
#include "server-upload/sink_sender.h"
#include "server-upload/upload_config.h"
#include "server-upload/upload_protocol.h"

#define LONGEST_WAIT_NS (10 * NS_PER_S) /* clocks that stop with the machine do not count the sleep */
#define ASK_AGAIN_NS	(10 * NS_PER_S) /* a question that came before the store knew of the configuration was dropped */
#define STATUS_NS	NS_PER_S
#define WINDOW_BYTES_MAX (256u << 20) /* decoded */
#define LAST_NS		(2 * NS_PER_S)
#define MESSAGES_A_TURN 32
#define FILE_NS		(600 * NS_PER_S) /* that the agent may take for a file: it has other things to do first */
#define MMAP_BYTES	(256 << 10)	/* what windows need goes back to the kernel */

/* Sinks that did not change with a configuration go on with the one that they began with. */
struct shared_config {
	struct upload_config *config;
	size_t users;
};

struct slot {
	struct shared_config *shared;
	struct upload_sink *sink; /* of it */
	struct sink_sender *sender; /* NULL: not ours (dir) */
	struct debuginfo_sender *debuginfo; /* NULL: none goes there */
	bool asked;
	uint64_t asked_ns, status_ns;
	bool has_news; /* for the status */
};

/* The window that was read last: sinks that keep up want the same one within a moment. */
struct last_window {
	uint64_t number; /* 0: none */
	size_t n_bytes;
	uint64_t at_ns;
	struct profile *profile;
};

struct upload {
	struct curl_library library;
	struct http_client *client;
	struct channel agent, store;
	struct slot slots[SINKS_MAX];
	size_t n_slots;
	uint64_t serial;
	struct last_window last;
	char wanted[UPLOAD_BUILD_ID_MAX + 8]; /* the build id that the agent was asked for; "": none */
	uint64_t wanted_ns;
	bool ends;
	int exit_status;
};

/* --- saying --------------------------------------------------------------------------------------------------------------- */

static int send_message(struct upload *u, struct channel *channel, enum upload_message kind, const void *payload, size_t n_bytes, bool wait)
{
	struct message_head head = {.kind = (uint16_t)kind, .serial = u->serial};
	struct iovec part = {(void *)(uintptr_t)payload, n_bytes};
	int err = channel_send(channel, &head, &part, 1, NULL, 0, wait);

	if (err < 0 && err != -EAGAIN)
		u->ends = true;
	return err;
}

/* An agent that does not read has other worries: the line is lost. */
static void say(void *context, enum upload_severity severity, const char *text)
{
	struct upload *u = context;
	struct upload_event event = {.severity = severity};

	strncpy(event.text, text, sizeof(event.text) - 1);
	send_message(u, &u->agent, UPLOAD_EVENT, &event, sizeof(event), false);
}

static void give_up(struct upload *u, enum upload_severity severity, const char *text)
{
	say(u, severity, text);
	u->ends = true;
	u->exit_status = 1;
}

static void send_status(struct upload *u, struct slot *slot, uint64_t now_ns)
{
	struct upload_status status;
	bool changed;

	status = *sink_sender_status(slot->sender, &changed);
	if (slot->debuginfo)
		changed = debuginfo_sender_status(slot->debuginfo, &status) || changed;
	slot->has_news = slot->has_news || changed;
	if (!slot->has_news || now_ns - slot->status_ns < STATUS_NS)
		return;
	status.serial = u->serial;
	status.sink = (uint32_t)(slot - u->slots);
	if (send_message(u, &u->agent, UPLOAD_STATUS, &status, sizeof(status), false) == 0)
		slot->has_news = false;
	slot->status_ns = now_ns;
}

/* --- configuration -------------------------------------------------------------------------------------------------------- */

static void close_slot(struct slot *slot)
{
	if (!slot->shared)
		return;
	debuginfo_sender_destroy(slot->debuginfo);
	sink_sender_destroy(slot->sender);
	sink_secrets_deinit(&slot->sink->secrets); /* the others of this configuration may stay for long */
	if (--slot->shared->users == 0) {
		upload_config_free(slot->shared->config);
		free(slot->shared);
	}
	*slot = (struct slot){0};
}

static struct slot *find_slot(struct upload *u, const char *name)
{
	for (size_t i = 0; i < u->n_slots; i++)
		if (u->slots[i].shared && strcmp(u->slots[i].sink->config.name, name) == 0)
			return &u->slots[i];
	return NULL;
}

/* sink: of shared. Takes over what goes on. */
static int open_slot(struct upload *u, struct shared_config *shared, struct upload_sink *sink, struct slot *slot_out)
{
	struct slot *old = find_slot(u, sink->config.name), slot = {.shared = shared, .sink = sink};
	struct upload_status earlier = {0};
	struct why why = {""};
	bool ignored;

	if (old && old->sender && upload_sink_equal(old->sink, sink) && upload_config_common_equal(old->shared->config, shared->config)) {
		*slot_out = *old;
		slot_out->asked = false; /* what was asked under another number is not answered */
		slot_out->has_news = true;
		*old = (struct slot){0};
		return 0;
	}
	if (old && old->sender)
		earlier = *sink_sender_status(old->sender, &ignored);
	if (old && old->debuginfo)
		debuginfo_sender_status(old->debuginfo, &earlier);
	earlier.debuginfo_waiting = 0;
	int err = sink->config.kind == SINK_DIR ? 0 : sink_sender_create(u->client, shared->config, sink, &earlier, say, u, &slot.sender);
	/* Where it cannot be, windows cannot go either, and that is said. */
	if (err == 0 && debuginfo_sender_is_for(&sink->config))
		err = debuginfo_sender_create(u->client, sink, say, u, &slot.debuginfo, &why);
	if (err == -ENOMEM) {
		sink_sender_destroy(slot.sender);
		return err;
	}
	shared->users++;
	*slot_out = slot;
	return 0;
}

static void configure(struct upload *u, const void *bytes, size_t n_bytes)
{
	struct shared_config *shared = calloc(1, sizeof(*shared));
	struct slot slots[SINKS_MAX] = {{0}};
	struct why why = {""};

	int err = shared ? upload_config_decode(bytes, n_bytes, &shared->config, &why) : -ENOMEM;
	if (err < 0) {
		free(shared);
		give_up(u, UPLOAD_ERROR, err == -ENOMEM ? "hearth-upload has no memory for its configuration" : why.text);
		return;
	}
	shared->users = 1; /* us, until all is done */
	u->serial = shared->config->serial;
	for (size_t i = 0; err == 0 && i < shared->config->n_sinks; i++)
		err = open_slot(u, shared, &shared->config->sinks[i], &slots[i]);
	for (size_t i = 0; i < u->n_slots; i++)
		close_slot(&u->slots[i]);
	memcpy(u->slots, slots, sizeof(slots));
	u->n_slots = shared->config->n_sinks;
	if (--shared->users == 0) {
		upload_config_free(shared->config);
		free(shared);
	}
	if (err < 0)
		give_up(u, UPLOAD_ERROR, "hearth-upload has no memory for its sinks");
}

/* --- messages ------------------------------------------------------------------------------------------------------------- */

static struct slot *slot_of(struct upload *u, uint64_t serial, uint32_t sink)
{
	return serial == u->serial && sink < u->n_slots && u->slots[sink].sender ? &u->slots[sink] : NULL;
}

static void forget_window(struct upload *u)
{
	profile_free(u->last.profile);
	u->last = (struct last_window){0};
}

/* Returns 0, or an error of profile_decode() with why. */
static int read_window(struct upload *u, uint64_t number, const uint8_t *bytes, size_t n_bytes, const char **why_out)
{
	if (u->last.number == number && u->last.n_bytes == n_bytes)
		return 0;
	forget_window(u);
	int err = profile_decode(bytes, n_bytes, WINDOW_BYTES_MAX, &u->last.profile, why_out);
	if (err == 0) {
		u->last.number = number;
		u->last.n_bytes = n_bytes;
		u->last.at_ns = clock_ns(CLOCK_BOOTTIME);
	}
	return err;
}

static void take_window(struct upload *u, const struct upload_window *window, int fd)
{
	struct slot *slot = slot_of(u, window->serial, window->sink);
	struct upload_mark shaped = {.serial = window->serial, .number = window->number, .sink = window->sink};
	const char *reason = NULL;
	void *bytes;
	size_t n_bytes;

	if (!slot || !slot->asked)
		return;
	slot->asked = false;
	int err = sealed_map(fd, UPLOAD_WINDOW_BYTES, &bytes, &n_bytes);
	if (err == 0 && n_bytes != window->bytes) {
		munmap(bytes, n_bytes);
		err = -EBADMSG;
	}
	if (err < 0) {
		give_up(u, UPLOAD_ERROR, "hearth-upload got a window that is none");
		return;
	}
	err = read_window(u, window->number, bytes, n_bytes, &reason);
	munmap(bytes, n_bytes);
	if (err == 0 && slot->debuginfo)
		debuginfo_sender_see(slot->debuginfo, u->last.profile); /* without memory: with a later window */
	sink_sender_give(slot->sender, clock_ns(CLOCK_BOOTTIME), window->number, err == 0 ? u->last.profile : NULL, err, reason);
	send_message(u, &u->store, UPLOAD_SHAPED, &shaped, sizeof(shaped), true);
}

static void take_none(struct upload *u, const struct upload_next *none)
{
	struct slot *slot = slot_of(u, none->serial, none->sink);

	if (!slot || !slot->asked)
		return;
	slot->asked = false;
	sink_sender_none(slot->sender);
}

static void take_from_store(struct upload *u, struct message *m)
{
	switch (m->head.kind) {
	case UPLOAD_WINDOW:
		take_window(u, m->payload, m->fds[0]);
		break;
	case UPLOAD_NONE:
		take_none(u, m->payload);
		break;
	case UPLOAD_NEWS:
		for (size_t i = 0; i < u->n_slots; i++)
			if (u->slots[i].sender)
				sink_sender_news(u->slots[i].sender);
		break;
	default:
		give_up(u, UPLOAD_ERROR, "hearth-upload got a message of the store that it does not know");
	}
}

/* --- files ---------------------------------------------------------------------------------------------------------------- */

/* One at a time, for all sinks together: it is in memory while it is sent. */
static void ask_for_file(struct upload *u)
{
	uint64_t now_ns = clock_ns(CLOCK_BOOTTIME);
	struct upload_want want = {.build_id = ""};
	const char *build_id = NULL;

	if (u->wanted[0] && now_ns - u->wanted_ns < FILE_NS)
		return;
	u->wanted[0] = '\0';
	for (size_t i = 0; i < u->n_slots; i++) {
		const struct debuginfo_sender *s = u->slots[i].debuginfo;
		if (s && debuginfo_sender_has_file(s))
			return;
		if (s && !build_id)
			build_id = debuginfo_sender_wants(s);
	}
	if (!build_id || strlen(build_id) > UPLOAD_BUILD_ID_MAX)
		return;
	strcpy(want.build_id, build_id);
	if (send_message(u, &u->agent, UPLOAD_WANT, &want, sizeof(want), false) < 0)
		return;
	strcpy(u->wanted, build_id);
	u->wanted_ns = now_ns;
}

/* All sinks that wait for it get it: there is one copy of the bytes. */
static void take_file(struct upload *u, const struct upload_file *file, int fd)
{
	uint64_t now_ns = clock_ns(CLOCK_BOOTTIME);
	int err = file->result;

	if (strcmp(file->build_id, u->wanted) != 0)
		return; /* it came too late */
	u->wanted[0] = '\0';
	if (err == 0 && sealed_bytes(fd, UPLOAD_FILE_BYTES) != (int64_t)file->bytes)
		err = -EBADMSG;
	for (size_t i = 0; i < u->n_slots; i++) {
		struct debuginfo_sender *s = u->slots[i].debuginfo;
		const char *wanted = s ? debuginfo_sender_wants(s) : NULL;
		if (!wanted || strcmp(wanted, file->build_id) != 0)
			continue;
		int own = err == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
		debuginfo_sender_give(s, now_ns, err == 0 && own < 0 ? -errno : err, own, file->bytes, file->hash);
	}
}

static void take_from_agent(struct upload *u, struct message *m)
{
	if (m->head.kind == UPLOAD_FILE) {
		take_file(u, m->payload, m->n_fds ? m->fds[0] : -1);
	} else if (m->head.kind == UPLOAD_CONFIG) {
		configure(u, m->payload, m->head.payload_bytes);
		if (!m->mapped)
			explicit_bzero((void *)(uintptr_t)m->payload, m->head.payload_bytes);
	} else {
		give_up(u, UPLOAD_ERROR, "hearth-upload got a message of the agent that it does not know");
	}
}

static void receive(struct upload *u, struct channel *channel, void (*take)(struct upload *u, struct message *m))
{
	for (int i = 0; i < MESSAGES_A_TURN && !u->ends; i++) {
		struct message m;
		int err = channel_receive(channel, 1 /* long ago: does not wait */, &m);
		if (err == -ETIME)
			return;
		if (err == -EPIPE) {
			u->ends = true;
			return;
		}
		if (err == 0) {
			err = upload_message_check(&m);
			if (err == 0)
				take(u, &m);
			message_close(&m);
		}
		if (err < 0)
			give_up(u, UPLOAD_ERROR, "hearth-upload got a message that is none");
	}
}

/* --- the loop ------------------------------------------------------------------------------------------------------------- */

static void work(struct upload *u, struct slot *slot)
{
	uint64_t now_ns = clock_ns(CLOCK_BOOTTIME), after;
	struct upload_mark mark = {.serial = u->serial, .sink = (uint32_t)(slot - u->slots)};

	sink_sender_work(slot->sender, now_ns);
	if (sink_sender_take_mark(slot->sender, &mark.number))
		send_message(u, &u->store, UPLOAD_MARK, &mark, sizeof(mark), true);
	if (slot->asked && now_ns - slot->asked_ns > ASK_AGAIN_NS)
		slot->asked = false;
	if (!slot->asked && sink_sender_wants(slot->sender, now_ns, &after)) {
		struct upload_next next = {.serial = u->serial, .after = after, .sink = mark.sink};
		slot->asked = true;
		slot->asked_ns = now_ns;
		send_message(u, &u->store, UPLOAD_NEXT, &next, sizeof(next), true);
	}
	if (slot->debuginfo)
		debuginfo_sender_work(slot->debuginfo, now_ns, sink_sender_is_well(slot->sender));
	send_status(u, slot, now_ns);
}

static int wait_ms(const struct upload *u)
{
	uint64_t now_ns = clock_ns(CLOCK_BOOTTIME), wake_ns = now_ns + LONGEST_WAIT_NS;

	for (size_t i = 0; i < u->n_slots; i++) {
		const struct slot *slot = &u->slots[i];
		if (!slot->sender)
			continue;
		uint64_t at_ns = slot->asked ? slot->asked_ns + ASK_AGAIN_NS + 1 : sink_sender_wake_ns(slot->sender, now_ns);
		uint64_t debuginfo_ns = slot->debuginfo ? debuginfo_sender_wake_ns(slot->debuginfo, now_ns) : UINT64_MAX;
		at_ns = debuginfo_ns < at_ns ? debuginfo_ns : at_ns;
		if (slot->has_news && slot->status_ns + STATUS_NS < at_ns)
			at_ns = slot->status_ns + STATUS_NS;
		wake_ns = at_ns < wake_ns ? at_ns : wake_ns;
	}
	if (u->last.number && u->last.at_ns + LAST_NS < wake_ns)
		wake_ns = u->last.at_ns + LAST_NS;
	return wake_ns > now_ns ? (int)((wake_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

static void serve(struct upload *u)
{
	while (!u->ends) {
		const int fds[] = {u->agent.fd, u->store.fd};
		bool ready[] = {false, false};
		for (size_t i = 0; i < u->n_slots; i++)
			if (u->slots[i].sender)
				work(u, &u->slots[i]);
		ask_for_file(u);
		if (u->ends)
			return;
		if (u->last.number && clock_ns(CLOCK_BOOTTIME) - u->last.at_ns >= LAST_NS)
			forget_window(u);
		http_client_wait(u->client, fds, ready, 2, wait_ms(u));
		if (ready[0])
			receive(u, &u->agent, take_from_agent);
		if (ready[1])
			receive(u, &u->store, take_from_store);
	}
}

static int begin(struct upload *u, int sockets[2], bool bare)
{
	struct network_only_limits limits = {.bare = bare};

	/* Threads of the resolver would have arenas of their own. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	int loaded = curl_library_load(&u->library);
	int err = network_only_give_up((int *const[]){&sockets[0], &sockets[1]}, 2);
	if (err < 0)
		return err;
	err = channel_init(&u->agent, take_fd(&sockets[0]), &UPLOAD_RULES, UPLOAD_CONFIG_BYTES);
	if (err == 0)
		err = channel_init(&u->store, take_fd(&sockets[1]), &UPLOAD_RULES, sizeof(struct upload_window));
	if (err == 0 && loaded < 0) {
		say(u, UPLOAD_ERROR, "nothing can be uploaded: libcurl 7.85 or newer is missing; install libcurl4");
	}
	if (err == 0)
		err = network_only_confine(&limits);
	return err < 0 || loaded < 0 ? err : http_client_create(&u->library, &u->client);
}

/* Nothing can be done: to end would be to be started again and to say so again. Windows wait in the store. */
static void idle(struct upload *u)
{
	struct message m;

	while (channel_receive(&u->agent, 0, &m) == 0)
		message_close(&m);
}

static int run(int agent_socket, int store_socket, bool bare)
{
	struct upload *u = calloc(1, sizeof(*u));
	int sockets[2] = {agent_socket, store_socket};

	if (!u)
		return 1;
	u->agent.fd = u->store.fd = -1;
	if (begin(u, sockets, bare) < 0)
		u->exit_status = 1;
	else if (u->client)
		serve(u);
	else
		idle(u);
	for (size_t i = 0; i < u->n_slots; i++)
		close_slot(&u->slots[i]);
	forget_window(u);
	http_client_destroy(u->client);
	channel_deinit(&u->agent);
	channel_deinit(&u->store);
	int status = u->exit_status;
	free(u);
	return status;
}

int upload_process_run(int agent_socket, int store_socket)
{
#ifdef __SANITIZE_ADDRESS__
	return run(agent_socket, store_socket, true);
#else
	return run(agent_socket, store_socket, false);
#endif
}

int upload_process_run_bare(int agent_socket, int store_socket)
{
	return run(agent_socket, store_socket, true);
}
