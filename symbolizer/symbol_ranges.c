#include "symbolizer/symbol_ranges.h"
#include "base/scope.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct symbol_range) == 16, "the memory budget counts on it");

/* Aliases: symbols[first] .. +count, with equal vaddr, bytes and rank. */
struct alias_group {
	uint64_t vaddr;
	uint64_t end;
	size_t first;
	size_t count;
};

struct range_builder {
	const struct symbol *symbols;
	struct symbol_range *ranges;
	size_t n_ranges;
	size_t capacity;
	struct alias_group *open; /* a stack: each group lies inside the one below it */
	size_t n_open;
	size_t open_capacity;
	uint64_t named_to; /* ranges are complete up to here */
};

const struct code_range *code_ranges_find(const struct code_range *code, size_t n_code, uint64_t vaddr)
{
	size_t low = 0, high = n_code;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (code[middle].end <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n_code && code[low].start <= vaddr ? &code[low] : NULL;
}

/* Of those that start together the best comes last, on top of the stack. */
static int compare_symbols(const void *left, const void *right)
{
	const struct symbol *a = left, *b = right;

	if (a->vaddr != b->vaddr)
		return a->vaddr < b->vaddr ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? -1 : 1;
	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static size_t drop_covered_labels(struct symbol *symbols, size_t n)
{
	uint64_t covered_to = 0;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		/* Functions sort behind the labels of their own start, and outrank them there. */
		if (symbols[i].label && symbols[i].vaddr < covered_to)
			continue;
		if (!symbols[i].label && symbols[i].bytes && symbols[i].vaddr + symbols[i].bytes > covered_to)
			covered_to = symbols[i].vaddr + symbols[i].bytes;
		symbols[kept++] = symbols[i];
	}
	return kept;
}

/* Where a symbol ends that does not say it, and never behind the end of its code range. */
static void set_sizes(struct symbol *symbols, size_t n, const struct code_range *code, size_t n_code)
{
	uint64_t next = UINT64_MAX; /* start of the first symbol behind this one */
	uint32_t sized = 0;	    /* bytes of a better symbol with the same start */

	for (size_t i = n; i-- > 0;) {
		if (i + 1 < n && symbols[i + 1].vaddr != symbols[i].vaddr) {
			next = symbols[i + 1].vaddr;
			sized = 0;
		}
		/* An alias without a size must not name the gap behind its function. */
		if (!symbols[i].bytes)
			symbols[i].bytes = sized;
		else
			sized = symbols[i].bytes;
		const struct code_range *range = code_ranges_find(code, n_code, symbols[i].vaddr);
		uint64_t limit = range ? range->end : symbols[i].vaddr + 1;
		if (!symbols[i].bytes && next < limit)
			limit = next;
		uint64_t room = limit - symbols[i].vaddr;
		if (room > SYMBOL_BYTES_MAX)
			room = SYMBOL_BYTES_MAX;
		if (!symbols[i].bytes || (range && symbols[i].bytes > room))
			symbols[i].bytes = (uint32_t)room;
	}
}

static int grow(void **array, size_t *capacity, size_t element_bytes)
{
	size_t wanted = *capacity ? *capacity * 2 : 64;
	void *grown = reallocarray(*array, wanted, element_bytes);

	if (!grown)
		return -ENOMEM;
	*array = grown;
	*capacity = wanted;
	return 0;
}

static int emit(struct range_builder *builder, const struct alias_group *group, uint64_t start, uint64_t end)
{
	/* Only a hostile file gets here: functions nested so that every alias returns after each inner one. */
	if (builder->n_ranges + group->count > SYMBOL_RANGES_MAX)
		return 0;
	for (size_t i = 0; i < group->count; i++) {
		const struct symbol *symbol = &builder->symbols[group->first + i];
		if (builder->n_ranges == builder->capacity) {
			void *ranges = builder->ranges;
			int err = grow(&ranges, &builder->capacity, sizeof(*builder->ranges));
			if (err < 0)
				return err;
			builder->ranges = ranges;
		}
		builder->ranges[builder->n_ranges++] = (struct symbol_range){
			.vaddr = start,
			.bytes = (uint32_t)(end - start) & SYMBOL_BYTES_MAX,
			.source = symbol->source & 3U,
			.name = symbol->name,
		};
	}
	return 0;
}

/* Name everything below vaddr. */
static int advance(struct range_builder *builder, uint64_t vaddr)
{
	while (builder->n_open) {
		const struct alias_group *top = &builder->open[builder->n_open - 1];
		uint64_t end = top->end < vaddr ? top->end : vaddr;
		if (end > builder->named_to) {
			int err = emit(builder, top, builder->named_to, end);
			if (err < 0)
				return err;
			builder->named_to = end;
		}
		if (top->end > vaddr)
			break;
		builder->n_open--;
	}
	builder->named_to = vaddr;
	return 0;
}

static int open_group(struct range_builder *builder, const struct alias_group *group)
{
	int err = advance(builder, group->vaddr);

	if (err < 0)
		return err;
	/* What ends under the new group will not be seen again. */
	while (builder->n_open && builder->open[builder->n_open - 1].end <= group->end)
		builder->n_open--;
	if (builder->n_open == builder->open_capacity) {
		void *open = builder->open;
		err = grow(&open, &builder->open_capacity, sizeof(*builder->open));
		if (err < 0)
			return err;
		builder->open = open;
	}
	builder->open[builder->n_open++] = *group;
	return 0;
}

static int sweep(struct range_builder *builder, size_t n)
{
	const struct symbol *symbols = builder->symbols;

	for (size_t i = 0; i < n;) {
		struct alias_group group = { symbols[i].vaddr, symbols[i].vaddr + symbols[i].bytes, i, 1 };
		size_t next = i + 1;
		while (next < n && symbols[next].vaddr == symbols[i].vaddr && symbols[next].bytes == symbols[i].bytes &&
		       symbols[next].rank == symbols[i].rank)
			next++;
		group.count = next - i < SYMBOL_ALIASES_MAX ? next - i : SYMBOL_ALIASES_MAX;
		i = next;
		int err = open_group(builder, &group);
		if (err < 0)
			return err;
	}
	return advance(builder, UINT64_MAX);
}

int symbol_ranges_build(struct symbol *symbols, size_t n, const struct code_range *code, size_t n_code,
			struct symbol_range **ranges_out, size_t *n_out)
{
	struct range_builder builder = { .symbols = symbols };

	if (n)
		qsort(symbols, n, sizeof(*symbols), compare_symbols);
	n = drop_covered_labels(symbols, n);
	set_sizes(symbols, n, code, n_code);
	/* Sizes that were found change the order among those that start together. */
	if (n)
		qsort(symbols, n, sizeof(*symbols), compare_symbols);
	int err = sweep(&builder, n);
	free(builder.open);
	if (err < 0) {
		free(builder.ranges);
		return err;
	}
	struct symbol_range *exact =
		builder.n_ranges ? reallocarray(builder.ranges, builder.n_ranges, sizeof(*exact)) : NULL;
	*ranges_out = exact ? exact : builder.ranges;
	*n_out = builder.n_ranges;
	return 0;
}
