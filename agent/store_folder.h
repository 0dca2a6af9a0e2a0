/* Where the store is, also when nobody says. */
#ifndef HEARTH_AGENT_STORE_FOLDER_H
#define HEARTH_AGENT_STORE_FOLDER_H

#include <stddef.h>

/* $STATE_DIRECTORY (systemd), /var/lib/hearth for root, else $XDG_STATE_HOME/hearth or ~/.local/state/hearth. Returns 0, -ENOENT (there is no such place), or
 * -ENAMETOOLONG. */
int store_folder_default(char *path_out, size_t bytes);

/* From the root on. Returns 0, -ENAMETOOLONG, or the errno of getcwd(). */
int store_folder_absolute(const char *path, char *path_out, size_t bytes);

/* Make the folders above it that a user may lack (~/.local/state): not the folder itself. */
void store_folder_make_above(const char *path);

#endif
