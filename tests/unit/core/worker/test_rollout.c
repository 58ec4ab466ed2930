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
 *   present  `o` old and ready, `O` old and not, `b` old and waiting for its
 *            restart, `f` old and over, `t` on target and ready, `T` on target
 *            and not, `F` on target and over, `G` and it starts again, `R` relapsed, `-` nobody, `m` and
 *            `n` newer than what is in force, and ready
 *   next     nothing, `i` idle, `s` starting, `w` ready and somebody waits,
 *            `r` ready, `v` serves, `p` passed, `x` failed, `d` outdated
 *   leaving  `!` at the end
 */
static const char next_letters[] = "iswrvpxd";

static size_t
parse_seats(const char *text, struct rollout_seat *seats)
{
	size_t n = 0;

	while (*text != '\0') {
		struct rollout_seat *s = &seats[n++];

		*s = (struct rollout_seat){
			.on_target = strchr("tTFGR", *text) != NULL,
			.alive = strchr("oOtTGmn", *text) != NULL,
			.waits = *text == 'b',
			.generation = strchr("oOfb", *text) != NULL ? 1 :
			    *text == '-' ? 0 : *text == 'm' ? 2 :
			    *text == 'n' ? 3 : 4,
			.newer = *text == 'm' || *text == 'n',
			.ready = *text == 'o' || *text == 't',
			.final = strchr("fFG", *text) != NULL,
			.relapsed = *text == 'R',
		};
		text++;
		if (*text != '\0' && strchr(next_letters, *text) != NULL)
			s->next = (enum rollout_next)(1 +
			    strchr(next_letters, *text) - next_letters);
		s->leaving = text[strcspn(text, "! ")] == '!';
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	return n;
}

static void
expect_of(struct rollout_view view, const char *text,
    enum rollout_what what, size_t seat)
{
	struct rollout_seat seats[8];
	struct rollout_decision d;

	view.seats = seats;
	view.n_seats = parse_seats(text, seats);
	d = rollout_decide(&view);

	if (d.what != what || (what != ROLLOUT_WAIT && what != ROLLOUT_DONE &&
	    d.seat != seat))
		fail_msg("\"%s\": %d of seat %zu, expected %d of seat %zu",
		    text, (int)d.what, d.seat, (int)what, seat);
}

static void
expect(const char *text, size_t n_wanted, size_t n_alive, unsigned surge,
    enum rollout_what what, size_t seat)
{
	const struct rollout_view view = {
		.n_wanted = n_wanted, .n_alive = n_alive, .surge = surge,
	};

	expect_of(view, text, what, seat);
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

/* Whoever has nothing left to finish keeps no room, unless these are many. */
static void
leaving_takes_no_room(void **state)
{
	struct rollout_seat seats[40];
	struct rollout_view v = {
		.seats = seats, .n_seats = 32, .n_wanted = 32, .surge = 1,
	};

	(void)state;
	assert_int_equal(rollout_leaving_max(15, 1), 0);
	assert_int_equal(rollout_leaving_max(16, 1), 1);
	assert_int_equal(rollout_leaving_max(1000, 4096), 62);
	assert_int_equal(rollout_leaving_max(1000, 0), 0);
	for (size_t i = 0; i < 32; i++)
		parse_seats(i < 4 ? "t" : "o", &seats[i]);
	for (size_t n = 0; n <= 4; n++) {
		struct rollout_decision d;

		v.n_leaving = n;
		v.n_alive = 32 + n;
		d = rollout_decide(&v);
		assert_int_equal(d.what, n <= 2 ? ROLLOUT_START :
		    ROLLOUT_WAIT);
		/* One that has connections to finish does. */
		v.n_alive++;
		d = rollout_decide(&v);
		assert_int_equal(d.what, ROLLOUT_WAIT);
	}
	/* The new one that starts does, too. */
	parse_seats("os", &seats[4]);
	v.n_alive = 34;
	v.n_leaving = 1;
	assert_int_equal(rollout_decide(&v).what, ROLLOUT_WAIT);
	/* Nor is anybody's place given twice without a surge. */
	parse_seats("o!", &seats[4]);
	v.surge = 0;
	v.n_alive = 33;
	assert_int_equal(rollout_decide(&v).what, ROLLOUT_VACATE);
	/* Few seats: as many processes as seats and surge. */
	v.n_seats = v.n_wanted = 15;
	v.surge = 1;
	v.n_alive = 16;
	parse_seats("o", &seats[4]);
	assert_int_equal(rollout_decide(&v).what, ROLLOUT_WAIT);
}

/* So many new ones begin at a time as old ones in a row had nothing left, within
   the room for those that leave. */
static void
beginning_takes_no_room(void **state)
{
	struct rollout_seat seats[48];
	struct rollout_view v = {
		.seats = seats, .n_seats = 48, .n_wanted = 48, .surge = 1,
	};

	(void)state;
	for (unsigned idle = 0; idle <= 5; idle++) {
		size_t begun = 0;

		for (size_t i = 0; i < 48; i++)
			parse_seats(i < 4 ? "t" : "o", &seats[i]);
		v.idle = idle;
		v.n_alive = 48;
		v.n_leaving = 0;
		for (;; begun++, v.n_alive++) {
			struct rollout_decision d = rollout_decide(&v);

			if (d.what != ROLLOUT_START)
				break;
			parse_seats("os", &seats[d.seat]);
		}
		assert_int_equal(begun, 1 + (idle < 3 ? idle : 3));
		/* Who leaves has part of that room. */
		if (idle < 3)
			continue;
		parse_seats("o", &seats[4]);
		v.n_leaving = 1;
		assert_int_equal(rollout_decide(&v).what, ROLLOUT_WAIT);
		v.n_alive--;
		assert_int_equal(rollout_decide(&v).what, ROLLOUT_START);
		/* An old one with connections to finish has the surge. */
		v.n_leaving = 0;
		v.n_alive++;
		assert_int_equal(rollout_decide(&v).what, ROLLOUT_WAIT);
	}
}

static void
old_ones_that_had_nothing_left(void **state)
{
	struct rollout r = { .kind = ROLLOUT_NONE };
	unsigned wanted = 48;

	(void)state;
	rollout_begin(&r, &wanted, 48, 48);
	assert_int_equal(r.idle, 0);
	rollout_note_retired(&r, true);
	rollout_note_retired(&r, true);
	assert_int_equal(r.idle, 2);
	/* One that had is enough. */
	rollout_note_retired(&r, false);
	assert_int_equal(r.idle, 0);
	rollout_note_retired(&r, true);
	assert_int_equal(r.idle, 1);
	rollout_begin(&r, &wanted, 48, 48);
	assert_int_equal(r.idle, 0);
}

static void
who_leaves(void **state)
{
	(void)state;
	for (int s = 0; s < WORKER_STATES; s++)
		assert_int_equal(rollout_leaves((enum worker_state)s),
		    s == WORKER_DRAINING || s == WORKER_STOPPING ||
		    s == WORKER_KILLED);
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

/* The first has to pass its trial, the others only if one was slow. */
static void
canary_has_a_trial(void **state)
{
	struct rollout_view v = {
		.n_wanted = 3, .n_alive = 4, .surge = 3, .trial = true,
	};

	(void)state;
	expect_of(v, "os o o", ROLLOUT_WAIT, 0);
	expect_of(v, "ow o o", ROLLOUT_WAIT, 0);
	expect_of(v, "or o o", ROLLOUT_WAIT, 0);
	expect_of(v, "ov o o", ROLLOUT_WAIT, 0);
	expect_of(v, "op o o", ROLLOUT_PROMOTE, 0);
	expect_of(v, "t or ov", ROLLOUT_PROMOTE, 1);
	expect_of(v, "t ow ov", ROLLOUT_PROMOTE, 2);
	v.slow = true;
	expect_of(v, "t or ow", ROLLOUT_WAIT, 0);
	expect_of(v, "t or ov", ROLLOUT_PROMOTE, 2);
	expect_of(v, "t op ow", ROLLOUT_PROMOTE, 1);
	/* Of a single instance it is the only one, whoever is beside. */
	v.slow = false;
	v.alone = true;
	expect_of(v, "F ov F", ROLLOUT_WAIT, 0);
	expect_of(v, "F op F", ROLLOUT_PROMOTE, 1);
}

static void
second_death_aborts(void **state)
{
	struct rollout_view v = { .n_wanted = 3, .n_alive = 3, .surge = 1 };

	(void)state;
	v.died = 1;
	v.deaths = 1;
	expect_of(v, "t t o", ROLLOUT_START, 2);
	v.deaths = 2;
	expect_of(v, "t t o", ROLLOUT_ABORT, 1);
	expect_of(v, "t t t", ROLLOUT_ABORT, 1);
	/* Nobody wants that seat any more. */
	v.n_wanted = 1;
	expect_of(v, "t t", ROLLOUT_TRIM, 1);
}

static void
deaths_are_counted_where_they_mean_something(void **state)
{
	unsigned wanted = 3;
	struct rollout r = { .kind = ROLLOUT_NONE };

	(void)state;
	rollout_note_death(&r, 0);
	assert_int_equal(r.deaths, 0);
	rollout_begin(&r, &wanted, 3, 3);
	rollout_note_death(&r, 2);
	rollout_note_death(&r, 1);
	assert_int_equal(r.deaths, ROLLOUT_DEATHS);
	assert_int_equal(r.died, 1);
	rollout_begin(&r, &wanted, 3, 3);
	assert_int_equal(r.deaths, 0);
}

/* Every way in which three seats can have generations. */
static void
oldest_first(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 64; code++) {
		struct rollout_seat seats[3];
		const struct rollout_view v = {
			.seats = seats, .n_seats = parse_seats("o o o", seats),
			.n_wanted = 3, .n_alive = 3, .surge = 1,
		};
		size_t found;

		for (size_t i = 0; i < 3; i++)
			seats[i].generation = 1 + (code >> 2 * i) % 4;
		found = rollout_decide(&v).seat;
		for (size_t i = 0; i < 3; i++)
			assert_true(seats[i].generation >
			    seats[found].generation ||
			    (i >= found && seats[i].generation ==
				seats[found].generation));
	}
	/* One that is new is nobody's place. */
	expect("- o", 2, 1, 1, ROLLOUT_START, 1);
}

/* There is no room beside the old one, which goes first. */
static void
no_surge(void **state)
{
	(void)state;
	expect("o o", 2, 2, 0, ROLLOUT_VACATE, 0);
	expect("-i! o", 2, 2, 0, ROLLOUT_WAIT, 0);
	expect("-i o", 2, 1, 0, ROLLOUT_START, 0);
	expect("-s o", 2, 2, 0, ROLLOUT_WAIT, 0);
	expect("-r o", 2, 2, 0, ROLLOUT_PROMOTE, 0);
	expect("t o", 2, 2, 0, ROLLOUT_VACATE, 1);
	expect("T o", 2, 2, 0, ROLLOUT_WAIT, 0);
	/* Whoever is down has his turn before others. */
	expect("o b", 2, 2, 0, ROLLOUT_START, 1);
	expect("o f", 2, 1, 0, ROLLOUT_START, 1);
	expect("o -", 2, 1, 0, ROLLOUT_START, 1);
	/* Superseded: the old one is still on its way. */
	expect("o -!", 2, 2, 0, ROLLOUT_WAIT, 0);
	/* One elsewhere that is over makes no room for two of a seat. */
	expect("-i! f", 2, 1, 0, ROLLOUT_WAIT, 0);
	expect("o O", 2, 2, 0, ROLLOUT_VACATE, 0);
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
	expect("t t ox", 2, 3, 1, ROLLOUT_DROP, 2);
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
	expect("- o o", 3, 2, 1, ROLLOUT_START, 1);
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
	/* A new worker of a seat that nobody wants any more takes no room. */
	expect("t or", 1, 3, 1, ROLLOUT_DROP, 1);
	expect("o -i", 1, 2, 0, ROLLOUT_DROP, 1);
	expect("o os", 1, 3, 1, ROLLOUT_DROP, 1);
	expect("ox os", 1, 3, 1, ROLLOUT_ABORT, 0);
}

/* Nobody reaches it: another one, once it has made room. */
static void
a_new_worker_that_begins_in_vain(void **state)
{
	(void)state;
	expect("t od os", 3, 5, 2, ROLLOUT_DROP, 1);
	expect("t o os", 3, 5, 2, ROLLOUT_WAIT, 1);
	expect("t o os", 3, 4, 2, ROLLOUT_START, 1);
	expect("T od o", 3, 4, 1, ROLLOUT_DROP, 1);
	expect("-d o", 2, 1, 0, ROLLOUT_DROP, 0);
	expect("od ox", 2, 4, 2, ROLLOUT_ABORT, 1);
	expect("t od", 1, 3, 1, ROLLOUT_DROP, 1);
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
		const bool begins = s == WORKER_EXECING || s == WORKER_STARTING;
		enum rollout_next next = look_at_new(
		    (struct rollout_worker){ .state = s });

		assert_int_equal(look_at_new((struct rollout_worker){
		    .state = s, .outdated = true }),
		    begins ? ROLLOUT_NEXT_OUTDATED : next);

		if (s == WORKER_IDLE)
			assert_int_equal(next, ROLLOUT_NEXT_IDLE);
		else if (s == WORKER_READY)
			assert_int_equal(next, ROLLOUT_NEXT_READY);
		else if (s == WORKER_ENDED)
			assert_int_equal(next, ROLLOUT_NEXT_PASSED);
		else if (s == WORKER_PARKED || s == WORKER_FAILED)
			assert_int_equal(next, ROLLOUT_NEXT_FAILED);
		else
			assert_int_equal(next, ROLLOUT_NEXT_STARTING);
	}
}

static void
a_new_worker_is_tried(void **state)
{
	static const enum rollout_next is[] = {
		[TRIAL_NEW] = ROLLOUT_NEXT_READY,
		[TRIAL_WAITS] = ROLLOUT_NEXT_TRIED,
		[TRIAL_STALLS] = ROLLOUT_NEXT_TRIED,
		[TRIAL_SERVES] = ROLLOUT_NEXT_SERVES,
		[TRIAL_PASSED] = ROLLOUT_NEXT_PASSED,
		[TRIAL_FAILS] = ROLLOUT_NEXT_FAILED,
	};
	const struct rollout back = { .kind = ROLLOUT_BACK };

	(void)state;
	for (enum trial_verdict t = TRIAL_NEW; t <= TRIAL_FAILS; t++) {
		struct rollout_worker w = {
			.state = WORKER_READY, .trial = t, .of_target = true,
		};
		struct rollout_seat seat = look_at(ROLLOUT_RELOAD, 0, w);

		assert_int_equal(look_at_new(w), is[t]);
		/* On the way back nobody is. */
		assert_int_equal(rollout_look(&back, 0, NULL, &w).next,
		    ROLLOUT_NEXT_PASSED);
		/* Nor does one serve that has taken its seat and keeps clients
		   waiting; and at last it fails. */
		assert_int_equal(seat.ready, t != TRIAL_STALLS);
		assert_int_equal(seat.relapsed, t == TRIAL_FAILS);
	}
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
abort_view(enum rollout_kind kind, const char *text, const char *odd,
    const char *changed, bool over, bool unproven)
{
	struct rollout r = { .kind = kind, .stable_wanted = 7 };
	struct rollout_seat seats[8];
	const struct rollout_view view = {
		.seats = seats, .n_seats = parse_seats(text, seats),
		.n_wanted = 1, .unproven = unproven,
	};
	unsigned wanted = 1;
	struct rollout_aborted a;

	for (size_t i = 0; i < view.n_seats; i++) {
		seats[i].odd = odd[i] == 'y';
		seats[i].changed = changed[i] == 'y';
	}
	a = rollout_abort(&r, &wanted, &view, over);
	assert_int_equal(wanted, 7);
	assert_int_equal(r.kind, a.after == ROLLOUT_RETURNS ||
	    a.after == ROLLOUT_TURNS ? ROLLOUT_BACK : ROLLOUT_NONE);
	return a;
}

static struct rollout_aborted
abort_of(enum rollout_kind kind, const char *text, const char *odd,
    const char *changed, bool over)
{
	return abort_view(kind, text, odd, changed, over,
	    kind == ROLLOUT_RELOAD);
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
	/* What it superseded serves: the newest of those. */
	a = abort_of(ROLLOUT_RELOAD, "ox o o o", "yyyn", "nnnn", false);
	assert_true(a.after == ROLLOUT_RETURNS);
	a = abort_of(ROLLOUT_RELOAD, "ox n m o", "yyyn", "nnnn", false);
	assert_true(a.after == ROLLOUT_TURNS && a.leave && a.odd == 1);
	a = abort_of(ROLLOUT_RELOAD, "ox n", "yy", "nn", true);
	assert_true(a.after == ROLLOUT_ADOPTS && a.odd == 1);
	/* But not those of the target itself. */
	a = abort_of(ROLLOUT_RELOAD, "ox n m", "yyy", "nyn", false);
	assert_true(a.after == ROLLOUT_TURNS && !a.leave && a.odd == 2);
	/* A way there that fails leaves the one to what is in force. */
	a = abort_view(ROLLOUT_BACK, "n mx", "yy", "yy", false, true);
	assert_true(a.after == ROLLOUT_RETURNS && !a.leave);
	/* Another instance of the same is there, so it is not left. */
	a = abort_of(ROLLOUT_RESTART, "t ox", "nn", "yy", false);
	assert_true(a.after == ROLLOUT_STAYS && !a.leave);
}

/* ---- every view of up to three seats ---- */

static const char *const seat_kinds[] = {
	"o", "os", "ow", "or", "ov", "op", "ox", "od", "O", "Os", "Op", "b", "f",
	"fs", "fr", "-", "-!", "-i", "-i!", "-s", "-r", "-p", "-d", "t", "T", "F",
	"G", "R",
};

#define N_KINDS (sizeof(seat_kinds) / sizeof(*seat_kinds))

/* What the promises say of a view, each written on its own. */
struct judgement {
	bool failed, down, all_settled, changed_over, starting, idle, begins;
	size_t superfluous, promoted, behind;	/* the first of them; n_wanted: none */
};

/* Has the new worker shown enough? */
static bool
good_enough(const struct rollout_view *v, enum rollout_next next,
    bool changed_over)
{
	if (v->trial && (v->alone || !changed_over))
		return next == ROLLOUT_NEXT_PASSED;
	return next == ROLLOUT_NEXT_PASSED || next == ROLLOUT_NEXT_SERVES ||
	    (next == ROLLOUT_NEXT_READY && !v->slow);
}

/* The smaller, the sooner. */
static unsigned
turn_of(const struct rollout_view *v, const struct rollout_seat *s)
{
	if (s->next == ROLLOUT_NEXT_IDLE)
		return 0;
	if (v->surge == 0 && !s->alive)
		return 1;
	return s->generation == 0 ? 100 : 1 + s->generation;
}

static struct judgement
judge(const struct rollout_view *v)
{
	struct judgement j = {
		.all_settled = true, .failed = v->deaths >= 2,
		.promoted = v->n_wanted, .behind = v->n_wanted,
		.superfluous = v->n_seats,
	};

	for (size_t i = v->n_seats; i-- > 0; )
		if (v->seats[i].next == ROLLOUT_NEXT_OUTDATED ||
		    (i >= v->n_wanted &&
			v->seats[i].next != ROLLOUT_NEXT_NONE))
			j.superfluous = i;
	for (size_t i = 0; i < v->n_wanted; i++)
		j.changed_over |= v->seats[i].on_target;
	for (size_t i = v->n_wanted; i-- > 0; ) {
		const struct rollout_seat *s = &v->seats[i];
		bool serves = s->ready || s->final;

		j.failed |= s->relapsed || s->next == ROLLOUT_NEXT_FAILED;
		j.down |= s->on_target && !serves;
		j.all_settled &= s->on_target && serves;
		j.begins |= s->on_target && s->alive && !s->ready;
		j.starting |= s->next >= ROLLOUT_NEXT_STARTING;
		j.idle |= s->next == ROLLOUT_NEXT_IDLE;
		if (good_enough(v, s->next, j.changed_over))
			j.promoted = i;
		if (!s->on_target && s->next <= ROLLOUT_NEXT_IDLE &&
		    (j.behind == v->n_wanted || turn_of(v, s) <=
			turn_of(v, &v->seats[j.behind])))
			j.behind = i;
	}
	return j;
}

/* Is there room for one more, beside the old one or in its place? */
static bool
may_start_in(const struct rollout_view *v, const struct rollout_seat *s)
{
	if (v->surge > 0)
		return v->n_alive < v->n_seats + v->surge;
	return !s->alive && !s->leaving &&
	    (s->waits || v->n_alive < v->n_seats);
}

/* The conditions exclude each other, so each view has one lawful decision. */
static bool
lawful(const struct rollout_view *v, struct rollout_decision d)
{
	const struct judgement j = judge(v);
	bool drop = !j.failed && j.superfluous < v->n_seats;
	bool may_promote = !j.failed && !drop && !j.down &&
	    j.promoted < v->n_wanted;
	bool turn = !drop && !j.failed && !j.down && !may_promote &&
	    j.behind < v->n_wanted &&
	    ((j.changed_over && v->surge > 0) || !j.starting);
	const struct rollout_seat *s = &v->seats[j.behind % 3];
	bool may_vacate = turn && v->surge == 0 && s->alive && !j.begins;
	bool may_start = turn && !may_vacate && may_start_in(v, s);

	switch (d.what) {
	case ROLLOUT_ABORT:
		return j.failed && d.seat < v->n_wanted &&
		    (v->seats[d.seat].relapsed || d.seat == v->died ||
		    v->seats[d.seat].next == ROLLOUT_NEXT_FAILED);
	case ROLLOUT_DROP:
		return drop && d.seat == j.superfluous;
	case ROLLOUT_PROMOTE:
		return may_promote && d.seat == j.promoted;
	case ROLLOUT_START:
		return may_start && d.seat == j.behind &&
		    d.stop == s->waits;
	case ROLLOUT_VACATE:
		return may_vacate && d.seat == j.behind && !j.idle;
	case ROLLOUT_TRIM:
		return !j.failed && !drop && j.all_settled &&
		    v->n_seats > v->n_wanted && d.seat == v->n_seats - 1;
	case ROLLOUT_DONE:
		return !j.failed && j.all_settled && v->n_seats == v->n_wanted;
	case ROLLOUT_WAIT:
		/* And there is something to wait for: a seat that comes back,
		   a new worker, or a process that goes. */
		return !j.failed && !drop && !may_promote && !may_start &&
		    !may_vacate && !j.all_settled && (j.down || j.starting ||
		    j.begins ||
		    s->leaving || v->n_alive >= v->n_seats + v->surge);
	}
	return false;
}

static void
every_view_of(const struct rollout_seat *seats, size_t code,
    unsigned long *seen)
{
	for (unsigned n = 0; n < 3 * 3 * 8 * 4 * 12; n++) {
		unsigned rest = n / (3 * 3 * 8 * 4);
		struct rollout_view v = {
			.seats = seats, .n_seats = n % 3 + 1,
			.n_wanted = n / 3 % 3 + 1, .n_alive = n / 9 % 8,
			.surge = n / 72 % 4, .trial = rest % 3 > 0,
			.slow = rest % 3 > 1, .alone = rest / 3 % 2 > 0,
			.deaths = rest / 6 * 2, .died = 0,
		};
		struct rollout_decision d;

		if (v.n_wanted > v.n_seats)
			continue;
		d = rollout_decide(&v);
		seen[d.what]++;
		if (!lawful(&v, d))
			fail_msg("view %zu/%u: %d of %zu", code, n,
			    (int)d.what, d.seat);
	}
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
		every_view_of(seats, code, seen);
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
		cmocka_unit_test(canary_has_a_trial),
		cmocka_unit_test(second_death_aborts),
		cmocka_unit_test(deaths_are_counted_where_they_mean_something),
		cmocka_unit_test(oldest_first),
		cmocka_unit_test(leaving_takes_no_room),
		cmocka_unit_test(beginning_takes_no_room),
		cmocka_unit_test(old_ones_that_had_nothing_left),
		cmocka_unit_test(who_leaves),
		cmocka_unit_test(no_surge),
		cmocka_unit_test(first_failure_aborts),
		cmocka_unit_test(crashed_seat_comes_back_first),
		cmocka_unit_test(scaled_up_and_down),
		cmocka_unit_test(a_new_worker_that_begins_in_vain),
		cmocka_unit_test(a_new_worker_passes_or_fails),
		cmocka_unit_test(a_new_worker_is_tried),
		cmocka_unit_test(two_deaths_are_the_programs),
		cmocka_unit_test(beside_a_restart_the_others_are_let_alone),
		cmocka_unit_test(a_number_changed_by_hand_stays),
		cmocka_unit_test(a_number_stays_within_limits),
		cmocka_unit_test(an_abort_leads_back),
		cmocka_unit_test(every_small_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
