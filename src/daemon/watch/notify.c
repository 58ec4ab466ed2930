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
#include "linux/process/process.h"

/* A worker that says more than this waits until the next second: its own
   sends block then (unix(7)), ours do not. */
#define DATAGRAMS_PER_SECOND	100
#define ANCESTORS_MAX		32

struct notify {
	struct notify_sockets *all;
	struct worker *worker;
	int fd;			/* its sd_notify socket; -1: none */
	char *name;
	loop_handle handle;
	bool paused;
	bool warned;		/* about nonsense, once is enough */
	unsigned count;		/* since `since` */
	struct mono since;
};

static void
notify_ready(void *ctx, uint32_t events)
{
	(void)events;
	notify_read(ctx);
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

static void
open_dir(struct notify_sockets *ns)
{
	struct error err = ERROR_INIT;
	char *runtime = NULL;

	if (ns->dir.fd >= 0)
		return;
	if (control_place_make(&runtime, NULL) < 0)
		runtime = NULL;
	if (notify_dir_open(runtime, &ns->dir, &err) < 0)
		tell_abstract(ns, error_text(&err));
	error_clear(&err);
	free(runtime);
}

static int
open_file(struct worker *w)
{
	struct notify *n = w->notify;
	struct notify_sockets *ns = n->all;

	open_dir(ns);
	return ns->dir.fd < 0 ? -ENOENT : notify_socket_open(&ns->dir,
	    w->serial, &w->spec->conf->creds, &n->fd, &n->name);
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
	if (code == -EACCES)
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

	if ((conf->fd_protocols & CONF_FDP_SYSTEMD) == 0 &&
	    conf->ready != CONF_READY_NOTIFY)
		return 0;
	code = open_socket(w);
	if (code < 0)
		return code;
	code = loop_add(n->all->loop, n->fd, EPOLLIN, false, notify_ready, w,
	    &n->handle);
	if (code < 0)
		notify_close(w);
	n->paused = n->warned = false;
	n->count = 0;
	return code;
}

void
notify_close(struct worker *w)
{
	struct notify *n = w->notify;

	loop_del(n->all->loop, &n->handle);
	notify_socket_unlink(&n->all->dir, n->name);
	fd_close(&n->fd);
	free(n->name);
	n->name = NULL;
}

const char *
notify_name(const struct worker *w)
{
	return w->notify->name;
}

static bool
descends_from(pid_t pid, pid_t ancestor)
{
	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		struct process_stat st;

		if (pid == ancestor)
			return true;
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
 * everybody send, so the sender must be of the worker's process tree, whatever uid it has taken. One that has died
 * meanwhile could have been anybody: systemd-notify(1) waits for a barrier for
 * that reason, and systemd ignores such messages too. One in a pid namespace
 * that we cannot see into is believed if it has the right uid.
 */
static bool
sender_is_worker(const struct worker *w, const struct notify_datagram *d)
{
	const struct conf_creds *creds = &w->spec->conf->creds;
	pid_t group;

	if (d->pid == 0)
		return d->uid == 0 || d->uid == (creds->name != NULL ?
		    creds->uid : geteuid());
	group = getpgid(d->pid);
	return d->pid == w->pid || group == w->pid ||
	    (group > 0 && descends_from(d->pid, w->pid));
}

static void
warn_once(struct worker *w, const char *what, pid_t pid)
{
	if (w->notify->warned)
		return;
	w->notify->warned = true;
	worker_log(LOG_LEVEL_WARNING, w, "ignoring a notify message: %s (from "
	    "pid %d; said once per process)", what, (int)pid);
}

static void
handle(struct worker *w, const struct notify_datagram *d)
{
	struct notify_message m;

	if (!sender_is_worker(w, d)) {
		warn_once(w, "its sender is not of this worker", d->pid);
		return;
	}
	if (notify_message_parse(d->text, d->len, &m) < 0) {
		warn_once(w, "it is not made of NAME=value lines", d->pid);
		return;
	}
	if (m.status != NULL)
		worker_log(LOG_LEVEL_DEBUG, w, "status: %.*s",
		    (int)m.status_len, m.status);
	if (m.stopping)
		worker_log(LOG_LEVEL_DEBUG, w, "says it is stopping");
	if (m.ready)
		worker_post(w, WORKER_EV_NOTIFY_READY);
}

/* Count one; false: enough for this second. */
static bool
within_budget(struct notify *n)
{
	struct mono now = mono_now();

	if (mono_ms_between(n->since, now) >= 1000) {
		n->since = now;
		n->count = 0;
	}
	return ++n->count <= DATAGRAMS_PER_SECOND;
}

static void
pause_socket(struct notify *n)
{
	struct notify_sockets *ns = n->all;

	if (loop_set_events(ns->loop, n->handle, 0) < 0)
		return;
	n->paused = true;
	loop_timer_start(ns->loop, &ns->thaw, 1000);
	worker_log(LOG_LEVEL_DEBUG, n->worker, "notifies too often, pausing");
}

void
notify_read(struct worker *w)
{
	struct notify_datagram d = { .pid = 0 };
	struct notify *n = w->notify;

	while (n->fd >= 0 && !n->paused) {
		int code = notify_socket_receive(n->fd, &d);

		if (code == 0)
			handle(w, &d);
		else if (code == -EMSGSIZE)
			warn_once(w, "it is too long", d.pid);
		else if (code == -EBADMSG)
			warn_once(w, "it has no sender", 0);
		else
			break;
		if (!within_budget(n))
			pause_socket(n);
	}
}

static void
thaw(struct notify *n)
{
	if (!n->paused)
		return;
	n->paused = false;
	if (n->fd >= 0)
		(void)loop_set_events(n->all->loop, n->handle, EPOLLIN);
}

static void
thaw_due(void *ctx)
{
	struct notify_sockets *ns = ctx;

	for (struct crew *c = ns->workers->crews; c != NULL; c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next)
			thaw(w->notify);
}

int
notify_join(struct notify_sockets *ns, struct worker *w)
{
	struct notify *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return -ENOMEM;
	n->all = ns;
	n->worker = w;
	n->fd = -1;
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
	ns->dir = (struct notify_dir)NOTIFY_DIR_INIT;
	ns->told = false;
	return loop_timer_init(loop, &ns->thaw, thaw_due, ns);
}

void
notify_fini(struct notify_sockets *ns)
{
	loop_timer_fini(ns->loop, &ns->thaw);
	notify_dir_close(&ns->dir);
}
