/* The sockets that are served: those that we were given, or that options name. */
#ifndef WEB_DOORS_H
#define WEB_DOORS_H

#include <stddef.h>

#include "base/str.h"
#include "core/names/address.h"
#include "linux/socket/socket_options.h"

#define DOORS_MAX 64

struct doors {
	int fds[DOORS_MAX];		/* the caller takes them */
	char *agents[DOORS_MAX];	/* the app of an agent; NULL: HTTP */
	size_t n;
	struct {
		struct address address;
		struct socket_file file;
	} own[DOORS_MAX];		/* that we have made */
	size_t n_own;
};

struct error;

/* Of clusterd, by CLUSTERD_FD, or of another supervisor, by LISTEN_FDS; and one for
   each of `listens`, and of `agents`, which are APP=ADDRESS. One that is named
   "agent.APP" in LISTEN_FDNAMES is an agent too. -errno with words. */
int doors_open(struct doors *doors, const struct strlist *listens,
    const struct strlist *agents, struct error *err);

/* Remove the files of those that we have made. */
void doors_forget(struct doors *doors);

/* Forget them, and leave the files. */
void doors_free(struct doors *doors);

#endif
