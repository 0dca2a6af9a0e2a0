#include "agent/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC_FAILED 127

static void run_child(char *const argv[], int go_fd, int error_fd)
{
	char byte;
	sigset_t none;

	/* Nothing was written when the parent died: do not run. */
	if (read(go_fd, &byte, 1) != 1)
		_exit(EXEC_FAILED);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	int err = errno;
	if (write(error_fd, &err, sizeof(err)) < 0)
		_exit(EXEC_FAILED);
	_exit(EXEC_FAILED);
}

int command_prepare(char *const argv[], struct command *command_out)
{
	int go[2], error[2];

	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(error, O_CLOEXEC) < 0) {
		int err = -errno;
		close(go[0]);
		close(go[1]);
		return err;
	}
	pid_t pid = fork();
	if (pid == 0)
		run_child(argv, go[0], error[1]);
	int err = pid < 0 ? -errno : 0;
	close(go[0]);
	close(error[1]);
	if (err < 0) {
		close(go[1]);
		close(error[0]);
		return err;
	}
	*command_out = (struct command){
		.pid = pid,
		.pidfd = (int)syscall(SYS_pidfd_open, pid, 0),
		.release_fd = go[1],
		.error_fd = error[0],
	};
	return 0;
}

int command_release(struct command *command)
{
	int err = 0;

	if (write(command->release_fd, "g", 1) != 1)
		return -errno;
	close(command->release_fd);
	command->release_fd = -1;
	if (read(command->error_fd, &err, sizeof(err)) == (ssize_t)sizeof(err)) {
		command_reap(command, true);
		return -err;
	}
	return 0;
}

bool command_reap(struct command *command, bool wait)
{
	int status;

	if (command->ended || !command->pid)
		return true;
	pid_t pid;
	do
		pid = waitpid(command->pid, &status, wait ? 0 : WNOHANG);
	while (pid < 0 && errno == EINTR && wait);
	if (pid != command->pid)
		return false;
	command->ended = true;
	command->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return true;
}

void command_close(struct command *command)
{
	if (!command->pid)
		return;
	if (command->release_fd >= 0) {
		close(command->release_fd);
		command_reap(command, true);
	}
	if (command->pidfd >= 0)
		close(command->pidfd);
	close(command->error_fd);
	command->pid = 0;
}
