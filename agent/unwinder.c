#include "agent/unwinder.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"

#define EPOCH_NS	    (5 * NS_PER_S) /* what was not sampled for this long may be given up for something that is */
#define PENDING_BUDGET_BYTES (16u << 20)
#define RESULTS_BUDGET_BYTES (16u << 20)

/* A finished walk, until its sample is drained. */
struct result {
	uint64_t id;
	uint64_t drain;
	struct mapset *mappings; /* that it was walked by: a reference, or NULL */
	UT_hash_handle hh;
	struct deferred_stack stack; /* cut behind its frames */
};

/* A walk whose process or mapping was not known yet. */
struct pending {
	struct pending *next;
	size_t bytes;
	struct deferred_record record; /* followed by the stack */
};

struct unwinder {
	struct sampler *sampler;
	struct process_table *processes;
	struct sampler_unwind maps;
	struct unwind_memory *memory;
	struct unwind_images *images;
	struct unwind_spaces *spaces;
	struct deferred_walker *walker;
	struct ring_buffer *ring;
	uint32_t epoch;
	uint64_t epoch_ns;
	uint64_t window, records_epoch; /* of the work at hand */
	struct result *results;
	size_t results_bytes;
	struct pending *pending, **pending_end;
	size_t pending_bytes;
	uint64_t drain;
	struct deferred_stack scratch;
	uint64_t requests;
};

static void settle(void *context)
{
	struct unwinder *u = context;

	sampler_settle(u->sampler);
	unwind_memory_settle(u->memory);
}

static void forget_mappings(void *context, struct process *process)
{
	struct unwinder *u = context;

	unwind_spaces_unload(u->spaces, process);
}

static int on_record(void *context, void *data, size_t bytes);

static int create_parts(struct unwinder *u, struct image_table *images, struct symbolizer *symbolizer, uint64_t budget_bytes)
{
	struct unwind_chunk_source chunks = {sampler_chunk_create, sampler_chunk_destroy, u->sampler};

	int err = unwind_memory_create(budget_bytes, &chunks, &u->memory);
	if (err == 0)
		err = unwind_images_create(symbolizer, u->memory, u->maps.slots, u->maps.n_slots, &u->epoch, settle, u,
					   &u->images);
	if (err < 0)
		return err;
	struct unwind_spaces_options spaces = {
		.images = images,
		.tables = u->images,
		.memory = u->memory,
		.slots = u->maps.mapsets,
		.n_slots = u->maps.n_mapsets,
		.processes_fd = u->maps.processes_fd,
		.epoch = &u->epoch,
		.settle = settle,
		.context = u,
	};
	err = unwind_spaces_create(&spaces, &u->spaces);
	if (err == 0)
		err = deferred_walker_create(symbolizer, images, u->images, u->memory, u->maps.slots, u->maps.n_slots,
					     &u->epoch, &u->walker);
	if (err < 0)
		return err;
	u->ring = ring_buffer__new(u->maps.deferrals_fd, on_record, u, NULL);
	return u->ring ? 0 : -errno;
}

int unwinder_create(struct sampler *sampler, struct image_table *images, struct symbolizer *symbolizer,
		    struct process_table *processes, uint64_t budget_bytes, struct unwinder **unwinder_out)
{
	struct unwinder *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->sampler = sampler;
	u->processes = processes;
	u->pending_end = &u->pending;
	u->epoch = 1;
	sampler_unwind(sampler, &u->maps);
	*u->maps.epoch = u->epoch;
	int err = create_parts(u, images, symbolizer, budget_bytes);
	if (err < 0) {
		unwinder_destroy(u);
		return err;
	}
	process_table_watch(processes, forget_mappings, u);
	*unwinder_out = u;
	return 0;
}

int unwinder_fd(const struct unwinder *u)
{
	return ring_buffer__epoll_fd(u->ring);
}

static void keep_result(struct unwinder *u, uint64_t id, struct mapset *mappings)
{
	size_t bytes = offsetof(struct result, stack) + offsetof(struct deferred_stack, frames) +
		       u->scratch.n * sizeof(u->scratch.frames[0]);
	struct result *known;

	HASH_FIND(hh, u->results, &id, sizeof(id), known);
	if (known || u->results_bytes + bytes > RESULTS_BUDGET_BYTES)
		return;
	struct result *result = malloc(bytes);
	if (!result)
		return;
	result->id = id;
	result->drain = u->drain;
	result->mappings = mappings ? mapset_ref(mappings) : NULL;
	memcpy(&result->stack, &u->scratch, bytes - offsetof(struct result, stack));
	HASH_ADD(hh, u->results, id, sizeof(id), result);
	u->results_bytes += bytes;
}

static void drop_result(struct unwinder *u, struct result *result)
{
	u->results_bytes -= offsetof(struct result, stack) + offsetof(struct deferred_stack, frames) +
			    result->stack.n * sizeof(result->stack.frames[0]);
	HASH_DEL(u->results, result);
	mapset_unref(result->mappings);
	free(result);
}

static void keep_pending(struct unwinder *u, const struct deferred_record *record, const uint8_t *stack)
{
	size_t bytes = sizeof(struct pending) + record->n_bytes;

	if (u->pending_bytes + bytes > PENDING_BUDGET_BYTES)
		return;
	struct pending *pending = malloc(bytes);
	if (!pending)
		return;
	pending->next = NULL;
	pending->bytes = bytes;
	pending->record = *record;
	memcpy(pending + 1, stack, record->n_bytes);
	*u->pending_end = pending;
	u->pending_end = &pending->next;
	u->pending_bytes += bytes;
}

/* Put into the kernel what this walk lacked, for the samples to come. */
static void load_for(struct unwinder *u, struct process *process, const struct deferred_record *record)
{
	/* Who forks many short-lived children without an exec, and waits for them, is not sampled itself: what it has, they inherit. */
	struct process *parent = process_table_find(u->processes, process->parent, record->time_ns, u->window, u->records_epoch);
	if (parent && parent->mappings == process->mappings && parent->end_ns == UINT64_MAX && !parent->in_kernel)
		unwind_spaces_load(u->spaces, parent, record->exec_id, record->exec_pages);
	if (process->end_ns != UINT64_MAX || process->is_kernel_thread)
		return;
	if (record->end == END_NO_PROCESS || record->end == END_NO_MAPPING)
		unwind_spaces_load(u->spaces, process, record->exec_id, record->exec_pages);
	else if (record->end == END_NO_TABLE)
		unwind_spaces_reload(u->spaces, process, record->exec_id, record->exec_pages);
}

/* first: the process may become known later. Returns false when the walk should be tried again then. */
static bool finish(struct unwinder *u, const struct deferred_record *record, const uint8_t *stack, bool first)
{
	struct process *process =
		process_table_find(u->processes, (int32_t)record->tgid, record->time_ns, u->window, u->records_epoch);

	deferred_walk(u->walker, process, record, stack, &u->scratch);
	/* Its code may have been replaced between the sample and now: no stack is better than another library's. */
	if (process && process->replaced_ns > record->time_ns) {
		u->scratch.n = 0;
		u->scratch.end = END_NO_PROCESS;
		first = false;
	}
	if (process)
		load_for(u, process, record);
	if (first && (u->scratch.end == END_NO_PROCESS || u->scratch.end == END_NO_MAPPING))
		return false;
	keep_result(u, record->id, process ? process->mappings : NULL);
	return true;
}

static int on_record(void *context, void *data, size_t bytes)
{
	const struct deferred_record *record = data;
	struct unwinder *u = context;

	if (bytes < sizeof(*record) || record->n_bytes > bytes - sizeof(*record))
		return 0;
	u->requests += record->end == END_NO_PROCESS || record->end == END_NO_MAPPING || record->end == END_NO_TABLE;
	const uint8_t *stack = (const uint8_t *)(record + 1);
	if (!finish(u, record, stack, true))
		keep_pending(u, record, stack);
	return 0;
}

/* Whether windows are long or short: what is wanted now must find room. */
static void advance_epoch(struct unwinder *u)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (now_ns - u->epoch_ns < EPOCH_NS)
		return;
	u->epoch_ns = now_ns;
	*u->maps.epoch = ++u->epoch;
	unwind_spaces_end_window(u->spaces);
}

void unwinder_work(struct unwinder *u, uint64_t window, uint64_t epoch)
{
	advance_epoch(u);
	u->window = window;
	u->records_epoch = epoch;
	ring_buffer__consume(u->ring);
}

static void finish_pending(struct unwinder *u)
{
	while (u->pending) {
		struct pending *pending = u->pending;
		finish(u, &pending->record, (const uint8_t *)(pending + 1), false);
		u->pending = pending->next;
		free(pending);
	}
	u->pending_end = &u->pending;
	u->pending_bytes = 0;
}

void unwinder_begin_drain(struct unwinder *u, uint64_t window, uint64_t epoch)
{
	unwind_memory_settle(u->memory);
	unwinder_work(u, window, epoch);
	finish_pending(u);
}

void unwinder_find(const struct unwinder *u, uint64_t walk, struct unwinder_walk *walk_out)
{
	struct result *result = NULL;

	if (walk >= WALK_DEFERRED)
		HASH_FIND(hh, u->results, &walk, sizeof(walk), result);
	walk_out->deferred = result ? &result->stack : NULL;
	walk_out->mappings = result			? result->mappings
			     : walk < WALK_DEFERRED && walk ? unwind_spaces_mappings(u->spaces, (uint32_t)walk)
							    : NULL;
}

void unwinder_end_drain(struct unwinder *u)
{
	struct result *result, *next;

	/* A record may come before its sample is drained, by one drain. */
	HASH_ITER(hh, u->results, result, next)
		if (result->drain < u->drain)
			drop_result(u, result);
	unwind_spaces_end_drain(u->spaces);
	u->drain++;
}

void unwinder_stats(const struct unwinder *u, struct unwinder_stats *stats_out)
{
	struct unwinder_stats stats = {
		.memory_used = unwind_memory_used(u->memory),
		.memory_allocated = unwind_memory_allocated(u->memory),
		.memory_budget = unwind_memory_budget(u->memory),
		.requests = u->requests,
	};

	unwind_images_stats(u->images, &stats.images);
	unwind_spaces_stats(u->spaces, &stats.spaces);
	deferred_walk_stats(u->walker, &stats.walks);
	*stats_out = stats;
}

void unwinder_destroy(struct unwinder *u)
{
	struct result *result, *next;

	if (!u)
		return;
	process_table_watch(u->processes, NULL, NULL);
	HASH_ITER(hh, u->results, result, next)
		drop_result(u, result);
	while (u->pending) {
		struct pending *pending = u->pending;
		u->pending = pending->next;
		free(pending);
	}
	ring_buffer__free(u->ring);
	deferred_walker_destroy(u->walker);
	unwind_spaces_destroy(u->spaces);
	unwind_images_destroy(u->images);
	unwind_memory_destroy(u->memory);
	free(u);
}
