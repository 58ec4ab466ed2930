/*
 * The ledger: what is written is read; a writer that dies after any store leaves
 * what was before or what is after; and nothing that stands in its memory makes a
 * reader go astray.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/ledger/ledger_store.h"
#include "core/names/address.h"

/* ---- a memory, and what is to be in it ---- */

#define PLACES 12

struct model {
	struct {
		bool taken;
		struct ledger_listener listener;
		struct ledger_lane lane;
	} v[LEDGER_KINDS][PLACES];
};

static unsigned char *memory;
static struct ledger ledger;

static void
begin(void)
{
	memory = mmap(NULL, LEDGER_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(memory != MAP_FAILED);
	ledger_format(&ledger, memory);
}

static void
end(void)
{
	assert_int_equal(munmap(memory, LEDGER_SIZE), 0);
	memory = NULL;
}

/* Any that may be; of another number everything is another. */
static struct ledger_listener
some_listener(unsigned number)
{
	struct ledger_listener r = {
		.serial = number + 1,
		.position = number % 100,
		.instance = (long)(number % 5) - 1,
		.backlog = number * 3,
		.mode = number % 0777,
		.file_ino = number * 7,
	};
	struct address a = { .kind = ADDRESS_TCP, .port = 80 };

	a.port = (uint16_t)(number + 80);
	memset(a.ip, (int)(number % 255), sizeof(a.ip));
	ledger_address_put(&r.written, &a);
	ledger_address_put(&r.bound, &a);
	memset(r.app, 'a' + (int)(number % 26), 1 + number % 30);
	return r;
}

static struct ledger_lane
some_lane(unsigned number)
{
	return (struct ledger_lane){
		.ino = number + 1, .listener = number * 5 + 1,
		.listener_place = number % 9, .fd = 3 + (int)(number % 1000),
		.slot = number % 17, .flags = number % 4,
		.joined = number * 11,
	};
}

/* Is exactly this in it, for one who opens it now? */
static bool
holds(const struct model *m)
{
	struct error err = ERROR_INIT;
	struct ledger reader;

	if (ledger_open(&reader, memory, LEDGER_SIZE, &err) < 0)
		fail_msg("%s", error_text(&err));
	for (int kind = LEDGER_LISTENER; kind <= LEDGER_LANE; kind++)
		for (uint32_t i = 0; i < PLACES; i++) {
			struct ledger_listener listener;
			struct ledger_lane lane;
			bool is_lane = kind == LEDGER_LANE;
			int there = i >= ledger_end(&reader,
			    (enum ledger_kind)kind) ? 0 : is_lane ?
			    ledger_get_lane(&reader, i, &lane) :
			    ledger_get_listener(&reader, i, &listener);

			assert_true(there >= 0);
			if ((there == 1) != m->v[kind][i].taken)
				return false;
			if (there == 1 && (is_lane ? memcmp(&lane,
			    &m->v[kind][i].lane, sizeof(lane)) :
			    memcmp(&listener, &m->v[kind][i].listener,
			    sizeof(listener))) != 0)
				return false;
		}
	return true;
}

/* ---- stores ---- */

void __real_ledger_store(uint64_t *at, uint64_t value);
void __real_ledger_publish(uint32_t *at, uint32_t value);
void __wrap_ledger_store(uint64_t *at, uint64_t value);
void __wrap_ledger_publish(uint32_t *at, uint32_t value);

#define STORES_MAX 128

static struct {
	void (*fn)(void);	/* after each store; NULL: as if we were not
				   there */
	bool shuffle;		/* those that nothing keeps in order */
	struct {
		uint64_t *at;
		uint64_t value;
	} v[STORES_MAX];
	size_t n;
	size_t all;		/* stores so far */
} stores;

static void
stored(void)
{
	stores.all++;
	stores.fn();
}

void
__wrap_ledger_store(uint64_t *at, uint64_t value)
{
	if (stores.fn != NULL && stores.shuffle) {
		assert_true(stores.n < STORES_MAX);
		stores.v[stores.n].at = at;
		stores.v[stores.n++].value = value;
		return;
	}
	__real_ledger_store(at, value);
	if (stores.fn != NULL)
		stored();
}

void
__wrap_ledger_publish(uint32_t *at, uint32_t value)
{
	while (stores.n > 0) {
		size_t i = (size_t)rand() % stores.n;

		__real_ledger_store(stores.v[i].at, stores.v[i].value);
		stores.v[i] = stores.v[--stores.n];
		stored();
	}
	__real_ledger_publish(at, value);
	if (stores.fn != NULL)
		stored();
}

/* ---- histories ---- */

static struct model before, after;
static unsigned number;

/* One change, in the model or in the ledger. */
struct change {
	enum ledger_kind kind;
	enum { ADD, SET, DROP } what;
	uint32_t place;
	unsigned number;
};

static uint32_t
find_place(const struct model *m, enum ledger_kind kind, bool taken)
{
	uint32_t first = (uint32_t)rand() % PLACES;

	/* What is added goes to the first one that is free. */
	if (!taken)
		first = 0;
	for (uint32_t i = 0; i < PLACES; i++)
		if (m->v[kind][(first + i) % PLACES].taken == taken)
			return (first + i) % PLACES;
	return LEDGER_NOWHERE;
}

static struct change
choose(const struct model *m)
{
	struct change c = {
		.kind = rand() % 2 ? LEDGER_LISTENER : LEDGER_LANE,
		.number = ++number,
	};

	c.what = rand() % 3 == 0 ? ADD : rand() % 2 ? SET : DROP;
	c.place = find_place(m, c.kind, c.what != ADD);
	if (c.place == LEDGER_NOWHERE) {
		c.what = c.what == ADD ? DROP : ADD;
		c.place = find_place(m, c.kind, c.what != ADD);
	}
	return c;
}

static void
change_model(struct model *m, struct change c)
{
	m->v[c.kind][c.place].taken = c.what != DROP;
	m->v[c.kind][c.place].listener = some_listener(c.number);
	m->v[c.kind][c.place].lane = some_lane(c.number);
}

static void
change_ledger(struct change c)
{
	struct ledger_listener listener = some_listener(c.number);
	struct ledger_lane lane = some_lane(c.number);
	const void *record = c.kind == LEDGER_LANE ? (void *)&lane :
	    (void *)&listener;
	uint32_t place = LEDGER_NOWHERE;

	switch (c.what) {
	case ADD:
		assert_int_equal(ledger_add(&ledger, c.kind, record, &place),
		    0);
		assert_int_equal(place, c.place);
		break;
	case SET:
		ledger_set(&ledger, c.kind, c.place, record);
		break;
	case DROP:
		ledger_drop(&ledger, c.kind, c.place);
		break;
	}
}

static bool came;	/* what is after */

static void
look(void)
{
	if (!came && holds(&before))
		return;
	assert_true(holds(&after));
	came = true;
}

/* Every change of a long history, cut off after every store: it is what was
   before, and from some store on what is after. */
static void
walk(bool shuffle)
{
	srand(shuffle ? 5 : 4);
	begin();
	before = after = (struct model){ .v = { { { false } } } };
	stores.all = stores.n = 0;
	for (int i = 0; i < 3000; i++) {
		struct change c = choose(&after);

		change_model(&after, c);
		came = false;
		stores.fn = look;
		stores.shuffle = shuffle;
		change_ledger(c);
		stores.fn = NULL;
		assert_true(came);
		before = after;
	}
	/* So that the test tells something. */
	assert_true(stores.all > 50000);
	end();
}

static void
a_cut_history_is_before_or_after(void **state)
{
	(void)state;
	walk(false);
}

static void
it_is_in_whatever_order_a_slot_is_written(void **state)
{
	(void)state;
	walk(true);
}

static jmp_buf death;
static size_t lives;	/* stores until then */

static void
die(void)
{
	if (lives-- == 0)
		longjmp(death, 1);
}

/* The next writer goes on from where the last one has died. */
static void
the_next_writer_goes_on(void **state)
{
	struct error err = ERROR_INIT;
	unsigned volatile befores = 0, afters = 0;

	(void)state;
	srand(6);
	begin();
	before = (struct model){ .v = { { { false } } } };
	for (int volatile i = 0; i < 5000; i++) {
		struct change c = choose(&before);

		after = before;
		change_model(&after, c);
		lives = (size_t)rand() % 60;
		stores.shuffle = rand() % 2;
		stores.n = 0;
		stores.fn = die;
		if (setjmp(death) == 0)
			change_ledger(c);
		stores.fn = NULL;
		if (holds(&after)) {
			before = after;
			afters++;
		} else {
			assert_true(holds(&before));
			befores++;
		}
		assert_int_equal(ledger_open(&ledger, memory, LEDGER_SIZE,
		    &err), 0);
	}
	assert_true(befores > 500 && afters > 500);
	end();
}

static unsigned whole;

static void
look_at_new(void)
{
	struct ledger reader;
	struct error err = ERROR_INIT;
	int code = ledger_open(&reader, memory, LEDGER_SIZE, &err);

	if (code == 0) {
		whole++;
		assert_int_equal(ledger_end(&reader, LEDGER_LISTENER), 0);
		assert_int_equal(ledger_end(&reader, LEDGER_LANE), 0);
	} else {
		assert_int_equal(code, -EBADMSG);
	}
	error_clear(&err);
}

static void
a_new_one_is_none_until_it_is_whole(void **state)
{
	(void)state;
	whole = 0;
	stores.fn = look_at_new;
	stores.shuffle = false;
	begin();
	stores.fn = NULL;
	/* The last store made it one. */
	assert_int_equal(whole, 1);
	end();
}

/* ---- what is there ---- */

static void
supervisors_are_counted(void **state)
{
	struct ledger other;

	(void)state;
	begin();
	assert_int_equal(ledger_enter(&ledger), 0);
	assert_int_equal(ledger_open(&other, memory, LEDGER_SIZE, NULL), 0);
	assert_int_equal(ledger_enter(&other), 1);
	end();
}

static void
a_place_is_taken_once_and_all_can_be(void **state)
{
	struct ledger_listener r = some_listener(1);
	uint32_t place = LEDGER_NOWHERE, n = 0;

	(void)state;
	begin();
	while (ledger_add(&ledger, LEDGER_LISTENER, &r, &place) == 0)
		assert_int_equal(place, n++);
	assert_int_equal(n, 4096);
	ledger_drop(&ledger, LEDGER_LISTENER, 17);
	ledger_drop(&ledger, LEDGER_LISTENER, 5);
	assert_int_equal(ledger_add(&ledger, LEDGER_LISTENER, &r, &place), 0);
	assert_int_equal(place, 5);
	assert_int_equal(ledger_add(&ledger, LEDGER_LISTENER, &r, &place), 0);
	assert_int_equal(place, 17);
	assert_int_equal(ledger_add(&ledger, LEDGER_LISTENER, &r, &place),
	    -ENOSPC);
	end();
}

static void
addresses_come_back_as_they_were(void **state)
{
	static const char *const texts[] = {
		"8080", "0", "127.0.0.1:80", "[::1]:80", "udp:[::]:53",
		"0.0.0.0:80 interface=lo freebind mark=7 defer_accept=5 "
		    "fastopen=256", "unix:/run/x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct address a, back;
		struct ledger_address at;
		char path[LEDGER_PATH_SIZE];
		char *text, *again;

		assert_int_equal(address_parse(texts[i], "/", &a, NULL), 0);
		ledger_address_put(&at, &a);
		ledger_put_text(path, sizeof(path),
		    a.path != NULL ? a.path : "");
		assert_int_equal(ledger_address_get(&at, path, &back), 0);
		assert_true(address_equal(&a, &back));
		text = address_format(&a);
		again = address_format(&back);
		assert_string_equal(text, again);
		free(text);
		free(again);
		address_free(&a);
	}
}

static void
what_cannot_be_is_not_believed(void **state)
{
	struct ledger_listener r = some_listener(1), got;
	struct ledger_lane lane = some_lane(1), got_lane;
	uint32_t place;

	(void)state;
	begin();
	assert_int_equal(ledger_add(&ledger, LEDGER_LISTENER, &r, &place), 0);
	assert_int_equal(ledger_get_listener(&ledger, place, &got), 1);
#define IS_NONE(change) do { \
		struct ledger_listener bad = r; \
		change; \
		ledger_set(&ledger, LEDGER_LISTENER, place, &bad); \
		assert_int_equal(ledger_get_listener(&ledger, place, &got), \
		    -EBADMSG); \
	} while (0)
	IS_NONE(bad.serial = 0);
	IS_NONE(bad.app[0] = '\0');
	IS_NONE(memset(bad.app, 'a', sizeof(bad.app)));
	IS_NONE(bad.app[0] = '\n');
	IS_NONE(bad.path[0] = '/');
	IS_NONE(bad.written.kind = ADDRESS_UNIX);
	IS_NONE(bad.bound.kind = 3);
	IS_NONE(bad.bound.host = 9);
	IS_NONE(bad.bound.port = 65536);
	IS_NONE(memset(bad.bound.interface, 'x', 16));
	IS_NONE(bad.instance = -2);
	IS_NONE(bad.mode = 010000);
	assert_int_equal(ledger_add(&ledger, LEDGER_LANE, &lane, &place), 0);
	assert_int_equal(ledger_get_lane(&ledger, place, &got_lane), 1);
	lane.fd = 2;
	ledger_set(&ledger, LEDGER_LANE, place, &lane);
	assert_int_equal(ledger_get_lane(&ledger, place, &got_lane), -EBADMSG);
	end();
}

/* ---- other versions ---- */

static void
write_u32(size_t at, uint32_t value)
{
	memcpy(memory + at, &value, sizeof(value));
}

static uint32_t
read_u32(size_t at)
{
	uint32_t value;

	memcpy(&value, memory + at, sizeof(value));
	return value;
}

/* In the head: the areas begin at 32, with 24 bytes each. */
#define VERSION_AT 8
#define AREAS_AT 12
#define AREA_AT(i) (32 + 24 * (size_t)(i))

static int
open_again(void)
{
	struct ledger reader;

	return ledger_open(&reader, memory, LEDGER_SIZE, NULL);
}

static void
another_version_is_not_understood(void **state)
{
	(void)state;
	begin();
	write_u32(VERSION_AT, LEDGER_VERSION + 1);
	assert_int_equal(open_again(), -EPROTO);
	end();
}

/* Its area is passed over; the next writer leaves it alone. */
static struct ledger_worker
some_worker(void)
{
	struct ledger_worker r = {
		.number = 7, .serial = 8, .started = 9, .pid = 10, .state = 3,
		.instance = 2, .deaths_n = LEDGER_DEATHS, .notify = -1,
		.trap = 5, .out = { 6, -1 }, .app = "web",
	};

	return r;
}

static int
get_worker(const struct ledger_worker *r)
{
	struct ledger_worker got;
	int code;

	ledger_set(&ledger, LEDGER_WORKER, 0, r);
	code = ledger_get_worker(&ledger, 0, &got);
	if (code == 1)
		assert_memory_equal(&got, r, sizeof(got));
	return code;
}

#define REFUSED_WORKER(field, value) do {				\
		struct ledger_worker bad = some_worker();		\
									\
		bad.field = (value);					\
		assert_int_equal(get_worker(&bad), -EBADMSG);		\
	} while (0)

static void
workers_that_cannot_be_are_refused(void **state)
{
	struct ledger_worker r = some_worker();
	uint32_t place;

	(void)state;
	begin();
	assert_int_equal(ledger_add(&ledger, LEDGER_WORKER, &r, &place), 0);
	assert_int_equal(get_worker(&r), 1);
	REFUSED_WORKER(number, 0);
	REFUSED_WORKER(pid, 1);
	REFUSED_WORKER(pid, -2);
	REFUSED_WORKER(state, 11);
	REFUSED_WORKER(watchdog_us, -1);
	REFUSED_WORKER(deaths_n, LEDGER_DEATHS + 1);
	REFUSED_WORKER(notify, 2);
	REFUSED_WORKER(out[1], -2);
	REFUSED_WORKER(app[0], '\0');
	memset(r.app, 'x', sizeof(r.app));
	assert_int_equal(get_worker(&r), -EBADMSG);
	end();
}

static void
other_records_that_cannot_be_are_refused(void **state)
{
	struct ledger_conf conf = { .text = -1, .wanted = 3, .app = "web" }, c;
	struct ledger_call call = { .worker = 1, .id = 2, .tid = 3 }, l;
	struct ledger_program program = { .run_id = 1, .notify_dir = -1 }, p;
	struct ledger_count count = { .print = 1,
		.fds = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 } }, n;
	struct ledger_stop stop = { .phase = LEDGER_STOP_DRAINS, .flags = 1,
		.deadline = 7 }, s;
	uint32_t place;

	(void)state;
	begin();
	assert_int_equal(ledger_get_program(&ledger, &p), 0);
	assert_int_equal(ledger_get_stop(&ledger, &s), 0);
	assert_int_equal(ledger_add(&ledger, LEDGER_STOP, &stop, &place), 0);
	assert_int_equal(ledger_get_stop(&ledger, &s), 1);
	assert_memory_equal(&s, &stop, sizeof(s));
	for (int i = 0; i < 2; i++) {
		stop.phase = i == 0 ? 0 : LEDGER_STOP_STOPS + 1;
		ledger_set(&ledger, LEDGER_STOP, 0, &stop);
		assert_int_equal(ledger_get_stop(&ledger, &s), -EBADMSG);
	}
	assert_int_equal(ledger_add(&ledger, LEDGER_CONF, &conf, &place), 0);
	assert_int_equal(ledger_get_conf(&ledger, place, &c), 1);
	assert_memory_equal(&c, &conf, sizeof(c));
	conf.text = 0;
	ledger_set(&ledger, LEDGER_CONF, place, &conf);
	assert_int_equal(ledger_get_conf(&ledger, place, &c), -EBADMSG);
	assert_int_equal(ledger_add(&ledger, LEDGER_CALL, &call, &place), 0);
	assert_int_equal(ledger_get_call(&ledger, place, &l), 1);
	call.tid = 0;
	ledger_set(&ledger, LEDGER_CALL, place, &call);
	assert_int_equal(ledger_get_call(&ledger, place, &l), -EBADMSG);
	assert_int_equal(ledger_add(&ledger, LEDGER_PROGRAM, &program, &place),
	    0);
	assert_int_equal(ledger_get_program(&ledger, &p), 1);
	assert_int_equal(ledger_add(&ledger, LEDGER_PROGRAM, &program, &place),
	    -ENOSPC);
	program.notify_dir = 1;
	ledger_set(&ledger, LEDGER_PROGRAM, 0, &program);
	assert_int_equal(ledger_get_program(&ledger, &p), -EBADMSG);
	assert_int_equal(ledger_get_count(&ledger, &n), 0);
	assert_int_equal(ledger_add(&ledger, LEDGER_COUNT, &count, &place), 0);
	assert_int_equal(ledger_get_count(&ledger, &n), 1);
	assert_memory_equal(&n, &count, sizeof(n));
	count.fds[11] = -1;
	ledger_set(&ledger, LEDGER_COUNT, 0, &count);
	assert_int_equal(ledger_get_count(&ledger, &n), -EBADMSG);
	end();
}

static void
files_that_cannot_be_are_refused(void **state)
{
	struct ledger_file file = { .ino = 1, .fd = 3, .path = "/log" }, f;
	struct ledger_lines lines = { .ino = 1, .fd = 3 }, l;
	uint32_t place;

	(void)state;
	begin();
	assert_int_equal(ledger_add(&ledger, LEDGER_FILE, &file, &place), 0);
	assert_int_equal(ledger_get_file(&ledger, place, &f), 1);
	assert_memory_equal(&f, &file, sizeof(f));
	file.path[0] = 'x';
	ledger_set(&ledger, LEDGER_FILE, place, &file);
	assert_int_equal(ledger_get_file(&ledger, place, &f), -EBADMSG);
	file.path[0] = '/';
	file.fd = 2;
	ledger_set(&ledger, LEDGER_FILE, place, &file);
	assert_int_equal(ledger_get_file(&ledger, place, &f), -EBADMSG);
	assert_int_equal(ledger_get_lines(&ledger, &l), 0);
	assert_int_equal(ledger_add(&ledger, LEDGER_LINES, &lines, &place), 0);
	assert_int_equal(ledger_get_lines(&ledger, &l), 1);
	lines.fd = -1;
	ledger_set(&ledger, LEDGER_LINES, 0, &lines);
	assert_int_equal(ledger_get_lines(&ledger, &l), -EBADMSG);
	end();
}

/* They end where they ended when there were most; those that are free do not count. */
static void
records_are_counted_without_the_free_ones(void **state)
{
	struct ledger_lane lane = some_lane(3);
	uint32_t places[5];

	(void)state;
	begin();
	assert_int_equal(ledger_count(&ledger, LEDGER_LANE), 0);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(ledger_add(&ledger, LEDGER_LANE, &lane,
		    &places[i]), 0);
	assert_int_equal(ledger_count(&ledger, LEDGER_LANE), 5);
	for (size_t i = 0; i < 5; i++)
		if (i != 1 && i != 3)
			ledger_drop(&ledger, LEDGER_LANE, places[i]);
	assert_int_equal(ledger_count(&ledger, LEDGER_LANE), 2);
	assert_int_equal(ledger_end(&ledger, LEDGER_LANE), 5);
	assert_int_equal(ledger_count(&ledger, LEDGER_LISTENER), 0);
	end();
}

static void
a_kind_that_is_not_known_is_passed_over(void **state)
{
	struct ledger_lane lane = some_lane(3), got;
	struct ledger_listener r = some_listener(2);
	uint32_t place;

	(void)state;
	begin();
	assert_int_equal(ledger_add(&ledger, LEDGER_LISTENER, &r, &place), 0);
	assert_int_equal(ledger_add(&ledger, LEDGER_LANE, &lane, &place), 0);
	write_u32(AREA_AT(0), 77);
	/* And one of ours that was not there yet gets an area behind it. */
	assert_int_equal(ledger_open(&ledger, memory, LEDGER_SIZE, NULL), 0);
	assert_int_equal(read_u32(AREAS_AT), LEDGER_KINDS);
	assert_int_equal(ledger_end(&ledger, LEDGER_LISTENER), 0);
	assert_int_equal(ledger_get_lane(&ledger, place, &got), 1);
	assert_memory_equal(&got, &lane, sizeof(got));
	assert_int_equal(ledger_add(&ledger, LEDGER_LISTENER, &r, &place), 0);
	assert_int_equal(open_again(), 0);
	end();
}

/* A later version's has more at its end: it is written with zeros there. A
   smaller one cannot be gone on with. */
static void
a_larger_record_is_read_as_far_as_it_is_known(void **state)
{
	struct ledger_lane lane = some_lane(3), got;
	const uint32_t size = 8 + 2 * sizeof(lane);
	uint32_t place;

	(void)state;
	begin();
	assert_int_equal(read_u32(AREA_AT(1)), LEDGER_LANE);
	assert_int_equal(read_u32(AREA_AT(1) + 4), size);
	/* The last one, behind which there is room. */
	write_u32(AREAS_AT, 2);
	write_u32(AREA_AT(1) + 4, size + 2 * 24);
	assert_int_equal(ledger_open(&ledger, memory, LEDGER_SIZE, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ledger_add(&ledger, LEDGER_LANE, &lane,
		    &place), 0);
		lane = some_lane(4);
		ledger_set(&ledger, LEDGER_LANE, place, &lane);
		assert_int_equal(ledger_get_lane(&ledger, place, &got), 1);
		assert_memory_equal(&got, &lane, sizeof(got));
	}
	write_u32(AREA_AT(1) + 4, size - 16);
	assert_int_equal(open_again(), -EPROTO);
	end();
}

static void
what_is_none_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} spoilt[] = {
		{ 0, 0 },			/* magic */
		{ AREAS_AT, 33 },
		{ AREAS_AT, UINT32_MAX },
		{ AREA_AT(0) + 4, 0 },		/* record */
		{ AREA_AT(0) + 4, 12 },
		{ AREA_AT(0) + 8, UINT32_MAX },	/* places */
		{ AREA_AT(0) + 12, 4097 },	/* used */
		{ AREA_AT(0) + 16, 0 },		/* at */
		{ AREA_AT(1) + 16, 4096 },
		{ AREA_AT(1) + 16, UINT32_MAX },
		{ AREA_AT(1) + 20, UINT32_MAX },
		{ AREA_AT(1), LEDGER_LISTENER },
	};
	struct ledger reader;

	(void)state;
	for (size_t i = 0; i < sizeof(spoilt) / sizeof(*spoilt); i++) {
		begin();
		write_u32(spoilt[i].at, spoilt[i].value);
		if (open_again() != -EBADMSG)
			fail_msg("row %zu", i);
		end();
	}
	begin();
	assert_int_equal(ledger_open(&reader, memory, 64, NULL), -EBADMSG);
	assert_int_equal(ledger_open(&reader, memory, LEDGER_SIZE - 4096,
	    NULL), -EBADMSG);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_history_is_before_or_after),
		cmocka_unit_test(it_is_in_whatever_order_a_slot_is_written),
		cmocka_unit_test(the_next_writer_goes_on),
		cmocka_unit_test(a_new_one_is_none_until_it_is_whole),
		cmocka_unit_test(supervisors_are_counted),
		cmocka_unit_test(a_place_is_taken_once_and_all_can_be),
		cmocka_unit_test(addresses_come_back_as_they_were),
		cmocka_unit_test(what_cannot_be_is_not_believed),
		cmocka_unit_test(another_version_is_not_understood),
		cmocka_unit_test(workers_that_cannot_be_are_refused),
		cmocka_unit_test(other_records_that_cannot_be_are_refused),
		cmocka_unit_test(files_that_cannot_be_are_refused),
		cmocka_unit_test(records_are_counted_without_the_free_ones),
		cmocka_unit_test(a_kind_that_is_not_known_is_passed_over),
		cmocka_unit_test(a_larger_record_is_read_as_far_as_it_is_known),
		cmocka_unit_test(what_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
