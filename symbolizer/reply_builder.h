/* Puts a reply together: frames by symbol, their strings in one block. */
#ifndef HEARTH_SYMBOLIZER_REPLY_BUILDER_H
#define HEARTH_SYMBOLIZER_REPLY_BUILDER_H

#include "symbolizer/name_table.h"
#include "symbolizer/symbolizer.h"

struct reply_builder;

/* n_answers: one for each address asked; all unnamed at first. Returns 0 or -ENOMEM. */
int reply_builder_create(size_t n_answers, struct reply_builder **builder_out);

/* How names are demangled from here on; DEMANGLE_FULL at first. */
void reply_builder_style(struct reply_builder *builder, enum demangle_style style);

/* Add a frame from raw bytes, demangled when they are a mangled name.
 * suffix: appended to the name that people read (" [module]"), "" for none.
 * refused_out: set to true when the name was too costly to demangle, else left alone.
 * index_out: of the frame. Returns 0, -E2BIG (4 GiB of strings) or -ENOMEM. */
int reply_builder_add_frame(struct reply_builder *builder, const char *mangled, size_t bytes, const char *suffix,
			    bool *refused_out, uint32_t *index_out);

/* Where the code of the frame that was added last comes from. file: any bytes. Returns 0, -E2BIG or -ENOMEM. */
int reply_builder_set_line(struct reply_builder *builder, const char *file, uint32_t line);

/* Add a frame from a name table, as reply_builder_add_frame() does. Its texts must stay as they are as long as the builder: those that come
 * again, at the same address in memory, are not demangled and written again. */
int reply_builder_add_table_frame(struct reply_builder *builder, const struct name_table_frame *from, bool *refused_out, uint32_t *index_out);

/* Let an answer have the frames first .. +count. */
void reply_builder_answer_all(struct reply_builder *builder, size_t index, uint32_t first, uint32_t count, uint64_t symbol_start,
			      uint64_t symbol_end);

/* Let an answer have one frame. */
void reply_builder_answer(struct reply_builder *builder, size_t index, uint32_t frame, uint64_t symbol_start,
			  uint64_t symbol_end);

/* The builder is empty afterwards. Returns 0 or -ENOMEM. */
int reply_builder_finish(struct reply_builder *builder, struct symbolizer_reply **reply_out);

void reply_builder_destroy(struct reply_builder *builder);

#endif
