/* What the files of a sink's settings say: the agent reads them, the process that uploads uses them. Never in a log, a status or an error: texts that come
 * from elsewhere go through sink_secrets_redact(). Wiped before they are freed. */
#ifndef HEARTH_SERVER_UPLOAD_SINK_SECRETS_H
#define HEARTH_SERVER_UPLOAD_SINK_SECRETS_H

#include <stddef.h>

#include "server-upload/sink_config.h"

#define SINK_SECRET_MAX	     (16u << 10) /* a token, a password */
#define SINK_CERTIFICATE_MAX (1u << 20)	 /* a file of certificates or a key */

/* Owned strings; NULL: not set. Of tokens and passwords the line end is gone. */
struct sink_secrets {
	char *bearer_token, *basic_password;
	char *ca, *cert, *key; /* PEM */
};

void sink_secrets_deinit(struct sink_secrets *secrets);

/* Overwrite and free a string. NULL is legal. */
void secret_free(char *text);

/* Overwrite with '*' whatever in text is a secret of this sink: tokens and passwords, also in base64 as they are sent, and the values of its headers and of its
 * proxy's password; also where only the beginning of one is left, of eight bytes or more. What is shorter than four bytes is left. */
void sink_secrets_redact(const struct sink_secrets *secrets, const struct sink_config *config, char *text);

/* Secrets would go over plain http to another host than this one, and the sink does not say that they may. */
bool sink_secrets_exposed(const struct sink_secrets *secrets, const struct sink_config *config);

#endif
