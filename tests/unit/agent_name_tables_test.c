#include "agent/name_tables.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/name_service.h"
#include "tests/unit/cmocka_prelude.h"

#define IMAGES 8

/* --- an image table and a service that do what the test says -------------------------------------------------------------- */

static struct image images[IMAGES];
static bool present[IMAGES];
static uint64_t now_ns;

struct image *image_table_get(struct image_table *t, uint32_t index)
{
	(void)t;
	return index < IMAGES && present[index] ? &images[index] : NULL;
}

uint32_t image_table_slots(const struct image_table *t)
{
	(void)t;
	return IMAGES;
}

struct name_service {
	struct name_service_callbacks callbacks;
	int event_fd;
	bool busy;
	uint64_t image_id;
	int start_err; /* of the next start */
	unsigned starts;
	bool destroyed, hurries;
};

static struct name_service service = {.event_fd = -1};

int name_service_create(struct zygote *zygote, const struct name_service_callbacks *callbacks, struct name_service **service_out)
{
	(void)zygote;
	service = (struct name_service){.callbacks = *callbacks, .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	*service_out = &service;
	return 0;
}

int name_service_start(struct name_service *s, uint64_t image_id, int fd, const uint64_t *wanted, size_t n_wanted)
{
	assert_true(fd >= 0);
	assert_null(wanted);
	assert_int_equal(n_wanted, 0);
	assert_false(s->busy);
	if (s->start_err)
		return s->start_err;
	s->busy = true;
	s->image_id = image_id;
	s->starts++;
	return 0;
}

void name_service_hurry(struct name_service *s)
{
	s->hurries = true;
}

bool name_service_is_busy(const struct name_service *s)
{
	return s->busy;
}

int name_service_fd(const struct name_service *s)
{
	return s->event_fd;
}

void name_service_work(struct name_service *s)
{
	(void)s;
}

uint64_t name_service_cpu_ns(const struct name_service *s)
{
	(void)s;
	return 0;
}

void name_service_destroy(struct name_service *s)
{
	if (s && !s->destroyed) {
		close(s->event_fd);
		s->destroyed = true;
	}
}

static uint64_t test_clock(void)
{
	return now_ns;
}

/* The service has done what it was asked for. */
static void finish(int err, size_t bytes, char fill, bool lacking)
{
	struct name_compile_stats stats = {.lacks_debug_file = lacking, .has_dwarf = !lacking};
	int fd = -1;

	assert_true(service.busy);
	if (err == 0) {
		AUTO_FREE char *content = malloc(bytes + 1);
		fd = memfd_create("table", MFD_CLOEXEC);
		assert_true(fd >= 0 && content);
		memset(content, fill, bytes);
		assert_int_equal(write(fd, content, bytes), (ssize_t)bytes);
	}
	service.busy = false;
	service.callbacks.done(service.callbacks.context, service.image_id, err, fd, &stats);
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

static char base[PATH_MAX];
static struct name_tables *tables;
static struct name_cache *cache;
static uint64_t window;
static struct zygote *const ZYGOTE = (struct zygote *)&service;

static void add_image(uint32_t slot, uint32_t id, uint8_t build_id, uint64_t samples)
{
	present[slot] = true;
	images[slot] = (struct image){.id = id,
				      .state = IMAGE_READ,
				      .fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
				      .debug_fd = -1,
				      .build_id = {build_id, 1, 2, 3},
				      .build_id_bytes = 4,
				      .samples = samples,
				      .tgid = getpid(),
				      .path = (char *)"/bin/prog"};
}

static void create(const struct name_tables_options *options, struct zygote *zygote)
{
	struct name_tables_options o = options ? *options : (struct name_tables_options){0};

	o.cache = cache;
	o.now_ns = test_clock;
	assert_int_equal(name_tables_create(zygote, NULL, &o, &tables), 0);
}

static void open_cache(void)
{
	struct why why;

	assert_int_equal(name_cache_open(base, 16 << 20, &cache, &why), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(base, "/tmp/hearth-name-tables-XXXXXX");
	now_ns = 1000 * NS_PER_S;
	window = 0;
	return mkdtemp(base) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	name_tables_destroy(tables);
	name_cache_close(cache);
	tables = NULL;
	cache = NULL;
	for (size_t i = 0; i < IMAGES; i++)
		if (present[i]) {
			close(images[i].fd);
			present[i] = false;
		}
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command) == 0 ? 0 : -1;
}

/* A window in which these were sampled: a bit for each. */
static void look(unsigned slots)
{
	window++;
	for (uint32_t i = 0; i < IMAGES; i++)
		if (slots & 1u << i)
			images[i].last_used = window;
	name_tables_look(tables, window);
}

static void work(void)
{
	struct pollfd ready = {.fd = name_tables_fd(tables), .events = POLLIN};

	for (int i = 0; i < 1000 && poll(&ready, 1, 20) > 0; i++)
		name_tables_work(tables);
	name_tables_work(tables);
}

static char table_of(uint32_t slot, uint64_t *serial_out)
{
	uint64_t serial = 77;
	char first = 0;

	int fd = name_tables_get(tables, slot, &serial);
	if (fd >= 0)
		assert_int_equal(pread(fd, &first, 1, 0), 1);
	assert_int_equal(fd >= 0, serial > 0);
	if (serial_out)
		*serial_out = serial;
	return first;
}

static struct name_tables_stats stats_of(void)
{
	struct name_tables_stats stats;

	name_tables_stats(tables, &stats);
	return stats;
}

static void try_again(uint64_t pause_s, bool expected)
{
	unsigned starts = service.starts;

	now_ns += pause_s * NS_PER_S;
	look(1);
	work();
	assert_int_equal(service.starts - starts, expected);
}

/* --- tests ---------------------------------------------------------------------------------------------------------------- */

static void compiled_once(void **state)
{
	const char *path;
	uint64_t serial;

	(void)state;
	open_cache();
	create(NULL, ZYGOTE);
	add_image(0, 10, 1, 5);
	assert_int_equal(name_tables_outstanding(tables, &path), 0);
	assert_string_equal(path, "");
	look(1);
	assert_int_equal(table_of(0, NULL), 0);
	assert_int_equal(service.starts, 1);
	assert_int_equal(name_tables_outstanding(tables, &path), 1);
	assert_false(service.hurries);
	name_tables_hurry(tables);
	assert_true(service.hurries);
	assert_string_equal(path, "/bin/prog");
	look(1);
	now_ns += NS_PER_S;
	finish(0, 3000000, 'x', false);
	/* On its way to the disk: nobody waits for that. */
	assert_int_equal(table_of(0, NULL), 0);
	assert_int_equal(name_tables_outstanding(tables, &path), 1);
	work();
	assert_int_equal(table_of(0, &serial), 'x');
	assert_int_equal(name_tables_outstanding(tables, &path), 0);
	look(1);
	work();
	assert_int_equal(service.starts, 1);
	assert_int_equal(stats_of().compiled, 1);
	assert_int_equal(stats_of().compile_ns, NS_PER_S);
	assert_int_equal(stats_of().compiled_bytes, 3000000);
	assert_int_equal(stats_of().memory_bytes, 0);
	/* The next start finds it on disk; so does the same file as another image. */
	name_tables_destroy(tables);
	create(NULL, ZYGOTE);
	look(1);
	assert_int_equal(table_of(0, NULL), 'x');
	assert_int_equal(stats_of().from_cache, 1);
	images[0].id = 11;
	assert_int_equal(table_of(0, NULL), 0);
	look(1);
	assert_int_equal(table_of(0, NULL), 'x');
	assert_int_equal(stats_of().known, 1);
	assert_int_equal(service.starts, 0);
	/* What only reads needs no service. */
	name_tables_destroy(tables);
	create(NULL, NULL);
	add_image(1, 12, 2, 1);
	look(3);
	work();
	assert_int_equal(table_of(0, NULL), 'x');
	assert_int_equal(table_of(1, NULL), 0);
	assert_int_equal(name_tables_outstanding(tables, &path), 0);
}

static void without_a_cache(void **state)
{
	struct name_tables_options options = {.memory_bytes = 1000};

	(void)state;
	create(&options, ZYGOTE);
	add_image(0, 10, 1, 5);
	add_image(1, 11, 2, 4);
	add_image(2, 12, 3, 3);
	look(7);
	finish(0, 600, 'a', false);
	assert_int_equal(table_of(0, NULL), 'a');
	assert_int_equal(stats_of().memory_bytes, 600);
	work();
	finish(0, 300, 'b', false);
	assert_int_equal(stats_of().memory_bytes, 900);
	look(6);
	work();
	finish(0, 500, 'c', false);
	/* The budget: the least recently used goes, and is not compiled again at once. */
	assert_int_equal(table_of(0, NULL), 0);
	assert_int_equal(table_of(1, NULL), 'b');
	assert_int_equal(table_of(2, NULL), 'c');
	assert_int_equal(stats_of().memory_bytes, 800);
	assert_int_equal(stats_of().forgotten, 1);
	look(7);
	work();
	assert_int_equal(service.starts, 3);
	now_ns += 3601 * NS_PER_S;
	look(7);
	assert_int_equal(service.starts, 4);
	finish(0, 5000, 'd', false);
	assert_int_equal(table_of(0, NULL), 0);
	assert_int_equal(stats_of().memory_bytes, 0);
}

static void the_most_sampled_first(void **state)
{
	struct name_tables_options options = {.max_queued = 2};

	(void)state;
	create(&options, ZYGOTE);
	for (uint32_t i = 0; i < 5; i++)
		add_image(i, 10 + i, (uint8_t)i, i + 1);
	look(1);
	assert_int_equal(service.image_id, 10);
	/* A queue of two, of four that want in. */
	look(0x1e);
	assert_int_equal(stats_of().queued, 3);
	assert_int_equal(stats_of().displaced, 2);
	finish(0, 1, 'a', false);
	work();
	assert_int_equal(service.image_id, 14);
	finish(0, 1, 'a', false);
	work();
	assert_int_equal(service.image_id, 13);
	finish(0, 1, 'a', false);
	work();
	assert_false(service.busy);
	/* They come again. */
	look(0x1e);
	assert_int_equal(service.image_id, 12);
	finish(0, 1, 'a', false);
	/* Its file is closed before its turn: it waits for the next sight. */
	close(take_fd(&images[1].fd));
	work();
	assert_false(service.busy);
	assert_int_equal(stats_of().gone, 1);
}

/* SAFETY 12: at most a few parses an hour, whatever respawns. */
static void strikes(void **state)
{
	static const int ERRORS[] = {-ETIME, -ECHILD, -ENOMEM};

	(void)state;
	create(NULL, ZYGOTE);
	add_image(0, 10, 1, 5);
	look(1);
	finish(ERRORS[0], 0, 0, false);
	try_again(59, false);
	try_again(2, true);
	finish(ERRORS[1], 0, 0, false);
	try_again(299, false);
	/* The same file in a new process, after the image table forgot it. */
	images[0].id = 20;
	try_again(2, true);
	assert_int_equal(stats_of().set_aside, 0);
	finish(ERRORS[2], 0, 0, false);
	assert_int_equal(stats_of().set_aside, 1);
	try_again(3599, false);
	try_again(2, true);
	assert_int_equal(stats_of().failed, 3);
	assert_int_equal(stats_of().timed_out, 1);
	assert_int_equal(stats_of().crashed, 1);
	finish(-ECHILD, 0, 0, false);
	try_again(3599, false);
	try_again(2, true);
	finish(0, 10, 'x', false);
	assert_int_equal(stats_of().set_aside, 0);
	assert_int_equal(table_of(0, NULL), 'x');
	/* What a file says does not change: one refusal is enough. */
	add_image(0, 30, 2, 5);
	look(1);
	finish(-EBADMSG, 0, 0, false);
	assert_int_equal(stats_of().set_aside, 1);
	try_again(3599, false);
	try_again(2, true);
	finish(-E2BIG, 0, 0, false);
}

static void looked_at_again(void **state)
{
	uint64_t first, second;

	(void)state;
	open_cache();
	create(NULL, ZYGOTE);
	add_image(0, 10, 1, 5);
	look(1);
	finish(0, 10, 'l', true);
	work();
	assert_int_equal(table_of(0, &first), 'l');
	assert_int_equal(stats_of().lacking, 1);
	try_again(3599, false);
	try_again(2, true);
	assert_int_equal(table_of(0, NULL), 'l');
	finish(0, 10, 'x', false);
	work();
	assert_int_equal(table_of(0, &second), 'x');
	assert_true(second != first);
	try_again(10000, false);
}

static void damaged_tables(void **state)
{
	struct name_cache_stats on_disk;

	(void)state;
	open_cache();
	create(NULL, ZYGOTE);
	add_image(0, 10, 1, 5);
	name_tables_damaged(tables, 0);
	look(1);
	name_tables_damaged(tables, 0);
	/* A table that compiles well and never reads does not go round for ever. */
	for (unsigned i = 0; i < NAME_TABLES_STRIKES_MAX; i++) {
		finish(0, 10, 'd', false);
		work();
		assert_int_equal(table_of(0, NULL), 'd');
		name_tables_damaged(tables, 0);
		assert_int_equal(table_of(0, NULL), 0);
		assert_int_equal(stats_of().set_aside, i == 2);
		try_again(0, i == 0);
		try_again(301, i == 1);
	}
	try_again(3000, false);
	assert_int_equal(stats_of().damaged, NAME_TABLES_STRIKES_MAX);
	name_cache_stats(cache, &on_disk);
	assert_int_equal(on_disk.damaged, NAME_TABLES_STRIKES_MAX);
}

static void descriptors_within_their_budget(void **state)
{
	struct name_tables_options options = {.max_open = 2};
	uint64_t before, after;

	(void)state;
	open_cache();
	create(&options, ZYGOTE);
	for (uint32_t i = 0; i < 3; i++)
		add_image(i, 10 + i, (uint8_t)i, 1);
	for (unsigned i = 0; i < 3; i++) {
		look(1u << i);
		finish(0, 10, (char)('a' + i), false);
		work();
		if (i == 0)
			table_of(0, &before);
	}
	assert_int_equal(stats_of().open, 2);
	assert_int_equal(stats_of().closed, 1);
	assert_int_equal(table_of(0, NULL), 0);
	look(1);
	assert_int_equal(table_of(0, &after), 'a');
	assert_true(before != after);
	assert_int_equal(stats_of().open, 2);
	assert_int_equal(service.starts, 3);
}

static void images_that_are_forgotten(void **state)
{
	struct name_tables_options options = {.max_known = 2};

	(void)state;
	open_cache();
	create(&options, ZYGOTE);
	for (uint32_t i = 0; i < 4; i++)
		add_image(i, 10 + i, (uint8_t)i, 1);
	for (unsigned i = 0; i < 4; i++) {
		look(1u << i);
		finish(0, 10, (char)('a' + i), false);
		work();
		assert_int_equal(table_of(i, NULL), 'a' + (int)i);
	}
	assert_int_equal(stats_of().known, 2);
	/* All in use at once: the others do without. */
	look(0xf);
	assert_int_equal(stats_of().known, 2);
}

static void no_identity(void **state)
{
	(void)state;
	create(NULL, ZYGOTE);
	add_image(0, 10, 0, 5);
	images[0].build_id_bytes = 0;
	close(take_fd(&images[0].fd));
	add_image(1, 11, 1, 0); /* not sampled */
	add_image(2, 12, 2, 5);
	images[2].path = (char *)"[vdso]";
	add_image(3, 13, 3, 5);
	images[3].state = IMAGE_FAILED;
	look(0xf);
	assert_false(service.busy);
	assert_int_equal(stats_of().known, 0);
	images[0].fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	look(1);
	assert_true(service.busy);
	finish(0, 10, 'x', false);
	assert_int_equal(table_of(0, NULL), 'x');
	assert_int_equal(table_of(7, NULL), 0);
	assert_int_equal(table_of(UINT32_MAX, NULL), 0);
}

static void a_service_that_does_not_start(void **state)
{
	(void)state;
	create(NULL, ZYGOTE);
	add_image(0, 10, 1, 5);
	service.start_err = -EAGAIN;
	look(1);
	assert_int_equal(stats_of().queued, 1);
	service.start_err = 0;
	look(1);
	assert_false(service.busy);
	now_ns += 11 * NS_PER_S;
	look(1);
	assert_true(service.busy);
	/* Answers to what nobody asked. */
	struct name_compile_stats none = {0};
	service.callbacks.done(service.callbacks.context, 99, 0, dup(images[0].fd), &none);
	finish(0, 1, 'x', false);
	service.callbacks.done(service.callbacks.context, 10, 0, dup(images[0].fd), &none);
	assert_int_equal(table_of(0, NULL), 'x');
}

/* What an image refers to is opened while it is compiled, and by its rules. */
static void files_that_images_refer_to(void **state)
{
	struct debug_ask ask = {.kind = DEBUG_ASK_LINK, .directory = "", .name = "debug"};
	char path[PATH_MAX + 8];
	int fd = -77;

	(void)state;
	create(NULL, ZYGOTE);
	add_image(0, 10, 1, 5);
	snprintf(path, sizeof(path), "%s/prog", base);
	images[0].path = path;
	assert_int_equal(service.callbacks.open(tables, 10, &ask, 0, &fd), -ENOENT);
	look(1);
	assert_int_equal(service.callbacks.open(tables, 10, &ask, 0, &fd), -ENOENT);
	char beside[PATH_MAX + 8];
	snprintf(beside, sizeof(beside), "%s/debug", base);
	close(open(beside, O_WRONLY | O_CREAT, 0644));
	int err = service.callbacks.open(tables, 10, &ask, 0, &fd);
	if (err == 0) /* valgrind has no openat2 */
		close(fd);
	assert_int_equal(service.callbacks.open(tables, 11, &ask, 0, &fd), -ENOENT);
	ask.name = "../debug";
	assert_int_equal(service.callbacks.open(tables, 10, &ask, 0, &fd), -ENOENT);
	finish(0, 1, 'x', false);
	assert_int_equal(service.callbacks.open(tables, 10, &ask, 0, &fd), -ENOENT);
	assert_int_equal(stats_of().files_opened, err == 0);
	assert_int_equal(stats_of().files_refused, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(compiled_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_cache, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_most_sampled_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strikes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(looked_at_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(descriptors_within_their_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(images_that_are_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_identity, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_service_that_does_not_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_that_images_refer_to, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
