#include "symbolizer/image_strikes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <xxhash.h>

struct file {
	uint64_t key; /* 0: free */
	uint64_t last_ns;
	uint64_t again_ns; /* not before this */
	uint32_t strikes;
};

struct image_strikes {
	uint64_t seed;
	size_t n;
	struct file files[STRIKES_FILES_MAX];
};

int image_strikes_create(struct image_strikes **strikes_out)
{
	struct image_strikes *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (getrandom(&s->seed, sizeof(s->seed), 0) != (ssize_t)sizeof(s->seed)) {
		free(s);
		return -EIO;
	}
	*strikes_out = s;
	return 0;
}

uint64_t image_strikes_key(const struct image_strikes *s, int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	uint64_t identity[] = {st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec,
			       (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec};
	uint64_t key = XXH3_64bits_withSeed(identity, sizeof(identity), s->seed);
	return key ? key : 1;
}

uint64_t image_strikes_number(const struct image_strikes *s, uint64_t number)
{
	uint64_t key = XXH3_64bits_withSeed(&number, sizeof(number), ~s->seed);

	return key ? key : 1;
}

/* The table is short, and empty on most machines. */
static struct file *find(struct image_strikes *s, uint64_t key)
{
	for (size_t i = 0; key && i < s->n; i++)
		if (s->files[i].key == key)
			return &s->files[i];
	return NULL;
}

bool image_strikes_refuses(struct image_strikes *s, uint64_t key, uint64_t now_ns)
{
	struct file *file = find(s, key);

	if (!file || file->strikes < STRIKES_OUT)
		return false;
	if (now_ns < file->again_ns)
		return true;
	file->again_ns = now_ns + STRIKES_AGAIN_NS;
	return false;
}

static struct file *oldest(struct image_strikes *s)
{
	struct file *file = &s->files[0];

	if (s->n < STRIKES_FILES_MAX)
		return &s->files[s->n++];
	for (size_t i = 1; i < s->n; i++)
		if (s->files[i].last_ns < file->last_ns)
			file = &s->files[i];
	return file;
}

bool image_strikes_add(struct image_strikes *s, uint64_t key, uint64_t now_ns)
{
	struct file *file = find(s, key);

	if (!key)
		return false;
	if (!file) {
		file = oldest(s);
		*file = (struct file){.key = key};
	}
	if (file->strikes < STRIKES_OUT && now_ns - file->last_ns > STRIKES_FORGET_NS)
		file->strikes = 0;
	file->last_ns = now_ns;
	file->strikes += file->strikes < STRIKES_OUT;
	if (file->strikes < STRIKES_OUT)
		return false;
	file->again_ns = now_ns + STRIKES_AGAIN_NS;
	return true;
}

void image_strikes_destroy(struct image_strikes *s)
{
	free(s);
}
