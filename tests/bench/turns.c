/*
 * What a turn of clusterd's loop consists of: to be preloaded (LD_PRELOAD) by
 * tests/bench/turns.py. A turn begins when epoll_wait() returns and ends with
 * the next call; TURNS_FILE gets a line for each:
 *
 *	turn BEGIN WALL CPU SWITCHES
 *
 * (the first one is all that comes before the first call) in microseconds, BEGIN of CLOCK_MONOTONIC, SWITCHES how often the CPU went to
 * another process meanwhile, though this one could have gone on. Where the
 * program is built with -finstrument-functions, and the turn took TURNS_US of
 * CPU time at least, what its functions took of it follows, for those that took
 * a twentieth:
 *
 *	part DEPTH ADDRESS COUNT WALL
 *
 * with the addresses as in the file. What is written is written at the end.
 */
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HIDDEN __attribute__((no_instrument_function))

#define NODES 65536
#define DEPTH 512
#define BUFFER (64 << 20)

struct node {
	void *fn;
	struct node *parent, *child, *next;
	unsigned long count;
	int64_t ns;
};

static struct node *nodes;
static size_t n_nodes;
static struct node *here;
static int64_t begun[DEPTH];
static unsigned depth;

static bool on;
static int64_t least_ns;
static uintptr_t base;
static char *text;
static size_t n_text;
static int file = -1;

static int64_t turn_wall, turn_cpu;
static long turn_switches;

void __cyg_profile_func_enter(void *fn, void *site) HIDDEN;
void __cyg_profile_func_exit(void *fn, void *site) HIDDEN;

HIDDEN static int64_t
clock_ns(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

HIDDEN static long
switches(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) < 0 ? 0 : u.ru_nivcsw;
}

HIDDEN static void
flush(void)
{
	size_t done = 0;

	while (file >= 0 && done < n_text) {
		ssize_t n = write(file, text + done, n_text - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	n_text = 0;
}

HIDDEN __attribute__((format(printf, 1, 2))) static void
put(const char *format, ...)
{
	va_list args;

	if (BUFFER - n_text < 256)
		return;
	va_start(args, format);
	n_text += (size_t)vsnprintf(text + n_text, 256, format, args);
	va_end(args);
}

HIDDEN static void
put_parts(const struct node *n, unsigned level, int64_t whole)
{
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		if (c->ns < whole / 20)
			continue;
		put("part %u %lx %lu %lld\n", level,
		    (unsigned long)((uintptr_t)c->fn - base), c->count,
		    (long long)c->ns / 1000);
		put_parts(c, level + 1, whole);
	}
}

HIDDEN static void
forget(void)
{
	nodes[0] = (struct node){ .fn = NULL };
	n_nodes = 1;
	here = &nodes[0];
	depth = 0;
}

HIDDEN static struct node *
node_of(void *fn)
{
	struct node *c;

	for (c = here->child; c != NULL; c = c->next)
		if (c->fn == fn)
			return c;
	if (n_nodes == NODES)
		return NULL;
	c = &nodes[n_nodes++];
	*c = (struct node){ .fn = fn, .parent = here, .next = here->child };
	here->child = c;
	return c;
}

void
__cyg_profile_func_enter(void *fn, void *site)
{
	struct node *n;

	(void)site;
	if (!on || depth >= DEPTH)
		return;
	n = node_of(fn);
	if (n == NULL)
		return;
	here = n;
	begun[depth++] = clock_ns(CLOCK_MONOTONIC);
}

void
__cyg_profile_func_exit(void *fn, void *site)
{
	(void)site;
	/* It began before the turn. */
	if (!on || depth == 0 || here->fn != fn)
		return;
	here->ns += clock_ns(CLOCK_MONOTONIC) - begun[--depth];
	here->count++;
	here = here->parent;
}

HIDDEN static void
end_turn(void)
{
	int64_t wall = clock_ns(CLOCK_MONOTONIC) - turn_wall;
	int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - turn_cpu;

	put("turn %lld %lld %lld %ld\n", (long long)turn_wall / 1000,
	    (long long)wall / 1000, (long long)cpu / 1000,
	    switches() - turn_switches);
	if (cpu >= least_ns)
		put_parts(&nodes[0], 0, wall);
}

HIDDEN static void
begin_turn(void)
{
	forget();
	turn_switches = switches();
	turn_cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	turn_wall = clock_ns(CLOCK_MONOTONIC);
}

int
epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	static int (*next)(int, struct epoll_event *, int, int);
	int n, code;

	if (next == NULL)
		next = (int (*)(int, struct epoll_event *, int, int))
		    (uintptr_t)dlsym(RTLD_NEXT, "epoll_wait");
	if (on)
		end_turn();
	n = next(fd, events, max, timeout);
	code = errno;
	if (on)
		begin_turn();
	errno = code;
	return n;
}

HIDDEN static int
first_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	(void)ctx;
	base = info->dlpi_addr;
	return 1;
}

/* Touched now, not in a turn; and shared, or each fork would take longer. */
HIDDEN static void *
room(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* A child is none of ours, nor is what it executes. */
HIDDEN static void
in_child(void)
{
	on = false;
	file = -1;
}

__attribute__((constructor)) HIDDEN static void
begin(void)
{
	const char *path = getenv("TURNS_FILE"), *us = getenv("TURNS_US");

	if (path == NULL)
		return;
	file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	text = room(BUFFER);
	nodes = room(NODES * sizeof(*nodes));
	least_ns = (us != NULL ? atoll(us) : 5000) * 1000;
	unsetenv("LD_PRELOAD");
	unsetenv("TURNS_FILE");
	unsetenv("TURNS_US");
	(void)dl_iterate_phdr(first_object, NULL);
	pthread_atfork(NULL, NULL, in_child);
	if (text == NULL || nodes == NULL || file < 0)
		return;
	on = true;
	begin_turn();
}

__attribute__((destructor)) HIDDEN static void
finish(void)
{
	if (on)
		flush();
	on = false;
}
