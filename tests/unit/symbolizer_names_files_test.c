/* Names from files that refer to others, or have their DWARF packed (tests/fixtures/names/): all of them say what the plain build says. */
#include "tests/unit/cmocka_prelude.h"

#include "base/scope.h"
#include "symbolizer/name_compiler.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FOLDER	"build/tests/fixtures/names/"
#define SOURCES "tests/fixtures/names/"
#define TEXT	4096

static const char *const COMPILERS[] = { "g++-4", "g++-5", "clang++-4", "clang++-5" };
#define EACH_COMPILER(c) for (size_t c = 0; c < sizeof(COMPILERS) / sizeof(COMPILERS[0]); c++)

/* Opens files of one folder by their last name, the refused kinds not at all. */
struct opener {
	const char *folder;
	const char *image;
	bool refuses[DEBUG_ASK_KINDS];
	const char *instead[DEBUG_ASK_KINDS]; /* another file's name */
	unsigned asked[DEBUG_ASK_KINDS];
	unsigned opened[DEBUG_ASK_KINDS];
};

static int open_file(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct opener *o = context;
	const char *slash = strrchr(ask->name, '/');
	const char *name = slash ? slash + 1 : ask->name;
	char path[TEXT], package[256];

	assert_in_range(ask->kind, 0, DEBUG_ASK_KINDS - 1);
	assert_true(strlen(ask->name) < DEBUG_ASK_TEXT_MAX);
	o->asked[ask->kind]++;
	if (nth > 0 || o->refuses[ask->kind])
		return -ENOENT;
	if (ask->kind == DEBUG_ASK_DWO)
		assert_int_equal(ask->directory[0], '/');
	if (ask->kind == DEBUG_ASK_BUILD_ID) {
		assert_true(ask->build_id_bytes > 0);
		name = "linked.debug";
	}
	if (ask->kind == DEBUG_ASK_DWP) {
		snprintf(package, sizeof(package), "%s.dwp", o->image);
		name = package;
	}
	snprintf(path, sizeof(path), "%s/%s", o->folder, o->instead[ask->kind] ? o->instead[ask->kind] : name);
	*fd_out = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd_out < 0)
		return -errno;
	o->opened[ask->kind]++;
	return 0;
}

/* One file's names. */
struct names {
	struct opener opener;
	char folder[TEXT];
	struct name_compile_stats stats;
	struct name_table *table;
};

static void names_close(struct names *names)
{
	name_table_close(names->table);
	names->table = NULL;
}
#define AUTO_NAMES __attribute__((cleanup(names_close)))

/* Returns false when the fixture is missing. wanted: NULL: all. */
static bool names_open(struct names *names, const char *folder, const char *image, const uint64_t *wanted, size_t n_wanted)
{
	const struct debug_asker asker = { .open = open_file, .context = &names->opener };
	char path[TEXT + 300];
	uint64_t bytes;

	snprintf(names->folder, sizeof(names->folder), FOLDER "%s", folder);
	names->opener.folder = names->folder;
	names->opener.image = image;
	snprintf(path, sizeof(path), "%s/%s", names->folder, image);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	AUTO_CLOSE int table_fd = memfd_create("names", MFD_CLOEXEC);
	assert_true(table_fd >= 0);
	const struct name_compile_input input = { .fd = fd, .asker = &asker, .wanted = wanted, .n_wanted = n_wanted };
	assert_int_equal(name_compile(&input, table_fd, &bytes, &names->stats), 0);
	assert_int_equal(name_table_open(table_fd, &names->table), 0);
	return true;
}

/* An address's frames as text. Compilation folders are the same for all kinds of a compiler. */
static const char *frames_text(const struct names *names, uint64_t vaddr, char text[TEXT])
{
	static struct name_table_match match;
	size_t at = 0;

	text[0] = 0;
	if (name_table_find(names->table, vaddr, &match) < 0)
		return text;
	for (size_t i = 0; i < match.n && at + 600 < TEXT; i++) {
		const struct name_table_frame *frame = &match.frames[i];
		const char *slash = strrchr(frame->file, '/'), *declared = strrchr(frame->declared_file, '/');
		at += (size_t)snprintf(text + at, 600, "%s %s %s:%u:%u of %s:%u\n", frame->name, frame->directory,
				       slash ? slash + 1 : frame->file, frame->line, frame->column, declared ? declared + 1 : frame->declared_file,
				       frame->start_line);
	}
	return text;
}

/* The line that has this comment. */
static unsigned marked_line(const char *file, const char *mark)
{
	char path[TEXT], line[1000];
	unsigned number = 0;

	snprintf(path, sizeof(path), SOURCES "%s", file);
	AUTO_FCLOSE FILE *stream = fopen(path, "re");
	assert_non_null(stream);
	while (fgets(line, sizeof(line), stream)) {
		number++;
		if (strstr(line, mark))
			return number;
	}
	fail_msg("no %s in %s", mark, path);
	return 0;
}

struct expected_frame {
	const char *name, *file, *mark;
};

/* Is this the vaddr's chain: so many frames, these functions, files and lines? */
static bool is_chain(const struct names *names, uint64_t vaddr, const struct expected_frame *frames, size_t n)
{
	static struct name_table_match match;

	if (name_table_find(names->table, vaddr, &match) < 0 || match.n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *slash = strrchr(match.frames[i].file, '/');
		if (strcmp(match.frames[i].name, frames[i].name) != 0 || strcmp(slash ? slash + 1 : match.frames[i].file, frames[i].file) != 0 ||
		    match.frames[i].line != marked_line(frames[i].file, frames[i].mark))
			return false;
	}
	return true;
}

static const struct expected_frame ONE[] = {
	{ "_ZN6ladder7climber4holdEi", "ladder.h", "/* HOLD */" },
	{ "_ZN6ladder4stepIlEEvRNS_7climberET_", "ladder.h", "/* STEP */" },
	{ "_ZN6ladder4jumpERNS_7climberEi", "ladder.h", "/* JUMP */" },
	{ "_Z9climb_oneRN6ladder7climberEi", "one.cc", "/* CLIMB ONE */" },
};
static const struct expected_frame TWO[] = {
	{ "_ZN6ladder7climber4holdEi", "ladder.h", "/* HOLD */" },
	{ "_ZN6ladder4stepIsEEvRNS_7climberET_", "ladder.h", "/* STEP */" },
};

/* The plain build's executable segment, which is the same in all kinds. */
struct code {
	uint64_t start, end;
	uint64_t one, two; /* with the chains above */
};

static void find_code(const struct names *names, struct code *code)
{
	AUTO_FREE struct elf_segment *segments = NULL;
	char path[TEXT + 300];
	struct elf_file elf;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", names->folder, names->opener.image);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(elf_file_segments(&elf, &segments, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (segments[i].type != PT_LOAD || !(segments[i].flags & PF_X))
			continue;
		code->start = segments[i].vaddr;
		code->end = segments[i].vaddr + segments[i].file_bytes;
	}
}

/* The plain build itself: both chains are there. */
static bool plain_open(struct names *plain, const char *compiler, struct code *code)
{
	static struct name_table_match match;

	memset(plain, 0, sizeof(*plain));
	memset(code, 0, sizeof(*code));
	if (!names_open(plain, compiler, "plain", NULL, 0)) {
		print_message(FOLDER "%s/plain is missing\n", compiler);
		return false;
	}
	find_code(plain, code);
	for (uint64_t vaddr = code->start; vaddr < code->end; vaddr++) {
		if (is_chain(plain, vaddr, ONE, 4))
			code->one = vaddr;
		if (is_chain(plain, vaddr, TWO, 2))
			code->two = vaddr;
	}
	assert_true(code->one > 0);
	assert_true(code->two > 0);
	name_table_find(plain->table, code->one, &match);
	assert_int_equal(match.n, 4);
	assert_true(plain->stats.has_dwarf);
	assert_int_equal(plain->stats.dwarf.bad_units + plain->stats.dwarf.bad_references + plain->stats.dwarf.bad_line_programs, 0);
	return true;
}

static void same_as_plain(const struct names *plain, const struct names *other, const struct code *code, const char *compiler, const char *kind)
{
	static char expected[TEXT], got[TEXT];

	for (uint64_t vaddr = code->start; vaddr < code->end; vaddr++) {
		if (!frames_text(plain, vaddr, expected)[0])
			continue; /* the debug file's symbols may name it */
		frames_text(other, vaddr, got);
		if (strcmp(expected, got) != 0)
			fail_msg("%s/%s at %llx:\n%s-- and not\n%s", compiler, kind, (unsigned long long)vaddr, got, expected);
	}
	assert_true(is_chain(other, code->one, ONE, 4));
	assert_true(is_chain(other, code->two, TWO, 2));
	assert_int_equal(other->stats.refused, 0);
	assert_int_equal(other->stats.dwarf.bad_units, 0);
	assert_int_equal(other->stats.dwarf.bad_references, 0);
	assert_int_equal(other->stats.dwarf.missing_files, 0);
	assert_int_equal(other->stats.dwarf.over_limits, 0);
}

/* opener: what is refused; its counts after. NULL: nothing is. Passes over what the tools here could not make. */
static void kind_is_as_plain(const char *kind, struct opener *opener, unsigned *found_out)
{
	unsigned found = 0;

	EACH_COMPILER (i) {
		AUTO_NAMES struct names plain = { 0 }, all = { 0 }, some = { 0 };
		struct code code;
		if (!plain_open(&plain, COMPILERS[i], &code))
			continue;
		if (opener) {
			all.opener = some.opener = *opener;
			memset(all.opener.opened, 0, sizeof(all.opener.opened));
		}
		if (!names_open(&all, COMPILERS[i], kind, NULL, 0)) {
			print_message(FOLDER "%s/%s is missing; see " FOLDER "missing\n", COMPILERS[i], kind);
			continue;
		}
		same_as_plain(&plain, &all, &code, COMPILERS[i], kind);
		found++;
		/* the same, when only the two are asked for */
		uint64_t wanted[2] = { code.one < code.two ? code.one : code.two, code.one < code.two ? code.two : code.one };
		assert_true(names_open(&some, COMPILERS[i], kind, wanted, 2));
		assert_true(is_chain(&some, code.one, ONE, 4));
		assert_true(is_chain(&some, code.two, TWO, 2));
		if (opener)
			memcpy(opener->opened, all.opener.opened, sizeof(opener->opened));
	}
	*found_out = found;
}

static void packed_sections_say_the_same(void **state)
{
	static const char *const kinds[] = { "zlib", "zdebug", "zstd" };
	unsigned found;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kind_is_as_plain(kinds[i], NULL, &found);
		assert_int_equal(found, 4);
	}
}

static void aranges_are_not_needed(void **state)
{
	unsigned found;

	(void)state;
	kind_is_as_plain("no_aranges", NULL, &found);
	assert_int_equal(found, 4);
}

static void type_units_do_no_harm(void **state)
{
	unsigned found;

	(void)state;
	kind_is_as_plain("types", NULL, &found);
	assert_int_equal(found, 4);
}

static void debug_files_are_found_by_build_id_and_by_link(void **state)
{
	unsigned found;

	(void)state;
	for (unsigned kind = DEBUG_ASK_BUILD_ID; kind <= DEBUG_ASK_LINK; kind++) {
		struct opener opener = { .refuses = { [DEBUG_ASK_BUILD_ID] = kind == DEBUG_ASK_LINK, [DEBUG_ASK_LINK] = kind != DEBUG_ASK_LINK } };
		kind_is_as_plain("linked", &opener, &found);
		assert_int_equal(found, 4);
		assert_int_equal(opener.opened[kind], 1);
	}
}

/* The debug file of another build: neither its build id nor its CRC is the one. */
static void another_builds_debug_file_is_refused(void **state)
{
	(void)state;
	for (unsigned kind = DEBUG_ASK_BUILD_ID; kind <= DEBUG_ASK_LINK; kind++) {
		AUTO_NAMES struct names names = { 0 };
		names.opener.refuses[1 - kind] = true;
		names.opener.instead[kind] = "../g++-5/linked.debug";
		if (!names_open(&names, "g++-4", "linked", NULL, 0))
			skip();
		assert_int_equal(names.opener.opened[kind], 1);
		assert_false(names.stats.has_debug_file);
		assert_false(names.stats.has_dwarf);
		assert_true(names.stats.lacks_debug_file);
		assert_true(names.stats.refused > 0);
	}
}

static void dwz_says_the_same(void **state)
{
	static const char *const kinds[] = { "dwz_one", "dwz_multi", "dwz_other" };
	unsigned found;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct opener opener = { .folder = NULL };
		kind_is_as_plain(kinds[i], &opener, &found);
		assert_int_equal(found, 3); /* not clang's DWARF 5 */
		assert_int_equal(opener.opened[DEBUG_ASK_ALT], i > 0);
	}
}

/* Without the common file, or with another one: functions without their inlined calls' names, counted, and lines all the same. */
static void a_missing_alternate_file_costs_what_is_in_it(void **state)
{
	static struct name_table_match match;

	(void)state;
	for (int is_other = 0; is_other < 2; is_other++) {
		AUTO_NAMES struct names plain = { 0 }, names = { 0 };
		struct code code;
		if (!plain_open(&plain, "g++-5", &code))
			skip();
		names.opener.refuses[DEBUG_ASK_ALT] = !is_other;
		names.opener.instead[DEBUG_ASK_ALT] = "../g++-4/dwz_common";
		if (!names_open(&names, "g++-5", "dwz_multi", NULL, 0))
			skip();
		assert_int_equal(names.stats.dwarf.missing_files, 1);
		assert_int_equal(names.opener.opened[DEBUG_ASK_ALT], is_other);
		assert_int_equal(name_table_find(names.table, code.one, &match), 0);
		assert_int_equal(match.n, 4);
		assert_int_equal(match.frames[0].line, marked_line("ladder.h", "/* HOLD */"));
		assert_int_equal(match.frames[3].line, marked_line("one.cc", "/* CLIMB ONE */"));
	}
}

static void split_units_say_the_same(void **state)
{
	struct opener opener = { .refuses = { [DEBUG_ASK_DWP] = true } };
	unsigned found;

	(void)state;
	kind_is_as_plain("split", &opener, &found);
	assert_int_equal(found, 4);
	assert_int_equal(opener.opened[DEBUG_ASK_DWO], 2);
}

static void packages_of_split_units_say_the_same(void **state)
{
	struct opener opener = { .refuses = { [DEBUG_ASK_DWO] = true } };
	unsigned found;

	(void)state;
	kind_is_as_plain("packed/split", &opener, &found);
	assert_in_range(found, 3, 4); /* see tests/fixtures/names/build */
	assert_int_equal(opener.opened[DEBUG_ASK_DWP], 1);
}

/* Nobody has the .dwo files, or they are others': the line table is in the program itself. */
static void missing_split_units_leave_the_lines(void **state)
{
	static struct name_table_match match;

	(void)state;
	for (int is_other = 0; is_other < 2; is_other++) {
		AUTO_NAMES struct names plain = { 0 }, names = { 0 };
		struct code code;
		if (!plain_open(&plain, "g++-5", &code))
			skip();
		names.opener.refuses[DEBUG_ASK_DWP] = true;
		names.opener.refuses[DEBUG_ASK_DWO] = !is_other;
		names.opener.instead[DEBUG_ASK_DWO] = "../g++-4/one.dwo";
		if (!names_open(&names, "g++-5", "split", NULL, 0))
			skip();
		assert_int_equal(names.stats.dwarf.missing_files, 2);
		assert_int_equal(names.opener.opened[DEBUG_ASK_DWO], is_other ? 2 : 0);
		assert_int_equal(name_table_find(names.table, code.one, &match), 0);
		assert_int_equal(match.n, 1);
		assert_int_equal(match.frames[0].line, marked_line("ladder.h", "/* HOLD */"));
		assert_int_equal(match.frames[0].name[0], 0);
	}
}

/* A package of another program has none of the units: the .dwo files do. */
static void another_programs_package_is_passed_over(void **state)
{
	AUTO_NAMES struct names plain = { 0 }, names = { 0 };
	struct code code;

	(void)state;
	if (!plain_open(&plain, "g++-4", &code))
		skip();
	names.opener.instead[DEBUG_ASK_DWP] = "../clang++-4/packed/split.dwp";
	if (!names_open(&names, "g++-4", "split", NULL, 0))
		skip();
	assert_int_equal(names.opener.opened[DEBUG_ASK_DWP], 1);
	assert_int_equal(names.opener.opened[DEBUG_ASK_DWO], 2);
	same_as_plain(&plain, &names, &code, "g++-4", "split");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packed_sections_say_the_same),
		cmocka_unit_test(aranges_are_not_needed),
		cmocka_unit_test(type_units_do_no_harm),
		cmocka_unit_test(debug_files_are_found_by_build_id_and_by_link),
		cmocka_unit_test(another_builds_debug_file_is_refused),
		cmocka_unit_test(dwz_says_the_same),
		cmocka_unit_test(a_missing_alternate_file_costs_what_is_in_it),
		cmocka_unit_test(split_units_say_the_same),
		cmocka_unit_test(packages_of_split_units_say_the_same),
		cmocka_unit_test(missing_split_units_leave_the_lines),
		cmocka_unit_test(another_programs_package_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
