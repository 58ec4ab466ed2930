/* How the serving half gets a connection to clusterd: it asks the other one. */
#ifndef WEB_ASKER_H
#define WEB_ASKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "linux/loop/loop.h"

struct request;

/* With the connection, which is the callee's from then on; or fd -1, and why: a
   -errno and words. */
typedef void asker_fn(void *ctx, int fd, int code, const char *words);

/* A place for one question; the asker writes it. */
struct asking {
	TAILQ_ENTRY(asking) entry;
	asker_fn *fn;
	void *ctx;
	uint32_t number;
	bool busy;
};

struct asker {
	struct loop *loop;
	int fd;
	loop_handle handle;
	TAILQ_HEAD(, asking) list;	/* not answered yet */
	uint32_t number;
	void (*gone)(void *ctx);	/* the other half is */
	void *ctx;
};

/* Takes the descriptor, non-blocking. -ENOMEM. */
int asker_init(struct asker *asker, struct loop *loop, int fd,
    void (*gone)(void *ctx), void *ctx);
void asker_fini(struct asker *asker);

/*
 * Ask; `asking` is not busy, and has to stay until it is answered or forgotten.
 * `token` may be NULL. -errno: it could not be asked, and fn is not called: -EAGAIN,
 * too many questions wait.
 */
int asker_ask(struct asker *asker, const struct request *request,
    const char *token, struct asking *asking, asker_fn *fn, void *ctx);

/* What comes for it is closed. */
void asker_forget(struct asker *asker, struct asking *asking);

#endif
