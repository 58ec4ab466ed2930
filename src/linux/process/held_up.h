/*
 * Is a child of ours that does not answer held up, or has it no CPU? A deadline by the
 * clock takes one for the other where hundreds want to run. So it is looked at, again
 * and again: it is held up if it sleeps, and its CPU clock stands still meanwhile.
 */
#ifndef LINUX_PROCESS_HELD_UP_H
#define LINUX_PROCESS_HELD_UP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* From one look to the next; sooner is no harm to the truth, but to the patience. */
#define HELD_UP_PAUSE_MS	100

/* For a new question to it: all 0. */
struct held_up {
	bool begun;
	int64_t first_ns;	/* its CPU time at the first look … */
	int64_t cpu_ns;		/* … and at the latest one that could tell */
	unsigned still;		/* looks in a row that found it in one sleep, … */
	unsigned asleep;	/* … and in any, or that could not tell */
};

/*
 * Look at the child, which has not been reaped. True: it has slept for a second, in one
 * piece, and `by`, whom it may wait for, neither runs nor waits for the CPU; or it was
 * asleep for five, in pieces or because of somebody who has no CPU; or it has had a
 * second of CPU. Never as long as it waits for the CPU, nor of one that has ended.
 */
bool held_up_look(struct held_up *h, pid_t child, pid_t by);

#endif
