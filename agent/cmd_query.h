/* hearth query: what the store has of some time. */
#ifndef HEARTH_AGENT_CMD_QUERY_H
#define HEARTH_AGENT_CMD_QUERY_H

struct zygote;

/* zygote: not needed. Returns the exit status. */
int cmd_query(int argc, char **argv, struct zygote *zygote);

#endif
