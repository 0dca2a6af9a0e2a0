#include "agent/process_table.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "agent/proc_maps.h"
#include "base/scope.h"
#include "base/text_clean.h"

/* All instances of one tgid, the newest first. */
struct tgid_entry {
	int32_t tgid;
	uint64_t absent_window; /* /proc did not know it in this window */
	struct process *newest;
	UT_hash_handle hh;
};

struct process_table {
	struct image_table *images;
	uint64_t budget_bytes;
	uint64_t next_serial;
	struct process_table_stats stats;
	struct tgid_entry *entries;
	process_change_fn on_change;
	void *context;
	process_jit_fn on_jit;
	void *jit_context;
	process_exec_fn on_exec;
	void *exec_context;
};

int process_table_create(struct image_table *images, uint64_t budget_bytes, struct process_table **table_out)
{
	struct process_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->images = images;
	t->budget_bytes = budget_bytes;
	t->next_serial = 1;
	*table_out = t;
	return 0;
}

void process_table_watch(struct process_table *t, process_change_fn fn, void *context)
{
	t->on_change = fn;
	t->context = context;
}

void process_table_watch_jit(struct process_table *t, process_jit_fn fn, void *context)
{
	t->on_jit = fn;
	t->jit_context = context;
}

void process_table_watch_exec(struct process_table *t, process_exec_fn fn, void *context)
{
	t->on_exec = fn;
	t->exec_context = context;
}

static void tell_change(struct process_table *t, struct process *process)
{
	if (process->in_kernel && t->on_change)
		t->on_change(t->context, process);
}

static struct tgid_entry *entry_of(struct process_table *t, int32_t tgid)
{
	struct tgid_entry *entry;

	HASH_FIND_INT(t->entries, &tgid, entry);
	return entry;
}

static struct tgid_entry *add_entry(struct process_table *t, int32_t tgid)
{
	struct tgid_entry *entry = entry_of(t, tgid);

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->tgid = tgid;
	entry->absent_window = UINT64_MAX;
	HASH_ADD_INT(t->entries, tgid, entry);
	return entry;
}

static void set_name(struct process *process, const char *name)
{
	size_t n = strnlen(name, sizeof(process->name) - 1);

	memcpy(process->name, name, n);
	process->name[n] = '\0';
}

/* path: of a file, as the kernel writes it. */
static void set_executable(struct process *process, const char *path)
{
	static const char DELETED[] = " (deleted)";
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t n = strlen(name), deleted = sizeof(DELETED) - 1;

	if (n > deleted && strcmp(name + n - deleted, DELETED) == 0)
		n -= deleted;
	text_clean(name, n, process->executable, sizeof(process->executable));
}

static void read_executable(struct process *process)
{
	char link[32], path[4096];

	snprintf(link, sizeof(link), "/proc/%d/exe", process->tgid);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return;
	path[n] = '\0';
	set_executable(process, path);
}

/* A new newest instance. mappings: its reference is taken over; NULL: an empty set. */
static struct process *begin_instance(struct process_table *t, int32_t tgid, uint64_t time_ns, struct mapset *mappings)
{
	struct tgid_entry *entry = add_entry(t, tgid);
	struct process *process = calloc(1, sizeof(*process));

	if (!mappings)
		mappings = mapset_create();
	if (!entry || !process || !mappings) {
		free(process);
		mapset_unref(mappings);
		return NULL;
	}
	if (entry->newest && entry->newest->end_ns > time_ns) {
		entry->newest->end_ns = time_ns;
		tell_change(t, entry->newest);
	}
	process->tgid = tgid;
	process->start_ns = time_ns;
	process->end_ns = UINT64_MAX;
	process->serial = t->next_serial++;
	process->mappings = mappings;
	process->older = entry->newest;
	entry->newest = process;
	t->stats.processes++;
	return process;
}

struct jit_dump_place *jit_dump_place_copy(const struct jit_dump_place *place)
{
	size_t bytes = sizeof(*place) + strlen(place->path) + 1;
	struct jit_dump_place *copy = malloc(bytes);

	if (copy)
		memcpy(copy, place, bytes);
	return copy;
}

static void apply_fork(struct process_table *t, const struct task_record *record)
{
	struct tgid_entry *parent = entry_of(t, record->parent);
	struct process *from = parent ? parent->newest : NULL;
	struct process *child = begin_instance(t, record->pid, record->time_ns, from ? mapset_ref(from->mappings) : NULL);

	if (!child)
		return;
	child->parent = record->parent;
	if (from) {
		child->complete = from->complete;
		child->read_epoch = from->read_epoch;
		child->forked_from = from->serial;
		child->jit_dump = from->jit_dump ? jit_dump_place_copy(from->jit_dump) : NULL;
		child->in_kernel = from->in_kernel; /* the kernel program passes a parent's mappings on */
		child->is_kernel_thread = from->is_kernel_thread;
		child->cgroup = from->cgroup;
		set_name(child, from->name);
		memcpy(child->executable, from->executable, sizeof(child->executable));
	}
}

static void apply_comm(struct process_table *t, const struct task_record *record)
{
	struct tgid_entry *entry = entry_of(t, record->pid);
	struct process *process = entry ? entry->newest : NULL;

	if (!record->is_exec) {
		if (process)
			set_name(process, record->text);
		return;
	}
	int32_t parent = process ? process->parent : 0;
	uint64_t cgroup = process ? process->cgroup : 0;
	process = begin_instance(t, record->pid, record->time_ns, NULL);
	if (!process)
		return;
	process->parent = parent;
	process->cgroup = cgroup;
	process->complete = true;
	set_name(process, record->text);
	if (t->on_exec)
		t->on_exec(t->exec_context, process);
}

static void add_mapping(struct process_table *t, struct process *process, const struct mapping *mapping)
{
	if (mapset_add(&process->mappings, mapping) < 0)
		t->stats.mappings_lost++;
	tell_change(t, process);
}

/* Whether a path names a file at all: "[vdso]", "//anon", "anon_inode:..." do not. */
static bool names_file(const char *path)
{
	return path[0] == '/' && path[1] != '/';
}

/* .../jit-PID.dump: mapped for us to find it, nothing runs there. */
static bool is_jit_dump(const char *path)
{
	static const char NAME[] = "jit-%*[0-9].dump%n";
	const char *slash = strrchr(path, '/');
	int n = 0;

	if (!slash)
		return false;
	(void)sscanf(slash + 1, NAME, &n);
	return n && (!slash[1 + n] || strcmp(slash + 1 + n, " (deleted)") == 0);
}

static void note_jit_dump(struct process *process, const struct image_request *where)
{
	size_t path_bytes = strlen(where->path) + 1;
	struct jit_dump_place *place = malloc(sizeof(*place) + path_bytes);

	if (!place)
		return;
	*place = (struct jit_dump_place){
		.start = where->start,
		.end = where->end,
		.inode = where->inode,
		.dev_major = where->dev_major,
		.dev_minor = where->dev_minor,
	};
	memcpy(place->path, where->path, path_bytes);
	free(process->jit_dump);
	process->jit_dump = place;
}

/* The image behind a mapping, or MAPPING_NO_IMAGE. */
static uint32_t image_of(struct process_table *t, struct process *process, const struct image_sight *sight, bool has_inode)
{
	int64_t index = -ENOENT;

	if (has_inode && is_jit_dump(sight->where.path)) {
		note_jit_dump(process, &sight->where);
		return MAPPING_NO_IMAGE;
	}
	if (strcmp(sight->where.path, "[vdso]") == 0)
		index = image_table_vdso(t->images);
	else if (names_file(sight->where.path) && (has_inode || sight->build_id))
		index = image_table_see(t->images, sight);
	if (index == -ENOMEM || index == -ENOSPC)
		t->stats.mappings_lost++;
	return index < 0 ? MAPPING_NO_IMAGE : (uint32_t)index;
}

static void apply_mmap(struct process_table *t, const struct task_record *record)
{
	struct tgid_entry *entry = entry_of(t, record->pid);
	struct process *process = entry ? entry->newest : NULL;

	/* Never heard of: it was there before, and its other mappings come from /proc when a sample needs them. */
	if (!process)
		return;
	struct image_sight sight = {
		.where = {.tgid = record->pid,
			  .parent = process->parent,
			  .start = record->start,
			  .end = record->end,
			  .path = record->text,
			  .has_inode = !record->has_build_id && record->inode,
			  .dev_major = record->dev_major,
			  .dev_minor = record->dev_minor,
			  .inode = record->inode},
		.build_id = record->has_build_id ? record->build_id : NULL,
		.build_id_bytes = record->build_id_bytes,
		.inode_generation = record->inode_generation,
	};
	struct mapping mapping = {
		.start = record->start,
		.end = record->end,
		.file_offset = record->file_offset,
		.image = image_of(t, process, &sight, record->inode != 0),
	};
	/* The first one behind an exec is the program's. */
	if (!process->executable[0] && process->complete && !process->forked_from && process->start_ns && names_file(record->text))
		set_executable(process, record->text);
	/* Only for files: anonymous memory comes in tens of thousands, and each look-up after an addition costs a merge. */
	if (mapping.image != MAPPING_NO_IMAGE) {
		const struct mapping *known = mapset_find(process->mappings, mapping.start);
		if (known && known->image != mapping.image)
			process->replaced_ns = record->time_ns;
	}
	add_mapping(t, process, &mapping);
	const struct image *image = mapping.image == MAPPING_NO_IMAGE ? NULL : image_table_get(t->images, mapping.image);
	if (t->on_jit && (!image || image_is_jit_memory(image)))
		t->on_jit(t->jit_context, process);
}

void process_table_apply(struct process_table *t, const struct task_record *record)
{
	struct tgid_entry *entry;

	switch (record->type) {
	case TASK_FORK:
		apply_fork(t, record);
		break;
	case TASK_COMM:
		apply_comm(t, record);
		break;
	case TASK_MMAP:
		apply_mmap(t, record);
		break;
	case TASK_EXIT:
		entry = entry_of(t, record->pid);
		if (entry && entry->newest && entry->newest->end_ns == UINT64_MAX) {
			entry->newest->end_ns = record->time_ns;
			tell_change(t, entry->newest);
		}
		break;
	}
}

struct reading {
	struct process_table *table;
	struct process *process;
};

static int read_mapping(void *context, const struct proc_mapping *from)
{
	struct reading *reading = context;
	struct image_sight sight = {
		.where = {.tgid = reading->process->tgid,
			  .parent = reading->process->parent,
			  .start = from->start,
			  .end = from->end,
			  .path = from->path,
			  .has_inode = from->inode != 0,
			  .dev_major = from->dev_major,
			  .dev_minor = from->dev_minor,
			  .inode = from->inode},
	};
	struct mapping mapping = {
		.start = from->start,
		.end = from->end,
		.file_offset = from->file_offset,
		.image = image_of(reading->table, reading->process, &sight, from->inode != 0),
	};
	add_mapping(reading->table, reading->process, &mapping);
	return 0;
}

/* Read the mappings of a live process from /proc, in place of what is known. */
static int read_mappings(struct process_table *t, struct process *process, uint64_t epoch)
{
	struct mapset *before = process->mappings;
	uint64_t bad_lines = 0;

	process->mappings = mapset_create();
	if (!process->mappings) {
		process->mappings = before;
		return -ENOMEM;
	}
	struct reading reading = {t, process};
	int err = proc_maps_read(process->tgid, read_mapping, &reading, &bad_lines);
	t->stats.bad_maps_lines += bad_lines;
	if (err < 0 || mapset_count(process->mappings) == 0) {
		/* Gone: a zombie's maps are empty. */
		mapset_unref(process->mappings);
		process->mappings = before;
		return err < 0 ? err : -ESRCH;
	}
	mapset_unref(before);
	/* What was lost may have been an exec. */
	struct proc_stat stat;
	if (proc_stat_read(process->tgid, &stat) == 0)
		set_name(process, stat.comm);
	read_executable(process);
	process->complete = true;
	process->read_epoch = epoch;
	return 0;
}

/* Add a process that was there before. */
static struct process *read_process(struct process_table *t, int32_t tgid, uint64_t epoch)
{
	struct proc_stat stat;

	if (proc_stat_read(tgid, &stat) < 0)
		return NULL;
	struct process *process = begin_instance(t, tgid, 0, NULL);
	if (!process)
		return NULL;
	process->parent = stat.parent;
	process->is_kernel_thread = stat.is_kernel_thread;
	set_name(process, stat.comm);
	if (!stat.is_kernel_thread)
		read_mappings(t, process, epoch);
	t->stats.from_proc++;
	return process;
}

int process_table_scan(struct process_table *t)
{
	DIR *proc = opendir("/proc");
	int count = 0;

	if (!proc)
		return -errno;
	for (struct dirent *entry; (entry = readdir(proc));) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);
		if (*end || pid <= 0 || pid > INT32_MAX || entry_of(t, (int32_t)pid))
			continue;
		count += read_process(t, (int32_t)pid, 0) != NULL;
	}
	closedir(proc);
	return count;
}

struct process *process_table_find(struct process_table *t, int32_t tgid, uint64_t time_ns, uint64_t window,
				   uint64_t epoch)
{
	struct tgid_entry *entry = entry_of(t, tgid);
	struct process *process = entry ? entry->newest : NULL;

	while (process && process->start_ns > time_ns && process->older)
		process = process->older;
	if (!process) {
		entry = add_entry(t, tgid);
		if (!entry || entry->absent_window == window)
			return NULL;
		process = read_process(t, tgid, epoch);
		if (!process) {
			entry->absent_window = window;
			return NULL;
		}
	}
	process->last_window = window;
	bool alive = process->end_ns == UINT64_MAX && !process->is_kernel_thread;
	if (alive && (!process->complete || process->read_epoch < epoch)) {
		process->read_epoch = epoch; /* once, also when it fails */
		read_mappings(t, process, epoch);
	}
	return process;
}

struct last_file {
	uint32_t vdso;
	struct mapping mapping; /* end 0: none */
};

static void keep_last_file(void *context, const struct mapping *mapping)
{
	struct last_file *last = context;

	if (mapping->image != MAPPING_NO_IMAGE && mapping->image != last->vdso)
		last->mapping = *mapping;
}

/* Whether a process has the libraries of another one where that one has them: an exec would have moved them. */
static bool has_layout_of(struct process_table *t, const struct process *process, const struct process *other)
{
	int64_t vdso = image_table_vdso(t->images);
	struct last_file last = {.vdso = vdso < 0 ? MAPPING_NO_IMAGE : (uint32_t)vdso};

	mapset_each(process->mappings, keep_last_file, &last);
	const struct mapping *same = last.mapping.end ? mapset_find(other->mappings, last.mapping.start) : NULL;
	return same && same->start == last.mapping.start && same->image == last.mapping.image;
}

const struct process *process_table_origin(struct process_table *t, const struct process *process)
{
	struct tgid_entry *entry = entry_of(t, process->parent);
	const struct process *origin = entry ? entry->newest : NULL;

	/* It was there before hearth, or its record was lost. */
	if (!process->forked_from && !process->start_ns)
		return origin && has_layout_of(t, process, origin) ? origin : NULL;
	while (origin && (!process->forked_from || origin->serial != process->forked_from))
		origin = origin->older;
	return origin;
}

static void free_process(struct process_table *t, struct process *process)
{
	tell_change(t, process);
	mapset_unref(process->mappings);
	free(process->jit_dump);
	free(process);
	t->stats.processes--;
}

static void free_ended(struct process_table *t, struct tgid_entry *entry, uint64_t before_ns)
{
	for (struct process **at = &entry->newest; *at;) {
		struct process *process = *at;
		if (process->end_ns >= before_ns) {
			at = &process->older;
			continue;
		}
		*at = process->older;
		free_process(t, process);
	}
}

static uint64_t entry_bytes(const struct tgid_entry *entry)
{
	uint64_t bytes = sizeof(*entry);

	for (const struct process *p = entry->newest; p; p = p->older)
		bytes += sizeof(*p) + mapset_bytes(p->mappings);
	return bytes;
}

static void drop_entry(struct process_table *t, struct tgid_entry *entry)
{
	free_ended(t, entry, UINT64_MAX);
	while (entry->newest) {
		struct process *older = entry->newest->older;
		free_process(t, entry->newest);
		entry->newest = older;
	}
	HASH_DEL(t->entries, entry);
	free(entry);
}

static int by_last_window(struct tgid_entry *a, struct tgid_entry *b)
{
	uint64_t x = a->newest ? a->newest->last_window : 0, y = b->newest ? b->newest->last_window : 0;

	return x < y ? -1 : x > y;
}

void process_table_end_window(struct process_table *t, uint64_t before_ns, uint64_t window)
{
	struct tgid_entry *entry, *next;
	uint64_t bytes = 0;

	HASH_ITER(hh, t->entries, entry, next) {
		free_ended(t, entry, before_ns);
		if (!entry->newest && entry->absent_window != window)
			drop_entry(t, entry);
		else
			bytes += entry_bytes(entry);
	}
	if (bytes > t->budget_bytes) {
		HASH_SORT(t->entries, by_last_window);
		HASH_ITER(hh, t->entries, entry, next) {
			if (bytes <= t->budget_bytes - t->budget_bytes / 4)
				break;
			bytes -= entry_bytes(entry);
			drop_entry(t, entry);
			t->stats.evicted++;
		}
	}
	t->stats.bytes = bytes;
}

static void mark_mapping(void *context, const struct mapping *mapping)
{
	bool *in_use = context;

	if (mapping->image != MAPPING_NO_IMAGE)
		in_use[mapping->image] = true;
}

/* For image_table_sweep(). */
static void mark_images(void *context, bool *in_use, size_t n)
{
	struct process_table *t = context;

	(void)n; /* mappings hold no index beyond the table's slots */
	for (struct tgid_entry *entry = t->entries; entry; entry = entry->hh.next)
		for (struct process *p = entry->newest; p; p = p->older)
			mapset_each(p->mappings, mark_mapping, in_use);
}

void process_table_sweep_images(struct process_table *t, uint64_t window)
{
	if (image_table_is_full(t->images))
		image_table_sweep(t->images, window, mark_images, t);
}

void process_table_stats(const struct process_table *t, struct process_table_stats *stats_out)
{
	*stats_out = t->stats;
}

void process_table_destroy(struct process_table *t)
{
	struct tgid_entry *entry, *next;

	if (!t)
		return;
	HASH_ITER(hh, t->entries, entry, next)
		drop_entry(t, entry);
	free(t);
}
