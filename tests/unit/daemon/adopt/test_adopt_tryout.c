/*
 * What was tried, and what was claimed: when it is judged. Workers are no processes, of
 * which is seen what a test says, and each look takes its time, which is fake.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/epoll.h>

#include <stdlib.h>

#include "base/error.h"
#include "base/mono.h"
#include "core/names/address.h"
#include "daemon/adopt/adopt_clients.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/adopt/adopt_tryout.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/loop/loop.h"

#define MANY 300

struct mono __wrap_mono_now(void);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);
bool __wrap_adopt_waits(const struct worker *w, struct listener *l);
bool __wrap_adopt_waits_but_for(const struct worker *w, struct listener *l);
bool __wrap_adopt_has_taken(const struct worker *w, struct listener *l);
bool __wrap_adopt_holds_inode(const struct worker *w, uint64_t ino);
struct listener *__wrap_app_spec_find_lane(const struct app_spec *spec,
    uint64_t ino);
bool __wrap_app_spec_has_taken(const struct app_spec *spec,
    const struct listener *l);
bool __wrap_app_spec_is_settled(const struct app_spec *spec,
    const struct listener *l);
struct listener *__wrap_app_spec_rival(const struct app_spec *spec,
    const struct listener *l);
int __wrap_app_spec_take(struct app_spec *spec, struct listener *l,
    struct error *err);
int __wrap_app_spec_try_listener(struct app_spec *spec, struct listener *l,
    struct error *err);
void __wrap_lanes_claim(struct lane *lane, uint64_t process);
void __wrap_readiness_expect(struct worker *w);
struct lane *__wrap_spec_lanes_find(const struct app_spec *spec,
    struct listener *l, const struct lane_holder *holder);
void __wrap_worker_note(struct worker *w);
bool __wrap_worker_ready(const struct worker *w);

static struct mono now, taken;
static struct loop *loop;
static struct tryouts all;
static struct workers workers;
static struct crew crew;
static struct listener claimed, tried;
static struct worker v[MANY];
static struct trap traps[MANY];
static struct lane lanes[2 * MANY];
static const struct worker *at_work;
static unsigned looks;

struct mono
__wrap_mono_now(void)
{
	return now;
}

int
__wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	(void)fd;
	(void)events;
	(void)max;
	(void)timeout;
	return 0;
}

bool
__wrap_adopt_waits(const struct worker *w, struct listener *l)
{
	(void)w;
	(void)l;
	now = mono_add_ms(now, 1);
	looks++;
	return false;
}

bool
__wrap_adopt_waits_but_for(const struct worker *w, struct listener *l)
{
	(void)w;
	(void)l;
	now = mono_add_ms(now, 1);
	return true;
}

bool
__wrap_adopt_has_taken(const struct worker *w, struct listener *l)
{
	(void)l;
	return w == at_work;
}

bool
__wrap_adopt_holds_inode(const struct worker *w, uint64_t ino)
{
	(void)w;
	(void)ino;
	return true;
}

struct listener *
__wrap_app_spec_find_lane(const struct app_spec *spec, uint64_t ino)
{
	(void)spec;
	return ino <= MANY ? &claimed : &tried;
}

bool
__wrap_app_spec_has_taken(const struct app_spec *spec, const struct listener *l)
{
	(void)spec;
	(void)l;
	return false;
}

bool
__wrap_app_spec_is_settled(const struct app_spec *spec,
    const struct listener *l)
{
	(void)spec;
	(void)l;
	return false;
}

struct listener *
__wrap_app_spec_rival(const struct app_spec *spec, const struct listener *l)
{
	(void)spec;
	(void)l;
	return NULL;
}

int
__wrap_app_spec_take(struct app_spec *spec, struct listener *l,
    struct error *err)
{
	(void)spec;
	(void)err;
	if (l == &tried)
		taken = now;
	return 0;
}

int
__wrap_app_spec_try_listener(struct app_spec *spec, struct listener *l,
    struct error *err)
{
	(void)spec;
	(void)err;
	assert_ptr_equal(l, &tried);
	return 0;
}

void
__wrap_lanes_claim(struct lane *lane, uint64_t process)
{
	lane->claimed = process;
}

void
__wrap_readiness_expect(struct worker *w)
{
	(void)w;
}

struct lane *
__wrap_spec_lanes_find(const struct app_spec *spec, struct listener *l,
    const struct lane_holder *holder)
{
	(void)spec;
	for (size_t i = 0; i < MANY; i++)
		if (&v[i].holder == holder)
			return &lanes[l == &claimed ? i : MANY + i];
	return NULL;
}

void
__wrap_worker_note(struct worker *w)
{
	(void)w;
}

bool
__wrap_worker_ready(const struct worker *w)
{
	(void)w;
	return true;
}

/* ---- */

static int
begin(void **state)
{
	(void)state;
	now = (struct mono){ .ns = 1000 * INT64_C(1000000000) };
	taken = (struct mono){ .ns = 0 };
	looks = 0;
	at_work = NULL;
	assert_int_equal(loop_new(&loop, NULL), 0);
	workers = (struct workers){ .crews = &crew, .loop = loop };
	crew = (struct crew){ .all = &workers, .workers = &v[0] };
	/* Datagrams come since the bind: it is no tryout. */
	claimed = (struct listener){ .bound = { .kind = ADDRESS_UDP } };
	tried = (struct listener){ .bound = { .kind = ADDRESS_TCP } };
	all = (struct tryouts){ .loop = NULL };
	assert_int_equal(tryout_init(&all, loop, &workers, NULL), 0);
	for (size_t i = 0; i < MANY; i++) {
		traps[i] = (struct trap){ .all_tryouts = &all };
		v[i] = (struct worker){
			.crew = &crew, .trap = &traps[i], .pid = (pid_t)i + 2,
			.serial = i + 1, .next = i + 1 < MANY ? &v[i + 1] : NULL,
		};
		lanes[i] = (struct lane){ .ino = i + 1, .holder = &v[i].holder };
		lanes[MANY + i] = (struct lane){
			.ino = MANY + i + 1, .holder = &v[i].holder,
		};
	}
	return 0;
}

static int
end(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i++)
		tryout_forget(&v[i]);
	tryout_fini(&all);
	loop_free(loop);
	return 0;
}

static void
pass_ms(int64_t ms)
{
	const struct mono until = mono_add_ms(now, ms);

	while (mono_before(now, until)) {
		now = mono_add_ms(now, 1);
		loop_turn(loop);
	}
}

/* Whoever else has to be looked at: its clients are refused until then. */
static void
a_bind_does_not_wait_for_claims(void **state)
{
	struct error err = ERROR_INIT;
	struct mono begun;

	(void)state;
	assert_int_equal(tryout_begin(&v[0], &claimed, &err), 0);
	pass_ms(100);
	assert_true(looks > 0);
	begun = now;
	assert_int_equal(tryout_begin(&v[MANY - 1], &tried, &err), 0);
	pass_ms(200);
	assert_true(taken.ns != 0);
	assert_in_range(mono_ms_between(begun, taken), 40, 50);
}

/* They take their share of the time, and no more. */
static void
claims_leave_time_for_others(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(tryout_begin(&v[0], &claimed, &err), 0);
	pass_ms(1000);
	/* Of two milliseconds each. */
	assert_in_range(looks, 50, 150);
}

/* It waited for others alone at each look, as who has no business there does. */
static void
who_is_at_work_for_clients_keeps_its_claim(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	at_work = &v[2];
	v[3].next = NULL;
	assert_int_equal(tryout_begin(&v[0], &claimed, &err), 0);
	pass_ms(10000);
	for (size_t i = 0; i < 4; i++)
		assert_null(traps[i].tryouts);
	assert_int_equal(lanes[0].claimed, 1);
	assert_int_equal(lanes[1].claimed, 0);
	assert_int_equal(lanes[2].claimed, 3);
	assert_int_equal(lanes[3].claimed, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(a_bind_does_not_wait_for_claims),
		T(claims_leave_time_for_others),
		T(who_is_at_work_for_clients_keeps_its_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
