/* Signals as events: blocked everywhere, read from a signalfd(2). */
#ifndef LINUX_LOOP_SIGNALS_H
#define LINUX_LOOP_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct error;

/*
 * Block the signals that clusterd handles, undo any SIG_IGN that was inherited
 * (an ignored signal never reaches a signalfd, and an ignored SIGCHLD reaps
 * children behind our back), ignore SIGPIPE and SIGXFSZ, and open the signalfd,
 * *ret_fd (the caller's, non-blocking, close-on-exec). SIGALRM does nothing but
 * interrupt the call that it strikes in (base/alarm). -errno with words.
 */
int signals_open(int *ret_fd, struct error *err);

/* Block them already, where the kernel drops what nobody handles: to process 1.
   They wait for signals_open() then. Elsewhere they end a start, as ever. */
void signals_block_early(void);

/*
 * Call `fn` once per signal that is pending; returns when there is none. `pid`:
 * who has sent it, or of SIGCHLD the child; of several deaths the first.
 * `hangup`: it is a SIGHUP because the terminal is gone: sent by the kernel, or by
 * the shell that we were started from, which passes it on. Not so where SIGHUP was
 * ignored when we began, as by nohup(1): that one is left out.
 */
void signals_read(int fd, void (*fn)(void *ctx, int signo, int pid, bool hangup),
    void *ctx);

/* Who sends one that stops to a process and then to its group, as timeout(1) does, means
   it once: is this the second one of its kind, of the same sender and within so long?
   signals_read() leaves it out; whoever takes it from elsewhere asks. */
#define SIGNALS_ECHO_MS 100
bool signals_is_echo(int signo, pid_t pid);

/* The same for one that came in another way: its number, si_code and si_pid. */
void signals_give(int signo, int code, int pid,
    void (*fn)(void *ctx, int signo, int pid, bool hangup), void *ctx);

/*
 * For who passes them on: block them, and see that none is ignored, as
 * signals_open() does, which goes by what is noted here. *ret_set: those.
 */
void signals_begin(sigset_t *ret_set);

/* How it was when the program began, for the one that it becomes by an exec; which
   says so before the above. */
struct signals_beginning {
	bool hup_ignored;
	bool had_terminal;
};

struct signals_beginning signals_beginning(void);
void signals_began(const struct signals_beginning *beginning);

/*
 * In a forked child: every disposition to its default. The mask stays; open it
 * with signals_child_unblock() right before the exec. Async-signal-safe.
 */
void signals_child_reset(void);
void signals_child_unblock(void);

#endif
