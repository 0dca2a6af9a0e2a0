/* A child that runs the user's command: held back until it is sampled, so that its first instruction is seen. */
#ifndef HEARTH_AGENT_COMMAND_H
#define HEARTH_AGENT_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

struct command {
	pid_t pid;	/* 0: none */
	int pidfd;	/* readable when it ended */
	int release_fd; /* closed or written: lets it go */
	int error_fd;	/* the errno of a failed exec, or end of file */
	bool ended;
	int status; /* exit status as a shell gives it: 128 + signal when it was killed */
};

/* Fork; the child waits. Returns 0 or a negative errno. */
int command_prepare(char *const argv[], struct command *command_out);

/* Let it exec. Returns 0, or the negative errno of exec (the child is gone then). */
int command_release(struct command *command);

/* Take its exit status if it has ended. wait: until it has. Returns true when it has ended. */
bool command_reap(struct command *command, bool wait);

/* Ends a child that was never released; frees all. */
void command_close(struct command *command);

#endif
