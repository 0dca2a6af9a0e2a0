/* What the process that uploads reads but for windows: by the first byte its configuration, a server's reply (lines of a head, a body), or one message. */
#include <string.h>

#include "base/text_clean.h"
#include "server-upload/reply_verdict.h"
#include "server-upload/upload_config.h"
#include "server-upload/upload_protocol.h"
#include "tests/fuzz/fuzz.h"

/* What was read is written as the same bytes. */
static void read_config(const uint8_t *data, size_t n)
{
	struct upload_config *config;
	struct why why = {""};
	uint8_t *again;
	size_t n_again;

	if (upload_config_decode(data, n, &config, &why) < 0) {
		PROMISE(*why.text);
		return;
	}
	PROMISE(upload_config_encode(config, &again, &n_again) == 0);
	PROMISE(n_again == n && memcmp(again, data, n) == 0);
	for (size_t i = 0; i < config->n_sinks; i++) {
		char text[64] = "Basic dTpwYXNzd29yZA== and more";
		sink_secrets_redact(&config->sinks[i].secrets, &config->sinks[i].config, text);
		(void)sink_secrets_exposed(&config->sinks[i].secrets, &config->sinks[i].config);
		PROMISE(strlen(text) == strlen("Basic dTpwYXNzd29yZA== and more"));
	}
	upload_config_wipe(again, n_again);
	upload_config_free(config);
}

/* Kind, packed; then lines up to an empty one; then the body. */
static void read_reply(const uint8_t *data, size_t n)
{
	struct http_reply reply = {.grpc_status = -1};
	struct verdict v;
	size_t at = 2;

	if (n < 2)
		return;
	while (at < n) {
		const uint8_t *end = memchr(data + at, '\n', n - at);
		size_t line = end ? (size_t)(end - (data + at)) + 1 : n - at;
		if (line == 1) {
			at++;
			break;
		}
		uint8_t *copy = fuzz_copy(data + at, line);
		http_reply_take_line(&reply, (const char *)copy, line);
		free(copy);
		at += line;
	}
	uint8_t *body = fuzz_copy(data + at, n - at);
	reply.body = body;
	reply.n_body = n - at;
	reply_verdict((enum sink_kind)(data[0] % SINK_DIR), &reply, data[1] & 1, &v);
	free(body);
	PROMISE(v.kind <= VERDICT_UNPACKED);
	PROMISE(memchr(v.text, '\0', sizeof(v.text)) && text_is_clean(v.text, strlen(v.text)));
	PROMISE(v.kind == VERDICT_TAKEN || *v.text);
}

static void read_message(const uint8_t *data, size_t n)
{
	/* As it comes from a channel: aligned. */
	uint64_t payload[128] = {0};
	size_t bytes = n - 1 < sizeof(payload) ? n - 1 : sizeof(payload);
	struct message m = {.head = {.kind = data[0] % (UPLOAD_MESSAGES + 1), .payload_bytes = bytes}, .payload = payload, .n_fds = data[0] / 128};

	memcpy(payload, data + 1, bytes);
	if (upload_message_check(&m) < 0)
		return;
	if (m.head.kind == UPLOAD_EVENT)
		PROMISE(strlen(((const struct upload_event *)m.payload)->text) < sizeof(struct upload_event));
	if (m.head.kind == UPLOAD_WANT || m.head.kind == UPLOAD_FILE)
		PROMISE(memchr(payload, '\0', UPLOAD_BUILD_ID_MAX + 1) && *(const char *)payload);
	if (m.head.kind == UPLOAD_WINDOW)
		PROMISE(m.n_fds == 1 && ((const struct upload_window *)m.payload)->sink < SINKS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	uint8_t *copy = fuzz_copy(data + 1, n - 1);
	switch (data[0] % 3) {
	case 0:
		read_config(copy, n - 1);
		break;
	case 1:
		read_reply(copy, n - 1);
		break;
	default:
		read_message(copy, n - 1);
	}
	free(copy);
	return 0;
}
