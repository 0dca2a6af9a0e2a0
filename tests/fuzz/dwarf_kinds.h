/* The sections of DWARF inputs (tests/fuzz/parts.h), by number. tests/fuzz/seeds has the same row. */
#ifndef HEARTH_TESTS_FUZZ_DWARF_KINDS_H
#define HEARTH_TESTS_FUZZ_DWARF_KINDS_H

#include <elf.h>

#include "tests/fuzz/parts.h"

#define DWARF_PART(name, suffix) {".debug_" name suffix, SHT_PROGBITS, 0, 0}
#define DWARF_PARTS(suffix)                                                                                                                  \
	{                                                                                                                                    \
		DWARF_PART("info", suffix), DWARF_PART("abbrev", suffix), DWARF_PART("line", suffix), DWARF_PART("line_str", suffix),         \
		DWARF_PART("str", suffix), DWARF_PART("str_offsets", suffix), DWARF_PART("addr", suffix), DWARF_PART("ranges", suffix),       \
		DWARF_PART("rnglists", suffix), DWARF_PART("aranges", suffix), DWARF_PART("types", suffix),                                   \
		{".debug_cu_index", SHT_PROGBITS, 0, 0}, {".debug_tu_index", SHT_PROGBITS, 0, 0},                                             \
		{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000}, {".gnu_debugaltlink", SHT_PROGBITS, 0, 0},                        \
		{".gnu_debuglink", SHT_PROGBITS, 0, 0}, {".note.gnu.build-id", SHT_NOTE, 0, 0},                                               \
	}

#endif
