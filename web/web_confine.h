/* What the page's processes give up (docs/confinement.md). hearth-web speaks with strangers and has their sockets; hearth-query forks who reads the store; neither can do what the other does.
 *
 * bare: without the limit of the address space, Landlock and the list of system calls: sanitizers and valgrind live with none of them. All return 0 or a negative errno. */
#ifndef HEARTH_WEB_WEB_CONFINE_H
#define HEARTH_WEB_WEB_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

/* Before either is forked: no network but the sockets that are there, and what is forked next is the first process of its own PID namespace. Where we may not, we go without. */
void web_confine_apart(void);

/* hearth-web: nobody, no capability, no file system, no other process. */
int web_confine_server(bool bare);

/* hearth-query: the agent's user without its capabilities; of files, the store's folder for reading. store: "": none. It forks and kills. */
int web_confine_runner(const char *store, bool bare);

struct web_confine_limits {
	uint64_t address_bytes, file_bytes;
	uint32_t cpu_s;
};

/* What hearth-query forked: limits; no fork, no signal to others, no socket. */
int web_confine_worker(const struct web_confine_limits *limits, bool bare);

#endif
