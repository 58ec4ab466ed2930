/* What changes something, and what waits for it: how each begins. */
#ifndef DAEMON_CONTROL_CONTROL_ORDER_H
#define DAEMON_CONTROL_CONTROL_ORDER_H

struct control_client;

/* See struct control_verb. */
void control_order_update(struct control_client *client);
void control_order_reload(struct control_client *client);
void control_order_restart(struct control_client *client);
void control_order_scale(struct control_client *client);
void control_order_stop(struct control_client *client);
void control_order_start(struct control_client *client);
void control_order_wait(struct control_client *client);
void control_order_upgrade(struct control_client *client);

/* … the last words for one who asked for a stop. */
void control_order_stopped(struct control_client *client);

#endif
