/* `hearth record`: an ad-hoc session. */
#ifndef HEARTH_AGENT_CMD_RECORD_H
#define HEARTH_AGENT_CMD_RECORD_H

struct zygote;

/* Exit status: 0, 1 failed, 2 usage; that of the command when one was given and the recording worked. zygote: borrowed. */
int cmd_record(int argc, char **argv, struct zygote *zygote);

#endif
