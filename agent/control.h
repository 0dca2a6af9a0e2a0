/* The control socket of a running agent: a line is asked, some lines are answered, the connection is closed.
 *
 *   status | rate HZ SECONDS | pause [SECONDS] | resume
 *   ok, then a line "NAME VALUE" each; or: error TEXT
 *
 * The socket is of mode 0600, and only root and the agent's own user are answered (SO_PEERCRED). Nothing here waits: requests are at most CONTROL_LINE_MAX bytes, answers fit the socket's
 * buffer, and of the few clients one that says nothing for CONTROL_PATIENCE_NS makes room for the next. Not thread-safe. */
#ifndef HEARTH_AGENT_CONTROL_H
#define HEARTH_AGENT_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define CONTROL_LINE_MAX    128
#define CONTROL_REPLY_MAX   4096
#define CONTROL_CLIENTS_MAX 4
#define CONTROL_PATIENCE_NS 2000000000ull
#define CONTROL_BOOST_MAX_NS (3600ull * 1000000000)

struct control;

enum control_verb { CONTROL_STATUS, CONTROL_RATE, CONTROL_PAUSE, CONTROL_RESUME };

struct control_request {
	enum control_verb verb;
	uint64_t rate_hz;
	uint64_t for_ns; /* 0: until it is taken back (pause only) */
};

struct control_reply {
	char text[CONTROL_REPLY_MAX];
	size_t n;
};

/* A line without its end. Returns 0, or -EINVAL with why. */
int control_parse(const char *line, struct control_request *request_out, struct why *why);

/* What a control_fn answers with; a reply to which nothing was added is "ok". What does not fit is left out. */
__attribute__((format(printf, 3, 4))) void control_reply_add(struct control_reply *reply, const char *name, const char *format, ...);
__attribute__((format(printf, 2, 3))) void control_reply_fail(struct control_reply *reply, const char *format, ...);

/* Lines "NAME VALUE" as members of the object at hand: numbers are numbers, all else is text. */
struct json_writer;
void control_reply_json(const char *text, struct json_writer *writer);

typedef void (*control_fn)(void *context, const struct control_request *request, struct control_reply *reply);

/* $RUNTIME_DIRECTORY (systemd), /run/hearth for root, else $XDG_RUNTIME_DIR/hearth, with "control.sock". Returns 0, or -ENOENT: there is no such folder. */
int control_path(char *out, size_t out_bytes);

/* Listen. The folder is made (0700) when it is missing; one that others may write to is refused. A socket that nobody answers is taken over.
 * Returns 0, -EADDRINUSE (another agent answers there), -EPERM, -ENAMETOOLONG or another errno with why. */
int control_open(const char *path, struct control **control_out, struct why *why);

/* Readable (epoll) when there is something for control_work(). */
int control_fd(const struct control *c);

/* Take what is there, and answer it with fn. now_ns: CLOCK_MONOTONIC. */
void control_work(struct control *c, uint64_t now_ns, control_fn fn, void *context);

/* Also removes the socket. NULL is legal. */
void control_close(struct control *c);

/* The other end: ask a line (without its end). reply_out: what was answered, without "ok". Returns 0, -EREMOTEIO (an error was answered: it is in why), -ENOENT or -ECONNREFUSED (no
 * agent), -EACCES, -ETIMEDOUT, -EBADMSG, with why. */
int control_ask(const char *path, const char *line, char reply_out[CONTROL_REPLY_MAX], struct why *why);

#endif
