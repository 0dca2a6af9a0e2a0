/* The deferred walk, and with it bpf/unwind.h, over recorded stacks of this process: as deep as glibc's own unwinder, and harmless on
 * whatever else it is given. */
#include "tests/unit/stack_shapes.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/steady_clock.h" /* a walk by libunwind has 100 ms, an epoch 250 */

#define BUDGET (16u << 20)

static struct walk_fixture fixture;
static struct snapshot taken;
static struct deferred_stack stack;

static int set_up(void **state)
{
	(void)state;
	walk_fixture_init(&fixture, BUDGET);
	memset(&taken, 0, sizeof(taken));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	walk_fixture_deinit(&fixture);
	return 0;
}

static void walk_taken(void)
{
	walk_snapshot(&fixture, &taken, taken.n_bytes, &stack);
}

/* Names of the innermost frames. */
static void assert_names(const char *const *names)
{
	for (size_t i = 0; names[i]; i++) {
		if (i < stack.n && strcmp(frame_name(&fixture, &stack, i), names[i]) == 0)
			continue;
		print_walk(&fixture, &stack);
		fail_msg("frame %zu is not %s", i, names[i]);
	}
}
#define assert_frames(...) assert_names((const char *const[]){__VA_ARGS__, NULL})

static void plain_frames(void **state)
{
	(void)state;
	shape_plain(&taken);
	assert_walk_is_trace(&fixture, &taken);
	walk_taken();
	assert_frames("stack_capture", "plain_inner", "shape_plain", "plain_frames");
}

static void a_frame_of_a_size_known_at_run_time(void **state)
{
	(void)state;
	for (size_t bytes = 16; bytes < 6000; bytes += 1111) {
		shape_alloca(&taken, bytes);
		assert_walk_is_trace(&fixture, &taken);
	}
	walk_taken();
	assert_frames("stack_capture", "shape_alloca");
}

static void a_frame_aligned_at_run_time(void **state)
{
	(void)state;
	for (size_t bytes = 16; bytes < 6000; bytes += 1111) {
		shape_realigned(&taken, bytes);
		assert_walk_is_trace(&fixture, &taken);
	}
	walk_taken();
	assert_frames("stack_capture", "shape_realigned");
}

static void a_call_as_the_last_instruction(void **state)
{
	(void)state;
	shape_noreturn(&taken);
	assert_walk_is_trace(&fixture, &taken);
	walk_taken();
	assert_frames("stack_capture", "never_returns", "calls_last", "shape_noreturn");
}

static void through_a_signal(void **state)
{
	(void)state;
	shape_signal(&taken);
	assert_walk_is_trace(&fixture, &taken);
	walk_taken();
	assert_string_equal(frame_name(&fixture, &stack, 3), "trapping_leaf");
	assert_string_equal(frame_name(&fixture, &stack, 4), "call_trapping_leaf");
	assert_string_equal(frame_name(&fixture, &stack, 5), "take_signal");
}

static void through_an_alternate_stack(void **state)
{
	(void)state;
	shape_alternate(&taken);
	assert_walk_is_trace(&fixture, &taken);
	walk_taken();
	assert_string_equal(frame_name(&fixture, &stack, 3), "trapping_leaf");
}

static void in_a_coroutine(void **state)
{
	(void)state;
	shape_coroutine(&taken);
	assert_walk_is_trace(&fixture, &taken);
	walk_taken();
	assert_frames("stack_capture", "plain_inner", "coroutine_main");
}

static void in_a_thread(void **state)
{
	(void)state;
	shape_thread(&taken);
	walk_taken();
	assert_frames("stack_capture", "plain_inner", "thread_main");
	assert_walk_is_trace(&fixture, &taken);
}

static void behind_clone(void **state)
{
	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip();
	shape_clone(&taken);
	walk_taken();
	assert_frames("stack_capture", "plain_inner", "clone_main");
	assert_int_equal(stack.end, END_COMPLETE);
}

static void deeper_than_the_copy(void **state)
{
	(void)state;
	shape_deep(&taken, 100);
	assert_walk_is_trace(&fixture, &taken);
	shape_deep(&taken, 3000);
	walk_taken();
	/* 16 KiB of frames of 16 bytes: more than a stack may have. */
	assert_int_equal(stack.end, END_TOO_DEEP);
	assert_int_equal(stack.n, USER_FRAMES_MAX);
	/* To the last word that was copied: the return addresses lie at equal distances. */
	const uint64_t *words = (const uint64_t *)(const void *)taken.bytes;
	size_t first = 16, second;
	while (words[first] != stack.frames[2])
		first++;
	for (second = first + 1; words[second] != stack.frames[3];)
		second++;
	for (uint32_t n = 1; n < 100; n++) {
		walk_snapshot(&fixture, &taken, (uint32_t)(8 * (first + n * (second - first) + 1)), &stack);
		assert_int_equal(stack.end, END_UNREADABLE);
		assert_int_equal(stack.n, n + 3);
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double walk_us(void)
{
	uint64_t begin = now_ns();
	int n = RUNNING_ON_VALGRIND ? 2 : 1000;

	for (int i = 0; i < n; i++) {
		fixture.epoch++; /* libunwind has a budget of time in each */
		walk_taken();
	}
	return (double)(now_ns() - begin) / 1e3 / n;
}

static void a_rule_that_tables_do_not_express(void **state)
{
	struct deferred_walk_stats before, stats;

	(void)state;
	shape_odd(&taken);
	deferred_walk_stats(fixture.walker, &before);
	assert_walk_is_trace(&fixture, &taken);
	walk_taken();
	assert_frames("stack_capture", "plain_inner", "odd_inner", "odd_frame", "shape_odd",
		      "a_rule_that_tables_do_not_express");
	deferred_walk_stats(fixture.walker, &stats);
	assert_int_equal(stats.by_libunwind - before.by_libunwind, 2);
	assert_int_equal(stats.complete - before.complete, 2);
	double with = walk_us();
	shape_plain(&taken);
	print_message("# a walk with a step by libunwind: %.1f us, without: %.1f us\n", with, walk_us());
}

/* Where the budget has no room for any table, libunwind does all of it. */
static void without_tables(void **state)
{
	struct deferred_walk_stats stats;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip(); /* slow */
	shape_signal(&taken);
	assert_walk_is_trace(&fixture, &taken);
	/* Everything that is there was sampled in this epoch, and everything that is not was refused in it. */
	for (uint32_t i = 0; i < FIXTURE_SLOTS; i++)
		fixture.slots[i].serial = fixture.slots[i].serial ? UINT32_MAX : 0;
	assert_walk_is_trace(&fixture, &taken);
	deferred_walk_stats(fixture.walker, &stats);
	walk_taken();
	assert_true(stats.by_libunwind >= stack.n - 1U);
	print_message("# a walk of %d frames by libunwind alone: %.1f us\n", stack.n, walk_us());
	shape_deep(&taken, 100);
	walk_taken();
	assert_int_equal(stack.end, END_COMPLETE);
	print_message("# a walk of %d frames by libunwind alone: %.1f us\n", stack.n, walk_us());
}

static void libunwind_has_a_budget_of_time(void **state)
{
	struct deferred_walk_stats stats;

	(void)state;
	shape_odd(&taken);
	for (int i = 0; i < 2000000; i++) {
		walk_taken();
		deferred_walk_stats(fixture.walker, &stats);
		if (stats.libunwind_refused)
			break;
	}
	assert_true(stats.libunwind_ns >= LIBUNWIND_EPOCH_NS);
	assert_int_equal(stats.libunwind_refused, 1);
	assert_int_equal(stack.end, END_UNSUPPORTED_RULE);
	assert_int_equal(stack.n, 4);
	fixture.epoch++;
	walk_taken();
	assert_int_equal(stack.end, END_COMPLETE);
}

/* ---- every instruction of a call ---- */

static void work_for_steps(void)
{
	char text[64];
	long values[5] = {5, 3, 9, 1, 2};

	/* The first calls of libc's functions go through the PLT and, where binding is lazy, through ld.so's resolver. */
	snprintf(text, sizeof(text), "%ld %s", values[1], "text");
	values[0] = strtol("12", NULL, 10) + (long)strlen(text);
	qsort(values, 5, sizeof(values[0]), (int (*)(const void *, const void *))(uintptr_t)strcmp);
}

#define STEPS_MAX 40000
static struct snapshot *steps[STEPS_MAX];

static size_t free_steps(size_t n)
{
	for (size_t i = 0; i < n; i++)
		munmap(steps[i], offsetof(struct snapshot, bytes) + steps[i]->n_bytes);
	return n;
}

/* Whether the chain ends as each one here must: work_for_steps(), step_main(), and libc's first function of a coroutine. */
static bool is_whole(void)
{
	return is_outermost(&stack) && stack.n >= 3 &&
	       strcmp(frame_name(&fixture, &stack, stack.n - 2U), "step_main") == 0 &&
	       strcmp(frame_name(&fixture, &stack, stack.n - 3U), "work_for_steps") == 0;
}

/* Before work_for_steps() is reached and after it was left. */
static bool is_outside(void)
{
	return is_outermost(&stack) && stack.n == 2 && strcmp(frame_name(&fixture, &stack, 0), "step_main") == 0;
}

static void every_instruction_of_a_call(void **state)
{
	struct deferred_walk_stats stats;
	size_t bad = 0;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip();
	size_t n = shape_steps(steps, STEPS_MAX, work_for_steps);
	assert_true(n > 500);
	if (n > STEPS_MAX)
		n = STEPS_MAX;
	for (size_t i = 0; i < n; i++) {
		fixture.epoch++;
		walk_snapshot(&fixture, steps[i], steps[i]->n_bytes, &stack);
		if (is_whole() || is_outside())
			continue;
		if (bad++ < 3)
			print_walk(&fixture, &stack);
	}
	deferred_walk_stats(fixture.walker, &stats);
	print_message("# %zu instructions, %llu steps by libunwind\n", n, (unsigned long long)stats.by_libunwind);
	free_steps(n);
	assert_int_equal(bad, 0);
}

/* ---- bad input ---- */

static void every_length_of_the_copy(void **state)
{
	uint8_t ends[STACK_ENDS] = {0};

	(void)state;
	shape_signal(&taken);
	for (uint32_t bytes = 0; bytes <= taken.n_bytes; bytes += bytes > 600 ? 7 : 1) {
		walk_snapshot(&fixture, &taken, bytes, &stack);
		ends[stack.end] = 1;
	}
	for (int end = 0; end < STACK_ENDS; end++)
		assert_int_equal(ends[end], end == END_UNREADABLE || end == END_COMPLETE);
	/* More bytes never give fewer frames. */
	uint16_t before = 0;
	for (uint32_t bytes = 0; bytes <= taken.n_bytes; bytes += 8) {
		walk_snapshot(&fixture, &taken, bytes, &stack);
		assert_true(stack.n >= before);
		before = stack.n;
	}
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void random_registers_and_bytes(void **state)
{
	struct snapshot *bad = malloc(sizeof(*bad));
	int rounds = RUNNING_ON_VALGRIND ? 500 : 20000;

	(void)state;
	shape_signal(&taken);
	walk_taken();
	struct deferred_stack good = stack;
	for (int i = 0; i < rounds; i++) {
		*bad = taken;
		for (int n = (int)(next_random() % 6); n >= 0; n--) {
			uint64_t value = next_random();
			if (value & 1) /* near to what it was, or anything */
				bad->registers[value >> 8 & 15] = next_random();
			else
				bad->registers[value >> 8 & 15] = bad->stack + (next_random() & 0x3ff8);
			if (value & 2)
				memcpy(bad->bytes + (next_random() & 0x7f8), &value, sizeof(value));
			if (value & 4)
				bad->pc = good.frames[next_random() % good.n] + (value >> 40 & 63);
			if (value & 8)
				memcpy(bad->bytes + (next_random() & 0x7f8), &good.frames[next_random() % good.n], 8);
			if ((value & 0xff0) == 0)
				bad->stack = next_random();
		}
		walk_snapshot(&fixture, bad, (uint32_t)(next_random() % (taken.n_bytes + 1)), &stack);
	}
	free(bad);
}

/* Code without CFI that is in a circle of frame pointers. */
static void a_circle_of_frame_pointers(void **state)
{
	uint64_t *words = (uint64_t *)(void *)taken.bytes;
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	walk_fixture_reread(&fixture);
	taken.n_bytes = 4096;
	taken.stack = 0x7000000;
	taken.pc = (uint64_t)(uintptr_t)code + 16;
	taken.registers[UNWIND_SP] = taken.stack + 128;
	taken.registers[UNWIND_FP] = taken.stack + 256;
	words[32] = taken.stack + 512;
	words[33] = taken.pc;
	words[64] = taken.stack + 256;
	words[65] = taken.pc;
	walk_taken();
	assert_int_equal(stack.end, END_BAD_FRAME);
	assert_int_equal(stack.n, 3);
	words[64] = taken.stack + 512;
	walk_taken();
	assert_int_equal(stack.end, END_BAD_FRAME);
	munmap(code, 4096);
}

static void without_a_process_or_a_mapping(void **state)
{
	struct deferred_record record = {.id = 1, .pc = 0x1234};

	(void)state;
	deferred_walk(fixture.walker, NULL, &record, taken.bytes, &stack);
	assert_int_equal(stack.end, END_NO_PROCESS);
	assert_int_equal(stack.n, 1);
	taken.pc = 0x1234;
	walk_taken();
	assert_int_equal(stack.end, END_NO_MAPPING);
	taken.pc = UINT64_MAX;
	walk_taken();
	assert_int_equal(stack.end, END_NO_MAPPING);
}

/* A JIT's code: frame pointers lead through it, back into code with CFI. */
static void through_code_without_cfi(void **state)
{
	/* push %rbp; mov %rsp,%rbp; ud2; pop %rbp; ret */
	static const uint8_t CODE[] = {0x55, 0x48, 0x89, 0xe5, 0x0f, 0x0b, 0x5d, 0xc3};
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	memcpy(code, CODE, sizeof(CODE));
	assert_int_equal(mprotect(code, 4096, PROT_READ | PROT_EXEC), 0);
	walk_fixture_reread(&fixture);
	shape_jit(&taken, code);
	walk_taken();
	assert_string_equal(frame_name(&fixture, &stack, 1), "on_trap");
	assert_int_equal(stack.frames[3], (uint64_t)(uintptr_t)code + 4 + 1);
	assert_string_equal(frame_name(&fixture, &stack, 4), "shape_jit");
	assert_int_equal(stack.end, END_COMPLETE);
	munmap(code, 4096);
}

/* ---- neither CFI nor a frame pointer ---- */

static void assert_inferred(const char *function)
{
	assert_frames("stack_capture", function, "call_bare", "shape_bare");
	assert_int_equal(stack.inferred, 2);
	assert_int_equal(stack.end, END_COMPLETE);
	assert_string_equal(frame_name(&fixture, &stack, stack.n - 1U), "_start");
}

static void assert_not_inferred(const char *function)
{
	assert_frames("stack_capture", function);
	assert_int_equal(stack.n, 2);
	assert_int_equal(stack.inferred, 0);
	assert_true(stack.end == END_BAD_FRAME || stack.end == END_FRAME_ZERO);
}

static void instructions_tell_the_frame(void **state)
{
	static const enum bare_shape SHAPES[] = {BARE_LOOP, BARE_LOOP_BY_JUMP, BARE_LOOP_POINTER};

	(void)state;
	for (size_t i = 0; i < sizeof(SHAPES) / sizeof(SHAPES[0]); i++) {
		shape_bare(&taken, SHAPES[i]);
		walk_taken();
		assert_inferred("bare_loop");
	}
	print_message("# a walk with an inferred frame: %.1f us\n", walk_us());
}

static void the_instructions_and_the_caller_must_agree(void **state)
{
	(void)state;
	shape_bare(&taken, BARE_LOOP_JUMPED);
	walk_taken();
	assert_not_inferred("bare_loop");
	shape_bare(&taken, BARE_LOOP_FOREIGN);
	walk_taken();
	assert_not_inferred("bare_loop");
}

static void a_direct_call_of_this_function_is_found(void **state)
{
	(void)state;
	shape_bare(&taken, BARE_ALIGNED);
	walk_taken();
	assert_inferred("bare_aligned");
	/* Where what was found does not lead to the end, it goes. */
	for (uint32_t bytes = 0; bytes < taken.n_bytes; bytes += 64) {
		walk_snapshot(&fixture, &taken, bytes, &stack);
		assert_true(stack.n <= 2 ? !stack.inferred : stack.end == END_COMPLETE && stack.inferred == 2);
	}
}

static void no_other_return_address_counts(void **state)
{
	(void)state;
	shape_bare(&taken, BARE_ALIGNED_INDIRECT);
	walk_taken();
	assert_not_inferred("bare_aligned");
	shape_bare(&taken, BARE_ALIGNED_TWICE);
	walk_taken();
	assert_not_inferred("bare_aligned");
}

/* Tables that were given up come back for a walk. */
static void brings_back_an_evicted_table(void **state)
{
	struct unwind_images_stats before, after;

	(void)state;
	shape_plain(&taken);
	assert_walk_is_trace(&fixture, &taken);
	fixture.epoch += 2;
	while (unwind_images_evict(fixture.tables))
		;
	unwind_images_stats(fixture.tables, &before);
	assert_int_equal(before.resident, 0);
	assert_walk_is_trace(&fixture, &taken);
	unwind_images_stats(fixture.tables, &after);
	assert_true(after.resident >= 2);
	assert_true(after.loaded > before.loaded);
}

/* Many walks leave nothing behind. */
static void statistics(void **state)
{
	struct deferred_walk_stats stats;

	(void)state;
	shape_plain(&taken);
	for (int i = 0; i < 10; i++)
		walk_taken();
	walk_snapshot(&fixture, &taken, 0, &stack);
	deferred_walk_stats(fixture.walker, &stats);
	assert_int_equal(stats.walks, 11);
	assert_int_equal(stats.complete, 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plain_frames),
		TEST(a_frame_of_a_size_known_at_run_time),
		TEST(a_frame_aligned_at_run_time),
		TEST(a_call_as_the_last_instruction),
		TEST(through_a_signal),
		TEST(through_an_alternate_stack),
		TEST(in_a_coroutine),
		TEST(in_a_thread),
		TEST(behind_clone),
		TEST(deeper_than_the_copy),
		TEST(a_rule_that_tables_do_not_express),
		TEST(without_tables),
		TEST(libunwind_has_a_budget_of_time),
		TEST(every_instruction_of_a_call),
		TEST(every_length_of_the_copy),
		TEST(random_registers_and_bytes),
		TEST(a_circle_of_frame_pointers),
		TEST(without_a_process_or_a_mapping),
		TEST(through_code_without_cfi),
		TEST(instructions_tell_the_frame),
		TEST(the_instructions_and_the_caller_must_agree),
		TEST(a_direct_call_of_this_function_is_found),
		TEST(no_other_return_address_counts),
		TEST(brings_back_an_evicted_table),
		TEST(statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
