/* `hearth control`: ask a running agent, over its control socket. */
#ifndef HEARTH_AGENT_CMD_CONTROL_H
#define HEARTH_AGENT_CMD_CONTROL_H

struct zygote;

/* Exit status: 0, 1 (no agent, or it refused), 2 usage. zygote: not used. */
int cmd_control(int argc, char **argv, struct zygote *zygote);

#endif
