/* All of symbolizer/ when memory runs out: each allocation of a job fails once, in turn (SAFETY 26). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "symbolizer/engine.h"
#include "tests/unit/elf_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifndef HAS_ASAN

/* How many allocations still succeed; negative: all. */
static long allowed = -1;
static unsigned long refused;

/* glibc's own, behind the functions that this program replaces. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

static int is_refused(void)
{
	if (allowed < 0 || allowed-- > 0)
		return 0;
	allowed = -1;
	refused++;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t bytes)
{
	return is_refused() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
	return is_refused() ? NULL : __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
	return is_refused() ? NULL : __libc_realloc(old, bytes);
}

void *reallocarray(void *old, size_t n, size_t bytes)
{
	size_t total;
	if (__builtin_mul_overflow(n, bytes, &total))
		return NULL;
	return is_refused() ? NULL : __libc_realloc(old, total);
}

static int elf_fd, kallsyms_fd;

/* Everything once. Returns the first error. */
static int whole_job(void)
{
	static const uint64_t vaddrs[] = { 0x1000, 0x1110, 0x1300, 5 };
	static const uint64_t addrs[] = { 0xffffffff81000000, 0xffffffffc0201000 };
	struct engine *s = NULL;
	struct symbolizer_reply *reply = NULL;
	struct image_info info;
	int err = engine_create(NULL, &s);

	if (err < 0)
		return err;
	err = engine_image(s, elf_fd, &info);
	if (err == 0)
		err = engine_names(s, 1, elf_fd, -1, vaddrs, 4, &reply);
	if (err == 0)
		symbolizer_reply_free(reply);
	if (err == 0)
		err = engine_kernel_load(s, kallsyms_fd);
	if (err >= 0)
		err = engine_kernel_names(s, addrs, 2, &reply);
	if (err == 0)
		symbolizer_reply_free(reply);
	engine_destroy(s);
	return err;
}

static void each_failure_is_survived(void **state)
{
	static const char text[] = "ffffffff81000000 T _RNvC3mod4main\nffffffffc0201000 t x\t[mod]\n";
	struct elf_writer w;
	unsigned long failed = 0;

	(void)state;
	void *(*volatile allocate)(size_t) = malloc;
	allowed = 0;
	void *probe = allocate(1);
	allowed = -1;
	free(probe);
	if (probe) {
		print_message("malloc is not this program's (valgrind: --soname-synonyms=somalloc=nouserintercepts)\n");
		skip();
	}
	elf_writer_sample(&w, true);
	elf_fd = elf_writer_fd(&w);
	kallsyms_fd = bytes_fd(text, strlen(text));
	assert_int_equal(whole_job(), 0);
	for (long n = 0; n < 1000; n++) {
		unsigned long before = refused;
		allowed = n;
		int err = whole_job();
		allowed = -1;
		if (refused == before)
			break; /* fewer allocations than n */
		failed++;
		/* Names stay mangled and arrays stay large when there is no memory for better. */
		assert_true(err == -ENOMEM || err == 0);
	}
	assert_true(failed > 20);
	print_message("%lu allocations failed, one at a time\n", failed);
	assert_int_equal(whole_job(), 0);
	close(elf_fd);
	close(kallsyms_fd);
}

#else

static void each_failure_is_survived(void **state)
{
	(void)state;
	print_message("AddressSanitizer owns malloc\n");
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_failure_is_survived) };
	return cmocka_run_group_tests_name("symbolizer/memory", tests, NULL, NULL);
}
