#include "agent/jit_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text_clean.h"

static struct jit_report_row *row_of(struct jit_report *report, const struct jit_process *process)
{
	char name[PROCESS_NAME_MAX];

	/* A process names itself; this goes to terminals and logs. */
	text_clean(process->name, strlen(process->name), name, sizeof(name));
	for (size_t i = 0; i < report->n; i++)
		if (report->rows[i].runtime == process->runtime && strcmp(report->rows[i].process, name) == 0)
			return &report->rows[i];
	if (report->n == JIT_REPORT_ROWS)
		return NULL;
	struct jit_report_row *row = &report->rows[report->n++];
	*row = (struct jit_report_row){.runtime = process->runtime};
	memcpy(row->process, name, sizeof(row->process));
	return row;
}

void jit_report_add(void *context, const struct jit_process *process)
{
	struct jit_report_row *row = process->samples ? row_of(context, process) : NULL;

	if (!row)
		return;
	row->samples += process->samples;
	row->unnamed += process->unnamed;
	if (!row->tgid || process->unnamed > row->most) {
		row->most = process->unnamed;
		row->tgid = process->tgid;
		row->ns_pid = process->ns_pid;
		row->map_error = process->map_error;
		row->has_dump = process->dump != NULL;
	}
}

const struct jit_report_row *jit_report_next(struct jit_report *report, uint64_t samples, uint64_t per_mille)
{
	struct jit_report_row *best = NULL;

	for (size_t i = 0; i < report->n; i++) {
		struct jit_report_row *row = &report->rows[i];
		if (!row->said && row->unnamed && row->unnamed * 1000 >= samples * per_mille &&
		    (!best || row->unnamed > best->unnamed))
			best = row;
	}
	if (best)
		best->said = true;
	return best;
}

static const char *reason(const struct jit_report_row *row)
{
	switch (row->map_error) {
	case 0:
		return " does not have them";
	case -EPERM:
		return " belongs to another user";
	case -EINVAL:
		return " is not a regular file";
	case -EFBIG:
		return " is over 64 MiB";
	case -ESTALE:
		return " is older than the process";
	case -ENOENT:
		return row->has_dump ? NULL : " is not there";
	default:
		return " cannot be opened";
	}
}

int jit_report_describe(const struct jit_report_row *row, char *text, size_t bytes)
{
	const char *why = reason(row), *runtime = jit_runtime_name(row->runtime);
	char map[96] = "its jitdump does not have them";
	bool names_itself = !runtime[0] || strcmp(runtime, row->process) == 0;

	if (why)
		snprintf(map, sizeof(map), "/tmp/perf-%d.map%s", row->ns_pid, why);
	return snprintf(text, bytes, "%s%s%s%s (pid %d): %" PRIu64 " of %" PRIu64 " samples have JIT code without a name, %s; for names: %s",
			row->process, names_itself ? "" : " [", names_itself ? "" : runtime, names_itself ? "" : "]", row->tgid,
			row->unnamed, row->samples, map, jit_runtime_hint(row->runtime));
}
