/* `logs` and `follow`: the rings of daemon/output, merged in the order in
   which their lines came. */
#ifndef DAEMON_CONTROL_CONTROL_LOGS_H
#define DAEMON_CONTROL_CONTROL_LOGS_H

#include <stdbool.h>

struct control_client;
struct control_clients;
struct control_op;

/* See struct control_verb. */
bool control_logs_more(struct control_client *client);
void control_logs_last(struct control_client *client);
void control_logs_free(struct control_op *op);

/* Lines have come: for those who follow. */
void control_logs_came(struct control_clients *clients);

#endif
