/* The part of Pyroscope's query API that Grafana's data source asks for, on the store (docs/api.md).
 *
 * The store's windows are profiles of the type process_cpu, with the sample types that they have; labels are those of samples, "service" as "service_name", and "host". */
#ifndef HEARTH_WEB_PYROSCOPE_H
#define HEARTH_WEB_PYROSCOPE_H

#include "web/api_query.h"
#include "web/label_selector.h"
#include "web/querier.pb-c.h"

#define PYROSCOPE_SERVICE "/querier.v1.QuerierService/"
#define PYROSCOPE_RENDER  "/pyroscope/render"
#define PYROSCOPE_NAME	  "process_cpu"
#define PYROSCOPE_NODES	  8192 /* where a caller does not say */
#define PYROSCOPE_POINTS_MAX 11000 /* of a series, as Prometheus has it */

/* What a call asks for: selectors of which one must hold; none: everything. */
struct pyroscope_query {
	struct api_query *q;
	struct label_selector *selectors;
	size_t n_selectors;
	char type[64], unit[64]; /* of the sample type */
	int err; /* of an expression that takes too long to match */
};

/* Returns 0 or a status. method: what follows PYROSCOPE_SERVICE. */
int pyroscope_call(struct api_query *q, const char *method);
int pyroscope_render(struct api_query *q);

/* ---- between the files of this ---- */

/* Range (ms; 0: none), selectors and the store, into p and q->filter. type: a profile type's id, NULL: none is asked for. */
int pyroscope_begin(struct pyroscope_query *p, struct api_query *q, int64_t start_ms, int64_t end_ms, char *const *selectors, size_t n_selectors, const char *type);
void pyroscope_end(struct pyroscope_query *p);
/* After the store was asked: what a selector met. */
int pyroscope_check(struct pyroscope_query *p, int err, const char *doing);

/* The store's name of a label. */
const char *pyroscope_key(const char *name);
/* And back. */
const char *pyroscope_name(const char *key);

int pyroscope_profile_types(struct api_query *q, const ProtobufCMessage *message);
int pyroscope_label_names(struct api_query *q, const ProtobufCMessage *message);
int pyroscope_label_values(struct api_query *q, const ProtobufCMessage *message);
int pyroscope_series(struct api_query *q, const ProtobufCMessage *message);
int pyroscope_select_series(struct api_query *q, const ProtobufCMessage *message);
int pyroscope_select_merge_stacktraces(struct api_query *q, const ProtobufCMessage *message);
int pyroscope_select_merge_profile(struct api_query *q, const ProtobufCMessage *message);

/* The sum of what is asked for, one value: *profile_out is NULL when there is none. */
int pyroscope_profile(struct pyroscope_query *p, struct profile **profile_out, uint32_t *value_out);

/* A flame graph of what is asked for. graph: with messages that pyroscope_flame_graph_deinit() frees; "total" alone when there is nothing. */
struct flame_tree;
struct pyroscope_flame {
	Querier__FlameGraph graph;
	Querier__Level *levels;
	Querier__Level **level_pointers;
	int64_t *values;
	char **names;
	struct flame_tree *tree; /* NULL: nothing */
};
int pyroscope_flame_init(struct pyroscope_flame *f, struct pyroscope_query *p, int64_t max_nodes);
void pyroscope_flame_deinit(struct pyroscope_flame *f);

/* The values of one series, without groups: for pyroscope_render(). values_out: n of them, owned by the caller. */
int pyroscope_points(struct pyroscope_query *p, int64_t from_ns, int64_t step_ns, size_t n, int64_t **values_out);

#endif
