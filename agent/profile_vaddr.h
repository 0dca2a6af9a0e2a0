/* From the addresses of any producer's profile to vaddrs of the file that was mapped. */
#ifndef HEARTH_AGENT_PROFILE_VADDR_H
#define HEARTH_AGENT_PROFILE_VADDR_H

#include "pprof/profile.h"
#include "symbolizer/symbolizer.h"

/* address is a pc, and mapping tells where which byte of the file lay: the file offset goes through the program headers. Profiles whose addresses
 * are vaddrs already are understood too: those of hearth (its mappings are where the file wants to be), with mappings without addresses (0, 0), or with
 * addresses outside of their mappings.
 * info: of the file, or of its separate debug file: that keeps no file offsets, and does only when it has one executable segment.
 * Returns 0, or -ERANGE (no executable byte of the file). Source: pprof's profile.proto; ELF gABI, "Program Header". */
int profile_vaddr(const struct profile_mapping *mapping, uint64_t address, const struct image_info *info, uint64_t *vaddr_out);

/* Is this a file of which only debug information is left (objcopy --only-keep-debug)? */
bool profile_image_is_debug_file(const struct image_info *info);

#endif
