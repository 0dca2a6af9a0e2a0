#include "agent/toml_reader.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/toml_scalar.h"
#include "base/scope.h"
#include "base/text_clean.h"

/* What may be written twice, by TOML's rules:
 *   is_defined   a table that a [header] or [[header]] made: it has no second header, and no dotted keys from outside
 *   dotted_in    a table that dotted keys made: no header, and no more keys from another section than this one (counted from 1)
 *   is_frozen    {inline tables} and [arrays]: nothing is added to them
 * A table that is only on a header's way to another may still be defined. */
struct reader {
	struct toml_cursor c;
	struct config_problems *problems;
	struct toml_value *root, *scratch, *table; /* scratch: of a header that was wrong; table: of the section at hand */
	unsigned section;
	size_t n_values;
	unsigned open_arrays;
};

struct key {
	char *parts[TOML_DEPTH_MAX];
	size_t n;
};

static void key_deinit(struct key *key)
{
	for (size_t i = 0; i < key->n; i++)
		free(key->parts[i]);
}
#define AUTO_KEY __attribute__((cleanup(key_deinit)))

const char *toml_type_name(enum toml_type type)
{
	static const char *const NAMES[] = {"a string", "a number", "a number with a fraction", "true or false", "an array", "a table"};

	return NAMES[type];
}

const struct toml_value *toml_find(const struct toml_value *table, const char *key)
{
	for (const struct toml_value *value = table->first; value; value = value->next)
		if (strcmp(value->key, key) == 0)
			return value;
	return NULL;
}

static struct toml_value *find(struct toml_value *table, const char *key)
{
	struct toml_value *value = table->first;

	while (value && strcmp(value->key, key) != 0)
		value = value->next;
	return value;
}

void toml_free(struct toml_value *value)
{
	if (!value)
		return;
	for (struct toml_value *inner = value->first, *next; inner; inner = next) {
		next = inner->next;
		toml_free(inner);
	}
	free(value->key);
	free(value->text);
	free(value);
}

static struct toml_value *create(enum toml_type type, const char *key, unsigned line)
{
	struct toml_value *value = calloc(1, sizeof(*value));

	if (!value)
		return NULL;
	value->type = type;
	value->line = line;
	value->key = strdup(key);
	if (value->key)
		return value;
	free(value);
	return NULL;
}

static void append(struct toml_value *to, struct toml_value *value)
{
	if (to->last)
		to->last->next = value;
	else
		to->first = value;
	to->last = value;
}

static int add(struct reader *r, struct toml_value *to, enum toml_type type, const char *key, struct toml_value **value_out)
{
	if (r->n_values == TOML_VALUES_MAX)
		return toml_fail(&r->c, r->c.line, "more than %d values", TOML_VALUES_MAX);
	struct toml_value *value = create(type, key, r->c.line);
	if (!value)
		return -ENOMEM;
	r->n_values++;
	append(to, value);
	*value_out = value;
	return 0;
}

/* --- keys ---------------------------------------------------------------------------------------------------- */

static int take_key(struct reader *r, struct key *key)
{
	for (;;) {
		toml_skip_blanks(&r->c);
		if (key->n == TOML_DEPTH_MAX)
			return toml_fail(&r->c, r->c.line, "a key of more than %d parts", TOML_DEPTH_MAX);
		int err = toml_take_key(&r->c, &key->parts[key->n]);
		if (err < 0)
			return err;
		key->n++;
		toml_skip_blanks(&r->c);
		if (toml_peek(&r->c, 0) != '.')
			return 0;
		r->c.at++;
	}
}

static int fail_twice(struct reader *r, const struct toml_value *first)
{
	return toml_fail(&r->c, r->c.line, "'%.60s' is set a second time; the first time was in line %u", first->key, first->line);
}

/* The table that a header's part names, made when it is missing. Of an array of tables it is the last one. */
static int step_by_header(struct reader *r, struct toml_value **table, const char *key)
{
	struct toml_value *next = find(*table, key);

	if (!next)
		return add(r, *table, TOML_TABLE, key, table);
	if (next->type == TOML_ARRAY && !next->is_frozen && next->last)
		next = next->last;
	if (next->type != TOML_TABLE || next->is_frozen)
		return toml_fail(&r->c, r->c.line, "'%.60s' was set to %s in line %u: nothing can be added to it", key,
				 next->type == TOML_TABLE ? "{...}" : toml_type_name(next->type), next->line);
	*table = next;
	return 0;
}

static int define_table(struct reader *r, struct toml_value *parent, const char *key)
{
	struct toml_value *table = find(parent, key);

	if (!table) {
		int err = add(r, parent, TOML_TABLE, key, &table);
		if (err < 0)
			return err;
	} else if (table->type == TOML_ARRAY && !table->is_frozen) {
		return toml_fail(&r->c, r->c.line, "there are several of these (line %u): write [[%.60s]]", table->line, key);
	} else if (table->type != TOML_TABLE || table->is_defined || table->dotted_in || table->is_frozen) {
		return fail_twice(r, table);
	}
	table->is_defined = true;
	table->line = r->c.line;
	r->table = table;
	return 0;
}

static int define_element(struct reader *r, struct toml_value *parent, const char *key)
{
	struct toml_value *array = find(parent, key);
	int err = 0;

	if (!array)
		err = add(r, parent, TOML_ARRAY, key, &array);
	else if (array->type != TOML_ARRAY || array->is_frozen)
		err = fail_twice(r, array);
	if (err == 0)
		err = add(r, array, TOML_TABLE, "", &r->table);
	if (err < 0)
		return err;
	r->table->is_defined = true;
	return 0;
}

/* [KEY] or [[KEY]]. */
static int take_header(struct reader *r)
{
	AUTO_KEY struct key key = {.n = 0};
	bool is_element = toml_peek(&r->c, 1) == '[';
	struct toml_value *parent = r->root;

	r->section++;
	r->table = r->scratch; /* until all is well */
	r->c.at += is_element ? 2 : 1;
	int err = take_key(r, &key);
	if (err < 0)
		return err;
	if (toml_peek(&r->c, 0) != ']' || (is_element && toml_peek(&r->c, 1) != ']'))
		return toml_fail(&r->c, r->c.line, "%s is missing", is_element ? "]]" : "]");
	r->c.at += is_element ? 2 : 1;
	for (size_t i = 0; i + 1 < key.n && err == 0; i++)
		err = step_by_header(r, &parent, key.parts[i]);
	if (err < 0)
		return err;
	return is_element ? define_element(r, parent, key.parts[key.n - 1]) : define_table(r, parent, key.parts[key.n - 1]);
}

/* The table that a dotted key's part names. */
static int step_by_dot(struct reader *r, struct toml_value **table, const char *key)
{
	struct toml_value *next = find(*table, key);

	if (!next) {
		int err = add(r, *table, TOML_TABLE, key, &next);
		if (err < 0)
			return err;
	} else if (next->type != TOML_TABLE || next->is_frozen || next->is_defined || (next->dotted_in && next->dotted_in != r->section)) {
		return toml_fail(&r->c, r->c.line, "'%.60s' was set in line %u: nothing can be added to it here", key, next->line);
	}
	next->dotted_in = r->section;
	*table = next;
	return 0;
}

/* --- values -------------------------------------------------------------------------------------------------- */

static int take_value(struct reader *r, struct toml_value *value, unsigned depth);

/* KEY = VALUE into table, in a section or in {...}. */
static int take_pair(struct reader *r, struct toml_value *table, unsigned depth)
{
	AUTO_KEY struct key key = {.n = 0};
	struct toml_value *value;

	int err = take_key(r, &key);
	if (err < 0)
		return err;
	if (toml_peek(&r->c, 0) != '=')
		return toml_fail(&r->c, r->c.line, "'=' is missing behind '%.60s'", key.parts[key.n - 1]);
	r->c.at++;
	toml_skip_blanks(&r->c);
	for (size_t i = 0; i + 1 < key.n && err == 0; i++)
		err = step_by_dot(r, &table, key.parts[i]);
	if (err < 0)
		return err;
	const char *name = key.parts[key.n - 1];
	struct toml_value *first = find(table, name);
	if (first)
		return fail_twice(r, first);
	err = add(r, table, TOML_STRING, name, &value);
	if (err == 0) {
		err = take_value(r, value, depth);
		value->is_broken = err < 0;
	}
	return err;
}

static int skip_lines(struct reader *r)
{
	do {
		toml_skip_blanks(&r->c);
		if (toml_peek(&r->c, 0) == '#') {
			int err = toml_skip_comment(&r->c);
			if (err < 0)
				return err;
		}
	} while (toml_take_newline(&r->c));
	return 0;
}

/* Behind a [. */
static int take_array(struct reader *r, struct toml_value *array, unsigned depth)
{
	unsigned begin = r->c.line;
	struct toml_value *value;

	array->type = TOML_ARRAY;
	array->is_frozen = true;
	r->open_arrays++;
	for (;;) {
		int err = skip_lines(r);
		if (err < 0)
			return err;
		if (toml_peek(&r->c, 0) == ']')
			break;
		err = add(r, array, TOML_STRING, "", &value);
		if (err == 0)
			err = r->c.at < r->c.end ? take_value(r, value, depth) : 0;
		if (err == 0)
			err = skip_lines(r);
		if (err < 0)
			return err;
		if (r->c.at == r->c.end)
			return toml_fail(&r->c, begin, "an array that does not end: a ] is missing");
		if (toml_peek(&r->c, 0) == ',')
			r->c.at++;
		else if (toml_peek(&r->c, 0) != ']')
			return toml_fail(&r->c, r->c.line, "a comma or a ] is missing in the array that begins in line %u", begin);
	}
	r->c.at++;
	r->open_arrays--;
	return 0;
}

/* Behind a {. */
static int take_inline_table(struct reader *r, struct toml_value *table, unsigned depth)
{
	table->type = TOML_TABLE;
	table->is_frozen = true;
	toml_skip_blanks(&r->c);
	if (toml_peek(&r->c, 0) != '}') {
		for (;;) {
			int err = take_pair(r, table, depth);
			if (err < 0)
				return err;
			toml_skip_blanks(&r->c);
			if (toml_peek(&r->c, 0) == '}')
				break;
			if (toml_peek(&r->c, 0) != ',')
				return toml_fail(&r->c, r->c.line, "a comma or a } is missing; {...} is one line");
			r->c.at++;
		}
	}
	r->c.at++;
	return 0;
}

static int take_value(struct reader *r, struct toml_value *value, unsigned depth)
{
	value->line = r->c.line;
	if (depth == TOML_DEPTH_MAX)
		return toml_fail(&r->c, r->c.line, "arrays and tables lie more than %d deep in each other", TOML_DEPTH_MAX);
	switch (toml_peek(&r->c, 0)) {
	case '"':
	case '\'':
		return toml_take_string(&r->c, true, &value->text);
	case '[':
		r->c.at++;
		return take_array(r, value, depth + 1);
	case '{':
		r->c.at++;
		return take_inline_table(r, value, depth + 1);
	default:
		return toml_take_number(&r->c, value);
	}
}

/* --- lines --------------------------------------------------------------------------------------------------- */

static int take_statement(struct reader *r)
{
	int err = 0;

	toml_skip_blanks(&r->c);
	char first = toml_peek(&r->c, 0);
	if (first == '[')
		err = take_header(r);
	else if (r->c.at < r->c.end && first != '#' && first != '\n' && !(first == '\r' && toml_peek(&r->c, 1) == '\n'))
		err = take_pair(r, r->table, 0);
	if (err < 0)
		return err;
	toml_skip_blanks(&r->c);
	if (toml_peek(&r->c, 0) == '#') {
		err = toml_skip_comment(&r->c);
		if (err < 0)
			return err;
	}
	if (toml_take_newline(&r->c) || r->c.at == r->c.end)
		return 0;
	return toml_fail(&r->c, r->c.line, "what is behind the value? One setting is one line");
}

/* Whether the line at hand begins a statement, for all one can see. */
static bool looks_like_statement(const struct toml_cursor *c)
{
	size_t n = 0;

	if (toml_peek(c, 0) == '[')
		return true;
	while (isalnum((unsigned char)toml_peek(c, n)) || (toml_peek(c, n) && strchr("_-.", toml_peek(c, n))))
		n++;
	while (n && toml_peek(c, n) == ' ')
		n++;
	return n && toml_peek(c, n) == '=';
}

static void skip_line(struct toml_cursor *c)
{
	const char *end = memchr(c->at, '\n', (size_t)(c->end - c->at));

	c->at = end ? end + 1 : c->end;
	c->line += end != NULL;
}

/* Go on behind what was wrong: the next line, or where an array that was left open seems to be over. */
static void recover(struct reader *r)
{
	config_problem(r->problems, r->c.error_line, "%s", r->c.error);
	skip_line(&r->c);
	while (r->open_arrays && r->c.at < r->c.end && !looks_like_statement(&r->c))
		skip_line(&r->c);
	r->open_arrays = 0;
}

/* Returns the line of the first byte that is not UTF-8, 0: there is none. */
static unsigned find_not_utf8(const char *text, size_t bytes)
{
	struct toml_cursor c = {.at = text, .end = text + bytes, .line = 1};

	if (text_is_utf8(text, bytes))
		return 0;
	while (c.at < c.end) {
		const char *begin = c.at;
		unsigned line = c.line;
		skip_line(&c);
		if (!text_is_utf8(begin, (size_t)(c.at - begin)))
			return line;
	}
	return c.line;
}

static int read_all(struct reader *r)
{
	while (r->c.at < r->c.end) {
		int err = take_statement(r);
		if (err == -ENOMEM)
			return err;
		if (err < 0)
			recover(r);
		if (r->n_values == TOML_VALUES_MAX)
			break;
	}
	return 0;
}

int toml_read(const char *text, size_t bytes, struct config_problems *problems, struct toml_value **root_out)
{
	struct reader r = {.c = {.at = text, .end = text + bytes, .line = 1}, .problems = problems, .section = 1};
	size_t before = problems->n + problems->more;

	r.root = create(TOML_TABLE, "", 0);
	r.scratch = create(TOML_TABLE, "", 0);
	r.table = r.root;
	int err = r.root && r.scratch ? 0 : -ENOMEM;
	unsigned line = find_not_utf8(text, bytes);
	if (err == 0 && bytes > TOML_BYTES_MAX)
		config_problem(problems, 0, "more than %u bytes", TOML_BYTES_MAX);
	else if (err == 0 && line)
		config_problem(problems, line, "the text is not UTF-8");
	else if (err == 0)
		err = read_all(&r);
	toml_free(r.scratch);
	if (err < 0) {
		toml_free(r.root);
		return err;
	}
	*root_out = r.root;
	return problems->n + problems->more > before ? -EBADMSG : 0;
}
