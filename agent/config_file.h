/* A configuration file: its keys are the settings of a table (agent/settings.h), [[sink]] and [[relabel]]. Everything that is wrong is told, with its line. */
#ifndef HEARTH_AGENT_CONFIG_FILE_H
#define HEARTH_AGENT_CONFIG_FILE_H

#include <stddef.h>

#include "agent/config_problems.h"
#include "agent/settings.h"
#include "agent/sink_list.h"

/* The bytes of a file that may be trusted: a regular one, of root or of us, that not everybody may write to, of at most TOML_BYTES_MAX. text_out: owned.
 * is_trusted: whether it must be; a file that is only checked need not.
 * Returns 0, or a negative errno with why: -ENOENT, -EACCES, -EPERM (not to be trusted), -EINVAL (no regular file), -E2BIG, ... */
int config_file_load(const char *path, bool is_trusted, char **text_out, size_t *bytes_out, struct why *why);

/* Read text into object and sinks. Returns 0, -EBADMSG when problems were added (the rest is read), -ENOMEM. */
int config_file_read(const char *text, size_t bytes, const struct setting *table, size_t n, void *object, struct sink_list *sinks,
		     struct config_problems *problems);

/* What all sinks together must be: named, and each complete. Returns as above. */
int config_check_sinks(struct sink_list *sinks, struct config_problems *problems);

#endif
