#include <sys/socket.h>

#include <linux/filter.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "linux/socket/socket_filter.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

union sockaddr_inet {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static int
set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ?
	    -errno : 0;
}

/* It has a gap, and the kernel copies it all. */
static void
fill_program(struct sock_fprog *program, const struct sock_filter *code,
    size_t n)
{
	memset(program, 0, sizeof(*program));
	program->len = (unsigned short)n;
	program->filter = (struct sock_filter *)code;
}

void
socket_begin_attach(int fd)
{
	(void)set_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
}

void
socket_end_attach(int fd)
{
	(void)set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

int
socket_attach_cbpf(int fd, const struct sock_filter *code, size_t n)
{
	struct sock_fprog program;

	fill_program(&program, code, n);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
	    sizeof(program)) < 0 ? -errno : 0;
}

int
socket_attach_place(int fd, unsigned place)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_RET | BPF_K, place),
	};

	return socket_attach_cbpf(fd, code, 1);
}

/* Of one that is not in the kernel's tables the kernel wants SO_REUSEPORT. */
int
socket_found_group(int fd, int program)
{
	int result = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);

	if (result == 0)
		result = program < 0 ? socket_attach_place(fd, 0) :
		    set_option(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF,
		    program);
	(void)set_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
	return result;
}

static int
set_filter(int fd, const struct sock_filter *code, size_t n, bool on)
{
	struct sock_fprog program;

	if (!on)
		return set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	fill_program(&program, code, n);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
	    sizeof(program)) < 0 ? -errno : 0;
}

/* Is this the filter that it has? None is longer than a few instructions of
   ours. */
static bool
has_filter(int fd, const struct sock_filter *code, size_t n)
{
	/* The length is one of instructions; valgrind takes it for bytes. */
	struct sock_filter found[8] = { { .code = 0 } };
	socklen_t len = 0;

	if (n > sizeof(found) / sizeof(*found) || getsockopt(fd, SOL_SOCKET,
	    SO_GET_FILTER, NULL, &len) < 0 || len != n)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, found, &len) == 0 &&
	    memcmp(found, code, n * sizeof(*code)) == 0;
}

/* One of any kind: an extended one cannot be had back. */
static bool
has_any_filter(int fd)
{
	socklen_t len = 0;

	return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &len) < 0 ?
	    errno == EACCES : len != 0;
}

/* A filter of ours, unless there is another one. */
static int
ignore_by(int fd, const struct sock_filter *code, size_t n, bool on)
{
	bool ours = has_filter(fd, code, n);

	if (on && ours)
		return 0;
	if (on && has_any_filter(fd))
		return -EEXIST;
	if (!on && !ours)
		return -ENOENT;
	return set_filter(fd, code, n, on);
}

/* A filter sees the segment from the TCP header on: the flags are its 14th byte
   (RFC 9293, section 3.1). */
int
socket_ignore_syns(int fd, bool on)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),	/* SYN, ACK */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};

	return ignore_by(fd, code, sizeof(code) / sizeof(*code), on);
}

int
socket_ignore_segments(int fd, bool on)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_RET | BPF_K, 0),
	};

	return ignore_by(fd, code, 1, on);
}

static int
demand_signature(int fd, struct tcp_md5sig *sig, bool on)
{
	sig->tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;	/* of length 0: all */
	sig->tcpm_keylen = on ? sizeof(sig->tcpm_key) : 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, sig,
	    sizeof(*sig)) < 0 ? -errno : 0;
}

/* RFC 2385: what is not signed is dropped before it is looked at. */
int
socket_ignore_all(int fd, bool on)
{
	struct tcp_md5sig sig = { .tcpm_keylen = 0 };
	union sockaddr_inet *peers = (union sockaddr_inet *)&sig.tcpm_addr;
	socklen_t len = sizeof(sig.tcpm_addr);
	int code;

	if (getsockname(fd, &peers->sa, &len) < 0)
		return -errno;
	if (peers->sa.sa_family == AF_INET) {
		peers->in.sin_addr.s_addr = htonl(INADDR_ANY);
		return demand_signature(fd, &sig, on);
	}
	peers->in6.sin6_addr = in6addr_any;
	code = demand_signature(fd, &sig, on);
	if (code < 0)
		return code;
	/* IPv4 has keys of its own. */
	memset(&peers->in6.sin6_addr.s6_addr[10], 0xff, 2);
	code = demand_signature(fd, &sig, on);
	if (code == 0 || !on)
		return code;
	peers->in6.sin6_addr = in6addr_any;
	(void)demand_signature(fd, &sig, false);
	return code;
}

/* By which ours is known; what follows it is never run. */
#define MARK 0x636c7564
#define MARK_LENGTH 2

static const struct sock_filter ignoring[MARK_LENGTH] = {
	BPF_STMT(BPF_LD | BPF_IMM, MARK),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

/* The filter that it has, behind room for ours: the caller frees. -errno; -EACCES:
   an extended one. */
static int
get_filter(int fd, struct sock_filter **ret_code, size_t *ret_n)
{
	struct sock_filter *code;
	socklen_t n = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0)
		return -errno;
	code = calloc(n + MARK_LENGTH, sizeof(*code));
	if (code == NULL)
		return -ENOMEM;
	if (n > 0 && getsockopt(fd, SOL_SOCKET, SO_GET_FILTER,
	    code + MARK_LENGTH, &n) < 0) {
		int result = -errno;

		free(code);
		return result;
	}
	*ret_code = code;
	*ret_n = n;
	return 0;
}

/* The server's own is kept behind ours meanwhile. */
int
socket_ignore_datagrams(int fd, bool on)
{
	struct sock_filter *code = NULL, *own;
	size_t n = 0;
	int result = get_filter(fd, &code, &n);
	bool ours;

	if (result < 0)
		return result;
	own = code + MARK_LENGTH;
	ours = n >= MARK_LENGTH &&
	    memcmp(own, ignoring, sizeof(ignoring)) == 0;
	memcpy(code, ignoring, sizeof(ignoring));
	if (on && !ours)
		result = set_filter(fd, code, n + MARK_LENGTH, true);
	else if (!on && ours)
		result = set_filter(fd, own + MARK_LENGTH, n - MARK_LENGTH,
		    n > MARK_LENGTH);
	free(code);
	return result;
}
