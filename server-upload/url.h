/* URLs of servers, as people write them, checked and made canonical. */
#ifndef HEARTH_SERVER_UPLOAD_URL_H
#define HEARTH_SERVER_UPLOAD_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

#define URL_MAX	 2048
#define HOST_MAX 255

struct url {
	char scheme[16];     /* lower case; "": there was none */
	char host[HOST_MAX + 3]; /* lower case; an IPv6 address in brackets */
	uint16_t port;	     /* 0: there was none */
	char path[URL_MAX];  /* with the query; begins with / or ?, or is "" */
};

/* [SCHEME://]HOST[:PORT][/PATH][?QUERY]. Users, passwords and fragments are refused, as is what is not printable ASCII. Returns 0, or -EINVAL with why. */
int url_parse(const char *text, struct url *url_out, struct why *why);

/* Whether its host is this machine: localhost, 127.0.0.0/8 or ::1. */
bool url_is_loopback(const struct url *url);

#endif
