/* Spins in a function whose CFA is **rsp, by an expression that unwind tables have no form for; also in what it calls.
 * Ends after argv[1] seconds of CPU (2). */
#include <stdlib.h>
#include <time.h>

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
	"mov $5000000, %ecx\n"
	"1: dec %ecx\n"
	"jnz 1b\n"
	"call odd_inner\n"
	".cfi_restore_state\n"
	"add $24, %rsp\n"
	".cfi_adjust_cfa_offset -24\n"
	"ret\n"
	".cfi_endproc\n"
	".size odd_frame, . - odd_frame\n");

void odd_frame(void);
void odd_inner(void);

static volatile unsigned sink;

__attribute__((used, noinline)) void odd_inner(void)
{
	for (unsigned i = 0; i < 3000000; i++)
		sink += i;
}

__attribute__((noinline)) void odd_outer(void)
{
	odd_frame();
	sink++;
}

int main(int argc, char **argv)
{
	clock_t end = clock() + (argc > 1 ? atoi(argv[1]) : 2) * CLOCKS_PER_SEC;

	while (clock() < end)
		odd_outer();
	return 0;
}
