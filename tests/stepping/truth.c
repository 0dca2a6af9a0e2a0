#include "tests/stepping/truth.h"

#include <errno.h>
#include <stdlib.h>

#define NEAR_BYTES (256u << 10) /* a register's value this far below a stack is the same stack: a large frame */

static struct truth_stack *add_stack(struct truth *t, uint64_t sp)
{
	struct truth_stack *stack = calloc(1, sizeof(*stack));

	if (!stack)
		return NULL;
	stack->low = stack->high = sp;
	stack->next = t->stacks;
	t->stacks = stack;
	return stack;
}

static bool holds(const struct truth_stack *stack, uint64_t sp)
{
	return sp >= stack->low && sp <= stack->high;
}

/* Memory that is another stack now: what was known of it is not true any more. */
static void forget(struct truth_stack *stack)
{
	stack->n = 0;
	stack->low = UINT64_MAX;
	stack->high = 0;
	stack->has_root = false;
	stack->below = NULL;
}

static void widen(struct truth *t, struct truth_stack *stack, uint64_t sp)
{
	if (sp < stack->low)
		stack->low = sp;
	if (sp > stack->high)
		stack->high = sp;
	for (struct truth_stack *other = t->stacks; other; other = other->next)
		if (other != stack && other->low <= stack->high && other->high >= stack->low)
			forget(other);
}

struct truth_stack *truth_begin(struct truth *t, uint64_t sp)
{
	struct truth_stack *stack = truth_move(t, NULL, sp, MOVE_MEMORY);

	if (stack) {
		forget(stack);
		stack->low = stack->high = sp;
		stack->has_root = true;
	}
	return stack;
}

static struct truth_stack *find(struct truth *t, uint64_t sp)
{
	for (struct truth_stack *stack = t->stacks; stack; stack = stack->next)
		if (holds(stack, sp))
			return stack;
	return add_stack(t, sp);
}

static bool stays(const struct truth_stack *now, uint64_t sp, enum truth_move move)
{
	if (!now)
		return false;
	if (move == MOVE_LOCAL || holds(now, sp))
		return true;
	return move == MOVE_REGISTER && sp < now->low && now->low - sp < NEAR_BYTES;
}

struct truth_stack *truth_move(struct truth *t, struct truth_stack *now, uint64_t sp, enum truth_move move)
{
	struct truth_stack *stack = stays(now, sp, move) ? now : find(t, sp);

	if (!stack)
		return NULL;
	if (stack != now && now && now->below) { /* a handler was left */
		now->n = 0;
		now->below = NULL;
	}
	if (!holds(stack, sp))
		widen(t, stack, sp);
	while (stack->n && stack->frames[stack->n - 1].slot < sp)
		stack->n--;
	return stack;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

int truth_push(struct truth_stack *stack, uint64_t slot, uint64_t pc)
{
	if (stack->n == stack->capacity) {
		size_t capacity = stack->capacity ? 2 * stack->capacity : 64;
		struct truth_frame *grown = realloc(stack->frames, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		stack->frames = grown;
		stack->capacity = capacity;
	}
	stack->frames[stack->n] = (struct truth_frame){slot, pc, mix(mix(truth_hash(stack), slot), pc)};
	stack->n++;
	return 0;
}

struct truth_stack *truth_signal(struct truth *t, struct truth_stack *now, uint64_t sp, uint64_t restorer,
				 uint64_t interrupted_slot, uint64_t interrupted_pc)
{
	bool is_near = sp < now->high && now->low - sp < NEAR_BYTES;
	struct truth_stack *stack = is_near || holds(now, sp) ? now : find(t, sp);

	if (!stack)
		return NULL;
	if (stack != now) {
		stack->n = 0;
		stack->below = now;
	}
	widen(t, stack, sp);
	widen(t, stack, interrupted_slot);
	if (truth_push(stack, interrupted_slot, interrupted_pc) < 0 || truth_push(stack, sp, restorer) < 0)
		return NULL;
	return stack;
}

size_t truth_chain(const struct truth_stack *stack, struct truth_frame *frames, size_t max, bool *complete_out)
{
	size_t n = 0;

	*complete_out = false;
	for (unsigned depth = 0; stack && depth < 16; stack = stack->below, depth++) {
		for (size_t i = stack->n; i-- > 0;) {
			if (n == max)
				return n;
			frames[n++] = stack->frames[i];
		}
		if (!stack->below)
			*complete_out = stack->has_root;
	}
	return n;
}

uint64_t truth_hash(const struct truth_stack *stack)
{
	if (stack->n)
		return stack->frames[stack->n - 1].hash;
	return stack->below ? truth_hash(stack->below) : 0x243f6a8885a308d3ULL + stack->has_root;
}

void truth_deinit(struct truth *t)
{
	while (t->stacks) {
		struct truth_stack *stack = t->stacks;
		t->stacks = stack->next;
		free(stack->frames);
		free(stack);
	}
}
