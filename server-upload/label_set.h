/* A set of labels: what names a series. Not thread-safe. */
#ifndef HEARTH_SERVER_UPLOAD_LABEL_SET_H
#define HEARTH_SERVER_UPLOAD_LABEL_SET_H

#include <stdbool.h>
#include <stddef.h>

#define LABEL_SET_MAX	64
#define LABEL_NAME_MAX	1024 /* bytes, without the NUL; as receivers limit them (PROTOCOLS.md) */
#define LABEL_VALUE_MAX 2048

/* Sorted by name, names are unique. */
struct label_set {
	size_t n;
	struct {
		char *name, *value; /* owned */
	} labels[LABEL_SET_MAX];
};

/* Keeps the order; an empty value removes the label. 0, -ENOMEM, -E2BIG (LABEL_SET_MAX). */
int label_set_put(struct label_set *set, const char *name, const char *value);
const char *label_set_get(const struct label_set *set, const char *name); /* "" when it is not there; borrowed until the next change */

/* Take out the label at this place. */
void label_set_remove(struct label_set *set, size_t at);

/* Frees the labels; the set is empty then. */
void label_set_deinit(struct label_set *set);

/* [a-zA-Z_][a-zA-Z0-9_]*, at most LABEL_NAME_MAX. Source: Prometheus' data model. */
bool label_name_is_valid(const char *name);

#endif
