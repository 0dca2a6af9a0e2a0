/* Allocations that fail: countdown says after how many. Linked with --wrap for the three functions. */
#ifndef HEARTH_TESTS_UNIT_FAILING_ALLOCATIONS_H
#define HEARTH_TESTS_UNIT_FAILING_ALLOCATIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t countdown = UINT64_MAX; /* allocations until the one that fails */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *pointer, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *pointer, size_t n);

static bool fails(void)
{
	return countdown-- == 0;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *pointer, size_t n)
{
	return fails() ? NULL : __real_realloc(pointer, n);
}

#endif
