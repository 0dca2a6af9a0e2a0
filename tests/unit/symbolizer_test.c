/* symbolizer/symbolizer.c with a real zygote and a real confined process; and with processes that are not as they should be. */
#include "symbolizer/symbolizer.h"

#include <sys/wait.h>
#include <sched.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/image_strikes.h"
#include "symbolizer/name_table.h"
#include "symbolizer/protocol.h"
#include "symbolizer/worker.h"
#include "symbolizer/worker_link.h"
#include "tests/unit/cfi_writer.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"
#include "tests/unit/zygote_fixture.h"

static const char KALLSYMS[] = "ffffffff81000000 T _stext\nffffffff81000100 T schedule\nffffffffc0201000 t work\t[mod]\n";

static struct symbolizer *create(void)
{
	struct symbolizer *s = NULL;

	assert_int_equal(test_symbolizer_create(&s), 0);
	return s;
}

static struct symbolizer_stats stats_of(const struct symbolizer *s)
{
	struct symbolizer_stats stats;

	symbolizer_stats(s, &stats);
	return stats;
}

static int sample_fd(void)
{
	struct elf_writer w;

	elf_writer_sample(&w, true);
	int fd = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	assert_true(fd >= 0);
	return fd;
}

/* --- a process as it should be ---------------------------------------------------------------------------------- */

static void headers(void **state)
{
	struct symbolizer *s = create();
	AUTO_CLOSE int fd = sample_fd();
	AUTO_CLOSE int text = bytes_fd("nothing", 7);
	struct image_info info = {0};

	(void)state;
	assert_int_equal(symbolizer_image(s, fd, &info), 0);
	assert_int_equal(info.build_id_bytes, 20);
	assert_memory_equal(info.build_id, SAMPLE_BUILD_ID, 20);
	assert_int_equal(info.address_bytes, 8);
	assert_int_equal(info.n_segments, 1);
	assert_true(symbolizer_is_debug_file(s, fd, (const uint8_t *)SAMPLE_BUILD_ID, 20));
	assert_false(symbolizer_is_debug_file(s, fd, (const uint8_t *)"another build id----", 20));
	assert_false(symbolizer_is_debug_file(s, fd, NULL, 0));
	assert_int_equal(symbolizer_image(s, text, &info), -ENOEXEC);
	assert_int_equal(symbolizer_image(s, -1, &info), -EBADF);
	struct symbolizer_stats stats = stats_of(s);
	assert_int_equal(stats.images_read, 4);
	assert_int_equal(stats.images_rejected, 1);
	assert_int_equal(stats.worker_restarts, 0);
	symbolizer_destroy(s);
	symbolizer_destroy(NULL);
}

static void names(void **state)
{
	static const uint64_t VADDRS[] = {0x1110, 5, 0x1000};
	struct symbolizer *s = create();
	AUTO_CLOSE int fd = sample_fd();
	struct symbolizer_reply *reply;

	(void)state;
	assert_int_equal(symbolizer_names(s, 1, -1, -1, VADDRS, 3, &reply), -ENOENT);
	assert_int_equal(symbolizer_names(s, 1, fd, -1, VADDRS, 3, &reply), 0);
	assert_int_equal(reply->n_answers, 3);
	assert_int_equal(reply->answers[0].count, 1);
	assert_int_equal(reply->answers[1].count, 0);
	assert_true(reply->answers[0].symbol_start <= 0x1110 && reply->answers[0].symbol_end > 0x1110);
	assert_string_equal(reply->frames[reply->answers[0].first].file, "");
	symbolizer_reply_free(reply);
	/* The table is kept by the process. */
	assert_int_equal(symbolizer_names(s, 1, -1, -1, VADDRS, 3, &reply), 0);
	symbolizer_reply_free(reply);
	assert_int_equal(symbolizer_names(s, 1, -1, -1, NULL, 0, &reply), 0);
	assert_int_equal(reply->n_answers, 0);
	symbolizer_reply_free(reply);
	symbolizer_destroy(s);
}

enum { PIECES_N = 2 * PROTOCOL_ADDRESSES_MAX + 5 };

struct pieces {
	size_t n, stop; /* stop: the piece from here on is not wanted */
};

static int take_piece(void *context, size_t first, struct symbolizer_reply *reply)
{
	struct pieces *pieces = context;
	bool wanted = first < pieces->stop;

	assert_int_equal(first, pieces->n);
	pieces->n += reply->n_answers;
	symbolizer_reply_free(reply);
	return wanted ? 0 : -ECANCELED;
}

/* In their order; who has enough leaves nothing behind. */
static void names_piece_by_piece(void **state)
{
	struct symbolizer *s = create();
	AUTO_CLOSE int fd = sample_fd();
	AUTO_FREE uint64_t *vaddrs = calloc(PIECES_N, sizeof(*vaddrs));
	struct symbolizer_reply *reply;

	(void)state;
	for (size_t i = 0; i < PIECES_N; i++)
		vaddrs[i] = i % 3 ? 0x1110 : 5;
	for (size_t stop = 0; stop < PIECES_N; stop += PROTOCOL_ADDRESSES_MAX) {
		struct pieces pieces = {.stop = stop};
		assert_int_equal(symbolizer_names_each(s, 1, fd, -1, vaddrs, PIECES_N, take_piece, &pieces), -ECANCELED);
		size_t end = stop + PROTOCOL_ADDRESSES_MAX;
		assert_int_equal(pieces.n, end < PIECES_N ? end : PIECES_N);
	}
	struct pieces all = {.stop = SIZE_MAX};
	assert_int_equal(symbolizer_names_each(s, 1, fd, -1, vaddrs, PIECES_N, take_piece, &all), 0);
	assert_int_equal(all.n, PIECES_N);
	struct pieces none = {.stop = SIZE_MAX};
	assert_int_equal(symbolizer_names_each(s, 1, fd, -1, NULL, 0, take_piece, &none), 0);
	assert_int_equal(symbolizer_names_each(s, 2, -1, -1, vaddrs, PIECES_N, take_piece, &none), -ENOENT);
	assert_int_equal(none.n, 0);
	/* In one reply. */
	assert_int_equal(symbolizer_names(s, 1, fd, -1, vaddrs, PIECES_N, &reply), 0);
	assert_int_equal(reply->n_answers, PIECES_N);
	for (size_t i = 0; i < PIECES_N; i++) {
		assert_int_equal(reply->answers[i].count, i % 3 ? 1 : 0);
		if (i % 3)
			assert_string_equal(reply->frames[reply->answers[i].first].name, reply->frames[0].name);
	}
	symbolizer_reply_free(reply);
	assert_int_equal(stats_of(s).worker_restarts, 0);
	symbolizer_destroy(s);
}

/* More than one request holds, and more text than one answer holds. */
static void many_names(void **state)
{
	enum { N = PROTOCOL_ADDRESSES_MAX + 100, LONG = 4000 };
	struct symbolizer *s = create();
	AUTO_FREE uint64_t *vaddrs = calloc(N, sizeof(*vaddrs));
	AUTO_FREE char *text = calloc(1, LONG + 8);
	struct symbolizer_reply *reply;
	struct elf_writer w;

	(void)state;
	elf_writer_init(&w, true);
	elf_writer_section(&w, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, NULL, 0);
	w.sections[1].claimed_bytes = 8 * N;
	uint32_t table = elf_writer_symtab(&w, SHT_SYMTAB);
	memset(text, 'x', LONG);
	for (unsigned i = 0; i < N; i++) {
		snprintf(text + LONG, 8, "%u", i);
		vaddrs[i] = 0x1000 + 8 * (N - 1 - i);
		elf_writer_symbol(&w, table, text, STT_FUNC, STB_GLOBAL, 1, 0x1000 + 8 * i, 8);
	}
	AUTO_CLOSE int fd = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	assert_int_equal(symbolizer_names(s, 1, fd, -1, vaddrs, N, &reply), 0);
	assert_int_equal(reply->n_answers, N);
	for (unsigned i = 0; i < N; i++) {
		snprintf(text + LONG, 8, "%u", N - 1 - i);
		assert_int_equal(reply->answers[i].count, 1);
		assert_string_equal(reply->frames[reply->answers[i].first].name, text);
	}
	symbolizer_reply_free(reply);
	assert_int_equal(stats_of(s).worker_restarts, 0);
	symbolizer_destroy(s);
}

static void kernel(void **state)
{
	static const uint64_t ADDRESSES[] = {0xffffffff81000104, 0xffffffffc0201010, 7};
	struct symbolizer *s = create();
	AUTO_CLOSE int fd = bytes_fd(KALLSYMS, strlen(KALLSYMS));
	AUTO_CLOSE int hidden = bytes_fd("0000000000000000 T _stext\n", 26);
	struct symbolizer_reply *reply;

	(void)state;
	assert_int_equal(symbolizer_kernel_names(s, ADDRESSES, 3, &reply), -ENOENT);
	assert_int_equal(symbolizer_kernel_base(s), 0);
	assert_int_equal(symbolizer_kernel_load(s, hidden), -EPERM);
	assert_int_equal(symbolizer_kernel_load(s, -1), -EBADF);
	assert_int_equal(symbolizer_kernel_names(s, ADDRESSES, 3, &reply), -ENOENT);
	assert_int_equal(symbolizer_kernel_load(s, fd), 3);
	assert_int_equal(symbolizer_kernel_base(s), 0xffffffff81000000);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(symbolizer_kernel_names(s, ADDRESSES, 3, &reply), 0);
		assert_string_equal(reply->frames[reply->answers[0].first].name, "schedule");
		assert_string_equal(reply->frames[reply->answers[1].first].name, "work [mod]");
		assert_int_equal(reply->answers[2].count, 0);
		symbolizer_reply_free(reply);
		/* What cannot be read leaves what was read before. */
		assert_int_equal(symbolizer_kernel_load(s, hidden), -EPERM);
	}
	symbolizer_destroy(s);
}

static int own_file(uint64_t *bias_out)
{
	struct link_map *map;
	Dl_info info;

	assert_true(dladdr1((void *)(uintptr_t)own_file, &info, (void **)&map, RTLD_DL_LINKMAP));
	*bias_out = map->l_addr;
	return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

/* Two functions at 0x100000 of 20,000 bytes, in which the CFA changes with each byte: rsp + 8, rsp + 24, ... */
static int many_rows_fd(void)
{
	enum { ROWS = 20000 };
	AUTO_WRITER struct writer cfi = {0};
	struct elf_writer w;

	size_t cie = put_cie(&cfi, "");
	for (uint64_t start = 0x100000; start < 0x100000 + 2 * ROWS; start += ROWS) {
		uint32_t fde_bytes = 4 + 16 + 3 * (ROWS - 1), to_cie = (uint32_t)(cfi.n + 4 - cie);
		uint64_t length = ROWS;
		put_u32(&cfi, fde_bytes);
		put_u32(&cfi, to_cie);
		put(&cfi, &start, 8);
		put(&cfi, &length, 8);
		for (unsigned i = 1; i < ROWS; i++)
			PUT(&cfi, DW_CFA_advance_loc + 1, DW_CFA_def_cfa_offset, i & 1 ? 24 : 8);
	}
	put_u32(&cfi, 0);
	elf_writer_init(&w, true);
	elf_writer_section(&w, ".eh_frame", SHT_PROGBITS, SHF_ALLOC, 0x1000, cfi.bytes, cfi.n);
	int fd = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	return fd;
}

static void unwind_tables(void **state)
{
	struct symbolizer *s = create();
	struct unwind_image *image;
	struct unwind_rule rule;
	uint64_t bias;

	(void)state;
	AUTO_CLOSE int fd = own_file(&bias);
	assert_int_equal(symbolizer_unwind(s, fd, -1, &image), 0);
	assert_int_equal(image->mapped_bytes, 0); /* this program's tables fit into a datagram */
	assert_int_equal(unwind_image_find(image, (uint64_t)(uintptr_t)own_file - bias, &rule), 0);
	assert_int_equal(rule.cfa_offset, 8);
	assert_int_equal(unwind_image_check(image), 0);
	unwind_image_free(image);
	/* These do not. */
	AUTO_CLOSE int large = many_rows_fd();
	assert_int_equal(symbolizer_unwind(s, large, -1, &image), 0);
	assert_true(image->mapped_bytes > PROTOCOL_INLINE_MAX);
	assert_int_equal(unwind_image_find(image, 0x100000 + 30001, &rule), 0);
	assert_int_equal(rule.cfa_offset, 24);
	assert_int_equal(unwind_image_check(image), 0);
	unwind_image_free(image);
	AUTO_CLOSE int small = sample_fd();
	assert_int_equal(symbolizer_unwind(s, small, -1, &image), 0);
	assert_int_equal(image->n_tables, 0);
	unwind_image_free(image);
	AUTO_CLOSE int text = bytes_fd("nothing", 7);
	assert_int_equal(symbolizer_unwind(s, text, -1, &image), -ENOEXEC);
	symbolizer_destroy(s);
}

static void code_frames(void **state)
{
	struct symbolizer_function function;
	struct symbolizer *s = create();
	uint64_t bias;

	(void)state;
	AUTO_CLOSE int fd = own_file(&bias);
	uint64_t vaddr = (uint64_t)(uintptr_t)own_file - bias;
	assert_int_equal(symbolizer_code_frame(s, 1, fd, vaddr, false, &function), 0);
	assert_int_equal(function.start, vaddr);
	assert_int_equal(symbolizer_code_frame(s, 1, fd, 0, true, &function), -ENOENT);
	assert_int_equal(symbolizer_code_frame(s, 1, fd, UINT64_MAX, false, &function), -ENOENT);
	symbolizer_destroy(s);
}

/* --- name tables ------------------------------------------------------------------------------------------------ */

static uint32_t text_id(struct name_table_builder *b, const char *text)
{
	return (uint32_t)name_table_add_string(b, text, strlen(text));
}

/* outer() at 0x1000 .. 0x1100, with _Z5innerv inlined into 0x1010 .. 0x1020. */
static int table_fd_of(const char *outer)
{
	struct name_table_builder *b;
	struct name_table_stats stats;
	uint64_t bytes;
	int fd = memfd_create("names", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(name_table_builder_create(NULL, &b), 0);
	uint32_t file = (uint32_t)name_table_add_file(b, "/src", "a.c"), header = (uint32_t)name_table_add_file(b, "/src", "/inc/b.h");
	uint32_t out = (uint32_t)name_table_add_function(b, text_id(b, outer), file, 10);
	uint32_t in = (uint32_t)name_table_add_function(b, text_id(b, "_Z5innerv"), header, 3);
	uint32_t outer_node = (uint32_t)name_table_add_node(b, NAME_TABLE_NONE, out, 0, 0, 0);
	uint32_t inner_node = (uint32_t)name_table_add_node(b, outer_node, in, file, 12, 7);
	const struct name_table_row rows[] = {{0x1000, file, 11, 1}, {0x1010, header, 4, 2}, {0x1020, file, 13, 3}};
	assert_int_equal(name_table_add_range(b, outer_node, 0x1000, 0x1100), 0);
	assert_int_equal(name_table_add_range(b, inner_node, 0x1010, 0x1020), 0);
	assert_int_equal(name_table_add_rows(b, rows, 3, 0x1100), 0);
	assert_int_equal(name_table_write(b, fd, &bytes, &stats), 0);
	name_table_builder_destroy(b);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS), 0);
	return fd;
}

static void names_by_a_table(void **state)
{
	static const uint64_t VADDRS[] = {0x1014, 0x1024, 0x1300};
	struct symbolizer *s = create();
	AUTO_CLOSE int fd = sample_fd();
	AUTO_CLOSE int table_fd = table_fd_of("outer");
	struct symbolizer_reply *reply;

	(void)state;
	for (int round = 0; round < 3; round++) {
		/* The process keeps it: then it need not come again. */
		assert_int_equal(symbolizer_names(s, 1, fd, round < 2 ? table_fd : -1, VADDRS, 3, &reply), 0);
		assert_false(reply->table_damaged);
		const struct symbolizer_answer *a = &reply->answers[0];
		assert_int_equal(a->count, 2);
		const struct symbolizer_frame *inner = &reply->frames[a->first], *outer = &reply->frames[a->first + 1];
		assert_string_equal(inner->name, "inner()");
		assert_string_equal(inner->system_name, "_Z5innerv");
		assert_string_equal(inner->file, "/inc/b.h");
		assert_int_equal(inner->line, 4);
		assert_int_equal(inner->column, 2);
		assert_int_equal(inner->start_line, 3);
		assert_string_equal(outer->name, "outer");
		assert_string_equal(outer->file, "/src/a.c");
		assert_int_equal(outer->line, 12);
		assert_int_equal(outer->column, 7);
		assert_int_equal(outer->start_line, 10);
		assert_true(a->symbol_start <= 0x1014 && a->symbol_end > 0x1014 && a->symbol_end <= 0x1020);
		assert_int_equal(reply->answers[1].count, 1);
		assert_int_equal(reply->frames[reply->answers[1].first].line, 13);
		assert_int_equal(reply->answers[2].count, 1); /* the symbol table's */
		assert_int_equal(reply->frames[reply->answers[2].first].line, 0);
		symbolizer_reply_free(reply);
	}
	assert_int_equal(stats_of(s).name_tables, 1);
	AUTO_CLOSE int other = table_fd_of("another");
	assert_int_equal(symbolizer_names(s, 1, fd, other, VADDRS, 1, &reply), 0);
	assert_string_equal(reply->frames[reply->answers[0].first + 1].name, "another");
	symbolizer_reply_free(reply);
	assert_int_equal(stats_of(s).name_tables, 1);
	symbolizer_destroy(s);
}

static void a_damaged_table(void **state)
{
	static const uint64_t VADDRS[] = {0x1014, 0x1110};
	struct symbolizer *s = create();
	AUTO_CLOSE int fd = sample_fd();
	AUTO_CLOSE int table_fd = bytes_fd("no table at all, but long enough to have a head of some kind or other", 69);
	struct symbolizer_reply *reply;

	(void)state;
	assert_int_equal(symbolizer_names(s, 1, fd, table_fd, VADDRS, 2, &reply), 0);
	assert_true(reply->table_damaged);
	assert_int_equal(reply->answers[1].count, 1); /* the symbol table still answers */
	symbolizer_reply_free(reply);
	assert_int_equal(stats_of(s).tables_damaged, 1);
	assert_int_equal(stats_of(s).name_tables, 0);
	symbolizer_destroy(s);
}

static void styles(void **state)
{
	static const uint64_t VADDR = 0x1014;
	struct symbolizer_options options = {.demangle = DEMANGLE_SHORT, .deadline_ns = 60 * NS_PER_S};
	AUTO_CLOSE int table_fd = table_fd_of("_Z5outerIiEvT_");
	AUTO_CLOSE int fd = sample_fd();
	struct symbolizer_reply *reply;
	struct symbolizer *s;

	(void)state;
	assert_int_equal(symbolizer_create(test_zygote(), &options, &s), 0);
	assert_int_equal(symbolizer_names(s, 1, fd, table_fd, &VADDR, 1, &reply), 0);
	assert_string_equal(reply->frames[reply->answers[0].first + 1].name, "outer");
	symbolizer_reply_free(reply);
	symbolizer_destroy(s);
}

/* --- processes that are not as they should be ------------------------------------------------------------------- */

/* What the process does with a request whose image_id is this. */
enum trouble { DIES = 100, HANGS, SPINS, LIES_HEAD, LIES_BODY, LIES_SERIAL, SENDS_EXTRA, SHORT, LARGE_UNSEALED, SAYS_NOMEM, DIES_LATER, LIES_LATER, STARVES, DAWDLES };

static void send_bytes(const struct channel *c, const struct message *m, const void *bytes, size_t n, int result, const int *fds, size_t n_fds)
{
	static const struct engine_stats STATS;
	struct message_head head = {.serial = m->head.serial, .kind = m->head.kind, .result = result};
	const struct iovec parts[] = {{(void *)(uintptr_t)&STATS, sizeof(STATS)}, {(void *)(uintptr_t)bytes, n}};

	channel_send(c, &head, parts, 2, fds, n_fds, true);
}

static void send_unsealed(const struct channel *c, const struct message *m)
{
	struct message_head head = {.serial = m->head.serial, .kind = m->head.kind, .version = PROTOCOL_VERSION, .n_fds = 1, .by_fd = 1,
				    .payload_bytes = 1 << 20};
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec part = {&head, sizeof(head)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, 1 << 20) < 0)
		_exit(9);
	struct cmsghdr *message = CMSG_FIRSTHDR(&header);
	message->cmsg_level = SOL_SOCKET;
	message->cmsg_type = SCM_RIGHTS;
	message->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(message), &fd, sizeof(fd));
	sendmsg(c->fd, &header, 0);
	close(fd);
}

/* A batch in pieces: the first is answered well. */
static void make_trouble_later(const struct channel *c, const struct message *m, const struct request *r)
{
	static unsigned requests;
	size_t n = sizeof(struct names_answer) + r->n_addresses * sizeof(struct symbolizer_answer) + 1;
	AUTO_FREE uint8_t *answer = calloc(1, n);
	const struct names_answer head = {(uint32_t)r->n_addresses, 0, 1, 0};

	if (!answer)
		_exit(9);
	memcpy(answer, &head, sizeof(head));
	if (requests++ && r->image_id == DIES_LATER)
		_exit(3);
	send_bytes(c, m, answer, requests == 1 ? n : n - 1, 0, NULL, 0);
}

static void to_cpu_0(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first) < 0)
		_exit(9);
}

#define STARVES_MS	  20
#define STARVES_LIMIT_MS 200 /* a hypervisor that takes the CPU away in between is counted as CPU time, too */

/* Some work, on a CPU of which others leave little. */
static void starve(void)
{
	to_cpu_0();
	for (uint64_t begin_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID); clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_ns < STARVES_MS * NS_PER_MS;)
		;
}

static void make_trouble(const struct channel *c, const struct message *m, uint64_t which)
{
	static const uint8_t GARBAGE[300] = {0xff};
	struct message_head head = {.serial = m->head.serial, .kind = m->head.kind};
	const struct names_answer none = {1, 0, 1, 0};
	uint8_t answer[sizeof(none) + sizeof(struct symbolizer_answer) + 1] = {0};

	memcpy(answer, &none, sizeof(none));
	if (which == DIES)
		_exit(3);
	if (which == STARVES)
		starve();
	if (which == DAWDLES)
		poll(NULL, 0, 150);
	while (which == HANGS) /* in a system call that is allowed */
		recv(c->fd, answer, 0, MSG_PEEK), poll(NULL, 0, 10);
	while (which == SPINS)
		;
	if (which == LIES_HEAD)
		send(c->fd, GARBAGE, sizeof(GARBAGE), 0);
	else if (which == LIES_BODY)
		send_bytes(c, m, GARBAGE, sizeof(GARBAGE), 0, NULL, 0);
	else if (which == LIES_SERIAL)
		head.serial++, channel_send(c, &head, &(struct iovec){answer, sizeof(answer)}, 1, NULL, 0, true);
	else if (which == SENDS_EXTRA)
		send_bytes(c, m, answer, sizeof(answer), 0, (int[]){c->fd, c->fd}, 2);
	else if (which == SHORT)
		channel_send(c, &head, &(struct iovec){answer, 3}, 1, NULL, 0, true);
	else if (which == LARGE_UNSEALED)
		send_unsealed(c, m);
	else if (which == SAYS_NOMEM)
		send_bytes(c, m, NULL, 0, -ENOMEM, NULL, 0);
	else
		send_bytes(c, m, answer, sizeof(answer), 0, NULL, 0);
}

/* By the number of frames: what is wrong with the answer; see walk_answers(). */
static void make_trouble_of_walk(const struct channel *c, const struct message *m, const struct request *r)
{
	struct walk_answer answers[2] = {{.pc = 0x1000}, {.pc = 0x2000}};
	size_t one = sizeof(answers[0]);

	answers[0].exact = r->walk.n_frames == 5 ? 2 : 0;
	switch (r->walk.n_frames) {
	case 2:
		send_bytes(c, m, answers, 2 * one, 2, NULL, 0);
		break;
	case 3:
		send_bytes(c, m, NULL, 0, KEPT_WALK_ANEW, NULL, 0);
		break;
	case 4:
		send_bytes(c, m, answers, 2 * one, 1, NULL, 0);
		break;
	case 6:
		send_bytes(c, m, answers, r->goes_on ? 0 : one, r->goes_on ? KEPT_WALK_ANEW : 1, NULL, 0);
		break;
	case 7:
		send_bytes(c, m, answers, one, 0, NULL, 0);
		break;
	case 8:
		send_bytes(c, m, answers, r->goes_on ? one : 0, r->goes_on ? KEPT_WALK_ANEW : 0, NULL, 0);
		break;
	case 9:
		send_bytes(c, m, NULL, 0, -EFAULT, NULL, 0);
		break;
	default:
		send_bytes(c, m, answers, one, 1, NULL, 0);
		break;
	}
}

static int troublemaker(int socket)
{
	struct channel c;
	struct message m;
	struct request r;

	if (channel_init(&c, socket, &PROTOCOL_RULES, PROTOCOL_INLINE_MAX) < 0)
		return 1;
	while (channel_receive(&c, 0, &m) == 0) {
		if (request_decode(m.head.kind, m.payload, m.head.payload_bytes, m.n_fds, &r) < 0)
			return 2;
		if (r.kind == MESSAGE_WALK)
			make_trouble_of_walk(&c, &m, &r);
		else if (r.image_id == DIES_LATER || r.image_id == LIES_LATER)
			make_trouble_later(&c, &m, &r);
		else
			make_trouble(&c, &m, r.image_id);
		message_close(&m);
	}
	return 0;
}

/* Not confined by a list of system calls: it shall do what it likes. */
static struct zygote *troubled_zygote(void)
{
	static const struct zygote_job JOBS[] = {
		[ZYGOTE_NAMES] = {"trouble", troublemaker, {1ull << 40, 1 << 28, 3600, 64}, false},
	};
	static const struct zygote_options OPTIONS = {.jobs = JOBS, .n_jobs = 1, .bare = true};
	static struct zygote *zygote;

	if (!zygote)
		assert_int_equal(zygote_start_with(&OPTIONS, &zygote), 0);
	return zygote;
}

static struct symbolizer *create_troubled(uint64_t deadline_ns)
{
	struct symbolizer_options options = {.deadline_ns = deadline_ns};
	struct symbolizer *s;

	assert_int_equal(symbolizer_create(troubled_zygote(), &options, &s), 0);
	return s;
}

static int ask(struct symbolizer *s, uint64_t what, int fd)
{
	static const uint64_t VADDR = 1;
	struct symbolizer_reply *reply = NULL;

	int err = symbolizer_names(s, what, fd, -1, &VADDR, 1, &reply);
	symbolizer_reply_free(reply);
	return err;
}

static void one_request_each(void **state)
{
	static const struct {
		uint64_t what;
		int err;
	} CASES[] = {{DIES, -ECHILD},	  {LIES_HEAD, -EBADMSG}, {LIES_BODY, -EBADMSG}, {LIES_SERIAL, -EBADMSG}, {SENDS_EXTRA, -EBADMSG},
		     {SHORT, -EBADMSG}, {LARGE_UNSEALED, -EBADMSG}};
	struct symbolizer *s = create_troubled(60 * NS_PER_S);
	uint64_t n = sizeof(CASES) / sizeof(CASES[0]);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		AUTO_CLOSE int fd = bytes_fd("file", 4);
		assert_int_equal(ask(s, 1, fd), 0);
		assert_int_equal(ask(s, CASES[i].what, fd), CASES[i].err);
		assert_int_equal(ask(s, 1, fd), 0);
	}
	struct symbolizer_stats stats = stats_of(s);
	assert_int_equal(stats.worker_restarts, n);
	assert_int_equal(stats.replies_rejected, n - 1);
	assert_int_equal(stats.worker_timeouts, 0);
	assert_int_equal(stats.images_set_aside, 0);
	/* Its memory is not ours. */
	assert_int_equal(ask(s, SAYS_NOMEM, -1), -E2BIG);
	assert_int_equal(stats_of(s).worker_restarts, n);
	symbolizer_destroy(s);
}

static void walk_answers(void **state)
{
	static const uint64_t FRAMES[10] = {0x10};
	static const struct {
		uint32_t n_frames;
		int begun, going_on;
	} CASES[] = {{1, 1, 1},		/* as it should be */
		     {2, -EBADMSG, -EBADMSG}, /* more than was wanted */
		     {3, -EBADMSG, -EBADMSG}, /* "anew", again and again */
		     {4, -EBADMSG, -EBADMSG}, /* more than it says */
		     {5, -EBADMSG, -EBADMSG}, /* no bool */
		     {6, 1, 1},		/* "anew", once */
		     {7, -EBADMSG, -EBADMSG}, /* nothing, and something */
		     {8, 0, -EBADMSG},	/* "anew", and something */
		     {9, -EFAULT, -EFAULT}};
	struct symbolizer *s = create_troubled(60 * NS_PER_S);
	struct symbolizer_caller caller;
	uint64_t rejected = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct symbolizer_walk walk = {.n_wanted = 1, .n_frames = CASES[i].n_frames, .frames = FRAMES};
		assert_int_equal(symbolizer_walk_step(s, &walk, &caller), CASES[i].begun);
		rejected += CASES[i].begun == -EBADMSG;
		walk = (struct symbolizer_walk){.n_wanted = 1, .n_frames = 10, .frames = FRAMES};
		assert_int_equal(symbolizer_walk_step(s, &walk, &caller), 1);
		walk.n_frames = CASES[i].n_frames;
		assert_int_equal(symbolizer_walk_step(s, &walk, &caller), CASES[i].going_on);
		rejected += CASES[i].going_on == -EBADMSG;
		assert_int_equal(stats_of(s).replies_rejected, rejected);
		assert_int_equal(stats_of(s).worker_restarts, rejected);
	}
	symbolizer_destroy(s);
}

/* What was answered before is taken; the piece that was on its way is gone with the process. */
static void trouble_in_the_second_piece(void **state)
{
	static const struct {
		uint64_t what;
		int err;
	} CASES[] = {{DIES_LATER, -ECHILD}, {LIES_LATER, -EBADMSG}};
	struct symbolizer *s = create_troubled(60 * NS_PER_S);
	AUTO_FREE uint64_t *vaddrs = calloc(PIECES_N, sizeof(*vaddrs));

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct symbolizer_reply *reply = NULL;
		struct pieces pieces = {.stop = SIZE_MAX};
		AUTO_CLOSE int fd = bytes_fd("file", 4);
		assert_int_equal(symbolizer_names_each(s, CASES[i].what, fd, -1, vaddrs, PIECES_N, take_piece, &pieces), CASES[i].err);
		assert_int_equal(pieces.n, PROTOCOL_ADDRESSES_MAX);
		assert_int_equal(symbolizer_names(s, CASES[i].what, fd, -1, vaddrs, PIECES_N, &reply), CASES[i].err);
		assert_null(reply);
		assert_int_equal(ask(s, 1, fd), 0);
	}
	assert_int_equal(stats_of(s).worker_restarts, 4);
	symbolizer_destroy(s);
}

static void over_the_deadline(void **state)
{
	static const uint64_t WHICH[] = {HANGS, SPINS};
	struct symbolizer *s = create_troubled(100 * NS_PER_MS);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO_CLOSE int fd = bytes_fd("file", 4);
		uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
		assert_int_equal(ask(s, WHICH[i], fd), -ETIME);
		uint64_t ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
		assert_true(ns >= 100 * NS_PER_MS && ns < 60 * NS_PER_S);
		print_message("# a deadline of 100 ms: %.0f ms\n", (double)ns / 1e6);
	}
	assert_int_equal(stats_of(s).worker_timeouts, 2);
	assert_int_equal(stats_of(s).worker_restarts, 2);
	symbolizer_destroy(s);
}

/* Its turn comes later than the deadline, and that is not its fault. Each of the others has a session, and so a scheduling group, of its own. */
static void without_a_cpu(void **state)
{
	enum { OTHERS = 40 };
	struct symbolizer *s = create_troubled(STARVES_LIMIT_MS * NS_PER_MS);
	AUTO_CLOSE int fd = bytes_fd("file", 4);
	pid_t busy[OTHERS];

	(void)state;
	for (int i = 0; i < OTHERS; i++) {
		busy[i] = fork();
		assert_true(busy[i] >= 0);
		if (busy[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			setsid();
			to_cpu_0();
			for (;;)
				;
		}
	}
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
	int err = ask(s, STARVES, fd);
	print_message("# %d ms of work without a CPU, a deadline of %d ms: %.0f ms\n", STARVES_MS, STARVES_LIMIT_MS,
		      (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e6);
	for (int i = 0; i < OTHERS; i++) {
		kill(busy[i], SIGKILL);
		waitpid(busy[i], NULL, 0);
	}
	assert_int_equal(err, 0);
	assert_int_equal(stats_of(s).worker_timeouts, 0);
	symbolizer_destroy(s);
}

static void three_strikes(void **state)
{
	struct symbolizer *s = create_troubled(60 * NS_PER_S);
	AUTO_CLOSE int bad = bytes_fd("bad", 3);
	AUTO_CLOSE int good = bytes_fd("good", 4);

	(void)state;
	for (int i = 0; i < STRIKES_OUT; i++)
		assert_int_equal(ask(s, DIES, bad), -ECHILD);
	assert_int_equal(ask(s, DIES, bad), -EKEYREJECTED);
	assert_int_equal(ask(s, 1, bad), -EKEYREJECTED); /* whatever is asked of it */
	assert_int_equal(ask(s, 1, good), 0);
	struct symbolizer_stats stats = stats_of(s);
	assert_int_equal(stats.images_set_aside, 1);
	assert_int_equal(stats.requests_refused, 2);
	assert_int_equal(stats.worker_restarts, STRIKES_OUT);
	symbolizer_destroy(s);
}

/* Slow ones use up the window's allowance: then who was quick goes on, the others wait for the next window. */
static void slow_files_wait_for_the_next_window(void **state)
{
	enum { QUICK, SLOW, OTHER, NONE };
	static const struct {
		uint64_t what;
		int file, err;
	} ASKED[] = {{1, QUICK, 0},	 {DAWDLES, SLOW, 0}, {DAWDLES, SLOW, 0}, {1, SLOW, -EBUSY},
		     {1, OTHER, -EBUSY}, {1, QUICK, 0},	     {1, NONE, 0}};
	struct symbolizer *s = create_troubled(60 * NS_PER_S);
	AUTO_CLOSE int quick = bytes_fd("quick", 3);
	AUTO_CLOSE int slow = bytes_fd("slow", 4);
	AUTO_CLOSE int other = bytes_fd("other", 5);
	const int files[] = {[QUICK] = quick, [SLOW] = slow, [OTHER] = other, [NONE] = -1};
	uint64_t late = 0;
	int errs[7], unwind_err = 0;
	bool disturbed = true;

	(void)state;
	assert_int_equal(ask(s, DAWDLES, slow), 0); /* no limit yet */
	assert_int_equal(ask(s, DAWDLES, slow), 0);
	/* A window in which somebody took the CPU away says nothing: quick requests were slow ones then. */
	for (int tries = 0; disturbed && tries < 50; tries++) {
		struct unwind_image *image;
		disturbed = false;
		late = stats_of(s).requests_late;
		symbolizer_begin_window(s, 200 * NS_PER_MS);
		for (size_t i = 0; i < 7; i++) {
			uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
			errs[i] = ask(s, ASKED[i].what, files[ASKED[i].file]);
			disturbed = disturbed || clock_ns(CLOCK_MONOTONIC) - begin_ns > (ASKED[i].what == DAWDLES ? 190 : 90) * NS_PER_MS;
			if (i == 4)
				unwind_err = symbolizer_unwind(s, other, -1, &image);
		}
	}
	assert_false(disturbed);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(errs[i], ASKED[i].err);
	assert_int_equal(unwind_err, -EBUSY);
	struct symbolizer_stats stats = stats_of(s);
	assert_int_equal(stats.requests_late - late, 3);
	assert_int_equal(stats.worker_restarts, 0);
	symbolizer_begin_window(s, 200 * NS_PER_MS);
	assert_int_equal(ask(s, 1, other), 0);
	assert_int_equal(ask(s, 1, slow), 0);
	symbolizer_destroy(s);
}

static void a_pause_after_many_deaths(void **state)
{
	struct symbolizer *s = create_troubled(60 * NS_PER_S);

	(void)state;
	for (int i = 0; i < WORKER_DEATHS_MAX; i++)
		assert_int_equal(ask(s, DIES, -1), -ECHILD);
	/* Each further death makes a longer pause, for when one was over before we came to look. */
	uint64_t begin_ns, restarts, ns = WORKER_PAUSE_FIRST_NS;
	int err = 0;
	for (int tries = 0; err == 0 && ns >= WORKER_PAUSE_FIRST_NS && tries < 4; tries++) {
		begin_ns = clock_ns(CLOCK_MONOTONIC);
		assert_int_equal(ask(s, DIES, -1), -ECHILD);
		restarts = stats_of(s).worker_restarts;
		err = ask(s, 1, -1);
		ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
	}
	assert_int_equal(err, -ECHILD);
	assert_int_equal(stats_of(s).worker_restarts, restarts);
	assert_int_equal(stats_of(s).worker_pauses, 1);
	for (int i = 0; i < 600 && err < 0; i++) {
		usleep(50000);
		err = ask(s, 1, -1);
	}
	assert_int_equal(err, 0);
	assert_true(clock_ns(CLOCK_MONOTONIC) - begin_ns >= WORKER_PAUSE_FIRST_NS);
	symbolizer_destroy(s);
}

/* The first process dies; what it knew comes to the second. */
static void a_new_process_knows_the_kernel(void **state)
{
	static const uint64_t ADDRESS = 0xffffffff81000104;
	struct symbolizer *s = create();
	AUTO_CLOSE int fd = bytes_fd(KALLSYMS, strlen(KALLSYMS));
	AUTO_CLOSE int image = sample_fd();
	struct symbolizer_reply *reply;
	struct image_info info;
	char path[64], line[256];
	int killed = 0;

	(void)state;
	assert_int_equal(symbolizer_kernel_load(s, fd), 3);
	assert_int_equal(symbolizer_image(s, image, &info), 0);
	/* All children of the zygote: only that of this test lives now. */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", zygote_pid(test_zygote()), zygote_pid(test_zygote()));
	AUTO_FCLOSE FILE *children = fopen(path, "re");
	if (!children || !fgets(line, sizeof(line), children))
		skip(); /* a kernel without CONFIG_PROC_CHILDREN */
	for (char *at = line; *at && *at != '\n';) {
		kill((pid_t)strtol(at, &at, 10), SIGKILL);
		killed++;
		at += *at == ' ';
	}
	assert_int_equal(killed, 1);
	assert_int_equal(symbolizer_image(s, image, &info), -ECHILD);
	assert_int_equal(symbolizer_kernel_names(s, &ADDRESS, 1, &reply), 0);
	assert_string_equal(reply->frames[reply->answers[0].first].name, "schedule");
	symbolizer_reply_free(reply);
	struct symbolizer_stats stats = stats_of(s);
	assert_int_equal(stats.worker_restarts, 1);
	assert_int_equal(stats.images_read, 1); /* also of the process before */
	symbolizer_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(names),
		cmocka_unit_test(names_piece_by_piece),
		cmocka_unit_test(many_names),
		cmocka_unit_test(kernel),
		cmocka_unit_test(unwind_tables),
		cmocka_unit_test(code_frames),
		cmocka_unit_test(names_by_a_table),
		cmocka_unit_test(a_damaged_table),
		cmocka_unit_test(styles),
		cmocka_unit_test(one_request_each),
		cmocka_unit_test(walk_answers),
		cmocka_unit_test(trouble_in_the_second_piece),
		cmocka_unit_test(over_the_deadline),
		cmocka_unit_test(without_a_cpu),
		cmocka_unit_test(three_strikes),
		cmocka_unit_test(slow_files_wait_for_the_next_window),
		cmocka_unit_test(a_pause_after_many_deaths),
		cmocka_unit_test(a_new_process_knows_the_kernel),
	};

	return cmocka_run_group_tests_name("symbolizer", tests, NULL, NULL);
}
