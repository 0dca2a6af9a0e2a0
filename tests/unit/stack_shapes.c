/* gcc's own default: the tests' objects keep frame pointers otherwise. */
#pragma GCC optimize("omit-frame-pointer,no-optimize-sibling-calls")

#include "tests/unit/stack_shapes.h"

#include <alloca.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

#define SHAPE __attribute__((noinline, noclone, no_sanitize("address", "undefined")))
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

static struct snapshot *current;
static volatile uint64_t sink;

SHAPE static void plain_inner(struct snapshot *snapshot, uint64_t a, uint64_t b)
{
	uint64_t saved = a * b;

	stack_capture(snapshot);
	sink += saved;
}

SHAPE void shape_plain(struct snapshot *snapshot)
{
	plain_inner(snapshot, sink, sink + 1);
	KEEP_FRAME();
}

SHAPE void shape_alloca(struct snapshot *snapshot, size_t bytes)
{
	volatile char *room = alloca(bytes);

	room[0] = 1;
	stack_capture(snapshot);
	sink += (uint64_t)room[0];
}

SHAPE void shape_realigned(struct snapshot *snapshot, size_t bytes)
{
	volatile char aligned[64] __attribute__((aligned(64)));
	volatile char *room = alloca(bytes);

	aligned[0] = 1;
	room[0] = 2;
	stack_capture(snapshot);
	sink += (uint64_t)(aligned[0] + room[0]);
}

static jmp_buf way_back;

SHAPE __attribute__((noreturn)) static void never_returns(struct snapshot *snapshot)
{
	stack_capture(snapshot);
	longjmp(way_back, 1);
}

SHAPE static void calls_last(struct snapshot *snapshot)
{
	never_returns(snapshot);
}

SHAPE void shape_noreturn(struct snapshot *snapshot)
{
	if (!setjmp(way_back))
		calls_last(snapshot);
	KEEP_FRAME();
}

/* ud2 has two bytes. */
__asm__(".text\n"
	".type trapping_leaf, @function\n"
	"trapping_leaf:\n"
	".cfi_startproc\n"
	"mov $7, %ebp\n" /* no frame pointer, certainly */
	"ud2\n"
	"ret\n"
	".cfi_endproc\n"
	".size trapping_leaf, . - trapping_leaf\n"
	".type call_trapping_leaf, @function\n"
	"call_trapping_leaf:\n"
	".cfi_startproc\n"
	"push %rbp\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset rbp, 0\n"
	"call trapping_leaf\n"
	"pop %rbp\n"
	".cfi_restore rbp\n"
	".cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".size call_trapping_leaf, . - call_trapping_leaf\n");

void call_trapping_leaf(void);

__attribute__((no_sanitize("address", "undefined"))) static void on_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)number;
	(void)info;
	stack_capture(current);
	user->uc_mcontext.gregs[REG_RIP] += 2;
}

SHAPE static void take_signal(int flags)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | flags}, old;

	sigaction(SIGILL, &action, &old);
	call_trapping_leaf();
	sigaction(SIGILL, &old, NULL);
}

SHAPE void shape_signal(struct snapshot *snapshot)
{
	current = snapshot;
	take_signal(0);
	KEEP_FRAME();
}

static ucontext_t main_context, coroutine;

SHAPE static void coroutine_main(void)
{
	plain_inner(current, sink, 2);
	swapcontext(&coroutine, &main_context);
}

static void *map_stack(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SHAPE void shape_coroutine(struct snapshot *snapshot)
{
	size_t bytes = 64 << 10;

	current = snapshot;
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = map_stack(bytes);
	coroutine.uc_stack.ss_size = bytes;
	coroutine.uc_link = NULL;
	makecontext(&coroutine, coroutine_main, 0);
	swapcontext(&main_context, &coroutine);
	munmap(coroutine.uc_stack.ss_sp, bytes);
}

SHAPE static void alternate_main(void)
{
	take_signal(SA_ONSTACK);
	swapcontext(&coroutine, &main_context);
}

/* [the handler's stack][the interrupted one]: the copy reaches from one into the other. */
SHAPE void shape_alternate(struct snapshot *snapshot)
{
	size_t alternate = 56 << 10, bytes = 64 << 10;
	char *both = map_stack(bytes);
	stack_t stack = {.ss_size = alternate, .ss_sp = both}, none = {.ss_flags = SS_DISABLE};

	current = snapshot;
	sigaltstack(&stack, NULL);
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = both + alternate;
	coroutine.uc_stack.ss_size = bytes - alternate;
	coroutine.uc_link = NULL;
	makecontext(&coroutine, alternate_main, 0);
	swapcontext(&main_context, &coroutine);
	sigaltstack(&none, NULL);
	munmap(both, bytes);
}

SHAPE static void *thread_main(void *argument)
{
	plain_inner(argument, sink, 3);
	return argument;
}

SHAPE void shape_thread(struct snapshot *snapshot)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_main, snapshot) == 0)
		pthread_join(thread, NULL);
}

SHAPE static int clone_main(void *argument)
{
	plain_inner(argument, sink, 4);
	return 0;
}

SHAPE void shape_clone(struct snapshot *snapshot)
{
	size_t bytes = 256 << 10;
	char *stack = map_stack(bytes);
	int pid = clone(clone_main, stack + bytes, CLONE_VM | SIGCHLD, snapshot);

	waitpid(pid, NULL, 0);
	munmap(stack, bytes);
}

/* DW_CFA_def_cfa_expression: breg7 0, deref, deref. */
__asm__(".text\n"
	".type odd_frame, @function\n"
	"odd_frame:\n"
	".cfi_startproc\n"
	"sub $24, %rsp\n"
	".cfi_adjust_cfa_offset 24\n"
	"lea 32(%rsp), %rax\n"
	"mov %rax, 8(%rsp)\n"
	"lea 8(%rsp), %rax\n"
	"mov %rax, (%rsp)\n"
	".cfi_remember_state\n"
	".cfi_escape 0x0f, 4, 0x77, 0, 0x06, 0x06\n"
	"call odd_inner\n"
	".cfi_restore_state\n"
	"add $24, %rsp\n"
	".cfi_adjust_cfa_offset -24\n"
	"ret\n"
	".cfi_endproc\n"
	".size odd_frame, . - odd_frame\n");

void odd_frame(struct snapshot *snapshot);
void odd_inner(struct snapshot *snapshot);

__attribute__((used)) SHAPE void odd_inner(struct snapshot *snapshot)
{
	plain_inner(snapshot, sink, 5);
	KEEP_FRAME();
}

SHAPE void shape_odd(struct snapshot *snapshot)
{
	odd_frame(snapshot);
	KEEP_FRAME();
}

/* As hand-written loops of libraries do. rdi: the snapshot. No CFI; rbp is a counter. */
__asm__(".text\n"
	".balign 64\n"
	".type bare_loop, @function\n"
	"bare_loop:\n"
	"push %rbx\n push %rbp\n push %r12\n"
	"mov $3, %ebp\n"
	"sub $0x150, %rsp\n"
	"movdqu %xmm4, (%rsp)\n"
	"jmp 2f\n"
	"1: vpxor %xmm5, %xmm4, %xmm4\n"
	"mov %rdi, 0x120(%rsp)\n"
	"call stack_capture\n"
	"mov 0x120(%rsp), %rdi\n"
	"dec %ebp\n"
	"2: test %ebp, %ebp\n"
	"jnz 1b\n"
	"add $0x150, %rsp\n"
	"pop %r12\n pop %rbp\n pop %rbx\n"
	"ret\n"
	".size bare_loop, . - bare_loop\n"

	".balign 64\n"
	".type bare_aligned, @function\n"
	"bare_aligned:\n"
	"mov %rsp, %r10\n"
	"push %rbx\n push %rbp\n push %r12\n"
	"sub $0x200, %rsp\n"
	"and $-64, %rsp\n"
	"mov %rdi, %r11\n" /* what earlier calls left there */
	"mov %rsp, %rdi\n xor %eax, %eax\n mov $64, %ecx\n rep stosq\n"
	"mov %r11, %rdi\n"
	"mov %r10, 0x100(%rsp)\n"
	"mov %rsi, 0x80(%rsp)\n" /* what the caller wants to lie there */
	"mov $3, %ebp\n"
	"call stack_capture\n"
	"mov 0x100(%rsp), %rax\n"
	"mov -8(%rax), %rbx\n mov -16(%rax), %rbp\n mov -24(%rax), %r12\n"
	"mov %rax, %rsp\n"
	"ret\n"
	".size bare_aligned, . - bare_aligned\n"

	".balign 64\n"
	".type bare_jump, @function\n"
	"bare_jump:\n"
	"jmp bare_loop\n"
	".balign 64\n"
	".size bare_jump, . - bare_jump\n"

	/* rdi: the snapshot, rsi: the shape. Each way: call, or push what shall look like the return address and jump. */
	".type call_bare, @function\n"
	"call_bare:\n"
	".cfi_startproc\n"
	"push %rbx\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset rbx, 0\n"
	"mov %esi, %ecx\n"
	"xor %esi, %esi\n"
	"cmp $1, %ecx\n jb 10f\n je 11f\n"
	"cmp $3, %ecx\n jb 12f\n je 13f\n"
	"cmp $5, %ecx\n jb 14f\n je 15f\n"
	"cmp $7, %ecx\n jb 16f\n"
	"lea bare_loop(%rip), %rax\n call *%rax\n jmp 9f\n"
	"10: call bare_loop\n jmp 9f\n"
	"11: call bare_aligned\n jmp 9f\n"
	"12: lea bare_aligned(%rip), %rax\n call *%rax\n jmp 9f\n"
	"13: lea 20f(%rip), %rsi\n call bare_aligned\n"
	"20: jmp 9f\n"
	"14: lea 22f(%rip), %rax\n push %rax\n jmp bare_loop\n"
	"15: lea 21f(%rip), %rax\n push %rax\n jmp bare_loop\n"
	"call bare_aligned\n"
	"21: jmp 9f\n"
	"22: jmp 9f\n"
	"16: call bare_jump\n"
	"9: pop %rbx\n"
	".cfi_adjust_cfa_offset -8\n"
	".cfi_restore rbx\n"
	"ret\n"
	".cfi_endproc\n"
	".size call_bare, . - call_bare\n");

void call_bare(struct snapshot *snapshot, int shape);

SHAPE void shape_bare(struct snapshot *snapshot, enum bare_shape shape)
{
	call_bare(snapshot, (int)shape);
	KEEP_FRAME();
}

SHAPE void shape_deep(struct snapshot *snapshot, int n)
{
	if (n <= 0)
		stack_capture(snapshot);
	else
		shape_deep(snapshot, n - 1);
	KEEP_FRAME();
}

/* ---- single steps ---- */

static struct snapshot **steps;
static size_t n_steps, steps_max;
static volatile int stepping;
static void (*step_work)(void);

static void take_registers(struct snapshot *snapshot, const ucontext_t *user)
{
	static const uint8_t PLACES[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
					 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

	for (size_t i = 0; i < sizeof(PLACES); i++)
		snapshot->registers[i] = (uint64_t)user->uc_mcontext.gregs[PLACES[i]];
	snapshot->pc = (uint64_t)user->uc_mcontext.gregs[REG_RIP];
}

static uint64_t stack_top;

static void on_step(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	struct snapshot *snapshot;

	(void)number;
	(void)info;
	if (!stepping)
		user->uc_mcontext.gregs[REG_EFL] &= ~0x100ll;
	else if (n_steps++ < steps_max) {
		uint64_t sp = (uint64_t)user->uc_mcontext.gregs[REG_RSP];
		uint64_t bytes = stack_top - ((sp - 128) & ~7ull);
		if (bytes > DEFERRED_STACK_MAX)
			bytes = DEFERRED_STACK_MAX;
		snapshot = steps[n_steps - 1] =
			mmap(NULL, offsetof(struct snapshot, bytes) + bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		take_registers(snapshot, user);
		snapshot_copy_stack(snapshot, sp, (uint32_t)bytes);
	}
}

/* The trap flag begins to work behind the instruction that sets it. */
SHAPE static void step_main(void)
{
	stepping = 1;
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | 0x100);
	step_work();
	stepping = 0;
	KEEP_FRAME();
	swapcontext(&coroutine, &main_context);
}

size_t shape_steps(struct snapshot **snapshots, size_t max, void (*work)(void))
{
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
	size_t bytes = 64 << 10;
	char *alternate = map_stack(bytes), *own = map_stack(bytes);
	stack_t stack = {.ss_size = bytes, .ss_sp = alternate}, none = {.ss_flags = SS_DISABLE};

	steps = snapshots;
	steps_max = max;
	n_steps = 0;
	step_work = work;
	stack_top = (uint64_t)(uintptr_t)own + bytes;
	sigaltstack(&stack, NULL);
	sigaction(SIGTRAP, &action, &old);
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = own;
	coroutine.uc_stack.ss_size = bytes;
	coroutine.uc_link = NULL;
	makecontext(&coroutine, step_main, 0);
	swapcontext(&main_context, &coroutine);
	sigaction(SIGTRAP, &old, NULL);
	sigaltstack(&none, NULL);
	munmap(alternate, bytes);
	munmap(own, bytes);
	return n_steps;
}

SHAPE void shape_jit(struct snapshot *snapshot, const void *code)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, old;

	current = snapshot;
	sigaction(SIGILL, &action, &old);
	((void (*)(void))(uintptr_t)code)();
	sigaction(SIGILL, &old, NULL);
}
