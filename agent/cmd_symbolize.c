#include "agent/cmd_symbolize.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/arguments.h"
#include "agent/image_names.h"
#include "agent/name_options.h"
#include "agent/output.h"
#include "agent/profile_symbolizer.h"
#include "base/json_writer.h"
#include "base/scope.h"
#include "pprof/decode.h"

#define OUTPUTS_MAX 8
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
};

struct symbolize {
	const char *file, *format;
	struct output outputs[OUTPUTS_MAX];
	size_t n_outputs;
	char *default_output;
	struct name_options naming;
	bool force, json, quiet;
	struct image_names *names;
};

/* --- options -------------------------------------------------------------------------------------------------------------- */

static int take_option(int option, struct symbolize *s)
{
	switch (option) {
	case 'o':
		if (s->n_outputs == OUTPUTS_MAX)
			return DONE(usage_error("symbolize", "more than %d outputs", OUTPUTS_MAX));
		s->outputs[s->n_outputs++].path = optarg;
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
	s->outputs[s->n_outputs++].path = s->default_output;
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

/* --- reading -------------------------------------------------------------------------------------------------------------- */

static int read_all(FILE *stream, uint8_t **bytes_out, size_t *n_out)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n = 0, capacity = 0;

	for (;;) {
		if (n == capacity) {
			capacity = capacity ? 2 * capacity : 1u << 20;
			void *grown = capacity > 2 * (size_t)PROFILE_MAX_BYTES ? NULL : realloc(bytes, capacity);
			if (!grown)
				return capacity > 2 * (size_t)PROFILE_MAX_BYTES ? -E2BIG : -ENOMEM;
			bytes = grown;
		}
		size_t got = fread(bytes + n, 1, capacity - n, stream);
		n += got;
		if (!got)
			break;
	}
	if (ferror(stream))
		return -EIO;
	*bytes_out = take_ptr(bytes);
	*n_out = n;
	return 0;
}

/* Not a FIFO that nobody writes to; standard input may be anything. */
static int open_profile(const char *path, FILE **stream_out)
{
	struct stat status;

	if (strcmp(path, "-") == 0) {
		*stream_out = stdin;
		return 0;
	}
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (S_ISDIR(status.st_mode))
		return -EISDIR;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	*stream_out = fdopen(fd, "r");
	if (!*stream_out)
		return -errno;
	take_fd(&fd);
	return 0;
}

static int read_profile(const char *path, struct profile **profile_out)
{
	AUTO_FREE uint8_t *bytes = NULL;
	FILE *stream = NULL;
	const char *why = NULL;
	size_t n = 0;

	int err = open_profile(path, &stream);
	if (err == 0)
		err = read_all(stream, &bytes, &n);
	if (stream && stream != stdin)
		fclose(stream);
	if (err == 0)
		err = profile_decode(bytes, n, 0, profile_out, &why);
	if (err == -EINVAL)
		why = "not a regular file; name a pprof file, or give it on standard input with -";
	if (err < 0)
		fprintf(stderr, "hearth: reading '%s': %s\n", path, why ? why : strerror(-err));
	return err;
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

static void print_summary(const struct symbolize *s, const struct profile *profile, const struct symbolized_profile *result)
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
	for (size_t i = 0; i < s->n_outputs; i++)
		fprintf(stderr, "written: %s\n", s->outputs[i].path);
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

/* --- the command ---------------------------------------------------------------------------------------------------------- */

static int headers(void *context, int fd, struct image_info *info_out)
{
	struct symbolize *s = context;

	return image_names_headers(s->names, fd, info_out);
}

static int look_up(void *context, const struct found_image *found, uint64_t id, const uint64_t *vaddrs, size_t n,
		   struct symbolizer_reply **reply_out)
{
	struct symbolize *s = context;
	struct named_image image = {.id = id, .fd = found->fd, .path = found->path, .info = &found->info, .is_last = true};

	int err = image_names_look_up(s->names, &image, vaddrs, n, reply_out);
	if (err == 0 && image_names_problem(s->names))
		fprintf(stderr, "hearth: reading '%s': %s\n", found->path, image_names_problem(s->names));
	return err;
}

static int write_outputs(const struct symbolize *s, const struct profile *profile)
{
	int result = 0;

	for (size_t i = 0; i < s->n_outputs; i++) {
		struct why why;
		int err = output_write(profile, s->outputs[i].path, s->outputs[i].format, NULL, &why);
		if (err < 0) {
			fprintf(stderr, "hearth: %s\n", why.text);
			result = err;
		}
	}
	return result;
}

static int name_and_write(struct symbolize *s, struct profile *profile)
{
	struct profile_symbolizer symbolizer = {
		.force = s->force,
		.finder = {(const char *const *)s->naming.folders, s->naming.n_folders, headers, s},
		.look_up = look_up,
		.context = s,
	};
	struct symbolized_profile result = {0};

	int err = profile_symbolize(&symbolizer, profile, &result);
	if (err < 0) {
		fprintf(stderr, "hearth: naming the addresses: %s\n", strerror(-err));
		return err;
	}
	err = write_outputs(s, profile);
	if (s->json)
		write_json(profile, &result);
	if (err == 0 && !s->json && !s->quiet)
		print_summary(s, profile, &result);
	symbolized_profile_deinit(&result);
	return err;
}

static int symbolize(struct symbolize *s, struct zygote *zygote)
{
	struct image_names_options options = {
		.folders = (const char *const *)s->naming.folders,
		.n_folders = s->naming.n_folders,
		.demangle = s->naming.demangle,
		.keep = s->naming.keep,
		.cache = s->naming.cache,
		.cache_budget_bytes = s->naming.cache_bytes,
	};
	struct profile *profile = NULL;
	struct why why;

	int err = image_names_create(zygote, &options, &s->names, &why);
	for (size_t i = 0; err == 0 && i < s->n_outputs; i++)
		err = output_check(s->outputs[i].path, &why);
	if (err < 0) {
		fprintf(stderr, "hearth: %s\n", why.text);
		return err;
	}
	err = read_profile(s->file, &profile);
	if (err == 0)
		err = name_and_write(s, profile);
	profile_free(profile);
	return err;
}

int cmd_symbolize(int argc, char **argv, struct zygote *zygote)
{
	struct symbolize s = {0};

	name_options_init(&s.naming);
	int status = parse(argc, argv, &s);
	status = status ? status - 1 : symbolize(&s, zygote) < 0 ? STATUS_FAILED : STATUS_OK;
	image_names_destroy(s.names);
	name_options_deinit(&s.naming);
	free(s.default_output);
	return status;
}
