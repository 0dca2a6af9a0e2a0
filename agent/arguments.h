/* Values of options, checked. Each prints one line that names the option and what is expected, and returns false. */
#ifndef HEARTH_AGENT_ARGUMENTS_H
#define HEARTH_AGENT_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "symbolizer/demangle.h"

#define STATUS_OK     0
#define STATUS_FAILED 1
#define STATUS_USAGE  2

/* One line on standard error, with what to do next. Returns STATUS_USAGE. */
__attribute__((format(printf, 2, 3))) int usage_error(const char *command, const char *format, ...);

bool argument_uint(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *value_out);

/* Bytes, with a unit or not: 67108864, 64M, 64MiB, 1G. Units are powers of 1024. */
bool argument_bytes(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *bytes_out);

/* Seconds, with a fraction, or with a unit: 10, 2.5, 500ms, 10s, 5m, 1h. In ns; more than 0. */
bool argument_duration(const char *option, const char *text, uint64_t *ns_out);

/* "1,2,3": up to max pids. */
bool argument_pids(const char *option, const char *text, pid_t *pids, size_t max, size_t *n_inout);

/* full, short or none. */
extern const char *const argument_demangle_styles[]; /* by enum demangle_style; ends in NULL */
bool argument_demangle(const char *option, const char *text, enum demangle_style *style_out);

/* A folder that is there. */
bool argument_folder(const char *option, const char *text, const char **path_out);

#endif
