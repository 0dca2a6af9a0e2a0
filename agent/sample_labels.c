#include "agent/sample_labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "agent/cgroup_path.h"

/* The labels, in the order in which they are written. */
enum key {
	KEY_PID,
	KEY_TID,
	KEY_PROCESS,
	KEY_THREAD,
	KEY_EXECUTABLE,
	KEY_CGROUP,
	KEY_CONTAINER_ID,
	KEY_CONTAINER,
	KEY_UNIT,
	KEY_POD,
	KEY_NAMESPACE,
	KEY_SERVICE,
	KEYS,
};
_Static_assert(KEYS == SAMPLE_LABELS_MAX, "a set has each label at most once");

static const char *const KEY_NAMES[KEYS] = {
	"pid",	     "tid",	     "process",	  "thread", "executable", "cgroup",
	"container_id", "container", "unit", "pod",	 "namespace",  "service",
};

/* What tells a set from others; no padding, so that its bytes can be hashed. */
struct identity {
	uint64_t serial; /* of the process instance; 0: not known */
	uint64_t cgroup;
	int32_t tgid;
	uint32_t tid;
	char comm[16];
	/* They may change within a window. */
	uint64_t process_name, executable, pod, container; /* hashes */
};

struct set {
	struct identity identity;
	uint32_t n;
	struct profile_label labels[SAMPLE_LABELS_MAX];
};

struct sample_labels {
	uint64_t seed;
	struct set *sets;
	size_t n_sets, capacity;
	uint32_t *slots; /* index into sets + 1; 0: free */
	size_t n_slots;	 /* a power of two, more than twice n_sets */
	profile_str keys[KEYS];
	bool has_keys;
};

int sample_labels_create(struct sample_labels **labels_out)
{
	struct sample_labels *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->n_slots = 256;
	l->slots = calloc(l->n_slots, sizeof(l->slots[0]));
	/* The names are chosen by strangers (SAFETY 29). */
	if (!l->slots || getrandom(&l->seed, sizeof(l->seed), 0) != (ssize_t)sizeof(l->seed)) {
		sample_labels_destroy(l);
		return -ENOMEM;
	}
	*labels_out = l;
	return 0;
}

static uint64_t hash_text(const struct sample_labels *l, const char *text)
{
	return text[0] ? XXH3_64bits_withSeed(text, strlen(text), l->seed) : 0;
}

static struct identity identify(const struct sample_labels *l, const struct sample_owner *owner)
{
	struct identity identity = {
		.serial = owner->process ? owner->process->serial : 0,
		.cgroup = owner->cgroup_id,
		.tgid = owner->tgid,
		.tid = owner->tid,
	};

	memcpy(identity.comm, owner->comm, strnlen(owner->comm, sizeof(identity.comm)));
	if (owner->process) {
		identity.process_name = hash_text(l, owner->process->name);
		identity.executable = hash_text(l, owner->process->executable);
	}
	if (owner->cgroup) {
		identity.pod = hash_text(l, owner->cgroup->pod);
		identity.container = hash_text(l, owner->cgroup->container);
	}
	return identity;
}

static size_t slot_of(const struct sample_labels *l, const struct identity *identity)
{
	size_t at = XXH3_64bits_withSeed(identity, sizeof(*identity), l->seed) & (l->n_slots - 1);

	for (; l->slots[at]; at = (at + 1) & (l->n_slots - 1))
		if (memcmp(&l->sets[l->slots[at] - 1].identity, identity, sizeof(*identity)) == 0)
			break;
	return at;
}

static int reserve(struct sample_labels *l)
{
	if (l->n_sets == l->capacity) {
		size_t capacity = 2 * l->capacity + 64;
		struct set *grown = realloc(l->sets, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->sets = grown;
		l->capacity = capacity;
	}
	if (2 * (l->n_sets + 1) <= l->n_slots)
		return 0;
	uint32_t *slots = calloc(2 * l->n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(l->slots);
	l->slots = slots;
	l->n_slots *= 2;
	for (size_t i = 0; i < l->n_sets; i++)
		l->slots[slot_of(l, &l->sets[i].identity)] = (uint32_t)i + 1;
	return 0;
}

/* Container, unit, executable, process: the first that there is. Kernel threads are one service: their names are too many. */
static const char *service_of(const struct sample_owner *owner, const char *process, char buffer[CGROUP_NAME_MAX])
{
	if (owner->tgid == 0 || (owner->process && owner->process->is_kernel_thread))
		return owner->tgid ? "kernel" : "idle";
	if (owner->cgroup && owner->cgroup->container[0])
		return owner->cgroup->container;
	if (owner->cgroup && cgroup_path_service(owner->cgroup->unit, buffer))
		return buffer;
	return owner->process && owner->process->executable[0] ? owner->process->executable : process;
}

static int put_text(struct sample_labels *l, struct profile_builder *b, struct set *set, enum key key, const char *text)
{
	if (!text[0])
		return 0;
	int64_t id = profile_builder_string(b, text, strlen(text));
	if (id < 0)
		return (int)id;
	/* What is empty when it is clean would be a number. */
	if (id)
		set->labels[set->n++] = (struct profile_label){.key = l->keys[key], .str = (profile_str)id};
	return 0;
}

static void put_number(const struct sample_labels *l, struct set *set, enum key key, int64_t number)
{
	set->labels[set->n++] = (struct profile_label){.key = l->keys[key], .num = number};
}

/* Of one whose parent nobody knew and that was gone before it could be looked at, the thread's name is all there is. */
static const char *process_of(const struct sample_owner *owner)
{
	if (owner->process && owner->process->name[0])
		return owner->process->name;
	return owner->tgid ? owner->comm : "[idle]";
}

static int fill(struct sample_labels *l, struct profile_builder *b, const struct sample_owner *owner, struct set *set)
{
	static const struct cgroup NONE = {"", "", "", "", "", ""};
	const struct cgroup *cgroup = owner->cgroup ? owner->cgroup : &NONE;
	const char *process = process_of(owner);
	char buffer[CGROUP_NAME_MAX];
	const struct {
		enum key key;
		const char *text;
	} TEXTS[] = {
		{KEY_PROCESS, process},
		{KEY_THREAD, owner->comm},
		{KEY_EXECUTABLE, owner->process ? owner->process->executable : ""},
		{KEY_CGROUP, cgroup->path},
		{KEY_CONTAINER_ID, cgroup->container_id},
		{KEY_CONTAINER, cgroup->container},
		{KEY_UNIT, cgroup->unit},
		{KEY_POD, cgroup->pod},
		{KEY_NAMESPACE, cgroup->namespace},
		{KEY_SERVICE, service_of(owner, process, buffer)},
	};
	int err = 0;

	put_number(l, set, KEY_PID, owner->tgid);
	if (owner->tid)
		put_number(l, set, KEY_TID, owner->tid);
	for (size_t i = 0; err == 0 && i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
		err = put_text(l, b, set, TEXTS[i].key, TEXTS[i].text);
	return err;
}

static int make_keys(struct sample_labels *l, struct profile_builder *b)
{
	for (int i = 0; !l->has_keys && i < KEYS; i++) {
		int64_t id = profile_builder_string(b, KEY_NAMES[i], strlen(KEY_NAMES[i]));
		if (id < 0)
			return (int)id;
		l->keys[i] = (profile_str)id;
	}
	l->has_keys = true;
	return 0;
}

int64_t sample_labels_find(struct sample_labels *l, struct profile_builder *b, const struct sample_owner *owner)
{
	struct identity identity = identify(l, owner);

	int err = make_keys(l, b);
	if (err == 0)
		err = reserve(l);
	if (err < 0)
		return err;
	size_t slot = slot_of(l, &identity);
	if (l->slots[slot])
		return (int64_t)l->slots[slot] - 1;
	struct set *set = &l->sets[l->n_sets];
	*set = (struct set){.identity = identity};
	err = fill(l, b, owner, set);
	if (err < 0)
		return err;
	l->slots[slot] = (uint32_t)++l->n_sets;
	return (int64_t)l->n_sets - 1;
}

const struct profile_label *sample_labels_get(const struct sample_labels *l, uint32_t set, size_t *n_out)
{
	*n_out = l->sets[set].n;
	return l->sets[set].labels;
}

void sample_labels_clear(struct sample_labels *l)
{
	l->n_sets = 0;
	l->has_keys = false;
	memset(l->slots, 0, l->n_slots * sizeof(l->slots[0]));
}

void sample_labels_destroy(struct sample_labels *l)
{
	if (!l)
		return;
	free(l->sets);
	free(l->slots);
	free(l);
}
