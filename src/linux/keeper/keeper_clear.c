#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_records.h"
#include "linux/keeper/keeper_clear.h"
#include "linux/keeper/keeper_page.h"
#include "linux/ledger/descriptors.h"
#include "linux/process/process.h"

/* ---- children ---- */

static pid_t *strangers;
static size_t n_strangers;

void
keeper_note_strangers(void)
{
	if (process_children(&strangers, &n_strangers) < 0)
		n_strangers = 0;
}

int
keeper_clear_hand_over(int fd)
{
	uint64_t n = n_strangers;
	int code = keeper_state_put(fd, &n, sizeof(n));

	return code == 0 ? keeper_state_put(fd, strangers,
	    n_strangers * sizeof(*strangers)) : code;
}

int
keeper_clear_take(int fd)
{
	uint64_t n;
	int code = keeper_state_get(fd, &n, sizeof(n));

	if (code < 0 || n == 0)
		return code;
	strangers = calloc((size_t)n, sizeof(*strangers));
	if (strangers == NULL)
		return -ENOMEM;
	n_strangers = (size_t)n;
	return keeper_state_get(fd, strangers,
	    n_strangers * sizeof(*strangers));
}

bool
keeper_is_stranger(pid_t pid)
{
	for (size_t i = 0; i < n_strangers; i++)
		if (strangers[i] == pid)
			return true;
	return false;
}

bool
keeper_reaped(pid_t pid)
{
	for (size_t i = 0; i < n_strangers; i++)
		if (strangers[i] == pid) {
			strangers[i] = strangers[--n_strangers];
			return true;
		}
	return false;
}

/* As it is by now: the supervisor's view of where its end is, is its own. */
static bool
is_worker(const struct ledger *ledger, pid_t pid)
{
	struct ledger_worker r;
	struct ledger now;

	if (ledger_open(&now, ledger->memory, ledger->size, NULL) < 0)
		return false;
	for (uint32_t i = 0; i < ledger_end(&now, LEDGER_WORKER); i++)
		if (ledger_get(&now, LEDGER_WORKER, i, &r) == 1 &&
		    r.pid == pid)
			return true;
	return false;
}

static bool
end_child(const struct ledger *ledger, pid_t pid, bool spare)
{
	if (keeper_is_stranger(pid))
		return false;
	if (spare && ledger == NULL)
		return true;
	if (spare && !is_worker(ledger, pid))
		return false;
	/* It is our unreaped child, so the number is its own. */
	if (getpgid(pid) == pid)
		process_kill_group(pid, SIGKILL);
	process_kill(pid, SIGKILL);
	return true;
}

/* There are some, and no list of them. As process 1 we can kill them all the
   same. */
static bool
end_unlisted(bool spare)
{
	siginfo_t info;

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    n_strangers > 0)
		return false;
	if (!spare && getpid() == 1)
		(void)kill(-1, SIGKILL);
	return true;
}

bool
keeper_kill_children(const struct ledger *ledger, bool spare)
{
	char path[64], text[1024];
	bool any = false;
	pid_t pid = 0;
	ssize_t n;
	int fd = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	if (process_proc_is_ours())
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return end_unlisted(spare);
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			if (pid > 0 && end_child(ledger, pid, spare))
				any = true;
			pid = 0;
		}
	fd_close(&fd);
	return any;
}

/* ---- descriptors ---- */

static struct descriptors left;

static bool
is_not_left(int fd)
{
	const int *mine = keeper_page()->upgrade_fds;

	if (fd == mine[0] || fd == mine[1] || fd == mine[2])
		return true;
	return fd == keeper_page()->wake_fd ||
	    fd == keeper_page()->low_fd || fd == keeper_page()->kept_fd ||
	    fd == keeper_page()->asker_fd || fd == keeper_page()->ledger_fd ||
	    fd == keeper_page()->ready_fd || fd == log_own_fd() ||
	    keeper_page_had(fd);
}

void
keeper_note_left(void)
{
	int code = descriptors_list(is_not_left, &left);

	if (code < 0)
		log_error("what the supervisor before has left stays open: %s",
		    strerror(-code));
}

struct descriptors
keeper_take_left(void)
{
	return left;
}
