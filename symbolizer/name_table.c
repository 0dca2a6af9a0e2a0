#include "symbolizer/name_table.h"
#include "symbolizer/name_table_format.h"
#include "symbolizer/text_cache.h"
#include "symbolizer/name_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <xxhash.h>

#define NONE NAME_TABLE_NONE

enum block_state { BLOCK_UNSEEN, BLOCK_GOOD, BLOCK_BAD };

/* A table of bit fields. */
struct packed {
	unsigned row_bits;
	unsigned shifts[PACKED_COLUMNS];
	uint32_t masks[PACKED_COLUMNS];
};

#define TEXTS_BYTES_MAX (256u << 20) /* only a table that wants to be large unpacks to so much */

/* Files are few, and a chain of frames names them again and again. */
#define FILES_KEPT 256u
struct kept_file {
	uint32_t file; /* 0: none */
	const char *directory, *name;
};

struct name_table {
	const uint8_t *bytes; /* mapped */
	size_t n_bytes;
	struct name_table_head head; /* a copy: checked once */
	struct packed packed[NAME_TABLE_SECTIONS];
	uint8_t *blocks; /* enum block_state of each CHECKED_BYTES */
	struct kept_file files[FILES_KEPT];
	struct text_cache *texts; /* unpacked, by offset in STRINGS */
};

/* --- opening ----------------------------------------------------------------------------------------------------- */

static bool is_packed(unsigned which)
{
	return which >= SECTION_NODES && which <= SECTION_FILES;
}

static int check_section(struct name_table *t, unsigned which)
{
	const struct section_head *s = &t->head.sections[which];
	uint64_t end = t->head.checksums_offset;

	if (s->offset < sizeof(t->head) || s->offset > end || s->bytes > end - s->offset || s->offset % 8)
		return -EBADMSG;
	if (!is_packed(which))
		return 0;
	struct packed *packed = &t->packed[which];
	for (unsigned k = 0; k < PACKED_COLUMNS; k++) {
		if (s->bits[k] > 32)
			return -EBADMSG;
		packed->shifts[k] = packed->row_bits;
		packed->masks[k] = (uint32_t)((1ULL << s->bits[k]) - 1);
		packed->row_bits += s->bits[k];
	}
	if (s->bytes < PACKED_SLACK || (s->n && (uint64_t)s->n * packed->row_bits > 8 * (s->bytes - PACKED_SLACK)))
		return -EBADMSG;
	return 0;
}

static int check_head(struct name_table *t)
{
	struct name_table_head *head = &t->head;

	if (t->n_bytes < sizeof(*head))
		return -EBADMSG;
	memcpy(head, t->bytes, sizeof(*head));
	if (memcmp(head->magic, NAME_TABLE_MAGIC, sizeof(head->magic)) != 0)
		return -EBADMSG;
	if (head->version != NAME_TABLE_VERSION)
		return -ENOTSUP;
	if (head->bytes != t->n_bytes || head->checksums_offset < sizeof(*head) || head->checksums_offset > t->n_bytes ||
	    head->checksums_offset % 8 || head->n_checksums != (t->n_bytes - head->checksums_offset) / sizeof(uint64_t) ||
	    head->n_checksums != (head->checksums_offset - sizeof(*head) + CHECKED_BYTES - 1) / CHECKED_BYTES)
		return -EBADMSG;
	uint64_t checksum = head->checksum;
	head->checksum = 0;
	XXH64_hash_t sums = XXH3_64bits(t->bytes + head->checksums_offset, head->n_checksums * sizeof(uint64_t));
	if (XXH3_64bits_withSeed(head, sizeof(*head), sums) != checksum)
		return -EBADMSG;
	for (unsigned i = 0; i < NAME_TABLE_SECTIONS; i++) {
		int err = check_section(t, i);
		if (err < 0)
			return err;
	}
	const struct section_head *vaddrs = &head->sections[SECTION_BLOCK_VADDRS], *offsets = &head->sections[SECTION_BLOCK_OFFSETS];
	if (vaddrs->bytes / sizeof(uint64_t) < vaddrs->n || offsets->bytes / sizeof(uint32_t) < (uint64_t)vaddrs->n + 1)
		return -EBADMSG;
	return 0;
}

static void scope_table(struct name_table **t)
{
	name_table_close(*t);
}

int name_table_open(int fd, struct name_table **table_out)
{
	__attribute__((cleanup(scope_table))) struct name_table *t = calloc(1, sizeof(*t));
	struct stat st;

	if (!t)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(t->head))
		return -EBADMSG;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	t->bytes = map;
	t->n_bytes = (size_t)st.st_size;
	int err = check_head(t);
	if (err < 0)
		return err;
	t->blocks = calloc(t->head.n_checksums + 1, 1);
	if (!t->blocks)
		return -ENOMEM;
	err = text_cache_create(TEXTS_BYTES_MAX, &t->texts);
	if (err < 0)
		return err;
	*table_out = t;
	t = NULL;
	return 0;
}

size_t name_table_bytes(const struct name_table *t)
{
	return t->n_bytes;
}

void name_table_close(struct name_table *t)
{
	if (!t)
		return;
	if (t->bytes)
		munmap((void *)(uintptr_t)t->bytes, t->n_bytes);
	free(t->blocks);
	text_cache_destroy(t->texts);
	free(t);
}

/* --- bytes, checked ---------------------------------------------------------------------------------------------- */

static bool verify(struct name_table *t, size_t i)
{
	size_t from = sizeof(t->head) + i * CHECKED_BYTES, to = from + CHECKED_BYTES;
	uint64_t checksum;

	if (t->blocks[i] == BLOCK_UNSEEN) {
		if (to > t->head.checksums_offset)
			to = t->head.checksums_offset;
		memcpy(&checksum, t->bytes + t->head.checksums_offset + i * sizeof(checksum), sizeof(checksum));
		t->blocks[i] = XXH3_64bits(t->bytes + from, to - from) == checksum ? BLOCK_GOOD : BLOCK_BAD;
	}
	return t->blocks[i] == BLOCK_GOOD;
}

/* [offset, +n) lie between the head and the checksums, n is not 0. */
static inline bool is_good(struct name_table *t, size_t offset, size_t n)
{
	size_t first = (offset - sizeof(t->head)) / CHECKED_BYTES, last = (offset + n - 1 - sizeof(t->head)) / CHECKED_BYTES;

	for (size_t i = first; i <= last; i++)
		if (t->blocks[i] != BLOCK_GOOD && !verify(t, i))
			return false;
	return true;
}

/* Bytes of a section, or NULL. */
static inline const uint8_t *section_at(struct name_table *t, enum name_table_section which, uint64_t offset, size_t n)
{
	const struct section_head *s = &t->head.sections[which];

	if (offset > s->bytes || n > s->bytes - offset || !n || !is_good(t, s->offset + offset, n))
		return NULL;
	return t->bytes + s->offset + offset;
}

static inline bool packed_get(struct name_table *t, enum name_table_section which, uint32_t row, uint32_t values[PACKED_COLUMNS])
{
	const struct packed *packed = &t->packed[which];
	uint64_t bit = (uint64_t)row * packed->row_bits;

	if (row >= t->head.sections[which].n)
		return false;
	/* The row, and what is loaded with its last field: inside the section, by check_section(). */
	const uint8_t *at = section_at(t, which, bit / 8, (packed->row_bits + 7) / 8 + PACKED_SLACK);
	if (!at)
		return false;
	for (unsigned k = 0; k < PACKED_COLUMNS; k++) {
		unsigned shift = (unsigned)(bit % 8) + packed->shifts[k];
		uint64_t word;
		memcpy(&word, at + shift / 8, sizeof(word));
		values[k] = (uint32_t)(word >> shift % 8) & packed->masks[k];
	}
	return true;
}

/* Unpacks a string that is not known yet. */
static bool string_unpack(struct name_table *t, uint32_t offset, const char **text_out)
{
	const struct section_head *strings = &t->head.sections[SECTION_STRINGS], *dictionary = &t->head.sections[SECTION_DICTIONARY];
	size_t bytes, room = NAME_TEXT_PACKED_MAX(NAME_TABLE_STRING_MAX);

	if (offset >= strings->bytes)
		return false;
	room = room < strings->bytes - offset ? room : (size_t)(strings->bytes - offset);
	/* One block of checked bytes, seldom two; the whole dictionary, once. */
	const uint8_t *at = section_at(t, SECTION_STRINGS, offset, room), *end = at + room;
	if (!at || (dictionary->bytes && !is_good(t, dictionary->offset, dictionary->bytes)))
		return false;
	if (!text_unpack_head(&at, end, NAME_TABLE_STRING_MAX, &bytes))
		return false;
	char whole[NAME_TABLE_STRING_MAX + 1 + NAME_TEXT_SLACK];
	if (!text_unpack(t->bytes + dictionary->offset, dictionary->bytes, at, end, whole, bytes))
		return false;
	char *text = text_cache_add(t->texts, offset, bytes + 1);
	if (!text)
		return false;
	memcpy(text, whole, bytes + 1);
	*text_out = text;
	return true;
}

static inline bool string_get(struct name_table *t, uint32_t offset, const char **text_out)
{
	*text_out = text_cache_find(t->texts, offset);
	return *text_out || string_unpack(t, offset, text_out);
}

/* --- the stream -------------------------------------------------------------------------------------------------- */

/* What holds at a vaddr. */
struct place {
	uint64_t start, end; /* of the node */
	uint64_t function_start;
	uint32_t node; /* NONE: none */
	bool is_of_node; /* line counts from the declaration of line_node's function, and is in its file */
	uint32_t line_node, file;
	int64_t line;
	uint32_t column;
};

struct stream {
	const uint8_t *at, *end;
	bool failed;
	bool has_columns;
};

static uint64_t stream_long_uleb(struct stream *s)
{
	uint64_t value = 0;

	for (unsigned shift = 0; s->at < s->end && shift < 64; shift += 7) {
		uint8_t byte = *s->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	s->failed = true;
	return 0;
}

/* Most numbers have one byte. */
static inline uint64_t stream_uleb(struct stream *s)
{
	return s->at < s->end && *s->at < 0x80 ? *s->at++ : stream_long_uleb(s);
}

/* The block's first entry. */
static void begin_place(struct stream *s, uint64_t vaddr, struct place *place)
{
	*place = (struct place){.start = vaddr, .node = (uint32_t)stream_uleb(s) - 1};
	place->function_start = vaddr - stream_uleb(s);
	place->file = (uint32_t)stream_uleb(s);
	place->line = (int64_t)stream_uleb(s);
	if (s->has_columns)
		place->column = (uint32_t)stream_uleb(s);
}

static inline void step_line(struct stream *s, unsigned tag, struct place *place)
{
	switch (tag & ENTRY_LINE) {
	case LINE_SAME:
		return;
	case LINE_STEP:
		place->line = (int64_t)((uint64_t)place->line + (uint64_t)unzigzag(stream_uleb(s)));
		break;
	case LINE_OF_NODE:
		place->is_of_node = true;
		place->line_node = place->node;
		place->line = unzigzag(stream_uleb(s));
		break;
	case LINE_EXPLICIT:
		place->is_of_node = false;
		place->file = (uint32_t)stream_uleb(s);
		place->line = (int64_t)stream_uleb(s);
		break;
	}
	if (s->has_columns)
		place->column = (uint32_t)stream_uleb(s);
}

/* Entries up to vaddr, then on to where the node ends. block_end: where the next block begins. */
static void step_to(struct stream *s, uint64_t vaddr, uint64_t block_end, struct place *place)
{
	struct place passed = *place; /* what lies behind vaddr is read into this one */
	struct place *to = place;
	uint64_t at = place->start;

	while (s->at < s->end && !s->failed) {
		unsigned tag = *s->at++;
		at += tag >> ENTRY_ADVANCE_SHIFT ? tag >> ENTRY_ADVANCE_SHIFT : stream_uleb(s);
		if (at > vaddr)
			to = &passed;
		if (tag & ENTRY_NODE) {
			uint32_t node = (uint32_t)(to->node + (uint64_t)unzigzag(stream_uleb(s)));
			if (at > vaddr) {
				place->end = at;
				return;
			}
			place->node = node;
			place->start = at;
			if (tag & ENTRY_FUNCTION)
				place->function_start = at;
		}
		step_line(s, tag, to);
	}
	place->end = block_end;
}

/* The last block that begins at vaddr or before. Vaddrs out of order only find a wrong one. */
static int find_block(struct name_table *t, uint64_t vaddr, uint32_t *block_out, uint64_t *start_out, uint64_t *end_out)
{
	uint32_t low = 0, high = t->head.sections[SECTION_BLOCK_VADDRS].n;
	uint64_t start = 0, end = UINT64_MAX, middle_vaddr;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const uint8_t *at = section_at(t, SECTION_BLOCK_VADDRS, middle * sizeof(uint64_t), sizeof(uint64_t));
		if (!at)
			return -EBADMSG;
		memcpy(&middle_vaddr, at, sizeof(middle_vaddr));
		if (middle_vaddr <= vaddr) {
			low = middle + 1;
			start = middle_vaddr;
		} else {
			high = middle;
			end = middle_vaddr;
		}
	}
	if (!low)
		return -ENOENT;
	*block_out = low - 1;
	*start_out = start;
	*end_out = end;
	return 0;
}

static int find_place(struct name_table *t, uint64_t vaddr, struct place *place)
{
	struct stream s = {.has_columns = t->head.flags & NAME_TABLE_HAS_COLUMNS};
	uint64_t start, end;
	uint32_t block, offsets[2];

	int err = find_block(t, vaddr, &block, &start, &end);
	if (err < 0)
		return err;
	const uint8_t *at = section_at(t, SECTION_BLOCK_OFFSETS, block * sizeof(uint32_t), sizeof(offsets));
	if (!at)
		return -EBADMSG;
	memcpy(offsets, at, sizeof(offsets));
	if (offsets[1] <= offsets[0])
		return -EBADMSG;
	s.at = section_at(t, SECTION_STREAM, offsets[0], offsets[1] - offsets[0]);
	if (!s.at)
		return -EBADMSG;
	s.end = s.at + (offsets[1] - offsets[0]);
	begin_place(&s, start, place);
	step_to(&s, vaddr, end, place);
	return s.failed ? -EBADMSG : 0;
}

/* --- frames ------------------------------------------------------------------------------------------------------ */

static bool file_get(struct name_table *t, uint32_t file, const char **directory_out, const char **name_out)
{
	struct kept_file *kept = &t->files[file % FILES_KEPT];
	uint32_t values[PACKED_COLUMNS];

	*directory_out = *name_out = "";
	if (!file)
		return true;
	if (kept->file != file) {
		if (!packed_get(t, SECTION_FILES, file, values) || !string_get(t, values[0], directory_out) || !string_get(t, values[1], name_out))
			return false;
		*kept = (struct kept_file){file, *directory_out, *name_out};
	}
	*directory_out = kept->directory;
	*name_out = kept->name;
	return true;
}

/* Where a node and its function are in their tables. */
struct node_view {
	uint32_t back;
	uint32_t site[PACKED_COLUMNS];
	uint32_t function[PACKED_COLUMNS];
};

static bool node_get(struct name_table *t, uint32_t node, struct node_view *view)
{
	uint32_t values[PACKED_COLUMNS];

	if (!packed_get(t, SECTION_NODES, node, values))
		return false;
	view->back = values[0];
	return packed_get(t, SECTION_SITES, values[1], view->site) && packed_get(t, SECTION_FUNCTIONS, view->site[0], view->function);
}

/* The line table's answer, for the innermost frame. innermost: of place->node, when it has one. */
static bool set_line(struct name_table *t, const struct place *place, const struct node_view *innermost, struct name_table_frame *frame)
{
	struct node_view other;
	uint32_t file = place->file;
	int64_t line = place->line;

	if (place->is_of_node) {
		const struct node_view *view = innermost;
		if (place->line_node != place->node) {
			if (!node_get(t, place->line_node, &other))
				return false;
			view = &other;
		}
		file = view->function[1];
		line += view->function[2];
	}
	frame->line = line < 0 || line > UINT32_MAX ? 0 : (uint32_t)line;
	frame->column = place->column;
	return file_get(t, file, &frame->directory, &frame->file);
}

static bool add_frame(struct name_table *t, const struct node_view *view, struct name_table_frame *frame)
{
	frame->start_line = view->function[2];
	frame->is_symbol = view->function[3];
	return string_get(t, view->function[0], &frame->name) &&
	       file_get(t, view->function[1], &frame->declared_directory, &frame->declared_file);
}

/* view: of the node; used up. */
static bool add_frames(struct name_table *t, uint32_t node, struct node_view *view, struct name_table_match *match)
{
	for (;;) {
		struct name_table_frame *frame = &match->frames[match->n];
		if (!add_frame(t, view, frame))
			return false;
		match->n++;
		if (!view->back)
			return true;
		if (view->back > node || match->n == sizeof(match->frames) / sizeof(match->frames[0]))
			return false;
		node -= view->back;
		frame[1] = (struct name_table_frame){.line = view->site[2], .column = view->site[3]};
		if (!file_get(t, view->site[1], &frame[1].directory, &frame[1].file))
			return false;
		if (!node_get(t, node, view))
			return false;
	}
}

int name_table_find(struct name_table *t, uint64_t vaddr, struct name_table_match *match_out)
{
	struct node_view view = {0};
	struct place place;

	int err = find_place(t, vaddr, &place);
	if (err < 0)
		return err;
	if (place.node == NONE && !place.is_of_node && !place.file)
		return -ENOENT;
	match_out->start = place.start;
	match_out->end = place.end;
	match_out->function_start = place.function_start;
	match_out->n = 0;
	match_out->frames[0] = (struct name_table_frame){
		.name = "", .directory = "", .file = "", .declared_directory = "", .declared_file = ""};
	if (place.node != NONE && !node_get(t, place.node, &view))
		return -EBADMSG;
	if (!set_line(t, &place, &view, &match_out->frames[0]))
		return -EBADMSG;
	if (place.node != NONE)
		return add_frames(t, place.node, &view, match_out) ? 0 : -EBADMSG;
	match_out->n = 1;
	return 0;
}
