/* hearth-upload: the process that sends windows to servers (docs/uploading.md). */
#ifndef HEARTH_SERVER_UPLOAD_UPLOAD_PROCESS_H
#define HEARTH_SERVER_UPLOAD_UPLOAD_PROCESS_H

/* Run in a process that was forked for it: loads libcurl, gives up everything but the network, serves until one of the sockets is closed.
 * The sockets are SOCK_SEQPACKET, taken over (server-upload/upload_protocol.h). It needs no signal handler: whoever wants it to end closes its socket, or kills it.
 * Returns the process' exit status: 0 (a socket was closed), 1 (it could not begin, or a message was wrong: it said so by EVENT where it could). */
int upload_process_run(int agent_socket, int store_socket);

/* The same without a list of system calls, Landlock and a limit of the address space: for sanitizers and valgrind, which live with none of them. */
int upload_process_run_bare(int agent_socket, int store_socket);

#endif
