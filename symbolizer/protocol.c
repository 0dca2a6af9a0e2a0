#include "symbolizer/protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/scope.h"
#include "base/text_clean.h"
#include "bpf/records.h"

#define BUILD_ID_MIN 4

_Static_assert(PROTOCOL_FDS_MAX <= CHANNEL_FDS_MAX, "a walk's images go in one message");
_Static_assert(2 * UNWIND_TABLES_MAX + 4 <= CHANNEL_PARTS_MAX, "an image's unwind tables go in one message");

const struct channel_rules PROTOCOL_RULES = {
	.version = PROTOCOL_VERSION, .kinds = MESSAGE_KINDS, .fds_max = PROTOCOL_FDS_MAX, .detail_max = DEMANGLE_NONE};

/* What is left of a payload. */
struct rest {
	const uint8_t *at;
	size_t n;
};

/* The next bytes; NULL: they are not all there. */
static const void *take(struct rest *rest, uint64_t bytes)
{
	const uint8_t *at = rest->at;

	if (bytes > rest->n)
		return NULL;
	rest->at += bytes;
	rest->n -= (size_t)bytes;
	return at;
}

/* --- requests --------------------------------------------------------------------------------------------------- */

static int take_addresses(struct rest *rest, struct request *request)
{
	if (rest->n % sizeof(uint64_t) || rest->n / sizeof(uint64_t) > PROTOCOL_ADDRESSES_MAX)
		return -EBADMSG;
	request->n_addresses = rest->n / sizeof(uint64_t);
	request->addresses = take(rest, rest->n);
	return 0;
}

static int decode_debug_file(struct rest *rest, struct request *request)
{
	const struct debug_file_request *from = take(rest, sizeof(*from));

	if (!from || !from->build_id_bytes || from->build_id_bytes > BUILD_ID_MAX)
		return -EBADMSG;
	memcpy(request->build_id, from->build_id, sizeof(request->build_id));
	request->build_id_bytes = (uint8_t)from->build_id_bytes;
	return 0;
}

static int decode_names(struct rest *rest, struct request *request)
{
	const struct names_request *from = take(rest, sizeof(*from));

	if (!from || from->has_fd > 1 || from->has_table > 1)
		return -EBADMSG;
	request->image_id = from->image_id;
	request->has_fd = from->has_fd;
	request->has_table = from->has_table;
	return take_addresses(rest, request);
}

static int decode_jit(struct rest *rest, struct request *request)
{
	const struct jit_request *from = take(rest, sizeof(*from));

	_Static_assert(sizeof(struct jit_query) == 16, "jit_query is a wire format");
	if (!from || from->has_map > 1 || from->has_dump > 1 || rest->n % sizeof(struct jit_query) ||
	    rest->n / sizeof(struct jit_query) > PROTOCOL_ADDRESSES_MAX)
		return -EBADMSG;
	request->image_id = from->process;
	request->has_fd = from->has_map;
	request->has_table = from->has_dump;
	request->n_queries = rest->n / sizeof(struct jit_query);
	request->queries = take(rest, rest->n);
	return 0;
}

static int decode_code_frame(struct rest *rest, struct request *request)
{
	const struct code_frame_request *from = take(rest, sizeof(*from));

	if (!from || from->has_fd > 1 || from->is_return > 1 || (from->is_return && !from->vaddr))
		return -EBADMSG;
	request->image_id = from->image_id;
	request->vaddr = from->vaddr;
	request->is_return = from->is_return;
	request->has_fd = from->has_fd;
	return 0;
}

static int take_walk_input(struct rest *rest, struct symbolizer_walk *walk)
{
	const struct walk_input *from = take(rest, sizeof(*from));

	if (!from || from->stack_bytes > DEFERRED_STACK_MAX)
		return -EBADMSG;
	walk->stack = take(rest, from->stack_bytes);
	if (!walk->stack)
		return -EBADMSG;
	memcpy(walk->registers, from->registers, sizeof(walk->registers));
	walk->stack_address = from->stack_address;
	walk->stack_bytes = (uint32_t)from->stack_bytes;
	return 0;
}

static int decode_walk(struct rest *rest, struct request *request)
{
	const struct walk_request *from = take(rest, sizeof(*from));
	struct symbolizer_walk *walk = &request->walk;

	if (!from || !from->number || from->n_images > SYMBOLIZER_WALK_IMAGES || !from->n_frames || from->n_frames > USER_FRAMES_MAX ||
	    !from->n_wanted || from->n_wanted > SYMBOLIZER_CALLERS_MAX || from->goes_on > 1)
		return -EBADMSG;
	const struct walk_request_image *images = take(rest, from->n_images * sizeof(*images));
	const uint64_t *frames = take(rest, from->n_frames * sizeof(*frames));
	if (!images || !frames || (!from->goes_on && take_walk_input(rest, walk) < 0))
		return -EBADMSG;
	walk->number = from->number;
	walk->n_wanted = from->n_wanted;
	walk->frames = frames;
	walk->n_frames = from->n_frames;
	walk->n_images = from->n_images;
	for (size_t i = 0; i < walk->n_images; i++)
		walk->images[i] = (struct symbolizer_walk_image){images[i].start, images[i].end, images[i].bias, -1};
	request->goes_on = from->goes_on;
	return 0;
}

static int decode_compile(struct rest *rest, struct request *request)
{
	const struct compile_request *from = take(rest, sizeof(*from));

	if (!from || from->has_wanted > 1 || rest->n % sizeof(uint64_t) || (!from->has_wanted && rest->n))
		return -EBADMSG;
	request->image_id = from->image_id;
	request->has_wanted = from->has_wanted;
	request->n_addresses = rest->n / sizeof(uint64_t);
	request->addresses = take(rest, rest->n);
	for (size_t i = 1; i < request->n_addresses; i++)
		if (request->addresses[i] < request->addresses[i - 1])
			return -EBADMSG;
	return 0;
}

static int decode_debug_only(struct rest *rest, struct request *request)
{
	const struct debug_only_request *from = take(rest, sizeof(*from));

	if (!from)
		return -EBADMSG;
	request->image_id = from->image_id;
	request->bytes_max = from->bytes_max;
	return 0;
}

static int decode_payload(struct rest *rest, struct request *request)
{
	switch (request->kind) {
	case MESSAGE_DEBUG_FILE:
		return decode_debug_file(rest, request);
	case MESSAGE_NAMES:
		return decode_names(rest, request);
	case MESSAGE_JIT:
		return decode_jit(rest, request);
	case MESSAGE_CODE_FRAME:
		return decode_code_frame(rest, request);
	case MESSAGE_WALK:
		return decode_walk(rest, request);
	case MESSAGE_KERNEL_NAMES:
		return take_addresses(rest, request);
	case MESSAGE_COMPILE:
		return decode_compile(rest, request);
	case MESSAGE_DEBUG_ONLY:
		return decode_debug_only(rest, request);
	case MESSAGE_IMAGE:
	case MESSAGE_UNWIND:
	case MESSAGE_KERNEL_LOAD:
		return 0;
	default:
		return -EBADMSG;
	}
}

static bool has_its_fds(const struct request *r, size_t n_fds)
{
	switch (r->kind) {
	case MESSAGE_NAMES:
	case MESSAGE_JIT:
		return n_fds == (size_t)r->has_fd + r->has_table;
	case MESSAGE_CODE_FRAME:
		return n_fds == r->has_fd;
	case MESSAGE_WALK:
		return n_fds == r->walk.n_images;
	case MESSAGE_UNWIND:
		return n_fds == 1 || n_fds == 2;
	case MESSAGE_KERNEL_NAMES:
		return n_fds == 0;
	default:
		return n_fds == 1;
	}
}

int request_decode(enum message_kind kind, const void *payload, size_t n, size_t n_fds, struct request *request_out)
{
	struct rest rest = {payload, n};

	memset(request_out, 0, sizeof(*request_out));
	request_out->kind = kind;
	int err = decode_payload(&rest, request_out);
	if (err < 0)
		return err;
	return rest.n == 0 && has_its_fds(request_out, n_fds) ? 0 : -EBADMSG;
}

static int take_text(struct rest *rest, uint32_t n, char text[DEBUG_ASK_TEXT_MAX])
{
	const char *from = n < DEBUG_ASK_TEXT_MAX ? take(rest, n) : NULL;

	if (!from || memchr(from, 0, n))
		return -EBADMSG;
	memcpy(text, from, n);
	text[n] = 0;
	return 0;
}

int asked_file_decode(const void *payload, size_t n, struct asked_file *asked_out)
{
	struct rest rest = {payload, n};
	const struct ask_request *from = take(&rest, sizeof(*from));

	if (!from || from->kind >= DEBUG_ASK_KINDS || from->nth >= DEBUG_ASKS_MAX || from->build_id_bytes > BUILD_ID_MAX)
		return -EBADMSG;
	if (take_text(&rest, from->directory_bytes, asked_out->directory) < 0 || take_text(&rest, from->name_bytes, asked_out->name) < 0 ||
	    rest.n)
		return -EBADMSG;
	asked_out->ask = (struct debug_ask){.kind = from->kind, .directory = asked_out->directory, .name = asked_out->name,
					    .build_id_bytes = (uint8_t)from->build_id_bytes};
	memcpy(asked_out->ask.build_id, from->build_id, from->build_id_bytes);
	asked_out->nth = from->nth;
	return 0;
}

/* --- an image's headers ----------------------------------------------------------------------------------------- */

void image_answer_encode(const struct image_info *info, struct image_answer *answer_out)
{
	memset(answer_out, 0, sizeof(*answer_out));
	answer_out->n_segments = info->n_segments;
	memcpy(answer_out->build_id, info->build_id, sizeof(answer_out->build_id));
	answer_out->build_id_bytes = info->build_id_bytes;
	answer_out->address_bytes = info->address_bytes;
	answer_out->segments_dropped = info->segments_dropped;
	answer_out->lacks_cfi = info->lacks_cfi;
	memcpy(answer_out->segments, info->segments, info->n_segments * sizeof(info->segments[0]));
}

int image_answer_decode(const void *payload, size_t n, struct image_info *info_out)
{
	const struct image_answer *from = payload;
	struct image_info info = {0};

	if (n != sizeof(*from) || from->n_segments > IMAGE_SEGMENTS_MAX || from->build_id_bytes > BUILD_ID_MAX ||
	    (from->build_id_bytes && from->build_id_bytes < BUILD_ID_MIN) || (from->address_bytes != 4 && from->address_bytes != 8) ||
	    from->segments_dropped > 1 || from->lacks_cfi > 1)
		return -EBADMSG;
	for (size_t i = 0; i < from->n_segments; i++) {
		const struct image_segment *s = &from->segments[i];
		if (s->file_bytes > INT64_MAX || s->file_offset > INT64_MAX - s->file_bytes || s->vaddr > UINT64_MAX - s->file_bytes)
			return -EBADMSG;
		info.segments[i] = *s;
	}
	memcpy(info.build_id, from->build_id, from->build_id_bytes);
	info.build_id_bytes = from->build_id_bytes;
	info.address_bytes = from->address_bytes;
	info.n_segments = (uint8_t)from->n_segments;
	info.segments_dropped = from->segments_dropped;
	info.lacks_cfi = from->lacks_cfi;
	*info_out = info;
	return 0;
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static uint32_t string_offset(const struct symbolizer_reply *reply, const char *text)
{
	return (uint32_t)(text - reply->strings);
}

int names_answer_encode(const struct symbolizer_reply *reply, uint8_t **heads_out, size_t *n_out)
{
	size_t answers = reply->n_answers * sizeof(struct symbolizer_answer);
	size_t frames = reply->n_frames * sizeof(struct names_answer_frame);
	size_t n = sizeof(struct names_answer) + answers + frames;

	if (reply->n_string_bytes > PROTOCOL_REPLY_MAX || n + reply->n_string_bytes > PROTOCOL_REPLY_MAX - sizeof(struct engine_stats))
		return -E2BIG;
	uint8_t *bytes = malloc(n);
	if (!bytes)
		return -ENOMEM;
	*(struct names_answer *)(void *)bytes = (struct names_answer){(uint32_t)reply->n_answers, (uint32_t)reply->n_frames,
								      (uint32_t)reply->n_string_bytes, reply->table_damaged};
	uint8_t *at = bytes + sizeof(struct names_answer);
	memcpy(at, reply->answers, answers);
	struct names_answer_frame *to = (void *)(at + answers);
	for (size_t i = 0; i < reply->n_frames; i++) {
		const struct symbolizer_frame *from = &reply->frames[i];
		to[i] = (struct names_answer_frame){.line = (uint32_t)from->line,
						    .column = (uint32_t)from->column,
						    .start_line = (uint32_t)from->start_line,
						    .name = string_offset(reply, from->name),
						    .system_name = string_offset(reply, from->system_name),
						    .file = string_offset(reply, from->file)};
	}
	*heads_out = bytes;
	*n_out = n;
	return 0;
}

/* Every string of a block is fit for people, and short. */
static bool are_clean_strings(const char *strings, size_t n)
{
	if (!n || strings[n - 1])
		return false;
	for (size_t at = 0, length; at < n; at += length + 1) {
		length = strlen(strings + at);
		if (length > PROTOCOL_NAME_MAX || !text_is_clean(strings + at, length))
			return false;
	}
	return true;
}

static bool is_string(const char *strings, size_t n, uint32_t offset)
{
	return offset < n && (!offset || !strings[offset - 1]);
}

static bool are_good_answers(const struct symbolizer_answer *answers, const struct names_answer *head)
{
	for (uint32_t i = 0; i < head->n_answers; i++) {
		const struct symbolizer_answer *a = &answers[i];
		if (a->count > PROTOCOL_FRAMES_MAX || a->first > head->n_frames || a->count > head->n_frames - a->first ||
		    a->symbol_start > a->symbol_end)
			return false;
	}
	return true;
}

static bool are_good_frames(const struct names_answer_frame *frames, const struct names_answer *head, const char *strings)
{
	for (uint32_t i = 0; i < head->n_frames; i++) {
		const struct names_answer_frame *f = &frames[i];
		if (!is_string(strings, head->n_string_bytes, f->name) || !is_string(strings, head->n_string_bytes, f->system_name) ||
		    !is_string(strings, head->n_string_bytes, f->file))
			return false;
	}
	return true;
}

static int copy_names(const struct names_answer *head, const struct symbolizer_answer *answers, const struct names_answer_frame *frames,
		      const char *strings, struct symbolizer_reply **reply_out)
{
	struct symbolizer_reply *reply = calloc(1, sizeof(*reply));

	if (!reply)
		return -ENOMEM;
	reply->answers = reallocarray(NULL, head->n_answers + 1ul, sizeof(*reply->answers));
	reply->frames = reallocarray(NULL, head->n_frames + 1ul, sizeof(*reply->frames));
	if (!reply->answers || !reply->frames) {
		symbolizer_reply_free(reply);
		return -ENOMEM;
	}
	memcpy(reply->answers, answers, head->n_answers * sizeof(*answers));
	for (uint32_t i = 0; i < head->n_frames; i++)
		reply->frames[i] = (struct symbolizer_frame){.name = strings + frames[i].name,
							     .system_name = strings + frames[i].system_name,
							     .file = strings + frames[i].file,
							     .line = frames[i].line,
							     .column = frames[i].column,
							     .start_line = frames[i].start_line};
	reply->n_answers = head->n_answers;
	reply->n_frames = head->n_frames;
	reply->strings = strings;
	reply->n_string_bytes = head->n_string_bytes;
	reply->table_damaged = head->table_damaged;
	*reply_out = reply;
	return 0;
}

int names_answer_decode(const void *payload, size_t n, size_t n_asked, struct symbolizer_reply **reply_out)
{
	struct rest rest = {payload, n};
	const struct names_answer *head = take(&rest, sizeof(*head));

	if (!head || head->n_answers != n_asked || head->table_damaged > 1)
		return -EBADMSG;
	const struct symbolizer_answer *answers = take(&rest, head->n_answers * sizeof(*answers));
	const struct names_answer_frame *frames = take(&rest, head->n_frames * sizeof(*frames));
	const char *strings = take(&rest, head->n_string_bytes);
	if (!answers || !frames || !strings || rest.n || !are_clean_strings(strings, head->n_string_bytes) ||
	    !are_good_answers(answers, head) || !are_good_frames(frames, head, strings))
		return -EBADMSG;
	return copy_names(head, answers, frames, strings, reply_out);
}

void symbolizer_reply_free(struct symbolizer_reply *reply)
{
	while (reply) {
		struct symbolizer_reply *next = reply->parts;
		free(reply->answers);
		free(reply->frames);
		if (reply->mapped_bytes)
			munmap(reply->block, reply->mapped_bytes);
		else
			free(reply->block);
		free(reply);
		reply = next;
	}
}

/* --- unwind tables ---------------------------------------------------------------------------------------------- */

int unwind_answer_encode(const struct unwind_image *image, uint8_t **heads_out, size_t *n_out)
{
	size_t n = sizeof(struct unwind_answer) + image->n_tables * sizeof(struct unwind_answer_table);
	uint8_t *bytes = calloc(1, n);

	if (!bytes)
		return -ENOMEM;
	*(struct unwind_answer *)(void *)bytes =
		(struct unwind_answer){image->n_tables, image->fdes, image->bad_fdes, image->cfi_rows, image->text_bytes};
	struct unwind_answer_table *tables = (void *)(bytes + sizeof(struct unwind_answer));
	for (size_t i = 0; i < image->n_tables; i++) {
		const struct unwind_table *t = &image->tables[i];
		tables[i] = (struct unwind_answer_table){t->vaddr,  t->start,	t->end,	   t->n_pages,
							 t->n_rows, t->n_rules, t->n_bytes};
	}
	*heads_out = bytes;
	*n_out = n;
	return 0;
}

int unwind_answer_decode(const void *payload, size_t n, struct unwind_image **image_out)
{
	struct rest rest = {payload, n};
	const struct unwind_answer *head = take(&rest, sizeof(*head));

	if (!head || head->n_tables > UNWIND_TABLES_MAX)
		return -EBADMSG;
	const struct unwind_answer_table *tables = take(&rest, head->n_tables * sizeof(*tables));
	if (!tables)
		return -EBADMSG;
	struct unwind_image *image = calloc(1, sizeof(*image));
	AUTO_FREE struct unwind_table *own = calloc(head->n_tables + 1, sizeof(*own));
	if (!image || !own) {
		free(image);
		return -ENOMEM;
	}
	int err = 0;
	for (size_t i = 0; err == 0 && i < head->n_tables; i++) {
		const struct unwind_answer_table *t = &tables[i];
		const uint8_t *bytes = take(&rest, ((uint64_t)t->n_bytes + 7) & ~7ull);
		own[i] = (struct unwind_table){t->vaddr, t->start, t->end, t->n_pages, t->n_rows, t->n_rules, t->n_bytes,
					       (uint8_t *)(uintptr_t)bytes};
		err = bytes ? 0 : -EBADMSG;
	}
	*image = (struct unwind_image){.n_tables = head->n_tables, .tables = own, .fdes = head->fdes, .bad_fdes = head->bad_fdes,
				       .cfi_rows = head->cfi_rows, .text_bytes = head->text_bytes};
	if (err == 0)
		err = rest.n ? -EBADMSG : unwind_image_check(image);
	if (err < 0) {
		free(image);
		return err;
	}
	own = NULL;
	*image_out = image;
	return 0;
}

/* --- small answers ---------------------------------------------------------------------------------------------- */

void code_frame_answer_encode(const struct symbolizer_function *function, struct code_frame_answer *answer_out)
{
	const struct code_frame *frame = &function->frame;

	*answer_out = (struct code_frame_answer){.start = function->start,
						 .has_frame = function->has_frame,
						 .has_cfa = frame->has_cfa,
						 .by_frame_pointer = frame->by_frame_pointer,
						 .fp = (uint32_t)frame->fp,
						 .cfa_offset = frame->cfa_offset,
						 .fp_offset = frame->fp_offset};
}

int code_frame_answer_decode(const void *payload, size_t n, uint64_t vaddr, struct symbolizer_function *function_out)
{
	const struct code_frame_answer *from = payload;

	if (n != sizeof(*from) || from->start > vaddr || from->has_frame > 1 || from->has_cfa > 1 || from->by_frame_pointer > 1 ||
	    from->fp > FP_LOST)
		return -EBADMSG;
	*function_out = (struct symbolizer_function){.start = from->start, .has_frame = from->has_frame};
	function_out->frame.has_cfa = from->has_cfa;
	function_out->frame.by_frame_pointer = from->by_frame_pointer;
	function_out->frame.cfa_offset = from->cfa_offset;
	function_out->frame.fp = from->fp;
	function_out->frame.fp_offset = from->fp_offset;
	return 0;
}

void walk_answer_encode(const struct symbolizer_caller *caller, struct walk_answer *answer_out)
{
	memcpy(answer_out->registers, caller->registers, sizeof(answer_out->registers));
	answer_out->pc = caller->pc;
	answer_out->exact = caller->exact;
}

int walk_answer_decode(const void *payload, size_t n, size_t n_callers, struct symbolizer_caller *callers_out)
{
	const struct walk_answer *from = payload;

	if (n_callers > SYMBOLIZER_CALLERS_MAX || n != n_callers * sizeof(*from))
		return -EBADMSG;
	for (size_t i = 0; i < n_callers; i++)
		if (from[i].exact > 1)
			return -EBADMSG;
	for (size_t i = 0; i < n_callers; i++) {
		memcpy(callers_out[i].registers, from[i].registers, sizeof(callers_out[i].registers));
		callers_out[i].pc = from[i].pc;
		callers_out[i].exact = from[i].exact;
	}
	return 0;
}

int kernel_answer_decode(const void *payload, size_t n, uint64_t *base_out)
{
	const struct kernel_answer *from = payload;

	if (n != sizeof(*from))
		return -EBADMSG;
	*base_out = from->base;
	return 0;
}
