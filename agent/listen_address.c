#include "agent/listen_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"

#define BACKLOG 128

static int wrong(const char *text, struct why *why)
{
	return why_set(why, -EINVAL, "'%.100s' is not [HOST:]PORT or none; HOST is an address, such as 127.0.0.1 or [::1], localhost, or * for all", text);
}

static bool take_port(const char *text, in_port_t *port_out)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	*port_out = htons((in_port_t)port);
	return *text >= '0' && *text <= '9' && !*end && port <= 65535;
}

/* host: without brackets. */
static int set_address(struct listen_address *a, const char *host, bool is_v6, in_port_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};
	bool is_mapped;

	if (is_v6) {
		if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
			return -EINVAL;
		is_mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
		a->is_open = !(is_mapped ? in6.sin6_addr.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr));
		memcpy(&a->address, &in6, sizeof(in6));
		a->bytes = sizeof(in6);
		return 0;
	}
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return -EINVAL;
	a->is_open = ntohl(in.sin_addr.s_addr) >> 24 != 127;
	memcpy(&a->address, &in, sizeof(in));
	a->bytes = sizeof(in);
	return 0;
}

int listen_address_parse(const char *text, struct listen_address *address_out, struct why *why)
{
	struct listen_address a = {.is_none = true};
	char host[64] = "127.0.0.1";
	const char *colon = text ? strrchr(text, ':') : NULL;
	in_port_t port;

	if (!text || !*text || strcmp(text, "none") == 0) {
		*address_out = a;
		return 0;
	}
	a.is_none = false;
	size_t n = colon ? (size_t)(colon - text) : 0;
	if (!take_port(colon ? colon + 1 : text, &port) || n >= sizeof(host))
		return wrong(text, why);
	bool is_v6 = colon && text[0] == '[' && n > 1 && text[n - 1] == ']';
	if (colon) {
		memcpy(host, text + is_v6, n - 2 * is_v6);
		host[n - 2 * is_v6] = '\0';
	}
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	if (strcmp(host, "*") == 0 && !is_v6)
		strcpy(host, "0.0.0.0");
	if (set_address(&a, host, is_v6, port) < 0)
		return wrong(text, why);
	*address_out = a;
	return 0;
}

int listen_address_open(const struct listen_address *address, struct why *why)
{
	AUTO_CLOSE int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int yes = 1;

	if (fd < 0)
		return why_set(why, -errno, "making a socket for the page: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (const struct sockaddr *)&address->address, address->bytes) < 0 || listen(fd, BACKLOG) < 0) {
		int err = -errno;
		if (err == -EADDRINUSE)
			return why_set(why, err, "the port of the page is taken by something else; name another one with --listen PORT, or 'none'");
		return why_set(why, err, "the page cannot be served at this address (--listen): %s", strerror(-err));
	}
	return take_fd(&fd);
}

void listen_address_url(int fd, bool is_tls, char *out, size_t bytes)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	char text[INET6_ADDRSTRLEN] = "";
	socklen_t n = sizeof(address);
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	getsockname(fd, (struct sockaddr *)&address, &n);
	memcpy(&in, &address, sizeof(in));
	memcpy(&in6, &address, sizeof(in6));
	bool is_v6 = address.ss_family == AF_INET6;
	inet_ntop(is_v6 ? AF_INET6 : AF_INET, is_v6 ? (const void *)&in6.sin6_addr : (const void *)&in.sin_addr, text, sizeof(text));
	snprintf(out, bytes, "http%s://%s%s%s:%u/", is_tls ? "s" : "", is_v6 ? "[" : "", text, is_v6 ? "]" : "", ntohs(is_v6 ? in6.sin6_port : in.sin_port));
}
