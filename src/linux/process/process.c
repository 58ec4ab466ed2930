#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "core/worker/obituary.h"
#include "linux/file/file.h"
#include "linux/process/process.h"

/* State and parent are among the first lines. */
#define STATUS_MAX	512

#define ENVIRON_MAX (256 * 1024)

static pid_t
dead(idtype_t type, pid_t pid, struct exit_status *ret_status)
{
	siginfo_t info = { .si_pid = 0 };

	/* WNOWAIT leaves the zombie, and with it the pid and its group. */
	if (waitid(type, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return 0;
	*ret_status = (struct exit_status){
		.signalled = info.si_code != CLD_EXITED,
		.core_dumped = info.si_code == CLD_DUMPED,
		.code = info.si_status,
	};
	return info.si_pid;
}

pid_t
process_next_dead(struct exit_status *ret_status)
{
	return dead(P_ALL, 0, ret_status);
}

bool
process_is_dead(pid_t pid, struct exit_status *ret_status)
{
	return dead(P_PID, pid, ret_status) == pid;
}

void
process_reap(pid_t pid)
{
	siginfo_t info;

	(void)waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
}

void
process_kill_group(pid_t pgid, int signo)
{
	/* ESRCH and EPERM (a set-uid descendant) are nothing to act on. */
	if (pgid > 1)
		(void)kill(-pgid, signo);
}

void
process_kill(pid_t pid, int signo)
{
	if (pid > 1)
		(void)kill(pid, signo);
}

bool
process_proc_is_ours(void)
{
	static enum { UNKNOWN, OURS, NOT_OURS } answer = UNKNOWN;
	char target[16], own[16];
	ssize_t n;

	if (answer == UNKNOWN) {
		n = readlink("/proc/self", target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		snprintf(own, sizeof(own), "%d", (int)getpid());
		answer = strcmp(target, own) == 0 ? OURS : NOT_OURS;
	}
	return answer == OURS;
}

struct pid_list {
	pid_t *v;
	size_t n;
	size_t cap;
};

static int
pid_list_add(struct pid_list *list, pid_t pid)
{
	if (list->n == list->cap) {
		size_t cap = list->cap == 0 ? 64 : list->cap * 2;
		pid_t *v = reallocarray(list->v, cap, sizeof(*v));

		if (v == NULL)
			return -ENOMEM;
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = pid;
	return 0;
}

/* proc(5): /proc/PID/task/TID/children, with CONFIG_PROC_CHILDREN. */
static int
children_from_list(pid_t parent, struct pid_list *list)
{
	char path[64];
	char *text, *word, *rest;
	size_t len;
	int code;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent,
	    (int)parent);
	code = file_read(path, 16 * 1024 * 1024, &text, &len, NULL);
	if (code < 0)
		return code;
	for (word = strtok_r(text, " \n", &rest); word != NULL && code == 0;
	    word = strtok_r(NULL, " \n", &rest)) {
		uint64_t pid;

		if (num_parse(word, 1, INT32_MAX, &pid))
			code = pid_list_add(list, (pid_t)pid);
	}
	free(text);
	return code;
}

/* Kernels without that file: look at every process. */
static int
children_from_scan(pid_t parent, struct pid_list *list)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int code = 0;

	if (dir == NULL)
		return -errno;
	while (code == 0 && (entry = readdir(dir)) != NULL) {
		struct process_stat st;
		uint64_t pid;

		if (num_parse(entry->d_name, 1, INT32_MAX, &pid) &&
		    process_stat((pid_t)pid, &st) && st.parent == parent)
			code = pid_list_add(list, (pid_t)pid);
	}
	closedir(dir);
	return code;
}

static int
children_of(pid_t parent, struct pid_list *list)
{
	int code = process_proc_is_ours() ? children_from_list(parent, list) :
	    -ENOSYS;

	return code == -ENOENT ? children_from_scan(parent, list) : code;
}

/* ---- those of another process ---- */

static pid_t foster_parent;
static bool (*foster_but)(void *ctx, pid_t pid);
static void *foster_ctx;

void
process_foster(pid_t parent, bool (*but)(void *ctx, pid_t pid), void *ctx)
{
	foster_parent = parent;
	foster_but = but;
	foster_ctx = ctx;
}

pid_t
process_foster_parent(void)
{
	return foster_parent;
}

bool
process_foster_counts(pid_t pid)
{
	return pid != getpid() && !foster_but(foster_ctx, pid);
}

/* Behind what is in the list. */
static int
add_fostered(struct pid_list *list)
{
	size_t first = list->n, n = first;
	int code = foster_parent == 0 ? 0 : children_of(foster_parent, list);

	for (size_t i = first; i < list->n; i++)
		if (process_foster_counts(list->v[i]))
			list->v[n++] = list->v[i];
	list->n = n;
	return code;
}

static bool
any_fostered(bool (*is)(pid_t pid, pid_t which), pid_t which)
{
	struct pid_list list = { .v = NULL };
	bool found = false;

	if (foster_parent != 0)
		(void)children_of(foster_parent, &list);
	/* In this order: to ask whether it counts may take a look at it. */
	for (size_t i = 0; i < list.n && !found; i++)
		found = is(list.v[i], which) &&
		    process_foster_counts(list.v[i]);
	free(list.v);
	return found;
}

static bool
is_any(pid_t pid, pid_t which)
{
	(void)pid;
	(void)which;
	return true;
}

static bool
is_it(pid_t pid, pid_t which)
{
	return pid == which;
}

static bool
is_in_group(pid_t pid, pid_t which)
{
	return getpgid(pid) == which;
}

bool
process_is_fostered(pid_t pid)
{
	return any_fostered(is_it, pid);
}

bool
process_has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ||
	    any_fostered(is_any, 0);
}

bool
process_is_child(pid_t pid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)pid, &info,
	    WEXITED | WNOHANG | WNOWAIT) == 0 || process_is_fostered(pid);
}

bool
process_child_in_group(pid_t pgid)
{
	siginfo_t info;

	/* Fails with ECHILD if there is none; WNOWAIT takes nothing. */
	return waitid(P_PGID, (id_t)pgid, &info,
	    WEXITED | WNOHANG | WNOWAIT) == 0 ||
	    any_fostered(is_in_group, pgid);
}

/* Where each has an inode of its own (pidfs, Linux 6.9), that is it: nobody is
   waited for. */
static uint64_t
inode_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct stat st = { .st_ino = 0 };

	if (fd < 0)
		return 0;
	(void)fstat(fd, &st);
	fd_close(&fd);
	return st.st_ino;
}

/* Field 22 of proc_pid_stat(5), behind the name. */
uint64_t
process_start(pid_t pid)
{
	unsigned long long start = 0;
	char path[32], *text, *fields;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read_start(path, 1024, &text, &len) < 0)
		return 0;
	fields = strrchr(text, ')');
	if (fields == NULL || sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d "
	    "%*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	    &start) != 1)
		start = 0;
	free(text);
	return start;
}

uint64_t
process_identity(pid_t pid)
{
	/* Before Linux 6.9 all had one. */
	static enum { NOT_ASKED, OWN, COMMON } inodes;
	uint64_t ino = inode_of(pid), own, other;

	if (inodes == NOT_ASKED && (own = inode_of(getpid())) != 0 &&
	    (other = inode_of(getppid())) != 0)
		inodes = own != other ? OWN : COMMON;
	return ino != 0 && inodes == COMMON ? process_start(pid) : ino;
}

/* Where there is no pidfd, or none to spare. */
static bool
looks_ended(pid_t pid)
{
	struct process_stat st;

	return (kill(pid, 0) < 0 && errno == ESRCH) ||
	    (process_stat(pid, &st) && st.state == 'Z');
}

bool
process_has_ended(pid_t pid, uint64_t identity)
{
	struct pollfd end = {
		.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN,
	};
	uint64_t now = process_identity(pid);
	bool ended;

	if (now != 0 && identity != 0 && now != identity)
		ended = true;
	else if (end.fd >= 0)
		ended = poll(&end, 1, 0) == 1;
	else
		ended = looks_ended(pid);
	fd_close(&end.fd);
	return ended;
}

int
process_children(pid_t **ret_pids, size_t *ret_n)
{
	struct pid_list list = { .v = NULL };
	int code = children_of(getpid(), &list);

	if (code == 0)
		code = add_fostered(&list);
	if (code < 0) {
		free(list.v);
		return code;
	}
	*ret_pids = list.v;
	*ret_n = list.n;
	return 0;
}

/* Newlines in the name, which comes first, are written as \n. */
static const char *
status_field(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at != NULL ? at + strlen(key) : "";
}

bool
process_stat(pid_t pid, struct process_stat *ret_stat)
{
	struct process_stat st = { .group = getpgid(pid) };
	char path[32], *text;
	size_t len;
	bool ok;

	if (st.group < 0 || !process_proc_is_ours())
		return false;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read_start(path, STATUS_MAX, &text, &len) < 0)
		return false;
	ok = sscanf(status_field(text, "\nState:\t"), "%c", &st.state) == 1 &&
	    sscanf(status_field(text, "\nPPid:\t"), "%d", &st.parent) == 1;
	free(text);
	if (ok)
		*ret_stat = st;
	return ok;
}

bool
process_env(pid_t pid, const char *name, char *value, size_t size)
{
	char path[32], *text;
	size_t len, name_len = strlen(name);
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	if (file_read_start(path, ENVIRON_MAX, &text, &len) < 0)
		return false;
	for (const char *entry = text; entry < text + len;
	    entry += strlen(entry) + 1) {
		if (strncmp(entry, name, name_len) != 0 ||
		    entry[name_len] != '=')
			continue;
		if (strlen(entry + name_len + 1) < size) {
			strcpy(value, entry + name_len + 1);
			found = true;
		}
		break;
	}
	free(text);
	return found;
}

bool
process_name(pid_t pid, char *name, size_t size)
{
	char path[32], *text;
	size_t len;

	snprintf(name, size, "?");
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (!process_proc_is_ours() || file_read_start(path, 64, &text, &len) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	if (*text != '\0')
		snprintf(name, size, "%s", text);
	free(text);
	return true;
}

int
process_become_subreaper(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}
