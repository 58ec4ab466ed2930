/* status and metrics: what runs. */
#ifndef CLI_CTL_STATUS_H
#define CLI_CTL_STATUS_H

#include <stdbool.h>

struct control_link;
struct ctl_options;
struct client_other;
struct error;
struct request;
struct status;
struct strbuf;

/* One sample, of what the request asks for (NULL: of all); the caller
   frees it in any case. Of the next supervisor, where one is killed meanwhile.
   0, or as client_talk(). `other` may be NULL. */
int ctl_status_sample(struct control_link *client,
    const struct request *request, const struct client_other *other,
    struct status *ret_status, struct error *err);

/* Of status: it was told, and something is not as it should be. */
#define CTL_NOT_WELL 3

/* The commands. The exit status; a failure was told. */
int ctl_status(const struct ctl_options *options, struct control_link *client);
int ctl_metrics(const struct ctl_options *options, struct control_link *client);

/* A name in a line, of each app. */
int ctl_status_apps(struct control_link *client);

/* Does some app's output pass through clusterd? True where it is not known. */
bool ctl_status_has_logs(struct control_link *client);

/*
 * Over a connection of its own: append which instances are not ready, in
 * words; nothing if all are. -errno with words.
 */
int ctl_status_not_ready(const struct ctl_options *options,
    struct strbuf *sb, struct error *err);

#endif
