/* dwz's alternate file: what several debug files share. Source: GNU extension, .gnu_debugaltlink; DWARF 5, 7.3.6, .debug_sup. */
#include "base/scope.h"
#include "symbolizer/dwarf_compiler.h"
#include "symbolizer/image_info.h"
#include "symbolizer/section_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINK_BYTES_MAX (DEBUG_ASK_TEXT_MAX + 128)
#define CANDIDATES_MAX 16

struct alt_link {
	bool is_found;
	bool has_checksum; /* DWARF 5's: not a build id */
	struct debug_ask ask;
	char name[DEBUG_ASK_TEXT_MAX];
};

/* The section's bytes; -ENOENT when there is none. */
static int read_section(const struct elf_file *elf, const char *name, uint8_t **bytes_out, size_t *n_out)
{
	AUTO_FREE struct elf_section *sections = NULL;
	size_t n = 0;
	int err = elf_file_sections(elf, &sections, &n);

	if (err < 0)
		return err;
	for (size_t i = 1; i < n; i++)
		if (sections[i].bytes <= LINK_BYTES_MAX && elf_file_section_is(elf, sections, n, &sections[i], name))
			return section_read(elf, &sections[i], LINK_BYTES_MAX, bytes_out, n_out);
	return -ENOENT;
}

static bool take_name(struct byte_reader *r, struct alt_link *link)
{
	size_t left = byte_reader_left(r), bytes = strnlen((const char *)r->at, left);

	if (bytes == left || bytes >= sizeof(link->name))
		return false;
	memcpy(link->name, r->at, bytes + 1);
	r->at += bytes + 1;
	return true;
}

static bool take_id(struct byte_reader *r, size_t bytes, struct alt_link *link)
{
	if (bytes == 0 || bytes > sizeof(link->ask.build_id) || bytes > byte_reader_left(r))
		return false;
	memcpy(link->ask.build_id, r->at, bytes);
	link->ask.build_id_bytes = (uint8_t)bytes;
	return true;
}

/* is_main: of the file that refers to the other. */
static bool take_sup(struct byte_reader *r, bool is_main, struct alt_link *link)
{
	return byte_reader_u16(r) == 5 && (byte_reader_u8(r) == 0) == is_main && !r->failed && take_name(r, link) &&
	       take_id(r, byte_reader_uleb(r), link);
}

static int read_sup(const struct elf_file *elf, bool is_main, struct alt_link *link)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n;
	int err = read_section(elf, ".debug_sup", &bytes, &n);

	if (err < 0)
		return err;
	struct byte_reader r = { .at = bytes, .end = bytes + n };
	link->has_checksum = link->is_found = take_sup(&r, is_main, link);
	return link->is_found ? 0 : -EBADMSG;
}

static int read_link(const struct elf_file *elf, struct alt_link *link)
{
	AUTO_FREE uint8_t *bytes = NULL;
	size_t n;
	int err = read_section(elf, ".gnu_debugaltlink", &bytes, &n);

	if (err == -ENOENT)
		return read_sup(elf, true, link);
	if (err < 0)
		return err;
	struct byte_reader r = { .at = bytes, .end = bytes + n };
	link->is_found = take_name(&r, link) && take_id(&r, byte_reader_left(&r), link);
	return link->is_found ? 0 : -EBADMSG;
}

/* Is it the file that the link means? */
static bool is_meant(const struct elf_file *elf, const struct alt_link *link)
{
	struct alt_link own = { .is_found = false };
	struct image_info info;

	if (link->has_checksum)
		return read_sup(elf, false, &own) == 0 && own.ask.build_id_bytes == link->ask.build_id_bytes &&
		       memcmp(own.ask.build_id, link->ask.build_id, own.ask.build_id_bytes) == 0;
	return image_info_read_build_id(elf, &info) == 0 && info.build_id_bytes == link->ask.build_id_bytes &&
	       memcmp(info.build_id, link->ask.build_id, info.build_id_bytes) == 0;
}

static int ask_for(struct dwarf_compiler *d, struct alt_link *link, struct dwarf_file **file_out)
{
	const struct debug_asker *asker = d->input->asker;

	link->ask.kind = DEBUG_ASK_ALT;
	link->ask.directory = "";
	link->ask.name = link->name;
	for (unsigned nth = 0; asker && nth < CANDIDATES_MAX; nth++) {
		struct dwarf_file *file;
		int fd;
		if (asker->open(asker->context, &link->ask, nth, &fd) < 0)
			break;
		int err = dwarf_file_open(fd, false, d->input->budget, &file);
		if (dwarf_is_fatal(err) && err != -ENOEXEC)
			return err;
		if (err < 0)
			continue;
		if (is_meant(file->elf, link)) {
			*file_out = file;
			return 0;
		}
		dwarf_file_destroy(file);
	}
	return -ENOENT;
}

int dwarf_alt_open(struct dwarf_compiler *d, struct dwarf_file *file)
{
	struct alt_link link = { .is_found = false };
	int err = read_link(file->elf, &link);

	if (err == -ENOENT || err == -E2BIG)
		return 0; /* no link */
	if (err == 0)
		err = ask_for(d, &link, &file->alt);
	if (err == 0 || (dwarf_is_fatal(err) && err != -EOPNOTSUPP))
		return err;
	d->stats.missing_files++;
	return 0;
}
