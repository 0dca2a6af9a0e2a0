/* `hearth agent`: the always-on service. */
#ifndef HEARTH_AGENT_CMD_AGENT_H
#define HEARTH_AGENT_CMD_AGENT_H

struct zygote;

/* Runs until SIGTERM or SIGINT. Exit status: 0, 1 failed, 2 usage. zygote: borrowed. */
int cmd_agent(int argc, char **argv, struct zygote *zygote);

#endif
