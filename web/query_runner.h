/* hearth-query: forks a process for each query, with limits, and says what became of it (web/query_protocol.h). It reads nothing that a stranger wrote; those that it forks do. */
#ifndef HEARTH_WEB_QUERY_RUNNER_H
#define HEARTH_WEB_QUERY_RUNNER_H

#include "web/answer.h"

#define QUERY_ADDRESS_BYTES (768ull << 20)
#define QUERY_CPU_S	    20
#define QUERY_WALL_NS	    (30 * 1000000000ull)

/* Who answers. */
struct web_handlers {
	/* Whether there is such a path; called in hearth-web, for a path that is clean. */
	bool (*has)(const char *path);
	/* In the process of one query. Returns 0, or a negative errno when nothing can be answered. */
	int (*answer)(const struct web_context *context, const struct web_request *request, struct web_answer *answer);
};

struct query_runner_options {
	const struct web_handlers *handlers;
	const char *store, *host, *version; /* see struct web_context */
	uint64_t address_bytes, wall_ns;    /* 0: as above */
	uint32_t cpu_s;
	bool bare; /* see web_confine.h */
};

/* The rest of the life of a process that was forked for it. socket: hearth-web's; all else of it should be closed. Returns the exit status when the socket closes. */
int query_runner_run(int socket, const struct query_runner_options *options);

#endif
