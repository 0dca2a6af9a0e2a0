/* What reads binaries, in the process that calls it: the work behind symbolizer/symbolizer.h, which tells what each function does.
 * Runs in the confined process (symbolizer/worker.h), in unit tests and in fuzzers. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_ENGINE_H
#define HEARTH_SYMBOLIZER_ENGINE_H

#include "symbolizer/symbolizer.h"
#include "symbolizer/unwind_image.h"

struct engine;

struct engine_options {
	size_t symtab_budget_bytes; /* parsed symbol tables kept in memory, least recently used goes first; 0: 8 MiB */
	size_t jit_budget_bytes;    /* tables of JIT code kept in memory; 0: 96 MiB */
};

/* Counters only (all of them uint64_t): they travel with each answer. */
struct engine_stats {
	uint64_t images_read, images_rejected;
	uint64_t symtabs_read, symtabs_evicted, symtab_bytes;
	uint64_t addresses_named, addresses_unnamed;
	uint64_t symbols_damaged, names_refused;
	uint64_t unwind_images, unwind_fdes, unwind_bad_fdes, unwind_ns;
	uint64_t kernel_lines_skipped;
	uint64_t name_tables, tables_damaged;
	struct jit_stats jit;
};

/* options: NULL for defaults. */
int engine_create(const struct engine_options *options, struct engine **engine_out);

/* How names are demangled from here on; DEMANGLE_FULL at first. */
void engine_style(struct engine *s, enum demangle_style style);

int engine_image(struct engine *s, int fd, struct image_info *info_out);
bool engine_is_debug_file(struct engine *s, int fd, const uint8_t *build_id, uint8_t n_bytes);
int engine_names(struct engine *s, uint64_t image_id, int fd, int table_fd, const uint64_t *vaddrs, size_t n_vaddrs,
		 struct symbolizer_reply **reply_out);
int engine_unwind(struct engine *s, int fd, int debug_fd, struct unwind_image **image_out);
int engine_code_frame(struct engine *s, uint64_t image_id, int fd, uint64_t vaddr, bool is_return,
		      struct symbolizer_function *function_out);
/* As kept_walk_step(). */
int engine_walk(struct engine *s, const struct symbolizer_walk *walk, bool goes_on, struct symbolizer_caller *callers_out);
int engine_jit_names(struct engine *s, uint64_t process, const struct jit_source *source, const struct jit_query *queries, size_t n_queries,
		     struct symbolizer_reply **reply_out, bool *more_out);
int engine_kernel_load(struct engine *s, int fd);
int engine_kernel_names(struct engine *s, const uint64_t *addrs, size_t n_addrs, struct symbolizer_reply **reply_out);
uint64_t engine_kernel_base(const struct engine *s);
void engine_stats(const struct engine *s, struct engine_stats *stats_out);

/* NULL is legal. */
void engine_destroy(struct engine *s);

#endif
