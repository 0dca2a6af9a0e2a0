#include "agent/name_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arguments.h"
#include "agent/name_cache.h"

void name_options_init(struct name_options *o)
{
	*o = (struct name_options){
		.cache_bytes = NAME_CACHE_BUDGET_DEFAULT,
		.debuginfod_urls = getenv("DEBUGINFOD_URLS"),
	};
}

static bool add_folder(struct name_options *o, const char *command, const char *path)
{
	if (o->n_folders == NAME_FOLDERS_MAX) {
		usage_error(command, "more than %d times --debug-path", NAME_FOLDERS_MAX);
		return false;
	}
	/* From the root on: it is looked up from there. */
	o->folders[o->n_folders] = realpath(path, NULL);
	if (!o->folders[o->n_folders]) {
		usage_error(command, "--debug-path '%s': %s", path, strerror(errno));
		return false;
	}
	o->n_folders++;
	return true;
}

bool name_options_take(struct name_options *o, const char *command, int option)
{
	switch ((enum name_option)option) {
	case NAME_OPTION_DEMANGLE:
		return argument_demangle("--demangle", optarg, &o->demangle);
	case NAME_OPTION_CACHE:
		o->cache = optarg;
		return true;
	case NAME_OPTION_CACHE_BUDGET:
		return argument_bytes("--name-cache-budget", optarg, 0, NAME_CACHE_BUDGET_MAX, &o->cache_bytes);
	case NAME_OPTION_DEBUGINFOD:
		o->debuginfod_urls = optarg;
		return true;
	case NAME_OPTION_KEEP:
		o->keep = true;
		return true;
	case NAME_OPTION_DEBUG_PATH:
		return add_folder(o, command, optarg);
	}
	return false;
}

void name_options_deinit(struct name_options *o)
{
	for (size_t i = 0; i < o->n_folders; i++)
		free(o->folders[i]);
	o->n_folders = 0;
}
