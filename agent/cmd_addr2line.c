#include "agent/cmd_addr2line.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/address_reader.h"
#include "agent/arguments.h"
#include "agent/frame_printer.h"
#include "agent/image_names.h"
#include "agent/image_open.h"
#include "agent/name_options.h"
#include "base/scope.h"
#include "symbolizer/demangle.h"

#define DONE(status) ((status) + 1)

static const char HELP[] =
	"Usage: hearth addr2line [OPTION]... [ADDR]...\n"
	"\n"
	"Functions, files and lines of addresses, printed as addr2line and llvm-symbolizer do. Addresses are ELF vaddrs, hexadecimal, with\n"
	"0x or without; without any they are read from standard input, and each line is answered.\n"
	"\n"
	"  -e, --exe FILE            the executable, library or debug file (a.out)\n"
	"  -a, --addresses           print the address first\n"
	"  -f, --functions           print functions\n"
	"  -i, --inlines             print all the calls that were inlined there, innermost first\n"
	"  -C, --demangle[=STYLE]    names as people wrote them: full, or short (without parameters and template arguments); none\n"
	"  -s, --basenames           files without folders\n"
	"  -p, --pretty-print        one line for each frame\n"
	"      --output-style STYLE  GNU (addr2line's, the default), LLVM or JSON (llvm-symbolizer's); the last two imply -f -i -C,\n"
	"                            which --no-functions, --no-inlines and --no-demangle take back\n"
	"      --debug-path DIR      look for debug files here too: DIR/.build-id/xx/yyyy.debug, DIR/NAME; may be given several times\n"
	"      --keep                read all of the debug information, and keep what it says for the next time\n"
	"      --name-cache DIR      where that is (/var/cache/hearth for root, else ~/.cache/hearth)\n"
	"      --name-cache-budget BYTES\n"
	"                            how much of it is kept, such as 256M (the default); 0: nothing is kept or looked up\n"
	"  -h, --help                this text\n"
	"\n"
	"Exit status: 0; 1 when the file could not be read, or a line was no address; 2 for wrong usage.\n";

enum { OPTION_STYLE = 256, OPTION_NO_FUNCTIONS, OPTION_NO_INLINES, OPTION_NO_DEMANGLE };

static const struct option OPTIONS[] = {
	{"exe", required_argument, NULL, 'e'},
	{"obj", required_argument, NULL, 'e'},
	{"addresses", no_argument, NULL, 'a'},
	{"functions", no_argument, NULL, 'f'},
	{"inlines", no_argument, NULL, 'i'},
	{"demangle", optional_argument, NULL, 'C'},
	{"basenames", no_argument, NULL, 's'},
	{"pretty-print", no_argument, NULL, 'p'},
	{"output-style", required_argument, NULL, OPTION_STYLE},
	NAME_OPTIONS_FILES,
	{"no-functions", no_argument, NULL, OPTION_NO_FUNCTIONS},
	{"no-inlines", no_argument, NULL, OPTION_NO_INLINES},
	{"no-demangle", no_argument, NULL, OPTION_NO_DEMANGLE},
	NAME_OPTIONS_CACHE,
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* An option that the style decides unless somebody says otherwise. */
enum choice { BY_STYLE, NO, YES };

struct addr2line {
	const char *path;
	enum choice functions, inlines, demangled;
	struct name_options naming;
	bool has_complained;
	struct frame_printer printer;
	struct asked_address *arguments;
	size_t n_arguments;
	struct image_names *names;
	struct image_info info;
	int fd;
	uint64_t bad; /* lines that are no addresses */
};

/* --- options -------------------------------------------------------------------------------------------------------------- */

static int set_style(struct addr2line *a, const char *name)
{
	static const char *const NAMES[] = {[FRAME_STYLE_GNU] = "GNU", [FRAME_STYLE_LLVM] = "LLVM", [FRAME_STYLE_JSON] = "JSON"};

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (strcasecmp(name, NAMES[i]) != 0)
			continue;
		a->printer.style = (enum frame_style)i;
		return 0;
	}
	return DONE(usage_error("addr2line", "--output-style: '%s' is none of GNU, LLVM, JSON", name));
}

static int set_demangle(struct addr2line *a, const char *name)
{
	if (name && !argument_demangle("--demangle", name, &a->naming.demangle))
		return DONE(STATUS_USAGE);
	a->demangled = YES;
	return 0;
}

static int take_option(int option, struct addr2line *a)
{
	switch (option) {
	case 'e':
		a->path = optarg;
		return 0;
	case 'a':
		a->printer.addresses = true;
		return 0;
	case 'f':
		a->functions = YES;
		return 0;
	case 'i':
		a->inlines = YES;
		return 0;
	case 'C':
		return set_demangle(a, optarg);
	case 's':
		a->printer.basenames = true;
		return 0;
	case 'p':
		a->printer.pretty = true;
		return 0;
	case OPTION_STYLE:
		return set_style(a, optarg);
	case OPTION_NO_FUNCTIONS:
		a->functions = NO;
		return 0;
	case OPTION_NO_INLINES:
		a->inlines = NO;
		return 0;
	case OPTION_NO_DEMANGLE:
		a->demangled = NO;
		return 0;
	case 'h':
		fputs(HELP, stdout);
		return DONE(STATUS_OK);
	default:
		if (option >= NAME_OPTION_DEMANGLE)
			return name_options_take(&a->naming, "addr2line", option) ? 0 : DONE(STATUS_USAGE);
		fprintf(stderr, "hearth: see 'hearth addr2line --help'\n");
		return DONE(STATUS_USAGE);
	}
}

static bool decide(enum choice choice, enum frame_style style)
{
	return choice == YES || (choice == BY_STYLE && style != FRAME_STYLE_GNU);
}

static int take_arguments(struct addr2line *a, int argc, char **argv)
{
	a->n_arguments = (size_t)(argc - optind);
	a->arguments = calloc(a->n_arguments + 1, sizeof(a->arguments[0]));
	if (!a->arguments)
		return DONE(STATUS_FAILED);
	for (size_t i = 0; i < a->n_arguments; i++)
		if (!address_parse(argv[(size_t)optind + i], &a->arguments[i].address))
			return DONE(usage_error("addr2line", "'%s' is not an address such as 0x4011d0", argv[(size_t)optind + i]));
	return 0;
}

static int parse(int argc, char **argv, struct addr2line *a)
{
	int status = 0;

	optind = 1;
	for (int option; status == 0 && (option = getopt_long(argc, argv, "e:afiCsph", OPTIONS, NULL)) >= 0;)
		status = take_option(option, a);
	if (status == 0)
		status = take_arguments(a, argc, argv);
	a->printer.module = a->path;
	a->printer.stream = stdout;
	a->printer.functions = decide(a->functions, a->printer.style);
	a->printer.inlines = decide(a->inlines, a->printer.style);
	a->printer.is_array = a->n_arguments != 0;
	if (!decide(a->demangled, a->printer.style))
		a->naming.demangle = DEMANGLE_NONE;
	return status;
}

/* --- the file ------------------------------------------------------------------------------------------------------------- */

static const char *open_error(int err)
{
	return err == -EINVAL ? "not a regular file" : err == -ENOEXEC ? "not an ELF file that hearth reads" : strerror(-err);
}

/* Whatever the name leads to: the user's word. But a FIFO or a device is not opened. */
static int open_file(struct addr2line *a)
{
	static const struct image_file_rule ANY = {0};
	AUTO_FREE char *real = realpath(a->path, NULL);
	struct opened_image opened;
	AUTO_CLOSE int root = -1;

	int err = real ? image_root_open(0, 0, &root) : -errno;
	if (err == 0)
		err = image_open_inside(root, real, &ANY, &opened);
	if (err == 0) {
		a->fd = opened.fd;
		err = image_names_headers(a->names, a->fd, &a->info);
		a->printer.address_bytes = a->info.address_bytes;
	}
	if (err < 0)
		fprintf(stderr, "hearth: reading '%s': %s\n", a->path, open_error(err));
	return err;
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

/* The addresses at hand. */
struct batch {
	struct addr2line *command;
	const struct asked_address *asked;
};

static int print(void *context, size_t first, struct symbolizer_reply *reply)
{
	const struct batch *batch = context;
	struct addr2line *a = batch->command;

	if (image_names_problem(a->names) && !a->has_complained) {
		fprintf(stderr, "hearth: reading '%s': %s\n", a->path, image_names_problem(a->names));
		a->has_complained = true;
	}
	for (size_t i = 0; i < reply->n_answers; i++) {
		const struct asked_address *asked = &batch->asked[first + i];
		const struct symbolizer_answer *answer = &reply->answers[i];
		bool known = !asked->is_bad && answer->count;
		frame_printer_address(&a->printer, asked->address, known ? &reply->frames[answer->first] : NULL, known ? answer->count : 0);
		a->bad += asked->is_bad;
	}
	symbolizer_reply_free(reply);
	return ferror(a->printer.stream) ? -EPIPE : 0;
}

/* is_last: no more addresses will be asked for. */
static int answer(struct addr2line *a, const struct asked_address *asked, size_t n, bool is_last)
{
	struct named_image image = {.fd = a->fd, .path = a->path, .info = &a->info, .is_last = is_last};
	AUTO_FREE uint64_t *vaddrs = calloc(n + 1, sizeof(*vaddrs));
	struct batch batch = {a, asked};

	if (!vaddrs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		vaddrs[i] = asked[i].address;
	int err = image_names_each(a->names, &image, vaddrs, n, print, &batch);
	frame_printer_flush(&a->printer);
	if (ferror(a->printer.stream))
		return -EPIPE;
	if (err < 0)
		fprintf(stderr, "hearth: reading '%s': %s\n", a->path, open_error(err));
	return err;
}

static int answer_stream(struct addr2line *a)
{
	const struct asked_address *asked;
	struct address_reader *reader;

	int err = address_reader_create(STDIN_FILENO, &reader);
	if (err < 0)
		return err;
	int n = 0;
	while (err == 0 && (n = address_reader_next(reader, &asked)) > 0)
		err = answer(a, asked, (size_t)n, address_reader_is_done(reader));
	if (err == 0 && n < 0)
		fprintf(stderr, "hearth: reading standard input: %s\n", strerror(-n));
	address_reader_destroy(reader);
	return err < 0 ? err : n;
}

static int addr2line(struct addr2line *a, struct zygote *zygote)
{
	struct image_names_options options = {
		.folders = (const char *const *)a->naming.folders,
		.n_folders = a->naming.n_folders,
		.demangle = a->naming.demangle,
		.keep = a->naming.keep,
		.cache = a->naming.cache,
		.cache_budget_bytes = a->naming.cache_bytes,
	};
	struct why why;

	int err = image_names_create(zygote, &options, &a->names, &why);
	if (err < 0) {
		fprintf(stderr, "hearth: %s\n", why.text);
		return err;
	}
	err = open_file(a);
	if (err == 0)
		err = a->n_arguments ? answer(a, a->arguments, a->n_arguments, true) : answer_stream(a);
	if (err == 0)
		frame_printer_end(&a->printer);
	if (err == 0 && a->bad) {
		fprintf(stderr, "hearth: %" PRIu64 " line%s no address such as 0x4011d0\n", a->bad, a->bad == 1 ? " is" : "s are");
		err = -EINVAL;
	}
	return err;
}

int cmd_addr2line(int argc, char **argv, struct zygote *zygote)
{
	struct addr2line a = {.path = "a.out", .fd = -1};

	name_options_init(&a.naming);
	int status = parse(argc, argv, &a);
	status = status ? status - 1 : addr2line(&a, zygote) < 0 ? STATUS_FAILED : STATUS_OK;
	image_names_destroy(a.names);
	if (a.fd >= 0)
		close(a.fd);
	name_options_deinit(&a.naming);
	free(a.arguments);
	return status;
}
