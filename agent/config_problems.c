#include "agent/config_problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text_clean.h"

void config_problem(struct config_problems *problems, unsigned line, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	if (problems->n == CONFIG_PROBLEMS_MAX) {
		problems->more++;
		return;
	}
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	struct config_problem *problem = &problems->list[problems->n++];
	problem->line = line;
	/* They repeat what the file says. */
	text_clean(text, strlen(text), problem->text, sizeof(problem->text));
}

/* By insertion: those of one line stay in their order. */
void config_problems_sort(struct config_problems *problems)
{
	for (size_t i = 1; i < problems->n; i++) {
		struct config_problem problem = problems->list[i];
		size_t at = i;
		for (; at > 0 && problems->list[at - 1].line > problem.line; at--)
			problems->list[at] = problems->list[at - 1];
		problems->list[at] = problem;
	}
}

void config_problem_describe(const struct config_problem *problem, const char *file, char *out, size_t out_bytes)
{
	if (problem->line)
		snprintf(out, out_bytes, "%s:%u: %s", file, problem->line, problem->text);
	else
		snprintf(out, out_bytes, "%s", problem->text);
}
