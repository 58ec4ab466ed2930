/* A request and its answer. */
#ifndef WEB_EXCHANGE_H
#define WEB_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/str.h"
#include "core/status/metrics_text.h"
#include "core/web/web_action.h"
#include "linux/loop/loop.h"
#include "web/sampler.h"
#include "web/stream.h"

/* Its name is another one in each version of the library. */
#define EXCHANGE_TOO_LARGE 413

struct MHD_Connection;
struct MHD_Response;
struct serving;
struct route;

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	struct serving *serving;
	struct MHD_Connection *connection;
	const struct route *route;
	char body[WEB_ACTION_MAX];
	size_t n_body;
	bool begun;
	bool suspended;		/* an answer is waited for */

	/* The answer. */
	unsigned status;	/* 0: it is not there yet */
	const char *type;
	const char *allow;	/* NULL: none */
	struct strbuf text;
	struct MHD_Response *response;	/* in the place of the text */
	bool closes;		/* the connection, behind it */

	/* What some of them need. */
	struct sampler_wait wait;
	struct stream stream;
	struct loop_timer timer;
	enum metrics_format format;
	const char *app;
	unsigned min;
	bool acts;
};

struct exchange *exchange_new(struct serving *serving,
    struct MHD_Connection *connection);
void exchange_free(struct exchange *e);

/* The answer is there: `text` has it, or words here with a newline. */
void exchange_finish(struct exchange *e, unsigned status, const char *type);
void exchange_say(struct exchange *e, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Wait for it, unless it is there. */
void exchange_wait(struct exchange *e);

/* Send it. 0, or -1: it cannot be. */
int exchange_send(struct exchange *e);

const char *exchange_header(const struct exchange *e, const char *name);
const char *exchange_argument(const struct exchange *e, const char *name);

/* How many headers of that name there are. */
unsigned exchange_count(const struct exchange *e, const char *name);

#endif
