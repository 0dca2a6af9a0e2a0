/* web/login.c, peers.c, answer_cache.c, query_protocol.c, gzip_copy.c, web_metrics.c: what the server is made of. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"
#include "web/answer_cache.h"
#include "web/gzip_copy.h"
#include "web/login.h"
#include "web/peers.h"
#include "web/query_protocol.h"
#include "web/web_metrics.h"

#define S NS_PER_S

/* --- login ---------------------------------------------------------------------------------------------------------- */

static void tokens_and_sessions(void **state)
{
	char first[LOGIN_COOKIE_DIGITS + 1], digits[LOGIN_COOKIE_DIGITS + 1];
	struct login *l;

	(void)state;
	assert_int_equal(login_create("", &l), 0);
	assert_true(login_is_open(l));
	assert_false(login_token(l, ""));
	login_destroy(l);
	assert_int_equal(login_create("secret", &l), 0);
	assert_false(login_is_open(l));
	assert_true(login_token(l, "secret"));
	assert_false(login_token(l, "secre"));
	assert_false(login_token(l, "secret "));
	assert_false(login_token(l, ""));
	assert_int_equal(login_begin(l, S, first), 0);
	assert_int_equal(strspn(first, "0123456789abcdef"), LOGIN_COOKIE_DIGITS);
	assert_true(login_session(l, first, LOGIN_COOKIE_DIGITS, 2 * S));
	assert_false(login_session(l, first, LOGIN_COOKIE_DIGITS - 1, 2 * S));
	assert_false(login_session(l, first, LOGIN_COOKIE_DIGITS, S + LOGIN_SESSION_NS));
	/* The oldest goes. */
	for (unsigned i = 0; i < LOGIN_SESSIONS_MAX - 1; i++)
		assert_int_equal(login_begin(l, (2 + i) * S, digits), 0);
	assert_true(login_session(l, first, LOGIN_COOKIE_DIGITS, 100 * S));
	assert_int_equal(login_begin(l, 200 * S, digits), 0);
	assert_false(login_session(l, first, LOGIN_COOKIE_DIGITS, 200 * S));
	login_end(l, digits, LOGIN_COOKIE_DIGITS);
	login_end(l, "nonsense", 8);
	assert_false(login_session(l, digits, LOGIN_COOKIE_DIGITS, 200 * S));
	login_destroy(l);
	login_destroy(NULL);
}

static void guesses_are_counted(void **state)
{
	uint8_t address[LOGIN_ADDRESS_BYTES] = {1}, other[LOGIN_ADDRESS_BYTES] = {2};
	struct login *l;
	uint64_t left;

	(void)state;
	assert_int_equal(login_create("secret", &l), 0);
	for (int i = 0; i < LOGIN_ATTEMPTS_MAX; i++) {
		assert_false(login_is_blocked(l, address, 10 * S, &left));
		login_failed(l, address, 10 * S);
	}
	assert_true(login_is_blocked(l, address, 20 * S, &left));
	assert_int_equal(left, LOGIN_WINDOW_NS - 10 * S);
	assert_false(login_is_blocked(l, other, 20 * S, &left));
	assert_false(login_is_blocked(l, address, 10 * S + LOGIN_WINDOW_NS, &left));
	login_failed(l, address, 10 * S + LOGIN_WINDOW_NS);
	assert_false(login_is_blocked(l, address, 10 * S + LOGIN_WINDOW_NS, &left));
	/* Many addresses: the table stays as large as it is. */
	for (unsigned i = 0; i < 4 * LOGIN_ADDRESSES_MAX; i++) {
		memcpy(other + 4, &i, sizeof(i));
		login_failed(l, other, (200 + i) * S);
	}
	login_destroy(l);
}

/* --- connections ---------------------------------------------------------------------------------------------------- */

static struct sockaddr *address_of(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		memcpy(out, &in, sizeof(in));
	else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		memcpy(out, &in6, sizeof(in6));
	return (struct sockaddr *)out;
}

static void addresses_have_their_share(void **state)
{
	struct sockaddr_storage a;
	struct peers *p = malloc(sizeof(*p));
	struct peer *last = NULL;
	char text[64];

	(void)state;
	peers_init(p);
	assert_false(peers_admit(p, NULL));
	assert_false(peers_admit(p, address_of("nonsense", &a)));
	for (int i = 0; i < PEERS_OF_ADDRESS; i++) {
		assert_true(peers_admit(p, address_of("192.0.2.1", &a)));
		last = peers_add(p, address_of(i % 2 ? "192.0.2.1" : "::ffff:192.0.2.1", &a), 1000 + i, 5 * S);
		assert_non_null(last);
		assert_false(last->is_loopback);
	}
	assert_false(peers_admit(p, address_of("192.0.2.1", &a)));
	assert_true(peers_admit(p, address_of("192.0.2.2", &a)));
	assert_true(peers_admit(p, address_of("127.0.0.1", &a)));
	peers_remove(p, last);
	peers_remove(p, last);
	peers_remove(p, NULL);
	assert_true(peers_admit(p, address_of("192.0.2.1", &a)));
	assert_int_equal(p->n, PEERS_OF_ADDRESS - 1);
	/* One network of IPv6 is one. */
	for (int i = 0; i < PEERS_OF_ADDRESS; i++) {
		snprintf(text, sizeof(text), "2001:db8::%x", i + 1);
		assert_non_null(peers_add(p, address_of(text, &a), 2000 + i, 0));
	}
	assert_false(peers_admit(p, address_of("2001:db8::ffff", &a)));
	assert_true(peers_admit(p, address_of("2001:db8:0:1::1", &a)));
	/* Loopback may have the rest. */
	while (peers_add(p, address_of("::1", &a), 3000, 0))
		assert_true(p->n <= PEERS_MAX);
	assert_int_equal(p->n, PEERS_MAX);
	assert_false(peers_admit(p, address_of("127.0.0.1", &a)));
	assert_int_equal(peers_due_ns(p), 5 * S);
	assert_int_equal(p->refused, 5);
	free(p);
}

static void the_late_are_shut_out(void **state)
{
	struct sockaddr_storage a;
	struct peers *p = malloc(sizeof(*p));
	int pair[2];
	char byte;

	(void)state;
	peers_init(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peers_add(p, address_of("127.0.0.1", &a), pair[0], 5 * S);
	peers_end_late(p, 5 * S - 1);
	assert_int_equal(p->late, 0);
	peers_end_late(p, 5 * S);
	assert_int_equal(p->late, 1);
	assert_int_equal(read(pair[1], &byte, 1), 0);
	assert_int_equal(peers_due_ns(p), UINT64_MAX);
	close(pair[0]);
	close(pair[1]);
	free(p);
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void count_destroyed(void *context, void *answer)
{
	(void)answer;
	++*(unsigned *)context;
}

static void answers_are_kept(void **state)
{
	struct answer_cache_stats stats;
	struct answer_cache *c;
	unsigned destroyed = 0;
	int answers[300];

	(void)state;
	assert_int_equal(answer_cache_create(1000, count_destroyed, &destroyed, &c), 0);
	assert_null(answer_cache_find(c, "a", 1, 0));
	assert_int_equal(answer_cache_add(c, "a", 1, &answers[0], 250, 0), -E2BIG);
	assert_int_equal(answer_cache_add(c, "a", 1, &answers[0], UINT64_MAX, 0), -E2BIG);
	for (int i = 0; i < 4; i++)
		assert_int_equal(answer_cache_add(c, &"abcd"[i], 1, &answers[i], 240, 0), 0);
	assert_ptr_equal(answer_cache_find(c, "a", 1, 1), &answers[0]);
	assert_int_equal(answer_cache_add(c, "e", 1, &answers[4], 240, 1), 0);
	assert_null(answer_cache_find(c, "b", 1, 1));
	assert_ptr_equal(answer_cache_find(c, "a", 1, 1), &answers[0]);
	assert_ptr_equal(answer_cache_peek(c, "a", 1), &answers[0]);
	assert_int_equal(destroyed, 1);
	/* The same again takes its place. */
	assert_int_equal(answer_cache_add(c, "a", 1, &answers[5], 10, 1), 0);
	assert_ptr_equal(answer_cache_find(c, "a", 1, 1), &answers[5]);
	assert_null(answer_cache_find(c, "c", 1, ANSWER_CACHE_AGE_NS));
	answer_cache_stats(c, &stats);
	assert_int_equal(stats.entries, 3);
	assert_int_equal(stats.evicted, 1);
	for (int i = 0; i < 300; i++)
		assert_int_equal(answer_cache_add(c, &i, sizeof(i), &answers[i], 0, 1), 0);
	answer_cache_stats(c, &stats);
	assert_true(stats.entries <= ANSWER_CACHE_ENTRIES_MAX && stats.bytes <= 1000);
	answer_cache_destroy(c);
	answer_cache_destroy(NULL);
	assert_int_equal(destroyed, 306);
}

static void queries_go_over(void **state)
{
	const struct web_parameter parameters[] = {{"a", "b"}, {"", ""}};
	struct web_request r = {.method = "GET", .path = "/x", .parameters = parameters, .n_parameters = 2, .content_type = "", .accept = "y", .body = "body", .body_bytes = 4};
	struct query q;
	uint8_t *bytes;
	size_t n;

	(void)state;
	assert_int_equal(query_encode(&r, true, &bytes, &n), 0);
	assert_int_equal(query_decode(bytes, n, &q), 0);
	assert_true(q.wants_gzip);
	assert_string_equal(q.request.path, "/x");
	assert_string_equal(q.request.accept, "y");
	assert_string_equal(q.request.parameters[0].value, "b");
	assert_memory_equal(q.request.body, "body", 4);
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *part = malloc(cut ? cut : 1);
		memcpy(part, bytes, cut);
		assert_int_equal(query_decode(part, cut, &q), -EBADMSG);
		free(part);
	}
	bytes[0] = 200; /* parameters */
	assert_int_equal(query_decode(bytes, n, &q), -EBADMSG);
	bytes[0] = 3;
	assert_int_equal(query_decode(bytes, n, &q), -EBADMSG);
	bytes[0] = 1;
	assert_int_equal(query_decode(bytes, n, &q), -EBADMSG);
	free(bytes);
	r.body_bytes = QUERY_BODY_MAX + 1;
	assert_int_equal(query_encode(&r, true, &bytes, &n), -E2BIG);
	r.body_bytes = 0;
	r.n_parameters = QUERY_PARAMETERS_MAX + 1;
	assert_int_equal(query_encode(&r, true, &bytes, &n), -E2BIG);
}

static void answers_are_checked(void **state)
{
	struct query_done done = {.outcome = QUERY_ANSWERED, .status = 200, .content_type = "text/plain", .filename = "a\"b/c\r\n"}, out;

	(void)state;
	assert_int_equal(query_done_check(&done, sizeof(done), &out), 0);
	assert_string_equal(out.filename, "a_b_c__");
	assert_int_equal(query_done_check(&done, sizeof(done) - 1, &out), -EBADMSG);
	done.status = 100;
	assert_int_equal(query_done_check(&done, sizeof(done), &out), -EBADMSG);
	done.outcome = QUERY_FAILED;
	assert_int_equal(query_done_check(&done, sizeof(done), &out), 0);
	done.is_gzip = 2;
	assert_int_equal(query_done_check(&done, sizeof(done), &out), -EBADMSG);
	done.is_gzip = 0;
	strcpy(done.content_type, "a\nb");
	assert_int_equal(query_done_check(&done, sizeof(done), &out), -EBADMSG);
	memset(done.content_type, 'a', sizeof(done.content_type));
	assert_int_equal(query_done_check(&done, sizeof(done), &out), -EBADMSG);
	done.content_type[0] = '\0';
	done.outcome = QUERY_OUTCOMES;
	assert_int_equal(query_done_check(&done, sizeof(done), &out), -EBADMSG);
}

static void files_are_copied(void **state)
{
	AUTO_CLOSE int from = memfd_create("a", MFD_CLOEXEC), packed = memfd_create("b", MFD_CLOEXEC), plain = memfd_create("c", MFD_CLOEXEC);
	AUTO_FREE uint8_t *text = malloc(1 << 20), *small = malloc(1 << 20);
	uint8_t *back;

	(void)state;
	for (size_t i = 0; i < 1 << 20; i++)
		text[i] = (uint8_t)(i * i >> 7);
	assert_int_equal(write(from, text, 1 << 20), 1 << 20);
	assert_int_equal(plain_copy(from, plain), 0);
	assert_int_equal(lseek(plain, 0, SEEK_END), 1 << 20);
	assert_int_equal(gzip_copy(from, packed), 0);
	ssize_t n = pread(packed, small, 1 << 20, 0);
	assert_true(n > 0 && n < 1 << 20);
	assert_int_equal(gzip_expand(small, (size_t)n, 1 << 20, &back), 0);
	assert_memory_equal(back, text, 1 << 20);
	free(back);
	assert_int_equal(gzip_expand(small, (size_t)n, (1 << 20) - 1, &back), -EBADMSG);
	assert_int_equal(gzip_expand(small, (size_t)n, (1 << 20) + 1, &back), -EBADMSG);
	assert_int_equal(gzip_expand(small, (size_t)n / 2, 1 << 20, &back), -EBADMSG);
	assert_int_equal(plain_copy(-1, plain), -EBADF);
	assert_int_equal(gzip_copy(-1, packed), -EBADF);
	assert_int_equal(plain_copy(from, -1), -EBADF);
}

/* --- metrics -------------------------------------------------------------------------------------------------------- */

static void metrics_are_written(void **state)
{
	AUTO_FREE struct web_samples *samples = calloc(1, sizeof(*samples));
	char *text = NULL;
	size_t n;

	(void)state;
	web_samples_add(samples, METRIC_SAMPLES, NULL, 12345678901.0);
	web_samples_add(samples, METRIC_DROPPED, "<b>\n\"\\", 1);
	web_samples_add(samples, METRIC_WINDOW_SECONDS, "0.1", 2);
	web_samples_add(samples, METRIC_WINDOW_SECONDS, "sum", 0.1);
	web_samples_add(samples, METRIC_DROPPED, "missed", 2);
	web_samples_add(samples, METRIC_UPTIME_SECONDS, NULL, 1.0 / 3);
	web_samples_add(samples, METRIC_CPUS, NULL, 0.0 / 0.0 * -1);
	FILE *stream = open_memstream(&text, &n);
	web_metrics_write(samples, false, stream);
	fclose(stream);
	assert_non_null(strstr(text, "# TYPE hearth_samples_total counter\nhearth_samples_total 12345678901\n"));
	assert_non_null(strstr(text, "hearth_dropped_total{reason=\"<b>?\\\"\\\\\"} 1\nhearth_dropped_total{reason=\"missed\"} 2\n"));
	assert_non_null(strstr(text, "hearth_window_seconds_bucket{le=\"0.1\"} 2\nhearth_window_seconds_sum 0.1\n"));
	assert_non_null(strstr(text, "hearth_uptime_seconds 0.33333333333333331\n"));
	assert_null(strstr(text, "hearth_cpus"));
	assert_null(strstr(text, "# EOF"));
	free(text);
	stream = open_memstream(&text, &n);
	web_metrics_write(samples, true, stream);
	fclose(stream);
	assert_non_null(strstr(text, "# TYPE hearth_samples counter\nhearth_samples_total 12345678901\n"));
	assert_string_equal(text + n - 6, "# EOF\n");
	free(text);
	for (int i = 0; i < 2 * WEB_SAMPLES_MAX; i++)
		web_samples_add(samples, METRIC_CPUS, NULL, 1);
	assert_int_equal(samples->n, WEB_SAMPLES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_and_sessions), cmocka_unit_test(guesses_are_counted), cmocka_unit_test(addresses_have_their_share),
		cmocka_unit_test(the_late_are_shut_out), cmocka_unit_test(answers_are_kept), cmocka_unit_test(queries_go_over),
		cmocka_unit_test(answers_are_checked), cmocka_unit_test(files_are_copied), cmocka_unit_test(metrics_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
