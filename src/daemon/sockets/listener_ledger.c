#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_ledger.h"
#include "linux/bpf/conn_count.h"
#include "linux/bpf/steering_hub.h"
#include "linux/bpf/steering_programs.h"

static struct ledger *
ledger_of(const struct listener *l)
{
	return l->all != NULL ? l->all->ledger : NULL;
}

/* What is there already, none of it is written again. */
static void
write_record(struct listener *l, enum ledger_kind kind, uint32_t *record,
    const void *wanted, void *there, size_t size)
{
	struct ledger *ledger = ledger_of(l);

	if (*record != LEDGER_NOWHERE) {
		if (ledger_get(ledger, kind, *record, there) != 1 ||
		    memcmp(there, wanted, size) != 0)
			ledger_set(ledger, kind, *record, wanted);
		return;
	}
	if (ledger_add(ledger, kind, wanted, record) == 0)
		return;
	if (!l->all->told_full)
		log_app(LOG_LEVEL_WARNING, l->app, "there are too many "
		    "listeners: not all would outlive a supervisor that is "
		    "killed");
	l->all->told_full = true;
}

static uint32_t
flags_of(const struct listener *l)
{
	return (l->inherited ? LEDGER_INHERITED : 0U) |
	    (l->derived ? LEDGER_DERIVED : 0U) |
	    (l->beside ? LEDGER_BESIDE : 0U) |
	    (l->refuses ? LEDGER_REFUSES : 0U) |
	    (l->forsaken ? LEDGER_FORSAKEN : 0U);
}

static void
fill(const struct listener *l, struct ledger_listener *r)
{
	*r = (struct ledger_listener){
		.serial = l->serial,
		.flags = flags_of(l),
		.position = (uint32_t)l->position,
		.instance = l->instance,
		.backlog = l->backlog,
		.mode = l->options.mode,
		.uid = l->options.uid,
		.gid = l->options.gid,
		.file_dev = l->file.dev,
		.file_ino = l->file.ino,
	};
	for (size_t i = 0; i < l->n_old_files && i < LEDGER_OLD_FILES; i++)
		r->old_files[i] = l->old_files[i];
	ledger_address_put(&r->written, &l->address);
	ledger_address_put(&r->bound, &l->bound);
	ledger_put_text(r->app, sizeof(r->app), l->app);
	ledger_put_text(r->path, sizeof(r->path),
	    l->bound.path != NULL ? l->bound.path : "");
}

void
listener_ledger_note(struct listener *l)
{
	struct ledger_listener wanted, there;

	if (l->serial == 0)
		l->serial = ++l->all->serials;
	if (ledger_of(l) == NULL || !listener_is_open(l))
		return;
	fill(l, &wanted);
	write_record(l, LEDGER_LISTENER, &l->record, &wanted, &there,
	    sizeof(wanted));
}

static bool
works(const struct balancing_probe *p)
{
	return p->done && p->code == 0;
}

/* What the next one need not load and try out again. */
static uint32_t
program_of(const struct balancing *b)
{
	int fd = steering_hub_attached(b->hub);

	return (fd > 0 ? (uint32_t)fd & LEDGER_PROGRAM_FD : 0) |
	    (works(&b->turns) ? LEDGER_TURNS_WORK : 0) |
	    (works(&b->least) ? LEDGER_LEAST_WORKS : 0);
}

/* What nobody can take over counts for nobody: none of it is there then. */
void
listener_ledger_count(struct listeners *ls)
{
	const struct balancing *b = &ls->balancing;
	struct ledger_count there, r = { .program = 0 };
	uint32_t place;
	bool counts, is_there;

	static_assert(LEDGER_COUNT_FDS == CONN_COUNT_FDS &&
	    LEDGER_HUB_FDS == STEERING_HUB_FDS, "one of each");
	if (ls->ledger == NULL)
		return;
	counts = b->hub != NULL && conn_count_fds(b->count, r.fds);
	if (counts) {
		r.print = steering_programs_print();
		steering_hub_fds(b->hub, r.fds + LEDGER_COUNT_FDS);
		r.program = program_of(b);
	}
	is_there = ledger_get_count(ls->ledger, &there) == 1;
	if (is_there && (!counts || memcmp(&there, &r, sizeof(r)) != 0))
		ledger_drop(ls->ledger, LEDGER_COUNT, 0);
	else if (is_there)
		return;
	if (counts)
		(void)ledger_add(ls->ledger, LEDGER_COUNT, &r, &place);
}

void
listener_ledger_end(struct listener *l)
{
	if (l->record != LEDGER_NOWHERE)
		ledger_drop(ledger_of(l), LEDGER_LISTENER, l->record);
	l->record = LEDGER_NOWHERE;
}

void
listener_ledger_lane(struct lane *lane)
{
	struct listener *l = lane->listener;
	struct ledger_lane there, wanted = {
		.ino = lane->ino,
		.listener = l->serial,
		.listener_place = l->record,
		.fd = lane->fd,
		.slot = lane->slot,
		.flags = (lane->listening ? LEDGER_LISTENING : 0U) |
		    (lane->deaf ? LEDGER_DEAF : 0U) |
		    (lane == l->lanes.common ? LEDGER_COMMON : 0U) |
		    (lane->live ? LEDGER_LIVE : 0U) |
		    (lane->sealed ? LEDGER_SEALED : 0U) |
		    (lane->hushed ? 0U : LEDGER_HEARS),
		.joined = lane->joined,
		.holder = lane->holder != NULL ? lane->holder->number :
		    lane->held_by,
		.claimed = lane->claimed,
	};

	/* Of a listener that has no record nobody would find it. */
	if (ledger_of(l) == NULL || l->record == LEDGER_NOWHERE ||
	    lane->fd < 0)
		return;
	write_record(l, LEDGER_LANE, &lane->record, &wanted, &there,
	    sizeof(wanted));
}

void
listener_ledger_drop(struct listener *l, uint32_t record)
{
	if (record != LEDGER_NOWHERE)
		ledger_drop(ledger_of(l), LEDGER_LANE, record);
}

void
listener_ledger_forget(struct lane *lane)
{
	listener_ledger_drop(lane->listener, listener_ledger_part(lane));
}

uint32_t
listener_ledger_part(struct lane *lane)
{
	uint32_t record = lane->record;

	lane->record = LEDGER_NOWHERE;
	return record;
}

void
listener_ledger_rejoin(struct lane *lane, uint32_t record)
{
	lane->record = record;
	listener_ledger_lane(lane);
}
