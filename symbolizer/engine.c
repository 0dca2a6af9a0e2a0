#include "symbolizer/engine.h"
#include "symbolizer/image_info.h"
#include "symbolizer/jit_names.h"
#include "symbolizer/kallsyms.h"
#include "symbolizer/kept_walk.h"
#include "symbolizer/reply_builder.h"
#include "symbolizer/symtab.h"
#include "symbolizer/symtab_cache.h"
#include "symbolizer/table_cache.h"
#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/unwind_compiler.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SYMTAB_BUDGET_BYTES (8U << 20)
#define JIT_BUDGET_BYTES    (96U << 20)

struct engine {
	struct symtab_cache *symtabs;
	struct kallsyms *kernel; /* NULL: none loaded */
	struct jit_names *jit;	 /* NULL: no process with JIT code was asked for yet */
	size_t jit_budget_bytes;
	struct table_cache *tables;
	enum demangle_style style;
	struct kept_walk *walk; /* NULL: none was begun */
	struct engine_stats stats;
};

/* An address asked for, and its place in the request. */
struct asked {
	uint64_t address;
	size_t index;
};

int engine_create(const struct engine_options *options, struct engine **engine_out)
{
	size_t budget_bytes = options && options->symtab_budget_bytes ? options->symtab_budget_bytes
								      : SYMTAB_BUDGET_BYTES;
	AUTO_FREE struct engine *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	int err = symtab_cache_create(budget_bytes, &s->symtabs);
	if (err < 0)
		return err;
	err = table_cache_create(&s->tables);
	if (err < 0) {
		symtab_cache_destroy(s->symtabs);
		return err;
	}
	s->jit_budget_bytes = options && options->jit_budget_bytes ? options->jit_budget_bytes : JIT_BUDGET_BYTES;
	*engine_out = take_ptr(s);
	return 0;
}

void engine_style(struct engine *s, enum demangle_style style)
{
	s->style = style;
}

int engine_image(struct engine *s, int fd, struct image_info *info_out)
{
	struct elf_file elf;

	s->stats.images_read++;
	int err = elf_file_open(fd, &elf);
	if (err == 0)
		err = image_info_read(&elf, info_out);
	if (err == -ENOEXEC || err == -EBADMSG || err == -E2BIG)
		s->stats.images_rejected++;
	return err;
}

bool engine_is_debug_file(struct engine *s, int fd, const uint8_t *build_id, uint8_t n_bytes)
{
	struct image_info info;
	struct elf_file elf;

	s->stats.images_read++;
	int err = elf_file_open(fd, &elf);
	if (err == 0)
		err = image_info_read_build_id(&elf, &info);
	if (err < 0) {
		s->stats.images_rejected++;
		return false;
	}
	return n_bytes && info.build_id_bytes == n_bytes && memcmp(info.build_id, build_id, n_bytes) == 0;
}

/* --- batches --------------------------------------------------------------------------------------------------- */

#define DIGIT_BITS 11
#define FEW_ASKED  64

/* By one digit of the addresses; those of equal digits stay in their order. */
static void sort_by_digit(const struct asked *from, struct asked *to, size_t n, unsigned shift)
{
	size_t starts[(1u << DIGIT_BITS) + 1] = {0};
	const size_t mask = (1u << DIGIT_BITS) - 1;

	for (size_t i = 0; i < n; i++)
		starts[(from[i].address >> shift & mask) + 1]++;
	for (size_t digit = 0; digit < mask; digit++)
		starts[digit + 1] += starts[digit];
	for (size_t i = 0; i < n; i++)
		to[starts[from[i].address >> shift & mask]++] = from[i];
}

/* For a few. */
static void sort_by_insertion(struct asked *asked, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct asked moved = asked[i];
		size_t at = i;
		for (; at && asked[at - 1].address > moved.address; at--)
			asked[at] = asked[at - 1];
		asked[at] = moved;
	}
}

/* In the order of addresses each symbol is met once, however often it was asked for. Digits that all addresses share are left out: of an
 * image's two or three remain. */
static int sort_asked(const uint64_t *addresses, size_t n, struct asked **asked_out)
{
	AUTO_FREE struct asked *asked = calloc(2 * n + 1, sizeof(*asked));
	struct asked *from = asked, *to = asked + n;
	uint64_t differ = 0;
	bool sorted = true;

	if (!asked)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		asked[i] = (struct asked){ addresses[i], i };
		differ |= addresses[i] ^ addresses[0];
		sorted &= !i || addresses[i] >= addresses[i - 1];
	}
	if (n <= FEW_ASKED)
		sort_by_insertion(asked, n);
	for (unsigned shift = 0; !sorted && n > FEW_ASKED && shift < 64; shift += DIGIT_BITS) {
		if (!(differ >> shift & ((1u << DIGIT_BITS) - 1)))
			continue;
		sort_by_digit(from, to, n, shift);
		struct asked *other = from;
		from = to;
		to = other;
	}
	if (from != asked)
		memcpy(asked, from, n * sizeof(*asked));
	*asked_out = take_ptr(asked);
	return 0;
}

/* The frame that the last named address got, and where it holds. */
struct current {
	uint64_t start;
	uint64_t end; /* start == end: none yet */
	uint32_t frame;
	bool unnamed; /* a symbol covers it, but its name cannot be read */
};

/* Find the symbol of an address and add its frame. Returns 0, -ENOENT (nothing covers it), or an errno. */
typedef int name_fn(const void *table, uint64_t address, struct reply_builder *builder, bool *refused_out,
		    struct current *current_out);

/* What a batch is named by. */
struct namer {
	name_fn *name; /* NULL: not known yet, prepare() sets it and symbols: most batches need only the table */
	const void *symbols;
	void (*prepare)(struct engine *s, struct namer *namer);
	struct name_table *table; /* asked first; NULL: none */
	bool damaged;		  /* the table is */
	uint64_t image_id;
	int fd;
	struct symtab *own; /* of symbols, when no cache has it */
};

/* By the name table. Returns 1, 0 (it does not know), or a negative errno. What has lines only is left in *match_out, with one frame. */
static int name_by_table(struct engine *s, const struct asked *asked, struct namer *namer, struct reply_builder *builder,
			 struct name_table_match *match_out)
{
	bool refused = false;
	uint32_t first = 0, index;

	match_out->n = 0;
	int err = name_table_find(namer->table, asked->address, match_out);
	namer->damaged |= err == -EBADMSG;
	if (err < 0) {
		match_out->n = 0;
		return 0;
	}
	if (!match_out->frames[0].name[0] && match_out->n == 1)
		return 0;
	for (size_t i = 0; err == 0 && i < match_out->n; i++) {
		err = reply_builder_add_table_frame(builder, &match_out->frames[i], &refused, &index);
		first = i ? first : index;
	}
	s->stats.names_refused += refused;
	if (err < 0)
		return err;
	s->stats.addresses_named++;
	reply_builder_answer_all(builder, asked->index, first, (uint32_t)match_out->n, match_out->start, match_out->end);
	return 1;
}

/* The name is a symbol table's, the line a line table's: assembly. */
static int add_line(struct reply_builder *builder, const struct name_table_frame *from)
{
	char path[2 * PATH_MAX];
	bool joined = from->directory[0] && from->file[0] != '/';

	snprintf(path, sizeof(path), "%s%s%s", joined ? from->directory : "", joined ? "/" : "", from->file);
	return reply_builder_set_line(builder, path, from->line);
}

static int name_one(struct engine *s, const struct asked *asked, struct namer *namer, struct reply_builder *builder,
		    struct current *current)
{
	static struct name_table_match match;
	bool refused = false;

	match.n = 0;
	int by_table = namer->table ? name_by_table(s, asked, namer, builder, &match) : 0;
	if (by_table)
		return by_table < 0 ? by_table : 0;
	if (match.n) /* a line of its own: no frame that others have */
		*current = (struct current){ 0 };
	if (!namer->name)
		namer->prepare(s, namer);
	bool known = asked->address >= current->start && asked->address < current->end;

	if (!known) {
		int err = namer->name(namer->symbols, asked->address, builder, &refused, current);
		s->stats.names_refused += refused;
		if (err < 0 && err != -ENOENT)
			return err;
		if (err < 0)
			*current = (struct current){ .unnamed = true };
	}
	if (match.n && !current->unnamed) {
		int err = add_line(builder, &match.frames[0]);
		if (err < 0)
			return err;
	}
	if (current->unnamed) {
		s->stats.addresses_unnamed++;
		return 0;
	}
	s->stats.addresses_named++;
	reply_builder_answer(builder, asked->index, current->frame, current->start, current->end);
	if (match.n)
		*current = (struct current){ 0 };
	return 0;
}

static void scope_builder(struct reply_builder **builder)
{
	reply_builder_destroy(*builder);
}

static int name_batch(struct engine *s, struct namer *namer, const uint64_t *addresses, size_t n,
		      struct symbolizer_reply **reply_out)
{
	__attribute__((cleanup(scope_builder))) struct reply_builder *builder = NULL;
	AUTO_FREE struct asked *asked = NULL;
	struct current current = { 0 };

	int err = reply_builder_create(n, &builder);
	if (err < 0)
		return err;
	reply_builder_style(builder, s->style);
	err = sort_asked(addresses, n, &asked);
	for (size_t i = 0; i < n && err == 0; i++)
		err = name_one(s, &asked[i], namer, builder, &current);
	if (err < 0)
		return err;
	return reply_builder_finish(builder, reply_out);
}

/* --- images ---------------------------------------------------------------------------------------------------- */

static int name_by_symtab(const void *table, uint64_t vaddr, struct reply_builder *builder, bool *refused_out,
			  struct current *current_out)
{
	const struct symtab *tab = table;
	struct symtab_match match;
	char name[SYMTAB_NAME_MAX];
	size_t bytes;
	uint32_t frame = 0;

	int err = symtab_find(tab, vaddr, &match);
	if (err < 0)
		return err;
	int named = symtab_name(tab, &match, name, &bytes);
	if (named < 0 && named != -ENOENT)
		return named;
	if (named == 0)
		err = reply_builder_add_frame(builder, name, bytes, "", refused_out, &frame);
	if (err < 0)
		return err;
	*current_out = (struct current){ match.start, match.end, frame, named < 0 };
	return 0;
}

/* own_out: a table that the caller must free, because it does not fit in the cache. */
static int find_symtab(struct engine *s, uint64_t image_id, int fd, struct symtab **tab_out,
		       struct symtab **own_out)
{
	struct symtab *tab = symtab_cache_get(s->symtabs, image_id);

	if (!tab) {
		if (fd < 0)
			return -ENOENT;
		int err = symtab_open(fd, &tab);
		if (err < 0)
			return err;
		s->stats.symtabs_read++;
		s->stats.symbols_damaged += symtab_damaged(tab);
		if (symtab_cache_put(s->symtabs, image_id, tab) < 0)
			*own_out = tab;
	}
	*tab_out = tab;
	return 0;
}

/* The symbol table of a file that has none, or cannot be read. */
static int name_by_nothing(const void *table, uint64_t vaddr, struct reply_builder *builder, bool *refused_out,
			   struct current *current_out)
{
	(void)table;
	(void)vaddr;
	(void)builder;
	(void)refused_out;
	(void)current_out;
	return -ENOENT;
}

static void prepare_symbols(struct engine *s, struct namer *namer)
{
	struct symtab *tab = NULL;

	int err = find_symtab(s, namer->image_id, namer->fd, &tab, &namer->own);
	namer->name = err < 0 ? name_by_nothing : name_by_symtab;
	namer->symbols = tab;
}

/* table: NULL: by the symbol table alone. damaged_out: the table is. */
static int names_by(struct engine *s, uint64_t image_id, int fd, struct name_table *table, const uint64_t *vaddrs, size_t n_vaddrs,
		    bool *damaged_out, struct symbolizer_reply **reply_out)
{
	struct namer namer = {.prepare = prepare_symbols, .table = table, .image_id = image_id, .fd = fd};
	struct symtab *tab;
	int err = 0;

	if (!table) {
		err = find_symtab(s, image_id, fd, &tab, &namer.own);
		namer.name = name_by_symtab;
		namer.symbols = err < 0 ? NULL : tab;
	}
	if (err == 0)
		err = name_batch(s, &namer, vaddrs, n_vaddrs, reply_out);
	symtab_free(namer.own);
	if (err == 0)
		*damaged_out = namer.damaged;
	return err;
}

int engine_names(struct engine *s, uint64_t image_id, int fd, int table_fd, const uint64_t *vaddrs, size_t n_vaddrs,
		 struct symbolizer_reply **reply_out)
{
	struct name_table *table = NULL;
	bool damaged = false;

	int err = table_cache_get(s->tables, image_id, table_fd, &table);
	if (err < 0)
		table = NULL;
	bool unusable = table_fd >= 0 && (err == -EBADMSG || err == -ENOTSUP);
	err = names_by(s, image_id, fd, table, vaddrs, n_vaddrs, &damaged, reply_out);
	if (err < 0)
		return err;
	if (damaged)
		table_cache_drop(s->tables, image_id);
	s->stats.tables_damaged += damaged || unusable;
	(*reply_out)->table_damaged = damaged || unusable;
	return 0;
}

int engine_unwind(struct engine *s, int fd, int debug_fd, struct unwind_image **image_out)
{
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	struct elf_file elf, debug;

	int err = elf_file_open(fd, &elf);
	if (err < 0)
		return err;
	bool has_debug = debug_fd >= 0 && elf_file_open(debug_fd, &debug) == 0;
	err = unwind_image_compile(&elf, has_debug ? &debug : NULL, image_out);
	if (err < 0)
		return err;
	s->stats.unwind_images++;
	s->stats.unwind_fdes += (*image_out)->fdes;
	s->stats.unwind_bad_fdes += (*image_out)->bad_fdes;
	s->stats.unwind_ns += clock_ns(CLOCK_MONOTONIC) - begin_ns;
	return 0;
}

/* The code of a function into a buffer of CODE_FRAME_BYTES_MAX. */
static int read_function(int fd, uint64_t start, uint64_t end, uint8_t *code)
{
	AUTO_FREE struct elf_segment *segments = NULL;
	uint64_t offset, left;
	struct elf_file elf;
	size_t n;

	if (end <= start || end - start > CODE_FRAME_BYTES_MAX)
		return -E2BIG;
	int err = elf_file_open(fd, &elf);
	if (err == 0 && elf.machine != EM_X86_64)
		err = -EOPNOTSUPP;
	if (err == 0)
		err = elf_file_segments(&elf, &segments, &n);
	if (err == 0)
		err = elf_segments_offset(segments, n, start, &offset, &left);
	if (err == 0 && left < end - start)
		err = -EBADMSG;
	return err < 0 ? err : elf_file_read(&elf, offset, code, end - start);
}

int engine_code_frame(struct engine *s, uint64_t image_id, int fd, uint64_t vaddr, bool is_return,
			  struct symbolizer_function *function_out)
{
	struct symbolizer_function function = {0};
	struct symbolizer_reply *reply;
	uint64_t covered = vaddr - is_return;

	bool damaged;
	int err = names_by(s, image_id, fd, NULL, &covered, 1, &damaged, &reply);
	if (err < 0)
		return err;
	struct symbolizer_answer answer = reply->answers[0];
	symbolizer_reply_free(reply);
	if (!answer.count)
		return -ENOENT;
	function.start = answer.symbol_start;
	AUTO_FREE uint8_t *code = malloc(CODE_FRAME_BYTES_MAX);
	if (!code)
		return -ENOMEM;
	if (fd >= 0 && read_function(fd, answer.symbol_start, answer.symbol_end, code) == 0)
		function.has_frame = code_frame_at(code, answer.symbol_end - answer.symbol_start, vaddr - answer.symbol_start,
						   &function.frame) == 0;
	*function_out = function;
	return 0;
}

int engine_jit_names(struct engine *s, uint64_t process, const struct jit_source *source, const struct jit_query *queries,
			 size_t n_queries, struct symbolizer_reply **reply_out, bool *more_out)
{
	int err = s->jit ? 0 : jit_names_create(s->jit_budget_bytes, &s->jit);

	return err < 0 ? err : jit_names_find(s->jit, process, source, queries, n_queries, reply_out, more_out);
}

/* --- libunwind ------------------------------------------------------------------------------------------------- */

int engine_walk(struct engine *s, const struct symbolizer_walk *walk, bool goes_on, struct symbolizer_caller *callers_out)
{
	int err = s->walk ? 0 : kept_walk_create(&s->walk);

	return err < 0 ? err : kept_walk_step(s->walk, walk, goes_on, callers_out);
}

/* --- the kernel ------------------------------------------------------------------------------------------------ */

static int name_by_kallsyms(const void *table, uint64_t address, struct reply_builder *builder, bool *refused_out,
			    struct current *current_out)
{
	struct kernel_symbol symbol;
	char suffix[256] = "";
	uint32_t frame;

	int err = kallsyms_find(table, address, &symbol);
	if (err < 0)
		return err;
	if (symbol.module[0])
		snprintf(suffix, sizeof(suffix), " [%s]", symbol.module);
	err = reply_builder_add_frame(builder, symbol.name, strlen(symbol.name), suffix, refused_out, &frame);
	if (err < 0)
		return err;
	*current_out = (struct current){ symbol.start, symbol.end, frame, false };
	return 0;
}

int engine_kernel_load(struct engine *s, int fd)
{
	struct kallsyms *kernel = NULL;

	int err = kallsyms_read(fd, &kernel);
	if (err < 0)
		return err;
	kallsyms_free(s->kernel);
	s->kernel = kernel;
	s->stats.kernel_lines_skipped = kallsyms_lines_skipped(kernel);
	return (int)kallsyms_count(kernel);
}

int engine_kernel_names(struct engine *s, const uint64_t *addrs, size_t n_addrs,
			    struct symbolizer_reply **reply_out)
{
	if (!s->kernel || !kallsyms_count(s->kernel))
		return -ENOENT;
	return name_batch(s, &(struct namer){.name = name_by_kallsyms, .symbols = s->kernel}, addrs, n_addrs, reply_out);
}

uint64_t engine_kernel_base(const struct engine *s)
{
	return s->kernel ? kallsyms_base(s->kernel) : 0;
}

void engine_stats(const struct engine *s, struct engine_stats *stats_out)
{
	*stats_out = s->stats;
	stats_out->symtabs_evicted = symtab_cache_evicted(s->symtabs);
	stats_out->name_tables = table_cache_count(s->tables);
	stats_out->symtab_bytes = symtab_cache_bytes(s->symtabs);
	if (s->jit)
		jit_names_stats(s->jit, &stats_out->jit);
}

void engine_destroy(struct engine *s)
{
	if (!s)
		return;
	symtab_cache_destroy(s->symtabs);
	table_cache_destroy(s->tables);
	jit_names_destroy(s->jit);
	kallsyms_free(s->kernel);
	kept_walk_destroy(s->walk);
	free(s);
}
