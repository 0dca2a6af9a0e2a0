#include "agent/sampler.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "agent/cpu_events.h"
#include "agent/cpu_idle.h"
#include "base/clock.h"
#include "base/scope.h"
#include "bpf/sample.skel.h"

#define GENERATIONS	  2
#define ENTRIES_MIN_BYTES (128u << 10)
#define ENTRIES_MAX_BYTES (2u << 20) /* an ARRAY's value is at most 4 MiB (KMALLOC_MAX_SIZE) on 5.10 */
#define ENTRY_BYTES_GUESS 512	     /* a new stack of 40 frames and its entry */
#define SLOTS_MIN	  512u
#define SLOTS_MAX	  32768u
#define TARGETS_MAX	  16384u
#define SLOTS_OF_TABLES	  8192u
#define MAPSETS_MAX	  4096u
#define PROCESSES_MAX	  8192u	     /* that have a mapset in the kernel: those that are sampled */
#define DEFERRALS_BYTES	  (8u << 20) /* of stacks on their way to user space: 500 of 16 KiB */
/* Occurrences a second that the arenas are sized for when the event is not a clock. */
#define OCCURRENCES_GUESS 10000

struct cpu_account {
	uint64_t fired;	     /* drained so far */
	uint64_t idle;	     /* of these on the idle task */
	uint64_t missed;     /* reported so far */
	uint64_t expected;   /* by the clock, when the generation was retired */
	uint64_t last_fired; /* at the last check, to see a CPU that gives no tick */
	double idle_periods; /* that idle time explains, until the last change of rate or pause */
};

struct sampler {
	struct sampler_options options;
	struct sample_bpf *skel;
	struct bpf_program *program; /* of the skeleton: the one that this kernel and event take */
	struct cpu_events *events;
	struct ring_buffer *ring;
	struct ring_buffer *cgroups; /* that were made */
	sampler_cgroup_fn cgroup_fn; /* while they are read */
	void *cgroup_context;
	struct cpu_account *accounts;
	int n_cpus;
	int arena_fds[GENERATIONS];
	uint8_t *arenas[GENERATIONS]; /* n_cpus arenas, mapped */
	size_t arena_stride;
	size_t entries_offset;
	size_t mapped_bytes;
	int chunk_fd;		 /* the first chunk of unwind tables, and the model of the others */
	struct sampler_unwind unwind;
	uint32_t retired;	 /* generation to drain */
	uint64_t *idle_start_ns; /* idle time of each CPU at the start, or at the last change of rate or pause; and now */
	uint64_t *idle_ns;
	bool is_paused;
};

static size_t power_of_two_above(uint64_t n)
{
	size_t power = 1;

	while (power < n)
		power <<= 1;
	return power;
}

static uint64_t clamp(uint64_t n, uint64_t low, uint64_t high)
{
	return n < low ? low : n > high ? high : n;
}

/* Sizes follow from rate x window; at the limit the agent drains early (DESIGN.md, "Map sizes"). */
static void size_arenas(struct sampler *s)
{
	const struct sampler_options *o = &s->options;
	uint64_t per_s = o->event.is_time ? o->rate_hz : OCCURRENCES_GUESS;
	uint64_t samples = per_s * (o->window_ns / 1000000) / 1000;
	size_t slots = power_of_two_above(clamp(2 * samples, SLOTS_MIN, SLOTS_MAX));
	size_t entries = clamp(samples * ENTRY_BYTES_GUESS, ENTRIES_MIN_BYTES, ENTRIES_MAX_BYTES);
	struct sample_bpf__rodata *settings = s->skel->rodata;

	s->entries_offset = ARENA_SLOTS_OFFSET + slots * sizeof(uint32_t);
	s->arena_stride = (s->entries_offset + entries + 7) & ~(size_t)7;
	settings->arena_bytes = s->arena_stride;
	settings->entries_offset = s->entries_offset;
	settings->slot_mask = slots - 1;
	settings->wake_bytes = s->entries_offset + entries / 2;
}

static uint64_t square_root(uint64_t n)
{
	uint64_t root = 0;

	while ((root + 1) * (root + 1) <= n)
		root++;
	return root;
}

static int seed_hash(struct sampler *s)
{
	uint64_t seed[2];

	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -EIO;
	s->skel->rodata->hash_seed[0] = seed[0];
	s->skel->rodata->hash_seed[1] = seed[1];
	return 0;
}

static int create_arenas(struct sampler *s)
{
	LIBBPF_OPTS(bpf_map_create_opts, map_options, .map_flags = BPF_F_MMAPABLE);

	for (int i = 0; i < GENERATIONS; i++) {
		s->arena_fds[i] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "arena", sizeof(uint32_t), (uint32_t)s->arena_stride,
						 (uint32_t)s->n_cpus, &map_options);
		if (s->arena_fds[i] < 0)
			return s->arena_fds[i];
		s->mapped_bytes = (s->arena_stride * (size_t)s->n_cpus + 4095) & ~(size_t)4095;
		void *at = mmap(NULL, s->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->arena_fds[i], 0);
		if (at == MAP_FAILED)
			return -errno;
		s->arenas[i] = at;
	}
	return bpf_map__set_inner_map_fd(s->skel->maps.arenas, s->arena_fds[0]);
}

static int create_chunk(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, map_options, .map_flags = BPF_F_MMAPABLE);

	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "unwind_chunk", sizeof(uint32_t), UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK, 1,
			      &map_options);
}

/* The maps of the walk: as large as the budget says, chunks aside, which come one by one. */
static int size_unwind_maps(struct sampler *s)
{
	uint64_t chunks = clamp(s->options.unwind_budget_bytes / UNWIND_CHUNK_BYTES, 1, UNWIND_CHUNKS_MAX);

	s->unwind.n_slots = SLOTS_OF_TABLES;
	s->unwind.n_mapsets = MAPSETS_MAX;
	s->chunk_fd = create_chunk();
	if (s->chunk_fd < 0)
		return s->chunk_fd;
	int err = bpf_map__set_inner_map_fd(s->skel->maps.unwind_chunks, s->chunk_fd);
	if (err == 0)
		err = bpf_map__set_max_entries(s->skel->maps.unwind_chunks, (uint32_t)chunks);
	if (err == 0)
		err = bpf_map__set_max_entries(s->skel->maps.unwind_slots, s->unwind.n_slots);
	if (err == 0)
		err = bpf_map__set_max_entries(s->skel->maps.unwind_mapsets, s->unwind.n_mapsets);
	if (err == 0)
		err = bpf_map__set_max_entries(s->skel->maps.unwind_processes, PROCESSES_MAX);
	if (err == 0)
		err = bpf_map__set_max_entries(s->skel->maps.deferrals, DEFERRALS_BYTES);
	return err;
}

static void *map_array(const struct bpf_map *map, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

static int map_unwind_arrays(struct sampler *s)
{
	struct sampler_unwind *u = &s->unwind;

	u->slots = map_array(s->skel->maps.unwind_slots, u->n_slots * sizeof(u->slots[0]));
	u->mapsets = map_array(s->skel->maps.unwind_mapsets, u->n_mapsets * sizeof(u->mapsets[0]));
	u->processes_fd = bpf_map__fd(s->skel->maps.unwind_processes);
	u->deferrals_fd = bpf_map__fd(s->skel->maps.deferrals);
	u->epoch = &s->skel->bss->unwind_epoch;
	return u->slots && u->mapsets ? 0 : -ENOMEM;
}

void sampler_unwind(const struct sampler *s, struct sampler_unwind *unwind_out)
{
	*unwind_out = s->unwind;
}

int sampler_chunk_create(void *context, uint32_t index, void **at_out)
{
	struct sampler *s = context;
	AUTO_CLOSE int fd = index == 0 ? dup(s->chunk_fd) : create_chunk();

	if (fd < 0)
		return index == 0 ? -errno : fd;
	void *at = mmap(NULL, UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.unwind_chunks), &index, &fd, BPF_ANY) < 0) {
		int err = -errno;
		munmap(at, UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK);
		return err;
	}
	*at_out = at;
	return 0;
}

void sampler_chunk_destroy(void *context, uint32_t index, void *at)
{
	(void)context;
	(void)index;
	munmap(at, UNWIND_CHUNK_BYTES + UNWIND_CHUNK_SLACK);
}

static int set_slot(struct sampler *s, uint32_t generation)
{
	return bpf_map_update_elem(bpf_map__fd(s->skel->maps.arenas), &generation, &s->arena_fds[generation], BPF_ANY);
}

static void choose_programs(struct sampler *s)
{
	bool tracepoint = strchr(s->options.event.name, ':') != NULL;
	bool targets = s->options.only_targets;

	s->program = tracepoint ? s->skel->progs.sample_tracepoint : s->skel->progs.sample_tick;
	bpf_program__set_autoload(s->skel->progs.sample_tick, !tracepoint);
	bpf_program__set_autoload(s->skel->progs.sample_tracepoint, tracepoint);
	bpf_program__set_autoload(s->skel->progs.follow_fork, targets && s->options.inherit);
	bpf_program__set_autoload(s->skel->progs.arm_exec, targets);
	bpf_program__set_autoload(s->skel->progs.forget_process, targets);
	bpf_map__set_max_entries(s->skel->maps.targets, targets ? TARGETS_MAX : 1);
	s->skel->rodata->filter_targets = targets;
	s->skel->rodata->filter_cgroup = s->options.cgroup_fd >= 0;
	s->skel->rodata->sample_idle = s->options.sample_idle;
	s->skel->rodata->by_thread = s->options.by_thread;
}

static int on_wake(void *context, void *data, size_t bytes)
{
	/* Which arena it was does not matter: all are drained. */
	(void)context;
	(void)data;
	(void)bytes;
	return 0;
}

static int on_cgroup(void *context, void *data, size_t bytes)
{
	const struct sampler *s = context;
	const struct cgroup_record *record = data;

	if (bytes > sizeof(*record))
		s->cgroup_fn(s->cgroup_context, record->id, (const char *)(record + 1), bytes - sizeof(*record));
	return 0;
}

static int explain_load(int err, struct why *why)
{
	switch (err) {
	case -EPERM:
		return why_set(why, err,
			       "loading the sampling program was refused: run as root, or give hearth CAP_BPF and CAP_PERFMON "
			       "('hearth check' tells what this machine allows)");
	case -ESRCH:
	case -ENOENT:
		return why_set(why, err,
			       "this kernel has no type information (/sys/kernel/btf/vmlinux): use one built with "
			       "CONFIG_DEBUG_INFO_BTF=y");
	case -ENOMEM:
		return why_set(why, err, "not enough memory for the sampling program's maps");
	case -ENOSYS:
		return why_set(why, err, "this kernel has no bpf(): use one built with CONFIG_BPF_SYSCALL=y");
	default:
		return why_set(why, err, "loading the sampling program: %s; 'hearth check' tells what this machine allows",
			       strerror(-err));
	}
}

static int load(struct sampler *s)
{
	s->skel = sample_bpf__open();
	if (!s->skel)
		return -errno;
	size_arenas(s);
	choose_programs(s);
	int err = seed_hash(s);
	if (err < 0)
		return err;
	err = create_arenas(s);
	if (err < 0)
		return err;
	err = size_unwind_maps(s);
	if (err < 0)
		return err;
	err = sample_bpf__load(s->skel);
	if (err == 0)
		err = map_unwind_arrays(s);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < GENERATIONS; i++) {
		err = set_slot(s, i);
		if (err < 0)
			return err;
	}
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.wakes), on_wake, s, NULL);
	if (s->ring)
		s->cgroups = ring_buffer__new(bpf_map__fd(s->skel->maps.cgroups_made), on_cgroup, s, NULL);
	return s->ring && s->cgroups ? 0 : -errno;
}

int sampler_open(const struct sampler_options *options, struct sampler **sampler_out, struct why *why)
{
	struct sampler *s = calloc(1, sizeof(*s));
	if (!s)
		return why_set(why, -ENOMEM, "out of memory");
	s->options = *options;
	s->chunk_fd = -1;
	for (int i = 0; i < GENERATIONS; i++)
		s->arena_fds[i] = -1;
	s->n_cpus = libbpf_num_possible_cpus();
	int err = s->n_cpus < 0 ? s->n_cpus : load(s);
	if (err == 0) {
		s->accounts = calloc((size_t)s->n_cpus, sizeof(*s->accounts));
		s->idle_start_ns = calloc((size_t)s->n_cpus, sizeof(*s->idle_start_ns));
		s->idle_ns = calloc((size_t)s->n_cpus, sizeof(*s->idle_ns));
		err = s->accounts && s->idle_start_ns && s->idle_ns ? 0 : -ENOMEM;
	}
	if (err == 0 && options->cgroup_fd >= 0) {
		uint32_t zero = 0;
		err = bpf_map_update_elem(bpf_map__fd(s->skel->maps.cgroups), &zero, &options->cgroup_fd, BPF_ANY);
	}
	if (err < 0) {
		sampler_close(s);
		return explain_load(err, why);
	}
	*sampler_out = s;
	return 0;
}

int sampler_target(struct sampler *s, pid_t pid, bool from_exec)
{
	uint32_t key = (uint32_t)pid, state = from_exec ? TARGET_ARMED : TARGET_ON;

	return bpf_map_update_elem(bpf_map__fd(s->skel->maps.targets), &key, &state, BPF_ANY);
}

static int attach(struct bpf_program *program, struct bpf_link **link_out)
{
	if (!bpf_program__autoload(program))
		return 0;
	*link_out = bpf_program__attach(program);
	return *link_out ? 0 : -errno;
}

int sampler_start(struct sampler *s, struct why *why)
{
	int err = attach(s->skel->progs.fork_mappings, &s->skel->links.fork_mappings);
	if (err == 0)
		err = attach(s->skel->progs.exec_mappings, &s->skel->links.exec_mappings);
	if (err == 0)
		err = attach(s->skel->progs.free_mappings, &s->skel->links.free_mappings);
	if (err == 0)
		err = attach(s->skel->progs.follow_fork, &s->skel->links.follow_fork);
	if (err == 0)
		err = attach(s->skel->progs.arm_exec, &s->skel->links.arm_exec);
	if (err == 0)
		err = attach(s->skel->progs.forget_process, &s->skel->links.forget_process);
	if (err < 0)
		return why_set(why, err, "attaching to the scheduler's tracepoints: %s", strerror(-err));
	/* Kernels without this tracepoint notice a change of mappings a moment later. */
	attach(s->skel->progs.change_mappings, &s->skel->links.change_mappings);
	/* Without this one cgroups are asked for when they were sampled, and those that are gone by then have no names. */
	attach(s->skel->progs.learn_cgroup, &s->skel->links.learn_cgroup);
	err = cpu_events_create(&s->options.event, s->options.rate_hz, s->options.period, bpf_program__fd(s->program),
				s->n_cpus, &s->events);
	if (err < 0)
		return why_set(why, err, "out of memory");
	cpu_idle_read(s->idle_start_ns, s->n_cpus);
	err = cpu_events_follow(s->events, why);
	return err < 0 ? err : 0;
}

int sampler_wake_fd(const struct sampler *s)
{
	return ring_buffer__epoll_fd(s->ring);
}

static struct arena_header *header_of(const struct sampler *s, uint32_t generation, int cpu)
{
	return (struct arena_header *)(void *)(s->arenas[generation] + (size_t)cpu * s->arena_stride);
}

/* Ticks that never reached the program. A CPU that sleeps deeply takes no ticks while it is idle: what its
 * idle time explains is not missed. The slack covers the first period, which may be whole, the resolution of idle times, and
 * that ticks are a sample of idle time. On a busy CPU the figure is exact to one tick. */
static uint64_t missed_ticks(const struct sampler *s, int cpu)
{
	struct cpu_account *account = &s->accounts[cpu];
	uint64_t reached = account->fired + account->missed + 1, idle_ticks = 0;

	if (account->expected <= reached)
		return 0;
	if (s->options.event.is_clock && s->idle_ns[cpu] >= s->idle_start_ns[cpu]) {
		uint64_t idle_ns = s->is_paused ? 0 : s->idle_ns[cpu] - s->idle_start_ns[cpu] + CPU_IDLE_RESOLUTION_NS;
		uint64_t periods = (uint64_t)(account->idle_periods + (double)idle_ns * (double)s->options.rate_hz / (double)NS_PER_S);
		idle_ticks = periods > account->idle ? periods - account->idle : 0;
		idle_ticks += 1 + 2 * square_root(periods);
	}
	uint64_t unreached = account->expected - reached;
	uint64_t missed = unreached > idle_ticks ? unreached - idle_ticks : 0;
	account->missed += missed;
	return missed;
}

static void add_header(const struct arena_header *header, struct sampler_counts *counts)
{
	counts->fired += header->fired;
	counts->idle += header->idle;
	counts->filtered += header->filtered;
	counts->samples += header->samples;
	counts->unindexed += header->unindexed;
	counts->deferred += header->deferred;
	counts->deferred_no_room += header->deferred_no_room;
	for (int i = 0; i < DROP_REASONS; i++)
		counts->dropped[i] += header->dropped[i];
	if (header->cost_runs)
		counts->cost_ns += header->cost_ns / header->cost_runs * header->samples;
	counts->early |= header->signalled;
}

/* Hand over the entries of one arena. Returns the samples in entries that were not handed over. */
static uint64_t read_entries(const struct sampler *s, const uint8_t *arena, sampler_entry_fn fn, void *context, int *err)
{
	const struct arena_header *header = (const void *)arena;
	uint64_t lost = 0;

	for (size_t at = s->entries_offset; at + sizeof(struct arena_entry) <= header->head;) {
		const struct arena_entry *entry = (const void *)(arena + at);
		const uint64_t *frames = (const void *)(entry + 1);
		if (*err == 0)
			*err = fn(context, entry, frames);
		if (*err != 0)
			lost += entry->count;
		at += sizeof(*entry) + ((size_t)entry->n_kernel + entry->n_user) * sizeof(uint64_t);
	}
	return lost;
}

static void clear_arena(const struct sampler *s, uint8_t *arena)
{
	struct arena_header *header = (void *)arena;

	if (header->head)
		memset(arena + ARENA_SLOTS_OFFSET, 0, s->entries_offset - ARENA_SLOTS_OFFSET);
	memset(header, 0, sizeof(*header));
}

int sampler_retire(struct sampler *s)
{
	uint32_t retired = (uint32_t)s->skel->bss->generation & 1;

	/* The clocks first: a tick between here and the switch then counts as early, never as missed. */
	for (int cpu = 0; cpu < s->n_cpus; cpu++)
		s->accounts[cpu].expected = s->events ? cpu_events_expected(s->events, cpu) : 0;
	if (s->options.event.is_clock)
		cpu_idle_read(s->idle_ns, s->n_cpus);
	__atomic_store_n(&s->skel->bss->generation, retired ^ 1, __ATOMIC_RELEASE);
	/* An update of a map of maps returns when no program that may have seen the old state still runs: with the new
	 * generation number in place before it, the retired arenas are quiet behind it. */
	int err = set_slot(s, retired);
	if (err < 0)
		return err;
	s->retired = retired;
	ring_buffer__consume(s->ring);
	return 0;
}

void sampler_settle(struct sampler *s)
{
	set_slot(s, ((uint32_t)s->skel->bss->generation & 1) ^ 1); /* as above */
}

int sampler_drain(struct sampler *s, sampler_entry_fn fn, void *context, struct sampler_counts *counts_out,
		  uint64_t *lost_out)
{
	struct sampler_counts counts = {0};
	uint64_t lost = 0;
	int err = 0;

	for (int cpu = 0; cpu < s->n_cpus; cpu++) {
		struct arena_header *header = header_of(s, s->retired, cpu);
		s->accounts[cpu].fired += header->fired;
		s->accounts[cpu].idle += header->idle;
		add_header(header, &counts);
		counts.missed += missed_ticks(s, cpu);
		counts.expected += s->accounts[cpu].expected;
		lost += read_entries(s, (const uint8_t *)header, fn, context, &err);
		clear_arena(s, (uint8_t *)header);
	}
	*counts_out = counts;
	*lost_out = lost;
	return err;
}

int sampler_check_cpus(struct sampler *s)
{
	struct why why;
	int reopened = cpu_events_follow(s->events, &why);

	if (reopened < 0)
		return reopened;
	for (int cpu = 0; cpu < s->n_cpus; cpu++) {
		struct cpu_account *account = &s->accounts[cpu];
		uint64_t fired = account->fired + header_of(s, 0, cpu)->fired + header_of(s, 1, cpu)->fired;
		bool silent = fired == account->last_fired;
		account->last_fired = fired;
		/* A CPU that ticks is well; one that does not is idle, or went off and came back since the last check. */
		if (silent && cpu_events_is_dead(s->events, cpu) && cpu_events_reopen(s->events, cpu) == 0)
			reopened++;
	}
	return reopened;
}

void sampler_read_cgroups(struct sampler *s, sampler_cgroup_fn fn, void *context)
{
	s->cgroup_fn = fn;
	s->cgroup_context = context;
	ring_buffer__consume(s->cgroups);
}

/* Idle time explains ticks at the rate at which it passed, and none while the sampler was paused. */
static void count_idle_periods(struct sampler *s)
{
	if (!s->events || !s->options.event.is_clock || cpu_idle_read(s->idle_ns, s->n_cpus) < 0)
		return;
	for (int cpu = 0; cpu < s->n_cpus; cpu++) {
		if (!s->is_paused && s->idle_ns[cpu] > s->idle_start_ns[cpu])
			s->accounts[cpu].idle_periods +=
				(double)(s->idle_ns[cpu] - s->idle_start_ns[cpu]) * (double)s->options.rate_hz / (double)NS_PER_S;
		s->idle_start_ns[cpu] = s->idle_ns[cpu];
	}
}

int sampler_set_rate(struct sampler *s, uint64_t rate_hz)
{
	if (rate_hz == s->options.rate_hz)
		return 0;
	count_idle_periods(s);
	s->options.rate_hz = rate_hz;
	return cpu_events_set_rate(s->events, rate_hz);
}

void sampler_pause(struct sampler *s, bool is_paused)
{
	if (!s->events || is_paused == s->is_paused)
		return;
	count_idle_periods(s);
	s->is_paused = is_paused;
	cpu_events_pause(s->events, is_paused);
}

void sampler_stop(struct sampler *s)
{
	if (s->events)
		cpu_events_disable(s->events);
}

int sampler_cpus(const struct sampler *s)
{
	return s->events ? cpu_events_open_count(s->events) : 0;
}

uint64_t sampler_map_bytes(const struct sampler *s)
{
	return GENERATIONS * (uint64_t)s->mapped_bytes;
}

uint64_t sampler_children_lost(const struct sampler *s)
{
	return s->skel->bss->targets_lost;
}

int sampler_run_time(const struct sampler *s, uint64_t *ns_out, uint64_t *runs_out)
{
	struct bpf_prog_info info = {0};
	uint32_t bytes = sizeof(info);

	int err = bpf_obj_get_info_by_fd(bpf_program__fd(s->program), &info, &bytes);
	if (err < 0)
		return err;
	*ns_out = info.run_time_ns;
	*runs_out = info.run_cnt;
	return 0;
}

void sampler_close(struct sampler *s)
{
	if (!s)
		return;
	cpu_events_close(s->events);
	ring_buffer__free(s->ring);
	ring_buffer__free(s->cgroups);
	for (int i = 0; i < GENERATIONS; i++) {
		if (s->arenas[i])
			munmap(s->arenas[i], s->mapped_bytes);
		if (s->arena_fds[i] >= 0)
			close(s->arena_fds[i]);
	}
	if (s->unwind.slots)
		munmap(s->unwind.slots, s->unwind.n_slots * sizeof(s->unwind.slots[0]));
	if (s->unwind.mapsets)
		munmap(s->unwind.mapsets, s->unwind.n_mapsets * sizeof(s->unwind.mapsets[0]));
	if (s->chunk_fd >= 0)
		close(s->chunk_fd);
	sample_bpf__destroy(s->skel);
	free(s->accounts);
	free(s->idle_start_ns);
	free(s->idle_ns);
	free(s);
}
