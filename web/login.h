/* Who may see the page: those who know the token, by a header (programs) or by a form that gives a cookie (browsers). Sessions are random numbers in memory: they end after
 * LOGIN_SESSION_NS, and with the process. Wrong tokens are counted by address. Times: CLOCK_MONOTONIC. Not thread-safe. */
#ifndef HEARTH_WEB_LOGIN_H
#define HEARTH_WEB_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGIN_SESSIONS_MAX   64 /* the oldest goes first */
#define LOGIN_SESSION_NS     (12 * 3600 * 1000000000ull)
#define LOGIN_COOKIE_DIGITS  64
#define LOGIN_ATTEMPTS_MAX   10 /* wrong tokens of one address in LOGIN_WINDOW_NS; then it is not listened to until that is over */
#define LOGIN_WINDOW_NS	     (60 * 1000000000ull)
#define LOGIN_ADDRESSES_MAX  256
#define LOGIN_ADDRESS_BYTES  16

struct login;

/* token: NULL or "": everybody may. Returns 0, -ENOMEM, or the errno of getrandom(). */
int login_create(const char *token, struct login **login_out);

bool login_is_open(const struct login *l);

/* Whether it is the token: in constant time. */
bool login_token(const struct login *l, const char *token);

/* A new session for who knows the token: its cookie's value in digits_out. Returns 0 or a negative errno. */
int login_begin(struct login *l, uint64_t now_ns, char digits_out[LOGIN_COOKIE_DIGITS + 1]);
bool login_session(const struct login *l, const char *digits, size_t n, uint64_t now_ns);
void login_end(struct login *l, const char *digits, size_t n);

/* Whether this address has tried too often. left_ns_out: how long it is not listened to. */
bool login_is_blocked(const struct login *l, const uint8_t address[LOGIN_ADDRESS_BYTES], uint64_t now_ns, uint64_t *left_ns_out);
void login_failed(struct login *l, const uint8_t address[LOGIN_ADDRESS_BYTES], uint64_t now_ns);

/* NULL is legal. */
void login_destroy(struct login *l);

#endif
