/* A supervisor that was killed in the middle of an answer: its keeper starts
   another, which can be asked. */
#ifndef CLI_CTL_AGAIN_H
#define CLI_CTL_AGAIN_H

#include <stdbool.h>

struct control_link;

/* Of one request. */
#define CTL_AGAIN_MAX	20

/*
 * The connection was closed before an answer was complete. True: that was the
 * supervisor's death, and the client is connected to the next one of the same
 * clusterd. Else it is as it was: clusterd has gone, or it was something else, or
 * no other one greets within 10 seconds.
 */
bool ctl_again(struct control_link *client);

/* Is the clusterd there that was asked, as a process? */
bool ctl_again_is_there(const struct control_link *client);

#endif
