/* One question to the JSON API, without a server: for tests, measurements and the page's development.
 * tests/web/api_get [-i] [-t] STORE PATH?QUERY [CONTENT-TYPE <BODY]
 * Writes the answer's body; to stderr its status when that is not 200. Exit status 1 then.
 *   -i  first a line "STATUS CONTENT-TYPE FILENAME FINAL"
 *   -t  to stderr: wall and CPU time, memory
 *   -n  write no body
 * API_NOW_MS: the time that it is; API_HOST: the host's name; API_STATE: the agent's state. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text_clean.h"
#include "web/api.h"

#define PARAMETERS_MAX 64
#define BODY_MAX       (1u << 20)

static int hex(char digit)
{
	return digit >= '0' && digit <= '9' ? digit - '0' : (digit | 32) >= 'a' && (digit | 32) <= 'f' ? (digit | 32) - 'a' + 10 : -1;
}

/* In place. */
static char *decoded(char *text)
{
	char *out = text;

	for (const char *at = text; *at; at++) {
		if (*at == '%' && hex(at[1]) >= 0 && hex(at[2]) >= 0) {
			*out++ = (char)(hex(at[1]) << 4 | hex(at[2]));
			at += 2;
		} else {
			*out++ = *at == '+' ? ' ' : *at;
		}
	}
	*out = '\0';
	if (!text_is_clean(text, strlen(text))) {
		fprintf(stderr, "api_get: a parameter is not valid UTF-8, or has control characters\n");
		exit(2);
	}
	return text;
}

static size_t split_query(char *query, struct web_parameter *parameters)
{
	size_t n = 0;

	for (char *save = NULL, *part = strtok_r(query, "&", &save); part && n < PARAMETERS_MAX; part = strtok_r(NULL, "&", &save)) {
		char *equals = strchr(part, '=');
		if (equals)
			*equals = '\0';
		parameters[n].value = equals ? decoded(equals + 1) : "";
		parameters[n++].key = decoded(part);
	}
	return n;
}

static int64_t now_ns(void)
{
	const char *ms = getenv("API_NOW_MS");

	return ms ? strtoll(ms, NULL, 10) * 1000000 : (int64_t)clock_ns(CLOCK_REALTIME);
}

static const char *setting(const char *name, const char *usual)
{
	const char *value = getenv(name);

	return value ? value : usual;
}

/* The body goes to a file in memory first, as it does in the page's process. */
static int ask(const struct web_context *context, const struct web_request *request, bool head, bool quiet)
{
	int fd = memfd_create("answer", MFD_CLOEXEC);
	struct web_answer answer = {.body = fd < 0 ? NULL : fdopen(fd, "w+")};
	char bytes[65536];
	size_t n;

	if (!answer.body)
		return 2;
	int err = api_answer(context, request, &answer);
	if (err < 0) {
		fprintf(stderr, "api_get: %s\n", strerror(-err));
		return 2;
	}
	if (head)
		printf("%d %s %s %d\n", answer.status, answer.content_type, answer.filename[0] ? answer.filename : "-", answer.is_final);
	rewind(answer.body);
	while (!quiet && (n = fread(bytes, 1, sizeof(bytes), answer.body)) > 0)
		fwrite(bytes, 1, n, stdout);
	fclose(answer.body);
	if (answer.status != 200)
		fprintf(stderr, "status %d\n", answer.status);
	return answer.status != 200;
}

int main(int argc, char **argv)
{
	static char body[BODY_MAX];
	struct web_parameter parameters[PARAMETERS_MAX];
	bool head = false, times = false, quiet = false;
	int option;

	while ((option = getopt(argc, argv, "itn")) != -1) {
		head |= option == 'i';
		times |= option == 't';
		quiet |= option == 'n';
	}
	if (argc - optind < 2) {
		fprintf(stderr, "usage: api_get [-i] [-t] [-n] STORE PATH?QUERY [CONTENT-TYPE <BODY]\n");
		return 2;
	}
	char *path = strdup(argv[optind + 1]), *query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	const char *state = setting("API_STATE", "{}"), *type = argc - optind > 2 ? argv[optind + 2] : "";
	struct web_context context = {
		.store = argv[optind],
		.host = setting("API_HOST", "testhost"),
		.version = HEARTH_VERSION,
		.now_ns = now_ns(),
		.state = state,
		.state_bytes = strlen(state),
	};
	struct web_request request = {
		.method = *type ? "POST" : "GET",
		.parameters = parameters,
		.n_parameters = query ? split_query(query, parameters) : 0,
		.content_type = type,
		.accept = "",
		.body = body,
		.body_bytes = *type ? fread(body, 1, sizeof(body), stdin) : 0,
	};
	request.path = decoded(path);
	if (!api_has(request.path)) {
		fprintf(stderr, "api_get: '%s' is not answered by the API\n", request.path);
		return 2;
	}
	uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	int status = ask(&context, &request, head, quiet);
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	if (times)
		fprintf(stderr, "wall %.3f s, cpu %.3f s, memory %ld KiB\n", (double)(clock_ns(CLOCK_MONOTONIC) - wall) / 1e9,
			(double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9, usage.ru_maxrss);
	free(path);
	return status;
}
