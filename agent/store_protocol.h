/* Messages between the agent and hearth-store, over SOCK_SEQPACKET (base/channel.h). Both sides check everything.
 *
 *   store -> agent   READY     once: it can begin (result 0; a text then says what was set aside), or cannot, and why
 *   agent -> store   WINDOW    one window: its pprof in a sealed memfd; serial is the agent's number for it, detail enum store_window_flags
 *   store -> agent   WRITTEN   what became of it, in the order of the windows
 *   agent -> store   SINKS     who gets windows from now on; with a descriptor: hearth-upload's socket (server-upload/upload_protocol.h), instead of an earlier one
 *   store -> agent   EVENT     a line to be logged
 *   store -> agent   STATS     after each window, and when something was tidied up
 *
 * When the agent's socket closes, hearth-store does what is in it, closes the store, and ends. */
#ifndef HEARTH_AGENT_STORE_PROTOCOL_H
#define HEARTH_AGENT_STORE_PROTOCOL_H

#include <limits.h>
#include <stdint.h>

#include "base/channel.h"
#include "store/store.h"

#define STORE_WINDOW_BYTES (64u << 20) /* of a window, as it is handed over */
#define STORE_TEXT_MAX	   512

enum store_message { STORE_READY = 1, STORE_WINDOW, STORE_WRITTEN, STORE_SINKS, STORE_EVENT, STORE_STATS, STORE_MESSAGES };

enum store_window_flags {
	STORE_WINDOW_MAYBE = 1,	     /* it may be in the store already: the process died before it could say so */
	STORE_WINDOW_FILES_ONLY = 2, /* the store is not asked now; folders get it */
	STORE_WINDOW_STORE_ONLY = 4, /* folders have it */
};

#define STORE_RULES ((struct channel_rules){.version = 1, .kinds = STORE_MESSAGES, .fds_max = 1, .detail_max = 7})

/* Who gets windows. Numbered as in hearth-upload's CONFIG. */
struct store_sink {
	char name[STORE_SINK_NAME_MAX];
	char folder[PATH_MAX];	/* pprof files go there; "": hearth-upload serves it */
	uint64_t folder_bytes;	/* budget */
};

/* What a hearth-store is started with. */
struct store_settings {
	char folder[PATH_MAX]; /* "": there is no store, only folders of files */
	uint64_t bytes_max, age_max_ns, outbox_bytes_max, outbox_age_max_ns; /* see struct store_options */
	struct store_level levels[STORE_LEVELS_MAX];
	uint64_t serial; /* of the sinks, as in hearth-upload's CONFIG */
	uint32_t n_sinks;
	uint32_t bare; /* without confinement: valgrind */
	struct store_sink sinks[STORE_SINKS_MAX];
};

struct store_text { /* of READY and EVENT; clean, ends in NUL */
	uint32_t severity; /* enum log_level; of EVENT */
	char text[STORE_TEXT_MAX];
};

struct store_written {
	uint64_t number;     /* in the store; 0: it is not there */
	uint64_t append_ns;
	int32_t store_err;   /* 0: written, or there is no store; -EAGAIN: it was not asked */
	int32_t files_err;   /* 0: all folders have it, or will get it out of the store */
	char why[STORE_TEXT_MAX]; /* of the first that failed */
};

struct store_sinks { /* of SINKS: the folders stay as they were at the start */
	uint64_t serial;
	uint32_t n, reserved;
	char names[STORE_SINKS_MAX][STORE_SINK_NAME_MAX];
};

struct store_folder_stats {
	uint64_t files, bytes, written, failed, evicted;
	uint64_t behind; /* 1: it has not got all that the store has */
};

struct store_report {
	struct store_stats store; /* zeros: there is none */
	struct store_folder_stats folders[STORE_SINKS_MAX]; /* by the number of the sink */
	uint64_t passed_over[STORE_SINKS_MAX]; /* windows that hearth-upload died of UPLOAD_STRIKES times */
};

#endif
