/*
 * HUP: the configuration is read again, checked, and put in force, without
 * ever waiting for anything: user names are looked up by a child, and the
 * workers roll over event by event.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

struct supervisor;

/* Begin, or begin again if one is at the look-up. */
void reload_request(struct supervisor *sup);

/* Drop a look-up that is under way: the program stops. */
void reload_cancel(struct supervisor *sup);

#endif
