#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/num.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_web.h"
#include "linux/file/place.h"
#include "linux/socket/socket.h"
#include "web/doors.h"

#define FIRST_FD	3
#define BACKLOG		1024

/* The caller owns `fd` where it fails. */
static int
add(struct doors *doors, int fd, const char *agent, struct error *err)
{
	char *app = NULL;

	if (doors->n == DOORS_MAX)
		return error_set(err, -E2BIG, "%d addresses are the most",
		    DOORS_MAX);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set(err, -errno, "descriptor %d: %s", fd,
		    strerror(errno));
	if (agent != NULL && (app = strdup(agent)) == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	doors->agents[doors->n] = app;
	doors->fds[doors->n++] = fd;
	return 0;
}

/* The next one's name says so, of LISTEN_FDNAMES, which *names walks along. */
static const char *
next_agent(char **names)
{
	char *name = strsep(names, ":");
	const char *app;

	if (name == NULL || !str_starts(name, CONF_WEB_AGENT))
		return NULL;
	app = name + strlen(CONF_WEB_AGENT);
	return conf_name_valid(app, strlen(app)) ? app : NULL;
}

/* "3,4" */
static int
take_named(struct doors *doors, const char *value, char *names,
    struct error *err)
{
	char *copy = strdup(value), *rest = copy, *word;
	int code = copy == NULL ? -ENOMEM : 0;
	uint64_t fd;

	while (code == 0 && (word = strsep(&rest, ",")) != NULL)
		code = num_parse(word, FIRST_FD, 65535, &fd) ?
		    add(doors, (int)fd, next_agent(&names), err) : error_set(err, -EINVAL,
		    "CLUSTERD_FD is \"%.64s\"", value);
	free(copy);
	return code;
}

/* sd_listen_fds(3) */
static int
take_listen_fds(struct doors *doors, char *names, struct error *err)
{
	const char *number = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint64_t n, who;
	int code = 0;

	if (number == NULL || pid == NULL ||
	    !num_parse(pid, 1, INT32_MAX, &who) || (pid_t)who != getpid() ||
	    !num_parse(number, 1, DOORS_MAX, &n))
		return 0;
	for (uint64_t i = 0; code == 0 && i < n; i++)
		code = add(doors, FIRST_FD + (int)i, next_agent(&names), err);
	return code;
}

static int
take_given(struct doors *doors, struct error *err)
{
	const char *given = getenv("CLUSTERD_FD");
	const char *names = getenv("LISTEN_FDNAMES");
	char *copy = names != NULL ? strdup(names) : NULL;
	int code = names != NULL && copy == NULL ? -ENOMEM : 0;

	if (code == 0)
		code = given != NULL && *given != '\0' ?
		    take_named(doors, given, copy, err) :
		    take_listen_fds(doors, copy, err);
	free(copy);
	return code;
}

static int
open_one(struct doors *doors, const char *text, const char *agent,
    struct error *err)
{
	const struct socket_options options = {
		.backlog = BACKLOG, .mode = 0660,
		.uid = (uint32_t)-1, .gid = (uint32_t)-1,
	};
	struct address address;
	char *cwd = place_cwd();
	int fd, code;

	if (doors->n == DOORS_MAX) {
		free(cwd);
		return error_set(err, -E2BIG, "%d addresses are the most",
		    DOORS_MAX);
	}
	code = cwd == NULL ? -ENOMEM : address_parse(text, cwd, &address, err);
	free(cwd);
	if (code < 0)
		return code;
	if (address.kind == ADDRESS_UDP)
		code = error_set(err, -EINVAL, "%s: it is served by TCP, or "
		    "at a Unix socket", text);
	else
		code = socket_listen(&address, &options, &fd,
		    &doors->own[doors->n_own].address,
		    &doors->own[doors->n_own].file, err);
	address_free(&address);
	if (code < 0)
		return code;
	doors->n_own++;
	code = add(doors, fd, agent, err);
	if (code < 0)
		(void)close(fd);
	return code;
}

/* APP=ADDRESS */
static int
open_agent(struct doors *doors, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	size_t len = equals != NULL ? (size_t)(equals - text) : 0;
	char *app;
	int code;

	if (!conf_name_valid(text, len))
		return error_set(err, -EINVAL, "%s: --agent takes the name of "
		    "an app and an address, such as web=9101", text);
	app = strndup(text, len);
	if (app == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = open_one(doors, equals + 1, app, err);
	free(app);
	return code;
}

int
doors_open(struct doors *doors, const struct strlist *listens,
    const struct strlist *agents, struct error *err)
{
	int code;

	*doors = (struct doors){ .n = 0 };
	code = take_given(doors, err);
	for (size_t i = 0; code == 0 && i < listens->n; i++)
		code = open_one(doors, listens->v[i], NULL, err);
	for (size_t i = 0; code == 0 && i < agents->n; i++)
		code = open_agent(doors, agents->v[i], err);
	if (code == 0 && doors->n == 0)
		code = error_set(err, -EINVAL, "there is nothing to serve at: "
		    "give --listen ADDRESS, such as 127.0.0.1:9080");
	return code;
}

void
doors_forget(struct doors *doors)
{
	for (size_t i = 0; i < doors->n_own; i++)
		socket_unlink(&doors->own[i].address, &doors->own[i].file);
	doors_free(doors);
}

void
doors_free(struct doors *doors)
{
	for (size_t i = 0; i < doors->n_own; i++)
		address_free(&doors->own[i].address);
	doors->n_own = 0;
	for (size_t i = 0; i < doors->n; i++)
		free(doors->agents[i]);
	doors->n = 0;
}
