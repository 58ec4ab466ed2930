/* The one line that a death gets: cause, age, and what happens next. */
#ifndef CORE_WORKER_OBITUARY_H
#define CORE_WORKER_OBITUARY_H

#include <stdbool.h>
#include <stdint.h>

struct strbuf;
struct worker_step;

/* How a process ended, as waitid(2) tells it. */
struct exit_status {
	bool signalled;
	bool core_dumped;
	int code;	/* exit code, or the signal's number */
};

/* Of one that was somebody else's to reap: a failure, by no signal that there is. */
#define EXIT_STATUS_UNSEEN ((struct exit_status){ .signalled = true })

/* "exited with code 3", "killed by signal 9 (SIGKILL)", "gone, nobody saw how,". */
void obituary_cause(struct strbuf *sb, struct exit_status status);

/* "killed by the OOM killer (memory_limit 512M)"; `limit`, in bytes, of its own
   control group, or -1. */
void obituary_oom(struct strbuf *sb, int64_t limit);

/* "120ms", "3.2s", "5m00s", "2h00m", "3d04h": short, for people. */
void obituary_duration(struct strbuf *sb, int64_t ms);

/*
 * "killed by signal 9 (SIGKILL) after 3.2s, restarting in 100ms": `step` is
 * what the machine made of the exit, `cause` the words for what happened.
 */
void obituary_line(struct strbuf *sb, const char *cause, int64_t lived_ms,
    const struct worker_step *step);

#endif
