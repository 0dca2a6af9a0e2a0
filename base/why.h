/* The sentence that goes with an errno: what was being done, what is wrong, what to do about it.
 * Filled by the function that failed, printed once by the caller. */
#ifndef HEARTH_BASE_WHY_H
#define HEARTH_BASE_WHY_H

#include <stdarg.h>
#include <stdio.h>

struct why {
	char text[512];
};

/* Write the sentence and return err, so that a failure is one line: return why_set(why, -EPERM, "..."). */
__attribute__((format(printf, 3, 4))) static inline int why_set(struct why *why, int err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why->text, sizeof(why->text), format, arguments);
	va_end(arguments);
	return err;
}

#endif
