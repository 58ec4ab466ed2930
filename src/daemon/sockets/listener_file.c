#include <sys/epoll.h>
#include <sys/inotify.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/unix_socket.h"

/* When a name is on its way out. */
#define AGAIN_MS	1
#define TRIES_MAX	100

void
listener_file_init(struct listener *l)
{
	l->watch = -1;
}

void
listener_file_restore(struct listener *l)
{
	int code;

	if (l->bound.kind != ADDRESS_UNIX || l->inherited || l->refuses ||
	    !listener_is_open(l))
		return;
	code = unix_socket_restore(l->bound.path, &l->file);
	if (code > 0)
		log_app_often(LOG_LEVEL_DEBUG, l->app,
		    "%s had been removed, it is back", l->bound.path);
	if (code == -EAGAIN && l->watch >= 0 && l->all->file_tries++ < TRIES_MAX)
		loop_timer_start(l->all->loop, &l->all->file_again, AGAIN_MS);
	if (code >= 0 || code == -EAGAIN) {
		l->warned &= code < 0;
		return;
	}
	if (!l->warned)
		log_app_often(LOG_LEVEL_WARNING, l->app,
		    "clients cannot reach the listener %s any more: %s",
		    l->bound.path, code == -EEXIST ?
		    "another file has taken its place" : code == -ENOENT ?
		    "its file was removed" : strerror(-code));
	l->warned = true;
}

static void
again_due(void *ctx)
{
	struct listeners *ls = ctx;

	for (struct listener *l = ls->first; l != NULL; l = l->next)
		listener_file_restore(l);
}

static void
files_changed(void *ctx, uint32_t events)
{
	struct listeners *ls = ctx;
	char buf[4096]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(ls->inotify, buf, sizeof(buf));

	ls->file_tries = 0;
	(void)events;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(buf + at);

		at += (ssize_t)(sizeof(*e) + e->len);
		for (struct listener *l = ls->first; l != NULL; l = l->next)
			if (l->watch == e->wd || (e->mask & IN_Q_OVERFLOW))
				listener_file_restore(l);
	}
}

void
listener_file_watch(struct listener *l)
{
	struct listeners *ls = l->all;

	if (l->bound.kind != ADDRESS_UNIX || l->inherited)
		return;
	if (ls->inotify < 0) {
		ls->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (ls->inotify >= 0 && loop_timer_init(ls->loop,
		    &ls->file_again, again_due, ls) < 0)
			fd_close(&ls->inotify);
		if (ls->inotify >= 0 && loop_add(ls->loop, ls->inotify,
		    EPOLLIN, false, files_changed, ls,
		    &ls->inotify_handle) < 0) {
			loop_timer_fini(ls->loop, &ls->file_again);
			fd_close(&ls->inotify);
		}
	}
	if (ls->inotify >= 0)
		l->watch = unix_socket_watch(ls->inotify, l->bound.path);
	if (l->watch < 0)
		log_app(LOG_LEVEL_DEBUG, l->app,
		    "the path %s cannot be watched", l->bound.path);
}

void
listener_file_unwatch(struct listener *l)
{
	if (l->watch >= 0)
		(void)inotify_rm_watch(l->all->inotify, l->watch);
	l->watch = -1;
}

void
listener_file_open(struct listeners *ls)
{
	ls->inotify = -1;
}

void
listener_file_close(struct listeners *ls)
{
	loop_del(ls->loop, &ls->inotify_handle);
	loop_timer_fini(ls->loop, &ls->file_again);
	fd_close(&ls->inotify);
}
