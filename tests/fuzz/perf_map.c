/* Perf maps that grow: the first byte says into how many pieces the text is cut; after each the map is read on, and looked up in. */
#include <errno.h>
#include <string.h>

#include "symbolizer/perf_map.h"
#include "tests/fuzz/jit_pieces.h"

static void find_all(struct jit_table *table)
{
	static const uint64_t pcs[] = {0, 1, 0x1000, 0x1008, 0x7f0000001000, UINT64_MAX - 1, UINT64_MAX};
	struct jit_match match;

	for (size_t i = 0; i < sizeof(pcs) / sizeof(pcs[0]); i++)
		if (jit_table_find(table, pcs[i], &match) == 0) {
			PROMISE(match.start <= pcs[i] && pcs[i] < match.end);
			PROMISE(match.name && strlen(match.name) <= JIT_NAME_MAX && match.file);
		}
}

static int read_on(void *reader, int fd, struct jit_table *table, bool *anew_out)
{
	int err = perf_map_read(reader, fd, BUDGET_BYTES, table, anew_out);

	PROMISE(err == 0 || err == 1);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct perf_map map = {.entries = 0};

	fuzz_jit_pieces(data, n, &map, read_on, find_all);
	return 0;
}
