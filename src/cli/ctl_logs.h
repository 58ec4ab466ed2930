/* logs: what the workers have written, and write. */
#ifndef CLI_CTL_LOGS_H
#define CLI_CTL_LOGS_H

struct control_link;
struct ctl_options;

/* The exit status; a failure was told. */
int ctl_logs(const struct ctl_options *options,
    struct control_link *client);

#endif
