/* The messages between the agent and its confined processes: a wire format, and functions that check it.
 *
 * base/channel.h sends and receives. A request is answered by one reply of its kind and serial.
 * Both sides check everything: the process that reads binaries could be taken over, and what is decoded here is believed afterwards.
 * The decoders are pure functions on bytes: they allocate at most what they are given times a small number, and open nothing.
 * Payloads are aligned to 8 bytes. Same machine, same build: native byte order. */
#ifndef HEARTH_SYMBOLIZER_PROTOCOL_H
#define HEARTH_SYMBOLIZER_PROTOCOL_H

#include "base/channel.h"
#include "symbolizer/debug_ask.h"
#include "symbolizer/engine.h"
#include "symbolizer/kept_walk.h"

#define PROTOCOL_VERSION    1
#define PROTOCOL_INLINE_MAX CHANNEL_INLINE_MAX
#define PROTOCOL_FDS_MAX    (SYMBOLIZER_WALK_IMAGES + 1)

#define PROTOCOL_ADDRESSES_MAX	   4096		/* of one request; callers with more send several */
#define PROTOCOL_REPLY_MAX	   (16ull << 20)  /* bytes of an answer with names: -E2BIG, and the caller asks for fewer */
#define PROTOCOL_UNWIND_MAX	   ((UNWIND_TABLES_MAX + 1ull) * UNWIND_TABLE_MAX_BYTES)
#define PROTOCOL_NAME_MAX	   (32u << 10) /* bytes of one string */
#define PROTOCOL_FRAMES_MAX	   128	       /* of one address */

enum message_kind {
	MESSAGE_IMAGE = 1,
	MESSAGE_DEBUG_FILE,
	MESSAGE_NAMES,
	MESSAGE_UNWIND,
	MESSAGE_CODE_FRAME,
	MESSAGE_WALK,
	MESSAGE_JIT, /* result 1: there is more to read */
	MESSAGE_KERNEL_LOAD,
	MESSAGE_KERNEL_NAMES,
	MESSAGE_COMPILE, /* from here on: of the process that compiles name tables */
	MESSAGE_ASK,
	MESSAGE_DEBUG_ONLY, /* answered with struct debug_only and a sealed memfd */
	MESSAGE_KINDS,
};

/* The messages between these processes; message_head.detail is enum demangle_style, of a request. */
extern const struct channel_rules PROTOCOL_RULES;

/* --- requests --------------------------------------------------------------------------------------------------- */

/* Payloads. IMAGE, KERNEL_LOAD: none, one descriptor. UNWIND: none, one or two. KERNEL_NAMES: addresses only. */
struct debug_file_request {
	uint8_t build_id[BUILD_ID_MAX];
	uint64_t build_id_bytes;
};

struct names_request { /* followed by addresses */
	uint64_t image_id;
	uint32_t has_fd, has_table;
};

struct jit_request { /* followed by queries */
	uint64_t process;
	uint32_t has_map, has_dump;
};

struct code_frame_request {
	uint64_t image_id, vaddr;
	uint32_t is_return, has_fd;
};

struct walk_request { /* followed by images, frames, and, unless it goes on, struct walk_input and the stack; one descriptor for each image */
	uint64_t number;
	uint32_t n_images, n_frames, n_wanted, goes_on;
};

struct walk_input {
	uint64_t registers[SYMBOLIZER_REGISTERS];
	uint64_t stack_address, stack_bytes;
};

struct walk_request_image {
	uint64_t start, end, bias;
};

struct compile_request { /* followed by sorted vaddrs that are wanted */
	uint64_t image_id;
	uint64_t has_wanted;
};

struct debug_only_request {
	uint64_t image_id, bytes_max;
};

struct ask_request { /* from the process: followed by directory and name, without NULs. Answered with a descriptor, or with an errno */
	uint64_t build_id_bytes;
	uint8_t build_id[BUILD_ID_MAX];
	uint32_t kind, nth, directory_bytes, name_bytes;
};

/* A question, checked; for the one who opens files. Its texts lie in the struct. */
struct asked_file {
	struct debug_ask ask;
	unsigned nth;
	char directory[DEBUG_ASK_TEXT_MAX], name[DEBUG_ASK_TEXT_MAX];
};

/* Returns 0, or -EBADMSG: also of texts with a NUL or of DEBUG_ASK_TEXT_MAX bytes and more. */
int asked_file_decode(const void *payload, size_t n, struct asked_file *asked_out);

/* A request, checked. Pointers lead into the payload. Descriptors are counted, not known: -1 in walk.images. */
struct request {
	enum message_kind kind;
	bool has_fd, has_table, is_return, has_wanted, goes_on; /* JIT: has_fd of the map, has_table of the dump */
	uint64_t image_id, vaddr;		       /* JIT: image_id of the process */
	uint64_t bytes_max;			       /* DEBUG_ONLY */
	uint8_t build_id[BUILD_ID_MAX];
	uint8_t build_id_bytes;
	const uint64_t *addresses;
	size_t n_addresses;
	const struct jit_query *queries;
	size_t n_queries;
	struct symbolizer_walk walk;
};

/* n_fds: without the payload's. Returns 0 or -EBADMSG. */
int request_decode(enum message_kind kind, const void *payload, size_t n, size_t n_fds, struct request *request_out);

/* --- answers ---------------------------------------------------------------------------------------------------- */

/* Each answer of the process that names begins with a struct engine_stats; the functions below get what follows it.
 * All of them return 0 or -EBADMSG (-ENOMEM where they allocate), and leave their result untouched on failure. */

struct image_answer {
	uint64_t n_segments;
	uint8_t build_id[BUILD_ID_MAX];
	uint8_t build_id_bytes, address_bytes, segments_dropped, lacks_cfi;
	uint32_t reserved;
	struct image_segment segments[IMAGE_SEGMENTS_MAX];
};
void image_answer_encode(const struct image_info *info, struct image_answer *answer_out);
int image_answer_decode(const void *payload, size_t n, struct image_info *info_out);

struct names_answer { /* followed by answers, frames, strings */
	uint32_t n_answers, n_frames, n_string_bytes, table_damaged;
};
struct names_answer_frame {
	uint32_t line, column, start_line;
	uint32_t name, system_name, file; /* offsets in the strings */
};
/* heads_out: struct names_answer, answers and frames; free() it. The reply's strings follow it. Returns 0, -E2BIG (over PROTOCOL_REPLY_MAX) or -ENOMEM. */
int names_answer_encode(const struct symbolizer_reply *reply, uint8_t **heads_out, size_t *n_out);
/* n_asked: addresses that were asked for. The strings stay in the payload: reply_out->block is NULL, and the caller sees to that it lives as long. */
int names_answer_decode(const void *payload, size_t n, size_t n_asked, struct symbolizer_reply **reply_out);

struct unwind_answer { /* followed by tables, and their bytes, each at a multiple of 8 */
	uint64_t n_tables, fdes, bad_fdes, cfi_rows, text_bytes;
};
struct unwind_answer_table {
	uint64_t vaddr, start, end;
	uint32_t n_pages, n_rows, n_rules, n_bytes;
};
/* heads_out: struct unwind_answer and its tables; free() it. Their bytes follow it, each padded to 8. */
int unwind_answer_encode(const struct unwind_image *image, uint8_t **heads_out, size_t *n_out);
/* The tables' bytes stay in the payload: image_out->block is NULL, and the caller sees to that it lives as long. */
int unwind_answer_decode(const void *payload, size_t n, struct unwind_image **image_out);

struct code_frame_answer {
	uint64_t start;
	uint32_t has_frame, has_cfa, by_frame_pointer, fp;
	int32_t cfa_offset, fp_offset;
};
void code_frame_answer_encode(const struct symbolizer_function *function, struct code_frame_answer *answer_out);
int code_frame_answer_decode(const void *payload, size_t n, uint64_t vaddr, struct symbolizer_function *function_out);

struct walk_answer { /* for each caller: their number is the result. KEPT_WALK_ANEW: none, send all of it */
	uint64_t registers[SYMBOLIZER_REGISTERS];
	uint64_t pc, exact;
};
void walk_answer_encode(const struct symbolizer_caller *caller, struct walk_answer *answer_out);
/* callers_out: room for n_callers. */
int walk_answer_decode(const void *payload, size_t n, size_t n_callers, struct symbolizer_caller *callers_out);

struct kernel_answer {
	uint64_t base;
};
int kernel_answer_decode(const void *payload, size_t n, uint64_t *base_out);

#endif
