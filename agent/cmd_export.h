/* hearth export: a profile in the format of another tool. */
#ifndef HEARTH_AGENT_CMD_EXPORT_H
#define HEARTH_AGENT_CMD_EXPORT_H

struct zygote;

/* zygote: not needed. Returns the exit status. */
int cmd_export(int argc, char **argv, struct zygote *zygote);

#endif
