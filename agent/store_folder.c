#include "agent/store_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/usual_folder.h"

int store_folder_default(char *path_out, size_t bytes)
{
	static const struct usual_folder STATE = {"STATE_DIRECTORY", "/var/lib/hearth", "XDG_STATE_HOME", ".local/state"};

	return usual_folder_find(&STATE, path_out, bytes);
}

int store_folder_absolute(const char *path, char *path_out, size_t bytes)
{
	char here[PATH_MAX], whole[PATH_MAX];

	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		return -errno;
	int n = path[0] == '/' ? snprintf(whole, sizeof(whole), "%s", path) : snprintf(whole, sizeof(whole), "%s/%s", here, path);
	if (n < 0 || (size_t)n >= sizeof(whole) || (size_t)n >= bytes)
		return -ENAMETOOLONG;
	memcpy(path_out, whole, (size_t)n + 1);
	return 0;
}

void store_folder_make_above(const char *path)
{
	char above[PATH_MAX];

	if (strlen(path) >= sizeof(above))
		return;
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(above, path, (size_t)(slash - path));
		above[slash - path] = '\0';
		mkdir(above, 0700); /* what cannot be made is said when the store cannot be opened */
	}
}
