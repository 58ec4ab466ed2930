#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "core/worker/worker_fsm.h"

/* ---- decisions, one by one ---- */

/*
 * A seat in four letters' worth of a text, seats separated by blanks:
 *
 *   present  `o` old and ready, `O` old and not, `f` old and over,
 *            `t` on target and ready, `T` on target and not, `F` on target
 *            and over, `R` relapsed, `-` nobody
 *   next     nothing, `s` starting, `r` ready, `x` failed
 */
static size_t
parse_seats(const char *text, struct rollout_seat *seats)
{
	size_t n = 0;

	while (*text != '\0') {
		struct rollout_seat *s = &seats[n++];

		*s = (struct rollout_seat){
			.on_target = strchr("tTFR", *text) != NULL,
			.ready = *text == 'o' || *text == 't',
			.final = *text == 'f' || *text == 'F',
			.relapsed = *text == 'R',
		};
		text++;
		switch (*text) {
		case 's':
			s->next = ROLLOUT_NEXT_STARTING;
			break;
		case 'r':
			s->next = ROLLOUT_NEXT_READY;
			break;
		case 'x':
			s->next = ROLLOUT_NEXT_FAILED;
			break;
		}
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	return n;
}

static void
expect(const char *text, size_t n_wanted, size_t n_alive, unsigned surge,
    enum rollout_what what, size_t seat)
{
	struct rollout_seat seats[8];
	const struct rollout_view view = {
		.seats = seats, .n_seats = parse_seats(text, seats),
		.n_wanted = n_wanted, .n_alive = n_alive, .surge = surge,
	};
	struct rollout_decision d = rollout_decide(&view);

	if (d.what != what || (what != ROLLOUT_WAIT && what != ROLLOUT_DONE &&
	    d.seat != seat))
		fail_msg("\"%s\": %d of seat %zu, expected %d of seat %zu",
		    text, (int)d.what, d.seat, (int)what, seat);
}

static void
one_seat_after_the_other(void **state)
{
	(void)state;
	expect("o o o", 3, 3, 1, ROLLOUT_START, 0);
	expect("os o o", 3, 4, 1, ROLLOUT_WAIT, 0);
	expect("or o o", 3, 4, 1, ROLLOUT_PROMOTE, 0);
	/* The old one retires: no room yet. */
	expect("t o o", 3, 4, 1, ROLLOUT_WAIT, 0);
	expect("t o o", 3, 3, 1, ROLLOUT_START, 1);
	expect("t or o", 3, 4, 1, ROLLOUT_PROMOTE, 1);
	expect("t t o", 3, 3, 1, ROLLOUT_START, 2);
	expect("t t or", 3, 4, 1, ROLLOUT_PROMOTE, 2);
	/* Nobody waits for the last old one to go. */
	expect("t t t", 3, 4, 1, ROLLOUT_DONE, 0);
}

static void
canary_first(void **state)
{
	(void)state;
	expect("o o o", 3, 3, 3, ROLLOUT_START, 0);
	expect("os o o", 3, 4, 3, ROLLOUT_WAIT, 0);
	expect("or o o", 3, 4, 3, ROLLOUT_PROMOTE, 0);
	expect("t o o", 3, 4, 3, ROLLOUT_START, 1);
	expect("t os o", 3, 5, 3, ROLLOUT_START, 2);
	expect("t os os", 3, 6, 3, ROLLOUT_WAIT, 0);
	expect("t os or", 3, 6, 3, ROLLOUT_PROMOTE, 2);
}

static void
first_failure_aborts(void **state)
{
	(void)state;
	expect("ox o o", 3, 3, 1, ROLLOUT_ABORT, 0);
	expect("t ox o", 3, 3, 1, ROLLOUT_ABORT, 1);
	/* Before anything else that could be done. */
	expect("t or ox", 3, 4, 3, ROLLOUT_ABORT, 2);
	expect("R or o", 3, 3, 1, ROLLOUT_ABORT, 0);
	expect("t t R", 3, 3, 1, ROLLOUT_ABORT, 2);
	/* But not on account of a seat that nobody wants. */
	expect("t t ox", 2, 3, 1, ROLLOUT_TRIM, 2);
	expect("t t R", 2, 3, 1, ROLLOUT_TRIM, 2);
}

static void
crashed_seat_comes_back_first(void **state)
{
	(void)state;
	expect("T or o", 3, 3, 1, ROLLOUT_WAIT, 0);
	expect("T o o", 3, 2, 1, ROLLOUT_WAIT, 0);
	expect("t or o", 3, 4, 1, ROLLOUT_PROMOTE, 1);
	/* An old one that crashed does not count: its successor comes. */
	expect("t or O", 3, 3, 1, ROLLOUT_PROMOTE, 1);
	expect("O o o", 3, 2, 1, ROLLOUT_START, 0);
	expect("f o o", 3, 2, 1, ROLLOUT_START, 0);
	expect("- o o", 3, 2, 1, ROLLOUT_START, 0);
	/* One that is over by its policy is as good as one that serves. */
	expect("F or o", 3, 3, 1, ROLLOUT_PROMOTE, 1);
	expect("F F F", 3, 0, 1, ROLLOUT_DONE, 0);
}

static void
scaled_up_and_down(void **state)
{
	(void)state;
	expect("o -", 2, 1, 1, ROLLOUT_START, 0);
	expect("t -", 2, 2, 1, ROLLOUT_START, 1);
	expect("t -s", 2, 2, 1, ROLLOUT_WAIT, 0);
	expect("t -r", 2, 2, 1, ROLLOUT_PROMOTE, 1);
	/* Down last, from the end. */
	expect("o o o", 1, 3, 1, ROLLOUT_START, 0);
	expect("os o o", 1, 4, 1, ROLLOUT_WAIT, 0);
	expect("T o o", 1, 3, 1, ROLLOUT_WAIT, 0);
	expect("t o o", 1, 4, 1, ROLLOUT_TRIM, 2);
	expect("t o", 1, 4, 1, ROLLOUT_TRIM, 1);
	expect("t", 1, 4, 1, ROLLOUT_DONE, 0);
	/* A new worker of an unwanted seat changes nothing. */
	expect("t or", 1, 3, 1, ROLLOUT_TRIM, 1);
	expect("o or", 1, 2, 1, ROLLOUT_START, 0);
}

/* ---- what is seen of a seat ---- */

static struct rollout_seat
look_at(enum rollout_kind kind, unsigned seat, struct rollout_worker present)
{
	const struct rollout r = { .kind = kind, .instance = 1 };

	return rollout_look(&r, seat, &present, NULL);
}

static enum rollout_next
look_at_new(struct rollout_worker next)
{
	const struct rollout r = { .kind = ROLLOUT_RELOAD };

	return rollout_look(&r, 0, NULL, &next).next;
}

static void
a_new_worker_passes_or_fails(void **state)
{
	(void)state;
	for (enum worker_state s = 0; s < WORKER_STATES; s++) {
		enum rollout_next next = look_at_new(
		    (struct rollout_worker){ .state = s });

		if (s == WORKER_READY || s == WORKER_ENDED)
			assert_int_equal(next, ROLLOUT_NEXT_READY);
		else if (s == WORKER_PARKED || s == WORKER_FAILED)
			assert_int_equal(next, ROLLOUT_NEXT_FAILED);
		else
			assert_int_equal(next, ROLLOUT_NEXT_STARTING);
	}
	/* It was ready, waited to be promoted, and then did not come back. */
	assert_int_equal(look_at_new((struct rollout_worker){
	    .state = WORKER_BACKOFF, .relapsed = true,
	}), ROLLOUT_NEXT_FAILED);
	assert_int_equal(look_at_new((struct rollout_worker){
	    .state = WORKER_READY, .relapsed = true,
	}), ROLLOUT_NEXT_READY);
}

static void
two_deaths_are_the_programs(void **state)
{
	struct rollout_worker w = {
		.state = WORKER_BACKOFF, .streak = 1, .of_target = true,
	};
	struct rollout_seat seat = look_at(ROLLOUT_RELOAD, 0, w);

	(void)state;
	assert_true(seat.on_target && seat.waits && !seat.relapsed);
	w.streak = 2;
	assert_true(look_at(ROLLOUT_RELOAD, 0, w).relapsed);
	w.streak = 0;
	w.relapsed = true;
	assert_true(look_at(ROLLOUT_RELOAD, 0, w).relapsed);
	/* An old one may die as often as it likes, and so may one that was
	   stable before. */
	w.of_target = false;
	assert_false(look_at(ROLLOUT_RELOAD, 0, w).relapsed);
	w.of_target = true;
	seat = look_at(ROLLOUT_BACK, 0, w);
	assert_true(seat.on_target && seat.final && !seat.relapsed);
}

static void
beside_a_restart_the_others_are_let_alone(void **state)
{
	const struct rollout_worker w = {
		.state = WORKER_READY, .of_target = true, .of_stable = true,
		.outdated = true,
	};
	const struct rollout_worker other = { .state = WORKER_FAILED };
	struct rollout_seat seat = look_at(ROLLOUT_RESTART, 1, w);

	(void)state;
	assert_true(!seat.on_target && seat.ready && seat.changed);
	seat = look_at(ROLLOUT_RESTART, 0, other);
	assert_true(seat.on_target && seat.final && !seat.relapsed);
	assert_true(seat.odd);
}

/* ---- how many instances ---- */

static void
a_number_changed_by_hand_stays(void **state)
{
	struct rollout r = { .kind = ROLLOUT_NONE };
	unsigned wanted = 3;

	(void)state;
	assert_true(rollout_scale(&r, &wanted, 2));
	assert_int_equal(wanted, 5);
	rollout_begin(&r, &wanted, 3, 3);
	assert_int_equal(wanted, 5);
	assert_int_equal(rollout_done(&r), ROLLOUT_RELOAD);
	/* Unless the file's did change. */
	rollout_begin(&r, &wanted, 3, 4);
	assert_int_equal(wanted, 4);
	/* The newer configuration starts from what is stable. */
	rollout_begin(&r, &wanted, 3, 3);
	assert_int_equal(wanted, 5);
	assert_int_equal(r.stable_wanted, 5);
	assert_int_equal(rollout_done(&r), ROLLOUT_RELOAD);
}

static void
a_number_stays_within_limits(void **state)
{
	struct rollout r = { .kind = ROLLOUT_NONE };
	unsigned wanted = 1;

	(void)state;
	assert_false(rollout_scale(&r, &wanted, -1));
	assert_int_equal(wanted, 1);
	assert_true(rollout_scale(&r, &wanted, 2 * CONF_INSTANCES_MAX));
	assert_int_equal(wanted, CONF_INSTANCES_MAX);
	assert_false(rollout_scale(&r, &wanted, 1));
	/* Down as far as it goes, there and for the way back. */
	rollout_begin(&r, &wanted, 1, 2);
	assert_int_equal(wanted, 2);
	assert_true(rollout_scale(&r, &wanted, -1));
	assert_int_equal(wanted, 1);
	assert_int_equal(r.stable_wanted, CONF_INSTANCES_MAX - 1);
}

/* ---- what an abort comes to ---- */

/* Seats as in parse_seats(), of which the odd ones are marked here. */
static struct rollout_aborted
abort_of(enum rollout_kind kind, const char *text, const char *odd,
    const char *changed, bool over)
{
	struct rollout r = { .kind = kind, .stable_wanted = 7 };
	struct rollout_seat seats[8];
	const struct rollout_view view = {
		.seats = seats, .n_seats = parse_seats(text, seats),
		.n_wanted = 1,
	};
	unsigned wanted = 1;
	struct rollout_aborted a;

	for (size_t i = 0; i < view.n_seats; i++) {
		seats[i].odd = odd[i] == 'y';
		seats[i].changed = changed[i] == 'y';
	}
	a = rollout_abort(&r, &wanted, &view, over);
	assert_int_equal(wanted, 7);
	assert_int_equal(r.kind, a.after == ROLLOUT_RETURNS ? ROLLOUT_BACK :
	    ROLLOUT_NONE);
	return a;
}

static void
an_abort_leads_back(void **state)
{
	struct rollout_aborted a;

	(void)state;
	/* The canary. */
	a = abort_of(ROLLOUT_RELOAD, "ox o o", "nnn", "nnn", false);
	assert_true(a.after == ROLLOUT_STAYS && a.leave);
	/* One that nobody wants counts too. */
	a = abort_of(ROLLOUT_RELOAD, "ox o t", "nny", "nny", false);
	assert_true(a.after == ROLLOUT_RETURNS && !a.leave && a.odd == 2);
	/* Some that a superseded rollout has left, none of this. */
	a = abort_of(ROLLOUT_RELOAD, "ox o o", "nyy", "nnn", false);
	assert_true(a.after == ROLLOUT_RETURNS && a.leave && a.odd == 1);
	a = abort_of(ROLLOUT_RELOAD, "R - fx", "ynn", "ynn", true);
	assert_true(a.after == ROLLOUT_ADOPTS && !a.leave && a.odd == 0);
	a = abort_of(ROLLOUT_BACK, "t tx", "ny", "yn", false);
	assert_true(a.after == ROLLOUT_GIVES_UP && !a.leave);
	/* Another instance of the same is there, so it is not left. */
	a = abort_of(ROLLOUT_RESTART, "t ox", "nn", "yy", false);
	assert_true(a.after == ROLLOUT_STAYS && !a.leave);
}

/* ---- every view of up to three seats ---- */

static const char *const seat_kinds[] = {
	"o", "os", "or", "ox", "O", "Os", "Or", "Ox", "f", "fs", "fr", "fx",
	"-", "-s", "-r", "-x", "t", "T", "F", "R",
};

#define N_KINDS (sizeof(seat_kinds) / sizeof(*seat_kinds))

/* What the promises say of a view, each written on its own. */
struct judgement {
	bool failed, down, all_settled, changed_over, starting;
	size_t ready_next, behind;	/* the first of them; n_wanted: none */
};

static struct judgement
judge(const struct rollout_view *v)
{
	struct judgement j = {
		.all_settled = true,
		.ready_next = v->n_wanted, .behind = v->n_wanted,
	};

	for (size_t i = v->n_wanted; i-- > 0; ) {
		const struct rollout_seat *s = &v->seats[i];
		bool serves = s->ready || s->final;

		j.failed |= s->relapsed || s->next == ROLLOUT_NEXT_FAILED;
		j.down |= s->on_target && !serves;
		j.all_settled &= s->on_target && serves;
		j.changed_over |= s->on_target;
		j.starting |= s->next == ROLLOUT_NEXT_STARTING;
		if (s->next == ROLLOUT_NEXT_READY)
			j.ready_next = i;
		if (!s->on_target && s->next == ROLLOUT_NEXT_NONE)
			j.behind = i;
	}
	return j;
}

/* The conditions exclude each other, so each view has one lawful decision. */
static bool
lawful(const struct rollout_view *v, struct rollout_decision d)
{
	const struct judgement j = judge(v);
	bool may_promote = !j.failed && !j.down && j.ready_next < v->n_wanted;
	bool may_start = !j.failed && !j.down && !may_promote &&
	    j.behind < v->n_wanted && v->n_alive < v->n_seats + v->surge &&
	    (j.changed_over || !j.starting);

	switch (d.what) {
	case ROLLOUT_ABORT:
		return j.failed && d.seat < v->n_wanted &&
		    (v->seats[d.seat].relapsed ||
		    v->seats[d.seat].next == ROLLOUT_NEXT_FAILED);
	case ROLLOUT_PROMOTE:
		return may_promote && d.seat == j.ready_next;
	case ROLLOUT_START:
		return may_start && d.seat == j.behind;
	case ROLLOUT_TRIM:
		return !j.failed && j.all_settled &&
		    v->n_seats > v->n_wanted && d.seat == v->n_seats - 1;
	case ROLLOUT_DONE:
		return !j.failed && j.all_settled && v->n_seats == v->n_wanted;
	case ROLLOUT_WAIT:
		/* And there is something to wait for: a seat that comes back,
		   a new worker, or a process that goes. */
		return !j.failed && !may_promote && !may_start &&
		    !j.all_settled && (j.down || j.starting ||
		    v->n_alive >= v->n_seats + v->surge);
	}
	return false;
}

static void
every_small_view(void **state)
{
	unsigned long seen[ROLLOUT_DONE + 1] = { 0 };

	(void)state;
	for (size_t code = 0; code < N_KINDS * N_KINDS * N_KINDS; code++) {
		struct rollout_seat seats[3];

		parse_seats(seat_kinds[code % N_KINDS], &seats[0]);
		parse_seats(seat_kinds[code / N_KINDS % N_KINDS], &seats[1]);
		parse_seats(seat_kinds[code / N_KINDS / N_KINDS], &seats[2]);
		for (size_t n = 1; n <= 3; n++)
			for (size_t wanted = 1; wanted <= n; wanted++)
				for (size_t alive = 0; alive <= 7; alive++)
					for (unsigned surge = 1; surge <= 4;
					    surge++) {
						const struct rollout_view v = {
							.seats = seats,
							.n_seats = n,
							.n_wanted = wanted,
							.n_alive = alive,
							.surge = surge,
						};
						struct rollout_decision d =
						    rollout_decide(&v);

						seen[d.what]++;
						if (!lawful(&v, d))
							fail_msg("view %zu, "
							    "%zu of %zu, %zu, "
							    "%u: %d of %zu",
							    code, wanted, n,
							    alive, surge,
							    (int)d.what,
							    d.seat);
					}
	}
	for (size_t i = 0; i <= ROLLOUT_DONE; i++)
		assert_true(seen[i] > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_seat_after_the_other),
		cmocka_unit_test(canary_first),
		cmocka_unit_test(first_failure_aborts),
		cmocka_unit_test(crashed_seat_comes_back_first),
		cmocka_unit_test(scaled_up_and_down),
		cmocka_unit_test(a_new_worker_passes_or_fails),
		cmocka_unit_test(two_deaths_are_the_programs),
		cmocka_unit_test(beside_a_restart_the_others_are_let_alone),
		cmocka_unit_test(a_number_changed_by_hand_stays),
		cmocka_unit_test(a_number_stays_within_limits),
		cmocka_unit_test(an_abort_leads_back),
		cmocka_unit_test(every_small_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
