/* Scope guards: the way out of a function frees what the function owns. */
#ifndef HEARTH_BASE_SCOPE_H
#define HEARTH_BASE_SCOPE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void scope_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void scope_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void scope_fclose(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

/* Locals: AUTO_FREE char *text = NULL; AUTO_CLOSE int fd = -1; */
#define AUTO_FREE   __attribute__((cleanup(scope_free)))
#define AUTO_CLOSE  __attribute__((cleanup(scope_close)))
#define AUTO_FCLOSE __attribute__((cleanup(scope_fclose)))

/* Hand a guarded local to somebody else: *tab_out = take_ptr(tab). */
#define take_ptr(pointer)                                                                                              \
	({                                                                                                             \
		__typeof__(pointer) taken_ = (pointer);                                                                \
		(pointer) = NULL;                                                                                      \
		taken_;                                                                                                \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#endif
