/* Log lines on standard error, for people or as JSON: one object a line. The only state is the process-wide format. */
#ifndef HEARTH_AGENT_LOG_H
#define HEARTH_AGENT_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO };

/* json: one JSON object a line with "time", "level", "message". quiet: errors and warnings only. */
void log_setup(bool json, bool quiet);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#endif
