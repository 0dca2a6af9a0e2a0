/* The files that sinks' settings name (tokens, passwords, certificates, keys): read by the agent, whose contents go to the process that uploads, which has no file
 * system. They are looked at again now and then; one that has changed is read again. Not thread-safe. */
#ifndef HEARTH_AGENT_SINK_FILES_H
#define HEARTH_AGENT_SINK_FILES_H

#include "base/why.h"
#include "server-upload/upload_config.h"

struct sink_files;

/* config: borrowed until sink_files_destroy(); its secrets and its held texts are filled in. Returns 0 or -ENOMEM. */
int sink_files_create(struct upload_config *config, struct sink_files **files_out);

/* Look at all files. What could be read once stays as it was when it cannot be read later; a sink that lacks a file from the beginning is held.
 * Returns whether anything in config has changed. */
bool sink_files_refresh(struct sink_files *f);

/* What is wrong with a sink's files, once for each time that it changes; NULL: nothing new. Borrowed until the next refresh. The sink is named in it. */
const char *sink_files_trouble(struct sink_files *f, size_t sink);

/* NULL is legal. */
void sink_files_destroy(struct sink_files *f);

#endif
