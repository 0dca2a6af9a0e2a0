/* hearth flame: a flame graph of profiles. */
#ifndef HEARTH_AGENT_CMD_FLAME_H
#define HEARTH_AGENT_CMD_FLAME_H

struct zygote;

/* zygote: not needed. Returns the exit status. */
int cmd_flame(int argc, char **argv, struct zygote *zygote);

#endif
