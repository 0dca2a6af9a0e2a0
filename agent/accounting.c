#include "agent/accounting.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint64_t accounting_dropped(const struct accounting *a)
{
	uint64_t sum = 0;

	for (int i = 0; i < ACCOUNT_DROPS; i++)
		sum += a->dropped[i];
	return sum;
}

uint64_t accounting_truncated(const struct accounting *a)
{
	uint64_t sum = 0;

	for (int i = 0; i < ACCOUNT_CUTS; i++)
		sum += a->cut[i];
	return sum;
}

uint64_t accounting_ticks(const struct accounting *a)
{
	return a->fired - a->idle - a->filtered + a->dropped[ACCOUNT_MISSED];
}

bool accounting_holds(const struct accounting *a)
{
	return accounting_ticks(a) == a->samples + accounting_dropped(a) &&
	       a->samples == a->complete + accounting_truncated(a);
}

void accounting_add_counts(struct accounting *a, const struct sampler_counts *counts, uint64_t lost)
{
	a->fired += counts->fired;
	a->idle += counts->idle;
	a->filtered += counts->filtered;
	if (counts->expected)
		a->expected = counts->expected;
	for (int i = 0; i < DROP_REASONS; i++)
		a->dropped[i] += counts->dropped[i];
	a->dropped[ACCOUNT_MISSED] += counts->missed;
	a->dropped[ACCOUNT_OUT_OF_MEMORY] += lost;
	a->early_drains += counts->early;
	a->unindexed += counts->unindexed;
	a->deferred += counts->deferred;
	a->deferred_no_room += counts->deferred_no_room;
	a->program_ns += counts->cost_ns;
}

void accounting_add(struct accounting *sum, const struct accounting *window)
{
	sum->fired += window->fired;
	sum->idle += window->idle;
	sum->filtered += window->filtered;
	if (window->expected)
		sum->expected = window->expected;
	sum->samples += window->samples;
	for (int i = 0; i < ACCOUNT_DROPS; i++)
		sum->dropped[i] += window->dropped[i];
	sum->complete += window->complete;
	for (int i = 0; i < ACCOUNT_CUTS; i++)
		sum->cut[i] += window->cut[i];
	sum->user_samples += window->user_samples;
	sum->image_known += window->image_known;
	sum->jit_samples += window->jit_samples;
	sum->jit_unnamed += window->jit_unnamed;
	sum->early_drains += window->early_drains;
	sum->unindexed += window->unindexed;
	sum->deferred += window->deferred;
	sum->deferred_no_room += window->deferred_no_room;
	sum->program_ns += window->program_ns;
	sum->windows += window->windows;
}

const char *accounting_drop_name(enum account_drop drop)
{
	static const char *const NAMES[ACCOUNT_DROPS] = {
		[ACCOUNT_BUFFER_FULL] = "buffer_full",
		[ACCOUNT_MISSED] = "missed",
		[ACCOUNT_OUT_OF_MEMORY] = "out_of_memory",
	};

	return NAMES[drop];
}

const char *accounting_cut_name(enum account_cut cut)
{
	static const char *const NAMES[ACCOUNT_CUTS] = {
		[CUT_NO_FRAME_POINTER] = "no_frame_pointer", [CUT_BAD_FRAME] = "bad_frame_pointer",
		[CUT_UNREADABLE] = "unreadable_stack",	     [CUT_TOO_DEEP] = "too_deep",
		[CUT_COMPAT] = "32_bit_code",		     [CUT_NO_REGISTERS] = "no_user_registers",
		[CUT_NO_PROCESS] = "unknown_process",	     [CUT_NO_MAPPING] = "no_mapping",
		[CUT_NO_TABLE] = "no_unwind_table",	     [CUT_UNSUPPORTED_RULE] = "unsupported_rule",
		[CUT_UNRELIABLE_RULE] = "unreliable_rule",
	};

	return NAMES[cut];
}

/* Append to text; returns the length so far, also beyond its end. */
__attribute__((format(printf, 4, 5))) static int append(char *text, size_t bytes, int at, const char *format, ...)
{
	va_list arguments;
	bool room = at >= 0 && (size_t)at < bytes;

	va_start(arguments, format);
	int n = vsnprintf(room ? text + at : NULL, room ? bytes - (size_t)at : 0, format, arguments);
	va_end(arguments);
	return at + n;
}

int accounting_describe(const struct accounting *a, char *text, size_t bytes)
{
	int at = append(text, bytes, 0, "ticks=%" PRIu64 " samples=%" PRIu64 " dropped=%" PRIu64, accounting_ticks(a),
			a->samples, accounting_dropped(a));

	for (int i = 0; i < ACCOUNT_DROPS; i++)
		if (a->dropped[i])
			at = append(text, bytes, at, " dropped_%s=%" PRIu64, accounting_drop_name((enum account_drop)i),
				    a->dropped[i]);
	at = append(text, bytes, at, " complete=%" PRIu64 " truncated=%" PRIu64, a->complete, accounting_truncated(a));
	for (int i = 0; i < ACCOUNT_CUTS; i++)
		if (a->cut[i])
			at = append(text, bytes, at, " truncated_%s=%" PRIu64, accounting_cut_name((enum account_cut)i),
				    a->cut[i]);
	return append(text, bytes, at, " idle=%" PRIu64 " filtered=%" PRIu64 " identity=%s", a->idle, a->filtered,
		      accounting_holds(a) ? "holds" : "BROKEN");
}
