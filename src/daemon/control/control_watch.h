/* The requests events and watch: what has happened, and what does. */
#ifndef DAEMON_CONTROL_CONTROL_WATCH_H
#define DAEMON_CONTROL_CONTROL_WATCH_H

#include <stdbool.h>

struct control_client;
struct control_clients;

/* See struct control_verb. */
void control_watch_begin(struct control_client *client);
bool control_watch_more(struct control_client *client);
void control_watch_last(struct control_client *client);

/* There are events: for those who watch. */
void control_watch_came(struct control_clients *clients);

#endif
