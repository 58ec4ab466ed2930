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
 *   control.c     clients of the control socket; control_op.c what they ask
 *                 for, control_status.c what they are told
 *   stopped.c     apps that are stopped by request
 *   listeners.c   the open listeners; listener_file.c those of Unix sockets
 *   lanes.c       the sockets of a listener, and whose they are; lanes_heal.c
 *                 undoes what workers do to them
 *   steer.c       which of them get new connections; lanes_steer.c tells the
 *                 kernel, balancing.c knows what it lets us
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
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "core/conf/conf.h"
#include "daemon/control/control.h"
#include "daemon/watch/drain.h"
#include "daemon/sockets/listeners.h"
#include "daemon/output/outputs.h"
#include "linux/loop/loop.h"
#include "linux/file/pidfile.h"
#include "linux/child/sd_notify.h"

struct app;
struct conf_origin;
struct error;
struct reload;
struct stopped_app;
struct worker;

#define PID_BUCKETS 512

struct supervisor {
	struct loop *loop;
	const struct conf_origin *origin;	/* where to read again */
	int log_level;		/* of the command line; -1: the file's */
	struct config *config;	/* in force */
	struct listeners listeners;
	struct outputs outputs;
	struct app *apps;	/* list; removed ones until they are gone */
	struct worker *by_pid[PID_BUCKETS];
	struct reload *reload;
	struct stopped_app *stopped;
	struct control control;
	struct pidfile pidfile;
	struct sd_notify up;	/* the supervisor above us */

	int signal_fd;
	int null_fd;
	loop_handle signals;
	struct loop_timer thaw;		/* resumes paused notify sockets */
	struct loop_timer sweep;	/* for what dead workers left behind */
	struct loop_timer give_up;	/* on what was killed and does not die */
	struct loop_timer adopt_again;	/* answers what could not be before */
	struct loop_timer settle;	/* which addresses are really served */
	struct loop_timer look;		/* at the starters, when there are any */
	struct loop_timer steer;	/* lanes that may get connections too */
	struct drain_looks drain;	/* at retiring workers */
	struct mono steered;		/* at the latest death of its kind */
	TAILQ_HEAD(starters, worker) starters;
	struct rlimit nofile;		/* as inherited, for the workers */
	unsigned auto_instances;
	struct mono started;
	uint64_t serial;		/* of the last worker process */
	uint64_t number;		/* of the last app or worker */
	uint64_t apps_added;
	uint64_t n_reloads;		/* asked for */
	uint64_t reloads_refused;
	uint64_t run_id;		/* tells our workers from another's */
	pid_t *strangers;	/* children we had before we began */
	size_t n_strangers;
	pid_t pid;

	unsigned lingering;	/* workers whose leader died before its group */
	struct mono adopt_pause;	/* until then binds wait */
	bool can_adopt;		/* tried out, and it works */
	bool told_no_adoption;
	bool dirty;		/* an app is */
	bool starting;		/* until every app was ready once */
	bool reloading;		/* an app is, since the last HUP */
	bool stopping;
	bool killing;
	bool failed;		/* exit status 1 */
	bool done;
};

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

/* For the parts: */

/* The time and a random number. */
struct worker_facts supervisor_facts(void);

/* End the program with status 1: a worker cannot be executed at the start. */
void supervisor_fail(struct supervisor *sup);

/* Stop, as SIGTERM does. */
void supervisor_stop(struct supervisor *sup);

/* Look for what dead workers left behind, soon. */
void supervisor_sweep_soon(struct supervisor *sup);

void supervisor_add_worker(struct supervisor *sup, struct worker *worker);
void supervisor_remove_worker(struct supervisor *sup, struct worker *worker);
struct worker *supervisor_find_worker(struct supervisor *sup, pid_t pid);

#endif
