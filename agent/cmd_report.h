/* hearth report: profiles of any producer as text, or in any other form. */
#ifndef HEARTH_AGENT_CMD_REPORT_H
#define HEARTH_AGENT_CMD_REPORT_H

struct zygote;

/* zygote: not needed. Returns the exit status. */
int cmd_report(int argc, char **argv, struct zygote *zygote);

#endif
