#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "core/control/answer.h"
#include "core/control/request.h"
#include "linux/control/control_link.h"

/* A full queue of a Unix listener does not tell when it has room again. */
#define QUEUE_FULL_MS 50

/* Of a supervisor that was killed before it greeted; another one will. */
#define TRIES		10
#define AGAIN_MS	20

static int
failed(struct error *err, const char *path, int code)
{
	return error_set(err, code, "%s: %s", path, strerror(-code));
}

/* ---- connecting ---- */

static int
connect_errno(const char *path, int code, struct error *err)
{
	switch (code) {
	case -ENOENT:
	case -ENOTDIR:
		return error_set(err, -ENOENT, "%s: there is no such file",
		    path);
	case -ECONNREFUSED:
		return error_set(err, code,
		    "%s: clusterd is not running, or this is no socket of it",
		    path);
	case -EACCES:
		return error_set(err, code, "%s: permission denied: only the "
		    "user that runs clusterd, root, and the members of its "
		    "control_group may", path);
	case -EPROTOTYPE:
		return error_set(err, code, "%s: this is no control socket",
		    path);
	default:
		return failed(err, path, code);
	}
}

static int
connect_until(int fd, const struct sockaddr_un *sun, struct mono deadline)
{
	while (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (!mono_before(mono_now(), deadline))
			return -ETIMEDOUT;
		(void)poll(NULL, 0, QUEUE_FULL_MS);
	}
	return 0;
}

static int
no_answer(const char *path, struct error *err)
{
	return error_set(err, -ETIMEDOUT,
	    "%s: clusterd is there and does not answer", path);
}

static int
connect_to(struct control_link *client, const char *path,
    struct mono deadline, struct error *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int code;

	if (strlen(path) >= sizeof(sun.sun_path))
		return error_set(err, -ENAMETOOLONG, "%s: too long for the "
		    "path of a socket, %zu bytes are possible", path,
		    sizeof(sun.sun_path) - 1);
	strcpy(sun.sun_path, path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		return failed(err, path, -errno);
	code = connect_until(client->fd, &sun, deadline);
	if (code == -ETIMEDOUT)
		return no_answer(path, err);
	if (code < 0)
		return connect_errno(path, code, err);
	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		client->pid = peer.pid;
	return 0;
}

static int
check_greeting(const struct answer_line *line, const char *path,
    struct error *err)
{
	const char *version = answer_line_get(line, "version");

	if (line->kind == ANSWER_ERROR && strcmp(line->word, "denied") == 0)
		return connect_errno(path, -EACCES, err);
	if (line->kind == ANSWER_ERROR)
		return error_set(err, -ECONNRESET, "%s: %s", path,
		    *line->text != '\0' ? line->text : line->word);
	if (line->kind != ANSWER_GREETING)
		return error_set(err, -EPROTO,
		    "%s: whoever listens there is no clusterd", path);
	if (line->version > ANSWER_PROTOCOL)
		return error_set(err, -EPROTONOSUPPORT, "%s: this clusterd%s%s"
		    " speaks version %u of the protocol, and this clusterctl "
		    "%d: use the clusterctl that came with it", path,
		    version != NULL ? " " : "",
		    version != NULL ? version : "", line->version,
		    ANSWER_PROTOCOL);
	return 0;
}

static int
greet(struct control_link *client, const char *path, struct mono deadline,
    struct error *err)
{
	struct answer_line line;
	struct error why = ERROR_INIT;
	int code;

	do
		code = control_link_read(client, deadline, -1, &line, &why);
	while (code == -EINTR);
	if (code == 1)
		code = check_greeting(&line, path, err);
	else if (code == 0)
		code = error_set(err, -ENOTCONN,
		    "%s: clusterd has closed the connection", path);
	else if (code == -ETIMEDOUT)
		code = no_answer(path, err);
	else if (code == -EPROTO)
		code = error_set(err, code,
		    "%s: whoever listens there is no clusterd", path);
	else
		code = error_set(err, code, "%s: %s", path, error_text(&why));
	error_clear(&why);
	if (code == 0)
		client->supervised = answer_line_number(&line, "supervisor",
		    &client->supervisor);
	return code;
}

static int
open_once(struct control_link *client, const char *path,
    struct mono deadline, struct error *err)
{
	int code;

	*client = (struct control_link)CONTROL_LINK_INIT;
	client->buffer = malloc(ANSWER_LINE_MAX);
	client->path = strdup(path);
	if (client->buffer == NULL || client->path == NULL)
		code = failed(err, path, -ENOMEM);
	else
		code = connect_to(client, path, deadline, err);
	if (code == 0)
		code = greet(client, path, deadline, err);
	if (code < 0)
		control_link_close(client);
	return code;
}

/* What comes of a connection that ends before a greeting: -ENOTCONN. */
int
control_link_open(struct control_link *client, const char *path,
    struct mono deadline, struct error *err)
{
	struct error why = ERROR_INIT;
	int code = open_once(client, path, deadline, &why);

	for (int i = 1; code == -ENOTCONN && i < TRIES &&
	    mono_before(mono_now(), deadline); i++) {
		error_clear(&why);
		(void)poll(NULL, 0, AGAIN_MS);
		code = open_once(client, path, deadline, &why);
	}
	if (code == -ENOTCONN)
		code = -ECONNRESET;
	if (code < 0)
		error_set(err, code, "%s", error_text(&why));
	error_clear(&why);
	return code;
}

void
control_link_close(struct control_link *client)
{
	fd_close(&client->fd);
	free(client->buffer);
	free(client->path);
	*client = (struct control_link)CONTROL_LINK_INIT;
}

/* ---- talking ---- */

int
control_link_send(struct control_link *client,
    const struct request *request, struct error *err)
{
	struct strbuf sb = STRBUF_INIT;
	ssize_t n = -1;
	int code;

	request_print(&sb, request);
	if (!sb.failed)
		n = send(client->fd, sb.text, sb.len, MSG_NOSIGNAL);
	code = sb.failed ? -ENOMEM : n < 0 ? -errno : 0;
	/* A request is short and the socket's buffer empty. */
	if (n >= 0 && (size_t)n != sb.len)
		code = -EIO;
	strbuf_free(&sb);
	if (code == -EPIPE || code == -ECONNRESET)
		return error_set(err, -ECONNRESET,
		    "clusterd has closed the connection");
	if (code < 0)
		return error_set(err, code, "cannot send the request: %s",
		    strerror(-code));
	return 0;
}

static int
wait_readable(int fd, int other_fd, struct mono deadline)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = other_fd, .events = POLLIN },
	};
	int64_t ms = -1;
	int n;

	if (!mono_is_never(deadline)) {
		ms = mono_ms_between(mono_now(), deadline) + 1;
		ms = ms < 0 ? 0 : ms > 1000000 ? 1000000 : ms;
	}
	n = poll(fds, 2, (int)ms);
	if (n < 0)
		return -errno;
	if (n == 0)
		return mono_before(mono_now(), deadline) ? 0 : -ETIMEDOUT;
	return fds[1].revents != 0 ? -EINTR : 0;
}

/* What comes next: 1; 0: there is nothing more to come; -errno. */
static int
receive(struct control_link *client, int other_fd, struct mono deadline)
{
	for (;;) {
		ssize_t n = recv(client->fd, client->buffer + client->end,
		    ANSWER_LINE_MAX - client->end, 0);
		int code;

		if (n > 0) {
			client->end += (size_t)n;
			return 1;
		}
		if (n == 0 || errno == ECONNRESET)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		code = wait_readable(client->fd, other_fd, deadline);
		if (code < 0)
			return code;
	}
}

static char *
find_newline(struct control_link *client)
{
	char *newline = memchr(client->buffer + client->scanned, '\n',
	    client->end - client->scanned);

	if (newline == NULL)
		client->scanned = client->end;
	return newline;
}

static void
make_room(struct control_link *client)
{
	memmove(client->buffer, client->buffer + client->start,
	    client->end - client->start);
	client->end -= client->start;
	client->scanned -= client->start;
	client->start = 0;
}

static int
no_protocol(struct error *err)
{
	return error_set(err, -EPROTO,
	    "what clusterd has sent cannot be understood");
}

int
control_link_read(struct control_link *client, struct mono deadline,
    int other_fd, struct answer_line *ret_line, struct error *err)
{
	char *newline, *begin;
	int code;

	while ((newline = find_newline(client)) == NULL) {
		make_room(client);
		if (client->end == ANSWER_LINE_MAX)
			return no_protocol(err);
		code = receive(client, other_fd, deadline);
		if (code == 0 || code == -EINTR || code == -ETIMEDOUT)
			return code;
		if (code < 0)
			return error_set(err, code,
			    "cannot read the answer: %s", strerror(-code));
	}
	begin = client->buffer + client->start;
	*newline = '\0';
	client->start = client->scanned =
	    (size_t)(newline - client->buffer) + 1;
	if (answer_line_parse(begin, (size_t)(newline - begin), ret_line) < 0)
		return no_protocol(err);
	return 1;
}

bool
control_link_idle(struct control_link *client)
{
	struct pollfd pfd = { .fd = client->fd, .events = POLLIN };

	return find_newline(client) == NULL && poll(&pfd, 1, 0) == 0;
}
