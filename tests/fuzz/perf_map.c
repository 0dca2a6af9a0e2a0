/* Perf maps that grow: the first byte says into how many pieces the text is cut; after each the map is read on, and looked up in. */
#include <errno.h>
#include <string.h>

#include "symbolizer/perf_map.h"
#include "tests/fuzz/fuzz.h"

#define BUDGET_BYTES (1u << 20)

static void find_all(const struct jit_table *table)
{
	static const uint64_t pcs[] = {0, 1, 0x1000, 0x1008, 0x7f0000001000, UINT64_MAX - 1, UINT64_MAX};
	struct jit_match match;

	for (size_t i = 0; i < sizeof(pcs) / sizeof(pcs[0]); i++)
		if (jit_table_find(table, pcs[i], &match) == 0) {
			PROMISE(match.start <= pcs[i] && pcs[i] < match.end);
			PROMISE(match.name && strlen(match.name) <= JIT_NAME_MAX && match.file);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct perf_map map = {.entries = 0};
	struct jit_table *table;

	if (!n)
		return 0;
	unsigned pieces = 1 + data[0] % 4;
	data++;
	n--;
	PROMISE(jit_table_create(&table) == 0);
	for (unsigned i = 1; i <= pieces; i++) {
		int fd = fuzz_file(0, data, n * i / pieces), err = 1;
		for (int again = 0; err == 1; again++) {
			bool anew = false;
			PROMISE(again < 1000);
			err = perf_map_read(&map, fd, BUDGET_BYTES, table, &anew);
			PROMISE(err == 0 || err == 1);
			if (anew) {
				jit_table_clear(table);
				err = 1;
			}
		}
		find_all(table);
	}
	jit_table_destroy(table);
	return 0;
}
