#include "server-upload/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void copy_lower(char *to, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (char)tolower((unsigned char)from[i]);
	to[n] = '\0';
}

static int take_port(const char *text, size_t n, uint16_t *port_out, struct why *why)
{
	unsigned long port = 0;

	if (n > 0 && n <= 5 && strspn(text, "0123456789") >= n)
		port = strtoul(text, NULL, 10);
	if (port < 1 || port > 65535)
		return why_set(why, -EINVAL, "'%.*s' is no port: 1 to 65535", (int)(n > 20 ? 20 : n), text);
	*port_out = (uint16_t)port;
	return 0;
}

static int check_host(const char *host, struct why *why)
{
	char address[INET6_ADDRSTRLEN + 1];
	struct in6_addr binary;
	size_t n = strlen(host);

	if (host[0] == '[') {
		if (n - 2 < sizeof(address)) {
			memcpy(address, host + 1, n - 2);
			address[n - 2] = '\0';
			if (inet_pton(AF_INET6, address, &binary) == 1)
				return 0;
		}
		return why_set(why, -EINVAL, "'%.64s' is no IPv6 address", host);
	}
	if (n == 0)
		return why_set(why, -EINVAL, "there is no host in it");
	if (strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != n)
		return why_set(why, -EINVAL, "'%.64s' is no name of a host", host);
	return 0;
}

/* HOST, HOST:PORT, [IPv6], [IPv6]:PORT. */
static int take_authority(const char *text, size_t n, struct url *url, struct why *why)
{
	const char *bracket = *text == '[' ? memchr(text, ']', n) : NULL;
	size_t host = bracket ? (size_t)(bracket - text) + 1 : strcspn(text, ":/?");

	if (*text == '[' && !bracket)
		return why_set(why, -EINVAL, "a ] is missing");
	if (host > HOST_MAX)
		return why_set(why, -EINVAL, "the name of its host is longer than %d characters", HOST_MAX);
	copy_lower(url->host, text, host);
	int err = check_host(url->host, why);
	if (err < 0 || host == n)
		return err;
	if (text[host] != ':')
		return why_set(why, -EINVAL, "what is '%.20s' behind the host?", text + host);
	return take_port(text + host + 1, n - host - 1, &url->port, why);
}

int url_parse(const char *text, struct url *url_out, struct why *why)
{
	struct url url = {.port = 0};
	const char *scheme_end = strstr(text, "://");
	size_t n = strlen(text);

	if (n >= URL_MAX)
		return why_set(why, -EINVAL, "longer than %d characters", URL_MAX - 1);
	for (const char *at = text; *at; at++)
		if (!isgraph((unsigned char)*at) || strchr("\"<>\\^`{|}", *at))
			return why_set(why, -EINVAL, "there is a character in it that a URL cannot have (at character %zu); write it as %%XX",
				       (size_t)(at - text) + 1);
	if (scheme_end && (size_t)(scheme_end - text) == strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.")) {
		if (scheme_end == text || (size_t)(scheme_end - text) >= sizeof(url.scheme))
			return why_set(why, -EINVAL, "its scheme is none that hearth knows");
		copy_lower(url.scheme, text, (size_t)(scheme_end - text));
		text = scheme_end + 3;
	}
	size_t authority = strcspn(text, "/?#");
	if (memchr(text, '@', authority))
		return why_set(why, -EINVAL, "no user or password in it: they would be seen in the list of processes; use basic_user and basic_password_file");
	if (strchr(text, '#'))
		return why_set(why, -EINVAL, "no fragment (#...) in it");
	int err = take_authority(text, authority, &url, why);
	if (err < 0)
		return err;
	memcpy(url.path, text + authority, strlen(text + authority) + 1);
	*url_out = url;
	return 0;
}

bool url_is_loopback(const struct url *url)
{
	struct in_addr address;

	if (strcmp(url->host, "localhost") == 0 || strcmp(url->host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, url->host, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}
