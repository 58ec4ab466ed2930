/*
 * A network namespace of its own, and a slow way in it: TCP to 10.77.0.2
 * comes back to this host's own sockets, as from there, after a delay.
 * A tun device whose packets are sent back with their addresses swapped (which
 * leaves the checksums right); netem is not in every kernel.
 */
#ifndef TESTS_UNIT_LINUX_BPF_DELAY_NET_H
#define TESTS_UNIT_LINUX_BPF_DELAY_NET_H

/* Enter the namespace, for good. 0 or -errno. */
int delay_net_enter(void);

/* Forward packets from now on, each `ms` after it came. In a thread, until the
   process ends. 0 or -errno. */
int delay_net_start(int ms);

#endif
