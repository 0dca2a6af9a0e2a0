#include "agent/pod_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define KEY_MAX	      64 /* container ids; pod uids are shorter */
#define NAMESPACE_MAX 63
#define POD_MAX	      253
#define CONTAINER_MAX 63

/* One name; texts are offsets into the list's bytes. */
struct entry {
	char key[KEY_MAX + 1];
	uint32_t pod, namespace, container;
};

struct list {
	struct entry *entries; /* sorted by key */
	size_t n, capacity;
	char *bytes;
	size_t n_bytes, bytes_capacity;
};

struct pod_names {
	char *root;
	struct list containers, pods;
	uint64_t next_scan_ns;
	struct pod_names_stats stats;
};

int pod_names_create(const char *root, struct pod_names **names_out)
{
	struct pod_names *p = calloc(1, sizeof(*p));
	char *copy = strdup(root);

	if (!p || !copy) {
		free(p);
		free(copy);
		return -ENOMEM;
	}
	p->root = copy;
	*names_out = p;
	return 0;
}

static bool is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

/* RFC 1123: lower-case letters, digits, '-', and between the labels of a pod's name '.'. */
static bool is_name(const char *text, size_t n, size_t max)
{
	if (!n || n > max || !is_alphanumeric(text[0]) || !is_alphanumeric(text[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alphanumeric(text[i]) && text[i] != '-' && text[i] != '.')
			return false;
	return true;
}

static int put_text(struct list *list, const char *text, size_t n, uint32_t *offset_out)
{
	if (list->n_bytes + n + 1 > list->bytes_capacity) {
		size_t capacity = 2 * list->bytes_capacity + 4096;
		char *grown = realloc(list->bytes, capacity);
		if (!grown)
			return -ENOMEM;
		list->bytes = grown;
		list->bytes_capacity = capacity;
	}
	memcpy(list->bytes + list->n_bytes, text, n);
	list->bytes[list->n_bytes + n] = '\0';
	*offset_out = (uint32_t)list->n_bytes;
	list->n_bytes += n + 1;
	return 0;
}

/* A name in pieces, none of which ends in NUL. */
struct pieces {
	const char *pod, *namespace, *container, *key;
	size_t pod_n, namespace_n, container_n, key_n;
};

/* Returns 0, -ENOSPC (beyond the limit) or -ENOMEM. */
static int put(struct list *list, const struct pieces *from)
{
	if (list->n == POD_NAMES_MAX)
		return -ENOSPC;
	if (list->n == list->capacity) {
		size_t capacity = 2 * list->capacity + 64;
		struct entry *grown = realloc(list->entries, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		list->entries = grown;
		list->capacity = capacity;
	}
	struct entry *entry = &list->entries[list->n];
	memcpy(entry->key, from->key, from->key_n);
	entry->key[from->key_n] = '\0';
	int err = put_text(list, from->pod, from->pod_n, &entry->pod);
	if (err == 0)
		err = put_text(list, from->namespace, from->namespace_n, &entry->namespace);
	if (err == 0)
		err = put_text(list, from->container, from->container_n, &entry->container);
	list->n += err == 0;
	return err;
}

/* POD_NAMESPACE_CONTAINER-ID.log: no name has an underscore in it. */
static bool split_container(const char *name, struct pieces *out)
{
	size_t n = strlen(name);
	const char *namespace = strchr(name, '_'), *container = namespace ? strchr(namespace + 1, '_') : NULL;

	if (!container || n < 4 || strcmp(name + n - 4, ".log") != 0)
		return false;
	const char *end = name + n - 4;
	if (end - container < KEY_MAX + 2 || end[-KEY_MAX - 1] != '-')
		return false;
	*out = (struct pieces){name, namespace + 1, container + 1, end - KEY_MAX,
			       (size_t)(namespace - name), (size_t)(container - namespace - 1),
			       (size_t)(end - KEY_MAX - 1 - container - 1), KEY_MAX};
	for (size_t i = 0; i < KEY_MAX; i++)
		if (!is_hex_digit(out->key[i]))
			return false;
	return is_name(out->pod, out->pod_n, POD_MAX) && is_name(out->namespace, out->namespace_n, NAMESPACE_MAX) &&
	       is_name(out->container, out->container_n, CONTAINER_MAX);
}

/* NAMESPACE_POD_UID */
static bool split_pod(const char *name, struct pieces *out)
{
	const char *pod = strchr(name, '_'), *uid = pod ? strchr(pod + 1, '_') : NULL;

	if (!uid)
		return false;
	*out = (struct pieces){pod + 1, name, "", uid + 1, (size_t)(uid - pod - 1), (size_t)(pod - name), 0, strlen(uid + 1)};
	if (!out->key_n || out->key_n > KEY_MAX)
		return false;
	for (size_t i = 0; i < out->key_n; i++)
		if (!is_hex_digit(out->key[i]) && out->key[i] != '-')
			return false;
	return is_name(out->pod, out->pod_n, POD_MAX) && is_name(out->namespace, out->namespace_n, NAMESPACE_MAX);
}

static int by_key(const void *x, const void *y)
{
	return strcmp(((const struct entry *)x)->key, ((const struct entry *)y)->key);
}

static void scan(struct pod_names *p, const char *folder, struct list *list, bool (*split)(const char *, struct pieces *))
{
	AUTO_FREE char *path = NULL;
	size_t read = 0;

	list->n = list->n_bytes = 0;
	if (asprintf(&path, "%s%s", p->root, folder) < 0) {
		path = NULL;
		return;
	}
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir));) {
		struct pieces pieces;
		if (entry->d_name[0] == '.')
			continue;
		if (++read > POD_NAMES_READ_MAX) {
			p->stats.left_out++;
			break;
		}
		if (!split(entry->d_name, &pieces))
			p->stats.malformed++;
		else if (put(list, &pieces) < 0)
			p->stats.left_out++;
	}
	closedir(dir);
	if (list->n)
		qsort(list->entries, list->n, sizeof(list->entries[0]), by_key);
}

static void scan_all(struct pod_names *p)
{
	p->stats.left_out = p->stats.malformed = 0;
	scan(p, "/var/log/containers", &p->containers, split_container);
	scan(p, "/var/log/pods", &p->pods, split_pod);
	p->stats.scans++;
	p->stats.containers = p->containers.n;
	p->stats.pods = p->pods.n;
}

static bool find(const struct list *list, const char *key, struct pod_name *name_out)
{
	struct entry wanted;

	if (!key[0] || strlen(key) > KEY_MAX || !list->n)
		return false;
	memcpy(wanted.key, key, strlen(key) + 1);
	const struct entry *entry = bsearch(&wanted, list->entries, list->n, sizeof(wanted), by_key);
	if (!entry)
		return false;
	*name_out = (struct pod_name){list->bytes + entry->pod, list->bytes + entry->namespace, list->bytes + entry->container};
	return true;
}

int pod_names_find(struct pod_names *p, const char *container_id, const char *pod_uid, uint64_t now_ns, struct pod_name *name_out)
{
	if (find(&p->containers, container_id, name_out))
		return 0;
	if (now_ns >= p->next_scan_ns) {
		p->next_scan_ns = now_ns + POD_NAMES_PAUSE_NS;
		scan_all(p);
		if (find(&p->containers, container_id, name_out))
			return 0;
	}
	if (find(&p->pods, pod_uid, name_out))
		return container_id[0] ? -ENOENT : 0;
	*name_out = (struct pod_name){"", "", ""};
	return -ENOENT;
}

void pod_names_stats(const struct pod_names *p, struct pod_names_stats *stats_out)
{
	*stats_out = p->stats;
}

static void list_deinit(struct list *list)
{
	free(list->entries);
	free(list->bytes);
}

void pod_names_destroy(struct pod_names *p)
{
	if (!p)
		return;
	list_deinit(&p->containers);
	list_deinit(&p->pods);
	free(p->root);
	free(p);
}
