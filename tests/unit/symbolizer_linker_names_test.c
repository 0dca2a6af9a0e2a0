/* symbolizer/linker_names.c: symbols where functions begin. */
#include "tests/unit/cmocka_prelude.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "symbolizer/linker_names.h"
#include "tests/unit/elf_writer.h"

static char name[SYMTAB_NAME_MAX];

static void mangled_names_at_the_first_byte(void **state)
{
	static const char code[0x1000];
	struct linker_names *names;
	struct elf_writer w;
	struct elf_file elf;

	(void)state;
	elf_writer_init(&w, true);
	uint32_t text = elf_writer_section(&w, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, code, sizeof(code));
	uint32_t table = elf_writer_symtab(&w, SHT_SYMTAB);
	elf_writer_symbol(&w, table, "_ZN1a5wordsEv", STT_FUNC, STB_LOCAL, (uint16_t)text, 0x1100, 16);
	elf_writer_symbol(&w, table, "_ZN2aaC2Ev", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1200, 16);
	elf_writer_symbol(&w, table, "_ZN2aaC1Ev", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1200, 16);
	elf_writer_symbol(&w, table, "plain", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1300, 16);
	elf_writer_symbol(&w, table, "_ZN1a5otherEv", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1300, 16);
	elf_writer_symbol(&w, table, "_start", STT_FUNC, STB_GLOBAL, (uint16_t)text, 0x1400, 16);
	int fd = elf_writer_fd(&w);
	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(linker_names_create(&elf, &names), 0);

	assert_int_equal(linker_names_find(names, 0x1100, "words", name), 0);
	assert_string_equal(name, "_ZN1a5wordsEv");
	assert_int_equal(linker_names_find(names, 0x1200, "aa", name), 0);
	assert_string_equal(name, "_ZN2aaC1Ev");
	assert_int_equal(linker_names_find(names, 0x1300, "other", name), 0);
	assert_string_equal(name, "_ZN1a5otherEv");
	/* extern "C" beside an alias. */
	assert_int_equal(linker_names_find(names, 0x1300, "plain", name), -ENOENT);
	assert_int_equal(linker_names_find(names, 0x1400, "start", name), -ENOENT);
	assert_int_equal(linker_names_find(names, 0x1104, "words", name), -ENOENT);
	assert_int_equal(linker_names_find(names, UINT64_MAX, "words", name), -ENOENT);

	/* The file shrinks: no name, no harm. */
	assert_int_equal(ftruncate(fd, 64), 0);
	assert_int_equal(linker_names_find(names, 0x1100, "words", name), -ENOENT);
	linker_names_destroy(names);
	linker_names_destroy(NULL);
	close(fd);
}

static void a_file_without_symbols(void **state)
{
	struct linker_names *names;
	struct elf_writer w;
	struct elf_file elf;

	(void)state;
	elf_writer_init(&w, true);
	int fd = elf_writer_fd(&w);
	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(linker_names_create(&elf, &names), 0);
	assert_int_equal(linker_names_find(names, 0, "", name), -ENOENT);
	linker_names_destroy(names);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mangled_names_at_the_first_byte),
		cmocka_unit_test(a_file_without_symbols),
	};
	return cmocka_run_group_tests_name("symbolizer/linker_names", tests, NULL, NULL);
}
