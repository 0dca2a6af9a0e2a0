/* libmicrohttpd, loaded where the page is served: it brings GnuTLS along, which no other process of ours is to map. */
#ifndef HEARTH_WEB_MICROHTTPD_H
#define HEARTH_WEB_MICROHTTPD_H

#include <microhttpd.h>

struct microhttpd {
	struct MHD_Daemon *(*start_daemon)(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept, void *accept_context,
					   MHD_AccessHandlerCallback handler, void *handler_context, ...);
	void (*stop_daemon)(struct MHD_Daemon *daemon);
	enum MHD_Result (*run)(struct MHD_Daemon *daemon);
	enum MHD_Result (*get_timeout)(struct MHD_Daemon *daemon, MHD_UNSIGNED_LONG_LONG *ms_out);
	const union MHD_DaemonInfo *(*get_daemon_info)(struct MHD_Daemon *daemon, enum MHD_DaemonInfoType type, ...);
	const union MHD_ConnectionInfo *(*get_connection_info)(struct MHD_Connection *connection, enum MHD_ConnectionInfoType type, ...);
	const char *(*lookup_connection_value)(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key);
	int (*get_connection_values)(struct MHD_Connection *connection, enum MHD_ValueKind kind, MHD_KeyValueIterator fn, void *context);
	void (*suspend_connection)(struct MHD_Connection *connection);
	void (*resume_connection)(struct MHD_Connection *connection);
	enum MHD_Result (*queue_response)(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response);
	struct MHD_Response *(*create_response_from_buffer)(size_t bytes, void *buffer, enum MHD_ResponseMemoryMode mode);
	struct MHD_Response *(*create_response_from_fd64)(uint64_t bytes, int fd);
	enum MHD_Result (*add_response_header)(struct MHD_Response *response, const char *header, const char *content);
	void (*destroy_response)(struct MHD_Response *response);
	enum MHD_Result (*is_feature_supported)(enum MHD_FEATURE feature);
};

/* Before a process gives up its files: it and GnuTLS read theirs. Returns 0, or -ENOENT: it is not installed, or older than 0.9.75. */
int microhttpd_load(struct microhttpd *library_out);

#endif
