#include "server-upload/http_reply.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text_clean.h"

#define GRPC_STATUS_MAX 16

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void grpc_message_decode(const char *text, size_t n, char *out, size_t out_bytes)
{
	char decoded[1024];
	size_t to = 0;

	for (size_t i = 0; i < n && to < sizeof(decoded); i++) {
		bool is_coded = text[i] == '%' && n - i > 2 && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
		decoded[to++] = text[i];
		if (is_coded) {
			decoded[to - 1] = (char)(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
			i += 2;
		}
	}
	text_clean(decoded, to, out, out_bytes);
}

static void take_status_line(struct http_reply *reply, const char *line, size_t n)
{
	const char *space = memchr(line, ' ', n);
	size_t left = space ? n - (size_t)(space - line) : 0;

	reply->status = 0;
	reply->content_type[0] = '\0';
	reply->grpc_status = -1;
	reply->grpc_message[0] = '\0';
	for (size_t i = 1; i <= 3 && i < left && isdigit((unsigned char)space[i]); i++)
		reply->status = reply->status * 10 + (space[i] - '0');
}

static void take_content_type(struct http_reply *reply, const char *value, size_t n)
{
	const char *end = memchr(value, ';', n);

	n = end ? (size_t)(end - value) : n;
	while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	n = text_clean(value, n, reply->content_type, sizeof(reply->content_type));
	for (size_t i = 0; i < n; i++)
		reply->content_type[i] = (char)tolower((unsigned char)reply->content_type[i]);
}

/* What is no number from 0 to 16 is UNKNOWN (2), as gRPC's libraries have it. */
static int parse_grpc_status(const char *value, size_t n)
{
	int status = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)value[i]) || i == 2)
			return 2;
		status = status * 10 + (value[i] - '0');
	}
	return n && status <= GRPC_STATUS_MAX ? status : 2;
}

static bool is_header(const char *line, size_t n_name, const char *name)
{
	return strlen(name) == n_name && strncasecmp(line, name, n_name) == 0;
}

void http_reply_take_line(struct http_reply *reply, const char *line, size_t n)
{
	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r' || line[n - 1] == ' '))
		n--;
	const char *colon = memchr(line, ':', n);
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		take_status_line(reply, line, n);
		return;
	}
	if (!colon)
		return;
	size_t n_name = (size_t)(colon - line), n_value = n - n_name - 1;
	const char *value = colon + 1;
	while (n_value && (*value == ' ' || *value == '\t')) {
		value++;
		n_value--;
	}
	if (is_header(line, n_name, "content-type"))
		take_content_type(reply, value, n_value);
	else if (is_header(line, n_name, "grpc-status"))
		reply->grpc_status = parse_grpc_status(value, n_value);
	else if (is_header(line, n_name, "grpc-message"))
		grpc_message_decode(value, n_value, reply->grpc_message, sizeof(reply->grpc_message));
}
