/* Feeds windows into a store and has the process that uploads send them: the whole way of a window but for the sampling, without root.
 * What happens is printed, a JSON object a line; feed --help. Used by tests/upload/driver.py. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/scope.h"
#include "pprof/decode.h"
#include "pprof/encode.h"
#include "store/store.h"
#include "store/store_reader.h"
#include "tests/upload/feed_upload.h"
#include "tests/upload/synthetic.h"

#define RESTART_NS   NS_PER_S
#define RECORDED_MAX (64u << 20)
#define STOP_MS	     30000 /* what takes so long hangs */
#define LAST_WORDS_TENTHS 300 /* of a second */

static const char HELP[] =
	"feed --store DIR [--upload KIND=URL [--set KEY=VALUE]...]... [--windows N] [--interval MS] [--linger S]\n"
	"     [--clock FILE --start NS --step MS] [--processes N --stacks N --depth N --name-bytes N] [--store-bytes N] [--outbox-bytes N]\n"
	"     [--slow-first MS --pace MS] [--replay PPROF]... [--label NAME=VALUE] [--debug-file BUILDID=FILE]... [--stay 1] [--rule ACTION,SOURCE,REGEX[,TARGET,REPLACEMENT]]\n"
	"     append N windows, one each MS, and one more for each byte of standard input; serve what uploads until all is marked, S seconds at most (or standard input ends).\n"
	"feed --store DIR --sum FILE      write all samples of a store as pprof\n"
	"feed --store DIR --list          its windows\n";

struct options {
	const char *folder, *sum, *clock;
	char **replay; /* files, one for each window, used in turn */
	size_t n_replay;
	bool list, stays; /* stays: until standard input ends */
	uint64_t windows, interval_ns, linger_ns, step_ns;
	int64_t start_ns;
	struct store_options store;
	struct synthetic shape;
	struct upload_config *config;
	struct feed_file files[16];
	size_t n_files;
};

static int failed(int err, const char *what, const char *why)
{
	fprintf(stderr, "feed: %s: %s%s%s\n", what, strerror(-err), *why ? ": " : "", why);
	exit(1);
}

/* --- options ----------------------------------------------------------------------------------------------- */

static struct upload_sink *add_sink(struct upload_config *config, const char *text)
{
	struct upload_sink *sink = &config->sinks[config->n_sinks];
	struct why why = {""};
	int err = config->n_sinks < SINKS_MAX ? sink_config_parse(text, &sink->config, &why) : -E2BIG;

	if (err)
		failed(err, text, why.text);
	config->n_sinks++;
	return sink;
}

static void set(struct upload_sink *sink, char *text)
{
	struct why why = {""};
	char *value = strchr(text, '=');

	if (!sink || !value)
		failed(-EINVAL, text, "--set KEY=VALUE comes after --upload");
	*value++ = '\0';
	int err = sink_config_set(&sink->config, text, value, &why);
	if (err)
		failed(err, text, why.text);
}

static void add_label(struct upload_config *config, char *text)
{
	char *value = strchr(text, '=');

	if (!value || config->n_labels == SINK_PAIRS_MAX)
		failed(-EINVAL, text, "--label NAME=VALUE");
	*value++ = '\0';
	config->labels[config->n_labels++] = (struct sink_pair){strdup(text), strdup(value)};
}

static void add_rule(struct upload_config *config, char *text)
{
	struct relabel_rule rule = {.action = strsep(&text, ",")};

	rule.source_labels = strsep(&text, ",");
	rule.regex = strsep(&text, ",");
	rule.target_label = strsep(&text, ",");
	rule.replacement = strsep(&text, ",");
	int err = upload_rules_add(&config->rules, &rule);
	if (err)
		failed(err, "--rule", "");
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (!*text || *end)
		failed(-EINVAL, text, "a number is wanted");
	return value;
}

enum wish { HELP_ = 1, STORE, UPLOAD, SET, LABEL, RULE, WINDOWS, INTERVAL, LINGER, CLOCK, START, STEP, PROCESSES, STACKS, DEPTH, NAME_BYTES, STORE_BYTES,
	      OUTBOX_BYTES, SLOW_FIRST, PACE, REPLAY, SUM, LIST, DEBUG_FILE, STAY };

static void take_option(struct options *o, struct upload_sink **sink, int option)
{
	switch (option) {
	case STORE: o->folder = optarg; break;
	case UPLOAD: *sink = add_sink(o->config, optarg); break;
	case SET: set(*sink, optarg); break;
	case LABEL: add_label(o->config, optarg); break;
	case RULE: add_rule(o->config, optarg); break;
	case WINDOWS: o->windows = number(optarg); break;
	case INTERVAL: o->interval_ns = number(optarg) * NS_PER_MS; break;
	case LINGER: o->linger_ns = number(optarg) * NS_PER_S; break;
	case CLOCK: o->clock = optarg; break;
	case START: o->start_ns = (int64_t)number(optarg); break;
	case STEP: o->step_ns = number(optarg) * NS_PER_MS; break;
	case PROCESSES: o->shape.processes = (uint32_t)number(optarg); break;
	case STACKS: o->shape.stacks = (uint32_t)number(optarg); break;
	case DEPTH: o->shape.depth = (uint32_t)number(optarg); break;
	case NAME_BYTES: o->shape.name_bytes = (uint32_t)number(optarg); break;
	case STORE_BYTES: o->store.bytes_max = number(optarg); break;
	case OUTBOX_BYTES: o->store.outbox_bytes_max = number(optarg); break;
	case SLOW_FIRST: feed_policy.slow_first_ns = number(optarg) * NS_PER_MS; break;
	case PACE: feed_policy.pace_ns = number(optarg) * NS_PER_MS; break;
	case REPLAY:
		o->replay = realloc(o->replay, (o->n_replay + 1) * sizeof(*o->replay));
		o->replay[o->n_replay++] = optarg;
		break;
	case DEBUG_FILE:
		if (!strchr(optarg, '=') || o->n_files == 16)
			failed(-EINVAL, optarg, "--debug-file BUILDID=FILE");
		o->files[o->n_files].build_id = strsep(&optarg, "=");
		o->files[o->n_files++].path = optarg;
		break;
	case STAY: o->stays = number(optarg); break;
	case SUM: o->sum = optarg; break;
	case LIST: o->list = true; break;
	default:
		fputs(HELP, option == HELP_ ? stdout : stderr);
		exit(option == HELP_ ? 0 : 2);
	}
}

static void name_sinks(struct upload_config *config)
{
	struct sink_config *sinks[SINKS_MAX];
	struct why why = {""};

	for (size_t i = 0; i < config->n_sinks; i++)
		sinks[i] = &config->sinks[i].config;
	int err = sink_config_name_all(sinks, config->n_sinks, &why);
	if (err)
		failed(err, "names", why.text);
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option OPTIONS[] = {
		{"help", 0, NULL, HELP_}, {"store", 1, NULL, STORE}, {"upload", 1, NULL, UPLOAD}, {"set", 1, NULL, SET}, {"label", 1, NULL, LABEL},
		{"rule", 1, NULL, RULE}, {"windows", 1, NULL, WINDOWS}, {"interval", 1, NULL, INTERVAL}, {"linger", 1, NULL, LINGER},
		{"clock", 1, NULL, CLOCK}, {"start", 1, NULL, START}, {"step", 1, NULL, STEP}, {"processes", 1, NULL, PROCESSES},
		{"stacks", 1, NULL, STACKS}, {"depth", 1, NULL, DEPTH}, {"name-bytes", 1, NULL, NAME_BYTES}, {"store-bytes", 1, NULL, STORE_BYTES},
		{"outbox-bytes", 1, NULL, OUTBOX_BYTES}, {"slow-first", 1, NULL, SLOW_FIRST}, {"pace", 1, NULL, PACE},
		{"replay", 1, NULL, REPLAY}, {"sum", 1, NULL, SUM}, {"list", 0, NULL, LIST}, {"debug-file", 1, NULL, DEBUG_FILE}, {"stay", 1, NULL, STAY}, {0}};
	struct upload_sink *sink = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1)
		take_option(o, &sink, option);
	if (!o->folder || optind != argc)
		take_option(o, &sink, '?');
	name_sinks(o->config);
	for (size_t i = 0; i < o->config->n_sinks; i++)
		o->store.sinks[i] = o->config->sinks[i].config.name;
	o->store.n_sinks = o->config->n_sinks;
}

/* --- windows ----------------------------------------------------------------------------------------------- */

/* A number that no window had, also after a kill in the middle: it is taken before it is used. */
static uint64_t next_index(const char *path)
{
	static uint64_t without;
	uint64_t index = 0;
	AUTO_CLOSE int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return without++;
	if (pread(fd, &index, sizeof(index), 0) < 0)
		index = 0;
	uint64_t following = index + 1;
	if (pwrite(fd, &following, sizeof(following), 0) != sizeof(following))
		failed(-errno, path, "");
	return index;
}

static int read_window(const char *path, struct profile **window_out)
{
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	AUTO_FREE uint8_t *bytes = malloc(RECORDED_MAX);

	if (!file || !bytes)
		return file ? -ENOMEM : -errno;
	return profile_decode(bytes, fread(bytes, 1, RECORDED_MAX, file), 0, window_out, NULL);
}

static void append(const struct options *o, struct store *store)
{
	uint64_t index = next_index(o->clock), window_number;
	int64_t time_ns = o->start_ns + (int64_t)(index * o->step_ns);
	struct profile *window;
	struct why why = {""};
	int err = o->n_replay ? read_window(o->replay[index % o->n_replay], &window) : synthetic_window(&o->shape, index, time_ns, &window);

	if (err)
		failed(err, "a window", "");
	if (o->n_replay)
		window->time_ns = time_ns;
	int64_t samples = profile_total(window, 0);
	err = store_append(store, window, &window_number, &why);
	if (err)
		printf("{\"append_failed\":%d,\"time_ns\":%" PRId64 "}\n", err, time_ns);
	else
		printf("{\"append\":%" PRIu64 ",\"time_ns\":%" PRId64 ",\"samples\":%" PRId64 "}\n", window_number, time_ns, samples);
	profile_free(window);
}

static bool all_is_sent(const struct options *o, struct store *store)
{
	struct store_stats stats;

	store_stats(store, &stats);
	for (size_t i = 0; i < o->store.n_sinks; i++) {
		if (stats.outbox_windows[i])
			return false;
	}
	return true;
}

/* Each byte of standard input is a window more. */
static bool was_stopped(uint64_t *left)
{
	char byte;
	struct pollfd input = {.fd = 0, .events = POLLIN};

	while (poll(&input, 1, 0) > 0) {
		if (read(0, &byte, 1) <= 0)
			return true;
		(*left)++;
	}
	return false;
}

static void wait_for_messages(const struct feed_upload *u, uint64_t until_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct pollfd ready[] = {{.fd = u->agent.fd, .events = POLLIN}, {.fd = u->store_link.fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
	uint64_t wait = until_ns > now ? until_ns - now : 0;

	poll(ready, u->pid ? 3 : 0, wait > 200 * NS_PER_MS ? 200 : (int)(wait / NS_PER_MS));
}

static void tend_upload(struct feed_upload *u, uint64_t *restart_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (u->pid) {
		int err = feed_upload_serve(u);
		if (err) {
			printf("{\"upload_ended\":%d,\"err\":%d}\n", feed_upload_stop(u, 1000), err);
			*restart_ns = now + RESTART_NS;
		}
	} else if (u->config->n_sinks && now >= *restart_ns) {
		int err = feed_upload_start(u);
		if (err)
			failed(err, "starting what uploads", "");
	}
}

static void feed(const struct options *o, struct store *store)
{
	struct feed_upload u = {.store = store, .config = o->config, .out = stdout, .files = o->files, .n_files = o->n_files, .agent.fd = -1, .store_link.fd = -1};
	uint64_t now = clock_ns(CLOCK_MONOTONIC), next = now, restart = 0, done = now, configure = 0;
	uint64_t left = o->windows;
	struct why why;

	while (!was_stopped(&left)) {
		tend_upload(&u, &restart);
		now = clock_ns(CLOCK_MONOTONIC);
		if (left && now >= next) {
			append(o, store);
			feed_upload_news(&u);
			next += o->interval_ns;
			left--;
			done = now;
		}
		if (now >= configure) { /* as the agent does it once a window */
			int err = feed_upload_configure(&u, false);
			if (err && err != -EPIPE)
				failed(err, "CONFIG", "");
			configure = now + 200 * NS_PER_MS;
		}
		store_maintain(store, &why);
		if (!left && !o->stays && (all_is_sent(o, store) || now >= done + o->linger_ns))
			break;
		wait_for_messages(&u, left ? next : now + NS_PER_S);
	}
	/* Its last words: it says once a second what has changed, and of each sink that had a window marked how that went. */
	for (int i = 0; (i < 12 || (i < LAST_WORDS_TENTHS && feed_upload_is_untold(&u))) && u.pid && !feed_upload_serve(&u); i++)
		nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL);
	bool sent = all_is_sent(o, store);
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	int status = u.pid ? feed_upload_stop(&u, STOP_MS) : 0;
	uint64_t stop_ms = (clock_ns(CLOCK_MONOTONIC) - begin) / NS_PER_MS;
	printf("{\"end\":%d,\"stop_ms\":%" PRIu64 ",\"all_sent\":%s}\n", status, stop_ms, sent ? "true" : "false");
}

static void print_stats(const struct options *o, const struct store *store)
{
	struct store_stats s;

	store_stats(store, &s);
	printf("{\"stats\":{\"windows\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"evicted\":%" PRIu64 ",\"damaged\":%" PRIu64 ",\"outbox\":[", s.windows, s.bytes,
	       s.windows_evicted, s.damaged);
	for (size_t i = 0; i < o->store.n_sinks; i++)
		printf("%s{\"windows\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"dropped\":%" PRIu64 "}", i ? "," : "", s.outbox_windows[i], s.outbox_bytes[i],
		       s.outbox_dropped[i]);
	printf("]}}\n");
}

/* --- what is in the store ---------------------------------------------------------------------------------- */

static int print_window(void *context, const struct store_window *w)
{
	(void)context;
	printf("{\"number\":%" PRIu64 ",\"time_ns\":%" PRId64 ",\"samples\":%" PRIu64 ",\"value\":%" PRId64 ",\"merged\":%u}\n", w->number, w->time_ns,
	       w->samples, w->value, w->merged);
	return 0;
}

static int look(const struct options *o)
{
	struct store_reader *reader;
	struct store_filter filter = {.to_ns = INT64_MAX};
	struct profile *sum;
	struct why why = {""};
	int err = store_reader_open(o->folder, &reader, &why);

	if (err)
		failed(err, o->folder, why.text);
	if (o->list) {
		err = store_reader_windows(reader, &filter, print_window, NULL, &why);
	} else {
		err = store_reader_sum(reader, &filter, &sum, &why);
		if (!err) {
			AUTO_FREE uint8_t *bytes = NULL;
			AUTO_FCLOSE FILE *file = fopen(o->sum, "we");
			size_t n;
			err = profile_encode(sum, &bytes, &n);
			if (!err && (!file || fwrite(bytes, 1, n, file) != n))
				err = -EIO;
			profile_free(sum);
		}
	}
	store_reader_close(reader);
	return err ? failed(err, o->folder, why.text) : 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.interval_ns = 100 * NS_PER_MS, .linger_ns = 30 * NS_PER_S, .step_ns = 10 * NS_PER_S,
		.start_ns = (int64_t)clock_ns(CLOCK_REALTIME) - 3000 * (int64_t)NS_PER_S,
		.store = {.bytes_max = 256u << 20, .outbox_bytes_max = 128u << 20, .outbox_age_max_ns = 7 * 86400 * NS_PER_S,
			  .levels = {{3600 * NS_PER_S, 60 * NS_PER_S}, {86400 * NS_PER_S, 600 * NS_PER_S}}},
		.shape = {.processes = 8, .stacks = 30, .depth = 12, .duration_ns = 10 * (int64_t)NS_PER_S},
		.config = calloc(1, sizeof(struct upload_config)),
	};
	struct store *store;
	struct why why = {""};

	if (!o.config)
		return 1;
	setlinebuf(stdout);
	signal(SIGPIPE, SIG_IGN);
	parse(argc, argv, &o);
	if (o.sum || o.list) {
		upload_config_free(o.config);
		return look(&o);
	}
	int err = store_open(o.folder, &o.store, &store, &why);
	if (err)
		failed(err, o.folder, why.text);
	if (why.text[0])
		printf("{\"store\":\"%s\"}\n", why.text);
	feed(&o, store);
	print_stats(&o, store);
	store_close(store);
	free(o.replay);
	upload_config_free(o.config);
	return 0;
}
