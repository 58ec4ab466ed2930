/* Answers to requests that name what is not there. */
#ifndef DAEMON_CONTROL_CONTROL_UNKNOWN_H
#define DAEMON_CONTROL_CONTROL_UNKNOWN_H

struct control_client;

/* No app has that name: the answer says which ones there are. */
void control_unknown_app(struct control_client *c, const char *name);

#endif
