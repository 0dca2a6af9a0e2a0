#include "agent/jit_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/proc_status.h"
#include "base/clock.h"
#include "base/scope.h"

#define KEPT_WINDOWS 6	      /* without a sample */
#define FORESEE_NS   (100 * NS_PER_MS)
#define SLACK_NS     NS_PER_S /* between a file's time stamp and ours */

struct jit_files {
	struct image_table *images;
	struct jit_process *processes; /* JIT_PROCESSES_MAX of them */
	size_t n;		       /* slots that were ever used */
	uint32_t last_seen;	       /* slot: samples of one process come together */
	struct jit_files_stats stats;
};

int jit_files_create(struct image_table *images, struct jit_files **files_out)
{
	struct jit_files *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->images = images;
	f->processes = calloc(JIT_PROCESSES_MAX, sizeof(*f->processes));
	if (!f->processes) {
		free(f);
		return -ENOMEM;
	}
	*files_out = f;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void let_go(struct jit_files *f, struct jit_process *p)
{
	close_fd(&p->proc_fd);
	close_fd(&p->root_fd);
	close_fd(&p->map_fd);
	close_fd(&p->dump_fd);
	f->stats.held -= p->is_held;
	p->is_held = false;
}

static void forget(struct jit_files *f, struct jit_process *p)
{
	let_go(f, p);
	free(p->dump);
	p->dump = NULL;
	p->serial = 0;
	f->stats.processes--;
}

/* ---- facts of a process ---- */

struct runtime_search {
	struct image_table *images;
	enum jit_runtime found;
};

static void look_at_mapping(void *context, const struct mapping *mapping)
{
	struct runtime_search *search = context;
	const struct image *image = mapping->image == MAPPING_NO_IMAGE ? NULL : image_table_get(search->images, mapping->image);
	enum jit_runtime runtime = image ? jit_runtime_of(image->path) : JIT_RUNTIME_UNKNOWN;

	/* The lowest of the list: libjvm.so tells more than the program that embeds it. */
	if (runtime && (!search->found || runtime < search->found))
		search->found = runtime;
}

static enum jit_runtime runtime_of(struct jit_files *f, const struct process *process)
{
	struct runtime_search search = {.images = f->images};

	mapset_each(process->mappings, look_at_mapping, &search);
	return search.found;
}

static void add_owner(struct file_owners *owners, uid_t uid)
{
	if (owners->n < FILE_OWNERS_MAX)
		owners->uids[owners->n++] = uid;
}

/* Who may write its perf map: whom it runs as, root, and the root of its user namespace. */
static int read_owners(int proc_fd, struct file_owners *owners, struct proc_status *status)
{
	bool has_root = false;
	uid_t root = 0;

	int err = proc_status_read(proc_fd, status, &has_root, &root);
	if (err < 0)
		return err;
	owners->n = 0;
	add_owner(owners, 0);
	add_owner(owners, status->uids[1]);
	if (has_root)
		add_owner(owners, root);
	for (int i = 0; i < 4; i++)
		if (i != 1 && status->uids[i] != status->uids[1])
			add_owner(owners, status->uids[i]);
	return 0;
}

static int open_proc(int32_t tgid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", tgid);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whether this is the process that was sampled, not a later one with its pid. */
static bool is_same(const struct jit_process *p, const struct proc_status *status)
{
	uint64_t boot_offset_ns = clock_ns(CLOCK_BOOTTIME) - clock_ns(CLOCK_MONOTONIC);
	uint64_t began_ns = status->start_ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));

	if (p->start_ticks)
		return p->start_ticks == status->start_ticks;
	return !p->start_ns || began_ns <= p->start_ns + boot_offset_ns + SLACK_NS;
}

/* From here on proc_fd is this process, or nothing: never another one with its pid. */
static void hold(struct jit_process *p, bool has_ended)
{
	struct file_owners owners;
	struct proc_status status;

	p->ns_pid = p->ns_pid ? p->ns_pid : p->tgid;
	AUTO_CLOSE int fd = has_ended ? -1 : open_proc(p->tgid);
	if (fd >= 0 && read_owners(fd, &owners, &status) == 0 && is_same(p, &status)) {
		p->ns_pid = status.ns_pid;
		p->start_ticks = status.start_ticks;
		p->owners = owners;
		p->proc_fd = take_fd(&fd);
		return;
	}
	if (p->start_ticks)
		return;
	/* Gone before it was seen: its parent's user is most likely its own. */
	AUTO_CLOSE int parent_fd = p->parent > 0 ? open_proc(p->parent) : -1;
	p->was_gone = true;
	if (parent_fd >= 0 && read_owners(parent_fd, &owners, &status) == 0) {
		p->owners = owners;
		return;
	}
	p->owners.n = 0;
	add_owner(&p->owners, 0);
}

/* ---- files ---- */

/* A map that an earlier process with this pid left behind tells nothing of this one. */
static bool is_older(const struct jit_process *p, const struct opened_image *opened)
{
	int64_t offset_ns = (int64_t)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC));

	return p->start_ns && opened->mtime_ns < (int64_t)(p->start_ns - SLACK_NS) + offset_ns;
}

/* Its own root, as it is now, or was last. Without one, once it is gone, its parent's and then ours; but outside of its pid namespace another
 * process has its pid. */
static int find_map(struct jit_process *p, struct opened_image *opened)
{
	int root = p->proc_fd < 0 ? -1 : openat(p->proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC), err = -ENOENT;

	if (root >= 0) {
		close_fd(&p->root_fd);
		p->root_fd = root;
	}
	if (p->root_fd >= 0)
		return image_open_perf_map(p->root_fd, p->ns_pid, &p->owners, opened);
	if (p->ns_pid != p->tgid)
		return -ENOENT;
	for (int i = 0; i < 2 && err == -ENOENT; i++) {
		AUTO_CLOSE int other = -1;
		if ((i == 0 && p->parent <= 0) || image_root_open(i ? 0 : p->parent, 0, &other) < 0)
			continue;
		err = image_open_perf_map(other, p->ns_pid, &p->owners, opened);
	}
	return err;
}

static void open_map(struct jit_files *f, struct jit_process *p)
{
	struct opened_image opened;

	int err = find_map(p, &opened);
	if (err == 0 && is_older(p, &opened)) {
		close(opened.fd);
		err = -ESTALE;
	}
	if (err < 0) {
		/* What is open stays: the process has ended and its folder is gone, or it removed the file. */
		if (p->map_fd >= 0)
			return;
		if (err != -ENOENT && err != p->map_error)
			f->stats.maps_refused++;
		p->map_error = err;
		return;
	}
	uint64_t device = (uint64_t)opened.dev_major << 32 | opened.dev_minor;
	p->map_error = 0;
	if (p->map_fd >= 0 && device == p->map_device && opened.inode == p->map_inode) {
		close(opened.fd);
		return;
	}
	close_fd(&p->map_fd);
	p->map_fd = opened.fd;
	p->map_device = device;
	p->map_inode = opened.inode;
	f->stats.maps_opened++;
}

static bool is_alive(const struct jit_process *p)
{
	return p->proc_fd >= 0 && faccessat(p->proc_fd, "stat", F_OK, 0) == 0;
}

static void open_dump(struct jit_files *f, struct jit_process *p)
{
	struct opened_image opened;

	if (!p->dump || p->dump_fd >= 0)
		return;
	struct image_request request = {
		.tgid = p->tgid,
		.parent = p->parent,
		.start = p->dump->start,
		.end = p->dump->end,
		.path = p->dump->path,
		.has_inode = true,
		.dev_major = p->dump->dev_major,
		.dev_minor = p->dump->dev_minor,
		.inode = p->dump->inode,
	};
	if (image_open(&request, &opened) < 0)
		return;
	/* What map_files leads to is the mapped file, though some file systems tell another inode; unless another process has the pid by now. */
	if (opened.inode != p->dump->inode && !is_alive(p)) {
		close(opened.fd);
		return;
	}
	p->dump_fd = opened.fd;
	f->stats.dumps_opened++;
}

static bool make_room(struct jit_files *f, uint64_t window)
{
	struct jit_process *oldest = NULL;

	if (f->stats.held < JIT_HELD_MAX)
		return true;
	for (size_t i = 0; i < f->n; i++) {
		struct jit_process *p = &f->processes[i];
		if (p->serial && p->is_held && p->last_used < window && (!oldest || p->last_used < oldest->last_used))
			oldest = p;
	}
	if (!oldest)
		return false;
	let_go(f, oldest);
	return true;
}

/* ---- processes ---- */

static struct jit_process *find(struct jit_files *f, uint64_t serial, uint32_t *slot_out)
{
	if (f->last_seen < f->n && f->processes[f->last_seen].serial == serial) {
		*slot_out = f->last_seen;
		return &f->processes[f->last_seen];
	}
	for (uint32_t i = 0; i < f->n; i++) {
		if (f->processes[i].serial != serial)
			continue;
		*slot_out = f->last_seen = i;
		return &f->processes[i];
	}
	return NULL;
}

/* A free slot; or that of the process that was not sampled for the longest time, and not in this window. */
static struct jit_process *free_slot(struct jit_files *f, uint64_t window, uint32_t *slot_out)
{
	struct jit_process *best = NULL;

	for (size_t i = 0; i < f->n; i++) {
		struct jit_process *p = &f->processes[i];
		if (!p->serial || (p->last_used < window && (!best || p->last_used < best->last_used)))
			best = p;
		if (!p->serial)
			break;
	}
	if ((!best || best->serial) && f->n < JIT_PROCESSES_MAX)
		best = &f->processes[f->n++];
	if (!best) {
		f->stats.processes_refused++;
		return NULL;
	}
	if (best->serial) {
		forget(f, best);
		f->stats.forgotten++;
	}
	*slot_out = (uint32_t)(best - f->processes);
	return best;
}

/* What may have changed since it was seen last. */
static void follow(struct jit_files *f, struct jit_process *p, const struct process *process)
{
	const struct jit_dump_place *dump = process->jit_dump;

	if (dump && (!p->dump || p->dump->inode != dump->inode || p->dump->start != dump->start)) {
		free(p->dump);
		p->dump = jit_dump_place_copy(dump);
		close_fd(&p->dump_fd);
	}
	if (!p->runtime)
		p->runtime = runtime_of(f, process);
	memcpy(p->name, process->name, sizeof(p->name));
}

static uint32_t add(struct jit_files *f, const struct process *process, uint64_t window)
{
	uint32_t slot;
	struct jit_process *p = free_slot(f, window, &slot);

	if (!p)
		return JIT_NONE;
	*p = (struct jit_process){
		.serial = process->serial,
		.tgid = process->tgid,
		.parent = process->parent,
		.origin = JIT_NONE,
		.start_ns = process->start_ns,
		.last_used = window,
		.proc_fd = -1,
		.root_fd = -1,
		.map_fd = -1,
		.dump_fd = -1,
		.map_error = -ENOENT,
	};
	f->stats.processes++;
	f->last_seen = slot;
	follow(f, p, process);
	p->is_held = make_room(f, window);
	f->stats.held += p->is_held;
	hold(p, process->end_ns != UINT64_MAX);
	open_map(f, p);
	open_dump(f, p);
	if (!p->is_held)
		let_go(f, p);
	return slot;
}

/* One process, without what it was forked from. is_new_out: seen for the first time in this window. */
static uint32_t see(struct jit_files *f, const struct process *process, uint64_t window, bool *is_new_out)
{
	uint32_t slot;
	struct jit_process *p = find(f, process->serial, &slot);

	*is_new_out = !p || p->last_used != window;
	if (!p)
		return add(f, process, window);
	if (p->last_used == window)
		return slot;
	p->last_used = window;
	p->samples = p->unnamed = 0;
	follow(f, p, process);
	if (!p->is_held && make_room(f, window)) {
		p->is_held = true;
		f->stats.held++;
	}
	return slot;
}

void jit_files_foresee(struct jit_files *f, const struct process *process, uint64_t window)
{
	uint32_t slot;
	struct jit_process *p = find(f, process->serial, &slot);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (!p) {
		/* Of the window before: what is sampled goes first when there is too much. */
		if (window && process->end_ns == UINT64_MAX && (slot = add(f, process, window - 1)) != JIT_NONE)
			f->processes[slot].foreseen_ns = now_ns;
		return;
	}
	/* Some protect their memory anew for each piece of code. */
	if (!p->is_held || p->map_fd >= 0 || now_ns - p->foreseen_ns < FORESEE_NS)
		return;
	p->foreseen_ns = now_ns;
	open_map(f, p);
}

uint32_t jit_files_see(struct jit_files *f, struct process_table *table, const struct process *process, uint64_t window)
{
	bool is_new;
	uint32_t slot = see(f, process, window, &is_new);

	if (slot == JIT_NONE || !is_new)
		return slot;
	/* Its memory is a copy of its parent's, with that one's code: pre-forking servers, workers of pools. */
	struct jit_process *p = &f->processes[slot];
	const struct process *origin = process_table_origin(table, process);
	if (origin) {
		p->origin = see(f, origin, window, &is_new);
		p->origin_serial = origin->serial;
	}
	/* A process that has ended keeps what was found of it, until its slot is another one's. */
	if (p->origin != JIT_NONE && f->processes[p->origin].serial == p->origin_serial)
		f->processes[p->origin].last_used = window;
	else
		p->origin = JIT_NONE;
	f->last_seen = slot;
	return slot;
}

struct jit_process *jit_files_get(struct jit_files *f, uint32_t slot)
{
	return slot < f->n && f->processes[slot].serial ? &f->processes[slot] : NULL;
}

void jit_files_open(struct jit_files *f, uint32_t slot, struct jit_source *source_out)
{
	struct jit_process *p = &f->processes[slot];

	if (p->proc_fd < 0 && !p->was_gone)
		hold(p, false);
	open_map(f, p);
	open_dump(f, p);
	*source_out = (struct jit_source){.map_fd = p->map_fd, .dump_fd = p->dump_fd};
}

void jit_files_done(struct jit_files *f, uint32_t slot)
{
	if (!f->processes[slot].is_held)
		let_go(f, &f->processes[slot]);
}

void jit_files_end_window(struct jit_files *f, uint64_t window)
{
	for (size_t i = 0; i < f->n; i++) {
		struct jit_process *p = &f->processes[i];
		if (p->serial && p->last_used + KEPT_WINDOWS < window)
			forget(f, p);
	}
}

void jit_files_each(const struct jit_files *f, uint64_t window, void (*fn)(void *context, const struct jit_process *process), void *context)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->processes[i].serial && f->processes[i].last_used == window)
			fn(context, &f->processes[i]);
}

void jit_files_stats(const struct jit_files *f, struct jit_files_stats *stats_out)
{
	*stats_out = f->stats;
}

void jit_files_destroy(struct jit_files *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		if (f->processes[i].serial)
			forget(f, &f->processes[i]);
	free(f->processes);
	free(f);
}
