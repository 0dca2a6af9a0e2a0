#include "cmocka_prelude.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "elf_writer.h"
#include "symbolizer/minidebug.h"
#include "symbolizer/name_compiler.h"

static char folder[] = "/tmp/name_compiler_test.XXXXXX";
static bool has_go;

/* An alias, an inlined call, an assembly function without debug information, and the same names with and without it. */
static const char SOURCE[] = "static inline __attribute__((always_inline)) int inlined(volatile int *x) { return *x * 3; }\n"
			     "int outer(volatile int *x) {\n"
			     "\treturn inlined(x) + 1;\n"
			     "}\n"
			     "int better(volatile int *x) __attribute__((alias(\"outer\")));\n"
			     "__asm__(\".text\\n.globl in_assembly\\n.type in_assembly,@function\\nin_assembly:\\nnop\\nnop\\nret\\n.size in_assembly,.-in_assembly\");\n"
			     "int main(int argc, char **argv) { volatile int x = argc; (void)argv; return outer(&x); }\n";
static const char GO_SOURCE[] = "package main\n"
				"import \"os\"\n"
				"func leaf(x int) int {\n"
				"\treturn x*3 + 1\n"
				"}\n"
				"func middle(x int) int { return leaf(x) + leaf(x+1) }\n"
				"//go:noinline\n"
				"func outer(x int) int {\n"
				"\treturn middle(x) * 7\n"
				"}\n"
				"func main() { os.Exit(outer(len(os.Args))) }\n";

static int shell(const char *command)
{
	char text[4096];

	snprintf(text, sizeof(text), "cd %s && { %s; } >log 2>&1", folder, command);
	return system(text);
}

static void write_file(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	AUTO_FCLOSE FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	write_file("source.c", SOURCE);
	write_file("main.go", GO_SOURCE);
	write_file("go.mod", "module example.com/names\ngo 1.18\n");
	/* "by_id" has a build id, "by_link" has none; both have a link. */
	if (shell("gcc -g -O1 -Wl,--build-id -o full source.c && objcopy --only-keep-debug full debug && "
		  "strip -o by_id full && "
		  "gcc -g -O1 -Wl,--build-id=none -o anonymous source.c && objcopy --only-keep-debug anonymous linked.debug && "
		  "strip -o stripped anonymous && objcopy --add-gnu-debuglink=linked.debug stripped by_link && "
		  "cp linked.debug wrong.debug && echo >>wrong.debug && "
		  "gcc -O1 -Wl,--build-id -o other source.c"))
		return -1;
	/* With go's own cache: a fresh one would take half a minute. */
	has_go = shell("mkdir go && mv main.go go.mod go && cd go && export GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0 && "
		       "go build -o ../go_full . && go build -ldflags='-s -w' -o ../go_stripped . && "
		       "go build -buildmode=pie -ldflags='-s -w' -o ../go_pie .") == 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return shell("chmod -R u+w . ; rm -rf \"$PWD\"");
}

static int open_file(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static uint64_t address_of(const char *file, const char *symbol)
{
	char command[512];
	unsigned long value = 0;

	snprintf(command, sizeof(command), "nm %s/%s | sed -n 's/ [tT] %s$//p'", folder, file, symbol);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%lx", &value), 1);
	pclose(pipe);
	return value;
}

/* --- who answers -------------------------------------------------------------------------------------------------- */

struct answers {
	const char *by_id[4], *by_link[4]; /* candidates; NULL: no more */
	struct debug_ask asked; /* last */
	char name[64];
	unsigned n_asked;
};

static int answer(void *context, const struct debug_ask *ask, unsigned nth, int *fd_out)
{
	struct answers *answers = context;
	const char *const *files = ask->kind == DEBUG_ASK_BUILD_ID ? answers->by_id : answers->by_link;

	answers->asked = *ask;
	snprintf(answers->name, sizeof(answers->name), "%s", ask->name);
	answers->n_asked++;
	if ((ask->kind != DEBUG_ASK_BUILD_ID && ask->kind != DEBUG_ASK_LINK) || nth >= 4 || !files[nth])
		return -ENOENT;
	*fd_out = open_file(files[nth]);
	return 0;
}

static struct name_table *compile_fd(int fd, struct answers *answers, const uint64_t *wanted, struct name_compile_stats *stats)
{
	struct debug_asker asker = {answer, answers};
	struct name_compile_input input = {.fd = fd, .asker = answers ? &asker : NULL, .wanted = wanted, .n_wanted = wanted ? 1 : 0};
	AUTO_CLOSE int table_fd = memfd_create("names", MFD_CLOEXEC);
	struct name_table *t = NULL;
	uint64_t bytes = 0;

	assert_int_equal(name_compile(&input, table_fd, &bytes, stats), 0);
	assert_int_equal(lseek(table_fd, 0, SEEK_END), (off_t)bytes);
	assert_int_equal(name_table_open(table_fd, &t), 0);
	return t;
}

static struct name_table *compile(const char *file, struct answers *answers, struct name_compile_stats *stats)
{
	AUTO_CLOSE int fd = open_file(file);

	return compile_fd(fd, answers, NULL, stats);
}

static const char *frames_of(struct name_table *t, uint64_t vaddr)
{
	static char text[1024];
	struct name_table_match match;
	size_t at = 0;

	if (name_table_find(t, vaddr, &match) < 0)
		return "none";
	for (size_t i = 0; i < match.n && at < sizeof(text); i++) {
		const struct name_table_frame *f = &match.frames[i];
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %s:%u", i ? " < " : "", f->name, f->file, f->line);
	}
	return text;
}

/* The inlined call lies at the function's first instruction. */
#define INLINED "inlined source.c:1 < outer source.c:3"

static void expect_dwarf(struct name_table *t, const char *file)
{
	uint64_t outer = address_of(file, "outer");

	assert_string_equal(frames_of(t, outer), INLINED);
	assert_string_equal(frames_of(t, address_of(file, "in_assembly")), strcmp(file, "full") ? "in_assembly :0" : "none");
	name_table_close(t);
}

/* --- debug files -------------------------------------------------------------------------------------------------- */

static void an_image_has_its_own_dwarf(void **state)
{
	struct answers answers = {0};
	struct name_compile_stats stats;
	(void)state;

	struct name_table *t = compile("full", &answers, &stats);
	assert_true(stats.has_dwarf);
	assert_false(stats.has_debug_file);
	assert_false(stats.lacks_debug_file);
	assert_int_equal(stats.refused, 0);
	assert_int_equal(stats.debug_symbols, 0);
	expect_dwarf(t, "full");
}

static void a_debug_file_is_found_by_build_id(void **state)
{
	struct answers answers = {.by_id = {"source.c", "other", "debug"}};
	struct name_compile_stats stats;
	(void)state;

	struct name_table *t = compile("by_id", &answers, &stats);
	assert_true(stats.has_dwarf);
	assert_true(stats.has_debug_file);
	assert_false(stats.lacks_debug_file);
	assert_int_equal(stats.refused, 2);
	assert_true(stats.debug_symbols > 2);
	assert_int_equal(answers.asked.build_id_bytes, 20);
	expect_dwarf(t, "debug");
}

static void a_debug_file_is_found_by_link(void **state)
{
	struct answers answers = {.by_link = {"other", "wrong.debug", "linked.debug"}};
	struct name_compile_stats stats;
	(void)state;

	struct name_table *t = compile("by_link", &answers, &stats);
	assert_true(stats.has_dwarf);
	assert_true(stats.has_debug_file);
	assert_int_equal(stats.refused, 2); /* other CRCs */
	assert_int_equal(answers.asked.kind, DEBUG_ASK_LINK);
	assert_string_equal(answers.name, "linked.debug");
	expect_dwarf(t, "linked.debug");
}

static void a_linked_file_has_the_same_build_id(void **state)
{
	struct answers answers = {.by_link = {"full"}};
	struct name_compile_stats stats;
	(void)state;

	/* The CRC is right, the build id is another's. */
	assert_int_equal(shell("cp by_id linked_to_other && cp other full_copy && objcopy --add-gnu-debuglink=full_copy by_id linked_to_other"), 0);
	answers.by_link[0] = "full_copy";
	struct name_table *t = compile("linked_to_other", &answers, &stats);
	assert_false(stats.has_debug_file);
	assert_int_equal(stats.refused, 1);
	name_table_close(t);
}

static void without_a_debug_file_it_says_so(void **state)
{
	struct answers answers = {0};
	struct name_compile_stats stats;
	(void)state;

	struct name_table *t = compile("by_id", &answers, &stats);
	assert_true(stats.lacks_debug_file);
	assert_false(stats.has_dwarf);
	assert_int_equal(answers.n_asked, 1);
	name_table_close(t);
	t = compile("by_id", NULL, &stats);
	assert_true(stats.lacks_debug_file);
	name_table_close(t);
	t = compile("by_link", &answers, &stats);
	assert_false(stats.lacks_debug_file); /* it has no build id that somebody could be asked for */
	name_table_close(t);
}

static void bad_links_are_refused(void **state)
{
	struct answers answers = {.by_link = {"full"}};
	struct name_compile_stats stats;
	static const struct {
		const char *bytes;
		size_t n;
	} links[] = {{"no end", 6}, {"a/b\0abcd", 8}, {"abc\0ab", 6}, {"\0\0\0\0abcd", 8}};
	(void)state;

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		struct elf_writer w;
		elf_writer_init(&w, true);
		elf_writer_section(&w, ".gnu_debuglink", SHT_PROGBITS, 0, 0, links[i].bytes, links[i].n);
		AUTO_CLOSE int fd = elf_writer_fd(&w);
		elf_writer_deinit(&w);
		struct name_table *t = compile_fd(fd, &answers, NULL, &stats);
		assert_int_equal(answers.n_asked, 0);
		assert_int_equal(stats.refused, 1);
		name_table_close(t);
	}
}

static void only_wanted_symbols_are_added(void **state)
{
	struct answers answers = {.by_id = {"debug"}};
	struct name_compile_stats stats;
	uint64_t wanted = address_of("debug", "in_assembly") + 1;
	AUTO_CLOSE int fd = open_file("by_id");
	(void)state;

	struct name_table *t = compile_fd(fd, &answers, &wanted, &stats);
	assert_int_equal(stats.debug_symbols, 1);
	assert_string_equal(frames_of(t, wanted), "in_assembly :0");
	name_table_close(t);
}

static void errors_are_told(void **state)
{
	struct name_compile_stats stats;
	uint64_t bytes;
	AUTO_CLOSE int fd = open_file("source.c"), full = open_file("full"), out = memfd_create("names", MFD_CLOEXEC);
	(void)state;

	assert_int_equal(name_compile(&(struct name_compile_input){.fd = fd}, out, &bytes, &stats), -ENOEXEC);
	assert_int_equal(name_compile(&(struct name_compile_input){.fd = -1}, out, &bytes, &stats), -EBADF);
	assert_int_equal(name_compile(&(struct name_compile_input){.fd = full}, full, &bytes, &stats), -EBADF); /* not for writing */
	assert_int_equal(name_compile(&(struct name_compile_input){.fd = full, .memory_bytes = 1000}, out, &bytes, &stats), -E2BIG);
	struct elf_writer w;
	elf_writer_sample(&w, true);
	w.segments[0].claimed_bytes = UINT64_MAX;
	w.claimed_segments = 999;
	AUTO_CLOSE int bad = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	int err = name_compile(&(struct name_compile_input){.fd = bad}, out, &bytes, &stats);
	assert_true(err == -EBADMSG || err == -E2BIG);
}

/* --- .gnu_debugdata ----------------------------------------------------------------------------------------------- */

/* An image that has these bytes, packed, in .gnu_debugdata. */
static int packed_image(const uint8_t *bytes, size_t n, uint32_t preset, void (*damage)(uint8_t *, size_t))
{
	size_t room = lzma_stream_buffer_bound(n), packed = 0;
	AUTO_FREE uint8_t *out = malloc(room);
	struct elf_writer w;

	assert_int_equal(lzma_easy_buffer_encode(preset, LZMA_CHECK_CRC32, NULL, bytes, n, out, &packed, room), LZMA_OK);
	if (damage)
		damage(out, packed);
	elf_writer_init(&w, true);
	elf_writer_section(&w, ".gnu_debugdata", SHT_PROGBITS, 0, 0, out, packed);
	int fd = elf_writer_fd(&w);
	elf_writer_deinit(&w);
	return fd;
}

static void packed_symbols_are_added(void **state)
{
	struct name_compile_stats stats;
	struct elf_writer w;
	size_t n;
	(void)state;

	elf_writer_sample(&w, true);
	AUTO_FREE uint8_t *inner = elf_writer_finish(&w, &n);
	elf_writer_deinit(&w);
	AUTO_CLOSE int fd = packed_image(inner, n, 6, NULL);
	struct name_table *t = compile_fd(fd, NULL, NULL, &stats);
	assert_true(stats.has_minidebug);
	assert_true(stats.minidebug_symbols > 0);
	assert_int_equal(stats.refused, 0);
	struct name_table_match match;
	uint64_t at = 0x1000;
	while (at < 0x2000 && name_table_find(t, at, &match) < 0)
		at++;
	assert_in_range(at, 0x1000, 0x1fff);
	assert_true(match.frames[0].is_symbol);
	name_table_close(t);
}

static void cut_in_the_middle(uint8_t *bytes, size_t n)
{
	memset(bytes + n / 2, 0xa5, n - n / 2);
}

static void bombs_and_damage_are_refused(void **state)
{
	struct name_compile_stats stats;
	struct elf_file elf;
	size_t n = MINIDEBUG_BYTES_MAX + (1 << 20);
	AUTO_FREE uint8_t *zeros = calloc(1, n);
	int memory = -1;
	(void)state;

	AUTO_CLOSE int bomb = packed_image(zeros, n, 0, NULL);
	assert_int_equal(elf_file_open(bomb, &elf), 0);
	assert_int_equal(minidebug_unpack(&elf, &memory), -E2BIG);
	struct name_table *t = compile_fd(bomb, NULL, NULL, &stats);
	assert_false(stats.has_minidebug);
	assert_int_equal(stats.refused, 1);
	name_table_close(t);

	AUTO_CLOSE int damaged = packed_image((const uint8_t *)SOURCE, sizeof(SOURCE), 6, cut_in_the_middle);
	assert_int_equal(elf_file_open(damaged, &elf), 0);
	assert_int_equal(minidebug_unpack(&elf, &memory), -EBADMSG);

	AUTO_CLOSE int no_elf = packed_image((const uint8_t *)SOURCE, sizeof(SOURCE), 6, NULL);
	t = compile_fd(no_elf, NULL, NULL, &stats);
	assert_int_equal(stats.refused, 1);
	name_table_close(t);

	/* -9 wants 65 MB of memory to unpack. */
	AUTO_CLOSE int large = packed_image(zeros, 1 << 20, 9, NULL);
	assert_int_equal(elf_file_open(large, &elf), 0);
	assert_int_equal(minidebug_unpack(&elf, &memory), -E2BIG);

	AUTO_CLOSE int none = open_file("full");
	assert_int_equal(elf_file_open(none, &elf), 0);
	assert_int_equal(minidebug_unpack(&elf, &memory), -ENOENT);
}

/* --- Go ----------------------------------------------------------------------------------------------------------- */

static uint64_t text_of(const char *file, uint64_t *bytes_out)
{
	AUTO_CLOSE int fd = open_file(file);
	struct elf_section text;
	struct elf_file elf;

	assert_int_equal(elf_file_open(fd, &elf), 0);
	assert_int_equal(elf_file_find_section(&elf, ".text", &text), 0);
	*bytes_out = text.bytes;
	return text.vaddr;
}

/* DWARF may have the folder apart. */
static const char *path_of(const struct name_table_frame *frame, char path[2048])
{
	snprintf(path, 2048, "%s%s%s", frame->directory, frame->directory[0] ? "/" : "", frame->file);
	return path;
}

/* The folder of what the compiler generates is told in two ways; assembly has a suffix in DWARF alone. */
static bool same_frames(const struct name_table_match *a, const struct name_table_match *b)
{
	if (a->n != b->n)
		return false;
	char left[2048], right[2048];
	for (size_t i = 0; i < a->n; i++) {
		const struct name_table_frame *x = &a->frames[i], *y = &b->frames[i];
		size_t n = strlen(y->name);
		if (strncmp(x->name, y->name, n) != 0 || (x->name[n] && strcmp(x->name + n, ".abi0") != 0))
			return false;
		bool is_generated = strstr(x->file, "<autogenerated>") && strstr(y->file, "<autogenerated>");
		if (x->line != y->line || (!is_generated && strcmp(path_of(x, left), path_of(y, right)) != 0))
			return false;
	}
	return true;
}

static void go_says_the_same_without_dwarf(void **state)
{
	struct name_compile_stats stats;
	struct name_table_match with, without;
	uint64_t bytes, n_same = 0, n_other = 0, n_inlined = 0;
	(void)state;

	if (!has_go)
		skip();
	uint64_t start = text_of("go_full", &bytes);
	struct name_table *full = compile("go_full", NULL, &stats);
	assert_true(stats.has_dwarf);
	assert_false(stats.has_go);
	struct name_table *stripped = compile("go_stripped", NULL, &stats);
	assert_false(stats.has_dwarf);
	assert_true(stats.has_go);
	assert_true(stats.go_functions > 1000);
	for (uint64_t at = start; at < start + bytes; at += 7) {
		if (name_table_find(full, at, &with) < 0 || name_table_find(stripped, at, &without) < 0)
			continue;
		bool is_same = same_frames(&with, &without);
		n_same += is_same;
		n_other += !is_same;
		n_inlined += is_same && with.n > 1;
	}
	printf("# measured: Go without DWARF: %lu of %lu addresses the same, %lu of them inlined\n", n_same, n_same + n_other, n_inlined);
	assert_true(n_same > 30000);
	assert_true(n_inlined > n_same / 20);
	assert_true(n_other < n_same / 500);
	name_table_close(full);
	name_table_close(stripped);
}

static void go_pie_has_inlined_calls(void **state)
{
	struct name_compile_stats stats;
	(void)state;

	if (!has_go)
		skip();
	struct name_table *t = compile("go_pie", NULL, &stats);
	assert_true(stats.has_go);
	assert_true(stats.table.nodes > 2 * stats.go_functions);
	name_table_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_has_its_own_dwarf),
		cmocka_unit_test(a_debug_file_is_found_by_build_id),
		cmocka_unit_test(a_debug_file_is_found_by_link),
		cmocka_unit_test(a_linked_file_has_the_same_build_id),
		cmocka_unit_test(without_a_debug_file_it_says_so),
		cmocka_unit_test(bad_links_are_refused),
		cmocka_unit_test(only_wanted_symbols_are_added),
		cmocka_unit_test(errors_are_told),
		cmocka_unit_test(packed_symbols_are_added),
		cmocka_unit_test(bombs_and_damage_are_refused),
		cmocka_unit_test(go_says_the_same_without_dwarf),
		cmocka_unit_test(go_pie_has_inlined_calls),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
