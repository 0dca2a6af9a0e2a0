#include "web/label_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add_value(struct label_key *key, const char *text, int64_t value)
{
	int64_t number = text_table_add(&key->values, text);

	if (number < 0)
		return (int)number;
	if ((size_t)number >= key->capacity) {
		size_t capacity = 2 * (size_t)number + 64;
		int64_t *totals = realloc(key->totals, capacity * sizeof(*totals));
		if (!totals)
			return -ENOMEM;
		memset(totals + key->capacity, 0, (capacity - key->capacity) * sizeof(*totals));
		key->totals = totals;
		key->capacity = capacity;
	}
	key->totals[number] = (int64_t)((uint64_t)key->totals[number] + (uint64_t)value);
	return 0;
}

static int add_label(struct label_totals *t, const struct store_label *label, int64_t value)
{
	int64_t number;

	if (t->only && strcmp(label->key, t->only) != 0)
		return 0;
	if (t->names.n == LABEL_KEYS_MAX) {
		for (number = 0; number < LABEL_KEYS_MAX; number++)
			if (strcmp(t->names.texts[number], label->key) == 0)
				break;
		if (number == LABEL_KEYS_MAX)
			return 0;
	} else {
		number = text_table_add(&t->names, label->key);
		if (number < 0)
			return (int)number;
	}
	t->keys[number].key = t->names.texts[number];
	return add_value(&t->keys[number], label->text, value);
}

int label_totals_add(void *context, const struct store_label_total *total)
{
	struct label_totals *t = context;

	t->total = (int64_t)((uint64_t)t->total + (uint64_t)total->value);
	for (size_t i = 0; i < total->n; i++) {
		int err = add_label(t, &total->labels[i], total->value);
		if (err < 0)
			return err;
	}
	return 0;
}

static int by_total(const void *a, const void *b)
{
	const struct label_value *x = a, *y = b;

	return x->total != y->total ? (x->total > y->total ? -1 : 1) : strcmp(x->value, y->value);
}

int label_totals_sorted(const struct label_key *key, struct label_value **values_out)
{
	struct label_value *values = malloc((key->values.n + 1) * sizeof(*values));

	if (!values)
		return -ENOMEM;
	for (size_t i = 0; i < key->values.n; i++)
		values[i] = (struct label_value){key->values.texts[i], key->totals[i]};
	qsort(values, key->values.n, sizeof(*values), by_total);
	*values_out = values;
	return 0;
}

void label_totals_deinit(struct label_totals *t)
{
	for (size_t i = 0; i < t->names.n; i++) {
		text_table_deinit(&t->keys[i].values);
		free(t->keys[i].totals);
	}
	text_table_deinit(&t->names);
	*t = (struct label_totals){0};
}
