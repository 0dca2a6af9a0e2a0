/* symbolizer/protocol.c, unwind_image.c and image_strikes.c: what each refuses. */
#include "symbolizer/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "bpf/records.h"
#include "symbolizer/image_strikes.h"
#include "tests/unit/cmocka_prelude.h"

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void heads(void **state)
{
	const struct message_head good = {.version = PROTOCOL_VERSION, .kind = MESSAGE_NAMES, .payload_bytes = 8, .n_fds = 1};
	struct message_head bad;

	(void)state;
	assert_int_equal(message_head_check(&good, &PROTOCOL_RULES, sizeof(good) + 8, 1, 100), 0);
	assert_int_equal(message_head_check(&good, &PROTOCOL_RULES, sizeof(good) + 8, 2, 100), 0); /* what was not announced is closed */
	assert_int_equal(message_head_check(&good, &PROTOCOL_RULES, sizeof(good) + 8, 0, 100), -EBADMSG);
	assert_int_equal(message_head_check(&good, &PROTOCOL_RULES, sizeof(good) + 7, 1, 100), -EBADMSG);
	assert_int_equal(message_head_check(&good, &PROTOCOL_RULES, sizeof(good) + 9, 1, 100), -EBADMSG);
	assert_int_equal(message_head_check(&good, &PROTOCOL_RULES, sizeof(good) + 8, 1, 7), -EBADMSG);
	assert_int_equal(message_head_check(&good, &PROTOCOL_RULES, sizeof(good) - 1, 1, 100), -EBADMSG);
#define BAD(...)                                                                                   \
	do {                                                                                       \
		bad = good;                                                                        \
		__VA_ARGS__;                                                                       \
		assert_int_equal(message_head_check(&bad, &PROTOCOL_RULES, sizeof(bad) + 8, 200, 100), -EBADMSG); \
	} while (0)
	BAD(bad.version++);
	BAD(bad.kind = 0);
	BAD(bad.kind = MESSAGE_KINDS);
	BAD(bad.detail = DEMANGLE_NONE + 1);
	BAD(bad.by_fd = 2);
	BAD(bad.by_fd = 1); /* with a payload in the datagram as well */
	BAD(bad.n_fds = PROTOCOL_FDS_MAX + 1);
	bad = good;
	bad.by_fd = 1;
	assert_int_equal(message_head_check(&bad, &PROTOCOL_RULES, sizeof(bad), 1, 100), 0);
	bad.n_fds = 0;
	assert_int_equal(message_head_check(&bad, &PROTOCOL_RULES, sizeof(bad), 1, 100), -EBADMSG);
}

static void requests(void **state)
{
	struct {
		struct names_request head;
		uint64_t addresses[3];
	} names = {{7, 1, 0}, {1, 2, 3}};
	struct request r;

	(void)state;
	assert_int_equal(request_decode(MESSAGE_NAMES, &names, sizeof(names), 1, &r), 0);
	assert_int_equal(r.image_id, 7);
	assert_int_equal(r.n_addresses, 3);
	assert_int_equal(r.addresses[2], 3);
	assert_int_equal(request_decode(MESSAGE_NAMES, &names, sizeof(names), 0, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_NAMES, &names, sizeof(names) - 1, 1, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_NAMES, &names, sizeof(names.head) - 1, 1, &r), -EBADMSG);
	names.head.has_table = 2;
	assert_int_equal(request_decode(MESSAGE_NAMES, &names, sizeof(names), 3, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_IMAGE, NULL, 0, 1, &r), 0);
	assert_int_equal(request_decode(MESSAGE_IMAGE, &names, 1, 1, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_IMAGE, NULL, 0, 2, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_ASK, NULL, 0, 1, &r), -EBADMSG);
	struct {
		struct compile_request head;
		uint64_t wanted[2];
	} compile = {{1, 1}, {2, 1}};
	assert_int_equal(request_decode(MESSAGE_COMPILE, &compile, sizeof(compile), 1, &r), -EBADMSG); /* not sorted */
	compile.wanted[1] = 2;
	assert_int_equal(request_decode(MESSAGE_COMPILE, &compile, sizeof(compile), 1, &r), 0);
	struct debug_only_request debug_only = {.image_id = 5, .bytes_max = 77};
	assert_int_equal(request_decode(MESSAGE_DEBUG_ONLY, &debug_only, sizeof(debug_only), 1, &r), 0);
	assert_true(r.image_id == 5 && r.bytes_max == 77);
	assert_int_equal(request_decode(MESSAGE_DEBUG_ONLY, &debug_only, sizeof(debug_only) - 1, 1, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_DEBUG_ONLY, &debug_only, sizeof(debug_only), 0, &r), -EBADMSG);
}

static void walk_requests(void **state)
{
	struct {
		struct walk_request head;
		struct walk_request_image image;
		uint64_t frames[2];
		struct walk_input input;
		uint8_t stack[16];
	} good = {{7, 1, 2, 3, 0}, {0x1000, 0x2000, 0x1000}, {0x1010, 0x1020}, {{1, 2}, 0x7000, 16}, {9}}, bad = good;
	size_t n = sizeof(good), n_without = offsetof(__typeof__(good), input);
	struct request r;

	(void)state;
	assert_int_equal(request_decode(MESSAGE_WALK, &good, n, 1, &r), 0);
	assert_int_equal(r.walk.number, 7);
	assert_int_equal(r.walk.n_wanted, 3);
	assert_int_equal(r.walk.n_images, 1);
	assert_int_equal(r.walk.images[0].end, 0x2000);
	assert_int_equal(r.walk.images[0].fd, -1);
	assert_int_equal(r.walk.n_frames, 2);
	assert_int_equal(r.walk.frames[1], 0x1020);
	assert_int_equal(r.walk.registers[1], 2);
	assert_int_equal(r.walk.stack_address, 0x7000);
	assert_int_equal(r.walk.stack_bytes, 16);
	assert_int_equal(r.walk.stack[0], 9);
	assert_false(r.goes_on);
	assert_int_equal(request_decode(MESSAGE_WALK, &good, n, 0, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_WALK, &good, n, 2, &r), -EBADMSG);
	for (size_t less = 0; less < n; less += 8)
		assert_int_equal(request_decode(MESSAGE_WALK, &good, less, 1, &r), -EBADMSG);
	/* One that goes on has no input. */
	bad.head.goes_on = 1;
	assert_int_equal(request_decode(MESSAGE_WALK, &bad, n, 1, &r), -EBADMSG);
	assert_int_equal(request_decode(MESSAGE_WALK, &bad, n_without, 1, &r), 0);
	assert_true(r.goes_on);
	assert_null(r.walk.stack);
	assert_int_equal(r.walk.stack_bytes, 0);
#define BAD_WALK(...)                                                                                  \
	do {                                                                                           \
		bad = good;                                                                            \
		__VA_ARGS__;                                                                           \
		assert_int_equal(request_decode(MESSAGE_WALK, &bad, n, bad.head.n_images, &r), -EBADMSG);     \
		bad.head.goes_on |= 1;                                                                 \
		bad.input.stack_bytes = 16;                                                            \
		assert_int_equal(request_decode(MESSAGE_WALK, &bad, n_without, bad.head.n_images, &r), -EBADMSG); \
	} while (0)
	BAD_WALK(bad.head.number = 0);
	BAD_WALK(bad.head.goes_on = 2);
	BAD_WALK(bad.head.n_wanted = 0);
	BAD_WALK(bad.head.n_wanted = SYMBOLIZER_CALLERS_MAX + 1);
	BAD_WALK(bad.head.n_frames = 0);
	BAD_WALK(bad.head.n_frames = USER_FRAMES_MAX + 1);
	BAD_WALK(bad.head.n_frames = UINT32_MAX);
	BAD_WALK(bad.head.n_images = SYMBOLIZER_WALK_IMAGES + 1);
	BAD_WALK(bad.head.n_images = UINT32_MAX);
	for (size_t i = 0; i < 4; i++) {
		bad = good;
		bad.input.stack_bytes = (const uint64_t[]){8, 17, DEFERRED_STACK_MAX + 1, UINT64_MAX}[i];
		assert_int_equal(request_decode(MESSAGE_WALK, &bad, n, 1, &r), -EBADMSG);
	}
}

static void questions(void **state)
{
	struct {
		struct ask_request head;
		char text[8];
	} ask = {{.kind = DEBUG_ASK_DWO, .nth = 1, .directory_bytes = 4, .name_bytes = 4}, "/dir" "name"};
	static struct asked_file asked;

	(void)state;
	memcpy(ask.text, "/dirname", 8);
	assert_int_equal(asked_file_decode(&ask, sizeof(ask), &asked), 0);
	assert_string_equal(asked.ask.directory, "/dir");
	assert_string_equal(asked.ask.name, "name");
	assert_int_equal(asked_file_decode(&ask, sizeof(ask) - 1, &asked), -EBADMSG);
	ask.text[5] = 0;
	assert_int_equal(asked_file_decode(&ask, sizeof(ask), &asked), -EBADMSG);
	ask.text[5] = 'x';
	ask.head.kind = DEBUG_ASK_KINDS;
	assert_int_equal(asked_file_decode(&ask, sizeof(ask), &asked), -EBADMSG);
	ask.head.kind = DEBUG_ASK_DWO;
	ask.head.build_id_bytes = BUILD_ID_MAX + 1;
	assert_int_equal(asked_file_decode(&ask, sizeof(ask), &asked), -EBADMSG);
}

static void image_answers(void **state)
{
	struct image_info info = {.build_id_bytes = 20, .address_bytes = 8, .n_segments = 1, .segments = {{0x1000, 0x401000, 0x500}}};
	struct image_answer good, bad;

	(void)state;
	image_answer_encode(&info, &good);
	assert_int_equal(image_answer_decode(&good, sizeof(good), &info), 0);
	assert_int_equal(info.segments[0].vaddr, 0x401000);
	assert_int_equal(image_answer_decode(&good, sizeof(good) - 1, &info), -EBADMSG);
#define BAD_IMAGE(...)                                                                  \
	do {                                                                            \
		bad = good;                                                             \
		__VA_ARGS__;                                                            \
		assert_int_equal(image_answer_decode(&bad, sizeof(bad), &info), -EBADMSG); \
	} while (0)
	BAD_IMAGE(bad.n_segments = IMAGE_SEGMENTS_MAX + 1);
	BAD_IMAGE(bad.build_id_bytes = 3);
	BAD_IMAGE(bad.build_id_bytes = BUILD_ID_MAX + 1);
	BAD_IMAGE(bad.address_bytes = 5);
	BAD_IMAGE(bad.lacks_cfi = 2);
	BAD_IMAGE(bad.segments[0].vaddr = UINT64_MAX);
	BAD_IMAGE(bad.segments[0].file_offset = UINT64_MAX);
	BAD_IMAGE(bad.segments[0].file_bytes = UINT64_MAX);
}

struct names_bytes {
	struct names_answer head;
	struct symbolizer_answer answers[2];
	struct names_answer_frame frames[1];
	char strings[8];
};

static void names_answers(void **state)
{
	const struct names_bytes good = {{2, 1, 8, 0}, {{0, 1, 0x10, 0x20}, {0, 0, 0, 0}}, {{5, 0, 3, 1, 1, 0}}, "\0name\0\0"};
	struct symbolizer_reply *reply = NULL;
	struct names_bytes bad;

	(void)state;
	assert_int_equal(names_answer_decode(&good, sizeof(good), 2, &reply), 0);
	assert_string_equal(reply->frames[0].name, "name");
	assert_string_equal(reply->frames[0].file, "");
	assert_int_equal(reply->frames[0].line, 5);
	symbolizer_reply_free(reply);
	assert_int_equal(names_answer_decode(&good, sizeof(good), 3, &reply), -EBADMSG);
	assert_int_equal(names_answer_decode(&good, sizeof(good) - 1, 2, &reply), -EBADMSG);
#define BAD_NAMES(...)                                                                       \
	do {                                                                                 \
		bad = good;                                                                  \
		__VA_ARGS__;                                                                 \
		assert_int_equal(names_answer_decode(&bad, sizeof(bad), 2, &reply), -EBADMSG); \
	} while (0)
	BAD_NAMES(bad.head.n_frames = UINT32_MAX);
	BAD_NAMES(bad.head.n_string_bytes = 7);
	BAD_NAMES(bad.head.table_damaged = 2);
	BAD_NAMES(bad.answers[0].first = 1);
	BAD_NAMES(bad.answers[1].first = 2);
	BAD_NAMES(bad.answers[0].count = UINT32_MAX);
	BAD_NAMES(bad.answers[0].symbol_end = 0xf);
	BAD_NAMES(bad.frames[0].name = 8);
	BAD_NAMES(bad.frames[0].name = 2); /* in the middle of a string */
	BAD_NAMES(bad.strings[7] = 'x');   /* no end */
	BAD_NAMES(bad.strings[2] = '\xff');
	BAD_NAMES(bad.strings[2] = '\n');
}

static void small_answers(void **state)
{
	struct code_frame_answer code = {.start = 0x1000, .has_frame = 1, .fp = FP_SAVED};
	struct symbolizer_function function;
	struct symbolizer_caller caller[2];
	struct walk_answer walk[2] = {{.pc = 1, .exact = 1}, {.pc = 2}};

	(void)state;
	assert_int_equal(code_frame_answer_decode(&code, sizeof(code), 0x1001, &function), 0);
	assert_int_equal(code_frame_answer_decode(&code, sizeof(code), 0xfff, &function), -EBADMSG);
	code.fp = FP_LOST + 1;
	assert_int_equal(code_frame_answer_decode(&code, sizeof(code), 0x1001, &function), -EBADMSG);
	assert_int_equal(walk_answer_decode(walk, sizeof(walk), 2, caller), 0);
	assert_int_equal(caller[1].pc, 2);
	assert_true(caller[0].exact);
	assert_false(caller[1].exact);
	assert_int_equal(walk_answer_decode(walk, sizeof(walk[0]), 1, caller), 0);
	assert_int_equal(walk_answer_decode(walk, 0, 0, caller), 0);
	assert_int_equal(walk_answer_decode(walk, 0, 1, caller), -EBADMSG);
	assert_int_equal(walk_answer_decode(walk, sizeof(walk), 1, caller), -EBADMSG);
	assert_int_equal(walk_answer_decode(walk, sizeof(walk) - 1, 2, caller), -EBADMSG);
	assert_int_equal(walk_answer_decode(walk, (SYMBOLIZER_CALLERS_MAX + 1) * sizeof(walk[0]), SYMBOLIZER_CALLERS_MAX + 1, caller), -EBADMSG);
	walk[1].exact = 2;
	assert_int_equal(walk_answer_decode(walk, sizeof(walk), 2, caller), -EBADMSG);
}

/* One table: a page, two rows, two rules. */
struct unwind_bytes {
	struct unwind_answer head;
	struct unwind_answer_table table;
	uint32_t pages[2];
	uint8_t rows[8];
	struct unwind_rule rules[2];
};

static void unwind_answers(void **state)
{
	const struct unwind_bytes good = {{1, 1, 0, 2, 16},
					  {0x1000, 0x1010, 0x1020, 1, 2, 2, 8 + 8 + 32},
					  {0, 2},
					  {0x00, 0x00, 0x01, 0x01, 0x00, 0x02}, /* at 0x10 rule 0, at 0x20 rule 1 */
					  {{.cfa = CFA_REGISTER, .cfa_register = X86_64_SP, .cfa_offset = 8, .ra = AT_CFA, .ra_offset = -8},
					   {.cfa = CFA_NONE}}};
	struct unwind_image *image;
	struct unwind_bytes bad;
	struct unwind_rule rule;

	(void)state;
	assert_int_equal(unwind_answer_decode(&good, sizeof(good), &image), 0);
	assert_int_equal(unwind_image_find(image, 0x1018, &rule), 0);
	assert_int_equal(rule.cfa_offset, 8);
	image->n_tables = 0;
	unwind_image_free(image);
	assert_int_equal(unwind_answer_decode(&good, sizeof(good) - 1, &image), -EBADMSG);
#define BAD_TABLE(...)                                                                    \
	do {                                                                              \
		bad = good;                                                               \
		__VA_ARGS__;                                                              \
		assert_int_equal(unwind_answer_decode(&bad, sizeof(bad), &image), -EBADMSG); \
	} while (0)
	BAD_TABLE(bad.head.n_tables = UNWIND_TABLES_MAX + 1);
	BAD_TABLE(bad.head.n_tables = 2);
	BAD_TABLE(bad.head.n_tables = 0);
	BAD_TABLE(bad.table.vaddr = 0x1008);
	BAD_TABLE(bad.table.start = 0xfff);
	BAD_TABLE(bad.table.end = 0x2001); /* behind its last page */
	BAD_TABLE(bad.table.end = 0x1010);
	BAD_TABLE(bad.table.vaddr = 0xfffffffffffff000, bad.table.start = 0xfffffffffffff000, bad.table.end = UINT64_MAX);
	BAD_TABLE(bad.table.n_pages = 2);
	BAD_TABLE(bad.table.n_rows = 3);
	BAD_TABLE(bad.table.n_rules = 1);
	BAD_TABLE(bad.table.n_bytes = UINT32_MAX);
	BAD_TABLE(bad.pages[0] = 1);
	BAD_TABLE(bad.pages[1] = 3);
	BAD_TABLE(bad.pages[1] = 1);	/* a row that no page has */
	BAD_TABLE(bad.rows[3] = 2);	/* a rule that is not there */
	BAD_TABLE(bad.rows[2] = 0x03);	/* not in order */
	BAD_TABLE(bad.rules[0].cfa = CFA_UNSUPPORTED + 1);
	BAD_TABLE(bad.rules[0].fp = AT_UNRELIABLE + 1);
	BAD_TABLE(bad.rules[0].ra = 0xff);
}

/* Whatever bytes they are, nothing is read that is not there (AddressSanitizer sees to it). */
static void random_bytes(void **state)
{
	uint64_t words[128];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		size_t n = next_random() % sizeof(words);
		AUTO_FREE uint8_t *bytes = malloc(n ? n : 1);
		for (size_t w = 0; w < 128; w++)
			words[w] = next_random() & (next_random() & 1 ? 3 : 0x1000000ff);
		memcpy(bytes, words, n);
		struct symbolizer_reply *reply = NULL;
		struct unwind_image *image = NULL;
		struct request request;
		request_decode((enum message_kind)(1 + i % MESSAGE_KINDS), bytes, n, (size_t)(i % 3), &request);
		if (names_answer_decode(bytes, n, words[0] & 3, &reply) == 0)
			symbolizer_reply_free(reply);
		if (unwind_answer_decode(bytes, n, &image) == 0) {
			image->n_tables = 0;
			unwind_image_free(image);
		}
	}
}

/* --- strikes ---------------------------------------------------------------------------------------------------- */

static void strikes(void **state)
{
	struct image_strikes *s;
	uint64_t now_ns = 100 * NS_PER_S, key;

	(void)state;
	assert_int_equal(image_strikes_create(&s), 0);
	AUTO_CLOSE int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int again = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	key = image_strikes_key(s, file);
	assert_int_equal(key, image_strikes_key(s, again));
	assert_int_equal(image_strikes_key(s, -1), 0);
	assert_false(image_strikes_add(s, 0, now_ns));
	assert_false(image_strikes_refuses(s, 0, now_ns));
	assert_false(image_strikes_add(s, key, now_ns));
	assert_false(image_strikes_add(s, key, now_ns));
	assert_false(image_strikes_refuses(s, key, now_ns));
	assert_true(image_strikes_add(s, key, now_ns));
	assert_true(image_strikes_refuses(s, key, now_ns));
	now_ns += STRIKES_AGAIN_NS;
	assert_false(image_strikes_refuses(s, key, now_ns)); /* one try */
	assert_true(image_strikes_refuses(s, key, now_ns));
	assert_true(image_strikes_add(s, key, now_ns));
	/* Fewer are forgotten. */
	assert_false(image_strikes_add(s, key + 1, now_ns));
	assert_false(image_strikes_add(s, key + 1, now_ns));
	now_ns += STRIKES_FORGET_NS + 1;
	assert_false(image_strikes_add(s, key + 1, now_ns));
	/* A full table forgets what is oldest. */
	for (uint64_t i = 0; i < STRIKES_FILES_MAX; i++)
		image_strikes_add(s, image_strikes_number(s, i), now_ns + i);
	assert_false(image_strikes_refuses(s, key, now_ns));
	image_strikes_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),	 cmocka_unit_test(requests),	   cmocka_unit_test(walk_requests), cmocka_unit_test(questions),
		cmocka_unit_test(image_answers), cmocka_unit_test(names_answers),  cmocka_unit_test(small_answers),
		cmocka_unit_test(unwind_answers), cmocka_unit_test(random_bytes),   cmocka_unit_test(strikes),
	};

	return cmocka_run_group_tests_name("symbolizer/protocol", tests, NULL, NULL);
}
