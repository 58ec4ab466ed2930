/* The files of Unix listeners: a path that a worker or anybody removes comes
   back at once. */
#ifndef DAEMON_LISTENER_FILE_H
#define DAEMON_LISTENER_FILE_H

struct listener;

/* Watch the file, if it is one of ours. Where that is not possible it comes
   back when the next worker binds it or dies. */
void listener_file_watch(struct listener *listener);
void listener_file_unwatch(struct listener *listener);

/* See that the path leads to the listener; what stands in the way is logged,
   once. Nothing to do for other listeners. */
void listener_restore_path(struct listener *listener);

#endif
