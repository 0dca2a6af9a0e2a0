/* Between dictionary.c and dictionary_codec.c. */
#ifndef HEARTH_STORE_DICTIONARY_TABLES_H
#define HEARTH_STORE_DICTIONARY_TABLES_H

#include <stddef.h>
#include <stdint.h>

#define DICTIONARY_ENTRIES_MAX (1u << 30)

/* Room for more entries behind n. array: of a pointer. Returns 0, -ENOMEM, -E2BIG. */
int dictionary_reserve(void *array, uint32_t *capacity, uint32_t n, size_t more, size_t entry_bytes);

#endif
