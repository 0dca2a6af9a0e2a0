#include "agent/service_end.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

const char *service_end_text(int status, char text[SERVICE_END_MAX])
{
	if (status < 0)
		snprintf(text, SERVICE_END_MAX, "cannot be forked: %s", strerror(-status));
	else if (WIFSIGNALED(status))
		snprintf(text, SERVICE_END_MAX, "died (signal %d)", WTERMSIG(status));
	else
		snprintf(text, SERVICE_END_MAX, "ended (status %d)", WEXITSTATUS(status));
	return text;
}
