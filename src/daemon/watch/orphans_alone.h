/*
 * The keeper was killed. Whose parent it was, and whose it would have become, has the
 * same parent as we have now, which reaps them and tells nobody: a process above that
 * has children of its own. Ours among them are told by what workers are executed
 * with, and by their process groups.
 */
#ifndef DAEMON_WATCH_ORPHANS_ALONE_H
#define DAEMON_WATCH_ORPHANS_ALONE_H

struct orphans;

/* From now on they count as children of ours, as the keeper's did. To be called again
   from time to time: that parent may die, too. */
void orphans_alone(struct orphans *o);

#endif
