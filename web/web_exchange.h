/* One request and its answer, as libmicrohttpd goes through it. */
#ifndef HEARTH_WEB_WEB_EXCHANGE_H
#define HEARTH_WEB_WEB_EXCHANGE_H

#include "web/web_site.h"

/* raw: the target as it came; copied. NULL: no memory. */
struct exchange *exchange_create(struct web_site *site, struct MHD_Connection *connection, const char *raw);

/* An MHD_AccessHandlerCallback's work. MHD_NO closes the connection. */
enum MHD_Result exchange_step(struct exchange *x, const char *method, const char *data, size_t *n_inout);

/* A query_result_fn: asker is the exchange. */
void exchange_result(void *site, void *asker, const struct query_result *result);

/* Those whose query is not answered: what to poll for their clients going away, at most n. Returns how many. */
size_t exchanges_poll(const struct web_site *site, struct pollfd *fds, size_t n);
/* fds: of exchanges_poll(), as poll() left them: clients that are gone end their queries. */
void exchanges_work(struct web_site *site, const struct pollfd *fds, size_t n);
/* All of them, at the end. */
void exchanges_end(struct web_site *site);

void exchange_destroy(struct exchange *x); /* NULL is legal */

#endif
