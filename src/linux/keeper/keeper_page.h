/* The shared pages, for the room alone. */
#ifndef LINUX_KEEPER_KEEPER_PAGE_H
#define LINUX_KEEPER_KEEPER_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/mono.h"

/* The longest message of sd_notify(3) that systemd takes. */
#define KEEPER_MAIL_MAX		4095

/* Enough for one of each kind, and more: of those that are not taken yet, a second one
   of its kind, whoever has sent it, is left out where there is hardly any room. */
#define KEEPER_SIGNALS	64

/* Of children of the keeper's; with so many untold it reaps nobody more. */
#define KEEPER_DEATHS	256

/* More are not noted. */
#define KEEPER_HELPERS	80

struct keeper_death {
	pid_t pid;
	int status;		/* wait(2)'s */
};

struct keeper_signal {
	int signo;
	int code;		/* si_code */
	pid_t pid;		/* of the sender */
};

/* What an upgrade tells, and how long the path of a program is. */
#define KEEPER_UPGRADE_WORDS	256
#define KEEPER_PATH_MAX		4096

/* What the supervisor wants done. */
enum keeper_asked {
	KEEPER_IDLE,
	KEEPER_ASKED,		/* its fields are the keeper's */
	KEEPER_DONE,		/* the supervisor's again */
	KEEPER_AT_IT,		/* a mail: it is too late to call it off */
};

/* Each field has one writer at a time. */
struct keeper_page {
	/* The keeper's. */
	pid_t pid;
	int wake_fd;
	int low_fd;		/* the supervisor's; -1: none */
	int ready_fd;		/* -1: nobody waits in the foreground */
	bool background;
	struct rlimit nofile;	/* as we were started with */
	struct mono began;
	unsigned restarts;
	unsigned upgrades;	/* supervisors that made place for a file's */
	char death[64];		/* of the last one */
	uint64_t past_cpu_ns;	/* of all that have died */
	int ledger_fd;		/* its memory; -1: there is none */
	char binary[KEEPER_PATH_MAX];	/* what an upgrade executes */
	bool yield;		/* the supervisor is to make place */
	int upgrade_fds[3];	/* that are its; -1: none */
	int check_errno;	/* why it could not be executed */
	struct keeper_signal signals[KEEPER_SIGNALS];
	unsigned put;		/* so many signals so far */
	struct keeper_death deaths[KEEPER_DEATHS];
	unsigned died;		/* so many so far */

	/* The supervisor's. */
	unsigned taken;		/* and so many of them */
	unsigned buried;	/* … of the deaths */
	bool takes_signals;
	bool up;
	bool begun;		/* it has taken over, or started all */
	bool stopping;
	bool spoilt;		/* what is left is of no use */
	bool spares;
	bool told_store;	/* what was in the store is not any more */
	enum keeper_asked listens;
	int listen_fd;
	int listen_backlog;
	int listen_code;
	int kept_fd;		/* -1: none */
	dev_t kept_dev;		/* of its file */
	ino_t kept_ino;
	struct log_shared log;
	pid_t helpers[KEEPER_HELPERS];	/* 0: free; whoever reaps one writes that */

	enum keeper_asked upgrade;
	int asker_fd;		/* who waits for the answer; -1: nobody */
	pid_t asked_by;
	char upgrade_words[KEEPER_UPGRADE_WORDS];	/* why not */

	enum keeper_asked mail;
	int mail_fd;
	int mail_passed;	/* goes with it; -1: nothing does */
	int mail_errno;
	struct sockaddr_un mail_to;
	socklen_t mail_to_len;
	size_t mail_len;
	char mail_text[KEEPER_MAIL_MAX + 1];
};

/* Make the pages and the wake-up, and note which descriptors are open. -errno;
   there is no keeper then. They stay until the end of the process. */
int keeper_page_open(void);

/* There is to be no keeper after all. */
void keeper_page_close(void);

/* The same, as another program has left it to us in that file, and to the next
   one: what is open. Both -errno. */
int keeper_page_take(int fd);
int keeper_page_hand_over(int fd);

/* All of it, or -errno. */
int keeper_state_put(int fd, const void *bytes, size_t n);
int keeper_state_get(int fd, void *bytes, size_t n);

/* NULL: there is no keeper. */
struct keeper_page *keeper_page(void);

/* See keeper_had_fd(). */
bool keeper_page_had(int fd);

/* From the supervisor to the keeper: there is something to do. */
#define KEEPER_POKE	SIGRTMIN

#endif
