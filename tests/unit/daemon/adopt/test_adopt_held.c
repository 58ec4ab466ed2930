/*
 * What a worker has open, and waits on; and who is not looked at.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <unistd.h>

#include "core/conf/conf.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/workers/worker.h"
#include "linux/process/waiting.h"

enum waiting __wrap_waiting_look(pid_t leader, const uint64_t *inos, size_t n);
bool __wrap_waiting_holds(pid_t leader, uint64_t ino, int given, int n);
struct lane *__wrap_spec_lanes_find(const struct app_spec *spec,
    struct listener *l, const struct lane_holder *holder);
size_t __wrap_spec_lanes_inodes(const struct app_spec *spec,
    const struct lane_holder *holder, uint64_t *inos, size_t max);

static unsigned n_looks;
static struct lane lane = { .ino = 4711 };

enum waiting
__wrap_waiting_look(pid_t leader, const uint64_t *inos, size_t n)
{
	(void)leader;
	(void)inos;
	(void)n;
	n_looks++;
	return WAITING_YES;
}

bool
__wrap_waiting_holds(pid_t leader, uint64_t ino, int given, int n)
{
	(void)leader;
	(void)ino;
	(void)given;
	(void)n;
	n_looks++;
	return false;
}

struct lane *
__wrap_spec_lanes_find(const struct app_spec *spec, struct listener *l,
    const struct lane_holder *holder)
{
	(void)spec;
	(void)l;
	(void)holder;
	return &lane;
}

size_t
__wrap_spec_lanes_inodes(const struct app_spec *spec,
    const struct lane_holder *holder, uint64_t *inos, size_t max)
{
	(void)spec;
	(void)holder;
	(void)max;
	inos[0] = 1;
	return 1;
}

/* Its /proc waits for the execve(2), and has all descriptors that we have. */
static void
who_has_not_executed_is_not_looked_at(void **state)
{
	const struct conf_app conf = { .handoff = CONF_HANDOFF_ADOPT };
	struct app_spec spec = { .conf = &conf };
	struct trap trap = { .low = false };
	struct worker w = {
		.pid = getpid(), .spec = &spec, .trap = &trap,
		.fsm = { .state = WORKER_EXECING },
	};
	struct listener l = { .listening = true };

	(void)state;
	assert_true(adopt_holds(&w, &l));
	assert_true(adopt_waits(&w, &l));
	assert_false(adopt_waits_but_for(&w, &l));
	assert_int_equal(n_looks, 0);
	w.fsm.state = WORKER_STARTING;
	assert_false(adopt_holds(&w, &l));
	assert_true(adopt_waits(&w, &l));
	assert_true(adopt_waits_but_for(&w, &l));
	assert_int_equal(n_looks, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_not_executed_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
