/* Addresses that somebody asks for: hexadecimal, with 0x or without, as arguments or as lines of a stream.
 *
 * A stream is read in batches of what is there: whoever writes an address and waits for the answer gets it, and ten thousand in a pipe are one batch. */
#ifndef HEARTH_AGENT_ADDRESS_READER_H
#define HEARTH_AGENT_ADDRESS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_BATCH_MAX (1u << 20)

struct address_reader;

struct asked_address {
	uint64_t address;
	bool is_bad; /* what was written is no address; it still wants an answer */
};

/* The number that a text is, white space around it aside. False: it is none, or has more than 64 bits. */
bool address_parse(const char *text, uint64_t *address_out);

/* fd: borrowed. Returns 0 or -ENOMEM. */
int address_reader_create(int fd, struct address_reader **reader_out);

/* Wait for the next addresses. asked_out: borrowed until the next call. Returns how many there are (ADDRESS_BATCH_MAX at most), 0 at the end,
 * -ENOMEM, or the errno of read or poll. */
int address_reader_next(struct address_reader *r, const struct asked_address **asked_out);

/* Has the stream ended? Then there is no batch behind this one. */
bool address_reader_is_done(const struct address_reader *r);

/* NULL is legal. */
void address_reader_destroy(struct address_reader *r);

#endif
