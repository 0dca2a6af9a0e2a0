/* Writing profiles to files: the whole file or none. A file is written under a temporary name in the same folder (mode 0600),
 * synced, and renamed over the final name; then the folder is synced (SAFETY 19, 28). */
#ifndef HEARTH_AGENT_OUTPUT_H
#define HEARTH_AGENT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "pprof/profile.h"

enum output_format {
	OUTPUT_PPROF,  /* .pb.gz */
	OUTPUT_FOLDED, /* .folded */
	OUTPUT_SVG,    /* .svg */
	OUTPUT_TEXT,   /* .txt */
};

/* The format of a path by its extension, of "pprof", "folded", "svg", "text" by name. -EINVAL when unknown. */
int output_format_of_path(const char *path, enum output_format *format_out);
int output_format_of_name(const char *name, enum output_format *format_out);

/* Whether a file could be written there, tried now (before a recording that would be lost): folder exists, is writable; path is not a
 * folder. Leaves nothing behind. Errors as output_write(). */
int output_check(const char *path, struct why *why);

/* The content of a file. bytes_out: free() it. title: of an SVG; may be NULL. Returns 0, -ENOMEM, or what the format's writer returns. */
int output_render(const struct profile *profile, enum output_format format, const char *title, uint8_t **bytes_out, size_t *n_bytes_out);

/* Write one profile. path "-" is standard output (not atomic). A path that exists and is not a regular file
 * (/dev/stdout, /dev/null, a FIFO) is written in place. title: of an SVG; may be NULL.
 * On failure nothing is left under the final name nor under the temporary one; why names path, cause and remedy (no space, read-only, no permission, no folder). */
int output_write(const struct profile *profile, const char *path, enum output_format format, const char *title,
		 struct why *why);

/* The same with what is there already. */
int output_write_bytes(const char *path, const uint8_t *bytes, size_t n, struct why *why);

/* The same in steps: somebody else may write to fd meanwhile, one without rights (agent/reading_process.h). */
struct output_file {
	const char *path; /* borrowed */
	int fd;
	char *temporary; /* NULL: written in place */
};

int output_begin(const char *path, struct output_file *file_out, struct why *why);
/* Returns 0, or a negative errno with why; output_end() is still to be called. */
int output_file_write(const struct output_file *file, const uint8_t *bytes, size_t n, struct why *why);
/* keep: the file gets its name; else nothing is left. May be called again, to no effect. */
int output_end(struct output_file *file, bool keep, struct why *why);

#endif
