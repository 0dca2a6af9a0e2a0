/* A file of JIT names that grows: the first byte of the input says into how many pieces the rest is cut. */
#ifndef HEARTH_TESTS_FUZZ_JIT_PIECES_H
#define HEARTH_TESTS_FUZZ_JIT_PIECES_H

#include "symbolizer/jit_table.h"
#include "tests/fuzz/fuzz.h"

#define BUDGET_BYTES (1u << 20)

/* Read on. Returns 1 when there is more, 0, or an error that the header allows. */
typedef int jit_read_fn(void *reader, int fd, struct jit_table *table, bool *anew_out);

static inline void fuzz_jit_pieces(const uint8_t *data, size_t n, void *reader, jit_read_fn *read, void (*find_all)(struct jit_table *table))
{
	struct jit_table *table;

	if (!n)
		return;
	unsigned pieces = 1 + data[0] % 4;
	data++;
	n--;
	PROMISE(jit_table_create(&table) == 0);
	for (unsigned i = 1; i <= pieces; i++) {
		int fd = fuzz_file(0, data, n * i / pieces), err = 1;
		for (int again = 0; err == 1; again++) {
			bool anew = false;
			PROMISE(again < 1000);
			err = read(reader, fd, table, &anew);
			if (anew) {
				jit_table_clear(table);
				err = 1;
			}
		}
		find_all(table);
	}
	jit_table_destroy(table);
}

#endif
