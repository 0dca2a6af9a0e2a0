/* Builds a profile: interns strings, functions, mappings and locations, and adds up equal samples.
 * All functions return an index (>= 0) or a negative errno: -ENOMEM, -EINVAL for an index that does not
 * exist, -E2BIG past 2^31 entries of a table. After an error the builder is still valid (SAFETY 26).
 * Strings are copied and made clean: see base/text_clean.h.
 * Not thread-safe. */
#ifndef HEARTH_PPROF_PROFILE_BUILDER_H
#define HEARTH_PPROF_PROFILE_BUILDER_H

#include "pprof/profile.h"

struct profile_builder;

int profile_builder_create(struct profile_builder **builder_out);

/* Declare one value of every sample; before the first sample. The order is that of the values. */
int profile_builder_sample_type(struct profile_builder *b, const char *type, const char *unit);
int profile_builder_period(struct profile_builder *b, const char *type, const char *unit, int64_t period);
int profile_builder_default_sample_type(struct profile_builder *b, const char *type);
void profile_builder_time(struct profile_builder *b, int64_t time_ns, int64_t duration_ns);
int profile_builder_comment(struct profile_builder *b, const char *text);

int64_t profile_builder_string(struct profile_builder *b, const char *text, size_t length);
/* Equal mappings (all fields) get one index. */
int64_t profile_builder_mapping(struct profile_builder *b, const struct profile_mapping *mapping);
int64_t profile_builder_function(struct profile_builder *b, const struct profile_function *function);
/* lines: innermost first; n_lines may be 0. Equal (mapping, address, lines) get one index.
 * mapping: index or PROFILE_NONE. */
int64_t profile_builder_location(struct profile_builder *b, uint32_t mapping, uint64_t address,
				 const struct profile_line *lines, size_t n_lines);
/* Add a sample. locations: leaf first. labels: compared in the order given. A sample with the same
 * locations and labels as an earlier one adds its values to it (a sum past 2^63 wraps). Samples with equal labels share them in the profile. */
int64_t profile_builder_sample(struct profile_builder *b, const uint32_t *locations, size_t n_locations,
			       const struct profile_label *labels, size_t n_labels, const int64_t *values);

/* The same in two steps, for many samples with equal labels: a set of labels; a sample of a set. */
int64_t profile_builder_label_set(struct profile_builder *b, const struct profile_label *labels, size_t n_labels);
int64_t profile_builder_sample_of_set(struct profile_builder *b, const uint32_t *locations, size_t n_locations, uint32_t label_set, const int64_t *values);

/* Ends the building: the profile owns everything, the builder is empty and can only be destroyed. */
int profile_builder_finish(struct profile_builder *b, struct profile **profile_out);

/* NULL and half-built are legal. */
void profile_builder_destroy(struct profile_builder *b);

#endif
