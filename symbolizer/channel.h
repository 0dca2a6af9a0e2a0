/* One end of a SOCK_SEQPACKET socket pair: sends and receives messages (symbolizer/protocol.h) with descriptors and large payloads.
 * What is received is checked as far as this layer goes: the head, sizes, seals. Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_CHANNEL_H
#define HEARTH_SYMBOLIZER_CHANNEL_H

#include <sys/uio.h>

#include "symbolizer/protocol.h"

#define CHANNEL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

struct channel {
	int fd;			    /* owned; -1: closed */
	uint64_t payload_max;	    /* of what is received */
	uint64_t descriptors_extra; /* that came without being announced; they were closed */
	uint64_t *buffer;	    /* of the datagram */
};

/* A message that was received. */
struct message {
	struct message_head head;
	const void *payload; /* head.payload_bytes; valid until message_close(), and until the next one is received */
	void *mapped;	     /* where the payload is that came in a memfd; NULL: it is in the channel */
	size_t n_fds;	     /* without the payload's */
	int fds[PROTOCOL_FDS_MAX]; /* owned by the message: taken out (-1), or closed by message_close() */
};

/* fd: taken over, also on failure. Returns 0 or -ENOMEM. */
int channel_init(struct channel *c, int fd, uint64_t payload_max);
void channel_deinit(struct channel *c);

/* head: its counts are filled in here. parts: the payload. fds: borrowed. wait: for room; else -EAGAIN when there is none.
 * Returns 0, -EPIPE (nobody is there any more), or another negative errno. */
int channel_send(const struct channel *c, struct message_head *head, const struct iovec *parts, size_t n_parts, const int *fds,
		 size_t n_fds, bool wait);

/* deadline_ns: CLOCK_MONOTONIC; 0: none.
 * Returns 0, -EPIPE (the other end is closed), -ETIME, -EBADMSG (not a message), or another negative errno. */
int channel_receive(struct channel *c, uint64_t deadline_ns, struct message *message_out);
void message_close(struct message *m);

/* A sealed memfd that can be mapped and will stay as it is: returns its size, -EBADMSG when it is none, or -E2BIG. */
int64_t sealed_bytes(int fd, uint64_t max);

#endif
