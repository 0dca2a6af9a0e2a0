/* Messages between the agent and hearth-web, over SOCK_SEQPACKET (base/channel.h). Both sides check everything.
 *
 *   agent -> web   SECRETS   once, first: token, certificate, key (struct web_secrets_head and their bytes)
 *   web -> agent   READY     it serves (result 0), or it cannot, and why: then it ends
 *   agent -> web   STATE     how it goes: with each window, and at least every ten seconds (struct web_state_head, its samples, a JSON object)
 *   web -> agent   EVENT     a line to be logged
 *
 * It is started with the socket that listens, and struct web_settings. When the agent's socket closes it ends. What is in SECRETS is not in the argument, because the
 * keeper's memory, which holds that, is what other services are forked from. */
#ifndef HEARTH_WEB_WEB_PROTOCOL_H
#define HEARTH_WEB_WEB_PROTOCOL_H

#include <limits.h>
#include <stdint.h>

#include "base/channel.h"

#define WEB_NAMES_MAX	    16
#define WEB_NAME_MAX	    256 /* with the NUL */
#define WEB_TOKEN_MAX	    512
#define WEB_CERTIFICATE_MAX (256u << 10)
#define WEB_SECRETS_MAX	    (WEB_TOKEN_MAX + 2 * WEB_CERTIFICATE_MAX + 64)
#define WEB_JSON_MAX	    (64u << 10)
#define WEB_SAMPLES_MAX	    1024
#define WEB_LABEL_MAX	    64 /* with the NUL */
#define WEB_WHY_MAX	    256
#define WEB_STATE_MAX	    (WEB_JSON_MAX + WEB_SAMPLES_MAX * 80 + 512)
#define WEB_TEXT_MAX	    508

enum web_message { WEB_SECRETS = 1, WEB_READY, WEB_STATE, WEB_EVENT, WEB_MESSAGES };

#define WEB_RULES ((struct channel_rules){.version = 1, .kinds = WEB_MESSAGES, .fds_max = 1})

enum { WEB_FD_AGENT, WEB_FD_LISTEN, WEB_FDS };

/* What a hearth-web is started with. Texts end in NUL. */
struct web_settings {
	char store[PATH_MAX]; /* "": there is none */
	char host[WEB_NAME_MAX];
	char names[WEB_NAMES_MAX][WEB_NAME_MAX]; /* that it may be called by (--listen-host) */
	uint32_t n_names;
	uint32_t is_open;  /* listens beyond loopback: there must be a token and a certificate */
	uint32_t window_s; /* a state that is older than three of these is no state */
	uint32_t bare;	   /* without confinement: valgrind */
};

struct web_secrets_head { /* the bytes follow, in this order; 0: there is none */
	uint32_t token_bytes, certificate_bytes, key_bytes, reserved;
};

/* One number of /metrics. */
struct web_sample {
	double value;
	uint32_t metric; /* enum web_metric */
	uint32_t reserved;
	char label[WEB_LABEL_MAX]; /* value of the metric's label; clean, ends in NUL */
};
_Static_assert(sizeof(struct web_sample) == 80, "web_sample is a wire format");

struct web_state_head { /* samples and the JSON text follow */
	uint32_t n_samples, json_bytes;
	uint32_t is_ready; /* it samples, and windows are stored */
	uint32_t reserved;
	char why[WEB_WHY_MAX]; /* it is not; clean, ends in NUL */
};

struct web_text { /* of READY and EVENT; clean, ends in NUL */
	uint32_t severity; /* as enum log_level */
	char text[WEB_TEXT_MAX];
};

#endif
