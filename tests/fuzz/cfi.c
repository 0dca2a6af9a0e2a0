/* The CFI compiler: the first byte of an input says what the others are. */
#include <elf.h>

#include "tests/cfi/exercise.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n)
		exercise_section(data + 1, n - 1, !(data[0] & 1), data[0] & 2 ? EM_AARCH64 : EM_X86_64);
	return 0;
}
