/* What tells a machine's profiles from another's: the labels that sinks put on every series. */
#ifndef HEARTH_AGENT_HOST_LABELS_H
#define HEARTH_AGENT_HOST_LABELS_H

#define HOST_LABEL_MAX 128

/* Clean texts (base/text_clean.h); never empty. */
struct host_labels {
	char host[HOST_LABEL_MAX];   /* the node's name; in a container with the host's files (host_root) its /etc/hostname */
	char kernel[HOST_LABEL_MAX]; /* its release: "6.1.0-18-amd64" */
	char arch[HOST_LABEL_MAX];   /* "x86_64" */
};

/* host_root: see struct cgroup_names_options. No machine id: it would tell more than who reads profiles needs to know. */
void host_labels_read(const char *host_root, struct host_labels *labels_out);

#endif
