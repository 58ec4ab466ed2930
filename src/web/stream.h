/* An answer of clusterd's, line by line as it comes. */
#ifndef WEB_STREAM_H
#define WEB_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "linux/loop/loop.h"
#include "web/asker.h"

struct answer_line;
struct request;

struct stream;

struct stream_events {
	/* A record or progress. */
	void (*line)(void *ctx, const struct answer_line *line);
	/* It is over, and may be opened again. 0: it was carried out, with these
	   last words; -EREMOTEIO: clusterd refuses; -EACCES: the token is wrong;
	   -errno; and why. */
	void (*end)(void *ctx, int code, const char *words);
};

/* All of it is written here. */
struct stream {
	struct asker *asker;
	const struct stream_events *events;
	void *ctx;
	struct asking asking;
	int fd;
	loop_handle handle;
	char *buffer;			/* ANSWER_LINE_MAX bytes */
	size_t n;
	bool paused;
};

void stream_init(struct stream *stream, struct asker *asker,
    const struct stream_events *events, void *ctx);

/* Ask; `end` is called later, unless it is closed before. `token` may be NULL. -errno:
   it could not be asked, and nothing is called. */
int stream_open(struct stream *stream, const struct request *request,
    const char *token);
void stream_close(struct stream *stream);
bool stream_is_open(const struct stream *stream);

/* While it is paused, nothing is read. */
void stream_pause(struct stream *stream, bool pause);

#endif
