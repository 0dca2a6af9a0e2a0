/* Runs the programs in argv[1] (traced.bpf.c), for argv[2] seconds (10). Says "fentry" on standard output when the kernel attaches programs to functions. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct bpf_object *load(const char *path, int with_fentry)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);

	if (!object)
		return NULL;
	struct bpf_program *traced = bpf_object__find_program_by_name(object, "hearth_traced");
	bpf_program__set_autoload(traced, with_fentry);
	if (bpf_object__load(object) == 0 && (!with_fentry || bpf_program__attach(traced)))
		return object;
	bpf_object__close(object);
	return NULL;
}

int main(int argc, char **argv)
{
	char packet[64] = "";
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet), .repeat = 1000);
	time_t end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 10);
	int null = open("/dev/null", O_WRONLY);
	struct bpf_object *object = argc > 1 ? load(argv[1], 1) : NULL;

	if (object)
		puts("fentry");
	else
		object = argc > 1 ? load(argv[1], 0) : NULL;
	fflush(stdout);
	if (!object)
		return 2;
	int fd = bpf_program__fd(bpf_object__find_program_by_name(object, "hearth_run"));
	while (time(NULL) < end) {
		if (bpf_prog_test_run_opts(fd, &run) && errno != EINTR) /* who stops the process interrupts it */
			return 1;
		for (int i = 0; i < 1000; i++)
			if (write(null, "", 1) != 1)
				return 1;
	}
	return 0;
}
