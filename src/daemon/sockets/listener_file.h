/* The files of Unix listeners: a path that a worker or anybody removes comes
   back at once. Of daemon/sockets. */
#ifndef DAEMON_SOCKETS_LISTENER_FILE_H
#define DAEMON_SOCKETS_LISTENER_FILE_H

struct listener;
struct listeners;

/* Before and after all listeners; the loop is set. Nothing is open yet. */
void listener_file_open(struct listeners *listeners);
void listener_file_close(struct listeners *listeners);

/* A new listener's, which is not watched yet. */
void listener_file_init(struct listener *listener);

/* Watch the file, if it is one of ours. Where that is not possible it comes
   back when the next worker binds it or dies. */
void listener_file_watch(struct listener *listener);
void listener_file_unwatch(struct listener *listener);

/* See that the path leads to the listener; what stands in the way is logged,
   once. Nothing to do for other listeners. */
void listener_file_restore(struct listener *listener);

#endif
