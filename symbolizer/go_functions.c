#include "symbolizer/go_functions.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define MAGIC_1_18 0xfffffff0u
#define MAGIC_1_20 0xfffffff1u
#define MODULE_TEXT_OFFSET 176

struct pc_header {
	uint32_t magic;
	uint8_t zeros[2];
	uint8_t quantum, pointer_bytes;
	uint64_t n_functions, n_files;
	uint64_t text; /* vaddr that entries count from; 0: the linker left it to a relocation, or it is Go 1.26 */
	uint64_t names, units, files, pcs, functions; /* offsets in the table */
};
_Static_assert(sizeof(struct pc_header) == 72, "pcHeader is a file format");

struct functab {
	uint32_t entry; /* from the text's start; the table ends with one more entry, where the text ends */
	uint32_t function;
};

/* Where Go's text begins: with C linked in it is not the section's beginning. moduledata says so, which has a section of its own in Go 1.26,
 * when the header stopped to. Source: Go's runtime/symtab.go, moduledata: text behind six slices and four words. */
static uint64_t text_of_module(const struct elf_file *elf, const struct elf_section *module)
{
	uint64_t text;

	return elf_file_read(elf, module->file_offset + MODULE_TEXT_OFFSET, &text, sizeof(text)) == 0 ? text : 0;
}

/* Where the table and the text are. */
static int find_sections(const struct elf_file *elf, struct elf_section *table_out, uint64_t *text_out)
{
	AUTO_FREE struct elf_section *sections = NULL;
	bool has_table = false;
	uint64_t text = 0, module_text = 0;
	size_t n = 0;

	int err = elf_file_sections(elf, &sections, &n);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (elf_file_section_is(elf, sections, n, &sections[i], ".text"))
			text = sections[i].vaddr;
		if (elf_file_section_is(elf, sections, n, &sections[i], ".go.module"))
			module_text = text_of_module(elf, &sections[i]);
		if (elf_file_section_is(elf, sections, n, &sections[i], ".gopclntab") ||
		    elf_file_section_is(elf, sections, n, &sections[i], ".data.rel.ro.gopclntab")) {
			*table_out = sections[i];
			has_table = true;
		}
	}
	*text_out = module_text ? module_text : text;
	return has_table ? 0 : -ENOENT;
}

/* The table's functions. text_out: vaddr that they count from; where that is a guess and it is wrong, no prologue is at their entries. */
static int read_functab(const struct elf_file *elf, struct functab **functions_out, size_t *n_out, uint64_t *text_out)
{
	struct elf_section table = {.type = SHT_NULL};
	struct pc_header header;
	uint64_t text = 0;

	int err = find_sections(elf, &table, &text);
	if (err < 0)
		return err;
	if (table.type == SHT_NOBITS || table.bytes < sizeof(header))
		return -EBADMSG;
	err = elf_file_read(elf, table.file_offset, &header, sizeof(header));
	if (err < 0)
		return err;
	if ((header.magic != MAGIC_1_18 && header.magic != MAGIC_1_20) || header.pointer_bytes != 8 || header.functions > table.bytes ||
	    !header.n_functions || header.n_functions > GO_FUNCTIONS_MAX ||
	    header.n_functions > (table.bytes - header.functions) / sizeof(struct functab))
		return -EBADMSG;
	AUTO_FREE struct functab *functions = malloc(header.n_functions * sizeof(*functions));
	if (!functions)
		return -ENOMEM;
	err = elf_file_read(elf, table.file_offset + header.functions, functions, header.n_functions * sizeof(*functions));
	if (err < 0)
		return err;
	*functions_out = take_ptr(functions);
	*n_out = header.n_functions;
	*text_out = header.text ? header.text : text;
	return 0;
}

int go_functions_switching(const struct elf_file *elf, struct go_switches *switches, struct go_part *parts_out, size_t max, size_t *n_out)
{
	AUTO_FREE struct functab *functions = NULL;
	size_t n_functions = 0, n = 0;
	uint64_t text = 0;

	*n_out = 0;
	int err = read_functab(elf, &functions, &n_functions, &text);
	if (err < 0)
		return err == -ENOMEM || err == -EIO ? err : 0;
	/* The runtime's assembly is never the last function. */
	for (size_t i = 0; i + 1 < n_functions; i++) {
		if (functions[i + 1].entry <= functions[i].entry || functions[i + 1].entry > UINT64_MAX - text)
			return 0;
		uint64_t end = text + functions[i + 1].entry;
		struct go_function function = go_switches_find(switches, text + functions[i].entry, end);
		for (uint64_t at = function.behind_switch; function.has_frame && at < end && n < max;) {
			struct go_part *part = &parts_out[n++];
			bool was_return = n > 1 && part[-1].end == at && !part[-1].is_popped;
			part->start = at;
			part->is_popped = was_return;
			part->end = at = was_return ? at + 1 : go_switches_return(switches, at, end);
		}
	}
	*n_out = n;
	return 0;
}
