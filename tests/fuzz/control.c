/* A line to the control socket, and KIND=URL with its settings: what users and clients write. */
#include <errno.h>
#include <string.h>

#include "agent/control.h"
#include "server-upload/sink_config.h"
#include "tests/fuzz/fuzz.h"

static void parse_line(const char *line)
{
	struct control_request request = {.rate_hz = 77};
	struct why why = {""};

	int err = control_parse(line, &request, &why);
	PROMISE(err == 0 || (err == -EINVAL && why.text[0]));
	if (err < 0)
		return;
	PROMISE(request.for_ns <= CONTROL_BOOST_MAX_NS);
	PROMISE(request.verb != CONTROL_RATE || (request.rate_hz >= 1 && request.rate_hz <= 1000000 && request.for_ns));
}

static void parse_sink(char *rest)
{
	struct sink_config sink, again;
	struct why why = {""};
	const char *first = strsep(&rest, "\n");
	char text[4096];

	int err = sink_config_parse(first, &sink, &why);
	PROMISE(err == 0 || (err == -EINVAL && why.text[0]));
	if (err < 0)
		return;
	/* What is canonical stays as it is. */
	snprintf(text, sizeof(text), "%s=%s", sink_kind_name(sink.kind), sink.url);
	if (sink.kind != SINK_OTLP_GRPC || strstr(sink.url, ":4317")) {
		PROMISE(sink_config_parse(text, &again, &why) == 0);
		PROMISE(strcmp(again.url, sink.url) == 0 && again.kind == sink.kind);
		sink_config_deinit(&again);
	}
	while (rest) {
		char *key = strsep(&rest, "\n"), *value = strchr(key, '=');
		if (!value)
			continue;
		*value++ = '\0';
		err = sink_config_set(&sink, key, value, &why);
		PROMISE(err == 0 || err == -EINVAL || err == -ENOENT || err == -E2BIG);
		PROMISE(sink.n_labels <= SINK_PAIRS_MAX && sink.n_headers <= SINK_PAIRS_MAX);
	}
	for (size_t i = 0; i < sink.n_headers; i++)
		PROMISE(!strpbrk(sink.headers[i].name, "\r\n: ") && !strpbrk(sink.headers[i].value, "\r\n"));
	sink_config_check(&sink, &why);
	sink_config_deinit(&sink);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);

	memcpy(text, data, n);
	text[n] = '\0';
	parse_line(text);
	parse_sink(text);
	free(text);
	return 0;
}
