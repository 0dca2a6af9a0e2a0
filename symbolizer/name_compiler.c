#include "symbolizer/name_compiler.h"
#include "symbolizer/debug_file.h"
#include "symbolizer/go_table.h"
#include "symbolizer/image_info.h"
#include "symbolizer/minidebug.h"
#include "symbolizer/symbol_names.h"
#include "base/scope.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_DEFAULT (320ULL << 20)
#define SECTIONS_MIN   (48ULL << 20) /* for windows, and sections that are kept whole */

struct compiler {
	const struct name_compile_input *input;
	struct name_compile_stats *stats;
	struct name_table_builder *builder;
	struct elf_file image, debug;
	int debug_fd; /* -1: none */
};

static bool has_dwarf(const struct elf_file *elf)
{
	struct elf_section section;

	return elf_file_find_section(elf, ".debug_info", &section) == 0 || elf_file_find_section(elf, ".zdebug_info", &section) == 0;
}

/* Only these end the compilation: all else costs the part of the file that it came from. */
static bool is_fatal(int err)
{
	return err == -EIO || err == -ESTALE || err == -ENODEV || err == -EBADF;
}

static int part_done(struct compiler *c, int err)
{
	if (err == 0 || err == -ENOENT)
		return 0;
	c->stats->refused++;
	return is_fatal(err) ? err : 0;
}

/* Compressed sections are unpacked whole: they get what they need, up to two thirds; the table gets the rest. */
static uint64_t sections_share(const struct elf_file *elf, uint64_t memory)
{
	uint64_t packed = dwarf_sections_packed_bytes(elf), most = memory / 3 * 2;

	if (most < SECTIONS_MIN || packed > most - SECTIONS_MIN)
		return most;
	return SECTIONS_MIN + packed;
}

static int add_dwarf(struct compiler *c, const struct elf_file *elf, struct dwarf_budget *budget)
{
	const struct dwarf_input input = {
		.elf = elf,
		.asker = c->input->asker,
		.budget = budget,
		.wanted = c->input->wanted,
		.n_wanted = c->input->n_wanted,
	};

	int err = dwarf_compile(&input, c->builder, &c->stats->dwarf);
	c->stats->has_dwarf = err != -ENOENT;
	c->stats->refused += budget->refused;
	return part_done(c, err);
}

static int add_minidebug(struct compiler *c)
{
	AUTO_CLOSE int fd = -1;
	struct elf_file elf;

	int err = minidebug_unpack(&c->image, &fd);
	if (err == 0)
		err = elf_file_open(fd, &elf);
	if (err == 0)
		err = symbol_names_add(&elf, c->input->wanted, c->input->n_wanted, c->builder, &c->stats->minidebug_symbols);
	c->stats->has_minidebug = err == 0;
	return part_done(c, err);
}

static int add_go(struct compiler *c)
{
	int err = go_table_add(&c->image, c->builder, &c->stats->go_functions);

	c->stats->has_go = err == 0;
	return part_done(c, err);
}

static int compile(struct compiler *c, struct dwarf_budget *budget)
{
	int err = 0;

	if (has_dwarf(&c->image))
		err = add_dwarf(c, &c->image, budget);
	else if (c->debug_fd >= 0 && has_dwarf(&c->debug))
		err = add_dwarf(c, &c->debug, budget);
	if (err == 0 && !c->stats->has_dwarf)
		err = add_go(c);
	if (err == 0 && c->debug_fd >= 0)
		err = part_done(c, symbol_names_add(&c->debug, c->input->wanted, c->input->n_wanted, c->builder, &c->stats->debug_symbols));
	if (err == 0 && c->debug_fd < 0)
		err = add_minidebug(c);
	return err;
}

/* -ENOENT: the image has all itself, or nobody has another file. */
static int find_debug_file(struct compiler *c)
{
	struct image_info info;

	if (has_dwarf(&c->image))
		return 0;
	int err = debug_file_find(&c->image, c->input->asker, &c->debug_fd, &c->debug, &c->stats->refused);
	c->stats->has_debug_file = err == 0;
	if (err < 0 && err != -ENOENT)
		return err;
	bool has_any = c->debug_fd >= 0 && has_dwarf(&c->debug);
	c->stats->lacks_debug_file = !has_any && image_info_read_build_id(&c->image, &info) == 0 && info.build_id_bytes;
	return 0;
}

static void scope_compiler(struct compiler *c)
{
	name_table_builder_destroy(c->builder);
	if (c->debug_fd >= 0)
		close(c->debug_fd);
}

int name_compile(const struct name_compile_input *input, int table_fd, uint64_t *bytes_out, struct name_compile_stats *stats_out)
{
	struct name_compile_stats stats = {0};
	__attribute__((cleanup(scope_compiler))) struct compiler c = {.input = input, .stats = &stats, .debug_fd = -1};
	uint64_t memory = input->memory_bytes ? input->memory_bytes : MEMORY_DEFAULT;

	int err = elf_file_open(input->fd, &c.image);
	if (err == 0)
		err = find_debug_file(&c);
	if (err < 0)
		return err;
	struct dwarf_budget budget = {.left = sections_share(c.debug_fd >= 0 ? &c.debug : &c.image, memory)};
	err = name_table_builder_create(&(struct name_table_limits){.bytes = memory - budget.left}, &c.builder);
	if (err == 0)
		err = compile(&c, &budget);
	if (err == 0)
		err = name_table_write(c.builder, table_fd, bytes_out, &stats.table);
	if (err == 0)
		*stats_out = stats;
	return err;
}
