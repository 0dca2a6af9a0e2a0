#include "agent/top_view.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <wchar.h>

#include "tests/unit/top_profile.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define ROWS_MAX 100
#define COLUMNS_MAX 300

static const struct top_sample WINDOW[] = {
	{7, "app", "web", "inner;outer;main", 60},
	{7, "app", "web", "outer;main", 10},
	{7, "app", "web", "k:vfs_read;k:sys_read;outer;main", 20},
	{8, "other", "", "inner;main", 5},
	{8, "other", "", "again;again;again;main", 5},
};

/* What a terminal would show: a character in each cell; a wide one has a 0 behind it. */
struct screen {
	wchar_t cells[ROWS_MAX][COLUMNS_MAX];
	enum top_style styles[ROWS_MAX][COLUMNS_MAX];
	struct top_canvas canvas;
	size_t cursor_row, cursor_column;
	struct top_model *model;
	struct top_view *view;
	struct top_status status;
};

static void put(void *context, size_t row, size_t column, enum top_style style, const char *text)
{
	struct screen *s = context;
	mbstate_t state = {0};
	size_t left = strlen(text), n;
	wchar_t c;

	assert_true(row < s->canvas.rows);
	while (left) {
		n = mbrtowc(&c, text, left, &state);
		assert_true(n > 0 && n <= left);
		assert_true(s->canvas.is_utf8 || (unsigned char)*text < 0x80);
		assert_true(c >= 0x20 && (c < 0x7f || c >= 0xa0));
		int width = wcwidth(c);
		assert_true(width >= 0 && column + (size_t)width <= s->canvas.columns);
		if (width > 0) {
			s->cells[row][column] = c;
			s->styles[row][column] = style;
		}
		if (width == 2)
			s->cells[row][column + 1] = 0;
		column += (size_t)width;
		text += n;
		left -= n;
	}
}

static void put_cursor(void *context, size_t row, size_t column)
{
	struct screen *s = context;

	assert_true(row < s->canvas.rows && column < s->canvas.columns);
	s->cursor_row = row;
	s->cursor_column = column;
}

static void draw(struct screen *s)
{
	for (size_t r = 0; r < ROWS_MAX; r++)
		for (size_t c = 0; c < COLUMNS_MAX; c++)
			s->cells[r][c] = L' ';
	memset(s->styles, 0, sizeof(s->styles));
	s->cursor_row = s->cursor_column = 999;
	top_view_draw(s->view, &s->canvas, &s->status);
}

/* A line without the spaces at its end; borrowed until the next call. */
static const char *line(struct screen *s, size_t row)
{
	static char text[COLUMNS_MAX * 4 + 1];
	char *to = text;

	for (size_t c = 0; c < s->canvas.columns; c++)
		if (s->cells[row][c])
			to += wctomb(to, s->cells[row][c]);
	while (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
	return text;
}

static bool shows(struct screen *s, const char *text)
{
	draw(s);
	for (size_t r = 0; r < s->canvas.rows; r++)
		if (strstr(line(s, r), text))
			return true;
	return false;
}

static struct screen *screen_of(size_t rows, size_t columns)
{
	struct screen *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->canvas = (struct top_canvas){s, rows, columns, true, put, put_cursor};
	s->status = (struct top_status){.what = "the whole machine", .event = "cpu-clock", .rate_hz = 99, .refresh_ns = 1000000000,
					.span_ns = 10000000000, .cpus = 2, .message = ""};
	assert_int_equal(top_model_create(10 * TOP_S, &s->model), 0);
	assert_int_equal(top_view_create(s->model, TOP_BY_SELF, TOP_BOTH, &s->view), 0);
	return s;
}

static void add(struct screen *s, const struct top_sample *samples, size_t n)
{
	assert_int_equal(top_add(s->model, samples, n, 1000000), 0);
	assert_int_equal(top_view_refresh(s->view), 0);
}

static void close_screen(struct screen *s)
{
	top_view_destroy(s->view);
	top_model_destroy(s->model);
	free(s);
}

static void type(struct screen *s, const char *text)
{
	for (; *text; text++)
		assert_int_equal(top_view_key(s->view, (unsigned char)*text), TOP_NOTHING);
}

static void wide(void **state)
{
	struct screen *s = screen_of(20, 120);

	(void)state;
	assert_true(shows(s, "sampling ..."));
	add(s, WINDOW, N(WINDOW));
	draw(s);
	assert_non_null(strstr(line(s, 0), "hearth top  1.00 of 2 CPUs busy"));
	assert_non_null(strstr(line(s, 0), "99 Hz  cpu-clock  last 10 s, every 1 s  the whole machine"));
	assert_string_equal(line(s, 1), "100 samples of 100 ticks  dropped 0  truncated 0.00 %  hearth 0.50 % of a CPU");
	assert_string_equal(line(s, 3), "  SHARE   TOTAL      SELF     TOTAL MODULE               NAME");
	assert_string_equal(line(s, 4), " 65.00%  65.00%    650 ms    650 ms app                  inner");
	assert_int_equal(s->styles[4][0], TOP_SELECTED);
	assert_int_equal(s->styles[5][0], TOP_HOT);
	assert_non_null(strstr(line(s, 5), "[kernel]             vfs_read"));
	close_screen(s);
}

static void narrow(void **state)
{
	struct screen *s = screen_of(10, 40);

	(void)state;
	add(s, WINDOW, N(WINDOW));
	draw(s);
	assert_string_equal(line(s, 0), "hearth top  1.00 of 2 CPUs busy  99 Hz");
	assert_string_equal(line(s, 4), " 65.00%  65.00% inner");
	assert_string_equal(line(s, 5), " 20.00%  20.00% [k] vfs_read");
	top_view_key(s->view, TOP_KEY_TAB);
	draw(s);
	assert_string_equal(line(s, 4), " 90.00%        7 app");
	close_screen(s);
}

/* Nothing is drawn outside, whatever the size: put() looks. */
static void all_sizes(void **state)
{
	static const uint32_t KEYS[] = {0, TOP_KEY_ENTER, TOP_KEY_BACK, TOP_KEY_TAB, TOP_KEY_ENTER, 'h', TOP_KEY_DOWN, TOP_KEY_ESCAPE, '/'};
	struct screen *s = screen_of(10, 40);

	(void)state;
	add(s, WINDOW, N(WINDOW));
	for (size_t k = 0; k < N(KEYS); k++) {
		top_view_key(s->view, KEYS[k]);
		for (s->canvas.rows = 0; s->canvas.rows <= 30; s->canvas.rows += 3)
			for (s->canvas.columns = 0; s->canvas.columns <= 140; s->canvas.columns += 5)
				draw(s);
		s->canvas.rows = ROWS_MAX;
		s->canvas.columns = COLUMNS_MAX;
		draw(s);
	}
	close_screen(s);
}

static void sorts_and_sides(void **state)
{
	struct screen *s = screen_of(20, 100);

	(void)state;
	add(s, WINDOW, N(WINDOW));
	type(s, "t");
	assert_true(shows(s, "by total"));
	assert_non_null(strstr(line(s, 4), "main"));
	type(s, "n");
	assert_true(shows(s, "by name"));
	assert_non_null(strstr(line(s, 4), "again"));
	type(s, "sk");
	assert_true(shows(s, "kernel only"));
	assert_non_null(strstr(line(s, 4), "vfs_read"));
	assert_false(shows(s, "inner"));
	type(s, "u");
	assert_true(shows(s, "user only") && !shows(s, "vfs_read"));
	type(s, "u");
	assert_true(shows(s, "vfs_read") && shows(s, "inner"));
	type(s, "ka");
	assert_true(shows(s, "vfs_read") && shows(s, "inner"));
	close_screen(s);
}

static void filter(void **state)
{
	struct screen *s = screen_of(20, 100);
	struct why why;

	(void)state;
	add(s, WINDOW, N(WINDOW));
	type(s, "/");
	assert_true(shows(s, "filter:"));
	type(s, "INN");
	assert_true(shows(s, "nothing matches")); /* capitals count */
	top_view_key(s->view, TOP_KEY_RUBOUT);
	type(s, "inn");
	assert_true(shows(s, "inner") && !shows(s, "vfs_read"));
	assert_int_equal(s->cursor_row, 19);
	assert_int_equal(s->cursor_column, 11);
	/* Half an expression: it says so, and what was shown stays. */
	type(s, "(");
	assert_true(shows(s, "filter: inn(") && shows(s, "inner") && !shows(s, "vfs_read"));
	top_view_key(s->view, TOP_KEY_ENTER);
	assert_true(shows(s, "/inn/ leaves out 5"));
	top_view_key(s->view, '/');
	top_view_key(s->view, TOP_KEY_RUBOUT);
	assert_true(shows(s, "vfs_read"));
	top_view_key(s->view, TOP_KEY_ESCAPE);
	assert_true(shows(s, "/inn/") && !shows(s, "vfs_read"));
	top_view_key(s->view, TOP_KEY_ESCAPE);
	assert_true(shows(s, "vfs_read"));
	/* Letters of other scripts; q and others are letters here. */
	top_view_key(s->view, '/');
	type(s, "qs");
	top_view_key(s->view, 0xe9);
	top_view_key(s->view, 0x4e2d);
	top_view_key(s->view, 0x1f600);
	top_view_key(s->view, 7);
	top_view_key(s->view, 0xd800);
	assert_true(shows(s, "filter: qsé中😀"));
	for (int i = 0; i < 5; i++)
		top_view_key(s->view, TOP_KEY_BACK);
	assert_true(shows(s, "filter:") && shows(s, "vfs_read"));
	top_view_key(s->view, TOP_KEY_BACK); /* out of it */
	assert_false(shows(s, "filter:"));
	assert_int_equal(top_view_filter(s->view, "(", &why), -EINVAL);
	assert_int_equal(top_view_filter(s->view, "vfs", &why), 0);
	assert_true(shows(s, "vfs_read") && !shows(s, "inner"));
	/* As long as it may be, and longer. */
	top_view_key(s->view, '/');
	for (int i = 0; i < 400; i++)
		type(s, "x");
	draw(s);
	close_screen(s);
}

static void drill(void **state)
{
	struct screen *s = screen_of(20, 100);

	(void)state;
	add(s, WINDOW, N(WINDOW));
	top_view_key(s->view, TOP_KEY_ENTER);
	draw(s);
	assert_non_null(strstr(line(s, 4), "caller"));
	assert_non_null(strstr(line(s, 4), "outer"));
	assert_true(shows(s, "itself  100.00%  65.00%"));
	top_view_key(s->view, TOP_KEY_ENTER); /* itself: nowhere to go */
	top_view_key(s->view, TOP_KEY_UP);
	top_view_key(s->view, TOP_KEY_UP);
	top_view_key(s->view, TOP_KEY_ENTER);
	assert_true(shows(s, "callee") && shows(s, "sys_read"));
	/* Where one was follows its row when the rows change. */
	static const struct top_sample MORE[] = {{7, "app", "web", "newer;inner;outer;main", 500}};
	add(s, MORE, 1);
	assert_true(shows(s, "itself"));
	top_view_key(s->view, TOP_KEY_BACK);
	assert_true(shows(s, "newer"));
	top_view_key(s->view, TOP_KEY_BACK);
	assert_true(shows(s, "SELF") && !shows(s, "caller"));
	top_view_key(s->view, TOP_KEY_BACK); /* already there */
	top_view_key(s->view, '2');
	top_view_key(s->view, TOP_KEY_END);
	top_view_key(s->view, TOP_KEY_ENTER);
	assert_true(shows(s, "process 8 other") && shows(s, "again") && !shows(s, "newer"));
	top_view_key(s->view, TOP_KEY_ENTER);
	assert_true(shows(s, "process 8 other") && shows(s, "caller"));
	top_view_key(s->view, '1');
	assert_true(shows(s, "newer") && !shows(s, "process 8"));
	close_screen(s);
}

static void deep(void **state)
{
	static const struct top_sample LOOP[] = {{7, "app", "", "a;b;a;b;a;b", 10}};
	struct screen *s = screen_of(20, 100);

	(void)state;
	top_view_key(s->view, TOP_KEY_ENTER); /* nothing there */
	top_view_key(s->view, TOP_KEY_DOWN);
	add(s, LOOP, 1);
	for (int i = 0; i < 40; i++) {
		top_view_key(s->view, TOP_KEY_HOME);
		top_view_key(s->view, TOP_KEY_ENTER);
	}
	assert_true(shows(s, "no deeper than 32"));
	for (int i = 0; i < 40; i++)
		top_view_key(s->view, TOP_KEY_BACK);
	assert_true(shows(s, "SELF"));
	close_screen(s);
}

static void selection(void **state)
{
	struct top_sample samples[60];
	char names[60][16];
	struct screen *s = screen_of(15, 80);

	(void)state;
	for (size_t i = 0; i < 60; i++) {
		snprintf(names[i], sizeof(names[i]), "f%02zu", i);
		samples[i] = (struct top_sample){1, "p", "", names[i], 100 - (int64_t)i};
	}
	add(s, samples, 60);
	top_view_key(s->view, TOP_KEY_PAGE_DOWN);
	top_view_key(s->view, TOP_KEY_DOWN);
	draw(s);
	for (int i = 0; i < 14; i++)
		top_view_key(s->view, TOP_KEY_DOWN);
	draw(s);
	size_t row = 4;
	while (row < 14 && s->styles[row][0] != TOP_SELECTED)
		row++;
	char before[400];
	snprintf(before, sizeof(before), "%s", line(s, row) + 40);
	/* Another function gets hotter than all: the selected one moves down by one, and stays selected. */
	static const struct top_sample HOT[] = {{1, "p", "", "hot", 900}};
	add(s, HOT, 1);
	draw(s);
	row = 4;
	while (row < 14 && s->styles[row][0] != TOP_SELECTED)
		row++;
	assert_true(row < 14);
	assert_string_equal(line(s, row) + 40, before);
	top_view_key(s->view, TOP_KEY_END);
	assert_true(shows(s, "f59"));
	top_view_key(s->view, TOP_KEY_PAGE_UP);
	top_view_key(s->view, TOP_KEY_HOME);
	draw(s);
	assert_int_equal(s->styles[4][0], TOP_SELECTED);
	assert_non_null(strstr(line(s, 4), "hot"));
	close_screen(s);
}

static void wishes(void **state)
{
	static const struct {
		uint32_t key;
		enum top_wish wish;
	} WISHES[] = {{'q', TOP_QUIT}, {'p', TOP_PAUSE}, {' ', TOP_PAUSE}, {'+', TOP_SLOWER}, {'=', TOP_SLOWER}, {'-', TOP_FASTER},
		      {']', TOP_RATE_UP}, {'[', TOP_RATE_DOWN}, {'x', TOP_NOTHING}, {0x1f600, TOP_NOTHING}};
	struct screen *s = screen_of(24, 100);

	(void)state;
	for (size_t i = 0; i < N(WISHES); i++)
		assert_int_equal(top_view_key(s->view, WISHES[i].key), WISHES[i].wish);
	top_view_key(s->view, 'h');
	assert_true(shows(s, "q          quit") && shows(s, "any key: back"));
	assert_int_equal(top_view_key(s->view, 'q'), TOP_NOTHING); /* out of the help */
	assert_false(shows(s, "any key: back"));
	s->status.is_paused = s->status.has_ended = true;
	s->status.message = "something went wrong";
	assert_true(shows(s, "PAUSED  ENDED") && shows(s, "something went wrong"));
	close_screen(s);
}

static void loss_is_told(void **state)
{
	struct screen *s = screen_of(24, 100);
	struct profile *profile = top_profile(WINDOW, 1, 5);
	struct accounting account = {.fired = 70, .samples = 60, .complete = 45, .windows = 1};

	(void)state;
	account.dropped[ACCOUNT_BUFFER_FULL] = 10;
	account.cut[CUT_TOO_DEEP] = 15;
	assert_int_equal(top_model_add(s->model, profile, &account, 0), 0);
	top_view_refresh(s->view);
	assert_true(shows(s, "60 samples of 70 ticks  dropped 10  truncated 25.00 %"));
	assert_int_equal(s->styles[1][26], TOP_ALARM);
	profile_free(profile);
	close_screen(s);
}

/* Names of strangers: escapes, wide letters, accents without end, marks of direction. */
static void hostile_names(void **state)
{
	static char accents[600], longest[4000];
	static const struct top_sample NAMES[] = {
		{1, "\x1b[31mred\x1b]0;title\x07", "\x9b" "2J", "\x1b[2J\x1b[H;second\nline\r\t\x7f", 50},
		{2, "\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87", "", "\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87", 40},
		{3, "<script>", "", "<script>alert(1)</script>", 30},
		{4, "\xff\xfe", "", "\xe2\x80\xaegnirts\xe2\x80\x8f\xe2\x80\x8d\xef\xb8\x8f", 20},
		{5, accents, "", accents, 10},
		{6, longest, longest, longest, 9},
	};
	struct screen *s = screen_of(20, 80);

	(void)state;
	accents[0] = 'e';
	for (size_t i = 0; i < 200; i++)
		memcpy(accents + 1 + 2 * i, "\xcc\x81", 2);
	memset(longest, 'l', sizeof(longest) - 1);
	add(s, NAMES, N(NAMES));
	for (int tab = 0; tab < 2; tab++) {
		for (s->canvas.columns = 24; s->canvas.columns < 120; s->canvas.columns += 5)
			draw(s);
		s->canvas.is_utf8 = false;
		for (s->canvas.columns = 24; s->canvas.columns < 120; s->canvas.columns += 5)
			draw(s);
		s->canvas.is_utf8 = true;
		s->canvas.columns = 80;
		assert_true(tab ? shows(s, "?[31mred") : shows(s, "?[2J?[H"));
		assert_true(shows(s, "<script>"));
		top_view_key(s->view, TOP_KEY_TAB);
	}
	for (int i = 0; i < 6; i++) {
		top_view_key(s->view, TOP_KEY_ENTER);
		draw(s);
		top_view_key(s->view, TOP_KEY_BACK);
		top_view_key(s->view, TOP_KEY_DOWN);
	}
	close_screen(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wide), cmocka_unit_test(narrow), cmocka_unit_test(all_sizes), cmocka_unit_test(sorts_and_sides),
		cmocka_unit_test(filter), cmocka_unit_test(drill), cmocka_unit_test(deep), cmocka_unit_test(selection), cmocka_unit_test(wishes),
		cmocka_unit_test(loss_is_told), cmocka_unit_test(hostile_names),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
