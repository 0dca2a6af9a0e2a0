/* The page's files, in the binary: compressed, as the build found them (web/embed). */
#ifndef HEARTH_WEB_ASSETS_H
#define HEARTH_WEB_ASSETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct web_asset {
	const char *path; /* "/app-3f2a9c01.js"; "/": the page */
	const char *content_type;
	const char *etag;      /* with its quotes */
	bool is_immutable;     /* its name has a hash of what is in it */
	size_t bytes;	       /* when it is expanded */
	const uint8_t *packed; /* gzip */
	const uint8_t *packed_end;
};

/* NULL: there is none of that name. */
const struct web_asset *web_asset_find(const char *path);

/* Of the form that asks for the token, and of its style. */
#define WEB_ASSET_LOGIN "/login.html"

#endif
