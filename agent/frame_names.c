#include "agent/frame_names.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

#define KERNEL_MAPPING	     "[kernel.kallsyms]"
#define KERNEL_RELOAD_NS     (60 * NS_PER_S)
#define KERNEL_BASE_FALLBACK 0xffffffff81000000ull /* x86-64's __START_KERNEL without KASLR */
#define PAGE_MASK	     4095ull
#define JIT_MAPPING	     "[jit]"
#define JIT_BATCH	     1024 /* pcs in one request */
#define JIT_CALLS_MAX	     80	  /* of one batch: 64 MiB of perf map and as much jitdump take fewer */

static const char *const ENTRIES[] = {
	"_start", "__libc_start_main", "__libc_start_call_main", "__libc_start_main_impl", "start_thread", "clone",
	"clone3", "__clone", "__clone3", "_rt0_amd64_linux", "runtime.rt0_go", "runtime.rt0_go.abi0",
	"runtime.goexit", "runtime.goexit.abi0", "runtime.mstart", "runtime.mstart.abi0", "ret_from_fork",
	"ret_from_fork_asm",
};
static const char *const MAINS[] = {"main"};

static int64_t intern(struct profile_builder *b, const char *text)
{
	return profile_builder_string(b, text, strlen(text));
}

int entry_names_init(struct entry_names *e, struct profile_builder *builder)
{
	*e = (struct entry_names){0};
	for (size_t i = 0; i < sizeof(ENTRIES) / sizeof(ENTRIES[0]); i++) {
		int64_t name = intern(builder, ENTRIES[i]);
		if (name < 0)
			return (int)name;
		e->entries[e->n++] = (profile_str)name;
	}
	for (size_t i = 0; i < sizeof(MAINS) / sizeof(MAINS[0]); i++) {
		int64_t name = intern(builder, MAINS[i]);
		if (name < 0)
			return (int)name;
		e->main_names[e->n_main++] = (profile_str)name;
	}
	return 0;
}

bool entry_names_is_entry(const struct entry_names *e, profile_str name)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->entries[i] == name)
			return true;
	return false;
}

bool entry_names_is_main(const struct entry_names *e, profile_str name)
{
	for (size_t i = 0; i < e->n_main; i++)
		if (e->main_names[i] == name)
			return true;
	return false;
}

/* A location with one function and no line numbers. */
static int64_t plain_location(struct profile_builder *b, uint32_t mapping, uint64_t address, const char *name,
			      const char *system_name)
{
	int64_t name_id = intern(b, name), system_id = intern(b, system_name);

	if (name_id < 0 || system_id < 0)
		return -ENOMEM;
	struct profile_function function = {.name = (profile_str)name_id, .system_name = (profile_str)system_id};
	int64_t id = profile_builder_function(b, &function);
	if (id < 0)
		return id;
	struct profile_line line = {.function = (uint32_t)id};
	return profile_builder_location(b, mapping, address, &line, 1);
}

int64_t frame_names_cut(struct frame_names *n, enum account_cut cut)
{
	char name[64];

	if (!n->cuts[cut]) {
		snprintf(name, sizeof(name), "[truncated: %s]", accounting_cut_name(cut));
		int64_t location = plain_location(n->builder, PROFILE_NONE, 0, name, name);
		if (location < 0)
			return location;
		n->cuts[cut] = (uint32_t)location + 1;
	}
	return n->cuts[cut] - 1;
}

static int64_t mark_location(struct frame_names *n, enum frame_mark mark)
{
	static const char *const NAMES[] = {
		[MARK_ANONYMOUS] = "[anonymous]", [MARK_UNMAPPED] = "[unmapped]", [MARK_INFERRED] = "[inferred]"};

	return plain_location(n->builder, PROFILE_NONE, 0, NAMES[mark], NAMES[mark]);
}

static int resolve_mark(struct frame_names *n, struct frame *frame)
{
	int64_t location = mark_location(n, (enum frame_mark)frame->address);

	if (location < 0)
		return (int)location;
	frame->location = (uint32_t)location;
	return 0;
}

/* Take an address's frames into the profile. */
static int take_frames(struct frame_names *n, struct frame *frame, uint32_t mapping, uint64_t address,
		       const struct symbolizer_frame *frames, size_t count)
{
	struct profile_line lines[64];
	size_t n_lines = count < 64 ? count : 64;

	for (size_t i = 0; i < n_lines; i++) {
		const struct symbolizer_frame *from = &frames[i];
		int64_t name = intern(n->builder, from->name), system_name = intern(n->builder, from->system_name),
			file = intern(n->builder, from->file);
		if (name < 0 || system_name < 0 || file < 0)
			return -ENOMEM;
		struct profile_function function = {.name = (profile_str)name,
						    .system_name = (profile_str)system_name,
						    .filename = (profile_str)file,
						    .start_line = from->start_line};
		int64_t id = profile_builder_function(n->builder, &function);
		if (id < 0)
			return (int)id;
		lines[i] = (struct profile_line){.function = (uint32_t)id, .line = from->line};
		frame->name = (profile_str)name;
	}
	int64_t location = profile_builder_location(n->builder, mapping, address, lines, n_lines);
	if (location < 0)
		return (int)location;
	frame->location = (uint32_t)location;
	return 0;
}

/* ---- a batch: what the cache knows, and what is asked for ---- */

/* The frames of one image, or of the kernel. */
struct batch {
	struct frame_names *names;
	const struct name_sources *sources;
	const uint32_t *order; /* of the frames, by address */
	size_t n;
	struct frame_key key; /* of its frames, but for the vaddr */
	uint64_t *asked;      /* addresses that the cache does not know */
	uint32_t *asked_at;   /* their places in order */
	size_t n_asked;
};

/* Write one frame into the profile; n 0: it has no name. */
typedef int batch_take_fn(void *context, struct frame *frame, const struct symbolizer_frame *frames, size_t n);

static int begin_batch(struct batch *b)
{
	b->asked = malloc((b->n + 1) * sizeof(*b->asked));
	b->asked_at = malloc((b->n + 1) * sizeof(*b->asked_at));
	return b->asked && b->asked_at ? 0 : -ENOMEM;
}

static void end_batch(struct batch *b)
{
	free(b->asked);
	free(b->asked_at);
}

static struct frame *batch_frame(const struct batch *b, size_t i)
{
	return &b->names->frames->frames[b->order[i]];
}

/* Take what the cache knows, and note the others. */
static int take_known(struct batch *b, batch_take_fn *take, void *context)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < b->n; i++) {
		struct frame *frame = batch_frame(b, i);
		const struct symbolizer_frame *frames;
		size_t n;
		b->key.vaddr = frame->address;
		if (b->sources->cache && frame_cache_find(b->sources->cache, &b->key, &frames, &n)) {
			err = take(context, frame, frames, n);
		} else {
			b->asked[b->n_asked] = frame->address;
			b->asked_at[b->n_asked++] = (uint32_t)i;
		}
	}
	return err;
}

/* Take what was asked for. reply: NULL when there is none; keep: its answers hold for later windows. */
static int take_reply(struct batch *b, const struct symbolizer_reply *reply, bool keep, batch_take_fn *take, void *context)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < b->n_asked; i++) {
		const struct symbolizer_answer *answer = reply ? &reply->answers[i] : NULL;
		const struct symbolizer_frame *frames = answer ? reply->frames + answer->first : NULL;
		size_t n = answer ? answer->count : 0;
		err = take(context, batch_frame(b, b->asked_at[i]), frames, n);
		b->key.vaddr = b->asked[i];
		if (answer && keep && b->sources->cache)
			frame_cache_add(b->sources->cache, &b->key, frames, n);
	}
	return err;
}

/* ---- images ---- */

/* start_out, limit_out: vaddrs with the same answer; equal for a vaddr outside all segments. */
static int64_t mapping_of(struct frame_names *n, const struct image *image, uint64_t vaddr, uint64_t *start_out, uint64_t *limit_out)
{
	char hex[2 * BUILD_ID_MAX + 1] = "";
	struct profile_mapping mapping = {.has_functions = true};

	for (uint8_t i = 0; i < image->build_id_bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", image->build_id[i]);
	int64_t filename = intern(n->builder, image->path), build_id = intern(n->builder, hex);
	if (filename < 0 || build_id < 0)
		return -ENOMEM;
	mapping.filename = (profile_str)filename;
	mapping.build_id = (profile_str)build_id;
	*start_out = *limit_out = 0;
	for (uint8_t i = 0; i < image->n_segments; i++) {
		const struct image_segment *s = &image->segments[i];
		if (vaddr < s->vaddr || vaddr - s->vaddr >= s->file_bytes)
			continue;
		/* As the loader maps it: whole pages, so that a reader gets the file address of a vaddr by
		 * address - start + file_offset. */
		mapping.start = s->vaddr & ~PAGE_MASK;
		mapping.limit = (s->vaddr + s->file_bytes + PAGE_MASK) & ~PAGE_MASK;
		mapping.file_offset = s->file_offset & ~PAGE_MASK;
		*start_out = s->vaddr;
		*limit_out = s->vaddr + s->file_bytes;
	}
	return profile_builder_mapping(n->builder, &mapping);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static int unnamed_frame(struct frame_names *n, const struct image *image, struct frame *frame, int64_t mapping)
{
	char name[320];

	snprintf(name, sizeof(name), "[%.255s+0x%" PRIx64 "]", base_name(image->path), frame->address);
	int64_t location = plain_location(n->builder, (uint32_t)mapping, frame->address, name, name);
	if (location < 0)
		return (int)location;
	frame->location = (uint32_t)location;
	return 0;
}

struct image_frames {
	struct frame_names *names;
	const struct image *image;
	uint64_t start, limit; /* addresses of which mapping is known */
	int64_t mapping;
	bool has_vaddrs;
};

static int take_image_frame(void *context, struct frame *frame, const struct symbolizer_frame *frames, size_t n)
{
	struct image_frames *f = context;
	uint64_t vaddr = f->has_vaddrs ? frame->address : UINT64_MAX;

	/* In the order of addresses the mapping changes once for each segment. */
	if (f->start == f->limit || vaddr < f->start || vaddr >= f->limit) {
		f->mapping = mapping_of(f->names, f->image, vaddr, &f->start, &f->limit);
		if (f->mapping < 0)
			return (int)f->mapping;
	}
	return n ? take_frames(f->names, frame, (uint32_t)f->mapping, frame->address, frames, n)
		 : unnamed_frame(f->names, f->image, frame, f->mapping);
}

/* All frames of one image: order[0..count). */
static int resolve_image(struct frame_names *n, struct image_table *images, const struct name_sources *sources,
			 const uint32_t *order, size_t count)
{
	__attribute__((cleanup(end_batch))) struct batch batch = {.names = n, .sources = sources, .order = order, .n = count};
	const struct frame *first = &n->frames->frames[order[0]];
	const struct image *image = image_table_get(images, first->image);
	struct image_frames f = {.names = n, .image = image, .has_vaddrs = first->kind == FRAME_IMAGE};
	struct symbolizer_reply *reply = NULL;
	int err = begin_batch(&batch), table_fd = -1;

	if (err < 0)
		return err;
	batch.key.image = image->id;
	if (!f.has_vaddrs) {
		for (size_t i = 0; err == 0 && i < count; i++)
			err = take_image_frame(&f, batch_frame(&batch, i), NULL, 0);
		return err;
	}
	if (sources->tables)
		table_fd = name_tables_get(sources->tables, first->image, &batch.key.serial);
	err = take_known(&batch, take_image_frame, &f);
	/* A file that cannot be read costs its names, not its samples. */
	if (err == 0 && batch.n_asked &&
	    symbolizer_names(sources->symbolizer, image->id, image->fd, table_fd, batch.asked, batch.n_asked, &reply) < 0)
		reply = NULL;
	bool damaged = reply && reply->table_damaged;
	if (err == 0)
		err = take_reply(&batch, reply, !damaged, take_image_frame, &f);
	if (damaged)
		name_tables_damaged(sources->tables, first->image);
	symbolizer_reply_free(reply);
	return err;
}

/* ---- kernel ---- */

/* Modules and BPF programs come and go: read again when an address had no name, at most once a minute. */
static void load_kernel(struct symbolizer *symbolizer, struct kernel_names *kernel)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	bool due = !kernel->loaded_at_ns || (kernel->unnamed && now - kernel->loaded_at_ns > KERNEL_RELOAD_NS);

	if (!due)
		return;
	kernel->loaded_at_ns = now;
	kernel->unnamed = false;
	AUTO_CLOSE int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	int loaded = fd < 0 ? -errno : symbolizer_kernel_load(symbolizer, fd);
	kernel->loaded = loaded > 0;
	kernel->unreadable = loaded <= 0;
	kernel->loads++;
}

struct kernel_frames {
	struct frame_names *names;
	struct kernel_names *kernel;
	uint32_t mapping;
	uint64_t base;
	bool with_addresses;
};

static int take_kernel_frame(void *context, struct frame *frame, const struct symbolizer_frame *frames, size_t n)
{
	struct kernel_frames *f = context;
	uint64_t address = f->with_addresses ? frame->address : 0;
	char name[64];

	if (n)
		return take_frames(f->names, frame, f->mapping, address, frames, n);
	f->kernel->unnamed = f->kernel->loaded;
	snprintf(name, sizeof(name), "[kernel+0x%" PRIx64 "]", frame->address - f->base);
	int64_t location = plain_location(f->names->builder, f->mapping, address, name, name);
	if (location < 0)
		return (int)location;
	frame->location = (uint32_t)location;
	return 0;
}

static int64_t kernel_mapping(struct frame_names *n, bool with_addresses)
{
	struct profile_mapping mapping = {.has_functions = true};
	int64_t filename = intern(n->builder, KERNEL_MAPPING);

	if (filename < 0)
		return filename;
	mapping.filename = (profile_str)filename;
	if (with_addresses) {
		mapping.start = 1ull << 63;
		mapping.limit = UINT64_MAX;
	}
	return profile_builder_mapping(n->builder, &mapping);
}

/* Kernel addresses would tell readers of a profile where the kernel lies; a name is what they need. Without
 * addresses, all pcs of one function are one location. */
static int resolve_kernel(struct frame_names *n, const struct name_sources *sources, struct kernel_names *kernel,
			  const uint32_t *order, size_t count, bool with_addresses)
{
	__attribute__((cleanup(end_batch))) struct batch batch = {.names = n, .sources = sources, .order = order, .n = count};
	struct kernel_frames f = {.names = n, .kernel = kernel, .with_addresses = with_addresses};
	struct symbolizer_reply *reply = NULL;

	int err = begin_batch(&batch);
	int64_t mapping = kernel_mapping(n, with_addresses);
	if (err < 0 || mapping < 0)
		return err < 0 ? err : (int)mapping;
	load_kernel(sources->symbolizer, kernel);
	batch.key = (struct frame_key){.image = FRAME_CACHE_KERNEL, .serial = kernel->loads};
	f.mapping = (uint32_t)mapping;
	f.base = kernel->loaded ? symbolizer_kernel_base(sources->symbolizer) : 0;
	if (!f.base)
		f.base = KERNEL_BASE_FALLBACK;
	err = take_known(&batch, take_kernel_frame, &f);
	if (err == 0 && batch.n_asked &&
	    (!kernel->loaded || symbolizer_kernel_names(sources->symbolizer, batch.asked, batch.n_asked, &reply) < 0))
		reply = NULL;
	if (err == 0)
		err = take_reply(&batch, reply, true, take_kernel_frame, &f);
	symbolizer_reply_free(reply);
	return err;
}

/* ---- JIT code ---- */

static int64_t jit_mapping(struct frame_names *n)
{
	struct profile_mapping mapping = {.has_functions = true};

	if (n->jit_mapping)
		return n->jit_mapping - 1;
	int64_t filename = intern(n->builder, JIT_MAPPING);
	if (filename < 0)
		return filename;
	mapping.filename = (profile_str)filename;
	int64_t id = profile_builder_mapping(n->builder, &mapping);
	if (id >= 0)
		n->jit_mapping = (uint32_t)id + 1;
	return id;
}

bool frame_names_lacks_name(const struct frame_names *n, const struct frame *frame)
{
	return frame->kind == FRAME_JIT && frame->location == n->anonymous;
}

static int take_jit_answers(struct frame_names *n, const struct symbolizer_reply *reply, const uint32_t *order, size_t count,
			    uint32_t mapping)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < count; i++) {
		struct frame *frame = &n->frames->frames[order[i]];
		const struct symbolizer_answer *answer = &reply->answers[i];
		if (!answer->count || !frame_names_lacks_name(n, frame))
			continue;
		err = take_frames(n, frame, mapping, frame->address, reply->frames + answer->first, answer->count);
		frame->name = 0; /* it may be called main; it is no program's entry */
	}
	return err;
}

/* A few frames of one process by one process's files. Returns whether one has no name yet, or an error. */
static int name_jit_batch(struct frame_names *n, const struct name_sources *sources, const struct jit_process *process,
			  const struct jit_source *files, const uint32_t *order, size_t count)
{
	struct jit_query queries[JIT_BATCH];
	struct symbolizer_reply *reply;
	bool more = true, lacks = true;
	int64_t mapping = jit_mapping(n);
	int err = mapping < 0 ? (int)mapping : 0;

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &n->frames->frames[order[i]];
		queries[i] = (struct jit_query){.pc = frame->address, .time_ns = frame->time_ns};
	}
	/* A large file that is new is read in several calls, as long as there are pcs without a name. */
	for (int call = 0; err == 0 && lacks && more && call < JIT_CALLS_MAX; call++) {
		/* A file that cannot be read costs its names. */
		if (symbolizer_jit_names(sources->symbolizer, process->serial, files, queries, count, &reply, &more) < 0)
			break;
		err = take_jit_answers(n, reply, order, count, (uint32_t)mapping);
		symbolizer_reply_free(reply);
		lacks = false;
		for (size_t i = 0; !lacks && i < count; i++)
			lacks = frame_names_lacks_name(n, &n->frames->frames[order[i]]);
	}
	return err < 0 ? err : lacks;
}

/* All frames of one process, by its own files or by those of the process that it was forked from. */
static int name_jit_by(struct frame_names *n, const struct name_sources *sources, uint32_t slot, const uint32_t *order, size_t count)
{
	const struct jit_process *process = jit_files_get(sources->jit, slot);
	struct jit_source files;
	int lacks = 0;

	if (!process)
		return 1;
	jit_files_open(sources->jit, slot, &files);
	for (size_t first = 0; first < count && lacks >= 0; first += JIT_BATCH) {
		size_t n_batch = count - first < JIT_BATCH ? count - first : JIT_BATCH;
		int batch = name_jit_batch(n, sources, process, &files, order + first, n_batch);
		lacks = batch < 0 ? batch : lacks | batch;
	}
	jit_files_done(sources->jit, slot);
	return lacks;
}

static int resolve_jit(struct frame_names *n, const struct name_sources *sources, const uint32_t *order, size_t count)
{
	uint32_t slot = n->frames->frames[order[0]].image;
	const struct jit_process *process = jit_files_get(sources->jit, slot);
	int64_t anonymous = mark_location(n, MARK_ANONYMOUS);

	if (anonymous < 0)
		return (int)anonymous;
	n->anonymous = (uint32_t)anonymous;
	for (size_t i = 0; i < count; i++)
		n->frames->frames[order[i]].location = n->anonymous;
	int lacks = name_jit_by(n, sources, slot, order, count);
	if (lacks > 0 && process && process->origin != JIT_NONE)
		lacks = name_jit_by(n, sources, process->origin, order, count);
	return lacks < 0 ? lacks : 0;
}

static int by_group(const void *a, const void *b, void *context)
{
	const struct frame *frames = context;
	const struct frame *x = &frames[*(const uint32_t *)a], *y = &frames[*(const uint32_t *)b];

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->image != y->image)
		return x->image < y->image ? -1 : 1;
	/* Code of JITs is looked up as it was: batches go forward in time. Of others all times are 0. */
	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* What is of one kind, and of one file or process. */
struct resolving {
	struct image_table *images;
	const struct name_sources *sources;
	struct kernel_names *kernel;
	bool kernel_addresses;
};

static int resolve_group(struct frame_names *n, const struct resolving *r, const uint32_t *order, size_t count)
{
	const struct frame *group = &n->frames->frames[order[0]];
	int err = 0;

	switch ((enum frame_kind)group->kind) {
	case FRAME_KERNEL:
		return resolve_kernel(n, r->sources, r->kernel, order, count, r->kernel_addresses);
	case FRAME_MARK:
		for (size_t i = 0; err == 0 && i < count; i++)
			err = resolve_mark(n, &n->frames->frames[order[i]]);
		return err;
	case FRAME_JIT:
		return resolve_jit(n, r->sources, order, count);
	default:
		return resolve_image(n, r->images, r->sources, order, count);
	}
}

int frame_names_resolve(struct frame_names *n, struct frame_table *frames, struct profile_builder *builder,
			struct image_table *images, const struct name_sources *sources, struct kernel_names *kernel,
			bool kernel_addresses)
{
	const struct resolving resolving = {images, sources, kernel, kernel_addresses};
	AUTO_FREE uint32_t *order = malloc((frames->n + 1) * sizeof(*order));
	int err = order ? 0 : -ENOMEM;

	*n = (struct frame_names){.builder = builder, .frames = frames, .anonymous = PROFILE_NONE};
	for (uint32_t i = 0; err == 0 && i < frames->n; i++)
		order[i] = i;
	if (err == 0)
		qsort_r(order, frames->n, sizeof(*order), by_group, frames->frames);
	for (size_t first = 0, end; err == 0 && first < frames->n; first = end) {
		const struct frame *group = &frames->frames[order[first]];
		for (end = first + 1; end < frames->n; end++) {
			const struct frame *next = &frames->frames[order[end]];
			if (next->kind != group->kind || next->image != group->image)
				break;
		}
		err = resolve_group(n, &resolving, order + first, end - first);
	}
	return err;
}
