/*
 * The group of a lane that is about to listen as the first one, with a program from
 * the beginning. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_FOUNDER_H
#define DAEMON_SOCKETS_LANES_FOUNDER_H

struct lane;

/*
 * It founds its group by itself, where the kernel lets it: -1. Else a socket that
 * listens and hears nobody, whose group it can join: with SO_REUSEPORT it has to
 * listen then. In between, who connects is not refused but tries again.
 */
int lanes_founder_open(struct lane *lane);

/* The lane listens, or could not: it is alone, and its program finds it. -1: does
   nothing. */
void lanes_founder_close(const struct lane *lane, int *fd);

#endif
