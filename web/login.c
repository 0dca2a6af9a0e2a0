#include "web/login.h"

#include <errno.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/scope.h"

#define SECRET_BYTES (LOGIN_COOKIE_DIGITS / 2)

struct session {
	uint8_t digest[SHA256_DIGEST_LENGTH]; /* of the cookie: what is looked for is not what is compared */
	uint64_t end_ns;		      /* 0: none */
};

struct attempts {
	uint8_t address[LOGIN_ADDRESS_BYTES];
	uint64_t begin_ns;
	unsigned n; /* 0: none */
};

struct login {
	bool is_open;
	uint8_t token[SHA256_DIGEST_LENGTH];
	struct session sessions[LOGIN_SESSIONS_MAX];
	struct attempts attempts[LOGIN_ADDRESSES_MAX];
};

static void digest_of(const char *text, size_t n, uint8_t out[SHA256_DIGEST_LENGTH])
{
	SHA2_CTX context;

	SHA256Init(&context);
	SHA256Update(&context, (const uint8_t *)text, n);
	SHA256Final(out, &context);
}

/* Takes as long for any two. */
static bool is_same(const uint8_t a[SHA256_DIGEST_LENGTH], const uint8_t b[SHA256_DIGEST_LENGTH])
{
	volatile uint8_t difference = 0;

	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
		difference = (uint8_t)(difference | (a[i] ^ b[i]));
	return difference == 0;
}

int login_create(const char *token, struct login **login_out)
{
	struct login *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->is_open = !token || !*token;
	if (!l->is_open)
		digest_of(token, strlen(token), l->token);
	*login_out = l;
	return 0;
}

void login_destroy(struct login *l)
{
	free(l);
}

bool login_is_open(const struct login *l)
{
	return l->is_open;
}

bool login_token(const struct login *l, const char *token)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	digest_of(token, strlen(token), digest);
	return !l->is_open && is_same(digest, l->token);
}

int login_begin(struct login *l, uint64_t now_ns, char digits_out[LOGIN_COOKIE_DIGITS + 1])
{
	static const char DIGITS[] = "0123456789abcdef";
	struct session *s = &l->sessions[0];
	uint8_t secret[SECRET_BYTES];

	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return errno ? -errno : -EIO;
	for (size_t i = 1; i < LOGIN_SESSIONS_MAX; i++)
		if (l->sessions[i].end_ns < s->end_ns)
			s = &l->sessions[i];
	for (size_t i = 0; i < sizeof(secret); i++) {
		digits_out[2 * i] = DIGITS[secret[i] >> 4];
		digits_out[2 * i + 1] = DIGITS[secret[i] & 15];
	}
	digits_out[LOGIN_COOKIE_DIGITS] = '\0';
	digest_of(digits_out, LOGIN_COOKIE_DIGITS, s->digest);
	s->end_ns = now_ns + LOGIN_SESSION_NS;
	return 0;
}

static size_t find_session(const struct login *l, const char *digits, size_t n)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	if (n != LOGIN_COOKIE_DIGITS)
		return LOGIN_SESSIONS_MAX;
	digest_of(digits, n, digest);
	for (size_t i = 0; i < LOGIN_SESSIONS_MAX; i++)
		if (l->sessions[i].end_ns && is_same(digest, l->sessions[i].digest))
			return i;
	return LOGIN_SESSIONS_MAX;
}

bool login_session(const struct login *l, const char *digits, size_t n, uint64_t now_ns)
{
	size_t i = find_session(l, digits, n);

	return i < LOGIN_SESSIONS_MAX && l->sessions[i].end_ns > now_ns;
}

void login_end(struct login *l, const char *digits, size_t n)
{
	size_t i = find_session(l, digits, n);

	if (i < LOGIN_SESSIONS_MAX)
		l->sessions[i].end_ns = 0;
}

static struct attempts *find_attempts(const struct login *l, const uint8_t address[LOGIN_ADDRESS_BYTES])
{
	for (size_t i = 0; i < LOGIN_ADDRESSES_MAX; i++)
		if (l->attempts[i].n && memcmp(l->attempts[i].address, address, LOGIN_ADDRESS_BYTES) == 0)
			return (struct attempts *)(uintptr_t)&l->attempts[i];
	return NULL;
}

bool login_is_blocked(const struct login *l, const uint8_t address[LOGIN_ADDRESS_BYTES], uint64_t now_ns, uint64_t *left_ns_out)
{
	const struct attempts *a = find_attempts(l, address);

	if (!a || a->n < LOGIN_ATTEMPTS_MAX || now_ns >= a->begin_ns + LOGIN_WINDOW_NS)
		return false;
	*left_ns_out = a->begin_ns + LOGIN_WINDOW_NS - now_ns;
	return true;
}

void login_failed(struct login *l, const uint8_t address[LOGIN_ADDRESS_BYTES], uint64_t now_ns)
{
	struct attempts *a = find_attempts(l, address);

	if (!a) {
		a = &l->attempts[0];
		for (size_t i = 1; i < LOGIN_ADDRESSES_MAX; i++)
			if (!l->attempts[i].n || (a->n && l->attempts[i].begin_ns < a->begin_ns))
				a = &l->attempts[i];
		memcpy(a->address, address, LOGIN_ADDRESS_BYTES);
		a->n = 0;
	}
	if (!a->n || now_ns >= a->begin_ns + LOGIN_WINDOW_NS) {
		a->begin_ns = now_ns;
		a->n = 0;
	}
	a->n++;
}
