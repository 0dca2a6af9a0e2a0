#include "debuginfod/download.h"

#define CURL_DISABLE_TYPECHECK /* it is called by pointers */
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REDIRECTS_MAX 5
#define STALL_BYTES   1024L
#define RETRY_AFTER_MAX_S 3600

/* Where the bytes of one answer go. */
struct sink {
	int fd;
	uint64_t bytes, max_bytes;
	bool too_large, failed;
};

void download_servers_parse(const char *urls, struct download_servers *servers_out)
{
	struct download_servers servers = {0};

	for (const char *at = urls + strspn(urls, " \t"); *at && servers.n < DEBUGINFOD_URLS_MAX;) {
		size_t n = strcspn(at, " \t");
		bool known = strncmp(at, "http://", 7) == 0 || strncmp(at, "https://", 8) == 0;
		if (known && n < sizeof(servers.urls[0])) {
			while (n > 8 && at[n - 1] == '/')
				n--;
			memcpy(servers.urls[servers.n++], at, n);
		}
		at += strcspn(at, " \t");
		at += strspn(at, " \t");
	}
	*servers_out = servers;
}

static bool find(void *library, const char *name, void *function_out)
{
	void *function = dlsym(library, name);

	memcpy(function_out, &function, sizeof(function));
	return function != NULL;
}

/* libcurl brings 30 libraries along: whoever downloads nothing does not load them. */
int download_prepare(struct download_library *library_out)
{
	struct download_library l;
	CURLcode (*global_init)(long flags);
	void *handle = dlopen("libcurl.so.4", RTLD_NOW);

	if (!handle)
		return -ENOENT;
	if (!find(handle, "curl_global_init", &global_init) || !find(handle, "curl_easy_init", &l.init) ||
	    !find(handle, "curl_easy_setopt", &l.setopt) ||
	    !find(handle, "curl_easy_perform", &l.perform) || !find(handle, "curl_easy_getinfo", &l.getinfo) ||
	    !find(handle, "curl_easy_cleanup", &l.cleanup))
		return -ENOENT;
	if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -EIO;
	*library_out = l;
	return 0;
}

static size_t take_bytes(char *data, size_t size, size_t n, void *context)
{
	struct sink *sink = context;
	size_t bytes = size * n, done = 0;

	if (bytes > sink->max_bytes - sink->bytes) {
		sink->too_large = true;
		return 0;
	}
	while (done < bytes) {
		ssize_t written = pwrite(sink->fd, data + done, bytes - done, (off_t)(sink->bytes + done));
		if (written <= 0) {
			sink->too_large = errno == EFBIG;
			sink->failed = true;
			return 0;
		}
		done += (size_t)written;
	}
	sink->bytes += bytes;
	return bytes;
}

static CURLcode set_limits(const struct download_library *l, CURL *curl, const struct debuginfod_options *o, struct sink *sink)
{
	CURLcode code = l->setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)o->connect_s);

	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)o->stall_s);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_TIMEOUT, (long)o->total_s);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)o->max_bytes);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_WRITEDATA, sink);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_NOSIGNAL, 1L);
	return code == CURLE_OK ? l->setopt(curl, CURLOPT_FAILONERROR, 1L) : code;
}

/* SAFETY 23: certificates are verified (libcurl's default, said again), and who was asked by https does not answer by http. */
static CURLcode set_trust(const struct download_library *l, CURL *curl, const char *url, const struct download_servers *servers)
{
	bool is_https = strncmp(url, "https://", 8) == 0;
	CURLcode code = l->setopt(curl, CURLOPT_URL, url);

	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, is_https ? "https" : "http,https");
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (code == CURLE_OK && servers->certificates) {
		struct curl_blob blob = {servers->certificates, servers->certificate_bytes, CURL_BLOB_NOCOPY};
		code = l->setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
		if (code == CURLE_OK)
			code = l->setopt(curl, CURLOPT_CAPATH, NULL);
	}
	return code;
}

/* -EAGAIN: another time it may go well. */
static int error_of(const struct download_library *l, CURL *curl, CURLcode code, const struct sink *sink, uint32_t *retry_after_out)
{
	curl_off_t retry_after = 0;
	long status = 0;

	if (sink->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return -EFBIG;
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_TOO_MANY_REDIRECTS:
		return -EPROTO;
	case CURLE_HTTP_RETURNED_ERROR:
		break;
	default:
		return -EAGAIN;
	}
	l->getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	l->getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after);
	if (status >= 400 && status < 500 && status != 408 && status != 429)
		return -ENOENT;
	if (retry_after > 0)
		*retry_after_out = retry_after < RETRY_AFTER_MAX_S ? (uint32_t)retry_after : RETRY_AFTER_MAX_S;
	return -EAGAIN;
}

static int ask(const struct download *d, const char *server, const char *build_id, int fd, struct debuginfod_result *result)
{
	const struct download_library *l = &d->library;
	const struct debuginfod_options *o = &d->options;
	struct sink sink = {.fd = fd, .max_bytes = o->max_bytes};
	char url[2048];
	CURL *curl = l->init();

	if (!curl)
		return -EAGAIN;
	snprintf(url, sizeof(url), "%s/buildid/%s/debuginfo", server, build_id);
	CURLcode code = set_limits(l, curl, o, &sink);
	if (code == CURLE_OK)
		code = set_trust(l, curl, url, &d->servers);
	if (code == CURLE_OK)
		code = l->setopt(curl, CURLOPT_USERAGENT, "hearth/" HEARTH_VERSION);
	if (code == CURLE_OK)
		code = l->perform(curl);
	int err = error_of(l, curl, code, &sink, &result->retry_after_s);
	l->cleanup(curl);
	result->bytes = sink.bytes;
	return err;
}

void download_run(const struct download *d, const char *build_id, int fd, struct debuginfod_result *result_out)
{
	/* What tells more wins: one server that could not be asked may have what the others have not. */
	static const int ORDER[] = {-EAGAIN, -EPROTO, -EFBIG, -ENOENT};
	bool seen[sizeof(ORDER) / sizeof(ORDER[0])] = {false};
	struct debuginfod_result result = *result_out;

	result.err = -ENOENT;
	for (size_t i = 0; i < d->servers.n; i++) {
		if (ftruncate(fd, 0) < 0)
			break;
		int err = ask(d, d->servers.urls[i], build_id, fd, &result);
		if (err == 0) {
			result.err = 0;
			*result_out = result;
			return;
		}
		for (size_t k = 0; k < sizeof(ORDER) / sizeof(ORDER[0]); k++)
			seen[k] = seen[k] || ORDER[k] == err;
	}
	for (size_t k = sizeof(ORDER) / sizeof(ORDER[0]); k-- > 0;)
		if (seen[k])
			result.err = ORDER[k];
	result.bytes = 0;
	(void)!ftruncate(fd, 0);
	*result_out = result;
}
