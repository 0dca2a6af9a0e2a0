#include "symbolizer/dwarf_sections.h"
#include "base/scope.h"
#include "symbolizer/section_reader.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE_BYTES	   (1u << 20)  /* sections up to this are read whole */
#define SCATTERED_BYTES	   (64u << 20) /* and those up to this that units refer into, here and there */
#define WINDOW_BYTES	   (256u << 10) /* stays in the cache between the copy and its use; 1 MiB takes 3 % longer in all */
#define WINDOW_FIRST_BYTES (16u << 10) /* of what is not read in order */
#define NAME_BYTES	   32

struct section {
	enum { SECTION_MISSING, SECTION_UNREAD, SECTION_WHOLE, SECTION_WINDOWED } state;
	int err; /* why it is missing */
	bool in_group;
	uint64_t bytes;
	uint8_t *whole;
	struct section_packing packing;
};

struct dwarf_sections {
	const struct elf_file *elf;
	struct dwarf_budget *budget;
	struct section sections[DWARF_SECTIONS];
};

struct section_name {
	const char *name;  /* behind ".debug_" or ".zdebug_" */
	bool is_scattered; /* looked at in no order */
};

static const struct section_name NAMES[DWARF_SECTIONS] = {
	[DWARF_INFO] = { "info", false },
	[DWARF_TYPES] = { "types", false },
	[DWARF_ABBREV] = { "abbrev", true },
	[DWARF_LINE] = { "line", false },
	[DWARF_LINE_STR] = { "line_str", true },
	[DWARF_STR] = { "str", true },
	[DWARF_STR_OFFSETS] = { "str_offsets", true },
	[DWARF_ADDR] = { "addr", true },
	[DWARF_RANGES] = { "ranges", true },
	[DWARF_RNGLISTS] = { "rnglists", true },
	[DWARF_ARANGES] = { "aranges", false },
	[DWARF_CU_INDEX] = { "cu_index", true },
	[DWARF_TU_INDEX] = { "tu_index", true },
};

static bool budget_take(struct dwarf_budget *budget, uint64_t bytes)
{
	if (bytes > budget->left) {
		budget->refused++;
		return false;
	}
	budget->left -= bytes;
	return true;
}

/* Which section is this name's? DWARF_SECTIONS: none. */
static unsigned find_name(const char *name, bool is_dwo, bool *is_zdebug_out)
{
	bool is_zdebug = strncmp(name, ".zdebug_", 8) == 0;
	unsigned i;

	if (!is_zdebug && strncmp(name, ".debug_", 7) != 0)
		return DWARF_SECTIONS;
	name += is_zdebug ? 8 : 7;
	for (i = 0; i < DWARF_SECTIONS; i++) {
		size_t bytes = strlen(NAMES[i].name);
		/* The indices of a .dwp have no suffix. */
		bool has_suffix = is_dwo && i != DWARF_CU_INDEX && i != DWARF_TU_INDEX;
		if (strncmp(name, NAMES[i].name, bytes) == 0 && strcmp(name + bytes, has_suffix ? ".dwo" : "") == 0)
			break;
	}
	*is_zdebug_out = is_zdebug;
	return i;
}

static int find_sections(struct dwarf_sections *s, bool is_dwo)
{
	AUTO_FREE struct elf_section *sections = NULL;
	size_t n;
	int err = elf_file_sections(s->elf, &sections, &n);

	if (err < 0)
		return err;
	if (s->elf->names_section >= n)
		return 0;
	const struct elf_section *names = &sections[s->elf->names_section];
	for (size_t i = 1; i < n; i++) {
		char name[NAME_BYTES + 1] = "";
		size_t bytes = NAME_BYTES;
		bool is_zdebug = false;
		if (sections[i].type == SHT_NOBITS || sections[i].name >= names->bytes ||
		    names->file_offset > UINT64_MAX - sections[i].name)
			continue;
		err = elf_file_read_some(s->elf, names->file_offset + sections[i].name, name, &bytes);
		if (err < 0)
			return err;
		unsigned which = find_name(name, is_dwo, &is_zdebug);
		bool in_group = sections[i].flags & SHF_GROUP;
		if (which == DWARF_SECTIONS)
			continue;
		struct section *section = &s->sections[which];
		if (section->state != SECTION_MISSING && (in_group || !section->in_group))
			continue;
		section->err = section_packing_read(s->elf, &sections[i], is_zdebug, &section->packing);
		section->state = section->err < 0 ? SECTION_MISSING : SECTION_UNREAD;
		section->in_group = in_group;
	}
	return 0;
}

int dwarf_sections_open(const struct elf_file *elf, bool is_dwo, struct dwarf_budget *budget, struct dwarf_sections **sections_out)
{
	AUTO_FREE struct dwarf_sections *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->elf = elf;
	s->budget = budget;
	int err = find_sections(s, is_dwo);
	if (err < 0)
		return err;
	*sections_out = take_ptr(s);
	return 0;
}

static int read_whole(struct dwarf_sections *s, struct section *section)
{
	const struct section_packing *packing = &section->packing;
	uint64_t meanwhile = packing->kind == SECTION_ZSTD ? packing->packed_bytes : 0; /* beside the result */

	if (packing->bytes > s->budget->left || meanwhile > s->budget->left - packing->bytes) {
		s->budget->refused++;
		return -E2BIG;
	}
	AUTO_FREE uint8_t *whole = malloc(packing->bytes + 1);
	if (!whole)
		return -ENOMEM;
	int err = section_unpack(s->elf, packing, whole);
	if (err < 0)
		return err;
	s->budget->left -= packing->bytes;
	section->whole = take_ptr(whole);
	section->state = SECTION_WHOLE;
	return 0;
}

static void prepare(struct dwarf_sections *s, enum dwarf_section which)
{
	struct section *section = &s->sections[which];
	const struct section_packing *packing = &section->packing;

	section->bytes = packing->bytes;
	if (packing->kind == SECTION_PLAIN &&
	    (packing->bytes > (NAMES[which].is_scattered ? SCATTERED_BYTES : WHOLE_BYTES) ||
	     packing->bytes > s->budget->left / 4)) {
		section->state = SECTION_WINDOWED;
		return;
	}
	section->err = read_whole(s, section);
	if (section->err < 0) {
		section->state = SECTION_MISSING;
		section->bytes = 0;
	}
}

static const struct section *look(struct dwarf_sections *s, enum dwarf_section which)
{
	if (s->sections[which].state == SECTION_UNREAD)
		prepare(s, which);
	return &s->sections[which];
}

uint64_t dwarf_sections_packed_bytes(const struct elf_file *elf)
{
	struct dwarf_sections s = { .elf = elf };
	uint64_t bytes = 0;

	if (find_sections(&s, false) < 0)
		return 0;
	for (unsigned i = 0; i < DWARF_SECTIONS; i++) {
		const struct section *section = &s.sections[i];
		if (section->state != SECTION_UNREAD || section->packing.kind == SECTION_PLAIN)
			continue;
		if (__builtin_add_overflow(bytes, section->packing.bytes, &bytes))
			return UINT64_MAX;
	}
	return bytes;
}

const struct elf_file *dwarf_sections_elf(const struct dwarf_sections *s)
{
	return s->elf;
}

uint64_t dwarf_section_bytes(struct dwarf_sections *s, enum dwarf_section section)
{
	return look(s, section)->bytes;
}

void dwarf_view_init(struct dwarf_view *view, struct dwarf_sections *sections, enum dwarf_section section)
{
	*view = (struct dwarf_view){ .sections = sections, .section = section };
}

void dwarf_view_deinit(struct dwarf_view *view)
{
	if (view->buffer)
		view->sections->budget->left += view->capacity;
	free(view->buffer);
	*view = (struct dwarf_view){ .sections = view->sections, .section = view->section, .is_scattered = view->is_scattered };
}

/* What is in the buffer need not be kept. */
static int make_room(struct dwarf_view *view, size_t bytes)
{
	struct dwarf_budget *budget = view->sections->budget;

	if (bytes <= view->capacity)
		return 0;
	budget->left += view->capacity;
	free(view->buffer);
	view->buffer = NULL;
	view->capacity = 0;
	view->bytes = 0;
	if (!budget_take(budget, bytes))
		return -E2BIG;
	view->buffer = malloc(bytes);
	if (!view->buffer) {
		budget->left += bytes;
		return -ENOMEM;
	}
	view->capacity = bytes;
	return 0;
}

/* Move the window to offset; bytes of them are in the section. */
static int move_window(struct dwarf_view *view, const struct section *section, uint64_t offset, size_t bytes)
{
	bool in_order = view->bytes && offset >= view->offset && offset - view->offset <= view->bytes;
	uint64_t left = section->bytes - offset;

	if (!NAMES[view->section].is_scattered && !view->is_scattered)
		view->window = WINDOW_BYTES;
	else if (!in_order)
		view->window = WINDOW_FIRST_BYTES;
	else if (view->window < WINDOW_BYTES)
		view->window *= 2;
	uint64_t want = bytes > view->window ? bytes : view->window;
	if (want > left)
		want = left;
	int err = make_room(view, bytes > view->window ? bytes : view->window);
	if (err < 0)
		return err;
	view->bytes = 0;
	err = elf_file_read(view->sections->elf, section->packing.file_offset + offset, view->buffer, want);
	if (err < 0)
		return err;
	view->offset = offset;
	view->bytes = want;
	return 0;
}

/* bytes: as many must be there. left_out: as many are. */
static int view_at(struct dwarf_view *view, uint64_t offset, size_t bytes, const uint8_t **bytes_out, size_t *left_out)
{
	const struct section *section = look(view->sections, view->section);

	if (section->state == SECTION_MISSING)
		return section->err < 0 ? section->err : -EBADMSG;
	if (offset > section->bytes || bytes > section->bytes - offset)
		return -EBADMSG;
	if (section->state == SECTION_WHOLE) {
		*bytes_out = section->whole + offset;
		*left_out = section->bytes - offset;
		return 0;
	}
	if (offset < view->offset || offset - view->offset > view->bytes || bytes > view->bytes - (offset - view->offset)) {
		int err = move_window(view, section, offset, bytes);
		if (err < 0)
			return err;
	}
	*bytes_out = view->buffer + (offset - view->offset);
	*left_out = view->bytes - (offset - view->offset);
	return 0;
}

int dwarf_view_get(struct dwarf_view *view, uint64_t offset, size_t bytes, const uint8_t **bytes_out)
{
	size_t left;

	return view_at(view, offset, bytes, bytes_out, &left);
}

int dwarf_view_some(struct dwarf_view *view, uint64_t offset, size_t *bytes, const uint8_t **bytes_out)
{
	const struct section *section = look(view->sections, view->section);
	uint64_t behind = offset < section->bytes ? section->bytes - offset : 1; /* 1: view_at() says what is wrong */
	size_t left, want = *bytes < behind ? *bytes : (size_t)behind;
	int err = view_at(view, offset, want, bytes_out, &left);

	if (err < 0)
		return err;
	*bytes = want;
	return 0;
}

int dwarf_view_string(struct dwarf_view *view, uint64_t offset, size_t max, const char **text_out, size_t *bytes_out)
{
	const uint8_t *bytes;
	size_t left;
	int err = view_at(view, offset, 1, &bytes, &left);

	if (err < 0)
		return err;
	const uint8_t *end = memchr(bytes, 0, left < max ? left : max);
	uint64_t behind = look(view->sections, view->section)->bytes - offset;
	if (!end && left < max && left < behind) { /* the window ends before the string */
		err = view_at(view, offset, behind < max ? (size_t)behind : max, &bytes, &left);
		if (err < 0)
			return err;
		end = memchr(bytes, 0, left < max ? left : max);
	}
	if (!end && left < max)
		return -EBADMSG;
	*text_out = (const char *)bytes;
	*bytes_out = end ? (size_t)(end - bytes) : max;
	return 0;
}

void dwarf_sections_close(struct dwarf_sections *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < DWARF_SECTIONS; i++) {
		if (s->sections[i].whole)
			s->budget->left += s->sections[i].bytes;
		free(s->sections[i].whole);
	}
	free(s);
}
