/* Messages of the process that uploads, over SOCK_SEQPACKET (base/channel.h): with the agent, which tells it what the sinks are and logs what it
 * says; and with the process of the store, which has the windows. Same machine, same build: native byte order. Both sides check everything.
 *
 *   agent -> upload   CONFIG   sinks, labels, rules, and the contents of their files (secrets, certificates); again on every change
 *   upload -> agent   STATUS   struct upload_status for each sink, once a window and when it changes; EVENT: a line to be logged
 *   upload -> agent   WANT     struct upload_want: a server wants the debug information of a file that was sampled; one question at a time
 *   agent -> upload   FILE     struct upload_file: it, in a sealed memfd; or why not
 *   upload -> store   NEXT     {sink, after}: answered with WINDOW (its pprof in a sealed memfd) or NONE
 *   upload -> store   SHAPED   {sink, number}: that window was read and became requests. A socket that closes between WINDOW and SHAPED (or MARK) is a strike
 *                              against that window of that sink: with UPLOAD_STRIKES it is passed over, and counted (docs/uploading.md, "Windows that kill")
 *   upload -> store   MARK     {sink, number}: the sink has all up to it, or they were given up and counted
 *   store -> upload   NEWS     there is a new window
 *
 * The process ends when one of its sockets is closed; who starts it again gives it new ones, and a CONFIG. */
#ifndef HEARTH_SERVER_UPLOAD_UPLOAD_PROTOCOL_H
#define HEARTH_SERVER_UPLOAD_UPLOAD_PROTOCOL_H

#include <stdint.h>

#include "base/channel.h"
#include "server-upload/sink_config.h"

#define UPLOAD_STRIKES	    3
#define UPLOAD_CONFIG_BYTES (16u << 20) /* of CONFIG; greatest payload of this protocol */
#define UPLOAD_WINDOW_BYTES (64u << 20) /* of a window, as it is handed over */
#define UPLOAD_FILE_BYTES   (256u << 20) /* of one file's debug information: it is in memory while it is sent */
#define UPLOAD_BUILD_ID_MAX 128 /* hex digits (SAFETY 11) */

enum upload_message { UPLOAD_CONFIG = 1, UPLOAD_STATUS, UPLOAD_EVENT, UPLOAD_NEXT, UPLOAD_WINDOW, UPLOAD_NONE, UPLOAD_MARK, UPLOAD_NEWS, UPLOAD_SHAPED,
		      UPLOAD_WANT, UPLOAD_FILE, UPLOAD_MESSAGES };

extern const struct channel_rules UPLOAD_RULES;

enum upload_severity { UPLOAD_INFO, UPLOAD_WARNING, UPLOAD_ERROR };

/* Sinks are numbered as in the last CONFIG; its serial goes with every message, and what names an older one is dropped. */
struct upload_next {
	uint64_t serial, after;
	uint32_t sink, reserved;
};

struct upload_window { /* with a descriptor */
	uint64_t serial, number, bytes;
	uint32_t sink, reserved;
};

struct upload_mark { /* of SHAPED too */
	uint64_t serial, number;
	uint32_t sink, reserved;
};

/* Since the beginning of the process. */
struct upload_status {
	uint64_t serial;
	uint32_t sink;
	uint32_t failing;	   /* requests that failed in a row */
	uint64_t windows_sent, windows_dropped; /* dropped: refused by the server (4xx), or cannot be shaped */
	uint64_t requests, retries, rejected; /* rejected: profiles that the server took the rest without (OTLP partial_success) */
	uint64_t bytes_sent;	   /* bodies as they went over the wire */
	uint64_t samples_sent, samples_pruned, samples_relabelled, samples_rejected; /* rejected: of windows that the server refused */
	uint64_t series_folded;
	uint64_t debuginfo_sent, debuginfo_bytes; /* files' debug information, and its bytes */
	uint64_t debuginfo_known, debuginfo_missing, debuginfo_given_up; /* the server wanted none; there was none here; it would not go */
	uint64_t debuginfo_waiting; /* now */
	uint64_t last_success_ns;  /* CLOCK_BOOTTIME; 0: never */
	uint64_t wait_until_ns;	   /* CLOCK_BOOTTIME: when it tries again; 0: now */
	char last_error[256];	   /* clean text; "" when the last request succeeded */
};

struct upload_want {
	char build_id[UPLOAD_BUILD_ID_MAX + 8]; /* lower-case hex, ends in NUL */
};

/* result 0: with a descriptor; -ENOENT: nobody has any, for good; another negative errno: not now. */
struct upload_file {
	char build_id[UPLOAD_BUILD_ID_MAX + 8]; /* that was asked for */
	char hash[40];	 /* of the file, lower-case hex, ends in NUL; "" without one */
	uint64_t bytes;
	int32_t result;
	uint32_t reserved;
};

struct upload_event {
	uint32_t severity;
	char text[508]; /* clean text, ends in NUL */
};

/* Is a message of that kind with that payload what it says? Numbers in range, text clean and ended, sinks below SINKS_MAX, descriptors as many as there must be.
 * CONFIG is for upload_config_decode() to check. Returns 0 or -EBADMSG. */
int upload_message_check(const struct message *message);

#endif
