#include "server-upload/shape_frames.h"

#include <string.h>

#include "pprof/profile_names.h"

#define BUILD_ID_HEX_MIN 8 /* SAFETY 11: 4 to 64 bytes */
#define BUILD_ID_HEX_MAX 128

static bool is_build_id(const char *text)
{
	size_t n = strspn(text, "0123456789abcdef");

	return !text[n] && n >= BUILD_ID_HEX_MIN && n <= BUILD_ID_HEX_MAX && n % 2 == 0;
}

bool shape_mapping_is_nameable(const struct profile *window, const struct profile_mapping *mapping)
{
	return profile_string(window, mapping->filename)[0] != '[' && is_build_id(profile_string(window, mapping->build_id));
}

bool shape_frame_is_address(const struct profile *window, const struct profile_location *location, bool strip)
{
	if (!location->address || location->mapping == PROFILE_NONE || !shape_mapping_is_nameable(window, &window->mappings[location->mapping]))
		return false;
	return strip || profile_location_is_unnamed(window, location);
}

bool shape_value_follows(const struct profile *window, uint32_t type, uint32_t count_type)
{
	size_t n = window->n_sample_types;

	if (memcmp(&window->sample_types[type], &window->period_type, sizeof(window->period_type)) != 0)
		return false;
	for (size_t i = 0; i < window->n_samples; i++)
		if ((uint64_t)window->values[i * n + type] != (uint64_t)window->values[i * n + count_type] * (uint64_t)window->period)
			return false;
	return true;
}
