/* Who is told what of a look, whatever becomes of the child that is asked. */
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/conf/conf.h"
#include "daemon/watch/looks.h"
#include "daemon/watch/orphans.h"

#define DIES		"TEST_LOOKS_DIES"
#define LIMIT_MS	60000
#define TRIES		50

struct asker {
	unsigned told;
	int code;
};

static struct loop *loop;
static struct looks looks;
static struct orphans orphans;
static const char one_app, other_app;

/* In the child. */
static size_t
die(const void *question, size_t len, void *answer)
{
	(void)question;
	(void)len;
	(void)answer;
	_exit(3);
}

static void
told(void *ctx, int code, enum waiting seen, int64_t took_ns)
{
	struct asker *a = ctx;

	(void)seen;
	(void)took_ns;
	a->told++;
	a->code = code;
}

static int
ask(struct asker *a, const void *whose)
{
	static const struct conf_creds creds = { .set = false };
	static const uint64_t inos[1];

	return looks_waiting(&looks, &(struct looks_whom){
		.whose = whose, .pid = getpid(), .creds = &creds,
		.answered = told, .ctx = a,
	    }, inos, 1);
}

static void
turn_until_told(const struct asker *a)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);

	while (a->told == 0) {
		assert_true(mono_before(mono_now(), end));
		loop_turn(loop);
	}
}

/* How many children there have been, all of which end. */
static unsigned
reap_all(void)
{
	unsigned n = 0;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, 0)) > 0) {
		(void)looks_reaped(&looks, pid);
		n++;
	}
	return n;
}

static void
stop_child(void)
{
	int status = 0;

	assert_int_equal(kill(looks.child.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(looks.child.pid, &status, WUNTRACED),
	    looks.child.pid);
	assert_true(WIFSTOPPED(status));
}

static int
set_up(void **state)
{
	(void)state;
	unsetenv(DIES);
	return loop_new(&loop, NULL) == 0 ?
	    looks_init(&looks, loop, &orphans) : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	looks_fini(&looks);
	(void)reap_all();
	loop_free(loop);
	free(orphans.strangers);
	orphans = (struct orphans){ .strangers = NULL };
	return 0;
}

static void
who_asks_is_told_once(void **state)
{
	struct asker a = { .told = 0 }, b = { .told = 0 };

	(void)state;
	assert_int_equal(ask(&a, &one_app), 0);
	assert_int_equal(ask(&b, &one_app), 0);
	turn_until_told(&b);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.code, 0);
	assert_int_equal(b.told, 1);
	assert_int_equal(b.code, 0);
}

/* The asker is gone when the answer comes. */
static void
who_is_forgotten_is_not_told(void **state)
{
	struct asker a = { .told = 0 }, b = { .told = 0 };

	(void)state;
	assert_int_equal(ask(&a, &one_app), 0);
	looks_forget(&looks, &a);
	assert_int_equal(ask(&b, &one_app), 0);
	turn_until_told(&b);
	assert_int_equal(a.told, 0);
	assert_int_equal(looks.n_asked, 0);
}

/* Each question is for two of them at most, and then there is none for a while. */
static void
children_that_die_of_questions_are_few(void **state)
{
	struct asker a = { .told = 0 }, b = { .told = 0 };

	(void)state;
	assert_int_equal(setenv(DIES, "1", 1), 0);
	assert_int_equal(ask(&a, &one_app), 0);
	assert_int_equal(ask(&b, &other_app), 0);
	turn_until_told(&b);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.code, -ECANCELED);
	assert_int_equal(b.code, -ECANCELED);
	assert_int_equal(ask(&a, &one_app), -EAGAIN);
	assert_int_equal(reap_all(), 2);
	looks.not_before = mono_now();
	unsetenv(DIES);
	a.told = 0;
	assert_int_equal(ask(&a, &one_app), 0);
	turn_until_told(&a);
	assert_int_equal(a.code, 0);
}

/* Both questions about that app are over, and the next child has the other's. */
static void
who_holds_one_up_is_asked_no_more(void **state)
{
	struct asker a = { .told = 0 }, b = a, other = a;
	pid_t held;

	(void)state;
	assert_int_equal(ask(&a, &one_app), 0);
	turn_until_told(&a);
	stop_child();
	held = looks.child.pid;
	a.told = 0;
	assert_int_equal(ask(&a, &one_app), 0);
	assert_int_equal(ask(&b, &one_app), 0);
	assert_int_equal(ask(&other, &other_app), 0);
	assert_int_equal(looks_await(&looks, &b, 1), -ETIMEDOUT);
	turn_until_told(&other);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.code, -ETIMEDOUT);
	assert_int_equal(b.told, 1);
	assert_int_equal(b.code, -ETIMEDOUT);
	assert_int_equal(other.code, 0);
	/* As long as it is there. */
	assert_int_equal(ask(&a, &one_app), -ETIMEDOUT);
	assert_int_equal(waitpid(held, NULL, 0), held);
	assert_true(looks_reaped(&looks, held));
	a.told = 0;
	assert_int_equal(ask(&a, &one_app), 0);
	turn_until_told(&a);
	assert_int_equal(a.code, 0);
}

static bool
has_said_something(void)
{
	struct pollfd p = { .fd = looks.child.fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* No other one is started while it is there, which might be for ever. */
static void
of_those_that_do_not_begin_there_is_one(void **state)
{
	struct asker a = { .told = 0 };
	int tries = 0;
	pid_t held;

	(void)state;
	do {
		assert_true(tries++ < TRIES);
		looks_fini(&looks);
		(void)reap_all();
		assert_int_equal(looks_init(&looks, loop, &orphans), 0);
		assert_int_equal(ask(&a, &one_app), 0);
		stop_child();
	} while (has_said_something());
	held = looks.child.pid;
	turn_until_told(&a);
	assert_int_equal(a.code, -ECANCELED);
	looks.not_before = mono_now();
	assert_int_equal(ask(&a, &one_app), -EAGAIN);
	assert_int_equal(ask(&a, &other_app), -EAGAIN);
	assert_int_equal(waitpid(held, NULL, 0), held);
	assert_true(looks_reaped(&looks, held));
	a.told = 0;
	assert_int_equal(ask(&a, &one_app), 0);
	turn_until_told(&a);
	assert_int_equal(a.code, 0);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_asks_is_told_once, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(who_is_forgotten_is_not_told,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    children_that_die_of_questions_are_few, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    who_holds_one_up_is_asked_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    of_those_that_do_not_begin_there_is_one, set_up,
		    tear_down),
	};
	int fd = looker_fd(argc, argv);

	if (fd >= 0)
		_exit(getenv(DIES) != NULL ? looker_serve(fd, die) :
		    looks_serve(fd));
	looker_can_be();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
