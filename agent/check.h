/* `hearth check`: what this machine allows, and the remedy for each lack. */
#ifndef HEARTH_AGENT_CHECK_H
#define HEARTH_AGENT_CHECK_H

#include <stdbool.h>
#include <stddef.h>

enum check_state {
	CHECK_OK,
	CHECK_NOTE, /* works, with less */
	CHECK_LACK, /* hearth cannot sample without it */
};

struct check_result {
	const char *topic;  /* "kernel", "BTF", "capabilities", ... */
	enum check_state state;
	char found[160];    /* what is there */
	char remedy[240];   /* what to do; "" when there is nothing to do */
};

/* Probe everything. zygote: borrowed. results_out: owned by the caller, free(). Returns 0 or -ENOMEM. */
struct zygote;
int check_machine(struct zygote *zygote, struct check_result **results_out, size_t *n_results_out);

/* The command. Exit status: 0 when hearth can sample here, 1 when something needed lacks, 2 usage. */
int cmd_check(int argc, char **argv, struct zygote *zygote);

#endif
