/* Spins in hand-written code that has neither CFI nor a frame pointer, as the loops of codecs and of cryptography. Ends after argv[1]
 * seconds of CPU (2). */
#include <stdlib.h>
#include <time.h>

__asm__(".text\n"
	".balign 64\n"
	".type bare_loop, @function\n"
	"bare_loop:\n"
	"push %rbx\n push %rbp\n push %r12\n"
	"sub $0x150, %rsp\n"
	"mov $20000000, %ebp\n"
	"1: movdqu %xmm4, (%rsp)\n"
	"dec %ebp\n"
	"jnz 1b\n"
	"add $0x150, %rsp\n"
	"pop %r12\n pop %rbp\n pop %rbx\n"
	"ret\n"
	".size bare_loop, . - bare_loop\n"
	".balign 64\n");

void bare_loop(void);

static volatile unsigned sink;

__attribute__((noinline)) void loop_outer(void)
{
	bare_loop();
	sink++;
}

int main(int argc, char **argv)
{
	clock_t end = clock() + (argc > 1 ? atoi(argv[1]) : 2) * CLOCKS_PER_SEC;

	while (clock() < end)
		loop_outer();
	return 0;
}
