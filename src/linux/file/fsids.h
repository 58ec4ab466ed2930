/*
 * To act on files with the rights of a worker's user: the file system uid and
 * gid alone, so that nobody may signal us meanwhile (setfsuid(2)).
 *
 * The kernel forgets on each such change whether we want to die with our parent, and
 * whose /proc/PID is ours: the one is set again at once, since what is done meanwhile
 * may take for ever, the other one afterwards.
 */
#ifndef LINUX_FILE_FSIDS_H
#define LINUX_FILE_FSIDS_H

#include <stdbool.h>
#include <sys/types.h>

struct conf_creds;

struct fsids {
	bool changed;
	pid_t parent;
	int death_signal;
	int dumpable;
};

/* Until fsids_end(), not to be nested. Without the right to change, nothing is
   changed. */
struct fsids fsids_begin(const struct conf_creds *creds);

/* Were they changed to what was asked for? */
bool fsids_are(const struct conf_creds *creds);

void fsids_end(struct fsids *fsids);

#endif
