/* Jitdumps that grow: the first byte says into how many pieces the file is cut. */
#include <errno.h>
#include <string.h>

#include "symbolizer/jitdump.h"
#include "tests/fuzz/fuzz.h"

#define BUDGET_BYTES (1u << 20)

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jitdump dump = {.records = 0};
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
			err = jitdump_read(&dump, fd, BUDGET_BYTES, table, &anew);
			PROMISE(err == 0 || err == 1 || err == -EBADMSG || err == -EOPNOTSUPP);
			if (anew) {
				jit_table_clear(table);
				err = 1;
			}
		}
		find_all(table);
	}
	jitdump_deinit(&dump);
	jit_table_destroy(table);
	return 0;
}
