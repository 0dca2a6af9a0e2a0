#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int fuzz_file(unsigned number, const uint8_t *data, size_t n)
{
	static int files[FUZZ_FILES] = {-1, -1, -1, -1};

	PROMISE(number < FUZZ_FILES);
	if (files[number] < 0)
		files[number] = memfd_create("fuzz", MFD_CLOEXEC);
	PROMISE(files[number] >= 0 && ftruncate(files[number], 0) == 0);
	for (size_t done = 0; done < n;) {
		ssize_t written = pwrite(files[number], data + done, n - done, (off_t)done);
		PROMISE(written > 0);
		done += (size_t)written;
	}
	return files[number];
}

uint8_t *fuzz_copy(const uint8_t *data, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	PROMISE(copy);
	if (n)
		memcpy(copy, data, n);
	return copy;
}
