/*
 * Which worker's lane gets a new TCP connection, decided in the kernel by eBPF
 * (src/bpf/steer.bpf.c), for one listener's reuseport group, IPv4 and IPv6
 * alike. Of UDP: steering_flows.h.
 *
 * The order for a listener: steering_ebpf_new(); for each lane a socket is
 * bound, steering_ebpf_mark_lane(), listen(2), steering_ebpf_set_lane(); then
 * steering_ebpf_set_live() and, once, steering_ebpf_attach().
 *
 * A lane that stops listening, by shutdown(2) of whoever holds it, hands the
 * connections that wait in its queue to live lanes, and half-open ones follow.
 * The kernel forgets its slot then: after listen(2), steering_ebpf_set_lane()
 * again.
 *
 * The kernel chooses by itself, among all sockets of the port, only where none of
 * the lanes that the program tries listens, as far as it knows.
 */
#ifndef LINUX_BPF_STEERING_EBPF_H
#define LINUX_BPF_STEERING_EBPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "linux/bpf/steering_hub.h"

struct check_source;
struct error;
struct steering_ebpf;

/* Lanes of a listener, the pool for reloads included. */
#define STEERING_EBPF_LANES_MAX 16384

/*
 * Would all of this be permitted here, and does it work? Tried out on a socket
 * of its own on the loopback interface. 0, or -errno with words for what is
 * missing.
 */
int steering_ebpf_probe(enum steering_ebpf_mode mode, struct steering_hub *hub,
    struct error *err);

/*
 * A group of at most `max_lanes` lanes, none of them live. `hub` must outlive
 * it; STEERING_EBPF_LEAST cannot do without counting, STEERING_EBPF_TURNS then
 * only has no figures. -errno with words.
 */
int steering_ebpf_new(enum steering_ebpf_mode mode, size_t max_lanes,
    struct steering_hub *hub, struct steering_ebpf **ret_s, struct error *err);

/*
 * Make room for `max_lanes`, if that is more than there is. What is there stays
 * as it is: slots, sockets, live set, counts; at no moment is there less of it.
 * -errno with words, and then all is as before.
 */
int steering_ebpf_grow(struct steering_ebpf *s, size_t max_lanes,
    struct error *err);

/* Choose in another way from now on. -errno with words, and then all is as
   before. */
int steering_ebpf_set_mode(struct steering_ebpf *steering,
    enum steering_ebpf_mode mode, struct error *err);

/* Let go of the sockets, which could not be another group's else: before
   _free(), when another program has been attached. */
void steering_ebpf_clear(struct steering_ebpf *steering);

/*
 * Sockets that the program is attached to keep it, with the last live set, until
 * another group needs the place. NULL is fine.
 */
void steering_ebpf_free(struct steering_ebpf *s);

/*
 * Between bind(2) and listen(2): count the socket's connections for this lane, and
 * know the group by it. A socket belongs to one slot for all its life. -errno.
 */
int steering_ebpf_mark_lane(struct steering_ebpf *s, size_t slot, int fd);

/*
 * Make the listening socket the one of `slot`; it is the group's (the same
 * address, SO_REUSEPORT set by now). Also after the socket stopped listening and
 * does so again, and to be called at any time: what is in order stays. A socket
 * that was not marked is, from now on. -errno with words.
 */
int steering_ebpf_set_lane(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err);

/*
 * Are all connections of this lane counted? Not so when its socket was made in
 * another cgroup or listened before it was marked: then its figures may be
 * short by these.
 */
bool steering_ebpf_lane_counted(const struct steering_ebpf *s, size_t slot);

/* As conn_count_is_whole(). */
bool steering_ebpf_counts_all(const struct steering_ebpf *s);

/*
 * These slots, `n` different ones, may be chosen from the next SYN on; with none
 * of them all are refused. All at once: a choice is made by the old or the new
 * set. No system call.
 */
void steering_ebpf_set_live(struct steering_ebpf *s, const unsigned *slots,
    size_t n);

/*
 * Slow start: from `from` on the slot's share of new connections grows, for so long,
 * from a thirtieth to what it would have; all compare with each other, so where all
 * are as old it is as without. 0: it has all of it from now on. It goes on by itself,
 * and under the next supervisor. No system call.
 */
void steering_ebpf_ramp(struct steering_ebpf *s, size_t slot, struct mono from,
    int64_t ms);

/*
 * Let the program choose for the reuseport group of `fd`, any of its sockets; it
 * takes another program's place at once. See socket_begin_attach(), which it
 * does, for what may go astray, as _set_mode() does. -errno with words.
 */
int steering_ebpf_attach(struct steering_ebpf *s, int fd, struct error *err);

/*
 * Before the first lane's socket listens, which is bound and marked: it is in a group
 * of its own, with the program. It is live, and gets what comes before it is the
 * slot's, too. -errno with words.
 */
int steering_ebpf_found(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err);
/* What comes from there is for that slot, live or not, as steering_hub_check();
   until steering_hub_check_end(). */
int steering_ebpf_check(struct steering_ebpf *s, size_t slot,
    const struct check_source *source);

/* Connections of a slot, established and not closed, and ever established. No
   system call. False: nothing is counted. */
bool steering_ebpf_counts(const struct steering_ebpf *s, size_t slot,
    uint64_t *ret_open, uint64_t *ret_total);

/* Does the kernel have the slot's socket? One that was shut down it has not, until
   it is set again. */
bool steering_ebpf_knows(const struct steering_ebpf *s, size_t slot);

/* SYNs that are under way to the slot, and much more than there can be where it
   did not take one. No system call. */
uint64_t steering_ebpf_charged(const struct steering_ebpf *s, size_t slot,
    struct mono now);

/* Packets that no live lane would take. */
uint64_t steering_ebpf_dropped(const struct steering_ebpf *s);

#endif
