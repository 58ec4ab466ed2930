#include <time.h>

#include "linux/process/held_up.h"
#include "linux/process/process.h"

/* Looks, of a pause each, and CPU time. */
#define STILL_MAX	10
#define ASLEEP_MAX	50
#define CPU_MAX_NS	INT64_C(1000000000)

/* -1: it cannot be told. */
static int64_t
cpu_ns(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 ||
	    clock_gettime(clock, &t) < 0)
		return -1;
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* '?': it cannot be told. */
static char
state(pid_t pid)
{
	struct process_stat st;

	return process_stat(pid, &st) ? st.state : '?';
}

/* Of two looks with the same CPU time the first one has seen it in the sleep that the
   second one sees: who wakes up takes some. */
static void
note_sleep(struct held_up *h, pid_t by, bool ran)
{
	h->asleep++;
	h->still = ran || state(by) == 'R' ? 0 : h->still + 1;
}

/* Has it run since the latest look, as far as that can be told? */
static bool
note_clock(struct held_up *h, int64_t now_ns)
{
	bool ran = !h->begun || now_ns < 0 || now_ns != h->cpu_ns;

	if (now_ns < 0)
		return ran;
	if (!h->begun)
		h->first_ns = now_ns;
	h->begun = true;
	h->cpu_ns = now_ns;
	return ran;
}

bool
held_up_look(struct held_up *h, pid_t child, pid_t by)
{
	bool ran = note_clock(h, cpu_ns(child));

	switch (state(child)) {
	case 'R':
	case 'Z':
	case 'X':
		h->still = 0;
		break;
	case '?':
		h->still = 0;
		h->asleep++;
		break;
	default:
		note_sleep(h, by, ran);
	}
	return h->still >= STILL_MAX || h->asleep >= ASLEEP_MAX ||
	    h->cpu_ns - h->first_ns >= CPU_MAX_NS;
}
