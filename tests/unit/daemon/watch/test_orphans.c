/* What is kept of dead workers, as long as something of them may be found; and whose
   a process is that cannot be looked at. */
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/mono.h"
#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/looks.h"

/* Linked with --wrap for them. */
bool __wrap_process_proc_is_ours(void);
int __wrap_look_env(const struct looker_whom *whom, const char *name,
    char *value, size_t size);

static bool is_ours;

bool
__wrap_process_proc_is_ours(void)
{
	return is_ours;
}

int
__wrap_look_env(const struct looker_whom *whom, const char *name, char *value,
    size_t size)
{
	(void)whom, (void)name, (void)value, (void)size;
	return -EBUSY;
}

static size_t
kept_of(unsigned n)
{
	const struct conf_app conf = { .stop_signal = SIGTERM };
	struct app_spec spec = { .conf = &conf };
	struct crew crew = { .name = (char[]){ "web" } };
	struct workers workers = { .run_id = 1 };
	struct orphans orphans = { .scan = CHILD_SCAN_INIT };
	struct loop *loop;
	size_t kept = 0;

	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(orphans_init(&orphans, loop, &workers), 0);
	for (unsigned i = 1; i <= n; i++) {
		struct worker w = {
			.crew = &crew, .spec = &spec, .serial = i,
			.pid = 4 * 1024 * 1024 + (pid_t)i,
		};

		orphans_begin(&orphans, &w);
	}
	for (struct legacy *l = orphans.legacies.first; l != NULL; l = l->next)
		kept++;
	orphans_fini(&orphans);
	loop_free(loop);
	return kept;
}

static void
dead_workers_are_known(void **state)
{
	(void)state;
	is_ours = true;
	assert_int_equal(kept_of(3), 3);
}

/* No sweep could ever say that nothing is left of them. */
static void
nothing_piles_up_where_nobody_can_look(void **state)
{
	(void)state;
	is_ours = false;
	assert_int_equal(kept_of(3), 0);
}

/* ---- one that cannot be looked at ---- */

#define LIMIT_MS 10000

/* A process in that group, or in one of its own (0), which no SIGTERM ends; as if it
   were what is left of it. */
static pid_t
left_behind(pid_t group)
{
	int said[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setpgid(0, group);
		(void)signal(SIGTERM, SIG_IGN);
		(void)!write(said[1], "x", 1);
		(void)poll(NULL, 0, 60000);
		_exit(0);
	}
	assert_int_equal(read(said[0], &c, 1), 1);
	close(said[0]);
	close(said[1]);
	return pid;
}

static void
end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

struct room {
	struct conf_app conf;
	struct app_spec spec;
	struct crew crew, other;
	struct worker worker;
	struct workers workers;
	struct orphans orphans;
	struct loop *loop;
	struct loop_timer tick;
};

static void
ticked(void *ctx)
{
	struct room *r = ctx;

	loop_timer_start(r->loop, &r->tick, 1);
}

static void
room_open(struct room *r, pid_t pid)
{
	static const struct worker_events none;

	*r = (struct room){
		.conf = { .stop_signal = SIGTERM, .stop_timeout_ms = 1 },
		.spec = { .conf = &r->conf },
		.crew = { .name = (char[]){ "web" } },
		.other = { .name = (char[]){ "other" } },
		.worker = { .crew = &r->crew, .spec = &r->spec, .serial = 1,
		    .pid = pid },
		.orphans = { .scan = CHILD_SCAN_INIT },
	};
	is_ours = true;
	assert_int_equal(loop_new(&r->loop, NULL), 0);
	workers_init(&r->workers, r->loop, &none, 1);
	assert_int_equal(orphans_init(&r->orphans, r->loop, &r->workers), 0);
	/* No turn of it waits for long. */
	assert_int_equal(loop_timer_init(r->loop, &r->tick, ticked, r), 0);
	ticked(r);
}

static void
room_close(struct room *r)
{
	loop_timer_fini(r->loop, &r->tick);
	orphans_fini(&r->orphans);
	loop_free(r->loop);
}

/* Its group tells whose it was: it gets the signals of that worker's app. */
static void
unseen_one_of_a_dead_worker_is_killed(void **state)
{
	struct mono until = mono_add_ms(mono_now(), LIMIT_MS);
	static struct room r;
	pid_t pid = left_behind(0);
	int status;

	(void)state;
	room_open(&r, pid);
	orphans_begin(&r.orphans, &r.worker);
	orphans_sweep_soon(&r.orphans);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (!mono_before(mono_now(), until)) {
			(void)kill(pid, SIGKILL);
			fail_msg("it lives");
		}
		loop_turn(r.loop);
	}
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	room_close(&r);
}

/* Who has no time says that there may be one. */
static int
look_for_crew(struct orphans *o, const struct crew *crew, int expected)
{
	struct mono until = mono_add_ms(mono_now(), LIMIT_MS);
	int code;

	while ((code = orphans_look_for_crew(o, crew)) != expected &&
	    code == 1 && mono_before(mono_now(), until))
		poll(NULL, 0, 1);
	return code;
}

static void
unseen_one_is_of_one_app(void **state)
{
	static struct room r;
	pid_t pid = left_behind(0), other = left_behind(pid);

	(void)state;
	room_open(&r, pid);
	/* Of nobody that is known. */
	assert_int_equal(look_for_crew(&r.orphans, &r.crew, -EAGAIN), -EAGAIN);
	/* Of a worker that lives, and then is dead. */
	workers_add(&r.workers, &r.worker);
	assert_int_equal(orphans_look_for_crew(&r.orphans, &r.crew), 1);
	assert_int_equal(look_for_crew(&r.orphans, &r.other, 0), 0);
	workers_remove(&r.workers, &r.worker);
	orphans_begin(&r.orphans, &r.worker);
	assert_int_equal(look_for_crew(&r.orphans, &r.crew, 0), 0);
	end(other);
	end(pid);
	room_close(&r);
}

/* Nobody knows whose it is: what is kept of dead workers has an end. */
static void
unseen_one_keeps_no_more_than_some(void **state)
{
	struct mono until = mono_add_ms(mono_now(), LIMIT_MS);
	static struct room r;
	pid_t pid = left_behind(0);
	size_t kept = 0;

	(void)state;
	room_open(&r, 4 * 1024 * 1024);
	for (unsigned i = 0; i < LEGACIES_MAX + 10; i++) {
		r.worker.serial++;
		r.worker.pid++;
		orphans_begin(&r.orphans, &r.worker);
	}
	orphans_sweep_soon(&r.orphans);
	while (kept != LEGACIES_MAX) {
		assert_true(mono_before(mono_now(), until));
		loop_turn(r.loop);
		kept = 0;
		for (struct legacy *l = r.orphans.legacies.first; l != NULL;
		    l = l->next)
			kept++;
	}
	assert_int_equal(r.orphans.legacies.first->serial, r.worker.serial);
	end(pid);
	room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dead_workers_are_known),
		cmocka_unit_test(nothing_piles_up_where_nobody_can_look),
		cmocka_unit_test(unseen_one_of_a_dead_worker_is_killed),
		cmocka_unit_test(unseen_one_is_of_one_app),
		cmocka_unit_test(unseen_one_keeps_no_more_than_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
