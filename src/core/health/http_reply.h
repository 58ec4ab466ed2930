/*
 * What is read of the answer to a check: whether it is HTTP, and which status it
 * has. Its headers are read to their end, because a server that never ends them
 * is not well; what is in them is not looked at. Pure.
 */
#ifndef CORE_HEALTH_HTTP_REPLY_H
#define CORE_HEALTH_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a status line, and of all headers. */
#define HTTP_REPLY_LINE_MAX	1024
#define HTTP_REPLY_HEAD_MAX	(64 * 1024)

enum http_reply_news {
	HTTP_REPLY_MORE,	/* the end of the headers is yet to come */
	HTTP_REPLY_DONE,	/* they have ended: `status` */
	HTTP_REPLY_GARBAGE,	/* it is no HTTP/1 */
	HTTP_REPLY_TOO_LONG,	/* there is no end of the headers */
};

struct http_reply {
	enum http_reply_news news;
	unsigned status;	/* 100 to 999, once its line was read; else 0 */
	size_t n;		/* bytes of the head so far */
	size_t line;		/* … of its present line */
	bool in_headers;	/* the status line is behind it */
};

#define HTTP_REPLY_INIT { .news = HTTP_REPLY_MORE }	/* zero */

/* The next bytes that have come. What is beyond the headers is not looked at; an
   answer of 1xx is not the last one. */
enum http_reply_news http_reply_feed(struct http_reply *reply,
    const char *bytes, size_t n);

#endif
