/* Which files cost the confined process its life, and how often (SAFETY 12). A file is known by device, inode, size and times of change, so
 * that it stays the same file however many processes map it. A bounded table; the strikes that are oldest are forgotten first. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_IMAGE_STRIKES_H
#define HEARTH_SYMBOLIZER_IMAGE_STRIKES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRIKES_OUT	   3
#define STRIKES_AGAIN_NS   (20 * 60 * 1000000000ull) /* a file that is set aside gets one try in this time */
#define STRIKES_FORGET_NS  (3600 * 1000000000ull)    /* fewer strikes are forgotten after this */
#define STRIKES_FILES_MAX  1024

struct image_strikes;

int image_strikes_create(struct image_strikes **strikes_out);

/* What a file is known by; 0: it cannot be told. */
uint64_t image_strikes_key(const struct image_strikes *s, int fd);

/* The same for what is no file, by a number of the caller's. */
uint64_t image_strikes_number(const struct image_strikes *s, uint64_t number);

/* Is this file set aside now? When its time has come it is not, once. now_ns: CLOCK_MONOTONIC. */
bool image_strikes_refuses(struct image_strikes *s, uint64_t key, uint64_t now_ns);

/* Returns whether the file is set aside with this. key 0 is nobody. */
bool image_strikes_add(struct image_strikes *s, uint64_t key, uint64_t now_ns);

/* NULL is legal. */
void image_strikes_destroy(struct image_strikes *s);

#endif
