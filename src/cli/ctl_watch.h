/* status --watch: again every second. */
#ifndef CLI_CTL_WATCH_H
#define CLI_CTL_WATCH_H

struct control_link;
struct ctl_options;

/*
 * On a terminal a picture, until q or Ctrl-C; elsewhere the text, or with
 * --json an object, every second. A lost clusterd is looked for again; ends
 * when it was stopping. Takes the client over. The exit status; a failure was
 * told.
 */
int ctl_watch(const struct ctl_options *options,
    struct control_link *client);

#endif
