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

int
sd_notify_open(struct sd_notify *ret_notify)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sd_notify notify = SD_NOTIFY_INIT;

	if (name == NULL || *name == '\0')
		return 0;
	if ((*name != '/' && *name != '@') ||
	    strlen(name) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -EINVAL;
	notify.name = strdup(name);
	if (notify.name == NULL)
		return -ENOMEM;
	notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify.fd < 0) {
		int code = -errno;

		free(notify.name);
		return code;
	}
	*ret_notify = notify;
	return 0;
}

void
sd_notify_close(struct sd_notify *notify)
{
	fd_close(&notify->fd);
	free(notify->name);
	notify->name = NULL;
}

void
sd_notify_send(const struct sd_notify *notify, const char *fmt, ...)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char text[1024];
	size_t len;
	va_list ap;
	int n;

	if (notify->fd < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

	memcpy(sun.sun_path, notify->name, strlen(notify->name));
	if (*notify->name == '@')
		sun.sun_path[0] = '\0';
	(void)sendto(notify->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL,
	    (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(notify->name)));
}
