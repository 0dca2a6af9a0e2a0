#include "web/request_guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The host without its port, lower-case; brackets of an IPv6 address stay away. */
static bool take_name(const char *host, char name[GUARD_HOST_MAX], bool *is_v6_out)
{
	size_t n = strnlen(host, GUARD_HOST_MAX);
	const char *end = host[0] == '[' ? strchr(host, ']') : strchr(host, ':'), *port;

	*is_v6_out = host[0] == '[';
	if (n == GUARD_HOST_MAX || (*is_v6_out && !end))
		return false;
	port = !end ? host + n : *is_v6_out ? end + 1 : end;
	if (!end)
		end = host + n;
	if (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1)))
		return false;
	if (*is_v6_out)
		host++;
	n = (size_t)(end - host);
	for (size_t i = 0; i < n; i++)
		name[i] = (char)tolower((unsigned char)host[i]);
	name[n] = '\0';
	return n > 0;
}

bool guard_host(const char *host, const char *const *names, size_t n_names, bool any_address)
{
	char name[GUARD_HOST_MAX];
	struct in6_addr address, loopback = IN6ADDR_LOOPBACK_INIT;
	bool is_v6;

	if (!host || !take_name(host, name, &is_v6))
		return false;
	if (is_v6) {
		if (inet_pton(AF_INET6, name, &address) != 1)
			return false;
		if (any_address || memcmp(&address, &loopback, sizeof(address)) == 0)
			return true;
	} else if (strcmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0) {
		return true;
	} else if (any_address && inet_pton(AF_INET, name, &address) == 1) {
		return true;
	}
	for (size_t i = 0; i < n_names; i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

bool guard_origin(const char *origin, const char *host)
{
	if (!origin)
		return true;
	/* Behind a proxy that speaks TLS for us the scheme is its own. */
	if (strncasecmp(origin, "https://", 8) == 0)
		origin += 8;
	else if (strncasecmp(origin, "http://", 7) == 0)
		origin += 7;
	else
		return false;
	return host && strcasecmp(origin, host) == 0;
}

bool guard_fetch(const char *site, const char *mode, const char *dest, bool is_get)
{
	if (!site || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0)
		return true;
	return is_get && mode && strcmp(mode, "navigate") == 0 && dest && strcmp(dest, "document") == 0;
}

bool guard_accepts_gzip(const char *accept_encoding)
{
	const char *at = accept_encoding;

	while (at && *at) {
		at += strspn(at, " \t,");
		size_t n = strcspn(at, ",");
		size_t word = strcspn(at, " \t;,");
		if (word == 4 && strncasecmp(at, "gzip", 4) == 0) {
			/* "gzip;q=0" and "gzip;q=0.000" refuse it. */
			const char *q = memchr(at, ';', n);
			q = q ? q + 1 + strspn(q + 1, " \t") : at;
			size_t zeros = strncasecmp(q, "q=", 2) == 0 ? strspn(q + 2, "0.") : 0;
			return !zeros || zeros != strcspn(q + 2, ",; \t");
		}
		at += n;
	}
	return false;
}

const char *guard_bearer(const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	return authorization + 7 + strspn(authorization + 7, " ");
}

const char *guard_cookie(const char *cookies, const char *name, size_t *n_out)
{
	size_t bytes = strlen(name);

	for (const char *at = cookies; at && *at;) {
		at += strspn(at, " \t;");
		size_t n = strcspn(at, ";");
		if (n > bytes && at[bytes] == '=' && strncmp(at, name, bytes) == 0) {
			n -= bytes + 1;
			while (n && (at[bytes + n] == ' ' || at[bytes + n] == '\t'))
				n--;
			*n_out = n;
			return at + bytes + 1;
		}
		at += n;
	}
	return NULL;
}
