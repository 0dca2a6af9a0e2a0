#include "web/peers.h"

#include <netinet/in.h>
#include <string.h>

void peers_init(struct peers *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < PEERS_MAX; i++)
		p->list[i].fd = -1;
}

static bool take_address(const struct sockaddr *from, uint8_t out[16], bool *is_loopback_out)
{
	struct in6_addr v6 = IN6ADDR_ANY_INIT;

	if (!from)
		return false;
	if (from->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, from, sizeof(in));
		v6.s6_addr[10] = v6.s6_addr[11] = 0xff;
		memcpy(v6.s6_addr + 12, &in.sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, from, sizeof(in6));
		v6 = in6.sin6_addr;
	} else {
		return false;
	}
	bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6);
	*is_loopback_out = is_mapped ? v6.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&v6);
	memset(out, 0, 16);
	memcpy(out, v6.s6_addr, is_mapped || *is_loopback_out ? 16 : 8);
	return true;
}

bool peers_admit(struct peers *p, const struct sockaddr *address)
{
	bool is_loopback;
	uint8_t bytes[16];
	size_t same = 0;

	if (!take_address(address, bytes, &is_loopback) || p->n == PEERS_MAX) {
		p->refused++;
		return false;
	}
	for (size_t i = 0; i < PEERS_MAX && !is_loopback; i++)
		same += p->list[i].fd >= 0 && memcmp(p->list[i].address, bytes, sizeof(bytes)) == 0;
	p->refused += same >= PEERS_OF_ADDRESS;
	return same < PEERS_OF_ADDRESS;
}

struct peer *peers_add(struct peers *p, const struct sockaddr *address, int fd, uint64_t deadline_ns)
{
	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *peer = &p->list[i];
		if (peer->fd >= 0)
			continue;
		if (!take_address(address, peer->address, &peer->is_loopback))
			return NULL;
		peer->fd = fd;
		peer->deadline_ns = deadline_ns;
		p->n++;
		return peer;
	}
	return NULL;
}

void peers_remove(struct peers *p, struct peer *peer)
{
	if (!peer || peer->fd < 0)
		return;
	peer->fd = -1;
	peer->deadline_ns = 0;
	p->n--;
}

uint64_t peers_due_ns(const struct peers *p)
{
	uint64_t due_ns = UINT64_MAX;

	for (size_t i = 0; i < PEERS_MAX && p->n; i++)
		if (p->list[i].fd >= 0 && p->list[i].deadline_ns && p->list[i].deadline_ns < due_ns)
			due_ns = p->list[i].deadline_ns;
	return due_ns;
}

void peers_end_late(struct peers *p, uint64_t now_ns)
{
	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *peer = &p->list[i];
		if (peer->fd < 0 || !peer->deadline_ns || peer->deadline_ns > now_ns)
			continue;
		shutdown(peer->fd, SHUT_RDWR);
		peer->deadline_ns = 0;
		p->late++;
	}
}
