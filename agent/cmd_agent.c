#include "agent/cmd_agent.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/agent_options.h"
#include "agent/arguments.h"
#include "agent/control.h"
#include "agent/jit_report.h"
#include "agent/log.h"
#include "agent/outputs.h"
#include "agent/pace.h"
#include "agent/rate_limit.h"
#include "agent/session.h"
#include "agent/stack_report.h"
#include "agent/store_folder.h"
#include "agent/store_levels.h"
#include "agent/web_numbers.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/scope.h"
#include "pprof/encode.h"

#define INCOMPLETE_MAX	     5	 /* programs named a window */
#define INCOMPLETE_PER_MILLE 999 /* complete stacks below which a program is named */
#define DAY_NS		     (86400 * NS_PER_S)
#define JIT_PER_MILLE	     10	 /* JIT code without names in fewer samples of a window is not spoken of */
#define STATE_NS	     (5 * NS_PER_S) /* the page is told at least so often how things go */
#define SLOW_FILES_PART	     2	 /* of a window may be spent waiting for files that are slow to read */

struct agent {
	struct agent_options options;
	struct zygote *zygote;
	struct session *session;
	struct services *services; /* until outputs have them */
	struct outputs *outputs;
	struct pace pace;
	struct control *control; /* NULL: none */
	int argc; /* for reading all again on SIGHUP */
	char **argv;
	int signal_fd;
	uint64_t start_ns;
	uint64_t cpu_ns; /* own, at the end of the last window */
	uint64_t own_ns, own_window_ns; /* hearth's own CPU in the last window, and its length */
	bool is_sampled; /* the window at hand */
	bool end_now;	 /* ... should end: something was changed */
	struct accounting total;
	struct window_times times; /* of ending windows */
	uint64_t state_ns;	   /* when the page is told next */
	bool said_no_kernel;
	struct jit_report jit; /* programs that were spoken of */
	bool names_trouble, names_late;
	uint64_t requests_late; /* for names, until the last window */
};

static int catch_signals(struct agent *a)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return a->signal_fd < 0 ? -errno : 0;
}

/* Sampling, naming, storing, uploading. */
static uint64_t own_cpu_ns(const struct agent *a)
{
	return session_cpu_ns(a->session) + outputs_cpu_ns(a->outputs);
}

static void give_debug(void *agent, const char *build_id, int err, int fd, uint64_t bytes, const char *hash)
{
	struct agent *a = agent;
	AUTO_CLOSE int file = fd;

	outputs_give_debug(a->outputs, build_id, err, file, bytes, hash);
}

static void want_debug(void *agent, const char *build_id)
{
	struct agent *a = agent;

	int err = a->session ? session_want_debug(a->session, build_id, UPLOAD_FILE_BYTES, give_debug, a) : -EAGAIN;
	if (err < 0)
		outputs_give_debug(a->outputs, build_id, err, -1, 0, "");
}

static const char *path_or_none(const char *path)
{
	return path && *path ? path : NULL;
}

static int open_outputs(struct agent *a, struct why *why)
{
	const struct agent_options *o = &a->options;
	struct outputs_options options = {.services = a->services, .store_bytes = o->store_bytes, .store_age_ns = o->store_days * DAY_NS,
					  .outbox_bytes = o->outbox_bytes, .outbox_age_ns = o->outbox_days * DAY_NS, .folder_bytes = o->output_bytes,
					  .host_root = o->host_root, .want_debug = want_debug, .context = a};
	struct upload_config *config;
	char folder[PATH_MAX];

	int err = listen_address_parse(o->listen, &options.web.address, why);
	if (err < 0)
		return err;
	options.web.token_file = path_or_none(o->listen_token);
	options.web.certificate_file = path_or_none(o->listen_cert);
	options.web.key_file = path_or_none(o->listen_key);
	options.web.names = o->listen_host;
	options.web.window_ns = o->window_ns;
	if (agent_options_has_store(o)) {
		options.store = folder;
		err = o->store ? store_folder_absolute(o->store, folder, sizeof(folder)) : store_folder_default(folder, sizeof(folder));
		if (err < 0)
			return why_set(why, err, "there is no place for the store: name one with --store DIR");
		if (!o->store)
			store_folder_make_above(folder);
	}
	err = o->store_levels ? store_levels_parse(o->store_levels, options.levels, why) : 0;
	if (err == 0)
		err = agent_options_sinks(o, &config, why);
	if (err == 0) {
		err = outputs_open(&options, config, &a->outputs, why);
		if (err < 0)
			upload_config_free(config);
		else
			a->services = NULL;
	}
	return err;
}

static void say_start(const struct agent *a)
{
	const struct agent_options *o = &a->options;
	char folder[PATH_MAX] = "";

	if (agent_options_has_store(o) && (o->store || store_folder_default(folder, sizeof(folder)) == 0))
		log_line(LOG_INFO, "windows are kept in %s for %" PRIu64 " days, at most %" PRIu64 " MiB", o->store ? o->store : folder, o->store_days,
			 o->store_bytes >> 20);
	for (size_t i = 0; i < outputs_config(a->outputs)->n_sinks; i++) {
		const struct sink_config *sink = &outputs_config(a->outputs)->sinks[i].config;
		log_line(LOG_INFO, "windows go to %s: %s=%s", sink->name, sink_kind_name(sink->kind), sink->url);
	}
	log_line(LOG_INFO, "sampling %s on the whole machine at %" PRIu64 " Hz, windows of %.1f s", o->event.name, o->rate_hz,
		 (double)o->window_ns / 1e9);
}

static struct pace_settings pace_settings(const struct agent_options *o)
{
	return (struct pace_settings){.rate_hz = o->rate_hz,
				      .window_ns = o->window_ns,
				      .max_share = o->max_share,
				      .sample_fraction = o->sample_fraction,
				      .is_jittered = o->window_jitter,
				      .host = pace_host()};
}

/* The pace decides; the session follows. */
static void begin_window(struct agent *a)
{
	pace_begin_window(&a->pace, clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_REALTIME));
	session_set_rate(a->session, pace_rate_hz(&a->pace));
	a->is_sampled = pace_is_sampling(&a->pace);
	session_pause(a->session, !a->is_sampled);
	session_set_weight(a->session, pace_weight(&a->pace));
	session_limit_slow_files(a->session, a->options.window_ns / SLOW_FILES_PART);
	a->end_now = false;
}

/* Not a reason to sample nothing. */
static void open_control(struct agent *a)
{
	const char *path = a->options.control;
	char usual[256];
	struct why why;

	if (path ? !*path : control_path(usual, sizeof(usual)) < 0)
		return;
	if (control_open(path ? path : usual, &a->control, &why) < 0)
		log_line(LOG_WARNING, "%s; 'hearth control' does not work", why.text);
}

static int start(struct agent *a)
{
	const struct agent_options *o = &a->options;
	struct session_options options = {
		.sampler = {.event = o->event,
			    .rate_hz = o->rate_hz,
			    .period = 1,
			    .window_ns = o->window_ns,
			    .sample_idle = o->idle,
			    .by_thread = o->tid,
			    .unwind_budget_bytes = o->unwind_budget_bytes,
			    .cgroup_fd = -1},
		.kernel_addresses = o->kernel_addresses,
		.zygote = a->zygote,
		.demangle = (enum demangle_style)o->demangle,
		.name_cache = o->name_cache,
		.name_cache_bytes = o->name_cache_bytes,
		.host_root = o->host_root,
		.debuginfod_urls = o->debuginfod_urls,
	};
	struct why why;

	int err = catch_signals(a);
	if (err < 0)
		why_set(&why, err, "setting up signals: %s", strerror(-err));
	if (err == 0)
		err = open_outputs(a, &why);
	if (err == 0)
		err = session_open(&options, &a->session, &why);
	if (err == 0)
		err = outputs_wait(a->outputs, &why);
	if (err == 0)
		err = session_start(a->session, &why);
	if (err < 0) {
		log_line(LOG_ERROR, "%s", why.text);
		return err;
	}
	open_control(a);
	struct pace_settings pace = pace_settings(o);
	pace_init(&a->pace, &pace);
	a->cpu_ns = own_cpu_ns(a);
	a->start_ns = clock_ns(CLOCK_MONOTONIC);
	begin_window(a);
	say_start(a);
	if (cgroup_names_is_inside(NULL))
		log_line(LOG_WARNING, "hearth is in a cgroup namespace of its own: labels know containers and units below it only; give its "
				      "container the host's (docker: --cgroupns=host)");
	return 0;
}

static void govern(struct agent *a, const struct accounting *account, uint64_t duration_ns)
{
	struct session_stats stats;
	uint64_t cpu_ns = own_cpu_ns(a), own_ns = cpu_ns - a->cpu_ns + account->program_ns;
	uint64_t before_hz = pace_rate_hz(&a->pace);

	a->cpu_ns = cpu_ns;
	a->own_ns = own_ns;
	a->own_window_ns = duration_ns;
	session_stats(a->session, &stats);
	if (!pace_govern(&a->pace, own_ns, duration_ns, stats.cpus))
		return;
	log_line(pace_rate_hz(&a->pace) < before_hz ? LOG_WARNING : LOG_INFO,
		 "own CPU was %.3f %% of the machine in this window (budget %.3f %% over a minute): sampling at %" PRIu64
		 " Hz now, was %" PRIu64,
		 100 * (double)own_ns / ((double)duration_ns * stats.cpus), 100 * a->options.max_share,
		 pace_rate_hz(&a->pace), before_hz);
}

/* JIT code without names: once for each program, not in every window. */
static void say_jit(struct agent *a, const struct accounting *account)
{
	const struct jit_report_row *row;
	char text[512];

	for (size_t i = 0; i < a->jit.n; i++)
		a->jit.rows[i].samples = a->jit.rows[i].unnamed = a->jit.rows[i].most = 0;
	session_jit(a->session, jit_report_add, &a->jit);
	while ((row = jit_report_next(&a->jit, account->samples, JIT_PER_MILLE))) {
		jit_report_describe(row, text, sizeof(text));
		log_line(LOG_INFO, "%s", text);
	}
}

/* The programs whose stacks were cut most in this window: a line each, so that someone can do something about them. */
static void say_incomplete(const struct profile *profile)
{
	AUTO_FREE struct stack_report_row *rows = NULL;
	size_t n;

	if (stack_report(profile, &rows, &n) < 0)
		return;
	for (size_t i = 0; i < n && i < INCOMPLETE_MAX; i++) {
		char text[1024];
		if (rows[i].complete * 1000 >= rows[i].samples * INCOMPLETE_PER_MILLE)
			continue;
		stack_report_describe(&rows[i], text, sizeof(text));
		log_line(LOG_INFO, "incomplete stacks: %s", text);
	}
}

/* As with a full disk: said when it begins. */
static void say_late_names(struct agent *a)
{
	struct session_stats stats;

	session_stats(a->session, &stats);
	bool late = stats.symbolizer.requests_late != a->requests_late;
	if (late && !a->names_late)
		log_line(LOG_WARNING, "files that are slow to read took too much of a window: %" PRIu64 " requests for names were put off",
			 stats.symbolizer.requests_late - a->requests_late);
	a->names_late = late;
	a->requests_late = stats.symbolizer.requests_late;
}

/* The same. */
static void say_names_trouble(struct agent *a)
{
	const char *trouble = session_names_trouble(a->session);

	if (trouble && !a->names_trouble)
		log_line(LOG_WARNING, "%s; names are found all the same, and cost more", trouble);
	a->names_trouble = trouble;
}

static int end_window(struct agent *a)
{
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	struct profile *profile = NULL;
	struct accounting account;
	char text[1024];

	int err = session_end_window(a->session, &account, &profile);
	accounting_add(&a->total, &account);
	if (err < 0) {
		log_line(LOG_ERROR, "building a window: %s; its %" PRIu64 " samples are counted as dropped", strerror(-err),
			 account.dropped[ACCOUNT_OUT_OF_MEMORY]);
		return err == -ENOMEM ? 0 : err;
	}
	if (!accounting_holds(&account))
		log_line(LOG_ERROR, "the accounting of a window does not add up; please report this");
	if (session_lacks_kernel_names(a->session) && !a->said_no_kernel) {
		log_line(LOG_WARNING, "kernel symbols cannot be read: kernel frames are [kernel+0x...]; give hearth CAP_SYSLOG, and set "
				      "kernel.kptr_restrict to 0 or 1");
		a->said_no_kernel = true;
	}
	say_names_trouble(a);
	say_late_names(a);
	/* A window without sampling is none; but what ticked before the events were off is in it, and is not lost. */
	if (a->is_sampled || account.samples) {
		accounting_describe(&account, text, sizeof(text));
		outputs_put(a->outputs, profile, text);
		say_incomplete(profile);
		say_jit(a, &account);
	}
	outputs_refresh(a->outputs);
	govern(a, &account, (uint64_t)profile->duration_ns);
	profile_free(profile);
	window_times_add(&a->times, clock_ns(CLOCK_MONOTONIC) - begin_ns);
	a->state_ns = 0;
	return 0;
}

static void change_sinks(struct agent *a)
{
	struct upload_config *config;
	struct why why = {"out of memory"};

	int err = agent_options_sinks(&a->options, &config, &why);
	if (err == 0 && (err = outputs_reconfigure(a->outputs, config)) < 0) {
		why_set(&why, err, "telling the processes that send: %s", strerror(-err));
		upload_config_free(config);
	}
	if (err < 0)
		log_line(LOG_ERROR, "the sinks stay as they were until the next SIGHUP or restart: %s", why.text);
}

/* All or nothing: a file with anything wrong in it changes nothing. */
static void reload(struct agent *a)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct agent_options next = {.output = NULL};
	struct agent_change change;
	char text[1024];

	int err = problems ? agent_options_load(a->argc, a->argv, &next, problems) : -ENOMEM;
	for (size_t i = 0; err == -EINVAL && i < problems->n; i++) {
		config_problem_describe(&problems->list[i], next.config ? next.config : "", text, sizeof(text));
		log_line(LOG_ERROR, "%s", text);
	}
	if (err == 0)
		err = agent_options_apply(&a->options, &next, &change);
	agent_options_deinit(&next);
	if (err < 0) {
		log_line(LOG_ERROR, "the configuration stays as it was%s", err == -ENOMEM ? ": out of memory" : "");
		return;
	}
	if (change.log)
		log_setup(a->options.log_format == 1, a->options.quiet);
	if (change.sinks)
		change_sinks(a);
	if (change.sampling) {
		struct pace_settings pace = pace_settings(&a->options);
		pace_set(&a->pace, &pace);
		a->end_now = true;
	}
	log_line(LOG_INFO, "configuration read again: %s", change.live[0] ? change.live : "nothing changed");
	if (change.restart[0])
		log_line(LOG_WARNING, "these take effect after a restart only: %s", change.restart);
}

static void describe_store(const struct agent *a, struct control_reply *reply)
{
	struct store_client_stats stats;

	outputs_stats(a->outputs, &stats);
	control_reply_add(reply, "windows_stored", "%" PRIu64, stats.stored);
	control_reply_add(reply, "windows_waiting", "%" PRIu64, stats.waiting);
	control_reply_add(reply, "windows_lost", "%" PRIu64, stats.dropped);
	if (agent_options_has_store(&a->options))
		control_reply_add(reply, "store_bytes", "%" PRIu64, stats.report.store.bytes);
}

/* Of each server what it has got, and what is wrong with it. */
static void describe_sinks(const struct agent *a, struct control_reply *reply)
{
	const struct upload_config *config = outputs_config(a->outputs);
	struct store_client_stats store;

	outputs_stats(a->outputs, &store);
	for (size_t i = 0; i < config->n_sinks; i++) {
		char name[SINK_NAME_MAX + 16];
		struct upload_status status;
		if (config->sinks[i].config.kind == SINK_DIR)
			continue;
		outputs_status(a->outputs, i, &status);
		snprintf(name, sizeof(name), "sink_%s", config->sinks[i].config.name);
		control_reply_add(reply, name, "sent %" PRIu64 " windows, dropped %" PRIu64 ", passed over %" PRIu64 ", waiting %" PRIu64 ", %" PRIu64 " bytes%s%s",
				  status.windows_sent, status.windows_dropped, store.report.store.outbox_dropped[i] + store.report.passed_over[i],
				  store.report.store.outbox_windows[i], status.bytes_sent, status.last_error[0] ? "; " : "", status.last_error);
		if (config->sinks[i].config.kind != SINK_PARCA || config->sinks[i].config.symbolize == SYMBOLIZE_LOCAL)
			continue;
		snprintf(name, sizeof(name), "debuginfo_%s", config->sinks[i].config.name);
		control_reply_add(reply, name, "sent %" PRIu64 " files (%" PRIu64 " bytes), it had %" PRIu64 ", %" PRIu64 " have none, %" PRIu64 " given up, %" PRIu64
				  " waiting", status.debuginfo_sent, status.debuginfo_bytes, status.debuginfo_known, status.debuginfo_missing,
				  status.debuginfo_given_up, status.debuginfo_waiting);
	}
}

static const char *state_name(const struct agent *a)
{
	const struct pace *p = &a->pace;

	return p->pause_end_ns ? "paused" : !pace_is_sampling(p) ? "left_out" : p->boost_hz ? "boosted" : "sampling";
}

static void describe_state(const struct agent *a, struct control_reply *reply)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	const struct pace *p = &a->pace;
	struct session_stats stats;

	session_stats(a->session, &stats);
	control_reply_add(reply, "state", "%s", state_name(a));
	control_reply_add(reply, "rate_hz", "%" PRIu64, pace_rate_hz(p));
	control_reply_add(reply, "wanted_hz", "%" PRIu64, p->governor.wanted_hz);
	if (p->boost_hz)
		control_reply_add(reply, "boost_left_s", "%.1f", p->boost_end_ns > now_ns ? (double)(p->boost_end_ns - now_ns) / 1e9 : 0);
	if (p->pause_end_ns && p->pause_end_ns != PACE_FOREVER)
		control_reply_add(reply, "pause_left_s", "%.1f", p->pause_end_ns > now_ns ? (double)(p->pause_end_ns - now_ns) / 1e9 : 0);
	control_reply_add(reply, "window_s", "%.3f", (double)p->settings.window_ns / 1e9);
	control_reply_add(reply, "sample_fraction", "%.9g", p->settings.sample_fraction);
	control_reply_add(reply, "windows", "%" PRIu64, a->total.windows);
	control_reply_add(reply, "samples", "%" PRIu64, a->total.samples);
	control_reply_add(reply, "dropped", "%" PRIu64, accounting_dropped(&a->total));
	if (a->own_window_ns && stats.cpus > 0)
		control_reply_add(reply, "own_cpu_percent", "%.4f", 100 * (double)a->own_ns / ((double)a->own_window_ns * stats.cpus));
	control_reply_add(reply, "max_cpu_percent", "%.9g", 100 * p->settings.max_share);
	control_reply_add(reply, "cpus", "%d", stats.cpus);
	control_reply_add(reply, "uptime_s", "%.0f", (double)(now_ns - a->start_ns) / 1e9);
	control_reply_add(reply, "pid", "%d", (int)getpid());
	control_reply_add(reply, "version", "%s", HEARTH_VERSION);
	describe_store(a, reply);
	describe_sinks(a, reply);
	if (a->options.config)
		control_reply_add(reply, "config", "%s", a->options.config);
}

/* --- the page ---------------------------------------------------------------------------------------------------- */

static void collect_numbers(const struct agent *a, struct web_samples *samples)
{
	const struct upload_config *config = outputs_config(a->outputs);
	struct store_client_stats store;
	struct session_stats stats;

	session_stats(a->session, &stats);
	outputs_stats(a->outputs, &store);
	samples->n = 0;
	web_samples_add(samples, METRIC_BUILD_INFO, HEARTH_VERSION, 1);
	web_samples_add(samples, METRIC_UPTIME_SECONDS, NULL, (double)(clock_ns(CLOCK_MONOTONIC) - a->start_ns) / 1e9);
	web_samples_add(samples, METRIC_STATE, state_name(a), 1);
	web_samples_add(samples, METRIC_RATE_HZ, NULL, (double)pace_rate_hz(&a->pace));
	web_numbers_windows(samples, &a->total, &a->times);
	web_numbers_session(samples, &stats);
	if (agent_options_has_store(&a->options))
		web_numbers_store(samples, &store);
	for (size_t i = 0; i < config->n_sinks; i++) {
		struct upload_status status;
		outputs_status(a->outputs, i, &status);
		if (config->sinks[i].config.kind != SINK_DIR)
			web_numbers_sink(samples, config->sinks[i].config.name, &status, store.report.store.outbox_dropped[i] + store.report.passed_over[i],
					 store.report.store.outbox_windows[i]);
	}
	web_numbers_process(samples, "agent", getpid(), clock_ns(CLOCK_PROCESS_CPUTIME_ID), 0);
	outputs_numbers(a->outputs, samples);
}

/* What `hearth control status` tells, as a JSON object. */
static int write_state(const struct agent *a, char **text_out, size_t *n_out)
{
	struct control_reply reply = {.n = 0};
	struct json_writer writer;

	FILE *stream = open_memstream(text_out, n_out);
	if (!stream)
		return -ENOMEM;
	describe_state(a, &reply);
	json_writer_init(&writer, stream);
	json_object_begin(&writer, NULL);
	control_reply_json(reply.text, &writer);
	json_object_end(&writer);
	return fclose(stream) == 0 ? 0 : -ENOMEM;
}

static void tell_page(struct agent *a)
{
	struct web_client *web = outputs_web(a->outputs);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	AUTO_FREE struct web_samples *samples = NULL;
	AUTO_FREE char *json = NULL;
	struct why why;
	size_t n = 0;

	if (!web || (now_ns < a->state_ns && !web_client_wants_state(web)))
		return;
	a->state_ns = now_ns + STATE_NS;
	samples = malloc(sizeof(*samples));
	if (!samples || write_state(a, &json, &n) < 0)
		return;
	collect_numbers(a, samples);
	web_client_state(web, samples, json, n, outputs_fail(a->outputs, &why) ? why.text : NULL);
}

/* A control_fn. */
static void obey(void *agent, const struct control_request *request, struct control_reply *reply)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct agent *a = agent;

	switch (request->verb) {
	case CONTROL_STATUS:
		describe_state(a, reply);
		return;
	case CONTROL_RATE:
		if (request->rate_hz > rate_limit_hz()) {
			control_reply_fail(reply, "%" PRIu64 " Hz is above this machine's limit (sysctl kernel.perf_event_max_sample_rate)", request->rate_hz);
			return;
		}
		pace_resume(&a->pace);
		pace_boost(&a->pace, request->rate_hz, now_ns + request->for_ns);
		log_line(LOG_INFO, "asked to sample at %" PRIu64 " Hz for %.0f s", request->rate_hz, (double)request->for_ns / 1e9);
		break;
	case CONTROL_PAUSE:
		pace_pause(&a->pace, request->for_ns ? now_ns + request->for_ns : PACE_FOREVER);
		log_line(LOG_WARNING, request->for_ns ? "asked to pause for %.0f s" : "asked to pause, until 'hearth control resume'",
			 (double)request->for_ns / 1e9);
		break;
	case CONTROL_RESUME:
		pace_resume(&a->pace);
		pace_end_boost(&a->pace);
		log_line(LOG_INFO, "asked to sample as usual");
		break;
	}
	a->end_now = true;
}

/* Returns true for SIGTERM and SIGINT. */
static bool told_to_stop(struct agent *a)
{
	struct signalfd_siginfo info;

	while (read(a->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			return true;
		reload(a);
	}
	return false;
}

static int next_window(struct agent *a)
{
	int err = end_window(a);

	pace_expire(&a->pace, clock_ns(CLOCK_MONOTONIC));
	begin_window(a);
	return err;
}

static int run(struct agent *a)
{
	int err = 0;

	while (err == 0) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), due_ns = pace_due_ns(&a->pace);
		if (now_ns >= due_ns || a->end_now) {
			err = next_window(a);
			continue;
		}
		struct pollfd fds[3 + OUTPUTS_FDS] = {
			{.fd = session_fd(a->session), .events = POLLIN},
			{.fd = a->signal_fd, .events = POLLIN},
			{.fd = a->control ? control_fd(a->control) : -1, .events = POLLIN},
		};
		uint64_t outputs_due_ns = outputs_poll(a->outputs, fds + 3);
		if (due_ns > outputs_due_ns)
			due_ns = outputs_due_ns;
		if (outputs_web(a->outputs) && due_ns > a->state_ns)
			due_ns = a->state_ns;
		uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns) / NS_PER_MS + 1 : 0;
		if (poll(fds, 3 + OUTPUTS_FDS, (int)left_ms) < 0 && errno != EINTR)
			return -errno;
		if (told_to_stop(a))
			break;
		if (a->control)
			control_work(a->control, clock_ns(CLOCK_MONOTONIC), obey, a);
		err = session_work(a->session);
		if (outputs_work(a->outputs) < 0 && err == 0) {
			log_line(LOG_ERROR, "the process that keeps hearth-store running has died: windows cannot be kept any more");
			err = -ECHILD;
		}
		tell_page(a);
	}
	session_stop(a->session);
	int last_err = end_window(a);
	return err < 0 ? err : last_err;
}

int cmd_agent(int argc, char **argv, struct zygote *zygote)
{
	struct agent a = {.signal_fd = -1, .zygote = zygote, .argc = argc, .argv = argv};
	char text[1024];

	int status = agent_options_parse(argc, argv, &a.options);
	if (status)
		return status - 1;
	log_setup(a.options.log_format == 1, a.options.quiet);
	/* First of all: what it forks later holds nothing of what is loaded here. */
	int err = outputs_services_create(&a.services);
	if (err < 0)
		log_line(LOG_ERROR, "starting the process that keeps hearth-store running: %s", strerror(-err));
	else
		err = start(&a);
	if (err == 0) {
		err = run(&a);
		if (err < 0)
			log_line(LOG_ERROR, "sampling ended: %s", strerror(-err));
		outputs_close(a.outputs);
		a.outputs = NULL;
		accounting_describe(&a.total, text, sizeof(text));
		log_line(LOG_INFO, "stopped after %" PRIu64 " windows: %s", a.total.windows, text);
	}
	outputs_close(a.outputs);
	services_destroy(a.services);
	session_close(a.session);
	control_close(a.control);
	agent_options_deinit(&a.options);
	if (a.signal_fd >= 0)
		close(a.signal_fd);
	return err < 0 ? STATUS_FAILED : STATUS_OK;
}
