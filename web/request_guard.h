/* What headers of a request say about who sent it: pure functions on strangers' texts. */
#ifndef HEARTH_WEB_REQUEST_GUARD_H
#define HEARTH_WEB_REQUEST_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#define GUARD_HOST_MAX 256 /* with the NUL */

/* Whether a Host header names us: a page of somebody else's whose name was made to point here (DNS rebinding) has another name.
 * names: as configured, without ports; case does not count. Always there: 127.0.0.1, localhost, [::1]. any_address: also every IP address, which nobody's name
 * can be made to be. The port is not looked at, so that tunnels work. */
bool guard_host(const char *host, const char *const *names, size_t n_names, bool any_address);

/* Whether an Origin header is this page's own. NULL: there is none, which is fine. host: the Host header. */
bool guard_origin(const char *origin, const char *host);

/* Whether a browser says that the request is not another site's doing. Headers Sec-Fetch-Site, -Mode and -Dest; NULL: there is none (no browser, or an old one).
 * A link that is followed from elsewhere is fine for a GET. Source: W3C Fetch Metadata. */
bool guard_fetch(const char *site, const char *mode, const char *dest, bool is_get);

/* Whether an Accept-Encoding header takes gzip. */
bool guard_accepts_gzip(const char *accept_encoding);

/* The token of "Bearer TOKEN"; NULL: it is something else. Points into the header. */
const char *guard_bearer(const char *authorization);

/* The value of a cookie; its length in n_out. NULL: there is none. Points into the header. */
const char *guard_cookie(const char *cookies, const char *name, size_t *n_out);

#endif
