/* How a service ended, in words. */
#ifndef HEARTH_AGENT_SERVICE_END_H
#define HEARTH_AGENT_SERVICE_END_H

#include <stddef.h>

#define SERVICE_END_MAX 128

/* status: of struct service_event. "died (signal 9)". Returns text. */
const char *service_end_text(int status, char text[SERVICE_END_MAX]);

#endif
