/*
 * The supervisor owns everything that runs: the loop, the apps with their
 * workers, the listeners, the table of pids. The files of daemon/ are its
 * parts:
 *
 *   supervisor.c  start, signals, the end
 *   reload.c      HUP: a new configuration, checked and put in force
 *   app.c         one app: seats, scale; app_rollout.c its reloads
 *   worker.c      one worker: carries out what core/worker_fsm decides;
 *                 here a worker's death is buried
 *   worker_notify.c  what workers say through sd_notify
 *   adopt.c       what workers bind by themselves becomes their listener
 *   drain.c       whether retiring workers have finished
 *   readiness.c   whether starting workers wait for connections yet
 *   orphans.c     what dead workers leave behind
 *   control.c     clients of the control socket, what they ask for and what
 *                 they are told
 *   stopped.c     apps that are stopped by request
 *   listeners.c   the open listeners; their files are in listener.h
 *   steer.c       which of their lanes get new connections
 *   outputs.c     what workers write, where that comes through here; output.c
 *                 one place that it goes to, out_pipe.c one stream of a worker
 *
 * Handlers of loop events change one worker and mark its app dirty; the dirty
 * apps advance at the end of the turn, so nothing recurses.
 */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conf/conf.h"

struct conf_origin;

struct supervisor_setup {
	const struct conf_origin *origin;
	struct config *config;		/* checked; a reference is taken */
	int log_level;			/* enum log_level, or -1 */
};

/*
 * Run until stopped. Returns the exit status: 0; 1 failed; 69 (EX_UNAVAILABLE)
 * a port or the pid file could not be had; 78 (EX_CONFIG) the log could not be
 * opened.
 */
int supervisor_run(const struct supervisor_setup *setup);

#endif
