#include "symbolizer/debug_file.h"
#include "symbolizer/image_info.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define CHUNK_BYTES (256U << 10)

struct link {
	char name[DEBUG_ASK_TEXT_MAX];
	uint32_t crc;
};

/* A name with its NUL, zeros up to a multiple of 4, and the CRC. */
static int read_link(const struct elf_file *elf, struct link *link)
{
	struct elf_section section;

	int err = elf_file_find_section(elf, ".gnu_debuglink", &section);
	if (err < 0)
		return err;
	size_t bytes = section.bytes < sizeof(link->name) ? (size_t)section.bytes : sizeof(link->name);
	err = elf_file_read(elf, section.file_offset, link->name, bytes);
	if (err < 0)
		return err;
	size_t length = strnlen(link->name, bytes);
	uint64_t crc = (length + 4) & ~(uint64_t)3;
	if (!length || length == bytes || section.bytes < crc + sizeof(link->crc) || memchr(link->name, '/', length))
		return -EBADMSG;
	return elf_file_read(elf, section.file_offset + crc, &link->crc, sizeof(link->crc));
}

/* The same polynomial as zlib's. */
static bool has_crc(const struct elf_file *file, uint32_t wanted)
{
	uLong crc = crc32(0, NULL, 0);

	if (file->file_bytes > DEBUG_LINK_BYTES_MAX)
		return false;
	AUTO_FREE uint8_t *chunk = malloc(CHUNK_BYTES);
	if (!chunk)
		return false;
	for (uint64_t at = 0; at < file->file_bytes;) {
		size_t n = CHUNK_BYTES;
		if (elf_file_read_some(file, at, chunk, &n) < 0 || !n)
			return false;
		crc = crc32(crc, chunk, (uInt)n);
		at += n;
	}
	return crc == wanted;
}

/* link: NULL when it was found by build id. */
static bool fits(const struct image_info *image, const struct elf_file *file, const struct link *link)
{
	struct image_info info;

	if (image_info_read_build_id(file, &info) < 0)
		return false;
	bool is_same = image->build_id_bytes && info.build_id_bytes == image->build_id_bytes &&
		       memcmp(info.build_id, image->build_id, image->build_id_bytes) == 0;
	if (!link)
		return is_same;
	if (image->build_id_bytes && info.build_id_bytes && !is_same)
		return false;
	return has_crc(file, link->crc);
}

static int ask_for(const struct debug_asker *asker, const struct debug_ask *ask, const struct image_info *image, const struct link *link,
		   int *fd_out, struct elf_file *file_out, uint64_t *refused)
{
	for (unsigned nth = 0; nth < DEBUG_FILE_CANDIDATES_MAX; nth++) {
		AUTO_CLOSE int fd = -1;
		if (asker->open(asker->context, ask, nth, &fd) < 0)
			return -ENOENT;
		if (elf_file_open(fd, file_out) == 0 && fits(image, file_out, link)) {
			*fd_out = take_fd(&fd);
			return 0;
		}
		++*refused;
	}
	return -ENOENT;
}

int debug_file_find(const struct elf_file *image, const struct debug_asker *asker, int *fd_out, struct elf_file *file_out, uint64_t *refused)
{
	struct debug_ask ask = {.kind = DEBUG_ASK_BUILD_ID, .directory = "", .name = ""};
	AUTO_FREE struct link *link = NULL;
	struct image_info info;

	if (!asker)
		return -ENOENT;
	int err = image_info_read_build_id(image, &info);
	if (err < 0)
		return err;
	ask.build_id_bytes = info.build_id_bytes;
	memcpy(ask.build_id, info.build_id, info.build_id_bytes);
	if (info.build_id_bytes && ask_for(asker, &ask, &info, NULL, fd_out, file_out, refused) == 0)
		return 0;
	link = malloc(sizeof(*link));
	if (!link)
		return -ENOMEM;
	err = read_link(image, link);
	if (err < 0) {
		*refused += err != -ENOENT;
		return err == -EIO ? err : -ENOENT;
	}
	ask = (struct debug_ask){.kind = DEBUG_ASK_LINK, .directory = "", .name = link->name};
	return ask_for(asker, &ask, &info, link, fd_out, file_out, refused);
}
