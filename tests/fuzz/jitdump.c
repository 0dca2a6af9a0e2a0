/* Jitdumps that grow: the first byte says into how many pieces the file is cut. */
#include <errno.h>
#include <string.h>

#include "symbolizer/jitdump.h"
#include "tests/fuzz/jit_pieces.h"

static void find_all(struct jit_table *table)
{
	static const uint64_t pcs[] = {0, 1, 0x1000, 0x1008, 0x2000, UINT64_MAX - 1, UINT64_MAX};
	struct jit_match match;

	for (uint64_t time = 1; time; time *= 256) {
		jit_table_advance(table, time);
		for (size_t i = 0; i < sizeof(pcs) / sizeof(pcs[0]); i++)
			if (jit_table_find(table, pcs[i], &match) == 0) {
				PROMISE(match.start <= pcs[i] && pcs[i] < match.end);
				PROMISE(match.name && strlen(match.name) <= JIT_NAME_MAX && match.file && strlen(match.file) <= JIT_NAME_MAX);
			}
	}
	jit_table_advance(table, UINT64_MAX);
}

static int read_on(void *reader, int fd, struct jit_table *table, bool *anew_out)
{
	int err = jitdump_read(reader, fd, BUDGET_BYTES, table, anew_out);

	PROMISE(err == 0 || err == 1 || err == -EBADMSG || err == -EOPNOTSUPP);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jitdump dump = {.records = 0};

	fuzz_jit_pieces(data, n, &dump, read_on, find_all);
	jitdump_deinit(&dump);
	return 0;
}
