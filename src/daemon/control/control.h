/*
 * The control socket: clients, their requests and answers. The protocol is in
 * clusterd-control(7), its grammar in core/control.
 *
 *   control.c         the socket, the clients, their bytes
 *   control_op.c      what a request does, and when it is done
 *   control_status.c  the records of status
 *   control_logs.c    the last lines of workers' output, and further ones
 *
 * A client may be slow, stall, vanish or send garbage: what it has not read yet
 * is bounded, an answer that is long is made in portions, when there is room
 * for one, and all portions of one turn together take a few milliseconds.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/mono.h"
#include "base/str.h"
#include "core/control/answer.h"
#include "core/control/request.h"
#include "linux/control/control_socket.h"
#include "linux/loop/loop.h"

struct app;
struct error;
struct apps;
struct listeners;
struct outputs;
struct reloads;
struct worker;
struct worker_step;

#define CONTROL_CLIENTS_MAX	256

/* What has not been read: with more, no portion is made and no progress told;
   … */
#define CONTROL_OUT_ENOUGH	(32 * 1024)
/* … and with this, not even why a file is refused. What is told at once may
   come on top: a line, an app with its listeners. */
#define CONTROL_OUT_MAX		(64 * 1024)

struct control_client;
struct log_readers;

/* Where the records of status have come to. */
struct control_cursor {
	enum {
		CONTROL_AT_CLUSTERD,
		CONTROL_AT_APP,
		CONTROL_AT_SEATS,
		CONTROL_AT_RETIRING,
		CONTROL_AT_STOPPED,
	} at;
	uint64_t app;		/* by its number */
	unsigned seat;		/* … or stopped app */
	uint64_t worker;	/* the latest that was told, by its number */
};

/* A request that is being carried out. */
struct control_op {
	struct request request;
	/* Makes a portion of the answer; false: there is no more, and the
	   answer is ended. NULL: the answer comes when it is done. */
	bool (*more)(struct control_client *);
	/* At the end of a turn in which something changed; ends the answer
	   when it is done. NULL: as above. */
	void (*check)(struct control_client *);
	bool waits;		/* there is no portion until more lines come */
	struct control_cursor cursor;
	struct log_readers *readers;
	unsigned floor;		/* scale, start: instances from here on are
				   the request's concern */
	bool reading;		/* reload: it is not in force yet */
	uint64_t reload; /* the number of the reload that was asked for */
};

struct control_client {
	TAILQ_ENTRY(control_client) entry;
	struct control *control;
	int fd;
	loop_handle handle;
	uint32_t events;
	pid_t pid;
	char in[REQUEST_MAX];
	size_t n_in;
	struct strbuf out;
	size_t sent;		/* of `out` */
	bool incomplete;	/* something was not put into it: no memory */
	struct mono share;	/* portions are made until then; of a turn */
	struct mono moved;	/* when bytes last went or came */
	struct control_op op;
	bool busy;		/* with op */
	bool eof;		/* it sends nothing more */
	bool leaving;		/* gone when `out` is sent */
};

struct control {
	struct loop *loop;
	struct apps *apps;
	struct reloads *reloads;
	struct listeners *listeners;
	struct outputs *outputs;
	void (*stop)(void *ctx);	/* the program, as SIGTERM does */
	void *stop_ctx;
	pid_t pid;
	struct mono started;
	bool starting;			/* until every app was ready once */
	bool failed;			/* the program has */
	struct control_socket socket;
	loop_handle handle;
	uint32_t gid;		/* whose members may; (uint32_t)-1 */
	TAILQ_HEAD(, control_client) clients;
	unsigned n_clients;
	bool paused;		/* no room for another client */
	struct loop_timer again;	/* looks for room */
};

/*
 * Make the socket that the configuration asks for. -errno with words: it asked
 * for one that cannot be had, or another clusterd has it; where none was asked
 * for (auto), other failures are logged only.
 */
int control_open(struct control *control, struct error *err);

/* See that its file is there: whoever cleans up may have removed it. Failure is
   logged. */
void control_restore(struct control *control);

/* The program ends: answer those who wait for that, and go. */
void control_close(struct control *control);

/* At the end of a turn: what is carried out may be done. */
void control_turn(struct control *control);

/* News, for those whose request it concerns: */
void control_worker_stepped(void *control, const struct worker *worker,
    const struct worker_step *step);
void control_worker_died(void *control, const struct worker *worker,
    const struct worker_step *step, const char *words);
void control_reload_refused(void *control, const char *words,
    bool final);

/* ---- for its parts ---- */

/* Carry on with what the client has asked for; it may be freed. */
void control_go_on(struct control_client *c);

/* The last line of the answer: it is complete. */
void control_ok(struct control_client *c, const char *text);
void control_fail(struct control_client *c, const char *why, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

/* control_op.c: begin to carry out c->op.request; the answer may be complete
   when it returns. */
void control_op_begin(struct control_client *c);

/* control_status.c */
bool control_status_more(struct control_client *c);

/* control_logs.c; _told is struct outputs' */
bool control_logs_more(struct control_client *c);
void control_logs_told(void *control);
void control_logs_free(struct control_op *op);

/* What an app and a worker have in common as records and as progress. */
void control_put_app(struct strbuf *sb, const struct app *app);
void control_put_worker(struct strbuf *sb, const struct worker *worker);

#endif
