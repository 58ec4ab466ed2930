/*
 * What is in the records of a ledger. Fixed sizes, no padding, multiples of 8
 * bytes. Whoever adds a field to one changes LEDGER_VERSION with it: a ledger has the
 * places of whoever has made it, and they do not grow.
 */
#ifndef CORE_LEDGER_LEDGER_RECORDS_H
#define CORE_LEDGER_LEDGER_RECORDS_H

#include <stdint.h>

#define LEDGER_APP_SIZE 64
#define LEDGER_PATH_SIZE 112
#define LEDGER_OLD_FILES 2
#define LEDGER_FILE_SIZE 232

/* A struct address; its path is the listener's. */
struct ledger_address {
	uint32_t kind;		/* enum address_kind */
	uint32_t host;		/* enum address_host */
	uint8_t ip[16];
	uint32_t port;
	uint32_t scope;
	uint8_t interface[16];
	uint32_t freebind;
	uint32_t transparent;
	uint32_t mark;
	uint32_t defer_accept;
	uint32_t fastopen;
	uint32_t reserved;
};

enum ledger_listener_flag {
	LEDGER_INHERITED = 1 << 0,	/* of LISTEN_FDS */
	LEDGER_DERIVED = 1 << 1,	/* a server asked for it */
	LEDGER_BESIDE = 1 << 2,		/* … beside the first one */
	LEDGER_REFUSES = 1 << 3,	/* for good */
	LEDGER_FORSAKEN = 1 << 4,
};

struct ledger_listener {
	uint64_t serial;	/* no other one of this ledger has it; not 0 */
	uint32_t flags;		/* those that are not known are left alone */
	uint32_t position;	/* in the list of its app, … */
	int64_t instance;	/* … for that one; -1: for all */
	uint32_t backlog;
	uint32_t mode;		/* of a Unix listener's file … */
	uint32_t uid;
	uint32_t gid;
	uint64_t file_dev;	/* … and which that is */
	uint64_t file_ino;
	uint64_t old_files[LEDGER_OLD_FILES];	/* its connections have; 0 */
	struct ledger_address written;		/* in the configuration */
	struct ledger_address bound;
	char app[LEDGER_APP_SIZE];
	char path[LEDGER_PATH_SIZE];	/* Unix; else empty */
};

enum ledger_lane_flag {
	LEDGER_LISTENING = 1 << 0,
	LEDGER_DEAF = 1 << 1,
	LEDGER_COMMON = 1 << 2,		/* all who share one have it */
	LEDGER_LIVE = 1 << 3,		/* gets new connections */
	LEDGER_SEALED = 1 << 4,		/* … or is, or was to be, sealed */
	LEDGER_HEARS = 1 << 5,		/* nothing else of ours keeps new clients
					   from it; none has it of a version
					   that did not know of it */
};

struct ledger_lane {
	uint64_t ino;		/* of its socket */
	uint64_t listener;	/* its serial … */
	uint32_t listener_place;	/* … and place */
	int32_t fd;
	uint32_t slot;
	uint32_t flags;
	uint64_t joined;	/* the how manieth of the listener it was to
				   listen; 0: it has not */
	uint64_t holder;	/* the number of the worker; 0: none */
	uint64_t claimed;	/* the serial of its process that has asked for
				   it last; 0: none */
};

enum ledger_worker_flag {
	LEDGER_SEATED = 1 << 0,		/* its seat's, and not on trial */
	LEDGER_TRIAL = 1 << 1,
	LEDGER_SAID = 1 << 2,		/* READY=1 */
	LEDGER_UNWANTED = 1 << 3,
	LEDGER_RETIRING = 1 << 4,
	LEDGER_WAS_READY = 1 << 5,
	LEDGER_RELAPSED = 1 << 6,
	LEDGER_EXECUTED = 1 << 7,	/* this process was */
	LEDGER_DEAD = 1 << 8,		/* … and is dead, as `status` says */
	LEDGER_TRAPPED = 1 << 9,	/* its binds are */
	LEDGER_SEEN = 1 << 10,		/* one of its kind was seen to wait */
	LEDGER_UNWELL = 1 << 11,	/* its last check was bad */
	LEDGER_GAVE_UP = 1 << 12,	/* it said WATCHDOG=trigger */
};

/* What `status` is made of. */
#define LEDGER_SIGNALLED	(1 << 16)
#define LEDGER_CORE_DUMPED	(1 << 17)

#define LEDGER_DEATHS 32

/* A worker, and the process that it has at the moment. */
struct ledger_worker {
	uint64_t number;	/* no other one of this ledger has it; not 0 */
	uint64_t serial;	/* of its process, as CLUSTERD_WORKER_ID has it */
	uint64_t started;	/* when that was, as the kernel counts (field 22
				   of proc_pid_stat(5)); 0: not known */
	int32_t pid;		/* 0: none */
	uint32_t flags;		/* those that are not known are left alone */
	uint32_t state;		/* enum worker_state */
	uint32_t instance;
	uint32_t generation;
	uint32_t rescues;
	int64_t executed;	/* CLOCK_MONOTONIC, ns, as all times here */
	int64_t deadline;
	int64_t ready_ms;
	uint64_t bound;		/* worker->bound */
	uint64_t taken;		/* bit N: a server of its kind has taken what is
				   at conf->listens[N] */
	int64_t watchdog_us;	/* its WATCHDOG_USEC; 0: none */
	uint32_t accepts;	/* enum balance_accepts */
	uint32_t status;	/* of a dead one: code or signal, and the above */
	uint32_t streak;	/* struct restart_history … */
	uint32_t deaths_n;	/* … of which the latest, the last one last */
	int64_t deaths[LEDGER_DEATHS];
	/* Descriptors, -1: none, and what fstat(2) tells of them. */
	int32_t notify;
	int32_t trap;
	int32_t out[2];
	uint64_t notify_ino;
	uint64_t out_ino[2];
	char app[LEDGER_APP_SIZE];
};

enum ledger_conf_flag {
	LEDGER_STOPPED = 1 << 0,	/* by request */
	LEDGER_LEAVES = 1 << 1,		/* its workers retire, others do not come */
	LEDGER_DISMISSED = 1 << 2,	/* … and new clients are refused */
};

/* An app, and the configuration that is in force of it; or of the program. */
struct ledger_conf {
	uint64_t text_ino;
	int32_t text;		/* the descriptor of what stood in the file; -1:
				   it came from elsewhere */
	uint32_t flags;
	uint32_t generation;	/* of what is in force … */
	uint32_t latest;	/* … and the latest that was given out */
	uint32_t wanted;	/* seats */
	uint32_t reserved;
	char app[LEDGER_APP_SIZE];	/* empty: the program */
};

/* A call of a worker's that was trapped and taken, and waits for its answer: nobody
   can take it again. */
struct ledger_call {
	uint64_t worker;	/* its number */
	uint64_t id;		/* struct seccomp_call, of linux/child */
	uint64_t address;
	int32_t tid;
	int32_t fd;
	uint32_t len;
	uint32_t is_bind;
};

/* What counts and spreads connections in the kernel: there is one, in place 0. */
#define LEDGER_COUNT_FDS 6
#define LEDGER_HUB_FDS 6

/* Of `program`: what was tried out, and works. No descriptor is that high. */
#define LEDGER_TURNS_WORK	(1U << 30)
#define LEDGER_LEAST_WORKS	(1U << 31)
#define LEDGER_PROGRAM_FD	(LEDGER_TURNS_WORK - 1)

struct ledger_count {
	uint32_t print;		/* of the programs: steering_programs_print() */
	int32_t fds[LEDGER_COUNT_FDS + LEDGER_HUB_FDS];	/* conn_count_fds(),
				   steering_hub_fds(), of linux/bpf */
	uint32_t program;	/* the descriptor of what is attached to groups, 0:
				   it is not known; and the above */
};

/* The stop of the program that is under way: there is one, in place 0. */
enum ledger_stop_phase {
	LEDGER_STOP_LEAVES = 1,		/* stop_delay */
	LEDGER_STOP_DRAINS = 2,
	LEDGER_STOP_STOPS = 3,
};

enum ledger_stop_flag {
	LEDGER_SIGNALLED_ONCE = 1 << 0,
	LEDGER_KILLING = 1 << 1,
	LEDGER_FAILED = 1 << 2,		/* the exit status says so */
};

struct ledger_stop {
	uint32_t phase;
	uint32_t flags;		/* those that are not known are left alone */
	int64_t deadline;	/* of the phase */
};

/* A file that is written to. */
struct ledger_file {
	uint64_t dev;
	uint64_t ino;
	int32_t fd;
	uint32_t reserved;
	char path[LEDGER_FILE_SIZE];	/* as it was opened, absolute */
};

/* Beginnings of lines (linux/ledger/half_lines.h): there is one, in place 0. */
struct ledger_lines {
	uint64_t ino;
	int32_t fd;
	uint32_t reserved;
};

/* What is of no app: there is one, in place 0. */
struct ledger_program {
	uint64_t run_id;	/* of CLUSTERD_WORKER_ID */
	uint64_t serial;	/* of the last process of a worker */
	uint64_t number;	/* of the last worker, or app */
	uint64_t notify_ino;	/* the directory of their sockets */
	int32_t notify_dir;	/* … -1: none */
	uint32_t births;	/* there may be a process that stands nowhere */
	char notify_path[LEDGER_PATH_SIZE];
};

#endif
