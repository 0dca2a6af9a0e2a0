/* The JSON API on the store, and the part of Pyroscope's query API that Grafana's data source asks for (docs/api.md).
 *
 * Runs in a process of its own for each request, with limits on its memory and time: what it allocates it frees, but a query that is too large ends with an error, or with the process. It opens
 * the store anew, reads only, and answers what was committed then. Nothing of a request is trusted but what web/answer.h says of it. */
#ifndef HEARTH_WEB_API_H
#define HEARTH_WEB_API_H

#include <stdbool.h>

#include "web/answer.h"

/* Is it answered here? "/api/v1/...", "/querier.v1.QuerierService/...", "/pyroscope/render": also what does not exist below the first two, which gets a 404 that says so. */
bool api_has(const char *path);

/* Write the answer's body, flushed. What is wrong with a request or the store is an answer too: status 4xx or 5xx, and a JSON object with the sentence ({"error"}; {"code", "message"} for the
 * Connect protocol). Returns 0, or a negative errno when the body could not be written: what came may be a part. */
int api_answer(const struct web_context *context, const struct web_request *request, struct web_answer *answer);

#endif
