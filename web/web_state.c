#include "web/web_state.h"

#include <errno.h>
#include <string.h>

#include "base/text_clean.h"

int web_state_take(const void *payload, size_t n, struct web_state *state)
{
	const uint8_t *at = payload;
	struct web_state_head head;
	struct web_sample sample;

	if (n < sizeof(head))
		return -EBADMSG;
	memcpy(&head, at, sizeof(head));
	at += sizeof(head);
	const char *end = memchr(head.why, 0, sizeof(head.why));
	if (head.n_samples > WEB_SAMPLES_MAX || head.json_bytes > WEB_JSON_MAX || head.is_ready > 1 || !end ||
	    !text_is_clean(head.why, (size_t)(end - head.why)) || n - sizeof(head) != (size_t)head.n_samples * sizeof(sample) + head.json_bytes)
		return -EBADMSG;
	for (size_t i = 0; i < head.n_samples; i++) {
		memcpy(&sample, at + i * sizeof(sample), sizeof(sample));
		if (!web_sample_is_sound(&sample))
			return -EBADMSG;
	}
	const char *json = (const char *)at + head.n_samples * sizeof(sample);
	if (head.json_bytes < 2 || json[0] != '{' || json[head.json_bytes - 1] != '}' || memchr(json, 0, head.json_bytes) ||
	    !text_is_utf8(json, head.json_bytes))
		return -EBADMSG;
	state->head = head;
	state->samples.n = head.n_samples;
	memcpy(state->samples.list, at, head.n_samples * sizeof(sample));
	memcpy(state->json, json, head.json_bytes);
	state->json[head.json_bytes] = '\0';
	return 0;
}
