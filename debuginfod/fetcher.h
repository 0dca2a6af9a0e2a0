/* Debug files by build id from debuginfod servers, fetched by a process that has the network and no other right.
 *
 * A small process is forked at the beginning, while nothing is loaded. It gives up its user, capabilities, descriptors and
 * privileges, and forks one more process for each download, with a list of system calls (no exec, no other process, files
 * read-only), with Landlock only what names are resolved by (/etc, /run/systemd/resolve), and with limits on bytes, CPU and time.
 * What is downloaded goes into a descriptor that the caller hands over; that it is the debug file of that build id is for its
 * reader to check.
 *
 * Servers' certificates are verified by the machine's (they are read before the file system is given up); redirects are followed
 * five times, never from https to http. Servers are asked in their order until one has the file. Nobody waits: the caller's loop
 * gets the result. Not thread-safe.
 * Protocol: debuginfod(8), "WEBAPI": GET /buildid/BUILDID/debuginfo. */
#ifndef HEARTH_DEBUGINFOD_FETCHER_H
#define HEARTH_DEBUGINFOD_FETCHER_H

#include <stdbool.h>
#include <stdint.h>

#define DEBUGINFOD_URLS_MAX 8

struct debuginfod_fetcher;

struct debuginfod_options {
	const char *urls;     /* separated by spaces, as in DEBUGINFOD_URLS; http and https only */
	uint64_t max_bytes;   /* of one file; 0: 1 GiB */
	uint32_t connect_s;   /* 0: 5 */
	uint32_t stall_s;     /* less than 1 KiB a second for so long ends a download; 0: 20 */
	uint32_t total_s;     /* 0: 180 */
	const char *ca_file;  /* certificates, PEM; NULL: the machine's */
	bool bare;	      /* no list of system calls and no Landlock: sanitizers and valgrind live with neither */
};

/* What became of one download. */
struct debuginfod_result {
	uint64_t id; /* as given to debuginfod_fetch() */
	/* 0; -ENOENT: no server has it; -EFBIG: over max_bytes; -EAGAIN: a server was not reached, was too slow, or says that it
	 * cannot now; -EPROTO: a certificate or a redirect that is refused; -ECHILD: the process died. */
	int err;
	uint64_t bytes;
	uint32_t retry_after_s; /* of -EAGAIN: what the server asked for; 0: nothing */
};

/* Returns 0, -EINVAL (no URL that can be used), or a negative errno of the forking. Call it early: no thread may run. */
int debuginfod_start(const struct debuginfod_options *options, struct debuginfod_fetcher **fetcher_out);

/* Begin a download. fd: an empty file, open for writing; borrowed for the call. One at a time: -EBUSY. Returns 0, -EINVAL (a build
 * id that is none: SAFETY 11), -ECHILD (the process is gone), or a negative errno. */
int debuginfod_fetch(struct debuginfod_fetcher *f, uint64_t id, const uint8_t *build_id, uint8_t build_id_bytes, int fd);

/* Readable when there is a result. */
int debuginfod_fd(const struct debuginfod_fetcher *f);

/* Returns true when a download has ended. */
bool debuginfod_take(struct debuginfod_fetcher *f, struct debuginfod_result *result_out);

/* The process has ended: nothing will come any more. */
bool debuginfod_is_dead(const struct debuginfod_fetcher *f);

/* Ends a download that runs. NULL is legal. */
void debuginfod_stop(struct debuginfod_fetcher *f);

#endif
