#include <sys/socket.h>

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>

#include "base/fd.h"
#include "core/sockets/cbpf_question.h"
#include "linux/socket/lane_ask.h"

/* What comes with less is dropped: questions, and nothing else there is. */
#define TTL_MIN (CBPF_QUESTION_TTL + 1)

union inet_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static bool
is_ipv6(int fd)
{
	int family = AF_INET;
	socklen_t len = sizeof(family);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 &&
	    family == AF_INET6;
}

static int
set_number(int fd, int level, int option, int n)
{
	return setsockopt(fd, level, option, &n, sizeof(n)) < 0 ? -errno : 0;
}

static int
set_ttl_min(int fd, int n)
{
	return is_ipv6(fd) ?
	    set_number(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, n) :
	    set_number(fd, IPPROTO_IP, IP_MINTTL, n);
}

static int
get_ttl_min(int fd, int *ret_n)
{
	bool v6 = is_ipv6(fd);
	socklen_t len = sizeof(*ret_n);

	*ret_n = 0;
	return getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
	    v6 ? IPV6_MINHOPCOUNT : IP_MINTTL, ret_n, &len) < 0 ? -errno : 0;
}

int
lane_ask_begin(int fd, int *ret_old)
{
	int code = get_ttl_min(fd, ret_old);

	/* A server may have one of its own. */
	if (code < 0 || *ret_old >= TTL_MIN)
		return code;
	return set_ttl_min(fd, TTL_MIN);
}

void
lane_ask_end(int fd, int old)
{
	if (old < TTL_MIN)
		(void)set_ttl_min(fd, old);
}

static int
find_address(int fd, union inet_address *ret_a, socklen_t *len)
{
	memset(ret_a, 0, sizeof(*ret_a));
	if (getsockname(fd, &ret_a->sa, len) < 0)
		return -errno;
	if (ret_a->sa.sa_family == AF_INET6) {
		if (IN6_IS_ADDR_UNSPECIFIED(&ret_a->in6.sin6_addr))
			ret_a->in6.sin6_addr = in6addr_loopback;
	} else if (ret_a->in.sin_addr.s_addr == htonl(INADDR_ANY)) {
		ret_a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	return 0;
}

/* Was it as large as it should? An interface may have cut it. */
static int
check_mss(int fd, unsigned mss)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	if (info.tcpi_state == TCP_ESTABLISHED)
		return -EISCONN;
	return info.tcpi_advmss == mss ? 0 : -ERANGE;
}

static int
send_syn(int fd, const union inet_address *to, socklen_t len, unsigned mss)
{
	bool v6 = to->sa.sa_family == AF_INET6;
	int code = set_number(fd, IPPROTO_TCP, TCP_MAXSEG, (int)mss);

	if (code == 0)
		code = v6 ? set_number(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS,
		    CBPF_QUESTION_TTL) :
		    set_number(fd, IPPROTO_IP, IP_TTL, CBPF_QUESTION_TTL);
	if (code < 0)
		return code;
	if (connect(fd, &to->sa, len) == 0)
		return -EISCONN;
	return errno == EINPROGRESS ? check_mss(fd, mss) : -errno;
}

int
lane_ask_send(int fd, unsigned position)
{
	union inet_address to;
	socklen_t len = sizeof(to);
	int code = find_address(fd, &to, &len), s;

	if (code < 0)
		return code;
	s = socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (s < 0)
		return -errno;
	code = send_syn(s, &to, len, CBPF_QUESTION_MSS_BASE + position);
	fd_close(&s);	/* and so it is not sent again */
	return code;
}

int
lane_ask_dropped(int fd, uint32_t *ret_n)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return -errno;
	if (len < sizeof(info))
		return -EOPNOTSUPP;
	*ret_n = info[SK_MEMINFO_DROPS];
	return 0;
}
