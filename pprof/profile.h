/* The profile: one model for everything that hearth records, reads, merges and draws.
 *
 * A profile is a set of tables that refer to each other by index, as in pprof's profile.proto, but
 * 0-based and already resolved: no reader of this struct has to look up an id or check a bound.
 * Build one with profile_builder.h; read one from a file with decode.h.
 *
 * Source of the format: PROTOCOLS.md, "pprof"; field meanings as in perftools.profiles.Profile. */
#ifndef HEARTH_PPROF_PROFILE_H
#define HEARTH_PPROF_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Index of "no entry": a location without a mapping, a label without a string. */
#define PROFILE_NONE UINT32_MAX

/* An interned string: an index into profile.strings. 0 is always "". */
typedef uint32_t profile_str;

struct profile_value_type {
	profile_str type; /* "samples", "cpu" */
	profile_str unit; /* "count", "nanoseconds" */
};

struct profile_mapping {
	uint64_t start;	      /* first address; hearth writes ELF vaddrs, page aligned */
	uint64_t limit;	      /* first address behind the mapping */
	uint64_t file_offset; /* byte in the file that is mapped at start */
	profile_str filename;
	profile_str build_id; /* lower-case hex */
	bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct profile_function {
	profile_str name;	 /* demangled, for people */
	profile_str system_name; /* as the linker saw it */
	profile_str filename;
	int64_t start_line;
};

struct profile_line {
	uint32_t function; /* index into functions */
	int64_t line;
	int64_t column;
};

/* One instruction. Its lines are lines[first_line] .. +n_lines, the innermost inlined function first. */
struct profile_location {
	uint64_t address;
	uint32_t mapping; /* index into mappings, or PROFILE_NONE */
	uint32_t first_line;
	uint32_t n_lines;
	bool is_folded;
};

/* Either a string (str != 0) or a number. */
struct profile_label {
	profile_str key;
	profile_str str;
	int64_t num;
	profile_str num_unit;
};

/* One stack with its values. Locations are leaf first: stack_locations[first_location] .. +n_locations.
 * Values are values[i * n_sample_types] for sample i. */
struct profile_sample {
	uint32_t first_location;
	uint32_t n_locations;
	uint32_t first_label;
	uint32_t n_labels;
};

struct profile {
	struct profile_value_type *sample_types;
	size_t n_sample_types;
	struct profile_sample *samples;
	size_t n_samples;
	int64_t *values; /* n_samples * n_sample_types */
	uint32_t *stack_locations;
	size_t n_stack_locations;
	struct profile_label *labels;
	size_t n_labels;
	struct profile_mapping *mappings;
	size_t n_mappings;
	struct profile_location *locations;
	size_t n_locations;
	struct profile_line *lines;
	size_t n_lines;
	struct profile_function *functions;
	size_t n_functions;
	const char **strings; /* each ends in NUL; lengths in string_lengths */
	uint32_t *string_lengths;
	size_t n_strings;
	profile_str *comments;
	size_t n_comments;
	profile_str drop_frames, keep_frames, doc_url;
	profile_str default_sample_type;
	int64_t time_ns;     /* wall clock of the first sample, Unix epoch */
	int64_t duration_ns;
	struct profile_value_type period_type;
	int64_t period;
	char *string_bytes; /* owned storage behind strings */
};

/* NULL is legal. */
void profile_free(struct profile *profile);

/* The string of an index. Borrowed: valid until profile_free(). */
const char *profile_string(const struct profile *profile, profile_str id);

/* The index of the sample type that people mean: default_sample_type when it names one, else the last (as
 * `go tool pprof` chooses). PROFILE_NONE when there are no sample types. */
uint32_t profile_default_value(const struct profile *profile);

/* The index of a profile's sample type that is called as one of another profile (value: an index there). Returns it, or -EINVAL: there is none. */
int64_t profile_value_like(const struct profile *profile, const struct profile *other, uint32_t value);

/* Whether a location is the kernel's: its mapping's file is called "[kernel...". */
bool profile_location_is_kernel(const struct profile *profile, const struct profile_location *location);

/* Frames of one location that analyses look at, the innermost ones. Compilers inline a hundred deep at most; a hostile file may have a million at one address, and a million samples
 * there. */
#define PROFILE_INLINED_MAX 1024

/* The string of a sample's label, "" when it has none of that key. Borrowed. */
const char *profile_label_string(const struct profile *profile, const struct profile_sample *sample, const char *key);

/* The name of one frame of a location: line i of its lines; for a location without lines (i = 0) "[module+0x1234]".
 * buffer: for names that are made up. Returns a borrowed string. */
#define PROFILE_FRAME_NAME_MAX 320
const char *profile_frame_name(const struct profile *profile, const struct profile_location *location, uint32_t i,
			       char buffer[PROFILE_FRAME_NAME_MAX]);

/* Sum of one sample type over all samples. type: index into sample_types. */
int64_t profile_total(const struct profile *profile, uint32_t type);

#endif
