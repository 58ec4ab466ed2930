#include "core/health/http_reply.h"

/* "HTTP/1.N ", by position; N is any digit. */
static const char begins[] = "HTTP/1.# ";

#define BEGINS_LEN (sizeof(begins) - 1)

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A byte of the status line. */
static enum http_reply_news
feed_status(struct http_reply *r, char c)
{
	size_t at = r->line++;

	if (at < BEGINS_LEN)
		return (begins[at] == '#' ? is_digit(c) : c == begins[at]) ?
		    HTTP_REPLY_MORE : HTTP_REPLY_GARBAGE;
	if (at < BEGINS_LEN + 3) {
		if (!is_digit(c) || (at == BEGINS_LEN && c == '0'))
			return HTTP_REPLY_GARBAGE;
		r->status = r->status * 10 + (unsigned)(c - '0');
		return HTTP_REPLY_MORE;
	}
	if (at == BEGINS_LEN + 3 && c != ' ' && c != '\r' && c != '\n')
		return HTTP_REPLY_GARBAGE;
	if (c == '\n') {
		r->in_headers = true;
		r->line = 0;
	}
	return at < HTTP_REPLY_LINE_MAX ? HTTP_REPLY_MORE :
	    HTTP_REPLY_GARBAGE;
}

/* That was one of those before the answer: 100 Continue, 103 Early Hints. */
static enum http_reply_news
end_head(struct http_reply *r)
{
	if (r->status >= 200 || r->status == 101)
		return HTTP_REPLY_DONE;
	r->status = 0;
	r->in_headers = false;
	return HTTP_REPLY_MORE;
}

/* A byte of a header: an empty line is their end. `line` counts what is no end
   of a line. */
static enum http_reply_news
feed_header(struct http_reply *r, char c)
{
	if (c == '\n' && r->line == 0)
		return end_head(r);
	if (c == '\n')
		r->line = 0;
	else if (c != '\r')
		r->line++;
	return HTTP_REPLY_MORE;
}

enum http_reply_news
http_reply_feed(struct http_reply *r, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n && r->news == HTTP_REPLY_MORE; i++) {
		if (++r->n > HTTP_REPLY_HEAD_MAX)
			r->news = HTTP_REPLY_TOO_LONG;
		else if (r->in_headers)
			r->news = feed_header(r, bytes[i]);
		else
			r->news = feed_status(r, bytes[i]);
	}
	return r->news;
}
