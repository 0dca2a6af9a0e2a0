#include "symbolizer/slow_requests.h"

void slow_requests_begin(struct slow_requests *s, uint64_t allowance_ns)
{
	s->allowance_ns = allowance_ns;
	s->used_ns = 0;
}

void slow_requests_add(struct slow_requests *s, uint64_t key, uint64_t ns)
{
	uint64_t *place = &s->quick[key % SLOW_REQUESTS_KEYS];

	if (ns <= SLOW_REQUEST_NS) {
		if (key)
			*place = key;
		return;
	}
	s->used_ns += ns;
	if (*place == key)
		*place = 0;
}

bool slow_requests_refuses(const struct slow_requests *s, uint64_t key)
{
	return key && s->allowance_ns && s->used_ns >= s->allowance_ns && s->quick[key % SLOW_REQUESTS_KEYS] != key;
}
