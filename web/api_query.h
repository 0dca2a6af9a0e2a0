/* What the answers of the API have in common: a query's parameters, the store, and errors.
 *
 * Functions return 0, or an HTTP status (400 and above) with the sentence in q->why: it is what the caller returns. */
#ifndef HEARTH_WEB_API_QUERY_H
#define HEARTH_WEB_API_QUERY_H

#include "base/json_writer.h"
#include "base/why.h"
#include "pprof/profile_select.h"
#include "store/store_reader.h"
#include "web/answer.h"

#define API_NODES_MAX	     200000
#define API_NODES	     50000
#define API_BUCKETS_MAX	     5000
#define API_FINAL_AFTER_NS   (600 * INT64_C(1000000000)) /* a window may come late, but not by that */
#define API_EXACT_MAX	     (INT64_C(1) << 53)

struct api_query {
	const struct web_context *context;
	const struct web_request *request;
	struct web_answer *answer;
	struct json_writer json; /* on the answer's body: nothing is written before all is known */
	struct store_reader *reader;
	int64_t from_ns, to_ns;
	bool is_fixed;	   /* the range is numbers, and would be the same in the next request */
	bool matches_host; /* false: the samples of another host were asked for */
	const char *type;  /* NULL: the default one */
	struct store_filter filter;	    /* range, labels, type */
	struct profile_selection selection; /* frames */
	bool has_selection;
	const char *warning; /* what is missing in the answer: a damaged window */
	struct why why;
	struct why warned;
	struct why selected; /* what is wrong with the selection, as the store met it */
};

/* For api_query_profile(): no label stays. */
#define API_KEEP_NONE ((const char *const[]){NULL})

/* Returns status. */
__attribute__((format(printf, 3, 4))) int api_fail(struct api_query *q, int status, const char *format, ...);
/* The same for an errno of what was called with &q->why: its sentence, or one about doing. */
int api_fail_errno(struct api_query *q, int err, const char *doing);

/* The value of a parameter, NULL when it is not there. */
const char *api_text(const struct api_query *q, const char *key);
int api_number(struct api_query *q, const char *key, int64_t usual, int64_t least, int64_t most, int64_t *number_out);
/* A parameter that must be there. */
int api_needed(struct api_query *q, const char *key, const char **value_out);

/* Range, labels and frames, from q->request. prefix: "" or "base_". What is not given with a prefix (labels, frames) is as without. */
int api_query_parse(struct api_query *q, const char *prefix);
/* Open the store. */
int api_query_store(struct api_query *q);
void api_query_deinit(struct api_query *q);
/* For time lines and labels: the store looks at frames while it adds up. */
void api_query_select_in_store(struct api_query *q);

/* The sum of the range with the labels that are in keep (NULL: all of them), frames selected. *profile_out is NULL when there is no window. */
int api_query_profile(struct api_query *q, const char *const *keep, size_t n_keep, struct profile **profile_out);
/* The sample type that was asked for. */
int api_query_value(struct api_query *q, const struct profile *profile, uint32_t *value_out);

/* What the store said though it returned 0 (a damaged window) goes into the answer. */
void api_warn(struct api_query *q);

/* "from_ms", "to_ms", "type", "unit"; profile: NULL when there is none. */
void api_write_head(struct api_query *q, const struct profile *profile, uint32_t value);
/* "warning", where there is one; "exact": false, where a value is above 2^53. */
void api_write_tail(struct api_query *q, int64_t largest);

#endif
