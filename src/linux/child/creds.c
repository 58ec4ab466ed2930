#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/str.h"
#include "linux/child/creds.h"
#include "linux/loop/signals.h"
#include "linux/process/caps.h"

#define LOOKUP_SECONDS	10
#define GROUPS_MAX	65536	/* NGROUPS_MAX of Linux */

/* ---- the cache ---- */

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static int
add_pending(struct creds_cache *cache, const char *user, const char *group)
{
	struct creds_entry *v = reallocarray(cache->v, cache->n + 1,
	    sizeof(*v));
	struct creds_entry e = { .answered = false };

	if (v == NULL)
		return -ENOMEM;
	cache->v = v;
	if ((user != NULL && (e.user = strdup(user)) == NULL) ||
	    (group != NULL && (e.group = strdup(group)) == NULL)) {
		free(e.user);
		return -ENOMEM;
	}
	cache->v[cache->n++] = e;
	return -EAGAIN;
}

static int
copy_creds(const struct conf_creds *from, struct conf_creds *ret)
{
	struct conf_creds c = *from;

	c.name = from->name != NULL ? strdup(from->name) : NULL;
	c.home = from->home != NULL ? strdup(from->home) : NULL;
	c.groups = NULL;
	if (from->n_groups > 0) {
		c.groups = reallocarray(NULL, from->n_groups,
		    sizeof(*c.groups));
		if (c.groups != NULL)
			memcpy(c.groups, from->groups,
			    from->n_groups * sizeof(*c.groups));
	}
	if ((from->name != NULL && c.name == NULL) ||
	    (from->home != NULL && c.home == NULL) ||
	    (from->n_groups > 0 && c.groups == NULL)) {
		conf_creds_free(&c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

int
creds_cache_find(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	struct creds_cache *cache = ctx;

	for (size_t i = 0; i < cache->n; i++) {
		const struct creds_entry *e = &cache->v[i];

		if (!same(e->user, user) || !same(e->group, group))
			continue;
		if (!e->answered)
			return -EAGAIN;
		if (e->code < 0)
			return error_set(err, e->code, "%s",
			    e->why != NULL ? e->why : strerror(-e->code));
		return copy_creds(&e->creds, ret_creds);
	}
	return add_pending(cache, user, group);
}

bool
creds_cache_pending(const struct creds_cache *cache)
{
	for (size_t i = 0; i < cache->n; i++)
		if (!cache->v[i].answered)
			return true;
	return false;
}

void
creds_cache_free(struct creds_cache *cache)
{
	for (size_t i = 0; i < cache->n; i++) {
		struct creds_entry *e = &cache->v[i];

		free(e->user);
		free(e->group);
		free(e->why);
		conf_creds_free(&e->creds);
	}
	free(cache->v);
	*cache = (struct creds_cache)CREDS_CACHE_INIT;
}

/* ---- the child ---- */

struct answer {		/* followed by groups, name, home, why */
	int code;
	uint32_t uid;
	uint32_t gid;
	uint32_t n_groups;
	uint32_t name_len;
	uint32_t home_len;
	uint32_t why_len;
};

struct found {
	struct answer answer;
	const char *name;
	const char *home;
	struct error why;
	gid_t *groups;
};

/* getpwnam(3) lists what errno may be when there simply is no such name. */
static bool
lookup_failed(int err)
{
	return err != 0 && err != ENOENT && err != ESRCH && err != EBADF &&
	    err != EPERM && err != EWOULDBLOCK;
}

static void
not_found(struct found *f, const char *what, const char *name, int err)
{
	if (lookup_failed(err))
		f->answer.code = error_set(&f->why, -err,
		    "cannot look up %s \"%s\": %s", what, name,
		    strerror(err));
	else
		f->answer.code = error_set(&f->why, -ENOENT,
		    "there is no %s \"%s\"", what, name);
}

static void
find_group(const char *group, struct found *f)
{
	uint64_t number;
	struct group *gr;

	errno = 0;
	gr = getgrnam(group);
	if (gr != NULL)
		f->answer.gid = gr->gr_gid;
	else if (num_parse(group, 0, UINT32_MAX - 1, &number))
		f->answer.gid = (uint32_t)number;
	else
		not_found(f, "group", group, errno);
}

static void
find_groups(struct found *f)
{
	int n = 64;

	for (;;) {
		gid_t *groups = reallocarray(f->groups, (size_t)n,
		    sizeof(*groups));
		int want = n;

		if (groups == NULL) {
			f->answer.code = -ENOMEM;
			return;
		}
		f->groups = groups;
		if (getgrouplist(f->name, f->answer.gid, groups, &want) >= 0) {
			f->answer.n_groups = (uint32_t)want;
			return;
		}
		if (n >= GROUPS_MAX) {
			f->answer.code = -EINVAL;
			return;
		}
		n = n * 2 > want ? n * 2 : want;
	}
}

static void
find_user(const char *user, struct found *f)
{
	uint64_t number;
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL && num_parse(user, 0, UINT32_MAX - 1, &number))
		pw = getpwuid((uid_t)number);
	if (pw == NULL) {
		not_found(f, "user", user, errno);
		return;
	}
	f->answer.uid = pw->pw_uid;
	f->answer.gid = pw->pw_gid;
	f->name = pw->pw_name;
	f->home = pw->pw_dir;
}

static void
write_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			_exit(1);
		p += n;
		len -= (size_t)n;
	}
}

static void
look_up(const struct creds_entry *e, int fd)
{
	struct found f = { .groups = NULL };

	if (e->user != NULL)
		find_user(e->user, &f);
	if (e->group != NULL && f.answer.code == 0)
		find_group(e->group, &f);
	if (e->user != NULL && f.answer.code == 0)
		find_groups(&f);
	f.answer.name_len = f.name != NULL ? (uint32_t)strlen(f.name) : 0;
	f.answer.home_len = f.home != NULL ? (uint32_t)strlen(f.home) : 0;
	f.answer.why_len = f.why.text != NULL ?
	    (uint32_t)strlen(f.why.text) : 0;
	write_all(fd, &f.answer, sizeof(f.answer));
	write_all(fd, f.groups, f.answer.n_groups * sizeof(uint32_t));
	write_all(fd, f.name, f.answer.name_len);
	write_all(fd, f.home, f.answer.home_len);
	write_all(fd, f.why.text, f.answer.why_len);
	free(f.groups);
	error_clear(&f.why);
}

static int
start_lookup(const struct creds_cache *cache, pid_t *ret_pid, int *ret_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		signals_child_reset();
		signals_child_unblock();
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		(void)alarm(LOOKUP_SECONDS);
		for (size_t i = 0; i < cache->n; i++)
			if (!cache->v[i].answered)
				look_up(&cache->v[i], fds[1]);
		_exit(0);
	}
	if (pid < 0) {
		int code = -errno;

		fd_close(&fds[0]);
		fd_close(&fds[1]);
		return code;
	}
	fd_close(&fds[1]);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	*ret_pid = pid;
	*ret_fd = fds[0];
	return 0;
}

int
creds_lookup_start(const struct creds_cache *cache, int *ret_fd)
{
	pid_t pid;

	return start_lookup(cache, &pid, ret_fd);
}

/* ---- the answers ---- */

struct reader {
	const char *p;
	size_t left;
};

static bool
take(struct reader *r, void *to, size_t len)
{
	if (len > r->left)
		return false;
	if (len > 0)
		memcpy(to, r->p, len);
	r->p += len;
	r->left -= len;
	return true;
}

static char *
take_text(struct reader *r, size_t len)
{
	char *text;

	if (len > r->left)
		return NULL;
	text = strndup(r->p, len);
	r->p += len;
	r->left -= len;
	return text;
}

static bool
enter_answer(struct creds_entry *e, struct reader *r)
{
	struct conf_creds *c = &e->creds;
	struct answer a;

	if (!take(r, &a, sizeof(a)) || a.n_groups > GROUPS_MAX)
		return false;
	c->set = true;
	c->uid = a.uid;
	c->gid = a.gid;
	if (a.n_groups > 0) {
		c->groups = reallocarray(NULL, a.n_groups, sizeof(uint32_t));
		if (c->groups == NULL ||
		    !take(r, c->groups, a.n_groups * sizeof(uint32_t)))
			return false;
		c->n_groups = a.n_groups;
	}
	if (a.name_len > 0 && (c->name = take_text(r, a.name_len)) == NULL)
		return false;
	if ((a.name_len > 0 || a.home_len > 0) &&
	    (c->home = take_text(r, a.home_len)) == NULL)
		return false;
	if (a.why_len > 0 && (e->why = take_text(r, a.why_len)) == NULL)
		return false;
	e->code = a.code;
	return true;
}

void
creds_lookup_finish(struct creds_cache *cache, const char *bytes, size_t len)
{
	struct reader r = { .p = bytes, .left = len };
	bool ok = true;

	for (size_t i = 0; i < cache->n; i++) {
		struct creds_entry *e = &cache->v[i];

		if (e->answered)
			continue;
		e->answered = true;
		ok = ok && enter_answer(e, &r);
		if (!ok) {
			e->code = -ETIMEDOUT;
			free(e->why);
			e->why = NULL;
			if (asprintf(&e->why, "the look-up of \"%s\" failed "
			    "or took longer than %d seconds",
			    e->user != NULL ? e->user : e->group,
			    LOOKUP_SECONDS) < 0)
				e->why = NULL;
		}
	}
}

int
creds_lookup_wait(struct creds_cache *cache)
{
	struct strbuf answers = STRBUF_INIT;
	struct pollfd p = { .fd = -1, .events = POLLIN };
	char chunk[1024];
	pid_t pid;
	int code = start_lookup(cache, &pid, &p.fd);

	if (code < 0)
		return code;
	for (;;) {
		ssize_t n = read(p.fd, chunk, sizeof(chunk));

		if (n == 0)
			break;
		if (n > 0)
			strbuf_add(&answers, chunk, (size_t)n);
		else if (errno == EAGAIN)
			(void)poll(&p, 1, -1);
		else if (errno != EINTR)
			break;
	}
	fd_close(&p.fd);
	/* The alarm bounds its life. */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	creds_lookup_finish(cache, answers.text, answers.len);
	strbuf_free(&answers);
	return 0;
}

bool
creds_privileged(void)
{
	const uint64_t need = CAPS_BIT(CAP_SETUID) | CAPS_BIT(CAP_SETGID) |
	    CAPS_BIT(CAP_KILL);
	uint64_t caps;

	if (!caps_effective(&caps))
		return geteuid() == 0;
	return (caps & need) == need;
}
