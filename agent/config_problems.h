/* What is wrong in a configuration file: all of it, so that it is mended in one go. */
#ifndef HEARTH_AGENT_CONFIG_PROBLEMS_H
#define HEARTH_AGENT_CONFIG_PROBLEMS_H

#include <stddef.h>

#define CONFIG_PROBLEMS_MAX 100

struct config_problem {
	unsigned line; /* 0: not of one line, or not of the file */
	char text[512];
};

/* Large: allocate it, all zero. */
struct config_problems {
	struct config_problem list[CONFIG_PROBLEMS_MAX]; /* by line, when config_problems_sort() was called */
	size_t n;
	size_t more; /* that did not fit */
};

__attribute__((format(printf, 3, 4))) void config_problem(struct config_problems *problems, unsigned line, const char *format, ...);

void config_problems_sort(struct config_problems *problems);

/* "FILE:LINE: TEXT" of one; TEXT alone where there is no line. */
void config_problem_describe(const struct config_problem *problem, const char *file, char *out, size_t out_bytes);

#endif
