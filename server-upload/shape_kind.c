#include "server-upload/shape_kind.h"

#define KIB 1024u
#define MIB (1024u * KIB)
#define SLACK (16u * KIB) /* the limits are those of servers: below, not at them */

/* A Pyroscope server keeps an index of its series, so those that come and go with a process, a container's restart or a thread's name are left out. */
static const char *const PYROSCOPE_NOT_SERIES[] = {"process", "thread", "executable", "cgroup", "container_id", NULL};
static const char *const OTLP_NOT_SERIES[] = {"thread", NULL};
static const char *const NONE[] = {NULL};

/* A request to Pyroscope counts uncompressed against its rate limit, and one that is larger than the burst (2 MiB) is refused however long one waits:
 * so that is the limit, and not the 4 MiB of one profile. */
static const struct shape_kind PYROSCOPE = {
	.profile_name = "process_cpu",
	.names_the_type = true,
	.not_series = PYROSCOPE_NOT_SERIES,
	.keeps_numbers = true,
	.plain_names = true,
	.names_max = 30,
	.name_bytes_max = 1024,
	.value_bytes_max = 2048,
	.request_bytes = 2 * MIB - SLACK,
	.samples = 16000,
};

static const struct shape_kind PARCA = {
	.profile_name = "parca_agent",
	.node = "node",
	.not_series = NONE,
	.plain_names = true,
	.count_alone = true,
	.resolves_names = true,
	.name_bytes_max = 1024,
	.value_bytes_max = 2048,
	.request_bytes = 48 * MIB,
};

static const struct shape_kind OTLP = {
	.not_series = OTLP_NOT_SERIES,
	.keeps_others = true,
	.keeps_numbers = true,
	.by_process = true,
	.count_alone = true,
	.resolves_names = true,
	.name_bytes_max = 1024,
	.value_bytes_max = 4096,
	.request_bytes = 4 * MIB - SLACK,
};

static const struct shape_kind HTTP = {
	.not_series = NONE,
	.keeps_others = true,
	.keeps_numbers = true,
	.one_series = true,
	.keeps_system_names = true,
	.name_bytes_max = 1024,
	.value_bytes_max = 4096,
	.request_bytes = 48 * MIB,
};

const struct shape_kind *shape_kind(enum sink_kind kind)
{
	switch (kind) {
	case SINK_PYROSCOPE:
		return &PYROSCOPE;
	case SINK_PARCA:
		return &PARCA;
	case SINK_OTLP_HTTP:
	case SINK_OTLP_GRPC:
		return &OTLP;
	case SINK_HTTP:
		return &HTTP;
	case SINK_DIR:
	case SINK_KINDS:
		break;
	}
	return NULL;
}
