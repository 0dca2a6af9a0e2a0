#include "agent/image_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/scope.h"

#define NO_SLOT	       UINT32_MAX
#define BUCKETS	       1024
#define VDSO_MAX_BYTES (16 * 4096)

enum key_kind { KEY_BUILD_ID, KEY_INODE, KEY_VDSO };

struct image_key {
	uint8_t kind;
	uint8_t n_bytes;
	uint8_t bytes[BUILD_ID_MAX];
};

/* A file may have two keys: (device, inode) from /proc and a build id from a record. */
struct key_entry {
	struct image_key key;
	uint32_t slot;
	struct key_entry *next;
};

struct image_table {
	struct symbolizer *symbolizer;
	size_t max_images, max_files;
	struct image **slots; /* NULL: free */
	size_t n_slots;
	size_t n_open;
	uint32_t next_id;
	uint64_t seed;
	struct image_table_stats stats;
	struct key_entry *buckets[BUCKETS];
};

int image_table_create(struct symbolizer *symbolizer, size_t max_images, size_t max_files,
		       struct image_table **table_out)
{
	struct image_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->symbolizer = symbolizer;
	t->max_images = max_images;
	t->max_files = max_files;
	t->slots = calloc(max_images, sizeof(t->slots[0]));
	if (!t->slots || getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed)) {
		image_table_destroy(t);
		return -ENOMEM;
	}
	*table_out = t;
	return 0;
}

static struct image_key key_of_build_id(const uint8_t *build_id, uint8_t n_bytes)
{
	struct image_key key = {.kind = KEY_BUILD_ID, .n_bytes = n_bytes};

	memcpy(key.bytes, build_id, n_bytes);
	return key;
}

static struct image_key key_of_inode(const struct image_sight *sight)
{
	struct image_key key = {.kind = KEY_INODE, .n_bytes = 24};

	memcpy(key.bytes, &sight->where.dev_major, 4);
	memcpy(key.bytes + 4, &sight->where.dev_minor, 4);
	memcpy(key.bytes + 8, &sight->where.inode, 8);
	memcpy(key.bytes + 16, &sight->inode_generation, 8);
	return key;
}

static size_t bucket_of(const struct image_table *t, const struct image_key *key)
{
	return XXH3_64bits_withSeed(key->bytes, key->n_bytes, t->seed + key->kind) % BUCKETS;
}

static bool same_key(const struct image_key *a, const struct image_key *b)
{
	return a->kind == b->kind && a->n_bytes == b->n_bytes && memcmp(a->bytes, b->bytes, a->n_bytes) == 0;
}

static uint32_t find_key(const struct image_table *t, const struct image_key *key)
{
	for (const struct key_entry *e = t->buckets[bucket_of(t, key)]; e; e = e->next)
		if (same_key(&e->key, key))
			return e->slot;
	return NO_SLOT;
}

static int add_key(struct image_table *t, const struct image_key *key, uint32_t slot)
{
	struct key_entry *entry = malloc(sizeof(*entry));
	struct key_entry **bucket = &t->buckets[bucket_of(t, key)];

	if (!entry)
		return -ENOMEM;
	*entry = (struct key_entry){.key = *key, .slot = slot, .next = *bucket};
	*bucket = entry;
	return 0;
}

static void drop_keys(struct image_table *t, uint32_t slot)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct key_entry **at = &t->buckets[i]; *at;) {
			struct key_entry *entry = *at;
			if (entry->slot != slot) {
				at = &entry->next;
				continue;
			}
			*at = entry->next;
			free(entry);
		}
	}
}

static void close_files(struct image_table *t, struct image *image)
{
	int *const fds[] = {&image->fd, &image->debug_fd};

	for (size_t i = 0; i < 2; i++) {
		if (*fds[i] < 0)
			continue;
		close(*fds[i]);
		*fds[i] = -1;
		t->n_open--;
	}
}

static void free_image(struct image_table *t, struct image *image)
{
	if (!image)
		return;
	close_files(t, image);
	free(image->segments);
	free(image->path);
	free(image);
}

static void forget(struct image_table *t, uint32_t slot)
{
	struct image *image = t->slots[slot];

	drop_keys(t, slot);
	t->slots[slot] = NULL;
	t->stats.images--;
	free_image(t, image);
}

static int64_t new_image(struct image_table *t, const char *path)
{
	uint32_t slot = 0;

	while (slot < t->n_slots && t->slots[slot])
		slot++;
	if (slot == t->max_images) {
		t->stats.refused++;
		return -ENOSPC;
	}
	struct image *image = calloc(1, sizeof(*image));
	char *copy = strdup(path);
	if (!image || !copy) {
		free(image);
		free(copy);
		return -ENOMEM;
	}
	image->id = t->next_id++;
	image->fd = image->debug_fd = -1;
	image->state = IMAGE_UNOPENED;
	image->path = copy;
	t->slots[slot] = image;
	if (slot == t->n_slots)
		t->n_slots++;
	t->stats.images++;
	return slot;
}

/* Keep the number of open files within its budget: the least recently used one is closed. */
static void make_room_for_file(struct image_table *t)
{
	if (t->n_open < t->max_files)
		return;
	struct image *oldest = NULL;
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->slots[i] && t->slots[i]->fd >= 0 && (!oldest || t->slots[i]->last_used < oldest->last_used))
			oldest = t->slots[i];
	if (!oldest)
		return;
	close_files(t, oldest);
	t->stats.closed++;
}

/* Take what the file says of itself into the image. fd: taken over. */
static int take_file(struct image_table *t, struct image *image, int fd)
{
	struct image_info info;

	int err = symbolizer_image(t->symbolizer, fd, &info);
	if (err < 0) {
		close(fd);
		image->state = IMAGE_FAILED;
		t->stats.failed++;
		return err;
	}
	/* The kernel told the mapped file's build id: another one here is another file under the same path. */
	if (image->build_id_bytes && (info.build_id_bytes < image->build_id_bytes ||
				      memcmp(info.build_id, image->build_id, image->build_id_bytes) != 0)) {
		close(fd);
		t->stats.mismatched++;
		return -ESTALE;
	}
	struct image_segment *segments = calloc((size_t)info.n_segments + 1, sizeof(*segments));
	if (!segments) {
		close(fd);
		return -ENOMEM;
	}
	memcpy(segments, info.segments, info.n_segments * sizeof(*segments));
	free(image->segments);
	image->segments = segments;
	image->n_segments = info.n_segments;
	memcpy(image->build_id, info.build_id, info.build_id_bytes);
	image->build_id_bytes = info.build_id_bytes;
	image->state = IMAGE_READ;
	image->lacks_cfi = info.lacks_cfi;
	image->fd = fd;
	t->n_open++;
	t->stats.opened++;
	return 0;
}

/* The image's debug file, while the process is there to lead to it. Another build id is another program's file. */
static void open_debug_file(struct image_table *t, struct image *image, const struct image_sight *sight)
{
	struct opened_image opened;

	if (!image->lacks_cfi || image_open_debug(&sight->where, image->build_id, image->build_id_bytes, &opened) < 0)
		return;
	if (!symbolizer_is_debug_file(t->symbolizer, opened.fd, image->build_id, image->build_id_bytes)) {
		close(opened.fd);
		t->stats.mismatched++;
		return;
	}
	image->debug_fd = opened.fd;
	t->n_open++;
	t->stats.debug_opened++;
}

static void open_file(struct image_table *t, struct image *image, const struct image_sight *sight)
{
	struct opened_image opened;

	make_room_for_file(t);
	int err = image_open(&sight->where, &opened);
	if (err == -EINVAL || err == -EFBIG) {
		image->state = IMAGE_FAILED;
		t->stats.failed++;
		return;
	}
	if (err == 0)
		err = take_file(t, image, opened.fd);
	else if (err == -ESTALE)
		t->stats.mismatched++;
	if (err == 0)
		open_debug_file(t, image, sight);
	if (err < 0 && image->state == IMAGE_UNOPENED)
		t->stats.unopened++;
}

/* A file seen through /proc for the first time may be known by its build id: then it gets a second key, and the new
 * image goes. */
static int64_t unify(struct image_table *t, uint32_t slot, const struct image_key *key)
{
	struct image *image = t->slots[slot];

	if (!image->build_id_bytes)
		return slot;
	struct image_key build_id = key_of_build_id(image->build_id, image->build_id_bytes);
	uint32_t known = find_key(t, &build_id);
	if (known == NO_SLOT) {
		add_key(t, &build_id, slot);
		return slot;
	}
	if (known == slot)
		return slot;
	struct image *first = t->slots[known];
	if (first->fd < 0 && image->fd >= 0) {
		first->fd = take_fd(&image->fd);
		first->debug_fd = take_fd(&image->debug_fd);
		if (first->state != IMAGE_READ) {
			first->state = IMAGE_READ;
			first->segments = take_ptr(image->segments);
			first->n_segments = image->n_segments;
		}
	}
	drop_keys(t, slot);
	t->slots[slot] = NULL;
	t->stats.images--;
	free_image(t, image);
	add_key(t, key, known);
	return known;
}

int64_t image_table_see(struct image_table *t, const struct image_sight *sight)
{
	bool by_build_id = sight->build_id && sight->build_id_bytes;
	struct image_key key = by_build_id ? key_of_build_id(sight->build_id, sight->build_id_bytes) : key_of_inode(sight);
	uint32_t slot = find_key(t, &key);

	if (slot != NO_SLOT) {
		struct image *image = t->slots[slot];
		if (image->state == IMAGE_UNOPENED || (image->state == IMAGE_READ && image->fd < 0))
			open_file(t, image, sight);
		return slot;
	}
	int64_t fresh = new_image(t, sight->where.path);
	if (fresh < 0)
		return fresh;
	struct image *image = t->slots[fresh];
	if (by_build_id) {
		memcpy(image->build_id, sight->build_id, sight->build_id_bytes);
		image->build_id_bytes = sight->build_id_bytes;
	}
	if (add_key(t, &key, (uint32_t)fresh) < 0) {
		forget(t, (uint32_t)fresh);
		return -ENOMEM;
	}
	open_file(t, image, sight);
	return by_build_id ? fresh : unify(t, (uint32_t)fresh, &key);
}

int64_t image_table_vdso(struct image_table *t)
{
	static const struct image_key key = {.kind = KEY_VDSO, .n_bytes = 0};
	uint32_t slot = find_key(t, &key);
	const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);

	if (slot != NO_SLOT)
		return slot;
	int64_t fresh = new_image(t, "[vdso]");
	if (fresh < 0)
		return fresh;
	if (add_key(t, &key, (uint32_t)fresh) < 0) {
		forget(t, (uint32_t)fresh);
		return -ENOMEM;
	}
	int fd = vdso ? memfd_create("vdso", MFD_CLOEXEC) : -1;
	if (fd < 0)
		return fresh;
	/* Its length is not told anywhere; write() ends at the first page that is not mapped. */
	for (size_t at = 0; at < VDSO_MAX_BYTES; at += 4096)
		if (write(fd, vdso + at, 4096) != 4096)
			break;
	take_file(t, t->slots[fresh], fd);
	return fresh;
}

struct image *image_table_get(struct image_table *t, uint32_t index)
{
	return index < t->n_slots ? t->slots[index] : NULL;
}

uint32_t image_table_slots(const struct image_table *t)
{
	return (uint32_t)t->n_slots;
}

bool image_vaddr(const struct image *image, uint64_t file_offset, uint64_t *vaddr_out)
{
	for (uint8_t i = 0; i < image->n_segments; i++) {
		const struct image_segment *s = &image->segments[i];
		if (file_offset >= s->file_offset && file_offset - s->file_offset < s->file_bytes) {
			*vaddr_out = file_offset - s->file_offset + s->vaddr;
			return true;
		}
	}
	return false;
}

bool image_is_jit_memory(const struct image *image)
{
	static const char *const PATHS[] = {"/memfd:", "/dev/zero", "/dev/shm/", "/SYSV", "/anon_hugepage"};

	if (image->state == IMAGE_READ)
		return false;
	for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++)
		if (strncmp(image->path, PATHS[i], strlen(PATHS[i])) == 0)
			return true;
	return false;
}

bool image_table_is_full(const struct image_table *t)
{
	return t->stats.images > t->max_images - t->max_images / 8;
}

struct aged_slot {
	uint32_t slot;
	uint64_t last_used;
};

static int by_age(const void *a, const void *b)
{
	const struct aged_slot *x = a, *y = b;

	return x->last_used < y->last_used ? -1 : x->last_used > y->last_used;
}

void image_table_sweep(struct image_table *t, uint64_t window, void (*mark)(void *context, bool *in_use, size_t n),
		       void *context)
{
	AUTO_FREE bool *in_use = calloc(t->n_slots + 1, sizeof(*in_use));
	AUTO_FREE struct aged_slot *aged = calloc(t->n_slots + 1, sizeof(*aged));
	size_t n = 0, goal = t->max_images - t->max_images / 4;

	if (!in_use || !aged)
		return;
	mark(context, in_use, t->n_slots);
	for (uint32_t slot = 0; slot < t->n_slots; slot++)
		if (t->slots[slot] && !in_use[slot] && t->slots[slot]->last_used < window)
			aged[n++] = (struct aged_slot){slot, t->slots[slot]->last_used};
	qsort(aged, n, sizeof(*aged), by_age);
	for (size_t i = 0; i < n && t->stats.images > goal; i++) {
		forget(t, aged[i].slot);
		t->stats.forgotten++;
	}
}

void image_table_stats(const struct image_table *t, struct image_table_stats *stats_out)
{
	*stats_out = t->stats;
}

void image_table_destroy(struct image_table *t)
{
	if (!t)
		return;
	for (uint32_t slot = 0; slot < t->n_slots; slot++)
		if (t->slots[slot])
			forget(t, slot);
	free(t->slots);
	free(t);
}
