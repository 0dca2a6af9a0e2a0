#include "pprof/flame_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/scope.h"

#define NODES_MIN     1024
#define NODES_MAX     (1u << 31)
#define BLOCK_SAMPLES 512
#define PROCESSES     1024 /* slots of the cache of processes' frames */

/* Samples are put in by blocks, and of each block one level after another: the look-ups of a level do not wait for each other, so that the memory they wait for comes
 * for many at once. One sample after another, frame by frame, takes three times as long on a large tree. */
struct block {
	uint32_t *frames; /* of all samples, each from the root down */
	size_t frames_capacity;
	size_t n;
	struct {
		uint32_t begin, end; /* its frames that are not in the tree yet */
		uint32_t node, sample;
		int64_t amount;
	} samples[BLOCK_SAMPLES];
	size_t slots[BLOCK_SAMPLES]; /* of the level at hand */
};

/* Whose samples are put in. */
struct source {
	const struct profile *p;
	struct frame_map map;
	uint32_t value;
	int64_t *self; /* of nodes: the build's self or base_self */
	bool is_base;
	uint32_t first_maker;
	int64_t room; /* till sums are full */
	struct {
		uint32_t labels, n_labels, frame; /* frame + 1; 0: none */
		bool known;
	} processes[PROCESSES];
};

struct adding {
	struct flame_build *b;
	const struct flame_options *options;
	struct source *source;
	struct block block;
	uint32_t function; /* name's number; of options->function */
	bool has_function; /* some frame has that name */
};

/* --- nodes --------------------------------------------------------------------------------------------------- */

static size_t hash_of(const struct flame_build *b, uint32_t parent, uint32_t frame)
{
	uint64_t key = ((uint64_t)parent << 32 | frame) ^ b->seed;

	key = (key ^ key >> 32) * b->factor;
	return (key ^ key >> 29) * 0x9e3779b97f4a7c15u >> 20 & (b->n_slots - 1);
}

static int grow(void *array, size_t n, size_t entry_bytes)
{
	void **pointer = array, *grown = realloc(*pointer, n * entry_bytes);

	if (!grown)
		return -ENOMEM;
	*pointer = grown;
	return 0;
}

static int grow_slots(struct flame_build *b, size_t n_slots)
{
	struct flame_slot *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(b->slots);
	b->slots = slots;
	b->n_slots = n_slots;
	for (uint32_t i = 1; i < b->n; i++) {
		size_t at = hash_of(b, b->keys[i].parent, b->keys[i].frame);
		while (slots[at].node)
			at = (at + 1) & (n_slots - 1);
		slots[at] = (struct flame_slot){b->keys[i].parent, b->keys[i].frame, i};
	}
	return 0;
}

/* Room for more nodes. */
static int reserve(struct flame_build *b, size_t more)
{
	if (b->n + more > NODES_MAX)
		return -E2BIG;
	if (b->n + more > b->capacity) {
		size_t capacity = b->capacity ? b->capacity + b->capacity / 2 : NODES_MIN;
		if (grow(&b->keys, capacity, sizeof(b->keys[0])) < 0 || grow(&b->makers, capacity, sizeof(b->makers[0])) < 0 ||
		    grow(&b->self, capacity, sizeof(b->self[0])) < 0 || (b->has_base && grow(&b->base_self, capacity, sizeof(b->base_self[0])) < 0))
			return -ENOMEM;
		b->capacity = capacity;
	}
	if ((b->n + more) * 4 > b->n_slots * 3)
		return grow_slots(b, b->n_slots ? 2 * b->n_slots : 2 * NODES_MIN);
	return 0;
}

static uint32_t make_node(struct flame_build *b, uint32_t parent, uint32_t frame, uint32_t maker)
{
	b->keys[b->n] = (struct flame_node_key){parent, frame};
	b->makers[b->n] = maker;
	b->self[b->n] = 0;
	if (b->has_base)
		b->base_self[b->n] = 0;
	return (uint32_t)b->n++;
}

/* --- samples of a block -------------------------------------------------------------------------------------- */

/* One level down: those that end here go out. */
static void add_level(struct flame_build *b, struct block *k)
{
	for (size_t i = 0; i < k->n; i++) {
		k->slots[i] = hash_of(b, k->samples[i].node, k->frames[k->samples[i].begin]);
		__builtin_prefetch(&b->slots[k->slots[i]]);
	}
	for (size_t i = 0; i < k->n; i++) {
		uint32_t parent = k->samples[i].node, frame = k->frames[k->samples[i].begin++];
		struct flame_slot *slot = &b->slots[k->slots[i]];
		while (slot->node && (slot->parent != parent || slot->frame != frame))
			slot = slot + 1 == b->slots + b->n_slots ? b->slots : slot + 1;
		if (!slot->node)
			*slot = (struct flame_slot){parent, frame, make_node(b, parent, frame, k->samples[i].sample)};
		k->samples[i].node = slot->node;
	}
}

static size_t end_stacks(struct source *source, struct block *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++) {
		if (k->samples[i].begin == k->samples[i].end)
			source->self[k->samples[i].node] += k->samples[i].amount;
		else
			k->samples[n++] = k->samples[i];
	}
	k->n = n;
	return n;
}

static int add_block(struct adding *a)
{
	struct block *k = &a->block;

	for (;;) {
		/* The arrays may move where there is room made for more. */
		int err = reserve(a->b, k->n);
		if (err < 0)
			return err;
		a->source->self = a->source->is_base ? a->b->base_self : a->b->self;
		if (!end_stacks(a->source, k))
			return 0;
		add_level(a->b, k);
	}
}

/* --- stacks of samples --------------------------------------------------------------------------------------- */

/* The frame of the label "process", + 1; 0: it has none. Neighbours mostly share their labels. */
static int64_t process_frame(struct adding *a, const struct profile_sample *sample)
{
	struct source *s = a->source;
	size_t at = sample->first_label % PROCESSES;

	if (s->processes[at].known && s->processes[at].labels == sample->first_label && s->processes[at].n_labels == sample->n_labels)
		return s->processes[at].frame;
	const char *process = profile_label_string(s->p, sample, "process");
	int64_t frame = *process ? frame_set_process(&a->b->frames, process) : -1;
	if (frame < 0 && *process)
		return frame;
	s->processes[at].known = true;
	s->processes[at].labels = sample->first_label;
	s->processes[at].n_labels = sample->n_labels;
	s->processes[at].frame = (uint32_t)(frame + 1);
	return frame + 1;
}

struct stack {
	uint32_t *frames;
	size_t n;
	bool begun, cut;
};

static bool put_frame(const struct adding *a, struct stack *stack, uint32_t frame)
{
	if (!stack->begun && a->b->frames.frames[frame].name != a->function)
		return true;
	stack->begun = true;
	if (stack->n == FLAME_DEPTH_MAX) {
		stack->cut = true;
		return false;
	}
	stack->frames[stack->n++] = frame;
	return true;
}

static void put_from_root(const struct adding *a, const struct profile_sample *sample, struct stack *stack)
{
	const struct source *s = a->source;

	for (uint32_t i = sample->n_locations; i-- > 0;) {
		uint32_t location = s->p->stack_locations[sample->first_location + i];
		for (uint32_t at = s->map.first[location + 1]; at-- > s->map.first[location];)
			if (!put_frame(a, stack, s->map.frames[at]))
				return;
	}
}

static void put_from_leaf(const struct adding *a, const struct profile_sample *sample, struct stack *stack)
{
	const struct source *s = a->source;

	for (uint32_t i = 0; i < sample->n_locations; i++) {
		uint32_t location = s->p->stack_locations[sample->first_location + i];
		for (uint32_t at = s->map.first[location]; at < s->map.first[location + 1]; at++)
			if (!put_frame(a, stack, s->map.frames[at]))
				return;
	}
}

/* Put a sample into the block. */
static int take_sample(struct adding *a, uint32_t index, int64_t amount)
{
	const struct profile_sample *sample = &a->source->p->samples[index];
	struct block *k = &a->block;
	size_t begin = k->n ? k->samples[k->n - 1].end : 0;
	struct stack stack = {.begun = !a->options->function};

	if (begin + FLAME_DEPTH_MAX + 1 > k->frames_capacity) {
		size_t capacity = begin + BLOCK_SAMPLES * 64 + 2 * FLAME_DEPTH_MAX;
		if (grow(&k->frames, capacity, sizeof(k->frames[0])) < 0)
			return -ENOMEM;
		k->frames_capacity = capacity;
	}
	stack.frames = k->frames + begin;
	if (!a->options->no_process && !a->options->function) {
		int64_t process = process_frame(a, sample);
		if (process < 0)
			return (int)process;
		if (process)
			stack.frames[stack.n++] = (uint32_t)process - 1;
	}
	if (a->options->from_leaf)
		put_from_leaf(a, sample, &stack);
	else
		put_from_root(a, sample, &stack);
	if (!stack.begun)
		return 0;
	a->b->n_cut += stack.cut;
	k->samples[k->n].begin = (uint32_t)begin;
	k->samples[k->n].end = (uint32_t)(begin + stack.n);
	k->samples[k->n].node = 0;
	k->samples[k->n].sample = a->source->first_maker + index;
	k->samples[k->n++].amount = amount;
	return k->n == BLOCK_SAMPLES ? add_block(a) : 0;
}

static int add_source(struct adding *a)
{
	struct source *s = a->source;

	if (s->p->n_samples >= UINT32_MAX - s->first_maker)
		return -E2BIG;
	if (a->options->function && !a->has_function)
		return 0;
	for (uint32_t i = 0; i < s->p->n_samples; i++) {
		int64_t amount = s->p->values[(size_t)i * s->p->n_sample_types + s->value];
		if (amount <= 0)
			continue;
		amount = amount < s->room ? amount : s->room; /* sums of a hostile profile would not fit */
		s->room -= amount;
		int err = take_sample(a, i, amount);
		if (err < 0)
			return err;
	}
	return add_block(a);
}

/* --- both profiles ------------------------------------------------------------------------------------------- */

static int add_sources(struct adding *a, struct source *sources, size_t n)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < n; i++)
		err = frame_set_add(&a->b->frames, sources[i].p, &sources[i].map);
	if (err < 0)
		return err;
	if (a->options->function) {
		int64_t name = string_set_find(&a->b->frames.names, a->options->function);
		a->has_function = name >= 0;
		a->function = a->has_function ? (uint32_t)name : 0;
	}
	for (size_t i = 0; err == 0 && i < n; i++) {
		a->source = &sources[i];
		err = add_source(a);
	}
	return err;
}

static int build(struct flame_build *b, const struct profile *profile, uint32_t value, const struct flame_options *options)
{
	AUTO_FREE struct adding *a = calloc(1, sizeof(*a));
	AUTO_FREE struct source *sources = calloc(2, sizeof(*sources));
	int64_t base_value = options->base ? profile_value_like(options->base, profile, value) : 0;

	if (base_value < 0)
		return (int)base_value;
	if (!a || !sources)
		return -ENOMEM;
	*a = (struct adding){.b = b, .options = options};
	sources[0] = (struct source){.p = profile, .value = value, .room = INT64_MAX};
	sources[1] = (struct source){
		.p = options->base, .value = (uint32_t)base_value, .is_base = true, .first_maker = (uint32_t)profile->n_samples, .room = INT64_MAX};
	int64_t root = frame_set_process(&b->frames, "all");
	int err = root < 0 ? (int)root : profile->n_samples >= UINT32_MAX ? -E2BIG : reserve(b, 1);
	if (err == 0) {
		make_node(b, 0, (uint32_t)root, 0);
		err = add_sources(a, sources, options->base ? 2 : 1);
	}
	frame_map_deinit(&sources[0].map);
	frame_map_deinit(&sources[1].map);
	free(a->block.frames);
	return err;
}

int flame_build_init(struct flame_build *b, const struct profile *profile, uint32_t value, const struct flame_options *options)
{
	*b = (struct flame_build){.has_base = options->base};
	if (getrandom(&b->seed, sizeof(b->seed), 0) != (ssize_t)sizeof(b->seed) || getrandom(&b->factor, sizeof(b->factor), 0) != (ssize_t)sizeof(b->factor))
		return -EIO;
	b->factor |= 1;
	int err = frame_set_init(&b->frames, !options->base);
	return err < 0 ? err : build(b, profile, value, options);
}

void flame_build_deinit(struct flame_build *b)
{
	frame_set_deinit(&b->frames);
	free(b->keys);
	free(b->makers);
	free(b->self);
	free(b->base_self);
	free(b->slots);
}
