/*
 * The control socket: clients, their requests and answers. The protocol is in
 * clusterd-control(7), its grammar in core/control. The lowest first, and none
 * knows those after it:
 *
 *   control_setup     what the room is given
 *   control_op        a request that is carried out, and the verbs' table
 *   control_door      the socket that clients come by
 *   control_client    a client, its bytes and its answer
 *   control_talk      its turn: requests, portions of answers
 *   control_places    who comes in, and who has to give way
 *   control_record    what an app and a worker are told as
 *   control_progress  what happens meanwhile
 *   control_goal      what a request waits for
 *   control_order     reload, restart, scale, stop, start, wait: the beginning
 *   control_signal    signal
 *   control_status    status
 *   control_logs      logs and follow
 *   control_events    what has happened
 *   control_watch     events and watch
 *   control           all of it: the verbs, start and end, what others tell
 *
 * A client may be slow, stall, vanish or send garbage: what it has not read yet
 * is bounded, an answer that is long is made in portions, when there is room
 * for one, and all portions of one turn together take a few milliseconds.
 */
#ifndef DAEMON_CONTROL_CONTROL_H
#define DAEMON_CONTROL_CONTROL_H

#include <stdbool.h>

#include "daemon/control/control_client.h"
#include "daemon/control/control_door.h"
#include "daemon/control/control_events.h"
#include "daemon/control/control_setup.h"

struct error;
struct reload_result;
struct worker;
struct worker_step;

/* Nobody but the room looks into it. All zeros, it can be closed. */
struct control {
	struct control_setup setup;
	struct control_door door;
	struct control_clients clients;
	struct control_events events;
};

/* What it is given stays the caller's, who keeps it until control_close(). */
void control_init(struct control *control, const struct control_setup *setup);

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

/* The program that was to take over does not. */
void control_upgrade_failed(struct control *control, const char *words);

/* News, for those whose request it concerns: struct apps_watch, struct
   reload_watch, and struct outputs' `told`. */
void control_worker_stepped(void *control, const struct worker *worker,
    const struct worker_step *step);
void control_worker_died(void *control, const struct worker *worker,
    const struct worker_step *step, const char *words);
void control_worker_health(void *control, const struct worker *worker,
    bool unwell, const char *words);
void control_app_news(void *control, const struct app *app,
    enum event_kind kind, const char *words);
void control_reload_refused(void *control, const char *words, bool final);
void control_reload_refused_app(void *control, const char *app,
    const char *words);
void control_reload_applying(void *control);
void control_reload_applied(void *control,
    const struct reload_result *result);
void control_lines_came(void *control);

#endif
