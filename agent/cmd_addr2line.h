/* `hearth addr2line`: functions, files and lines of addresses, as addr2line and llvm-symbolizer print them. */
#ifndef HEARTH_AGENT_CMD_ADDR2LINE_H
#define HEARTH_AGENT_CMD_ADDR2LINE_H

struct zygote;

/* zygote: borrowed. argv[0] is "addr2line". Returns the exit status. */
int cmd_addr2line(int argc, char **argv, struct zygote *zygote);

#endif
