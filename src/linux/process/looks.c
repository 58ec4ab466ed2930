#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mono.h"
#include "linux/process/listening.h"
#include "linux/process/looks.h"
#include "linux/process/process.h"

/* A process with so many descriptors that this is too short is not looked
   through to the end. */
#define SEARCH_MS 4

/* So many are looked at however long it takes, when others have the CPU. */
#define SEARCH_MIN 256
#define SEARCH_MIN_EPOLLS 4

/* ---- a descriptor ---- */

struct of_fd {
	pid_t tid;
	int fd;
	uint64_t ino;
};

void
look_fd_here(pid_t tid, int fd, struct look_fd *ret)
{
	ret->kind = inspect_fd(tid, fd, &ret->ino);
	ret->flags_code = ret->kind == INSPECT_NOTHING ? -EBADF :
	    inspect_fd_flags(tid, fd, &ret->flags);
}

static int
do_fd(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct of_fd *of = arg;

	(void)fds;
	look_fd_here(of->tid, of->fd, ret);
	return 0;
}

int
look_fd(const struct looker_whom *whom, pid_t tid, int fd,
    struct look_fd *ret_fd)
{
	const struct of_fd of = { .tid = tid, .fd = fd };

	return looker_ask(whom, &(struct looker_question){
	    .fn = do_fd, .arg = &of, .arg_len = sizeof(of),
	    .ret = ret_fd, .ret_len = sizeof(*ret_fd),
	});
}

/* ---- who else refers to a socket ---- */

struct search {
	struct of_fd of;
	struct look_kin *kin;
	size_t n;			/* descriptors looked at */
	int epolls[LOOK_ENTRIES_MAX];	/* over there */
	size_t n_epolls;
	int epoll;			/* at hand */
	struct mono deadline;
};

static bool
note_fd(void *ctx, int fd)
{
	struct search *s = ctx;
	struct look_kin *k = s->kin;
	uint64_t ino;

	if (++s->n > SEARCH_MIN && !mono_before(mono_now(), s->deadline))
		return false;
	switch (inspect_fd(s->of.tid, fd, &ino)) {
	case INSPECT_SOCKET:
		if (ino != s->of.ino || fd == s->of.fd ||
		    k->n_twins == LOOK_TWINS_MAX)
			break;
		k->twins[k->n_twins].fd = fd;
		(void)inspect_fd_flags(s->of.tid, fd,
		    &k->twins[k->n_twins].flags);
		k->n_twins++;
		break;
	case INSPECT_EPOLL:
		if (s->n_epolls < LOOK_ENTRIES_MAX)
			s->epolls[s->n_epolls++] = fd;
		break;
	default:
		break;
	}
	return true;
}

static bool
note_target(void *ctx, const struct inspect_epoll_target *t)
{
	struct search *s = ctx;
	struct look_kin *k = s->kin;

	if (t->ino != s->of.ino || k->n_entries == LOOK_ENTRIES_MAX)
		return true;
	k->entries[k->n_entries].epoll = s->epoll;	/* over there, as yet */
	k->entries[k->n_entries].number = t->fd;
	k->entries[k->n_entries].events = t->events;
	k->entries[k->n_entries].data = t->data;
	k->n_entries++;
	return true;
}

/* From their numbers to duplicates of ours. */
static void
copy_epolls(struct search *s, struct looker_fds *fds)
{
	struct look_kin *k = s->kin;
	pid_t pid = k->n_entries > 0 ? inspect_process_of(s->of.tid) : 0;
	size_t n = 0;

	for (size_t i = 0; i < k->n_entries; i++) {
		int copy = inspect_take_fd(pid, k->entries[i].epoll);

		if (copy < 0)
			continue;
		k->entries[n++] = k->entries[i];
		fds->v[fds->n++] = copy;
	}
	k->n_entries = n;
}

static int
do_kin(const void *arg, void *ret, struct looker_fds *fds)
{
	struct search s = {
		.kin = ret, .deadline = mono_add_ms(mono_now(), SEARCH_MS),
	};

	memcpy(&s.of, arg, sizeof(s.of));
	(void)inspect_each_fd(s.of.tid, note_fd, &s);
	for (size_t i = 0; i < s.n_epolls && (i < SEARCH_MIN_EPOLLS ||
	    mono_before(mono_now(), s.deadline)); i++) {
		s.epoll = s.epolls[i];
		inspect_each_epoll_target(s.of.tid, s.epoll, note_target, &s);
	}
	copy_epolls(&s, fds);
	return 0;
}

int
look_kin(const struct looker_whom *whom, pid_t tid, int fd, uint64_t ino,
    struct look_kin *ret_kin)
{
	const struct of_fd of = { .tid = tid, .fd = fd, .ino = ino };
	struct looker_fds fds = { .n = 0 };
	int code = looker_ask(whom, &(struct looker_question){
	    .fn = do_kin, .arg = &of, .arg_len = sizeof(of),
	    .ret = ret_kin, .ret_len = sizeof(*ret_kin), .fds = &fds,
	    .attaches = true,
	});

	/* Without room for all of them, some are missing. */
	if (code == -EMFILE) {
		ret_kin->n_entries = fds.n;
		code = 0;
	}
	for (size_t i = 0; code == 0 && i < ret_kin->n_entries; i++)
		ret_kin->entries[i].epoll = fds.v[i];
	return code;
}

/* ---- trees ---- */

struct of_tree {
	pid_t pid;
	int given, n_given;
	size_t n;
	uint64_t inos[LOOK_INOS_MAX];
};

static size_t
size_of_tree(const struct of_tree *of)
{
	return offsetof(struct of_tree, inos) + of->n * sizeof(of->inos[0]);
}

static int
do_waiting(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct of_tree *of = arg;

	(void)fds;
	*(enum waiting *)ret = waiting_look(of->pid, of->inos, of->n);
	return 0;
}

enum waiting
look_waiting(const struct looker_whom *whom, const uint64_t *inos, size_t n,
    enum look_wait wait, int *ret_code)
{
	struct of_tree of = {
		.pid = whom->pid, .n = n < LOOK_INOS_MAX ? n : LOOK_INOS_MAX,
	};
	enum waiting waiting = WAITING_HELD_UP;

	memcpy(of.inos, inos, of.n * sizeof(inos[0]));
	*ret_code = looker_ask(whom, &(struct looker_question){
	    .fn = do_waiting, .arg = &of, .arg_len = size_of_tree(&of),
	    .ret = &waiting, .ret_len = sizeof(waiting),
	    .once = wait == LOOK_ONCE, .later = wait == LOOK_LATER,
	    .attaches = true,
	});
	return waiting;
}

static int
do_holds(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct of_tree *of = arg;

	(void)fds;
	*(bool *)ret = waiting_holds(of->pid, of->inos[0], of->given,
	    of->n_given);
	return 0;
}

int
look_holds(const struct looker_whom *whom, pid_t pid, uint64_t ino, int given,
    int n_given)
{
	const struct of_tree of = {
		.pid = pid, .given = given, .n_given = n_given,
		.n = 1, .inos = { ino },
	};
	bool holds;
	int code = looker_ask(whom, &(struct looker_question){
	    .fn = do_holds, .arg = &of, .arg_len = size_of_tree(&of),
	    .ret = &holds, .ret_len = sizeof(holds),
	});

	return code < 0 ? code : holds;
}

struct port {
	bool found;
	uint16_t port;
};

static int
do_listening_port(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct of_tree *of = arg;
	struct port *p = ret;

	(void)fds;
	p->found = listening_port(of->pid, &p->port);
	return 0;
}

int
look_listening_port(const struct looker_whom *whom, uint16_t *ret_port)
{
	const struct of_tree of = { .pid = whom->pid };
	struct port p = { .found = false };
	int code = looker_ask(whom, &(struct looker_question){
	    .fn = do_listening_port, .arg = &of, .arg_len = size_of_tree(&of),
	    .ret = &p, .ret_len = sizeof(p),
	});

	if (p.found)
		*ret_port = p.port;
	return code < 0 ? code : p.found;
}

/* ---- what it uses ---- */

static int
do_usage(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)fds;
	return usage_of_tree(*(const pid_t *)arg, ret) ? 0 : -ESRCH;
}

bool
look_usage(const struct looker_whom *whom, struct usage *ret_usage)
{
	struct usage usage;
	bool ok = looker_ask(whom, &(struct looker_question){
	    .fn = do_usage, .arg = &whom->pid, .arg_len = sizeof(whom->pid),
	    .ret = &usage, .ret_len = sizeof(usage),
	}) == 0;

	if (ok)
		*ret_usage = usage;
	return ok;
}

/* ---- the environment ---- */

struct of_env {
	pid_t pid;
	char name[64];
};

struct env {
	char value[256];
};

static int
do_env(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct of_env *of = arg;
	struct env *env = ret;

	(void)fds;
	return process_env(of->pid, of->name, env->value, sizeof(env->value)) ?
	    0 : -ENODATA;
}

int
look_env(const struct looker_whom *whom, const char *name, char *value,
    size_t size)
{
	struct of_env of = { .pid = whom->pid };
	struct env env = { .value = "" };
	int code;

	snprintf(of.name, sizeof(of.name), "%s", name);
	code = looker_ask(whom, &(struct looker_question){
	    .fn = do_env, .arg = &of, .arg_len = sizeof(of),
	    .ret = &env, .ret_len = sizeof(env),
	});
	if (code == 0 && strlen(env.value) >= size)
		code = -ENODATA;
	if (code == 0)
		strcpy(value, env.value);
	return code;
}
