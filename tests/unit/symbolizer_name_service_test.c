/* symbolizer/name_service.c: name tables from a confined process, and processes that are not as they should be. */
#include "symbolizer/name_service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "symbolizer/protocol.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/elf_writer.h"
#include "tests/unit/zygote_fixture.h"

struct seen {
	int done, err, table_fd;
	uint64_t image_id;
	unsigned asked[DEBUG_ASK_KINDS];
	uint8_t build_id[64];
	struct name_compile_stats stats;
	struct debug_only debug;
};

static int open_file(void *context, uint64_t image_id, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct seen *seen = context;

	assert_int_equal(image_id, 7);
	seen->asked[ask->kind]++;
	if (ask->kind == DEBUG_ASK_BUILD_ID)
		memcpy(seen->build_id, ask->build_id, ask->build_id_bytes);
	if (nth)
		return -ENOENT;
	*fd_out = bytes_fd("no debug file", 13);
	return 0;
}

static void done(void *context, uint64_t image_id, int err, int table_fd, const struct name_compile_stats *stats)
{
	struct seen *seen = context;

	seen->done++;
	seen->image_id = image_id;
	seen->err = err;
	seen->table_fd = table_fd;
	seen->stats = *stats;
}

static void debug_done(void *context, uint64_t image_id, int err, int debug_fd, const struct debug_only *debug)
{
	struct seen *seen = context;

	seen->done++;
	seen->image_id = image_id;
	seen->err = err;
	seen->table_fd = debug_fd;
	seen->debug = *debug;
}

static struct name_service *create(struct zygote *zygote, struct seen *seen)
{
	struct name_service_callbacks callbacks = {.open = open_file, .done = done, .debug_done = debug_done, .context = seen};
	struct name_service *s;

	*seen = (struct seen){.table_fd = -1};
	assert_int_equal(name_service_create(zygote, &callbacks, &s), 0);
	return s;
}

static void wait_for(struct name_service *s, const struct seen *seen)
{
	struct pollfd ready = {.fd = name_service_fd(s), .events = POLLIN};

	while (!seen->done) {
		assert_true(poll(&ready, 1, 70000) > 0);
		name_service_work(s);
	}
	assert_int_equal(seen->done, 1);
	assert_false(name_service_is_busy(s));
}

/* Of the zygote's one child, once it has confined itself. 0 is what it begins with. */
static int niceness_of_compiler(int expected)
{
	int pid, nice = 0, limit_ms = expected ? 60000 : 200;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", zygote_pid(test_zygote()), zygote_pid(test_zygote()));
	AUTO_FCLOSE FILE *children = fopen(path, "re");
	if (!children || fscanf(children, "%d", &pid) != 1)
		return -1;
	/* It confines itself, and answers afterwards: nobody reads that before. */
	for (int i = 0; i < limit_ms && nice == 0; i++) {
		nice = getpriority(PRIO_PROCESS, (id_t)pid);
		usleep(1000);
	}
	return nice;
}

/* This program has debug information of its own. */
static void a_table_of_this_program(void **state)
{
	AUTO_CLOSE int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct name_table_match match;
	struct name_table *table;
	struct seen seen;

	(void)state;
	struct name_service *s = create(test_zygote(), &seen);
	assert_int_equal(name_service_start(s, 7, fd, NULL, 0), 0);
	assert_true(name_service_is_busy(s));
	assert_int_equal(name_service_start(s, 8, fd, NULL, 0), -EBUSY);
	wait_for(s, &seen);
	assert_int_equal(seen.err, 0);
	assert_int_equal(seen.image_id, 7);
	assert_true(sealed_bytes(seen.table_fd, UINT64_MAX) > 0);
	assert_true(seen.stats.has_dwarf);
	assert_int_equal(name_table_open(seen.table_fd, &table), 0);
	close(seen.table_fd);
	assert_int_equal(name_table_find(table, 0, &match), -ENOENT);
	name_table_close(table);
	/* Once more, with another process. */
	seen = (struct seen){.table_fd = -1};
	uint64_t wanted = 0x1234;
	assert_int_equal(name_service_start(s, 7, fd, &wanted, 1), 0);
	assert_int_equal(niceness_of_compiler(19), 19);
	wait_for(s, &seen);
	assert_int_equal(seen.err, 0);
	close(seen.table_fd);
	/* Somebody waits. */
	seen = (struct seen){.table_fd = -1};
	name_service_hurry(s);
	assert_int_equal(name_service_start(s, 7, fd, &wanted, 1), 0);
	assert_int_equal(niceness_of_compiler(0), 0);
	wait_for(s, &seen);
	assert_int_equal(seen.err, 0);
	close(seen.table_fd);
	name_service_destroy(s);
	name_service_destroy(NULL);
}

static void questions_for_files(void **state)
{
	struct elf_writer w;
	struct seen seen;

	(void)state;
	elf_writer_sample(&w, true);
	AUTO_CLOSE int fd = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	struct name_service *s = create(test_zygote(), &seen);
	assert_int_equal(name_service_start(s, 7, fd, NULL, 0), 0);
	wait_for(s, &seen);
	assert_int_equal(seen.err, 0);
	assert_int_equal(seen.asked[DEBUG_ASK_BUILD_ID], 2);
	assert_memory_equal(seen.build_id, SAMPLE_BUILD_ID, 20);
	assert_false(seen.stats.has_debug_file);
	close(seen.table_fd);
	name_service_destroy(s);
}

static void errors(void **state)
{
	AUTO_CLOSE int text = bytes_fd("nothing", 7);
	struct seen seen;

	(void)state;
	struct name_service *s = create(test_zygote(), &seen);
	assert_int_equal(name_service_start(s, 7, text, NULL, 0), 0);
	wait_for(s, &seen);
	assert_int_equal(seen.err, -ENOEXEC);
	assert_int_equal(seen.table_fd, -1);
	seen.done = 0;
	assert_int_equal(name_service_start(s, 7, -1, NULL, 0), -EBADF);
	assert_false(name_service_is_busy(s));
	/* Given up in the middle. */
	AUTO_CLOSE int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(name_service_start(s, 7, fd, NULL, 0), 0);
	name_service_destroy(s);
	assert_int_equal(seen.done, 0);
}

/* What is uploaded of this program, of one that has its debug information elsewhere, and of one that has none. */
static void debug_information_alone(void **state)
{
	AUTO_CLOSE int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct elf_writer w;
	struct seen seen;

	(void)state;
	struct name_service *s = create(test_zygote(), &seen);
	assert_int_equal(name_service_start_debug(s, 7, fd, UINT64_MAX), 0);
	assert_int_equal(name_service_start_debug(s, 7, fd, UINT64_MAX), -EBUSY);
	wait_for(s, &seen);
	assert_int_equal(seen.err, 0);
	assert_int_equal(seen.image_id, 7);
	assert_true(seen.debug.has_dwarf && seen.debug.has_symbols && seen.debug.bytes > 10000);
	assert_int_equal(sealed_bytes(seen.table_fd, UINT64_MAX), seen.debug.bytes);
	assert_int_equal(strspn(seen.debug.hash, "0123456789abcdef"), 32);
	assert_int_equal(seen.asked[DEBUG_ASK_BUILD_ID], 0);
	close(seen.table_fd);
	seen = (struct seen){.table_fd = -1};
	assert_int_equal(name_service_start_debug(s, 7, fd, 10000), 0);
	wait_for(s, &seen);
	assert_int_equal(seen.err, -EFBIG);
	elf_writer_sample(&w, true);
	AUTO_CLOSE int sample = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	seen = (struct seen){.table_fd = -1};
	assert_int_equal(name_service_start_debug(s, 7, sample, UINT64_MAX), 0);
	wait_for(s, &seen);
	assert_int_equal(seen.err, 0);
	assert_true(!seen.debug.has_dwarf && seen.debug.has_symbols);
	assert_true(seen.asked[DEBUG_ASK_BUILD_ID] > 0);
	close(seen.table_fd);
	AUTO_CLOSE int text = bytes_fd("no ELF file", 11);
	seen = (struct seen){.table_fd = -1};
	assert_int_equal(name_service_start_debug(s, 7, text, UINT64_MAX), 0);
	wait_for(s, &seen);
	assert_int_equal(seen.err, -ENOEXEC);
	assert_int_equal(seen.table_fd, -1);
	name_service_destroy(s);
}

/* --- processes that are not as they should be ------------------------------------------------------------------- */

enum trouble { DIES, USES_UP_CPU, GARBAGE, UNSEALED, NO_TABLE, NO_BOOLS, ASKS_WRONG, TROUBLES };

static void answer(const struct channel *c, const struct message *m, const struct name_compile_stats *stats, int fd)
{
	struct message_head head = {.serial = m->head.serial, .kind = MESSAGE_COMPILE};
	const struct iovec part = {(void *)(uintptr_t)stats, sizeof(*stats)};

	channel_send(c, &head, &part, 1, &fd, fd >= 0, true);
}

static void ask_wrong(const struct channel *c, const struct message *m)
{
	struct ask_request request = {.kind = DEBUG_ASK_LINK, .name_bytes = 4};
	struct message_head head = {.serial = m->head.serial, .kind = MESSAGE_ASK};
	const struct iovec parts[] = {{&request, sizeof(request)}, {(void *)(uintptr_t)"a\0b", 4}};

	channel_send(c, &head, parts, 2, NULL, 0, true);
}

/* A descriptor of another size, a hash that is none, a bool that is none. */
enum debug_trouble { OTHER_SIZE, OTHER_HASH, OTHER_BOOL, DEBUG_TROUBLES };

static void answer_debug(const struct channel *c, const struct message *m, uint64_t which)
{
	struct debug_only debug = {.bytes = which == OTHER_SIZE, .hash = "0123456789abcdef0123456789abcdef"};
	struct message_head head = {.serial = m->head.serial, .kind = MESSAGE_DEBUG_ONLY};
	const struct iovec part = {&debug, sizeof(debug)};

	if (which == OTHER_HASH)
		debug.hash[5] = '\n';
	if (which == OTHER_BOOL)
		memset(&debug.has_dwarf, 2, 1);
	channel_send(c, &head, &part, 1, m->fds, 1, true);
	pause();
}

static int troublemaker(int socket)
{
	struct name_compile_stats stats = {0};
	struct channel c;
	struct message m;

	if (channel_init(&c, socket, &PROTOCOL_RULES, PROTOCOL_INLINE_MAX) < 0 || channel_receive(&c, 0, &m) < 0)
		return 1;
	const struct compile_request *request = m.payload;
	if (m.head.kind == MESSAGE_DEBUG_ONLY)
		answer_debug(&c, &m, request->image_id);
	if (request->image_id == USES_UP_CPU)
		raise(SIGXCPU);
	else if (request->image_id == GARBAGE)
		send(c.fd, "garbage", 7, 0);
	else if (request->image_id == UNSEALED)
		answer(&c, &m, &stats, memfd_create("unsealed", MFD_ALLOW_SEALING));
	else if (request->image_id == NO_TABLE)
		answer(&c, &m, &stats, -1);
	else if (request->image_id == ASKS_WRONG)
		ask_wrong(&c, &m);
	memset(&stats, 0xff, sizeof(stats));
	if (request->image_id == NO_BOOLS)
		answer(&c, &m, &stats, m.fds[0]);
	if (request->image_id != DIES)
		pause();
	return 0;
}

static void troubles(void **state)
{
	static const struct zygote_job JOBS[] = {
		[ZYGOTE_COMPILER] = {"trouble", troublemaker, {1ull << 40, 1 << 28, 3600, 64}, false},
	};
	static const struct zygote_options OPTIONS = {.jobs = JOBS, .n_jobs = 2, .bare = true};
	struct zygote *zygote;
	struct seen seen;

	(void)state;
	assert_int_equal(zygote_start_with(&OPTIONS, &zygote), 0);
	struct name_service *s = create(zygote, &seen);
	for (uint64_t which = 0; which < TROUBLES; which++) {
		AUTO_CLOSE int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS), 0);
		seen = (struct seen){.table_fd = -1};
		assert_int_equal(name_service_start(s, which, fd, NULL, 0), 0);
		wait_for(s, &seen);
		assert_int_equal(seen.err, which == USES_UP_CPU ? -ETIME : -ECHILD);
		assert_int_equal(seen.image_id, which);
		assert_int_equal(seen.table_fd, -1);
		assert_false(seen.stats.has_dwarf);
	}
	for (uint64_t which = 0; which < DEBUG_TROUBLES; which++) {
		AUTO_CLOSE int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS), 0);
		seen = (struct seen){.table_fd = -1};
		assert_int_equal(name_service_start_debug(s, which, fd, 1), 0);
		wait_for(s, &seen);
		assert_int_equal(seen.err, -ECHILD);
		assert_int_equal(seen.table_fd, -1);
	}
	name_service_destroy(s);
	zygote_stop(zygote);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_of_this_program),
		cmocka_unit_test(questions_for_files),
		cmocka_unit_test(errors),
		cmocka_unit_test(debug_information_alone),
		cmocka_unit_test(troubles),
	};

	return cmocka_run_group_tests_name("symbolizer/name_service", tests, NULL, NULL);
}
