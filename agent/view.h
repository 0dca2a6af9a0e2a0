/* What hearth query, report, flame, diff, merge and export have in common: profiles come in, one thing goes out.
 *
 * The command opens files and the output; a process without rights reads, selects and writes (agent/reading_process.h). */
#ifndef HEARTH_AGENT_VIEW_H
#define HEARTH_AGENT_VIEW_H

#include "agent/view_options.h"

#define VIEW_FILES_MAX 128

/* Files, or ranges of a store. Borrowed. */
struct view_input {
	const char *const *files; /* "-": standard input */
	size_t n_files;
	int64_t from_ns, to_ns;
};

struct view {
	struct view_options options; /* finished: view_options_finish() */
	const char *store;	     /* its folder, absolute; NULL: files */
	struct view_input input, base;
	bool has_base; /* input is compared with base */
	bool bare;     /* see struct reading_options */
};

/* The files of a command line; without any it is VIEW_FILE_DEFAULT, where may_default. Returns 0, or an exit status + 1 after a message. */
#define VIEW_FILE_DEFAULT "profile.pb.gz"
int view_take_files(struct view *view, int n, char **files, bool may_default);

/* Do it. Says what is wrong on standard error. Returns the exit status; ends us by the signal that ended the reading. */
int view_run(struct view *view);

#endif
