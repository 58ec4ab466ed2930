#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "linux/child/sd_notify.h"
#include "linux/keeper/keeper_share.h"

#define AGAIN_MS	50
#define AGAIN_MAX_MS	5000

/* At the end, for the keeper to send one of them. */
#define AWAIT_MS	200

/* Between two attempts at what cannot wait. */
#define NOW_PAUSE_MS	2

/* Where nobody is, nobody waits for it. */
static bool
is_taken(int err)
{
	return err != EAGAIN && err != ENOBUFS && err != EINTR &&
	    err != ENOMEM && err != ETOOMANYREFS;
}

/* True: it was sent, or *ret_errno why not. False: the keeper is at it. */
static bool
send_with(const struct sd_notify *notify, const char *text, int passed,
    int *ret_errno)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(notify->name));

	memcpy(sun.sun_path, notify->name, strlen(notify->name));
	if (*notify->name == '@')
		sun.sun_path[0] = '\0';
	if (keeper_mail(notify->fd, &sun, len, text, strlen(text),
	    passed) == 0)
		return false;
	*ret_errno = keeper_mail_send(notify->fd, &sun, len, text,
	    strlen(text), passed);
	return true;
}

/* True: it was sent, *ret_taken. False: the keeper is at it. */
static bool
send_text(const struct sd_notify *notify, const char *text, bool *ret_taken)
{
	int err;

	if (!send_with(notify, text, -1, &err))
		return false;
	*ret_taken = is_taken(err);
	return true;
}

static void
drop_first(struct sd_notify *notify)
{
	free(notify->kept[0]);
	notify->n_kept--;
	memmove(&notify->kept[0], &notify->kept[1],
	    notify->n_kept * sizeof(notify->kept[0]));
}

/* What is under way has been sent, or not been taken. */
static void
sent(struct sd_notify *notify, bool taken)
{
	if (notify->under_way == SD_NOTIFY_OF_KEPT && taken)
		drop_first(notify);
	else if (notify->under_way == SD_NOTIFY_OF_STATUS)
		notify->told = taken;
	notify->under_way = SD_NOTIFY_IDLE;
}

/* True: it was taken, or there is nothing; on with the next. */
static bool
send_next(struct sd_notify *notify)
{
	bool taken;

	notify->under_way = notify->n_kept > 0 ? SD_NOTIFY_OF_KEPT :
	    SD_NOTIFY_OF_STATUS;
	if (!send_text(notify, notify->n_kept > 0 ? notify->kept[0] :
	    notify->status, &taken))
		return false;
	sent(notify, taken);
	return taken;
}

static bool
has_more(const struct sd_notify *notify)
{
	return notify->n_kept > 0 || !notify->told;
}

static void
send_kept(struct sd_notify *notify)
{
	while (notify->under_way == SD_NOTIFY_IDLE && has_more(notify) &&
	    send_next(notify))
		continue;
	if (!has_more(notify))
		notify->gap_ms = AGAIN_MS;
	else if (notify->under_way == SD_NOTIFY_IDLE)
		loop_timer_start(notify->loop, &notify->again, notify->gap_ms);
}

void
sd_notify_woken(struct sd_notify *notify)
{
	int err;

	if (notify->under_way == SD_NOTIFY_IDLE || !keeper_mail_done(&err))
		return;
	sent(notify, is_taken(err));
	if (is_taken(err) || keeper_is_gone())
		send_kept(notify);
	else
		loop_timer_start(notify->loop, &notify->again, notify->gap_ms);
}

static void
again_due(void *ctx)
{
	struct sd_notify *notify = ctx;

	/* It may be that nobody will ever read. */
	if (notify->gap_ms < AGAIN_MAX_MS)
		notify->gap_ms *= 2;
	send_kept(notify);
}

int
sd_notify_open(struct loop *loop, struct sd_notify *notify)
{
	const char *name = getenv("NOTIFY_SOCKET");

	if (name == NULL || *name == '\0')
		return 0;
	if ((*name != '/' && *name != '@') ||
	    strlen(name) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -EINVAL;
	*notify = (struct sd_notify){
		.fd = -1, .loop = loop, .told = true, .gap_ms = AGAIN_MS,
	};
	notify->name = strdup(name);
	if (notify->name == NULL ||
	    loop_timer_init(loop, &notify->again, again_due, notify) < 0) {
		sd_notify_close(notify);
		return -ENOMEM;
	}
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify->fd < 0) {
		int code = -errno;

		sd_notify_close(notify);
		return code;
	}
	return 0;
}

/* As far as they are taken now. */
static void
send_last(struct sd_notify *notify)
{
	bool goes_on = true;
	int err;

	while (goes_on && (has_more(notify) ||
	    notify->under_way != SD_NOTIFY_IDLE)) {
		if (notify->under_way == SD_NOTIFY_IDLE) {
			goes_on = send_next(notify) ||
			    notify->under_way != SD_NOTIFY_IDLE;
			continue;
		}
		goes_on = keeper_mail_await(AWAIT_MS, &err);
		sent(notify, goes_on && is_taken(err));
		goes_on = goes_on && (is_taken(err) || keeper_is_gone());
	}
}

/* What the keeper is at, if anything. False: it stands still. */
static bool
settle(struct sd_notify *notify)
{
	int err;

	if (notify->under_way == SD_NOTIFY_IDLE)
		return true;
	if (!keeper_mail_await(AWAIT_MS, &err))
		return false;
	sent(notify, is_taken(err));
	return true;
}

static int
send_once(struct sd_notify *notify, const char *text, int fd)
{
	int err;

	if (!settle(notify))
		return -ETIMEDOUT;
	if (send_with(notify, text, fd, &err))
		return -err;
	/* Whoever has asked closes the descriptor then. */
	if (keeper_mail_await(AWAIT_MS, &err))
		return -err;
	if (keeper_mail_cancel())
		return -ETIMEDOUT;
	if (keeper_mail_await(AWAIT_MS, &err))
		return -err;
	/* Stopped in the midst of it. */
	notify->under_way = SD_NOTIFY_OF_NONE;
	return -ETIMEDOUT;
}

int
sd_notify_now(struct sd_notify *notify, const char *text, int fd,
    struct mono until)
{
	const struct timespec pause = { .tv_nsec = NOW_PAUSE_MS * 1000000 };
	int code = notify->fd < 0 ? -ENOTCONN :
	    send_once(notify, text, fd);

	while (code < 0 && !is_taken(-code) && mono_before(mono_now(), until)) {
		(void)nanosleep(&pause, NULL);
		code = send_once(notify, text, fd);
	}
	/* Whoever has waited meanwhile is not woken again. */
	if (notify->fd >= 0 && has_more(notify) &&
	    notify->under_way == SD_NOTIFY_IDLE)
		loop_timer_start(notify->loop, &notify->again, notify->gap_ms);
	return code;
}

void
sd_notify_close(struct sd_notify *notify)
{
	if (notify->fd >= 0)
		send_last(notify);
	while (notify->n_kept > 0)
		drop_first(notify);
	if (notify->loop != NULL)
		loop_timer_fini(notify->loop, &notify->again);
	fd_close(&notify->fd);
	free(notify->status);
	free(notify->name);
	*notify = (struct sd_notify)SD_NOTIFY_INIT;
}

static char *format(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0)));

/* NULL: no memory. */
static char *
format(const char *fmt, va_list ap)
{
	char *text = NULL;

	return vasprintf(&text, fmt, ap) < 0 ? NULL : text;
}

void
sd_notify_send(struct sd_notify *notify, const char *fmt, ...)
{
	char *text;
	va_list ap;

	if (notify->fd < 0)
		return;
	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	if (text == NULL)
		return;
	if (notify->n_kept == SD_NOTIFY_KEPT_MAX) {
		drop_first(notify);
		if (notify->under_way == SD_NOTIFY_OF_KEPT)
			notify->under_way = SD_NOTIFY_OF_NONE;
	}
	notify->kept[notify->n_kept++] = text;
	send_kept(notify);
}

void
sd_notify_status(struct sd_notify *notify, const char *fmt, ...)
{
	char *text;
	va_list ap;

	if (notify->fd < 0)
		return;
	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	if (text == NULL || (notify->status != NULL &&
	    strcmp(text, notify->status) == 0)) {
		free(text);
		return;
	}
	free(notify->status);
	notify->status = text;
	notify->told = false;
	if (notify->under_way == SD_NOTIFY_OF_STATUS)
		notify->under_way = SD_NOTIFY_OF_NONE;
	send_kept(notify);
}
