/*
 * Apps with workers that are no processes: the machine of core/worker/worker_fsm is
 * the real one, what happens to a process the test says, and time is fake.
 * Linked with -Wl,--wrap= for what daemon/life, adopt and steer would do.
 */
#ifndef TESTS_UNIT_DAEMON_APPS_FAKE_WORKERS_H
#define TESTS_UNIT_DAEMON_APPS_FAKE_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/apps/apps.h"
#include "daemon/sockets/listeners.h"

/* An app of the configuration below; more keys follow. Who is ready takes the
   seat over at once, but where there is a canary. */
#define WEB CANARY "canary = 0\n"
#define CANARY "[web]\ncommand = /bin/true\nready = notify\n" \
	"restart_delay = 100ms\nrestart_delay_max = 1s\n" \
	"ready_timeout = 2s\nstop_timeout = 1s\ndrain_timeout = 10s\n"

struct fake {
	struct apps apps;
	struct listeners listeners;
	unsigned told_stepped, told_ended;	/* struct apps_watch */
	bool no_memory;		/* for new workers */
	uint32_t waiting;	/* in the queue of each worker: who is seen */
	const struct worker *left;	/* dead, in whose lanes somebody waits */
	unsigned aways;		/* of whole crews, from new connections */
	unsigned looks;		/* at the queues of workers */
	unsigned n_workers;	/* that there are */
	int64_t start_ms;	/* how long it takes to start one */
	int64_t retire_ms;	/* … to tell one to retire */
	int64_t note_ms;	/* … and to note one for the steering */
};

extern struct fake fake;

int fake_open(void **state);
/* Whatever still runs is killed; nobody may be left. */
int fake_close(void **state);

/* Add the first app of the text; or begin a rollout to it. */
struct app *fake_add(const char *text);
void fake_roll(struct app *app, const char *text);

/* The end of a turn. */
void fake_turn(void);

/* Time goes by; deadlines that come are told, then the turn ends. */
void fake_pass(int64_t ms);

/* Of a process: it is executed and says that it is ready; it dies. Then the
   turn ends. */
void fake_ready(struct worker *worker);
void fake_dies(struct worker *worker, bool badly);

/* Those without a seat die, as they were asked to. */
void fake_retired_go(struct app *app);

/* All seats come up. */
void fake_all_ready(struct app *app);

/*
 * What workers were told since the last call, in order, as
 * `WORD INSTANCE/GENERATION`: start, retire, stop, kill.
 */
void fake_expect(const char *words, const char *file, int line);
#define expect_told(words) fake_expect(words, __FILE__, __LINE__)
/* Whatever it was. */
void fake_forget(void);

#endif
