/* Single-steps a program and compares hearth's walk with the true callers at every instruction.
 *
 *	step [--seconds N] [--show N] [--damage] [--from-entry] -- PROGRAM [ARGUMENT]...
 *
 * --from-entry runs up to the program's entry point, past the dynamic linker's start. A pc is judged once for each distinct chain of callers. --damage breaks the tables, so that the comparison must find something.
 * Prints counts by what the instruction belongs to, and the places where a step of the walk was not right. Exit status 1 when the
 * program could not be stepped; what the comparison says is no matter of the exit status. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/stepping/instruction.h"
#include "tests/stepping/tally.h"
#include "tests/stepping/truth.h"
#include "tests/stepping/walker.h"

#define THREADS_MAX   256
#define CODE_PAGES    1024
#define PAGE	      4096
#define SEEN_BITS     24
#define SEEN_FULL     (3u << (SEEN_BITS - 2))
#define UCONTEXT_RIP  168 /* offset of the interrupted pc in the ucontext; see symbolizer/unwind_compiler.c, TRAMPOLINE_RULE */

struct thread {
	pid_t tid;
	struct user_regs_struct registers;
	struct instruction next;
	struct truth_stack *stack;
	bool signalled; /* a signal was passed on: the next stop is its handler's first instruction, if it has one */
	bool switching; /* between taking over another stack pointer and leaving for its code */
	bool entered;	/* just called */
	unsigned handlers; /* of signals, that are active */
};

struct code_page {
	uint64_t address; /* 0: free */
	uint8_t bytes[PAGE + INSTRUCTION_MAX];
};

struct stepper {
	pid_t pid;
	struct thread threads[THREADS_MAX];
	size_t n_threads;
	struct truth truth;
	struct walker *walker;
	struct tally *tally;
	struct code_page *code;
	uint64_t *seen;
	uint64_t n_seen, steps;
	bool damage, from_entry;
	bool stale; /* mappings changed */
	double seconds;
	struct timespec begin;
};

static double elapsed_s(const struct stepper *s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - s->begin.tv_sec) + (double)(now.tv_nsec - s->begin.tv_nsec) * 1e-9;
}

static const uint8_t *code_at(struct stepper *s, uint64_t pc)
{
	struct code_page *page = &s->code[pc / PAGE % CODE_PAGES];
	uint64_t address = pc / PAGE * PAGE;

	if (page->address != address) {
		memset(page, 0, sizeof(*page));
		if (walker_read(s->walker, page->bytes, sizeof(page->bytes), address) < 0)
			(void)walker_read(s->walker, page->bytes, PAGE, address);
		page->address = address;
	}
	return page->bytes + pc % PAGE;
}

static int refresh(struct stepper *s)
{
	for (size_t i = 0; i < CODE_PAGES; i++)
		s->code[i].address = 0;
	s->stale = false;
	return walker_refresh(s->walker);
}

/* Is this pc with these callers new? */
static bool is_new(struct stepper *s, const struct thread *t)
{
	uint64_t slot = t->stack->n ? t->stack->frames[t->stack->n - 1].slot : t->stack->high;
	uint64_t hash = (t->registers.rip * 0x9e3779b97f4a7c15ULL) ^ truth_hash(t->stack) ^ (slot - t->registers.rsp) << 40;

	hash ^= hash >> 31;
	hash |= 1;
	if (s->n_seen == SEEN_FULL)
		return false;
	for (uint64_t at = hash >> 1;; at++) {
		uint64_t *entry = &s->seen[at & ((1u << SEEN_BITS) - 1)];
		if (*entry == hash)
			return false;
		if (!*entry) {
			*entry = hash;
			s->n_seen++;
			return true;
		}
	}
}

static enum category category_of(const struct stepper *s, const struct thread *t)
{
	if (t->switching)
		return IN_SWITCH;
	if (t->handlers)
		return IN_SIGNAL;
	struct place place = walker_place(s->walker, t->registers.rip);
	if (!place.has_cfi)
		return IN_PLAIN;
	if (place.in_plt)
		return IN_PLT;
	if (t->entered || t->next.part == PART_PROLOGUE)
		return IN_PROLOGUE;
	return t->next.part == PART_EPILOGUE ? IN_EPILOGUE : IN_BODY;
}

static void judge(struct stepper *s, const struct thread *t)
{
	struct truth_frame chain[USER_FRAMES_MAX];
	struct walked walked;
	bool complete;

	if (!is_new(s, t))
		return;
	chain[0] = (struct truth_frame){.pc = t->registers.rip};
	size_t n = 1 + truth_chain(t->stack, chain + 1, USER_FRAMES_MAX - 1, &complete);
	walker_walk(s->walker, &t->registers, &walked);
	tally_judge(s->tally, s->walker, &walked, chain, n, complete, category_of(s, t));
}

/* mov $15,%eax or %rax; syscall. Source: rt_sigreturn is system call 15. */
static bool is_restorer(struct stepper *s, uint64_t pc)
{
	const uint8_t *code = code_at(s, pc);

	return memcmp(code, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9) == 0 || memcmp(code, "\xb8\x0f\0\0\0\x0f\x05", 7) == 0;
}

static bool enter_handler(struct stepper *s, struct thread *t)
{
	uint64_t sp = t->registers.rsp, restorer, interrupted;

	if (walker_read(s->walker, &restorer, 8, sp) < 0 || !is_restorer(s, restorer) ||
	    walker_read(s->walker, &interrupted, 8, sp + 8 + UCONTEXT_RIP) < 0)
		return false;
	struct truth_stack *stack = truth_signal(&s->truth, t->stack, sp, restorer, sp + 8 + UCONTEXT_RIP, interrupted);
	if (!stack)
		return false;
	t->stack = stack;
	t->handlers++;
	t->switching = false;
	t->entered = true;
	return true;
}

static bool is_signal_return(const struct thread *t, const struct user_regs_struct *before)
{
	return t->next.is_syscall && before->rax == SYS_rt_sigreturn;
}

/* System calls that change what code is where. */
static bool maps_code(const struct user_regs_struct *before)
{
	return (before->rax == SYS_mmap || before->rax == SYS_mprotect) && before->rdx & 4 /* PROT_EXEC */;
}

/* What the instruction that was just stepped over did to the stack. */
static int follow(struct stepper *s, struct thread *t, const struct user_regs_struct *before)
{
	const struct truth_stack *stack_before = t->stack;
	size_t n_before = t->stack->n;
	uint64_t pushed;

	if (before->rip == t->registers.rip && before->rsp == t->registers.rsp)
		return 0; /* rep */
	t->stack = truth_move(&s->truth, t->stack, t->registers.rsp, t->next.move);
	if (!t->stack)
		return -ENOMEM;
	bool left = t->stack != stack_before || t->stack->n < n_before;
	t->entered = false;
	if (t->next.is_syscall) {
		t->handlers -= is_signal_return(t, before) && t->handlers;
		s->stale |= maps_code(before);
	} else if (t->next.move != MOVE_LOCAL && left) {
		t->switching = true;
	} else if (t->next.is_jump_away) {
		t->switching = false;
	}
	if (!t->next.is_call || t->registers.rsp != before->rsp - 8)
		return 0;
	t->entered = true;
	if (walker_read(s->walker, &pushed, 8, t->registers.rsp) < 0)
		return 0;
	return truth_push(t->stack, t->registers.rsp, pushed);
}

/* A thread stopped behind an instruction. */
static int stepped(struct stepper *s, struct thread *t)
{
	struct user_regs_struct before = t->registers;
	int err = 0;

	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &t->registers) < 0)
		return 0; /* gone */
	s->steps++;
	if (!t->signalled || !enter_handler(s, t))
		err = follow(s, t, &before);
	t->signalled = false;
	if (err == 0 && (s->stale || !walker_knows(s->walker, t->registers.rip)))
		err = refresh(s);
	if (err < 0)
		return err;
	t->next = instruction_decode(code_at(s, t->registers.rip));
	judge(s, t);
	return 0;
}

/* A thread, or the program after an exec, at its first instruction. */
static int start(struct stepper *s, struct thread *t, pid_t tid)
{
	memset(t, 0, sizeof(*t));
	t->tid = tid;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &t->registers) < 0)
		return -errno;
	t->stack = truth_begin(&s->truth, t->registers.rsp);
	if (!t->stack)
		return -ENOMEM;
	t->next = instruction_decode(code_at(s, t->registers.rip));
	return 0;
}

/* The program's entry point, of the auxiliary vector. Source: getauxval(3). */
static int read_entry(pid_t pid, uint64_t *entry_out)
{
	char path[64];
	uint64_t pair[2];

	snprintf(path, sizeof(path), "/proc/%d/auxv", (int)pid);
	FILE *stream = fopen(path, "re");
	if (!stream)
		return -errno;
	int err = -ENOENT;
	while (err < 0 && fread(pair, sizeof(pair), 1, stream) == 1)
		if (pair[0] == AT_ENTRY) {
			*entry_out = pair[1];
			err = 0;
		}
	fclose(stream);
	return err;
}

/* Run to a pc by a breakpoint. The dynamic linker leaves the stack as it found it. */
static int run_to(pid_t pid, uint64_t pc)
{
	struct user_regs_struct registers;
	int status;

	errno = 0;
	long word = ptrace(PTRACE_PEEKTEXT, pid, (void *)pc, NULL); // NOLINT: an address of another process
	if (errno || ptrace(PTRACE_POKETEXT, pid, (void *)pc, (void *)((word & ~0xffL) | 0xcc)) < 0 || // NOLINT
	    ptrace(PTRACE_CONT, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) < 0)
		return -errno;
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		return -ECHILD;
	if (ptrace(PTRACE_POKETEXT, pid, (void *)pc, (void *)word) < 0 || // NOLINT
	    ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
		return -errno;
	registers.rip = pc;
	return ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 ? -errno : 0;
}

static int start_program(struct stepper *s, pid_t tid)
{
	walker_destroy(s->walker);
	s->walker = NULL;
	truth_deinit(&s->truth);
	s->n_threads = 1;
	uint64_t entry = 0;
	int err = s->from_entry ? read_entry(tid, &entry) : 0;
	if (err == 0 && s->from_entry)
		err = run_to(tid, entry);
	if (err == 0)
		err = walker_create(tid, s->damage, &s->walker);
	if (err == 0)
		err = refresh(s);
	return err < 0 ? err : start(s, &s->threads[0], tid);
}

static struct thread *thread_of(struct stepper *s, pid_t tid)
{
	for (size_t i = 0; i < s->n_threads; i++)
		if (s->threads[i].tid == tid)
			return &s->threads[i];
	if (s->n_threads == THREADS_MAX || start(s, &s->threads[s->n_threads], tid) < 0)
		return NULL;
	return &s->threads[s->n_threads++];
}

static void ended(struct stepper *s, pid_t tid)
{
	for (size_t i = 0; i < s->n_threads; i++)
		if (s->threads[i].tid == tid)
			s->threads[i] = s->threads[--s->n_threads];
}

static int stopped(struct stepper *s, pid_t tid, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;
	bool is_known = false;

	for (size_t i = 0; i < s->n_threads; i++)
		is_known |= s->threads[i].tid == tid;
	if (event == PTRACE_EVENT_EXEC) {
		int err = start_program(s, tid);
		return err < 0 ? err : ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL) < 0 ? -errno : 0;
	}
	struct thread *t = thread_of(s, tid);
	if (!t)
		return -E2BIG;
	int err = 0;
	if (!is_known || event || signal == SIGTRAP) {
		if (is_known && !event)
			err = stepped(s, t);
		signal = 0;
	} else {
		t->signalled = true;
	}
	if (err == 0 && ptrace(PTRACE_SINGLESTEP, tid, NULL, (long)signal) < 0 && errno != ESRCH)
		err = -errno;
	return err;
}

static int run(struct stepper *s)
{
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0)
			return errno == ECHILD ? 0 : -errno;
		if (!WIFSTOPPED(status)) {
			ended(s, tid);
			continue;
		}
		int err = stopped(s, tid, status);
		if (err < 0 || (s->steps % 4096 == 0 && elapsed_s(s) > s->seconds)) {
			kill(s->pid, SIGKILL);
			return err;
		}
	}
}

static void run_child(char **argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
	}
	personality(ADDR_NO_RANDOMIZE);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(126);
	raise(SIGSTOP);
	execvp(argv[0], argv);
	_exit(127);
}

/* On one CPU both sides take turns, which is faster than waking the other CPU. */
static void share_a_cpu(void)
{
	cpu_set_t cpus;
	int cpu = sched_getcpu();

	CPU_ZERO(&cpus);
	CPU_SET(cpu < 0 ? 0 : (unsigned)cpu, &cpus);
	(void)sched_setaffinity(0, sizeof(cpus), &cpus);
}

static int launch(struct stepper *s, char **argv)
{
	int status;

	share_a_cpu();
	s->pid = fork();
	if (s->pid < 0)
		return -errno;
	if (s->pid == 0)
		run_child(argv);
	if (waitpid(s->pid, &status, 0) < 0 || !WIFSTOPPED(status))
		return -ECHILD;
	if (ptrace(PTRACE_SETOPTIONS, s->pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC) < 0 ||
	    ptrace(PTRACE_CONT, s->pid, NULL, NULL) < 0 || waitpid(s->pid, &status, 0) < 0)
		return -errno;
	if (!WIFSTOPPED(status))
		return -ENOEXEC;
	clock_gettime(CLOCK_MONOTONIC, &s->begin);
	return stopped(s, s->pid, status);
}

int main(int argc, char **argv)
{
	static const struct option OPTIONS[] = {{"seconds", required_argument, NULL, 's'}, {"show", required_argument, NULL, 'n'},
						{"damage", no_argument, NULL, 'd'}, {"from-entry", no_argument, NULL, 'e'},
						{NULL, 0, NULL, 0}};
	static struct stepper s = {.seconds = 60};
	size_t show = 10;
	int option;

	while ((option = getopt_long(argc, argv, "+", OPTIONS, NULL)) != -1) {
		if (option == 's')
			s.seconds = atof(optarg);
		else if (option == 'n')
			show = (size_t)atol(optarg);
		else if (option == 'd')
			s.damage = true;
		else if (option == 'e')
			s.from_entry = true;
		else
			return 2;
	}
	if (optind == argc) {
		fprintf(stderr, "usage: step [--seconds N] [--show N] [--damage] [--from-entry] -- PROGRAM [ARGUMENT]...\n");
		return 2;
	}
	s.code = calloc(CODE_PAGES, sizeof(*s.code));
	s.seen = calloc(1u << SEEN_BITS, sizeof(*s.seen));
	s.tally = tally_create();
	int err = s.code && s.seen && s.tally ? launch(&s, argv + optind) : -ENOMEM;
	if (err == 0)
		err = run(&s);
	if (err < 0)
		fprintf(stderr, "step: stepping '%s': %s\n", argv[optind], strerror(-err));
	else {
		printf("%" PRIu64 " instructions in %.1f s, %" PRIu64 " distinct\n", s.steps, elapsed_s(&s), s.n_seen);
		tally_print(s.tally, show);
	}
	walker_destroy(s.walker);
	truth_deinit(&s.truth);
	tally_destroy(s.tally);
	free(s.code);
	free(s.seen);
	return err < 0;
}
