/* Connections that are open: how many of one address, and until when each must have said or taken something. Who sends a header's byte every
 * nine seconds is not idle by the library's clock; here it is late. Times: CLOCK_MONOTONIC. Not thread-safe. */
#ifndef HEARTH_WEB_PEERS_H
#define HEARTH_WEB_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PEERS_MAX	 256
#define PEERS_OF_ADDRESS 32 /* of one address (IPv6: of one /64), loopback aside */

struct peer {
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the first 64 bits */
	bool is_loopback;
	int fd;		      /* -1: not in use; borrowed */
	uint64_t deadline_ns; /* 0: none */
};

struct peers {
	struct peer list[PEERS_MAX];
	size_t n;
	uint64_t refused, late; /* by the limits; closed because they were late */
};

void peers_init(struct peers *p);

/* Whether one more from there may come; counts refusals. address: NULL (unknown) is refused. */
bool peers_admit(struct peers *p, const struct sockaddr *address);

/* Returns NULL when there is no room. */
struct peer *peers_add(struct peers *p, const struct sockaddr *address, int fd, uint64_t deadline_ns);
void peers_remove(struct peers *p, struct peer *peer);

/* The next deadline; UINT64_MAX: none. */
uint64_t peers_due_ns(const struct peers *p);

/* Shut the sockets of those that are late: their owner sees them closed. */
void peers_end_late(struct peers *p, uint64_t now_ns);

#endif
