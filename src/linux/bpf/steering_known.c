#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "linux/bpf/bpf_syscall.h"
#include "linux/bpf/steering_known.h"

static void
forget(int map, uint64_t *key)
{
	if (*key != 0)
		(void)bpf_map_remove(map, key);
	*key = 0;
}

/* ---- lanes ---- */

/* Where there is no room, those that are in no group any more make some. */
static int
put(int map, struct steering_known *v, size_t n, uint64_t cookie,
    const struct steer_lane *lane)
{
	int code = bpf_map_set(map, &cookie, lane);

	if (code != -E2BIG)
		return code;
	for (size_t i = 0; i < n; i++)
		forget(map, &v[i].before);
	return bpf_map_set(map, &cookie, lane);
}

int
steering_know(int map, struct steering_known *v, size_t n, size_t slot,
    uint64_t cookie, const struct steer_lane *lane)
{
	struct steering_known *known = &v[slot];
	int code;

	if (known->cookie == cookie &&
	    memcmp(&known->lane, lane, sizeof(*lane)) == 0)
		return 0;
	if (known->cookie != cookie)
		forget(map, &known->before);
	code = put(map, v, n, cookie, lane);
	if (code < 0)
		return code;
	if (known->cookie != cookie)
		known->before = known->cookie;
	known->cookie = cookie;
	known->lane = *lane;
	return 0;
}

void
steering_forget(int map, struct steering_known *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		forget(map, &v[i].cookie);
		forget(map, &v[i].before);
	}
}

/* ---- the address ---- */

/* 0: it has none. */
static uint64_t
key_of(int fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a;
	socklen_t len = sizeof(a);
	uint32_t ip[4] = { 0 };

	if (getsockname(fd, &a.sa, &len) < 0)
		return 0;
	if (a.sa.sa_family == AF_INET)
		memcpy(ip, &a.in.sin_addr, sizeof(a.in.sin_addr));
	else
		memcpy(ip, &a.in6.sin6_addr, sizeof(ip));
	return steer_place_key(ip, ntohs(a.sa.sa_family == AF_INET ?
	    a.in.sin_port : a.in6.sin6_port), a.sa.sa_family);
}

void
steering_know_address(int map, uint64_t *key, uint64_t group, int fd)
{
	const struct steer_lane lane = { .group = group };
	const uint64_t wanted = key_of(fd);

	if (wanted != *key)
		steering_forget_address(map, key, group);
	/* Or another group may have had it meanwhile, and have been given up. */
	if (wanted != 0 && bpf_map_set(map, &wanted, &lane) == 0)
		*key = wanted;
}

void
steering_forget_address(int map, uint64_t *key, uint64_t group)
{
	struct steer_lane there;

	if (*key != 0 && bpf_map_get(map, key, &there) == 0 &&
	    there.group == group)
		forget(map, key);
	*key = 0;
}
