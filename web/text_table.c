#include "web/text_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define SLOTS_MIN 1024

static size_t slot_of(const struct text_table *t, const char *text)
{
	return XXH3_64bits_withSeed(text, strlen(text), t->seed) & (t->n_slots - 1);
}

/* At most half full. */
static int grow(struct text_table *t)
{
	size_t n_slots = t->n_slots ? 2 * t->n_slots : SLOTS_MIN;

	if (2 * (t->n + 1) <= t->n_slots)
		return 0;
	if (!t->n_slots && getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed))
		return -ENOMEM;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	char **texts = realloc(t->texts, n_slots / 2 * sizeof(*texts));
	if (texts)
		t->texts = texts;
	if (!slots || !texts) {
		free(slots);
		return -ENOMEM;
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	for (size_t i = 0; i < t->n; i++) {
		size_t at = slot_of(t, t->texts[i]);
		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = (uint32_t)i + 1;
	}
	return 0;
}

int64_t text_table_add(struct text_table *t, const char *text)
{
	if (grow(t) < 0)
		return -ENOMEM;
	size_t at = slot_of(t, text);
	for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1))
		if (strcmp(t->texts[t->slots[at] - 1], text) == 0)
			return t->slots[at] - 1;
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	t->texts[t->n] = copy;
	t->slots[at] = (uint32_t)++t->n;
	return (int64_t)t->n - 1;
}

void text_table_deinit(struct text_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->texts[i]);
	free(t->texts);
	free(t->slots);
	*t = (struct text_table){0};
}
