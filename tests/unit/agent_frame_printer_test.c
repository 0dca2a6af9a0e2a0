/* agent/frame_printer.c: what addr2line and llvm-symbolizer print, letter by letter. */
#include "tests/unit/cmocka_prelude.h"

#include <stdlib.h>
#include <string.h>

#include "agent/frame_printer.h"

static const struct symbolizer_frame FRAMES[] = {
	{.name = "inner(int)", .system_name = "_Z5inneri", .file = "/src/a.h", .line = 11, .start_line = 10, .column = 3},
	{.name = "outer()", .system_name = "_Z5outerv", .file = "/src/a.cc", .line = 22, .start_line = 20, .column = 0},
};
static const struct symbolizer_frame SYMBOL = {.name = "start", .system_name = "start", .file = ""};

static void check(struct frame_printer p, const struct symbolizer_frame *frames, size_t n, const char *expected)
{
	char *text = NULL;
	size_t bytes = 0;

	p.stream = open_memstream(&text, &bytes);
	p.address_bytes = 8;
	p.module = "a.out";
	frame_printer_address(&p, 0x12ab, frames, n);
	frame_printer_end(&p);
	fclose(p.stream);
	assert_string_equal(text, expected);
	free(text);
}

static void gnu(void **state)
{
	struct frame_printer p = {.style = FRAME_STYLE_GNU};

	(void)state;
	check(p, FRAMES, 2, "/src/a.h:11\n");
	check(p, &SYMBOL, 1, "??:?\n");
	check(p, NULL, 0, "??:0\n");
	p.functions = true;
	check(p, FRAMES, 2, "inner(int)\n/src/a.h:11\n");
	check(p, NULL, 0, "??\n??:0\n");
	p.inlines = true;
	check(p, FRAMES, 2, "inner(int)\n/src/a.h:11\nouter()\n/src/a.cc:22\n");
	p.addresses = p.basenames = true;
	check(p, FRAMES, 2, "0x00000000000012ab\ninner(int)\na.h:11\nouter()\na.cc:22\n");
	p.pretty = true;
	check(p, FRAMES, 2, "0x00000000000012ab: inner(int) at a.h:11\n (inlined by) outer() at a.cc:22\n");
	check(p, NULL, 0, "0x00000000000012ab: ?? ??:0\n");
}

static void llvm(void **state)
{
	struct frame_printer p = {.style = FRAME_STYLE_LLVM, .functions = true, .inlines = true};

	(void)state;
	check(p, FRAMES, 2, "inner(int)\n/src/a.h:11:3\nouter()\n/src/a.cc:22:0\n\n");
	check(p, &SYMBOL, 1, "start\n??:0:0\n\n");
	check(p, NULL, 0, "??\n??:0:0\n\n");
	p.addresses = p.pretty = true;
	check(p, FRAMES, 2, "0x12ab: inner(int) at /src/a.h:11:3\n (inlined by) outer() at /src/a.cc:22:0\n\n");
	p.inlines = p.pretty = false;
	check(p, FRAMES, 2, "0x12ab\nouter()\n/src/a.h:11:3\n\n");
}

static void json(void **state)
{
	struct frame_printer p = {.style = FRAME_STYLE_JSON, .functions = true, .inlines = true};

	(void)state;
	check(p, &FRAMES[1], 1,
	      "{\"Address\":\"0x12ab\",\"ModuleName\":\"a.out\",\"Symbol\":[{\"Column\":0,\"Discriminator\":0,\"FileName\":\"/src/a.cc\","
	      "\"FunctionName\":\"outer()\",\"Line\":22,\"StartAddress\":\"\",\"StartFileName\":\"\",\"StartLine\":20}]}\n");
	p.is_array = true;
	check(p, NULL, 0,
	      "[{\"Address\":\"0x12ab\",\"ModuleName\":\"a.out\",\"Symbol\":[{\"Column\":0,\"Discriminator\":0,\"FileName\":\"\","
	      "\"FunctionName\":\"\",\"Line\":0,\"StartAddress\":\"\",\"StartFileName\":\"\",\"StartLine\":0}]}]\n");
}

/* Names longer than what is held back, and more text than that. */
static void long_text(void **state)
{
	static char name[FRAME_PRINTER_BYTES + 2];
	const struct symbolizer_frame frame = {.name = name, .system_name = name, .file = "/a.c", .line = 1};
	struct frame_printer p = {.style = FRAME_STYLE_GNU, .functions = true};
	char *text = NULL;
	size_t bytes = 0, expected = 0;

	(void)state;
	p.stream = open_memstream(&text, &bytes);
	for (size_t length = 1; length < sizeof(name); length += length / 2 + 1) {
		memset(name, 'x', length);
		frame_printer_address(&p, 0, &frame, 1);
		expected += length + strlen("\n/a.c:1\n");
		if (length % 2)
			frame_printer_flush(&p);
		if (length % 2)
			assert_int_equal(bytes, expected);
	}
	memset(name, 'y', sizeof(name) - 1);
	frame_printer_address(&p, 0, &frame, 1);
	expected += sizeof(name) - 1 + strlen("\n/a.c:1\n");
	frame_printer_end(&p);
	assert_int_equal(bytes, expected);
	assert_string_equal(text + bytes - 9, "y\n/a.c:1\n");
	fclose(p.stream);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(gnu), cmocka_unit_test(llvm), cmocka_unit_test(json),
					    cmocka_unit_test(long_text)};
	return cmocka_run_group_tests_name("agent/frame_printer", tests, NULL, NULL);
}
