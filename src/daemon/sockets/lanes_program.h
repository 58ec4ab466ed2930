/*
 * The kernel's group of a listener's lanes: who is in it and in which order,
 * which of them get new connections, and the program that chooses among those.
 * Of daemon/sockets.
 *
 * The kernel does not choose by itself among several lanes: a program is
 * attached before the first one begins to listen, which finds that one, and the
 * others take its place.
 */
#ifndef DAEMON_SOCKETS_LANES_PROGRAM_H
#define DAEMON_SOCKETS_LANES_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"
#include "core/sockets/balance.h"

struct error;
struct lane;
struct listener;

/* ---- who is in the group: for lanes_sockets ---- */

/* Room for one more, so that _joined cannot fail. -ENOMEM. */
int lanes_program_reserve(struct listener *listener);

/* A lane was added to the list: do the program's maps hold it? -errno with
   words. */
int lanes_program_room(struct listener *listener, struct error *err);

/* Who was shut down, and of whom news may be still to come, has left. Before
   and after something is done to the group. */
void lanes_program_look(struct listener *listener);

/* It was shut down. If it listens, then again, by somebody else. */
void lanes_program_shut(struct lane *lane);

/* Somebody may have shut it down and listened again, unseen: its place in the
   group is not certain, until the kernel was asked. */
void lanes_program_doubt(struct lane *lane);

/* It is about to listen as the first one, and without SO_REUSEPORT: a group
   there is all the same. -errno with words; -EINVAL: the kernel lets it have none. */
int lanes_program_found(const struct lane *lane, struct error *err);

/* It is about to enter the group; it has, as the last one. */
void lanes_program_joining(struct lane *lane);
void lanes_program_joined(struct lane *lane);

/*
 * It was in the group before we were, since its `joined`; in the order of those.
 * Room is reserved. And when all are there: is their order in the group `sure` to be
 * that one? A program is attached that needs nothing of another supervisor's.
 */
void lanes_program_found_again(struct lane *lane);
void lanes_program_take_over(struct listener *listener, bool sure);

/* It is about to leave the group, and to enter it again at once. */
void lanes_program_leaving(const struct lane *lane);

/* It has left, or was not in it. `for_good`: it gets no connections until
   somebody wants that again. */
void lanes_program_left(struct lane *lane, bool for_good);

/* It has joined with another socket, and the old one is closed. */
void lanes_program_replaced(struct lane *lane);

/* See that the kernel still knows it: its holder may have shut it down and
   begun to listen again. */
void lanes_program_check(struct lane *lane);

/* A client has come where nobody was to be sent to: is somebody elsewhere in the
   group than it is believed? */
void lanes_program_strayed(struct listener *listener);

/* The live lanes, or their places in the group, have changed. */
void lanes_program_again(struct listener *listener);

void lanes_program_free(struct listener *listener);

/* ---- for lanes_live ---- */

/* It gets new connections, or not any more: with the next _again. */
void lanes_program_set_live(struct lane *lane, bool live);

/* Ask about doubts that were left, if it is time to. Returns whether none are
   that may be asked about. */
bool lanes_program_find_out(struct listener *listener);

/* When it is time for those that may not be asked about now; or MONO_NEVER. */
struct mono lanes_program_find_out_at(const struct listener *listener);

/*
 * Those that were shut down, as a look has shown, with the news to come. None
 * will come of one that its holder lets listen again. Returns whether all is
 * known.
 */
bool lanes_program_see_news(struct listener *listener);

/* ---- which program ---- */

/* Is there anything to choose, or a program to tell? */
bool lanes_program_has_choice(const struct listener *listener);

/* So many lanes there will be. */
void lanes_program_expect(struct listener *listener, size_t n);

/* Put a balance in force. -errno with words: the old one stays. */
int lanes_program_set_balance(struct listener *listener, enum balance balance,
    struct error *err);

#endif
