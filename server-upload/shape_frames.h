/* How a location is sent: with its names, or as an address that the server can name. */
#ifndef HEARTH_SERVER_UPLOAD_SHAPE_FRAMES_H
#define HEARTH_SERVER_UPLOAD_SHAPE_FRAMES_H

#include <stdbool.h>

#include "pprof/profile.h"

/* Whether a server can name addresses of a mapping: a file (not the kernel) with a build id of 4 to 64 bytes in lower-case hex (SAFETY 11). */
bool shape_mapping_is_nameable(const struct profile *window, const struct profile_mapping *mapping);

/* Whether a location has all that a server needs to name it (an address in a file with a build id; not the kernel's) and is to be named there: because
 * it has no name yet, or because strip is set. */
bool shape_frame_is_address(const struct profile *window, const struct profile_location *location, bool strip);

/* Whether values of a sample type follow from those of count_type and the period, for all samples. */
bool shape_value_follows(const struct profile *window, uint32_t type, uint32_t count_type);

#endif
