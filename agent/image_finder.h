/* Finding the files that a profile names, on this machine: by name where the build id agrees, else by build id. Not thread-safe. */
#ifndef HEARTH_AGENT_IMAGE_FINDER_H
#define HEARTH_AGENT_IMAGE_FINDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "symbolizer/symbolizer.h"

struct image_finder {
	/* Folders to look in, before /usr/lib/debug: DIR/FILENAME, DIR/NAME, DIR/.build-id/xx/yyyy, DIR/.build-id/xx/yyyy.debug. */
	const char *const *folders;
	size_t n_folders;
	/* Reads a file's headers, as symbolizer_image(). */
	int (*headers)(void *context, int fd, struct image_info *info_out);
	void *context;
};

struct found_image {
	int fd; /* owned by the caller */
	char *path; /* free() it */
	struct image_info info;
	bool is_checked; /* it has the build id that was asked for */
};

/* filename: as the profile has it (" (deleted)" may follow it); may be "". build_id: its text, "" when the profile has none.
 * Files are opened by the rules of agent/image_open.h: a profile may be a stranger's.
 * Returns 0, -ENOENT (nothing of that name or build id), -ESTALE (only files with other build ids), -EOPNOTSUPP (the name is of no file: the kernel, the
 * vDSO, anonymous memory), -ENOEXEC (no ELF file), -ENOMEM, or another errno of the opening; why tells. */
int image_finder_find(const struct image_finder *finder, const char *filename, const char *build_id, struct found_image *found_out,
		      struct why *why);

void found_image_deinit(struct found_image *found);

/* Bytes of a build id in hex, as GNU's are. Returns how many, 0: it is not one (SAFETY 11). */
uint8_t build_id_parse(const char *text, uint8_t bytes_out[BUILD_ID_MAX]);

/* text_out: 2 * BUILD_ID_MAX + 1 bytes. */
void build_id_format(const uint8_t *build_id, uint8_t n_bytes, char *text_out);

#endif
