/* The keeper: a small process that forks the services (hearth-store, hearth-upload), reaps and ends them.
 *
 * It is forked itself before the agent loads anything, so that a service that died can be forked again and holds nothing of the agent: no
 * BPF map, no descriptor but those that it is given. It keeps the agent's rights, because a service gives up its own by itself, and reads nothing but the
 * agent's orders. When the agent goes, however it goes, services see their sockets close, and have SERVICES_GRACE_MS to finish; then they are killed, and the
 * keeper ends. If the keeper goes, they go at once.
 *
 * Nobody waits for anybody: orders are sent, what became of them are events. Not thread-safe. */
#ifndef HEARTH_AGENT_SERVICES_H
#define HEARTH_AGENT_SERVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVICES_MAX	      4
#define SERVICE_FDS_MAX	      4
#define SERVICE_FD_FIRST      3 /* in the service: its descriptors are 3, 4, ... */
#define SERVICE_ARGUMENT_MAX  (256u << 10)
#define SERVICES_GRACE_MS     2500
#define SERVICE_LONG_LIFE_NS  (60 * 1000000000ull) /* who lived that long is started again at once */
#define SERVICE_PAUSE_FIRST_NS (1000000000ull)	   /* else after a pause, which doubles */
#define SERVICE_PAUSE_LONGEST_NS (60 * 1000000000ull)

struct services;

struct service {
	const char *name; /* of the process; at most 15 bytes */
	/* Its main, in a session of its own, with SIGINT, SIGTERM and SIGHUP ignored: it ends when its sockets close. argument: valid as long as it runs.
	 * Returns the exit status. */
	int (*run)(const int *fds, size_t n_fds, const void *argument, size_t n_bytes);
};

struct service_event {
	unsigned service;
	bool started; /* else: it has ended */
	pid_t pid;
	int status;   /* of the end, as of waitpid(); of a start that failed: pid 0, a negative errno */
	bool expected; /* services_let_go() was called before */
};

/* table: borrowed as long as the services live. Call it before anything else: no thread may run. Returns 0 or a negative errno. */
int services_create(const struct service *table, size_t n, struct services **services_out);

/* Start one that does not run. fds: borrowed; up to SERVICE_FDS_MAX. argument: up to SERVICE_ARGUMENT_MAX bytes, copied.
 * Returns 0, -EBUSY (it runs), -E2BIG, -EPIPE (the keeper is gone), or another negative errno. */
int services_start(struct services *s, unsigned service, const int *fds, size_t n_fds, const void *argument, size_t n_bytes);

/* Whether it was started and has not ended. */
bool services_runs(const struct services *s, unsigned service);

/* When one that has ended unexpectedly may be started again, CLOCK_MONOTONIC; 0: now. */
uint64_t services_again_ns(const struct services *s, unsigned service);

/* Unexpected ends since the beginning. */
uint64_t services_deaths(const struct services *s, unsigned service);

/* Kill it; that counts as a death unless it was let go. No error if it does not run. */
void services_end(struct services *s, unsigned service);

/* Its end is expected from here on. */
void services_let_go(struct services *s, unsigned service);

/* Readable when there is an event. */
int services_fd(const struct services *s);

/* Returns 0, -EAGAIN (none), -EPIPE (the keeper is gone). */
int services_take(struct services *s, struct service_event *event_out);

/* Of one that runs; 0: not (yet) known. */
pid_t services_pid(const struct services *s, unsigned service);

/* CPU time of a service, those of it that ended included. */
uint64_t services_cpu_ns(const struct services *s, unsigned service);

/* Ends all, after SERVICES_GRACE_MS by force; whoever was told to end by services_end() has no time left. NULL is legal. */
void services_destroy(struct services *s);

#endif
