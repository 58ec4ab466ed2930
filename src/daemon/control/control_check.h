/* Instances are asked how they are, each by a connection to it alone. */
#ifndef DAEMON_CONTROL_CONTROL_CHECK_H
#define DAEMON_CONTROL_CONTROL_CHECK_H

#include <stdbool.h>

struct control_client;
struct control_op;

void control_check_begin(struct control_client *client);
bool control_check_more(struct control_client *client);
void control_check_last(struct control_client *client);
void control_check_free(struct control_op *op);

#endif
