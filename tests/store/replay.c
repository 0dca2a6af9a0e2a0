#include "tests/store/replay.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprof/profile_builder.h"

#define PROGRAMS    40
#define FUNCTIONS   1500 /* of a program */
#define KERNEL	    PROGRAMS
#define DEPTH_MAX   96
#define TRUNK	    8 /* frames that are the same in all stacks of a program's thread */
#define ZIPF_STEPS  4096
#define SITES	    12 /* of a function, where it calls */

const struct replay_options replay_host = {
	.seed = 1, .processes = 100, .brief = 4, .ticks = 380, .depth = 25, .period = 52631578, .branching = 4};

struct replay {
	struct replay_options o;
	uint64_t state;
	uint32_t window;
	uint16_t zipf[ZIPF_STEPS]; /* of a uniform number, 0 the most frequent */
	struct names {
		char *name, *system_name, *file;
	} names[PROGRAMS + 1][FUNCTIONS];
	/* What the window at hand has already: a profile's number and the window's, from 1. */
	struct known {
		uint32_t window, number;
	} functions[PROGRAMS + 1][FUNCTIONS], mappings[PROGRAMS + 1], locations[PROGRAMS + 1][FUNCTIONS][SITES];
};

static bool is_known(const struct replay *r, const struct known *known)
{
	return known->window == r->window + 1;
}

static uint32_t learn(const struct replay *r, struct known *known, uint32_t number)
{
	*known = (struct known){r->window + 1, number};
	return number;
}

static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint32_t draw(struct replay *r, uint32_t below)
{
	r->state = mix(r->state);
	return (uint32_t)((r->state >> 32) * below >> 32);
}

static uint32_t draw_zipf(struct replay *r, uint32_t below)
{
	return r->zipf[draw(r, ZIPF_STEPS)] % below;
}

struct replay *replay_create(const struct replay_options *options)
{
	struct replay *r = calloc(1, sizeof(*r));
	double sum = 0, so_far = 0;
	unsigned rank = 0;

	if (!r)
		abort();
	r->o = *options;
	r->state = mix(options->seed);
	for (unsigned i = 0; i < 1000; i++)
		sum += 1 / pow(i + 1, 1.1);
	for (unsigned i = 0; i < ZIPF_STEPS; i++) {
		while (rank < 999 && so_far + 1 / pow(rank + 1, 1.1) < sum * (i + 0.5) / ZIPF_STEPS)
			so_far += 1 / pow(++rank, 1.1);
		r->zipf[i] = (uint16_t)rank;
	}
	return r;
}

static profile_str string(struct profile_builder *b, const char *text)
{
	int64_t id = profile_builder_string(b, text, strlen(text));

	if (id < 0)
		abort();
	return (profile_str)id;
}

static uint32_t checked(int64_t id)
{
	if (id < 0)
		abort();
	return (uint32_t)id;
}

/* Names are made once. */
static const struct names *names_of(struct replay *r, unsigned program, uint32_t i)
{
	static const char *const parts[] = {"request", "buffer", "handler", "stream", "session", "parser", "index", "worker", "queue", "cache"};
	struct names *names = &r->names[program][i];
	uint64_t h = mix(program * 100000 + i);
	const char *x = parts[h % 10], *y = parts[h / 10 % 10], *z = parts[h / 100 % 10];
	int n;

	if (names->name)
		return names;
	if (program % 3 == 0) {
		n = asprintf(&names->name, "app%u::%s::%s_%s<std::basic_string<char>, %s>::run_%u(%s const&, unsigned long)", program, x, y, z, y, i, x);
		n |= asprintf(&names->system_name, "_ZN4app%u%zu%s%zu%s_%sISsE3runEi%uRKS_m", program, strlen(x), x, strlen(y), y, z, i);
	} else {
		n = asprintf(&names->name, "%s_%s_%s_%u", program == KERNEL ? "vfs" : x, y, z, i);
		n |= (names->system_name = strdup(names->name)) ? 0 : -1;
	}
	n |= program == KERNEL ? asprintf(&names->file, "%s", "") :
				 asprintf(&names->file, "/usr/src/app%u-1.2/src/%s/%s_%" PRIu64 ".cc", program, x, y, h / 1000 % 20);
	if (n < 0)
		abort();
	return names;
}

static uint32_t function(struct replay *r, struct profile_builder *b, unsigned program, uint32_t i)
{
	struct known *known = &r->functions[program][i];

	if (is_known(r, known))
		return known->number;
	const struct names *names = names_of(r, program, i);
	uint64_t h = mix(program * 100000 + i);
	struct profile_function f = {string(b, names->name), string(b, names->system_name), string(b, names->file),
				     program == KERNEL ? 0 : (int64_t)(h % 3000) + 1};

	return learn(r, known, checked(profile_builder_function(b, &f)));
}

static uint32_t mapping(struct replay *r, struct profile_builder *b, unsigned program)
{
	struct known *known = &r->mappings[program];
	char path[64], build_id[48];
	uint64_t h = mix(program + 7);

	if (is_known(r, known))
		return known->number;
	if (program == KERNEL) {
		struct profile_mapping kernel = {.filename = string(b, "[kernel.kallsyms]"), .has_functions = true};
		return learn(r, known, checked(profile_builder_mapping(b, &kernel)));
	}
	snprintf(path, sizeof(path), "/usr/lib/app%u/bin/app%u", program, program);
	snprintf(build_id, sizeof(build_id), "%016" PRIx64 "%016" PRIx64 "deadbeef", h, mix(h));
	struct profile_mapping m = {.start = 0x1000, .limit = 0x800000, .file_offset = 0x1000, .filename = string(b, path),
				    .build_id = string(b, build_id), .has_functions = true, .has_filenames = true, .has_line_numbers = true,
				    .has_inline_frames = true};
	return learn(r, known, checked(profile_builder_mapping(b, &m)));
}

/* The frame at a place of a program's tree: its function is given by the way there. */
static uint32_t frame(struct replay *r, struct profile_builder *b, unsigned program, uint64_t place)
{
	uint32_t i = (uint32_t)(mix(place) % FUNCTIONS);
	uint64_t site = mix(place ^ 99) % SITES, h = mix(i + program * 131);
	struct known *known = &r->locations[program][i][site];
	struct profile_line lines[3];
	size_t n = program != KERNEL && h % 5 == 0 ? 2 + h % 2 : 1;

	if (is_known(r, known))
		return known->number;
	for (size_t k = 0; k < n; k++)
		lines[k] = (struct profile_line){function(r, b, program, (uint32_t)((i + k * 37) % FUNCTIONS)),
						 program == KERNEL ? 0 : (int64_t)(h % 3000 + site + k), 0};
	uint64_t address = program == KERNEL ? 0 : 0x1000 + i * 512 + site * 16;
	return learn(r, known, checked(profile_builder_location(b, mapping(r, b, program), address, lines, n)));
}

/* Leaf first into stack; returns the depth. */
static size_t draw_stack(struct replay *r, struct profile_builder *b, unsigned program, unsigned thread, uint32_t *stack)
{
	uint32_t down[DEPTH_MAX];
	size_t depth = r->o.depth / 2 + r->o.depth * draw_zipf(r, 9) / 8, n = 0;
	bool kernel = draw(r, 4) == 0;
	uint64_t place = mix(program * 16 + thread);

	if (depth > DEPTH_MAX - 16)
		depth = DEPTH_MAX - 16;
	/* A stack of the common depth, or a shorter one: functions are sampled on their way, too. */
	for (size_t i = 0; i < depth; i++) {
		bool branches = i >= TRUNK && mix(place ^ 5) % 4 == 0 && draw(r, 100) < r->o.branching;
		uint32_t choice = branches ? draw_zipf(r, 8) : 0;
		place = mix(place * 31 + choice);
		down[n++] = frame(r, b, program, place);
	}
	/* A function calls one system call, which ends in one of a few places. */
	size_t kernel_depth = kernel ? 3 + 3 * draw_zipf(r, 4) : 0;
	place = mix(mix(place) % 60);
	for (size_t i = 0; i < kernel_depth; i++) {
		place = mix(place * 31);
		down[n++] = frame(r, b, KERNEL, place);
	}
	for (size_t i = 0; i < n; i++)
		stack[i] = down[n - 1 - i];
	return n;
}

static void add_sample(struct replay *r, struct profile_builder *b, unsigned process)
{
	static const char *const kinds[] = {"main", "worker", "io", "gc", "timer"};
	unsigned program = process < r->o.processes ? process % PROGRAMS : process % 5, thread = draw_zipf(r, 5);
	uint64_t pid = process < r->o.processes ? 1000 + process * 13 : 20000 + r->window * r->o.brief + process;
	char name[32], thread_name[32], executable[64], cgroup[96], unit[48];
	uint32_t stack[DEPTH_MAX + 16];

	snprintf(name, sizeof(name), "app%u", program);
	snprintf(thread_name, sizeof(thread_name), "app%u-%s", program, kinds[thread]);
	snprintf(executable, sizeof(executable), "/usr/lib/app%u/bin/app%u", program, program);
	snprintf(cgroup, sizeof(cgroup), "/system.slice/app%u.service", program);
	snprintf(unit, sizeof(unit), "app%u.service", program);
	struct profile_label labels[] = {
		{.key = string(b, "pid"), .num = (int64_t)pid},
		{.key = string(b, "process"), .str = string(b, name)},
		{.key = string(b, "thread"), .str = string(b, thread_name)},
		{.key = string(b, "executable"), .str = string(b, executable)},
		{.key = string(b, "cgroup"), .str = string(b, cgroup)},
		{.key = string(b, "unit"), .str = string(b, unit)},
		{.key = string(b, "service"), .str = string(b, name)},
	};
	size_t depth = draw_stack(r, b, program, thread, stack);
	checked(profile_builder_sample(b, stack, depth, labels, sizeof(labels) / sizeof(labels[0]), (int64_t[]){1, r->o.period}));
}

static void add_ballast(struct replay *r, struct profile_builder *b)
{
	char *text = malloc(r->o.ballast + 1);

	if (!text)
		abort();
	for (unsigned i = 0; i < r->o.ballast; i++)
		text[i] = (char)('!' + draw(r, 90));
	text[r->o.ballast] = '\0';
	if (profile_builder_comment(b, text) < 0)
		abort();
	free(text);
}

struct profile *replay_window(struct replay *r, int64_t time_ns, int64_t duration_ns)
{
	struct profile_builder *b;
	struct profile *profile;
	char text[256];

	if (profile_builder_create(&b) < 0 || profile_builder_sample_type(b, "samples", "count") < 0 ||
	    profile_builder_sample_type(b, "cpu", "nanoseconds") < 0 ||
	    profile_builder_period(b, "cpu", "nanoseconds", r->o.period) < 0 || profile_builder_default_sample_type(b, "cpu") < 0)
		abort();
	profile_builder_time(b, time_ns, duration_ns);
	for (unsigned i = 0; i < r->o.ticks; i++) {
		unsigned process = r->o.brief && draw(r, 50) == 0 ? r->o.processes + draw(r, r->o.brief) : draw_zipf(r, r->o.processes);
		add_sample(r, b, process);
	}
	if (r->o.ballast)
		add_ballast(r, b);
	unsigned cut = r->o.ticks / 100;
	snprintf(text, sizeof(text), "ticks=%u samples=%u dropped=%u dropped_missed=%u complete=%u truncated=%u idle=%u filtered=0 identity=holds",
		 r->o.ticks + 1, r->o.ticks, 1, 1, r->o.ticks - cut, cut, r->window);
	if (profile_builder_comment(b, "hearth 0.1.0") < 0 || profile_builder_comment(b, "event=cpu-clock rate_hz=19 cpus=4") < 0 ||
	    profile_builder_comment(b, text) < 0 || profile_builder_finish(b, &profile) < 0)
		abort();
	profile_builder_destroy(b);
	r->window++;
	return profile;
}

void replay_destroy(struct replay *r)
{
	for (unsigned program = 0; r && program <= PROGRAMS; program++) {
		for (unsigned i = 0; i < FUNCTIONS; i++) {
			free(r->names[program][i].name);
			free(r->names[program][i].system_name);
			free(r->names[program][i].file);
		}
	}
	free(r);
}
