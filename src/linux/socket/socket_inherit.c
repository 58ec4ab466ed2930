#include <sys/socket.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/socket/socket.h"
#include "linux/socket/socket_inherit.h"

/* By number, so that the age of the headers does not matter. */
#define SO_BUF_LOCK_ 72		/* Linux 5.17 */
#define LOCKED_SNDBUF 1
#define LOCKED_RCVBUF 2

#define SOCK(number, name) { SOL_SOCKET, number, "SO_" name }
#define IPV4(number, name) { IPPROTO_IP, number, "IP_" name }
#define IPV6(number, name) { IPPROTO_IPV6, number, "IPV6_" name }
#define TCP(number, name) { IPPROTO_TCP, number, "TCP_" name }
#define UDP(number, name) { IPPROTO_UDP, number, "UDP_" name }

/*
 * Options that are set as they are told; one that a socket does not have is
 * passed over. IP_TOS sets the priority too, so that has to come after it.
 */
static const struct {
	int level;
	int option;
	const char *name;
} copied[] = {
	IPV4(1, "TOS"), IPV4(2, "TTL"), IPV4(6, "RECVOPTS"),
	IPV4(7, "RETOPTS"), IPV4(8, "PKTINFO"), IPV4(10, "MTU_DISCOVER"),
	IPV4(11, "RECVERR"), IPV4(12, "RECVTTL"), IPV4(13, "RECVTOS"),
	IPV4(15, "FREEBIND"), IPV4(18, "PASSSEC"), IPV4(19, "TRANSPARENT"),
	IPV4(20, "RECVORIGDSTADDR"), IPV4(21, "MINTTL"),
	IPV4(23, "CHECKSUM"), IPV4(25, "RECVFRAGSIZE"),
	IPV4(26, "RECVERR_RFC4884"), IPV4(32, "MULTICAST_IF"),
	IPV4(33, "MULTICAST_TTL"), IPV4(34, "MULTICAST_LOOP"),
	IPV4(49, "MULTICAST_ALL"), IPV4(50, "UNICAST_IF"),
	IPV6(16, "UNICAST_HOPS"), IPV6(17, "MULTICAST_IF"),
	IPV6(18, "MULTICAST_HOPS"), IPV6(19, "MULTICAST_LOOP"),
	IPV6(23, "MTU_DISCOVER"), IPV6(25, "RECVERR"),
	IPV6(29, "MULTICAST_ALL"), IPV6(31, "RECVERR_RFC4884"),
	IPV6(49, "RECVPKTINFO"), IPV6(51, "RECVHOPLIMIT"),
	IPV6(53, "RECVHOPOPTS"), IPV6(56, "RECVRTHDR"),
	IPV6(58, "RECVDSTOPTS"), IPV6(60, "RECVPATHMTU"),
	IPV6(62, "DONTFRAG"), IPV6(66, "RECVTCLASS"), IPV6(67, "TCLASS"),
	IPV6(70, "AUTOFLOWLABEL"), IPV6(73, "MINHOPCOUNT"),
	IPV6(74, "RECVORIGDSTADDR"), IPV6(75, "TRANSPARENT"),
	IPV6(76, "UNICAST_IF"), IPV6(77, "RECVFRAGSIZE"),
	IPV6(78, "FREEBIND"),
	SOCK(SO_DONTROUTE, "DONTROUTE"), SOCK(SO_BROADCAST, "BROADCAST"),
	SOCK(SO_KEEPALIVE, "KEEPALIVE"), SOCK(SO_OOBINLINE, "OOBINLINE"),
	SOCK(SO_NO_CHECK, "NO_CHECK"), SOCK(SO_PRIORITY, "PRIORITY"),
	SOCK(SO_LINGER, "LINGER"), SOCK(SO_PASSCRED, "PASSCRED"),
	SOCK(SO_RCVLOWAT, "RCVLOWAT"), SOCK(SO_RCVTIMEO, "RCVTIMEO"),
	SOCK(SO_SNDTIMEO, "SNDTIMEO"), SOCK(SO_TIMESTAMP, "TIMESTAMP"),
	SOCK(34, "PASSSEC"), SOCK(SO_TIMESTAMPNS, "TIMESTAMPNS"),
	SOCK(36, "MARK"), SOCK(37, "TIMESTAMPING"), SOCK(40, "RXQ_OVFL"),
	SOCK(42, "PEEK_OFF"), SOCK(45, "SELECT_ERR_QUEUE"),
	SOCK(46, "BUSY_POLL"), SOCK(47, "MAX_PACING_RATE"),
	SOCK(49, "INCOMING_CPU"), SOCK(60, "ZEROCOPY"),
	SOCK(63, "TIMESTAMP_NEW"), SOCK(64, "TIMESTAMPNS_NEW"),
	SOCK(65, "TIMESTAMPING_NEW"), SOCK(69, "PREFER_BUSY_POLL"),
	SOCK(70, "BUSY_POLL_BUDGET"), SOCK(74, "TXREHASH"),
	SOCK(76, "PASSPIDFD"), SOCK(82, "RCVPRIORITY"),
	SOCK(83, "PASSRIGHTS"),
	TCP(TCP_NODELAY, "NODELAY"), TCP(TCP_CORK, "CORK"),
	TCP(TCP_KEEPIDLE, "KEEPIDLE"), TCP(TCP_KEEPINTVL, "KEEPINTVL"),
	TCP(TCP_KEEPCNT, "KEEPCNT"), TCP(TCP_SYNCNT, "SYNCNT"),
	TCP(TCP_LINGER2, "LINGER2"), TCP(TCP_DEFER_ACCEPT, "DEFER_ACCEPT"),
	TCP(TCP_CONGESTION, "CONGESTION"),
	TCP(16, "THIN_LINEAR_TIMEOUTS"), TCP(18, "USER_TIMEOUT"),
	TCP(23, "FASTOPEN"), TCP(25, "NOTSENT_LOWAT"), TCP(27, "SAVE_SYN"),
	TCP(33, "FASTOPEN_KEY"), TCP(34, "FASTOPEN_NO_COOKIE"),
	TCP(36, "INQ"), TCP(37, "TX_DELAY"), TCP(44, "RTO_MAX_MS"),
	TCP(45, "RTO_MIN_US"), TCP(46, "DELACK_MAX_US"),
	UDP(1, "CORK"), UDP(100, "ENCAP"), UDP(101, "NO_CHECK6_TX"),
	UDP(102, "NO_CHECK6_RX"), UDP(103, "SEGMENT"), UDP(104, "GRO"),
};
#define N_COPIED (sizeof(copied) / sizeof(copied[0]))

/* Others, numbered behind them. */
enum other {
	OTHER_RCVBUF = N_COPIED,
	OTHER_SNDBUF,
	OTHER_WINDOW_CLAMP,
	OTHER_MAXSEG,
	OTHER_FILTER,
	OTHER_N
};
static_assert(OTHER_N <= SOCKET_INHERIT_MAX, "numbers of options");

/* Those that are carried over with a thought. */
static const struct {
	int level;
	int option;
} numbers[] = {
	{ SOL_SOCKET, SO_BUF_LOCK_ }, { SOL_SOCKET, SO_RCVBUF },
	{ SOL_SOCKET, SO_SNDBUF }, { IPPROTO_TCP, TCP_WINDOW_CLAMP },
	{ IPPROTO_TCP, TCP_MAXSEG },
};
#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

/* A new socket's, which has no filter. */
struct socket_values {
	struct {
		int value;
		bool known;
	} numbers[N_NUMBERS];
	unsigned char lens[N_COPIED];	/* 0: it has none */
	char bytes[];			/* … one after the other */
};

struct copying {
	int from;			/* -1: it has these: */
	const struct socket_values *values;
	size_t at;			/* copy_plain(): the next one's */
	int to;
	socket_lost_fn *lost;
	void *ctx;
};

/* Room for the largest, the keys of TCP Fast Open. */
struct value {
	socklen_t len;
	char bytes[64];
};

static bool
get_value(int fd, int level, int option, struct value *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->len = sizeof(ret->bytes);
	/* As most programs ask: some tell more to who has more room. */
	if (level == IPPROTO_IP || level == IPPROTO_IPV6 ||
	    (level == SOL_SOCKET && (option == 37 || option == 65 ||
	    option == 47)))
		ret->len = sizeof(int);
	return getsockopt(fd, level, option, ret->bytes, &ret->len) == 0;
}

/* Of all options, in their order. */
static bool
next_wanted(struct copying *c, unsigned i, struct value *ret)
{
	if (c->values == NULL)
		return get_value(c->from, copied[i].level, copied[i].option,
		    ret) && ret->len > 0;
	memset(ret, 0, sizeof(*ret));
	ret->len = c->values->lens[i];
	memcpy(ret->bytes, c->values->bytes + c->at, ret->len);
	c->at += ret->len;
	return ret->len > 0;
}

static bool
same(const struct value *a, const struct value *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool
get(int fd, int level, int option, int *ret_value)
{
	socklen_t len = sizeof(*ret_value);

	*ret_value = 0;
	return getsockopt(fd, level, option, ret_value, &len) == 0;
}

static bool
get_wanted(const struct copying *c, int level, int option, int *ret_value)
{
	size_t i = 0;

	if (c->values == NULL)
		return get(c->from, level, option, ret_value);
	while (numbers[i].level != level || numbers[i].option != option)
		i++;
	*ret_value = c->values->numbers[i].value;
	return c->values->numbers[i].known;
}

static int
set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ?
	    -errno : 0;
}

static void
tell(const struct copying *c, unsigned option, const char *name, int code)
{
	if (code < 0 && c->lost != NULL)
		c->lost(c->ctx, option, name, code);
}

static void
copy_plain(struct copying *c, unsigned i)
{
	int level = copied[i].level, option = copied[i].option;
	struct value wanted, present;
	int code = 0;

	if (!next_wanted(c, i, &wanted) ||
	    !get_value(c->to, level, option, &present) ||
	    same(&wanted, &present))
		return;
	if (setsockopt(c->to, level, option, wanted.bytes, wanted.len) < 0)
		code = -errno;
	tell(c, i, copied[i].name, code);
}

/* Setting a size ends the kernel's own tuning of it, so only what the server
   has set itself, which a kernel before 5.17 does not tell from a default; and
   what another one has set before, who may have it tuned again. */
static void
copy_buffer(const struct copying *c, unsigned number, int option, int force,
    int lock)
{
	int wanted, present, theirs, ours, code = 0;
	bool told = get_wanted(c, SOL_SOCKET, SO_BUF_LOCK_, &theirs) &&
	    get(c->to, SOL_SOCKET, SO_BUF_LOCK_, &ours);

	if ((told && (theirs & lock) == 0 && (ours & lock) == 0) ||
	    !get_wanted(c, SOL_SOCKET, option, &wanted) ||
	    !get(c->to, SOL_SOCKET, option, &present))
		return;
	/* The kernel doubles what it is given (socket(7)). */
	if (wanted != present &&
	    set(c->to, SOL_SOCKET, force, wanted / 2) < 0) {
		code = set(c->to, SOL_SOCKET, option, wanted / 2);
		if (code == 0 && get(c->to, SOL_SOCKET, option, &present) &&
		    present != wanted)
			code = -EPERM;
	}
	if (told && (theirs & lock) == 0)
		(void)set(c->to, SOL_SOCKET, SO_BUF_LOCK_, ours & ~lock);
	tell(c, number, option == SO_RCVBUF ? "SO_RCVBUF" : "SO_SNDBUF", code);
}

/* A listening socket cannot be without one again; and its note, which bounds
   nothing, is one (socket_note_listening()). */
static void
copy_window_clamp(const struct copying *c)
{
	int wanted, present;

	if (!get_wanted(c, IPPROTO_TCP, TCP_WINDOW_CLAMP, &wanted) ||
	    !get(c->to, IPPROTO_TCP, TCP_WINDOW_CLAMP, &present))
		return;
	if (wanted == 0 && present != 0)
		wanted = SOCKET_WINDOW_MAX;
	if (wanted != present)
		tell(c, OTHER_WINDOW_CLAMP, "TCP_WINDOW_CLAMP",
		    set(c->to, IPPROTO_TCP, TCP_WINDOW_CLAMP, wanted));
}

/* What a socket without one tells, RFC 9293's default. */
#define MSS_NONE 536

static void
copy_maxseg(const struct copying *c)
{
	int wanted, present;

	if (get_wanted(c, IPPROTO_TCP, TCP_MAXSEG, &wanted) &&
	    get(c->to, IPPROTO_TCP, TCP_MAXSEG, &present) && wanted != present)
		tell(c, OTHER_MAXSEG, "TCP_MAXSEG", set(c->to, IPPROTO_TCP,
		    TCP_MAXSEG, wanted == MSS_NONE ? 0 : wanted));
}

/* The number of its instructions; 0: none; -errno: an extended one. */
static int
filter_length(int fd)
{
	socklen_t n = 0;

	return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0 ?
	    -errno : (int)n;
}

static int
copy_program(const struct copying *c, int n)
{
	struct sock_filter *code = calloc((size_t)n, sizeof(*code));
	struct sock_fprog program;
	socklen_t len = (socklen_t)n;
	int result = 0;

	if (code == NULL)
		return -ENOMEM;
	memset(&program, 0, sizeof(program));
	program.len = (unsigned short)n;
	program.filter = code;
	if (getsockopt(c->from, SOL_SOCKET, SO_GET_FILTER, code, &len) < 0 ||
	    setsockopt(c->to, SOL_SOCKET, SO_ATTACH_FILTER, &program,
	    sizeof(program)) < 0)
		result = -errno;
	free(code);
	return result;
}

static void
copy_filter(const struct copying *c)
{
	int wanted = c->values != NULL ? 0 : filter_length(c->from);
	int present = filter_length(c->to), code = 0;

	if (wanted < 0 && wanted != -ENOPROTOOPT)
		code = wanted;
	else if (wanted > 0)
		code = copy_program(c, wanted);
	else if (present != 0)
		code = set(c->to, SOL_SOCKET, SO_DETACH_FILTER, 0);
	tell(c, OTHER_FILTER, "SO_ATTACH_FILTER", code);
}

static void
copy_all(struct copying *c)
{
	for (unsigned i = 0; i < N_COPIED; i++)
		copy_plain(c, i);
	copy_buffer(c, OTHER_RCVBUF, SO_RCVBUF, SO_RCVBUFFORCE,
	    LOCKED_RCVBUF);
	copy_buffer(c, OTHER_SNDBUF, SO_SNDBUF, SO_SNDBUFFORCE,
	    LOCKED_SNDBUF);
	copy_window_clamp(c);
	copy_maxseg(c);
	copy_filter(c);
}

void
socket_inherit_options(int from, int to, socket_lost_fn *lost, void *ctx)
{
	copy_all(&(struct copying){
		.from = from, .to = to, .lost = lost, .ctx = ctx,
	});
}

struct socket_values *
socket_values_of(int fd)
{
	struct socket_values *all = calloc(1, sizeof(*all) +
	    N_COPIED * sizeof(((struct value *)NULL)->bytes)), *fitting;
	size_t n = 0;

	if (all == NULL)
		return NULL;
	for (size_t i = 0; i < N_NUMBERS; i++)
		all->numbers[i].known = get(fd, numbers[i].level,
		    numbers[i].option, &all->numbers[i].value);
	for (size_t i = 0; i < N_COPIED; i++) {
		struct value v;

		if (!get_value(fd, copied[i].level, copied[i].option, &v))
			continue;
		all->lens[i] = (unsigned char)v.len;
		memcpy(all->bytes + n, v.bytes, v.len);
		n += v.len;
	}
	fitting = realloc(all, sizeof(*all) + n);
	return fitting != NULL ? fitting : all;
}

void
socket_inherit_values(const struct socket_values *values, int to,
    socket_lost_fn *lost, void *ctx)
{
	copy_all(&(struct copying){
		.from = -1, .values = values, .to = to, .lost = lost,
		.ctx = ctx,
	});
}

/* ---- groups ---- */

/*
 * Each interface is in these by itself, and then nobody else is who is counted. To
 * ask for each of them takes the lock of all of the network's configuration.
 */
static bool
is_kernels_ipv4(in_addr_t group, unsigned users)
{
	return users <= 1 && group == htonl(INADDR_ALLHOSTS_GROUP);
}

/* All nodes, all routers, and solicited nodes (RFC 4291, section 2.7.1). */
static bool
is_kernels_ipv6(const struct in6_addr *group, unsigned users)
{
	static const uint8_t zeros[13], solicited[11] = { [9] = 1, [10] = 0xff };
	const uint8_t *ip = group->s6_addr;

	return users <= 1 && ip[0] == 0xff && (
	    (memcmp(ip + 2, zeros, 13) == 0 && (ip[15] == 1 || ip[15] == 2)) ||
	    (ip[1] == 2 && memcmp(ip + 2, solicited, 11) == 0));
}

/* The device stands before its groups: `1 lo : 1 V3`, and below it a group as
   the memory has it, in hexadecimal. */
static void
leave_ipv4(int fd)
{
	FILE *f = fopen("/proc/net/igmp", "re");
	char line[256];
	int index = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct ip_mreqn group = { .imr_ifindex = index };
		unsigned number, users;

		if (line[0] != '\t') {
			if (sscanf(line, "%d", &index) != 1)
				index = 0;
		} else if (index > 0 &&
		    sscanf(line, " %8X %u", &number, &users) == 2 &&
		    !is_kernels_ipv4(number, users)) {
			group.imr_multiaddr.s_addr = number;
			(void)setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP,
			    &group, sizeof(group));
		}
	}
	if (f != NULL)
		(void)fclose(f);
}

/* `1 lo ff020000000000000000000000000001 …` */
static void
leave_ipv6(int fd)
{
	FILE *f = fopen("/proc/net/igmp6", "re");
	char line[256], digits[33];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct ipv6_mreq group = { .ipv6mr_interface = 0 };
		unsigned index, users;
		size_t i = 0;

		if (sscanf(line, "%u %*s %32[0-9a-f] %u", &index, digits,
		    &users) != 3 ||
		    strlen(digits) != 32)
			continue;
		group.ipv6mr_interface = index;
		for (; i < sizeof(group.ipv6mr_multiaddr); i++)
			(void)sscanf(&digits[2 * i], "%2hhx",
			    &group.ipv6mr_multiaddr.s6_addr[i]);
		if (!is_kernels_ipv6(&group.ipv6mr_multiaddr, users))
			(void)setsockopt(fd, IPPROTO_IPV6,
			    IPV6_DROP_MEMBERSHIP, &group, sizeof(group));
	}
	if (f != NULL)
		(void)fclose(f);
}

void
socket_leave_groups(int fd)
{
	leave_ipv4(fd);
	leave_ipv6(fd);
}

/* ---- flags ---- */

bool
socket_is_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

void
socket_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;

	if (flags >= 0 && wanted != flags)
		(void)fcntl(fd, F_SETFL, wanted);
}

void
socket_silence(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_ASYNC) != 0)
		(void)fcntl(fd, F_SETFL, flags & ~O_ASYNC);
	if (fcntl(fd, F_GETOWN) != 0)
		(void)fcntl(fd, F_SETOWN, 0);
	if (fcntl(fd, F_GETSIG) != 0)
		(void)fcntl(fd, F_SETSIG, 0);
}
