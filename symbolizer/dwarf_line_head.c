#include "symbolizer/dwarf_line_head.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FORMATS_MAX	   16 /* content types of one entry; compilers write up to 5 */
#define HEAD_BYTES_MAX	   32 /* up to header_length, with room */
#define DIRECTORIES_MIN	   64

/* unit_length, which says whether the offsets are of 4 or 8 bytes. Source: DWARF 5, 7.4. */
static uint64_t read_length(struct byte_reader *r, uint8_t *offset_bytes)
{
	uint64_t length = byte_reader_u32(r);

	*offset_bytes = 4;
	if (length == UINT32_MAX) {
		*offset_bytes = 8;
		return byte_reader_u64(r);
	}
	if (length >= 0xfffffff0)
		byte_reader_fail(r);
	return length;
}

static uint64_t read_offset(struct byte_reader *r, uint8_t bytes)
{
	return bytes == 8 ? byte_reader_u64(r) : byte_reader_u32(r);
}

static int parse_head(struct byte_reader r, struct line_head *head)
{
	head->version = byte_reader_u16(&r);
	if (head->version < 2 || head->version > 5)
		return -EBADMSG;
	if (head->version >= 5) {
		head->address_bytes = byte_reader_u8(&r);
		byte_reader_u8(&r); /* segment selectors; nobody writes them */
	}
	uint64_t header_bytes = read_offset(&r, head->offset_bytes);
	if (r.failed || header_bytes > byte_reader_left(&r))
		return -EBADMSG;
	head->program = (struct byte_reader){ .at = r.at + header_bytes, .end = r.end };
	r.end = head->program.at;
	head->min_instruction_bytes = byte_reader_u8(&r);
	head->max_operations = head->version >= 4 ? byte_reader_u8(&r) : 1;
	byte_reader_u8(&r); /* default_is_stmt */
	head->line_base = (int8_t)byte_reader_u8(&r);
	head->line_range = byte_reader_u8(&r);
	head->opcode_base = byte_reader_u8(&r);
	for (unsigned i = 1; i < head->opcode_base; i++)
		head->operands[i] = byte_reader_u8(&r);
	if (!head->max_operations)
		head->max_operations = 1;
	head->tables = r;
	return r.failed ? -EBADMSG : 0;
}

int line_head_read(struct dwarf_view *view, uint64_t offset, struct line_head *head_out)
{
	uint64_t section_bytes = dwarf_section_bytes(view->sections, DWARF_LINE);
	struct line_head head = { 0 };
	const uint8_t *bytes;
	size_t n = HEAD_BYTES_MAX;

	if (offset >= section_bytes)
		return -ENOENT;
	int err = dwarf_view_some(view, offset, &n, &bytes);
	if (err < 0)
		return err;
	struct byte_reader r = { .at = bytes, .end = bytes + n };
	uint64_t length = read_length(&r, &head.offset_bytes);
	if (r.failed)
		return -EBADMSG;
	offset += (uint64_t)(r.at - bytes);
	if (length > section_bytes - offset)
		length = section_bytes - offset;
	err = dwarf_view_get(view, offset, (size_t)length, &bytes);
	if (err < 0)
		return err;
	err = parse_head((struct byte_reader){ .at = bytes, .end = bytes + length }, &head);
	if (err < 0)
		return err;
	*head_out = head;
	return 0;
}

/* --- directories and files --------------------------------------------------------------------------------------- */

struct text {
	const char *bytes; /* with a NUL, when it is shorter than NAME_TABLE_STRING_MAX */
	size_t n;
};

void line_files_init(struct line_files *files, struct dwarf_sections *sections)
{
	*files = (struct line_files){ 0 };
	dwarf_view_init(&files->line_strings, sections, DWARF_LINE_STR);
	dwarf_view_init(&files->strings, sections, DWARF_STR);
	dwarf_view_init(&files->string_offsets, sections, DWARF_STR_OFFSETS);
}

void line_files_deinit(struct line_files *files)
{
	dwarf_view_deinit(&files->line_strings);
	dwarf_view_deinit(&files->strings);
	dwarf_view_deinit(&files->string_offsets);
	free(files->ids);
	free(files->paths);
	free(files->directories);
}

static int grow(void *array, size_t *capacity, size_t item_bytes, size_t n)
{
	void *old, *grown;
	size_t wanted = *capacity ? 2 * *capacity : DIRECTORIES_MIN;

	if (n <= *capacity)
		return 0;
	if (wanted < n)
		wanted = n;
	memcpy(&old, array, sizeof(old));
	grown = realloc(old, wanted * item_bytes);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*capacity = wanted;
	return 0;
}

/* A directory as a new text in paths: relative ones are below the unit's. */
static int add_path(struct line_files *files, struct text name, uint32_t *offset_out)
{
	bool is_absolute = name.n && name.bytes[0] == '/';
	size_t parent_bytes = is_absolute ? 0 : strlen(files->unit->directory);
	size_t bytes = parent_bytes + 1 + name.n + 1;

	if (bytes > NAME_TABLE_STRING_MAX || bytes > LINE_PATHS_BYTES_MAX - files->n_paths) {
		files->over_limits = true;
		*offset_out = 0; /* "" */
		return 0;
	}
	int err = grow(&files->paths, &files->paths_capacity, 1, files->n_paths + bytes);
	if (err < 0)
		return err;
	char *at = files->paths + files->n_paths;
	if (parent_bytes) {
		memcpy(at, files->unit->directory, parent_bytes);
		at += parent_bytes;
		if (name.n && at[-1] != '/')
			*at++ = '/';
	}
	if (name.n)
		memcpy(at, name.bytes, name.n);
	at += name.n;
	*at++ = 0;
	*offset_out = (uint32_t)files->n_paths;
	files->n_paths = (size_t)(at - files->paths);
	return 0;
}

static int add_directory(struct line_files *files, struct text name)
{
	if (files->n_directories == LINE_DIRECTORIES_MAX) {
		files->over_limits = true;
		return 0;
	}
	int err = grow(&files->directories, &files->directories_capacity, sizeof(*files->directories), files->n_directories + 1);
	if (err < 0)
		return err;
	err = add_path(files, name, &files->directories[files->n_directories]);
	if (err < 0)
		return err;
	files->n_directories++;
	return 0;
}

static int put_id(struct line_files *files, uint32_t id)
{
	int err = grow(&files->ids, &files->capacity, sizeof(*files->ids), files->n + 1);

	if (err < 0)
		return err;
	files->ids[files->n++] = id;
	return 0;
}

static int add_file(struct line_files *files, struct name_table_builder *builder, uint64_t directory, struct text name)
{
	uint64_t known = directory < files->n_directories ? directory : 0; /* the unit's */
	const char *path = files->n_directories ? files->paths + files->directories[known] : "";
	char cut[NAME_TABLE_STRING_MAX];

	if (files->n == LINE_FILES_MAX) {
		files->over_limits = true;
		return 0;
	}
	if (name.n >= NAME_TABLE_STRING_MAX) { /* no NUL follows */
		name.n = NAME_TABLE_STRING_MAX - 1;
		name.bytes = memcpy(cut, name.bytes, name.n);
		cut[name.n] = 0;
	}
	files->text_bytes += strlen(path) + name.n;
	if (files->text_bytes > files->text_max) {
		files->over_limits = true;
		return put_id(files, 0);
	}
	int64_t id = name_table_add_file(builder, path, name.bytes);
	return id < 0 ? (int)id : put_id(files, (uint32_t)id);
}

/* Empty the arrays; the text at 0 is "". */
static int start_table(struct line_files *files)
{
	files->n = 0;
	files->n_directories = 0;
	files->n_paths = 0;
	files->over_limits = false;
	int err = grow(&files->paths, &files->paths_capacity, 1, 1);
	if (err < 0)
		return err;
	files->paths[files->n_paths++] = 0;
	return 0;
}

static struct text read_inline_text(struct byte_reader *r)
{
	const uint8_t *end = memchr(r->at, 0, byte_reader_left(r));
	struct text text = { (const char *)r->at, 0 };

	if (!end) {
		byte_reader_fail(r);
		return text;
	}
	text.n = (size_t)(end - r->at);
	r->at = end + 1;
	return text;
}

/* --- before DWARF 5: texts that end with an empty one. Directory 0 is the unit's, file 0 is no file. --- */

static int read_old_file(struct line_files *files, struct byte_reader *r, struct text name, struct name_table_builder *builder)
{
	uint64_t directory = byte_reader_uleb(r);

	byte_reader_uleb(r); /* modification time */
	byte_reader_uleb(r); /* length */
	return r->failed ? 0 : add_file(files, builder, directory, name);
}

static int read_old_tables(struct line_files *files, struct byte_reader *r, struct name_table_builder *builder)
{
	struct text name;
	int err = add_directory(files, (struct text){ "", 0 });

	if (err == 0)
		err = put_id(files, 0);
	while (err == 0 && (name = read_inline_text(r)).n)
		err = add_directory(files, name);
	while (err == 0 && !r->failed && (name = read_inline_text(r)).n)
		err = read_old_file(files, r, name, builder);
	return err;
}

int line_files_define(struct line_files *files, struct byte_reader *operand, struct name_table_builder *builder)
{
	struct text name = read_inline_text(operand);

	return operand->failed ? 0 : read_old_file(files, operand, name, builder);
}

/* --- DWARF 5: entries of a format that the head tells --- */

struct format {
	uint64_t type, form;
};

struct entry {
	struct text name;
	uint64_t directory;
};

/* What damage does not end: the entry has no text. */
static int forgive(int err, struct text *text)
{
	if (err != -EBADMSG && err != -E2BIG && err != -EOPNOTSUPP)
		return err;
	*text = (struct text){ "", 0 };
	return 0;
}

static int read_far_text(struct dwarf_view *view, uint64_t offset, struct text *text)
{
	return forgive(dwarf_view_string(view, offset, NAME_TABLE_STRING_MAX, &text->bytes, &text->n), text);
}

static int read_indexed_text(struct line_files *files, uint64_t index, struct text *text)
{
	uint8_t offset_bytes = files->head->offset_bytes;
	uint64_t base = files->unit->string_offsets, offset = 0;
	const uint8_t *bytes;

	if (!base || index > UINT32_MAX || base > UINT64_MAX - index * offset_bytes)
		return 0;
	int err = dwarf_view_get(&files->string_offsets, base + index * offset_bytes, offset_bytes, &bytes);
	if (err < 0)
		return forgive(err, text);
	memcpy(&offset, bytes, offset_bytes);
	return read_far_text(&files->strings, offset, text);
}

static uint64_t read_small(struct byte_reader *r, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)byte_reader_u8(r) << (8 * i);
	return value;
}

/* A number, or where a text is; 0 for what is passed over. Unknown forms end the table: their length is not known. */
static uint64_t read_number(struct byte_reader *r, uint64_t form, uint8_t offset_bytes)
{
	switch (form) {
	case DW_FORM_line_strp:
	case DW_FORM_strp:
	case DW_FORM_strp_sup:
	case DW_FORM_sec_offset:
		return read_offset(r, offset_bytes);
	case DW_FORM_strx1:
	case DW_FORM_strx2:
	case DW_FORM_strx3:
	case DW_FORM_strx4:
		return read_small(r, (unsigned)(form - DW_FORM_strx1) + 1);
	case DW_FORM_udata:
	case DW_FORM_strx:
		return byte_reader_uleb(r);
	case DW_FORM_sdata:
		return (uint64_t)byte_reader_sleb(r);
	case DW_FORM_data1:
	case DW_FORM_flag:
		return byte_reader_u8(r);
	case DW_FORM_data2:
		return byte_reader_u16(r);
	case DW_FORM_data4:
		return byte_reader_u32(r);
	case DW_FORM_data8:
		return byte_reader_u64(r);
	case DW_FORM_data16:
		byte_reader_skip(r, 16);
		return 0;
	case DW_FORM_string:
		read_inline_text(r);
		return 0;
	case DW_FORM_block:
		byte_reader_skip(r, byte_reader_uleb(r));
		return 0;
	case DW_FORM_block1:
		byte_reader_skip(r, byte_reader_u8(r));
		return 0;
	case DW_FORM_block2:
		byte_reader_skip(r, byte_reader_u16(r));
		return 0;
	case DW_FORM_block4:
		byte_reader_skip(r, byte_reader_u32(r));
		return 0;
	default:
		byte_reader_fail(r);
		return 0;
	}
}

static int read_text(struct line_files *files, struct byte_reader *r, uint64_t form, struct text *text)
{
	*text = (struct text){ "", 0 };
	if (form == DW_FORM_string) {
		*text = read_inline_text(r);
		return 0;
	}
	uint64_t number = read_number(r, form, files->head->offset_bytes);
	if (r->failed)
		return 0;
	switch (form) {
	case DW_FORM_line_strp:
		return read_far_text(&files->line_strings, number, text);
	case DW_FORM_strp:
		return read_far_text(&files->strings, number, text);
	case DW_FORM_strx:
	case DW_FORM_strx1:
	case DW_FORM_strx2:
	case DW_FORM_strx3:
	case DW_FORM_strx4:
		return read_indexed_text(files, number, text);
	default: /* strp_sup: in another file */
		return 0;
	}
}

static int read_entry(struct line_files *files, const struct format *formats, unsigned n_formats, struct byte_reader *r,
		      struct entry *entry)
{
	int err = 0;

	*entry = (struct entry){ .name = { "", 0 } };
	for (unsigned i = 0; i < n_formats && err == 0; i++) {
		if (formats[i].type == DW_LNCT_path) {
			err = read_text(files, r, formats[i].form, &entry->name);
			continue;
		}
		uint64_t number = read_number(r, formats[i].form, files->head->offset_bytes);
		if (formats[i].type == DW_LNCT_directory_index)
			entry->directory = number;
	}
	return err;
}

/* The format of entries and their number. Entries without a byte cannot be many: the reader ends with its bytes. */
static uint64_t read_formats(struct byte_reader *r, struct format formats[FORMATS_MAX], unsigned *n_out)
{
	unsigned n = byte_reader_u8(r);

	if (n > FORMATS_MAX)
		byte_reader_fail(r);
	for (unsigned i = 0; i < n && !r->failed; i++) {
		formats[i].type = byte_reader_uleb(r);
		formats[i].form = byte_reader_uleb(r);
	}
	*n_out = n;
	uint64_t count = byte_reader_uleb(r);
	if (!n || r->failed)
		return 0;
	return count < byte_reader_left(r) ? count : byte_reader_left(r);
}

static int read_new_tables(struct line_files *files, struct byte_reader *r, struct name_table_builder *builder)
{
	struct format formats[FORMATS_MAX];
	struct entry entry;
	unsigned n;
	int err = 0;

	for (uint64_t left = read_formats(r, formats, &n); left && err == 0; left--) {
		err = read_entry(files, formats, n, r, &entry);
		if (r->failed)
			return err;
		if (err == 0)
			err = add_directory(files, entry.name);
	}
	if (err == 0 && !files->n_directories)
		err = add_directory(files, (struct text){ "", 0 });
	for (uint64_t left = err == 0 ? read_formats(r, formats, &n) : 0; left && err == 0; left--) {
		err = read_entry(files, formats, n, r, &entry);
		if (r->failed)
			return err;
		if (err == 0)
			err = add_file(files, builder, entry.directory, entry.name);
	}
	return err;
}

int line_files_read(struct line_files *files, const struct line_head *head, const struct dwarf_line_unit *unit,
		    struct name_table_builder *builder, bool *damaged_out)
{
	struct byte_reader r = head->tables;
	int err = start_table(files);

	files->unit = unit;
	files->head = head;
	if (err == 0)
		err = head->version >= 5 ? read_new_tables(files, &r, builder) : read_old_tables(files, &r, builder);
	if (err < 0)
		return err;
	*damaged_out = r.failed;
	return 0;
}
