#include "agent/cgroup_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <uthash.h>
#include <xxhash.h>

#include "agent/cgroup_path.h"
#include "base/scope.h"
#include "base/text_clean.h"

#define HANDLE_KERNFS	  0xfe	       /* FILEID_KERNFS, include/linux/exportfs.h: the handle is the id */
#define CGROUP_NS_INITIAL 0xEFFFFFFBu  /* PROC_CGROUP_INIT_INO, include/linux/proc_ns.h */
#define BY_PROCESS	  (1ULL << 63) /* of ids that cgroup_names_read() made */
#define PATH_BYTES	  4096
#define PROC_TEXT_MAX	  16384
#define QUEUE_MAX	  8192	       /* folders that wait to be read */
#define CHILDREN_MAX	  65536	       /* of a folder, that are read */
#define POD_RETRY_NS	  (10 * 1000000000ull)
#define POD_RETRIES	  8 /* each twice as late as the one before: for 40 minutes */

/* What is remembered of an id. The texts follow. */
struct entry {
	uint64_t id;
	uint64_t used_ns;  /* last asked for; 0: only learned */
	uint64_t asked_ns; /* without a path: when the kernel did not know it */
	uint64_t bytes;
	struct cgroup cgroup;
	bool known; /* has a path */
	char pod_uid[POD_UID_MAX];
	uint8_t pod_tries;
	uint64_t pod_try_ns; /* the next look for the pod's names */
	char *pod_texts;     /* owned: pod, namespace, container */
	size_t pod_bytes;
	UT_hash_handle hh;
	char text[];
};

struct cgroup_names {
	struct cgroup_names_options options;
	char *proc;
	int mount_fd;	   /* of v2; -1: not mounted */
	char *mount;	   /* its path as the kernel writes it */
	uint64_t root_id;
	bool has_handles;
	bool by_process;
	uint64_t seed;
	uint64_t now_ns;
	size_t dirs_left, reads_left;
	struct entry *entries;
	char **queue; /* paths below the mount, to be read: a walk at work */
	size_t queue_head, queue_n;
	bool walked; /* in this step a walk came to its end */
	struct pod_names *pods;
	struct cgroup_names_stats stats;
};

/* ---- where things are ---- */

static bool is_v2(const char *folder)
{
	struct statfs fs;

	return statfs(folder, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* The folder of v2; NULL: it is not mounted, or there is no memory. */
static char *find_v2(const char *host_root)
{
	static const char *const PLACES[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char *path, *found = NULL;

	for (size_t i = 0; i < sizeof(PLACES) / sizeof(PLACES[0]); i++) {
		if (asprintf(&path, "%s%s", host_root, PLACES[i]) < 0)
			return NULL;
		if (is_v2(path))
			return path;
		free(path);
	}
	FILE *mounts = *host_root ? NULL : setmntent("/proc/self/mounts", "re");
	if (!mounts)
		return NULL;
	char text[8192];
	struct mntent entry;
	while (!found && getmntent_r(mounts, &entry, text, sizeof(text)))
		if (strcmp(entry.mnt_type, "cgroup2") == 0)
			found = strdup(entry.mnt_dir);
	endmntent(mounts);
	return found;
}

/* The path of an open folder. Returns its length or a negative errno. */
static ssize_t path_of(int fd, char path[PATH_BYTES])
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, PATH_BYTES - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return n;
}

static int open_id(const struct cgroup_names *n, uint64_t id)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(id)];
	} u = {.handle = {.handle_bytes = sizeof(id), .handle_type = HANDLE_KERNFS}};

	memcpy(u.handle.f_handle, &id, sizeof(id));
	int fd = open_by_handle_at(n->mount_fd, &u.handle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_v2(struct cgroup_names *n)
{
	AUTO_FREE char *folder = n->options.v2_folder ? strdup(n->options.v2_folder) : find_v2(n->options.host_root);
	char path[PATH_BYTES];
	struct stat root;

	if (!folder)
		return 0;
	n->mount_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n->mount_fd < 0 || path_of(n->mount_fd, path) < 0 || fstat(n->mount_fd, &root) < 0)
		return 0; /* as if it were not mounted */
	n->mount = strdup(path);
	if (!n->mount)
		return -ENOMEM;
	n->root_id = root.st_ino;
	AUTO_CLOSE int fd = open_id(n, n->root_id);
	n->has_handles = fd >= 0;
	return 0;
}

/* "ID:CONTROLLERS:PATH" with an ID other than 0 is a hierarchy of v1. */
static bool has_v1(const char *proc)
{
	char path[PATH_BYTES], line[PATH_BYTES + 64];

	snprintf(path, sizeof(path), "%s/self/cgroup", proc);
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strtoul(line, NULL, 10) != 0)
			return true;
	return false;
}

int cgroup_names_create(const struct cgroup_names_options *options, struct cgroup_names **names_out)
{
	struct cgroup_names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->options = *options;
	n->mount_fd = -1;
	n->dirs_left = CGROUP_DIRS_A_STEP;
	n->reads_left = CGROUP_READS_A_STEP;
	n->proc = strdup(options->proc ? options->proc : "/proc");
	int err = n->proc ? pod_names_create(options->host_root, &n->pods) : -ENOMEM;
	if (err == 0 && getrandom(&n->seed, sizeof(n->seed), 0) != (ssize_t)sizeof(n->seed))
		err = -EIO;
	if (err == 0)
		err = open_v2(n);
	if (err < 0) {
		cgroup_names_destroy(n);
		return err;
	}
	n->options.host_root = n->options.v2_folder = n->options.proc = NULL; /* borrowed for the call */
	n->by_process = has_v1(n->proc);
	*names_out = n;
	return 0;
}

bool cgroup_names_by_process(const struct cgroup_names *n)
{
	return n->by_process;
}

bool cgroup_names_is_inside(const char *proc)
{
	char path[PATH_BYTES];
	struct stat ns;

	snprintf(path, sizeof(path), "%s/self/ns/cgroup", proc ? proc : "/proc");
	return stat(path, &ns) == 0 && ns.st_ino != CGROUP_NS_INITIAL;
}

/* ---- what is remembered ---- */

static struct entry *entry_of(const struct cgroup_names *n, uint64_t id)
{
	struct entry *entry;

	HASH_FIND(hh, n->entries, &id, sizeof(id), entry);
	return entry;
}

static void drop(struct cgroup_names *n, struct entry *entry)
{
	n->stats.bytes -= entry->bytes;
	HASH_DEL(n->entries, entry);
	free(entry->pod_texts);
	free(entry);
}

static int by_use(const struct entry *a, const struct entry *b)
{
	return a->used_ns < b->used_ns ? -1 : a->used_ns > b->used_ns;
}

/* Beyond the budget: those that were never asked for go first, then those that were longest ago; a quarter at once. */
static void keep_budget(struct cgroup_names *n)
{
	struct entry *entry, *next;

	if (n->stats.bytes <= n->options.budget_bytes)
		return;
	HASH_SORT(n->entries, by_use);
	HASH_ITER(hh, n->entries, entry, next) {
		if (n->stats.bytes <= n->options.budget_bytes - n->options.budget_bytes / 4)
			break;
		drop(n, entry);
		n->stats.evicted++;
	}
}

void cgroup_names_begin(struct cgroup_names *n, uint64_t now_ns)
{
	n->now_ns = now_ns;
	n->dirs_left = CGROUP_DIRS_A_STEP;
	n->reads_left = CGROUP_READS_A_STEP;
	n->walked = false;
	keep_budget(n);
}

static struct entry *add(struct cgroup_names *n, uint64_t id, size_t text_bytes)
{
	struct entry *entry = entry_of(n, id);

	/* It was not known so far. */
	if (entry)
		drop(n, entry);
	entry = calloc(1, sizeof(*entry) + text_bytes);
	if (!entry) {
		n->stats.no_memory++;
		return NULL;
	}
	entry->id = id;
	entry->bytes = sizeof(*entry) + text_bytes;
	entry->cgroup = (struct cgroup){"", "", "", "", "", ""};
	HASH_ADD(hh, n->entries, id, sizeof(entry->id), entry);
	n->stats.bytes += entry->bytes;
	return entry;
}

static const char *place(char **at, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *to = *at;

	memcpy(to, text, bytes);
	*at += bytes;
	return to;
}

/* path: "/" and what is below it. */
static struct entry *remember(struct cgroup_names *n, uint64_t id, const char *path, const struct cgroup_path *facts)
{
	char shown[CGROUP_LABEL_MAX];
	size_t bytes = strlen(path);

	text_clean(path, bytes, shown, sizeof(shown));
	n->stats.cut += bytes >= sizeof(shown);
	if (strcmp(shown, "/") == 0)
		shown[0] = '\0';
	size_t text_bytes = strlen(shown) + strlen(facts->container_id) + strlen(facts->container) + strlen(facts->unit) + 4;
	struct entry *entry = add(n, id, text_bytes);
	if (!entry)
		return NULL;
	char *at = entry->text;
	entry->known = true;
	entry->cgroup.path = place(&at, shown);
	entry->cgroup.container_id = place(&at, facts->container_id);
	entry->cgroup.container = place(&at, facts->container);
	entry->cgroup.unit = place(&at, facts->unit);
	memcpy(entry->pod_uid, facts->pod_uid, sizeof(entry->pod_uid));
	return entry;
}

static struct entry *remember_path(struct cgroup_names *n, uint64_t id, const char *path)
{
	struct cgroup_path facts;

	cgroup_path_parse(path, &facts);
	return remember(n, id, path, &facts);
}

void cgroup_names_learn(struct cgroup_names *n, uint64_t id, const char *path, size_t bytes)
{
	char text[PATH_BYTES];

	bytes = strnlen(path, bytes);
	if (bytes >= sizeof(text) || !bytes || path[0] != '/' || id & BY_PROCESS)
		return;
	memcpy(text, path, bytes);
	text[bytes] = '\0';
	const struct entry *known = entry_of(n, id);
	if (known && known->known)
		return;
	/* Nothing that is borrowed goes; who makes cgroups in a storm is asked for his when they are sampled. */
	if (n->stats.bytes > 2 * n->options.budget_bytes) {
		n->stats.over_limit++;
		return;
	}
	if (remember_path(n, id, text))
		n->stats.learned++;
}

/* ---- the tree ---- */

static bool enqueue(struct cgroup_names *n, const char *path)
{
	if (!n->queue)
		n->queue = calloc(QUEUE_MAX, sizeof(n->queue[0]));
	if (!n->queue || n->queue_n == QUEUE_MAX)
		return false;
	char *copy = strdup(path);
	if (!copy)
		return false;
	n->queue[(n->queue_head + n->queue_n++) % QUEUE_MAX] = copy;
	return true;
}

static char *dequeue(struct cgroup_names *n)
{
	char *path = n->queue[n->queue_head];

	n->queue_head = (n->queue_head + 1) % QUEUE_MAX;
	n->queue_n--;
	return path;
}

/* A folder's number is the id of its cgroup, and readdir() tells it. */
static void read_folder(struct cgroup_names *n, const char *folder)
{
	char path[PATH_BYTES];
	int fd = openat(n->mount_fd, folder[1] ? folder + 1 : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return; /* gone meanwhile */
	}
	size_t children = 0;
	for (struct dirent *entry; (entry = readdir(dir)) && children < CHILDREN_MAX;) {
		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		children++;
		int length = snprintf(path, sizeof(path), "%s/%s", folder[1] ? folder : "", entry->d_name);
		if (length < 0 || (size_t)length >= sizeof(path))
			continue;
		cgroup_names_learn(n, entry->d_ino, path, (size_t)length);
		if (!enqueue(n, path))
			n->stats.over_limit++;
	}
	n->stats.over_limit += children == CHILDREN_MAX;
	closedir(dir);
}

static void walk(struct cgroup_names *n)
{
	if (n->mount_fd < 0 || (!n->queue_n && !enqueue(n, "/")))
		return;
	for (; n->queue_n && n->dirs_left; n->dirs_left--) {
		AUTO_FREE char *folder = dequeue(n);
		read_folder(n, folder);
	}
	n->walked = !n->queue_n;
}

void cgroup_names_scan(struct cgroup_names *n)
{
	if (n->mount_fd >= 0)
		cgroup_names_learn(n, n->root_id, "/", 1);
	walk(n);
	/* The others are asked for when they are sampled. */
	while (n->has_handles && n->queue_n)
		free(dequeue(n));
}

/* The path of a cgroup that is open, below the mount. */
static const char *below_mount(const struct cgroup_names *n, char *path, ssize_t length)
{
	static const char DELETED[] = " (deleted)";
	size_t mount = strlen(n->mount), deleted = sizeof(DELETED) - 1;

	if ((size_t)length > deleted && strcmp(path + length - deleted, DELETED) == 0)
		path[(size_t)length - deleted] = '\0';
	if (strncmp(path, n->mount, mount) == 0 && (!path[mount] || path[mount] == '/'))
		path += mount;
	return *path ? path : "/";
}

/* The kernel's answer; -ESTALE when the cgroup is gone. */
static int ask(struct cgroup_names *n, uint64_t id, struct entry **entry_out)
{
	char path[PATH_BYTES];
	AUTO_CLOSE int fd = open_id(n, id);

	if (fd < 0)
		return fd;
	ssize_t length = path_of(fd, path);
	if (length < 0)
		return (int)length;
	const char *below = below_mount(n, path, length);
	/* In a cgroup namespace what is outside of it opens, and says that it is the root. */
	if (!below[1] && id != n->root_id)
		return -ESTALE;
	*entry_out = remember_path(n, id, below);
	return *entry_out ? 0 : -ENOMEM;
}

static struct entry *look_up(struct cgroup_names *n, uint64_t id)
{
	struct entry *entry = NULL;

	n->stats.looked_up++;
	if (n->has_handles) {
		if (ask(n, id, &entry) == 0)
			return entry;
	} else if (!n->walked) {
		if (!n->dirs_left)
			n->stats.over_limit++;
		walk(n);
		entry = entry_of(n, id);
		if (entry && entry->known)
			return entry;
	}
	n->stats.unknown++;
	entry = entry_of(n, id);
	if (!entry)
		entry = add(n, id, 0);
	if (entry)
		entry->asked_ns = n->now_ns;
	return entry;
}

/* ---- pods ---- */

static void set_pod(struct cgroup_names *n, struct entry *entry, const struct pod_name *name)
{
	size_t bytes = strlen(name->pod) + strlen(name->namespace) + strlen(name->container) + 3;
	char *texts = malloc(bytes), *at = texts;

	if (!texts) {
		n->stats.no_memory++;
		return;
	}
	entry->cgroup.pod = place(&at, name->pod);
	entry->cgroup.namespace = place(&at, name->namespace);
	entry->cgroup.container = place(&at, name->container);
	free(entry->pod_texts);
	entry->bytes += bytes - entry->pod_bytes;
	n->stats.bytes += bytes - entry->pod_bytes;
	entry->pod_texts = texts;
	entry->pod_bytes = bytes;
}

/* The files of a pod come a little later than its cgroup, and a pause container has none. */
static void name_pod(struct cgroup_names *n, struct entry *entry)
{
	struct pod_name name;

	if (!entry->pod_uid[0] || entry->pod_tries >= POD_RETRIES || n->now_ns < entry->pod_try_ns)
		return;
	int err = pod_names_find(n->pods, entry->cgroup.container_id, entry->pod_uid, n->now_ns, &name);
	entry->pod_try_ns = n->now_ns + (POD_RETRY_NS << entry->pod_tries);
	entry->pod_tries = err == 0 ? POD_RETRIES : (uint8_t)(entry->pod_tries + 1);
	if (name.pod[0])
		set_pod(n, entry, &name);
}

/* ---- processes ---- */

/* How much a path tells. */
static int rank(const char *path, const struct cgroup_path *facts)
{
	return facts->container_id[0] ? 3 : facts->unit[0] || facts->pod_uid[0] ? 2 : path[1] ? 1 : 0;
}

/* The path of the hierarchies that tells most; of equals the longest. Paths relative to our namespace may begin with "/..". */
static struct entry *remember_process(struct cgroup_names *n, uint64_t id, char *text)
{
	struct cgroup_path best = {0}, facts;
	const char *best_path = "/";
	int best_rank = -1;

	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		char *path = strchr(line, ':');
		path = path ? strchr(path + 1, ':') : NULL;
		if (!path || path[1] != '/')
			continue;
		for (path++; strncmp(path, "/../", 4) == 0;)
			path += 3;
		cgroup_path_parse(path, &facts);
		int r = rank(path, &facts);
		if (r > best_rank || (r == best_rank && strlen(path) > strlen(best_path))) {
			best_rank = r;
			best_path = path;
			best = facts;
		}
	}
	return remember(n, id, best_path, &best);
}

uint64_t cgroup_names_read(struct cgroup_names *n, pid_t pid)
{
	char path[PATH_BYTES], text[PROC_TEXT_MAX];

	if (!n->reads_left) {
		n->stats.over_limit++;
		return 0;
	}
	n->reads_left--;
	snprintf(path, sizeof(path), "%s/%d/cgroup", n->proc, (int)pid);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (bytes <= 0)
		return 0;
	text[bytes] = '\0';
	n->stats.processes_read++;
	/* Processes of one cgroup have one text. */
	uint64_t id = XXH3_64bits_withSeed(text, (size_t)bytes, n->seed) | BY_PROCESS;
	const struct entry *entry = entry_of(n, id);
	return entry || remember_process(n, id, text) ? id : 0;
}

/* ---- asking ---- */

const struct cgroup *cgroup_names_find(struct cgroup_names *n, uint64_t id)
{
	struct entry *entry = entry_of(n, id);

	if (!entry || (!entry->known && entry->asked_ns != n->now_ns))
		entry = id & BY_PROCESS || n->mount_fd < 0 ? NULL : look_up(n, id);
	if (!entry)
		return NULL;
	entry->used_ns = n->now_ns + 1;
	if (!entry->known)
		return NULL;
	name_pod(n, entry);
	return &entry->cgroup;
}

int cgroup_tells(const struct cgroup *cgroup)
{
	if (!cgroup)
		return 0;
	return cgroup->container_id[0] ? 3 : cgroup->unit[0] ? 2 : cgroup->path[0] ? 1 : 0;
}

void cgroup_names_stats(const struct cgroup_names *n, struct cgroup_names_stats *stats_out)
{
	*stats_out = n->stats;
	stats_out->known = HASH_COUNT(n->entries);
	stats_out->by_process = n->by_process;
	stats_out->by_walking = n->mount_fd >= 0 && !n->has_handles;
	pod_names_stats(n->pods, &stats_out->pods);
}

void cgroup_names_destroy(struct cgroup_names *n)
{
	struct entry *entry, *next;

	if (!n)
		return;
	HASH_ITER(hh, n->entries, entry, next)
		drop(n, entry);
	while (n->queue_n)
		free(dequeue(n));
	free(n->queue);
	if (n->mount_fd >= 0)
		close(n->mount_fd);
	free(n->mount);
	free(n->proc);
	pod_names_destroy(n->pods);
	free(n);
}
