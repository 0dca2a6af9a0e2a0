/* symbolizer/kept_walk.c over recorded stacks of this process, here and behind symbolizer_walk_step(): a walk in many steps comes to the same frames
 * as one in one step, and what is not the walk that is kept begins anew. */
#include "symbolizer/kept_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/stack_shapes.h"
#include "tests/unit/steady_clock.h" /* a walk has 100 ms */

static struct walk_fixture fixture;
static struct snapshot taken;
static struct deferred_stack stack; /* as the tables have it */
static struct symbolizer_walk walk; /* all of its frames but the outermost, all images */
static struct kept_walk *kept;
static struct symbolizer_caller callers[SYMBOLIZER_CALLERS_MAX];

static int set_up(void **state)
{
	(void)state;
	walk_fixture_init(&fixture, 16 << 20);
	memset(&taken, 0, sizeof(taken));
	assert_int_equal(kept_walk_create(&kept), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kept_walk_destroy(kept);
	walk_fixture_deinit(&fixture);
	return 0;
}

static void add_image(uint64_t pc)
{
	const struct mapping *mapping = mapset_find(fixture.process->mappings, pc);
	const struct image *image = image_table_get(fixture.images, mapping->image);
	uint64_t vaddr;

	for (size_t i = 0; i < walk.n_images; i++)
		if (walk.images[i].start == mapping->start)
			return;
	assert_true(image_vaddr(image, pc - mapping->start + mapping->file_offset, &vaddr));
	walk.images[walk.n_images++] = (struct symbolizer_walk_image){mapping->start, mapping->end, pc - vaddr, image->fd};
}

/* number: 0 for symbolizer_walk_step(). */
static void make_walk(uint64_t number)
{
	walk_snapshot(&fixture, &taken, taken.n_bytes, &stack);
	assert_int_equal(stack.end, END_COMPLETE);
	walk = (struct symbolizer_walk){.number = number, .stack_address = taken.stack, .stack = taken.bytes, .stack_bytes = taken.n_bytes,
					.n_wanted = 1, .n_frames = stack.n, .frames = stack.frames};
	memcpy(walk.registers, taken.registers, sizeof(walk.registers));
	for (uint32_t i = 0; i < stack.n; i++)
		add_image(stack.frames[i] - (i > 0));
}

static int step(uint32_t n_frames, bool goes_on)
{
	walk.n_frames = n_frames;
	return kept_walk_step(kept, &walk, goes_on, callers);
}

static void assert_is_caller(const struct symbolizer_caller *caller, uint32_t frame)
{
	assert_true(symbolizer_is_frame(stack.frames[frame], caller->pc));
}

/* Each caller is the same whether the walk goes on or begins anew. */
static void goes_on_as_it_began(void **state)
{
	struct symbolizer_caller anew;
	struct kept_walk *other;

	(void)state;
	shape_signal(&taken);
	make_walk(7);
	assert_int_equal(kept_walk_create(&other), 0);
	for (uint32_t n = 1; n < stack.n; n++) {
		assert_int_equal(step(n, n > 1), 1);
		assert_is_caller(&callers[0], n);
		assert_int_equal(kept_walk_step(other, &walk, false, &anew), 1);
		assert_memory_equal(anew.registers, callers[0].registers, sizeof(anew.registers));
		assert_int_equal(anew.pc, callers[0].pc);
		assert_int_equal(anew.exact, callers[0].exact);
	}
	assert_int_equal(step(stack.n, true), 0);
	assert_int_equal(step(stack.n, true), KEPT_WALK_ANEW); /* it ended */
	kept_walk_destroy(other);
	kept_walk_destroy(NULL);
}

/* Frames between may be found by others; the registers and the stack are not looked at again. */
static void goes_on_behind_what_others_found(void **state)
{
	(void)state;
	shape_deep(&taken, 50);
	make_walk(1);
	assert_int_equal(step(2, false), 1);
	walk.stack = NULL;
	walk.stack_bytes = 0;
	memset(walk.registers, 0, sizeof(walk.registers));
	for (uint32_t n = 3; n < stack.n; n += 7) {
		assert_int_equal(step(n, true), 1);
		assert_is_caller(&callers[0], n);
	}
}

static void what_is_not_the_same_walk(void **state)
{
	static uint64_t frames[USER_FRAMES_MAX];

	(void)state;
	shape_deep(&taken, 20);
	make_walk(5);
	memcpy(frames, stack.frames, sizeof(frames));
	assert_int_equal(step(3, true), KEPT_WALK_ANEW); /* none was begun */
	assert_int_equal(step(6, false), 1);
	walk.number = 6;
	assert_int_equal(step(8, true), KEPT_WALK_ANEW);
	walk.number = 5;
	assert_int_equal(step(6, true), KEPT_WALK_ANEW); /* it knows more */
	walk.frames = frames;
	for (uint32_t i = 0; i < 7; i++) {
		frames[i] -= 4;
		assert_int_equal(step(8, true), KEPT_WALK_ANEW);
		frames[i] += 4;
	}
	frames[0]++; /* is not a return address */
	assert_int_equal(step(8, true), KEPT_WALK_ANEW);
	frames[0]--;
	assert_int_equal(step(8, true), 1); /* none of that cost the walk */
	/* Others than libunwind comes to. */
	frames[10] -= 4;
	assert_int_equal(step(11, true), -ESTALE);
	assert_int_equal(step(11, true), KEPT_WALK_ANEW);
	assert_int_equal(step(11, false), -ESTALE);
	assert_int_equal(step(10, false), 1);
	/* Another takes its place. */
	walk.number = 9;
	assert_int_equal(step(2, false), 1);
	walk.number = 5;
	frames[10] += 4;
	assert_int_equal(step(11, true), KEPT_WALK_ANEW);
}

static void callers_that_are_looked_up_ahead(void **state)
{
	static struct symbolizer_caller single;
	struct kept_walk *other;
	uint32_t n = 2;

	(void)state;
	shape_deep(&taken, 100);
	make_walk(3);
	assert_int_equal(kept_walk_create(&other), 0);
	bool goes_on = false;
	for (int result; n < stack.n; n += (uint32_t)result, goes_on = true) {
		walk.n_wanted = SYMBOLIZER_CALLERS_MAX;
		result = step(n, goes_on);
		assert_true(result >= 1 && result <= SYMBOLIZER_CALLERS_MAX);
		if (n == 2)
			assert_int_equal(result, SYMBOLIZER_CALLERS_MAX);
		walk.n_wanted = 1;
		for (uint32_t i = 0; i < (uint32_t)result; i++) {
			assert_is_caller(&callers[i], n + i);
			walk.n_frames = n + i;
			assert_int_equal(kept_walk_step(other, &walk, goes_on || i > 0, &single), 1);
			assert_memory_equal(single.registers, callers[i].registers, sizeof(single.registers));
		}
		/* Behind the last one begins another image, or the stack ends; but for that it would have gone on. */
		const struct mapping *here = mapset_find(fixture.process->mappings, stack.frames[n - 1] - 1);
		uint32_t next = n + (uint32_t)result;
		if (result < SYMBOLIZER_CALLERS_MAX && next < stack.n)
			assert_ptr_not_equal(mapset_find(fixture.process->mappings, stack.frames[next - 1] - 1), here);
	}
	assert_int_equal(step(stack.n, true), 0); /* as it ended, whenever that was found */
	kept_walk_destroy(other);
}

/* What was found before an error is told first. */
static void an_error_behind_callers(void **state)
{
	(void)state;
	shape_deep(&taken, 100);
	make_walk(3);
	walk.stack_bytes = taken.n_bytes / 4;
	walk.n_wanted = SYMBOLIZER_CALLERS_MAX;
	uint32_t n = 1;
	int result = step(n, false);
	while (result > 0) {
		n += (uint32_t)result;
		result = step(n, true);
	}
	assert_int_equal(result, -EFAULT);
	assert_true(n > 2 && n < stack.n);
	assert_int_equal(step(n, true), KEPT_WALK_ANEW);
}

/* Descriptors come with each request, for the frames from where it is. */
static void no_descriptor_is_kept(void **state)
{
	(void)state;
	shape_deep(&taken, 20);
	make_walk(3);
	size_t n_images = walk.n_images;
	AUTO_CLOSE int fd = -1;
	for (uint32_t n = 2; n < 12; n++) {
		int before = fd;
		/* Another number than before, for the same file. */
		fd = fcntl(walk.images[0].fd, F_DUPFD_CLOEXEC, 100);
		assert_true(fd >= 0);
		struct symbolizer_walk_image image = walk.images[0];
		walk.images[0].fd = fd;
		if (before >= 0)
			close(before);
		assert_int_equal(step(n, n > 2), 1);
		walk.images[0] = image;
	}
	walk.n_images = 0;
	assert_int_equal(step(12, true), -ENOENT);
	walk.n_images = n_images;
	assert_int_equal(step(12, true), KEPT_WALK_ANEW);
}

static void as_deep_as_a_stack_may_be(void **state)
{
	struct deferred_stack *cut = &stack;

	(void)state;
	if (RUNNING_ON_VALGRIND)
		skip(); /* slow */
	shape_deep(&taken, 3000);
	walk_snapshot(&fixture, &taken, taken.n_bytes, cut);
	assert_int_equal(cut->end, END_TOO_DEEP);
	assert_int_equal(cut->n, USER_FRAMES_MAX);
	walk = (struct symbolizer_walk){.number = 1, .stack_address = taken.stack, .stack = taken.bytes, .stack_bytes = taken.n_bytes,
					.n_wanted = SYMBOLIZER_CALLERS_MAX, .frames = cut->frames};
	memcpy(walk.registers, taken.registers, sizeof(walk.registers));
	for (uint32_t i = 0; i < cut->n; i++)
		add_image(cut->frames[i] - (i > 0));
	uint32_t n = 1;
	for (int result; n <= USER_FRAMES_MAX; n += (uint32_t)result) {
		result = step(n, n > 1);
		assert_true(result >= 1);
	}
	assert_int_equal(n, USER_FRAMES_MAX + 1);
	/* In one request; the budget of steps holds that many. */
	assert_int_equal(step(USER_FRAMES_MAX, false), 1);
	walk.stack_bytes = DEFERRED_STACK_MAX + 1;
	assert_int_equal(step(1, false), -E2BIG);
	assert_int_equal(step(1, true), KEPT_WALK_ANEW);
}

/* ---- through the confined process ---- */

static int client_step(uint32_t n_frames, uint32_t n_wanted)
{
	walk.n_frames = n_frames;
	walk.n_wanted = n_wanted;
	return symbolizer_walk_step(fixture.symbolizer, &walk, &callers[0]);
}

/* Whatever is looked up ahead, and wherever tables take over for some frames. */
static void the_client_comes_to_the_same_frames(void **state)
{
	static const struct {
		uint32_t wanted, skipped;
	} WAYS[] = {{1, 1}, {SYMBOLIZER_CALLERS_MAX, 1}, {SYMBOLIZER_CALLERS_MAX, 3}, {5, 4}, {2, 7}, {3, 40}};

	(void)state;
	shape_deep(&taken, 100);
	for (size_t i = 0; i < sizeof(WAYS) / sizeof(WAYS[0]); i++) {
		make_walk(0);
		for (uint32_t n = 1; n < stack.n; n += WAYS[i].skipped) {
			assert_int_equal(client_step(n, n % 16 ? WAYS[i].wanted : 1), 1);
			assert_is_caller(&callers[0], n);
		}
		assert_int_equal(client_step(stack.n, 1), 0);
	}
	/* The order does not matter. */
	make_walk(0);
	for (uint32_t n = stack.n - 1U; n; n -= n > 10 ? 9 : 1) {
		assert_int_equal(client_step(n, n % 3 + 1), 1);
		assert_is_caller(&callers[0], n);
	}
}

/* Frames that differ from what was looked up ahead are not believed for it. */
static void the_client_sees_other_frames(void **state)
{
	static uint64_t frames[USER_FRAMES_MAX];

	(void)state;
	shape_deep(&taken, 50);
	make_walk(0);
	memcpy(frames, stack.frames, sizeof(frames));
	walk.frames = frames;
	assert_int_equal(client_step(5, SYMBOLIZER_CALLERS_MAX), 1);
	frames[7] -= 4;
	assert_int_equal(client_step(9, SYMBOLIZER_CALLERS_MAX), -ESTALE);
	frames[7] += 4;
	assert_int_equal(client_step(9, SYMBOLIZER_CALLERS_MAX), 1);
	assert_is_caller(&callers[0], 9);
}

/* The process that keeps the walk dies: the next one gets all of it. */
static void the_client_begins_anew(void **state)
{
	struct symbolizer_stats stats;
	struct image_info info;

	(void)state;
	shape_deep(&taken, 50);
	make_walk(0);
	assert_int_equal(client_step(5, 1), 1);
	uint64_t number = walk.number;
	if (!walk_fixture_kill_process())
		skip(); /* a kernel without CONFIG_PROC_CHILDREN */
	/* One request is lost with it, as ever. */
	assert_int_equal(symbolizer_image(fixture.symbolizer, walk.images[0].fd, &info), -ECHILD);
	for (uint32_t n = 9; n < stack.n; n++) {
		assert_int_equal(client_step(n, 1), 1);
		assert_is_caller(&callers[0], n);
	}
	assert_int_equal(walk.number, number);
	symbolizer_stats(fixture.symbolizer, &stats);
	assert_int_equal(stats.worker_restarts, 1);
	assert_int_equal(stats.replies_rejected, 0);
}

/* Another walk between two steps of one. */
static void walks_in_turn(void **state)
{
	struct symbolizer_walk first;

	(void)state;
	shape_deep(&taken, 30);
	make_walk(0);
	first = walk;
	for (uint32_t n = 1; n < stack.n; n++) {
		assert_int_equal(client_step(n, n % 4 + 1), 1);
		assert_is_caller(&callers[0], n);
		first.n_frames = n;
		first.n_wanted = n % 5 + 1;
		assert_int_equal(symbolizer_walk_step(fixture.symbolizer, &first, &callers[0]), 1);
		assert_is_caller(&callers[0], n);
	}
	assert_int_not_equal(walk.number, first.number);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(goes_on_as_it_began),
		TEST(goes_on_behind_what_others_found),
		TEST(what_is_not_the_same_walk),
		TEST(callers_that_are_looked_up_ahead),
		TEST(an_error_behind_callers),
		TEST(no_descriptor_is_kept),
		TEST(as_deep_as_a_stack_may_be),
		TEST(the_client_comes_to_the_same_frames),
		TEST(the_client_sees_other_frames),
		TEST(the_client_begins_anew),
		TEST(walks_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
