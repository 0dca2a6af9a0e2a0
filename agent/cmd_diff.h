/* hearth diff: two profiles compared. */
#ifndef HEARTH_AGENT_CMD_DIFF_H
#define HEARTH_AGENT_CMD_DIFF_H

struct zygote;

/* zygote: not needed. Returns the exit status. */
int cmd_diff(int argc, char **argv, struct zygote *zygote);

#endif
