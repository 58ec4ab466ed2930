/* Who is held up, and who only waits for the CPU. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/process/held_up.h"
#include "linux/process/process.h"

#define LIMIT_MS	60000

/* More looks than it takes in one sleep, and than in many. */
#define STILL	11
#define ASLEEP	50

static void
pause_ns(long ns)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static void
sleep_on(void)
{
	for (;;)
		pause();
}

static void
spin(void)
{
	for (volatile unsigned i = 0;; i++)
		;
}

/* Asleep for most of the time. */
static void
drip(void)
{
	for (;;)
		pause_ns(1000000);
}

static pid_t
child_that(void (*fn)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		fn();
		_exit(0);
	}
	return pid;
}

static void
wait_for_state(pid_t pid, char state)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);
	struct process_stat st;

	while (!process_stat(pid, &st) || st.state != state) {
		assert_true(mono_before(mono_now(), end));
		pause_ns(1000000);
	}
}

static void
end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Looks, of so many at most, until it counts as held up; and one more: it does not. */
static unsigned
looks_until(pid_t child, pid_t by, unsigned most, long pause)
{
	struct held_up h = { .begun = false };
	unsigned n = 1;

	while (!held_up_look(&h, child, by) && n <= most) {
		pause_ns(pause);
		n++;
	}
	return n;
}

static void
who_sleeps_in_one_piece_is(void **state)
{
	pid_t pid = child_that(sleep_on), by = child_that(sleep_on);

	(void)state;
	wait_for_state(pid, 'S');
	wait_for_state(by, 'S');
	assert_int_equal(looks_until(pid, by, ASLEEP, 1000), STILL);
	end(by);
	/* Nor does one wait for somebody who is gone. */
	assert_int_equal(looks_until(pid, by, ASLEEP, 1000), STILL);
	end(pid);
}

static void
who_is_stopped_is(void **state)
{
	pid_t pid = child_that(spin);

	(void)state;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	wait_for_state(pid, 'T');
	assert_int_equal(looks_until(pid, pid, ASLEEP, 1000), STILL);
	end(pid);
}

/* Who has a lock, but not the CPU, gives it back as soon as he has: that takes longer. */
static void
who_waits_for_one_that_runs_is_not_so_soon(void **state)
{
	pid_t pid = child_that(sleep_on), by = child_that(spin);

	(void)state;
	wait_for_state(pid, 'S');
	wait_for_state(by, 'R');
	assert_int_equal(looks_until(pid, by, 2 * ASLEEP, 1000), ASLEEP);
	end(by);
	end(pid);
}

/* Beside one that has all of the CPU: it would run, if it were let. */
static void
who_has_no_cpu_is_not(void **state)
{
	struct held_up h = { .begun = false };
	pid_t pid = child_that(spin), other = child_that(spin);
	cpu_set_t all, one;
	int cpu = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(other, sizeof(one), &one), 0);
	assert_int_equal(sched_setaffinity(pid, sizeof(one), &one), 0);
	assert_int_equal(sched_setscheduler(pid, SCHED_IDLE,
	    &(struct sched_param){ .sched_priority = 0 }), 0);
	for (unsigned i = 0; i < 4 * ASLEEP; i++) {
		bool held_up = held_up_look(&h, pid, pid);

		assert_true(!held_up ||
		    h.cpu_ns - h.first_ns >= INT64_C(1000000000));
		assert_int_equal(h.asleep, 0);
		pause_ns(1000000);
	}
	end(other);
	end(pid);
}

static void
who_has_had_the_cpu_for_a_second_is(void **state)
{
	struct held_up h = { .begun = false };
	struct mono end_of_wait = mono_add_ms(mono_now(), LIMIT_MS);
	pid_t pid = child_that(spin);

	(void)state;
	while (!held_up_look(&h, pid, pid)) {
		assert_true(h.cpu_ns - h.first_ns < INT64_C(1000000000));
		assert_true(mono_before(mono_now(), end_of_wait));
		pause_ns(10000000);
	}
	assert_true(h.cpu_ns - h.first_ns >= INT64_C(1000000000));
	end(pid);
}

/* It sleeps, and yet it gets on: in the end that counts, too. */
static void
who_sleeps_in_pieces_is_later(void **state)
{
	pid_t pid = child_that(drip);

	(void)state;
	wait_for_state(pid, 'S');
	assert_in_range(looks_until(pid, pid, 1000, 20000000), ASLEEP, 1000);
	end(pid);
}

static void
who_has_ended_is_not(void **state)
{
	pid_t pid = child_that(sleep_on);

	(void)state;
	assert_int_equal(kill(pid, SIGKILL), 0);
	wait_for_state(pid, 'Z');
	assert_int_equal(looks_until(pid, pid, 2 * ASLEEP, 1000),
	    2 * ASLEEP + 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* What it has taken is never less than nothing, nor begins anew. */
static void
a_clock_that_cannot_be_told_is_left_out(void **state)
{
	struct held_up h = { .begun = false };
	pid_t pid = child_that(sleep_on), gone = child_that(sleep_on);
	int64_t first;

	(void)state;
	end(gone);
	wait_for_state(pid, 'S');
	assert_false(held_up_look(&h, gone, pid));
	assert_int_equal(h.cpu_ns - h.first_ns, 0);
	assert_false(held_up_look(&h, pid, pid));
	first = h.first_ns;
	assert_true(first > 0);
	assert_false(held_up_look(&h, gone, pid));
	assert_int_equal(h.first_ns, first);
	assert_int_equal(h.cpu_ns, first);
	end(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_sleeps_in_one_piece_is),
		cmocka_unit_test(who_is_stopped_is),
		cmocka_unit_test(who_waits_for_one_that_runs_is_not_so_soon),
		cmocka_unit_test(who_has_no_cpu_is_not),
		cmocka_unit_test(who_has_had_the_cpu_for_a_second_is),
		cmocka_unit_test(who_sleeps_in_pieces_is_later),
		cmocka_unit_test(who_has_ended_is_not),
		cmocka_unit_test(a_clock_that_cannot_be_told_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
