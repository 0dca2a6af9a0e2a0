/* What a process that reads a stranger's profile, and may open nothing, asks the command that started it: files that the profile names, names for addresses of
 * them, and the outputs. A channel (base/channel.h) between two processes of one command.
 *
 * The command believes nothing: the process could be taken over. It gets no more than its profile could have asked for: names out of ELF files, which are opened by the rules
 * of agent/image_open.h and read by a confined symbolizer. Not thread-safe. */
#ifndef HEARTH_AGENT_NAMING_LINK_H
#define HEARTH_AGENT_NAMING_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image_finder.h"
#include "agent/image_names.h"
#include "base/channel.h"
#include "base/why.h"

#define NAMING_OUTPUTS_MAX    8
#define NAMING_TEXT_MAX	      4096		 /* bytes of a file's name or a build id; longer ones are of no file */
#define NAMING_ADDRESSES_MAX  (8u << 20)	 /* of one question */
#define NAMING_PAYLOAD_MAX    (NAMING_ADDRESSES_MAX * sizeof(uint64_t))

enum naming_kind {
	NAMING_FIND = 1, /* struct naming_find and the texts; answered with an errno and why, or with struct naming_found and the path */
	NAMING_NAMES,	 /* addresses of the image that was found last; answered with pieces, and then with an errno or 0 */
	NAMING_PIECE,	 /* of an answer, as names_answer_encode() writes it; result: how many addresses are in it, always more than none */
	NAMING_OUTPUTS,	 /* answered with a descriptor for each output, or with an errno */
	NAMING_KINDS,
};

struct naming_find { /* followed by the texts, without NULs */
	uint32_t filename_bytes, build_id_bytes;
};

/* --- in the process ----------------------------------------------------------------------------------------------------- */

/* fd: taken over, also on failure. Returns 0 or -ENOMEM. */
int naming_client_init(struct channel *c, int fd);

/* As image_finder_find(), asked of the command; context: struct channel. found_out->fd is -1: the file is the command's. A command that is gone, or whose answer cannot be, is -EPIPE or -EBADMSG. */
int naming_client_find(void *context, const char *filename, const char *build_id, struct found_image *found_out, struct why *why);

/* As image_names_each(), of the image that was found last; found is not looked at. */
int naming_client_names(void *context, const struct found_image *found, const uint64_t *vaddrs, size_t n, symbolizer_take_fn *take, void *take_context);

/* Outputs, opened: n descriptors, the caller's. After a failure the command has said what is wrong. */
int naming_client_outputs(struct channel *c, int *fds_out, size_t n);

/* --- in the command ----------------------------------------------------------------------------------------------------- */

struct naming_server {
	struct channel channel;
	struct image_finder finder;
	struct image_names *names;
	/* Opens them, and says on failure what is wrong: how many (NAMING_OUTPUTS_MAX at most), or a negative errno. Asked once. */
	int (*open_outputs)(void *context, int *fds_out);
	void *context;
	/* Its own. */
	struct found_image found; /* the last one; path NULL: none */
	uint64_t n_images;
	bool has_opened;
};

/* fd: taken over, also on failure. finder, names, open_outputs, context: set by the caller. Returns 0 or -ENOMEM. */
int naming_server_init(struct naming_server *s, int fd);

/* Wait for one question, and answer it. Returns 0, -EPIPE (the process is gone), -EBADMSG (it asks what cannot be: end it), or another negative errno of the channel. */
int naming_server_answer(struct naming_server *s);

void naming_server_deinit(struct naming_server *s);

#endif
