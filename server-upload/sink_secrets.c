#include "server-upload/sink_secrets.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server-upload/url.h"

#define SECRET_MIN    4
#define BEGINNING_MIN 8

void secret_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void sink_secrets_deinit(struct sink_secrets *secrets)
{
	secret_free(secrets->bearer_token);
	secret_free(secrets->basic_password);
	secret_free(secrets->ca);
	secret_free(secrets->cert);
	secret_free(secrets->key);
	*secrets = (struct sink_secrets){0};
}

/* A text that was cut may have the beginning of a secret only: eight bytes of it are enough. */
static void redact(char *text, const char *secret, size_t n)
{
	if (n < SECRET_MIN)
		return;
	for (char *at = text; *at;) {
		size_t same = 0;
		while (same < n && at[same] == secret[same])
			same++;
		if (same == n || same >= BEGINNING_MIN)
			memset(at, '*', same);
		else
			same = 1;
		at += same;
	}
}

/* As Authorization: Basic has it. The result is owned, NULL: no memory. Source: RFC 4648, table 1. */
static char *base64(const char *bytes, size_t n)
{
	static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = calloc(1, (n + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; text && i < n; i += 3) {
		uint32_t three = (uint32_t)(uint8_t)bytes[i] << 16;
		three |= i + 1 < n ? (uint32_t)(uint8_t)bytes[i + 1] << 8 : 0;
		three |= i + 2 < n ? (uint32_t)(uint8_t)bytes[i + 2] : 0;
		*to++ = DIGITS[three >> 18];
		*to++ = DIGITS[three >> 12 & 63];
		*to++ = i + 1 < n ? DIGITS[three >> 6 & 63] : '=';
		*to++ = i + 2 < n ? DIGITS[three & 63] : '=';
	}
	return text;
}

static void redact_basic(const struct sink_secrets *secrets, const struct sink_config *config, char *text)
{
	size_t user = strlen(config->basic_user ? config->basic_user : ""), n = user + 1 + strlen(secrets->basic_password);
	char *both = malloc(n + 1);

	if (!both)
		return;
	memcpy(both, config->basic_user ? config->basic_user : "", user);
	both[user] = ':';
	strcpy(both + user + 1, secrets->basic_password);
	char *coded = base64(both, n);
	if (coded)
		redact(text, coded, strlen(coded));
	secret_free(coded);
	secret_free(both);
	redact(text, secrets->basic_password, strlen(secrets->basic_password));
}

/* user:password@ of a proxy's URL. */
static void redact_proxy(const char *proxy, char *text)
{
	const char *user = proxy ? strstr(proxy, "://") : NULL;

	user = user ? user + 3 : proxy;
	const char *end = user ? strrchr(user, '@') : NULL;
	const char *password = end ? memchr(user, ':', (size_t)(end - user)) : NULL;
	if (password)
		redact(text, password + 1, (size_t)(end - password - 1));
}

void sink_secrets_redact(const struct sink_secrets *secrets, const struct sink_config *config, char *text)
{
	if (secrets->bearer_token)
		redact(text, secrets->bearer_token, strlen(secrets->bearer_token));
	if (secrets->basic_password)
		redact_basic(secrets, config, text);
	for (size_t i = 0; i < config->n_headers; i++)
		redact(text, config->headers[i].value, strlen(config->headers[i].value));
	redact_proxy(config->proxy, text);
}

/* Headers that are made for secrets; others may carry them too, but most do not. */
static bool has_secret_header(const struct sink_config *config)
{
	static const char *const NAMES[] = {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"};

	for (size_t i = 0; i < config->n_headers; i++)
		for (size_t k = 0; k < sizeof(NAMES) / sizeof(NAMES[0]); k++)
			if (strcasecmp(config->headers[i].name, NAMES[k]) == 0)
				return true;
	return false;
}

bool sink_secrets_exposed(const struct sink_secrets *secrets, const struct sink_config *config)
{
	struct url url;
	struct why why;

	if (config->insecure_http_auth || (!secrets->bearer_token && !secrets->basic_password && !has_secret_header(config)))
		return false;
	if (url_parse(config->url ? config->url : "", &url, &why) < 0)
		return true;
	return strcmp(url.scheme, "https") != 0 && !url_is_loopback(&url);
}
