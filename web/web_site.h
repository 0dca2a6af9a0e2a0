/* What requests are answered with: shared by the server and its exchanges. */
#ifndef HEARTH_WEB_WEB_SITE_H
#define HEARTH_WEB_WEB_SITE_H

#include "web/answer_cache.h"
#include "web/login.h"
#include "web/peers.h"
#include "web/web_reply.h"
#include "web/web_server.h"

#define STATUSES_MAX 600

struct exchange;

struct web_site {
	struct web_server_options options;
	const struct microhttpd *mhd;
	bool is_tls;
	struct login *login;
	struct answer_cache *cache; /* of struct MHD_Response */
	struct query_queue *queue;
	struct peers peers;
	struct exchange *waiting; /* for answers of queries */
	struct web_state state;
	uint64_t state_ns; /* when it came; 0: not yet */
	uint64_t sending_bytes; /* of answers of queries, until they are taken; those that are kept aside */
	uint64_t statuses[STATUSES_MAX];
	uint64_t logins_failed;
	uint64_t crash_said_ns; /* 0: never */
};

#endif
