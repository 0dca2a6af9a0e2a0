/* .gnu_debugdata: bytes that should be xz. */
#include <elf.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolizer/minidebug.h"
#include "tests/fuzz/parts.h"

static const struct part_kind KINDS[] = {{".gnu_debugdata", SHT_PROGBITS, 0, 0}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct elf_file elf;
	struct stat st;
	int fd;

	PROMISE(elf_file_open(parts_file(data, n, 0, KINDS, 1), &elf) == 0);
	int err = minidebug_unpack(&elf, &fd);
	PROMISE(err == 0 || err == -ENOENT || err == -EBADMSG || err == -E2BIG);
	if (err < 0)
		return 0;
	PROMISE(fstat(fd, &st) == 0 && (uint64_t)st.st_size <= MINIDEBUG_BYTES_MAX);
	close(fd);
	return 0;
}
