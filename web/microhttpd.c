#include "web/microhttpd.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/library.h"

int microhttpd_load(struct microhttpd *library_out)
{
	static const struct library_function FUNCTIONS[] = {
		{"MHD_start_daemon", offsetof(struct microhttpd, start_daemon)},
		{"MHD_stop_daemon", offsetof(struct microhttpd, stop_daemon)},
		{"MHD_run", offsetof(struct microhttpd, run)},
		{"MHD_get_timeout", offsetof(struct microhttpd, get_timeout)},
		{"MHD_get_daemon_info", offsetof(struct microhttpd, get_daemon_info)},
		{"MHD_get_connection_info", offsetof(struct microhttpd, get_connection_info)},
		{"MHD_lookup_connection_value", offsetof(struct microhttpd, lookup_connection_value)},
		{"MHD_get_connection_values", offsetof(struct microhttpd, get_connection_values)},
		{"MHD_suspend_connection", offsetof(struct microhttpd, suspend_connection)},
		{"MHD_resume_connection", offsetof(struct microhttpd, resume_connection)},
		{"MHD_queue_response", offsetof(struct microhttpd, queue_response)},
		{"MHD_create_response_from_buffer", offsetof(struct microhttpd, create_response_from_buffer)},
		{"MHD_create_response_from_fd64", offsetof(struct microhttpd, create_response_from_fd64)},
		{"MHD_add_response_header", offsetof(struct microhttpd, add_response_header)},
		{"MHD_destroy_response", offsetof(struct microhttpd, destroy_response)},
		{"MHD_is_feature_supported", offsetof(struct microhttpd, is_feature_supported)},
	};
	struct microhttpd library;
	const char *(*get_version)(void);
	unsigned major = 0, minor = 0, patch = 0;
	void *handle, *function;

	int err = library_load("libmicrohttpd.so.12", FUNCTIONS, sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]), &library, &handle);
	if (err < 0)
		return err;
	function = dlsym(handle, "MHD_get_version");
	memcpy(&get_version, &function, sizeof(function));
	if (!function || sscanf(get_version(), "%u.%u.%u", &major, &minor, &patch) != 3)
		return -ENOENT;
	if (!major && (minor < 9 || (minor == 9 && patch < 75)))
		return -ENOENT;
	*library_out = library;
	return 0;
}
