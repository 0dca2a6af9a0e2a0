#include "symbolizer/kept_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/records.h"
#include "symbolizer/libunwind_walk.h"

_Static_assert(SYMBOLIZER_REGISTERS == LIBUNWIND_REGISTERS, "the same registers");

struct kept_walk {
	struct libunwind_walk *walk;
	const struct symbolizer_walk *request; /* at hand: its images */
	uint64_t number;		       /* 0: there is none to go on with */
	int ended;			       /* what the last step returned: 1 while there are callers */
	uint32_t depth;			       /* frames that it came to: the cursor is at the last one */
	uint64_t pcs[USER_FRAMES_MAX + 1];     /* of these */
	uint64_t registers[SYMBOLIZER_REGISTERS];
	uint8_t stack[DEFERRED_STACK_MAX];
};

int kept_walk_create(struct kept_walk **walk_out)
{
	struct kept_walk *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	int err = libunwind_walk_create(&w->walk);
	if (err < 0) {
		free(w);
		return err;
	}
	*walk_out = w;
	return 0;
}

static const struct symbolizer_walk_image *image_of(const struct symbolizer_walk *walk, uint64_t pc)
{
	for (size_t i = 0; i < walk->n_images; i++)
		if (pc >= walk->images[i].start && pc < walk->images[i].end)
			return &walk->images[i];
	return NULL;
}

static int find_image(void *context, uint64_t pc, int *fd_out, uint64_t *bias_out)
{
	const struct kept_walk *w = context;
	const struct symbolizer_walk_image *image = image_of(w->request, pc);

	if (!image)
		return -ENOENT;
	*fd_out = image->fd;
	*bias_out = image->bias;
	return 0;
}

static int begin(struct kept_walk *w, const struct symbolizer_walk *walk)
{
	struct libunwind_input input = {
		.registers = w->registers,
		.pc = walk->frames[0],
		.stack = w->stack,
		.stack_address = walk->stack_address,
		.stack_bytes = walk->stack_bytes,
		.find_image = find_image,
		.context = w,
	};

	w->number = 0;
	if (walk->stack_bytes > sizeof(w->stack))
		return -E2BIG;
	memcpy(w->registers, walk->registers, sizeof(w->registers));
	if (walk->stack_bytes)
		memcpy(w->stack, walk->stack, walk->stack_bytes);
	w->pcs[0] = walk->frames[0];
	w->depth = 1;
	w->ended = 1;
	int err = libunwind_walk_begin(w->walk, &input);
	if (err == 0)
		w->number = walk->number;
	return err;
}

static bool can_go_on(const struct kept_walk *w, const struct symbolizer_walk *walk)
{
	if (!w->number || walk->number != w->number || walk->n_frames < w->depth || walk->frames[0] != w->pcs[0])
		return false;
	for (uint32_t i = 1; i < w->depth; i++)
		if (!symbolizer_is_frame(walk->frames[i], w->pcs[i]))
			return false;
	return true;
}

/* There is room for one frame more than a stack may have. */
static int step(struct kept_walk *w, struct libunwind_frame *frame)
{
	if (w->ended > 0)
		w->ended = libunwind_walk_step(w->walk, frame);
	if (w->ended > 0)
		w->pcs[w->depth++] = frame->pc;
	return w->ended;
}

/* It must see the same frames: where it does not, one of both is wrong. */
static int follow(struct kept_walk *w, const struct symbolizer_walk *walk)
{
	struct libunwind_frame frame;

	while (w->depth < walk->n_frames) {
		int more = step(w, &frame);
		if (more < 0)
			return more;
		if (!more || !symbolizer_is_frame(walk->frames[w->depth - 1], frame.pc))
			return -ESTALE;
	}
	return 0;
}

/* Further callers: in the same image only, of which nothing else is known. */
static int look_up(struct kept_walk *w, const struct symbolizer_walk *walk, struct symbolizer_caller *callers)
{
	uint64_t last = walk->frames[walk->n_frames - 1];
	const struct symbolizer_walk_image *image = image_of(walk, walk->n_frames > 1 ? last - 1 : last);
	struct libunwind_frame frame;
	uint32_t n = 0;

	do {
		int more = step(w, &frame);
		if (more <= 0)
			return n ? (int)n : more; /* told when it is asked for */
		memcpy(callers[n].registers, frame.registers, sizeof(frame.registers));
		callers[n].pc = frame.pc;
		callers[n].exact = frame.exact;
		n++;
	} while (n < walk->n_wanted && w->depth < USER_FRAMES_MAX && image && image_of(walk, frame.pc - !frame.exact) == image);
	return (int)n;
}

int kept_walk_step(struct kept_walk *w, const struct symbolizer_walk *walk, bool goes_on, struct symbolizer_caller *callers_out)
{
	if (goes_on && !can_go_on(w, walk))
		return KEPT_WALK_ANEW;
	w->request = walk;
	int result = goes_on ? 0 : begin(w, walk);
	if (result == 0)
		result = follow(w, walk);
	if (result == 0)
		result = look_up(w, walk, callers_out);
	libunwind_walk_rest(w->walk);
	w->request = NULL;
	if (result <= 0)
		w->number = 0;
	return result;
}

void kept_walk_destroy(struct kept_walk *w)
{
	if (!w)
		return;
	libunwind_walk_destroy(w->walk);
	free(w);
}
