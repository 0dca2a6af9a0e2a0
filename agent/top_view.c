#include "agent/top_view.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/top_view_state.h"

static void owned_deinit(struct top_owned *o)
{
	free(o->name);
	free(o->module);
	*o = (struct top_owned){0};
}

static int owned_set(struct top_owned *o, const struct top_identity *who)
{
	struct top_owned copy = {strdup(who->name), strdup(who->module), who->is_kernel, who->pid};

	if (!copy.name || !copy.module) {
		owned_deinit(&copy);
		return -ENOMEM;
	}
	owned_deinit(o);
	*o = copy;
	return 0;
}

static bool owned_is(const struct top_owned *o, const struct top_identity *who)
{
	return o->name && o->pid == who->pid && o->is_kernel == who->is_kernel && strcmp(o->name, who->name) == 0 && strcmp(o->module, who->module) == 0;
}

static void place_deinit(struct top_place *p)
{
	owned_deinit(&p->function);
	owned_deinit(&p->process);
	owned_deinit(&p->at);
	regex_destroy(p->regex);
	*p = (struct top_place){0};
}

int top_view_create(struct top_model *model, enum top_sort sort, enum top_side side, struct top_view **view_out)
{
	struct top_view *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->model = model;
	v->sort = sort;
	v->side = side;
	v->n_places = 1;
	v->page = 1;
	int err = top_view_refresh(v);
	if (err < 0) {
		top_view_destroy(v);
		return err;
	}
	*view_out = v;
	return 0;
}

void top_view_destroy(struct top_view *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n_places; i++)
		place_deinit(&v->places[i]);
	top_table_deinit(&v->table);
	free(v);
}

int top_filter_compile(const char *pattern, struct regex **filter_out, struct why *why)
{
	char text[TOP_FILTER_MAX + 8];
	const char *at = pattern;

	if (strlen(pattern) >= TOP_FILTER_MAX)
		return why_set(why, -EINVAL, "longer than %d bytes", TOP_FILTER_MAX - 1);
	while (*at && !isupper((unsigned char)*at))
		at++;
	snprintf(text, sizeof(text), "%s%s", *at ? "" : "(?i)", pattern);
	int err = regex_create(text, REGEX_SOMEWHERE, filter_out, why);
	return err == -ENOMEM ? why_set(why, err, "out of memory") : err;
}

/* Keep the selection on its row, or where it was. */
static void follow_selection(struct top_view *v)
{
	struct top_place *p = top_view_place(v);

	if (p->has_moved && p->at.name)
		for (size_t i = 0; i < v->table.n; i++)
			if (v->table.rows[i].part == p->part && owned_is(&p->at, &v->table.rows[i].who)) {
				p->selected = i;
				return;
			}
	if (!p->has_moved) {
		p->selected = 0;
		while (p->list == TOP_AROUND && p->selected + 1 < v->table.n && v->table.rows[p->selected].part != TOP_CENTRE)
			p->selected++;
	}
	if (p->selected >= v->table.n)
		p->selected = v->table.n ? v->table.n - 1 : 0;
}

int top_view_refresh(struct top_view *v)
{
	struct top_place *p = top_view_place(v);
	struct top_identity function = top_owned_identity(&p->function), process = top_owned_identity(&p->process);
	struct top_query query = {.list = p->list, .sort = v->sort, .side = v->side, .filter = p->regex,
				  .process = process.name ? &process : NULL, .function = &function};
	struct top_table table;

	top_table_deinit(&v->table);
	top_model_figures(v->model, &v->figures);
	int err = top_model_table(v->model, &query, &table);
	if (err < 0) {
		why_set(&v->trouble, err, "out of memory");
		return err;
	}
	v->table = table;
	follow_selection(v);
	return 0;
}

int top_view_filter(struct top_view *v, const char *pattern, struct why *why)
{
	struct top_place *p = top_view_place(v);
	struct regex *regex = NULL;

	int err = *pattern ? top_filter_compile(pattern, &regex, why) : 0;
	if (err < 0)
		return err;
	regex_destroy(p->regex);
	p->regex = regex;
	snprintf(p->filter, sizeof(p->filter), "%s", pattern);
	return top_view_refresh(v);
}

/* --- places -------------------------------------------------------------------------------------------------- */

static void enter(struct top_view *v)
{
	struct top_place *p = top_view_place(v), *next;
	int err;

	if (!v->table.n || v->table.rows[p->selected].part == TOP_CENTRE)
		return;
	if (v->n_places == TOP_PLACES_MAX) {
		why_set(&v->trouble, -E2BIG, "no deeper than %d; Backspace goes back", TOP_PLACES_MAX);
		return;
	}
	const struct top_row *row = &v->table.rows[p->selected];
	next = &v->places[v->n_places];
	*next = (struct top_place){.list = p->list == TOP_PROCESSES ? TOP_FUNCTIONS : TOP_AROUND};
	if (p->list == TOP_PROCESSES) {
		err = owned_set(&next->process, &row->who);
	} else {
		struct top_identity process = top_owned_identity(&p->process);
		err = owned_set(&next->function, &row->who);
		if (err == 0 && process.name)
			err = owned_set(&next->process, &process);
	}
	if (err < 0) {
		place_deinit(next);
		why_set(&v->trouble, err, "out of memory");
		return;
	}
	v->n_places++;
	top_view_refresh(v);
}

static void go_back(struct top_view *v)
{
	if (v->n_places == 1)
		return;
	place_deinit(top_view_place(v));
	v->n_places--;
	top_view_refresh(v);
}

/* The other tab, from its beginning. */
static void change_tab(struct top_view *v, enum top_list list)
{
	if (v->n_places == 1 && v->places[0].list == list)
		return;
	while (v->n_places)
		place_deinit(&v->places[--v->n_places]);
	v->places[v->n_places++].list = list;
	top_view_refresh(v);
}

static void move(struct top_view *v, size_t up, size_t down)
{
	struct top_place *p = top_view_place(v);

	if (!v->table.n)
		return;
	size_t to = p->selected > up ? p->selected - up : 0;
	to = v->table.n - 1 - to > down ? to + down : v->table.n - 1;
	p->selected = to;
	p->part = v->table.rows[to].part;
	p->has_moved = owned_set(&p->at, &v->table.rows[to].who) == 0;
}

/* --- the filter, while it is typed ----------------------------------------------------------------------------- */

static void apply_edited(struct top_view *v)
{
	struct why why;

	/* Half of an expression is none: the rows stay as they are. */
	v->trouble.text[0] = '\0';
	if (top_view_filter(v, v->edited, &why) < 0)
		why_set(&v->trouble, -EINVAL, "%s", why.text);
}

static void rub_out_one(char *text)
{
	size_t n = strlen(text);

	while (n && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
		n--;
	if (n)
		text[n - 1] = '\0';
}

static void type(char *text, uint32_t c)
{
	char bytes[5] = "";
	size_t n = strlen(text);

	if (c < 0x80)
		bytes[0] = (char)c;
	else if (c < 0x800)
		snprintf(bytes, sizeof(bytes), "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
	else if (c < 0x10000)
		snprintf(bytes, sizeof(bytes), "%c%c%c", (int)(0xe0 | c >> 12), (int)(0x80 | (c >> 6 & 0x3f)), (int)(0x80 | (c & 0x3f)));
	else
		snprintf(bytes, sizeof(bytes), "%c%c%c%c", (int)(0xf0 | c >> 18), (int)(0x80 | (c >> 12 & 0x3f)), (int)(0x80 | (c >> 6 & 0x3f)),
			 (int)(0x80 | (c & 0x3f)));
	if (n + strlen(bytes) < TOP_FILTER_MAX)
		strcpy(text + n, bytes);
}

static void edit(struct top_view *v, uint32_t key)
{
	switch (key) {
	case TOP_KEY_ENTER:
		v->is_editing = false; /* what was no expression did not become the filter */
		return;
	case TOP_KEY_ESCAPE:
		v->is_editing = false;
		snprintf(v->edited, sizeof(v->edited), "%s", v->before);
		break;
	case TOP_KEY_RUBOUT:
		v->edited[0] = '\0';
		break;
	case TOP_KEY_BACK:
		if (!v->edited[0])
			v->is_editing = false;
		rub_out_one(v->edited);
		break;
	default:
		if (key < 0x20 || key >= 0x110000 || (key >= 0x7f && key < 0xa0) || (key >= 0xd800 && key < 0xe000))
			return;
		type(v->edited, key);
	}
	apply_edited(v);
}

static void begin_editing(struct top_view *v)
{
	v->is_editing = true;
	snprintf(v->edited, sizeof(v->edited), "%s", top_view_place(v)->filter);
	snprintf(v->before, sizeof(v->before), "%s", v->edited);
}

/* --- keys ------------------------------------------------------------------------------------------------------ */

static void sort_by(struct top_view *v, enum top_sort sort)
{
	v->sort = sort;
	top_view_refresh(v);
}

/* The same key again shows both sides. */
static void show_side(struct top_view *v, enum top_side side)
{
	v->side = v->side == side ? TOP_BOTH : side;
	top_view_refresh(v);
}

static void escape(struct top_view *v)
{
	struct why why;

	if (top_view_place(v)->filter[0])
		top_view_filter(v, "", &why);
	else
		go_back(v);
}

static void help(struct top_view *v, uint32_t key)
{
	if (key == TOP_KEY_DOWN)
		v->help_first++; /* as far as there are lines: top_draw.c */
	else if (key == TOP_KEY_UP)
		v->help_first -= v->help_first > 0;
	else
		v->is_helping = false;
}

static enum top_wish wish_of(uint32_t key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return TOP_QUIT;
	case 'p':
	case ' ':
		return TOP_PAUSE;
	case '-':
		return TOP_FASTER;
	case '+':
	case '=':
		return TOP_SLOWER;
	case ']':
		return TOP_RATE_UP;
	case '[':
		return TOP_RATE_DOWN;
	default:
		return TOP_NOTHING;
	}
}

static void navigate(struct top_view *v, uint32_t key)
{
	switch (key) {
	case TOP_KEY_UP:
		return move(v, 1, 0);
	case TOP_KEY_DOWN:
		return move(v, 0, 1);
	case TOP_KEY_PAGE_UP:
		return move(v, v->page, 0);
	case TOP_KEY_PAGE_DOWN:
		return move(v, 0, v->page);
	case TOP_KEY_HOME:
		move(v, v->table.n, 0);
		top_view_place(v)->has_moved = top_view_place(v)->list == TOP_AROUND;
		return;
	case TOP_KEY_END:
		return move(v, 0, v->table.n);
	case TOP_KEY_ENTER:
		return enter(v);
	case TOP_KEY_BACK:
		return go_back(v);
	case TOP_KEY_ESCAPE:
		return escape(v);
	case TOP_KEY_TAB:
		return change_tab(v, v->places[0].list == TOP_FUNCTIONS ? TOP_PROCESSES : TOP_FUNCTIONS);
	default:
		return;
	}
}

enum top_wish top_view_key(struct top_view *v, uint32_t key)
{
	v->trouble.text[0] = '\0';
	if (v->is_editing) {
		edit(v, key);
		return TOP_NOTHING;
	}
	if (v->is_helping) {
		help(v, key);
		return TOP_NOTHING;
	}
	switch (key) {
	case 's':
		sort_by(v, TOP_BY_SELF);
		break;
	case 't':
		sort_by(v, TOP_BY_TOTAL);
		break;
	case 'n':
		sort_by(v, TOP_BY_NAME);
		break;
	case 'k':
		show_side(v, TOP_KERNEL);
		break;
	case 'u':
		show_side(v, TOP_USER);
		break;
	case 'a':
		v->side = TOP_BOTH;
		top_view_refresh(v);
		break;
	case '1':
		change_tab(v, TOP_FUNCTIONS);
		break;
	case '2':
		change_tab(v, TOP_PROCESSES);
		break;
	case '/':
		begin_editing(v);
		break;
	case 'h':
	case '?':
	case TOP_KEY_HELP:
		v->is_helping = true;
		v->help_first = 0;
		break;
	default:
		navigate(v, key);
	}
	return wish_of(key);
}
