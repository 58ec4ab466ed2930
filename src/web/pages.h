/*
 * Pages that are open: streams of server-sent events. A message is made once, and
 * shared by all whom it goes to; who does not read is cut off, and comes back.
 */
#ifndef WEB_PAGES_H
#define WEB_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct MHD_Connection;
struct MHD_Response;
struct strbuf;

#define PAGES_MAX	64

/* What waits for one of them: bytes, and messages. */
#define PAGE_BYTES_MAX	(2 * 1024 * 1024)
#define PAGE_QUEUE	128

struct page_message;

/* All of it but `fresh` is written here. */
struct page {
	TAILQ_ENTRY(page) entry;
	struct pages *pages;
	struct MHD_Connection *connection;
	int fd;
	struct page_message *queue[PAGE_QUEUE];
	size_t first, n;	/* of them */
	size_t sent;		/* of the first */
	size_t bytes;		/* in all */
	bool suspended;
	bool over;		/* its end comes behind what is there */
	bool logs;		/* it wants output */
	bool fresh;		/* it has not had the whole state yet: feed's */
};

struct pages {
	TAILQ_HEAD(, page) list;
	unsigned n;
	unsigned n_logs;
	bool ending;		/* new ones are over at once */
	void (*changed)(void *ctx);	/* one has come or gone */
	void *ctx;
};

void pages_init(struct pages *pages, void (*changed)(void *ctx), void *ctx);

/* The body of an answer to `connection`, for a page that wants output too if
   `logs`. NULL: no memory. It must be queued, or destroyed. `changed` is called by
   pages_came(), when it is, and as it goes. */
struct MHD_Response *pages_new(struct pages *pages,
    struct MHD_Connection *connection, bool logs, struct page **ret_page);
void pages_came(struct pages *pages, struct page *page,
    struct MHD_Connection *connection);

/*
 * Tell one, or all (NULL; of those the ones that are not fresh, and want output if
 * `logs`): an event of that name, its data one line of JSON.
 */
void pages_tell(struct pages *pages, struct page *page, bool logs,
    const char *event, const struct strbuf *data);

/* Every stream ends, so that each page comes again to whoever serves then. */
void pages_end(struct pages *pages);

#endif
