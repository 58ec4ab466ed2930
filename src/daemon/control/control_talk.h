/*
 * A client's turn: its next request, the portions of its answer, and what the
 * loop waits for on its behalf.
 */
#ifndef DAEMON_CONTROL_CONTROL_TALK_H
#define DAEMON_CONTROL_CONTROL_TALK_H

#include <stdint.h>

struct control_client;

/* The loop's call for a client; it may be freed. */
void control_talk_ready(void *client, uint32_t events);

/* Carry on with what it has asked for; it may be freed. */
void control_talk_go_on(struct control_client *client);

/* Send what there is to be sent; it may be freed. */
void control_talk_flush(struct control_client *client);

#endif
