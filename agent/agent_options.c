#include "agent/agent_options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/arguments.h"
#include "agent/config_file.h"
#include "agent/listen_address.h"
#include "agent/name_cache.h"
#include "agent/nearest_name.h"
#include "agent/rate_limit.h"
#include "agent/store_folder.h"
#include "agent/store_levels.h"
#include "agent/unwinder.h"
#include "agent/web_client.h"
#include "base/clock.h"
#include "base/scope.h"
#include "store/store.h"

#define DONE(status) ((status) + 1)
#define DAYS_MAX     3650
#define UPLOADS_MAX  64 /* on the command line: sinks and their settings */

static const char *const LOG_FORMATS[] = {"text", "json", NULL};

#define AT(member) offsetof(struct agent_options, member)
#define GIB	   (1ull << 30)

static const struct setting SETTINGS[] = {
	{.name = "store", .kind = SETTING_TEXT, .offset = AT(store), .argument = "DIR",
	 .help = "the store (/var/lib/hearth for root, else ~/.local/state/hearth; none: no store)"},
	{.name = "store-days", .kind = SETTING_NUMBER, .offset = AT(store_days), .low = 1, .high = DAYS_MAX, .usual = "7", .argument = "DAYS",
	 .help = "older windows go (7)"},
	{.name = "store-bytes", .kind = SETTING_BYTES, .offset = AT(store_bytes), .low = STORE_BYTES_MIN, .high = 1ull << 50, .usual = "1G", .argument = "BYTES",
	 .help = "of that folder, such as 500M: the oldest windows go first (1G)"},
	{.name = "store-levels", .kind = SETTING_TEXT, .offset = AT(store_levels), .usual = STORE_LEVELS_USUAL, .argument = "LEVELS",
	 .help = "how old windows are merged: AGE:WINDOW ..., or none (" STORE_LEVELS_USUAL ")"},
	{.name = "outbox-bytes", .kind = SETTING_BYTES, .offset = AT(outbox_bytes), .high = 1ull << 50, .usual = "512M", .argument = "BYTES",
	 .help = "what may wait for servers that are away, in the store; the oldest are passed over first (512M)"},
	{.name = "outbox-days", .kind = SETTING_NUMBER, .offset = AT(outbox_days), .low = 1, .high = DAYS_MAX, .usual = "2", .argument = "DAYS",
	 .help = "how long it may wait (2)"},
	{.name = "output", .kind = SETTING_TEXT, .offset = AT(output), .argument = "DIR",
	 .help = "a folder that gets each window as a file, hearth-<UTC time>.pb.gz; created if it is missing"},
	{.name = "output-bytes", .kind = SETTING_BYTES, .offset = AT(output_bytes), .low = 1 << 16, .high = 1ull << 60, .usual = "1G", .argument = "BYTES",
	 .help = "the folder's budget, such as 500M: the oldest windows go first (1G)"},
	{.name = "freq", .letter = 'F', .is_live = true, .kind = SETTING_NUMBER, .offset = AT(rate_hz), .low = 1, .high = 1000000, .usual = "19",
	 .argument = "HZ", .help = "samples a second on each CPU (19)"},
	{.name = "window", .is_live = true, .kind = SETTING_DURATION, .offset = AT(window_ns), .low = NS_PER_S / 10, .high = 3600 * NS_PER_S, .usual = "10",
	 .argument = "SECONDS", .help = "length of a window, such as 10 or 1m, from 0.1 s to 1 h (10)"},
	{.name = "window-jitter", .is_live = true, .kind = SETTING_FLAG, .offset = AT(window_jitter), .usual = "true",
	 .help = "end windows at this host's own phase of the clock, so that a fleet does not send at once (true)"},
	{.name = "sample-fraction", .is_live = true, .kind = SETTING_FRACTION, .offset = AT(sample_fraction), .usual = "1", .argument = "F",
	 .help = "sample only this fraction of windows, such as 0.1; the weight 1/F is in the profiles' comments (1)"},
	{.name = "event", .letter = 'e', .kind = SETTING_TEXT, .offset = AT(event_name), .argument = "EVENT",
	 .help = "cycles, cpu-clock or task-clock (cycles where there is a PMU, else cpu-clock)"},
	{.name = "idle", .kind = SETTING_FLAG, .offset = AT(idle), .help = "sample also the idle task"},
	{.name = "tid", .kind = SETTING_FLAG, .offset = AT(tid),
	 .help = "tell threads apart by their ids: a label tid on each sample, and a row for each thread"},
	{.name = "host-root", .kind = SETTING_TEXT, .offset = AT(host_root), .argument = "DIR",
	 .help = "where the host's files are, for hearth in a container: /sys/fs/cgroup, /var/log and /etc/hostname below it"},
	{.name = "max-cpu", .is_live = true, .kind = SETTING_PERCENT, .offset = AT(max_share), .usual = "1", .argument = "PERCENT",
	 .help = "hearth's own budget, of the whole machine: above it, it lowers its rate (1)"},
	{.name = "unwind-budget", .kind = SETTING_BYTES, .offset = AT(unwind_budget_bytes), .low = UNWIND_BUDGET_MIN, .high = UNWIND_BUDGET_MAX,
	 .usual = "64M", .argument = "BYTES", .help = "memory in the kernel for the unwind tables of code without frame pointers (64M)"},
	{.name = "demangle", .kind = SETTING_CHOICE, .offset = AT(demangle), .choices = argument_demangle_styles, .usual = "full", .argument = "STYLE",
	 .help = "names in full, short (without parameters and template arguments), or none: as the linker saw them (full)"},
	{.name = "name-cache", .kind = SETTING_TEXT, .offset = AT(name_cache), .argument = "DIR",
	 .help = "where what debug information says is kept (/var/cache/hearth for root, else ~/.cache/hearth)"},
	{.name = "name-cache-budget", .kind = SETTING_BYTES, .offset = AT(name_cache_bytes), .high = NAME_CACHE_BUDGET_MAX, .usual = "256M",
	 .argument = "BYTES", .help = "of that folder, such as 1G: the least recently used goes first (256M; 0: none is kept)"},
	{.name = "debuginfod", .kind = SETTING_TEXT, .offset = AT(debuginfod_urls), .argument = "URLS",
	 .help = "servers of debug files that are not here (DEBUGINFOD_URLS); '' asks none"},
	{.name = "symbolize", .is_live = true, .kind = SETTING_CHOICE, .offset = AT(symbolize), .choices = sink_symbolize_names, .usual = "local",
	 .argument = "WHO", .help = "who names the addresses of programs: local (hearth), server (it gets addresses and, parca, debug information), or both;\n"
				    "for the servers that can, unless their own settings say it (local)"},
	{.name = "kernel-addresses", .kind = SETTING_FLAG, .offset = AT(kernel_addresses),
	 .help = "write the kernel's addresses into profiles, not only its function names"},
	{.name = "listen", .kind = SETTING_TEXT, .offset = AT(listen), .usual = "127.0.0.1:7117", .argument = "[HOST:]PORT",
	 .help = "where the page, its API and /metrics are served: an address of this machine, * for all of them, or none (127.0.0.1:7117);\n"
		 "beyond loopback a token and TLS are needed"},
	{.name = "listen-token", .kind = SETTING_TEXT, .offset = AT(listen_token), .argument = "FILE",
	 .help = "a file with the token that browsers and programs must know (make one: openssl rand -hex 32)"},
	{.name = "listen-cert", .kind = SETTING_TEXT, .offset = AT(listen_cert), .argument = "FILE", .help = "TLS: the certificate and those above it (PEM)"},
	{.name = "listen-key", .kind = SETTING_TEXT, .offset = AT(listen_key), .argument = "FILE", .help = "TLS: its key (PEM)"},
	{.name = "listen-host", .kind = SETTING_TEXT, .offset = AT(listen_host), .argument = "NAMES",
	 .help = "names that browsers may know this machine by, such as profiles.example.com, with commas between"},
	{.name = "control", .kind = SETTING_TEXT, .offset = AT(control), .argument = "PATH",
	 .help = "socket for 'hearth control' (/run/hearth/control.sock for root); '' has none"},
	{.name = "log-format", .is_live = true, .kind = SETTING_CHOICE, .offset = AT(log_format), .choices = LOG_FORMATS, .usual = "text",
	 .argument = "FORMAT", .help = "text or json (text)"},
	{.name = "quiet", .letter = 'q', .is_live = true, .kind = SETTING_FLAG, .offset = AT(quiet), .help = "log warnings and errors only"},
};
#define N_SETTINGS (sizeof(SETTINGS) / sizeof(SETTINGS[0]))

const struct setting *agent_settings(size_t *n_out)
{
	*n_out = N_SETTINGS;
	return SETTINGS;
}

static void print_help(void)
{
	fputs("Usage: hearth agent [OPTION]...\n"
	      "\n"
	      "Profile the whole machine all the time, until SIGTERM: each window goes into a store on this machine, and from there to servers.\n"
	      "\n",
	      stdout);
	settings_help(SETTINGS, N_SETTINGS, stdout);
	fputs("      --upload KIND=URL     send windows to a server: pyroscope=URL, parca=HOST:PORT, otlp=URL, http=URL; or dir=PATH; may be repeated\n"
	      "      --upload-set SINK.KEY=VALUE\n"
	      "                            a setting of a sink, such as pyroscope.labels.env=prod (see hearth.toml(5)); may be repeated\n"
	      "      --config FILE         configuration file (" CONFIG_FILE ", where there is one; '' reads none)\n"
	      "  -h, --help                this text\n"
	      "\n"
	      "Each option is a variable too (--max-cpu: HEARTH_MAX_CPU), and a key in the configuration file (max_cpu): options win over variables, and these\n"
	      "over the file. 'hearth check --config FILE' checks one; SIGHUP reads it again.\n",
	      stdout);
}

/* --- the command line ---------------------------------------------------------------------------------------- */

/* What was said, not yet read: the command line has the last word, but is looked at first. */
struct said {
	const char *values[N_SETTINGS];
	const char *uploads[UPLOADS_MAX], *sets[UPLOADS_MAX];
	size_t n_uploads, n_sets;
	const char *config;
};

enum { OPTION_SETTING = 256, OPTION_UPLOAD = 1024, OPTION_UPLOAD_SET, OPTION_CONFIG };

static void list_options(struct option options[N_SETTINGS + 5], char letters[2 * N_SETTINGS + 2])
{
	size_t n = 0;

	for (size_t i = 0; i < N_SETTINGS; i++) {
		bool is_flag = SETTINGS[i].kind == SETTING_FLAG;
		options[i] = (struct option){SETTINGS[i].name, is_flag ? optional_argument : required_argument, NULL, OPTION_SETTING + (int)i};
		if (!SETTINGS[i].letter)
			continue;
		letters[n++] = SETTINGS[i].letter;
		if (!is_flag)
			letters[n++] = ':';
	}
	letters[n++] = 'h';
	letters[n] = '\0';
	options[N_SETTINGS] = (struct option){"upload", required_argument, NULL, OPTION_UPLOAD};
	options[N_SETTINGS + 1] = (struct option){"upload-set", required_argument, NULL, OPTION_UPLOAD_SET};
	options[N_SETTINGS + 2] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
	options[N_SETTINGS + 3] = (struct option){"help", no_argument, NULL, 'h'};
	options[N_SETTINGS + 4] = (struct option){0};
}

static int keep_one(const char **list, size_t *n, const char *option)
{
	if (*n == UPLOADS_MAX)
		return DONE(usage_error("agent", "more than %d times %s", UPLOADS_MAX, option));
	list[(*n)++] = optarg;
	return 0;
}

static int take_option(int option, struct said *said)
{
	switch (option) {
	case OPTION_UPLOAD:
		return keep_one(said->uploads, &said->n_uploads, "--upload");
	case OPTION_UPLOAD_SET:
		return keep_one(said->sets, &said->n_sets, "--upload-set");
	case OPTION_CONFIG:
		said->config = optarg;
		return 0;
	case 'h':
		print_help();
		return DONE(STATUS_OK);
	case '?':
		fprintf(stderr, "hearth: see 'hearth agent --help'\n");
		return DONE(STATUS_USAGE);
	}
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (option == OPTION_SETTING + (int)i || option == SETTINGS[i].letter)
			said->values[i] = optarg ? optarg : "true";
	return 0;
}

static int read_command_line(int argc, char **argv, struct said *said)
{
	struct option options[N_SETTINGS + 5];
	char letters[2 * N_SETTINGS + 2];

	list_options(options, letters);
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, letters, options, NULL)) >= 0;) {
		int status = take_option(option, said);
		if (status)
			return status;
	}
	if (optind < argc)
		return DONE(usage_error("agent", "what is '%s'? 'hearth record' runs commands", argv[optind]));
	return 0;
}

/* --- the file, the variables, the options -------------------------------------------------------------------- */

static int tell(struct config_problems *problems, const char *where, int err, const struct why *why)
{
	if (err < 0 && err != -ENOMEM)
		config_problem(problems, 0, "%s: %s", where, why->text);
	return err == -ENOMEM ? err : 0;
}

static int take_file(const struct said *said, struct agent_options *o, struct config_problems *problems)
{
	const char *variable = getenv("HEARTH_CONFIG");
	const char *path = said->config ? said->config : variable && *variable ? variable : NULL;
	AUTO_FREE char *text = NULL;
	struct why why;
	size_t bytes;

	if (path && !*path)
		return 0;
	int err = config_file_load(path ? path : CONFIG_FILE, true, &text, &bytes, &why);
	if (err == -ENOENT && !path)
		return 0;
	o->config = strdup(path ? path : CONFIG_FILE);
	if (!o->config || err == -ENOMEM)
		return -ENOMEM;
	if (err < 0) {
		config_problem(problems, 0, "%s", why.text);
		return 0;
	}
	err = config_file_read(text, bytes, SETTINGS, N_SETTINGS, o, &o->sinks, problems);
	return err == -ENOMEM ? err : 0;
}

static int take_variables(struct agent_options *o, struct config_problems *problems)
{
	char variable[SETTING_NAME_MAX];
	struct why why;
	int err = 0;

	for (size_t i = 0; i < N_SETTINGS && err == 0; i++) {
		setting_variable(&SETTINGS[i], variable);
		const char *value = getenv(variable);
		if (value && *value)
			err = tell(problems, variable, setting_take(&SETTINGS[i], o, value, &why), &why);
	}
	return err;
}

static int take_said(const struct said *said, struct agent_options *o, struct config_problems *problems)
{
	char option[SETTING_NAME_MAX];
	struct why why;
	int err = 0;

	for (size_t i = 0; i < N_SETTINGS && err == 0; i++) {
		snprintf(option, sizeof(option), "--%s", SETTINGS[i].name);
		if (said->values[i])
			err = tell(problems, option, setting_take(&SETTINGS[i], o, said->values[i], &why), &why);
	}
	return err;
}

/* --- sinks by options and variables -------------------------------------------------------------------------- */

static int add_upload(struct agent_options *o, const char *where, const char *text, struct config_problems *problems)
{
	struct sink_config sink;
	struct why why;

	int err = sink_config_parse(text, &sink, &why);
	if (err == 0)
		err = sink_list_add(&o->sinks, &sink, 0, NULL, &why);
	return tell(problems, where, err, &why);
}

/* Names of headers whose values are not for everybody's eyes. */
static bool is_secret(const char *key)
{
	static const char *const WORDS[] = {"auth", "token", "key", "secret", "password", "cookie", "credential"};

	if (strncmp(key, "headers.", 8) != 0)
		return false;
	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++)
		if (strcasestr(key, WORDS[i]))
			return true;
	return false;
}

/* SINK.KEY=VALUE; sinks have their names by then. is_seen: by everybody, in the list of processes. */
static int set_upload(struct agent_options *o, const char *where, const char *text, bool is_seen, struct config_problems *problems)
{
	const char *equals = strchr(text, '='), *best = NULL;
	struct listed_sink *sink = NULL;
	struct why why;
	size_t name = 0;

	/* Names may have dots in them: the longest one that fits is meant. */
	for (size_t i = 0; equals && i < o->sinks.n; i++) {
		const char *candidate = o->sinks.sinks[i].config.name;
		size_t n = strlen(candidate);
		if (n > name && strncmp(text, candidate, n) == 0 && text[n] == '.') {
			sink = &o->sinks.sinks[i];
			name = n;
		}
	}
	if (!sink) {
		config_problem(problems, 0, "%s: it is not SINK.KEY=VALUE with the name of a sink, such as pyroscope.labels.env=prod", where);
		return 0;
	}
	AUTO_FREE char *key = strndup(text + name + 1, (size_t)(equals - text) > name ? (size_t)(equals - text) - name - 1 : 0);
	if (!key)
		return -ENOMEM;
	if (strcmp(key, "name") == 0) {
		config_problem(problems, 0, "%s: a sink's name is given in the configuration file", where);
		return 0;
	}
	if (is_seen && is_secret(key)) {
		config_problem(problems, 0, "%s: %s would be seen in the list of processes: put it into the configuration file", where, key);
		return 0;
	}
	int err = sink_config_set(&sink->config, key, equals + 1, &why);
	if (err != -ENOENT)
		return tell(problems, where, err, &why);
	for (const char *const *known = sink_config_keys(); *known; known++)
		nearest_name(key, *known, &best);
	config_problem(problems, 0, "%s: %s%s%s%s", where, why.text, best ? "; did you mean '" : "", best ? best : "", best ? "'?" : "");
	return 0;
}

/* The words of a variable, one by one: call fn for each. */
static int take_words(struct agent_options *o, const char *variable, bool is_set, struct config_problems *problems)
{
	const char *value = getenv(variable);
	AUTO_FREE char *copy = strdup(value ? value : "");
	int err = copy ? 0 : -ENOMEM;

	for (char *rest = NULL, *word = copy ? strtok_r(copy, " \t\n", &rest) : NULL; word && err == 0; word = strtok_r(NULL, " \t\n", &rest))
		err = is_set ? set_upload(o, variable, word, false, problems) : add_upload(o, variable, word, problems);
	return err;
}

static int take_uploads(const struct said *said, struct agent_options *o, struct config_problems *problems)
{
	const char *variable = getenv("HEARTH_UPLOAD");
	struct why why;
	int err = 0;

	/* Who names sinks replaces those of the file. */
	if (said->n_uploads || (variable && *variable))
		sink_list_clear(&o->sinks);
	if (!said->n_uploads)
		err = take_words(o, "HEARTH_UPLOAD", false, problems);
	for (size_t i = 0; i < said->n_uploads && err == 0; i++)
		err = add_upload(o, "--upload", said->uploads[i], problems);
	/* Names first, since settings go by them; two of the same name are told below. */
	if (err == 0 && sink_list_name_all(&o->sinks, &why) == 0)
		err = take_words(o, "HEARTH_UPLOAD_SET", true, problems);
	for (size_t i = 0; i < said->n_sets && err == 0; i++)
		err = set_upload(o, "--upload-set", said->sets[i], true, problems);
	if (err == 0)
		err = config_check_sinks(&o->sinks, problems);
	return err == -ENOMEM ? err : 0;
}

/* --- all together -------------------------------------------------------------------------------------------- */

bool agent_options_has_store(const struct agent_options *o)
{
	return !o->store || (o->store[0] && strcmp(o->store, "none") != 0);
}

static bool is_given(const char *file)
{
	return file && *file;
}

/* Who can be reached by others asks for a token, and lets nobody listen in. */
static void check_listen(const struct agent_options *o, struct config_problems *problems)
{
	struct listen_address address;
	struct web_settings names;
	struct why why;

	if (listen_address_parse(o->listen, &address, &why) < 0) {
		config_problem(problems, 0, "listen: %s", why.text);
		return;
	}
	if (web_names_parse(o->listen_host, &names, &why) < 0)
		config_problem(problems, 0, "listen_host: %s", why.text);
	if (is_given(o->listen_cert) != is_given(o->listen_key))
		config_problem(problems, 0, "--listen-cert and --listen-key belong together: TLS needs both");
	if (address.is_open && (!is_given(o->listen_token) || !is_given(o->listen_cert)))
		config_problem(problems, 0,
			       "--listen %s can be reached from other machines: it needs a token (--listen-token FILE; make one: openssl rand -hex 32 >FILE) and TLS "
			       "(--listen-cert FILE --listen-key FILE); or leave it at 127.0.0.1, and use ssh -L 7117:127.0.0.1:7117",
			       o->listen);
}

static void check(const struct agent_options *o, struct config_problems *problems)
{
	bool has_output = o->output && *o->output, has_folder = has_output, has_server = false;
	struct store_level levels[STORE_LEVELS_MAX];
	struct why why;

	for (size_t i = 0; i < o->sinks.n; i++) {
		has_folder = has_folder || o->sinks.sinks[i].config.kind == SINK_DIR;
		has_server = has_server || o->sinks.sinks[i].config.kind != SINK_DIR;
	}
	if (o->store_levels && store_levels_parse(o->store_levels, levels, &why) < 0)
		config_problem(problems, 0, "store_levels: %s", why.text);
	if (has_server && !agent_options_has_store(o))
		config_problem(problems, 0, "--upload needs a store (--store DIR): windows wait there until the server has them");
	else if (!agent_options_has_store(o) && !has_folder)
		config_problem(problems, 0, "without a store --output DIR is needed: where the windows go");
	if (has_output && o->store && strcmp(o->output, o->store) == 0)
		config_problem(problems, 0, "--store and --output are the same folder; without --output the store has all windows");
	check_listen(o, problems);
	if (has_output && o->sinks.n == SINKS_MAX)
		config_problem(problems, 0, "--output is a sink too: at most %d others", SINKS_MAX - 1);
}

/* What this machine must have for it. Returns 0, or the exit status with why. */
static int check_machine_has(struct agent_options *o, struct why *why)
{
	const char *name = o->event_name && *o->event_name ? o->event_name : NULL;

	int err = event_find(name, &o->event);
	if (err == 0 && !o->event.is_time)
		return why_set(why, STATUS_USAGE, "'%s' is not a clock; 'hearth record -e %s' counts it", name, name);
	if (err == -ENOENT)
		return why_set(why, STATUS_USAGE, "there is no event '%s' here", name);
	if (err < 0)
		return why_set(why, STATUS_FAILED, "this machine has no '%s' counter; use -e cpu-clock", name ? name : "cycles");
	if (o->rate_hz > rate_limit_hz())
		return why_set(why, STATUS_FAILED,
			       "-F %" PRIu64 " is above this machine's limit; raise it: sysctl kernel.perf_event_max_sample_rate=%" PRIu64, o->rate_hz,
			       o->rate_hz);
	return 0;
}

static int read_all(const struct said *said, struct agent_options *o, struct config_problems *problems)
{
	const char *urls = getenv("DEBUGINFOD_URLS");

	int err = settings_init(SETTINGS, N_SETTINGS, o);
	if (err == 0 && urls && !(o->debuginfod_urls = strdup(urls)))
		err = -ENOMEM;
	if (err == 0)
		err = take_file(said, o, problems);
	if (err == 0)
		err = take_variables(o, problems);
	if (err == 0)
		err = take_said(said, o, problems);
	if (err == 0)
		err = take_uploads(said, o, problems);
	if (err == 0)
		check(o, problems);
	return err;
}

int agent_options_load(int argc, char **argv, struct agent_options *o_out, struct config_problems *problems)
{
	struct said said = {.config = NULL};
	struct why why;

	*o_out = (struct agent_options){.output = NULL};
	if (read_command_line(argc, argv, &said))
		return -EINVAL;
	int err = read_all(&said, o_out, problems);
	if (err == 0 && problems->n == 0 && check_machine_has(o_out, &why))
		config_problem(problems, 0, "%s", why.text);
	config_problems_sort(problems);
	return err < 0 ? err : problems->n ? -EINVAL : 0;
}

/* A variable that is nearly one of ours is said; others may be somebody else's (Kubernetes sets HEARTH_PORT for a service of that name). */
static void warn_of_variables(void)
{
	char known[SETTING_NAME_MAX], best_known[SETTING_NAME_MAX];

	for (char **variable = environ; *variable; variable++) {
		char name[SETTING_NAME_MAX];
		size_t n = strcspn(*variable, "=");
		bool is_known = n >= sizeof(name) || strncmp(*variable, "HEARTH_", 7) != 0 || strncmp(*variable, "HEARTH_UPLOAD=", n + 1) == 0;
		unsigned best = 3;
		if (is_known)
			continue;
		memcpy(name, *variable, n);
		name[n] = '\0';
		if (strcmp(name, "HEARTH_UPLOAD_SET") == 0 || strcmp(name, "HEARTH_CONFIG") == 0 || strcmp(name, "HEARTH_DEBUG") == 0)
			continue;
		for (size_t i = 0; i < N_SETTINGS; i++) {
			setting_variable(&SETTINGS[i], known);
			unsigned distance = name_distance(name, known);
			if (distance < best) {
				best = distance;
				memcpy(best_known, known, sizeof(known));
			}
		}
		if (best > 0 && best < 3)
			fprintf(stderr, "hearth: warning: %s is no setting; did you mean %s?\n", name, best_known);
	}
}

static int print_problems(struct config_problems *problems, const char *file)
{
	char text[1024];
	bool of_options = false;

	config_problems_sort(problems);
	for (size_t i = 0; i < problems->n; i++) {
		config_problem_describe(&problems->list[i], file ? file : "", text, sizeof(text));
		of_options = of_options || !problems->list[i].line;
		fprintf(stderr, "hearth: %s%s\n", text, of_options && problems->n == 1 ? "; see 'hearth agent --help'" : "");
	}
	if (problems->more)
		fprintf(stderr, "hearth: and %zu more\n", problems->more);
	if (of_options && problems->n > 1)
		fprintf(stderr, "hearth: see 'hearth agent --help'\n");
	return DONE(STATUS_USAGE);
}

int agent_options_parse(int argc, char **argv, struct agent_options *o_out)
{
	AUTO_FREE struct config_problems *problems = calloc(1, sizeof(*problems));
	struct agent_options o = {.output = NULL};
	struct said said = {.config = NULL};
	struct why why;

	int status = read_command_line(argc, argv, &said);
	if (status)
		return status;
	int err = problems ? read_all(&said, &o, problems) : -ENOMEM;
	if (err < 0) {
		fprintf(stderr, "hearth: out of memory\n");
		status = DONE(STATUS_FAILED);
	} else if (problems->n) {
		status = print_problems(problems, o.config);
	} else if ((status = check_machine_has(&o, &why))) {
		fprintf(stderr, "hearth: %s%s\n", why.text, status == STATUS_USAGE ? "; see 'hearth agent --help'" : "");
		status = DONE(status);
	}
	if (status) {
		agent_options_deinit(&o);
		return status;
	}
	warn_of_variables();
	*o_out = o;
	return 0;
}

int agent_options_check_file(const char *path, struct config_problems *problems)
{
	struct agent_options o = {.output = NULL};
	AUTO_FREE char *text = NULL;
	struct why why;
	size_t bytes;

	int err = config_file_load(path, false, &text, &bytes, &why);
	if (err < 0 && err != -ENOMEM)
		config_problem(problems, 0, "%s", why.text);
	if (err == 0)
		err = settings_init(SETTINGS, N_SETTINGS, &o);
	if (err == 0)
		err = config_file_read(text, bytes, SETTINGS, N_SETTINGS, &o, &o.sinks, problems);
	if (err != -ENOMEM && text && config_check_sinks(&o.sinks, problems) == -ENOMEM)
		err = -ENOMEM;
	if (err != -ENOMEM && text && o.event_name && event_find(o.event_name, &o.event) == -ENOENT)
		config_problem(problems, 0, "%s: event: there is no event '%s' here", path, o.event_name);
	agent_options_deinit(&o);
	config_problems_sort(problems);
	return err == -ENOMEM ? err : problems->n ? -EBADMSG : 0;
}

/* --- sinks, for the processes that serve them ------------------------------------------------------------------ */

static int copy_rules(struct upload_rules *to, const struct rule_list *from)
{
	int err = 0;

	for (size_t i = 0; i < from->n && err == 0; i++)
		err = upload_rules_add(to, &from->rules[i]);
	return err;
}

/* --output DIR: a sink called "output"; its path from the root on. */
static int output_sink(const char *folder, struct sink_config *sink)
{
	char path[PATH_MAX];

	*sink = (struct sink_config){.name = "output", .kind = SINK_DIR};
	int err = store_folder_absolute(folder, path, sizeof(path));
	if (err == 0 && !(sink->url = strdup(path)))
		err = -ENOMEM;
	return err;
}

/* What is said of all sinks is for those that can do it. */
static void settle_symbolize(const struct agent_options *o, struct sink_config *sink)
{
	enum sink_symbolize all = (enum sink_symbolize)(SYMBOLIZE_LOCAL + o->symbolize);

	if (sink->symbolize == SYMBOLIZE_UNSAID)
		sink->symbolize = sink_kind_symbolizes(sink->kind, all) ? all : SYMBOLIZE_LOCAL;
}

int agent_options_sinks(const struct agent_options *o, struct upload_config **config_out, struct why *why)
{
	struct upload_config *config = calloc(1, sizeof(*config));
	struct sink_config *sinks[SINKS_MAX];
	int err = config ? copy_rules(&config->rules, &o->sinks.rules) : -ENOMEM;

	for (size_t i = 0; err == 0 && i < o->sinks.n; i++) {
		struct upload_sink *sink = &config->sinks[config->n_sinks++];
		err = sink_config_copy(&o->sinks.sinks[i].config, &sink->config);
		if (err == 0)
			settle_symbolize(o, &sink->config);
		if (err == 0)
			err = copy_rules(&sink->rules, &o->sinks.sinks[i].rules);
	}
	if (err == 0 && o->output && *o->output)
		err = output_sink(o->output, &config->sinks[config->n_sinks++].config);
	if (err < 0)
		why_set(why, err, "--upload: %s", strerror(-err));
	for (size_t i = 0; err == 0 && i < config->n_sinks; i++)
		sinks[i] = &config->sinks[i].config;
	if (err == 0)
		err = sink_config_name_all(sinks, config->n_sinks, why);
	if (err < 0) {
		upload_config_free(config);
		return err;
	}
	*config_out = config;
	return 0;
}

__attribute__((format(printf, 3, 4))) static void list(char *out, size_t out_bytes, const char *format, ...)
{
	size_t n = strlen(out);
	va_list arguments;

	if (n && n + 2 < out_bytes)
		n += (size_t)snprintf(out + n, out_bytes - n, ", ");
	va_start(arguments, format);
	vsnprintf(out + n, out_bytes - n, format, arguments);
	va_end(arguments);
}

int agent_options_apply(struct agent_options *o, struct agent_options *next, struct agent_change *change_out)
{
	const struct setting *changed[N_SETTINGS];
	struct agent_change change = {.live = ""};
	char before[64], after[64];

	size_t n = settings_diff(SETTINGS, N_SETTINGS, o, next, changed);
	for (size_t i = 0; i < n; i++) {
		if (!changed[i]->is_live) {
			list(change.restart, sizeof(change.restart), "%s", changed[i]->name);
			continue;
		}
		setting_show(changed[i], o, before, sizeof(before));
		setting_show(changed[i], next, after, sizeof(after));
		int err = setting_copy(changed[i], o, next);
		if (err < 0)
			return err;
		list(change.live, sizeof(change.live), "%s %s -> %s", changed[i]->name, before, after);
		bool is_log = changed[i]->offset == AT(log_format) || changed[i]->offset == AT(quiet);
		change.log = change.log || is_log;
		bool is_sinks = changed[i]->offset == AT(symbolize);
		change.sinks = change.sinks || is_sinks;
		change.sampling = change.sampling || (!is_log && !is_sinks);
	}
	if (!sink_list_is_equal(&o->sinks, &next->sinks)) {
		change.sinks = true;
		struct sink_list sinks = o->sinks;
		o->sinks = next->sinks;
		next->sinks = sinks;
		list(change.live, sizeof(change.live), "sinks");
	}
	*change_out = change;
	return 0;
}

void agent_options_deinit(struct agent_options *o)
{
	settings_deinit(SETTINGS, N_SETTINGS, o);
	sink_list_deinit(&o->sinks);
	free(o->config);
	*o = (struct agent_options){.output = NULL};
}
