/*
 * Which lane gets the next connection or datagram: classic BPF programs as
 * data, for SO_ATTACH_REUSEPORT_CBPF, which needs no privilege. Pure; the
 * caller attaches them. A program's result is a position in the kernel's array
 * of the group's sockets. One that is out of range would make the kernel hash
 * over the whole group, free and draining lanes included; no program returns
 * one, nor the position of a lane that it was not given.
 *
 * STEERING_CBPF_RANDOM: every lane alike, exactly. (Beyond 500 lanes that are
 * scattered so that five neighbours span over 256 positions: up to five times
 * as much for some.)
 *
 * STEERING_CBPF_SOURCE: by the client's address, IPv4 or IPv6, without the
 * port. The seat is a function of the address and of the set of seats, and of
 * nothing else: not of positions, nor of the order of `lanes`. While the set
 * stays, clients stay. When a seat goes, its clients spread evenly over the
 * others, nobody else moves, and they are back when it is back. One instance
 * more takes 1/(N + 1) of the clients and moves no others. As even as dice, for
 * addresses in a row too: of 10,000 clients the fullest of 8 lanes has 1.02 to
 * 1.07 times the mean, of 64 lanes 1.14 to 1.26 (in nine of ten crowds).
 *
 * STEERING_CBPF_FLOW, for UDP listeners where eBPF is not permitted: the same by the client's address and
 * its port. All that is said here of clients holds for flows, those of a single
 * address too. What else is in the headers makes no difference, be it IPv4
 * options or fragments; but IPv6 extension headers put the port out of reach.
 * With these a flow goes by its address alone: it stays, beside its client's
 * others of that kind. (One with them in some of its datagrams has two seats.)
 *
 * "Nobody else" is all but two in a million while most seats are there. Clients
 * that move without need when one more of N seats goes (measured, with room for
 * STEERING_CBPF_OPTMEM; seats are missing here and there, lanes in disorder):
 *
 *	N	half there	a fifth there	a tenth there
 *	64	none		none		0.05 %
 *	256	none		0.4 %		0.8 %
 *	1000	14 %		28 %		23 %
 *
 * Where that many seats or positions are in such disorder that no program can
 * tell it (1000: below 80 %; 2049: all positions mixed up), it stays even, and
 * clients stay while lanes do; when those change, many or all may move.
 *
 * A program is run for a TCP connection's SYN (and again for the ACK that
 * answers a SYN cookie), but for every datagram of an unconnected UDP socket:
 * by STEERING_CBPF_FLOW each flow stays where it is, by STEERING_CBPF_SOURCE
 * all of a client's stay in one place, by STEERING_CBPF_RANDOM each datagram
 * goes anywhere. (A TCP connection stays anyhow, so it needs no
 * STEERING_CBPF_FLOW; there, that one would see the ports of IPv4 only.)
 *
 * Instructions, and those run for one packet (mean; most of 100,000 clients).
 * Seats 0 to N - 1 in order; "one gone": seat N / 2:
 *
 *	N			2	8	64	1000	4096
 *	random			3	3	3	3	3
 *	random, one gone	1	6	6	6	6
 *	random, in disorder	22	26	70	819	3305
 *	 … run			20	22	25	30	34
 *	source			63	93	138	426	228
 *	 … run			44; 59	65; 85	90; 124	124;185	138;202
 *	source, one gone	1	330	1035	437	329
 *	 … run			1	69; 174	93; 139	125;188	141;204
 *
 * A program by flow has 15 more than one by source, of which an IPv4 datagram
 * runs 10 and an IPv6 datagram 5.
 *
 * Building takes below 0.4 ms (1.2 once), attaching 0.02 to 0.4 ms, up to 4 ms
 * for 4000 instructions.
 */
#ifndef CORE_SOCKETS_STEERING_CBPF_H
#define CORE_SOCKETS_STEERING_CBPF_H

#include <stddef.h>

#include "core/sockets/cbpf_checks.h"
#include "core/sockets/cbpf_lanes.h"

struct sock_filter;	/* <linux/filter.h> */

/* The kernel's defaults for net.core.optmem_max: before Linux 6.7, and since. */
#define STEERING_CBPF_OPTMEM_OLD 20480
#define STEERING_CBPF_OPTMEM 131072

enum steering_cbpf_key {
	STEERING_CBPF_RANDOM,
	STEERING_CBPF_SOURCE,
	STEERING_CBPF_FLOW,
};

struct steering_cbpf_program {
	struct sock_filter *code;	/* owned; steering_cbpf_free() */
	size_t n;			/* <= BPF_MAXINSNS */
};

/*
 * Build the program that chooses among `lanes`, of which there are 1 to
 * STEERING_CBPF_SEATS_MAX, in any order, no seat or index twice. `optmem_max`
 * is net.core.optmem_max in bytes: the kernel refuses a larger program
 * (ENOMEM); less than STEERING_CBPF_OPTMEM_OLD counts as that. It is kept to
 * for up to 2048 lanes; beyond, lanes in disorder may need up to 35 KB. The
 * same arguments give the same program. 0 or -ENOMEM.
 */
int steering_cbpf_build(enum steering_cbpf_key key,
    const struct steering_cbpf_lane *lanes, size_t n, size_t optmem_max,
    struct steering_cbpf_program *ret_program);

/*
 * What a program does besides, while all others go where they went: it gives an
 * answer to questions about the first `positions` of the group (cbpf_question.h):
 * a SYN that asks goes there. And it sends connections of clusterd's own where
 * they mean: `checks`, all from one address, each with the position of its lane.
 */
#define STEERING_CBPF_CHECKS_MAX 16

struct steering_cbpf_extras {
	size_t positions;	/* 0: no question is answered */
	const struct steering_cbpf_check *checks;
	size_t n_checks;	/* <= STEERING_CBPF_CHECKS_MAX */
};

/* The same program with these. 0, -ENOMEM, or -E2BIG: there is no room. */
int steering_cbpf_build_with(enum steering_cbpf_key key,
    const struct steering_cbpf_lane *lanes, size_t n, size_t optmem_max,
    const struct steering_cbpf_extras *extras,
    struct steering_cbpf_program *ret_program);

void steering_cbpf_free(struct steering_cbpf_program *program);

#endif
