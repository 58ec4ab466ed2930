/*
 * Does nobody serve an address? Workers are no processes, of which is seen what a test
 * says; its clients are there. Time is fake.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mono.h"
#include "core/names/address.h"
#include "daemon/adopt/adopt_doubt.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

struct mono __wrap_mono_now(void);
bool __wrap_adopt_waits(const struct worker *w, struct listener *l);
bool __wrap_adopt_holds(const struct worker *w, struct listener *l);
bool __wrap_adopt_waits_but_for(const struct worker *w, struct listener *l);
bool __wrap_app_spec_has(const struct app_spec *spec, const struct listener *l);
struct listener *__wrap_app_spec_listener(const struct app_spec *spec, size_t i);
size_t __wrap_app_spec_n_listeners(const struct app_spec *spec);
bool __wrap_orphans_look_for_crew(struct orphans *o, const struct crew *crew);
struct lane *__wrap_spec_lanes_find(const struct app_spec *spec,
    struct listener *l, const struct lane_holder *holder);
bool __wrap_worker_ready(const struct worker *w);

static struct seen {
	struct mono now;
	bool waits;		/* for its clients */
	bool waits_elsewhere;
	unsigned looks;		/* for the former */
	const struct worker *unready;
} seen;

static struct worker worker;
static struct crew crew;
static struct listener listener, other;
static int listening;

struct mono
__wrap_mono_now(void)
{
	return seen.now;
}

bool
__wrap_adopt_waits(const struct worker *w, struct listener *l)
{
	assert_ptr_equal(l, &listener);
	seen.looks++;
	if (w == seen.unready)
		return false;
	assert_ptr_equal(w, &worker);
	return seen.waits;
}

bool
__wrap_adopt_holds(const struct worker *w, struct listener *l)
{
	(void)w;
	(void)l;
	return false;
}

bool
__wrap_adopt_waits_but_for(const struct worker *w, struct listener *l)
{
	(void)w;
	(void)l;
	return seen.waits_elsewhere;
}

bool
__wrap_app_spec_has(const struct app_spec *spec, const struct listener *l)
{
	(void)spec;
	(void)l;
	return true;
}

struct listener *
__wrap_app_spec_listener(const struct app_spec *spec, size_t i)
{
	(void)spec;
	return i == 0 ? &listener : &other;
}

size_t
__wrap_app_spec_n_listeners(const struct app_spec *spec)
{
	(void)spec;
	return 2;
}

bool
__wrap_orphans_look_for_crew(struct orphans *o, const struct crew *c)
{
	(void)o;
	(void)c;
	return false;
}

struct lane *
__wrap_spec_lanes_find(const struct app_spec *spec, struct listener *l,
    const struct lane_holder *holder)
{
	(void)spec;
	(void)l;
	(void)holder;
	return NULL;
}

bool
__wrap_worker_ready(const struct worker *w)
{
	return w != seen.unready;
}

/* ---- */

static int
begin(void **state)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) },
	};
	socklen_t len = sizeof(in);

	(void)state;
	seen = (struct seen){
		.now = { .ns = 1000 * INT64_C(1000000000) },
		.waits_elsewhere = true,
	};
	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listening >= 0);
	assert_int_equal(bind(listening, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(listening, 8), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&in, &len), 0);
	listener = other = (struct listener){
		.bound = {
			.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4,
			.ip = { 127, 0, 0, 1 }, .port = ntohs(in.sin_port),
		},
	};
	other.bound.port = 1;
	worker = (struct worker){ .pid = getpid(), .crew = &crew };
	/* What is listed is the same of any. */
	crew = (struct crew){
		.workers = &worker, .stable = (struct app_spec *)&crew,
	};
	return 0;
}

static int
end(void **state)
{
	(void)state;
	fd_close(&listening);
	return 0;
}

/* For so long, as often as it wants to be asked. */
static bool
ends_within(int64_t ms)
{
	const struct mono until = mono_add_ms(seen.now, ms);
	int64_t next = 0;

	while (next >= 0 && mono_before(mono_add_ms(seen.now, next), until)) {
		seen.now = mono_add_ms(seen.now, next);
		if (adopt_doubt_ends(NULL, &crew, &listener,
		    mono_add_ms(seen.now, 5), &next))
			return true;
		assert_int_equal(next >= 0, adopt_doubt_goes_on(&listener));
	}
	return false;
}

static void
nobody_is_certain_after_seconds(void **state)
{
	(void)state;
	assert_false(ends_within(2500));
	assert_true(ends_within(2000));
	assert_false(adopt_doubt_goes_on(&listener));
}

static void
one_who_waits_is_asked_no_more(void **state)
{
	(void)state;
	assert_false(ends_within(1000));
	seen.waits = true;
	assert_false(ends_within(100000));
	assert_false(adopt_doubt_goes_on(&listener));
}

/* Nothing is looked at any more, whoever is looked at beside it. */
static void
who_is_never_seen_to_wait_is_let_be(void **state)
{
	int64_t ms;

	(void)state;
	seen.waits_elsewhere = false;
	assert_false(ends_within(100000));
	assert_int_equal(seen.looks, 20);
	seen.waits_elsewhere = true;
	assert_false(adopt_doubt_ends(NULL, &crew, &listener, seen.now, &ms));
	assert_int_equal(seen.looks, 20);
	adopt_doubt_anew(&listener);
	assert_true(ends_within(4000));
}

static int
connect_to(int *ret_taken)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&in, &len), 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, len), 0);
	if (ret_taken != NULL) {
		*ret_taken = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		assert_true(*ret_taken >= 0);
	}
	return fd;
}

/* For longer than all looks take. */
static void
one_at_work_for_a_client_serves(void **state)
{
	int taken, client = connect_to(&taken);

	(void)state;
	assert_false(ends_within(100000));
	assert_true(adopt_doubt_goes_on(&listener));
	/* … but not all the time. */
	assert_in_range(seen.looks, 10, 20);
	fd_close(&taken);
	fd_close(&client);
	assert_true(ends_within(10000 + 4000));
}

static void
who_is_there_anew_is_not_waited_for_long(void **state)
{
	int taken, client = connect_to(&taken);

	(void)state;
	assert_false(ends_within(100000));
	fd_close(&taken);
	fd_close(&client);
	adopt_doubt_anew(&listener);
	assert_true(ends_within(1000 + 4000));
}

static void
clients_are_asked_for_in_the_time_there_is(void **state)
{
	int taken, client = connect_to(&taken);
	int64_t ms;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_false(adopt_doubt_ends(NULL, &crew, &listener, seen.now,
		    &ms));
		assert_true(ms >= 0);
		assert_true(adopt_doubt_goes_on(&listener));
		seen.now = mono_add_ms(seen.now, ms);
	}
	/* Nor is the rest looked at again meanwhile. */
	assert_int_equal(seen.looks, 1);
	assert_int_equal(listener.doubt.clients, 0);
	assert_false(adopt_doubt_ends(NULL, &crew, &listener,
	    mono_add_ms(seen.now, 5), &ms));
	assert_int_equal(listener.doubt.clients, 1);
	fd_close(&taken);
	fd_close(&client);
	assert_true(ends_within(4000));
}

static void
a_client_who_waits_is_nobody_s(void **state)
{
	int client = connect_to(NULL);

	(void)state;
	assert_true(ends_within(4000));
	fd_close(&client);
}

/* The same port, and the server has bound one address of it. */
static void
clients_of_a_narrower_address_are_not_those_of_all(void **state)
{
	int taken, client = connect_to(&taken);

	(void)state;
	other.bound = listener.bound;
	other.listening = true;
	memset(listener.bound.ip, 0, sizeof(listener.bound.ip));
	assert_true(ends_within(4000));
	other.listening = false;
	adopt_doubt_anew(&listener);
	assert_false(ends_within(4000));
	fd_close(&taken);
	fd_close(&client);
}

/* To look at one who is about to execute a program waits for that. */
static void
who_is_ready_is_looked_at_first(void **state)
{
	struct worker unready = {
		.pid = getpid(), .crew = &crew, .next = &worker,
	};

	(void)state;
	seen.unready = &unready;
	seen.waits = true;
	crew.workers = &unready;
	assert_true(adopt_is_served(NULL, &crew, &listener));
	assert_int_equal(seen.looks, 1);
	seen.waits = false;
	assert_false(adopt_is_served(NULL, &crew, &listener));
	assert_int_equal(seen.looks, 3);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(nobody_is_certain_after_seconds),
		T(one_who_waits_is_asked_no_more),
		T(who_is_never_seen_to_wait_is_let_be),
		T(one_at_work_for_a_client_serves),
		T(who_is_there_anew_is_not_waited_for_long),
		T(clients_are_asked_for_in_the_time_there_is),
		T(a_client_who_waits_is_nobody_s),
		T(clients_of_a_narrower_address_are_not_those_of_all),
		T(who_is_ready_is_looked_at_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
