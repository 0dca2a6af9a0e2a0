/* `hearth symbolize`: names for any pprof file. */
#ifndef HEARTH_AGENT_CMD_SYMBOLIZE_H
#define HEARTH_AGENT_CMD_SYMBOLIZE_H

struct zygote;

/* zygote: borrowed. argv[0] is "symbolize". Returns the exit status. */
int cmd_symbolize(int argc, char **argv, struct zygote *zygote);

#endif
