/*
 * A real loop under a clock that goes on only where the test says so, and
 * clusterd's log in memory. Linked with -Wl,--wrap= for epoll_wait, mono_now
 * and poll.
 */
#ifndef TESTS_UNIT_DAEMON_OUTPUT_TURNS_H
#define TESTS_UNIT_DAEMON_OUTPUT_TURNS_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* What is called after each turn; NULL: nothing. */
void turns_begin(struct loop *loop, void (*after)(void *ctx), void *ctx);

/* Turns, until one has nothing to do. Time stands still. */
void turns_run(void);

/* So much time passes; timers come when they are due. */
void turns_pass(int64_t ms);

/* The log comes here from now on, and is taken or is not. */
void hear(bool takes);

/* The lines since it was last asked; good until the next call. */
const char *heard(void);

/* How many lines these say that were lost, all in all. */
uint64_t told_losses(const char *lines);

#endif
