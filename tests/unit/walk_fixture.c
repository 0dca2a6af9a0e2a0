#include "tests/unit/walk_fixture.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"
#include "tests/unit/zygote_fixture.h"

#define PAGE 4096u

_Static_assert(offsetof(struct snapshot, pc) == 256, "stack_capture() writes it there");

/* Everything by its DWARF number, before anything is changed. */
__asm__(".text\n"
	".globl stack_capture\n"
	".type stack_capture, @function\n"
	"stack_capture:\n"
	".cfi_startproc\n"
	"mov %rax, 0(%rdi)\n mov %rdx, 8(%rdi)\n mov %rcx, 16(%rdi)\n mov %rbx, 24(%rdi)\n"
	"mov %rsi, 32(%rdi)\n mov %rdi, 40(%rdi)\n mov %rbp, 48(%rdi)\n mov %rsp, 56(%rdi)\n"
	"mov %r8, 64(%rdi)\n mov %r9, 72(%rdi)\n mov %r10, 80(%rdi)\n mov %r11, 88(%rdi)\n"
	"mov %r12, 96(%rdi)\n mov %r13, 104(%rdi)\n mov %r14, 112(%rdi)\n mov %r15, 120(%rdi)\n"
	"lea 1f(%rip), %rax\n"
	"1: mov %rax, 256(%rdi)\n"
	"sub $8, %rsp\n"
	".cfi_adjust_cfa_offset 8\n"
	"call stack_capture_rest\n"
	"add $8, %rsp\n"
	".cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".size stack_capture, . - stack_capture\n");

void stack_capture_rest(struct snapshot *snapshot);

__attribute__((used, noinline)) void stack_capture_rest(struct snapshot *snapshot)
{
	snapshot_copy_stack(snapshot, snapshot->registers[UNWIND_SP], DEFERRED_STACK_MAX);
	snapshot->n_trace = backtrace(snapshot->trace, 128);
}

void snapshot_copy_stack(struct snapshot *snapshot, uint64_t sp, uint32_t bytes_max)
{
	uint64_t at = (sp - 128) & ~7ull, end = at + bytes_max;

	snapshot->stack = at;
	snapshot->n_bytes = 0;
	while (at < end) {
		size_t bytes = PAGE - (at & (PAGE - 1)) < end - at ? PAGE - (at & (PAGE - 1)) : (size_t)(end - at);
		struct iovec to = {snapshot->bytes + snapshot->n_bytes, bytes}, from = {(void *)at, bytes};
		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)bytes)
			return;
		snapshot->n_bytes += (uint32_t)bytes;
		at += bytes;
	}
}

int fake_chunk_create(void *context, uint32_t index, void **at_out)
{
	uint32_t *chunks = context;

	(void)index;
	*at_out = calloc(1, UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK);
	if (!*at_out)
		return -ENOMEM;
	++*chunks;
	return 0;
}

void fake_chunk_destroy(void *context, uint32_t index, void *at)
{
	uint32_t *chunks = context;

	(void)index;
	--*chunks;
	free(at);
}

void fixture_settle(void *context)
{
	struct walk_fixture *f = context;

	f->settled++;
	unwind_memory_settle(f->memory);
}

void walk_fixture_reread(struct walk_fixture *f)
{
	f->window++;
	f->process = process_table_find(f->processes, getpid(), UINT64_MAX - 1, f->window, f->window);
	assert_non_null(f->process);
}

void walk_fixture_init(struct walk_fixture *f, uint64_t budget_bytes)
{
	*f = (struct walk_fixture){.epoch = 1};
	struct unwind_chunk_source chunks = {fake_chunk_create, fake_chunk_destroy, &f->chunks};

	f->slots = calloc(FIXTURE_SLOTS, sizeof(f->slots[0]));
	assert_non_null(f->slots);
	assert_int_equal(test_symbolizer_create(&f->symbolizer), 0);
	assert_int_equal(image_table_create(f->symbolizer, 256, 256, &f->images), 0);
	assert_int_equal(process_table_create(f->images, 16 << 20, &f->processes), 0);
	assert_int_equal(unwind_memory_create(budget_bytes, &chunks, &f->memory), 0);
	assert_int_equal(unwind_images_create(f->symbolizer, f->memory, f->slots, FIXTURE_SLOTS, &f->epoch, fixture_settle, f,
					      &f->tables), 0);
	assert_int_equal(deferred_walker_create(f->symbolizer, f->images, f->tables, f->memory, f->slots, FIXTURE_SLOTS, &f->epoch,
						&f->walker), 0);
	walk_fixture_reread(f);
}

void walk_fixture_deinit(struct walk_fixture *f)
{
	deferred_walker_destroy(f->walker);
	unwind_images_destroy(f->tables);
	unwind_memory_destroy(f->memory);
	assert_int_equal(f->chunks, 0);
	process_table_destroy(f->processes);
	image_table_destroy(f->images);
	symbolizer_destroy(f->symbolizer);
	free(f->slots);
}

bool walk_fixture_kill_process(void)
{
	pid_t zygote = zygote_pid(test_zygote());
	char path[64];
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", zygote, zygote);
	FILE *children = fopen(path, "re");
	bool found = children && fscanf(children, "%d", &pid) == 1 && kill(pid, SIGKILL) == 0;
	if (children)
		fclose(children);
	return found;
}

void walk_snapshot(struct walk_fixture *f, const struct snapshot *snapshot, uint32_t n_bytes, struct deferred_stack *out)
{
	static uint8_t *guarded;
	struct deferred_record record = {
		.id = 1,
		.pc = snapshot->pc,
		.stack = snapshot->stack,
		.tgid = (uint32_t)getpid(),
		.n_bytes = n_bytes,
		.end = END_NO_PROCESS,
	};

	if (!guarded) {
		guarded = mmap(NULL, DEFERRED_STACK_MAX + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_ptr_not_equal(guarded, MAP_FAILED);
		assert_int_equal(mprotect(guarded + DEFERRED_STACK_MAX, PAGE, PROT_NONE), 0);
	}
	memcpy(record.registers, snapshot->registers, sizeof(record.registers));
	uint8_t *copy = guarded + DEFERRED_STACK_MAX - n_bytes;
	memcpy(copy, snapshot->bytes, n_bytes);
	deferred_walk(f->walker, f->process, &record, copy, out);
	assert_true(out->n >= 1 && out->n <= USER_FRAMES_MAX);
	assert_true(out->end > END_NO_USER && out->end < STACK_ENDS);
	assert_int_equal(out->frames[0], snapshot->pc);
}

const char *frame_name(struct walk_fixture *f, const struct deferred_stack *stack, size_t frame)
{
	static char name[128];
	uint64_t pc = stack->frames[frame] - (frame > 0), vaddr;
	const struct mapping *mapping = mapset_find(f->process->mappings, pc);
	struct symbolizer_reply *reply = NULL;

	strcpy(name, "?");
	if (!mapping || mapping->image == MAPPING_NO_IMAGE)
		return name;
	const struct image *image = image_table_get(f->images, mapping->image);
	if (!image_vaddr(image, pc - mapping->start + mapping->file_offset, &vaddr))
		return name;
	if (symbolizer_names(f->symbolizer, image->id, image->fd, -1, &vaddr, 1, &reply) == 0 && reply->answers[0].count)
		snprintf(name, sizeof(name), "%s", reply->frames[reply->answers[0].first].name);
	symbolizer_reply_free(reply);
	return name;
}

void print_walk(struct walk_fixture *f, const struct deferred_stack *stack)
{
	for (size_t i = 0; i < stack->n && i < 64; i++)
		print_message("# %2zu %016llx %s\n", i, (unsigned long long)stack->frames[i], frame_name(f, stack, i));
	print_message("# end %d\n", stack->end);
}

bool is_outermost(const struct deferred_stack *stack)
{
	return stack->end == END_COMPLETE || (stack->end == END_FRAME_ZERO && stack->n > 1);
}

/* The frame below the one at hand was left by a signal: then it is exact, and so is the trampoline; see struct arena_entry. */
static bool is_same(uint64_t frame, uint64_t traced)
{
	return frame == traced || frame == traced + 1;
}

void assert_walk_is_trace(struct walk_fixture *f, const struct snapshot *snapshot)
{
	struct deferred_stack stack;
	int first = 0;

	/* The walk begins in stack_capture(); the trace in what it calls, or further in when a sanitizer wraps backtrace(). */
	while (first < snapshot->n_trace && (uint64_t)(uintptr_t)snapshot->trace[first] - snapshot->pc > 64)
		first++;
	int n = snapshot->n_trace - first;
	walk_snapshot(f, snapshot, snapshot->n_bytes, &stack);
	bool same = is_outermost(&stack) && stack.n == n;
	for (int i = 1; same && i < n; i++)
		same = is_same(stack.frames[i], (uint64_t)(uintptr_t)snapshot->trace[first + i]);
	if (same)
		return;
	print_walk(f, &stack);
	for (int i = 0; i < snapshot->n_trace; i++)
		print_message("# glibc %p\n", snapshot->trace[i]);
	fail();
}
