/* Where hearth keeps things when nobody says where: in the service's folder, root's, or below the user's home. Source: systemd.exec(5), RuntimeDirectory= and the like; XDG Base
 * Directory Specification. */
#ifndef HEARTH_AGENT_USUAL_FOLDER_H
#define HEARTH_AGENT_USUAL_FOLDER_H

#include <stddef.h>

struct usual_folder {
	const char *service_variable; /* "STATE_DIRECTORY": set by systemd, which lists several with colons; the first counts */
	const char *of_root;	      /* "/var/lib/hearth" */
	const char *user_variable;    /* "XDG_STATE_HOME": hearth's is below */
	const char *below_home;	      /* ".local/state": the same, below $HOME, where that is not set */
};

/* Returns 0, -ENOENT (there is no such place), or -ENAMETOOLONG. */
int usual_folder_find(const struct usual_folder *f, char *path_out, size_t bytes);

#endif
