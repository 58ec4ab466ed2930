#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/sockets/lanes_founder.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"
#include "linux/socket/socket_filter.h"

/* Places in a founder's group. */
#define FOUNDER	0
#define LANE	1

/* Its program finds the lane as soon as that one is there. It listens without
   SO_REUSEPORT, as the first one does: of two programs that start at the same
   moment one finds the port taken. */
static int
begin(int fd, unsigned backlog)
{
	int code;

	socket_let_beside(fd, true);
	code = socket_attach_place(fd, LANE);
	socket_let_beside(fd, false);
	/* Nobody waits in a queue that the next supervisor would not know. */
	if (code == 0)
		code = socket_ignore_syns(fd, true);
	if (code == 0)
		code = socket_start_listening(fd, backlog);
	socket_let_beside(fd, true);
	return code;
}

static int
open_founder(const struct lane *lane, int *ret_fd, struct error *err)
{
	const struct listener *l = lane->listener;
	const struct socket_options options = {
		.bind_only = true, .beside = true,
	};
	struct address bound = { .kind = ADDRESS_TCP };
	struct socket_file file;
	int fd, code;

	socket_let_beside(lane->fd, true);
	code = socket_listen(&l->bound, &options, &fd, &bound, &file, err);
	if (code < 0)
		return code;
	address_free(&bound);
	code = begin(fd, l->backlog);
	if (code < 0) {
		socket_close(&fd);
		return error_set(err, code, "%s", strerror(-code));
	}
	*ret_fd = fd;
	return 0;
}

/* Some kernels let no socket that has been shut down have a program until it
   listens again (-EINVAL). */
int
lanes_founder_open(struct lane *lane)
{
	struct error err = ERROR_INIT;
	int fd = -1, code = lanes_program_found(lane, &err);

	if (code == -EINVAL) {
		error_clear(&err);
		code = open_founder(lane, &fd, &err);
	}
	if (code < 0)
		log_app_often(LOG_LEVEL_DEBUG, lane->listener->app,
		    "the first lane is in no group yet: %s", error_text(&err));
	error_clear(&err);
	return fd;
}

/* Who leaves has the last one take its place. */
int
lanes_founder_listen(const struct lane *lane, int *fd)
{
	int code;

	socket_let_beside(lane->fd, true);
	code = socket_start_listening(lane->fd, lane->listener->backlog);
	socket_close(fd);
	if (code == 0)
		(void)socket_attach_place(lane->fd, FOUNDER);
	return code;
}
