/* Values as people read them. */
#ifndef HEARTH_PPROF_FORMAT_VALUE_H
#define HEARTH_PPROF_FORMAT_VALUE_H

#include <stddef.h>
#include <stdint.h>

/* A value with its unit: "1.23 s", "45.6 ms", "1,234 samples", "1.5 MiB". unit: as in a pprof file: "nanoseconds", "bytes", "count", ...
 * type: what is counted ("samples"); used for counts. Returns the length written, cut to text_bytes. */
size_t format_value(int64_t value, const char *type, const char *unit, char *text, size_t text_bytes);

/* 1,234,567 */
size_t format_count(int64_t value, char *text, size_t text_bytes);

#endif
