/* Messages between hearth-web and hearth-query, which forks a process for each query (base/channel.h).
 *
 *   web -> query   RUN      a request (query_encode()), with the memfd for the body of the answer; serial: web's number of it
 *   web -> query   CANCEL   serial: nobody waits for it any more
 *   web -> query   STATE    the agent's newest state, the text of a JSON object
 *   query -> web   DONE     struct query_done: the process of that serial has ended, and nothing holds the memfd any more but web
 *
 * At most QUERIES_AT_ONCE run. When web's socket closes, all of them end. */
#ifndef HEARTH_WEB_QUERY_PROTOCOL_H
#define HEARTH_WEB_QUERY_PROTOCOL_H

#include "base/channel.h"
#include "web/answer.h"

#define QUERIES_AT_ONCE	 2
#define QUERY_BODY_MAX	 (64u << 10)  /* of a request */
#define QUERY_ANSWER_MAX (256u << 20) /* of an answer's body */
#define QUERY_STATE_MAX	 (256u << 10)
#define QUERY_PAYLOAD_MAX (512u << 10)

enum query_message { QUERY_RUN = 1, QUERY_CANCEL, QUERY_STATE, QUERY_DONE, QUERY_MESSAGES };

#define QUERY_RULES ((struct channel_rules){.version = 1, .kinds = QUERY_MESSAGES, .fds_max = 2})

enum query_outcome {
	QUERY_ANSWERED,
	QUERY_FAILED,	  /* it could not be answered: status of struct query_done is an errno */
	QUERY_OVER_CPU,	  /* killed: too much CPU time */
	QUERY_OVER_TIME,  /* ... too much time */
	QUERY_CRASHED,	  /* ... or it died by itself */
	QUERY_CANCELLED,
	QUERY_OUTCOMES
};

struct query_done {
	uint64_t cpu_ns;     /* of all queries and of hearth-query, since the beginning */
	uint64_t peak_bytes; /* of the largest of them */
	uint32_t outcome;
	int32_t status; /* HTTP's, 200 to 599 */
	uint32_t is_gzip, is_final;
	char content_type[128], filename[128];
};

/* payload_out: owned by the caller. Returns 0, -E2BIG or -ENOMEM. */
int query_encode(const struct web_request *request, bool wants_gzip, uint8_t **payload_out, size_t *n_out);

#define QUERY_PARAMETERS_MAX 64

struct query {
	struct web_request request; /* points into the payload */
	struct web_parameter parameters[QUERY_PARAMETERS_MAX];
	bool wants_gzip;
};

/* Returns 0 or -EBADMSG. payload: borrowed as long as the query. */
int query_decode(const void *payload, size_t n, struct query *query_out);

/* Make what came from a process that read strangers' data fit for headers. Returns 0, or -EBADMSG: it cannot be. */
int query_done_check(const void *payload, size_t n, struct query_done *done_out);

#endif
