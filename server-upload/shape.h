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
	const struct sink_pair *labels; /* of every series: host, kernel, and the sink's own; borrowed. They win over a sample's of the same name */
	size_t n_labels;
	const struct relabel_rules *relabel; /* NULL: none */
	uint32_t series_max;	      /* of a window; beyond it the smallest are folded into service "other", counted. 0: 5,000 */
	size_t request_bytes_max;     /* uncompressed; 0: the kind's (docs/uploading.md, "Shaping") */
	uint32_t samples_max;	      /* of one profile; 0: the kind's (Pyroscope 16,000) */
	uint64_t window_bytes_max;    /* all requests of a window, uncompressed; beyond it the thinnest stacks are pruned. 0: 64 MiB */
	bool strip_symbols;	      /* --symbolize server: user frames go as addresses only, where they have a build id (Parca, OTLP) */
};

/* Samples are counted as samples/count counts them (in a profile without that: by its first sample type):
 * samples + samples_dropped + samples_pruned = profile_total() of it. */
struct shape_counts {
	uint64_t samples;	  /* that are in the requests */
	uint64_t value;		  /* of profile_default_value() (CPU time), in the requests */
	uint64_t samples_dropped; /* by relabel rules */
	uint64_t samples_pruned;  /* thin tails that did not fit */
	uint64_t series, series_folded;
	uint64_t labels_cut;	  /* left out or cut, for limits on their number and length */
};

/* One request's body, ready for the wire but for the gRPC frame. */
struct shape_request {
	uint8_t *bytes;
	size_t n_bytes;
	size_t n_plain; /* what request_bytes_max limits: uncompressed. Half of it is what to try when a server finds the request too large */
	char *query; /* http: labels as URL parameters, percent-encoded, "?a=b&c=d"; NULL: none. A URL that has a '?' wants a '&' for it */
};

struct shape_requests {
	struct shape_request *requests;
	size_t n;
	struct shape_counts counts;
};

/* window: as profile_decode() or a builder made it. Returns 0 (n may be 0: nothing is left), -EINVAL (dir is not shaped), -ENOMEM, -E2BIG (over
 * 2^30 of something). One sample that does not fit a request alone is pruned. The same window gives the same bytes.
 * requests_out: shape_requests_deinit(). */
int shape_window(enum sink_kind kind, const struct profile *window, const struct shape_options *options, struct shape_requests *requests_out);
void shape_requests_deinit(struct shape_requests *requests);

#endif
