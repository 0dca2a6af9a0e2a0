/* Images: every mapped file once, however many processes map it.
 *
 * An image is known by its build id where there is one, else by (device, inode, generation). Its file is opened at first sight, so
 * that an exited process or a deleted file still resolves, and its headers are read once. Not thread-safe. */
#ifndef HEARTH_AGENT_IMAGE_TABLE_H
#define HEARTH_AGENT_IMAGE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image_open.h"
#include "symbolizer/symbolizer.h"

struct image_table;

/* A mapping's file, as a perf record or /proc/PID/maps tells it. */
struct image_sight {
	struct image_request where; /* the process and the path, to open it */
	const uint8_t *build_id;    /* NULL: not told */
	uint8_t build_id_bytes;
	uint64_t inode_generation; /* 0: not told */
};

enum image_state {
	IMAGE_READ,	/* headers are known; the file may be open or not */
	IMAGE_UNOPENED, /* no way led to the file; tried again at its next sight */
	IMAGE_FAILED,	/* not an ELF file, damaged, or over a limit: not tried again (SAFETY 12) */
};

struct image {
	uint32_t id; /* never used again for another image */
	enum image_state state;
	int fd;	      /* -1 when not open */
	int debug_fd; /* of its separate debug file, where the image has no CFI of its own; -1: none. Open only while fd is */
	uint64_t last_used; /* window number */
	uint64_t samples;   /* since the image was first seen */
	pid_t tgid, parent; /* of a process that was sampled in it; 0: none was */
	uint8_t build_id[BUILD_ID_MAX];
	uint8_t build_id_bytes;
	uint8_t n_segments;
	bool lacks_cfi; /* see struct image_info */
	struct image_segment *segments;
	char *path; /* as first seen */
};

struct image_table_stats {
	uint64_t images;
	uint64_t opened;
	uint64_t unopened;  /* sights of files that could not be opened */
	uint64_t failed;    /* files that are not readable ELF */
	uint64_t mismatched; /* a path led to another file than the mapped one */
	uint64_t debug_opened;	/* separate debug files */
	uint64_t closed;     /* descriptors given up for the budget */
	uint64_t forgotten;  /* images given up for the budget */
	uint64_t refused;    /* sights while the table was full of images in use */
};

/* symbolizer: borrowed. max_images, max_files: budgets. */
int image_table_create(struct symbolizer *symbolizer, size_t max_images, size_t max_files,
		       struct image_table **table_out);

/* Find or add the image of a sight; opens its file if that was not done. Returns its index (slot), or a negative errno: -ENOMEM, -ENOSPC (full). */
int64_t image_table_see(struct image_table *t, const struct image_sight *sight);

/* The vDSO of this kernel, taken from our own process: the same for all 64-bit processes. Index or negative errno. */
int64_t image_table_vdso(struct image_table *t);

/* Borrowed until the next call that may add an image. NULL for an index that is not in use. */
struct image *image_table_get(struct image_table *t, uint32_t index);

/* Indices are below this. */
uint32_t image_table_slots(const struct image_table *t);

/* The vaddr of a byte of the file through its program headers: offset - p_offset + p_vaddr.
 * False when no executable segment covers it. */
bool image_vaddr(const struct image *image, uint64_t file_offset, uint64_t *vaddr_out);

/* Memory that has a file for its name's sake (memfd, shared memory) and holds no ELF file: a JIT maps it twice, once for writing. */
bool image_is_jit_memory(const struct image *image);

/* Give up images beyond the budget that are not marked. mark: set in_use[index] for each image still mapped. */
void image_table_sweep(struct image_table *t, uint64_t window, void (*mark)(void *context, bool *in_use, size_t n),
		       void *context);

/* Whether a sweep would do anything. */
bool image_table_is_full(const struct image_table *t);

void image_table_stats(const struct image_table *t, struct image_table_stats *stats_out);

/* NULL is legal. */
void image_table_destroy(struct image_table *t);

#endif
