/* `status`: the records of all there is, a few in a portion. */
#ifndef DAEMON_CONTROL_CONTROL_STATUS_H
#define DAEMON_CONTROL_CONTROL_STATUS_H

#include <stdbool.h>

struct control_client;

/* See struct control_verb. */
bool control_status_more(struct control_client *client);

#endif
