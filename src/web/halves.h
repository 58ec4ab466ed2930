/* From one program two: the half that may talk to clusterd, and the one that serves,
   as an ordinary user. */
#ifndef WEB_HALVES_H
#define WEB_HALVES_H

struct client_where;
struct doors;
struct error;

/*
 * Start the half of broker.h, which ends when this one does, and then removes the
 * files of `doors`: this one may have no right to. The caller owns *ret_fd, the way
 * to it. -errno with words.
 */
int halves_start(const struct client_where *where, const char *token,
    struct doors *doors, int *ret_fd, struct error *err);

/* Become `user` for good, where we are root, and never more than now. -errno with
   words. */
int halves_drop(const char *user, struct error *err);

#endif
