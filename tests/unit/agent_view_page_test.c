/* agent/view_text.c, view_json.c, view_function.c: what a page looks like, to the byte, and what hostile profiles make of it. */
#include "agent/view_page.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <wchar.h>

#include "base/scope.h"
#include "pprof/flame_tree.h"
#include "tests/unit/sample_profile.h"

typedef int (*writer)(const struct view_page *page, FILE *stream);

static char *text_of(const struct view_page *page, writer write)
{
	char *text = NULL;
	size_t n = 0;

	FILE *stream = open_memstream(&text, &n);
	assert_non_null(stream);
	assert_int_equal(write(page, stream), 0);
	assert_int_equal(fclose(stream), 0);
	return text;
}

static struct view_options options_of(enum view_form form)
{
	struct view_options o;

	view_options_init(&o, "report");
	o.form = form;
	o.rows = 0;
	return o;
}

static void is_text(const struct view_page *page, writer write, const char *expected)
{
	AUTO_FREE char *text = text_of(page, write);

	assert_string_equal(text, expected);
}

#define HEAD                                      \
	"of        app.pb.gz\n"                   \
	"cpu       420 ns in 10.0 s, 42 samples\n" \
	"comment   ticks=42 samples=42\n"         \
	"\n"

static void top(void **state)
{
	struct view_options o = options_of(VIEW_TOP);
	struct profile *p = sample_profile();
	struct view_page page = {.options = &o, .profile = p, .value = 1, .subject = "app.pb.gz"};

	(void)state;
	is_text(&page, view_write_text, HEAD
		"      self               total            function (module)\n"
		"    300 ns   71.43 %    300 ns   71.43 %  inlined<int, \"x\">  (app)\n"
		"    100 ns   23.81 %    100 ns   23.81 %  vfs_read  (kernel)\n"
		"     20 ns    4.76 %     20 ns    4.76 %  [app+0x2345]\n"
		"      0 ns    0.00 %    420 ns  100.00 %  main  (app)\n"
		"      0 ns    0.00 %    300 ns   71.43 %  outer  (app)\n"
		"      0 ns    0.00 %    100 ns   23.81 %  read_it  (app)\n");
	o.rows = 2;
	page.width = 40;
	is_text(&page, view_write_text,
		"of        app.pb.gz\n"
		"cpu       420 ns in 10.0 s, 42 samples\n"
		"comment   ticks=42 samples=42\n"
		"\n"
		"      self     total  function (module)\n"
		"   71.43 %   71.43 %  inlined<int, \"x\">\n"
		"   23.81 %   23.81 %  vfs_read  (kernel)\n"
		"and 4 functions more: -n 0 shows all\n");
	page.color = true;
	o.rows = 1;
	page.width = 30;
	is_text(&page, view_write_text,
		"\033[2mof        \033[mapp.pb.gz\n"
		"\033[2mcpu       \033[m420 ns in 10.0 s, 4…\n"
		"\033[2mcomment   \033[mticks=42 samples=42\n"
		"\n"
		"\033[2m      self     total  function (module)\033[m\n"
		"   \033[31m71.43 %\033[m   \033[31m71.43 %\033[m  inlined…\n"
		"and 5 functions more: -n 0 sh…\n");
	profile_free(p);
}

static void trees(void **state)
{
	struct view_options o = options_of(VIEW_TREE);
	struct profile *p = sample_profile();
	struct view_page page = {.options = &o, .profile = p, .value = 0, .subject = "app.pb.gz"};

	(void)state;
	is_text(&page, view_write_text,
		"of        app.pb.gz\n"
		"samples   42 samples in 10.0 s\n"
		"comment   ticks=42 samples=42\n"
		"\n"
		"     total                self  function (module)\n"
		"        42  100.00 %    0.00 %  all\n"
		"        42  100.00 %    0.00 %  app\n"
		"        42  100.00 %    0.00 %  main  (app)\n"
		"        30   71.43 %    0.00 %  ├ outer  (app)\n"
		"        30   71.43 %   71.43 %  │ inlined<int, \"x\">  (app)\n"
		"        10   23.81 %    0.00 %  ├ read_it  (app)\n"
		"        10   23.81 %   23.81 %  │ vfs_read  (kernel)\n"
		"         2    4.76 %    4.76 %  └ [app+0x2345]\n");
	o.min_share = 0.2;
	AUTO_FREE char *cut = text_of(&page, view_write_text);
	assert_null(strstr(cut, "0x2345"));
	assert_non_null(strstr(cut, "  └ read_it"));
	assert_non_null(strstr(cut, "frames below 20 % of the total are left out"));
	o = options_of(VIEW_CALLERS);
	page.function = "vfs_read";
	AUTO_FREE char *callers = text_of(&page, view_write_text);
	assert_non_null(strstr(callers, "callers   vfs_read\n\n     total            function (module)\n        10   23.81 %  vfs_read  (kernel)\n        10   23.81 %  read_it  (app)\n"));
	o = options_of(VIEW_CALLEES);
	page.function = "outer";
	AUTO_FREE char *callees = text_of(&page, view_write_text);
	assert_non_null(strstr(callees, "callees   outer\n\n     total                self  function (module)\n        30   71.43 %    0.00 %  outer  (app)\n"));
	o = options_of(VIEW_LINES);
	AUTO_FREE char *lines = text_of(&page, view_write_text);
	assert_non_null(strstr(lines, "function  outer\n\n      self               total            line\n         0    0.00 %        30   71.43 %  work.c:11\n"));
	profile_free(p);
}

static struct profile *profile_of(const char *const *names, const int64_t *values, size_t n)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "cpu", "nanoseconds"), 0);
	for (size_t i = 0; i < n; i++) {
		uint32_t location = sample_location(b, PROFILE_NONE, i + 1, names[i], NULL);
		assert_true(profile_builder_sample(b, &location, 1, NULL, 0, &values[i]) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static void compared(void **state)
{
	static const char *const BEFORE[] = {"gone", "same", "less"}, *const NOW[] = {"new", "same", "less"};
	struct view_options o = options_of(VIEW_TOP);
	struct profile *before = profile_of(BEFORE, (int64_t[]){100, 500, 400}, 3), *now = profile_of(NOW, (int64_t[]){60, 100, 40}, 3);
	struct view_page page = {.options = &o, .profile = now, .base = before, .subject = "now.pb.gz", .base_subject = "before.pb.gz"};

	(void)state;
	is_text(&page, view_write_text,
		"now       now.pb.gz\n"
		"cpu       200 ns\n"
		"before    before.pb.gz\n"
		"cpu       1.00 µs\n"
		"\n"
		"    before       now    change  of total  function (module)\n"
		"    0.00 %   30.00 %  +30.00 %  +30.00 %  new\n"
		"   40.00 %   20.00 %  -20.00 %  -20.00 %  less\n"
		"   10.00 %    0.00 %  -10.00 %  -10.00 %  gone\n"
		"   50.00 %   50.00 %   +0.00 %   +0.00 %  same\n");
	o.rows = 1;
	is_text(&page, view_write_json,
		"{\"type\":\"cpu\",\"unit\":\"nanoseconds\",\"only\":\"\",\"profile\":{\"of\":\"now.pb.gz\",\"time_ns\":0,\"duration_ns\":0,\"total\":200,\"samples\":3,"
		"\"comments\":[]},\"base\":{\"of\":\"before.pb.gz\",\"time_ns\":0,\"duration_ns\":0,\"total\":1000,\"samples\":3,\"comments\":[]},\"n\":4,\"functions\":[{\"name\":"
		"\"new\",\"module\":\"\",\"file\":\"work.c\",\"kernel\":false,\"self\":60,\"total\":60,\"base_self\":0,\"base_total\":0}]}\n");
	profile_free(before);
	profile_free(now);
}

static void json(void **state)
{
	struct view_options o = options_of(VIEW_TREE);
	struct profile *p = sample_profile();
	struct view_page page = {.options = &o, .profile = p, .value = 0, .subject = "a\"b"};

	(void)state;
	o.min_share = 0.3;
	AUTO_FREE char *tree = text_of(&page, view_write_json);
	assert_non_null(strstr(tree, "\"of\":\"a\\\"b\""));
	assert_non_null(strstr(tree,
			       "\"tree\":{\"name\":\"all\",\"module\":\"\",\"kernel\":false,\"total\":42,\"self\":0,\"children\":[{\"name\":\"app\",\"module\":\"\",\"kernel\":false,"
			       "\"total\":42,\"self\":0,\"children\":[{\"name\":\"main\",\"module\":\"/usr/bin/app\",\"kernel\":false,\"total\":42,\"self\":0,\"children\":[{\"name\":"
			       "\"outer\",\"module\":\"/usr/bin/app\",\"kernel\":false,\"total\":30,\"self\":0,\"children\":[{\"name\":\"inlined<int, \\\"x\\\">\",\"module\":"
			       "\"/usr/bin/app\",\"kernel\":false,\"total\":30,\"self\":30,\"children\":[]}]}]}]}]}}"));
	o = options_of(VIEW_LINES);
	page.function = "outer";
	AUTO_FREE char *lines = text_of(&page, view_write_json);
	assert_non_null(strstr(lines, "\"function\":\"outer\",\"n\":1,\"lines\":[{\"file\":\"work.c\",\"line\":11,\"self\":0,\"total\":30}]}"));
	profile_free(p);
}

/* Samples of processes and pids; 0: without. */
static struct profile *labelled(const char *const *processes, const int64_t *pids, const int64_t *values, size_t n)
{
	struct profile_builder *b;
	struct profile *profile;

	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "cpu", "nanoseconds"), 0);
	uint32_t location = sample_location(b, PROFILE_NONE, 1, "work", NULL);
	for (size_t i = 0; i < n; i++) {
		struct profile_label labels[] = {{.key = sample_string(b, "pid"), .num = pids[i]}, {.key = sample_string(b, "process")}};
		labels[1].str = sample_string(b, processes[i]);
		assert_true(profile_builder_sample(b, &location, 1, labels, pids[i] ? 2 : 0, &values[i]) >= 0);
	}
	assert_int_equal(profile_builder_finish(b, &profile), 0);
	profile_builder_destroy(b);
	return profile;
}

static void by_labels(void **state)
{
	static const char *const NAMES[] = {"nginx", "bash", "nginx", "", "postgres"};
	struct view_options o = options_of(VIEW_BY);
	struct profile *p = labelled(NAMES, (int64_t[]){10, 11, 12, 0, 13}, (int64_t[]){300, 100, 400, 150, 50}, 5);
	struct profile *before = labelled(NAMES, (int64_t[]){10, 11}, (int64_t[]){100, 900}, 2);
	struct view_page page = {.options = &o, .profile = p, .subject = "x"};

	(void)state;
	o.by = "process";
	is_text(&page, view_write_text,
		"of        x\n"
		"cpu       1.00 µs\n"
		"\n"
		"     total            process\n"
		"    700 ns   70.00 %  nginx\n"
		"    150 ns   15.00 %  (none)\n"
		"    100 ns   10.00 %  bash\n"
		"     50 ns    5.00 %  postgres\n");
	o.by = "pid";
	o.rows = 2;
	is_text(&page, view_write_text,
		"of        x\n"
		"cpu       1.00 µs\n"
		"\n"
		"     total            pid\n"
		"    400 ns   40.00 %  12  (nginx)\n"
		"    300 ns   30.00 %  10  (nginx)\n"
		"and 3 rows more: -n 0 shows all\n");
	AUTO_FREE char *json_text = text_of(&page, view_write_json);
	assert_non_null(strstr(json_text, "\"by\":\"pid\",\"n\":5,\"values\":[{\"value\":\"12\",\"process\":\"nginx\",\"total\":400},{\"value\":\"10\","));
	page.base = before;
	page.base_subject = "y";
	o.by = "process";
	o.rows = 0;
	is_text(&page, view_write_text,
		"now       x\n"
		"cpu       1.00 µs\n"
		"before    y\n"
		"cpu       1.00 µs\n"
		"\n"
		"    before       now    change  process\n"
		"   90.00 %   10.00 %  -80.00 %  bash\n"
		"   10.00 %   70.00 %  +60.00 %  nginx\n"
		"    0.00 %   15.00 %  +15.00 %  (none)\n"
		"    0.00 %    5.00 %   +5.00 %  postgres\n");
	page.base = NULL;
	o.by = "planet";
	AUTO_FREE char *none = text_of(&page, view_write_text);
	assert_null(strstr(none, "%"));
	profile_free(before);
	profile_free(p);
}

/* A stack of 4,001 frames that branches at each fortieth: no recursion, no line over the terminal's end, and a tree that ends where trees do. */
static void deep(void **state)
{
	struct profile_builder *b;
	struct profile *p;
	static uint32_t stack[4001];

	(void)state;
	assert_int_equal(profile_builder_create(&b), 0);
	assert_int_equal(profile_builder_sample_type(b, "samples", "count"), 0);
	for (uint32_t i = 0; i <= 4000; i++)
		stack[4000 - i] = sample_location(b, PROFILE_NONE, i + 1, i & 1 ? "中文中文中文中文中文" : "even", NULL);
	for (uint32_t i = 0; i < 4000; i += 40)
		assert_true(profile_builder_sample(b, stack + i, 4001 - i, NULL, 0, (int64_t[]){1}) >= 0);
	assert_int_equal(profile_builder_finish(b, &p), 0);
	profile_builder_destroy(b);
	struct view_options o = options_of(VIEW_TREE);
	struct view_page page = {.options = &o, .profile = p, .subject = "deep", .width = 60};
	o.min_share = 0;
	AUTO_FREE char *text = text_of(&page, view_write_text), *again = text_of(&page, view_write_json);
	assert_non_null(strstr(again, "even"));
	size_t lines = 0;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")); lines++) {
		wchar_t wide[256];
		size_t n = mbstowcs(wide, line, 256);
		assert_true(n < 256 && wcswidth(wide, n) <= 60);
	}
	assert_true(lines > FLAME_DEPTH_MAX && lines < FLAME_DEPTH_MAX + 16);
	profile_free(p);
}

/* What is in a row comes from a file: it is clean, but no row is without end in a terminal. */
static void hostile(void **state)
{
	static char longest[20000];
	const char *const names[] = {"\033[31mred", "a\nb", "<script>", longest, "e\xcc\x81\xcc\x81", ""};
	struct view_options o = options_of(VIEW_TOP);

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	struct profile *p = profile_of(names, (int64_t[]){INT64_MAX, INT64_MAX, -5, INT64_MIN, 0, 1}, 6);
	struct view_page page = {.options = &o, .profile = p, .subject = "hostile", .width = 80};
	AUTO_FREE char *text = text_of(&page, view_write_text), *as_json = text_of(&page, view_write_json);
	assert_null(strchr(text, '\033'));
	assert_null(strchr(as_json, '\033'));
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));)
		assert_true(strlen(line) < 160);
	profile_free(p);
}

static void functions(void **state)
{
	struct view_options o = options_of(VIEW_CALLERS);
	struct profile *p = sample_profile();
	struct view_page page = {.options = &o, .profile = p};
	char *name = NULL;
	struct why why;

	(void)state;
	assert_int_equal(view_find_function(&page, "main", &name, &why), 0);
	assert_string_equal(name, "main");
	free(name);
	assert_int_equal(view_find_function(&page, "^inl", &name, &why), 0);
	assert_string_equal(name, "inlined<int, \"x\">");
	free(name);
	assert_int_equal(view_find_function(&page, "inlined<int, \"x\">", &name, &why), 0); /* the name, though it is an expression too */
	free(name);
	name = NULL;
	assert_int_equal(view_find_function(&page, "read", &name, &why), -EINVAL);
	assert_non_null(strstr(why.text, "'read' is 2 functions: vfs_read, read_it; write one in full"));
	assert_int_equal(view_find_function(&page, "nowhere", &name, &why), -ENOENT);
	assert_string_equal(why.text, "no function's name is, or matches, 'nowhere'");
	assert_int_equal(view_find_function(&page, "(", &name, &why), -EINVAL);
	assert_non_null(strstr(why.text, "is no regular expression either"));
	assert_null(name);
	profile_free(p);
}

static void errors(void **state)
{
	struct view_options o = options_of(VIEW_TOP);
	struct profile *p = sample_profile();
	struct view_page page = {.options = &o, .profile = p, .subject = "x"};

	(void)state;
	for (int json_too = 0; json_too < 2; json_too++) {
		FILE *full = fopen("/dev/full", "we");
		assert_non_null(full);
		assert_int_equal((json_too ? view_write_json : view_write_text)(&page, full), -ENOSPC);
		fclose(full);
	}
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(top),	   cmocka_unit_test(trees),	cmocka_unit_test(compared), cmocka_unit_test(by_labels), cmocka_unit_test(json),  cmocka_unit_test(deep),
		cmocka_unit_test(hostile), cmocka_unit_test(functions), cmocka_unit_test(errors),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests_name("agent/view_page", tests, NULL, NULL);
}
