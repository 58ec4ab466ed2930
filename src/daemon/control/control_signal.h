/* The request `signal`: to the processes of an app's workers. */
#ifndef DAEMON_CONTROL_CONTROL_SIGNAL_H
#define DAEMON_CONTROL_CONTROL_SIGNAL_H

struct control_client;

/* See struct control_verb. */
void control_signal_send(struct control_client *client);

#endif
