#include <sys/wait.h>

#include <string.h>

#include "linux/process/inspect.h"
#include "linux/process/process.h"
#include "linux/process/stands_still.h"

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

bool
process_threads_stand(pid_t pid)
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
	return process_is_fostered(pid) && process_threads_stand(pid);
}
