/* libcurl, loaded when somebody uploads: it brings 30 libraries along, which the processes that upload nothing do without. As
 * debuginfod/download.h does; it needs other functions. */
#ifndef HEARTH_SERVER_UPLOAD_CURL_LIBRARY_H
#define HEARTH_SERVER_UPLOAD_CURL_LIBRARY_H

#define CURL_DISABLE_TYPECHECK /* it is called by pointers */
#include <curl/curl.h>
#include <stdbool.h>

struct curl_library {
	CURL *(*easy_init)(void);
	CURLcode (*easy_setopt)(CURL *curl, CURLoption option, ...);
	CURLcode (*easy_getinfo)(CURL *curl, CURLINFO info, ...);
	const char *(*easy_strerror)(CURLcode code);
	void (*easy_cleanup)(CURL *curl);
	CURLM *(*multi_init)(void);
	CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
	CURLMcode (*multi_add_handle)(CURLM *multi, CURL *curl);
	CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *curl);
	CURLMcode (*multi_perform)(CURLM *multi, int *running);
	CURLMcode (*multi_poll)(CURLM *multi, struct curl_waitfd *extra, unsigned n_extra, int timeout_ms, int *n_out);
	CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
	CURLMcode (*multi_cleanup)(CURLM *multi);
	struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
	void (*slist_free_all)(struct curl_slist *list);
	/* Older than 8.0.0: a request by HTTP/2 with prior knowledge fails on a connection that is used again (curl's issue 10634; Debian 12 has 7.88.1). */
	bool spoils_prior_knowledge;
};

/* Load it, and let it and its TLS library read their files: before a process gives them up. Returns 0, -ENOENT (it is not installed, or older than 7.85),
 * or -EIO. */
int curl_library_load(struct curl_library *library_out);

#endif
