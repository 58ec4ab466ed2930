#include <sys/socket.h>

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "web/http.h"
#include "web/pages.h"

#define BLOCK_BYTES	(16 * 1024)

struct page_message {
	unsigned refs;
	size_t len;
	char text[];
};

static void
drop(struct page_message *m)
{
	if (--m->refs == 0)
		free(m);
}

/* "event: NAME\ndata: {}\n\n" */
static struct page_message *
make_message(const char *event, const struct strbuf *data)
{
	struct strbuf sb = STRBUF_INIT;
	struct page_message *m;

	strbuf_printf(&sb, "event: %s\ndata: ", event);
	strbuf_add(&sb, data->text, data->len);
	strbuf_puts(&sb, "\n\n");
	m = sb.failed || data->failed ? NULL : malloc(sizeof(*m) + sb.len);
	if (m != NULL) {
		m->refs = 1;
		m->len = sb.len;
		memcpy(m->text, sb.text, sb.len);
	}
	strbuf_free(&sb);
	return m;
}

static void
wake(struct page *page)
{
	if (!page->suspended)
		return;
	page->suspended = false;
	http_resume(page->connection);
}

/* Without a message that it should have had, it is better begun anew. */
static void
cut(struct page *page)
{
	page->over = true;
	(void)shutdown(page->fd, SHUT_RDWR);
	wake(page);
}

static void
push(struct page *page, struct page_message *m)
{
	if (page->over)
		return;
	if (m == NULL || page->n == PAGE_QUEUE ||
	    (page->n > 0 && page->bytes + m->len > PAGE_BYTES_MAX)) {
		cut(page);
		return;
	}
	m->refs++;
	page->queue[(page->first + page->n++) % PAGE_QUEUE] = m;
	page->bytes += m->len;
	wake(page);
}

/* ---- the stream ---- */

static ssize_t
read_more(void *ctx, uint64_t pos, char *buffer, size_t max)
{
	struct page *page = ctx;
	size_t done = 0;

	(void)pos;
	while (page->n > 0 && done < max) {
		struct page_message *m = page->queue[page->first];
		size_t len = m->len - page->sent;

		if (len > max - done)
			len = max - done;
		memcpy(buffer + done, m->text + page->sent, len);
		done += len;
		page->sent += len;
		if (page->sent < m->len)
			break;
		page->first = (page->first + 1) % PAGE_QUEUE;
		page->n--;
		page->sent = 0;
		page->bytes -= m->len;
		drop(m);
	}
	if (done > 0)
		return (ssize_t)done;
	if (page->over)
		return MHD_CONTENT_READER_END_OF_STREAM;
	/* Asked again at once, and again, it would be otherwise. */
	page->suspended = true;
	MHD_suspend_connection(page->connection);
	return 0;
}

static void
page_free(void *ctx)
{
	struct page *page = ctx;
	struct pages *pages = page->pages;

	for (; page->n > 0; page->n--) {
		drop(page->queue[page->first]);
		page->first = (page->first + 1) % PAGE_QUEUE;
	}
	if (page->connection != NULL) {
		TAILQ_REMOVE(&pages->list, page, entry);
		pages->n--;
		pages->n_logs -= page->logs;
		pages->changed(pages->ctx);
	}
	free(page);
}

void
pages_init(struct pages *pages, void (*changed)(void *ctx), void *ctx)
{
	*pages = (struct pages){ .changed = changed, .ctx = ctx };
	TAILQ_INIT(&pages->list);
}

struct MHD_Response *
pages_new(struct pages *pages, struct MHD_Connection *connection, bool logs,
    struct page **ret_page)
{
	struct page *page = calloc(1, sizeof(*page));
	struct MHD_Response *response;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
	    connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (page == NULL || info == NULL) {
		free(page);
		return NULL;
	}
	*page = (struct page){
		.pages = pages, .fd = info->connect_fd, .logs = logs,
		.fresh = true, .over = pages->ending,
	};
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
	    BLOCK_BYTES, read_more, page, page_free);
	if (response == NULL) {
		free(page);
		return NULL;
	}
	/* It is in the list when pages_came() has put it there. */
	*ret_page = page;
	return response;
}

void
pages_came(struct pages *pages, struct page *page,
    struct MHD_Connection *connection)
{
	page->connection = connection;
	TAILQ_INSERT_TAIL(&pages->list, page, entry);
	pages->n++;
	pages->n_logs += page->logs;
	pages->changed(pages->ctx);
}

/* ---- telling ---- */

void
pages_tell(struct pages *pages, struct page *page, bool logs,
    const char *event, const struct strbuf *data)
{
	struct page_message *m = make_message(event, data);
	struct page *p;

	if (page != NULL) {
		push(page, m);
	} else {
		TAILQ_FOREACH(p, &pages->list, entry)
			if (!p->fresh && (p->logs || !logs))
				push(p, m);
	}
	if (m != NULL)
		drop(m);
}

void
pages_end(struct pages *pages)
{
	struct page *page;

	pages->ending = true;
	TAILQ_FOREACH(page, &pages->list, entry) {
		page->over = true;
		wake(page);
	}
}
