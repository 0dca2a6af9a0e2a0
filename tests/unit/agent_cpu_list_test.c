#include "agent/cpu_list.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/cpu_idle.h"
#include "tests/unit/cmocka_prelude.h"

static void lists(void **state)
{
	static const struct {
		const char *text;
		const char *cpus; /* one digit for each of 8 CPUs */
	} CASES[] = {{"0\n", "10000000"},   {"0-3\n", "11110000"},  {"0,2-3,7", "10110001"},
		     {"1", "01000000"},	    {"0-100\n", "11111111"}, {"", "00000000"}};

	(void)state;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		bool cpus[8] = {false};
		assert_int_equal(cpu_list_parse(CASES[i].text, cpus, 8), 0);
		for (int cpu = 0; cpu < 8; cpu++)
			assert_int_equal(cpus[cpu], CASES[i].cpus[cpu] == '1');
	}
}

static void damaged_lists(void **state)
{
	static const char *const BAD[] = {"x", "3-1", "-1", "1-", "1;2", "1-x"};

	(void)state;
	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		bool cpus[8] = {false};
		assert_int_equal(cpu_list_parse(BAD[i], cpus, 8), -EBADMSG);
	}
}

static void this_machine(void **state)
{
	bool cpus[4096] = {false};
	long online = 0;

	(void)state;
	assert_int_equal(cpu_list_online(cpus, 4096), 0);
	for (int cpu = 0; cpu < 4096; cpu++)
		online += cpus[cpu];
	assert_int_equal(online, sysconf(_SC_NPROCESSORS_ONLN));
}

static void idle_times(void **state)
{
	char text[] = "cpu  10 20 30 40 50 60 70\n"
		      "cpu0 1 2 3 400 5 6 7 8 9 10\n"
		      "cpu2 1 2 3 7 1\n"
		      "cpu3 broken\n"
		      "cpu99 1 2 3 4 5\n"
		      "intr 5 cpu1 1 2 3 4 5\n"
		      "cpu1 1 2 3 4 5\n";
	uint64_t idle_ns[4] = {1, 1, 1, 1};
	FILE *stream = fmemopen(text, strlen(text), "r");

	(void)state;
	assert_int_equal(cpu_idle_parse(stream, idle_ns, 4), 0);
	fclose(stream);
	assert_int_equal(idle_ns[0], 405 * CPU_IDLE_RESOLUTION_NS);
	assert_int_equal(idle_ns[1], 1); /* behind the block of CPUs */
	assert_int_equal(idle_ns[2], 8 * CPU_IDLE_RESOLUTION_NS);
	assert_int_equal(idle_ns[3], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(damaged_lists),
		cmocka_unit_test(this_machine),
		cmocka_unit_test(idle_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
