#include "server-upload/upload_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server-upload/upload_protocol.h"
#include "tests/unit/cmocka_prelude.h"

static void put_pair(struct sink_pair *pairs, size_t *n, const char *name, const char *value)
{
	pairs[(*n)++] = (struct sink_pair){strdup(name), strdup(value)};
}

static struct upload_config *sample(void)
{
	struct upload_config *c = calloc(1, sizeof(*c));
	const struct relabel_rule rule = {.action = "replace", .source_labels = "a,b", .regex = "(.*)", .target_label = "c", .replacement = "$1", .modulus = 7};

	assert_non_null(c);
	c->serial = 5;
	put_pair(c->labels, &c->n_labels, "host", "h1");
	assert_int_equal(upload_rules_add(&c->rules, &rule), 0);
	c->n_sinks = 2;
	struct upload_sink *s = &c->sinks[0];
	strcpy(s->config.name, "pyroscope");
	s->config.kind = SINK_PYROSCOPE;
	s->config.url = strdup("https://p.example:4040");
	put_pair(s->config.headers, &s->config.n_headers, "X-Team", "red");
	put_pair(s->config.labels, &s->config.n_labels, "env", "");
	s->config.proxy = strdup("");
	s->config.tenant = strdup("t");
	s->config.timeout_s = 17;
	s->config.bytes_per_s = 1ull << 40;
	s->config.insecure_http_auth = true;
	s->secrets.bearer_token = strdup("token-token");
	s->secrets.ca = strdup("-----BEGIN\n");
	assert_int_equal(upload_rules_add(&s->rules, &rule), 0);
	s->config.symbolize = SYMBOLIZE_SERVER;
	s = &c->sinks[1];
	strcpy(s->config.name, "dir");
	s->config.kind = SINK_DIR;
	s->config.url = strdup("/var/profiles");
	s->held = strdup("reading '/x': no");
	return c;
}

static int decode(const uint8_t *bytes, size_t n, struct upload_config **out)
{
	struct why why = {""};
	/* A copy of its own: sanitizers see what is read behind its end. */
	uint8_t *copy = malloc(n + !n);

	memcpy(copy, bytes, n);
	int err = upload_config_decode(copy, n, out, &why);
	assert_true((err == -EBADMSG) == (*why.text != '\0'));
	free(copy);
	return err;
}

static void what_is_written_is_read(void **state)
{
	struct upload_config *c = sample(), *read;
	uint8_t *bytes, *again;
	size_t n, n_again;

	(void)state;
	assert_int_equal(upload_config_encode(c, &bytes, &n), 0);
	assert_int_equal(decode(bytes, n, &read), 0);
	assert_int_equal(read->serial, 5);
	assert_int_equal(read->n_sinks, 2);
	assert_int_equal(read->sinks[0].config.timeout_s, 17);
	assert_string_equal(read->sinks[0].secrets.bearer_token, "token-token");
	assert_string_equal(read->sinks[0].config.proxy, "");
	assert_null(read->sinks[1].config.proxy);
	assert_string_equal(read->sinks[1].held, "reading '/x': no");
	assert_string_equal(read->sinks[0].rules.rules[0].target_label, "c");
	assert_null(read->sinks[0].rules.rules[0].separator);
	assert_int_equal(upload_config_encode(read, &again, &n_again), 0);
	assert_int_equal(n, n_again);
	assert_memory_equal(bytes, again, n);
	assert_true(upload_sink_equal(&c->sinks[0], &read->sinks[0]));
	assert_false(upload_sink_equal(&c->sinks[0], &read->sinks[1]));
	assert_true(upload_config_common_equal(c, read));
	c->rules.rules[0].modulus++;
	assert_false(upload_config_common_equal(c, read));
	c->sinks[0].secrets.bearer_token[0]++;
	assert_false(upload_sink_equal(&c->sinks[0], &read->sinks[0]));
	upload_config_wipe(bytes, n);
	upload_config_wipe(again, n_again);
	upload_config_free(c);
	upload_config_free(read);
	upload_config_free(NULL);
}

static void damaged_ones_are_refused(void **state)
{
	struct upload_config *c = sample(), *read;
	uint8_t *bytes;
	size_t n;

	(void)state;
	assert_int_equal(upload_config_encode(c, &bytes, &n), 0);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(decode(bytes, cut, &read), -EBADMSG);
	uint8_t *longer = calloc(1, n + 1);
	memcpy(longer, bytes, n);
	assert_int_equal(decode(longer, n + 1, &read), -EBADMSG);
	for (size_t at = 0; at < n; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(longer, bytes, n);
			longer[at] ^= (uint8_t)(1u << bit);
			if (decode(longer, n, &read) == 0)
				upload_config_free(read);
		}
	}
	free(longer);
	upload_config_wipe(bytes, n);
	upload_config_free(c);
}

static void expect_bad(struct upload_config *c)
{
	struct upload_config *read;
	uint8_t *bytes;
	size_t n;

	int err = upload_config_encode(c, &bytes, &n);
	if (err == 0) {
		assert_int_equal(decode(bytes, n, &read), -EBADMSG);
		upload_config_wipe(bytes, n);
	} else {
		assert_int_equal(err, -EBADMSG);
	}
	upload_config_free(c);
}

static void what_cannot_be_is_refused(void **state)
{
	struct upload_config *c = sample();

	(void)state;
	strcpy(c->sinks[1].config.name, "pyroscope");
	expect_bad(c);
	c = sample();
	c->sinks[0].config.name[0] = '\0';
	expect_bad(c);
	c = sample();
	memset(c->sinks[0].config.name, 'a', SINK_NAME_MAX);
	expect_bad(c);
	c = sample();
	c->sinks[0].secrets.bearer_token[3] = '\n';
	expect_bad(c);
	c = sample();
	c->sinks[0].config.tenant[0] = '\r';
	expect_bad(c);
	c = sample();
	c->sinks[0].config.headers[0].value[1] = '\n';
	expect_bad(c);
	c = sample();
	c->sinks[0].config.headers[0].name[1] = ':';
	expect_bad(c);
	c = sample();
	c->sinks[0].config.kind = SINK_KINDS;
	expect_bad(c);
	c = sample();
	free(c->sinks[0].config.url);
	c->sinks[0].config.url = NULL;
	expect_bad(c);
}

static void limits(void **state)
{
	struct upload_config *c = sample();
	const struct relabel_rule rule = {.action = "drop"};
	uint8_t *bytes;
	size_t n;

	(void)state;
	while (c->rules.n < UPLOAD_RULES_MAX)
		assert_int_equal(upload_rules_add(&c->rules, &rule), 0);
	assert_int_equal(upload_rules_add(&c->rules, &rule), -E2BIG);
	free(c->sinks[0].secrets.ca);
	c->sinks[0].secrets.ca = malloc(SINK_CERTIFICATE_MAX + 2);
	memset(c->sinks[0].secrets.ca, 'x', SINK_CERTIFICATE_MAX + 1);
	c->sinks[0].secrets.ca[SINK_CERTIFICATE_MAX + 1] = '\0';
	assert_int_equal(upload_config_encode(c, &bytes, &n), -E2BIG);
	assert_false(upload_sink_equal(&c->sinks[0], &c->sinks[0]));
	upload_config_free(c);
}

static int check(uint16_t kind, const void *payload, size_t n, size_t n_fds)
{
	struct message m = {.head = {.kind = kind, .payload_bytes = n}, .payload = payload, .n_fds = n_fds};

	return upload_message_check(&m);
}

static void messages(void **state)
{
	struct upload_status status = {.last_error = "fine"};
	struct upload_event event = {.severity = UPLOAD_ERROR, .text = "fine"};
	struct upload_window window = {.number = 1, .bytes = 1};
	struct upload_next next = {.sink = SINKS_MAX - 1};
	struct upload_mark mark = {.number = 1};

	(void)state;
	assert_int_equal(check(UPLOAD_STATUS, &status, sizeof(status), 0), 0);
	assert_int_equal(check(UPLOAD_EVENT, &event, sizeof(event), 0), 0);
	assert_int_equal(check(UPLOAD_WINDOW, &window, sizeof(window), 1), 0);
	assert_int_equal(check(UPLOAD_NEXT, &next, sizeof(next), 0), 0);
	assert_int_equal(check(UPLOAD_NONE, &next, sizeof(next), 0), 0);
	assert_int_equal(check(UPLOAD_MARK, &mark, sizeof(mark), 0), 0);
	assert_int_equal(check(UPLOAD_SHAPED, &mark, sizeof(mark), 0), 0);
	assert_int_equal(check(UPLOAD_NEWS, NULL, 0, 0), 0);
	assert_int_equal(check(UPLOAD_CONFIG, "x", 1, 0), 0);
	/* Sizes, descriptors, kinds. */
	assert_int_equal(check(UPLOAD_CONFIG, NULL, 0, 0), -EBADMSG);
	assert_int_equal(check(UPLOAD_NEWS, "x", 1, 0), -EBADMSG);
	assert_int_equal(check(UPLOAD_MARK, &mark, sizeof(mark) - 1, 0), -EBADMSG);
	assert_int_equal(check(UPLOAD_MARK, &mark, sizeof(mark), 1), -EBADMSG);
	assert_int_equal(check(UPLOAD_WINDOW, &window, sizeof(window), 0), -EBADMSG);
	assert_int_equal(check(UPLOAD_MESSAGES, NULL, 0, 0), -EBADMSG);
	/* What is in them. */
	mark.number = 0;
	assert_int_equal(check(UPLOAD_MARK, &mark, sizeof(mark), 0), -EBADMSG);
	window.bytes = UPLOAD_WINDOW_BYTES + 1ull;
	assert_int_equal(check(UPLOAD_WINDOW, &window, sizeof(window), 1), -EBADMSG);
	next.sink = SINKS_MAX;
	assert_int_equal(check(UPLOAD_NEXT, &next, sizeof(next), 0), -EBADMSG);
	event.severity = UPLOAD_ERROR + 1;
	assert_int_equal(check(UPLOAD_EVENT, &event, sizeof(event), 0), -EBADMSG);
	event = (struct upload_event){.text = "a\nb"};
	assert_int_equal(check(UPLOAD_EVENT, &event, sizeof(event), 0), -EBADMSG);
	memset(event.text, 'x', sizeof(event.text));
	assert_int_equal(check(UPLOAD_EVENT, &event, sizeof(event), 0), -EBADMSG);
	status.last_error[1] = '\x1b';
	assert_int_equal(check(UPLOAD_STATUS, &status, sizeof(status), 0), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(damaged_ones_are_refused), cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(limits),		   cmocka_unit_test(messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
