/* Executes the first page of a file (tests/hostile/images.py), and does with the file what its mapping does not expect:
 *
 *	mapped FILE CODE-OFFSET [truncate | breathe | fifo | device | memfd]
 *
 * truncate: the file is cut to its first page behind our back; breathe: again and again, and made long again. fifo, device: something else gets
 * its name. memfd: the bytes run in a memfd. Never ends by itself. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PAGE 4096

/* Something to come from: the loop is called. */
__attribute__((noinline)) static void run(const uint8_t *page, size_t offset)
{
	void (*loop)(void);
	const uint8_t *code = page + offset;

	memcpy(&loop, &code, sizeof(loop));
	loop();
	abort();
}

static void breathe(const char *path)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		exit(1);
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		if (ftruncate(fd, PAGE) < 0 || usleep(3000) < 0 || ftruncate(fd, st.st_size) < 0)
			exit(1);
		usleep(3000);
	}
}

static int meddle(const char *path, const char *mode)
{
	if (strcmp(mode, "truncate") == 0)
		return truncate(path, PAGE);
	if (strcmp(mode, "breathe") == 0)
		breathe(path);
	if (strcmp(mode, "fifo") == 0)
		return unlink(path) < 0 ? -1 : mkfifo(path, 0600);
	if (strcmp(mode, "device") == 0)
		return unlink(path) < 0 ? -1 : mknod(path, S_IFCHR | 0600, makedev(1, 5)); /* /dev/zero */
	return 0;
}

static int memfd_of(int fd)
{
	uint8_t page[PAGE];
	int copy = memfd_create("hostile", MFD_CLOEXEC);

	if (copy < 0 || pread(fd, page, PAGE, 0) != PAGE || write(copy, page, PAGE) != PAGE)
		exit(1);
	return copy;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 3 ? argv[3] : "";
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = argc > 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0 && strcmp(mode, "memfd") == 0)
		fd = memfd_of(fd);
	const uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (fd < 0 || page == MAP_FAILED) {
		perror(argc > 1 ? argv[1] : argv[0]);
		return 2;
	}
	if (meddle(argv[1], mode) < 0) {
		perror(mode);
		return 1;
	}
	run(page, strtoull(argv[2], NULL, 0));
	return 0;
}
