#include "agent/process_table.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/zygote_fixture.h"

/* A pid that no process of this machine has: above the kernel's highest. */
#define PID 5000000

struct fixture {
	struct symbolizer *symbolizer;
	struct image_table *images;
	struct process_table *table;
};

static int set_up(void **state)
{
	static struct fixture f;

	if (test_symbolizer_create(&f.symbolizer) < 0 || image_table_create(f.symbolizer, 64, 16, &f.images) < 0 ||
	    process_table_create(f.images, 1 << 20, &f.table) < 0)
		return -1;
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	process_table_destroy(f->table);
	image_table_destroy(f->images);
	symbolizer_destroy(f->symbolizer);
	return 0;
}

static void fork_at(struct fixture *f, int32_t parent, int32_t child, uint64_t time_ns)
{
	struct task_record record = {.type = TASK_FORK, .time_ns = time_ns, .pid = child, .parent = parent};

	process_table_apply(f->table, &record);
}

static void exec_at(struct fixture *f, int32_t pid, const char *name, uint64_t time_ns)
{
	struct task_record record = {.type = TASK_COMM, .time_ns = time_ns, .pid = pid, .is_exec = true, .text = name};

	process_table_apply(f->table, &record);
}

static void map_at(struct fixture *f, int32_t pid, uint64_t start, uint64_t time_ns)
{
	struct task_record record = {.type = TASK_MMAP, .time_ns = time_ns, .pid = pid, .start = start,
				     .end = start + 0x1000, .text = "//anon"};

	process_table_apply(f->table, &record);
}

static void exit_at(struct fixture *f, int32_t pid, uint64_t time_ns)
{
	struct task_record record = {.type = TASK_EXIT, .time_ns = time_ns, .pid = pid};

	process_table_apply(f->table, &record);
}

static bool maps(struct fixture *f, int32_t pid, uint64_t time_ns, uint64_t pc)
{
	struct process *process = process_table_find(f->table, pid, time_ns, 1, 0);

	return process && mapset_find(process->mappings, pc);
}

static void exec_begins_a_new_address_space(void **state)
{
	struct fixture *f = *state;

	fork_at(f, 1, PID, 100);
	exec_at(f, PID, "first", 110);
	map_at(f, PID, 0x1000, 120);
	exec_at(f, PID, "second", 200);
	map_at(f, PID, 0x2000, 210);
	exit_at(f, PID, 300);
	assert_string_equal(process_table_find(f->table, PID, 150, 1, 0)->name, "first");
	assert_string_equal(process_table_find(f->table, PID, 250, 1, 0)->name, "second");
	assert_true(maps(f, PID, 150, 0x1000) && !maps(f, PID, 150, 0x2000));
	assert_true(maps(f, PID, 250, 0x2000) && !maps(f, PID, 250, 0x1000));
}

static void a_pid_that_is_used_again_is_another_process(void **state)
{
	struct fixture *f = *state;

	fork_at(f, 1, PID, 100);
	exec_at(f, PID, "old", 110);
	exit_at(f, PID, 200);
	fork_at(f, 1, PID, 300);
	exec_at(f, PID, "new", 310);
	struct process *old = process_table_find(f->table, PID, 150, 1, 0);
	struct process *new = process_table_find(f->table, PID, 350, 1, 0);
	assert_string_equal(old->name, "old");
	assert_string_equal(new->name, "new");
	assert_int_not_equal(old->serial, new->serial);
}

static void a_forked_child_has_its_parents_mappings(void **state)
{
	struct fixture *f = *state;

	exec_at(f, PID, "parent", 100);
	map_at(f, PID, 0x1000, 110);
	fork_at(f, PID, PID + 1, 200);
	map_at(f, PID + 1, 0x2000, 210);
	assert_true(maps(f, PID + 1, 250, 0x1000) && maps(f, PID + 1, 250, 0x2000));
	assert_false(maps(f, PID, 250, 0x2000));
	assert_string_equal(process_table_find(f->table, PID + 1, 250, 1, 0)->name, "parent");
}

static void ended_processes_are_forgotten(void **state)
{
	struct fixture *f = *state;
	struct process_table_stats stats;

	for (int32_t i = 0; i < 100; i++) {
		fork_at(f, 1, PID + i, 100);
		exec_at(f, PID + i, "short", 110);
		exit_at(f, PID + i, 200);
	}
	process_table_end_window(f->table, 150, 1);
	process_table_stats(f->table, &stats);
	assert_int_equal(stats.processes, 100); /* the instances before the exec are over */
	process_table_end_window(f->table, 201, 2);
	process_table_stats(f->table, &stats);
	assert_int_equal(stats.processes, 0);
	assert_null(process_table_find(f->table, PID, 150, 3, 0));
}

static void the_budget_holds(void **state)
{
	struct fixture *f = *state;
	struct process_table_stats stats;

	for (int32_t i = 0; i < 20000; i++)
		exec_at(f, PID + i, "many", 100);
	assert_non_null(process_table_find(f->table, PID + 19999, 150, 7, 0));
	process_table_end_window(f->table, 0, 7);
	process_table_stats(f->table, &stats);
	assert_true(stats.bytes <= 1 << 20);
	assert_true(stats.evicted > 0);
	/* What was sampled last stays longest. */
	assert_non_null(process_table_find(f->table, PID + 19999, 150, 8, 0));
}

static void processes_that_were_there_are_read_from_proc(void **state)
{
	struct fixture *f = *state;
	uint64_t here = (uint64_t)(uintptr_t)set_up;

	struct process *self = process_table_find(f->table, getpid(), 1, 1, 0);
	assert_non_null(self);
	const struct mapping *mapping = mapset_find(self->mappings, here);
	assert_non_null(mapping);
	assert_int_not_equal(mapping->image, MAPPING_NO_IMAGE);
	const struct image *image = image_table_get(f->images, mapping->image);
	assert_int_equal(image->state, IMAGE_READ);
	uint64_t vaddr;
	assert_true(image_vaddr(image, here - mapping->start + mapping->file_offset, &vaddr));
	assert_null(process_table_find(f->table, PID, 1, 1, 0));
	assert_true(process_table_scan(f->table) >= 1);
}

static void losses_make_it_read_again(void **state)
{
	struct fixture *f = *state;

	struct process *self = process_table_find(f->table, getpid(), 1, 1, 0);
	map_at(f, getpid(), 0x1000, 10); /* not true: gone when /proc is read again */
	assert_non_null(mapset_find(self->mappings, 0x1000));
	process_table_find(f->table, getpid(), 20, 2, 0);
	assert_non_null(mapset_find(self->mappings, 0x1000));
	process_table_find(f->table, getpid(), 20, 3, 5);
	assert_null(mapset_find(self->mappings, 0x1000));
}

static void file_at(struct fixture *f, int32_t pid, uint64_t start, const char *path, uint64_t time_ns)
{
	struct task_record record = {.type = TASK_MMAP, .time_ns = time_ns, .pid = pid, .start = start, .end = start + 0x1000,
				     .inode = 5, .text = path};

	process_table_apply(f->table, &record);
}

static const char *executable_at(struct fixture *f, int32_t pid, uint64_t time_ns)
{
	struct process *process = process_table_find(f->table, pid, time_ns, 1, 0);

	return process ? process->executable : "none";
}

/* The first file that is mapped behind an exec. */
static void executables(void **state)
{
	struct fixture *f = *state;

	fork_at(f, PID + 1, PID, 100);
	exec_at(f, PID, "worker", 200);
	map_at(f, PID, 0x10000, 210);
	file_at(f, PID, 0x1000, "/usr/sbin/my server", 220);
	file_at(f, PID, 0x3000, "/lib/ld-linux.so.2", 230);
	assert_string_equal(executable_at(f, PID, 250), "my server");
	/* A child runs the same, until it executes something else. */
	fork_at(f, PID, PID + 2, 300);
	assert_string_equal(executable_at(f, PID + 2, 310), "my server");
	exec_at(f, PID + 2, "x", 400);
	assert_string_equal(executable_at(f, PID + 2, 410), "");
	file_at(f, PID + 2, 0x1000, "/memfd:jit\n (deleted)", 420);
	assert_string_equal(executable_at(f, PID + 2, 430), "memfd:jit?");
	assert_string_equal(executable_at(f, PID + 2, 310), "my server");
	/* What a process maps whose beginning is not known is not its executable. */
	fork_at(f, PID + 9, PID + 3, 500);
	file_at(f, PID + 3, 0x1000, "/lib/plugin.so", 510);
	assert_string_equal(executable_at(f, PID + 3, 520), "");
	/* Of a process that was there before, /proc tells. Under valgrind that is valgrind. */
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	if (strstr(self, "agent_process_table_test"))
		assert_string_equal(executable_at(f, getpid(), 1), "agent_process_table_test");
}

static void note_exec(void *context, struct process *process)
{
	assert_int_equal(process->tgid, PID + 2);
	assert_int_equal(process->cgroup, 77);
	assert_string_equal(process->name, "x");
	++*(int *)context;
}

static void what_forks_and_execs_take_over(void **state)
{
	struct fixture *f = *state;
	int execs = 0;

	process_table_watch_exec(f->table, note_exec, &execs);
	fork_at(f, PID + 1, PID, 100);
	struct process *process = process_table_find(f->table, PID, 110, 1, 0);
	assert_non_null(process);
	process->cgroup = 77;
	process->cgroup_ns = 100;
	process->is_kernel_thread = true;
	fork_at(f, PID, PID + 2, 200);
	process = process_table_find(f->table, PID + 2, 210, 1, 0);
	assert_int_equal(process->cgroup, 77);
	assert_int_equal(process->cgroup_ns, 0);
	assert_true(process->is_kernel_thread);
	/* A helper that the kernel starts is no thread of it. */
	exec_at(f, PID + 2, "x", 300);
	assert_int_equal(execs, 1);
	process = process_table_find(f->table, PID + 2, 310, 1, 0);
	assert_int_equal(process->cgroup, 77);
	assert_false(process->is_kernel_thread);
}

#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TABLE(exec_begins_a_new_address_space),
		WITH_TABLE(a_pid_that_is_used_again_is_another_process),
		WITH_TABLE(a_forked_child_has_its_parents_mappings),
		WITH_TABLE(ended_processes_are_forgotten),
		WITH_TABLE(the_budget_holds),
		WITH_TABLE(processes_that_were_there_are_read_from_proc),
		WITH_TABLE(losses_make_it_read_again),
		WITH_TABLE(executables),
		WITH_TABLE(what_forks_and_execs_take_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
