#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "core/conf/advice_command.h"
#include "core/conf/conf.h"
#include "core/worker/worker_env.h"
#include "linux/child/spawn.h"
#include "linux/child/spawn_child.h"
#include "linux/process/birth.h"

/* Some calls deep, a path and a message of a few bytes. */
#define STACK_SIZE	(32 * 1024)

/* ---- its memory ---- */

/* Of whatever is packed, and of a stack. */
#define ALIGNMENT	16

/* Where the next thing goes; NULL: only counted. */
struct packer {
	char *base;
	size_t used;
};

static size_t
aligned(size_t len)
{
	return (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void *
pack(struct packer *p, const void *bytes, size_t len)
{
	void *to = p->base != NULL ? p->base + p->used : NULL;

	if (to != NULL && len > 0)
		memcpy(to, bytes, len);
	p->used += aligned(len);
	return to;
}

static char *
pack_text(struct packer *p, const char *text)
{
	return text != NULL ? pack(p, text, strlen(text) + 1) : NULL;
}

/* Places within the strings, where a pid is to be written; NULL: none. */
#define PLACES 2

/* How far behind the beginning of the string it is; -1: not in it. */
static ptrdiff_t
find_place(const char *text, size_t len, const char *place)
{
	return place != NULL && place >= text && place <= text + len ?
	    place - text : -1;
}

/* `places`, if there are any, move along. */
static char **
pack_list(struct packer *p, char *const *v, char **const *places)
{
	const char *old[PLACES] = { NULL };
	size_t n = 0;
	char **to;

	while (v[n] != NULL)
		n++;
	for (size_t k = 0; places != NULL && k < PLACES; k++)
		old[k] = *places[k];
	to = pack(p, v, (n + 1) * sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(v[i]);
		char *text = pack(p, v[i], len + 1);

		if (to != NULL)
			to[i] = text;
		for (size_t k = 0; k < PLACES; k++) {
			ptrdiff_t at = find_place(v[i], len, old[k]);

			if (at < 0)
				continue;
			/* What is written there may be longer than what
			   stands. */
			p->used += aligned(WORKER_ENV_PID_ROOM);
			if (to != NULL)
				*places[k] = text + at;
		}
	}
	return to;
}

static const struct conf_creds *
pack_creds(struct packer *p, const struct conf_creds *creds)
{
	struct conf_creds *to = pack(p, creds, sizeof(*creds));
	void *groups = pack(p, creds->groups,
	    creds->n_groups * sizeof(*creds->groups));

	if (to != NULL)
		to->groups = groups;
	return to;
}

/* All that the child looks at; of the creds' names only whether there are any. */
static struct spawn_child *
pack_child(struct packer *p, const struct spawn_plan *plan)
{
	const struct spawn_child blank = { .plan = *plan };
	struct spawn_child *to = pack(p, &blank, sizeof(blank));
	struct spawn_plan own = *plan;
	char **const places[PLACES] = { &own.listen_pid, &own.watchdog_pid };

	own.files = pack_list(p, plan->files, NULL);
	own.argv = pack_list(p, plan->argv, NULL);
	own.envp = pack_list(p, plan->envp, places);
	own.fds = pack(p, plan->fds, plan->n_fds * sizeof(*plan->fds));
	own.directory = pack_text(p, plan->directory);
	own.cwd = pack_text(p, plan->cwd);
	own.base_dir = pack_text(p, plan->base_dir);
	own.creds = pack_creds(p, plan->creds);
	if (to != NULL)
		to->plan = own;
	return to;
}

/* A page that stops a stack that is too deep, the stack, and the copy. NULL with
   errno set. */
static struct spawn_child *
make_room(const struct spawn_plan *plan, struct spawn_room *ret_room)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct packer p = { .base = NULL };
	struct spawn_room room;

	(void)pack_child(&p, plan);
	room.len = page + STACK_SIZE + p.used;
	room.map = mmap(NULL, room.len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room.map == MAP_FAILED)
		return NULL;
	if (mprotect(room.map, page, PROT_NONE) < 0) {
		(void)munmap(room.map, room.len);
		return NULL;
	}
	*ret_room = room;
	p = (struct packer){ .base = (char *)room.map + page + STACK_SIZE };
	return pack_child(&p, plan);
}

void
spawn_room_free(struct spawn_room *room)
{
	if (room->map != NULL)
		(void)munmap(room->map, room->len);
	*room = (struct spawn_room)SPAWN_ROOM_INIT;
}

/* ---- the supervisor ---- */

static int
run_child(void *child)
{
	spawn_child_run(child);
}

int
spawn(const struct spawn_plan *plan, struct spawn_room *ret_room,
    pid_t *ret_pid, int *ret_report)
{
	struct spawn_room room = SPAWN_ROOM_INIT;
	struct spawn_child *child = make_room(plan, &room);
	int report[2];
	pid_t pid;

	if (child == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC,
	    0, report) < 0) {
		int code = -errno;

		spawn_room_free(&room);
		return code;
	}
	child->report = report[1];
	child->report_of_parent = report[0];
	child->parent = getpid();
	/* The stack grows down from the copy. Who becomes somebody else has
	   memory of its own: with its ids ours could be traced, see birth.h. So
	   has who gets a limit: the OOM killer kills all who share it. */
	pid = birth(run_child, child,
	    plan->creds->set || plan->limited ? NULL : child);
	fd_close(&report[1]);
	if (pid < 0) {
		fd_close(&report[0]);
		spawn_room_free(&room);
		return pid;
	}
	*ret_room = room;
	*ret_pid = pid;
	*ret_report = fd_take(&report[0]);
	return 0;
}

enum spawn_report
spawn_read_report(int report, struct spawn_failure *ret_failure,
    int *ret_trap)
{
	struct iovec iov = { ret_failure, sizeof(*ret_failure) };
	union spawn_fd_message message;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = message.room,
		.msg_controllen = sizeof(message.room),
	};
	struct cmsghdr *c;
	ssize_t n;

	do {
		n = recvmsg(report, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(*ret_failure))
		return ret_failure->stage == SPAWN_GROUP ?
		    SPAWN_REPORT_UNLIMITED : SPAWN_REPORT_FAILED;
	if (n == 1) {
		/* Without room for it here, the kernel has dropped it: then
		   the worker's calls fail with ENOSYS. */
		c = CMSG_FIRSTHDR(&msg);
		*ret_trap = -1;
		if (c != NULL && c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_trap, CMSG_DATA(c), sizeof(int));
		return SPAWN_REPORT_TRAPPED;
	}
	/* ECONNRESET: it died with something of ours unread. */
	return n < 0 && errno == EAGAIN ? SPAWN_REPORT_PENDING :
					  SPAWN_REPORT_EXECUTED;
}

bool
spawn_failure_passes(const struct spawn_failure *failure)
{
	/* ETXTBSY: the program is being written just now. */
	return failure->err == EMFILE || failure->err == ENFILE ||
	       failure->err == ENOMEM || failure->err == EAGAIN ||
	       failure->err == ETXTBSY;
}

/* What is no program's name, or none of PATH; false: neither. */
static bool
put_misnamed(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *base_dir)
{
	const char *why = advice_program(program);

	if (why != NULL)
		strbuf_printf(sb, " (%s)", why);
	else if ((failure->seen & SPAWN_SEEN_BESIDE) != 0)
		strbuf_printf(sb, " (a name without a / is looked up in PATH; "
		    "for the file in %s: ./%s%s)", base_dir, program,
		    (failure->seen & SPAWN_SEEN_EXECUTABLE) != 0 ? "" :
		    ", which is not executable");
	else
		return false;
	return true;
}

static void
put_exec_hint(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *base_dir)
{
	bool bare = strchr(program, '/') == NULL;

	if (failure->err == ENOEXEC)
		strbuf_puts(sb, " (a script needs a first line such as "
		    "#!/bin/sh; or it was built for another machine)");
	else if (failure->err == ENOENT &&
	    (failure->seen & SPAWN_SEEN_FILE) != 0)
		strbuf_puts(sb, " (the file is there: the interpreter of its "
		    "#! line, or its dynamic loader, is not)");
	else if (failure->err == ENOENT || (failure->err == EACCES && bare)) {
		/* A directory of PATH that may not be searched comes before it
		   is not there. */
		if (!put_misnamed(sb, failure, program, base_dir) && bare &&
		    failure->err == ENOENT)
			strbuf_puts(sb, " (not found in PATH)");
	} else if (failure->err == EACCES &&
	    failure->seen == SPAWN_SEEN_FILE) {
		strbuf_puts(sb, " (try chmod +x)");
	} else if (failure->err == EACCES && failure->seen == 0) {
		strbuf_puts(sb, " (a directory on the way to it may not be "
		    "entered by its user: clusterd -t names that)");
	}
}

void
spawn_failure_text(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *directory, const char *base_dir)
{
	static const char *const words[SPAWN_STAGES] = {
		[SPAWN_GROUP] = "cannot join its control group",
		[SPAWN_FDS] = "cannot place its file descriptors",
		[SPAWN_SESSION] = "cannot make a session",
		[SPAWN_TRAP] = "cannot trap its binds, as handoff asks for",
		[SPAWN_NOFILE] = "cannot set limit_nofile",
		[SPAWN_CREDS] = "cannot change to its user and group",
		[SPAWN_PARENT] = "cannot tie it to clusterd",
		[SPAWN_DIRECTORY] = "cannot change to directory",
		[SPAWN_EXEC] = "cannot execute",
	};
	const char *what = failure->stage == SPAWN_EXEC ? program :
	    failure->stage == SPAWN_DIRECTORY ? directory : NULL;

	strbuf_puts(sb, words[failure->stage]);
	if (what != NULL)
		strbuf_printf(sb, " %s", what);
	strbuf_printf(sb, ": %s", strerror(failure->err));
	if (failure->stage == SPAWN_EXEC)
		put_exec_hint(sb, failure, program, base_dir);
}
