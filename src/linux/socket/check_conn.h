/*
 * A connection of clusterd's own to a listener, to see whether it is served:
 * nothing here waits. Bound first, so that who chooses can be told from where it
 * will come; then it connects, asks, and reads the head of an answer.
 */
#ifndef LINUX_SOCKET_CHECK_CONN_H
#define LINUX_SOCKET_CHECK_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/health/http_reply.h"
#include "core/sockets/check_source.h"

struct address;
struct error;
struct sockdiag_ends;

enum check_stage {
	CHECK_UNBOUND,
	CHECK_BOUND,
	CHECK_CONNECTING,
	CHECK_CONNECTED,	/* nothing is to be asked; it may still wait in
				   the server's queue */
	CHECK_ASKING,
	CHECK_READING,
	CHECK_ANSWERED,		/* `reply` has the status */
	CHECK_FAILED,		/* `code` or `reply` says why */
};

struct check_conn {
	int fd;
	enum check_stage stage;
	struct check_source source;	/* TCP */
	const char *request;	/* borrowed; NULL: none */
	size_t len;
	size_t sent;
	struct http_reply reply;
	int code;		/* -errno; -ENODATA: the server has closed it
				   before the end of the headers */
	bool eof;		/* the server has nothing more to say */
	size_t rest;		/* bytes behind the headers that were read */
};

#define CHECK_CONN_INIT { .fd = -1 }

/* Bind a socket to the listener's own address, or, where that is every address,
   to this machine's: from there nobody else comes. -errno with words. */
int check_conn_bind(struct check_conn *conn, const struct address *to,
    struct error *err);

/* Connect to it, and ask what `request` says, which must outlive the connection.
   What comes of it tells `stage`, now or after check_conn_step(). */
void check_conn_begin(struct check_conn *conn, const struct address *to,
    const char *request);

/* The descriptor is ready. */
void check_conn_step(struct check_conn *conn);

/* What to wait for, as epoll_ctl(2) has it. */
uint32_t check_conn_events(const struct check_conn *conn);

/* Its two ends, as the server sees them. TCP; -errno. */
int check_conn_ends(const struct check_conn *conn,
    struct sockdiag_ends *ret_ends);

/* Read what is behind the headers, as far as it has come, so that the server's end
   comes first. False: there is no use in waiting for more. */
bool check_conn_finish(struct check_conn *conn);

/* Also of one that was never bound. Leaves no TIME_WAIT of ours. */
void check_conn_close(struct check_conn *conn);

#endif
