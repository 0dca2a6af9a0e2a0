/* The target of a request: "/api/v1/flame?from=-1h&match=process:nginx". Everything in it is a stranger's. Not thread-safe. */
#ifndef HEARTH_WEB_REQUEST_TARGET_H
#define HEARTH_WEB_REQUEST_TARGET_H

#include "web/answer.h"

#define TARGET_BYTES_MAX      8192
#define TARGET_PARAMETERS_MAX 64

struct request_target {
	const char *path; /* decoded; begins with '/' */
	struct web_parameter parameters[TARGET_PARAMETERS_MAX];
	size_t n_parameters;
	char *text; /* that all of them lie in; owned */
};

/* raw: as it came; '+' in the query is a space. target_out: request_target_deinit(), after success.
 * Returns 0, -E2BIG (more than TARGET_BYTES_MAX or TARGET_PARAMETERS_MAX), -EBADMSG (no path, a '%' without two hex digits, what is no UTF-8 or has control
 * characters when it is decoded, a fragment), -ENOMEM. Source: RFC 3986; application/x-www-form-urlencoded as in the URL standard. */
int request_target_parse(const char *raw, struct request_target *target_out);
void request_target_deinit(struct request_target *target);

/* The body of a form, in the same way: parameters only; path is "". bytes need not end in NUL. */
int request_form_parse(const void *bytes, size_t n, struct request_target *form_out);

/* The first of that name; NULL: there is none. */
const char *request_parameter(const struct request_target *target, const char *key);

#endif
