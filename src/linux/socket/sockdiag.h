/*
 * What the kernel knows of sockets, asked through sock_diag(7): no privilege is
 * needed for that, and no descriptor of theirs.
 *
 * The kernel makes each part of an answer while we read it, in steps with a time
 * budget each: 100,000 connections are no long turn. One question at a time.
 *
 * Before Linux 6.9 all questions wait for each other, whoever asks (a mutex,
 * sock_diag_rcv() in net/core/sock_diag.c), and some wait for the locks of
 * sockets, which whoever has these may keep for ever: what must not be held up
 * asks by linux/process/looker, as connections.h and lane_queue.h do.
 *
 * Errors that mean "ask in another way": -ENOENT (a kernel without tcp_diag or
 * unix_diag, or a module that is not loaded and that we may not load), -EPERM,
 * -EACCES, -EPROTONOSUPPORT (a sandbox). -EAGAIN, -ENOBUFS and -ENOMEM end this
 * answer; the same question may be asked again.
 */
#ifndef LINUX_SOCKET_SOCKDIAG_H
#define LINUX_SOCKET_SOCKDIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nlmsghdr;

struct sockdiag {
	int fd;
	uint32_t seq;		/* of the question under way */
	bool asked;		/* an answer has not been read to its end */
	char *buf;
};

#define SOCKDIAG_INIT { .fd = -1 }

/* 0 or -errno. Of an unused one, or of one that is open (nothing is done). */
int sockdiag_open(struct sockdiag *d);
void sockdiag_close(struct sockdiag *d);

/* A connection, as the kernel finds it again; struct inet_diag_sockid. */
struct sockdiag_id {
	int family;
	unsigned char bytes[48];
};

/* A connection of a local TCP port. */
struct sockdiag_tcp {
	struct sockdiag_id id;
	int family;		/* AF_INET6 also for IPv4 on a dual-stack
				   listener (::ffff:192.0.2.1) */
	int state;		/* TCP_ESTABLISHED …; TCP_SYN_RECV: half-open,
				   with `age_ms` and neither queues nor info */
	uint8_t local[16];	/* network order; of IPv4 the first four */
	uint8_t peer[16];
	uint16_t local_port;
	uint16_t peer_port;
	uint64_t ino;		/* 0: in an accept queue, or closed by the
				   server and not yet by the kernel */
	uint32_t unread;	/* bytes; a FIN is not counted */
	uint32_t unacked;	/* bytes sent or to be sent; a FIN is not */
	uint32_t age_ms;	/* of a half-open one: at least */

	/* From here on with `info` only. Times are how long ago, in steps of
	   the kernel's tick (1 to 10 ms), since the handshake where never. */
	bool info;
	uint32_t sent_ms;	/* data was sent (again) */
	uint32_t received_ms;	/* data came */
	uint32_t acked_ms;	/* any acknowledgement came, keep-alive's too */
	uint32_t rtt_us;	/* smoothed; of what the server sends */
	uint32_t segs_sent;	/* with data, again ones too */
	uint32_t segs_received;
	uint64_t bytes_sent;
	uint64_t bytes_received;
};

/*
 * Ask for the connections of a port, half-open ones too, without `info`;
 * listening sockets and TIME_WAIT are left out, by the kernel. AF_INET or
 * AF_INET6 as the listener's. 0 or -errno.
 */
int sockdiag_tcp_ask(struct sockdiag *d, int family, uint16_t port);

/*
 * Read on for about `budget_ms` (0: one part of some 80 connections); the walk
 * past other ports' sockets goes on in between at the kernel's pace. 1: there is
 * more; 0: that was all; -errno: the answer ends here and is not complete.
 */
int sockdiag_tcp_read(struct sockdiag *d, int64_t budget_ms,
    void (*fn)(void *ctx, const struct sockdiag_tcp *conn), void *ctx);

/*
 * The one connection between these ends, `local` being the server's; the family
 * is that of the packets. 0 or -errno; -ENOENT: there is none, or nobody can tell.
 */
struct sockdiag_ends {
	int family;
	uint8_t local[16];
	uint8_t peer[16];
	uint16_t local_port;
	uint16_t peer_port;
};

int sockdiag_tcp_one(struct sockdiag *d, const struct sockdiag_ends *ends,
    struct sockdiag_tcp *ret_conn);

/*
 * One of those that were asked for, with `info`: for that the kernel waits for the connection's lock
 * (tcp_get_info()), which its server has while it sends, for as long as the page
 * that it sends from takes. 0; -ENOENT or -ESTALE: it is closed; -errno.
 */
int sockdiag_tcp_info(struct sockdiag *d, const struct sockdiag_id *id,
    struct sockdiag_tcp *ret_conn);

/* A Unix stream socket. */
struct sockdiag_unix {
	int state;		/* TCP_LISTEN, TCP_ESTABLISHED, … */
	uint64_t ino;
	uint64_t peer;		/* the other end's, 0: gone or unknown */
	bool bound;		/* to a path; the next two are of its file, cut
				   to 32 bits. What a listener accepts has
				   its. */
	uint32_t file_dev;
	uint32_t file_ino;
	uint32_t queue;		/* of a listener: connections in its queue;
				   else bytes that are not read */
	uint32_t queue_max;	/* of a listener: its backlog; else bytes that
				   the other end has not read */
};

/* One socket by its inode. 0 or -errno; -ENOENT: there is none. */
int sockdiag_unix_one(struct sockdiag *d, uint64_t ino,
    struct sockdiag_unix *ret_socket);

/* All that are open, in the way of TCP; not those in an accept queue. The kernel
   cannot pick by listener: compare file_dev and file_ino. */
int sockdiag_unix_ask(struct sockdiag *d);
int sockdiag_unix_read(struct sockdiag *d, int64_t budget_ms,
    void (*fn)(void *ctx, const struct sockdiag_unix *socket), void *ctx);

/* For sockdiag_*.c: send a request; read its answer message by message. */
int sockdiag_ask(struct sockdiag *d, const void *request, size_t len,
    bool dump);
int sockdiag_read(struct sockdiag *d, int64_t budget_ms,
    void (*fn)(void *ctx, const struct nlmsghdr *message), void *ctx);

#endif
