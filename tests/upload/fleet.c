/* A fleet of agents whose server comes back: each with the retry policy and the rate limit of the product (server-upload/retry.h), in simulated time, so that hours take a
 * second. Prints what the server sees, and TAP. fleet [--agents N] [--table]. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "server-upload/retry.h"

#define WINDOW_NS    (10 * NS_PER_S)
#define REQUEST_BYTES 30000
#define NETWORK_NS   (2 * NS_PER_MS)
#define HOURS	     4
#define SECONDS	     (HOURS * 3600)
#define QUEUE_MAX_NS (2 * NS_PER_S) /* what waits longer is told to slow down */

/* What happens to a request while the server is away. */
enum away { REFUSED, HANGS, UNAVAILABLE, AWAY_KINDS };

struct scenario {
	const char *name;
	enum away how;
	uint64_t away_s;
	uint64_t capacity;    /* requests a second */
	uint64_t retry_after; /* of 429 and 503, in s; 0: not said */
	bool naive;	      /* another client, to compare with: each second again, and all windows at once */
	double rate_max;      /* requests a second after the return, mean of any 10 s */
	uint64_t drained_max_s; /* after the return; 0: not demanded */
};

struct agent {
	struct retry retry;
	uint64_t windows_from_ns; /* its first window; jittered by the host */
	uint64_t sent;		  /* windows */
};

struct server {
	const struct scenario *scenario;
	uint64_t back_ns, free_ns; /* when it is up again; when what it has is done */
	uint32_t arrived[SECONDS], taken[SECONDS], slowed[SECONDS];
};

struct event {
	uint64_t at_ns;
	uint32_t agent;
};

struct fleet {
	struct agent *agents;
	uint32_t n;
	struct event *heap; /* one event of each agent */
	uint32_t n_heap;
};

#define BEGIN_NS (3600 * NS_PER_S) /* when the server goes away: paces are settled by then */

static void heap_push(struct fleet *f, struct event e)
{
	uint32_t i = f->n_heap++;

	for (; i && f->heap[(i - 1) / 2].at_ns > e.at_ns; i = (i - 1) / 2)
		f->heap[i] = f->heap[(i - 1) / 2];
	f->heap[i] = e;
}

static struct event heap_pop(struct fleet *f)
{
	struct event top = f->heap[0], last = f->heap[--f->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child + 1 < f->n_heap && f->heap[child + 1].at_ns < f->heap[child].at_ns)
			child++;
		if (child >= f->n_heap || f->heap[child].at_ns >= last.at_ns)
			break;
		f->heap[i] = f->heap[child];
		i = child;
	}
	f->heap[i] = last;
	return top;
}

struct reply {
	uint64_t at_ns;
	bool taken;
	enum retry_kind kind;
	uint64_t retry_after_ns;
};

static struct reply ask(struct server *s, uint64_t now_ns)
{
	const struct scenario *c = s->scenario;
	uint64_t second = now_ns / NS_PER_S;
	struct reply reply = {.at_ns = now_ns + NETWORK_NS, .kind = RETRY_SOON};

	s->arrived[second]++;
	if (now_ns >= BEGIN_NS && now_ns < s->back_ns) {
		if (c->how == HANGS)
			reply.at_ns = now_ns + 30 * NS_PER_S;
		if (c->how == UNAVAILABLE)
			reply.retry_after_ns = c->retry_after * NS_PER_S;
		return reply;
	}
	if (s->free_ns < now_ns)
		s->free_ns = now_ns;
	if (s->free_ns - now_ns > QUEUE_MAX_NS) {
		s->slowed[second]++;
		reply.kind = RETRY_BUSY;
		reply.retry_after_ns = c->retry_after * NS_PER_S;
		return reply;
	}
	s->free_ns += NS_PER_S / c->capacity;
	reply.at_ns = s->free_ns + NETWORK_NS;
	reply.taken = true;
	s->taken[second]++;
	return reply;
}

static uint64_t windows_at(const struct agent *a, uint64_t now_ns)
{
	return now_ns < a->windows_from_ns ? 0 : (now_ns - a->windows_from_ns) / WINDOW_NS + 1;
}

/* One request of an agent, and when it is to be looked at again. */
static uint64_t step(struct agent *a, struct server *s, uint64_t now_ns)
{
	if (a->sent >= windows_at(a, now_ns))
		return a->windows_from_ns + a->sent * WINDOW_NS;
	uint64_t ready_ns = s->scenario->naive ? now_ns : retry_ready_ns(&a->retry, now_ns);
	if (ready_ns > now_ns)
		return ready_ns;
	retry_begin(&a->retry, now_ns, REQUEST_BYTES);
	struct reply reply = ask(s, now_ns);
	if (reply.taken) {
		a->sent++;
		retry_success(&a->retry, reply.at_ns, reply.at_ns - now_ns);
		return reply.at_ns;
	}
	retry_failure(&a->retry, reply.kind, reply.at_ns, reply.retry_after_ns);
	return s->scenario->naive ? reply.at_ns + NS_PER_S : reply.at_ns;
}

static void simulate(struct fleet *f, struct server *s, const struct scenario *scenario)
{
	*s = (struct server){.scenario = scenario, .back_ns = BEGIN_NS + scenario->away_s * NS_PER_S};
	f->n_heap = 0;
	srandom(1);
	for (uint32_t i = 0; i < f->n; i++) {
		struct agent *a = &f->agents[i];
		*a = (struct agent){.windows_from_ns = ((uint64_t)random() << 31 | (uint64_t)random()) % WINDOW_NS};
		retry_init(&a->retry, &RETRY_POLICY, (uint64_t)random() << 31 | (uint64_t)random(), 0);
		heap_push(f, (struct event){.at_ns = a->windows_from_ns, .agent = i});
	}
	while (f->heap[0].at_ns < SECONDS * NS_PER_S) {
		struct event e = heap_pop(f);
		uint64_t next = step(&f->agents[e.agent], s, e.at_ns);
		heap_push(f, (struct event){.at_ns = next > e.at_ns ? next : e.at_ns + 1, .agent = e.agent});
	}
}

/* --- what came of it --------------------------------------------------------------------------------------- */

static double mean(const uint32_t *counts, uint64_t from, uint64_t to)
{
	uint64_t sum = 0;

	for (uint64_t i = from; i < to; i++)
		sum += counts[i];
	return (double)sum / (double)(to - from);
}

static uint32_t highest(const uint32_t *counts, uint64_t from, uint64_t to)
{
	uint32_t most = 0;

	for (uint64_t i = from; i < to; i++)
		most = counts[i] > most ? counts[i] : most;
	return most;
}

static double highest_of_10_s(const uint32_t *counts, uint64_t from, uint64_t to)
{
	double most = 0;

	for (uint64_t i = from; i + 10 <= to; i++) {
		double rate = mean(counts, i, i + 10);
		most = rate > most ? rate : most;
	}
	return most;
}

/* Windows that exist and were not taken, all agents together. */
static double waiting(const struct fleet *f, const struct server *s, uint64_t second)
{
	double made = 0;

	for (uint32_t i = 0; i < f->n; i++)
		made += (double)windows_at(&f->agents[i], second * NS_PER_S);
	return made - mean(s->taken, 0, second) * (double)second;
}

/* Seconds after the return until a tenth of a window per agent, or less, waits: the usual. */
static uint64_t drained_s(const struct fleet *f, const struct server *s)
{
	uint64_t back = s->back_ns / NS_PER_S;

	for (uint64_t second = back; second < SECONDS; second += 10) {
		if (waiting(f, s, second) <= (double)f->n / 10)
			return second - back;
	}
	return SECONDS;
}

static void table(const struct fleet *f, const struct server *s)
{
	static const int64_t ROWS[] = {-600, -300, -60, -10, 0, 1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 450, 600, 900, 1200, 1800, 2400, 3600};
	uint64_t back = s->back_ns / NS_PER_S;
	size_t n = sizeof(ROWS) / sizeof(*ROWS);

	printf("#   seconds after the return | requests/s | highest of a second | taken/s | told to slow down/s | windows that wait\n");
	for (size_t i = 0; i + 1 < n; i++) {
		uint64_t from = back + (uint64_t)ROWS[i], to = back + (uint64_t)ROWS[i + 1];
		printf("#   %10" PRId64 " to %5" PRId64 "      | %10.1f | %19u | %7.1f | %19.1f | %17.0f\n", ROWS[i], ROWS[i + 1], mean(s->arrived, from, to),
		       highest(s->arrived, from, to), mean(s->taken, from, to), mean(s->slowed, from, to), waiting(f, s, to));
	}
}

static bool judge(const struct fleet *f, const struct server *s, int number, bool print_table)
{
	const struct scenario *c = s->scenario;
	uint64_t back = s->back_ns / NS_PER_S, begin = BEGIN_NS / NS_PER_S, drained = drained_s(f, s);
	uint32_t peak = highest(s->arrived, back, SECONDS), first = highest(s->arrived, back, back + 10);
	double rate = highest_of_10_s(s->arrived, back, SECONDS);
	bool good = c->naive || (rate <= c->rate_max * (double)f->n / 1000 && (!c->drained_max_s || drained <= c->drained_max_s));

	if (print_table)
		printf("# %s: %u agents, away for %" PRIu64 " s\n", c->name, f->n, c->away_s), table(f, s);
	printf("%s %d - %s\n", good ? "ok" : "not ok", number, c->name);
	printf("# measured: %s: usual %.0f requests/s; while away %.1f; after it at most %u in one of the first 10 s, %u in any second, %.0f/s over 10 s; all is sent after %" PRIu64
	       " s\n", c->name, mean(s->arrived, begin - 600, begin), mean(s->arrived, begin, back), first, peak, rate, drained);
	return good;
}

static const struct scenario SCENARIOS[] = {
	{.name = "refused for 30 minutes", .how = REFUSED, .away_s = 1800, .capacity = 5000, .rate_max = 1500, .drained_max_s = 900},
	{.name = "mute for 30 minutes", .how = HANGS, .away_s = 1800, .capacity = 5000, .rate_max = 1500, .drained_max_s = 900},
	{.name = "503 for 30 minutes, Retry-After 60", .how = UNAVAILABLE, .away_s = 1800, .capacity = 5000, .retry_after = 60, .rate_max = 1500,
	 .drained_max_s = 900},
	{.name = "restarts in 5 seconds", .how = REFUSED, .away_s = 5, .capacity = 5000, .rate_max = 300, .drained_max_s = 60},
	{.name = "refused for 30 minutes, then hardly faster than what comes", .how = REFUSED, .away_s = 1800, .capacity = 200, .rate_max = 350,
	 .drained_max_s = 3600},
	{.name = "the same, with 429 and Retry-After 10", .how = REFUSED, .away_s = 1800, .capacity = 200, .retry_after = 10, .rate_max = 350,
	 .drained_max_s = 3600},
	{.name = "for comparison: a client that tries each second and sends all at once", .how = REFUSED, .away_s = 1800, .capacity = 200, .naive = true},
};

int main(int argc, char **argv)
{
	static const struct option OPTIONS[] = {{"agents", 1, NULL, 'a'}, {"table", 0, NULL, 't'}, {0}};
	struct fleet f = {.n = 1000};
	bool print_table = false, good = true;
	int option, n = sizeof(SCENARIOS) / sizeof(*SCENARIOS);

	while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
		if (option == 'a')
			f.n = (uint32_t)strtoul(optarg, NULL, 10);
		else if (option == 't')
			print_table = true;
		else
			return 2;
	}
	struct server *server = calloc(1, sizeof(*server));
	f.agents = calloc(f.n, sizeof(*f.agents));
	f.heap = calloc(f.n, sizeof(*f.heap));
	if (!f.n || !server || !f.agents || !f.heap)
		return 1;
	for (int i = 0; i < n; i++) {
		simulate(&f, server, &SCENARIOS[i]);
		good = judge(&f, server, i + 1, print_table) && good;
		fflush(stdout);
	}
	printf("1..%d\n", n);
	free(f.heap);
	free(f.agents);
	free(server);
	return good ? 0 : 1;
}
