#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_records.h"
#include "core/ledger/ledger_store.h"

/* "clusterd", read as a number, or backwards on other machines. */
#define MAGIC UINT64_C(0x6472657473756c63)

#define AREAS_MAX 32

/* More than there can be descriptors would be a waste. */
#define LISTENERS 4096
#define LANES 65536
#define WORKERS 16384
#define CONFS 4096
#define CALLS 8192
#define FILES 1024

/* So that another area's first page is its own. */
#define ALIGNMENT 4096

/* The states of a record: nothing else is one. */
#define FREE	0U
#define FIRST	UINT32_C(0x1ed6e001)
#define SECOND	UINT32_C(0x1ed6e002)

/* In memory. */
struct area {
	uint32_t kind;
	uint32_t record;	/* bytes: a struct record with its two slots */
	uint32_t places;
	uint32_t used;
	uint64_t at;
};

struct head {
	uint64_t magic;
	uint32_t version;
	uint32_t areas_n;
	uint64_t size;
	uint32_t entered;
	uint32_t reserved;
	struct area areas[AREAS_MAX];
};

struct record {
	uint32_t state;
	uint32_t reserved;
	uint64_t slots[];	/* one behind the other */
};

static_assert(sizeof(struct area) == 24 &&
    sizeof(struct head) == 32 + AREAS_MAX * 24, "no padding");
static_assert(sizeof(struct record) == 8, "no padding");

static const struct {
	uint32_t size;
	uint32_t places;
} kinds[LEDGER_KINDS] = {
	[LEDGER_LISTENER] = { sizeof(struct ledger_listener), LISTENERS },
	[LEDGER_LANE] = { sizeof(struct ledger_lane), LANES },
	[LEDGER_WORKER] = { sizeof(struct ledger_worker), WORKERS },
	[LEDGER_PROGRAM] = { sizeof(struct ledger_program), 1 },
	[LEDGER_CONF] = { sizeof(struct ledger_conf), CONFS },
	[LEDGER_CALL] = { sizeof(struct ledger_call), CALLS },
	[LEDGER_COUNT] = { sizeof(struct ledger_count), 1 },
	[LEDGER_STOP] = { sizeof(struct ledger_stop), 1 },
	[LEDGER_FILE] = { sizeof(struct ledger_file), FILES },
	[LEDGER_LINES] = { sizeof(struct ledger_lines), 1 },
};

static struct head *
head_of(const struct ledger *l)
{
	return (struct head *)l->memory;
}

/* ---- areas ---- */

static size_t
slot_size(const struct ledger_area *a)
{
	return (a->record - sizeof(struct record)) / 2;
}

/* A kind that is ours, as it stands in the head. */
static void
note_area(struct ledger *l, struct area *area)
{
	struct ledger_area *a = &l->areas[area->kind];

	*a = (struct ledger_area){
		.at = (size_t)area->at,
		.record = area->record,
		.places = area->places,
		.used = &area->used,
		.most = area->used,
	};
}

static uint64_t
pair(uint32_t first, uint32_t second)
{
	const uint32_t both[2] = { first, second };
	uint64_t word;

	memcpy(&word, both, sizeof(word));
	return word;
}

/* Behind the others. -ENOSPC. */
static int
add_area(struct ledger *l, enum ledger_kind kind)
{
	struct head *head = head_of(l);
	const uint32_t n = head->areas_n;
	const uint32_t record = (uint32_t)sizeof(struct record) +
	    2 * kinds[kind].size;
	uint64_t at = sizeof(*head);
	struct area *area = &head->areas[n];

	if (n == AREAS_MAX)
		return -ENOSPC;
	if (n > 0)
		at = area[-1].at + (uint64_t)area[-1].places * area[-1].record;
	at = (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (at > l->size ||
	    (uint64_t)kinds[kind].places * record > l->size - at)
		return -ENOSPC;
	ledger_store((uint64_t *)(void *)&area->kind, pair(kind, record));
	ledger_store((uint64_t *)(void *)&area->places,
	    pair(kinds[kind].places, 0));
	ledger_store(&area->at, at);
	ledger_publish(&head->areas_n, n + 1);
	note_area(l, area);
	return 0;
}

static int
add_missing(struct ledger *l)
{
	for (int kind = 1; kind < LEDGER_KINDS; kind++)
		if (l->areas[kind].at == 0 &&
		    add_area(l, (enum ledger_kind)kind) < 0)
			return -ENOSPC;
	return 0;
}

void
ledger_format(struct ledger *ret, void *memory)
{
	struct ledger l = { .memory = memory, .size = LEDGER_SIZE };
	struct head *head = memory;
	int code;

	ledger_store(&head->size, LEDGER_SIZE);
	code = add_missing(&l);
	assert(code == 0);
	(void)code;
	ledger_publish(&head->version, LEDGER_VERSION);
	/* Before this one there is no ledger. */
	ledger_store(&head->magic, MAGIC);
	*ret = l;
}

/* Within, behind the one before, and large enough for a record. */
static int
check_area(const struct ledger *l, const struct area *a, uint64_t after)
{
	if (a->at < after || a->at > l->size || a->at % 8 != 0 ||
	    a->record % 16 != 8 || a->record < sizeof(struct record) + 16 ||
	    a->places > (l->size - a->at) / a->record || a->used > a->places)
		return -EBADMSG;
	return 0;
}

static int
check_areas(struct ledger *l)
{
	struct head *head = head_of(l);
	uint64_t after = sizeof(*head);

	if (head->areas_n > AREAS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < head->areas_n; i++) {
		struct area *a = &head->areas[i];

		if (check_area(l, a, after) < 0)
			return -EBADMSG;
		after = a->at + (uint64_t)a->places * a->record;
		if (a->kind == 0 || a->kind >= LEDGER_KINDS)
			continue;
		if (l->areas[a->kind].at != 0)
			return -EBADMSG;
		note_area(l, a);
		if (slot_size(&l->areas[a->kind]) < kinds[a->kind].size)
			return -EPROTO;
	}
	return 0;
}

int
ledger_open(struct ledger *ret, void *memory, size_t size, struct error *err)
{
	struct ledger l = { .memory = memory, .size = size };
	const struct head *head = memory;
	int code;

	if (size < sizeof(*head) || head->magic != MAGIC ||
	    head->size != size)
		return error_set(err, -EBADMSG, "it is no ledger");
	if (head->version != LEDGER_VERSION)
		return error_set(err, -EPROTO, "the ledger is of version %u, "
		    "and not %d", head->version, LEDGER_VERSION);
	code = check_areas(&l);
	if (code == -EBADMSG)
		return error_set(err, code, "the ledger is spoilt");
	if (code < 0 || add_missing(&l) < 0)
		return error_set(err, -EPROTO,
		    "the ledger has no room for what this version knows");
	*ret = l;
	return 0;
}

uint32_t
ledger_enter(struct ledger *l)
{
	struct head *head = head_of(l);
	uint32_t before = head->entered;

	ledger_publish(&head->entered, before + 1);
	return before;
}

/* ---- records ---- */

static struct record *
record_at(const struct ledger *l, enum ledger_kind kind, uint32_t place)
{
	const struct ledger_area *a = &l->areas[kind];

	assert(place < a->places);
	return (struct record *)(void *)(l->memory + a->at +
	    (size_t)place * a->record);
}

/* Where the state says; NULL: nowhere. */
static uint64_t *
slot_of(const struct ledger *l, enum ledger_kind kind, struct record *r,
    uint32_t state)
{
	size_t words = slot_size(&l->areas[kind]) / sizeof(uint64_t);

	return state == FIRST ? r->slots : state == SECOND ?
	    r->slots + words : NULL;
}

/* A later version's has more behind it, of which nothing is known. */
static void
fill(const struct ledger *l, enum ledger_kind kind, uint64_t *slot,
    const void *payload)
{
	size_t ours = kinds[kind].size / sizeof(uint64_t);
	size_t words = slot_size(&l->areas[kind]) / sizeof(uint64_t);

	for (size_t i = 0; i < words; i++) {
		uint64_t word = 0;

		if (i < ours)
			memcpy(&word, (const char *)payload +
			    i * sizeof(word), sizeof(word));
		ledger_store(&slot[i], word);
	}
}

void
ledger_set(struct ledger *l, enum ledger_kind kind, uint32_t place,
    const void *payload)
{
	struct record *r = record_at(l, kind, place);
	uint32_t next = r->state == FIRST ? SECOND : FIRST;

	fill(l, kind, slot_of(l, kind, r, next), payload);
	ledger_publish(&r->state, next);
}

int
ledger_add(struct ledger *l, enum ledger_kind kind, const void *payload,
    uint32_t *ret_place)
{
	struct ledger_area *a = &l->areas[kind];
	uint32_t place = a->free;

	while (place < a->most && record_at(l, kind, place)->state != FREE)
		place++;
	a->free = place;
	if (place == a->places)
		return -ENOSPC;
	if (place == a->most) {
		a->most++;
		ledger_publish(a->used, a->most);
	}
	ledger_set(l, kind, place, payload);
	a->free = place + 1;
	*ret_place = place;
	return 0;
}

void
ledger_drop(struct ledger *l, enum ledger_kind kind, uint32_t place)
{
	struct ledger_area *a = &l->areas[kind];

	ledger_publish(&record_at(l, kind, place)->state, FREE);
	if (place < a->free)
		a->free = place;
}

uint32_t
ledger_end(const struct ledger *l, enum ledger_kind kind)
{
	return l->areas[kind].most;
}

uint32_t
ledger_count(const struct ledger *l, enum ledger_kind kind)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->areas[kind].most; i++)
		n += __atomic_load_n(&record_at(l, kind, i)->state,
		    __ATOMIC_RELAXED) != FREE;
	return n;
}

int
ledger_get(const struct ledger *l, enum ledger_kind kind, uint32_t place,
    void *ret_payload)
{
	struct record *r = record_at(l, kind, place);
	uint32_t state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
	const uint64_t *slot = slot_of(l, kind, r, state);

	if (slot == NULL)
		return state == FREE ? 0 : -EBADMSG;
	memcpy(ret_payload, slot, kinds[kind].size);
	return 1;
}
