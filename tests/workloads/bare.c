/* A static program without libc and without any CFI of its own: -nostdlib -fno-asynchronous-unwind-tables. With -g its .debug_frame
 * has it. Ends after ROUNDS. */
static volatile unsigned sink;

/* No frame pointer, certainly. */
__attribute__((noinline)) static void bare_inner(void)
{
	__asm__ volatile("" ::: "rbp");
	for (unsigned i = 0; i < 100000000; i++)
		sink += i;
}

__attribute__((noinline)) static void bare_middle(void)
{
	bare_inner();
	sink++;
}

__attribute__((noinline)) static void bare_outer(void)
{
	bare_middle();
	sink++;
}

__attribute__((noreturn, used)) void bare_main(void)
{
	for (int i = 0; i < ROUNDS; i++)
		bare_outer();
	__asm__ volatile("syscall" ::"a"(60), "D"(0));
	__builtin_unreachable();
}

__asm__(".cfi_sections .debug_frame\n.globl _start\n.type _start, @function\n_start:\n.cfi_startproc\n.cfi_undefined rip\n"
	"mov $1, %ebp\nand $-16, %rsp\ncall bare_main\n.cfi_endproc\n.size _start, . - _start\n");
