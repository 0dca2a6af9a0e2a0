/* What the page's process asks of who answers queries (web/api.h), in a process that was forked for the one request.
 *
 * The request: all texts are valid UTF-8 without control characters, ended by NUL, and borrowed for the call; the body may be anything. The answer: filled by who answers; body is open
 * for writing, and takes a file's worth of bytes within the process's limits. */
#ifndef HEARTH_WEB_ANSWER_H
#define HEARTH_WEB_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct web_parameter {
	const char *key, *value; /* decoded; value "" where there is no '=' */
};

struct web_request {
	const char *method, *path; /* "GET" (of HEAD too) or "POST"; the path is decoded, without the query */
	const struct web_parameter *parameters; /* as they came: keys may be there more than once */
	size_t n_parameters;
	const char *content_type, *accept; /* "": none */
	const void *body;
	size_t body_bytes;
};

struct web_answer {
	int status;		  /* 200 unless it is changed */
	const char *content_type; /* static; "application/json" unless it is changed */
	char filename[128];	  /* Content-Disposition; "": none */
	bool is_final;		  /* may be kept for the next one who asks: the range lies in the past */
	FILE *body;
};

struct web_context {
	const char *store; /* folder; "": there is none */
	const char *host;
	const char *version;
	int64_t now_ns;	   /* wall clock */
	const char *state; /* the agent's newest state: the text of a JSON object, ends in NUL */
	size_t state_bytes;
};

#endif
