/*
 * A bound in time for one system call that may block where it should not:
 * SIGALRM, without SA_RESTART, ends it with EINTR or with what it has done so
 * far. Not inherited by children (setitimer(2)).
 */
#ifndef BASE_ALARM_H
#define BASE_ALARM_H

/* SIGALRM comes after that many milliseconds, less than 1000, and again until
   it is stopped: the first could arrive just before the call that it is to
   interrupt. 0: stop. From the first call on the signal itself does nothing.
   errno stays. */
void alarm_set(int ms);

#endif
