#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

int library_load(const char *name, const struct library_function *functions, size_t n, void *table, void **handle_out)
{
	void *handle = dlopen(name, RTLD_NOW);

	if (!handle)
		return -ENOENT;
	for (size_t i = 0; i < n; i++) {
		void *function = dlsym(handle, functions[i].name);
		if (!function)
			return -ENOENT;
		memcpy((char *)table + functions[i].at, &function, sizeof(function));
	}
	*handle_out = handle;
	return 0;
}
