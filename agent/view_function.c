/* view_find_function(): the one function that somebody means. */
#include "agent/view_page.h"

#include <errno.h>
#include <string.h>

#include "base/regex.h"
#include "base/scope.h"
#include "pprof/function_table.h"

#define SHOWN 6 /* names in a message */

static int found(const char *name, char **name_out, struct why *why)
{
	char *copy = strdup(name);

	if (!copy)
		return why_set(why, -ENOMEM, "no memory");
	*name_out = copy;
	return 0;
}

/* Names that match, each once: the rows are by module too. Returns how many, those that come first in names. */
static size_t matching(const struct function_row *rows, size_t n, struct regex *regex, const char *names[SHOWN])
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		bool known = regex_match(regex, rows[i].name) != 1;
		for (size_t j = 0; j < count && j < SHOWN && !known; j++)
			known = strcmp(names[j], rows[i].name) == 0;
		if (known)
			continue;
		if (count < SHOWN)
			names[count] = rows[i].name;
		count++;
	}
	return count;
}

static int explain_many(const char *text, const char *const *names, size_t n, struct why *why)
{
	char list[400] = "";
	size_t length = 0;

	for (size_t i = 0; i < n && i < SHOWN && length < sizeof(list); i++)
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%.100s", i ? ", " : "", names[i]);
	return why_set(why, -EINVAL, "'%.80s' is %zu%s functions: %s%s; write one in full", text, n, n > SHOWN ? " or so" : "", list, n > SHOWN ? ", ..." : "");
}

int view_find_function(const struct view_page *page, const char *text, char **name_out, struct why *why)
{
	AUTO_FREE struct function_row *rows = NULL;
	const char *names[SHOWN];
	struct regex *regex = NULL;
	struct why inner = {""};
	size_t n = 0;

	int err = function_table_create(page->profile, NULL, page->value, &rows, &n);
	if (err < 0)
		return why_set(why, err, "looking for '%.80s': %s", text, strerror(-err));
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, text) == 0)
			return found(text, name_out, why);
	err = regex_create(text, REGEX_SOMEWHERE, &regex, &inner);
	if (err == -EINVAL)
		return why_set(why, err, "no function is called '%.80s', which is no regular expression either: %s", text, inner.text);
	if (err < 0)
		return why_set(why, err, "looking for '%.80s': %s", text, strerror(-err));
	size_t count = matching(rows, n, regex, names);
	regex_destroy(regex);
	if (!count)
		return why_set(why, -ENOENT, "no function's name is, or matches, '%.80s'", text);
	return count == 1 ? found(names[0], name_out, why) : explain_many(text, names, count, why);
}
