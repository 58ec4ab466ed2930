#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "linux/child/sd_notify.h"

#define AGAIN_MS	50
#define AGAIN_MAX_MS	5000

static bool
send_text(const struct sd_notify *notify, const char *text)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	ssize_t n;

	memcpy(sun.sun_path, notify->name, strlen(notify->name));
	if (*notify->name == '@')
		sun.sun_path[0] = '\0';
	n = sendto(notify->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
	    (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(notify->name)));
	/* Where nobody is, nobody waits for it. */
	return n >= 0 || (errno != EAGAIN && errno != ENOBUFS &&
	    errno != EINTR && errno != ENOMEM);
}

static void
drop_first(struct sd_notify *notify)
{
	free(notify->kept[0]);
	notify->n_kept--;
	memmove(&notify->kept[0], &notify->kept[1],
	    notify->n_kept * sizeof(notify->kept[0]));
}

static void
send_kept(struct sd_notify *notify)
{
	while (notify->n_kept > 0 && send_text(notify, notify->kept[0]))
		drop_first(notify);
	if (notify->n_kept == 0 && !notify->told)
		notify->told = send_text(notify, notify->status);
	if (notify->n_kept == 0 && notify->told)
		notify->gap_ms = AGAIN_MS;
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

void
sd_notify_close(struct sd_notify *notify)
{
	if (notify->fd >= 0)
		send_kept(notify);
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
	if (notify->n_kept == SD_NOTIFY_KEPT_MAX)
		drop_first(notify);
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
	send_kept(notify);
}
