/* Shaping: a window becomes the requests of a sink (PROTOCOLS.md). Pure functions on memory: no network, no clock.
 *
 * Labels of samples, as the agent writes them (docs/profiles.md): pid, tid (numbers); process, thread, executable, cgroup, container_id, container, unit, pod, namespace,
 * service (strings; missing when there is none). host and kernel come from the sink's own labels (struct shape_options). */
#ifndef HEARTH_SERVER_UPLOAD_SHAPE_H
#define HEARTH_SERVER_UPLOAD_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "pprof/profile.h"
#include "server-upload/relabel.h"
#include "server-upload/sink_config.h"

struct shape_options {
	const struct sink_pair *labels; /* of every series: host, kernel, and the sink's own; borrowed */
	size_t n_labels;
	const struct relabel_rules *relabel; /* NULL: none */
	uint32_t series_max;	      /* of a window; beyond it the smallest are folded into service "other", counted */
	size_t request_bytes_max;     /* uncompressed; 0: the kind's (4 MiB; Parca 48 MiB) */
	uint32_t samples_max;	      /* of one profile; 0: the kind's (Pyroscope 16,000) */
	bool strip_symbols;	      /* --symbolize server: user frames go as addresses only, where they have a build id */
};

struct shape_counts {
	uint64_t samples, value; /* that are in the requests, of samples/count: equal to the profile's, minus the next ones */
	uint64_t samples_dropped; /* by relabel rules */
	uint64_t samples_pruned;  /* thin tails that did not fit */
	uint64_t series, series_folded;
};

/* One request's body, ready for the wire but for the gRPC frame. */
struct shape_request {
	uint8_t *bytes;
	size_t n_bytes;
	char *query; /* http: labels as URL parameters, "?a=b&c=d"; NULL: none */
};

struct shape_requests {
	struct shape_request *requests;
	size_t n;
	struct shape_counts counts;
};

/* Returns 0 (n may be 0: nothing is left), -ENOMEM, -E2BIG (one sample does not fit). requests_out: shape_requests_deinit(). */
int shape_window(enum sink_kind kind, const struct profile *window, const struct shape_options *options, struct shape_requests *requests_out);
void shape_requests_deinit(struct shape_requests *requests);

#endif
