/* To look at files, and to open them, with the rights of a worker's user and group:
   linux/file/fsids, and the supplementary groups. */
#ifndef LINUX_FILE_RIGHTS_H
#define LINUX_FILE_RIGHTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "linux/file/fsids.h"

struct conf_creds;
struct error;

struct rights {
	struct fsids fsids;
	bool groups_changed;
	gid_t *groups;		/* ours */
	int n_groups;
};

#define RIGHTS_INIT { .groups_changed = false }

/* To be ended by rights_give_back() in any case, not to be nested. -errno: we may
   not have them. */
int rights_take(const struct conf_creds *creds, struct rights *rights);
void rights_give_back(struct rights *rights);

/* access(2), with those that we have now; 0 where the kernel cannot be asked. */
int rights_may(const char *path, int how);

/*
 * May that be executed, or entered where it is a directory? -EACCES with words,
 * "cannot `what` PATH as www: /srv/app may not be entered: Permission denied"; 0
 * also where it is not there, or not known.
 */
int rights_may_execute(const char *path, const char *what,
    const struct conf_creds *creds, struct error *err);

#endif
