#include "web/query_protocol.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_clean.h"

#define FIXED_TEXTS 4 /* method, path, content type, accept */

struct query_head {
	uint32_t n_parameters, text_bytes, body_bytes, wants_gzip;
};

static size_t put(uint8_t *to, size_t at, const char *text)
{
	size_t n = strlen(text) + 1;

	if (to)
		memcpy(to + at, text, n);
	return at + n;
}

/* to NULL: only counts. */
static size_t put_texts(uint8_t *to, const struct web_request *r)
{
	size_t at = put(to, 0, r->method);

	at = put(to, at, r->path);
	at = put(to, at, r->content_type);
	at = put(to, at, r->accept);
	for (size_t i = 0; i < r->n_parameters; i++) {
		at = put(to, at, r->parameters[i].key);
		at = put(to, at, r->parameters[i].value);
	}
	return at;
}

int query_encode(const struct web_request *request, bool wants_gzip, uint8_t **payload_out, size_t *n_out)
{
	if (request->n_parameters > QUERY_PARAMETERS_MAX || request->body_bytes > QUERY_BODY_MAX)
		return -E2BIG;
	size_t texts = put_texts(NULL, request), n = sizeof(struct query_head) + texts + request->body_bytes;
	if (n > QUERY_PAYLOAD_MAX)
		return -E2BIG;
	struct query_head head = {.n_parameters = (uint32_t)request->n_parameters, .text_bytes = (uint32_t)texts,
				  .body_bytes = (uint32_t)request->body_bytes, .wants_gzip = wants_gzip};
	uint8_t *payload = malloc(n);
	if (!payload)
		return -ENOMEM;
	memcpy(payload, &head, sizeof(head));
	put_texts(payload + sizeof(head), request);
	if (request->body_bytes)
		memcpy(payload + sizeof(head) + texts, request->body, request->body_bytes);
	*payload_out = payload;
	*n_out = n;
	return 0;
}

/* The next text, and what is left behind it. NULL: there is none, or it is not clean. */
static const char *take(const char **at, size_t *left)
{
	const char *text = *at, *end = *left ? memchr(text, '\0', *left) : NULL;

	if (!end)
		return NULL;
	if (!text_is_clean(text, (size_t)(end - text)))
		return NULL;
	*left -= (size_t)(end - text) + 1;
	*at = end + 1;
	return text;
}

int query_decode(const void *payload, size_t n, struct query *query_out)
{
	struct query_head head;
	const char *at = (const char *)payload + sizeof(head);

	if (n < sizeof(head))
		return -EBADMSG;
	memcpy(&head, payload, sizeof(head));
	size_t left = head.text_bytes;
	if (head.n_parameters > QUERY_PARAMETERS_MAX || head.body_bytes > QUERY_BODY_MAX || head.wants_gzip > 1 ||
	    (uint64_t)head.text_bytes + head.body_bytes != n - sizeof(head))
		return -EBADMSG;
	*query_out = (struct query){.wants_gzip = head.wants_gzip};
	struct web_request *r = &query_out->request;
	const char **const fixed[FIXED_TEXTS] = {&r->method, &r->path, &r->content_type, &r->accept};
	for (size_t i = 0; i < FIXED_TEXTS; i++)
		if (!(*fixed[i] = take(&at, &left)))
			return -EBADMSG;
	for (size_t i = 0; i < head.n_parameters; i++) {
		query_out->parameters[i].key = take(&at, &left);
		query_out->parameters[i].value = query_out->parameters[i].key ? take(&at, &left) : NULL;
		if (!query_out->parameters[i].value)
			return -EBADMSG;
	}
	if (left)
		return -EBADMSG;
	r->parameters = query_out->parameters;
	r->n_parameters = head.n_parameters;
	r->body = at;
	r->body_bytes = head.body_bytes;
	return 0;
}

int query_done_check(const void *payload, size_t n, struct query_done *done_out)
{
	struct query_done done;

	if (n != sizeof(done))
		return -EBADMSG;
	memcpy(&done, payload, sizeof(done));
	if (done.outcome >= QUERY_OUTCOMES || done.is_gzip > 1 || done.is_final > 1 || !memchr(done.content_type, 0, sizeof(done.content_type)) ||
	    !memchr(done.filename, 0, sizeof(done.filename)))
		return -EBADMSG;
	if (done.outcome == QUERY_ANSWERED && (done.status < 200 || done.status > 599))
		return -EBADMSG;
	for (const char *c = done.content_type; *c; c++)
		if (*c < ' ' || *c > '~')
			return -EBADMSG;
	/* A host's name may be in it. */
	for (char *c = done.filename; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			*c = '_';
	*done_out = done;
	return 0;
}
