/* One end of a SOCK_SEQPACKET socket pair: sends and receives messages with descriptors and large payloads, between processes of one build on one machine.
 *
 * A message is a head and a payload, in one datagram; a payload of more than CHANNEL_INLINE_MAX bytes is in a sealed memfd instead, the
 * last of the descriptors that come along. What is received is checked as far as this layer goes: the head, sizes, seals, the number of descriptors; what the
 * kinds mean, and what their payloads look like, is for the protocols above (symbolizer/protocol.h, store/store_protocol.h, server-upload/upload_protocol.h).
 * Payloads are aligned to 8 bytes. Native byte order. Not thread-safe. */
#ifndef HEARTH_BASE_CHANNEL_H
#define HEARTH_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define CHANNEL_SEALS	    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
#define CHANNEL_INLINE_MAX  (64u << 10)
#define CHANNEL_FDS_MAX	    65	/* of one message, the payload's included */
#define CHANNEL_PARTS_MAX   136 /* of one payload that is sent */

struct message_head {
	uint64_t serial; /* of the request; an answer has that of its request */
	uint64_t payload_bytes;
	int32_t result; /* of an answer: 0 or more, or a negative errno */
	uint16_t version;
	uint16_t kind;
	uint16_t n_fds; /* descriptors, that of the payload included */
	uint16_t by_fd; /* 1: the payload is in the last one */
	uint32_t detail; /* the protocol's own */
};
_Static_assert(sizeof(struct message_head) == 32, "message_head is a wire format");

/* What a protocol allows. */
struct channel_rules {
	uint16_t version;
	uint16_t kinds;	     /* legal are 1 to kinds - 1 */
	uint16_t fds_max;    /* of one message, the payload's included; up to CHANNEL_FDS_MAX */
	uint32_t detail_max; /* greatest message_head.detail */
};

struct channel {
	int fd;			    /* owned; -1: closed */
	struct channel_rules rules;
	uint64_t payload_max;	    /* of what is received */
	uint64_t descriptors_extra; /* that came without being announced; they were closed */
	uint64_t *buffer;	    /* of the datagram */
};

/* A message that was received. */
struct message {
	struct message_head head;
	const void *payload; /* head.payload_bytes; valid until message_close(), and until the next one is received */
	void *mapped;	     /* where the payload is that came in a memfd; NULL: it is in the channel */
	size_t mapped_bytes;
	size_t n_fds;	     /* without the payload's */
	int fds[CHANNEL_FDS_MAX]; /* owned by the message: taken out (-1), or closed by message_close() */
};

/* fd: taken over, also on failure. Returns 0 or -ENOMEM. */
int channel_init(struct channel *c, int fd, const struct channel_rules *rules, uint64_t payload_max);
void channel_deinit(struct channel *c);

/* Is this a message at all? n_bytes: of the datagram. n_fds: that came. Returns 0 or -EBADMSG. */
int message_head_check(const struct message_head *head, const struct channel_rules *rules, size_t n_bytes, size_t n_fds, uint64_t payload_max);

/* head: its counts and version are filled in here. parts: the payload. fds: borrowed. wait: for room; else -EAGAIN when there is none.
 * Returns 0, -EPIPE (nobody is there any more), -E2BIG (more parts or descriptors than there may be), or another negative errno. */
int channel_send(const struct channel *c, struct message_head *head, const struct iovec *parts, size_t n_parts, const int *fds,
		 size_t n_fds, bool wait);

/* deadline_ns: CLOCK_MONOTONIC; one that is over: do not wait; 0: none.
 * Returns 0, -EPIPE (the other end is closed), -ETIME, -EBADMSG (not a message), or another negative errno. */
int channel_receive(struct channel *c, uint64_t deadline_ns, struct message *message_out);
void message_close(struct message *m);

/* Hand over what has come, without waiting. Returns 0 when there is no more; else the channel is closed, and it returns -EPIPE (the other end is), or what channel_receive() or take returned. */
int channel_take_all(struct channel *c, int (*take)(void *context, const struct message *m), void *context);

/* A sealed memfd with these bytes, one part behind the other. Returns 0 or a negative errno. */
int sealed_create(const struct iovec *parts, size_t n, int *fd_out);

/* A sealed memfd that can be mapped and will stay as it is: returns its size, -EBADMSG when it is none, or -E2BIG. */
int64_t sealed_bytes(int fd, uint64_t max);

/* Map one, read-only: munmap(*bytes_out, *n_out) it. An empty one is -EBADMSG. Returns 0, -EBADMSG, -E2BIG, or another negative errno. */
int sealed_map(int fd, uint64_t max, void **bytes_out, size_t *n_out);

#endif
