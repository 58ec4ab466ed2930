#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/mono.h"
#include "linux/process/inspect.h"
#include "linux/process/process.h"
#include "linux/process/stands_still.h"

/* Between two looks whether it has come to a stop. */
#define STEP_NS 50000

struct threads {
	bool any;
	bool all_stand;
};

static bool
look_at_thread(void *ctx, pid_t tid)
{
	struct threads *t = ctx;
	struct process_stat st;

	t->any = true;
	t->all_stand = process_stat(tid, &st) && st.state == 'T';
	return t->all_stand;
}

/* Of whosever child. */
static bool
threads_stand(pid_t pid)
{
	struct threads t = { .any = false };

	inspect_each_thread(pid, look_at_thread, &t);
	return t.any && t.all_stand;
}

bool
process_stands_still(pid_t pid)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0)
		return info.si_pid == pid;
	/* To nobody but its parent the kernel tells it. */
	return process_is_fostered(pid) && threads_stand(pid);
}

static bool
stands(pid_t pid)
{
	return process_is_child(pid) ? process_stands_still(pid) :
	    threads_stand(pid);
}

int
process_stop_begin(struct process_stop *s, pid_t pid, struct mono by)
{
	const struct timespec step = { .tv_nsec = STEP_NS };

	*s = (struct process_stop){ .pid = pid, .was = stands(pid) };
	if (s->was)
		return 0;
	if (kill(pid, SIGSTOP) < 0)
		return -errno;
	while (!stands(pid)) {
		if (!mono_before(mono_now(), by)) {
			(void)kill(pid, SIGCONT);
			return -EAGAIN;
		}
		(void)nanosleep(&step, NULL);
	}
	return 0;
}

void
process_stop_end(const struct process_stop *s)
{
	if (!s->was)
		(void)kill(s->pid, SIGCONT);
}
