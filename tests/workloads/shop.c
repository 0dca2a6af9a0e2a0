/* A small server's day, for pictures and tests of the page: shop SECONDS [slow]. Orders are read, priced, sorted and signed; with "slow" the signature is computed byte by byte, which is the hot
 * function that somebody has to find. One function's name holds what a web page must not take for HTML (the build renames it, see tests/web/record.py). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ORDERS 3000
#define ITEMS 24

struct order {
	char text[256];
	uint32_t prices[ITEMS];
	uint64_t signature;
};

static struct order orders[ORDERS];
static int is_slow;

void hostile_function(void);

static int compare_prices(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

__attribute__((noinline)) static void read_order(struct order *order, unsigned n)
{
	snprintf(order->text, sizeof(order->text), "order %u of customer %u, %u items, to be sent by the cheapest carrier", n, n % 97, ITEMS);
}

static inline __attribute__((always_inline)) uint32_t discount(uint32_t price, unsigned n)
{
	return price - price * (n % 13) / 100; /* DISCOUNT LINE */
}

__attribute__((noinline)) static void price_order(struct order *order, unsigned n)
{
	for (unsigned round = 0; round < 12; round++)
		for (unsigned i = 0; i < ITEMS; i++)
			order->prices[i] = discount((n * 2654435761u + i * 40503u + round) % 100000, n);
	qsort(order->prices, ITEMS, sizeof(order->prices[0]), compare_prices);
	order->signature = order->prices[0]; /* a call behind which nothing comes would be a jump, and leave no frame */
}

__attribute__((noinline)) static uint64_t sign_bytewise(const struct order *order)
{
	uint64_t hash = 1469598103934665603u;

	for (unsigned round = 0; round < 30; round++)
		for (size_t i = 0; i < sizeof(order->text); i++)
			hash = (hash ^ (unsigned char)order->text[i]) * 1099511628211u; /* HASH LINE */
	return hash;
}

__attribute__((noinline)) static uint64_t sign_wordwise(const struct order *order)
{
	uint64_t hash = 1469598103934665603u, word;

	for (size_t i = 0; i + 8 <= sizeof(order->text); i += 8) {
		memcpy(&word, order->text + i, 8);
		hash = (hash ^ word) * 1099511628211u;
	}
	return hash;
}

__attribute__((noinline)) static void sign_order(struct order *order)
{
	order->signature = is_slow ? sign_bytewise(order) : sign_wordwise(order);
}

__attribute__((noinline)) static void serve(time_t end)
{
	while (time(NULL) < end) {
		for (unsigned n = 0; n < ORDERS; n++) {
			read_order(&orders[n], n);
			price_order(&orders[n], n);
			sign_order(&orders[n]);
		}
		hostile_function();
	}
}

int main(int argc, char **argv)
{
	is_slow = argc > 2 && strcmp(argv[2], "slow") == 0;
	serve(time(NULL) + (argc > 1 ? atoi(argv[1]) : 5));
	return 0;
}
