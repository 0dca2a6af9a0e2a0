/* What the path of a cgroup tells: container, systemd unit, pod. A pure function on text that strangers choose in part.
 *
 * Sources: systemd's "cgroup and delegation" document, systemd.unit(5) (escapes), systemd-nspawn(1), lxc.container.conf(5); the paths that Docker,
 * containerd, CRI-O, Podman and kubelet make with their cgroupfs and systemd drivers. */
#ifndef HEARTH_AGENT_CGROUP_PATH_H
#define HEARTH_AGENT_CGROUP_PATH_H

#include <stdbool.h>

#define CGROUP_NAME_MAX 256 /* of one label, with its NUL: systemd's unit names are as long */
#define POD_UID_MAX	37

/* "": there is none. Printable ASCII. */
struct cgroup_path {
	char container_id[CGROUP_NAME_MAX]; /* 64 hex digits; of systemd-nspawn and LXC the name */
	char container[CGROUP_NAME_MAX];    /* the name, where the path has it: systemd-nspawn, LXC */
	char unit[CGROUP_NAME_MAX];	    /* as systemctl writes it, escapes included; inside of a container that container's */
	char pod_uid[POD_UID_MAX];	    /* with dashes, as Kubernetes writes it */
};

/* The innermost container counts, and the unit in it; a unit around it (a Podman unit) when there is none, but not around a pod: that is the runtime.
 * What only watches a container (conmon, LXC's monitor) is not in it. */
void cgroup_path_parse(const char *path, struct cgroup_path *facts_out);

/* The service that a unit is: its name without ".service". False for scopes (logins and programs that a desktop starts: a name for each) and for services that
 * systemd-run names by numbers. */
bool cgroup_path_service(const char *unit, char service[CGROUP_NAME_MAX]);

#endif
