/* `hearth top`: the hottest functions and processes, live. */
#ifndef HEARTH_AGENT_CMD_TOP_H
#define HEARTH_AGENT_CMD_TOP_H

struct zygote;

/* Exit status: 0, 1 failed, 2 usage. zygote: borrowed. */
int cmd_top(int argc, char **argv, struct zygote *zygote);

#endif
