#include "agent/fold.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/frame_table.h"
#include "agent/frame_names.h"
#include "agent/sample_labels.h"
#include "base/clock.h"
#include "pprof/profile_builder.h"

#define CGROUP_FRESH_NS (10 * NS_PER_S) /* a process may be moved to another cgroup */

/* One stack of the window, before its frames have names. */
struct folded {
	uint64_t hash, check; /* the kernel program's: they cover process, thread name and all pcs */
	uint64_t serial;      /* of the process instance; 0: not known */
	uint64_t count;
	uint64_t first_ns;	     /* of its first sample */
	uint32_t labels; /* set of sample_labels */
	int32_t tgid, parent;
	uint32_t first; /* in stacks: kernel frames, then user frames, leaf first */
	uint16_t n_kernel, n_user;
	uint8_t end; /* enum stack_end */
	bool lost_way;	   /* a caller's pc is in no mapping: what came from there on is not shown */
	bool image_known;
};

/* The profile of the window, while it is built. */
struct building {
	struct profile_builder *builder;
	struct entry_names entries;
	struct frame_names names;
};

struct fold {
	struct fold_options options;
	struct process_table *processes;
	struct image_table *images;
	struct name_sources sources;
	struct unwinder *unwinder;
	uint64_t window, epoch, now_ns;
	struct sample_labels *labels;
	const struct process *process; /* whose stack is at hand */
	uint64_t jit_serial; /* of the process that jit_slot belongs to */
	uint32_t jit_slot;
	struct frame_table frames;
	uint32_t *stacks;
	size_t n_stacks, stacks_capacity;
	struct folded *folded;
	size_t n_folded, folded_capacity;
	uint32_t *slots; /* index into folded + 1, by hash; 0: free */
	size_t n_slots;	 /* a power of two, more than twice n_folded */
	uint32_t *locations; /* of the sample at hand */
	struct building building;
	struct kernel_names kernel;
};

int fold_create(const struct fold_options *options, struct process_table *processes, struct image_table *images,
		const struct name_sources *sources, struct unwinder *unwinder, struct fold **fold_out)
{
	struct fold *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->options = *options;
	f->processes = processes;
	f->images = images;
	f->sources = *sources;
	f->unwinder = unwinder;
	f->n_slots = 1024;
	f->slots = calloc(f->n_slots, sizeof(f->slots[0]));
	f->locations = malloc((KERNEL_FRAMES_MAX + USER_FRAMES_MAX + 3) * sizeof(f->locations[0]));
	int err = f->slots && f->locations ? frame_table_init(&f->frames) : -ENOMEM;
	if (err == 0)
		err = sample_labels_create(&f->labels);
	if (err < 0) {
		fold_destroy(f);
		return err;
	}
	*fold_out = f;
	return 0;
}

void fold_begin_drain(struct fold *f, uint64_t window, uint64_t epoch, uint64_t now_ns)
{
	f->now_ns = now_ns;
	cgroup_names_begin(f->options.cgroups, now_ns);
	f->window = window;
	f->epoch = epoch;
	f->jit_serial = 0; /* each process is seen anew in each window */
}

static int grow_slots(struct fold *f)
{
	size_t n_slots = 2 * f->n_slots;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < f->n_folded; i++) {
		size_t at = f->folded[i].hash & (n_slots - 1);
		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = (uint32_t)i + 1;
	}
	free(f->slots);
	f->slots = slots;
	f->n_slots = n_slots;
	return 0;
}

/* The slot of a stack: of the same one from an earlier drain or another CPU, or a free one. */
static uint32_t *slot_of(struct fold *f, const struct arena_entry *entry, uint64_t serial)
{
	size_t at = entry->hash & (f->n_slots - 1);

	for (; f->slots[at]; at = (at + 1) & (f->n_slots - 1)) {
		const struct folded *known = &f->folded[f->slots[at] - 1];
		if (known->hash == entry->hash && known->check == entry->check && known->serial == serial)
			break;
	}
	return &f->slots[at];
}

static int reserve(struct fold *f, size_t n_frames)
{
	if (2 * (f->n_folded + 1) > f->n_slots && grow_slots(f) < 0)
		return -ENOMEM;
	if (f->n_folded == f->folded_capacity) {
		size_t capacity = f->folded_capacity ? 2 * f->folded_capacity : 256;
		struct folded *grown = realloc(f->folded, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		f->folded = grown;
		f->folded_capacity = capacity;
	}
	if (f->n_stacks + n_frames > f->stacks_capacity) {
		size_t capacity = 2 * f->stacks_capacity + n_frames + 4096;
		uint32_t *grown = realloc(f->stacks, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		f->stacks = grown;
		f->stacks_capacity = capacity;
	}
	return 0;
}

static int push(struct fold *f, enum frame_kind kind, uint32_t image, uint64_t address)
{
	int64_t frame = frame_table_add(&f->frames, kind, image, address);

	if (frame < 0)
		return (int)frame;
	f->stacks[f->n_stacks++] = (uint32_t)frame;
	return 0;
}

/* Code that the process made itself. */
static int push_jit(struct fold *f, const struct folded *stack, uint64_t pc)
{
	if (f->jit_serial != stack->serial) {
		f->jit_slot = jit_files_see(f->sources.jit, f->processes, f->process, f->window);
		f->jit_serial = stack->serial;
	}
	if (f->jit_slot == JIT_NONE)
		return push(f, FRAME_MARK, FRAME_NO_IMAGE, MARK_ANONYMOUS);
	int err = push(f, FRAME_JIT, f->jit_slot, pc);
	if (err < 0)
		return err;
	struct frame *frame = &f->frames.frames[f->stacks[f->n_stacks - 1]];
	if (!frame->time_ns)
		frame->time_ns = stack->first_ns;
	return 0;
}

/* What a user pc is. A caller's pc is a return address: the call lies one byte before it. */
static int push_user(struct fold *f, struct folded *stack, const struct mapping *mapping, uint64_t pc, bool leaf)
{
	uint64_t vaddr, offset;

	if (!mapping)
		return push(f, FRAME_MARK, FRAME_NO_IMAGE, MARK_UNMAPPED);
	struct image *image =
		mapping->image == MAPPING_NO_IMAGE ? NULL : image_table_get(f->images, mapping->image);
	if (!image || image_is_jit_memory(image))
		return push_jit(f, stack, pc);
	image->last_used = f->window;
	image->samples += stack->count;
	image->tgid = stack->tgid;
	image->parent = stack->parent;
	offset = pc - mapping->start + mapping->file_offset;
	if (leaf)
		stack->image_known = image->state == IMAGE_READ;
	if (image->state == IMAGE_READ && image_vaddr(image, offset, &vaddr))
		return push(f, FRAME_IMAGE, mapping->image, vaddr);
	return push(f, FRAME_OFFSET, mapping->image, offset);
}

/* inferred: see struct deferred_stack; marked where it begins. */
static int push_user_stack(struct fold *f, struct folded *stack, struct mapset *mappings, const uint64_t *pcs, size_t n,
			   size_t inferred)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t pc = i ? pcs[i] - 1 : pcs[i];
		const struct mapping *mapping = mapset_find(mappings, pc);
		if (!mapping && i) {
			stack->lost_way = true;
			return 0;
		}
		int err = i && i == inferred ? push(f, FRAME_MARK, FRAME_NO_IMAGE, MARK_INFERRED) : 0;
		if (err == 0)
			err = push_user(f, stack, mapping, pc, i == 0);
		if (err < 0)
			return err;
		stack->n_user = (uint16_t)(f->n_stacks - stack->first - stack->n_kernel);
		stack->lost_way = !mapping;
		if (!mapping)
			return 0;
	}
	return 0;
}

static int begin_profile(struct fold *f)
{
	struct building *b = &f->building;

	if (b->builder)
		return 0;
	int err = profile_builder_create(&b->builder);
	if (err < 0)
		return err;
	err = entry_names_init(&b->entries, b->builder);
	if (err < 0) {
		profile_builder_destroy(b->builder);
		b->builder = NULL;
		return err;
	}
	return 0;
}

/* What /proc/PID/cgroup says, read when it is not known or may have changed. */
static const struct cgroup *cgroup_of_process(struct fold *f, struct process *process, uint64_t v2)
{
	bool fresh = process->cgroup && process->cgroup_ns && process->cgroup_v2 == v2 &&
		     f->now_ns - process->cgroup_ns < CGROUP_FRESH_NS;
	uint64_t id = fresh || process->end_ns != UINT64_MAX ? 0 : cgroup_names_read(f->options.cgroups, process->tgid);

	if (id) {
		process->cgroup = id;
		process->cgroup_ns = f->now_ns;
		process->cgroup_v2 = v2;
	}
	const struct cgroup *cgroup = process->cgroup ? cgroup_names_find(f->options.cgroups, process->cgroup) : NULL;
	if (!cgroup)
		process->cgroup_ns = 0; /* forgotten for the budget */
	return cgroup;
}

/* v2 is what the sample says itself. Where hierarchies of v1 are, they may tell more: in v2 a container may be in the root, or with its runtime. */
static void find_cgroup(struct fold *f, struct process *process, uint64_t id, struct sample_owner *owner)
{
	owner->cgroup = cgroup_names_find(f->options.cgroups, id);
	owner->cgroup_id = id;
	if (!process || process->is_kernel_thread || !cgroup_names_by_process(f->options.cgroups) || cgroup_tells(owner->cgroup) == 3)
		return;
	const struct cgroup *cgroup = cgroup_of_process(f, process, id);
	if (cgroup_tells(cgroup) > cgroup_tells(owner->cgroup)) {
		owner->cgroup = cgroup;
		owner->cgroup_id = process->cgroup;
	}
}

static int label_stack(struct fold *f, struct folded *stack, struct process *process, const struct arena_entry *entry)
{
	struct sample_owner owner = {.process = process, .tgid = stack->tgid, .tid = entry->tid};

	memcpy(owner.comm, entry->comm, sizeof(entry->comm));
	if (stack->tgid)
		find_cgroup(f, process, entry->cgroup, &owner);
	int64_t labels = sample_labels_find(f->labels, f->building.builder, &owner);
	if (labels < 0)
		return (int)labels;
	stack->labels = (uint32_t)labels;
	return 0;
}

/* Inside execve() the old registers are still there, but the old mappings are not: such a sample has no user stack. */
static bool is_inside_exec(const struct process *process, const struct arena_entry *entry, const uint64_t *frames)
{
	return process && process->start_ns && entry->n_kernel && entry->n_user &&
	       !mapset_find(process->mappings, frames[entry->n_kernel]);
}

/* Replace what the kernel program found of a user stack by what user space found, where that is more. */
static const uint64_t *user_frames(struct folded *stack, const struct deferred_stack *deferred, const struct arena_entry *entry,
				   const uint64_t *frames, size_t *n_out)
{
	*n_out = entry->n_user;
	if (!deferred)
		return frames + entry->n_kernel;
	bool worse = deferred->end != END_COMPLETE && deferred->end != END_FRAME_ZERO && deferred->n < entry->n_user &&
		     entry->user_end != END_NO_PROCESS;
	if (worse)
		return frames + entry->n_kernel;
	stack->end = deferred->end;
	*n_out = deferred->n;
	return deferred->frames;
}

static int fold_new(struct fold *f, struct folded *stack, struct process *process, const struct arena_entry *entry,
		    const uint64_t *frames)
{
	size_t n_user;

	int err = label_stack(f, stack, process, entry);
	for (size_t i = 0; err == 0 && i < entry->n_kernel; i++)
		err = push(f, FRAME_KERNEL, FRAME_NO_IMAGE, i ? frames[i] - 1 : frames[i]);
	if (err < 0)
		return err;
	struct unwinder_walk walk;
	unwinder_find(f->unwinder, entry->walk, &walk);
	const uint64_t *user = user_frames(stack, walk.deferred, entry, frames, &n_user);
	if (is_inside_exec(process, entry, frames)) {
		stack->end = END_NO_USER;
		return 0;
	}
	err = reserve(f, entry->n_kernel + n_user + 1);
	if (err < 0 || !process)
		return err;
	f->process = process;
	/* What it was walked by, not what is there now: another library may be where its code was. */
	return push_user_stack(f, stack, walk.mappings ? walk.mappings : process->mappings, user, n_user,
			       walk.deferred && user == walk.deferred->frames ? walk.deferred->inferred : 0);
}

int fold_add(void *fold, const struct arena_entry *entry, const uint64_t *frames)
{
	struct fold *f = fold;
	struct process *process = NULL;

	int err = begin_profile(f);
	if (err == 0)
		err = reserve(f, (size_t)entry->n_kernel + entry->n_user);
	if (err < 0)
		return err;
	if (entry->tgid)
		process = process_table_find(f->processes, (int32_t)entry->tgid, entry->first_ns, f->window, f->epoch);
	uint32_t *slot = slot_of(f, entry, process ? process->serial : 0);
	if (*slot) {
		f->folded[*slot - 1].count += entry->count;
		return 0;
	}
	struct folded stack = {
		.hash = entry->hash,
		.check = entry->check,
		.serial = process ? process->serial : 0,
		.tgid = (int32_t)entry->tgid,
		.parent = process ? process->parent : 0,
		.count = entry->count,
		.first_ns = entry->first_ns,
		.first = (uint32_t)f->n_stacks,
		.n_kernel = entry->n_kernel,
		.end = entry->user_end,
	};
	err = fold_new(f, &stack, process, entry, frames);
	if (err < 0) {
		f->n_stacks = stack.first;
		return err;
	}
	f->folded[f->n_folded++] = stack;
	*slot = (uint32_t)f->n_folded;
	return 0;
}

/* Why a stack is not complete; ACCOUNT_CUTS when it is. A stack is complete when CFI says that its last frame has no caller, when its
 * chain of frame pointers ends in the ABI's 0 behind at least one caller, or when it reached a function that
 * nothing calls: a process's or a thread's entry, or main's caller. */
static enum account_cut cut_of(const struct fold *f, const struct folded *stack, const struct entry_names *entries)
{
	const uint32_t *user = f->stacks + stack->first + stack->n_kernel;

	if (stack->end == END_NO_USER)
		return ACCOUNT_CUTS;
	if (!stack->serial)
		return CUT_NO_PROCESS;
	if (stack->end == END_NO_REGISTERS)
		return CUT_NO_REGISTERS;
	if (stack->end == END_COMPAT)
		return CUT_COMPAT;
	if (stack->end == END_COMPLETE && !stack->lost_way)
		return ACCOUNT_CUTS;
	uint16_t n = stack->n_user;
	if (n && entry_names_is_entry(entries, f->frames.frames[user[n - 1]].name))
		return ACCOUNT_CUTS;
	if (n > 1 && entry_names_is_main(entries, f->frames.frames[user[n - 2]].name))
		return ACCOUNT_CUTS;
	if (stack->lost_way)
		return n > 1 ? CUT_BAD_FRAME : CUT_NO_FRAME_POINTER;
	switch (stack->end) {
	case END_FRAME_ZERO:
		return n > 1 ? ACCOUNT_CUTS : CUT_NO_FRAME_POINTER;
	case END_UNREADABLE:
		return CUT_UNREADABLE;
	case END_TOO_DEEP:
		return CUT_TOO_DEEP;
	case END_NO_PROCESS:
		return CUT_NO_PROCESS;
	case END_NO_MAPPING:
		return CUT_NO_MAPPING;
	case END_NO_TABLE:
		return CUT_NO_TABLE;
	case END_UNSUPPORTED_RULE:
		return CUT_UNSUPPORTED_RULE;
	case END_UNRELIABLE_RULE:
		return CUT_UNRELIABLE_RULE;
	default:
		return n > 1 ? CUT_BAD_FRAME : CUT_NO_FRAME_POINTER;
	}
}

static void account(struct accounting *a, const struct folded *stack, enum account_cut cut)
{
	a->samples += stack->count;
	if (cut == ACCOUNT_CUTS)
		a->complete += stack->count;
	else
		a->cut[cut] += stack->count;
	if (stack->end != END_NO_USER) {
		a->user_samples += stack->count;
		if (stack->image_known)
			a->image_known += stack->count;
	}
}

static void account_jit(struct fold *f, struct accounting *a, const struct folded *stack)
{
	struct jit_process *process = NULL;
	bool lacks_name = false;

	for (size_t i = stack->n_kernel; i < (size_t)stack->n_kernel + stack->n_user; i++) {
		const struct frame *frame = &f->frames.frames[f->stacks[stack->first + i]];
		if (frame->kind != FRAME_JIT)
			continue;
		process = jit_files_get(f->sources.jit, frame->image);
		lacks_name = lacks_name || frame_names_lacks_name(&f->building.names, frame);
	}
	if (!process)
		return;
	process->samples += stack->count;
	a->jit_samples += stack->count;
	if (lacks_name) {
		process->unnamed += stack->count;
		a->jit_unnamed += stack->count;
	}
}

static int64_t weight_of(const struct fold *f, const struct fold_window *window)
{
	return f->options.event.is_time ? (int64_t)(NS_PER_S / window->rate_hz) : (int64_t)f->options.period;
}

static int describe_profile(const struct fold *f, const struct fold_window *window, struct profile_builder *builder)
{
	const struct event *event = &f->options.event;
	const char *type = event->is_time ? "cpu" : event->name;
	const char *unit = event->is_time ? "nanoseconds" : "count";

	int err = profile_builder_sample_type(builder, "samples", "count");
	if (err == 0)
		err = profile_builder_sample_type(builder, type, unit);
	if (err == 0)
		err = profile_builder_period(builder, type, unit, weight_of(f, window));
	if (err == 0)
		err = profile_builder_default_sample_type(builder, type);
	profile_builder_time(builder, window->time_ns, window->duration_ns);
	return err;
}

static int add_sample(struct fold *f, const struct folded *stack, enum account_cut cut, int64_t weight)
{
	struct building *b = &f->building;
	int64_t values[2] = {(int64_t)stack->count, (int64_t)stack->count * weight};
	size_t n = 0, n_labels;
	const struct profile_label *labels = sample_labels_get(f->labels, stack->labels, &n_labels);

	for (size_t i = 0; i < (size_t)stack->n_kernel + stack->n_user; i++)
		f->locations[n++] = f->frames.frames[f->stacks[stack->first + i]].location;
	if (cut != ACCOUNT_CUTS) {
		int64_t mark = frame_names_cut(&b->names, cut);
		if (mark < 0)
			return (int)mark;
		f->locations[n++] = (uint32_t)mark;
	}
	int64_t added = profile_builder_sample(b->builder, f->locations, n, labels, n_labels, values);
	return added < 0 ? (int)added : 0;
}

static int add_comments(const struct fold *f, const struct fold_window *window, const struct accounting *a,
			struct profile_builder *builder)
{
	char text[1024];

	int err = profile_builder_comment(builder, "hearth " HEARTH_VERSION);
	if (err < 0)
		return err;
	if (f->options.event.is_time)
		snprintf(text, sizeof(text), "event=%s rate_hz=%" PRIu64 " cpus=%d", f->options.event.name,
			 window->rate_hz, window->cpus);
	else
		snprintf(text, sizeof(text), "event=%s period=%" PRIu64 " cpus=%d", f->options.event.name,
			 f->options.period, window->cpus);
	err = profile_builder_comment(builder, text);
	if (err < 0)
		return err;
	if (window->weight > 1) {
		snprintf(text, sizeof(text), "weight=%.9g", window->weight);
		err = profile_builder_comment(builder, text);
		if (err < 0)
			return err;
	}
	accounting_describe(a, text, sizeof(text));
	return profile_builder_comment(builder, text);
}

static int build(struct fold *f, const struct fold_window *window, struct accounting *a, struct profile **profile_out)
{
	struct building *b = &f->building;

	int err = begin_profile(f);
	if (err == 0)
		err = describe_profile(f, window, b->builder);
	if (err == 0)
		err = frame_names_resolve(&b->names, &f->frames, b->builder, f->images, &f->sources, &f->kernel,
					  f->options.kernel_addresses);
	for (size_t i = 0; err == 0 && i < f->n_folded; i++) {
		enum account_cut cut = cut_of(f, &f->folded[i], &b->entries);
		err = add_sample(f, &f->folded[i], cut, weight_of(f, window));
		if (err == 0) {
			account(a, &f->folded[i], cut);
			account_jit(f, a, &f->folded[i]);
		}
	}
	if (err == 0)
		err = add_comments(f, window, a, b->builder);
	return err < 0 ? err : profile_builder_finish(b->builder, profile_out);
}

int fold_finish(struct fold *f, const struct fold_window *window, struct accounting *account_inout,
		struct profile **profile_out)
{
	struct accounting a = *account_inout;

	int err = build(f, window, &a, profile_out);
	if (err < 0) {
		a = *account_inout;
		for (size_t i = 0; i < f->n_folded; i++)
			a.dropped[ACCOUNT_OUT_OF_MEMORY] += f->folded[i].count;
	}
	*account_inout = a;
	profile_builder_destroy(f->building.builder);
	f->building = (struct building){0};
	sample_labels_clear(f->labels);
	f->n_folded = 0;
	f->n_stacks = 0;
	f->jit_serial = 0;
	jit_files_end_window(f->sources.jit, f->window);
	memset(f->slots, 0, f->n_slots * sizeof(f->slots[0]));
	frame_table_clear(&f->frames);
	return err;
}

bool fold_lacks_kernel_names(const struct fold *f)
{
	return f->kernel.unreadable;
}

void fold_destroy(struct fold *f)
{
	if (!f)
		return;
	frame_table_deinit(&f->frames);
	sample_labels_destroy(f->labels);
	free(f->stacks);
	free(f->folded);
	free(f->slots);
	free(f->locations);
	profile_builder_destroy(f->building.builder);
	free(f);
}
