#include <sys/socket.h>

#include "linux/bpf/bpf_syscall.h"
#include "linux/bpf/steering_leftover.h"
#include "linux/bpf/steering_layout.h"

void
steering_leftover_add(struct steering_leftover *s, int fd)
{
	s->sockets[s->n++] = (uint64_t)fd;
}

/* Mostly all maps are taken over, and nobody has to be asked. */
static void
ask_cookies(struct steering_leftover *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n && !s->by_cookie; i++) {
		uint64_t cookie;
		socklen_t len = sizeof(cookie);

		if (getsockopt((int)s->sockets[i], SOL_SOCKET, SO_COOKIE,
		    &cookie, &len) == 0)
			s->sockets[n++] = cookie;
	}
	if (!s->by_cookie)
		s->n = n;
	s->by_cookie = true;
}

static void
found(struct steering_leftover *s, uint64_t cookie)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->sockets[i] == cookie) {
			s->sockets[i] = s->sockets[--s->n];
			return;
		}
}

/* Others may be in it too, which are about to be closed. */
void
steering_leftover_clear(int fd, struct steering_leftover *tcp,
    struct steering_leftover *udp)
{
	uint32_t max = 0;
	struct steering_leftover *s;

	if (!bpf_map_is(fd, BPF_KIND_REUSEPORT_SOCKETS, &max))
		return;
	s = max == STEER_FLOW_LANES ? udp : tcp;
	ask_cookies(s);
	/* Those that are used are at the beginning (steering_hub_take()). */
	for (uint32_t key = 0; key < max && s->n > 0; key++) {
		uint64_t cookie = 0;

		if (bpf_map_get(fd, &key, &cookie) < 0)
			continue;
		if (bpf_map_remove(fd, &key) == 0)
			found(s, cookie);
	}
}
