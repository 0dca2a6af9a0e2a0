#include "agent/usual_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int usual_folder_find(const struct usual_folder *f, char *path_out, size_t bytes)
{
	const char *service = getenv(f->service_variable), *user = getenv(f->user_variable), *home = getenv("HOME");
	char path[PATH_MAX];
	int n = 0;

	if (service && service[0] == '/')
		n = snprintf(path, sizeof(path), "%.*s", (int)strcspn(service, ":"), service);
	else if (geteuid() == 0)
		n = snprintf(path, sizeof(path), "%s", f->of_root);
	else if (user && user[0] == '/')
		n = snprintf(path, sizeof(path), "%s/hearth", user);
	else if (home && home[0] == '/')
		n = snprintf(path, sizeof(path), "%s/%s/hearth", home, f->below_home);
	else
		return -ENOENT;
	if (n < 0 || (size_t)n >= sizeof(path) || (size_t)n >= bytes)
		return -ENAMETOOLONG;
	memcpy(path_out, path, (size_t)n + 1);
	return 0;
}
