/* What is sent of an ELF file's debug information, written into a folder, for tests/upload/debuginfo_test.py: debuginfo FILE BUILD-ID FOLDER.
 * Files: 1 to 4, the bodies of the four calls without gRPC's frame (but for the stream's, 3), and debug, the file itself. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-upload/debuginfo_upload.h"
#include "symbolizer/debug_only.h"

static void check(int err, const char *what)
{
	if (err >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(1);
}

static FILE *create(const char *folder, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "wb+");
	if (!file) {
		perror(path);
		exit(1);
	}
	return file;
}

static void write_message(struct debuginfo_upload *u, const char *folder, const char *name)
{
	struct wire message = {0};
	FILE *file = create(folder, name);

	check(debuginfo_upload_message(u, &message), name);
	fwrite(message.bytes, 1, message.n, file);
	wire_deinit(&message);
	fclose(file);
}

static void write_stream(struct debuginfo_upload *u, const char *folder, const char *name)
{
	static char buffer[10000];
	struct debuginfo_stream *stream = debuginfo_upload_stream(u);
	FILE *file = create(folder, name);
	int64_t n;

	while ((n = debuginfo_stream_read(stream, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)n, file);
	check((int)n, name);
	fclose(file);
}

int main(int argc, char **argv)
{
	struct wire instructions = {0};
	struct debuginfo_upload *u;
	struct debug_only debug;
	char upload_id[256];

	if (argc != 4)
		return 2;
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	FILE *out = create(argv[3], "debug");
	check(debug_only_write(fd, fileno(out), 1u << 30, &debug), argv[1]);
	check(debuginfo_upload_create(argv[2], &u), "create");
	write_message(u, argv[3], "1");
	check(debuginfo_upload_answer(u, "\x08\x01", 2), "should");
	check(debuginfo_upload_file(u, dup(fileno(out)), debug.bytes, debug.hash), "file");
	write_message(u, argv[3], "2");
	snprintf(upload_id, sizeof(upload_id), "upload-%s", argv[2]);
	size_t at = wire_open(&instructions, 1);
	wire_text(&instructions, 1, argv[2]);
	wire_text(&instructions, 2, upload_id);
	wire_number(&instructions, 3, DEBUGINFO_BY_GRPC);
	wire_close(&instructions, at);
	check(debuginfo_upload_answer(u, instructions.bytes, instructions.n), "instructions");
	write_stream(u, argv[3], "3");
	check(debuginfo_upload_answer(u, "", 0), "upload");
	write_message(u, argv[3], "4");
	debuginfo_upload_destroy(u);
	wire_deinit(&instructions);
	fclose(out);
	close(fd);
	return 0;
}
