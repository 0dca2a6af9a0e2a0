#include "agent/store_levels.h"

#include <errno.h>
#include <string.h>

#include "agent/values.h"

#define WORD_MAX 64

/* One "AGE:WINDOW". */
static int parse_level(char *word, struct store_level *level, struct why *why)
{
	char *colon = strchr(word, ':');

	if (!colon)
		return why_set(why, -EINVAL, "'%s' is not AGE:WINDOW, such as 1h:1m", word);
	*colon = '\0';
	int err = value_duration(word, &level->age_ns, why);
	if (err == 0)
		err = value_duration(colon + 1, &level->window_ns, why);
	if (err == 0 && !level->window_ns)
		err = why_set(why, -EINVAL, "windows of no length");
	return err;
}

int store_levels_parse(const char *text, struct store_level *levels_out, struct why *why)
{
	struct store_level levels[STORE_LEVELS_MAX] = {0};
	char word[WORD_MAX];
	size_t n = 0;

	if (strcmp(text, "none") == 0) {
		levels[n++] = (struct store_level){INT64_MAX, INT64_MAX}; /* no window comes to that age */
		text = "";
	}
	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t bytes = strcspn(text, " ");
		if (n == STORE_LEVELS_MAX)
			return why_set(why, -EINVAL, "more than %d levels", STORE_LEVELS_MAX);
		if (bytes >= sizeof(word))
			return why_set(why, -EINVAL, "'%s' is not AGE:WINDOW, such as 1h:1m", text);
		memcpy(word, text, bytes);
		word[bytes] = '\0';
		text += bytes;
		int err = parse_level(word, &levels[n], why);
		if (err < 0)
			return err;
		if (n && (levels[n].age_ns <= levels[n - 1].age_ns || levels[n].window_ns <= levels[n - 1].window_ns))
			return why_set(why, -EINVAL, "each level must be older, and its windows longer, than the one before");
		n++;
	}
	if (!n)
		return why_set(why, -EINVAL, "no level; 'none' keeps windows as they were recorded");
	memcpy(levels_out, levels, sizeof(levels));
	return 0;
}
