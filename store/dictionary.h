/* The dictionary of a segment: strings, mappings, functions, frames, stacks, label sets and series, each once, numbered in the order in which they
 * came. Numbers never change and only the end grows, so that what a window adds is one blob (docs/storing.md, "The dictionary").
 *
 * A stack is its caller's stack and one frame: a tree, in which stacks share what they have in common. A series is a label set and a stack: what a sample is
 * but for its values. String 0 is "", stack 0 has no frame, label set 0 no label.
 *
 * Functions that add return the number (>= 0) or a negative errno: -ENOMEM, -E2BIG (2^30 entries); the dictionary is valid after it. Arguments that are numbers are trusted.
 * Not thread-safe. */
#ifndef HEARTH_STORE_DICTIONARY_H
#define HEARTH_STORE_DICTIONARY_H

#include "pprof/profile.h"
#include "store/packing.h"

enum dictionary_table {
	DICTIONARY_STRINGS,
	DICTIONARY_MAPPINGS,
	DICTIONARY_FUNCTIONS,
	DICTIONARY_LOCATIONS,
	DICTIONARY_STACKS,
	DICTIONARY_LABEL_SETS,
	DICTIONARY_SERIES,
	DICTIONARY_TABLES,
};

struct dictionary_stack {
	uint32_t parent, location; /* parent: the caller's stack, always a smaller number */
};

struct dictionary_label_set {
	uint32_t first, n; /* into labels */
};

struct dictionary_series {
	uint32_t labels, stack;
};

/* How much there is. */
struct dictionary_counts {
	uint32_t tables[DICTIONARY_TABLES];
	uint32_t string_bytes, lines, labels;
};

/* Entries by their content. A stack whose number is its parent's plus one is not in it: dictionary_stack() looks there first, and most stacks are the continuation of one that came
 * just before. */
struct dictionary_index {
	struct dictionary_slot {
		uint32_t hash, entry; /* entry: its number + 1; 0: free */
	} *slots;
	size_t n_slots, used; /* n_slots: a power of two */
	uint32_t covered;     /* the entries below it were looked at; those behind came by decoding */
};

/* Read it; change it by the functions below only. Strings in mappings, functions and labels are numbers of this dictionary. */
struct dictionary {
	struct dictionary_counts n;
	char *string_bytes;    /* each with its NUL */
	uint32_t *string_ends; /* behind the NUL */
	struct profile_mapping *mappings;
	struct profile_function *functions;
	struct profile_location *locations;
	struct profile_line *lines;
	struct dictionary_stack *stacks;
	struct dictionary_label_set *label_sets;
	struct profile_label *labels;
	struct dictionary_series *series;

	struct dictionary_counts capacity;
	struct dictionary_index indices[DICTIONARY_TABLES];
	uint64_t seed; /* keys are strangers' texts (SAFETY 29) */
};

int dictionary_create(struct dictionary **dictionary_out);

const char *dictionary_string_at(const struct dictionary *d, uint32_t string);

/* Equal content gets one number. The first of these calls for a table after dictionary_decode() builds its index. */
int64_t dictionary_string(struct dictionary *d, const char *text, size_t length);
int64_t dictionary_mapping(struct dictionary *d, const struct profile_mapping *mapping);
int64_t dictionary_function(struct dictionary *d, const struct profile_function *function);
int64_t dictionary_location(struct dictionary *d, const struct profile_location *location, const struct profile_line *lines);
int64_t dictionary_stack(struct dictionary *d, uint32_t parent, uint32_t location);
int64_t dictionary_label_set(struct dictionary *d, const struct profile_label *labels, size_t n_labels);
int64_t dictionary_series(struct dictionary *d, uint32_t labels, uint32_t stack);

/* The same for what is not there yet, as the caller knows: no look at an index. */
int64_t dictionary_new_string(struct dictionary *d, const char *text, size_t length);
int64_t dictionary_new_stack(struct dictionary *d, uint32_t parent, uint32_t location);
int64_t dictionary_new_series(struct dictionary *d, uint32_t labels, uint32_t stack);

/* The same for many, at most DICTIONARY_BATCH: their memory is waited for once, which is most of the time when much is looked up. Return 0 or a negative errno; then some of them were added. */
#define DICTIONARY_BATCH 32
struct dictionary_text {
	const char *bytes;
	size_t length;
};
int dictionary_strings(struct dictionary *d, const struct dictionary_text *texts, size_t n, uint32_t *numbers_out);
int dictionary_functions(struct dictionary *d, const struct profile_function *functions, size_t n, uint32_t *numbers_out);
/* first_line of the locations is a place in lines. */
int dictionary_locations(struct dictionary *d, const struct profile_location *locations, const struct profile_line *lines, size_t n, uint32_t *numbers_out);

/* Nothing more is added, for now: the indices' memory goes. */
void dictionary_drop_indices(struct dictionary *d);
/* As it was created; the memory stays, for the next use. */
void dictionary_clear(struct dictionary *d);
/* Forget what came after counts. */
void dictionary_rollback(struct dictionary *d, const struct dictionary_counts *counts);

/* What it takes in memory. */
size_t dictionary_memory(const struct dictionary *d);

/* Append what came between two counts. */
void dictionary_encode(const struct dictionary *d, const struct dictionary_counts *from, const struct dictionary_counts *to, struct packing *out);

/* Add what dictionary_encode() made, which must begin where this ends. Every number is checked. Returns 0, -EBADMSG, -ENOMEM, -E2BIG; the dictionary is as it was
 * after a failure. Adds to no index. */
int dictionary_decode(struct dictionary *d, const uint8_t *bytes, size_t n);

/* NULL is legal. */
void dictionary_destroy(struct dictionary *d);

#endif
