/* Kubernetes names of the containers of this node, from the NAMES of kubelet's files: no byte of a file is read, and nobody is asked.
 *
 *   /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log   a link for each container, ID of 64 hex digits
 *   /var/log/pods/NAMESPACE_POD_UID/                     a folder for each pod
 *
 * Read when somebody asks for what is not known, at most once in POD_NAMES_PAUSE_NS. Not thread-safe.
 * Source: kubelet's pkg/kubelet/kuberuntime (legacy.go, helpers.go); names: RFC 1123 labels and subdomains. */
#ifndef HEARTH_AGENT_POD_NAMES_H
#define HEARTH_AGENT_POD_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POD_NAMES_PAUSE_NS (5 * 1000000000ull)
#define POD_NAMES_MAX	   8192	 /* of each folder: kubelet's limit is 110 pods, and keeps the logs of some dead containers of each */
#define POD_NAMES_READ_MAX 32768 /* entries of a folder that are looked at */

struct pod_names;

/* Borrowed until the next call. container: "" when only the pod is known. */
struct pod_name {
	const char *pod, *namespace, *container;
};

struct pod_names_stats {
	uint64_t containers, pods; /* known now */
	uint64_t scans;
	uint64_t left_out; /* of the last scan: beyond a limit */
	uint64_t malformed; /* ... names that are none of kubelet's */
};

/* root: before /var/log; "": this machine's. */
int pod_names_create(const char *root, struct pod_names **names_out);

/* Which container and pod this is. container_id: 64 hex digits, or ""; pod_uid: "" when it is not known. Looks at the folders when they were not looked at
 * for a while. Returns 0, or -ENOENT: name_out is set all the same, to what is known (the pod and not yet the container; or all ""). */
int pod_names_find(struct pod_names *p, const char *container_id, const char *pod_uid, uint64_t now_ns, struct pod_name *name_out);

void pod_names_stats(const struct pod_names *p, struct pod_names_stats *stats_out);

/* NULL is legal. */
void pod_names_destroy(struct pod_names *p);

#endif
