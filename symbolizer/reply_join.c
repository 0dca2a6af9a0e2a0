#include "symbolizer/reply_join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int symbolizer_reply_join(struct symbolizer_reply *first)
{
	size_t n_answers = 0, n_frames = 0;

	if (!first->parts)
		return 0;
	for (const struct symbolizer_reply *part = first; part; part = part->parts) {
		n_answers += part->n_answers;
		n_frames += part->n_frames;
	}
	if (n_frames > UINT32_MAX)
		return -E2BIG;
	struct symbolizer_answer *answers = reallocarray(NULL, n_answers + 1, sizeof(*answers));
	struct symbolizer_frame *frames = reallocarray(NULL, n_frames + 1, sizeof(*frames));
	if (!answers || !frames) {
		free(answers);
		free(frames);
		return -ENOMEM;
	}
	n_answers = n_frames = 0;
	for (struct symbolizer_reply *part = first; part; part = part->parts) {
		memcpy(frames + n_frames, part->frames, part->n_frames * sizeof(*frames));
		for (size_t i = 0; i < part->n_answers; i++) {
			answers[n_answers] = part->answers[i];
			answers[n_answers++].first += (uint32_t)n_frames;
		}
		n_frames += part->n_frames;
		first->table_damaged |= part->table_damaged;
		free(part->answers);
		free(part->frames);
		part->answers = NULL;
		part->frames = NULL;
		part->n_answers = part->n_frames = 0;
	}
	first->answers = answers;
	first->n_answers = n_answers;
	first->frames = frames;
	first->n_frames = n_frames;
	return 0;
}
