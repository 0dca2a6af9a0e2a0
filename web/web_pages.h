/* What hearth-web answers by itself: the page's files, metrics, health. All return NULL when there is no memory; status_out is filled. */
#ifndef HEARTH_WEB_WEB_PAGES_H
#define HEARTH_WEB_WEB_PAGES_H

#include "web/assets.h"
#include "web/web_site.h"

/* One sentence: {"error": "..."} or a line of text. It must need no escaping. */
struct MHD_Response *page_sentence(const struct web_site *site, const struct web_reply *reply, bool is_json, const char *sentence);

/* if_none_match: NULL: the header is not there. reply: what goes along (Set-Cookie, ...); its status is a beginning. */
struct MHD_Response *page_asset(const struct web_site *site, const struct web_asset *asset, bool wants_gzip, const char *if_none_match, struct web_reply *reply);

struct MHD_Response *page_metrics(const struct web_site *site, bool is_open_metrics);
struct MHD_Response *page_health(const struct web_site *site);
struct MHD_Response *page_ready(const struct web_site *site, unsigned *status_out);

#endif
