/* What is kept of dead workers, as long as something of them may be found. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/orphans_alone.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/process.h"

/* Linked with --wrap for it. */
bool __wrap_process_proc_is_ours(void);
bool __wrap_process_env(pid_t pid, const char *name, char *value, size_t size);

static bool is_ours;
static unsigned n_read;		/* environments of others */

bool
__wrap_process_proc_is_ours(void)
{
	return is_ours;
}

bool
__wrap_process_env(pid_t pid, const char *name, char *value, size_t size)
{
	(void)pid;
	(void)name;
	(void)value;
	(void)size;
	n_read++;
	return false;
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

/* Else one that has its number then would never be stopped. */
static void
whoever_was_spared_and_has_died_is_forgotten(void **state)
{
	struct workers workers = { .run_id = 1 };
	struct orphans orphans = { .scan = CHILD_SCAN_INIT };
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(orphans_init(&orphans, loop, &workers), 0);
	for (pid_t pid = 11; pid < 15; pid++)
		orphans_spare(&orphans, pid);
	orphans_reaped(&orphans, 12);
	orphans_reaped(&orphans, 14);
	assert_int_equal(orphans.n_strangers, 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(orphans.strangers[i] % 2 == 1);
	orphans_fini(&orphans);
	loop_free(loop);
}

/* A child, which ends with us, in that group; 0: one of its own. */
static pid_t
child_in(pid_t group)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	assert_int_equal(setpgid(pid, group), 0);
	return pid;
}

/* ---- without a keeper ---- */

/* As our parent's child sees it, a supervisor without a keeper: which of the four
   cases count. */
static int
counts_of(pid_t other, bool is_legacy)
{
	const struct conf_app conf = { .stop_signal = SIGTERM };
	struct app_spec spec = { .conf = &conf };
	struct worker w = {
		.crew = &(struct crew){ .name = (char[]){ "web" } },
		.spec = &spec, .serial = 1, .pid = other,
	};
	struct crew crew = { .workers = is_legacy ? NULL : &w };
	struct workers workers = { .run_id = 1, .crews = &crew };
	struct orphans orphans = { .workers = &workers };
	int counts = 0;

	for (int i = 0; i < 3; i++) {
		/* Its own, one that is not known, and another's. */
		w.identity = i == 1 ? 0 : process_identity(other) +
		    (uint64_t)i;
		orphans.legacies.first = NULL;
		if (is_legacy)
			legacies_add(&orphans.legacies, &w);
		orphans_alone(&orphans);
		counts |= process_is_fostered(other) << i;
		legacies_free(&orphans.legacies);
	}
	w.pid = getpid();
	counts |= process_is_fostered(other) << 3;
	return counts;
}

static void
groups_of_workers_count_as_long_as_they_are_theirs(void **state)
{
	pid_t other, pid;
	int status;

	(void)state;
	is_ours = true;
	for (int legacy = 0; legacy < 2; legacy++) {
		other = child_in(0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(counts_of(other, legacy != 0));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(kill(other, SIGKILL), 0);
		assert_int_equal(waitpid(other, NULL, 0), other);
		assert_int_equal(status, 3 << 8);
	}
}

static void
end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* As often as it takes: a sweep has a budget of each turn. */
static unsigned
read_in_a_sweep(struct orphans *orphans, struct loop *loop)
{
	n_read = 0;
	orphans_sweep_soon(orphans);
	do
		loop_turn(loop);
	while (orphans->sweeping);
	return n_read;
}

/* To read an environment waits for whoever has the lock of that memory, and may
   have no CPU. */
static void
only_of_unknown_groups_is_the_environment_read(void **state)
{
	struct crew crew = { .name = (char[]){ "web" } };
	struct worker w = { .crew = &crew, .serial = 1 };
	struct workers workers = { .run_id = 1 };
	struct orphans orphans = { .scan = CHILD_SCAN_INIT };
	pid_t leader, member, ours, unknown;
	struct loop *loop;

	(void)state;
	is_ours = true;
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(orphans_init(&orphans, loop, &workers), 0);
	leader = child_in(0);
	member = child_in(leader);
	ours = child_in(getpgrp());
	w.pid = leader;
	workers_add(&workers, &w);
	assert_int_equal(read_in_a_sweep(&orphans, loop), 0);
	unknown = child_in(0);
	assert_int_equal(read_in_a_sweep(&orphans, loop), 1);
	orphans_spare(&orphans, unknown);
	assert_int_equal(read_in_a_sweep(&orphans, loop), 0);
	orphans_reaped(&orphans, unknown);
	assert_int_equal(read_in_a_sweep(&orphans, loop), 1);
	workers_remove(&workers, &w);
	end_child(unknown);
	end_child(ours);
	end_child(member);
	end_child(leader);
	orphans_fini(&orphans);
	loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dead_workers_are_known),
		cmocka_unit_test(nothing_piles_up_where_nobody_can_look),
		cmocka_unit_test(
		    whoever_was_spared_and_has_died_is_forgotten),
		cmocka_unit_test(
		    groups_of_workers_count_as_long_as_they_are_theirs),
		cmocka_unit_test(
		    only_of_unknown_groups_is_the_environment_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
