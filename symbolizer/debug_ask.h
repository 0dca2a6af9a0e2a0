/* Files that a binary refers to. The parser opens nothing (SAFETY 5): it asks, and whoever has the right opens candidates by its own
 * rules and hands over a descriptor. What is in it is checked by the parser: build id, CRC, dwo id. */
#ifndef HEARTH_SYMBOLIZER_DEBUG_ASK_H
#define HEARTH_SYMBOLIZER_DEBUG_ASK_H

#include <stdint.h>

#define DEBUG_ASK_TEXT_MAX 4096 /* bytes with the NUL */
#define DEBUG_ASKS_MAX	   4096 /* of one image */

enum debug_ask_kind {
	DEBUG_ASK_BUILD_ID, /* the separate debug file of a build id (.build-id/xx/yyyy.debug, debuginfod) */
	DEBUG_ASK_LINK,	    /* .gnu_debuglink: name, beside the image, in .debug/, or below /usr/lib/debug */
	DEBUG_ASK_ALT,	    /* .gnu_debugaltlink (dwz): name, relative to the debug file, or by build id */
	DEBUG_ASK_DWP,	    /* FILE.dwp beside the image or its debug file */
	DEBUG_ASK_DWO,	    /* one unit's .dwo: name, relative to directory */
	DEBUG_ASK_KINDS
};

struct debug_ask {
	enum debug_ask_kind kind;
	const char *directory; /* DWO: DW_AT_comp_dir; else "" */
	const char *name;      /* as the file has it: relative or absolute, with whatever in it; "" for BUILD_ID and DWP */
	uint8_t build_id[64];  /* BUILD_ID, ALT */
	uint8_t build_id_bytes;
};

struct debug_asker {
	/* nth: 0, 1, ... as long as the parser does not like what it got: the next candidate.
	 * fd_out: a regular file, owned by the parser from here on. Returns 0, -ENOENT (no candidate is left), or a negative errno. */
	int (*open)(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out);
	void *context;
};

#endif
