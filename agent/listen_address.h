/* Where the page is served: "[HOST:]PORT", or "none". HOST is an address (IPv6 in brackets), localhost, or * for all of them; never a name that is looked up. */
#ifndef HEARTH_AGENT_LISTEN_ADDRESS_H
#define HEARTH_AGENT_LISTEN_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/why.h"

struct listen_address {
	bool is_none;
	bool is_open; /* can be reached from other machines */
	struct sockaddr_storage address;
	socklen_t bytes;
};

/* NULL or "": "none". Returns 0 or -EINVAL with why. */
int listen_address_parse(const char *text, struct listen_address *address_out, struct why *why);

/* A socket that listens there. Returns a descriptor, or a negative errno with why (-EADDRINUSE: something else does). */
int listen_address_open(const struct listen_address *address, struct why *why);

/* What a browser is told: "http://127.0.0.1:7117/". fd: that listens: port 0 is some port. */
void listen_address_url(int fd, bool is_tls, char *out, size_t bytes);

#endif
