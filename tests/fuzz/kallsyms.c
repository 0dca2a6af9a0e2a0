/* The text of /proc/kallsyms. */
#include <errno.h>
#include <string.h>

#include "symbolizer/kallsyms.h"
#include "tests/fuzz/fuzz.h"

static void find(const struct kallsyms *kallsyms, uint64_t address)
{
	struct kernel_symbol symbol;

	if (kallsyms_find(kallsyms, address, &symbol) < 0)
		return;
	PROMISE(symbol.start <= address && address < symbol.end);
	PROMISE(strlen(symbol.name) > 0 && strlen(symbol.module) < UINT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint64_t near[] = {0, 1, 0xfff, 0x1000, 0x10000, UINT64_MAX};
	struct kallsyms *kallsyms;

	int err = kallsyms_read(fuzz_file(0, data, n), &kallsyms);
	PROMISE(err == 0 || err == -EPERM || err == -E2BIG);
	if (err < 0)
		return 0;
	uint64_t base = kallsyms_base(kallsyms);
	for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
		find(kallsyms, near[i]);
		find(kallsyms, base + near[i]);
	}
	for (size_t at = 0; at + 8 <= n; at += 8) {
		uint64_t address;
		memcpy(&address, data + at, sizeof(address));
		find(kallsyms, address);
	}
	/* Every address that the text itself has. */
	char *text = (char *)fuzz_copy(data, n + 0);
	for (size_t at = 0; at < n; at++)
		if ((at == 0 || text[at - 1] == '\n') && n - at > 17 && text[at + 16] == ' ') {
			text[at + 16] = 0;
			find(kallsyms, strtoull(text + at, NULL, 16));
		}
	free(text);
	kallsyms_free(kallsyms);
	return 0;
}
