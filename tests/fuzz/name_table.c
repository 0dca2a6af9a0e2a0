/* Name tables: what a builder is told is an input's first part, and the second one is damage that is done to the table, its checksums mended.
 *
 * Two bytes: how many bytes the first part has. Commands of a byte and numbers (LEB128): see build(). Then patches: offset (LEB128), byte. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/scope.h"
#include "symbolizer/byte_reader.h"
#include "symbolizer/name_table.h"
#include "symbolizer/name_table_format.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY_BYTES 2000000
#define ROWS_MAX     64
#define VADDRS_MAX   512

struct built {
	uint64_t vaddrs[VADDRS_MAX]; /* that some range holds */
	size_t n;
	uint32_t strings, files, functions, nodes; /* how many */
};

static uint32_t below(struct byte_reader *r, uint32_t n)
{
	uint64_t number = byte_reader_uleb(r);

	/* Now and then one that nobody gave out. */
	return number > UINT32_MAX - 4 || !n ? (uint32_t)number : (uint32_t)(number % n);
}

static void note_vaddr(struct built *built, uint64_t vaddr)
{
	if (built->n < VADDRS_MAX)
		built->vaddrs[built->n++] = vaddr;
}

static void add_text(struct name_table_builder *b, struct byte_reader *r, struct built *built)
{
	size_t bytes = (size_t)byte_reader_uleb(r);

	if (!byte_reader_need(r, bytes))
		return;
	int64_t id = name_table_add_string(b, (const char *)r->at, bytes);
	PROMISE(id >= 0 || id == -E2BIG);
	r->at += bytes;
	if (id >= built->strings)
		built->strings = (uint32_t)id + 1;
}

static void add_file(struct name_table_builder *b, struct byte_reader *r, struct built *built)
{
	static const char *const names[] = {"", "a.c", "/abs/b.c", "../c.h", "dir", "/", "/usr/include"};
	unsigned which = byte_reader_u8(r);

	int64_t id = name_table_add_file(b, names[which % 7], names[which / 7 % 7]);
	PROMISE(id >= 0 || id == -E2BIG);
	if (id >= built->files)
		built->files = (uint32_t)id + 1;
}

static void add_node(struct name_table_builder *b, struct byte_reader *r, struct built *built)
{
	uint32_t parent = byte_reader_u8(r) & 1 ? below(r, built->nodes) : NAME_TABLE_NONE;
	uint32_t function = below(r, built->functions), file = below(r, built->files);
	int64_t id = name_table_add_node(b, parent, function, file, (uint32_t)byte_reader_uleb(r), (uint32_t)byte_reader_uleb(r));

	PROMISE(id >= 0 || id == -E2BIG || id == -EINVAL);
	if (id >= built->nodes)
		built->nodes = (uint32_t)id + 1;
}

static void add_range(struct name_table_builder *b, struct byte_reader *r, struct built *built)
{
	uint32_t node = below(r, built->nodes);
	uint64_t start = byte_reader_uleb(r), end = start + byte_reader_uleb(r);

	int err = name_table_add_range(b, node, start, end);
	PROMISE(err == 0 || err == -EINVAL || err == -E2BIG);
	if (err == 0 && start < end && end - start <= UINT32_MAX) {
		note_vaddr(built, start);
		note_vaddr(built, end - 1);
	}
}

static void add_rows(struct name_table_builder *b, struct byte_reader *r, struct built *built)
{
	struct name_table_row rows[ROWS_MAX];
	size_t n = byte_reader_u8(r) % (ROWS_MAX + 1);
	uint64_t vaddr = byte_reader_uleb(r);

	for (size_t i = 0; i < n; i++) {
		uint64_t step = byte_reader_uleb(r);
		vaddr += step;
		rows[i] = (struct name_table_row){vaddr, below(r, built->files), (uint32_t)byte_reader_uleb(r), byte_reader_u8(r)};
	}
	int err = name_table_add_rows(b, rows, n, vaddr + byte_reader_uleb(r));
	PROMISE(err == 0 || err == -EINVAL || err == -E2BIG);
}

static void build(struct name_table_builder *b, struct byte_reader *r, struct built *built)
{
	*built = (struct built){.strings = 1, .files = 1};
	while (byte_reader_left(r)) {
		int64_t id = 0;
		switch (byte_reader_u8(r) % 7) {
		case 0:
			add_text(b, r, built);
			break;
		case 1:
			add_file(b, r, built);
			break;
		case 2:
			id = name_table_add_function(b, below(r, built->strings), below(r, built->files), (uint32_t)byte_reader_uleb(r));
			if (id >= built->functions)
				built->functions = (uint32_t)id + 1;
			break;
		case 3:
			add_node(b, r, built);
			break;
		case 4:
			add_range(b, r, built);
			break;
		case 5:
			add_rows(b, r, built);
			break;
		default: {
			uint64_t start = byte_reader_uleb(r), end = start + byte_reader_uleb(r);
			id = name_table_add_symbol(b, start, end, below(r, built->strings));
			break;
		}
		}
		PROMISE(id >= 0 || id == -EINVAL || id == -E2BIG);
	}
}

static void check_text(const char *text)
{
	PROMISE(text && strlen(text) <= NAME_TABLE_STRING_MAX);
}

static int find(struct name_table *t, uint64_t vaddr)
{
	struct name_table_match match;

	int err = name_table_find(t, vaddr, &match);
	PROMISE(err == 0 || err == -ENOENT || err == -EBADMSG);
	if (err < 0)
		return err;
	PROMISE(match.n > 0 && match.n <= NAME_TABLE_DEPTH_MAX + 1);
	for (size_t i = 0; i < match.n; i++) {
		check_text(match.frames[i].name);
		check_text(match.frames[i].directory);
		check_text(match.frames[i].file);
		check_text(match.frames[i].declared_directory);
		check_text(match.frames[i].declared_file);
	}
	return match.start <= vaddr && vaddr < match.end ? 0 : -ERANGE;
}

static void look(int fd, const struct built *built, bool is_damaged)
{
	struct name_table *table;

	int err = name_table_open(fd, &table);
	PROMISE(err == 0 || (is_damaged && (err == -EBADMSG || err == -ENOTSUP)));
	if (err < 0)
		return;
	for (size_t i = 0; i < built->n; i++) {
		err = find(table, built->vaddrs[i]);
		PROMISE(err == 0 || is_damaged);
	}
	find(table, 0);
	find(table, UINT64_MAX);
	name_table_close(table);
}

/* As the table's writer would have it, so that damage is found by what it means. */
static void mend_checksums(uint8_t *bytes, size_t n)
{
	struct name_table_head head;

	memcpy(&head, bytes, sizeof(head));
	head.bytes = n;
	if (head.checksums_offset > n || head.checksums_offset < sizeof(head) || head.n_checksums != (n - head.checksums_offset) / 8)
		return;
	for (uint64_t i = 0; i < head.n_checksums; i++) {
		uint64_t from = sizeof(head) + i * CHECKED_BYTES, to = from + CHECKED_BYTES;
		to = to < head.checksums_offset ? to : head.checksums_offset;
		if (from >= to)
			return;
		uint64_t sum = XXH3_64bits(bytes + from, to - from);
		memcpy(bytes + head.checksums_offset + 8 * i, &sum, sizeof(sum));
	}
	head.checksum = 0;
	head.checksum = XXH3_64bits_withSeed(&head, sizeof(head), XXH3_64bits(bytes + head.checksums_offset, 8 * head.n_checksums));
	memcpy(bytes, &head, sizeof(head));
}

static void damage(int fd, struct byte_reader *r, const struct built *built)
{
	struct stat st;

	PROMISE(fstat(fd, &st) == 0);
	size_t n = (size_t)st.st_size;
	AUTO_FREE uint8_t *bytes = malloc(n);
	PROMISE(bytes && pread(fd, bytes, n, 0) == (ssize_t)n);
	while (byte_reader_left(r)) {
		uint64_t at = byte_reader_uleb(r);
		bytes[at % n] = byte_reader_u8(r);
	}
	mend_checksums(bytes, n);
	look(fuzz_file(1, bytes, n), built, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct name_table_limits limits = {.bytes = MEMORY_BYTES};
	struct name_table_builder *builder;
	struct name_table_stats stats;
	struct built built;
	uint16_t first;
	uint64_t bytes;

	if (n < sizeof(first))
		return 0;
	memcpy(&first, data, sizeof(first));
	data += sizeof(first);
	n -= sizeof(first);
	first = first < n ? first : (uint16_t)n;
	struct byte_reader commands = {.at = data, .end = data + first}, patches = {.at = data + first, .end = data + n};
	PROMISE(name_table_builder_create(&limits, &builder) == 0);
	build(builder, &commands, &built);
	int fd = fuzz_file(0, NULL, 0);
	int err = name_table_write(builder, fd, &bytes, &stats);
	PROMISE(err == 0 || err == -E2BIG);
	name_table_builder_destroy(builder);
	if (err < 0)
		return 0;
	look(fd, &built, false);
	if (byte_reader_left(&patches))
		damage(fd, &patches, &built);
	return 0;
}
