/* What is looked at again, and what only once. Workers are no processes, what becomes of
   a doubt the test says, and time is fake. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/epoll.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "daemon/adopt/adopt_doubt.h"
#include "daemon/adopt/adopt_hint.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/hint.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/loop/loop.h"

struct mono __wrap_mono_now(void);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout);
bool __wrap_adopt_doubt_ends(struct orphans *o, const struct crew *crew,
    struct listener *l, struct mono end, int64_t *ret_ms);
bool __wrap_adopt_doubt_goes_on(const struct listener *l);
void __wrap_adopt_hint_late(struct worker *w);
void __wrap_adopt_hint_public(struct app_spec *spec,
    bool (*is_served)(void *ctx, struct listener *l), void *ctx);
bool __wrap_adopt_may_be_served(const struct crew *crew,
    const struct listener *l);
bool __wrap_app_spec_has_taken(const struct app_spec *spec,
    const struct listener *l);
struct listener *__wrap_app_spec_listener(const struct app_spec *spec, size_t i);
size_t __wrap_app_spec_n_listeners(const struct app_spec *spec);
bool __wrap_hint_is_unbound(const struct worker *w);
void __wrap_listener_suspend(struct listener *l);
bool __wrap_worker_ready(const struct worker *w);

static struct mono now;
static struct loop *loop;
static struct adopt_review review;
static struct workers workers;
static struct crew crew;
static struct worker worker;
static struct conf_app conf;
static struct app_spec spec;
static struct listener bound, other, *listeners[] = { &bound, &other };
static unsigned looks, looks_wanted, hints, publics, suspended;
static int64_t review_ms;		/* that the one of an app takes */

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
__wrap_adopt_doubt_ends(struct orphans *o, const struct crew *c,
    struct listener *l, struct mono end, int64_t *ret_ms)
{
	(void)o;
	(void)c;
	(void)end;
	assert_ptr_equal(l, &other);
	*ret_ms = ++looks < looks_wanted ? 100 : -1;
	return looks == looks_wanted;
}

bool
__wrap_adopt_doubt_goes_on(const struct listener *l)
{
	return l == &other && looks > 0 && looks < looks_wanted;
}

void
__wrap_adopt_hint_late(struct worker *w)
{
	(void)w;
	hints++;
	now = mono_add_ms(now, review_ms);
}

void
__wrap_adopt_hint_public(struct app_spec *s,
    bool (*is_served)(void *ctx, struct listener *l), void *ctx)
{
	(void)s;
	(void)is_served;
	(void)ctx;
	publics++;
}

bool
__wrap_adopt_may_be_served(const struct crew *c, const struct listener *l)
{
	(void)c;
	(void)l;
	return true;
}

bool
__wrap_app_spec_has_taken(const struct app_spec *s, const struct listener *l)
{
	(void)s;
	return l == &bound;
}

struct listener *
__wrap_app_spec_listener(const struct app_spec *s, size_t i)
{
	(void)s;
	return listeners[i];
}

size_t
__wrap_app_spec_n_listeners(const struct app_spec *s)
{
	(void)s;
	return 2;
}

bool
__wrap_hint_is_unbound(const struct worker *w)
{
	(void)w;
	return false;
}

void
__wrap_listener_suspend(struct listener *l)
{
	assert_ptr_equal(l, &other);
	suspended++;
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
	looks = looks_wanted = hints = publics = suspended = 0;
	review_ms = 0;
	assert_int_equal(loop_new(&loop, NULL), 0);
	workers = (struct workers){ .crews = &crew, .loop = loop };
	conf = (struct conf_app){ .n_listens = 2 };
	spec = (struct app_spec){ .conf = &conf, .listeners = listeners };
	worker = (struct worker){ .crew = &crew, .spec = &spec, .pid = 2 };
	crew = (struct crew){
		.all = &workers, .workers = &worker, .name = (char *)"web",
		.stable = &spec,
	};
	bound = other = (struct listener){
		.listening = true, .instance = -1,
		.bound = { .kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4 },
	};
	other.bound.port = 1;
	review = (struct adopt_review){ .loop = NULL };
	return adopt_review_init(&review, loop, &workers, NULL);
}

static int
end(void **state)
{
	(void)state;
	adopt_review_fini(&review);
	loop_free(loop);
	return 0;
}

static void
pass_ms(int64_t ms)
{
	const struct mono until = mono_add_ms(now, ms);

	while (mono_before(now, until)) {
		now = mono_add_ms(now, 10);
		loop_turn(loop);
	}
}

/* The looks that follow are at what is in doubt. */
static void
a_doubt_repeats_no_review(void **state)
{
	(void)state;
	looks_wanted = 4;
	adopt_review_soon(&review, &crew);
	pass_ms(1000);
	assert_int_equal(looks, 4);
	assert_int_equal(suspended, 1);
	assert_int_equal(hints, 1);
	assert_int_equal(publics, 1);
}

/* Whoever comes meanwhile is looked at with all that belongs to it. */
static void
who_gets_ready_meanwhile_is_reviewed(void **state)
{
	(void)state;
	looks_wanted = 100;
	adopt_review_soon(&review, &crew);
	pass_ms(500);
	assert_in_range(looks, 4, 6);
	assert_int_equal(hints, 1);
	adopt_review_soon(&review, &crew);
	pass_ms(500);
	assert_in_range(looks, 9, 12);
	assert_int_equal(hints, 2);
	assert_int_equal(publics, 2);
	assert_int_equal(suspended, 0);
}

/* Some in each turn, in which others are heard, too; and who is due again and again
   takes the turn of none. */
static void
all_apps_are_not_reviewed_in_one_turn(void **state)
{
	enum { N = 10 };
	struct crew crews[N];
	unsigned most = 0;

	(void)state;
	review_ms = 3;
	for (unsigned i = 0; i < N; i++) {
		crews[i] = crew;
		crews[i].number = i + 1;
		crews[i].next = i + 1 < N ? &crews[i + 1] : NULL;
	}
	workers.crews = &crews[0];
	for (unsigned i = 0; i < N; i++)
		adopt_review_soon(&review, &crews[i]);
	for (int turn = 0; turn < 50 && crews[N - 1].review; turn++) {
		unsigned before = hints;

		now = mono_add_ms(now, 10);
		loop_turn(loop);
		adopt_review_soon(&review, &crews[0]);
		most = hints - before > most ? hints - before : most;
	}
	assert_int_equal(most, 2);
	assert_in_range(hints, N, 2 * N);
	for (unsigned i = 1; i < N; i++)
		assert_false(crews[i].review);
	workers.crews = NULL;
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(a_doubt_repeats_no_review),
		T(who_gets_ready_meanwhile_is_reviewed),
		T(all_apps_are_not_reviewed_in_one_turn),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
