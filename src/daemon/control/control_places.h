/*
 * Places for clients: who comes in, and who loses its place when there is none
 * left and others wait. Both are for the door; see struct control_clients.
 */
#ifndef DAEMON_CONTROL_CONTROL_PLACES_H
#define DAEMON_CONTROL_CONTROL_PLACES_H

#define CONTROL_CLIENTS_MAX	256

/* Somebody waits: take them, as long as there are places. Without one, or with
   no memory or descriptor for another client, the door is paused. */
void control_places_fill(void *clients);

/* Look for a place, if somebody still waits. */
void control_places_look(void *clients);

#endif
