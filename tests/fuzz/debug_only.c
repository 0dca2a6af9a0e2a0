/* An ELF file whose debug sections are to be uploaded: what comes out can be read, is no larger than what went in but for headers, and all of it is kept again. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolizer/debug_only.h"
#include "symbolizer/elf_file.h"
#include "tests/fuzz/fuzz.h"

#define OUT_BYTES_MAX (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int fd = fuzz_file(0, data, n), out = fuzz_file(1, NULL, 0), again = fuzz_file(2, NULL, 0);
	struct debug_only result, second;
	struct elf_file elf;
	struct stat file;

	int err = debug_only_write(fd, out, OUT_BYTES_MAX, &result);
	PROMISE(err == 0 || err == -ENODATA || err == -ENOEXEC || err == -EBADMSG || err == -E2BIG || err == -EFBIG);
	if (err < 0)
		return 0;
	PROMISE(fstat(out, &file) == 0 && (uint64_t)file.st_size == result.bytes);
	PROMISE(result.bytes <= 2 * n + 1024 + 8 * 65536);
	PROMISE(elf_file_open_debug(out, &elf) == 0);
	/* What is kept of it is all of it. */
	err = debug_only_write(out, again, OUT_BYTES_MAX, &second);
	PROMISE(err == 0);
	PROMISE(second.has_dwarf == result.has_dwarf && second.has_symbols == result.has_symbols && second.bytes == result.bytes);
	return 0;
}
