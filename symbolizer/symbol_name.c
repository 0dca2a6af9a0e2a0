#include "symbolizer/symbol_name.h"

#include <string.h>

void symbol_name_cut_version(char *name)
{
	char *at = strchr(name, '@');

	if (at && at > name && (at[1] == '@' || (at[1] >= 'A' && at[1] <= 'Z')))
		*at = 0;
}

bool symbol_name_is_better(const char *name, const char *than)
{
	size_t a = strspn(name, "_"), b = strspn(than, "_");

	if (a != b)
		return a < b;
	a = strlen(name);
	b = strlen(than);
	return a != b ? a < b : strcmp(name, than) < 0;
}
