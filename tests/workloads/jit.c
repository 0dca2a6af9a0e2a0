/* A small JIT: makes code, tells of it in a way that is chosen, and runs it.
 *
 *   jit none|map|memfd|dump|half|fork|replace|churn SECONDS
 *
 * none: tells nothing. map: /tmp/perf-PID.map. memfd: the same, with the code in a memfd. dump: jit-PID.dump in the working folder, with lines.
 * half: the map's last line ends when half of the time, which is CPU time, is over. fork: a child runs the code. replace: other code in the same place at half time, in the
 * dump. churn: the map is written anew again and again. x86-64 only. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTER 0x100 /* of the code */

/* push rbp; mov rbp,rsp; mov rax,rdi; 1: dec rax; jnz 1b; pop rbp; ret */
static const uint8_t INNER_CODE[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0xff, 0xc8, 0x75, 0xfb, 0x5d, 0xc3};
/* push rbp; mov rbp,rsp; call rsi; pop rbp; ret */
static const uint8_t OUTER_CODE[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd6, 0x5d, 0xc3};

static uint8_t *code;
static FILE *out;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void make_code(int in_memfd)
{
	int fd = in_memfd ? memfd_create("jit", 0) : -1;

	if (in_memfd && (ftruncate(fd, 4096) < 0 || pwrite(fd, INNER_CODE, sizeof(INNER_CODE), 0) < 0 ||
			 pwrite(fd, OUTER_CODE, sizeof(OUTER_CODE), OUTER) < 0))
		exit(1);
	code = mmap(NULL, 4096, in_memfd ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE, in_memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
		    fd, 0);
	if (code == MAP_FAILED)
		exit(1);
	if (in_memfd)
		return;
	memcpy(code, INNER_CODE, sizeof(INNER_CODE));
	memcpy(code + OUTER, OUTER_CODE, sizeof(OUTER_CODE));
	if (mprotect(code, 4096, PROT_READ | PROT_EXEC) < 0)
		exit(1);
}

static void write_map(const char *end)
{
	char path[64], fresh[80];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	out = fopen(fresh, "w");
	if (!out)
		exit(1);
	fprintf(out, "%lx %zx jit_outer with spaces\n%lx 0x%zx jit_inner%s", (unsigned long)(code + OUTER), sizeof(OUTER_CODE), (unsigned long)code,
		sizeof(INNER_CODE), end);
	fflush(out);
	rename(fresh, path);
}

static void put(uint64_t value, size_t bytes)
{
	fwrite(&value, bytes, 1, out);
}

static void put_record(uint32_t id, size_t bytes)
{
	put(id, 4);
	put(16 + bytes, 4);
	put(now_ns(), 8);
}

static void put_load(uint64_t start, size_t bytes, const char *name)
{
	put_record(0, 40 + strlen(name) + 1 + bytes);
	put((uint64_t)getpid(), 4);
	put((uint64_t)getpid(), 4);
	put(start, 8);
	put(start, 8);
	put(bytes, 8);
	put(1, 8);
	fwrite(name, strlen(name) + 1, 1, out);
	fwrite((const void *)start, bytes, 1, out);
}

static void put_lines(uint64_t start, const char *file, int line)
{
	put_record(2, 16 + 16 + strlen(file) + 1);
	put(start, 8);
	put(1, 8);
	put(start, 8);
	put((uint64_t)line, 4);
	put(0, 4);
	fwrite(file, strlen(file) + 1, 1, out);
}

static void write_dump(void)
{
	char path[64];

	snprintf(path, sizeof(path), "jit-%d.dump", getpid());
	out = fopen(path, "w+");
	if (!out)
		exit(1);
	put(0x4a695444, 4);
	put(1, 4);
	put(40, 4);
	put(62, 4);
	put(0, 4);
	put((uint64_t)getpid(), 4);
	put(now_ns(), 8);
	put(0, 8);
	put_load((uint64_t)code + OUTER, sizeof(OUTER_CODE), "dumped_outer");
	put_lines((uint64_t)code, "/src/inner.lang", 42);
	put_load((uint64_t)code, sizeof(INNER_CODE), "dumped_inner");
	fflush(out);
	/* This is how profilers learn of it. */
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(out), 0) == MAP_FAILED)
		exit(1);
}

static void run(double seconds, void (*often)(void))
{
	uint64_t end_ns = cpu_ns() + (uint64_t)(seconds * 1e9);
	void (*outer)(uint64_t, const uint8_t *) = (void (*)(uint64_t, const uint8_t *))(uintptr_t)(code + OUTER);

	while (cpu_ns() < end_ns) {
		outer(20000000, code);
		if (often)
			often();
	}
}

static void write_anew(void)
{
	fclose(out);
	write_map("\n");
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "map";
	double seconds = argc > 2 ? atof(argv[2]) : 2;

	make_code(strcmp(mode, "memfd") == 0);
	if (strcmp(mode, "dump") == 0 || strcmp(mode, "replace") == 0)
		write_dump();
	else if (strcmp(mode, "none") != 0)
		write_map(strcmp(mode, "half") == 0 ? "_and" : "\n");
	if (strcmp(mode, "fork") == 0) {
		if (fork() == 0) {
			run(seconds, NULL);
			_exit(0);
		}
		wait(NULL);
		return 0;
	}
	run(seconds / 2, strcmp(mode, "churn") == 0 ? write_anew : NULL);
	if (strcmp(mode, "half") == 0) {
		fprintf(out, "_more\n");
		fflush(out);
	}
	if (strcmp(mode, "replace") == 0) {
		put_load((uint64_t)code, sizeof(INNER_CODE), "dumped_second");
		fflush(out);
	}
	run(seconds / 2, strcmp(mode, "churn") == 0 ? write_anew : NULL);
	return 0;
}
