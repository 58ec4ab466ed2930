#include <sys/epoll.h>

#include "base/fd.h"
#include "linux/child/exec_report.h"

int
exec_report_spawn(struct exec_report *r, const struct spawn_plan *plan,
    pid_t *ret_pid)
{
	return spawn(plan, &r->room, ret_pid, &r->fd);
}

void
exec_report_close(struct exec_report *r)
{
	if (r->loop != NULL)
		loop_del(r->loop, &r->handle);
	fd_close(&r->fd);
}

static void
end_executed(struct exec_report *r)
{
	exec_report_close(r);
	spawn_room_free(&r->room);
	if (r->events.executed != NULL)
		r->events.executed(r->events.ctx);
}

void
exec_report_read(struct exec_report *r)
{
	while (r->fd >= 0) {
		int trap = -1;

		switch (spawn_read_report(r->fd, &r->failure, &trap)) {
		case SPAWN_REPORT_PENDING:
			return;
		case SPAWN_REPORT_TRAPPED:
			if (r->events.trapped != NULL)
				r->events.trapped(r->events.ctx, trap);
			else
				fd_close(&trap);
			break;
		case SPAWN_REPORT_UNLIMITED:
			if (r->events.unlimited != NULL)
				r->events.unlimited(r->events.ctx,
				    r->failure.err);
			break;
		case SPAWN_REPORT_EXECUTED:
			end_executed(r);
			return;
		case SPAWN_REPORT_FAILED:
			/* It stands on the room until it is dead. */
			r->failed = true;
			exec_report_close(r);
			return;
		}
	}
}

static void
ready(void *ctx, uint32_t events)
{
	(void)events;
	exec_report_read(ctx);
}

int
exec_report_watch(struct exec_report *r, struct loop *loop,
    const struct exec_report_events *events)
{
	r->loop = loop;
	r->events = *events;
	return loop_add(loop, r->fd, EPOLLIN, false, ready, r, &r->handle);
}

void
exec_report_forget(struct exec_report *r)
{
	exec_report_close(r);
	spawn_room_free(&r->room);
	*r = (struct exec_report)EXEC_REPORT_INIT;
}
