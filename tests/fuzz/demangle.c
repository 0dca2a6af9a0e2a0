/* One mangled name. libiberty's own faults are ours here: it runs in the confined process, and may cost a request. */
#include <errno.h>
#include <string.h>

#include "symbolizer/demangle.h"
#include "tests/fuzz/fuzz.h"

static void check(const char *name, enum demangle_style style)
{
	static char out[DEMANGLE_OUT_MAX];
	int length = demangle(name, style, out);

	PROMISE(length == -ENOENT || length == -E2BIG || (length > 0 && length < DEMANGLE_OUT_MAX));
	if (length > 0)
		PROMISE(strlen(out) == (size_t)length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *name = malloc(n + 1);

	PROMISE(name);
	memcpy(name, data, n);
	name[n] = 0;
	check(name, DEMANGLE_FULL);
	check(name, DEMANGLE_SHORT);
	free(name);
	return 0;
}
