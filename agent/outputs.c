#include "agent/outputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/host_labels.h"
#include "agent/log.h"
#include "agent/sink_files.h"
#include "agent/store_process.h"
#include "agent/upload_client.h"
#include "agent/web_numbers.h"
#include "base/clock.h"
#include "base/scope.h"
#include "pprof/encode.h"
#include "server-upload/upload_process.h"
#include "symbolizer/confine.h"
#include "web/web_process.h"

#define BEGIN_MS 2000 /* that the beginning of hearth-store is waited for */
#define BUSY_MS  5000 /* ... while the one of an agent that was killed still finishes */
#define CLOSE_MS 1000 /* that it may take to close the store */
#define LET_GO_NS (2 * NS_PER_S) /* that hearth-upload may take to end */

#define DAY_NS	  (86400 * NS_PER_S)
#define HOUR_NS	  (3600 * NS_PER_S)

enum { SERVICE_STORE, SERVICE_UPLOAD, SERVICE_WEB, SERVICES };

struct outputs {
	struct outputs_options options;
	struct services *services;
	struct store_client *store;
	struct upload_client *upload;
	struct web_client *web; /* NULL: none */
	struct upload_config *config;
	struct sink_files *files;
	char folder[PATH_MAX];
	bool has_uploads;
	uint64_t connected;	/* generation of the store that hearth-upload is connected to; 0: none */
	bool sinks_pending;	/* the store is to be told of them */
	bool config_pending;	/* hearth-upload is */
	uint64_t retry_ns;
	uint64_t let_go_ns; /* when hearth-upload was; 0: it was not */
	struct store_report said; /* as it was when it was spoken of */
	uint64_t said_ns[STORE_SINKS_MAX];
	bool said_evicting;
};

static int run_upload(const int *fds, size_t n_fds, const void *argument, size_t n_bytes)
{
	(void)argument, (void)n_bytes;
	return n_fds == 2 ? upload_process_run(fds[0], fds[1]) : 1;
}

int outputs_services_create(struct services **services_out)
{
	static const struct service TABLE[SERVICES] = {[SERVICE_STORE] = {"hearth-store", store_process_run},
						       [SERVICE_UPLOAD] = {"hearth-upload", run_upload},
						       [SERVICE_WEB] = {"hearth-web", web_process_run}};

	return services_create(TABLE, SERVICES, services_out);
}

static void say(void *context, enum log_level level, const char *text)
{
	(void)context;
	log_line(level, "%s", text);
}

static void want_debug(void *context, const char *build_id)
{
	struct outputs *o = context;

	if (o->options.want_debug)
		o->options.want_debug(o->options.context, build_id);
	else
		outputs_give_debug(o, build_id, -ENOENT, -1, 0, "");
}

void outputs_give_debug(struct outputs *o, const char *build_id, int err, int fd, uint64_t bytes, const char *hash)
{
	upload_client_give(o->upload, build_id, err, fd, bytes, hash);
}

/* --- the beginning ---------------------------------------------------------------------------------------------- */

static int add_label(struct upload_config *config, const char *name, const char *value)
{
	for (size_t i = 0; i < config->n_labels; i++)
		if (strcmp(config->labels[i].name, name) == 0)
			return 0;
	if (config->n_labels == SINK_PAIRS_MAX)
		return -E2BIG;
	struct sink_pair pair = {.name = strdup(name), .value = strdup(value)};
	if (!pair.name || !pair.value) {
		free(pair.name);
		free(pair.value);
		return -ENOMEM;
	}
	config->labels[config->n_labels++] = pair;
	return 0;
}

static int add_host(const struct outputs *o, struct upload_config *config)
{
	struct host_labels labels;

	host_labels_read(o->options.host_root, &labels);
	int err = add_label(config, "host", labels.host);
	if (err == 0)
		err = add_label(config, "kernel", labels.kernel);
	return err < 0 ? err : add_label(config, "arch", labels.arch);
}

static void fill_settings(const struct outputs *o, struct store_settings *settings)
{
	const struct outputs_options *options = &o->options;

	*settings = (struct store_settings){.bytes_max = options->store_bytes, .age_max_ns = options->store_age_ns,
					    .outbox_bytes_max = options->outbox_bytes, .outbox_age_max_ns = options->outbox_age_ns,
					    .serial = o->config->serial, .n_sinks = (uint32_t)o->config->n_sinks, .bare = options->bare};
	memcpy(settings->levels, options->levels, sizeof(settings->levels));
	memcpy(settings->folder, o->folder, sizeof(settings->folder));
	for (size_t i = 0; i < o->config->n_sinks; i++) {
		const struct sink_config *sink = &o->config->sinks[i].config;
		memcpy(settings->sinks[i].name, sink->name, sizeof(settings->sinks[i].name));
		if (sink->kind != SINK_DIR)
			continue;
		snprintf(settings->sinks[i].folder, sizeof(settings->sinks[i].folder), "%s", sink->url);
		settings->sinks[i].folder_bytes = options->folder_bytes;
	}
}

static bool has_uploads(const struct upload_config *config)
{
	for (size_t i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].config.kind != SINK_DIR)
			return true;
	return false;
}

static void say_files(struct outputs *o)
{
	for (size_t i = 0; i < o->config->n_sinks; i++) {
		const char *trouble = sink_files_trouble(o->files, i);
		if (trouble)
			log_line(LOG_ERROR, "%s; %s", trouble, o->config->sinks[i].held ? "its windows wait in the store" : "what it said before is used");
	}
}

/* Names go to other processes as they lie here: nothing else of our memory goes along. */
static void clean_names(struct upload_config *config)
{
	for (size_t i = 0; i < config->n_sinks; i++) {
		char *name = config->sinks[i].config.name;
		size_t n = strnlen(name, SINK_NAME_MAX - 1);
		memset(name + n, 0, SINK_NAME_MAX - n);
	}
}

/* Read what is in files. config: not yet ours. */
static int read_files(const struct outputs *o, struct upload_config *config, struct sink_files **files_out)
{
	clean_names(config);
	int err = add_host(o, config);
	if (err == 0)
		err = sink_files_create(config, files_out);
	if (err == 0)
		sink_files_refresh(*files_out);
	return err;
}

static int start(struct outputs *o)
{
	const struct upload_client_options upload = {.services = o->services, .service = SERVICE_UPLOAD, .say = say, .want = want_debug,
						     .context = o};
	const struct store_client_options store = {.services = o->services, .service = SERVICE_STORE, .say = say};
	AUTO_FREE struct store_settings *settings = calloc(1, sizeof(*settings));

	if (!settings)
		return -ENOMEM;
	fill_settings(o, settings);
	int err = store_client_create(&store, settings, &o->store);
	return err < 0 ? err : upload_client_create(&upload, &o->upload);
}

static int open_web(struct outputs *o, struct why *why)
{
	struct web_client_options options = o->options.web;
	struct host_labels labels;

	if (options.address.is_none || !options.address.bytes)
		return 0;
	host_labels_read(o->options.host_root, &labels);
	options.services = o->services;
	options.service = SERVICE_WEB;
	options.store = o->folder;
	options.host = labels.host;
	options.bare = o->options.bare || confine_is_partial();
	options.say = say;
	return web_client_create(&options, &o->web, why);
}

int outputs_open(const struct outputs_options *options, struct upload_config *config, struct outputs **outputs_out, struct why *why)
{
	struct outputs *o = calloc(1, sizeof(*o));

	_Static_assert(SINKS_MAX <= STORE_SINKS_MAX && SINK_NAME_MAX <= STORE_SINK_NAME_MAX, "the store keeps a mark for each sink");
	if (!o || (options->store && strlen(options->store) >= sizeof(o->folder))) {
		free(o);
		return why_set(why, o ? -ENAMETOOLONG : -ENOMEM, "opening the store: %s", strerror(o ? ENAMETOOLONG : ENOMEM));
	}
	o->options = *options;
	o->services = options->services;
	if (options->store)
		memcpy(o->folder, options->store, strlen(options->store) + 1);
	o->options.store = o->folder;
	config->serial = 1;
	int err = read_files(o, config, &o->files);
	o->config = config;
	o->has_uploads = has_uploads(config);
	if (err == 0)
		err = start(o);
	if (err < 0)
		why_set(why, err, "starting the processes that keep windows: %s", strerror(-err));
	else
		err = open_web(o, why);
	if (err < 0) {
		o->services = NULL; /* the caller's still */
		o->config = NULL;
		outputs_close(o);
		return err;
	}
	say_files(o);
	*outputs_out = o;
	return 0;
}

/* What goes away by itself, or when somebody makes room, ends nothing. */
static bool is_passing(int err)
{
	return err == -ENOSPC || err == -EDQUOT || err == -EIO || err == -EROFS || err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EAGAIN;
}

static int wait_some(struct outputs *o, uint64_t limit_ns)
{
	struct pollfd fds[OUTPUTS_FDS];
	uint64_t due_ns = outputs_poll(o, fds), now_ns = clock_ns(CLOCK_MONOTONIC);

	if (due_ns > limit_ns)
		due_ns = limit_ns;
	poll(fds, OUTPUTS_FDS, due_ns > now_ns ? (int)((due_ns - now_ns) / NS_PER_MS + 1) : 0);
	return outputs_work(o);
}

int outputs_wait(struct outputs *o, struct why *why)
{
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	enum store_client_state state;
	int err = 0;

	for (;;) {
		state = store_client_state(o->store, &err, why);
		bool is_busy = state == STORE_CLIENT_FAILS && err == -EBUSY;
		uint64_t limit_ns = begin_ns + (is_busy ? BUSY_MS : BEGIN_MS) * NS_PER_MS;
		if ((state != STORE_CLIENT_STARTING && !is_busy) || clock_ns(CLOCK_MONOTONIC) >= limit_ns)
			break;
		if (wait_some(o, limit_ns) < 0)
			return why_set(why, -EPIPE, "the process that keeps hearth-store running has died");
	}
	if (state == STORE_CLIENT_FAILS && !is_passing(err))
		return err;
	if (state == STORE_CLIENT_STARTING)
		log_line(LOG_WARNING, "hearth-store takes long to open the store; windows wait in memory");
	store_client_go_on(o->store);
	return 0;
}

/* --- work ------------------------------------------------------------------------------------------------------- */

void outputs_put(struct outputs *o, const struct profile *profile, const char *account)
{
	uint8_t *bytes;
	size_t n;

	int err = profile_encode(profile, &bytes, &n);
	if (err < 0)
		store_client_lose(o->store, strerror(-err), account);
	else
		store_client_put(o->store, bytes, n, account);
}

uint64_t outputs_poll(const struct outputs *o, struct pollfd *fds)
{
	uint64_t due_ns = store_client_due_ns(o->store);

	fds[0] = (struct pollfd){.fd = services_fd(o->services), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = store_client_fd(o->store), .events = POLLIN};
	fds[2] = (struct pollfd){.fd = upload_client_fd(o->upload), .events = POLLIN};
	fds[3] = (struct pollfd){.fd = o->web ? web_client_fd(o->web) : -1, .events = POLLIN};
	if (o->web && web_client_due_ns(o->web) < due_ns)
		due_ns = web_client_due_ns(o->web);
	if (!o->has_uploads || !store_client_generation(o->store))
		return due_ns;
	uint64_t upload_ns = UINT64_MAX;
	if (!services_runs(o->services, SERVICE_UPLOAD))
		upload_ns = services_again_ns(o->services, SERVICE_UPLOAD);
	else if (o->let_go_ns)
		upload_ns = o->let_go_ns + LET_GO_NS;
	else if (o->sinks_pending || o->config_pending)
		upload_ns = 0;
	if (upload_ns < o->retry_ns)
		upload_ns = o->retry_ns;
	return upload_ns < due_ns ? upload_ns : due_ns;
}

static void list_sinks(const struct outputs *o, struct store_sinks *sinks)
{
	*sinks = (struct store_sinks){.serial = o->config->serial, .n = (uint32_t)o->config->n_sinks};
	for (size_t i = 0; i < o->config->n_sinks; i++)
		memcpy(sinks->names[i], o->config->sinks[i].config.name, sizeof(sinks->names[i]));
}

/* The store is told first: it must know the sinks before hearth-upload asks for them. */
static int tell(struct outputs *o, int upload_socket)
{
	struct store_sinks sinks;
	int err = 0;

	list_sinks(o, &sinks);
	if (o->sinks_pending || upload_socket >= 0)
		err = store_client_sinks(o->store, &sinks, upload_socket);
	if (err < 0)
		return err;
	o->sinks_pending = false;
	if (o->config_pending)
		err = upload_client_configure(o->upload, o->config);
	if (err == 0)
		o->config_pending = false;
	return err;
}

static int connect_upload(struct outputs *o)
{
	AUTO_CLOSE int store_socket = -1;

	int err = upload_client_start(o->upload, &store_socket);
	if (err < 0)
		return err;
	o->config_pending = true;
	err = tell(o, store_socket);
	if (err < 0) {
		/* Without the store it is of no use. */
		upload_client_let_go(o->upload);
		services_end(o->services, SERVICE_UPLOAD);
		o->let_go_ns = clock_ns(CLOCK_MONOTONIC);
		return err;
	}
	o->connected = store_client_generation(o->store);
	return 0;
}

/* hearth-upload lives as long as the hearth-store that it is connected to. */
static void see_to_upload(struct outputs *o)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), generation = store_client_generation(o->store);
	bool runs = services_runs(o->services, SERVICE_UPLOAD);
	int err = 0;

	if (!runs)
		o->let_go_ns = 0;
	else if (o->let_go_ns && now_ns > o->let_go_ns + LET_GO_NS)
		services_end(o->services, SERVICE_UPLOAD);
	if (runs && !o->let_go_ns && (!o->has_uploads || o->connected != generation)) {
		upload_client_let_go(o->upload); /* both of its sockets are closed now */
		o->let_go_ns = now_ns;
	}
	if (o->let_go_ns)
		return;
	if (!generation || now_ns < o->retry_ns)
		return;
	if (!runs && o->has_uploads && services_again_ns(o->services, SERVICE_UPLOAD) <= now_ns)
		err = connect_upload(o);
	else if (o->sinks_pending || (runs && o->config_pending))
		err = tell(o, -1);
	if (err < 0)
		o->retry_ns = now_ns + NS_PER_S;
}

/* It may look at the store's folder once that is there; a store that fails has none, or an older one. */
static void see_to_web(struct outputs *o)
{
	struct why why;
	int err;

	if (store_client_state(o->store, &err, &why) != STORE_CLIENT_STARTING)
		web_client_go(o->web);
	web_client_work(o->web);
}

int outputs_work(struct outputs *o)
{
	struct service_event event;
	int err;

	while ((err = services_take(o->services, &event)) == 0) {
		if (event.service == SERVICE_STORE)
			store_client_event(o->store, &event);
		else if (event.service == SERVICE_UPLOAD)
			upload_client_event(o->upload, &event);
		else if (o->web)
			web_client_event(o->web, &event);
	}
	store_client_work(o->store);
	upload_client_work(o->upload);
	if (err != -EPIPE)
		see_to_upload(o);
	if (o->web && err != -EPIPE)
		see_to_web(o);
	return err == -EPIPE ? err : 0;
}

/* What the store's budgets cost: the oldest windows, once; windows that servers will not get, once an hour. */
static void say_budgets(struct outputs *o)
{
	struct store_client_stats stats;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	store_client_stats(o->store, &stats);
	const struct store_stats *now = &stats.report.store;
	if (now->windows_evicted && !o->said_evicting) {
		log_line(LOG_INFO, "the store is as large as it may be (--store-bytes): the oldest windows go, before they are %" PRIu64 " days old",
			 (uint64_t)(o->options.store_age_ns / DAY_NS));
		o->said_evicting = true;
	}
	for (size_t i = 0; i < o->config->n_sinks; i++) {
		if (now->outbox_dropped[i] < o->said.store.outbox_dropped[i])
			o->said.store.outbox_dropped[i] = 0; /* another process counts */
		if (now->outbox_dropped[i] == o->said.store.outbox_dropped[i] || (o->said_ns[i] && now_ns < o->said_ns[i] + HOUR_NS))
			continue;
		log_line(LOG_WARNING, "%s: %" PRIu64 " windows were passed over that it has not got: they were too old or too many (--outbox-days, --outbox-bytes)",
			 o->config->sinks[i].config.name, now->outbox_dropped[i] - o->said.store.outbox_dropped[i]);
		o->said.store.outbox_dropped[i] = now->outbox_dropped[i];
		o->said_ns[i] = now_ns;
	}
}

void outputs_refresh(struct outputs *o)
{
	say_budgets(o);
	if (sink_files_refresh(o->files)) {
		o->config->serial++;
		o->sinks_pending = o->config_pending = true;
	}
	say_files(o);
	if (o->web)
		web_client_refresh(o->web);
}

/* Whether the same folders get windows: what hearth-store was started with. */
static bool same_folders(const struct upload_config *a, const struct upload_config *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_sinks; i++) {
		const struct sink_config *one = &a->sinks[i].config;
		bool found = one->kind != SINK_DIR;
		n += one->kind == SINK_DIR;
		for (size_t k = 0; !found && k < b->n_sinks; k++)
			found = b->sinks[k].config.kind == SINK_DIR && strcmp(b->sinks[k].config.name, one->name) == 0 &&
				strcmp(b->sinks[k].config.url, one->url) == 0;
		if (!found)
			return false;
	}
	for (size_t k = 0; k < b->n_sinks; k++)
		n -= b->sinks[k].config.kind == SINK_DIR;
	return n == 0;
}

int outputs_reconfigure(struct outputs *o, struct upload_config *config)
{
	AUTO_FREE struct store_settings *settings = calloc(1, sizeof(*settings));
	struct sink_files *files = NULL;

	int err = settings ? read_files(o, config, &files) : -ENOMEM;
	if (err < 0)
		return err;
	bool same = same_folders(o->config, config);
	config->serial = o->config->serial + 1;
	sink_files_destroy(o->files);
	upload_config_free(o->config);
	o->config = config;
	o->files = files;
	o->has_uploads = has_uploads(config);
	memset(&o->said, 0, sizeof(o->said));
	memset(o->said_ns, 0, sizeof(o->said_ns));
	say_files(o);
	if (same) {
		o->sinks_pending = o->config_pending = true;
		return 0;
	}
	fill_settings(o, settings);
	store_client_replace(o->store, settings);
	return 0;
}

uint64_t outputs_cpu_ns(const struct outputs *o)
{
	return services_cpu_ns(o->services, SERVICE_STORE) + services_cpu_ns(o->services, SERVICE_UPLOAD);
}

bool outputs_fail(const struct outputs *o, struct why *why)
{
	return store_client_fails(o->store, why);
}

struct web_client *outputs_web(const struct outputs *o)
{
	return o->web;
}

void outputs_numbers(const struct outputs *o, struct web_samples *samples)
{
	static const char *const NAMES[SERVICES] = {[SERVICE_STORE] = "store", [SERVICE_UPLOAD] = "upload", [SERVICE_WEB] = "web"};

	/* hearth-web knows its own CPU time, and that of hearth-query. */
	for (unsigned i = 0; i < SERVICES; i++)
		web_numbers_process(samples, NAMES[i], services_pid(o->services, i), i == SERVICE_WEB ? 0 : services_cpu_ns(o->services, i),
				    services_deaths(o->services, i));
}

void outputs_stats(const struct outputs *o, struct store_client_stats *stats_out)
{
	store_client_stats(o->store, stats_out);
}

const struct upload_config *outputs_config(const struct outputs *o)
{
	return o->config;
}

void outputs_status(const struct outputs *o, size_t sink, struct upload_status *status_out)
{
	upload_client_status(o->upload, sink, status_out);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static void finish(struct outputs *o)
{
	uint64_t limit_ns = clock_ns(CLOCK_MONOTONIC) + OUTPUTS_FINISH_MS * NS_PER_MS;

	while (!store_client_is_idle(o->store) && clock_ns(CLOCK_MONOTONIC) < limit_ns)
		if (wait_some(o, limit_ns) < 0)
			return;
	o->has_uploads = false;
	if (services_runs(o->services, SERVICE_UPLOAD))
		upload_client_let_go(o->upload);
	if (o->web)
		web_client_let_go(o->web);
	store_client_shut(o->store);
	limit_ns = clock_ns(CLOCK_MONOTONIC) + CLOSE_MS * NS_PER_MS;
	while ((services_runs(o->services, SERVICE_STORE) || services_runs(o->services, SERVICE_UPLOAD) || services_runs(o->services, SERVICE_WEB)) &&
	       clock_ns(CLOCK_MONOTONIC) < limit_ns)
		if (wait_some(o, limit_ns) < 0)
			return;
	services_end(o->services, SERVICE_STORE);
	services_end(o->services, SERVICE_UPLOAD);
	services_end(o->services, SERVICE_WEB);
}

/* What each server got. */
static void say_sent(const struct outputs *o)
{
	struct upload_status status;

	for (size_t i = 0; i < o->config->n_sinks; i++) {
		const struct sink_config *sink = &o->config->sinks[i].config;
		outputs_status(o, i, &status);
		if (sink->kind != SINK_DIR)
			log_line(LOG_INFO, "%s: %" PRIu64 " windows sent in %" PRIu64 " requests (%" PRIu64 " KiB), %" PRIu64 " refused%s%s", sink->name,
				 status.windows_sent, status.requests, status.bytes_sent >> 10, status.windows_dropped, status.last_error[0] ? "; " : "",
				 status.last_error);
	}
}

void outputs_close(struct outputs *o)
{
	if (!o)
		return;
	if (o->store && o->services) {
		finish(o);
		say_sent(o);
	}
	store_client_destroy(o->store);
	upload_client_destroy(o->upload);
	web_client_destroy(o->web);
	sink_files_destroy(o->files);
	upload_config_free(o->config);
	services_destroy(o->services);
	free(o);
}
