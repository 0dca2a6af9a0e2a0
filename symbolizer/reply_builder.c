#include "symbolizer/reply_builder.h"
#include "symbolizer/demangle.h"
#include "base/text_clean.h"
#include "base/scope.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Cleaning makes at most three bytes of one. */
#define CLEAN_BYTES_MAX (3 * DEMANGLE_OUT_MAX)

/* Of an answer, where there are many inlined calls. */
#define USUAL_FRAMES	 8
#define USUAL_TEXT_BYTES 512

/* While the block of strings still moves, frames hold offsets. */
struct frame_text {
	uint32_t name;
	uint32_t system_name;
	uint32_t file; /* 0: "" */
	uint32_t line, column, start_line;
};

/* Texts of a name table that were written: name and system_name, or a file. */
struct memo {
	const char *first, *second; /* NULL: free. Of a name second is NULL too */
	uint32_t text, system_text;
};

struct reply_builder {
	struct symbolizer_answer *answers;
	size_t n_answers;
	struct frame_text *frames;
	size_t n_frames;
	size_t frames_capacity;
	char *strings; /* starts with "" */
	size_t strings_bytes;
	size_t strings_capacity;
	enum demangle_style style;
	struct memo *memos; /* a hash table */
	size_t n_memos, memos_capacity;
	char demangled[DEMANGLE_OUT_MAX];
};

/* usual: room for so many from the start, so that nothing is moved; what is not written to costs nothing. */
static int reserve(void **array, size_t *capacity, size_t wanted, size_t usual, size_t element_bytes)
{
	if (wanted <= *capacity)
		return 0;
	size_t room = !*capacity && usual > wanted ? usual : wanted * 2 + 64;
	void *grown = reallocarray(*array, room, element_bytes);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*capacity = room;
	return 0;
}

/* Cleaned where it will stay. */
static int add_string(struct reply_builder *builder, const char *text, size_t bytes, const char *suffix,
		      uint32_t *offset_out)
{
	void *strings = builder->strings;
	size_t suffix_bytes = strlen(suffix), room = CLEAN_BYTES_MAX;

	if (bytes < CLEAN_BYTES_MAX / 6 && suffix_bytes < CLEAN_BYTES_MAX / 6)
		room = 3 * (bytes + suffix_bytes) + 1;
	if (builder->strings_bytes + room > UINT32_MAX)
		return -E2BIG;
	int err = reserve(&strings, &builder->strings_capacity, builder->strings_bytes + room, USUAL_TEXT_BYTES * builder->n_answers, 1);
	if (err < 0)
		return err;
	builder->strings = strings;
	char *clean = builder->strings + builder->strings_bytes;
	size_t n = text_clean(text, bytes, clean, room);
	if (suffix_bytes)
		n += text_clean(suffix, suffix_bytes, clean + n, room - n);
	*offset_out = (uint32_t)builder->strings_bytes;
	builder->strings_bytes += n + 1;
	return 0;
}

int reply_builder_create(size_t n_answers, struct reply_builder **builder_out)
{
	struct reply_builder *builder = calloc(1, sizeof(*builder));
	uint32_t empty;

	if (!builder)
		return -ENOMEM;
	builder->answers = calloc(n_answers ? n_answers : 1, sizeof(*builder->answers));
	builder->n_answers = n_answers;
	if (!builder->answers || add_string(builder, "", 0, "", &empty) < 0) {
		reply_builder_destroy(builder);
		return -ENOMEM;
	}
	*builder_out = builder;
	return 0;
}

void reply_builder_style(struct reply_builder *builder, enum demangle_style style)
{
	builder->style = style;
}

static int add_frame(struct reply_builder *builder, const struct frame_text *frame, uint32_t *index_out)
{
	void *frames = builder->frames;

	int err = reserve(&frames, &builder->frames_capacity, builder->n_frames + 1, USUAL_FRAMES * builder->n_answers,
			  sizeof(*builder->frames));
	if (err < 0)
		return err;
	builder->frames = frames;
	*index_out = (uint32_t)builder->n_frames;
	builder->frames[builder->n_frames++] = *frame;
	return 0;
}

/* The name as the linker saw it, and as people read it. */
static int add_name(struct reply_builder *builder, const char *mangled, size_t bytes, const char *suffix, bool *refused_out,
		    struct frame_text *frame_out)
{
	struct frame_text frame = *frame_out;
	int demangled = demangle(mangled, builder->style, builder->demangled);
	int err = add_string(builder, mangled, bytes, "", &frame.system_name);
	if (err < 0)
		return err;
	frame.name = frame.system_name;
	if (demangled >= 0)
		err = add_string(builder, builder->demangled, (size_t)demangled, suffix, &frame.name);
	else if (suffix[0])
		err = add_string(builder, mangled, bytes, suffix, &frame.name);
	if (err < 0)
		return err;
	if (demangled == -E2BIG)
		*refused_out = true;
	*frame_out = frame;
	return 0;
}

int reply_builder_add_frame(struct reply_builder *builder, const char *mangled, size_t bytes, const char *suffix,
			    bool *refused_out, uint32_t *index_out)
{
	struct frame_text frame = { 0 };

	int err = add_name(builder, mangled, bytes, suffix, refused_out, &frame);
	return err < 0 ? err : add_frame(builder, &frame, index_out);
}

/* --- frames of name tables -------------------------------------------------------------------------------------- */

static size_t hash_texts(const char *first, const char *second)
{
	uint64_t hash = ((uint64_t)(uintptr_t)first * 0x9e3779b97f4a7c15ULL) ^ ((uint64_t)(uintptr_t)second * 0xd6e8feb86659fd93ULL);

	return (size_t)(hash ^ hash >> 32);
}

static struct memo *memo_of(const struct reply_builder *builder, const char *first, const char *second)
{
	size_t mask = builder->memos_capacity - 1, at = hash_texts(first, second) & mask;

	while (builder->memos[at].first && (builder->memos[at].first != first || builder->memos[at].second != second))
		at = (at + 1) & mask;
	return &builder->memos[at];
}

static int grow_memos(struct reply_builder *builder)
{
	struct reply_builder grown = {.memos_capacity = builder->memos_capacity ? 2 * builder->memos_capacity : 256};

	if (2 * (builder->n_memos + 1) <= builder->memos_capacity)
		return 0;
	while (!builder->memos && grown.memos_capacity < 4 * builder->n_answers)
		grown.memos_capacity *= 2;
	grown.memos = calloc(grown.memos_capacity, sizeof(*grown.memos));
	if (!grown.memos)
		return -ENOMEM;
	for (size_t i = 0; i < builder->memos_capacity; i++)
		if (builder->memos[i].first)
			*memo_of(&grown, builder->memos[i].first, builder->memos[i].second) = builder->memos[i];
	free(builder->memos);
	builder->memos = grown.memos;
	builder->memos_capacity = grown.memos_capacity;
	return 0;
}

static int memo_name(struct reply_builder *builder, const char *name, bool *refused_out, struct frame_text *frame)
{
	int err = grow_memos(builder);
	if (err < 0)
		return err;
	struct memo *memo = memo_of(builder, name, NULL);
	if (!memo->first) {
		err = add_name(builder, name, strlen(name), "", refused_out, frame);
		if (err < 0)
			return err;
		*memo = (struct memo){name, NULL, frame->name, frame->system_name};
		builder->n_memos++;
	}
	frame->name = memo->text;
	frame->system_name = memo->system_text;
	return 0;
}

static int memo_file(struct reply_builder *builder, const char *directory, const char *file, uint32_t *text_out)
{
	char path[2 * PATH_MAX];

	if (!file[0]) {
		*text_out = 0;
		return 0;
	}
	int err = grow_memos(builder);
	if (err < 0)
		return err;
	struct memo *memo = memo_of(builder, file, directory);
	if (!memo->first) {
		bool joined = directory[0] && file[0] != '/';
		snprintf(path, sizeof(path), "%s%s%s", joined ? directory : "", joined ? "/" : "", file);
		err = add_string(builder, path, strlen(path), "", text_out);
		if (err < 0)
			return err;
		*memo = (struct memo){file, directory, *text_out, 0};
		builder->n_memos++;
	}
	*text_out = memo->text;
	return 0;
}

int reply_builder_add_table_frame(struct reply_builder *builder, const struct name_table_frame *from, bool *refused_out, uint32_t *index_out)
{
	struct frame_text frame = {.line = from->line, .column = from->column, .start_line = from->start_line};

	int err = memo_name(builder, from->name, refused_out, &frame);
	if (err == 0)
		err = memo_file(builder, from->directory, from->file, &frame.file);
	return err < 0 ? err : add_frame(builder, &frame, index_out);
}

int reply_builder_set_line(struct reply_builder *builder, const char *file, uint32_t line)
{
	struct frame_text *frame = &builder->frames[builder->n_frames - 1];
	int err = 0;

	if (file[0])
		err = add_string(builder, file, strlen(file), "", &frame->file);
	if (err == 0)
		frame->line = line;
	return err;
}

void reply_builder_answer_all(struct reply_builder *builder, size_t index, uint32_t first, uint32_t count, uint64_t symbol_start,
			      uint64_t symbol_end)
{
	builder->answers[index] = (struct symbolizer_answer){ first, count, symbol_start, symbol_end };
}

void reply_builder_answer(struct reply_builder *builder, size_t index, uint32_t frame, uint64_t symbol_start,
			  uint64_t symbol_end)
{
	builder->answers[index] = (struct symbolizer_answer){ frame, 1, symbol_start, symbol_end };
}

int reply_builder_finish(struct reply_builder *builder, struct symbolizer_reply **reply_out)
{
	struct symbolizer_reply *reply = calloc(1, sizeof(*reply));
	struct symbolizer_frame *frames = calloc(builder->n_frames ? builder->n_frames : 1, sizeof(*frames));

	if (!reply || !frames) {
		free(reply);
		free(frames);
		return -ENOMEM;
	}
	for (size_t i = 0; i < builder->n_frames; i++) {
		frames[i].name = builder->strings + builder->frames[i].name;
		frames[i].system_name = builder->strings + builder->frames[i].system_name;
		frames[i].file = builder->strings + builder->frames[i].file;
		frames[i].line = builder->frames[i].line;
		frames[i].column = builder->frames[i].column;
		frames[i].start_line = builder->frames[i].start_line;
	}
	*reply = (struct symbolizer_reply){
		.answers = take_ptr(builder->answers),
		.n_answers = builder->n_answers,
		.frames = frames,
		.n_frames = builder->n_frames,
		.strings = builder->strings,
		.block = builder->strings,
		.n_string_bytes = builder->strings_bytes,
	};
	builder->strings = NULL;
	*reply_out = reply;
	return 0;
}

void reply_builder_destroy(struct reply_builder *builder)
{
	if (!builder)
		return;
	free(builder->answers);
	free(builder->frames);
	free(builder->strings);
	free(builder->memos);
	free(builder);
}
