/* One request and its answer. */
#ifndef LINUX_CLIENT_CLIENT_TALK_H
#define LINUX_CLIENT_CLIENT_TALK_H

#include <stdint.h>

#include "base/mono.h"

struct control_link;
struct answer_line;
struct request;
struct error;

/* What else may come while an answer is waited for. */
struct client_other {
	int fd;
	int (*fn)(void *ctx);	/* it can be read; other than 0: enough */
	void *ctx;
};

struct client_talk {
	/* Every record and progress line; other than 0: enough. */
	int (*line)(void *ctx, const struct answer_line *line);
	/* Nothing more is there yet: a time to draw and to flush. May be NULL.
	   Other than 0: enough. It is called again after wake_ms. */
	int (*idle)(void *ctx);
	void *ctx;
	struct mono deadline;	/* of the whole */
	int64_t stall_ms;	/* 0: may take its time between two lines */
	int64_t wake_ms;	/* 0: idle is called once */
	const struct client_other *other;	/* NULL: none */
};

/* How long a server may be silent that has only to tell. */
#define CLIENT_STALL_MS	10000

/*
 * Ask, and hand the answer on until its end. 0, and the server's last words in
 * *ret_text (the caller frees; NULL is possible). With words: -EREMOTEIO, the
 * server refuses, these are its words; -EINVAL, it calls the request wrong;
 * -ECONNRESET, it has gone; -ETIME, it is silent; -errno. Without: -ETIMEDOUT,
 * the deadline; -ECANCELED, a callback had enough.
 */
int client_talk(struct control_link *client,
    const struct request *request, const struct client_talk *talk,
    char **ret_text, struct error *err);

#endif
