#include "pprof/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void profile_free(struct profile *profile)
{
	if (!profile)
		return;
	free(profile->sample_types);
	free(profile->samples);
	free(profile->values);
	free(profile->stack_locations);
	free(profile->labels);
	free(profile->mappings);
	free(profile->locations);
	free(profile->lines);
	free(profile->functions);
	free(profile->strings);
	free(profile->string_lengths);
	free(profile->comments);
	free(profile->string_bytes);
	free(profile);
}

const char *profile_string(const struct profile *profile, profile_str id)
{
	return id < profile->n_strings ? profile->strings[id] : "";
}

uint32_t profile_default_value(const struct profile *profile)
{
	for (uint32_t i = 0; profile->default_sample_type && i < profile->n_sample_types; i++)
		if (profile->sample_types[i].type == profile->default_sample_type)
			return i;
	return profile->n_sample_types ? (uint32_t)profile->n_sample_types - 1 : PROFILE_NONE;
}

int64_t profile_value_like(const struct profile *profile, const struct profile *other, uint32_t value)
{
	if (value >= other->n_sample_types)
		return -EINVAL;
	const char *type = profile_string(other, other->sample_types[value].type);
	for (size_t i = 0; i < profile->n_sample_types; i++)
		if (strcmp(profile_string(profile, profile->sample_types[i].type), type) == 0)
			return (int64_t)i;
	return -EINVAL;
}

int64_t profile_total(const struct profile *profile, uint32_t type)
{
	uint64_t sum = 0;

	if (type >= profile->n_sample_types)
		return 0;
	for (size_t i = 0; i < profile->n_samples; i++)
		sum += (uint64_t)profile->values[i * profile->n_sample_types + type];
	return (int64_t)sum;
}

bool profile_location_is_kernel(const struct profile *profile, const struct profile_location *location)
{
	if (location->mapping == PROFILE_NONE)
		return false;
	return strncmp(profile_string(profile, profile->mappings[location->mapping].filename), "[kernel", 7) == 0;
}

const char *profile_label_string(const struct profile *profile, const struct profile_sample *sample, const char *key)
{
	for (uint32_t i = 0; i < sample->n_labels; i++) {
		const struct profile_label *label = &profile->labels[sample->first_label + i];
		if (label->str && strcmp(profile_string(profile, label->key), key) == 0)
			return profile_string(profile, label->str);
	}
	return "";
}

const char *profile_frame_name(const struct profile *profile, const struct profile_location *location, uint32_t i,
			       char buffer[PROFILE_FRAME_NAME_MAX])
{
	if (i < location->n_lines) {
		const struct profile_function *function =
			&profile->functions[profile->lines[location->first_line + i].function];
		const char *name = profile_string(profile, function->name);
		return *name ? name : profile_string(profile, function->system_name);
	}
	if (location->mapping == PROFILE_NONE) {
		snprintf(buffer, PROFILE_FRAME_NAME_MAX, "0x%" PRIx64, location->address);
		return buffer;
	}
	const char *path = profile_string(profile, profile->mappings[location->mapping].filename);
	const char *slash = strrchr(path, '/');
	snprintf(buffer, PROFILE_FRAME_NAME_MAX, "[%.255s+0x%" PRIx64 "]", slash && slash[1] ? slash + 1 : path,
		 location->address);
	return buffer;
}
