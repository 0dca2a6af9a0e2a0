/* One download by libcurl, in the process that was forked for it. */
#ifndef HEARTH_DEBUGINFOD_DOWNLOAD_H
#define HEARTH_DEBUGINFOD_DOWNLOAD_H

#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>

#include "debuginfod/fetcher.h"

struct download_servers {
	char urls[DEBUGINFOD_URLS_MAX][1024];
	size_t n;
	char *certificates; /* PEM; NULL: libcurl's own way */
	size_t certificate_bytes;
};

/* Split a list of URLs; what is neither http nor https, or too long, is left out. */
void download_servers_parse(const char *urls, struct download_servers *servers_out);

/* What is used of libcurl. */
struct download_library {
	CURL *(*init)(void);
	CURLcode (*setopt)(CURL *curl, CURLoption option, ...);
	CURLcode (*perform)(CURL *curl);
	CURLcode (*getinfo)(CURL *curl, CURLINFO info, ...);
	void (*cleanup)(CURL *curl);
};

/* All that a download needs. */
struct download {
	struct debuginfod_options options; /* without defaults */
	struct download_servers servers;
	struct download_library library;
};

/* Load libcurl, and let it and its TLS library read their files. Returns 0, -ENOENT (it is not installed), or -EIO. */
int download_prepare(struct download_library *library_out);

/* Ask the servers in their order. fd: truncated before each. build_id: in hex. result_out: err, bytes and retry_after_s are set. */
void download_run(const struct download *download, const char *build_id, int fd, struct debuginfod_result *result_out);

#endif
