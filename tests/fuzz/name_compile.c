/* A whole image into a name table. Three bytes: how long the image is; behind it another file, which it gets when it asks for one. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "symbolizer/name_compiler.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY_BYTES (96u << 20)
#define CANDIDATES   2

struct other {
	const uint8_t *data;
	size_t n;
};

static int open_other(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	const struct other *other = context;

	PROMISE(ask->kind < DEBUG_ASK_KINDS && strlen(ask->name) < DEBUG_ASK_TEXT_MAX && ask->build_id_bytes <= sizeof(ask->build_id));
	if (nth >= CANDIDATES)
		return -ENOENT;
	*fd_out = dup(fuzz_file(1, other->data, other->n));
	PROMISE(*fd_out >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint64_t wanted[] = {0x1000, 0x1010, 0x1100, 0x401000, 0x401020};
	struct name_compile_stats stats;
	struct name_table *table;
	uint64_t bytes;

	if (n < 4)
		return 0;
	size_t first = data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16;
	bool is_wanted = data[3] & 1;
	data += 4;
	n -= 4;
	first = first < n ? first : n;
	struct other other = {data + first, n - first};
	struct debug_asker asker = {open_other, &other};
	struct name_compile_input input = {
		.fd = fuzz_file(0, data, first),
		.asker = &asker,
		.wanted = is_wanted ? wanted : NULL,
		.n_wanted = is_wanted ? sizeof(wanted) / sizeof(wanted[0]) : 0,
		.memory_bytes = MEMORY_BYTES,
	};
	int fd = fuzz_file(2, NULL, 0);
	int err = name_compile(&input, fd, &bytes, &stats);
	PROMISE(err == 0 || err == -ENOEXEC || err == -EBADMSG || err == -E2BIG);
	if (err < 0)
		return 0;
	PROMISE(name_table_open(fd, &table) == 0);
	for (uint64_t vaddr = 0xff0; vaddr < 0x1200; vaddr += 7) {
		struct name_table_match match;
		err = name_table_find(table, vaddr, &match);
		PROMISE(err == 0 || err == -ENOENT);
	}
	name_table_close(table);
	return 0;
}
