/* The answers of the JSON API, one function each (docs/api.md): they write q->answer->body when all is known. Return 0 or what api_fail() does. */
#ifndef HEARTH_WEB_API_ENDPOINTS_H
#define HEARTH_WEB_API_ENDPOINTS_H

#include "web/api_query.h"

int api_status(struct api_query *q);
int api_labels(struct api_query *q);
int api_timeline(struct api_query *q);
int api_flame(struct api_query *q);
int api_diff(struct api_query *q);
int api_sandwich(struct api_query *q);
int api_functions(struct api_query *q);
int api_lines(struct api_query *q);
int api_export(struct api_query *q);

#endif
