/* reload, restart, scale, stop and start; and wait: with progress, to the end. */
#ifndef CLI_CTL_ORDER_H
#define CLI_CTL_ORDER_H

struct control_link;
struct ctl_options;

/* Carry it out over this connection. The exit status; a failure was told. */
int ctl_order(const struct ctl_options *options,
    struct control_link *client);

/* The same for wait, which looks for its clusterd itself. */
int ctl_wait(const struct ctl_options *options);

#endif
