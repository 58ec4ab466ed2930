#include <sys/socket.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mono.h"
#include "core/names/address.h"
#include "linux/process/inspect.h"
#include "linux/socket/sockdiag.h"
#include "linux/socket/socket_holders.h"

/* As linux/net/tcp_states.h has it. */
#define STATE_LISTEN	10

#define INODES_MAX	32

struct search {
	const struct address *address;
	struct socket_holders *found;
	struct mono end;
	struct timespec used;	/* of the CPU, up to the end */
	uint64_t inodes[INODES_MAX];
	size_t n_inodes;
	bool listening;		/* one of them does: the others only stay */
	struct stat file;	/* of a Unix listener */
	bool others;		/* processes of other users than the socket's */
	pid_t pid;
	bool holds;
};

/* While others have the CPU, ours is not spent. */
#define WAITING 4

static bool
has_time(const struct search *s)
{
	struct timespec now;

	return mono_before(mono_now(), s->end) &&
	    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0 &&
	    (now.tv_sec < s->used.tv_sec || (now.tv_sec == s->used.tv_sec &&
		now.tv_nsec < s->used.tv_nsec));
}

static void
set_time(struct search *s, int64_t budget_ms)
{
	s->end = mono_add_ms(mono_now(), WAITING * budget_ms);
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &s->used);
	s->used.tv_sec += (time_t)(budget_ms / 1000);
	s->used.tv_nsec += (long)(budget_ms % 1000) * 1000000;
	if (s->used.tv_nsec >= 1000000000) {
		s->used.tv_sec++;
		s->used.tv_nsec -= 1000000000;
	}
}

/* ---- which sockets ---- */

static void
add_inode(struct search *s, uint64_t ino, uint32_t uid)
{
	if (ino == 0)	/* a connection that ends: nobody's any more */
		return;
	s->found->known = true;
	if (s->n_inodes == 0)
		s->found->uid = uid;
	if (s->n_inodes < INODES_MAX)
		s->inodes[s->n_inodes++] = ino;
}

/* Sixteen bytes, IPv4 as IPv6 has it; all zeros: any address. */
static void
widen(int family, const void *ip, unsigned char wide[16])
{
	static const unsigned char mapped[12] = {
		[10] = 0xff, [11] = 0xff,
	};
	static const unsigned char any[4];

	memset(wide, 0, 16);
	if (family == AF_INET6) {
		memcpy(wide, ip, 16);
	} else if (memcmp(ip, any, 4) != 0) {
		memcpy(wide, mapped, 12);
		memcpy(wide + 12, ip, 4);
	}
}

static bool
overlaps(const struct address *a, const struct inet_diag_msg *m)
{
	static const unsigned char any[16];
	unsigned char ours[16] = { 0 }, theirs[16];

	if (a->host != ADDRESS_HOST_ANY)
		widen(a->host == ADDRESS_HOST_IPV4 ? AF_INET : AF_INET6,
		    a->ip, ours);
	widen(m->idiag_family, m->id.idiag_src, theirs);
	return memcmp(ours, any, 16) == 0 || memcmp(theirs, any, 16) == 0 ||
	    memcmp(ours, theirs, 16) == 0;
}

static void
take_inet(void *ctx, const struct nlmsghdr *header)
{
	struct search *s = ctx;
	const struct inet_diag_msg *m = NLMSG_DATA(header);
	bool listens = m->idiag_state == STATE_LISTEN;

	/* Of those that are bound and do not listen the kernel sends all, whatever
	   port was asked for (net/ipv4/inet_diag.c, since 6.8). */
	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) ||
	    m->id.idiag_sport != htons(s->address->port) ||
	    !overlaps(s->address, m) || (s->listening && !listens))
		return;
	if (listens && !s->listening) {
		s->listening = true;
		s->n_inodes = 0;
	}
	add_inode(s, m->idiag_inode, m->idiag_uid);
}

static void
find_inet(struct search *s, struct sockdiag *d, int family)
{
	const struct inet_diag_req_v2 request = {
		.sdiag_family = (uint8_t)family,
		.sdiag_protocol = s->address->kind == ADDRESS_UDP ?
		    IPPROTO_UDP : IPPROTO_TCP,
		.idiag_states = UINT32_MAX,
		.id = {
			.idiag_sport = htons(s->address->port),
			.idiag_cookie = { INET_DIAG_NOCOOKIE,
			    INET_DIAG_NOCOOKIE },
		},
	};
	int code = sockdiag_ask(d, &request, sizeof(request), true);

	while (code == 0 || (code == 1 && has_time(s))) {
		code = sockdiag_read(d, 1, take_inet, s);
		if (code == 0)
			break;
	}
}

static void
take_unix(void *ctx, const struct sockdiag_unix *u)
{
	struct search *s = ctx;

	if (u->state == STATE_LISTEN && u->bound &&
	    u->file_ino == (uint32_t)s->file.st_ino)
		add_inode(s, u->ino, (uint32_t)-1);
}

static void
find_unix(struct search *s, struct sockdiag *d)
{
	int code;

	if (lstat(s->address->path, &s->file) < 0)
		return;
	code = sockdiag_unix_ask(d);
	while (code == 0 || (code == 1 && has_time(s))) {
		code = sockdiag_unix_read(d, 1, take_unix, s);
		if (code == 0)
			break;
	}
}

/* ---- which processes ---- */

static bool
look_at_fd(void *ctx, int fd)
{
	struct search *s = ctx;
	uint64_t ino;

	if (inspect_fd(s->pid, fd, &ino) != INSPECT_SOCKET)
		return true;
	for (size_t i = 0; i < s->n_inodes; i++)
		s->holds |= s->inodes[i] == ino;
	return !s->holds && has_time(s);
}

static bool
is_of_user(pid_t pid, uint32_t uid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return stat(path, &st) == 0 && st.st_uid == uid;
}

static void
look_at_process(struct search *s, pid_t pid)
{
	struct socket_holders *found = s->found;

	if (found->uid != (uint32_t)-1 &&
	    is_of_user(pid, found->uid) == s->others)
		return;
	s->pid = pid;
	s->holds = false;
	(void)inspect_each_fd(pid, look_at_fd, s);
	if (s->holds && found->n < SOCKET_HOLDERS_MAX)
		found->pids[found->n++] = pid;
	else if (s->holds)
		found->more++;
}

struct pids {
	pid_t *v;
	size_t n, cap;
};

static bool
note_pid(void *ctx, pid_t pid)
{
	struct pids *pids = ctx;

	if (pids->n == pids->cap) {
		size_t cap = pids->cap > 0 ? 2 * pids->cap : 256;
		pid_t *v = reallocarray(pids->v, cap, sizeof(*v));

		if (v == NULL)
			return false;
		pids->v = v;
		pids->cap = cap;
	}
	pids->v[pids->n++] = pid;
	return true;
}

/* There may be many, and little time: first those of the socket's user, and of
   them the youngest, for what was there long ago is no surprise. */
static void
find_processes(struct search *s)
{
	struct pids pids = { .v = NULL };

	inspect_each_process(note_pid, &pids);
	for (size_t i = pids.n; i-- > 0 && has_time(s);)
		look_at_process(s, pids.v[i]);
	s->others = true;
	for (size_t i = pids.n; s->found->uid != (uint32_t)-1 && i-- > 0 &&
	    has_time(s);)
		look_at_process(s, pids.v[i]);
	free(pids.v);
}

static int
compare(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

void
socket_holders_find(const struct address *a, int64_t budget_ms,
    struct socket_holders *ret)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct search s = {
		.address = a, .found = ret,
	};

	*ret = (struct socket_holders){ .uid = (uint32_t)-1 };
	set_time(&s, budget_ms);
	if (a->kind == ADDRESS_UNIX) {
		find_unix(&s, &d);
	} else if (a->port != 0) {
		if (a->host != ADDRESS_HOST_IPV6)
			find_inet(&s, &d, AF_INET);
		if (s.n_inodes == 0 || a->host == ADDRESS_HOST_ANY)
			find_inet(&s, &d, AF_INET6);
		if (s.n_inodes == 0 && a->host == ADDRESS_HOST_IPV6)
			find_inet(&s, &d, AF_INET);
	}
	sockdiag_close(&d);
	if (s.n_inodes > 0)
		find_processes(&s);
	/* A parent comes before its children. */
	qsort(ret->pids, ret->n, sizeof(*ret->pids), compare);
}
