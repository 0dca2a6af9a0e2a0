/* Functions and lines of a profile, with what was spent in them. */
#ifndef HEARTH_PPROF_FUNCTION_TABLE_H
#define HEARTH_PPROF_FUNCTION_TABLE_H

#include "pprof/profile.h"

/* name, module, file: behind the rows, free()d with them; valid without the profile. */
struct function_row {
	const char *name;
	const char *module; /* file of the mapping; "" when unknown */
	const char *file;   /* of the source; "" when unknown */
	bool is_kernel;
	int64_t self;
	int64_t total; /* each sample counted once, also under recursion */
	int64_t base_self, base_total;
};

/* A function is a name in a module (by the last part of its path); code without a name is one for each address. With a base, one that is in either profile alone under its module, but
 * under its name in both (a program that was built anew under another name, a library's next version), is one row.
 * base: to compare with; NULL: none. It has a sample type of the same name. value: index of the sample type; PROFILE_NONE: profile_default_value().
 * By self, largest first; with a base by the difference of the shares of self in the totals, the larger first, whether more or less. rows_out: owned by the caller, free(). Returns 0,
 * -EINVAL (no such sample type), -ENOMEM. */
int function_table_create(const struct profile *profile, const struct profile *base, uint32_t value, struct function_row **rows_out, size_t *n_out);

/* file: valid while the profile is. */
struct line_row {
	const char *file;
	int64_t line; /* 0: unknown */
	int64_t self, total;
};

/* The lines of all functions of a name, by file and line. rows_out: as above. None: 0 rows. */
int line_table_create(const struct profile *profile, uint32_t value, const char *function, struct line_row **rows_out, size_t *n_out);

#endif
