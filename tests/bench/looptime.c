/*
 * How long the turns of a loop take that sits in epoll_wait(2) between them, seen
 * from outside: that program knows nothing of it, and is not stopped for it.
 *
 *	looptime PID [MS [all]]
 *
 * From perf_event_open(2), for this one process: where epoll_wait returns and
 * where it is called again, and when the process lost a CPU and got one. So each
 * turn has three lengths: `wall`; `own`, without the time during which it could
 * have run and somebody else did; and `run`, also without what it slept in system
 * calls.
 *
 * Ten times a second it writes a line, with times of CLOCK_MONOTONIC, and the
 * longest of each that there was:
 *	at SECONDS turns N wall MS own MS run MS
 * and for each turn of which `own` is longer than MS (5):
 *	long SECONDS wall MS own MS slept MS [CALL COUNT MS]...
 * With `all` every system call is looked at, which costs some: then the longest
 * ones of that turn are told, by their numbers. `lost N`: records that nobody
 * could keep up with. It ends with PID, or at the end of its standard input.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGES		1024	/* of the ring: 4 MiB */
#define CALLS		512
#define PERIOD_NS	100000000
#define NS		1e9
#define TOLD		6	/* system calls of a long turn */

struct call {
	unsigned n;
	uint64_t ns;
};

static struct perf_event_mmap_page *ring;
static size_t ring_size;
static uint64_t id_enter, id_exit;
static double over_ms = 5;

/* Of the turn under way. */
static bool in_turn;
static uint64_t begun, out_since, waited, slept, call_since;
static bool out_ready;
static long call_nr = -1;
static struct call calls[CALLS];

/* Of the period. */
static uint64_t period_end, worst_wall, worst_own, worst_run;
static unsigned n_turns;

static void
die(const char *what)
{
	fprintf(stderr, "looptime: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool
is_wait(long nr)
{
#ifdef SYS_epoll_wait
	if (nr == SYS_epoll_wait)
		return true;
#endif
	return nr == SYS_epoll_pwait || nr == 441 /* epoll_pwait2 */;
}

static int
tracepoint(const char *name)
{
	static const char *const places[] = { "/sys/kernel/tracing",
		"/sys/kernel/debug/tracing" };
	char path[256];
	int id;

	for (size_t i = 0; i < 2; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/events/raw_syscalls/%s/id",
		    places[i], name);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		if (fscanf(f, "%d", &id) != 1)
			id = -1;
		fclose(f);
		return id;
	}
	die("the tracepoints of system calls");
	return -1;
}

static int
event(pid_t pid, struct perf_event_attr *attr, int ring_of, bool filtered)
{
	char filter[128];
	uint64_t id;
	int fd;

	attr->size = sizeof(*attr);
	attr->sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TIME |
	    PERF_SAMPLE_RAW;
	attr->sample_id_all = 1;
	attr->use_clockid = 1;
	attr->clockid = CLOCK_MONOTONIC;
	attr->watermark = 1;
	attr->wakeup_watermark = PAGES * 4096 / 4;
	fd = (int)syscall(SYS_perf_event_open, attr, pid, -1, -1,
	    PERF_FLAG_FD_CLOEXEC);
	if (fd == -1)
		die("perf_event_open");
	snprintf(filter, sizeof(filter), "id == %d || id == %d || id == 441",
#ifdef SYS_epoll_wait
	    SYS_epoll_wait,
#else
	    SYS_epoll_pwait,
#endif
	    SYS_epoll_pwait);
	if (filtered && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) == -1)
		die("its filter");
	if (ring_of == -1) {
		ring_size = (size_t)PAGES * (size_t)sysconf(_SC_PAGESIZE);
		ring = mmap(NULL, ring_size + (size_t)sysconf(_SC_PAGESIZE),
		    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (ring == MAP_FAILED)
			die("mmap");
	} else if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ring_of) == -1) {
		die("one ring for all");
	}
	if (ioctl(fd, PERF_EVENT_IOC_ID, &id) == -1)
		die("its number");
	if (attr->type == PERF_TYPE_TRACEPOINT)
		*(ring_of == -1 ? &id_enter : &id_exit) = id;
	return fd;
}

static void
tell_calls(void)
{
	for (int told = 0; told < TOLD; told++) {
		size_t most = 0;

		for (size_t i = 1; i < CALLS; i++) {
			if (calls[i].ns > calls[most].ns)
				most = i;
		}
		if (calls[most].ns == 0)
			return;
		printf(" %zu %u %.2f", most, calls[most].n,
		    (double)calls[most].ns / 1e6);
		calls[most].ns = 0;
	}
}

static void
turn_over(uint64_t at)
{
	uint64_t wall = at - begun;
	uint64_t own = wall > waited ? wall - waited : 0;

	n_turns++;
	if (wall > worst_wall)
		worst_wall = wall;
	if (own > worst_own)
		worst_own = own;
	if (own > slept && own - slept > worst_run)
		worst_run = own - slept;
	if ((double)own / 1e6 <= over_ms)
		return;
	printf("long %.4f wall %.2f own %.2f slept %.2f", (double)at / NS,
	    (double)wall / 1e6, (double)own / 1e6, (double)slept / 1e6);
	tell_calls();
	putchar('\n');
}

static void
take_call(bool enters, long nr, uint64_t at)
{
	if (is_wait(nr)) {
		if (enters && in_turn)
			turn_over(at);
		in_turn = !enters;
		begun = at;
		waited = slept = 0;
		call_nr = -1;
		memset(calls, 0, sizeof(calls));
	} else if (enters) {
		call_nr = nr;
		call_since = at;
	} else if (call_nr == nr && nr >= 0 && nr < CALLS) {
		calls[nr].n++;
		calls[nr].ns += at - call_since;
		call_nr = -1;
	}
}

static void
take_switch(const struct perf_event_header *h, uint64_t at)
{
	if (h->misc & PERF_RECORD_MISC_SWITCH_OUT) {
		out_since = at;
		out_ready = h->misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT;
	} else if (out_since != 0) {
		uint64_t since = out_since > begun ? out_since : begun;

		*(out_ready ? &waited : &slept) += at - since;
		out_since = 0;
	}
}

static uint64_t
get64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void
take(const struct perf_event_header *h)
{
	const char *p = (const char *)(h + 1);

	if (h->type == PERF_RECORD_SAMPLE) {
		/* Identifier, time, u32 size, and what the tracepoint has:
		   eight bytes that all have, then the call's number. */
		uint64_t id = get64(p);

		take_call(id == id_enter, (long)get64(p + 8 + 8 + 4 + 8),
		    get64(p + 8));
	} else if (h->type == PERF_RECORD_SWITCH) {
		/* Time and identifier. */
		take_switch(h, get64(p));
	} else if (h->type == PERF_RECORD_LOST) {
		printf("lost %" PRIu64 "\n", get64(p + 8));
		in_turn = false;
		out_since = 0;
	}
}

static void
read_ring(void)
{
	static char whole[65536];
	const char *data = (const char *)ring + sysconf(_SC_PAGESIZE);
	uint64_t tail = ring->data_tail;
	uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);

	while (tail < head) {
		struct perf_event_header h;
		size_t from = tail % ring_size, n;

		/* A header is never cut, what follows may be. */
		memcpy(&h, data + from, sizeof(h));
		n = ring_size - from < h.size ? ring_size - from : h.size;
		memcpy(whole, data + from, n);
		memcpy(whole + n, data, h.size - n);
		take((const struct perf_event_header *)(void *)whole);
		tail += h.size;
	}
	__atomic_store_n(&ring->data_tail, tail, __ATOMIC_RELEASE);
}

static void
end_period(uint64_t at)
{
	/* One that is not over yet counts already. */
	if (in_turn && at - begun > worst_wall) {
		uint64_t out = out_since != 0 && out_ready ?
		    at - (out_since > begun ? out_since : begun) : 0;
		uint64_t own = at - begun - waited - out;

		worst_wall = at - begun;
		if (waited + out < at - begun && own > worst_own)
			worst_own = own;
	}
	printf("at %.4f turns %u wall %.3f own %.3f run %.3f\n",
	    (double)at / NS, n_turns, (double)worst_wall / 1e6,
	    (double)worst_own / 1e6, (double)worst_run / 1e6);
	worst_wall = worst_own = worst_run = n_turns = 0;
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct perf_event_attr sys = { .type = PERF_TYPE_TRACEPOINT,
		.sample_period = 1 };
	struct perf_event_attr switches = { .type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY, .context_switch = 1 };
	struct pollfd until = { .fd = 0, .events = POLLIN };
	char c;
	pid_t pid;
	bool all;
	int first;

	if (argc < 2) {
		fprintf(stderr, "usage: looptime PID [MS [all]]\n");
		return 2;
	}
	pid = atoi(argv[1]);
	if (argc > 2)
		over_ms = atof(argv[2]);
	all = argc > 3;
	sys.config = (uint64_t)tracepoint("sys_enter");
	first = event(pid, &sys, -1, !all);
	sys.config = (uint64_t)tracepoint("sys_exit");
	event(pid, &sys, first, !all);
	event(pid, &switches, first, false);
	printf("begins\n");
	period_end = now() + PERIOD_NS;
	while (true) {
		int n = poll(&until, 1, 20);

		read_ring();
		if (now() >= period_end) {
			end_period(now());
			period_end = now() + PERIOD_NS;
		}
		if ((n > 0 && read(0, &c, 1) <= 0) ||
		    syscall(SYS_tgkill, pid, pid, 0) == -1)
			break;
	}
	end_period(now());
	return 0;
}
