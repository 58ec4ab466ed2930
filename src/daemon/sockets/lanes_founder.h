/*
 * The group of a lane that is about to listen as the first one, with a program from
 * the beginning. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_FOUNDER_H
#define DAEMON_SOCKETS_LANES_FOUNDER_H

struct lane;

/*
 * It founds its group by itself, where the kernel lets it: -1. Else a socket that
 * listens and hears nobody, whose group it can join. In between, who connects is not
 * refused but tries again.
 */
int lanes_founder_open(struct lane *lane);

/* The lane listens, alone, with a program that finds it; or -errno. The founder is
   closed. */
int lanes_founder_listen(const struct lane *lane, int *fd);

#endif
