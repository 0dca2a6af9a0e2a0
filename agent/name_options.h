/* The options that say how names are found and written, of all commands that name frames. */
#ifndef HEARTH_AGENT_NAME_OPTIONS_H
#define HEARTH_AGENT_NAME_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolizer/demangle.h"

#define NAME_FOLDERS_MAX 64

struct name_options {
	enum demangle_style demangle;
	const char *cache;	     /* its folder; NULL: the usual one */
	uint64_t cache_bytes;	     /* 0: no cache */
	const char *debuginfod_urls; /* NULL or "": none */
	bool keep;		     /* read all of a file's debug information at once, and keep it */
	char *folders[NAME_FOLDERS_MAX]; /* with debug files; absolute */
	size_t n_folders;
};

/* Behind a command's own numbers. */
enum name_option {
	NAME_OPTION_DEMANGLE = 1024,
	NAME_OPTION_CACHE,
	NAME_OPTION_CACHE_BUDGET,
	NAME_OPTION_DEBUGINFOD,
	NAME_OPTION_KEEP,
	NAME_OPTION_DEBUG_PATH,
};

/* Entries for getopt_long(): a command takes those that it has. */
#define NAME_OPTIONS_DEMANGLE	{"demangle", required_argument, NULL, NAME_OPTION_DEMANGLE}
#define NAME_OPTIONS_DEBUGINFOD {"debuginfod", required_argument, NULL, NAME_OPTION_DEBUGINFOD}
#define NAME_OPTIONS_CACHE                                                  \
	{"name-cache", required_argument, NULL, NAME_OPTION_CACHE},         \
	{"name-cache-budget", required_argument, NULL, NAME_OPTION_CACHE_BUDGET}
#define NAME_OPTIONS_FILES                                                  \
	{"keep", no_argument, NULL, NAME_OPTION_KEEP},                      \
	{"debug-path", required_argument, NULL, NAME_OPTION_DEBUG_PATH}

/* With what the environment says. */
void name_options_init(struct name_options *o);

/* One of the options above, with its argument in optarg. command: for messages. Returns false after a message when the argument is bad. */
bool name_options_take(struct name_options *o, const char *command, int option);

void name_options_deinit(struct name_options *o);

#endif
