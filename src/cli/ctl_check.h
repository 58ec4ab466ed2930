/* clusterctl check */
#ifndef CLI_CTL_CHECK_H
#define CLI_CTL_CHECK_H

struct control_link;
struct ctl_options;

/* Returns an exit status. */
int ctl_check(const struct ctl_options *options, struct control_link *client);

#endif
