#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/notify_message.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "daemon/watch/notify.h"
#include "linux/child/notify_socket.h"
#include "linux/control/control_place.h"
#include "linux/process/helper.h"
#include "linux/process/process.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"

/* What a worker may say in a second and be heard at once, and how much of that
   all together in a turn. Beyond that, and while strangers write to its socket,
   it takes its place in a queue, of which all get the same: its own sends block
   then (unix(7)), ours do not. */
#define AT_ONCE_PER_SECOND	10
#define AT_ONCE_PER_TURN	32
#define QUEUE_MS		10
#define QUEUE_PORTION		10	/* in so many milliseconds */

/* Descriptors are left to a helper, which ends when they are closed. */
#define HELPERS_PER_TURN	2
#define HELPER_MS		100
#define KILLED_MAX		6

/* Where no directory can be had, how often one is looked for. */
#define NO_DIR_MS		60000

#define LAST_WORDS_MAX		32
#define ANCESTORS_MAX		32

/* Each takes a read of /proc: so many in a turn, of all senders, and no stranger
   is looked at twice in a second. */
#define ANCESTORS_PER_TURN	64
#define STRANGER_MS		1000

struct notify {
	struct notify_sockets *all;
	struct worker *worker;
	int fd;			/* its sd_notify socket; -1: none */
	uint64_t ino;		/* … and its inode */
	char *name;		/* NULL: it was not asked yet */
	loop_handle handle;	/* with no events while it waits or is helped */
	bool waits;		/* in the queue */
	TAILQ_ENTRY(notify) entry;
	pid_t helper_pid;	/* takes the next datagram out; 0: none */
	int helper;		/* its pidfd; -1: there is none */
	loop_handle helper_handle;
	struct mono helped;	/* since when; MONO_NEVER: it was killed */
	unsigned killed;	/* so many one after another */
	bool heard;		/* the next datagram, which is still there */
	bool warned;		/* about nonsense, once is enough */
	unsigned count;		/* since `since` */
	struct mono since;
	pid_t stranger;		/* who has sent last and is none of its; 0 */
	struct mono stranger_at;
};

static void ready(void *ctx, uint32_t events);

/* ---- the socket ---- */

static void
leave_queue(struct notify *n)
{
	if (n->waits)
		TAILQ_REMOVE(&n->all->queue, n, entry);
	n->waits = false;
}

static void
leave_helper(struct notify *n)
{
	if (n->helper >= 0)
		helper_kill(n->helper);
	loop_del(n->all->loop, &n->helper_handle);
	fd_close(&n->helper);
	n->helper_pid = 0;
}

/* Once, for an abstract name is no path to some who are to send to it. */
static void
tell_abstract(struct notify_sockets *ns, const char *why)
{
	if (ns->told)
		return;
	ns->told = true;
	log_info("NOTIFY_SOCKET is an abstract name, which some programs cannot "
	    "use, for there is no directory for it: %s", why);
}

/* For want of what the next start may have, not of a directory. */
static bool
is_want(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM ||
	    code == -ENOBUFS;
}

static int
open_dir(struct notify_sockets *ns)
{
	struct mono now = mono_now();
	struct error err = ERROR_INIT;
	char *runtime = NULL;
	int code;

	if (ns->dir.fd >= 0)
		return 0;
	if (mono_before(now, ns->dir_again))
		return -ENOENT;
	/* What workers were told is to be there as long as they are. */
	if (control_place_make(false, &runtime, NULL) < 0)
		runtime = NULL;
	code = notify_dir_open(runtime, !ns->swept, &ns->dir, &err);
	if (code < 0 && !is_want(code)) {
		tell_abstract(ns, error_text(&err));
		ns->dir_again = mono_add_ms(now, NO_DIR_MS);
		code = -ENOENT;
	}
	ns->swept |= !is_want(code);
	error_clear(&err);
	free(runtime);
	return code;
}

static int
open_file(struct worker *w)
{
	struct notify *n = w->notify;
	struct notify_sockets *ns = n->all;
	int code = open_dir(ns);

	return code < 0 ? code : notify_socket_open(&ns->dir, w->serial,
	    &w->spec->conf->creds, &n->fd, &n->name);
}

static int
open_socket(struct worker *w)
{
	struct notify_sockets *ns = w->notify->all;
	int code = open_file(w);

	/* Somebody has cleaned up. */
	if (code == -ENOENT && ns->dir.fd >= 0) {
		notify_dir_close(&ns->dir);
		code = open_file(w);
	}
	if (code == 0)
		return 0;
	if (is_want(code))
		worker_log_often(LOG_LEVEL_WARNING, w, "its NOTIFY_SOCKET is "
		    "an abstract name until its next start: %s",
		    strerror(-code));
	else if (code == -EACCES)
		tell_abstract(ns, "a worker's user may not reach it");
	else
		tell_abstract(ns, strerror(-code));
	return notify_socket_open_abstract(&w->notify->fd, &w->notify->name);
}

int
notify_open(struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;
	struct notify *n = w->notify;
	int code;

	if (!conf_app_notifies(conf))
		return 0;
	code = open_socket(w);
	if (code < 0)
		return code;
	code = loop_add(n->all->loop, n->fd, EPOLLIN, false, ready, n,
	    &n->handle);
	if (code < 0)
		notify_close(w);
	n->ino = code == 0 ? socket_inode(n->fd) : 0;
	n->heard = n->warned = false;
	n->count = 0;
	n->stranger = 0;
	return code;
}

/* Of one that was taken over it is asked when somebody wants to know. */
static const char *
name_of(struct notify *n)
{
	if (n->name == NULL && n->fd >= 0)
		(void)notify_socket_name(n->fd, &n->name);
	return n->name;
}

void
notify_close(struct worker *w)
{
	struct notify *n = w->notify;

	leave_queue(n);
	leave_helper(n);
	loop_del(n->all->loop, &n->handle);
	notify_socket_unlink(&n->all->dir, name_of(n));
	socket_close(&n->fd);
	free(n->name);
	n->name = NULL;
}

int
notify_fd(const struct worker *w)
{
	return w->notify->fd;
}

uint64_t
notify_inode(const struct worker *w)
{
	return w->notify->fd >= 0 ? w->notify->ino : 0;
}

static void
unheard(struct worker *w)
{
	worker_log(LOG_LEVEL_WARNING, w, "what it says by sd_notify is not "
	    "heard any more");
	notify_close(w);
}

void
notify_take_over(struct worker *w, int fd, uint64_t ino)
{
	struct notify *n = w->notify;

	n->fd = fd;
	n->ino = ino;
	/* Of one that is not ready, what it has said comes before deadlines and signals. */
	if ((w->fsm.state == WORKER_READY ? loop_add_later : loop_add)(n->all->loop,
	    fd, EPOLLIN, false, ready, n, &n->handle) < 0)
		unheard(w);
}

const struct notify_dir *
notify_place(const struct notify_sockets *ns)
{
	return ns->dir.fd >= 0 ? &ns->dir : NULL;
}

void
notify_take_place(struct notify_sockets *ns, int fd, const char *path)
{
	if (notify_dir_take(&ns->dir, fd, path) == 0)
		ns->swept = true;
}

const char *
notify_name(const struct worker *w)
{
	return name_of(w->notify);
}

/* ---- what is said ---- */

static bool
descends_from(struct notify_sockets *ns, pid_t pid, pid_t ancestor)
{
	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		struct process_stat st;

		if (pid == ancestor)
			return true;
		ns->ancestors++;
		if (!process_stat(pid, &st))
			return false;
		if (st.group == ancestor)
			return true;
		pid = st.parent;
	}
	return false;
}

/*
 * The name of the socket is no secret (/proc/net/unix), and its mode may let
 * everybody send, so the sender must be of the worker's process tree, whatever uid it
 * has taken. One that has died meanwhile could have been anybody: systemd-notify(1)
 * waits for a barrier for that reason, and systemd ignores such messages too. One
 * without a pid is in a pid namespace that is not below ours: no descendant of anybody
 * here.
 */
static bool
sender_is_worker(const struct worker *w, const struct notify_datagram *d)
{
	struct notify *n = w->notify;
	struct mono now = mono_now();
	pid_t group;

	if (d->pid == 0 || (d->pid == n->stranger &&
	    mono_ms_between(n->stranger_at, now) < STRANGER_MS))
		return false;
	group = getpgid(d->pid);
	if (d->pid == w->pid || group == w->pid ||
	    (group > 0 && descends_from(n->all, d->pid, w->pid)))
		return true;
	n->stranger = d->pid;
	n->stranger_at = now;
	return false;
}

static void
warn_once(struct worker *w, const char *what, pid_t pid)
{
	if (w->notify->warned)
		return;
	w->notify->warned = true;
	worker_log_often(LOG_LEVEL_WARNING, w, "ignoring a notify message: %s (from "
	    "pid %d; said once per process)", what, (int)pid);
}

/* The time that it has may be longer already: that is known where it is decided. */
static void
extend(struct worker *w, int64_t us)
{
	const struct notify_heed *heed = w->notify->all->heed;
	int64_t ms = (us + 999) / 1000;

	if (ms > NOTIFY_EXTEND_MAX_MS)
		ms = NOTIFY_EXTEND_MAX_MS;
	worker_log_often(LOG_LEVEL_DEBUG, w, "asks for %lldms more",
	    (long long)ms);
	w->extended = mono_add_ms(mono_now(), ms);
	worker_post(w, WORKER_EV_EXTEND);
	if (heed != NULL)
		heed->extends(heed->ctx, w, ms);
}

static void
obey_watchdog(struct worker *w, const struct notify_message *m)
{
	const struct notify_heed *heed = w->notify->all->heed;

	if (heed == NULL)
		return;
	if (m->watchdog_us > 0)
		heed->period(w, m->watchdog_us);
	if (m->watchdog)
		heed->alive(w);
	if (m->trigger)
		heed->trigger(w);
}

static void
obey(struct worker *w, const struct notify_datagram *d)
{
	struct notify_message m;

	if (notify_message_parse(d->text, d->len, &m) < 0) {
		warn_once(w, "it is not made of NAME=value lines", d->pid);
		return;
	}
	if (m.status != NULL)
		worker_log_often(LOG_LEVEL_DEBUG, w, "status: %.*s",
		    (int)m.status_len, m.status);
	if (m.stopping)
		worker_log_often(LOG_LEVEL_DEBUG, w, "says it is stopping");
	if (m.odd)
		warn_once(w, "its time is no number of microseconds", d->pid);
	if (m.ready)
		worker_post(w, WORKER_EV_NOTIFY_READY);
	if (m.extend_us > 0)
		extend(w, m.extend_us);
	obey_watchdog(w, &m);
}

/* `code` is what the look at it has told. False: it is not the worker's. */
static bool
hear(struct worker *w, const struct notify_datagram *d, int code)
{
	if (code == -EBADMSG) {
		warn_once(w, "it has no sender", 0);
		return false;
	}
	if (!sender_is_worker(w, d)) {
		warn_once(w, "its sender is not of this worker", d->pid);
		return false;
	}
	if (code == -EMSGSIZE)
		warn_once(w, "it is too long", d->pid);
	else
		obey(w, d);
	return true;
}

/* ---- whose turn it is ---- */

static void
tick_in(struct notify_sockets *ns, int64_t ms)
{
	struct mono due = mono_add_ms(mono_now(), ms);

	if (mono_is_never(ns->tick.due) || mono_before(due, ns->tick.due))
		loop_timer_set(ns->loop, &ns->tick, due);
}

static void
mute(struct notify *n, bool on)
{
	if (n->fd >= 0)
		(void)loop_set_events(n->all->loop, n->handle,
		    on ? 0 : EPOLLIN);
}

static void
queue_up(struct notify *n)
{
	struct notify_sockets *ns = n->all;

	if (n->waits)
		return;
	mute(n, true);
	n->waits = true;
	TAILQ_INSERT_TAIL(&ns->queue, n, entry);
	tick_in(ns, QUEUE_MS);
}

/* Count one; false: enough for this second. */
static bool
may_be_heard_at_once(struct notify *n)
{
	struct mono now = mono_now();

	if (mono_ms_between(n->since, now) >= 1000) {
		n->since = now;
		n->count = 0;
	}
	return ++n->count <= AT_ONCE_PER_SECOND;
}

static void
new_turn(struct notify_sockets *ns)
{
	uint64_t turn = loop_turn_number(ns->loop);

	if (ns->turn == turn)
		return;
	ns->turn = turn;
	ns->heard = ns->helpers = ns->ancestors = 0;
}

/* ---- descriptors ---- */

static void
helper_ended(void *ctx, uint32_t events)
{
	struct notify *n = ctx;

	(void)events;
	leave_helper(n);
	if (!mono_is_never(n->helped))
		n->killed = 0;
	n->heard = false;
	queue_up(n);
}

/* The next datagram is left to a helper; false: it has to wait. */
static bool
get_help(struct notify *n)
{
	struct notify_sockets *ns = n->all;

	if (ns->helpers == HELPERS_PER_TURN)
		return false;
	n->helper = helper_start(notify_socket_swallow, n->fd, &n->fd, 1,
	    &n->helper_pid);
	if (n->helper_pid == 0)
		return false;
	/* Else its end is looked for: a second one beside it would take out
	   what comes behind the datagram. */
	if (n->helper >= 0 && loop_add(ns->loop, n->helper, EPOLLIN, false,
	    helper_ended, n, &n->helper_handle) < 0)
		fd_close(&n->helper);
	ns->helpers++;
	n->helped = mono_now();
	mute(n, true);
	tick_in(ns, HELPER_MS);
	return true;
}

/* One that is held up costs its worker the socket, if not even a kill helps.
   True: look again. */
static bool
see_to_helper(struct notify *n)
{
	if (n->helper_pid != 0 && n->helper < 0 &&
	    helper_has_ended(n->helper_pid))
		helper_ended(n, 0);
	if (n->helper < 0)
		return n->helper_pid != 0;
	if (mono_is_never(n->helped))
		return false;
	/* It may not have come to run yet: the next one has longer. */
	if (mono_ms_between(n->helped, mono_now()) < HELPER_MS << n->killed)
		return true;
	if (n->killed < KILLED_MAX)
		n->killed++;
	n->helped = MONO_NEVER;
	helper_kill(n->helper);
	worker_log_often(LOG_LEVEL_DEBUG, n->worker, "a descriptor that came with a "
	    "notify message takes long to close");
	return false;
}

/* ---- reading ---- */

enum taken {
	TAKEN_NONE,		/* nothing is there */
	TAKEN_OWN,
	TAKEN_STRANGE,		/* a stranger's, or it is still to be taken */
	TAKEN_HELPED,		/* a helper takes it */
};

static enum taken
take_one(struct notify *n, bool help)
{
	struct notify_datagram d;
	int code = notify_socket_peek(n->fd, &d);
	bool own;

	if (code == -EAGAIN)
		return TAKEN_NONE;
	own = !n->heard && hear(n->worker, &d, code);
	n->heard = d.descriptors;
	if (d.descriptors)
		return help && get_help(n) ? TAKEN_HELPED : TAKEN_STRANGE;
	notify_socket_drop(n->fd);
	return own ? TAKEN_OWN : TAKEN_STRANGE;
}

/* One in a turn of the loop. */
static void
ready(void *ctx, uint32_t events)
{
	struct notify *n = ctx;
	struct notify_sockets *ns = n->all;
	enum taken taken;

	if (events == 0) {
		unheard(n->worker);
		return;
	}
	new_turn(ns);
	if (ns->heard++ >= AT_ONCE_PER_TURN ||
	    ns->ancestors >= ANCESTORS_PER_TURN)
		return;
	taken = take_one(n, true);
	if (taken == TAKEN_STRANGE ||
	    (taken == TAKEN_OWN && !may_be_heard_at_once(n)))
		queue_up(n);
}

static void
take_in_turn(struct notify *n)
{
	leave_queue(n);
	switch (take_one(n, true)) {
	case TAKEN_NONE:
		mute(n, false);
		break;
	case TAKEN_HELPED:
		break;
	default:
		queue_up(n);
		break;
	}
}

void
notify_read(struct worker *w)
{
	struct notify *n = w->notify;

	if (n->fd < 0 || n->helper_pid != 0)
		return;
	for (int i = 0; i < LAST_WORDS_MAX; i++) {
		enum taken taken = take_one(n, false);

		if (taken == TAKEN_NONE || n->heard)
			break;
	}
}

static void
tick_due(void *ctx)
{
	struct notify_sockets *ns = ctx;
	struct notify *last = TAILQ_LAST(&ns->queue, notify_queue), *n = NULL;
	bool late = false;

	new_turn(ns);
	for (int i = 0; i < QUEUE_PORTION && n != last &&
	    ns->ancestors < ANCESTORS_PER_TURN; i++) {
		n = TAILQ_FIRST(&ns->queue);
		take_in_turn(n);
	}
	for (struct crew *c = ns->workers->crews; c != NULL; c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next)
			late |= see_to_helper(w->notify);
	if (late || !TAILQ_EMPTY(&ns->queue))
		tick_in(ns, QUEUE_MS);
}

/* ---- coming and going ---- */

int
notify_join(struct notify_sockets *ns, struct worker *w)
{
	struct notify *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return -ENOMEM;
	n->all = ns;
	n->worker = w;
	n->fd = -1;
	n->helper = -1;
	w->notify = n;
	return 0;
}

void
notify_leave(struct worker *w)
{
	free(w->notify);
	w->notify = NULL;
}

int
notify_init(struct notify_sockets *ns, struct loop *loop,
    struct workers *workers)
{
	ns->loop = loop;
	ns->workers = workers;
	TAILQ_INIT(&ns->queue);
	ns->dir = (struct notify_dir)NOTIFY_DIR_INIT;
	ns->told = false;
	return loop_timer_init(loop, &ns->tick, tick_due, ns);
}

void
notify_fini(struct notify_sockets *ns)
{
	loop_timer_fini(ns->loop, &ns->tick);
	notify_dir_close(&ns->dir);
}
