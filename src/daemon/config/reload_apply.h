/*
 * A configuration that was read and checked is put in force: which apps are
 * replaced, added, removed, and which go on.
 */
#ifndef DAEMON_CONFIG_RELOAD_APPLY_H
#define DAEMON_CONFIG_RELOAD_APPLY_H

#include <stdbool.h>

#include "base/str.h"

struct apps;
struct config;
struct error;

/* What was asked for; of several wishes, all. */
struct reload_wish {
	bool all;		/* every app gets new workers */
	bool update;		/* … or those whose section has changed */
	struct strlist apps;	/* these in any case; without the two above,
				   these alone, and the rest of the file is not
				   looked at */
};

/* Does it concern the whole file? */
bool reload_wish_whole(const struct reload_wish *wish);

/* What came of it, in apps. */
struct reload_result {
	unsigned rolled;	/* get new workers */
	unsigned renewed;	/* keep theirs, and something has changed */
	unsigned scaled;	/* … and get more of them, or have too many */
	unsigned added;
	unsigned removed;
	bool settings;		/* clusterd's own have changed */
};

/* May this app be reloaded to what it is in `new`, of which the `whole` is put in
   force, or some apps alone? -errno with words: it may not. */
int reload_check_app(struct apps *apps, const char *name,
    const struct config *new, bool whole, struct error *err);

/* To what runs now; the apps that are wished for were checked. -errno with words: nothing has changed. */
int reload_apply(struct apps *apps, struct config *new,
    const struct reload_wish *wish, struct reload_result *ret_result,
    struct error *err);

#endif
