/* What CONFIG says: all sinks with their rules and secrets, as bytes that go from the agent to the process that uploads. */
#ifndef HEARTH_SERVER_UPLOAD_UPLOAD_CONFIG_H
#define HEARTH_SERVER_UPLOAD_UPLOAD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "server-upload/relabel.h"
#include "server-upload/sink_config.h"
#include "server-upload/sink_secrets.h"

#define UPLOAD_RULES_MAX 64

/* The strings of the rules are owned here. */
struct upload_rules {
	struct relabel_rule rules[UPLOAD_RULES_MAX];
	size_t n;
};

struct upload_sink {
	struct sink_config config;   /* with its files' names, which only messages are for */
	struct sink_secrets secrets; /* what they say */
	struct upload_rules rules;   /* applied after those of all sinks */
	char *held;		     /* why it must not send now (a file cannot be read): its windows stay in the outbox; NULL: it may */
};

/* Large: allocate it. All zero is an empty one. */
struct upload_config {
	uint64_t serial; /* grows with every change */
	struct sink_pair labels[SINK_PAIRS_MAX]; /* of all sinks: host, kernel; a sink's own of the same name win */
	size_t n_labels;
	struct upload_rules rules; /* of all sinks */
	struct upload_sink sinks[SINKS_MAX]; /* dir sinks too: sinks are numbered by their place here */
	size_t n_sinks;
};

/* Append a rule, copied. Returns 0, -ENOMEM, -E2BIG. */
int upload_rules_add(struct upload_rules *rules, const struct relabel_rule *rule);

/* bytes_out: owned, full of secrets: upload_config_wipe(). Returns 0, -ENOMEM, -E2BIG (over UPLOAD_CONFIG_BYTES, or a string
 * over its limit), -EBADMSG (counts, kinds or strings that cannot be). */
int upload_config_encode(const struct upload_config *config, uint8_t **bytes_out, size_t *n_bytes_out);

/* Everything is checked: lengths, counts, enums, names that are unique, strings without NUL; headers without line ends.
 * config_out: owned by the caller, upload_config_free(). Returns 0, -EBADMSG with why, -ENOMEM. */
int upload_config_decode(const uint8_t *bytes, size_t n_bytes, struct upload_config **config_out, struct why *why);

/* Whether two sinks are the same in all that is sent and how; and two configurations in what is of all sinks. No memory: false. */
bool upload_sink_equal(const struct upload_sink *a, const struct upload_sink *b);
bool upload_config_common_equal(const struct upload_config *a, const struct upload_config *b);

/* Overwrite and free encoded bytes. */
void upload_config_wipe(uint8_t *bytes, size_t n_bytes);

/* Also wipes what is secret. NULL is legal. */
void upload_config_free(struct upload_config *config);

#endif
