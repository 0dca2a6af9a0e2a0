#include "symbolizer/reply_builder.h"
#include "symbolizer/demangle.h"
#include "base/text_clean.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

/* Cleaning makes at most three bytes of one. */
#define CLEAN_BYTES_MAX (3 * DEMANGLE_OUT_MAX)

/* While the block of strings still moves, frames hold offsets. */
struct frame_text {
	uint32_t name;
	uint32_t system_name;
	uint32_t file; /* 0: "" */
	uint32_t line;
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
	char demangled[DEMANGLE_OUT_MAX];
	char clean[CLEAN_BYTES_MAX];
};

static int reserve(void **array, size_t *capacity, size_t wanted, size_t element_bytes)
{
	if (wanted <= *capacity)
		return 0;
	size_t room = wanted * 2 + 64;
	void *grown = reallocarray(*array, room, element_bytes);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*capacity = room;
	return 0;
}

static int add_string(struct reply_builder *builder, const char *text, size_t bytes, const char *suffix,
		      uint32_t *offset_out)
{
	void *strings = builder->strings;
	size_t clean = text_clean(text, bytes, builder->clean, sizeof(builder->clean));

	clean += text_clean(suffix, strlen(suffix), builder->clean + clean, sizeof(builder->clean) - clean);
	if (builder->strings_bytes + clean + 1 > UINT32_MAX)
		return -E2BIG;
	int err = reserve(&strings, &builder->strings_capacity, builder->strings_bytes + clean + 1, 1);
	if (err < 0)
		return err;
	builder->strings = strings;
	memcpy(builder->strings + builder->strings_bytes, builder->clean, clean + 1);
	*offset_out = (uint32_t)builder->strings_bytes;
	builder->strings_bytes += clean + 1;
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

int reply_builder_add_frame(struct reply_builder *builder, const char *mangled, size_t bytes, const char *suffix,
			    bool *refused_out, uint32_t *index_out)
{
	struct frame_text frame = { 0 };
	void *frames = builder->frames;

	int err = reserve(&frames, &builder->frames_capacity, builder->n_frames + 1, sizeof(*builder->frames));
	if (err < 0)
		return err;
	builder->frames = frames;
	int demangled = demangle(mangled, DEMANGLE_FULL, builder->demangled);
	err = add_string(builder, mangled, bytes, "", &frame.system_name);
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
	*index_out = (uint32_t)builder->n_frames;
	builder->frames[builder->n_frames++] = frame;
	return 0;
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
	}
	*reply = (struct symbolizer_reply){
		.answers = take_ptr(builder->answers),
		.n_answers = builder->n_answers,
		.frames = frames,
		.n_frames = builder->n_frames,
		.strings = take_ptr(builder->strings),
		.n_string_bytes = builder->strings_bytes,
	};
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
	free(builder);
}
