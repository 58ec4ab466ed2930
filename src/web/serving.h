/* What all who serve a request need. */
#ifndef WEB_SERVING_H
#define WEB_SERVING_H

#include <stdbool.h>
#include <sys/queue.h>

struct asker;
struct exchange;
struct feed;
struct loop;
struct sampler;

/* Whoever starts it fills it in; the exchanges are exchange.c's. */
struct serving {
	struct loop *loop;
	struct asker *asker;
	struct sampler *sampler;
	struct feed *feed;
	char *const *hosts;	/* names for Host, beside addresses; NULL: none */
	bool actions;		/* with the token */
	bool ending;		/* answers ask clients to come anew */
	TAILQ_HEAD(, exchange) exchanges;
	unsigned n_actions;
};

#endif
