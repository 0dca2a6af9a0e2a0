/* What a process gives up that needs some folders and nothing else: hearth-store (docs/confinement.md). */
#ifndef HEARTH_AGENT_FOLDERS_ONLY_H
#define HEARTH_AGENT_FOLDERS_ONLY_H

#include <stdbool.h>
#include <stddef.h>

/* Capabilities (the user stays), new privileges, being looked at, priority; with Landlock (where the kernel has it: 5.13) all files but those below the
 * folders, which must exist; core files; then the list of system calls: files, what is open, memory, clocks. No network, no exec, no other process, no
 * ptrace, no signal to others; any other call ends the process.
 * bare: neither the limit of memory nor the list nor Landlock (sanitizers, valgrind). Returns 0 or a negative errno. */
int folders_only_enter(const char *const *folders, size_t n, bool bare);

/* Whether the kernel restricts the process to its folders. */
bool folders_only_has_landlock(void);

#endif
