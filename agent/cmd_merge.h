/* hearth merge: one profile of several. */
#ifndef HEARTH_AGENT_CMD_MERGE_H
#define HEARTH_AGENT_CMD_MERGE_H

struct zygote;

/* zygote: not needed. Returns the exit status. */
int cmd_merge(int argc, char **argv, struct zygote *zygote);

#endif
