#include "agent/top_screen.h"

#include <dlfcn.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define NCURSES_NOMACROS 1 /* they are called by pointers */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <term.h>
/* term.h's names of capabilities are everyday words. */
#undef columns
#undef lines

#include "base/scope.h"

#define LIBRARY	      "libncursesw.so.6"
#define ESCAPE_MS     50 /* what follows an Escape sooner belongs to a key */
#define RESTORE_BYTES 256

/* Each function that is used of it. */
#define FUNCTIONS(X)                                                                                                     \
	X(newterm) X(delscreen) X(endwin) X(cbreak) X(noecho) X(nonl) X(keypad) X(nodelay) X(wget_wch) X(werase) X(wmove)    \
	X(waddnstr) X(wattrset) X(wrefresh) X(redrawwin) X(resizeterm) X(curs_set) X(has_colors) X(start_color)             \
	X(use_default_colors) X(init_pair) X(set_escdelay) X(getmaxy) X(getmaxx) X(tigetstr) X(intrflush) X(define_key)

struct curses {
#define FIELD(name) __typeof__(&(name)) name;
	FUNCTIONS(FIELD)
#undef FIELD
	WINDOW **window; /* stdscr */
};

struct top_screen {
	void *library;
	struct curses c;
	SCREEN *screen;
	WINDOW *window;
	bool is_utf8, has_colors, is_left;
	int attributes[TOP_STYLES];
};

/* What a process that dies of a fault does last: the only state that a handler can reach. */
static struct {
	struct termios modes;
	char text[RESTORE_BYTES];
	size_t n;
	volatile sig_atomic_t is_taken;
} restore;

static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static void give_back(int fault)
{
	if (restore.is_taken) {
		restore.is_taken = 0;
		ssize_t put = write(STDOUT_FILENO, restore.text, restore.n);
		(void)put;
		tcsetattr(STDOUT_FILENO, TCSANOW, &restore.modes);
	}
	raise(fault); /* as it would have been: the handler was for once */
}

static void watch_faults(bool watch)
{
	struct sigaction action = {.sa_handler = watch ? give_back : SIG_DFL, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++)
		sigaction(FAULTS[i], &action, NULL);
}

/* A capability's text, without its delays ("$<5>"): those were for terminals of paper. */
static void add_capability(struct top_screen *s, const char *name)
{
	const char *at = s->c.tigetstr(name);

	for (; at && at != (const char *)-1 && *at && restore.n < RESTORE_BYTES; at++) {
		const char *end = at[0] == '$' && at[1] == '<' ? strchr(at, '>') : NULL;
		if (end)
			at = end;
		else
			restore.text[restore.n++] = *at;
	}
}

static int load(struct top_screen *s, struct why *why)
{
	void *found;

	s->library = dlopen(LIBRARY, RTLD_NOW);
	if (!s->library)
		return why_set(why, -ENOENT, "there is no " LIBRARY " here: install it (Debian: libncursesw6), or use --batch");
#define LOAD(name)                                                                                                       \
	found = dlsym(s->library, #name);                                                                                \
	if (!found)                                                                                                      \
		return why_set(why, -ENOENT, LIBRARY " has no " #name "; use --batch");                                  \
	memcpy(&s->c.name, &found, sizeof(found));
	FUNCTIONS(LOAD)
#undef LOAD
	found = dlsym(s->library, "stdscr");
	if (!found)
		return why_set(why, -ENOENT, LIBRARY " has no stdscr; use --batch");
	memcpy(&s->c.window, &found, sizeof(found));
	return 0;
}

/* Names are drawn as UTF-8 where the terminal takes it. */
static void choose_charset(struct top_screen *s)
{
	setlocale(LC_CTYPE, "");
	s->is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static void choose_attributes(struct top_screen *s)
{
	const char *no_color = getenv("NO_COLOR");

	s->attributes[TOP_STRONG] = s->attributes[TOP_HOT] = s->attributes[TOP_ALARM] = (int)A_BOLD;
	s->attributes[TOP_TITLE] = (int)A_UNDERLINE;
	s->attributes[TOP_SELECTED] = (int)A_REVERSE;
	s->has_colors = !(no_color && *no_color) && s->c.has_colors() && s->c.start_color() == OK;
	if (!s->has_colors)
		return;
	short background = s->c.use_default_colors() == OK ? -1 : COLOR_BLACK;
	s->c.init_pair(1, COLOR_RED, background);
	s->c.init_pair(2, COLOR_GREEN, background);
	s->c.init_pair(3, COLOR_CYAN, background);
	s->attributes[TOP_HOT] = s->attributes[TOP_ALARM] = (int)NCURSES_BITS(1, 0);
	s->attributes[TOP_WARM] = (int)NCURSES_BITS(2, 0);
	s->attributes[TOP_FAINT] = (int)NCURSES_BITS(3, 0);
}

/* Where a terminal's description comes from is for its user to say; root reads the system's only (docs/top.md). */
static SCREEN *new_terminal(struct top_screen *s)
{
	const char *home = getenv("HOME");
	AUTO_FREE char *kept = home ? strdup(home) : NULL;

	if (geteuid() == 0) {
		unsetenv("TERMINFO");
		unsetenv("TERMINFO_DIRS");
		unsetenv("HOME");
	}
	SCREEN *screen = s->c.newterm(NULL, stdout, stdin);
	if (geteuid() == 0 && kept)
		setenv("HOME", kept, 1);
	return screen;
}

/* Also as terminals send them that did not understand "application mode"; else "[" and a letter would be keys of their own. */
static void define_arrows(struct top_screen *s)
{
	static const struct {
		const char *bytes;
		int key;
	} KEYS[] = {{"\x1b[A", KEY_UP},	 {"\x1b[B", KEY_DOWN},	 {"\x1b[C", KEY_RIGHT}, {"\x1b[D", KEY_LEFT}, {"\x1b[H", KEY_HOME},
		    {"\x1b[F", KEY_END}, {"\x1bOA", KEY_UP},	 {"\x1bOB", KEY_DOWN},	 {"\x1bOC", KEY_RIGHT}, {"\x1bOD", KEY_LEFT},
		    {"\x1bOH", KEY_HOME}, {"\x1bOF", KEY_END}};

	for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
		s->c.define_key(KEYS[i].bytes, KEYS[i].key);
}

static int take(struct top_screen *s, struct why *why)
{
	const char *term = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDOUT_FILENO, &restore.modes) < 0)
		return why_set(why, -ENOTTY, "standard input and output are no terminal; use --batch");
	choose_charset(s);
	s->screen = term && *term ? new_terminal(s) : NULL;
	if (!s->screen)
		return why_set(why, -ENOTTY, "the terminal '%.60s' (TERM) is not known here: try TERM=xterm, install ncurses-term, or use --batch",
			       term ? term : "");
	s->window = *s->c.window;
	s->c.cbreak();
	s->c.noecho();
	s->c.nonl();
	s->c.intrflush(s->window, FALSE);
	s->c.keypad(s->window, TRUE);
	s->c.nodelay(s->window, TRUE);
	s->c.set_escdelay(ESCAPE_MS);
	define_arrows(s);
	s->c.curs_set(0);
	choose_attributes(s);
	restore.n = 0;
	add_capability(s, "sgr0");
	add_capability(s, "rmkx");
	add_capability(s, "cnorm");
	add_capability(s, "rmcup");
	restore.is_taken = 1;
	watch_faults(true);
	top_screen_resize(s);
	return 0;
}

int top_screen_open(struct top_screen **screen_out, struct why *why)
{
	struct top_screen *s = calloc(1, sizeof(*s));

	if (!s)
		return why_set(why, -ENOMEM, "out of memory");
	int err = load(s, why);
	if (err == 0)
		err = take(s, why);
	if (err < 0) {
		top_screen_close(s);
		return err;
	}
	*screen_out = s;
	return 0;
}

static void put(void *context, size_t row, size_t column, enum top_style style, const char *text)
{
	struct top_screen *s = context;

	s->c.wattrset(s->window, s->attributes[style]);
	s->c.wmove(s->window, (int)row, (int)column);
	s->c.waddnstr(s->window, text, -1);
}

static void put_cursor(void *context, size_t row, size_t column)
{
	struct top_screen *s = context;

	s->c.curs_set(1);
	s->c.wmove(s->window, (int)row, (int)column);
}

void top_screen_clear(struct top_screen *s, struct top_canvas *canvas_out)
{
	int rows = s->c.getmaxy(s->window), columns = s->c.getmaxx(s->window);

	s->c.wattrset(s->window, 0);
	s->c.werase(s->window);
	s->c.curs_set(0);
	*canvas_out = (struct top_canvas){
		.context = s,
		.rows = rows > 0 ? (size_t)rows : 0,
		.columns = columns > 0 ? (size_t)columns : 0,
		.is_utf8 = s->is_utf8,
		.put = put,
		.cursor = put_cursor,
	};
}

void top_screen_show(struct top_screen *s, bool anew)
{
	if (s->is_left)
		return;
	if (anew)
		s->c.redrawwin(s->window);
	s->c.wrefresh(s->window);
}

static uint32_t special_key(wint_t key)
{
	switch (key) {
	case KEY_UP:
		return TOP_KEY_UP;
	case KEY_DOWN:
		return TOP_KEY_DOWN;
	case KEY_PPAGE:
		return TOP_KEY_PAGE_UP;
	case KEY_NPAGE:
		return TOP_KEY_PAGE_DOWN;
	case KEY_HOME:
		return TOP_KEY_HOME;
	case KEY_END:
		return TOP_KEY_END;
	case KEY_ENTER:
	case KEY_RIGHT:
		return TOP_KEY_ENTER;
	case KEY_BACKSPACE:
	case KEY_LEFT:
		return TOP_KEY_BACK;
	case KEY_BTAB:
		return TOP_KEY_TAB;
	case KEY_F(1):
		return TOP_KEY_HELP;
	default:
		return TOP_KEY_OTHER;
	}
}

uint32_t top_screen_key(struct top_screen *s)
{
	wint_t key;

	int kind = s->c.wget_wch(s->window, &key);
	if (kind == ERR)
		return 0;
	if (kind == KEY_CODE_YES)
		return special_key(key);
	switch (key) {
	case '\n':
	case '\r':
		return TOP_KEY_ENTER;
	case '\b':
	case 0x7f:
		return TOP_KEY_BACK;
	case '\t':
		return TOP_KEY_TAB;
	case 0x1b:
		return TOP_KEY_ESCAPE;
	case 0x15:
		return TOP_KEY_RUBOUT;
	case 0x0c:
		return TOP_KEY_REDRAW;
	default:
		return key && key < TOP_KEY_UP ? (uint32_t)key : TOP_KEY_OTHER;
	}
}

void top_screen_resize(struct top_screen *s)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
		s->c.resizeterm(size.ws_row, size.ws_col);
}

void top_screen_leave(struct top_screen *s)
{
	s->c.curs_set(1);
	s->c.endwin();
	s->is_left = true;
	restore.is_taken = 0;
}

void top_screen_return(struct top_screen *s)
{
	s->is_left = false;
	restore.is_taken = 1;
	top_screen_resize(s);
	s->c.redrawwin(s->window);
	s->c.wrefresh(s->window); /* takes its modes again */
}

void top_screen_close(struct top_screen *s)
{
	if (!s)
		return;
	if (s->screen) {
		if (!s->is_left)
			top_screen_leave(s);
		watch_faults(false);
		s->c.delscreen(s->screen);
	}
	/* The library stays: its exit handlers may be registered. */
	free(s);
}
