/* Names of signals, without the SIG that POSIX puts before them. */
#ifndef CORE_NAMES_SIGNAL_NAME_H
#define CORE_NAMES_SIGNAL_NAME_H

#include <stdbool.h>

#define SIGNAL_NAME_MAX_NUMBER 64	/* Linux's _NSIG */

/* "TERM" for SIGTERM; NULL for a number without a name (real-time signals). */
const char *signal_name(int signo);

/*
 * `TERM`, `SIGTERM` or a number from 1 to 64. *ret_signo is untouched when
 * the text is none of these.
 */
bool signal_parse(const char *text, int *ret_signo);

#endif
