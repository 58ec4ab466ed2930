/*
 * What the keeper and its supervisor know of each other: a few shared pages, and
 * a wake-up in their shared table of descriptors. This is the supervisor's side;
 * keeper.h has the keeper. Without a keeper, as in a debugger, all of it is there,
 * and does what makes sense then.
 */
#ifndef LINUX_KEEPER_KEEPER_SHARE_H
#define LINUX_KEEPER_KEEPER_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/mono.h"

/* Who the user has started: the keeper, or ourselves where there is none. */
pid_t keeper_pid(void);

/* It was there, and has died: everything is to be stopped. */
bool keeper_is_gone(void);

/* RLIMIT_NOFILE as the program was started with: the keeper has raised its own, which
   is ours. False: there is none. */
struct rlimit;
bool keeper_nofile(struct rlimit *ret);

/* Whatever it has for us, we are to look at it again. */
void keeper_look_again(void);

/* The how-manieth supervisor this is, from 0 on: one that is not the first goes on
   where another one was. */
unsigned keeper_supervisor(void);

/* Was the one before this another program's, which may have had other rights? */
bool keeper_is_upgrade(void);

/* How many supervisors have died, and the words for how the last one did: "" if
   none has. */
unsigned keeper_restarts(void);
const char *keeper_last_death(void);

/* When the program began; without a keeper: now. */
struct mono keeper_began(void);

/* The CPU time of the keeper, and of the supervisors before. */
uint64_t keeper_cpu_ns(void);

/* Readable (eventfd(2), level) after the keeper has put something there; -1: no
   keeper. keeper_taken() makes it unreadable again, before one looks. */
int keeper_wake_fd(void);
void keeper_taken(void);

/* A descriptor of which the supervisor may make what it likes: its number is among the
   lowest, as it was there before all that a supervisor has opened. -1: none. */
int keeper_low_fd(void);

/*
 * Children of the keeper that were reaped, in order: workers that a supervisor before
 * has started, and what they left behind. What `fn` is told of it is not told
 * again, unless it dies of it.
 */
struct exit_status;
void keeper_read_deaths(void (*fn)(void *ctx, pid_t pid,
    struct exit_status status), void *ctx);

/* Is this one's death among those that are still to be read? Of a process that was
   the keeper's and is gone, it is, unless it has been read. */
bool keeper_has_death(pid_t pid);

/* We take signals from now on, and do not want to be killed for one. */
void keeper_takes_signals(void);

/* The signals that the keeper was sent, in order, as signals_read() has them. */
void keeper_read_signals(void (*fn)(void *ctx, int signo, int pid,
    bool hangup), void *ctx);

/* Every app is ready for the first time; a death after that is no failed start.
   True: it is to be told by keeper_tell_up() when all others have been, since whoever
   waits in the foreground goes on then. */
bool keeper_came_up(void);
void keeper_tell_up(void);

/* The log was opened, or opened anew: if we are in the background, our standard
   streams are that from now on, and who waits for us is told where the words are.
   `path` is NULL where there is none any more. */
void keeper_has_log(const char *path);

/* Before keeper_came_up(): who waits is to hear that these have failed so far. */
void keeper_tell_failed(const char *apps);

/* It has taken over from another one, or started all: who waits for an upgrade hears
   of it. */
void keeper_has_begun(void);

/*
 * The program that stands at our path by now is to take over, see keeper_upgrade.h:
 * we are killed for it, and the next supervisor is its. Whoever waits at the other
 * end of `client` (a copy is made; -1: nobody) gets the last line of its answer
 * then. -EBUSY: one is under way; -ENOTSUP: there is no keeper or no ledger; -errno.
 */
int keeper_upgrade(int client);
const char *keeper_upgrade_words(int code);	/* for that */

/* The end of this supervisor, where another program's is to follow now. */
void keeper_yield(void);

/* It did not come to that: why. NULL: that is not so; it is told once. */
const char *keeper_upgrade_failure(void);

/* What was left cannot be taken over, and is in the way: with our end the keeper kills
   it, and the next one begins anew. */
void keeper_left_is_spoilt(void);

/* A stop was asked for, or all has come to its end: nobody is to be started again. A
   start that fails is not that. */
void keeper_stopping(void);

/* Some app lets its orphans live, so the keeper is not to kill what is left. */
void keeper_spare_orphans(void);

/* Was that said, by this supervisor or one before? */
bool keeper_spares_orphans(void);

/*
 * This child of ours is no worker, nor from one, and may sleep where nothing ends it:
 * if it outlives us, the next supervisor is not to wait for it. Until whoever reaps it
 * forgets it, before that: us, or the keeper.
 */
void keeper_note_helper(pid_t pid);
void keeper_forget_helper(pid_t pid);

/* … of those of the supervisors before. */
void keeper_each_helper(void (*fn)(void *ctx, pid_t pid), void *ctx);

/*
 * The keeper is to send the text to that address, by this socket, with the descriptor
 * `passed` unless that is -1; both stay open until keeper_mail_done(); what systemd
 * would not take is cut off: so that it comes from the pid that whoever reads
 * it knows. -EBUSY: one is under way; -ENOTCONN: there is no keeper, send it
 * yourself, by keeper_mail_send().
 */
int keeper_mail(int fd, const struct sockaddr_un *to, socklen_t to_len,
    const char *text, size_t len, int passed);

/* The same at once, from this process. 0 or an errno; it never blocks. */
int keeper_mail_send(int fd, const struct sockaddr_un *to, socklen_t to_len,
    const char *text, size_t len, int passed);

/* False: it is under way, or there was none. *ret_errno: 0, or why it was not
   taken; EAGAIN of a keeper that was killed before it said so: send it yourself. */
bool keeper_mail_done(int *ret_errno);

/* Wait for that, so many milliseconds at most. */
bool keeper_mail_await(int ms, int *ret_errno);

/* It need not be sent any more, and its descriptors may be closed. False: it is too
   late for that, see keeper_mail_done(). */
bool keeper_mail_cancel(void);

/* listen(2) on a Unix socket, by the keeper, so that its clients see the keeper's
   pid as its owner's (SO_PEERCRED); where it does not get to it, by ourselves.
   -errno. */
int keeper_listen(int fd, int backlog);

/* The socket by which the program is spoken to, and its file: the next supervisor
   gets it, with all who wait in its queue. -1: none. */
void keeper_keep_socket(int fd, dev_t dev, ino_t ino);

/* … of a supervisor before; -1: none. It is ours from now on. */
int keeper_kept_socket(dev_t *ret_dev, ino_t *ret_ino);

/* What the supervisor above had kept for us it does not keep any more: was it told
   so, by this supervisor or one before; it was. */
bool keeper_store_told(void);
void keeper_note_store_told(void);

/* Is this one of the descriptors that the program was started with, and the same
   as then? */
bool keeper_had_fd(int fd);

#endif
