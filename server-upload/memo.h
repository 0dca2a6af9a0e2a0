/* What number something of the window has in the part that is being written: set once for each thing, taken back when a sample turns out not to fit,
 * and forgotten at the end of the part at the cost of what was set. */
#ifndef HEARTH_SERVER_UPLOAD_MEMO_H
#define HEARTH_SERVER_UPLOAD_MEMO_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct memo {
	uint32_t *values; /* + 1; 0: not set */
	uint32_t *journal;
	size_t n_journal; /* as many as are set: it cannot be longer than values */
};

static inline int memo_init(struct memo *m, size_t n)
{
	m->values = calloc(n + 1, sizeof(m->values[0]));
	m->journal = malloc((n + 1) * sizeof(m->journal[0]));
	m->n_journal = 0;
	return m->values && m->journal ? 0 : -ENOMEM;
}

static inline bool memo_get(const struct memo *m, size_t at, uint32_t *value_out)
{
	*value_out = m->values[at] - 1;
	return m->values[at];
}

/* at is not set yet. value: not UINT32_MAX. Returns value. */
static inline uint32_t memo_set(struct memo *m, size_t at, uint32_t value)
{
	m->values[at] = value + 1;
	m->journal[m->n_journal++] = (uint32_t)at;
	return value;
}

/* Back to what it was when n_journal was n. */
static inline void memo_cut(struct memo *m, size_t n)
{
	while (m->n_journal > n)
		m->values[m->journal[--m->n_journal]] = 0;
}

static inline void memo_deinit(struct memo *m)
{
	free(m->values);
	free(m->journal);
}

#endif
