/*
 * What the reuseport groups of all listeners share: the programs that choose,
 * which the kernel looks through once, and the maps of those. A group has a place
 * of its own in them (linux/bpf/steering_layout.h), and is found by its sockets: a
 * listener more takes no program.
 */
#ifndef LINUX_BPF_STEERING_HUB_H
#define LINUX_BPF_STEERING_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_source;
struct conn_count;
struct error;
struct steering_hub;

enum steering_ebpf_mode {
	/* Exactly even: each SYN goes to the next live lane. */
	STEERING_EBPF_TURNS,
	/*
	 * The fewest connections, open ones and SYNs under way (which expire
	 * after one to two seconds), ties in turn. Of more than 64 live lanes
	 * it looks at 64 neighbours, from a random one on.
	 */
	STEERING_EBPF_LEAST,
};
#define STEERING_EBPF_MODES 2

/* `count` must outlive it, and it all of its groups. -errno with words. */
int steering_hub_new(struct conn_count *count, struct steering_hub **ret_hub,
    struct error *err);
void steering_hub_free(struct steering_hub *hub);

struct conn_count *steering_hub_count(const struct steering_hub *hub);

/*
 * What the next supervisor goes on with when we are killed, of the same programs:
 * these, with those of the count. Groups begin anew there, with places and
 * generations of their own.
 */
#define STEERING_HUB_FDS 6

void steering_hub_fds(const struct steering_hub *hub,
    int fds[STEERING_HUB_FDS]);	/* stay its own */
bool steering_hub_is_there(const int fds[STEERING_HUB_FDS]);

/* What is attached to groups, which is its own; -1: nothing yet. */
int steering_hub_attached(const struct steering_hub *hub);

/* That of the same hub before, so that the kernel need not look through it again. It
   is the hub's then. False: it is not that. */
bool steering_hub_attached_again(struct steering_hub *hub, int program);

/* They are its own then. -errno: they are as they were. */
int steering_hub_again(const int fds[STEERING_HUB_FDS],
    struct conn_count *count, struct steering_hub **ret_hub);

/* ---- places ---- */

/* Room for `n` words, at a multiple of STEER_UNIT; what is in them is whatever
   was. -ENOSPC: there is none; or another -errno. */
int steering_hub_take(struct steering_hub *hub, size_t n, uint32_t *ret_place);
void steering_hub_release(struct steering_hub *hub, uint32_t place, size_t n);

/* Shared with the programs; by place. */
uint64_t *steering_hub_words(const struct steering_hub *hub);

/* Another group's: another number, 1 to 2^31 - 1. */
uint32_t steering_hub_generation(struct steering_hub *hub);

/* ---- checks ---- */

/*
 * From now on what comes from there is for that cell's lane, and for nobody
 * where it does not listen. -EBUSY: there is another check whose port has the
 * same place, so another port is to be bound. No system call.
 */
int steering_hub_check(struct steering_hub *hub,
    const struct check_source *source, uint32_t cell);

/* One that is not there is no matter. */
void steering_hub_check_end(struct steering_hub *hub,
    const struct check_source *source);

/* ---- programs and maps ---- */

/*
 * The program to attach to groups, borrowed, and the one that chooses in this mode is
 * there, or is coming. The first time takes some milliseconds. -errno with words.
 */
int steering_hub_program(struct steering_hub *hub,
    enum steering_ebpf_mode mode, struct error *err);

/*
 * The one that chooses in this mode is loaded by a child, if that can be, while we go
 * on, and believed to be there. Until it is, the kernel's hash chooses among all sockets
 * of a group. _await: waits for it, if it is not there yet; -errno with words: it
 * cannot be had, and groups are to go without.
 */
void steering_hub_load_soon(struct steering_hub *hub,
    enum steering_ebpf_mode mode);
bool steering_hub_is_waiting(const struct steering_hub *hub);
int steering_hub_await(struct steering_hub *hub, enum steering_ebpf_mode mode,
    struct error *err);

/* Descriptors, borrowed: sockets by cell; struct steer_lane by the cookies of
   listening sockets, and by steer_place_key(). */
int steering_hub_sockets(const struct steering_hub *hub);
int steering_hub_cookies(const struct steering_hub *hub);

#endif
