#include "server-upload/curl_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/library.h"

#define OLDEST 0x075500 /* CURLOPT_PROTOCOLS_STR */
#define MENDED 0x080000

int curl_library_load(struct curl_library *library_out)
{
	static const struct library_function FUNCTIONS[] = {
		{"curl_easy_init", offsetof(struct curl_library, easy_init)},
		{"curl_easy_setopt", offsetof(struct curl_library, easy_setopt)},
		{"curl_easy_getinfo", offsetof(struct curl_library, easy_getinfo)},
		{"curl_easy_strerror", offsetof(struct curl_library, easy_strerror)},
		{"curl_easy_cleanup", offsetof(struct curl_library, easy_cleanup)},
		{"curl_multi_init", offsetof(struct curl_library, multi_init)},
		{"curl_multi_setopt", offsetof(struct curl_library, multi_setopt)},
		{"curl_multi_add_handle", offsetof(struct curl_library, multi_add_handle)},
		{"curl_multi_remove_handle", offsetof(struct curl_library, multi_remove_handle)},
		{"curl_multi_perform", offsetof(struct curl_library, multi_perform)},
		{"curl_multi_poll", offsetof(struct curl_library, multi_poll)},
		{"curl_multi_info_read", offsetof(struct curl_library, multi_info_read)},
		{"curl_multi_cleanup", offsetof(struct curl_library, multi_cleanup)},
		{"curl_slist_append", offsetof(struct curl_library, slist_append)},
		{"curl_slist_free_all", offsetof(struct curl_library, slist_free_all)},
	};
	struct curl_library library;
	CURLcode (*global_init)(long flags);
	curl_version_info_data *(*version_info)(CURLversion);
	void *handle, *function;

	int err = library_load("libcurl.so.4", FUNCTIONS, sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]), &library, &handle);
	if (err < 0)
		return err;
	function = dlsym(handle, "curl_version_info");
	memcpy(&version_info, &function, sizeof(function));
	if (!function || version_info(CURLVERSION_NOW)->version_num < OLDEST)
		return -ENOENT;
	function = dlsym(handle, "curl_global_init");
	memcpy(&global_init, &function, sizeof(function));
	if (!function || global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -EIO;
	library.spoils_prior_knowledge = version_info(CURLVERSION_NOW)->version_num < MENDED;
	*library_out = library;
	return 0;
}
