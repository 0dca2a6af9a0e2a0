#include "agent/pace.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/scope.h"

#define MACHINE_ID "/etc/machine-id"

void pace_init(struct pace *p, const struct pace_settings *settings)
{
	*p = (struct pace){.settings = *settings};
	governor_init(&p->governor, settings->max_share, settings->rate_hz);
}

/* Where in the beat of windows this host's end lies. */
static uint64_t phase_ns(const struct pace_settings *s)
{
	return s->is_jittered ? XXH3_64bits_withSeed(&s->host, sizeof(s->host), 1) % s->window_ns : 0;
}

/* Windows are numbered by the wall clock, so that a restart does not sample the same window again, and hosts differ. */
static bool is_left_out(const struct pace_settings *s, uint64_t wall_ns)
{
	uint64_t number = (wall_ns - phase_ns(s) + s->window_ns / 2) / s->window_ns;

	if (s->sample_fraction >= 1)
		return false;
	uint64_t hash = XXH3_64bits_withSeed(&number, sizeof(number), s->host);
	return (double)hash / 18446744073709551616.0 >= s->sample_fraction;
}

void pace_begin_window(struct pace *p, uint64_t monotonic_ns, uint64_t wall_ns)
{
	const struct pace_settings *s = &p->settings;
	uint64_t length_ns = s->window_ns;

	if (s->is_jittered) {
		length_ns = s->window_ns - (wall_ns - phase_ns(s)) % s->window_ns;
		if (length_ns < s->window_ns / 10)
			length_ns += s->window_ns;
	}
	/* Without jitter windows keep the beat of the first; one that was missed altogether is not made up for. */
	if (!s->is_jittered && p->end_ns && p->end_ns <= monotonic_ns && monotonic_ns - p->end_ns < length_ns)
		p->end_ns += length_ns;
	else
		p->end_ns = monotonic_ns + length_ns;
	p->is_left_out = is_left_out(s, wall_ns);
}

uint64_t pace_due_ns(const struct pace *p)
{
	uint64_t due_ns = p->end_ns;

	if (p->boost_hz && p->boost_end_ns < due_ns)
		due_ns = p->boost_end_ns;
	if (p->pause_end_ns && p->pause_end_ns < due_ns)
		due_ns = p->pause_end_ns;
	return due_ns;
}

void pace_expire(struct pace *p, uint64_t monotonic_ns)
{
	if (p->boost_hz && p->boost_end_ns <= monotonic_ns)
		pace_end_boost(p);
	if (p->pause_end_ns && p->pause_end_ns <= monotonic_ns)
		p->pause_end_ns = 0;
}

/* Whoever asks for a boost gets all of it. */
bool pace_is_sampling(const struct pace *p)
{
	return !p->pause_end_ns && (!p->is_left_out || p->boost_hz);
}

uint64_t pace_rate_hz(const struct pace *p)
{
	return p->governor.rate_hz;
}

double pace_weight(const struct pace *p)
{
	return p->boost_hz ? 1 : 1 / p->settings.sample_fraction;
}

/* The mean of the last minute goes with the rate: it is what that rate would have cost. */
static void set_rate(struct governor *g, uint64_t wanted_hz, uint64_t rate_hz)
{
	g->share *= (double)rate_hz / (double)g->rate_hz;
	g->wanted_hz = wanted_hz;
	g->rate_hz = rate_hz;
}

void pace_boost(struct pace *p, uint64_t rate_hz, uint64_t until_ns)
{
	if (!p->boost_hz)
		p->rate_before_boost_hz = p->governor.rate_hz;
	p->boost_hz = rate_hz;
	p->boost_end_ns = until_ns;
	p->governor.wanted_hz = rate_hz;
	p->governor.rate_hz = rate_hz; /* the mean stays: the budget is of a minute, and a boost is short */
}

void pace_end_boost(struct pace *p)
{
	uint64_t before = p->rate_before_boost_hz, wanted = p->settings.rate_hz;

	if (!p->boost_hz)
		return;
	p->boost_hz = 0;
	set_rate(&p->governor, wanted, before < wanted ? before : wanted);
}

void pace_pause(struct pace *p, uint64_t until_ns)
{
	p->pause_end_ns = until_ns;
}

void pace_resume(struct pace *p)
{
	p->pause_end_ns = 0;
}

void pace_set(struct pace *p, const struct pace_settings *settings)
{
	struct governor *g = &p->governor;
	bool was_lowered = (p->boost_hz ? p->rate_before_boost_hz : g->rate_hz) < p->settings.rate_hz;

	p->settings = *settings;
	g->max_share = settings->max_share;
	if (p->boost_hz && (!was_lowered || settings->rate_hz < p->rate_before_boost_hz))
		p->rate_before_boost_hz = settings->rate_hz;
	else if (!p->boost_hz)
		/* What the governor took back it gives again by itself. */
		set_rate(g, settings->rate_hz, was_lowered && g->rate_hz < settings->rate_hz ? g->rate_hz : settings->rate_hz);
}

bool pace_govern(struct pace *p, uint64_t own_ns, uint64_t window_ns, int cpus)
{
	return governor_update(&p->governor, own_ns, window_ns, cpus);
}

uint64_t pace_host(void)
{
	struct utsname names = {.nodename = ""};
	char text[128 + sizeof(names.nodename)] = "";
	ssize_t n = 0;

	AUTO_CLOSE int fd = open(MACHINE_ID, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		n = read(fd, text, 127);
	n = n < 0 ? 0 : n;
	uname(&names);
	size_t bytes = strnlen(names.nodename, sizeof(names.nodename));
	memcpy(text + n, names.nodename, bytes);
	return XXH3_64bits(text, (size_t)n + bytes);
}
