/* symbolizer/dwarf_line.c: line programs by hand, good ones and bad ones. The builder is one of the test's own, which writes down what it is told
 * (the linker puts it in the place of the real one: see the Makefile). */
#include "tests/unit/cmocka_prelude.h"

#include "symbolizer/dwarf_line.h"
#include "symbolizer/dwarf_line_head.h"
#include "tests/unit/elf_writer.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT	 0x1000 /* of the executable segment */
#define TEXT_END 0x200000

/* --- the builder: a text with one line for each file and row ------------------------------------------------------ */

struct name_table_builder {
	char *files[64];
	size_t n_files, all_files, sequences, rows;
	char text[8192];
	int fail_file, fail_rows;
};

int64_t __wrap_name_table_add_file(struct name_table_builder *b, const char *directory, const char *name);
int __wrap_name_table_add_rows(struct name_table_builder *b, const struct name_table_row *rows, size_t n, uint64_t end);

int64_t __wrap_name_table_add_file(struct name_table_builder *b, const char *directory, const char *name)
{
	char path[2 * NAME_TABLE_STRING_MAX];

	b->all_files++;
	if (b->fail_file)
		return b->fail_file;
	if (!name[0])
		return 0;
	snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : directory, name[0] == '/' || !directory[0] ? "" : "|", name);
	for (size_t i = 0; i < b->n_files; i++)
		if (strcmp(b->files[i], path) == 0)
			return (int64_t)i + 1;
	if (b->n_files == sizeof(b->files) / sizeof(b->files[0]))
		return 1;
	b->files[b->n_files++] = strdup(path);
	return (int64_t)b->n_files;
}

int __wrap_name_table_add_rows(struct name_table_builder *b, const struct name_table_row *rows, size_t n, uint64_t end)
{
	size_t at = strlen(b->text);

	if (b->fail_rows)
		return b->fail_rows;
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || rows[i].vaddr > rows[i - 1].vaddr);
		if (rows[i].vaddr < end && at + 100 < sizeof(b->text))
			at += (size_t)snprintf(b->text + at, 100, "%llx %s:%u:%u\n", (unsigned long long)rows[i].vaddr,
					       rows[i].file ? b->files[rows[i].file - 1] : "?", rows[i].line, rows[i].column);
	}
	if (at + 100 < sizeof(b->text))
		snprintf(b->text + at, 100, "%llx end\n", (unsigned long long)end);
	b->sequences++;
	b->rows += n;
	return 0;
}

static void builder_deinit(struct name_table_builder *b)
{
	for (size_t i = 0; i < b->n_files; i++)
		free(b->files[i]);
	memset(b, 0, sizeof(*b));
}

/* --- writing programs --------------------------------------------------------------------------------------------- */

struct bytes {
	uint8_t *data;
	size_t n, capacity;
};

static void put(struct bytes *b, const void *data, size_t n)
{
	if (b->n + n > b->capacity) {
		b->capacity = 2 * (b->n + n);
		b->data = realloc(b->data, b->capacity);
		assert_non_null(b->data);
	}
	if (n)
		memcpy(b->data + b->n, data, n);
	b->n += n;
}

static void put_number(struct bytes *b, uint64_t value, size_t n)
{
	put(b, &value, n);
}

static void put_text(struct bytes *b, const char *text)
{
	put(b, text, strlen(text) + 1);
}

static void put_uleb(struct bytes *b, uint64_t value)
{
	do {
		uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		put(b, &byte, 1);
		value >>= 7;
	} while (value);
}

static void put_sleb(struct bytes *b, int64_t value)
{
	for (bool more = true; more;) {
		uint8_t byte = value & 0x7f;
		value >>= 7;
		more = !((value == 0 && !(byte & 0x40)) || (value == -1 && byte & 0x40));
		put_number(b, byte | (more ? 0x80 : 0), 1);
	}
}

/* Opcodes as text, which tests are made of: "address 1000; special 20; line -3; end". */
static void put_program(struct bytes *b, const char *text)
{
	char *copy = strdup(text), *rest = NULL;

	for (char *part = strtok_r(copy, ";", &rest); part; part = strtok_r(NULL, ";", &rest)) {
		char word[32] = "", value[32] = "0";
		sscanf(part, " %31s %31s", word, value);
		long long number = strtoll(value, NULL, 0);
		if (strcmp(word, "address") == 0 || strcmp(word, "address4") == 0) {
			size_t n = word[7] ? 4 : 8;
			put_number(b, 0, 1);
			put_uleb(b, n + 1);
			put_number(b, DW_LNE_set_address, 1);
			put_number(b, strtoull(value, NULL, 16), n);
		} else if (strcmp(word, "end") == 0) {
			put_number(b, 0x010100, 3);
		} else if (strcmp(word, "copy") == 0) {
			put_number(b, DW_LNS_copy, 1);
		} else if (strcmp(word, "advance") == 0) {
			put_number(b, DW_LNS_advance_pc, 1);
			put_uleb(b, (uint64_t)number);
		} else if (strcmp(word, "line") == 0) {
			put_number(b, DW_LNS_advance_line, 1);
			put_sleb(b, number);
		} else if (strcmp(word, "file") == 0) {
			put_number(b, DW_LNS_set_file, 1);
			put_uleb(b, (uint64_t)number);
		} else if (strcmp(word, "column") == 0) {
			put_number(b, DW_LNS_set_column, 1);
			put_uleb(b, (uint64_t)number);
		} else if (strcmp(word, "op") == 0) { /* any opcode without operands; a special one */
			put_number(b, (uint64_t)number, 1);
		} else if (strcmp(word, "fixed") == 0) {
			put_number(b, DW_LNS_fixed_advance_pc, 1);
			put_number(b, (uint64_t)number, 2);
		} else if (strcmp(word, "uleb") == 0) {
			put_uleb(b, (uint64_t)number);
		} else {
			fail_msg("no such word: %s", word);
		}
	}
	free(copy);
}

/* What a program's head says. Zeroes: what gcc writes. */
struct shape {
	unsigned version;
	bool is_64; /* DWARF */
	uint8_t min_instruction_bytes, max_operations, line_range, opcode_base;
	bool has_zero_range, has_zero_operations, has_zero_base;
	const struct bytes *tables; /* NULL: put_tables() */
};

/* Directories: the unit's and "inc"; files: a.c in the unit's, b.h in inc, /abs.h. From 1 on, and in DWARF 5 a.c also at 0. */
static void put_tables(struct bytes *b, unsigned version)
{
	static const char *const files[] = { "a.c", "b.h", "/abs.h" };
	static const uint8_t directories[] = { 0, 1, 0 };

	if (version < 5) {
		put(b, "inc\0", 5);
		for (int i = 0; i < 3; i++) {
			put_text(b, files[i]);
			put_uleb(b, directories[i]);
			put_uleb(b, 300);
			put_uleb(b, 70000);
		}
		put_number(b, 0, 1);
		return;
	}
	put(b, (uint8_t[]){ 1, DW_LNCT_path, DW_FORM_string, 2 }, 4);
	put_text(b, "/home");
	put_text(b, "inc");
	put(b, (uint8_t[]){ 2, DW_LNCT_path, DW_FORM_string, DW_LNCT_directory_index, DW_FORM_udata, 4 }, 6);
	for (int i = -1; i < 3; i++) {
		put_text(b, files[i < 0 ? 0 : i]);
		put_uleb(b, directories[i < 0 ? 0 : i]);
	}
}

/* Patch a length of 4 or 8 bytes at: what follows it. */
static void patch_length(struct bytes *b, size_t at, size_t n)
{
	uint64_t length = b->n - at - n;

	memcpy(b->data + at, &length, n);
}

/* Appends a whole unit; returns its offset. */
static uint64_t put_unit(struct bytes *b, const struct shape *shape, const struct bytes *program)
{
	static const uint8_t operands[] = { 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 3, 0 }; /* by opcode */
	size_t offset = b->n, n = shape->is_64 ? 8 : 4;
	unsigned version = shape->version ? shape->version : 4;
	uint8_t base = shape->has_zero_base ? 0 : shape->opcode_base ? shape->opcode_base : 13;

	if (shape->is_64)
		put_number(b, UINT32_MAX, 4);
	size_t unit = b->n;
	put_number(b, 0, n);
	put_number(b, version, 2);
	if (version >= 5)
		put(b, (uint8_t[]){ 8, 0 }, 2);
	size_t head = b->n;
	put_number(b, 0, n);
	put_number(b, shape->min_instruction_bytes ? shape->min_instruction_bytes : 1, 1);
	if (version >= 4)
		put_number(b, shape->has_zero_operations ? 0 : shape->max_operations ? shape->max_operations : 1, 1);
	put_number(b, 1, 1);
	put_number(b, (uint8_t)-5, 1);
	put_number(b, shape->has_zero_range ? 0 : shape->line_range ? shape->line_range : 14, 1);
	put_number(b, base, 1);
	for (unsigned i = 1; i < base; i++)
		put_number(b, i < sizeof(operands) ? operands[i] : 0, 1);
	if (shape->tables)
		put(b, shape->tables->data, shape->tables->n);
	else
		put_tables(b, version);
	patch_length(b, head, n);
	put(b, program->data, program->n);
	patch_length(b, unit, n);
	return offset;
}

/* --- reading them back -------------------------------------------------------------------------------------------- */

struct fixture {
	int fd;
	struct elf_file elf;
	struct dwarf_budget budget;
	struct dwarf_sections *sections;
	struct dwarf_line_reader *reader;
	struct name_table_builder builder;
};

static void open_fixture(struct fixture *f, const struct bytes *line, const struct bytes *strings, const struct bytes *offsets, bool has_segments)
{
	struct elf_writer w;

	memset(f, 0, sizeof(*f));
	elf_writer_init(&w, true);
	if (has_segments) {
		static const uint8_t text[16];
		uint32_t i = elf_writer_section(&w, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, TEXT, text, sizeof(text));
		elf_writer_segment(&w, PT_LOAD, PF_R | PF_X, i, TEXT);
	}
	elf_writer_section(&w, ".debug_line", SHT_PROGBITS, 0, 0, line->data, line->n);
	if (strings) {
		elf_writer_section(&w, ".debug_str", SHT_PROGBITS, 0, 0, strings->data, strings->n);
		elf_writer_section(&w, ".debug_line_str", SHT_PROGBITS, 0, 0, strings->data, strings->n);
	}
	if (offsets)
		elf_writer_section(&w, ".debug_str_offsets", SHT_PROGBITS, 0, 0, offsets->data, offsets->n);
	f->fd = elf_writer_fd(&w);
	f->budget.left = 64 << 20;
	assert_int_equal(elf_file_open(f->fd, &f->elf), 0);
	if (has_segments) { /* more memory than bytes of the file */
		uint64_t memory = TEXT_END - TEXT;
		assert_int_equal(pwrite(f->fd, &memory, sizeof(memory), (off_t)(f->elf.segments_offset + offsetof(Elf64_Phdr, p_memsz))),
				 sizeof(memory));
	}
	assert_int_equal(dwarf_sections_open(&f->elf, false, &f->budget, &f->sections), 0);
	assert_int_equal(dwarf_line_reader_create(f->sections, &f->reader), 0);
}

static void close_fixture(struct fixture *f)
{
	dwarf_line_reader_destroy(f->reader);
	dwarf_sections_close(f->sections);
	assert_int_equal(f->budget.left, 64 << 20);
	builder_deinit(&f->builder);
	close(f->fd);
}

static int read_unit(struct fixture *f, uint64_t offset)
{
	struct dwarf_line_unit unit = { .offset = offset, .address_bytes = 8, .directory = "/home", .name = "a.c" };
	const uint32_t *files;
	size_t n;
	int err = dwarf_line_files(f->reader, &unit, &f->builder, &files, &n);

	return err < 0 ? err : dwarf_line_rows(f->reader, &f->builder);
}

static struct dwarf_line_stats stats_of(const struct fixture *f)
{
	struct dwarf_line_stats stats;

	dwarf_line_stats(f->reader, &stats);
	return stats;
}

/* Runs one program with a head of this shape; the rows as text must be these. */
static struct dwarf_line_stats expect(const struct shape *shape, const char *program, const char *rows)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;

	put_program(&code, program);
	uint64_t offset = put_unit(&line, shape, &code);
	open_fixture(&f, &line, NULL, NULL, true);
	assert_int_equal(read_unit(&f, offset), 0);
	assert_string_equal(f.builder.text, rows);
	struct dwarf_line_stats stats = stats_of(&f);
	close_fixture(&f);
	free(line.data);
	free(code.data);
	return stats;
}

static void all_versions_give_the_same_rows(void **state)
{
	(void)state;
	for (unsigned version = 2; version <= 5; version++) {
		for (int is_64 = 0; is_64 < 2; is_64++) {
			struct shape shape = { .version = version, .is_64 = is_64 };
			struct dwarf_line_stats stats = expect(&shape,
				"address 1000; line 9; column 3; copy; op 33; file 2; line 100; op 0xff; file 3; column 200; advance 300; copy;"
				"advance 5; end",
				"1000 /home|a.c:10:3\n1001 /home|a.c:11:3\n1012 /home/inc|b.h:110:3\n113e /abs.h:110:200\n1143 end\n");
			assert_int_equal(stats.programs, 1);
			assert_int_equal(stats.rows, 4);
			assert_int_equal(stats.bad_programs, 0);
			assert_int_equal(stats.bad_sequences, 0);
		}
	}
}

static void every_opcode_does_what_it_says(void **state)
{
	static const struct shape gcc = { 0 };

	(void)state;
	expect(&gcc, "address 1000; copy; op 6; op 7; op 10; op 11; op 12; uleb 5; op 8; line 1; copy; fixed 0xffff; line -1; copy; advance 1; end",
	       "1000 /home|a.c:1:0\n1011 /home|a.c:2:0\n11010 /home|a.c:1:0\n11011 end\n");
	/* lines below 0 wrap, as in LLVM; files that are not there are unknown */
	expect(&gcc, "address 1000; line -2; file 4; copy; file 0; line 2; advance 1; copy; advance 1; end",
	       "1000 ?:4294967295:0\n1001 ?:1:0\n1002 end\n");
	/* extended: a discriminator, one that nobody knows, one without bytes */
	expect(&gcc, "address 1000; op 0; uleb 2; op 4; uleb 7; op 0; uleb 3; op 0x90; op 1; op 1; op 0; op 0; copy; advance 2; end",
	       "1000 /home|a.c:1:0\n1002 end\n");
	expect(&gcc, "address4 1000; copy; advance 2; end", "1000 /home|a.c:1:0\n1002 end\n");
	/* an address of 9 bytes costs the sequence */
	assert_int_equal(expect(&gcc, "op 0; uleb 10; op 2; op 0;op 0x10;op 0;op 0;op 0;op 0;op 0;op 0;op 0;"
				"copy; advance 2; end; address 1000; copy; advance 1; end",
				"1000 /home|a.c:1:0\n1001 end\n").removed, 1);
}

static void opcode_bases_may_be_others(void **state)
{
	struct shape shape = { .opcode_base = 4 };

	(void)state;
	/* 4 is special: 0 operations, line - 5 */
	expect(&shape, "address 1000; line 20; op 4; op 0x12; advance 1; end", "1000 /home|a.c:16:0\n1001 /home|a.c:11:0\n1002 end\n");
	shape.opcode_base = 10; /* 10 is special, as DWARF 2 had it */
	expect(&shape, "address 1000; line 20; op 10; advance 1; end", "1000 /home|a.c:16:0\n1001 end\n");
	shape.opcode_base = 15; /* 13 and 14 are unknown, with 3 operands and none */
	expect(&shape, "address 1000; op 13; uleb 1000; uleb 5; uleb 6; op 14; line 6; op 15; advance 1; end", "1000 /home|a.c:2:0\n1001 end\n");
	shape = (struct shape){ .has_zero_base = true };
	/* no standard opcodes at all: 14 operations are (14 - 0) / 14 = 1, 72 are 5, with lines of 72 % 14 - 5 */
	expect(&shape, "address 1000; line 0", "");
	expect(&shape, "address 1000; op 14; op 72; end", "1001 /home|a.c:4294967292:0\n1006 end\n");
}

static void strange_parameters_do_no_harm(void **state)
{
	struct shape shape = { .has_zero_range = true };

	(void)state;
	expect(&shape, "address 1000; op 20; op 255; op 8; copy; advance 1; end", "1000 /home|a.c:1:0\n1001 end\n");
	shape = (struct shape){ .has_zero_operations = true };
	expect(&shape, "address 1000; op 33; advance 1; end", "1001 /home|a.c:2:0\n1002 end\n");
	shape = (struct shape){ .min_instruction_bytes = 4 };
	expect(&shape, "address 1000; copy; op 33; op 8; copy; advance 2; line 1; copy; fixed 1; end",
	       "1000 /home|a.c:1:0\n1004 /home|a.c:2:0\n1050 /home|a.c:3:0\n1051 end\n");
}

/* DWARF 4, 6.2.5.1: the address advances when the last operation of an instruction is passed. */
static void instructions_may_hold_several_operations(void **state)
{
	struct shape shape = { .min_instruction_bytes = 16, .max_operations = 3 };

	(void)state;
	expect(&shape, "address 1000; copy; op 33; op 33; op 33; op 33; advance 5; line 1; copy; op 8; copy; fixed 16; line 1; advance 2; copy; advance 3; end",
	       "1000 /home|a.c:3:0\n1010 /home|a.c:5:0\n1030 /home|a.c:6:0\n1090 /home|a.c:7:0\n10a0 end\n");
}

static void the_last_row_of_a_vaddr_counts(void **state)
{
	static const struct shape gcc = { 0 };

	(void)state;
	expect(&gcc, "address 1000; copy; line 5; copy; line -1; column 3; copy; advance 2; line 1; copy; line -6; copy; advance 1; end",
	       "1000 /home|a.c:5:3\n1002 /home|a.c:0:3\n1003 end\n");
	/* a row at the end is of nothing */
	expect(&gcc, "address 1000; copy; advance 2; line 1; copy; end", "1000 /home|a.c:1:0\n1002 end\n");
	/* nor is there a sequence without bytes */
	expect(&gcc, "address 1000; copy; end; end; address 2000; end", "");
	/* rows that say the same are one */
	assert_int_equal(expect(&gcc, "address 1000; copy; advance 1; copy; advance 1; copy; advance 1; end", "1000 /home|a.c:1:0\n1003 end\n").rows, 1);
}

static void removed_code_is_left_out(void **state)
{
	static const char *const removed[] = {
		"address 0; copy; advance 0x1800; copy; advance 1; end;",
		"address ffffffffffffffff; copy; advance 0x1800; copy; advance 1; end;",
		"address fffffffffffffffe; copy; advance 0x1800; copy; advance 1; end;",
		"address4 ffffffff; copy; advance 1; end;",
		"address4 fffffffe; copy; advance 1; end;",
		"address 10; copy; advance 0x1800; copy; advance 1; end;",
		"address 200000; copy; advance 1; end;",
		"copy; advance 0x1800; copy; end;",
	};
	static const struct shape gcc = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++) {
		char program[200];
		snprintf(program, sizeof(program), "%s address 1000; copy; advance 1; end; %s", removed[i], removed[i]);
		struct dwarf_line_stats stats = expect(&gcc, program, "1000 /home|a.c:1:0\n1001 end\n");
		assert_int_equal(stats.removed, 2);
		assert_int_equal(stats.bad_sequences, 0);
	}
	/* one part of a sequence */
	expect(&gcc, "address 1000; copy; address ffffffffffffffff; line 1; copy; address 1010; line 1; copy; advance 1; end",
	       "1000 /home|a.c:1:0\n1010 /home|a.c:3:0\n1011 end\n");
}

/* Without program headers any address may be code, but not 0 and tombstones. */
static void a_file_without_segments_has_code_anywhere(void **state)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;

	(void)state;
	put_program(&code, "address 10; copy; advance 1; end; address 0; copy; advance 1; end; address ffffffffffffffff; copy; end");
	uint64_t offset = put_unit(&line, &(struct shape){ 0 }, &code);
	open_fixture(&f, &line, NULL, NULL, false);
	assert_int_equal(read_unit(&f, offset), 0);
	assert_string_equal(f.builder.text, "10 /home|a.c:1:0\n11 end\n");
	close_fixture(&f);
	free(line.data);
	free(code.data);
}

static void a_bad_sequence_costs_itself(void **state)
{
	static const struct shape gcc = { 0 };
	struct dwarf_line_stats stats;

	(void)state;
	stats = expect(&gcc, "address 1000; copy; address fff; copy; advance 9; end; address 2000; copy; advance 1; end; address 3000; copy",
		       "2000 /home|a.c:1:0\n2001 end\n");
	assert_int_equal(stats.bad_sequences, 2);
	stats = expect(&gcc, "address 2000; copy; advance 4; copy; address 2001; end; address 3000; copy; advance 1; end", "3000 /home|a.c:1:0\n3001 end\n");
	assert_int_equal(stats.bad_sequences, 1);
	assert_int_equal(stats.bad_programs, 0);
	/* an operand, or an extended opcode, that leaves the program */
	stats = expect(&gcc, "address 2000; copy; advance 1; end; op 2; op 0x80", "2000 /home|a.c:1:0\n2001 end\n");
	assert_int_equal(stats.bad_programs, 1);
	stats = expect(&gcc, "address 2000; copy; advance 1; end; op 0; uleb 5000; op 1", "2000 /home|a.c:1:0\n2001 end\n");
	assert_int_equal(stats.bad_programs, 1);
}

static void files_may_be_defined_on_the_way(void **state)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;

	(void)state;
	put_program(&code, "address 1000; op 0; uleb 9; op 3");
	put_text(&code, "new.h");
	put_program(&code, "uleb 1; uleb 0"); /* and the length: the operands end before it */
	code.data[code.n - 9 - 1] = 10;
	put_program(&code, "uleb 0; file 4; copy; advance 1; end");
	uint64_t offset = put_unit(&line, &(struct shape){ .version = 3 }, &code);
	open_fixture(&f, &line, NULL, NULL, true);
	assert_int_equal(read_unit(&f, offset), 0);
	assert_string_equal(f.builder.text, "1000 /home/inc|new.h:1:0\n1001 end\n");
	close_fixture(&f);
	free(line.data);
	free(code.data);
}

/* --- DWARF 5's formats --------------------------------------------------------------------------------------------- */

struct form_case {
	uint8_t form;
	uint8_t bytes[24];
	size_t n, n_64; /* of bytes; in 64-bit DWARF */
};

/* .debug_str: "?\0one.c\0"; .debug_str_offsets: index 1 is one.c. */
static const struct form_case PATHS[] = {
	{ DW_FORM_string, "one.c", 6, 6 },
	{ DW_FORM_line_strp, { 2 }, 4, 8 },
	{ DW_FORM_strp, { 2 }, 4, 8 },
	{ DW_FORM_strx, { 1 }, 1, 1 },
	{ DW_FORM_strx1, { 1 }, 1, 1 },
	{ DW_FORM_strx2, { 1 }, 2, 2 },
	{ DW_FORM_strx3, { 1 }, 3, 3 },
	{ DW_FORM_strx4, { 1 }, 4, 4 },
};

static const struct form_case DIRECTORIES[] = {
	{ DW_FORM_udata, { 1 }, 1, 1 },	 { DW_FORM_data1, { 1 }, 1, 1 }, { DW_FORM_data2, { 1 }, 2, 2 },
	{ DW_FORM_data4, { 1 }, 4, 4 },	 { DW_FORM_data8, { 1 }, 8, 8 }, { DW_FORM_sdata, { 1 }, 1, 1 },
};

/* Passed over between the two, with types that nobody knows. */
static const struct form_case OTHERS[] = {
	{ DW_FORM_data16, { 0xff, 0xff }, 16, 16 }, { DW_FORM_block, { 3, 9, 9, 9 }, 4, 4 },	     { DW_FORM_block1, { 2, 9, 9 }, 3, 3 },
	{ DW_FORM_block2, { 2, 0, 9, 9 }, 4, 4 },   { DW_FORM_block4, { 1, 0, 0, 0, 9 }, 5, 5 },     { DW_FORM_string, "text", 5, 5 },
	{ DW_FORM_line_strp, { 0xff, 0xff }, 4, 8 },	    { DW_FORM_strp_sup, { 0xff }, 4, 8 },	     { DW_FORM_sec_offset, { 0xff }, 4, 8 },
	{ DW_FORM_udata, { 0xff, 0x7f }, 2, 2 },    { DW_FORM_flag, { 1 }, 1, 1 },		     { DW_FORM_strx3, { 9, 9, 9 }, 3, 3 },
};

static void put_entry_tables(struct bytes *b, const struct form_case *path, const struct form_case *directory, const struct form_case *other, bool is_64)
{
	put(b, (uint8_t[]){ 1, DW_LNCT_path, DW_FORM_string, 2 }, 4);
	put_text(b, "/home");
	put_text(b, "inc");
	put(b, (uint8_t[]){ 3, DW_LNCT_directory_index, directory->form, 0x80, 0x40, other->form, DW_LNCT_path, path->form, 2 }, 9);
	for (int i = 0; i < 2; i++) {
		put(b, directory->bytes, is_64 ? directory->n_64 : directory->n);
		put(b, other->bytes, is_64 ? other->n_64 : other->n);
		put(b, path->bytes, is_64 ? path->n_64 : path->n);
	}
}

static void expect_forms(const struct form_case *path, const struct form_case *directory, const struct form_case *other, bool is_64)
{
	struct bytes line = { 0 }, code = { 0 }, strings = { 0 }, offsets = { 0 }, tables = { 0 };
	struct dwarf_line_unit unit = { .address_bytes = 8, .directory = "/home", .name = "a.c", .string_offsets = 8 };
	struct shape shape = { .version = 5, .is_64 = is_64, .tables = &tables };
	const uint32_t *files;
	struct fixture f;
	size_t n;

	put(&strings, "?\0one.c", 8);
	put_number(&offsets, 0, 8);
	put_number(&offsets, 0, is_64 ? 8 : 4);
	put_number(&offsets, 2, is_64 ? 8 : 4);
	put_entry_tables(&tables, path, directory, other, is_64);
	put_program(&code, "address 1000; copy; advance 1; end");
	unit.offset = put_unit(&line, &shape, &code);
	open_fixture(&f, &line, &strings, &offsets, true);
	assert_int_equal(dwarf_line_files(f.reader, &unit, &f.builder, &files, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(dwarf_line_rows(f.reader, &f.builder), 0);
	assert_string_equal(f.builder.text, "1000 /home/inc|one.c:1:0\n1001 end\n");
	assert_int_equal(stats_of(&f).bad_programs, 0);
	close_fixture(&f);
	free(line.data);
	free(code.data);
	free(strings.data);
	free(offsets.data);
	free(tables.data);
}

static void all_forms_of_entries_are_read(void **state)
{
	(void)state;
	for (int is_64 = 0; is_64 < 2; is_64++) {
		for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++)
			expect_forms(&PATHS[i], &DIRECTORIES[0], &OTHERS[0], is_64);
		for (size_t i = 0; i < sizeof(DIRECTORIES) / sizeof(DIRECTORIES[0]); i++)
			expect_forms(&PATHS[0], &DIRECTORIES[i], &OTHERS[0], is_64);
		for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
			expect_forms(&PATHS[0], &DIRECTORIES[0], &OTHERS[i], is_64);
	}
}

/* One program with these tables; its files as text, with spaces between them. */
static struct dwarf_line_stats expect_files(unsigned version, const void *tables, size_t n_tables, size_t n_expected, const char *expected)
{
	struct bytes line = { 0 }, code = { 0 }, copy = { 0 }, strings = { 0 };
	struct shape shape = { .version = version, .tables = &copy };
	struct dwarf_line_unit unit = { .address_bytes = 8, .directory = "/home", .name = "a.c" };
	static char text[200000];
	const uint32_t *files;
	struct fixture f;
	size_t n;

	text[0] = 0;
	put(&strings, "one.c", 6);
	put(&copy, tables, n_tables);
	put_program(&code, "address 1000; copy; advance 1; end");
	unit.offset = put_unit(&line, &shape, &code);
	open_fixture(&f, &line, &strings, NULL, true);
	assert_int_equal(dwarf_line_files(f.reader, &unit, &f.builder, &files, &n), 0);
	assert_int_equal(n, n_expected);
	for (size_t i = 0; i < n && i < 16; i++)
		strcat(strcat(text, files[i] ? f.builder.files[files[i] - 1] : "?"), " ");
	assert_string_equal(text, expected);
	assert_int_equal(dwarf_line_rows(f.reader, &f.builder), 0);
	assert_int_equal(f.builder.sequences, 1); /* the program runs, whatever its tables */
	struct dwarf_line_stats stats = stats_of(&f);
	close_fixture(&f);
	free(line.data);
	free(code.data);
	free(copy.data);
	free(strings.data);
	return stats;
}
#define EXPECT_FILES(version, tables, n, expected) expect_files(version, tables, sizeof(tables) - 1, n, expected)

static void paths_are_joined(void **state)
{
	(void)state;
	EXPECT_FILES(4, "/abs\0dir/\0\0" "x\0\0\0\0" "x\0\1\0\0" "x\0\2\0\0" "x\0\3\0\0" "/x\0\1\0\0", 6, "? /home|x /abs|x /home/dir/|x /home|x /x ");
	/* DWARF 5's directory 0 is the unit's, absolute or not */
	EXPECT_FILES(5, "\1\1\x08\2" "sub\0" "/abs\0" "\2\1\x08\2\x0b\4" "x\0\0" "x\0\1" "x\0\2" "/x\0\0", 4, "/home/sub|x /abs|x /home/sub|x /x ");
	EXPECT_FILES(5, "\1\1\x08\0" "\1\1\x08\2" "x\0" "\0", 2, "/home|x ? ");
}

static void damaged_tables_end_where_they_are_damaged(void **state)
{
	(void)state;
	assert_int_equal(EXPECT_FILES(4, "\0" "x\0\0\0\0" "y\0\0\0", 2, "? /home|x ").bad_programs, 1);
	assert_int_equal(EXPECT_FILES(4, "dir", 1, "? ").bad_programs, 1);
	assert_int_equal(EXPECT_FILES(5, "\1\1\x08\1" "/d\0" "\2\1\x08\2\x0b\2" "x\0\0" "y\0", 1, "/d|x ").bad_programs, 1);
	/* a form that nobody knows, more formats than anybody has, more entries than bytes */
	assert_int_equal(EXPECT_FILES(5, "\1\1\x08\1" "/d\0" "\2\1\x08\2\x55\2" "x\0\0" "y\0", 0, "").bad_programs, 1);
	assert_int_equal(EXPECT_FILES(5, "\x11\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\1\x08\0\0\0", 0, "")
				 .bad_programs, 1);
	assert_int_equal(EXPECT_FILES(5, "\1\1\x08\1" "/d\0" "\1\1\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\1" "x\0", 1, "/d|x ").bad_programs, 1);
	assert_int_equal(EXPECT_FILES(5, "", 0, "").bad_programs, 1);
	/* a text that is not there is only unknown; so is one by index without a base, or of another file */
	assert_int_equal(EXPECT_FILES(5, "\1\1\x08\1" "/d\0" "\1\1\x1f\2" "\0\0\0\0" "\xff\0\0\0", 2, "/d|one.c ? ").bad_programs, 0);
	assert_int_equal(EXPECT_FILES(5, "\1\1\x08\1" "/d\0" "\1\1\x25\1" "\0", 1, "? ").bad_programs, 0);
	assert_int_equal(EXPECT_FILES(5, "\1\1\x08\1" "/d\0" "\1\1\x1d\1" "\0\0\0\0", 1, "? ").bad_programs, 0);
}

static void tables_have_limits(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	put_number(&b, 0, 1);
	for (unsigned i = 0; i < LINE_FILES_MAX + 10; i++)
		put(&b, "x\0\0\0", 5);
	put_number(&b, 0, 1);
	char *expected = strdup("? /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x /home|x ");
	struct dwarf_line_stats stats = expect_files(4, b.data, b.n, LINE_FILES_MAX, expected);
	assert_int_equal(stats.over_limits, 1);
	assert_int_equal(stats.bad_programs, 0);
	free(expected);
	b.n = 0;
	for (unsigned i = 0; i < LINE_DIRECTORIES_MAX + 10; i++)
		put(&b, "d", 2);
	put_number(&b, 0, 1);
	put(&b, "x\0\1\0\0", 6);
	assert_int_equal(expect_files(4, b.data, b.n, 2, "? /home/d|x ").over_limits, 1);
	b.n = 0;
	char *directory = malloc(8001);
	memset(directory, 'd', 8000);
	directory[8000] = 0;
	for (unsigned i = 0; i < LINE_PATHS_BYTES_MAX / 8000 + 10; i++)
		put_text(&b, directory);
	put_text(&b, "");
	put(&b, "x\0\0\0\0", 6);
	assert_int_equal(expect_files(4, b.data, b.n, 2, "? /home|x ").over_limits, 1);
	b.n = 0;
	put_text(&b, directory); /* which 20,000 files name: 160 MB */
	put_text(&b, "");
	for (unsigned i = 0; i < 20000; i++)
		put(&b, "x\0\1\0\0", 5);
	put_text(&b, "");
	expected = calloc(16, 8100);
	strcat(expected, "? ");
	for (unsigned i = 1; i < 16; i++)
		strcat(strcat(strcat(expected, "/home/"), directory), "|x ");
	assert_int_equal(expect_files(4, b.data, b.n, 20001, expected).over_limits, 1);
	free(expected);
	free(directory);
	free(b.data);
}

static void long_names_are_cut(void **state)
{
	char *name = malloc(20001);
	struct bytes line = { 0 }, code = { 0 }, tables = { 0 };
	struct fixture f;

	(void)state;
	memset(name, 'n', 20000);
	name[20000] = 0;
	put_number(&tables, 0, 1);
	put_text(&tables, name);
	put(&tables, "\0\0\0", 4);
	uint64_t offset = put_unit(&line, &(struct shape){ .tables = &tables }, &code);
	open_fixture(&f, &line, NULL, NULL, true);
	assert_int_equal(read_unit(&f, offset), 0);
	assert_int_equal(f.builder.n_files, 1);
	assert_int_equal(strlen(f.builder.files[0]), strlen("/home|") + NAME_TABLE_STRING_MAX - 1);
	close_fixture(&f);
	free(line.data);
	free(tables.data);
	free(name);
}

/* --- several units ------------------------------------------------------------------------------------------------- */

static void units_may_share_a_table(void **state)
{
	struct dwarf_line_unit unit = { .address_bytes = 8, .directory = "/home", .name = "a.c" };
	struct bytes line = { 0 }, code = { 0 };
	uint64_t offsets[3];
	const uint32_t *files;
	struct fixture f;
	size_t n;

	(void)state;
	put_program(&code, "address 1000; copy; advance 1; end");
	for (int i = 0; i < 3; i++)
		offsets[i] = put_unit(&line, &(struct shape){ .version = i == 1 ? 5 : 4 }, &code);
	open_fixture(&f, &line, NULL, NULL, true);
	assert_int_equal(dwarf_line_rows(f.reader, &f.builder), 0); /* of no table */
	for (int again = 0; again < 3; again++) {
		for (int i = 0; i < 3; i++) { /* files of others first, rows later */
			unit.offset = offsets[i];
			assert_int_equal(dwarf_line_files(f.reader, &unit, &f.builder, &files, &n), 0);
			assert_int_equal(n, 4);
			assert_int_equal(files[0], i == 1 ? 1 : 0);
			assert_int_equal(files[3], 3);
			if (again)
				assert_int_equal(dwarf_line_rows(f.reader, &f.builder), 0);
			if (again)
				assert_int_equal(dwarf_line_rows(f.reader, &f.builder), 0);
		}
	}
	assert_int_equal(f.builder.sequences, 3);
	assert_int_equal(stats_of(&f).programs, 3);
	assert_int_equal(f.builder.all_files, 3 + 4 + 3);
	unit.offset = line.n;
	assert_int_equal(dwarf_line_files(f.reader, &unit, &f.builder, &files, &n), -ENOENT);
	unit.offset = UINT64_MAX;
	assert_int_equal(dwarf_line_files(f.reader, &unit, &f.builder, &files, &n), -ENOENT);
	unit.offset = 1;
	assert_int_equal(dwarf_line_files(f.reader, &unit, &f.builder, &files, &n), -EBADMSG);
	assert_int_equal(dwarf_line_rows(f.reader, &f.builder), 0);
	assert_int_equal(f.builder.sequences, 3);
	close_fixture(&f);
	free(line.data);
	free(code.data);
}

static void only_wanted_sequences_are_handed_over(void **state)
{
	static const uint64_t wanted[] = { 0x1001, 0x3003, 0x3004, 0x4fff };
	struct dwarf_line_unit unit = { .address_bytes = 8, .directory = "/home", .name = "a.c", .wanted = wanted };
	struct bytes line = { 0 }, code = { 0 };
	const uint32_t *files;
	struct fixture f;
	size_t n;

	(void)state;
	put_program(&code, "address 1000; copy; advance 1; end; address 1001; copy; advance 1; end; address 3000; copy; advance 4; end;"
			   "address 5000; copy; advance 1; end; address 4000; copy; advance 0xfff; end");
	unit.offset = put_unit(&line, &(struct shape){ 0 }, &code);
	for (size_t n_wanted = 0; n_wanted <= 4; n_wanted += 4) {
		open_fixture(&f, &line, NULL, NULL, true);
		unit.n_wanted = n_wanted;
		assert_int_equal(dwarf_line_files(f.reader, &unit, &f.builder, &files, &n), 0);
		assert_int_equal(dwarf_line_rows(f.reader, &f.builder), 0);
		assert_string_equal(f.builder.text, n_wanted ? "1001 /home|a.c:1:0\n1002 end\n3000 /home|a.c:1:0\n3004 end\n" : "");
		close_fixture(&f);
	}
	free(line.data);
	free(code.data);
}

/* More rows than are held at once. */
static void a_long_sequence_comes_in_parts(void **state)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;
	unsigned rows = (1u << 20) + 1000;

	(void)state;
	put_program(&code, "address 1000");
	for (unsigned i = 0; i < rows; i++)
		put_number(&code, i & 1 ? 33 : 31, 1); /* line + 1 or - 1; vaddr + 1 */
	put_program(&code, "advance 1; end");
	uint64_t offset = put_unit(&line, &(struct shape){ 0 }, &code);
	open_fixture(&f, &line, NULL, NULL, true);
	assert_int_equal(read_unit(&f, offset), 0);
	assert_int_equal(f.builder.rows, rows);
	assert_int_equal(f.builder.sequences, 2);
	assert_int_equal(stats_of(&f).rows, rows);
	close_fixture(&f);
	free(line.data);
	free(code.data);
}

/* --- hostile ------------------------------------------------------------------------------------------------------- */

static void bad_heads_are_refused(void **state)
{
	struct bytes good = { 0 }, code = { 0 };

	(void)state;
	put_program(&code, "address 1000; copy; advance 1; end");
	put_unit(&good, &(struct shape){ .version = 4 }, &code);
	for (int what = 0; what < 6; what++) {
		struct bytes line = { 0 };
		struct fixture f;
		put(&line, good.data, good.n);
		if (what == 0)
			line.data[4] = 1; /* version */
		else if (what == 1)
			line.data[4] = 6;
		else if (what == 2)
			memset(line.data + 6, 0xff, 4); /* header_length */
		else if (what == 3)
			memset(line.data, 0xf3, 4); /* unit_length, reserved: all that is left counts; the version is then wrong */
		else if (what == 4)
			memset(line.data + 6, 0, 4); /* no head */
		else
			memset(line.data, 0, 4);
		if (what == 3)
			memcpy(line.data, "\xf3\xff\xff\xff", 4);
		open_fixture(&f, &line, NULL, NULL, true);
		assert_int_equal(read_unit(&f, 0), -EBADMSG);
		assert_int_equal(stats_of(&f).bad_programs, 1);
		close_fixture(&f);
		free(line.data);
	}
	free(good.data);
	free(code.data);
}

/* Lengths that leave the section end with it: what is there is read. */
static void a_truncated_program_is_read_to_its_end(void **state)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;

	(void)state;
	put_program(&code, "address 1000; copy; advance 1; end; address 2000; copy; advance 1");
	put_unit(&line, &(struct shape){ 0 }, &code);
	line.data[3] = 0x70;
	open_fixture(&f, &line, NULL, NULL, true);
	assert_int_equal(read_unit(&f, 0), 0);
	assert_string_equal(f.builder.text, "1000 /home|a.c:1:0\n1001 end\n");
	close_fixture(&f);
	free(line.data);
	free(code.data);
}

/* Each program's bytes hold all later ones: without a limit the work is quadratic. */
static void programs_inside_each_other_are_not_all_run(void **state)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;
	unsigned units = 2000;

	(void)state;
	put_program(&code, "address 1000; copy; advance 1; end");
	for (unsigned i = 0; i < units; i++)
		put_unit(&line, &(struct shape){ 0 }, &code);
	size_t unit_bytes = line.n / units;
	for (unsigned i = 0; i < units; i++)
		memset(line.data + i * unit_bytes + 2, 0x10, 2); /* of unit_length: beyond the section */
	open_fixture(&f, &line, NULL, NULL, true);
	for (unsigned i = 0; i < units; i++)
		assert_int_equal(read_unit(&f, i * unit_bytes), 0);
	assert_in_range(stats_of(&f).over_limits, units - 3, units);
	close_fixture(&f);
	free(line.data);
	free(code.data);
}

/* A large table, read again and again because others that are asked for in between take its place. */
static void heads_are_not_read_without_end(void **state)
{
	struct bytes line = { 0 }, code = { 0 }, tables = { 0 };
	struct fixture f;
	uint64_t offsets[200];
	unsigned refused = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		put(&tables, "some_directory", 15);
	put(&tables, "\0", 2);
	for (unsigned i = 0; i < 200; i++)
		offsets[i] = put_unit(&line, &(struct shape){ .tables = &tables }, &code);
	open_fixture(&f, &line, NULL, NULL, true);
	for (unsigned i = 0; i < 200 * 30; i++) {
		int err = read_unit(&f, offsets[i % 200]);
		assert_true(err == 0 || err == -E2BIG);
		refused += err < 0;
	}
	assert_in_range(refused, 200 * 5, 200 * 20);
	close_fixture(&f);
	free(line.data);
	free(code.data);
	free(tables.data);
}

static void errors_of_the_builder_come_back(void **state)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;

	(void)state;
	put_program(&code, "address 1000; copy; advance 1; end; address 2000; copy; advance 1; end");
	for (unsigned version = 4; version <= 5; version++) {
		line.n = 0;
		uint64_t offset = put_unit(&line, &(struct shape){ .version = version }, &code);
		open_fixture(&f, &line, NULL, NULL, true);
		f.builder.fail_file = -E2BIG;
		assert_int_equal(read_unit(&f, offset), -E2BIG);
		f.builder.fail_file = 0;
		f.builder.fail_rows = -ENOMEM;
		assert_int_equal(read_unit(&f, offset), -ENOMEM);
		close_fixture(&f);
	}
	free(line.data);
	free(code.data);
}

/* A table that does not fit costs itself. */
static void programs_over_the_budget_are_refused(void **state)
{
	struct bytes line = { 0 }, code = { 0 };
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < 3 << 20; i++)
		put_number(&code, 1, 1);
	uint64_t offset = put_unit(&line, &(struct shape){ 0 }, &code);
	open_fixture(&f, &line, NULL, NULL, true);
	f.budget.left -= (64 << 20) - (2 << 20);
	assert_int_equal(read_unit(&f, offset), -E2BIG);
	f.budget.left += (64 << 20) - (2 << 20);
	close_fixture(&f);
	free(line.data);
	free(code.data);
}

/* Any damage: no crash (ASan), rows in order (the builder asserts), and an end. */
static void damage_does_no_harm(void **state)
{
	struct bytes good = { 0 }, code = { 0 }, strings = { 0 }, tables = { 0 };
	struct shape shapes[] = { { .version = 2 }, { .version = 5 }, { .version = 5, .is_64 = true, .tables = &tables },
				  { .version = 4, .max_operations = 3, .min_instruction_bytes = 4 } };
	uint64_t seed = 12345, offsets[4];

	(void)state;
	put(&strings, "?\0one.c", 8);
	put_entry_tables(&tables, &PATHS[1], &DIRECTORIES[0], &OTHERS[0], true);
	put_program(&code, "address 1000; line 9; column 3; copy; op 33; file 2; line 100; op 0xff; file 3; op 8; advance 300; copy; advance 5; end;"
			   "op 0; uleb 9; op 3; op 65; op 0; uleb 1; uleb 200; uleb 300; op 0; address 3000; fixed 8; copy; op 250; op 14; end");
	for (int i = 0; i < 4; i++)
		offsets[i] = put_unit(&good, &shapes[i], &code);
	for (int round = 0; round < 6000; round++) {
		struct bytes line = { 0 };
		struct fixture f;
		put(&line, good.data, good.n);
		for (int k = 0; k <= round % 4; k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			line.data[(seed >> 33) % line.n] = (uint8_t)(seed >> 20);
		}
		if (round % 5 == 0)
			line.n = (seed >> 40) % line.n;
		open_fixture(&f, &line, &strings, NULL, round & 1);
		for (int i = 0; i < 4; i++) {
			int err = read_unit(&f, offsets[i]);
			assert_true(err == 0 || err == -EBADMSG || err == -ENOENT);
		}
		close_fixture(&f);
		free(line.data);
	}
	free(good.data);
	free(code.data);
	free(strings.data);
	free(tables.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_versions_give_the_same_rows),
		cmocka_unit_test(every_opcode_does_what_it_says),
		cmocka_unit_test(opcode_bases_may_be_others),
		cmocka_unit_test(strange_parameters_do_no_harm),
		cmocka_unit_test(instructions_may_hold_several_operations),
		cmocka_unit_test(the_last_row_of_a_vaddr_counts),
		cmocka_unit_test(removed_code_is_left_out),
		cmocka_unit_test(a_file_without_segments_has_code_anywhere),
		cmocka_unit_test(a_bad_sequence_costs_itself),
		cmocka_unit_test(files_may_be_defined_on_the_way),
		cmocka_unit_test(all_forms_of_entries_are_read),
		cmocka_unit_test(paths_are_joined),
		cmocka_unit_test(damaged_tables_end_where_they_are_damaged),
		cmocka_unit_test(tables_have_limits),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(units_may_share_a_table),
		cmocka_unit_test(only_wanted_sequences_are_handed_over),
		cmocka_unit_test(a_long_sequence_comes_in_parts),
		cmocka_unit_test(bad_heads_are_refused),
		cmocka_unit_test(a_truncated_program_is_read_to_its_end),
		cmocka_unit_test(programs_inside_each_other_are_not_all_run),
		cmocka_unit_test(heads_are_not_read_without_end),
		cmocka_unit_test(errors_of_the_builder_come_back),
		cmocka_unit_test(programs_over_the_budget_are_refused),
		cmocka_unit_test(damage_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
