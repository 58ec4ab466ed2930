/*
 * Where control sockets are, for the server that makes one and for the client
 * that looks for it.
 *
 * The directory is the first of $RUNTIME_DIRECTORY (systemd.exec(5)), which
 * must be there; /run/clusterd, for root; $XDG_RUNTIME_DIR/clusterd, or where that
 * is not set /run/user/UID/clusterd. Never one below which others may write. The name says which clusterd it is: of a
 * configuration file, its name without the suffix and a hash of its path as the
 * user has named it, through links that may point elsewhere tomorrow
 * ("app-0f3c9d….sock"); of an app on the command line, its name and the pid
 * ("server-4711.sock"). A second name, made of the real path, is a link to the
 * first: for who names the file otherwise.
 */
#ifndef LINUX_CONTROL_CONTROL_PLACE_H
#define LINUX_CONTROL_CONTROL_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/str.h"

struct error;

/* The socket's name for a configuration file, by its absolute path. The caller
   frees; NULL: no memory. */
char *control_place_name(const char *path);

/* … and for what its links lead to now, the same if there are none. NULL also
   where they lead nowhere. */
char *control_place_name_of_target(const char *path);

/* … for an app on the command line. */
char *control_place_name_of_app(const char *app, pid_t pid);

/*
 * The server's directory, made if need be (0755 for root, else 0700). The
 * caller frees *ret_dir. -ENOENT with words: there is none for this user;
 * -errno with words. `usual`: it may be in /run/user/UID although no variable
 * says so; nobody may expect that it outlives the user's sessions.
 */
int control_place_make(bool usual, char **ret_dir, struct error *err);

/* Is there one for a server that is started so? Nothing is made. -ENOENT with
   words: no. */
int control_place_look(struct error *err);

/* The directories in which a client looks, the nearest first. */
void control_place_dirs(struct strlist *ret_dirs);

/* Names in `dir` that are sockets' and end in ".sock", as paths. -errno if it
   cannot be read; one that is not there has none. */
int control_place_list(const char *dir, struct strlist *paths);

#endif
