/* What happens, as `events` and `watch` tell it, clusterd-control(7). */
#ifndef CORE_CONTROL_EVENT_H
#define CORE_CONTROL_EVENT_H

enum event_kind {
	/* Of a worker: */
	EVENT_START,		/* its program is executed */
	EVENT_READY,
	EVENT_DRAIN,		/* it finishes what it has */
	EVENT_STOP,		/* it got the stop signal */
	EVENT_KILL,		/* … or SIGKILL */
	EVENT_END,		/* its process has ended, as it was asked to */
	EVENT_DEATH,		/* … and was not */
	EVENT_PARKED,		/* restart_limit */
	EVENT_UNHEALTHY,	/* a check was bad, and the one before was not,
				   or it is one too many */
	EVENT_HEALTHY,		/* … and is good again */
	/* Of an app: */
	EVENT_RELOAD,		/* a rollout has begun */
	EVENT_RELOADED,
	EVENT_ABORTED,
	EVENT_SCALE,
	EVENT_ADDED,
	EVENT_REMOVED,
	/* Of clusterd, or of the app of which alone it was asked: */
	EVENT_APPLIED,		/* another configuration is in force */
	EVENT_REFUSED,		/* … or is not */
	EVENT_KINDS
};

/* Part of the protocol. */
const char *event_kind_name(enum event_kind kind);

#endif
