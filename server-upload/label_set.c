#include "server-upload/label_set.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The place of name, or where it would be. */
static size_t find(const struct label_set *set, const char *name, bool *there_out)
{
	size_t low = 0, high = set->n;

	*there_out = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(set->labels[middle].name, name);
		if (order == 0) {
			*there_out = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void label_set_remove(struct label_set *set, size_t at)
{
	free(set->labels[at].name);
	free(set->labels[at].value);
	set->n--;
	memmove(&set->labels[at], &set->labels[at + 1], (set->n - at) * sizeof(set->labels[0]));
}

int label_set_put(struct label_set *set, const char *name, const char *value)
{
	bool there;
	size_t at = find(set, name, &there);

	if (!*value) {
		if (there)
			label_set_remove(set, at);
		return 0;
	}
	if (!there && set->n == LABEL_SET_MAX)
		return -E2BIG;
	char *own_value = strdup(value), *own_name = there ? NULL : strdup(name);
	if (!own_value || (!there && !own_name)) {
		free(own_value);
		free(own_name);
		return -ENOMEM;
	}
	if (there) {
		free(set->labels[at].value);
	} else {
		memmove(&set->labels[at + 1], &set->labels[at], (set->n - at) * sizeof(set->labels[0]));
		set->labels[at].name = own_name;
		set->n++;
	}
	set->labels[at].value = own_value;
	return 0;
}

const char *label_set_get(const struct label_set *set, const char *name)
{
	bool there;
	size_t at = find(set, name, &there);

	return there ? set->labels[at].value : "";
}

void label_set_deinit(struct label_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		free(set->labels[i].name);
		free(set->labels[i].value);
	}
	set->n = 0;
}

bool label_name_is_valid(const char *name)
{
	size_t n = 0;

	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	while (isalnum((unsigned char)name[n]) || name[n] == '_')
		n++;
	return !name[n] && n <= LABEL_NAME_MAX;
}
