/* Paths of cgroups, a line each: half of each is a stranger's. */
#include <string.h>

#include "agent/cgroup_names.h"
#include "agent/cgroup_path.h"
#include "base/text_clean.h"
#include "tests/fuzz/fuzz.h"

#define BUDGET 65536

static void check_text(const char *text, size_t max)
{
	size_t n = strnlen(text, max);

	PROMISE(n < max);
	PROMISE(text_is_clean(text, n));
}

static void parse(const char *path)
{
	struct cgroup_path facts;
	char service[CGROUP_NAME_MAX];

	cgroup_path_parse(path, &facts);
	check_text(facts.container_id, CGROUP_NAME_MAX);
	check_text(facts.container, CGROUP_NAME_MAX);
	check_text(facts.unit, CGROUP_NAME_MAX);
	check_text(facts.pod_uid, POD_UID_MAX);
	PROMISE(!strchr(facts.container_id, '/') && !strchr(facts.unit, '/'));
	if (cgroup_path_service(facts.unit, service))
		check_text(service, CGROUP_NAME_MAX);
	cgroup_path_service(path, service);
}

static void learn(struct cgroup_names *names, uint64_t id, const char *path, size_t n)
{
	struct cgroup_names_stats stats;

	cgroup_names_learn(names, id, path, n);
	const struct cgroup *cgroup = cgroup_names_find(names, id);
	if (cgroup) {
		check_text(cgroup->path, CGROUP_LABEL_MAX);
		check_text(cgroup->container_id, CGROUP_NAME_MAX);
	}
	cgroup_names_begin(names, id);
	cgroup_names_stats(names, &stats);
	PROMISE(stats.bytes <= BUDGET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct cgroup_names_options options = {.host_root = "/nowhere", .proc = "/nowhere", .budget_bytes = BUDGET};
	const uint8_t *end = data + n;
	struct cgroup_names *names;
	uint64_t id = 1;

	PROMISE(cgroup_names_create(&options, &names) == 0);
	for (const uint8_t *at = data; at < end;) {
		const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
		size_t length = newline ? (size_t)(newline - at) : (size_t)(end - at);
		char *path = malloc(length + 1);
		PROMISE(path);
		memcpy(path, at, length);
		path[length] = 0;
		parse(path);
		learn(names, id++, path, length + 1);
		free(path);
		at += length + 1;
	}
	cgroup_names_destroy(names);
	return 0;
}
