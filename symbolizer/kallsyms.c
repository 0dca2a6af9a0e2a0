#include "symbolizer/kallsyms.h"
#include "base/scope.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define CHUNK_BYTES	 (64U << 10) /* no line is longer: KSYM_NAME_LEN is 512 */
#define PAGE_BYTES	 4096U
#define MODULE_SYMBOL_MAX (64U << 10)

struct entry {
	uint64_t address;
	uint32_t name;	 /* offset in names */
	uint16_t module; /* index + 1; 0: the kernel */
	uint8_t reach;	 /* 2 global, 1 weak, 0 local */
};

struct kallsyms {
	struct entry *entries; /* sorted by address */
	size_t n;
	size_t capacity;
	char *names;
	size_t names_bytes;
	size_t names_capacity;
	uint32_t *modules; /* offsets in names */
	size_t n_modules;
	size_t modules_capacity;
	uint64_t stext, text, etext, einittext;
	uint64_t lines_skipped;
	bool has_address; /* one that is not 0 */
	bool has_line;
};

/* One line, taken apart. name and module are not terminated. */
struct line {
	uint64_t address;
	char type;
	const char *name;
	size_t name_bytes;
	const char *module;
	size_t module_bytes;
};

static int reserve(void **array, size_t *capacity, size_t wanted, size_t element_bytes)
{
	if (wanted <= *capacity)
		return 0;
	/* Half more: the last growth must not leave twice what is needed for long. */
	size_t room = wanted + wanted / 2 + 64;
	void *grown = reallocarray(*array, room, element_bytes);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*capacity = room;
	return 0;
}

static int add_name(struct kallsyms *k, const char *name, size_t bytes, uint32_t *offset_out)
{
	void *names = k->names;

	if (k->names_bytes + bytes + 1 > KALLSYMS_NAMES_MAX)
		return -E2BIG;
	int err = reserve(&names, &k->names_capacity, k->names_bytes + bytes + 1, 1);
	if (err < 0)
		return err;
	k->names = names;
	*offset_out = (uint32_t)k->names_bytes;
	memcpy(k->names + k->names_bytes, name, bytes);
	k->names[k->names_bytes + bytes] = 0;
	k->names_bytes += bytes + 1;
	return 0;
}

static bool names_equal(const struct kallsyms *k, uint32_t offset, const char *name, size_t bytes)
{
	return strlen(k->names + offset) == bytes && memcmp(k->names + offset, name, bytes) == 0;
}

/* Lines of one module follow each other, so the last is looked at first. */
static int find_module(struct kallsyms *k, const struct line *line, uint16_t *module_out)
{
	for (size_t i = k->n_modules; i-- > 0;) {
		if (names_equal(k, k->modules[i], line->module, line->module_bytes)) {
			*module_out = (uint16_t)(i + 1);
			return 0;
		}
	}
	if (k->n_modules == KALLSYMS_MODULES_MAX)
		return -E2BIG;
	void *modules = k->modules;
	int err = reserve(&modules, &k->modules_capacity, k->n_modules + 1, sizeof(*k->modules));
	if (err < 0)
		return err;
	k->modules = modules;
	err = add_name(k, line->module, line->module_bytes, &k->modules[k->n_modules]);
	if (err < 0)
		return err;
	*module_out = (uint16_t)++k->n_modules;
	return 0;
}

static bool parse_line(const char *text, size_t bytes, struct line *line)
{
	const char *end = text + bytes, *at = text;

	*line = (struct line){ 0 };
	for (; at < end && at < text + 16; at++) {
		unsigned digit = *at >= '0' && *at <= '9'   ? (unsigned)(*at - '0')
				 : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10
				 : *at >= 'A' && *at <= 'F' ? (unsigned)(*at - 'A') + 10
							    : 16;
		if (digit == 16)
			break;
		line->address = line->address << 4 | digit;
	}
	if (at == text || end - at < 4 || at[0] != ' ' || at[2] != ' ')
		return false;
	line->type = at[1];
	line->name = at + 3;
	const char *tab = memchr(line->name, '\t', (size_t)(end - line->name));
	line->name_bytes = (size_t)((tab ? tab : end) - line->name);
	if (!line->name_bytes || memchr(line->name, 0, (size_t)(end - line->name)))
		return false;
	if (tab) {
		if (end - tab < 4 || tab[1] != '[' || end[-1] != ']')
			return false;
		line->module = tab + 2;
		line->module_bytes = (size_t)(end - 1 - line->module);
	}
	return true;
}

static bool is_named(const struct line *line, const char *name)
{
	return !line->module && line->name_bytes == strlen(name) && memcmp(line->name, name, line->name_bytes) == 0;
}

/* Returns whether the line only marks an end: what follows is not a function. */
static bool note_landmark(struct kallsyms *k, const struct line *line)
{
	if (is_named(line, "_stext"))
		k->stext = line->address;
	else if (is_named(line, "_text"))
		k->text = line->address;
	else if (is_named(line, "_etext"))
		k->etext = line->address;
	else if (is_named(line, "_einittext"))
		k->einittext = line->address;
	else
		return false;
	return line->address == k->etext || line->address == k->einittext;
}

static int add_symbol(struct kallsyms *k, const struct line *line)
{
	struct entry entry = { .address = line->address };
	void *entries = k->entries;
	const char *padding = k->n ? k->names + k->entries[k->n - 1].name : "";

	if (k->n == KALLSYMS_SYMBOLS_MAX)
		return -E2BIG;
	entry.reach = line->type == 'T' ? 2 : line->type == 't' ? 0 : 1;
	int err = reserve(&entries, &k->capacity, k->n + 1, sizeof(*k->entries));
	if (err < 0)
		return err;
	k->entries = entries;
	if (strncmp(padding, "__pfx_", 6) == 0 &&
	    names_equal(k, k->entries[k->n - 1].name + 6, line->name, line->name_bytes))
		entry.name = k->entries[k->n - 1].name + 6;
	else
		err = add_name(k, line->name, line->name_bytes, &entry.name);
	if (err == 0 && line->module)
		err = find_module(k, line, &entry.module);
	if (err < 0)
		return err;
	k->entries[k->n++] = entry;
	return 0;
}

/* Mapping symbols of arm64 and riscv ("$x", ".L0"). */
static bool is_unwanted(const struct line *line)
{
	return line->name[0] == '$' || (line->name_bytes > 1 && line->name[0] == '.' && line->name[1] == 'L');
}

static int add_line(struct kallsyms *k, const char *text, size_t bytes)
{
	struct line line;

	if (!bytes)
		return 0;
	if (!parse_line(text, bytes, &line)) {
		k->lines_skipped++;
		return 0;
	}
	k->has_line = true;
	k->has_address |= line.address != 0;
	if (!line.address)
		return 0;
	if (line.name[0] == '_' && !line.module && note_landmark(k, &line))
		return 0;
	if (!strchr("tTwW", line.type) || is_unwanted(&line))
		return 0;
	return add_symbol(k, &line);
}

/* The complete lines of a chunk. Returns the bytes used, or a negative errno. */
static ssize_t add_lines(struct kallsyms *k, const char *chunk, size_t bytes)
{
	size_t used = 0;

	for (;;) {
		const char *newline = memchr(chunk + used, '\n', bytes - used);
		if (!newline)
			return (ssize_t)used;
		size_t line_bytes = (size_t)(newline - (chunk + used));
		int err = add_line(k, chunk + used, line_bytes);
		if (err < 0)
			return err;
		used += line_bytes + 1;
	}
}

static int read_lines(struct kallsyms *k, int fd)
{
	AUTO_FREE char *chunk = malloc(CHUNK_BYTES);
	size_t held = 0;
	bool in_long_line = false;

	if (!chunk)
		return -ENOMEM;
	lseek(fd, 0, SEEK_SET); /* a pipe cannot, and need not */
	for (;;) {
		ssize_t n = read(fd, chunk + held, CHUNK_BYTES - held);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		held += (size_t)n;
		size_t start = 0;
		if (in_long_line) {
			const char *newline = memchr(chunk, '\n', held);
			start = newline ? (size_t)(newline - chunk) + 1 : held;
			in_long_line = !newline;
		}
		ssize_t used = add_lines(k, chunk + start, held - start);
		if (used < 0)
			return (int)used;
		start += (size_t)used;
		held -= start;
		memmove(chunk, chunk + start, held);
		if (held == CHUNK_BYTES) {
			k->lines_skipped++;
			in_long_line = true;
			held = 0;
		}
	}
	return in_long_line ? 0 : add_line(k, chunk, held);
}

/* --- order ----------------------------------------------------------------------------------------------------- */

static int compare_addresses(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static bool is_better(const struct kallsyms *k, const struct entry *a, const struct entry *b)
{
	const char *a_name = k->names + a->name, *b_name = k->names + b->name;

	if (a->reach != b->reach)
		return a->reach > b->reach;
	size_t a_count = strspn(a_name, "_"), b_count = strspn(b_name, "_");
	if (a_count != b_count)
		return a_count < b_count;
	a_count = strlen(a_name);
	b_count = strlen(b_name);
	return a_count != b_count ? a_count < b_count : strcmp(a_name, b_name) < 0;
}

static void sort_entries(struct kallsyms *k)
{
	size_t i = 1, kept = 0;

	/* The kernel's part comes sorted; sorting it again would cost more than the reading. */
	while (i < k->n && k->entries[i - 1].address <= k->entries[i].address)
		i++;
	if (i < k->n)
		qsort(k->entries, k->n, sizeof(*k->entries), compare_addresses);
	for (i = 0; i < k->n; i++) {
		const struct entry *entry = &k->entries[i];
		if (kept && k->entries[kept - 1].address == entry->address) {
			if (is_better(k, entry, &k->entries[kept - 1]))
				k->entries[kept - 1] = *entry;
			continue;
		}
		k->entries[kept++] = *entry;
	}
	k->n = kept;
}

static void shrink(struct kallsyms *k)
{
	struct entry *entries = k->n ? reallocarray(k->entries, k->n, sizeof(*entries)) : NULL;
	char *names = k->names_bytes ? realloc(k->names, k->names_bytes) : NULL;

	if (entries) {
		k->entries = entries;
		k->capacity = k->n;
	}
	if (names) {
		k->names = names;
		k->names_capacity = k->names_bytes;
	}
}

static void scope_kallsyms(struct kallsyms **kallsyms)
{
	kallsyms_free(*kallsyms);
}

int kallsyms_read(int fd, struct kallsyms **kallsyms_out)
{
	__attribute__((cleanup(scope_kallsyms))) struct kallsyms *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	int err = read_lines(k, fd);
	if (err < 0)
		return err;
	if (k->has_line && !k->has_address)
		return -EPERM;
	sort_entries(k);
	shrink(k);
	*kallsyms_out = take_ptr(k);
	return 0;
}

/* --- look-up --------------------------------------------------------------------------------------------------- */

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* See the header for the rules. */
static uint64_t entry_end(const struct kallsyms *k, size_t index)
{
	const struct entry *entry = &k->entries[index];
	const struct entry *next = index + 1 < k->n ? entry + 1 : NULL;
	uint64_t page = entry->address & ~(uint64_t)(PAGE_BYTES - 1);
	uint64_t end = next ? next->address : UINT64_MAX;

	if (!next || next->module != entry->module)
		end = lesser(end, saturating_sum(page, 2 * PAGE_BYTES));
	if (entry->module)
		return lesser(end, saturating_sum(entry->address, MODULE_SYMBOL_MAX));
	if (entry->address < k->etext)
		return lesser(end, k->etext);
	if (entry->address < k->einittext)
		return lesser(end, k->einittext);
	return end;
}

int kallsyms_find(const struct kallsyms *k, uint64_t address, struct kernel_symbol *symbol_out)
{
	size_t low = 0, high = k->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (k->entries[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return -ENOENT;
	const struct entry *entry = &k->entries[low - 1];
	uint64_t end = entry_end(k, low - 1);
	if (address >= end)
		return -ENOENT;
	*symbol_out = (struct kernel_symbol){
		.name = k->names + entry->name,
		.module = entry->module ? k->names + k->modules[entry->module - 1] : "",
		.start = entry->address,
		.end = end,
	};
	return 0;
}

uint64_t kallsyms_base(const struct kallsyms *k)
{
	return k->stext ? k->stext : k->text;
}

size_t kallsyms_count(const struct kallsyms *k)
{
	return k->n;
}

size_t kallsyms_bytes(const struct kallsyms *k)
{
	return sizeof(*k) + k->capacity * sizeof(*k->entries) + k->names_capacity +
	       k->modules_capacity * sizeof(*k->modules);
}

uint64_t kallsyms_lines_skipped(const struct kallsyms *k)
{
	return k->lines_skipped;
}

void kallsyms_free(struct kallsyms *k)
{
	if (!k)
		return;
	free(k->entries);
	free(k->names);
	free(k->modules);
	free(k);
}
