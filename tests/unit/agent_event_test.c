#include "agent/event.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/json_writer.h"
#include "tests/unit/cmocka_prelude.h"

static void every_name(void **state)
{
	(void)state;
	for (const char *const *name = event_names(); *name; name++) {
		struct event event;
		int err = event_find(*name, &event);
		if (strcmp(*name, "cycles") == 0 && !event_has_cycles()) {
			assert_int_equal(err, -EOPNOTSUPP);
			continue;
		}
		assert_int_equal(err, 0);
		assert_string_equal(event.name, *name);
		assert_true(event.is_time || event.type == PERF_TYPE_SOFTWARE);
	}
}

static void the_default(void **state)
{
	struct event event;

	(void)state;
	assert_int_equal(event_find(NULL, &event), 0);
	assert_true(event.is_time);
	assert_string_equal(event.name, event_has_cycles() ? "cycles" : "cpu-clock");
}

static void unknown_and_hostile_names(void **state)
{
	char long_name[400];
	struct event event;

	(void)state;
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[200] = ':';
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(event_find("nonsense", &event), -ENOENT);
	assert_int_equal(event_find("", &event), -ENOENT);
	assert_int_equal(event_find("../../x:y", &event), -ENOENT);
	assert_int_equal(event_find("sched:../sched/sched_switch", &event), -ENOENT);
	assert_int_equal(event_find("a:b:c", &event), -ENOENT);
	assert_int_equal(event_find(long_name, &event), -ENOENT);
}

/* Needs root, and fsopen() where no tracefs is mounted; valgrind 3.19 does not know that call. */
static bool can_see_tracepoints(void)
{
	int fd = fsopen("tracefs", 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0 && geteuid() == 0;
}

static void tracepoints(void **state)
{
	struct event event;

	(void)state;
	if (!can_see_tracepoints())
		skip();
	assert_int_equal(event_find("sched:sched_switch", &event), 0);
	assert_int_equal(event.type, PERF_TYPE_TRACEPOINT);
	assert_true(event.config > 0);
	assert_false(event.is_time);
	assert_int_equal(event_find("sched:no_such_event", &event), -ENOENT);
}

static void json(void **state)
{
	char text[512] = "";
	FILE *stream = fmemopen(text, sizeof(text), "w");
	struct json_writer writer;

	(void)state;
	json_writer_init(&writer, stream);
	json_object_begin(&writer, NULL);
	json_string(&writer, "a\"\\", "line\n\ttab\x01\xff\x7f end");
	json_uint(&writer, "big", UINT64_MAX);
	json_int(&writer, "small", INT64_MIN);
	json_array_begin(&writer, "list");
	json_bool(&writer, NULL, true);
	json_object_begin(&writer, NULL);
	json_object_end(&writer);
	json_array_end(&writer);
	json_object_end(&writer);
	fclose(stream);
	assert_string_equal(text, "{\"a\\\"\\\\\":\"line??tab?\xef\xbf\xbd? end\",\"big\":18446744073709551615,"
				  "\"small\":-9223372036854775808,\"list\":[true,{}]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name),  cmocka_unit_test(the_default), cmocka_unit_test(unknown_and_hostile_names),
		cmocka_unit_test(tracepoints), cmocka_unit_test(json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
