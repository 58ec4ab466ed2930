/* events: what has happened, and what does. */
#ifndef CLI_CTL_EVENTS_H
#define CLI_CTL_EVENTS_H

struct control_link;
struct ctl_options;

/* The exit status; a failure was told. */
int ctl_events(const struct ctl_options *options, struct control_link *client);

#endif
