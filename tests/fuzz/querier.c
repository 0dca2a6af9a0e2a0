/* Calls of Pyroscope's query API: one byte chooses the call and the body's form, the rest is the body (a selector: one more choice). Each is answered, on a store that does not exist: with an
 * error that has a code and a sentence. What was read as JSON or as a message is written as JSON, and read again. */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "web/api.h"
#include "web/label_selector.h"
#include "web/message_from_json.h"
#include "web/message_to_json.h"
#include "web/querier.pb-c.h"

#define BODY_MAX 65536

static const struct {
	const char *path;
	const ProtobufCMessageDescriptor *request;
} calls[] = {
	{"/querier.v1.QuerierService/ProfileTypes", &querier__profile_types_request__descriptor},
	{"/querier.v1.QuerierService/LabelNames", &querier__label_names_request__descriptor},
	{"/querier.v1.QuerierService/LabelValues", &querier__label_values_request__descriptor},
	{"/querier.v1.QuerierService/Series", &querier__series_request__descriptor},
	{"/querier.v1.QuerierService/SelectSeries", &querier__select_series_request__descriptor},
	{"/querier.v1.QuerierService/SelectMergeStacktraces", &querier__select_merge_stacktraces_request__descriptor},
	{"/querier.v1.QuerierService/SelectMergeProfile", &querier__select_merge_profile_request__descriptor},
};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

static void check_selector(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);
	struct label_selector selector;
	struct why why;

	memcpy(text, data, n);
	text[n] = '\0';
	int err = label_selector_parse(text, &selector, &why);
	PROMISE(err == 0 || ((err == -EINVAL || err == -E2BIG) && why.text[0]));
	for (size_t i = 0; err == 0 && i < selector.n; i++) {
		int holds = label_matcher_holds(&selector.matchers[i], "app1");
		PROMISE(holds == 0 || holds == 1 || holds == -E2BIG);
	}
	if (err == 0)
		label_selector_deinit(&selector);
	free(text);
}

/* What was written is read again, and is the same. */
static void check_again(const ProtobufCMessage *message)
{
	char *text, *again;
	size_t n, n_again;
	struct json_writer json;
	ProtobufCMessage *copy;
	struct why why;
	FILE *out = open_memstream(&text, &n);

	json_writer_init(&json, out);
	message_to_json(&json, NULL, message);
	fclose(out);
	PROMISE(message_from_json(message->descriptor, text, n, &copy, &why) == 0);
	out = open_memstream(&again, &n_again);
	json_writer_init(&json, out);
	message_to_json(&json, NULL, copy);
	fclose(out);
	PROMISE(n == n_again && memcmp(text, again, n) == 0);
	protobuf_c_message_free_unpacked(copy, NULL);
	free(text);
	free(again);
}

static void check_json(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t n)
{
	ProtobufCMessage *message;
	struct why why;

	int err = message_from_json(descriptor, data, n, &message, &why);
	PROMISE(err == 0 || (err == -EINVAL && why.text[0]));
	if (err)
		return;
	check_again(message);
	protobuf_c_message_free_unpacked(message, NULL);
}

static void check_call(const char *path, const char *content_type, const uint8_t *data, size_t n)
{
	char *body;
	size_t body_bytes;
	struct web_context context = {.store = "/proc/no/such/store", .host = "host", .version = "1", .now_ns = 1790000000000000000, .state = "{}", .state_bytes = 2};
	struct web_request request = {.method = "POST", .path = path, .content_type = content_type, .accept = "", .body = data, .body_bytes = n};
	struct web_answer answer = {.body = open_memstream(&body, &body_bytes)};

	PROMISE(api_answer(&context, &request, &answer) == 0);
	fclose(answer.body);
	PROMISE(answer.status >= 400 && strcmp(answer.content_type, "application/json") == 0);
	PROMISE(strncmp(body, "{\"code\":\"", 9) == 0 && strstr(body, "\"message\":\""));
	free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1 || n > BODY_MAX)
		return 0;
	unsigned choice = data[0] % (2 * N_CALLS + 1);
	uint8_t *rest = fuzz_copy(data + 1, n - 1);

	if (choice == 2 * N_CALLS) {
		check_selector(rest, n - 1);
	} else if (choice % 2) {
		check_json(calls[choice / 2].request, rest, n - 1);
		check_call(calls[choice / 2].path, "application/json", rest, n - 1);
	} else {
		check_call(calls[choice / 2].path, "application/proto", rest, n - 1);
	}
	free(rest);
	return 0;
}
