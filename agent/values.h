/* Values as people write them, in options, variables and files. Each function returns 0, or -EINVAL with why: what the text is not, and an example. Outputs are
 * untouched on failure. */
#ifndef HEARTH_AGENT_VALUES_H
#define HEARTH_AGENT_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

int value_uint(const char *text, uint64_t low, uint64_t high, uint64_t *value_out, struct why *why);

/* Bytes, with a unit or not: 67108864, 64M, 64MiB, 1G. Units are powers of 1024. */
int value_bytes(const char *text, uint64_t low, uint64_t high, uint64_t *bytes_out, struct why *why);

/* Seconds, with a fraction, or with a unit: 10, 2.5, 500ms, 10s, 5m, 1h, 7d. In ns; 1 ms to 365 days. */
int value_duration(const char *text, uint64_t *ns_out, struct why *why);

/* A percentage above 0 and up to 100, with or without %: as a share, 0 to 1. */
int value_percent(const char *text, double *share_out, struct why *why);

/* A fraction above 0 and up to 1. */
int value_fraction(const char *text, double *fraction_out, struct why *why);

/* true, false, 1, 0. */
int value_flag(const char *text, bool *flag_out, struct why *why);

/* One of names, which end in NULL: its index. */
int value_choice(const char *text, const char *const *names, int *index_out, struct why *why);

/* As they would be written, in the largest unit that divides them. */
void value_show_bytes(uint64_t bytes, char *out, size_t out_bytes);
void value_show_duration(uint64_t ns, char *out, size_t out_bytes);

#endif
