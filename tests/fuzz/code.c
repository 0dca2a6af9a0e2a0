/* The decoder of instructions, and what it tells of stack frames. The first two bytes say where in the code the frame is wanted. */
#include <errno.h>
#include <string.h>

#include "symbolizer/code_frame.h"
#include "symbolizer/x86_decoder.h"
#include "tests/fuzz/fuzz.h"

static void decode_all(const uint8_t *code, size_t n)
{
	struct x86_instruction instruction;

	for (size_t at = 0; at < n; at++) {
		if (!x86_decode(code + at, n - at, &instruction))
			continue;
		PROMISE(instruction.bytes && instruction.bytes <= 15 && instruction.bytes <= n - at);
		x86_writes(&instruction);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct code_frame frame;
	uint16_t at;

	if (n < sizeof(at))
		return 0;
	memcpy(&at, data, sizeof(at));
	uint8_t *code = fuzz_copy(data + sizeof(at), n - sizeof(at));
	n -= sizeof(at);
	decode_all(code, n);
	int err = code_frame_at(code, n, n ? at % n : 0, &frame);
	PROMISE(err == 0 || err == -ENOENT || err == -E2BIG);
	free(code);
	return 0;
}
