#include "agent/cmd_symbolize.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/arguments.h"
#include "agent/image_names.h"
#include "agent/name_options.h"
#include "agent/naming_link.h"
#include "agent/output.h"
#include "agent/profile_file.h"
#include "agent/profile_symbolizer.h"
#include "agent/reading_process.h"
#include "base/json_writer.h"
#include "base/scope.h"

#define OUTPUTS_MAX NAMING_OUTPUTS_MAX
#define DONE(status) ((status) + 1)

static const char HELP[] =
	"Usage: hearth symbolize [OPTION]... FILE\n"
	"\n"
	"Name the addresses of a pprof file, whoever wrote it, from the binaries and debug files of this machine.\n"
	"FILE is a pprof file, compressed or not; - is standard input.\n"
	"\n"
	"  -o, --output FILE         what to write: .pb.gz, .folded, .svg or .txt; may be given several times; - is standard\n"
	"                            output, and needs --format. By default FILE's name with .named.pb.gz, beside it\n"
	"      --format FORMAT       of outputs without a known extension: pprof, folded, svg or text\n"
	"      --force               also name what has names\n"
	"      --demangle STYLE      names in full, short (without parameters and template arguments), or none: as the linker saw them (full)\n"
	"      --debug-path DIR      look for binaries and debug files here too: DIR/PATH, DIR/NAME, DIR/.build-id/xx/yyyy[.debug];\n"
	"                            may be given several times\n"
	"      --json                what was named as one JSON object on standard output\n"
	"  -q, --quiet               no summary\n"
	"      --keep                read all of the debug information, and keep what it says for the next time\n"
	"      --name-cache DIR      where that is (/var/cache/hearth for root, else ~/.cache/hearth)\n"
	"      --name-cache-budget BYTES\n"
	"                            how much of it is kept, such as 256M (the default); 0: nothing is kept or looked up\n"
	"  -h, --help                this text\n"
	"\n"
	"A binary counts only when it has the build id that the profile tells. The samples, their labels and all else stay as they are.\n"
	"Exit status: 0, also when something stayed without a name; 1 when something failed; 2 for wrong usage.\n";

enum { OPTION_FORMAT = 256, OPTION_FORCE, OPTION_JSON };

static const struct option OPTIONS[] = {
	{"output", required_argument, NULL, 'o'},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"force", no_argument, NULL, OPTION_FORCE},
	NAME_OPTIONS_DEMANGLE,
	NAME_OPTIONS_FILES,
	{"json", no_argument, NULL, OPTION_JSON},
	{"quiet", no_argument, NULL, 'q'},
	NAME_OPTIONS_CACHE,
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct output {
	const char *path;
	enum output_format format;
	struct output_file file;
};

struct symbolize {
	const char *file, *format;
	struct output outputs[OUTPUTS_MAX];
	size_t n_outputs;
	char *default_output;
	struct name_options naming;
	bool force, json, quiet;
	struct image_names *names;
	struct naming_server server;
	bool has_server, has_outputs;
	int fd;		/* of the profile */
	int sockets[2]; /* the reading process's, and ours: the server's when there is one */
	sigset_t signals_before;
};

/* --- options -------------------------------------------------------------------------------------------------------------- */

static void add_output(struct symbolize *s, const char *path)
{
	s->outputs[s->n_outputs++] = (struct output){.path = path, .file = {.fd = -1}};
}

static int take_option(int option, struct symbolize *s)
{
	switch (option) {
	case 'o':
		if (s->n_outputs == OUTPUTS_MAX)
			return DONE(usage_error("symbolize", "more than %d outputs", OUTPUTS_MAX));
		add_output(s, optarg);
		return 0;
	case 'q':
		s->quiet = true;
		return 0;
	case OPTION_FORMAT:
		s->format = optarg;
		return 0;
	case OPTION_FORCE:
		s->force = true;
		return 0;
	case OPTION_JSON:
		s->json = true;
		return 0;
	case 'h':
		fputs(HELP, stdout);
		return DONE(STATUS_OK);
	default:
		if (option >= NAME_OPTION_DEMANGLE)
			return name_options_take(&s->naming, "symbolize", option) ? 0 : DONE(STATUS_USAGE);
		fprintf(stderr, "hearth: see 'hearth symbolize --help'\n");
		return DONE(STATUS_USAGE);
	}
}

/* x.pb.gz becomes x.named.pb.gz. */
static int add_default_output(struct symbolize *s)
{
	static const char *const ENDS[] = {".pb.gz", ".pprof.gz", ".pprof", ".pb", ".gz", ".prof"};
	int n = (int)strlen(s->file);

	if (strcmp(s->file, "-") == 0)
		return DONE(usage_error("symbolize", "a profile from standard input needs -o"));
	for (size_t i = 0; i < sizeof(ENDS) / sizeof(ENDS[0]); i++) {
		int end = (int)strlen(ENDS[i]);
		if (n <= end || strcmp(s->file + n - end, ENDS[i]) != 0)
			continue;
		n -= end;
		break;
	}
	if (asprintf(&s->default_output, "%.*s.named.pb.gz", n, s->file) < 0) {
		s->default_output = NULL;
		return DONE(STATUS_FAILED);
	}
	add_output(s, s->default_output);
	return 0;
}

static int choose_format(struct symbolize *s, struct output *output)
{
	bool is_stdout = strcmp(output->path, "-") == 0;

	if (!is_stdout && output_format_of_path(output->path, &output->format) == 0)
		return 0;
	if (!s->format)
		return DONE(usage_error("symbolize", is_stdout ? "-o %s needs --format pprof, folded, svg or text"
							       : "'%s' has none of the extensions .pb.gz, .folded, .svg, .txt; give --format",
					output->path));
	if (is_stdout && s->json)
		return DONE(usage_error("symbolize", "-o - and --json both want standard output"));
	if (output_format_of_name(s->format, &output->format) < 0)
		return DONE(usage_error("symbolize", "--format: '%s' is none of pprof, folded, svg, text", s->format));
	return 0;
}

static int parse(int argc, char **argv, struct symbolize *s)
{
	int status = 0;

	optind = 1;
	for (int option; status == 0 && (option = getopt_long(argc, argv, "o:qh", OPTIONS, NULL)) >= 0;)
		status = take_option(option, s);
	if (status)
		return status;
	if (optind + 1 != argc)
		return DONE(usage_error("symbolize", optind == argc ? "name a pprof file" : "one file at a time"));
	s->file = argv[optind];
	status = s->n_outputs ? 0 : add_default_output(s);
	for (size_t i = 0; status == 0 && i < s->n_outputs; i++)
		status = choose_format(s, &s->outputs[i]);
	return status;
}

/* --- the summary ---------------------------------------------------------------------------------------------------------- */

static uint64_t count_named(const struct symbolized_profile *result)
{
	uint64_t named = 0;

	for (size_t i = 0; i < result->n_images; i++)
		named += result->images[i].named;
	return named;
}

static const char *image_name(const struct profile *profile, const struct symbolized_image *image)
{
	const char *filename = profile_string(profile, image->filename), *build_id = profile_string(profile, image->build_id);

	return *filename ? filename : *build_id ? build_id : "(no file)";
}

static void print_image(const struct profile *profile, const struct symbolized_image *image)
{
	uint64_t lacking = image->wanted - image->named - image->outside;

	if (image->err < 0) {
		fprintf(stderr, "  %7" PRIu64 "  %s: %s\n", image->wanted, image_name(profile, image), image->why.text);
		return;
	}
	if (lacking)
		fprintf(stderr, "  %7" PRIu64 "  %s: %s has no name there\n", lacking, image_name(profile, image), image->path);
	if (image->outside)
		fprintf(stderr, "  %7" PRIu64 "  %s: no executable byte of %s is mapped there\n", image->outside, image_name(profile, image),
			image->path);
	if (image->is_unchecked && image->named)
		fprintf(stderr, "  the profile has no build id of %s: %s was taken by its name\n", image_name(profile, image), image->path);
}

static void print_summary(const struct profile *profile, const struct symbolized_profile *result)
{
	uint64_t named = count_named(result), wanted = 0;

	for (size_t i = 0; i < result->n_images; i++)
		wanted += result->images[i].wanted;
	fprintf(stderr, "hearth: %" PRIu64 " of %" PRIu64 " addresses named; %" PRIu64 " of %" PRIu64 " had names\n", named, wanted,
		result->had_names, result->locations);
	if (named < wanted)
		fprintf(stderr, "without a name:\n");
	for (size_t i = 0; i < result->n_images; i++)
		print_image(profile, &result->images[i]);
}

static void write_json(const struct profile *profile, const struct symbolized_profile *result)
{
	struct json_writer w;

	json_writer_init(&w, stdout);
	json_object_begin(&w, NULL);
	json_uint(&w, "locations", result->locations);
	json_uint(&w, "had_names", result->had_names);
	json_uint(&w, "named", count_named(result));
	json_array_begin(&w, "images");
	for (size_t i = 0; i < result->n_images; i++) {
		const struct symbolized_image *image = &result->images[i];
		json_object_begin(&w, NULL);
		json_string(&w, "file", profile_string(profile, image->filename));
		json_string(&w, "build_id", profile_string(profile, image->build_id));
		json_string(&w, "read", image->path ? image->path : "");
		json_uint(&w, "wanted", image->wanted);
		json_uint(&w, "named", image->named);
		json_uint(&w, "outside", image->outside);
		json_bool(&w, "build_id_checked", image->path && !image->is_unchecked);
		json_string(&w, "error", image->err < 0 ? image->why.text : "");
		json_object_end(&w);
	}
	json_array_end(&w);
	json_object_end(&w);
	fputc('\n', stdout);
}

/* --- in the process without rights ------------------------------------------------------------------------------------------- */

static int say(int err, const struct why *why)
{
	fprintf(stderr, "hearth: %s\n", why->text[0] ? why->text : strerror(-err));
	return STATUS_FAILED;
}

static int write_output(const struct profile *profile, const struct output *output, int fd, struct why *why)
{
	const struct output_file file = {.path = output->path, .fd = fd};
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n = 0;

	int err = output_render(profile, output->format, NULL, &bytes, &n);
	return err < 0 ? why_set(why, err, "writing '%.300s': %s", output->path, strerror(-err)) : output_file_write(&file, bytes, n, why);
}

static int write_outputs(const struct symbolize *s, struct channel *command, const struct profile *profile)
{
	int fds[OUTPUTS_MAX], status = STATUS_OK;
	struct why why;

	if (naming_client_outputs(command, fds, s->n_outputs) < 0)
		return STATUS_FAILED; /* the command has said it */
	for (size_t i = 0; status == STATUS_OK && i < s->n_outputs; i++) {
		int err = write_output(profile, &s->outputs[i], fds[i], &why);
		status = err < 0 ? say(err, &why) : STATUS_OK;
	}
	return status;
}

static int name_and_write(const struct symbolize *s, struct channel *command, struct profile *profile)
{
	struct profile_symbolizer symbolizer = {.force = s->force, .find = naming_client_find, .names = naming_client_names, .context = command};
	struct symbolized_profile result = {0};
	struct why why;

	int err = profile_symbolize(&symbolizer, profile, &result);
	if (err < 0) {
		why_set(&why, err, "naming the addresses: %s", strerror(-err));
		return say(err, &why);
	}
	int status = write_outputs(s, command, profile);
	if (status == STATUS_OK && s->json)
		write_json(profile, &result);
	else if (status == STATUS_OK && !s->quiet)
		print_summary(profile, &result);
	symbolized_profile_deinit(&result);
	return status;
}

static int read_and_write(void *context)
{
	struct symbolize *s = context;
	struct profile *profile = NULL;
	struct channel command;
	struct why why;

	int err = naming_client_init(&command, s->sockets[0]);
	if (err < 0)
		return say(err, &(struct why){""});
	err = profile_file_read(s->file, s->fd, &profile, &why);
	int status = err < 0 ? say(err, &why) : name_and_write(s, &command, profile);
	profile_free(profile);
	channel_deinit(&command);
	return status;
}

/* --- the command ---------------------------------------------------------------------------------------------------------- */

static int headers(void *context, int fd, struct image_info *info_out)
{
	return image_names_headers(context, fd, info_out);
}

static bool is_fifo(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISFIFO(status.st_mode);
}

static int open_some(struct symbolize *s, bool fifos)
{
	struct why why;

	for (size_t i = 0; i < s->n_outputs; i++) {
		if (is_fifo(s->outputs[i].path) != fifos)
			continue;
		int err = output_begin(s->outputs[i].path, &s->outputs[i].file, &why);
		if (err < 0) {
			say(err, &why);
			return err;
		}
	}
	return 0;
}

static void hold_signals(void)
{
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigprocmask(SIG_BLOCK, &ending, NULL);
}

/* From the first file on that must not stay, signals wait: reading_process_run() takes them. Opening a FIFO may last, and makes no file. */
static int open_outputs(void *context, int *fds_out)
{
	struct symbolize *s = context;

	int err = open_some(s, true);
	hold_signals();
	s->has_outputs = true;
	if (err == 0)
		err = open_some(s, false);
	for (size_t i = 0; err == 0 && i < s->n_outputs; i++)
		fds_out[i] = s->outputs[i].file.fd;
	return err < 0 ? err : (int)s->n_outputs;
}

/* Large debug information takes a while: until there is something to clean up, a signal just ends us, and with us all the processes. */
static int answer(void *context)
{
	struct symbolize *s = context;
	sigset_t held;

	sigprocmask(SIG_BLOCK, NULL, &held);
	if (!s->has_outputs)
		sigprocmask(SIG_SETMASK, &s->signals_before, NULL);
	int err = naming_server_answer(&s->server);
	sigprocmask(SIG_SETMASK, &held, NULL);
	return err;
}

static int end_outputs(struct symbolize *s, bool keep)
{
	struct why why;

	for (size_t i = 0; i < s->n_outputs; i++) {
		int err = output_end(&s->outputs[i].file, keep, &why);
		if (err < 0) {
			say(err, &why);
			keep = false;
		} else if (keep && !s->json && !s->quiet) {
			fprintf(stderr, "written: %s\n", s->outputs[i].path);
		}
	}
	return keep ? STATUS_OK : STATUS_FAILED;
}

static int prepare(struct symbolize *s, struct zygote *zygote, struct why *why)
{
	struct image_names_options options = {
		.folders = (const char *const *)s->naming.folders,
		.n_folders = s->naming.n_folders,
		.demangle = s->naming.demangle,
		.keep = s->naming.keep,
		.cache = s->naming.cache,
		.cache_budget_bytes = s->naming.cache_bytes,
	};

	int err = image_names_create(zygote, &options, &s->names, why);
	for (size_t i = 0; err == 0 && i < s->n_outputs; i++)
		err = output_check(s->outputs[i].path, why);
	if (err == 0)
		err = profile_file_open(s->file, &s->fd, why);
	if (err == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->sockets) < 0)
		err = why_set(why, -errno, "making sockets: %s", strerror(errno));
	if (err < 0)
		return err;
	s->server = (struct naming_server){
		.finder = {(const char *const *)s->naming.folders, s->naming.n_folders, headers, s->names},
		.names = s->names,
		.open_outputs = open_outputs,
		.context = s,
	};
	err = naming_server_init(&s->server, s->sockets[1]);
	s->has_server = err == 0;
	if (err < 0)
		close(s->sockets[0]);
	return err < 0 ? why_set(why, err, "no memory") : 0;
}

/* Profiles may be a stranger's: they are read by a process without rights, which asks for what it may not open (agent/naming_link.h). */
static int symbolize(struct symbolize *s, struct zygote *zygote, int *signal_out)
{
	struct why why;

	sigprocmask(SIG_BLOCK, NULL, &s->signals_before);
	int err = prepare(s, zygote, &why);
	if (err < 0)
		return say(err, &why);
	/* What the other process could not open: the zone, the widths of characters. */
	tzset();
	setlocale(LC_CTYPE, "C.UTF-8");
	const struct reading_options options = {.answer = answer, .answer_context = s, .sockets = {s->sockets[0], s->sockets[1]}, .fds = &s->fd, .n_fds = 1};
	int status = reading_process_run(&options, read_and_write, s, signal_out, &why);
	if (status < 0)
		status = say(status, &why);
	int written = end_outputs(s, status == STATUS_OK && !*signal_out);
	sigprocmask(SIG_SETMASK, &s->signals_before, NULL);
	return status == STATUS_OK ? written : status;
}

int cmd_symbolize(int argc, char **argv, struct zygote *zygote)
{
	struct symbolize s = {.fd = -1};
	int number = 0;

	name_options_init(&s.naming);
	int status = parse(argc, argv, &s);
	status = status ? status - 1 : symbolize(&s, zygote, &number);
	if (s.has_server)
		naming_server_deinit(&s.server);
	if (s.fd >= 0)
		close(s.fd);
	image_names_destroy(s.names);
	name_options_deinit(&s.naming);
	free(s.default_output);
	if (number) {
		signal(number, SIG_DFL);
		raise(number);
	}
	return status;
}
