/* agent/debug_exports.c: which file is taken for a build id, when, and what becomes of those that fail. The image table and the confined process do what the test says. */
#include "agent/debug_exports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "symbolizer/name_service.h"
#include "tests/unit/cmocka_prelude.h"

#define IMAGES 6

static struct image images[IMAGES];
static uint64_t now_ns;

struct image *image_table_get(struct image_table *t, uint32_t index)
{
	(void)t;
	return index < IMAGES && images[index].id ? &images[index] : NULL;
}

uint32_t image_table_slots(const struct image_table *t)
{
	(void)t;
	return IMAGES;
}

struct name_service {
	struct name_service_callbacks callbacks;
	int event_fd, start_err;
	bool busy;
	uint64_t image_id, bytes_max;
	unsigned starts;
};

static struct name_service service;

int name_service_create(struct zygote *zygote, const struct name_service_callbacks *callbacks, struct name_service **service_out)
{
	(void)zygote;
	service = (struct name_service){.callbacks = *callbacks, .event_fd = eventfd(0, EFD_CLOEXEC)};
	*service_out = &service;
	return 0;
}

int name_service_start_debug(struct name_service *s, uint64_t image_id, int fd, uint64_t bytes_max)
{
	assert_true(fd >= 0);
	assert_false(s->busy);
	if (s->start_err)
		return s->start_err;
	s->busy = true;
	s->image_id = image_id;
	s->bytes_max = bytes_max;
	s->starts++;
	return 0;
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

void name_service_destroy(struct name_service *s)
{
	if (s)
		close(s->event_fd);
}

/* --- what is said ----------------------------------------------------------------------------------------------------- */

static struct {
	unsigned n;
	char build_id[130], hash[40];
	int err, fd;
	uint64_t bytes;
} said;

static void take(void *context, const char *build_id, int err, int fd, uint64_t bytes, const char *hash)
{
	assert_ptr_equal(context, &said);
	said.n++;
	snprintf(said.build_id, sizeof(said.build_id), "%s", build_id);
	snprintf(said.hash, sizeof(said.hash), "%s", hash);
	said.err = err;
	said.fd = fd;
	said.bytes = bytes;
	if (fd >= 0)
		close(fd);
}

static uint64_t test_clock(void)
{
	return now_ns;
}

static struct debug_exports *create(void)
{
	const struct debug_exports_options options = {.bytes_max = 12345, .done = take, .context = &said, .now_ns = test_clock};
	struct debug_exports *e;

	now_ns = 1000 * NS_PER_S;
	memset(images, 0, sizeof(images));
	memset(&said, 0, sizeof(said));
	for (uint32_t i = 0; i < IMAGES; i++)
		images[i] = (struct image){.id = i + 1, .state = IMAGE_READ, .fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), .samples = 1, .tgid = getpid(),
					   .build_id = {0xab, 1, 2, (uint8_t)i}, .build_id_bytes = 4, .path = (char *)"/bin/prog"};
	assert_int_equal(debug_exports_create(NULL, NULL, &options, &e), 0);
	return e;
}

static void destroy(struct debug_exports *e)
{
	debug_exports_destroy(e);
	for (uint32_t i = 0; i < IMAGES; i++)
		if (images[i].fd >= 0)
			close(images[i].fd);
}

/* Ask, and let it begin. Returns whether it did. */
static bool ask(struct debug_exports *e, const char *build_id)
{
	unsigned starts = service.starts;

	assert_int_equal(debug_exports_want(e, build_id), 0);
	debug_exports_work(e, true);
	return service.starts != starts;
}

/* The confined process is done with it, after so long. */
static void finish(int err, uint64_t took_s)
{
	struct debug_only debug = {.bytes = 77, .hash = "00ff"};

	assert_true(service.busy);
	now_ns += took_s * NS_PER_S;
	service.busy = false;
	service.callbacks.debug_done(service.callbacks.context, service.image_id, err, err == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1, &debug);
}

/* --- tests ------------------------------------------------------------------------------------------------------------ */

static void the_file_of_a_build_id(void **state)
{
	struct debug_exports *e = create();

	(void)state;
	assert_int_equal(debug_exports_fd(e), service.event_fd);
	assert_true(ask(e, "ab010203"));
	assert_int_equal(service.image_id, 4);
	assert_int_equal(service.bytes_max, 12345);
	assert_int_equal(debug_exports_want(e, "ab010204"), -EBUSY);
	assert_int_equal(said.n, 0);
	finish(0, 0);
	assert_int_equal(said.n, 1);
	assert_string_equal(said.build_id, "ab010203");
	assert_string_equal(said.hash, "00ff");
	assert_true(said.err == 0 && said.fd >= 0 && said.bytes == 77);
	assert_true(ask(e, "ab010204"));
	finish(-ENODATA, 0);
	assert_int_equal(said.err, -ENOENT);
	assert_string_equal(said.build_id, "ab010204");
	destroy(e);
	debug_exports_destroy(NULL);
}

static void only_what_was_sampled(void **state)
{
	static const char *const BAD[] = {"", "ab01", "ab0102030", "AB010203", "../../..", "ab01020g", "ab010203/../../x"};
	struct debug_exports *e = create();
	char longest[DEBUG_EXPORTS_BUILD_ID_MAX + 3];

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		assert_int_equal(debug_exports_want(e, BAD[i]), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[DEBUG_EXPORTS_BUILD_ID_MAX + 2] = '\0';
	assert_int_equal(debug_exports_want(e, longest), -EINVAL);
	longest[DEBUG_EXPORTS_BUILD_ID_MAX] = '\0';
	assert_false(ask(e, longest)); /* nobody has it */
	assert_int_equal(said.err, -EAGAIN);
	images[0].samples = 0;
	images[1].state = IMAGE_FAILED;
	close(images[2].fd);
	images[2].fd = -1;
	images[3].path = (char *)"[vdso]";
	for (uint32_t i = 0; i < 4; i++) {
		char build_id[16];
		snprintf(build_id, sizeof(build_id), "ab01020%u", i);
		assert_false(ask(e, build_id));
		assert_int_equal(said.err, -EAGAIN);
	}
	assert_false(ask(e, "ab01020400")); /* a longer one */
	assert_int_equal(said.n, 6);
	destroy(e);
}

static void name_tables_come_first(void **state)
{
	struct debug_exports *e = create();

	(void)state;
	assert_int_equal(debug_exports_want(e, "ab010203"), 0);
	for (unsigned s = 0; s < DEBUG_EXPORTS_PATIENCE_S; s++) {
		debug_exports_work(e, false);
		assert_int_equal(service.starts, 0);
		now_ns += NS_PER_S;
	}
	debug_exports_work(e, false);
	assert_int_equal(service.starts, 1);
	destroy(e);
}

/* Three times as long as it took. */
static void pauses(void **state)
{
	struct debug_exports *e = create();

	(void)state;
	assert_true(ask(e, "ab010203"));
	finish(0, 4);
	assert_false(ask(e, "ab010204"));
	now_ns += 12 * NS_PER_S - 1;
	debug_exports_work(e, true);
	assert_int_equal(service.starts, 1);
	now_ns++;
	debug_exports_work(e, true);
	assert_int_equal(service.starts, 2);
	destroy(e);
}

static void what_crashes_is_set_aside(void **state)
{
	struct debug_exports *e = create();

	(void)state;
	assert_true(ask(e, "ab010203"));
	finish(-ECHILD, 0);
	assert_int_equal(said.err, -ECHILD);
	assert_true(ask(e, "ab010204"));
	finish(-ETIME, 0);
	assert_false(ask(e, "ab010203"));
	assert_int_equal(said.err, -EBUSY);
	assert_false(ask(e, "ab010204"));
	assert_true(ask(e, "ab010205"));
	finish(-ENOMEM, 0); /* bad luck */
	assert_int_equal(said.err, -ENOMEM);
	assert_true(ask(e, "ab010205"));
	finish(0, 0);
	now_ns += 3600 * NS_PER_S;
	assert_true(ask(e, "ab010203"));
	finish(0, 0);
	service.start_err = -EMFILE;
	assert_false(ask(e, "ab010204"));
	assert_int_equal(said.err, -EMFILE);
	destroy(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_of_a_build_id), cmocka_unit_test(only_what_was_sampled), cmocka_unit_test(name_tables_come_first),
		cmocka_unit_test(pauses), cmocka_unit_test(what_crashes_is_set_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
